/**
 * A model server that streams as cheaply as possible: FRAMES frames, the first at once and then one every EVERY_MS, all
 * of them on one timer. Each carries as its content when it was sent: microseconds of the machine's monotonic clock.
 */
import { createServer, type ServerResponse } from 'node:http';
import { monotonicUs } from '../support/clock.js';

const FRAMES = Number(process.env['FRAMES']);
const EVERY_MS = Number(process.env['EVERY_MS']);
const TICK_MS = Math.min(5, EVERY_MS);
const SLOTS = EVERY_MS / TICK_MS;

interface Stream {
  readonly response: ServerResponse;
  sent: number;
}

const frame = (choices: readonly object[], more: object = {}) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'bench', choices, ...more })}\n\n`;
const [before, after] = frame([{ index: 0, delta: { content: '@' }, finish_reason: null }]).split('@');
const content = () => Buffer.from(`${before}${monotonicUs()} ${after}`);
const tail = Buffer.from(
  frame([{ index: 0, delta: {}, finish_reason: 'stop' }]) +
    frame([], { usage: { prompt_tokens: 40, completion_tokens: FRAMES, total_tokens: 40 + FRAMES } }) +
    'data: [DONE]\n\n',
);

const slots = Array.from({ length: SLOTS }, () => new Set<Stream>());
const start = performance.now();
let ticks = 0;
setInterval(() => {
  for (const due = Math.floor((performance.now() - start) / TICK_MS); ticks < due; ticks++) {
    const slot = slots[ticks % SLOTS]!;
    const now = content();
    for (const stream of slot) {
      if (stream.sent++ < FRAMES) {
        stream.response.write(now);
        continue;
      }
      slot.delete(stream);
      stream.response.end(tail);
    }
  }
}, TICK_MS);

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(content());
    const stream: Stream = { response, sent: 1 };
    // The tick that ran last: the next one of its slot is EVERY_MS after it.
    const slot = slots[(ticks + SLOTS - 1) % SLOTS]!;
    slot.add(stream);
    response.once('close', () => slot.delete(stream));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
});
process.once('disconnect', () => process.exit(0));
