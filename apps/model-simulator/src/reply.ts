import type { ServerResponse } from 'node:http';
import type { Answer } from './answer.js';
import { streamFrames, wholeBody, type BodyContext } from './body.js';
import type { GenerationRequest } from './request.js';

export interface Reply {
  /** Sends what is ready up to this token (exclusive); the last call ends the answer. */
  send(ready: number): void;
}

export interface ReplyContext extends BodyContext {
  readonly request: GenerationRequest;
  readonly answer: Answer;
  readonly response: ServerResponse;
  /** Write bytes and end; a fault may do it in its own way. */
  write(text: string): void;
  end(): void;
}

/** One JSON object at the end. */
export function wholeReply(context: ReplyContext): Reply {
  return {
    send(ready) {
      if (ready < context.answer.tokens.length) return;
      const body = wholeBody(context);
      context.response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      });
      context.write(body);
      context.end();
    },
  };
}

/** One event per token; what is ready at the same moment leaves in one write. Headers go out at once, as vLLM's do. */
export function streamReply(context: ReplyContext): Reply {
  const frames = streamFrames(context);
  let sent: number | undefined;
  context.response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
  context.response.flushHeaders();
  return {
    send(ready) {
      if (sent === undefined || ready > sent) context.write(frames(sent ?? 0, ready));
      sent = ready;
      if (ready >= context.answer.tokens.length) context.end();
    },
  };
}
