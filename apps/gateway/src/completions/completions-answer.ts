import { dataOf } from '#libs/core/sse/sse-splitter.js';
import type { StreamWriter } from '../chat/ingress.js';
import { errorBody, type GatewayError } from '../http/gateway-error.js';
import { DONE, isFields, listOf, sseOf, textOf, type Fields } from '../providers/canonical.js';

/** The text completion a chat completion is worth. */
export function textCompletionOf(completion: Fields): Fields {
  const choices = listOf(completion['choices']).map((choice) => {
    const message = isFields(choice['message']) ? choice['message'] : {};
    return textChoice(choice, textOf(message['content']) ?? '', 0);
  });
  return { ...completion, object: 'text_completion', choices };
}

function textChoice({ index, logprobs, finish_reason }: Fields, text: string, offset: number): Fields {
  return { text, index, logprobs: logprobsOf(logprobs, offset), finish_reason: finish_reason ?? null };
}

/** Lists of the same length, instead of a list of objects. @param offset where the text begins, in UTF-16 code units. */
function logprobsOf(logprobs: unknown, offset: number): Fields | null {
  if (!isFields(logprobs) || !Array.isArray(logprobs['content'])) return null;
  const tokens = listOf(logprobs['content']);
  let at = offset;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top_logprobs }) =>
      Object.fromEntries(listOf(top_logprobs).map(({ token, logprob }) => [String(token), logprob])),
    ),
    text_offset: tokens.map(({ token }) => {
      const start = at;
      at += String(token).length;
      return start;
    }),
  };
}

/** Chat completion chunks on their way out as those of a text completion. */
export class CompletionsStreamWriter implements StreamWriter {
  /** Length of the text so far, by choice. */
  private readonly lengths = new Map<unknown, number>();

  write(chunks: readonly Buffer[]): Buffer {
    return Buffer.concat(chunks.flatMap((chunk) => this.translate(chunk) ?? []));
  }

  end(chunks: readonly Buffer[]): Buffer {
    return this.write(chunks);
  }

  fail(error: GatewayError): Buffer {
    return sseOf(errorBody(error));
  }

  private translate(event: Buffer): Buffer | undefined {
    const data = dataOf(event);
    if (data === undefined || data === DONE) return event;
    const chunk = JSON.parse(data) as Fields; // it was parsed before, on its way in
    const given = listOf(chunk['choices']);
    const choices = given.flatMap((choice) => this.choiceOf(choice) ?? []);
    if (choices.length === 0 && given.length > 0) return undefined;
    return sseOf(JSON.stringify({ ...chunk, object: 'text_completion', choices }));
  }

  /** @returns undefined for one that says nothing: a role. */
  private choiceOf(choice: Fields): Fields | undefined {
    const text = (isFields(choice['delta']) && textOf(choice['delta']['content'])) || '';
    if (text === '' && !choice['finish_reason']) return undefined;
    const length = this.lengths.get(choice['index']) ?? 0;
    this.lengths.set(choice['index'], length + text.length);
    return textChoice(choice, text, length);
  }
}
