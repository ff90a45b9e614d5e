/** A model server that costs as little as possible: a fixed completion, or 100 frames of which one leaves every 2 ms. */
import { createServer } from 'node:http';

const FRAMES = 100;
const completion = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'bench',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'word '.repeat(60) }, finish_reason: 'stop' },
    ],
    usage: { prompt_tokens: 40, completion_tokens: 60, total_tokens: 100 },
  }),
);
const frame = (fields: object) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'bench', ...fields })}\n\n`;
const content = Buffer.from(
  frame({ choices: [{ index: 0, delta: { content: 'word ' }, finish_reason: null }] }),
);
const tail = Buffer.from(
  frame({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
    frame({ choices: [], usage: { prompt_tokens: 40, completion_tokens: 100, total_tokens: 140 } }) +
    'data: [DONE]\n\n',
);

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk: string) => (body += chunk));
  request.on('end', () => {
    if (!body.includes('"stream":true')) {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': completion.length });
      response.end(completion);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    const timer = setInterval(() => {
      if (sent++ < FRAMES) {
        response.write(content);
        return;
      }
      clearInterval(timer);
      response.end(tail);
    }, 2);
    response.once('close', () => clearInterval(timer));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
});
process.once('disconnect', () => process.exit(0));
