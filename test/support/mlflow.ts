import type { TestRegistry } from './registry.js';

export interface MlflowAnswer<T = any> {
  readonly status: number;
  readonly body: T;
  readonly headers: Headers;
}

export interface MlflowCalls {
  /** Sends JSON below `/api/2.0/mlflow`. */
  post<T = any>(path: string, body: unknown, headers?: Record<string, string>): Promise<MlflowAnswer<T>>;
  /** Asks below `/api/2.0/mlflow`; lists become repeated keys. */
  get<T = any>(path: string, query?: Record<string, unknown>): Promise<MlflowAnswer<T>>;
  /** Anything, from the root; the body is sent as it is. */
  raw(
    method: string,
    path: string,
    body?: string | Buffer,
    headers?: Record<string, string>,
  ): Promise<MlflowAnswer>;
  experiment(name?: string): Promise<string>;
  run(experimentId: string, fields?: object): Promise<string>;
}

/** Speaks MLflow's protocol to a registry as its clients do. */
export function mlflowCalls(registry: Pick<TestRegistry, 'url'>): MlflowCalls {
  const raw: MlflowCalls['raw'] = async (method, path, body, headers = {}) => {
    const response = await fetch(registry.url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };
  const post: MlflowCalls['post'] = (path, body, headers = {}) =>
    raw('POST', `/api/2.0/mlflow${path}`, JSON.stringify(body), {
      'content-type': 'application/json',
      ...headers,
    });
  const get: MlflowCalls['get'] = (path, query = {}) => {
    const pairs = Object.entries(query).flatMap(([key, value]) =>
      [value].flat().map((one) => [key, String(one)] as [string, string]),
    );
    return raw('GET', `/api/2.0/mlflow${path}?${new URLSearchParams(pairs)}`);
  };
  let made = 0;
  return {
    raw,
    post,
    get,
    async experiment(name = `experiment ${++made} ${Date.now()}`) {
      return (await post('/experiments/create', { name })).body.experiment_id;
    },
    async run(experiment_id, fields = {}) {
      const { body } = await post('/runs/create', { experiment_id, start_time: Date.now(), ...fields });
      return body.run.info.run_id;
    },
  };
}
