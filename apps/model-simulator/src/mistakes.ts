import type { JsonValue } from './schema-instance.js';
import type { ChatMessage } from './request.js';

/** Change what is said, and not how: in ways in which models get JSON wrong, even where it is enforced. */
export const MISTAKES = [
  'json-fenced',
  'json-prose',
  'json-trailing-comma',
  'json-wrong',
  'json-careless',
  'refusal',
] as const;
export type Mistake = (typeof MISTAKES)[number];

export const REFUSAL = "I'm sorry, I cannot help with that.";

/** @param text an answer without a mistake. */
export function mistaken(mistake: Mistake, text: string, messages: readonly ChatMessage[]): string {
  switch (mistake) {
    case 'json-fenced':
      return `Here is the JSON you asked for:\n\n\`\`\`json\n${text}\n\`\`\``;
    case 'json-prose':
      return `Sure! ${text}\n\nLet me know if you need anything else.`;
    case 'json-trailing-comma':
      return text.replace(/(?<=[^[{,\s])(\s*[}\]])$/u, ',$1');
    case 'json-careless':
      return isCorrected(messages) ? text : wrong(text);
    case 'json-wrong':
      return wrong(text);
    case 'refusal':
      return REFUSAL;
  }
}

/** Whether the last word is somebody's who is not content with the answer before. */
export function isCorrected(messages: readonly ChatMessage[]): boolean {
  return messages.at(-2)?.role === 'assistant' && /\bJSON Schema\b/u.test(messages.at(-1)!.text);
}

/** JSON of another form. */
function wrong(text: string): string {
  let value: JsonValue = text;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    // words
  }
  return JSON.stringify({ unexpected: value });
}
