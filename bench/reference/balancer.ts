/**
 * The bare proxy before several upstreams (UPSTREAMS, comma-separated), with one of the two usual ways to choose
 * (POLICY): `round-robin`, or `least-outstanding`, ties in turn.
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';

const replicas = process.env['UPSTREAMS']!.split(',').map((url) => ({
  pool: new Pool(url, { connections: null, pipelining: 1 }),
  outstanding: 0,
}));
const isRoundRobin = process.env['POLICY'] === 'round-robin';
let turn = 0;

function choose(): (typeof replicas)[number] {
  let best = turn % replicas.length;
  if (!isRoundRobin)
    for (let step = 1; step < replicas.length; step++) {
      const index = (turn + step) % replicas.length;
      if (replicas[index]!.outstanding < replicas[best]!.outstanding) best = index;
    }
  turn = best + 1;
  return replicas[best]!;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const replica = choose();
    replica.outstanding++;
    response.once('close', () => replica.outstanding--);
    replica.pool.dispatch(
      {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: ['content-type', 'application/json'],
        body: Buffer.concat(chunks),
      },
      {
        onRequestStart() {},
        onResponseStart(_controller, status, headers) {
          response.writeHead(status, { 'content-type': String(headers['content-type']) });
        },
        onResponseData(_controller, chunk) {
          response.write(chunk);
        },
        onResponseEnd() {
          response.end();
        },
        onResponseError() {
          response.destroy();
        },
      },
    );
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
});
process.once('disconnect', () => process.exit(0));
