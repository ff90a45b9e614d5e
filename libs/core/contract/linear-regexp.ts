import { RE2JS } from 're2js';
import { spend } from './work.js';

/** A character costs half as much as a subschema. */
const CHARACTERS_PER_STEP = 2;

/**
 * Patterns of a contract meet whatever a model writes, inside a process that serves everybody: a backtracking engine
 * would let `^(a+)+$` stop all of them. RE2's syntax has no backreferences and no look-around; those are refused.
 * https://github.com/google/re2/wiki/Syntax
 */
export const linearRegExp = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
    // ajv tells patterns apart by their text.
    return {
      test: (text: string) => {
        spend(text.length / CHARACTERS_PER_STEP);
        return compiled.matcher(text).find();
      },
      toString: () => pattern,
    };
  },
  // Only for ajv's stand-alone code, which is not made here.
  { code: '' },
);
