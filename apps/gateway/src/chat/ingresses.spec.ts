import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dataOf, SseSplitter } from '#libs/core/sse/sse-splitter.js';
import { GatewayError } from '../http/gateway-error.js';
import { DONE, sseOf, type CanonicalRequest } from '../providers/canonical.js';
import { readAnswer } from '../providers/openai/openai-answer.js';
import { StreamedAnswer } from '../providers/openai/openai-stream.js';
import { PROVIDERS } from '../providers/providers.js';
import { INGRESSES } from './ingresses.js';

/** Names that transforms look at, so that arbitrary values come to lie where they hurt. */
const NAMES = [
  'model,messages,role,content,type,text,system,tools,tool_choice,function,name,arguments,parameters,input_schema',
  'tool_calls,id,index,input,source,url,data,media_type,image_url,file,file_data,thinking,signature,thinking_blocks',
  'content_blocks,stop,stop_sequences,stream,stream_options,max_tokens,user,metadata,user_id,response_format',
  'json_schema,schema,output_config,format,effort,prompt,logprobs,suffix,input,instructions,item,call_id,output',
  'choices,delta,message,finish_reason,stop_reason,usage,prompt_tokens,prompt_tokens_details,cached_tokens,error',
  'content_block,partial_json,reasoning_content,refusal,top_logprobs,token,logprob,__proto__,constructor',
].flatMap((line) => line.split(','));
const WORDS = [
  'text,image,document,tool_use,tool_result,thinking,redacted_thinking,server_tool_use,function,message,user',
  'assistant,system,tool,developer,auto,any,none,required,json_schema,input_text,function_call,stop,length',
  'message_start,content_block_start,content_block_delta,content_block_stop,message_delta,message_stop,error',
  'text_delta,input_json_delta,thinking_delta,signature_delta,chat,url,base64,{,',
].flatMap((line) => line.split(','));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...WORDS),
    fc.constantFrom(null, true, false, 0, 1, -1, 1e300),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 6, noNullPrototype: true }),
  ),
}));
const object = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 8, noNullPrototype: true });
/** Mostly what belongs there. */
const mostly = <T>(what: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: what }, { weight: 1, arbitrary: value });
const listOf = <T>(what: fc.Arbitrary<T>) => mostly(fc.array(mostly(what), { maxLength: 3 }));
const shaped = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(fields, { requiredKeys: [], noNullPrototype: true });
const one = (words: string) => fc.constantFrom(...words.split(' '));

const called = mostly(shaped({ name: value, arguments: value, parameters: value, description: value }));
const call = shaped({ id: value, index: fc.nat(2), type: value, function: called });
const part = shaped({
  type: one(
    'text image document tool_use tool_result thinking image_url file input_image input_file server_tool_use',
  ),
  text: value,
  source: mostly(shaped({ type: one('base64 url text'), url: value, data: value, media_type: value })),
  image_url: mostly(shaped({ url: value })),
  file: mostly(shaped({ file_data: value, filename: value })),
  content: value,
  thinking: value,
  signature: value,
  input: value,
});
const message = shaped({
  role: one('user assistant system developer tool'),
  type: one('message function_call function_call_output reasoning'),
  content: listOf(part),
  output: listOf(part),
  tool_calls: listOf(call),
  thinking_blocks: listOf(part),
  content_blocks: listOf(part),
  reasoning_content: value,
  refusal: value,
});
const body = shaped({
  messages: listOf(message),
  input: listOf(message),
  system: listOf(part),
  tools: listOf(
    shaped({ type: one('function custom x'), function: called, name: value, input_schema: value }),
  ),
  tool_choice: mostly(shaped({ type: one('auto any tool none function'), name: value, function: called })),
  response_format: mostly(shaped({ type: one('json_schema text'), json_schema: value })),
  output_config: mostly(shaped({ effort: value, format: mostly(shaped({ type: value, schema: value })) })),
  text: mostly(shaped({ format: mostly(shaped({ type: one('json_schema text'), schema: value })) })),
  metadata: mostly(shaped({ user_id: value, unit: value })),
  stop: value,
  stop_sequences: value,
  prompt: value,
  logprobs: value,
  reasoning: value,
  user: value,
});
const logprobs = mostly(
  shaped({ content: listOf(shaped({ token: value, logprob: value, top_logprobs: value })) }),
);
const ending = { index: fc.constantFrom(0, 0, 1), finish_reason: value, stop_reason: value, logprobs };
const choice = shaped({ ...ending, message: mostly(message), delta: mostly(message) });
const usage = mostly(
  shaped({ prompt_tokens: value, prompt_tokens_details: value, completion_tokens_details: value }),
);
const event = shaped({
  type: one(
    'message_start content_block_start content_block_delta content_block_delta content_block_stop message_delta error',
  ),
  index: fc.nat(1),
  message: mostly(shaped({ id: value, model: value, usage: value })),
  content_block: mostly(part),
  content: listOf(part),
  delta: mostly(
    shaped({
      type: one('text_delta input_json_delta thinking_delta signature_delta x'),
      text: value,
      partial_json: value,
      thinking: value,
      stop_reason: value,
    }),
  ),
  usage: value,
  error: value,
});
/** As it comes over the wire, `__proto__` included. */
const wired = <T>(given: T) => JSON.parse(JSON.stringify(given)) as T;
const runs = { numRuns: 250 };

