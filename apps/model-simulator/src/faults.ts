import type { ServerResponse } from 'node:http';
import type { Fault, FaultBefore, FaultInside } from './directives.js';
import { SimulatorError } from './errors.js';
import { randomFrom, type Random } from './random.js';
import { streamFrames, wholeBody } from './body.js';
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
    case 'http-200-html':
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>\n');
      return;
    case 'http-status':
      throw new SimulatorError(fault.status, 'SimulatedError', `Simulated: status ${fault.status}.`);
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
      context.write(
        isMessages(context)
          ? `event: error\ndata: ${OVERLOADED.messagesBody}\n\n`
          : `data: ${ENGINE_DEAD.body}\n\ndata: [DONE]\n\n`,
      );
      response.end();
      return 'over';
    case 'malformed-frame':
      context.write(
        isMessages(context)
          ? 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":\n\n'
          : 'data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":\n\n',
      );
      break;
    case 'heartbeats':
      hold();
      beat(response, ': still here\n\n');
      return 'over';
    case 'huge':
      flood(response, hugeStream(context));
      return 'over';
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
    case 'error-frame': {
      const told = isMessages(context) ? OVERLOADED.messagesBody : ENGINE_DEAD.body;
      start(told).end(told);
      return;
    }
    case 'heartbeats':
      // JSON may be padded with white space; proxies keep connections alive with it.
      response.writeHead(200, { 'content-type': 'application/json' });
      beat(response, ' ');
      return;
    case 'huge':
      response.writeHead(200, { 'content-type': 'application/json' });
      flood(response, hugeWhole(body));
      return;
    case 'dribble':
      reply.send(context.answer.tokens.length);
  }
}

function isMessages({ protocol }: ReplyContext): boolean {
  return protocol === 'messages';
}

/** What a stream of messages that began well ends with. */
const OVERLOADED = new SimulatorError(529, 'overloaded_error', 'Overloaded');
const ENGINE_DEAD = new SimulatorError(500, 'InternalServerError', 'Simulated: the engine has failed.');

const HUGE_BYTES = 100 * 1024 * 1024;
const PIECE = 'x'.repeat(64 * 1024);
const BEAT_MS = 20;

/** Sends the text again and again, until the client leaves. */
function beat(response: ServerResponse, text: string): void {
  const timer = setInterval(() => response.write(text), BEAT_MS);
  response.once('close', () => clearInterval(timer));
}

/** Sends pieces as fast as the client takes them, and ends. */
function flood(response: ServerResponse, pieces: Iterator<string>): void {
  const more = (): void => {
    while (!response.destroyed) {
      const { value, done } = pieces.next();
      if (done) {
        response.end();
        return;
      }
      if (!response.write(value)) {
        response.once('drain', more);
        return;
      }
    }
  };
  more();
}

function* hugeStream(context: ReplyContext): Generator<string, undefined> {
  const count = Math.ceil(HUGE_BYTES / PIECE.length);
  const tokens = Array.from({ length: count }, () => PIECE);
  const frames = streamFrames({ ...context, answer: { ...context.answer, tokens } });
  for (let index = 0; index < count; index++) yield frames(index, index + 1);
}

function* hugeWhole(body: string): Generator<string, undefined> {
  yield '{"padding":"';
  for (let sent = 0; sent < HUGE_BYTES; sent += PIECE.length) yield PIECE;
  yield `",${body.slice(1)}`;
}

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
