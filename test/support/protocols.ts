import Anthropic from '@anthropic-ai/sdk';
import type { ReceivedRequest } from '../../apps/model-simulator/src/simulator.js';
import type { Json } from '../../libs/core/canonical/canonical.js';
import { MODEL_KEY, startChatStack, type ChatStack } from './chat.js';

export const WEATHER = {
  type: 'object' as const,
  properties: { city: { type: 'string' } },
  required: ['city'],
};

/** A PNG's beginning, in base64. */
export const PIXEL = 'iVBORw0KGgo=';

export interface ProtocolStack extends ChatStack {
  readonly anthropic: Anthropic;
  /** What the replica received last. */
  sent(): ReceivedRequest;
  postTo(path: string, body: object): Promise<Response>;
  /** An endpoint whose chain asks for a faulty model. */
  faulty(modelEndpoint: string, fault: string, content?: { readonly [field: string]: Json }): Promise<string>;
}

/**
 * Serves `openai-like` and `claude`: the same simulated replica, which the gateway speaks to in two protocols, as the
 * model endpoints `gpu` and `claude`.
 */
export async function startProtocolStack(): Promise<ProtocolStack> {
  const stack = await startChatStack(
    // Faults must not take the only replica away from the next test.
    { CATENA_IDLE_TIMEOUT_MS: '300', CATENA_BREAKER_FAILURES: '1000' },
    { answerTokens: 20 },
  );
  const { gateway, rows, simulator } = stack;
  await rows.setModelEndpoint('claude', {
    replicas: [`${simulator.url}/v1`],
    credential: MODEL_KEY,
    protocol: 'anthropic',
  });
  await stack.serve('openai-like');
  await stack.serve('claude', { generate: { modelEndpoint: 'claude', model: 'small' } });
  let number = 0;
  return {
    ...stack,
    anthropic: new Anthropic({ baseURL: gateway.url, apiKey: 'any', maxRetries: 0 }),
    sent: () => simulator.received.at(-1)!,
    postTo: (path, body) =>
      fetch(`${gateway.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    async faulty(modelEndpoint, fault, content = {}) {
      const name = `faulty-${number++}`;
      await stack.serve(name, { generate: { modelEndpoint, model: `small:fault=${fault}` }, ...content });
      return name;
    },
  };
}

/** The row's id in the headers of an answer. */
export const idOf = (response: Response): string | null => response.headers.get('x-catena-inference-id');
