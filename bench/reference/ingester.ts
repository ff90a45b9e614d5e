/**
 * Makes inference rows as a gateway does, in a process of its own: `POST /?rate=&seconds=` answers when so many rows per
 * second have been spooled for so long and all of them are in PostgreSQL. Without a rate: as many as PostgreSQL takes.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Spooled } from '../support/spooled.js';

/** Rows on their way at most: less than the spool keeps in memory, so that none is read back from the disk. */
const MAX_PENDING = 8_000;
const AT_ONCE = 250;

const { DATABASE_URL, ROWS_ENDPOINT } = process.env;

async function run(rate: number, seconds: number): Promise<{ rows: number; seconds: number }> {
  const spooled = await Spooled.start(DATABASE_URL!, ROWS_ENDPOINT!);
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let rows = 0;
  while (elapsed() < seconds) {
    const due = Math.min(AT_ONCE, Math.floor(elapsed() * rate) - rows);
    if (due <= 0 || spooled.pending > MAX_PENDING) {
      await sleep(2);
      continue;
    }
    await Promise.all(Array.from({ length: due }, () => spooled.add()));
    rows += due;
  }
  await spooled.drained();
  const took = elapsed();
  await spooled.stop();
  return { rows, seconds: took };
}

const server = createServer((request, response) => {
  const query = new URL(request.url!, 'http://ingester').searchParams;
  const rate = query.has('rate') ? Number(query.get('rate')) : Infinity;
  run(rate, Number(query.get('seconds'))).then(
    (result) => response.end(JSON.stringify(result)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
);
process.once('SIGTERM', () => process.exit(0));
