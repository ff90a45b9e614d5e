import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type ClientRequest } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keysIn, newBucketName, sha256, until } from './support/artifacts.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { RegistryProcess } from './support/registry-process.js';

const MIB = 1024 * 1024;
const JSON_BODY = { 'content-type': 'application/json' };

describe('an upload through a registry that is killed', () => {
  let database: TestDatabase;
  let bucket: string;
  let registry: RegistryProcess;
  beforeEach(async () => {
    database = await createTestDatabase();
    bucket = newBucketName();
    registry = await start();
  });
  afterEach(async () => {
    await registry.kill();
    await database.drop();
  });

  const start = () => RegistryProcess.start(database, { S3_BUCKET: bucket });

  async function post(path: string, body: object): Promise<any> {
    const init = { method: 'POST', headers: JSON_BODY, body: JSON.stringify(body) };
    return (await fetch(`${registry.url}${path}`, init)).json();
  }

  /** Where the artifact "model.bin" is written, read, and listed with its owner's others. */
  interface Place {
    readonly content: string;
    readonly list: string;
  }

  async function ofRun(): Promise<Place> {
    const { id } = await post('/api/v1/runs', { name: 'a run' });
    const base = `/api/v1/runs/${id}/artifacts`;
    return { content: `${base}/content?path=model.bin`, list: base };
  }

  async function ofVersion(): Promise<Place> {
    const content = { type: 'text', text: 'Hello' };
    await post('/api/v1/prompts', { name: 'greeting' });
    const { version } = await post('/api/v1/prompts/greeting/versions', { content });
    expect(version).toBe(1);
    const base = '/api/v1/prompts/greeting/versions/1/artifacts';
    return { content: `${base}/content?path=model.bin`, list: base };
  }

  async function ofMlflow(): Promise<Place> {
    const { run } = await post('/api/2.0/mlflow/runs/create', { experiment_id: '0' });
    const root = (run.info.artifact_uri as string).replace('mlflow-artifacts:/', '');
    const base = '/api/2.0/mlflow-artifacts/artifacts';
    return { content: `${base}/${root}/model.bin`, list: `${base}?path=${root}` };
  }

  /** Sends the first bytes of a body of 64 MiB, announced or not. */
  async function sendSome(place: Place, announced: boolean, mib: number): Promise<ClientRequest> {
    const request = httpRequest(`${registry.url}${place.content}`, {
      method: 'PUT',
      headers: {
        'content-type': 'application/octet-stream',
        ...(announced ? { 'content-length': 64 * MIB } : { 'transfer-encoding': 'chunked' }),
      },
    });
    request.on('error', () => undefined); // cut by the death of the registry
    for (let sent = 0; sent < mib; sent++)
      if (!request.write(Buffer.alloc(MIB, sent + 1))) await once(request, 'drain');
    return request;
  }

  const count = async (table: 'artifact' | 'blob' | 'artifact_upload' | 'stray_object'): Promise<number> =>
    (await database.client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;

  async function expectNothingVisible({ content, list }: Place): Promise<void> {
    expect((await fetch(`${registry.url}${content}`)).status).toBe(404);
    const listed = await fetch(`${registry.url}${list}`);
    expect([listed.status, await listed.text()]).toEqual([200, expect.not.stringContaining('model.bin')]);
    for (const table of ['artifact', 'blob', 'artifact_upload'] as const) expect(await count(table)).toBe(0);
  }

  async function expectUploadWorks({ content, list }: Place): Promise<void> {
    const bytes = randomBytes(3 * MIB);
    const put = await fetch(`${registry.url}${content}`, { method: 'PUT', body: bytes });
    expect(put.ok).toBe(true);
    const got = await fetch(`${registry.url}${content}`);
    expect(sha256(Buffer.from(await got.arrayBuffer()))).toBe(sha256(bytes));
    expect(await (await fetch(`${registry.url}${list}`)).text()).toContain('model.bin');
  }

  /** The time of what nobody refers to has come when a registry starts: its sweep removes the objects. */
  async function expectSwept(): Promise<void> {
    expect(await count('stray_object')).toBe(1);
    const { rows } = await database.client.query(
      `UPDATE stray_object SET remove_at = now() - interval '1 second' RETURNING key`,
    );
    await registry.kill();
    registry = await start();
    await until(async () => (await count('stray_object')) === 0, 'the stray object is swept');
    const left = await keysIn(bucket);
    expect(left).not.toContain(rows[0].key);
    expect(left).toHaveLength(1); // that of the second upload
  }

  it.each([
    ['a run', ofRun, true],
    ['a run, its length unknown,', ofRun, false],
    ['a version', ofVersion, true],
    ['a run, by the protocol of MLflow,', ofMlflow, true],
  ] as const)('in the middle, to %s leaves nothing, and can be repeated', async (_, owner, announced) => {
    const place = await owner();
    const request = await sendSome(place, announced, 30);
    expect(await count('stray_object')).toBe(1); // else nothing was under way
    await registry.kill();
    request.destroy();
    registry = await start();
    await expectNothingVisible(place);
    await expectUploadWorks(place);
    await expectSwept();
    await expectStillThere(place);
  });

  it('when its bytes are in the store, and not yet an artifact, leaves nothing and can be repeated', async () => {
    const place = await ofVersion();
    // Whoever makes the blob waits here, with everything sent and stored.
    await database.client.query('BEGIN');
    await database.client.query('LOCK TABLE blob IN SHARE MODE');
    const put = fetch(`${registry.url}${place.content}`, { method: 'PUT', body: randomBytes(MIB) });
    const answered = put.catch((error: unknown) => error);
    await until(async () => {
      const { rows } = await database.client.query(
        `SELECT 1 FROM pg_locks WHERE relation = 'blob'::regclass AND NOT granted`,
      );
      return rows.length > 0;
    }, 'the blob is about to be made');
    expect(await keysIn(bucket)).toHaveLength(1);
    await registry.kill();
    expect(await answered).toBeInstanceOf(Error);
    await database.client.query('COMMIT');
    registry = await start();
    await expectNothingVisible(place);
    await expectUploadWorks(place);
    await expectSwept();
    await expectStillThere(place);
  });

  async function expectStillThere({ content }: Place): Promise<void> {
    expect((await fetch(`${registry.url}${content}`)).status).toBe(200);
  }
});
