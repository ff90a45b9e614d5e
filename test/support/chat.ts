import OpenAI from 'openai';
import { createSimulator, type Simulator } from '../../apps/model-simulator/src/simulator.js';
import type { SimulatorOptions } from '../../apps/model-simulator/src/options.js';
import type { Json } from '../../libs/core/canonical/canonical.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { eventually, startTestGateway, type TestGateway } from './gateway.js';
import { ServingRows } from './serving-rows.js';
import { WHOLE_INFERENCE } from './inferences.js';

export const MODEL_KEY = 'sk-model-endpoint';

export interface ChatStack {
  readonly database: TestDatabase;
  readonly rows: ServingRows;
  readonly simulator: Simulator;
  readonly gateway: TestGateway;
  readonly openai: OpenAI;
  /** An endpoint with one arm over a chain of that name, visible in the gateway when it returns. */
  serve(name: string, content?: { readonly [field: string]: Json }, prompt?: Json): Promise<void>;
  post(body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** The row of an inference, once it is stored. */
  row(id: string | null): Promise<any>;
  close(): Promise<void>;
}

/** Database, simulated replica (`gpu`) and gateway, with the endpoint `chat` that passes messages through. */
export async function startChatStack(
  settings: Record<string, string> = {},
  options: Partial<SimulatorOptions> = {},
): Promise<ChatStack> {
  const database = await createTestDatabase();
  const simulator = await createSimulator({
    port: 0,
    ttftMs: 5,
    tokensPerSecond: 2000,
    jitter: 0,
    models: ['small'],
    apiKey: MODEL_KEY,
    ...options,
  });
  const rows = new ServingRows(database.client);
  await rows.setModelEndpoint('gpu', { replicas: [`${simulator.url}/v1`], credential: MODEL_KEY });
  const serve = async (name: string, content?: { readonly [field: string]: Json }, prompt?: Json) => {
    const chain = await rows.addChain(name, content, prompt);
    await rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
  };
  await serve('chat');
  // Most tests play faults on the one replica, one after the other: a breaker would answer for it.
  const gateway = await startTestGateway(database.url, {
    settings: { CATENA_BREAKER_FAILURES: '0', ...settings },
  });
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'any', maxRetries: 0 });
  return {
    database,
    rows,
    simulator,
    gateway,
    openai,
    async serve(name, content, prompt) {
      await serve(name, content, prompt);
      await eventually(async () => (await gateway.get(`/v1/models/${name}`)).status === 200);
    },
    post: (body, headers = {}) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    async row(id) {
      let found: any;
      await eventually(async () => {
        const result = await database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} WHERE id = $1`, [id]);
        found = result.rows[0];
        return result.rows.length === 1;
      });
      return found;
    },
    async close() {
      await gateway.close();
      await simulator.close();
      await database.drop();
    },
  };
}

export const say = (content: string, more: object = {}) => ({
  model: 'chat',
  messages: [{ role: 'user', content }],
  ...more,
});
