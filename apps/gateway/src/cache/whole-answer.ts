import { parseAnswer } from '../providers/openai/openai-answer.js';
import { isFields, listOf, type Fields } from '../providers/canonical.js';

/** How a choice ends that would end so again. One that was filtered, for instance, need not be the next time. */
const ENDINGS: ReadonlySet<unknown> = new Set(['stop', 'length', 'tool_calls', 'function_call']);

/** Whether each choice of a chat completion has come to its end. */
export function isWhole(body: Buffer): boolean {
  const answer = parseAnswer(body);
  const choices = isFields(answer) ? listOf(answer['choices']) : [];
  return choices.length > 0 && choices.every((choice) => ENDINGS.has(choice['finish_reason']));
}

/**
 * A chat completion as the chunks of a stream: one with all of it for each choice, one with its end, and the usage.
 * @returns the data of its events.
 */
export function chunksOf(completion: Fields, wantsUsage: boolean): string[] {
  const { choices: given, usage, ...envelope } = completion;
  const chunk = (fields: Fields): string =>
    JSON.stringify({ ...envelope, object: 'chat.completion.chunk', ...fields });
  const choices = listOf(given);
  const contents = choices.map(({ message, ...choice }) =>
    chunk({ choices: [{ ...choice, delta: deltaOf(message), finish_reason: null }] }),
  );
  const ends = choices.map(({ index, finish_reason }) =>
    chunk({ choices: [{ index: index ?? 0, delta: {}, finish_reason }] }),
  );
  return [...contents, ...ends, ...(wantsUsage && usage ? [chunk({ choices: [], usage })] : [])];
}

/** Calls of tools have a position in chunks. */
function deltaOf(message: unknown): Fields {
  if (!isFields(message)) return {};
  const calls = message['tool_calls'];
  if (!Array.isArray(calls)) return message;
  return { ...message, tool_calls: listOf(calls).map((call, index) => ({ index, ...call })) };
}
