import { jsonrepair } from 'jsonrepair';
import { nestsTooDeeply } from '../nesting/nesting.js';
import { Allowance } from './work.js';

/** jsonrepair goes back over a text with stray quotes again and again: 200 KB can take 8 s, these some 50 ms. */
const MAX_MENDED = 16 * 1024;
/** Objects and lists looked at in a text that has JSON among other things. */
const MAX_CANDIDATES = 32;

export interface Repaired {
  readonly text: string;
  readonly value: unknown;
}

/** A text as JSON. @returns undefined where it is none, or is nested too deeply to be worked with. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return nestsTooDeeply(value, text.length) ? undefined : { value };
  } catch {
    return undefined;
  }
}

/**
 * Finds the JSON that a model meant, without asking it: out of a fence or of prose, with syntax mended (`jsonrepair`).
 * The last that is accepted counts, for models think first and answer then. Always the same for the same text.
 * @param accepts whether a value satisfies the contract.
 * @param allowance of the answer that the text is a part of.
 * @returns undefined where nothing does.
 */
export function repairJson(
  text: string,
  accepts: (value: unknown) => boolean,
  allowance = new Allowance(),
): Repaired | undefined {
  const candidates = candidatesIn(text);
  for (const candidate of candidates) {
    const parsed = parseJson(candidate);
    if (parsed && accepts(parsed.value)) return { text: candidate, value: parsed.value };
  }
  let left = MAX_MENDED;
  for (const candidate of candidates) {
    // Out of words it would make texts and lists; that is no repair.
    if (!/^[{[]/.test(candidate)) continue;
    left -= candidate.length;
    if (left < 0 || candidate.length > allowance.mended) return undefined;
    allowance.mended -= candidate.length;
    const mended = mend(candidate);
    const parsed = mended === undefined ? undefined : parseJson(mended);
    if (parsed && typeof parsed.value === 'object' && parsed.value !== null && accepts(parsed.value))
      return { text: mended!, value: parsed.value };
  }
  return undefined;
}

function mend(text: string): string | undefined {
  try {
    return jsonrepair(text);
  } catch {
    return undefined; // not to be mended, or nested more deeply than the stack goes
  }
}

/** Parts of a text that may be the answer: fenced, then lists and objects, the last first, then the whole. */
function candidatesIn(given: string): string[] {
  const parsed = parseJson(given)?.value;
  // JSON written as a text of JSON.
  const text = typeof parsed === 'string' ? parsed : given;
  const found = [...fenced(text).toReversed(), ...braced(text).toReversed()];
  const whole = text.trim();
  const open = whole.search(/[[{]/);
  // Not closed, or closed wrongly.
  if (open > 0) found.push(whole.slice(open));
  found.push(whole);
  return [...new Set(found)];
}

const FENCE = '```';

function fenced(text: string): string[] {
  const found: string[] = [];
  let from = text.indexOf(FENCE);
  while (from !== -1 && found.length < MAX_CANDIDATES) {
    const line = text.indexOf('\n', from);
    if (line === -1) break;
    const end = text.indexOf(FENCE, line);
    const inside = text.slice(line + 1, end === -1 ? undefined : end).trim();
    if (inside !== '') found.push(inside);
    if (end === -1) break;
    from = text.indexOf(FENCE, end + FENCE.length);
  }
  return found;
}

/** Outermost lists and objects that are closed, in one pass over the text. */
function braced(text: string): string[] {
  const found: string[] = [];
  let start = -1;
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length && found.length < MAX_CANDIDATES; at++) {
    const character = text[at];
    if (isQuoted) {
      if (character === '\\') at++;
      else if (character === '"') isQuoted = false;
    } else if (character === '{' || character === '[') {
      if (depth++ === 0) start = at;
    } else if (depth === 0) continue;
    else if (character === '"') isQuoted = true;
    else if ((character === '}' || character === ']') && --depth === 0) found.push(text.slice(start, at + 1));
  }
  return found;
}
