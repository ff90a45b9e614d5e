import { anyValue, readAttribute, type SpanContent } from './span-content.js';

/** Attributes by which MLflow's clients tell what a span is about. */
export const SPAN_TYPE = 'mlflow.spanType';
export const SPAN_INPUTS = 'mlflow.spanInputs';
export const SPAN_OUTPUTS = 'mlflow.spanOutputs';
export const SPAN_USAGE = 'mlflow.chat.tokenUsage';
export const SPAN_COST = 'mlflow.llm.cost';
export const SPAN_MODEL = 'mlflow.llm.model';
export const SPAN_PROVIDER = 'mlflow.llm.provider';

/**
 * Which attributes of other conventions say the same, the most telling first.
 * OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (and the names it had before);
 * OpenInference: https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md;
 * OpenLLMetry: https://github.com/traceloop/openllmetry (traceloop.*)
 */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  [SPAN_INPUTS]: [
    'gen_ai.input.messages',
    'gen_ai.tool.call.arguments',
    'input.value',
    'traceloop.entity.input',
  ],
  [SPAN_OUTPUTS]: [
    'gen_ai.output.messages',
    'gen_ai.tool.call.result',
    'output.value',
    'traceloop.entity.output',
  ],
  [SPAN_MODEL]: ['gen_ai.response.model', 'gen_ai.request.model', 'llm.model_name', 'embedding.model_name'],
  [SPAN_PROVIDER]: ['gen_ai.provider.name', 'gen_ai.system', 'llm.provider'],
};

const TYPES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'gen_ai.operation.name': {
    chat: 'CHAT_MODEL',
    create_agent: 'AGENT',
    invoke_agent: 'AGENT',
    embeddings: 'EMBEDDING',
    execute_tool: 'TOOL',
    generate_content: 'LLM',
    text_completion: 'LLM',
  },
  'openinference.span.kind': {
    LLM: 'LLM',
    CHAIN: 'CHAIN',
    TOOL: 'TOOL',
    AGENT: 'AGENT',
    RETRIEVER: 'RETRIEVER',
    EMBEDDING: 'EMBEDDING',
    RERANKER: 'RERANKER',
    GUARDRAIL: 'GUARDRAIL',
    EVALUATOR: 'EVALUATOR',
  },
  'traceloop.span.kind': { workflow: 'WORKFLOW', task: 'TASK', agent: 'AGENT', tool: 'TOOL' },
};

const TOKENS = {
  input_tokens: ['gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'llm.token_count.prompt'],
  output_tokens: [
    'gen_ai.usage.output_tokens',
    'gen_ai.usage.completion_tokens',
    'llm.token_count.completion',
  ],
  total_tokens: ['gen_ai.usage.total_tokens', 'llm.usage.total_tokens', 'llm.token_count.total'],
  cache_read_input_tokens: ['gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_read_input_tokens'],
  cache_creation_input_tokens: [
    'gen_ai.usage.cache_write.input_tokens',
    'gen_ai.usage.cache_creation.input_tokens',
  ],
} as const;

/** Adds the attributes that MLflow's clients read where the sender said the same by another convention's names. */
export function withMeaning(span: SpanContent): SpanContent {
  const added: Record<string, unknown> = {};
  const type = readAttribute(span, SPAN_TYPE);
  if (type === undefined || type === 'UNKNOWN') {
    const known = foreignType(span);
    if (known !== undefined) added[SPAN_TYPE] = known;
  }
  for (const [key, synonyms] of Object.entries(SYNONYMS)) {
    if (readAttribute(span, key) !== undefined) continue;
    const value = firstOf(span, synonyms);
    if (value !== undefined) added[key] = value;
  }
  if (readAttribute(span, SPAN_USAGE) === undefined) {
    const usage = foreignUsage(span);
    if (usage !== undefined) added[SPAN_USAGE] = usage;
  }
  const keys = Object.keys(added);
  if (keys.length === 0) return span;
  const kept = (span.attributes ?? []).filter(({ key }) => key === undefined || !Object.hasOwn(added, key));
  return { ...span, attributes: [...kept, ...keys.map((key) => ({ key, value: anyValue(added[key]) }))] };
}

function foreignType(span: SpanContent): string | undefined {
  for (const [key, types] of Object.entries(TYPES)) {
    const said = readAttribute(span, key);
    if (typeof said === 'string' && Object.hasOwn(types, said)) return types[said];
  }
  return undefined;
}

function foreignUsage(span: SpanContent): Record<string, number> | undefined {
  const usage: Record<string, number> = {};
  for (const [name, keys] of Object.entries(TOKENS)) {
    const count = Number(firstOf(span, keys) ?? NaN);
    if (Number.isSafeInteger(count) && count >= 0) usage[name] = count;
  }
  const { input_tokens: input, output_tokens: output } = usage;
  if (usage['total_tokens'] === undefined && input !== undefined && output !== undefined)
    usage['total_tokens'] = input + output;
  return Object.keys(usage).length === 0 ? undefined : usage;
}

function firstOf(span: SpanContent, keys: readonly string[]): unknown {
  for (const key of keys) {
    const value = readAttribute(span, key);
    if (value !== undefined && value !== null && value !== '') return value;
  }
  return undefined;
}
