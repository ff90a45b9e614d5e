import Anthropic from '@anthropic-ai/sdk';
import { afterEach, describe, expect, it } from 'vitest';
import type { SimulatorOptions } from '../apps/model-simulator/src/options.js';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';

const ASK = {
  model: 'sim-small',
  max_tokens: 100,
  messages: [{ role: 'user' as const, content: 'Where is my parcel?' }],
};
const TOOL = {
  name: 'weather',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
};

/** The simulated replica itself, without a gateway before it. */
describe('the simulator as a server of Anthropic’s messages', () => {
  let simulator: Simulator;
  async function start(options: Partial<SimulatorOptions> = {}): Promise<Anthropic> {
    simulator = await createSimulator({ port: 0, ttftMs: 5, tokensPerSecond: 2000, jitter: 0, ...options });
    return new Anthropic({ baseURL: simulator.url, apiKey: 'sim-key', maxRetries: 0 });
  }
  afterEach(() => simulator.close());

  it('answers the official client the same, streamed or not', async () => {
    const client = await start({ apiKey: 'sim-key' });
    const whole = await client.messages.create({ ...ASK, system: 'Be kind.' });
    expect(whole).toMatchObject({ content: [{ type: 'text' }], stop_reason: 'end_turn' });
    const streamed = await client.messages.stream({ ...ASK, system: 'Be kind.' }).finalMessage();
    expect(streamed).toMatchObject({
      stop_reason: 'end_turn',
      content: [{ type: 'text', text: (whole.content[0] as Anthropic.TextBlock).text }],
      usage: { input_tokens: whole.usage.input_tokens, output_tokens: whole.usage.output_tokens },
    });
  });

  it('calls the tool a request insists on, with arguments its schema allows', async () => {
    const client = await start();
    const ask = { ...ASK, tools: [TOOL], tool_choice: { type: 'any' as const } };
    const called = { type: 'tool_use', name: 'weather', input: { city: expect.any(String) } };
    expect(await client.messages.create(ask)).toMatchObject({ content: [called], stop_reason: 'tool_use' });
    expect(await client.messages.stream(ask).finalMessage()).toMatchObject({ content: [called] });
    expect((await client.messages.create({ ...ASK, tools: [TOOL] })).stop_reason).toBe('end_turn');
  });

  it.each([
    [{ seed: 3 }, 'seed: Extra inputs are not permitted'],
    [{ max_tokens: undefined }, 'max_tokens: Field required'],
    [{ temperature: 0.5 }, 'temperature: removed in this version'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user', content: [{ type: 'text', text: '' }] }] }, 'must be non-empty'],
  ])('refuses %j as the API would', async (fields, message) => {
    const call = (await start()).messages.create({ ...ASK, ...fields } as never);
    await expect(call).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    await expect(call).rejects.toThrow(message);
  });

  it('refuses another key, and a request without anthropic-version', async () => {
    const client = await start({ apiKey: 'other' });
    await expect(client.messages.create(ASK)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    const bare = await fetch(`${simulator.url}/v1/messages`, { method: 'POST', body: JSON.stringify(ASK) });
    expect(bare.status).toBe(400);
    expect(await bare.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
  });

  it('plays faults in the words of the protocol', async () => {
    const client = await start();
    const faulty = (fault: string) => ({ ...ASK, model: `sim-small:fault=${fault}` });
    const overloaded = client.messages.create(faulty('http-status;status=529'));
    await expect(overloaded).rejects.toMatchObject({
      status: 529,
      error: { error: { type: 'overloaded_error' } },
    });
    const broken = client.messages.stream(faulty('error-frame;after=3'));
    await expect(broken.finalMessage()).rejects.toMatchObject({
      error: { error: { type: 'overloaded_error' } },
    });
  });
});
