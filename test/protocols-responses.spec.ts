import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idOf, startProtocolStack, WEATHER, type ProtocolStack } from './support/protocols.js';

describe('OpenAI’s other protocols', () => {
  let stack: ProtocolStack;
  beforeAll(async () => {
    stack = await startProtocolStack();
  });
  afterAll(() => stack.close());

  describe.each(['openai-like', 'claude'])('POST /v1/completions, answered by %s', (model) => {
    it('serves the official client, streamed or not', async () => {
      const whole = await stack.openai.completions.create({ model, prompt: 'Once upon a time' });
      expect(whole).toMatchObject({
        object: 'text_completion',
        choices: [{ index: 0, finish_reason: 'stop' }],
      });
      expect(whole.choices[0]!.text.length).toBeGreaterThan(10);
      expect(whole.usage!.completion_tokens).toBeGreaterThan(0);
      const stream = await stack.openai.completions.create({
        model,
        prompt: ['Once upon a time'],
        stream: true,
      });
      let text = '';
      for await (const chunk of stream) {
        expect(chunk.object).toBe('text_completion');
        text += chunk.choices[0]!.text;
      }
      expect(text).toBe(whole.choices[0]!.text);
    });
  });

  it.each([
    [{ prompt: ['a', 'b'] }, 'prompt'],
    [{ prompt: [1, 2] }, 'prompt'],
    [{ prompt: 'a', suffix: 'b' }, 'suffix'],
    [{ prompt: 'a', echo: true }, 'echo'],
    [{ prompt: 'a', best_of: 3 }, 'best_of'],
    [{ prompt: 'a', logprobs: true }, 'logprobs'],
  ])('POST /v1/completions refuses %j instead of passing it over', async (fields, param) => {
    const response = await stack.postTo('/v1/completions', { model: 'openai-like', ...fields });
    expect([response.status, ((await response.json()) as any).error.param]).toEqual([400, param]);
  });

  describe.each(['openai-like', 'claude'])('POST /v1/responses, answered by %s', (model) => {
    const ask = { model, instructions: 'Be kind.', input: 'Where is my parcel?' };

    it('serves the official client, streamed or not', async () => {
      const { data: whole, response } = await stack.openai.responses
        .create({ ...ask, max_output_tokens: 100, metadata: { unit: 'user-3' } })
        .withResponse();
      expect(whole).toMatchObject({
        object: 'response',
        status: 'completed',
        max_output_tokens: 100,
        error: null,
      });
      expect(whole.id).toMatch(/^resp_/);
      expect(whole.output_text.length).toBeGreaterThan(10);
      expect(whole.usage!.total_tokens).toBe(whole.usage!.input_tokens + whole.usage!.output_tokens);
      expect((await stack.row(idOf(response))).unit).toBe('user-3');
      const stream = stack.openai.responses.stream(ask);
      let text = '';
      stream.on('response.output_text.delta', ({ delta }) => (text += delta));
      const streamed = await stream.finalResponse();
      expect(text).toBe(whole.output_text);
      expect(streamed).toMatchObject({ status: 'completed', output_text: text, usage: whole.usage });
      expect(await stack.openai.responses.create({ ...ask, max_output_tokens: 2 })).toMatchObject({
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
      });
    });

    it('lets it call tools and takes the results', async () => {
      const tools = [{ type: 'function' as const, name: 'weather', parameters: WEATHER, strict: true }];
      const called = await stack.openai.responses.create({ ...ask, tools, tool_choice: 'required' });
      const [call] = called.output as OpenAI.Responses.ResponseFunctionToolCall[];
      expect(call).toMatchObject({ type: 'function_call', name: 'weather', status: 'completed' });
      expect(JSON.parse(call!.arguments)).toHaveProperty('city');
      const streamed = await stack.openai.responses
        .stream({ ...ask, tools, tool_choice: 'required' })
        .finalResponse();
      expect(streamed.output).toMatchObject([
        { type: 'function_call', name: 'weather', arguments: call!.arguments },
      ]);
      const answer = await stack.openai.responses.create({
        ...ask,
        tools,
        input: [
          { role: 'user', content: [{ type: 'input_text', text: 'Where?' }] },
          call!,
          { type: 'function_call_output', call_id: call!.call_id, output: 'rain' },
        ],
      });
      expect(answer.status).toBe('completed');
      expect(answer.output_text.length).toBeGreaterThan(10);
    });

    it('throws where a stream breaks off', async () => {
      const endpoint = model === 'claude' ? 'claude' : 'gpu';
      const stream = stack.openai.responses.stream({
        ...ask,
        model: await stack.faulty(endpoint, 'cut-mid-stream;after=4'),
      });
      await expect(stream.finalResponse()).rejects.toMatchObject({ code: 'upstream_reset' });
      const events = await stack.openai.responses.create({
        ...ask,
        model: await stack.faulty(endpoint, 'cut-mid-stream;after=4'),
        stream: true,
      });
      await expect(
        (async () => {
          for await (const _ of events);
        })(),
      ).rejects.toMatchObject({ code: 'upstream_reset' });
    });
  });

  it('asks for the schema of POST /v1/responses where the model endpoint expects it', async () => {
    await stack.openai.responses.create({
      model: 'openai-like',
      input: 'Bern',
      reasoning: { effort: 'low' },
      text: { format: { type: 'json_schema', name: 'weather', schema: WEATHER, strict: true } },
    });
    expect(stack.sent().body).toMatchObject({
      reasoning_effort: 'low',
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'weather', schema: WEATHER, strict: true },
      },
    });
  });

  it.each([
    [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ background: true }, 'background'],
    [{ input: 3 }, 'input'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0]'],
    [{ input: [{ role: 'user', content: 3 }] }, 'input[0].content'],
  ])('POST /v1/responses refuses %j in words', async (fields, param) => {
    const response = await stack.postTo('/v1/responses', { model: 'openai-like', input: 'x', ...fields });
    expect([response.status, ((await response.json()) as any).error.param]).toEqual([400, param]);
  });
});
