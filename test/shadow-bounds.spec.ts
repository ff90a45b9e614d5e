import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually, startTestGateway, temporaryDirectory, type TestGateway } from './support/gateway.js';

const ALL = 10_000;
const MIB = 1024 * 1024;

describe('where shadows end', () => {
  let stack: ChatStack;
  beforeAll(async () => (stack = await startChatStack()));
  afterAll(() => stack.close());

  const post = (url: string, path: string, body: object) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const dropped = async (gateway: TestGateway): Promise<string | undefined> =>
    /^catena_shadows_dropped_total\{.*$/m.exec((await gateway.get('/metrics')).body)?.[0];

  it('an endpoint that keeps its shadows and has come to embed copies nothing', async () => {
    const { rows, gateway } = stack;
    const [chain, shadow] = [
      await rows.addEmbeddingChain('turned', { embed: { modelEndpoint: 'gpu', model: 'small' } }),
      await rows.addChain('turned-shadow'),
    ];
    await rows.setSplit('turned', [{ name: 'only', weightBps: ALL, chain }], {
      shadows: [{ name: 'left', sampleBps: ALL, chain: shadow }],
    });
    await eventually(async () => (await gateway.get('/v1/models/turned')).status === 200);
    const answer = await post(gateway.url, '/v1/embeddings', { model: 'turned', input: 'Hi' });
    expect(answer.status).toBe(200);
    const id = answer.headers.get('x-catena-inference-id');
    expect((await stack.row(id)).status).toBe('ok');
    await sleep(50);
    expect([await gateway.metric('catena_shadows_sent_total'), await dropped(gateway)]).toEqual([
      0,
      undefined,
    ]);
  });

  it('rows of copies leave half of the spool to requests, while the database is away', async () => {
    const { rows, database } = stack;
    const chain = await rows.addChain('main');
    await rows.setSplit('main', [{ name: 'only', weightBps: ALL, chain }], {
      shadows: [{ name: 'next', sampleBps: ALL, chain: await rows.addChain('main-shadow') }],
    });
    const dataDir = await temporaryDirectory();
    const first = await startTestGateway(database.url, { dataDir });
    await eventually(async () => (await first.get('/v1/models/main')).status === 200);
    await first.close();
    const settings = { CATENA_SPOOL_MAX_BYTES: String(MIB) };
    const away = await startTestGateway('postgres://nobody@127.0.0.1:1/none', { dataDir, settings });
    try {
      const body = { ...say('x'.repeat(40_000)), model: 'main', max_tokens: 1 };
      let answered = 0;
      for (; answered < 40; answered++) {
        const answer = await post(away.url, '/v1/chat/completions', body);
        await answer.arrayBuffer();
        if (answer.status !== 200) break;
        await eventually(async () => (await away.metric('catena_shadows_in_flight')) === 0);
      }
      const sent = await away.metric('catena_shadows_sent_total');
      expect(sent).toBeGreaterThan(3);
      // Without a half of their own they would have been as many.
      expect(answered).toBeGreaterThan(2 * sent);
      expect(await dropped(away)).toMatch(/reason="spool"/);
    } finally {
      await away.close();
    }
  });
});