/** Those that ask for chat completions, whatever they call them. */
const CHATS = INGRESSES.filter(({ form }) => !form);

describe.each(CHATS.map((ingress) => [ingress.path, ingress] as const))('%s', (_path, ingress) => {
  it('takes any JSON, or refuses it as a bad request', () => {
    fc.assert(
      fc.property(fc.oneof(body, object), (fields) => {
        try {
          ingress.readRequest(Buffer.from(JSON.stringify({ model: 'm', ...fields })), undefined);
        } catch (error) {
          expect(error).toBeInstanceOf(GatewayError);
          expect((error as GatewayError).status).toBe(400);
        }
      }),
      runs,
    );
  });

  const request = ingress.readRequest(Buffer.from('{"model":"m","messages":[],"stream":true}'), undefined);

  it('writes whatever counts as an answer', () => {
    const choices = fc.array(fc.oneof(choice, object), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(object, choices, usage, (fields, some, counted) => {
        const completion = wired({ ...fields, choices: some, usage: counted, error: null });
        expect(readAnswer(completion)).toBeDefined();
        if (ingress.writeAnswer) JSON.parse(ingress.writeAnswer(completion, request)!);
      }),
      runs,
    );
  });

  it('writes whatever counts as a chunk, as events of JSON', () => {
    const choices = fc.array(fc.oneof(choice, object), { maxLength: 3 });
    const chunk = fc.record({ choices, usage, id: value });
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 5 }), (some) => {
        const answer = new StreamedAnswer();
        const chunks = some
          .map((fields) => JSON.stringify(fields))
          .filter((data) => !['error', 'malformed'].includes(answer.take(data)))
          .map(sseOf);
        const writer = ingress.openStream?.(request);
        if (!writer) return;
        const bytes = Buffer.concat([writer.write(chunks), writer.end([sseOf(DONE)])]);
        const splitter = new SseSplitter();
        for (const sent of splitter.push(bytes)) if (dataOf(sent) !== DONE) JSON.parse(dataOf(sent)!);
        expect(splitter.pendingBytes).toBe(0);
      }),
      runs,
    );
  });
});

describe.each(Object.entries(PROVIDERS))('provider %s', (_name, provider) => {
  it('writes any request there can be, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(body, object), (fields) => {
        for (const ingress of INGRESSES) {
          let request: CanonicalRequest;
          try {
            request = ingress.readRequest(
              Buffer.from(JSON.stringify({ model: 'm', ...fields })),
              undefined,
            ).fields;
          } catch {
            request = wired(fields);
          }
          JSON.parse(provider.writeRequest(request));
        }
      }),
      runs,
    );
  });

  it('reads any answer, error and event, and never throws', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(event, object), { maxLength: 8 }), (events) => {
        for (const given of wired(events)) {
          provider.readError(given);
          readAnswer(provider.readAnswer ? provider.readAnswer({ ...given, type: 'message' }, 1) : given);
        }
        const reader = provider.openStream?.(1);
        const answer = new StreamedAnswer();
        for (const chunk of reader?.take(events.map((given) => sseOf(JSON.stringify(given)))) ?? []) {
          const data = dataOf(chunk);
          if (data !== undefined && data !== DONE) answer.take(data);
        }
        answer.assemble();
      }),
      runs,
    );
  });
});
