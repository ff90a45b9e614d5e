import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import {
  createVersion,
  keysIn,
  knownObjects,
  newBucketName,
  putContent,
  rowsOf,
  sha256,
  until,
} from './support/artifacts.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const MIB = 1024 * 1024;
const bucket = newBucketName();
let registry: TestRegistry;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry({ S3_BUCKET: bucket });
  experiment = (await rpc('POST', 'experiments/create', { name: 'files' })).body.experiment_id;
});
afterAll(() => registry.close());

async function send(method: string, path: string, init: RequestInit = {}) {
  const response = await fetch(`${registry.url}${path}`, { method, ...init });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : undefined,
  };
}

async function rpc(method: string, path: string, body?: object) {
  return send(method, `/api/2.0/mlflow/${path}`, {
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
}

const proxied = (path: string, api = 'api') => `/${api}/2.0/mlflow-artifacts/artifacts${path && `/${path}`}`;
const put = (path: string, body: RequestInit['body'], headers = {}) =>
  send('PUT', proxied(path), { body: body ?? null, headers });
const list = async (path: string) =>
  (await send('GET', `${proxied('')}?path=${encodeURIComponent(path)}`)).body.files as object[];

async function createRun(): Promise<{ id: string; root: string }> {
  const { body } = await rpc('POST', 'runs/create', { experiment_id: experiment });
  const { run_id, artifact_uri } = body.run.info;
  return { id: run_id, root: artifact_uri.replace('mlflow-artifacts:/', '') };
}

describe.each(['api', 'ajax-api'])('the artifact proxy under /%s', (api) => {
  it('takes, lists, gives and deletes files of a run', async () => {
    const { root } = await createRun();
    const bytes = randomBytes(300_000);
    const stored = await send('PUT', proxied(`${root}/dir/a.bin`, api), {
      body: bytes,
      headers: { 'content-type': 'application/x-own' },
    });
    expect([stored.status, stored.body]).toEqual([200, {}]);
    await put(`${root}/dir/b/c.txt`, 'c');
    await put(`${root}/z.txt`, 'zz');
    const listed = await send('GET', `${proxied('', api)}?path=${root}/dir`);
    expect(listed.body).toEqual({
      files: [
        { path: 'a.bin', is_dir: false, file_size: 300_000 },
        { path: 'b', is_dir: true },
      ],
    });
    const got = await fetch(`${registry.url}${proxied(`${root}/dir/a.bin`, api)}`);
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
    expect(Object.fromEntries(got.headers)).toMatchObject({
      'content-length': '300000',
      'content-type': 'application/x-own',
      'content-disposition': 'attachment; filename=a.bin',
      'x-content-type-options': 'nosniff',
    });
    const part = await send('GET', proxied(`${root}/z.txt`, api), { headers: { range: 'bytes=1-' } });
    expect([part.status, part.text]).toEqual([206, 'z']);
    const head = await send('HEAD', proxied(`${root}/dir/a.bin`, api));
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '300000']);
    const deleted = await send('DELETE', proxied(`${root}/dir`, api));
    expect([deleted.status, deleted.body]).toEqual([200, {}]);
    expect(await list(root)).toEqual([{ path: 'z.txt', is_dir: false, file_size: 2 }]);
    expect((await send('DELETE', proxied(`${root}/`, api))).status).toBe(200);
    expect(await list(root)).toBeUndefined();
  });
});

