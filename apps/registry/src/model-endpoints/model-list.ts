import type { Protocol } from '#libs/core/content/protocol.js';

/** How the servers of a protocol are asked which models they serve. */
export interface ModelListRequest {
  /** What follows the base URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Ask = (credential: string | undefined, apiVersion: string | null) => ModelListRequest;

/**
 * By protocol; `undefined` where there is no such list: Azure lists the models of a region, not the deployments that
 * requests name.
 */
export const MODEL_LISTS: Readonly<Record<Protocol, Ask | undefined>> = {
  openai: (credential) => ({
    path: '/models',
    headers: { ...(credential !== undefined && { authorization: `Bearer ${credential}` }) },
  }),
  'azure-openai': undefined,
  anthropic: (credential, apiVersion) => ({
    path: '/models?limit=1000',
    headers: {
      'anthropic-version': apiVersion ?? '2023-06-01',
      ...(credential !== undefined && { 'x-api-key': credential }),
    },
  }),
};

export interface ListedModel {
  readonly id: string;
  /** Of an adapter (LoRA): the model it adapts, as vLLM tells. */
  readonly parent: string | null;
  /** Longest context in tokens, as vLLM tells. */
  readonly maxModelLen: number | null;
}

/** Longest list and longest name that are believed. */
const MOST_MODELS = 10_000;
const LONGEST_NAME = 256;

/** Reads a list of models, OpenAI's or Anthropic's. @returns undefined for what is none. */
export function readModelList(text: string): ListedModel[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const data: unknown = (parsed as { data?: unknown } | null)?.data;
  if (!Array.isArray(data) || data.length > MOST_MODELS) return undefined;
  return (data as Record<string, unknown>[]).flatMap((model) => {
    const { id, parent, max_model_len: maxModelLen } = model ?? {};
    if (typeof id !== 'string' || id === '' || id.length > LONGEST_NAME) return [];
    return [
      {
        id,
        parent: typeof parent === 'string' ? parent : null,
        maxModelLen:
          typeof maxModelLen === 'number' && Number.isSafeInteger(maxModelLen) ? maxModelLen : null,
      },
    ];
  });
}
