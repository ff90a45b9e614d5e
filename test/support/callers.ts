import OpenAI from 'openai';
import { v7 } from 'uuid';
import { createSimulator, type Simulator } from '../../apps/model-simulator/src/simulator.js';
import { eventually, startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.js';
import { startTestRegistry, type TestRegistry } from './registry.js';
import { ServingRows } from './serving-rows.js';

/** Registry, gateways and a simulated replica (`gpu`) over one database, with the endpoints `chat` and `other`. */
export class CallerStack {
  readonly gateways: TestGateway[] = [];

  private constructor(
    readonly registry: TestRegistry,
    readonly simulator: Simulator,
    readonly rows: ServingRows,
  ) {}

  static async start(): Promise<CallerStack> {
    const registry = await startTestRegistry();
    const simulator = await createSimulator({
      port: 0,
      ttftMs: 5,
      tokensPerSecond: 2000,
      jitter: 0,
      models: ['small'],
    });
    const rows = new ServingRows(registry.database.client);
    const stack = new CallerStack(registry, simulator, rows);
    await stack.serve(rows, 'chat');
    await stack.serve(rows, 'other');
    return stack;
  }

  /** Polling is out of the way: what becomes visible did so by notification. */
  async gateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
    const settings = { CATENA_POLL_INTERVAL_MS: '60000', ...options.settings };
    const gateway = await startTestGateway(this.registry.database.url, { ...options, settings });
    this.gateways.push(gateway);
    return gateway;
  }

  async serve(rows: ServingRows, name: string): Promise<void> {
    await rows.setModelEndpoint('gpu', { replicas: [`${this.simulator.url}/v1`] });
    const chain = await rows.addChain(name);
    await rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
  }

  /** Makes a key. @returns its secret. */
  async key(name: string, fields: object = {}): Promise<string> {
    const { status, body } = await this.registry.call('POST', '/api-keys', {
      name,
      actions: ['invoke', 'resolve'],
      ...fields,
    });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return body.secret;
  }

  /** A key of a workspace that the registry's API cannot reach yet: made in the tables. @returns its secret. */
  async keyOf(workspaceId: string, name: string): Promise<string> {
    const secret = await this.key(`${name}-${v7()}`);
    const { client } = this.registry.database;
    await client.query('BEGIN');
    const { rows } = await client.query(
      `UPDATE api_key SET workspace_id = $1 WHERE name LIKE $2 RETURNING id`,
      [workspaceId, `${name}-%`],
    );
    await client.query(`SELECT catena_record_change($1, 'api_key', $2)`, [workspaceId, rows[0].id]);
    await client.query('COMMIT');
    return secret;
  }

  async limit(name: string, fields: object): Promise<void> {
    const { status, body } = await this.registry.call('POST', '/limits', { name, ...fields });
    if (status !== 201) throw new Error(JSON.stringify(body));
  }

  client(gateway: TestGateway, apiKey: string): OpenAI {
    return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  }

  /** Waits until a gateway has heard of all that was changed. */
  async caughtUp(gateway: TestGateway): Promise<void> {
    const { rows } = await this.registry.database.client.query('SELECT seq FROM change_head');
    await eventually(async () => (await gateway.metric('catena_snapshot_seq')) >= Number(rows[0].seq));
  }

  async close(): Promise<void> {
    for (const gateway of this.gateways) await gateway.close();
    await this.simulator.close();
    await this.registry.close();
  }
}