describe('the artifact proxy', () => {
  it('keeps names of any script, and the newest bytes of a name', async () => {
    const { root } = await createRun();
    for (const text of ['one', 'two'])
      await put(`${root}/${encodeURIComponent('größe 100% (1) 🙂.txt')}`, text);
    expect(await list(root)).toEqual([{ path: 'größe 100% (1) 🙂.txt', is_dir: false, file_size: 3 }]);
    const got = await send('GET', proxied(`${root}/${encodeURIComponent('größe 100% (1) 🙂.txt')}`));
    expect(got.text).toBe('two');
  });

  it.each([
    ['a.txt', undefined, 'text/plain'],
    ['c.png', undefined, 'image/png'],
    ['MLmodel', undefined, 'text/plain'],
    ['weights.pkl', undefined, 'application/octet-stream'],
    ['a.txt', 'application/x-mine', 'application/x-mine'],
  ])('answers the type of %s sent as %s: %s', async (name, said, type) => {
    const { id, root } = await createRun();
    // `fetch` says the type of a text itself.
    await put(`${root}/${name}`, Buffer.from('x'), said === undefined ? {} : { 'content-type': said });
    for (const path of [proxied(`${root}/${name}`), `/get-artifact?run_id=${id}&path=${name}`]) {
      const { headers } = await send('GET', path);
      expect([headers.get('content-type'), headers.get('x-content-type-options')]).toEqual([type, 'nosniff']);
    }
  });

  it('finds runs by either spelling of their id, whatever stands before it', async () => {
    const { id, root } = await createRun();
    await put(`${root}/a`, 'a');
    const hyphenated = id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    for (const path of [`${experiment}/${hyphenated}`, `some/other/root/${id}`, id.toUpperCase()])
      expect((await send('GET', proxied(`${path}/artifacts/a`))).text).toBe('a');
  });

  it('keeps files that no run owns for the workspace', async () => {
    await put('shared/a.txt', 'a');
    await put('shared/b/c.txt', 'cc');
    expect(await list('shared')).toEqual([
      { path: 'a.txt', is_dir: false, file_size: 1 },
      { path: 'b', is_dir: true },
    ]);
    expect(await list('')).toEqual([{ path: 'shared', is_dir: true }]);
    expect((await send('GET', proxied('shared/b/c.txt'))).text).toBe('cc');
    expect((await send('DELETE', proxied('shared'))).status).toBe(200);
    expect((await send('GET', proxied('shared/a.txt'))).status).toBe(404);
    expect(await list('shared')).toBeUndefined();
  });

  /** By a run of an experiment whose location is the directory. */
  async function uploadInside(root: string) {
    const location = { name: `inside ${root}`, artifact_location: `mlflow-artifacts:/${root}` };
    const { experiment_id } = (await rpc('POST', 'experiments/create', location)).body;
    const { run_id } = (await rpc('POST', 'runs/create', { experiment_id })).body.run.info;
    const path = `/ajax-api/2.0/mlflow/upload-artifact?run_uuid=${run_id}&path=more`;
    return send('POST', path, { body: 'x' });
  }

  it('reads artifacts of versions, and never changes them', async () => {
    const base = await createVersion(registry, 'model', 'routed');
    await putContent(registry, base, 'model/weights', 'w');
    const { rows } = await registry.database.client.query(
      `SELECT v.id FROM version v JOIN entry e ON e.id = v.entry_id WHERE e.name = 'routed'`,
    );
    const root = `versions/${rows[0].id}`;
    expect(await list(`${root}/model`)).toEqual([{ path: 'weights', is_dir: false, file_size: 1 }]);
    expect((await send('GET', proxied(`${root}/model/weights`))).text).toBe('w');
    const named = await send('GET', '/model-versions/get-artifact?name=routed&version=1&path=model/weights');
    expect(named.text).toBe('w');
    for (const answer of [
      await put(`${root}/model/weights`, 'other'),
      await put(`${root}/model/more`, 'x'),
      await uploadInside(root),
      await send('DELETE', proxied(`${root}/model`)),
      await send('POST', `/api/2.0/mlflow-artifacts/mpu/create/${root}`, {
        body: JSON.stringify({ path: 'weights', num_parts: 1 }),
        headers: { 'content-type': 'application/json' },
      }),
    ])
      expect([answer.status, answer.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it('begins no multipart upload for a page of another origin, which a browser lets send text only', async () => {
    const { status, body } = await send('POST', '/api/2.0/mlflow-artifacts/mpu/create/any', {
      body: JSON.stringify({ path: 'x', num_parts: 1 }),
      headers: { 'content-type': 'text/plain' },
    });
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it.each([
    ['GET', '../secret'],
    ['GET', '%2e%2e/secret'],
    ['GET', '%2e%2e%2fsecret'],
    ['GET', 'a/%252e%252e/b'],
    ['GET', 'a/..%5cb'],
    ['GET', '/etc/passwd'],
    ['GET', '%2Fetc%2Fpasswd'],
    ['GET', 'C:%5Cwindows'],
    ['GET', 'a%00b'],
    ['GET', 'a%0Ab'],
    ['GET', 'a//b'],
    ['GET', '%E0%A4%A'],
    ['GET', `${'a/'.repeat(300)}b`],
    ['PUT', '%2e%2e/x'],
    ['PUT', 'dir/'],
    ['PUT', 'a%00b'],
    ['DELETE', '%2e%2e'],
    ['DELETE', '%2e'],
    ['DELETE', '/'],
  ])('answers %s of a path that leads elsewhere (%s) with 400', async (method, path) => {
    const { root } = await createRun();
    for (const prefix of ['', `${root}/`]) {
      const target = `${proxied('')}/${prefix}${path}`;
      if (method === 'DELETE' && prefix !== '' && path === '/') continue; // a slash too many after the root
      const status = await rawStatus(method, target);
      expect([target, status]).toEqual([target, 400]);
    }
    const listed = await send('GET', `${proxied('')}?path=${path.replaceAll('+', '%2B')}`);
    // Queries are decoded leniently: what is not UTF-8 becomes a name that nobody has.
    if (!path.endsWith('/') && path !== '%E0%A4%A') expect(listed.status).toBe(400);
  });

  /** Sends the path as it is: `fetch` would resolve dots. */
  async function rawStatus(method: string, path: string): Promise<number> {
    const url = new URL(registry.url);
    const request = httpRequest({ host: url.hostname, port: url.port, method, path });
    request.end(method === 'PUT' ? 'x' : undefined);
    const [response] = await once(request, 'response');
    response.resume();
    return response.statusCode;
  }

  it('refuses a path of slashes at once, however long it is', async () => {
    const path = `a${'/'.repeat(200_000)}b`;
    const began = performance.now();
    const { status } = await rpc('POST', 'artifacts/presigned-download-url', { run_id: 'x', path });
    expect([status, performance.now() - began < 1_000]).toEqual([400, true]);
  });

  it('answers 404 as MLflow does where there is nothing', async () => {
    const { root } = await createRun();
    const missing = '0123456789abcdef0123456789abcdef';
    for (const path of [`${root}/nothing`, `0/${missing}/artifacts/a`, `0/models/m-${missing}/artifacts/a`]) {
      const got = await send('GET', proxied(path));
      expect([got.status, got.body.error_code]).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
      expect((await send('DELETE', proxied(path))).status).toBe(404);
      expect(await list(path)).toBeUndefined();
    }
    expect((await put(`0/${missing}/artifacts/a`, 'a')).status).toBe(404);
    expect((await put(`0/traces/tr-${missing}/artifacts/a`, 'a')).status).toBe(404);
  });

  it('shows nothing of an upload that is cut half way, and keeps nothing of it', async () => {
    const { root } = await createRun();
    const url = new URL(`${registry.url}${proxied(`${root}/cut`)}`);
    const request = httpRequest(url, { method: 'PUT', headers: { 'content-length': 5 * 1024 * MIB } });
    request.on('error', () => undefined);
    for (let sent = 0; sent < 30; sent++)
      if (!request.write(Buffer.alloc(MIB, sent))) await once(request, 'drain');
    expect(await rowsOf(registry, 'stray_object')).toHaveLength(1);
    request.destroy();
    await until(
      async () => (await rowsOf(registry, 'stray_object')).length === 0,
      'the upload is cleaned away',
    );
    expect(await list(root)).toBeUndefined();
    expect((await keysIn(bucket)).sort()).toEqual(await knownObjects(registry));
  });

  it('keeps workspaces apart', async () => {
    await registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ('00000000-0000-7000-8000-00000000000b', 'other', now())
       ON CONFLICT DO NOTHING`,
    );
    const { root } = await createRun();
    await put(`${root}/a`, 'a');
    await put('loose/a', 'a');
    for (const path of [`${root}/a`, 'loose/a']) {
      const got = await send('GET', proxied(path), { headers: { 'x-mlflow-workspace': 'other' } });
      expect(got.status).toBe(404);
    }
    expect(
      (await send('GET', proxied('loose/a'), { headers: { 'x-mlflow-workspace': 'none' } })).status,
    ).toBe(404);
  });
});

describe('files of another workspace', () => {
  const other = { 'x-mlflow-workspace': 'apart' };
  const otherId = '00000000-0000-7000-8000-00000000000c';
  const query = async (sql: string, values: unknown[] = []) =>
    (await registry.database.client.query(sql, values)).rows;
  const everything = () => query('SELECT * FROM artifact ORDER BY id');
  beforeAll(() =>
    query(`INSERT INTO workspace (id, name, created_at) VALUES ($1, 'apart', now())`, [otherId]),
  );

  it.each([
    ['a run', async () => (await createRun()).root],
    [
      'a logged model',
      async () => {
        const { body } = await rpc('POST', 'logged-models', { experiment_id: experiment, name: 'm' });
        return body.model.info.artifact_uri.replace('mlflow-artifacts:/', '');
      },
    ],
    [
      'a trace',
      async () => {
        await query(
          `INSERT INTO trace (id, workspace_id, trace_id, experiment, time_ms, state, metadata, tags, finalized, created_at)
           SELECT gen_random_uuid(), workspace_id, 'tr-apart', serial, 0, 'OK', '{}', '{}', true, now()
             FROM experiment WHERE number = $1`,
          [experiment],
        );
        return `${experiment}/traces/tr-apart/artifacts`;
      },
    ],
  ])('of %s are neither read, nor written, nor deleted', async (_, make) => {
    const root = await make();
    expect((await put(`${root}/a`, 'a')).status).toBe(200);
    const before = await everything();
    const json = { 'content-type': 'application/json', ...other };
    const begin = JSON.stringify({ path: 'b', num_parts: 1 });
    for (const [method, path, init] of [
      ['GET', proxied(`${root}/a`), { headers: other }],
      ['PUT', proxied(`${root}/a`), { headers: other, body: 'theirs' }],
      ['PUT', proxied(`${root}/b`), { headers: other, body: 'theirs' }],
      ['DELETE', proxied(`${root}/a`), { headers: other }],
      ['DELETE', proxied(root), { headers: other }],
      ['GET', `/api/2.0/mlflow-artifacts/presigned/${root}/a`, { headers: other }],
      ['POST', `/api/2.0/mlflow-artifacts/mpu/create/${root}`, { headers: json, body: begin }],
    ] as [string, string, RequestInit][])
      expect([method, path, (await send(method, path, init)).status]).toEqual([method, path, 404]);
    const listed = await send('GET', `${proxied('')}?path=${root}`, { headers: other });
    expect([listed.status, listed.body]).toEqual([200, {}]);
    expect(await everything()).toEqual(before);
    expect(await rowsOf(registry, 'artifact_upload')).toEqual([]);
  });

  it('of a version are not added to by its name', async () => {
    await query(
      `INSERT INTO entry (id, workspace_id, kind, name, tags, latest_version, created_at, created_by, updated_at)
       VALUES (gen_random_uuid(), $1, 'model', 'apart', '{}', 1, now(), 'test', now())`,
      [otherId],
    );
    const [{ id }] = await query(
      `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
       SELECT gen_random_uuid(), workspace_id, id, 1, 'sha256:' || encode(sha256('{}'), 'hex'), '{}', now(), 'test'
         FROM entry WHERE name = 'apart' RETURNING id`,
    );
    const base = '/models/apart/versions/1/artifacts';
    expect((await putContent(registry, base, 'x', 'x')).status).toBe(404);
    expect((await registry.call('GET', base)).status).toBe(404);
    expect((await send('GET', proxied(`versions/${id}/x`))).status).toBe(404);
    expect(await query('SELECT FROM artifact WHERE version_id = $1', [id])).toEqual([]);
  });
});

describe('a multipart upload', () => {
  const post = (operation: string, directory: string, body: object) =>
    send('POST', `/api/2.0/mlflow-artifacts/mpu/${operation}/${directory}`, {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });

  it('is sent straight to the store, and read by a presigned URL', async () => {
    const { root } = await createRun();
    const bytes = randomBytes(12 * MIB);
    const begun = await post('create', `${root}/big`, { path: '/home/ana/weights.bin', num_parts: 3 });
    expect(begun.status).toBe(200);
    expect(begun.body.credentials.map((part: any) => part.part_number)).toEqual([1, 2, 3]);
    const parts = [];
    for (const { url, part_number } of begun.body.credentials) {
      const part = bytes.subarray((part_number - 1) * 5 * MIB, part_number * 5 * MIB);
      const stored = await fetch(url, { method: 'PUT', body: part });
      parts.push({ part_number, etag: stored.headers.get('etag'), url });
    }
    const given = {
      path: '/home/ana/weights.bin',
      upload_id: begun.body.upload_id,
      parts: parts.toReversed(),
    };
    expect(await list(`${root}/big`)).toBeUndefined();
    const [done, again] = await Promise.all([
      post('complete', `${root}/big`, given),
      post('complete', `${root}/big`, given),
    ]);
    expect([done.status, done.body, again.status]).toEqual([200, {}, 200]);
    expect(await list(`${root}/big`)).toEqual([{ path: 'weights.bin', is_dir: false, file_size: 12 * MIB }]);
    const presigned = await send('GET', `/api/2.0/mlflow-artifacts/presigned/${root}/big/weights.bin`);
    expect(presigned.body).toMatchObject({ file_size: 12 * MIB });
    const got = Buffer.from(await (await fetch(presigned.body.url)).arrayBuffer());
    expect(sha256(got)).toBe(sha256(bytes));
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
  });

  it('can be aborted, and is refused without its parts', async () => {
    const { root } = await createRun();
    const begun = await post('create', root, { path: 'x', num_parts: 1 });
    const given = { path: 'x', upload_id: begun.body.upload_id };
    const early = await post('complete', root, { ...given, parts: [{ part_number: 1, etag: 'abc' }] });
    expect([early.status, early.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect((await post('abort', `${root}/other`, given)).status).toBe(404);
    expect((await post('abort', root, given)).status).toBe(200);
    expect((await post('abort', root, given)).status).toBe(404);
    for (const bad of [
      {},
      { path: 'x', num_parts: 0 },
      { path: 'x', num_parts: 10_001 },
      { path: '..', num_parts: 1 },
    ])
      expect((await post('create', root, bad)).status).toBe(400);
    expect(await rowsOf(registry, 'artifact_upload')).toEqual([]);
  });
});

describe('artifacts by the id of the run', () => {
  it('are listed with their paths, and downloaded', async () => {
    const { id, root } = await createRun();
    await put(`${root}/dir/a`, 'aaa');
    const top = await rpc('GET', `artifacts/list?run_id=${id}`);
    expect(top.body).toEqual({
      root_uri: `mlflow-artifacts:/${root}`,
      files: [{ path: 'dir', is_dir: true }],
    });
    const inside = await rpc('GET', `artifacts/list?run_uuid=${id}&path=dir`);
    expect(inside.body.files).toEqual([{ path: 'dir/a', is_dir: false, file_size: 3 }]);
    expect((await send('GET', `/get-artifact?run_uuid=${id}&path=dir/a`)).text).toBe('aaa');
    const up = await send('POST', `/ajax-api/2.0/mlflow/upload-artifact?run_uuid=${id}&path=new/b`, {
      body: 'bb',
    });
    expect(up.status).toBe(200);
    expect((await send('GET', `/get-artifact?run_id=${id}&path=new/b`)).text).toBe('bb');
  });

  it('are refused where the request is bad', async () => {
    const { id } = await createRun();
    expect((await rpc('GET', 'artifacts/list')).body.error_code).toBe('INVALID_PARAMETER_VALUE');
    expect((await rpc('GET', `artifacts/list?run_id=${'0'.repeat(32)}`)).status).toBe(404);
    for (const path of ['..', '/etc', 'a/../b', '%252e%252e']) {
      expect((await rpc('GET', `artifacts/list?run_id=${id}&path=${path}`)).status).toBe(400);
      expect((await send('GET', `/get-artifact?run_uuid=${id}&path=${path}`)).status).toBe(400);
    }
    for (const slashes of ['/', '//']) {
      const path = `${slashes}model-versions/get-artifact?name=nobody&version=1&path=../x`;
      const answer = await send('GET', path);
      expect([answer.status, answer.body.message]).toEqual([400, 'Invalid path']);
    }
    const large = await send('POST', `/ajax-api/2.0/mlflow/upload-artifact?run_uuid=${id}&path=x`, {
      body: Buffer.alloc(10 * MIB + 1),
    });
    expect([large.status, large.body.message]).toEqual([
      400,
      'Artifact size is too large. Max size is 10MB.',
    ]);
    const signed = await rpc('POST', 'artifacts/presigned-upload-url', { run_id: id, path: 'x' });
    expect([signed.status, signed.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it('are looked up in S3 where the experiment keeps them there', async () => {
    const own = newBucketName();
    const s3 = new S3Client({
      endpoint: inject('s3Endpoint'),
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    });
    await s3.send(new CreateBucketCommand({ Bucket: own }));
    const created = await rpc('POST', 'experiments/create', {
      name: 'own',
      artifact_location: `s3://${own}/exp`,
    });
    const { body } = await rpc('POST', 'runs/create', { experiment_id: created.body.experiment_id });
    const { run_id, artifact_uri } = body.run.info;
    expect(artifact_uri).toBe(`s3://${own}/exp/${run_id}/artifacts`);
    for (const name of ['a.txt', 'dir/b.txt', 'dir/c/d.txt'])
      await s3.send(
        new PutObjectCommand({ Bucket: own, Key: `exp/${run_id}/artifacts/${name}`, Body: name }),
      );
    s3.destroy();
    const top = await rpc('GET', `artifacts/list?run_id=${run_id}`);
    expect(top.body.files).toEqual([
      { path: 'a.txt', is_dir: false, file_size: 5 },
      { path: 'dir', is_dir: true },
    ]);
    const inside = await rpc('GET', `artifacts/list?run_id=${run_id}&path=dir`);
    expect(inside.body.files.map((file: any) => file.path)).toEqual(['dir/b.txt', 'dir/c']);
    const got = await send('GET', `/get-artifact?run_uuid=${run_id}&path=dir/b.txt`);
    expect([got.status, got.text]).toEqual([200, 'dir/b.txt']);
    expect((await send('GET', `/get-artifact?run_uuid=${run_id}&path=nope`)).status).toBe(404);
  });

  it.each([
    ['s3://no-such-bucket-here/x', /may not read s3:\/\/no-such-bucket-here/],
    ['gs://elsewhere/x', /which this server cannot read/],
    [`s3://${bucket}/workspaces`, /keeps its own artifacts/],
    [`s3://${bucket}`, /keeps its own artifacts|may not/],
  ])('that lie at %s are refused clearly', async (location, said) => {
    const created = await rpc('POST', 'experiments/create', {
      name: createHash('md5').update(location).digest('hex'),
      artifact_location: location,
    });
    const { body } = await rpc('POST', 'runs/create', { experiment_id: created.body.experiment_id });
    const { run_id } = body.run.info;
    const listed = await rpc('GET', `artifacts/list?run_id=${run_id}`);
    if (location === `s3://${bucket}`) {
      expect(listed.status).toBe(200); // below its own runs there is nothing of ours
      return;
    }
    expect([listed.status, listed.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(listed.body.message).toMatch(said);
  });
});
