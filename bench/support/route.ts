import { resolvable, type Stack } from './stack.js';

export interface Route {
  /** Of the model endpoint, the prompt, the chain and the endpoint alike. */
  readonly name: string;
  readonly model: string;
  /** Where the replicas listen, without `/v1`. */
  readonly urls: readonly string[];
  readonly maxConcurrencyPerReplica: number;
}

/** Has the gateway of a stack pass the messages on to these replicas as they are; a second time, to others. */
export async function route(stack: Stack, { name, model, urls, ...more }: Route): Promise<void> {
  const replicas = urls.map((url) => ({ baseUrl: `${url}/v1` }));
  const { items } = await stack.call<{ items: unknown[] }>('GET', `/model-endpoints?prefix=${name}`);
  if (items.length > 0) await stack.call('PATCH', `/model-endpoints/${name}`, { replicas });
  else {
    await stack.call('POST', '/model-endpoints', {
      name,
      protocol: 'openai',
      replicas,
      models: [model],
      ...more,
    });
    await stack.call('POST', '/prompts', { name });
    const content = { type: 'chat', messages: ['{{messages}}'] };
    await stack.call('POST', `/prompts/${name}/versions`, { content });
    await stack.call('POST', '/chains', { name });
    await stack.call('POST', `/chains/${name}/versions`, {
      content: { prompt: `${name}@1`, generate: { modelEndpoint: name, model } },
    });
    await stack.call('POST', '/endpoints', { name });
    await stack.call('PUT', `/endpoints/${name}/split`, {
      arms: [{ name: 'only', chain: `${name}@1`, weightBps: 10_000 }],
    });
  }
  await resolvable(stack.gateway, name);
  // Changes reach a gateway within a second at the latest.
  await new Promise((wait) => setTimeout(wait, 1_500));
}
