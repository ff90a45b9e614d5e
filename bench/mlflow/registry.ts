import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { compare } from '../support/load.js';
import type { Row } from '../support/report.js';
import { call, hammer } from './calls.js';
import { residentBytes, type Servers, type Subject } from './servers.js';
import { newExperiment } from './tracking.js';

const API = '/api/2.0/mlflow';
const MIB = 1024 * 1024;

/** Which version is the champion: what a serving endpoint asks at its start. */
export async function versionByAlias(servers: Servers, rounds: number): Promise<Row[]> {
  for (const subject of [servers.catena, servers.mlflow]) {
    await call(subject, 'POST', `${API}/registered-models/create`, { name: 'bench' });
    await call(subject, 'POST', `${API}/model-versions/create`, {
      name: 'bench',
      source: 's3://bucket/model',
    });
    await call(subject, 'POST', `${API}/registered-models/alias`, {
      name: 'bench',
      alias: 'champion',
      version: '1',
    });
  }
  const path = `${API}/registered-models/alias?name=bench&alias=champion`;
  const rate = async (subject: Subject) => (await hammer(8, 4, () => call(subject, 'GET', path))).perSecond;
  const { subject, reference, ratio } = await compare(
    rounds,
    () => rate(servers.catena),
    () => rate(servers.mlflow),
  );
  return [
    {
      what: 'get a model version by alias, 8 clients',
      reference: "MLflow's server",
      measured: `${subject.toFixed(0)} against ${reference.toFixed(0)} calls/s`,
      ratio,
      reach: '≥ 40×',
      reached: ratio >= 40,
    },
  ];
}

/** 500 MiB up and down through the server; memory on the way. */
export async function largeArtifact(servers: Servers, rounds: number): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'catena-bench-artifact-'));
  try {
    const path = join(directory, 'large.bin');
    await pipeline(randomMebibytes(500), createWriteStream(path));
    const experiments = await newExperiment(servers, 'artifacts');
    let grew = 0;
    const seconds = async (subject: Subject) => {
      const experiment = experiments[subject === servers.catena ? 0 : 1];
      const { run } = await call<{ run: { info: { artifact_uri: string } } }>(
        subject,
        'POST',
        `${API}/runs/create`,
        {
          experiment_id: experiment,
        },
      );
      const root = run.info.artifact_uri.replace(/^mlflow-artifacts:\/*/, '');
      const target = `/api/2.0/mlflow-artifacts/artifacts/${root}/large.bin`;
      const idle = await residentBytes(subject.pid);
      let peak = idle;
      const watch = setInterval(() => {
        void residentBytes(subject.pid).then((now) => (peak = Math.max(peak, now)));
      }, 200);
      const began = performance.now();
      await transfer(subject, 'PUT', target, path);
      await transfer(subject, 'GET', target, path);
      const elapsed = (performance.now() - began) / 1000;
      clearInterval(watch);
      if (subject === servers.catena) grew = Math.max(grew, peak - idle);
      return elapsed;
    };
    const { subject, reference, ratio } = await compare(
      rounds,
      () => seconds(servers.catena),
      () => seconds(servers.mlflow),
    );
    return [
      {
        what: '500 MiB artifact up and down through the server',
        reference: "MLflow's server",
        measured: `${subject.toFixed(1)} against ${reference.toFixed(1)} s; memory grew by ${(grew / MIB).toFixed(0)} MiB`,
        ratio: 1 / ratio,
        reach: '≥ 3×, memory flat',
        reached: 1 / ratio >= 3 && grew < 100 * MIB,
      },
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function transfer(
  subject: Subject,
  method: 'PUT' | 'GET',
  target: string,
  path: string,
): Promise<void> {
  const { statusCode, body } = await subject.pool.request({
    method,
    path: target,
    ...(method === 'PUT'
      ? { body: createReadStream(path), headers: { 'content-length': String(500 * MIB) } }
      : {}),
  });
  let received = 0;
  for await (const chunk of body) received += (chunk as Buffer).length;
  if (statusCode !== 200 || (method === 'GET' && received !== 500 * MIB))
    throw new Error(`${subject.name}: ${method} ${target}: ${statusCode}, ${received} bytes`);
}

function* randomMebibytes(count: number): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield randomBytes(MIB);
}

/** Resident memory of each server with all its processes, before the first request. */
export async function idleMemory({ catena, mlflow }: Servers): Promise<Row[]> {
  const [ours, theirs] = [await residentBytes(catena.pid), await residentBytes(mlflow.pid)];
  return [
    {
      what: 'resident memory, idle',
      reference: "MLflow's server, all its workers",
      measured: `${(ours / MIB).toFixed(0)} against ${(theirs / MIB).toFixed(0)} MiB`,
      ratio: ours / theirs,
      reach: '≤ 0.1×',
      reached: ours / theirs <= 0.1,
    },
  ];
}
