import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { compare, median } from '../support/load.js';
import type { Row } from '../support/report.js';
import { call } from './calls.js';
import { MLFLOW_PREFIX, residentBytes, type Servers, type Subject } from './servers.js';
import { newExperiment } from './tracking.js';

const API = '/api/2.0/mlflow';
const MIB = 1024 * 1024;
const SIZE = 500 * MIB;
/** MLflow's server takes time that grows with the square of an upload's size; nobody waits for the end of it. */
const PATIENCE_MS = 60_000;

/** 500 MiB up and down through the server, both with the same object store behind them; memory on the way. */
export async function largeArtifact(servers: Servers, rounds: number): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'catena-bench-artifact-'));
  try {
    const path = join(directory, 'large.bin');
    await pipeline(randomMebibytes(500), createWriteStream(path));
    const experiments = await newExperiment(servers, 'artifacts');
    const fileOf = async (subject: Subject) => {
      const { run } = await call<{ run: { info: { artifact_uri: string } } }>(
        subject,
        'POST',
        `${API}/runs/create`,
        { experiment_id: experiments[subject === servers.catena ? 0 : 1] },
      );
      return `${run.info.artifact_uri.replace(/^mlflow-artifacts:\/*/, '')}/large.bin`;
    };

    const grown: number[] = [];
    const up: number[] = [];
    let file = '';
    for (let round = 0; round < rounds; round++) {
      file = await fileOf(servers.catena);
      up.push(await watched(servers.catena, grown, () => transfer(servers.catena, 'PUT', file, path)));
    }
    // Where MLflow's upload would put it; its own upload comes last, for it leaves its server busy.
    const theirs = await fileOf(servers.mlflow);
    await new Upload({
      client: new S3Client(servers.s3.config),
      params: {
        Bucket: servers.s3.bucket,
        Key: `${MLFLOW_PREFIX}/${theirs}`,
        Body: createReadStream(path),
      },
    }).done();
    const down = await compare(
      rounds,
      () => watched(servers.catena, grown, () => transfer(servers.catena, 'GET', file, path)),
      () => watched(servers.mlflow, [], () => transfer(servers.mlflow, 'GET', theirs, path)),
    );
    const target = await fileOf(servers.mlflow);
    const theirUp = await watched(servers.mlflow, [], () => transfer(servers.mlflow, 'PUT', target, path));
    const isCut = theirUp >= PATIENCE_MS / 1000;

    const growth = Math.max(...grown);
    const ours = median(up);
    const ratio = (theirUp + down.reference) / (ours + down.subject);
    const seconds = (upward: string, downward: number) => `${upward} + ${downward.toFixed(1)}`;
    return [
      {
        what: '500 MiB artifact up and down through the server',
        reference: "MLflow's server, on the same S3",
        measured:
          `${seconds(ours.toFixed(1), down.subject)} s against ` +
          `${seconds(isCut ? `${theirUp.toFixed(0)} (then cut)` : theirUp.toFixed(1), down.reference)} s; ` +
          `memory grew by ${(growth / MIB).toFixed(0)} MiB`,
        ratio,
        reach: '≥ 3×, memory flat',
        reached: ratio >= 3 && growth < 64 * MIB,
      },
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @returns how long it took, in seconds. @param grown gets by how much the server's memory grew meanwhile, in bytes. */
async function watched(subject: Subject, grown: number[], work: () => Promise<void>): Promise<number> {
  const idle = await residentBytes(subject.pid);
  let peak = idle;
  const watch = setInterval(() => {
    void residentBytes(subject.pid).then((now) => (peak = Math.max(peak, now)));
  }, 200);
  const began = performance.now();
  await work();
  const elapsed = (performance.now() - began) / 1000;
  clearInterval(watch);
  grown.push(peak - idle);
  return elapsed;
}

/** Returns after `PATIENCE_MS` at the latest. */
async function transfer(subject: Subject, method: 'PUT' | 'GET', file: string, path: string): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    const { statusCode, body } = await subject.pool.request({
      method,
      path: `/api/2.0/mlflow-artifacts/artifacts/${file}`,
      signal,
      ...(method === 'PUT'
        ? {
            body: createReadStream(path, { highWaterMark: MIB }),
            headers: { 'content-length': String(SIZE) },
          }
        : {}),
    });
    let received = 0;
    for await (const chunk of body) received += (chunk as Buffer).length;
    if (statusCode !== 200 || (method === 'GET' && received !== SIZE))
      throw new Error(`${subject.name}: ${method} ${file}: ${statusCode}, ${received} bytes`);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function* randomMebibytes(count: number): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield randomBytes(MIB);
}
