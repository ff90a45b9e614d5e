import type { Problem } from '../content/problems.js';

/** Of an answer that is quoted back, in characters: with it the model sees what it did, and need not see all of it. */
const MAX_QUOTED = 16 * 1024;
const MAX_TOLD = 8;

/** What a model is told that cannot be asked for a schema otherwise. */
export function instructionFor(schema: object): string {
  return (
    'Answer with one JSON value and nothing else: no text before or after it, no code fence. ' +
    `It must be valid against this JSON Schema:\n${JSON.stringify(schema)}`
  );
}

/** What a model is told whose answer did not satisfy the schema. */
export function complaintAbout(problems: readonly Problem[]): string {
  return (
    `Your answer does not match the required JSON Schema:\n${listed(problems.slice(0, MAX_TOLD), '\n')}\n` +
    'Answer again with the whole corrected JSON and nothing else.'
  );
}

/** Problems in one line. */
export function listed(problems: readonly Problem[], between = '; '): string {
  return problems.map(({ path, message }) => `${path === '' ? 'the answer' : path} ${message}`).join(between);
}

/** An answer as it is quoted back. */
export function quoted(answer: string): string {
  if (answer.length <= MAX_QUOTED) return answer;
  return `${answer.slice(0, MAX_QUOTED).toWellFormed()}…`;
}
