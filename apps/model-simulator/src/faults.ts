import type { ServerResponse } from 'node:http';
import type { Fault, FaultBefore, FaultInside } from './directives.js';
import { SimulatorError } from './errors.js';
import { randomFrom, type Random } from './random.js';
import { wholeBody } from './body.js';
import type { Reply, ReplyContext } from './reply.js';

/** Decides which requests fail: counts `times` per set of directives and draws `probability` from the seed. */
export class FaultPlan {
  private readonly counts = new Map<string, number>();
  private readonly random: Random;

  constructor(seed: number) {
    this.random = randomFrom('faults', String(seed));
  }

  /** @param key the directives as written: each set counts for itself. */
  draw(fault: Fault | undefined, key: string): Fault | undefined {
    if (!fault) return undefined;
    if (fault.times !== undefined) {
      const count = this.counts.get(key) ?? 0;
      if (count >= fault.times) return undefined;
      this.counts.set(key, count + 1);
    }
    return fault.probability < 1 && this.random() >= fault.probability ? undefined : fault;
  }
}

/**
 * Plays a fault that comes instead of an answer.
 * @param later called when a limited stall is over and the answer should follow.
 */
export function failBefore(
  fault: Fault & { kind: FaultBefore },
  response: ServerResponse,
  later: () => void,
): void {
  const retryAfter = { 'retry-after': String(fault.retryAfter) };
  switch (fault.kind) {
    case 'http-429':
      throw new SimulatorError(429, 'RateLimitError', 'Simulated: too many requests.', null, retryAfter);
    case 'http-500':
      throw ENGINE_DEAD;
    case 'http-503':
      throw new SimulatorError(503, 'ServiceUnavailableError', 'Simulated: overloaded.', null, retryAfter);
    case 'http-502-html':
      response
        .writeHead(502, { 'content-type': 'text/html' })
        .end(
          '<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n',
        );
      return;
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    case 'stall': {
      if (fault.ms === undefined) return; // silent until the client leaves
      const timer = setTimeout(later, fault.ms);
      response.once('close', () => clearTimeout(timer));
    }
  }
}

/**
 * Wraps a reply so that it goes wrong after `fault.after` tokens (of a stream) or after half the bytes (of a
 * whole answer).
 * @param hold keeps the slot on the GPU while nothing is sent.
 */
export function failInside(
  fault: Fault & { kind: FaultInside },
  context: ReplyContext,
  reply: Reply,
  hold: () => void,
): Reply {
  const last = context.answer.tokens.length;
  const due = Math.max(0, Math.min(fault.after, last - 1));
  let state: 'well' | 'failed' | 'over' = 'well';
  return {
    send(ready) {
      if (state === 'over') return;
      if (!context.request.stream) {
        if (ready === last) failWhole(fault, context, reply);
        return;
      }
      if (state === 'well' && ready > due) {
        reply.send(due);
        state = failStream(fault, context, hold);
      }
      if (state !== 'over') reply.send(ready);
    },
  };
}

function failStream(
  fault: Fault & { kind: FaultInside },
  context: ReplyContext,
  hold: () => void,
): 'failed' | 'over' {
  const { response } = context;
  switch (fault.kind) {
    case 'stall-mid-stream':
      hold();
      return 'over';
    case 'cut-mid-stream':
      afterFlush(response, () => response.socket?.resetAndDestroy());
      return 'over';
    case 'cut-mid-stream-fin':
      afterFlush(response, () => response.socket?.end());
      return 'over';
    case 'end-mid-stream':
      response.end();
      return 'over';
    case 'error-frame':
      context.write(`data: ${ENGINE_DEAD.body}\n\ndata: [DONE]\n\n`);
      response.end();
      return 'over';
    case 'malformed-frame':
      context.write('data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":\n\n');
      break;
    case 'dribble':
      break; // the bytes are right, only their timing is not: see `dribble`
  }
  return 'failed';
}

function failWhole(fault: Fault & { kind: FaultInside }, context: ReplyContext, reply: Reply): void {
  const { response } = context;
  const body = wholeBody(context);
  const half = body.slice(0, body.length / 2);
  const start = (announced: string) =>
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(announced),
    });
  switch (fault.kind) {
    case 'stall-mid-stream':
      start(body).write(half);
      return;
    case 'cut-mid-stream':
      start(body).write(half);
      afterFlush(response, () => response.socket?.resetAndDestroy());
      return;
    case 'cut-mid-stream-fin':
      start(body).write(half);
      afterFlush(response, () => response.socket?.end());
      return;
    case 'end-mid-stream':
    case 'malformed-frame':
      start(half).end(half);
      return;
    case 'error-frame':
      start(ENGINE_DEAD.body).end(ENGINE_DEAD.body);
      return;
    case 'dribble':
      reply.send(context.answer.tokens.length);
  }
}

const ENGINE_DEAD = new SimulatorError(500, 'InternalServerError', 'Simulated: the engine has failed.');

/** Once the bytes before it have left; else the client would see a reset without any answer. */
function afterFlush(response: ServerResponse, action: () => void): void {
  response.write('', () => setImmediate(action));
}

/** Sends bytes one by one, so that frames, lines and UTF-8 characters arrive in pieces. */
export function dribble(response: ServerResponse): { write(text: string): void; end(): void } {
  const bytes: number[] = [];
  let isEnding = false;
  let isRunning = false;
  const next = () => {
    const byte = bytes.shift();
    if (response.destroyed) return;
    if (byte !== undefined) {
      response.write(Buffer.of(byte));
      setImmediate(next);
      return;
    }
    isRunning = false;
    if (isEnding) response.end();
  };
  const start = () => {
    if (isRunning) return;
    isRunning = true;
    next();
  };
  return {
    write(text) {
      bytes.push(...Buffer.from(text));
      start();
    },
    end() {
      isEnding = true;
      start();
    },
  };
}
