import { compare } from '../support/load.js';
import type { Row } from '../support/report.js';
import { call, hammer } from './calls.js';
import { residentBytes, type Servers, type Subject } from './servers.js';

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
  const rate = async (subject: Subject, seconds = 4) =>
    (await hammer(8, seconds, () => call(subject, 'GET', path))).perSecond;
  // Neither is measured while it compiles.
  for (const subject of [servers.catena, servers.mlflow]) await rate(subject, 3);
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
