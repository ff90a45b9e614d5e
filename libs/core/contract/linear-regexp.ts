import { RE2JS } from 're2js';
import { spend } from './work.js';

/** A character costs at least half as much as a subschema; more where a pattern is compiled to more than so many instructions. */
const STEPS_PER_CHARACTER = 1 / 2;
const INSTRUCTIONS_PER_STEP = 32;
/** Of one pattern, and of what all patterns of a schema are compiled to: some 10 µs an instruction. */
const MAX_CHARACTERS = 2_048;
const MAX_INSTRUCTIONS = 50_000;

/**
 * The engine for the patterns of one schema. They meet whatever a model writes, inside a process that serves everybody:
 * a backtracking engine would let `^(a+)+$` stop all of them. RE2's syntax has no backreferences and no look-around;
 * those are refused. https://github.com/google/re2/wiki/Syntax
 */
export function linearRegExps() {
  let instructions = 0;
  const engine = (pattern: string) => {
    if (pattern.length > MAX_CHARACTERS)
      throw new Error(
        `a pattern has ${pattern.length} characters, more than ${MAX_CHARACTERS}; make it shorter`,
      );
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
    const size = compiled.programSize();
    instructions += size;
    if (instructions > MAX_INSTRUCTIONS)
      throw new Error('its patterns take too long together; repeat less in them, as "{1000}" does');
    // Linear in the text, and in the pattern too: `(.?){1000}` has 4 000 instructions, and tries all at each character.
    const steps = Math.max(STEPS_PER_CHARACTER, size / INSTRUCTIONS_PER_STEP);
    // ajv tells patterns apart by their text.
    return {
      test: (text: string) => {
        spend(text.length * steps);
        return compiled.matcher(text).find();
      },
      toString: () => pattern,
    };
  };
  // The code is only for ajv's stand-alone code, which is not made here.
  return Object.assign(engine, { code: '' });
}
