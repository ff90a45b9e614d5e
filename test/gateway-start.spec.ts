import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { GatewayProcess } from './support/gateway-process.js';

describe('a gateway that cannot start', () => {
  let database: TestDatabase;
  let directory: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await mkdtemp(join(tmpdir(), 'catena-start-'));
  });
  afterAll(async () => {
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });

  it('says in one line that its port is taken, and exits with 1', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const start = GatewayProcess.start(database.url, directory, { CATENA_GATEWAY_PORT: String(port) });
    const message = await start.then(
      () => 'started',
      (error: Error) => error.message,
    );
    server.close();
    expect(message).toMatch(/exited with 1: /);
    expect(message).toContain(`another process listens on 127.0.0.1, port ${port}`);
    expect(message).not.toMatch(/\n\s+at /);
    expect(message).not.toContain('"stack"');
  });
});
