import type { TestRegistry } from './registry.js';

export type KindPath = 'prompts' | 'models' | 'chains';

/** A text prompt; different texts make different digests. */
export const textPrompt = (text = 'Answer {{question}}') => ({ type: 'text', text });

/** A model endpoint serving `model`, at an address nobody calls. */
export async function givenModelEndpoint(
  registry: TestRegistry,
  name = 'gpu-pool',
  models: readonly string[] = ['tiny'],
): Promise<void> {
  await expectStatus(
    201,
    registry.call('POST', '/model-endpoints', {
      name,
      protocol: 'openai',
      replicas: [{ baseUrl: 'http://127.0.0.1:9/v1' }],
      models,
    }),
  );
}

export async function givenEntry(registry: TestRegistry, kinds: KindPath, name: string): Promise<void> {
  await expectStatus(201, registry.call('POST', `/${kinds}`, { name }));
}

/** Registers content as a version, creating the entry where needed; returns the version. */
export async function givenVersion(
  registry: TestRegistry,
  kinds: KindPath,
  name: string,
  content: unknown,
): Promise<any> {
  await registry.call('POST', `/${kinds}`, { name });
  const { status, body } = await registry.call('POST', `/${kinds}/${name}/versions`, { content });
  if (status !== 201 && status !== 200) throw new Error(`registering answered ${JSON.stringify(body)}`);
  return body;
}

/** Chain content over a prompt reference and the endpoint of `givenModelEndpoint`. */
export function chainOf(prompt: unknown, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { prompt, generate: { modelEndpoint: 'gpu-pool', model: 'tiny' }, ...more };
}

async function expectStatus(
  wanted: number,
  answer: Promise<{ status: number; body: unknown }>,
): Promise<void> {
  const { status, body } = await answer;
  if (status !== wanted) throw new Error(`expected ${wanted}, got ${status}: ${JSON.stringify(body)}`);
}
