import { mlflowCalls, type MlflowAnswer, type MlflowCalls } from './mlflow.js';
import type { TestRegistry } from './registry.js';

export const V3 = '/api/3.0/mlflow';
export const JSON_TYPE = { 'content-type': 'application/json' };

export interface TraceCalls extends MlflowCalls {
  /** Sends JSON below `/api/3.0/mlflow`. */
  v3(method: string, path: string, body?: unknown): Promise<MlflowAnswer>;
  /** Sends spans: a buffer as protobuf, anything else as JSON. `to` null: no header that names the experiment. */
  send(
    body: string | Buffer | object,
    headers?: Record<string, string>,
    to?: string | null,
  ): Promise<MlflowAnswer>;
  /** Ids of the traces that a filter finds. @throws Error unless the answer is 200. */
  search(filter: string, to?: string, more?: object): Promise<string[]>;
}

/** Speaks of traces to a registry as clients do; without `to`, of those in `experiment`. */
export function traceCalls(registry: Pick<TestRegistry, 'url'>, experiment: () => string): TraceCalls {
  const calls = mlflowCalls(registry);
  const v3: TraceCalls['v3'] = (method, path, body) =>
    body === undefined
      ? calls.raw(method, V3 + path)
      : calls.raw(method, V3 + path, JSON.stringify(body), JSON_TYPE);
  return {
    ...calls,
    v3,
    send(body, headers = {}, to = experiment()) {
      const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
      return calls.raw('POST', '/v1/traces', isRaw ? body : JSON.stringify(body), {
        'content-type': Buffer.isBuffer(body) ? 'application/x-protobuf' : 'application/json',
        ...(to !== null && { 'x-mlflow-experiment-id': to }),
        ...headers,
      });
    },
    async search(filter, to = experiment(), more = {}) {
      const locations = [{ mlflow_experiment: { experiment_id: to } }];
      const { body, status } = await v3('POST', '/traces/search', { locations, filter, ...more });
      if (status !== 200) throw new Error(`${filter}: ${status} ${JSON.stringify(body)}`);
      return (body.traces ?? []).map((trace: any) => trace.trace_id);
    },
  };
}
