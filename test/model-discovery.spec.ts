import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const KEY = 'sk-only-for-the-replicas';

describe('the models that replicas serve', () => {
  let registry: TestRegistry;
  let simulators: Simulator[];
  let odd: Server;
  let respond: (response: ServerResponse) => void;
  const seen: string[] = [];
  beforeAll(async () => {
    registry = await startTestRegistry();
    simulators = await Promise.all(
      [['small', 'large'], ['small']].map((models) => createSimulator({ port: 0, models, apiKey: KEY })),
    );
    odd = createServer((request, response) => {
      seen.push(`${request.url} ${request.headers.authorization}`);
      respond(response);
    });
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    odd.closeAllConnections();
    odd.close();
    for (const simulator of simulators) await simulator.close();
    await registry.close();
  });

  let count = 0;
  const oddUrl = () => `http://127.0.0.1:${(odd.address() as AddressInfo).port}/v1`;
  async function discover(baseUrls: readonly string[], fields: object = {}) {
    const name = `pool-${++count}`;
    const { status } = await registry.call('POST', '/model-endpoints', {
      name,
      protocol: 'openai',
      replicas: baseUrls.map((baseUrl) => ({ baseUrl })),
      models: ['small', 'large'],
      credential: KEY,
      ...fields,
    });
    expect(status).toBe(201);
    return registry.call('GET', `/model-endpoints/${name}/discovered-models`);
  }

  it('are listed with the replicas that serve them, and those that some replica lacks', async () => {
    const { status, body } = await discover(
      simulators.map(({ url }) => `${url}/v1`),
      { models: ['small', 'large', 'huge'] },
    );
    expect(status).toBe(200);
    expect(body.models).toMatchObject([
      { id: 'large', replicas: 1, isRegistered: true, parent: null, maxModelLen: 131_072 },
      { id: 'small', replicas: 2, isRegistered: true },
    ]);
    expect(body.missing).toEqual(['large', 'huge']);
    expect(body.replicas).toMatchObject([
      { models: ['small', 'large'], error: null },
      { models: ['small'], error: null },
    ]);
  });

  it('say of each replica why it said nothing, and nothing of the credential', async () => {
    respond = (response) => response.writeHead(302, { location: `${simulators[0]!.url}/v1/models` }).end();
    const answers = [await discover([oddUrl(), 'http://127.0.0.1:9/v1', `${simulators[1]!.url}/v1`])];
    expect(answers[0]!.body.replicas.map(({ error }: { error: string }) => error)).toEqual([
      'it answered 302',
      'it cannot be reached (ECONNREFUSED)',
      null,
    ]);
    expect(answers[0]!.body.missing).toEqual(['large']);
    for (const body of [
      '<html></html>',
      '{"data":7}',
      'null',
      `{"data":[${'{"id":"a"},'.repeat(10_000)}{}]}`,
    ]) {
      respond = (response) => response.end(body);
      const answer = await discover([oddUrl()]);
      expect(answer.body.replicas[0].error).toBe('its answer is no list of models');
      answers.push(answer);
    }
    expect(seen.every((line) => line === `/v1/models Bearer ${KEY}`)).toBe(true);
    expect(JSON.stringify(answers)).not.toContain(KEY);
  });

  it('may be odd: what is no name is left out, adapters name their model', async () => {
    respond = (response) =>
      response.end(
        JSON.stringify({
          data: [
            null,
            7,
            {},
            { id: '' },
            { id: 'x'.repeat(300) },
            { id: 'a' },
            { id: 'a' },
            { id: 'lora', parent: 'a', max_model_len: 'long' },
          ],
        }),
      );
    const { body } = await discover([oddUrl()]);
    expect(body.models).toMatchObject([
      { id: 'a', replicas: 1, isRegistered: false, parent: null },
      { id: 'lora', parent: 'a', maxModelLen: null },
    ]);
  });

  it('are waited for three seconds, and not read for ever', async () => {
    respond = () => undefined;
    const started = performance.now();
    const { body } = await discover([oddUrl()]);
    expect(body.replicas[0].error).toBe('no answer within 3000 ms');
    expect(performance.now() - started).toBeLessThan(6_000);
    respond = (response) => {
      const pour = () => {
        while (response.write('x'.repeat(65_536)));
        response.once('drain', pour);
      };
      pour();
    };
    const flooded = await discover([oddUrl()]);
    expect(flooded.body.replicas[0].error).toMatch(/^its answer is larger than \d+ bytes$/);
  });

  it('are not asked for where there is no such list, or no such model endpoint', async () => {
    const azure = await discover(['https://example.openai.azure.com/openai'], { protocol: 'azure-openai' });
    expect([azure.status, azure.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    const nobody = await registry.call('GET', '/model-endpoints/nobody/discovered-models');
    expect([nobody.status, nobody.body.code]).toEqual([404, 'NOT_FOUND']);
  });
});
