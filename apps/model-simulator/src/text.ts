import { pick, type Random } from './random.js';

/**
 * What the simulator takes for tokens: up to five letters with the blank before them. About four characters
 * a token in English, as with real vocabularies; never splits a surrogate pair.
 */
export function tokenize(text: string): string[] {
  return text.match(/\s?[^\s]{1,5}|\s/gu) ?? [];
}

export function countTokens(text: string): number {
  let count = 0;
  for (const _ of text.matchAll(/\s?[^\s]{1,5}|\s/gu)) count++;
  return count;
}

const OPENINGS = [
  'Thank you for the details.',
  'Here is what I found.',
  'I looked at this closely.',
  'Let us go through it.',
  'That is a fair question.',
];
const SUBJECTS = [
  'the request',
  'this case',
  'the account',
  'the last change',
  'the record',
  'your question',
  'the order',
];
const VERBS = [
  'points to',
  'depends on',
  'was caused by',
  'is covered by',
  'can be solved with',
  'should wait for',
];
const OBJECTS = [
  'the current policy',
  'a missing confirmation',
  'an earlier step',
  'the settings shown above',
  'a second check',
  'the date given',
];
const ENDINGS = [
  'as far as the text shows',
  'so no further step is needed',
  'and I would check it again tomorrow',
  'which is the usual course',
  'unless something else has changed',
];

/**
 * English sentences of about `tokens` tokens that take up words of the prompt. Ends at a full stop.
 * @param source text to borrow words from, usually the last message.
 */
export function sentences(random: Random, source: string, tokens: number): string {
  const words = [...new Set(source.match(/\p{L}{5,24}/gu) ?? [])].slice(0, 50);
  const parts = [pick(random, OPENINGS)];
  let length = countTokens(parts[0]!);
  while (length < tokens) {
    const subject = words.length > 0 && random() < 0.5 ? `"${pick(random, words)}"` : pick(random, SUBJECTS);
    const sentence = `${subject} ${pick(random, VERBS)} ${pick(random, OBJECTS)}, ${pick(random, ENDINGS)}.`;
    const next = sentence.charAt(0).toUpperCase() + sentence.slice(1);
    parts.push(next);
    length += countTokens(` ${next}`);
  }
  return parts.join(' ');
}

/** How many words of `value` (split at case changes, `_`, `-` and blanks) occur in the text, by their first letters. */
export function overlap(value: string, text: string): number {
  const haystack = text.toLowerCase();
  const words =
    value
      .replaceAll(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
      .toLowerCase()
      .match(/\p{L}{3,}/gu) ?? [];
  return words.filter((word) => haystack.includes(word.slice(0, 5))).length;
}
