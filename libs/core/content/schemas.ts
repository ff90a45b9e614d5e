import { DIALECT } from './dialect.js';
import { modelSchema } from './model-schema.js';
import { promptSchema } from './prompt-schema.js';

/**
 * JSON Schemas (draft 2020-12) of what a version holds, by kind. Published by the registry, used by the same
 * code that validates, so the two cannot differ. Unknown fields are refused everywhere.
 */

export type Kind = 'prompt' | 'model' | 'chain';
export const KINDS: readonly Kind[] = ['prompt', 'model', 'chain'];

/** Names of entries, endpoints, arms…: what fits in a URL path and in a `name@alias` reference unescaped. */
export const NAME_PATTERN = '^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$';
/**
 * Names of entries by kind, to be compiled with flag `u`. Prompts and models may be named as MLflow names them; none
 * has a slash or a colon, and none reads as a step out of a directory.
 */
export const ENTRY_NAME_PATTERNS = {
  prompt: '^(?!\\.\\.|\\.$)[A-Za-z0-9_.-]{1,256}$',
  model: '^(?!\\s*$)(?!\\.\\.|\\.$)[^/:\\p{Cc}]{1,256}$',
  chain: NAME_PATTERN,
} as const satisfies Record<Kind, string>;
/**
 * To be compiled with flag `u`. Letters and digits of any language, but never a bare number, so that `name@3` is a
 * version and `name@champion` an alias. It covers what MLflow takes, but for bare numbers.
 */
export const ALIAS_PATTERN = '^(?![0-9]+$)(?!\\.{1,2}$)[\\p{L}\\p{N}_.-]{1,255}$';
const ALIAS_OR_NUMBER = '[\\p{L}\\p{N}_.-]{1,255}$';
export const DIGEST_PATTERN = '^sha256:[0-9a-f]{64}$';

const name = { type: 'string', pattern: NAME_PATTERN, maxLength: 128 } as const;

function reference(kind: 'prompt' | 'model', namePattern: string) {
  return {
    title: `Reference to a ${kind}`,
    anyOf: [
      {
        type: 'string',
        maxLength: 512,
        pattern: `^${namePattern}@${ALIAS_OR_NUMBER}`,
        description: 'name@alias or name@number; resolved and pinned when the version is registered.',
      },
      {
        type: 'object',
        title: 'Pinned reference',
        properties: {
          name: { type: 'string', pattern: ENTRY_NAME_PATTERNS[kind], description: 'Name of the entry.' },
          version: { type: 'integer', minimum: 1, description: 'Number of the version.' },
          digest: { type: 'string', pattern: DIGEST_PATTERN, description: 'Digest of its content.' },
        },
        required: ['name', 'version', 'digest'],
        additionalProperties: false,
      },
    ],
  } as const;
}

const parameters = {
  type: 'object',
  title: 'Generation parameters',
  description:
    "OpenAI's and vLLM's names, sent as they stand. Anything a server takes beyond these goes into extraBody.",
  properties: {
    temperature: {
      type: 'number',
      minimum: 0,
      maximum: 2,
      description: 'Randomness of sampling; 0 is greedy.',
    },
    top_p: {
      type: 'number',
      minimum: 0,
      maximum: 1,
      description: 'Sample only from the likeliest tokens that together have this probability.',
    },
    top_k: {
      type: 'integer',
      minimum: -1,
      description: 'Sample only from this many likeliest tokens; -1 for all.',
    },
    min_p: {
      type: 'number',
      minimum: 0,
      maximum: 1,
      description: 'Least probability of a token, relative to the likeliest.',
    },
    max_tokens: { type: 'integer', minimum: 1, description: 'Most tokens to generate.' },
    max_completion_tokens: {
      type: 'integer',
      minimum: 1,
      description: 'Most tokens to generate, those of reasoning included.',
    },
    frequency_penalty: {
      type: 'number',
      minimum: -2,
      maximum: 2,
      description: 'Penalty per earlier occurrence of a token.',
    },
    presence_penalty: {
      type: 'number',
      minimum: -2,
      maximum: 2,
      description: 'Penalty for a token that occurred before.',
    },
    repetition_penalty: {
      type: 'number',
      exclusiveMinimum: 0,
      description: 'Factor against tokens that occurred before; 1 is neutral.',
    },
    seed: { type: 'integer', description: 'Makes sampling repeatable where the server can.' },
    stop: {
      anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 16 }],
      description: 'Texts that end the generation.',
    },
    logprobs: { type: 'boolean', description: 'Ask for the log probabilities of the generated tokens.' },
    top_logprobs: {
      type: 'integer',
      minimum: 0,
      maximum: 20,
      description: 'Ask for this many alternatives per token.',
    },
    reasoning_effort: {
      type: 'string',
      maxLength: 32,
      description: 'How much a reasoning model thinks, in its own words.',
    },
  },
  additionalProperties: false,
} as const;

const place = {
  modelEndpoint: { ...name, description: 'Name of a model endpoint.' },
  model: {
    type: 'string',
    minLength: 1,
    maxLength: 256,
    description: 'Model name as the model endpoint serves it.',
  },
  registeredModel: {
    $ref: '#/$defs/modelReference',
    description: 'The registered model version behind it, for lineage.',
  },
} as const;

