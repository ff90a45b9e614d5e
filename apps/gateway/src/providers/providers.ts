import type { Protocol } from '#libs/core/content/protocol.js';
import { ANTHROPIC } from './anthropic/anthropic.provider.js';
import { AZURE_OPENAI } from './azure-openai/azure-openai.provider.js';
import { OPENAI } from './openai/openai.provider.js';
import type { Provider } from './provider.js';

/** By the protocol of the model endpoint. The only place that names them all. */
export const PROVIDERS: Readonly<Record<Protocol, Provider>> = {
  openai: OPENAI,
  'azure-openai': AZURE_OPENAI,
  anthropic: ANTHROPIC,
};

/** Who finds out what a model endpoint speaks. */
export interface ProviderFinder {
  /** By name of the model endpoint; OpenAI's for one that is not there, for its request goes nowhere. */
  providerOf(modelEndpoint: string): Provider;
}
