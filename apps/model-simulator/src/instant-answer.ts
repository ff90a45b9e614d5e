import type { ServerResponse } from 'node:http';
import { streamFrames, wholeBody } from './body.js';
import type { SimulatorOptions } from './options.js';

/** The same bytes for every request, made once: what a benchmark measures is then not this process. */
export class InstantAnswer {
  private readonly whole: Buffer;
  private readonly stream: Buffer;
  private readonly streamWithUsage: Buffer;

  constructor({ answerTokens, models }: SimulatorOptions) {
    const tokens = Array.from({ length: answerTokens }, (_, index) =>
      index % 12 === 11 ? ' end.' : ' word',
    );
    const context = (includeUsage: boolean) =>
      ({
        protocol: 'chat',
        request: { model: models[0]!, includeUsage, continuousUsage: false },
        answer: { promptTokens: 16, tokens, finishReason: 'stop', stopReason: null },
        id: 'chatcmpl-instant',
        created: 0,
      }) as const;
    this.whole = Buffer.from(wholeBody(context(false)));
    this.stream = Buffer.from(streamFrames(context(false))(0, answerTokens));
    this.streamWithUsage = Buffer.from(streamFrames(context(true))(0, answerTokens));
  }

  send(body: Buffer, response: ServerResponse): void {
    const isStream = /"stream"\s*:\s*true/u.test(body.toString('latin1'));
    const withUsage = body.includes('"include_usage"');
    const bytes = !isStream ? this.whole : withUsage ? this.streamWithUsage : this.stream;
    response.writeHead(200, {
      'content-type': isStream ? 'text/event-stream; charset=utf-8' : 'application/json',
      'content-length': bytes.length,
    });
    response.end(bytes);
  }
}