const extraBody = {
  type: 'object',
  description: 'Further fields of the upstream request body, sent as they stand.',
} as const;

const generate = {
  type: 'object',
  title: 'Generation',
  description: 'Where and with what the chain generates.',
  properties: { ...place, parameters, extraBody },
  required: ['modelEndpoint', 'model'],
  additionalProperties: false,
} as const;

const embed = {
  type: 'object',
  title: 'Embedding',
  description:
    'Where and with what the chain embeds. A chain that embeds answers POST /v1/embeddings and has no prompt.',
  properties: {
    ...place,
    parameters: {
      type: 'object',
      title: 'Embedding parameters',
      description:
        "OpenAI's names, sent as they stand. Anything else that a server takes goes into extraBody.",
      properties: {
        dimensions: {
          type: 'integer',
          minimum: 1,
          description: 'Length of the vectors, where the model can shorten them.',
        },
        encoding_format: {
          enum: ['float', 'base64'],
          description:
            'How the server is to write vectors; without it, as the caller asks. Callers get them as they ask in any case.',
        },
      },
      additionalProperties: false,
    },
    extraBody,
  },
  required: ['modelEndpoint', 'model'],
  additionalProperties: false,
} as const;

const step = {
  type: 'object',
  title: 'Step',
  properties: {
    name: { ...name, description: 'Unique in the chain.' },
    type: { ...name, description: 'What kind of step this is.' },
    config: { type: 'object', description: 'Settings of the step, by its type.' },
  },
  required: ['name', 'type'],
  additionalProperties: false,
} as const;

export const chainSchema = {
  $schema: DIALECT,
  title: 'Chain content',
  description:
    'One versioned configuration: prompt, generation, fallbacks, output contract, retry policy and steps; or an embedding, fallbacks and retry policy. References are pinned when the version is registered.',
  type: 'object',
  properties: {
    prompt: {
      $ref: '#/$defs/promptReference',
      description: 'The prompt version, as name@alias, name@number or pinned.',
    },
    generate,
    embed,
    fallbacks: {
      type: 'array',
      maxItems: 8,
      items: { type: 'object' },
      description:
        'Tried in order when the one before has failed: generations, or embeddings with the same model.',
    },
    output: {
      type: 'object',
      title: 'Output contract',
      description:
        'What the answer must look like. Callers get no other: it is asked for, checked, repaired, asked for again, taken from a fallback, and else an error.',
      properties: {
        name: { ...name, maxLength: 64, description: 'Name of the schema, as sent upstream.' },
        schema: { type: 'object', description: 'A JSON Schema the answer must satisfy.' },
        strict: {
          type: 'boolean',
          description:
            'Ask the model endpoint to enforce the schema while decoding. false: ask for nothing, and let every answer pass; the row says whether it satisfies.',
        },
        repair: {
          type: 'boolean',
          description:
            'Whether broken JSON (fences, text around it, trailing commas) is mended without asking the model again; true unless given.',
        },
        maxReasks: {
          type: 'integer',
          minimum: 0,
          maximum: 5,
          description:
            'How often each model endpoint is told what was wrong with its answer, and asked again; 1 unless given.',
        },
      },
      required: ['schema'],
      additionalProperties: false,
    },
    retry: {
      type: 'object',
      title: 'Retry policy',
      description: 'Per generation, before its first content: 429, 5xx, connection errors and time-outs.',
      properties: {
        maxAttempts: { type: 'integer', minimum: 1, maximum: 10, description: 'The first attempt included.' },
        initialBackoffMs: {
          type: 'integer',
          minimum: 0,
          maximum: 60_000,
          description: 'Wait before the second attempt, in milliseconds.',
        },
        maxBackoffMs: {
          type: 'integer',
          minimum: 0,
          maximum: 60_000,
          description: 'Longest wait between attempts, in milliseconds.',
        },
      },
      required: ['maxAttempts'],
      additionalProperties: false,
    },
    steps: {
      type: 'object',
      title: 'Steps',
      description: 'Ordered steps around the generation.',
      properties: {
        before: {
          type: 'array',
          items: step,
          maxItems: 32,
          description: 'Run in order before the generation.',
        },
        after: {
          type: 'array',
          items: step,
          maxItems: 32,
          description: 'Run in order on what was generated.',
        },
      },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
  if: { required: ['embed'] },
  // oxlint-disable-next-line unicorn/no-thenable -- a word of JSON Schema; nobody awaits a schema
  then: {
    title: 'Chain that embeds',
    properties: {
      prompt: false,
      generate: false,
      output: false,
      steps: false,
      fallbacks: { type: 'array', items: embed, description: 'Other places with the same model.' },
    },
  },
  else: {
    title: 'Chain that generates',
    properties: { fallbacks: { type: 'array', items: generate, description: 'Other generations.' } },
    required: ['prompt', 'generate'],
  },
  $defs: {
    promptReference: reference('prompt', '[A-Za-z0-9_.-]{1,256}'),
    // Taken apart at the last @, for names of models may hold more of them.
    modelReference: reference('model', '[^/:\\p{Cc}]{1,256}'),
  },
} as const;

export const CONTENT_SCHEMAS = { prompt: promptSchema, model: modelSchema, chain: chainSchema } as const;
