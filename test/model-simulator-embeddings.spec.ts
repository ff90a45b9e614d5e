import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';

describe('embeddings of the simulator', () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await createSimulator({ port: 0, models: ['small'], ttftMs: 1, embeddingDimensions: 32 });
  });
  afterAll(() => simulator.close());

  const post = async (body: object, headers: Record<string, string> = {}, at: Simulator = simulator) => {
    const response = await fetch(`${at.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'small', ...body }),
    });
    const answer: any = await response.json();
    return { status: response.status, answer };
  };
  const vectors = async (body: object, at?: Simulator): Promise<number[][]> =>
    (await post(body, {}, at)).answer.data.map((item: any) => item.embedding);

  it('have length 1, are the same for a text always, and another for another text or seed', async () => {
    const [one, other, again] = await vectors({ input: ['one', 'other', 'one'] });
    expect(Math.hypot(...one!)).toBeCloseTo(1, 6);
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    const seeded = await createSimulator({ port: 0, models: ['small'], embeddingDimensions: 32, seed: 7 });
    expect((await vectors({ input: 'one' }, seeded))[0]).not.toEqual(one);
    await seeded.close();
  });

  it('are the same numbers in base64, and fewer point the same way', async () => {
    const [[floats], [short]] = [
      await vectors({ input: 'one' }),
      await vectors({ input: 'one', dimensions: 8 }),
    ];
    const { answer } = await post({ input: 'one', encoding_format: 'base64' });
    const bytes = Buffer.from(answer.data[0].embedding, 'base64');
    expect(floats!.map((_, at) => bytes.readFloatLE(at * 4))).toEqual(floats);
    expect(short!.length).toBe(8);
    expect(short![1]! / short![0]!).toBeCloseTo(floats![1]! / floats![0]!, 5);
  });

  it('count tokens, also those that come as tokens', async () => {
    const usage = async (input: unknown) => (await post({ input })).answer.usage.prompt_tokens;
    expect([await usage('some words'), await usage([1, 2, 3]), await usage([[1, 2], [3]])]).toEqual([
      2, 3, 3,
    ]);
  });

  it.each([
    ['no input', {}, 'input'],
    ['an empty list', { input: [] }, 'input'],
    ['more dimensions than there are', { input: 'a', dimensions: 33 }, 'dimensions'],
    ['another format', { input: 'a', encoding_format: 'int8' }, 'encoding_format'],
  ])('are refused with %s', async (_, body, param) => {
    const { status, answer } = await post(body);
    expect([status, answer.error.param]).toEqual([400, param]);
  });

  it('fail on demand, by model name or header', async () => {
    expect((await post({ input: 'a', model: 'small:fault=http-503' })).status).toBe(503);
    expect((await post({ input: 'a' }, { 'x-simulator-fault': 'http-429' })).status).toBe(429);
  });
});
