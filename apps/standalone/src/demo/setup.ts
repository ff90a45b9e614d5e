import { RegistryClient } from './registry-client.js';
import { ACTIONS, PRIORITIES } from './tickets.js';

export const NAMES = {
  prompt: 'support-triage',
  chain: 'support-triage',
  endpoint: 'support',
  modelEndpoint: 'demo-gpu',
} as const;
export const MODEL = 'sim-small';

/** What the answer to a ticket must look like. */
const ANSWER_SCHEMA = {
  type: 'object',
  properties: {
    action: { enum: ACTIONS },
    priority: { enum: PRIORITIES },
    reference: { type: ['string', 'null'], pattern: '^(TX|INV|PO)-[0-9]{4,6}$' },
    summary: { type: 'string', minLength: 1, maxLength: 160 },
  },
  required: ['action', 'priority', 'reference', 'summary'],
  additionalProperties: false,
};

const TASK =
  'You triage support tickets of {{company}}, a payments company. Choose the one action that helps the customer, ' +
  'a priority, the payment, invoice or payout number if the ticket names one, and a summary of one sentence.';

interface Version {
  readonly name: string;
  readonly version: number;
}

/** Registers everything the demo needs; what is there already stays as it is. */
export async function setUp(
  registry: RegistryClient,
  replicas: readonly string[],
): Promise<readonly Version[]> {
  const endpoint = {
    replicas: replicas.map((baseUrl) => ({ baseUrl })),
    models: [MODEL],
    prices: { inputMicroUsdPerMillionTokens: 150_000, outputMicroUsdPerMillionTokens: 600_000 },
    maxConcurrencyPerReplica: 8,
    // As with a server that cannot enforce a schema: what the gateway does for it can be seen.
    structuredOutput: 'prompt',
  };
  const path = `/model-endpoints`;
  const isNew = await registry.ensure(path, {
    name: NAMES.modelEndpoint,
    description: 'Two model simulators of the demo.',
    protocol: 'openai',
    ...endpoint,
  });
  if (!isNew)
    await registry.call('PATCH', `${path}/${NAMES.modelEndpoint}`, {
      replicas: endpoint.replicas,
      structuredOutput: endpoint.structuredOutput,
    });

  await registry.ensure('/prompts', { name: NAMES.prompt, description: 'Ticket in, action out.' });
  await registry.ensure('/chains', {
    name: NAMES.chain,
    description: 'Turns a support ticket into an action.',
  });
  const versions = await registerVersions(registry);
  await registry.ensure('/endpoints', { name: NAMES.endpoint, description: 'Called by the ticket system.' });
  await split(registry, versions);
  return versions;
}

async function registerVersions(registry: RegistryClient): Promise<Version[]> {
  const prompt = (system: string, message: string) =>
    registry.call<Version>('POST', `/prompts/${NAMES.prompt}/versions`, {
      content: { type: 'chat', messages: [{ role: 'system', content: system }, '{{messages}}'] },
      message,
    });
  const chain = (content: object, message: string) =>
    registry.call<Version>('POST', `/chains/${NAMES.chain}/versions`, { content, message });

  const asking = await prompt(
    `${TASK}\n\nAnswer with JSON only, no other text. It must match this JSON Schema:\n${JSON.stringify(ANSWER_SCHEMA)}`,
    'The schema is part of the prompt.',
  );
  const enforced = await prompt(TASK, 'The schema is a contract of the chain, and no part of the prompt.');
  const generate = (parameters: object) => ({ modelEndpoint: NAMES.modelEndpoint, model: MODEL, parameters });
  return [
    await chain(
      {
        prompt: `${asking.name}@${asking.version}`,
        generate: generate({ temperature: 0.7 }),
        output: { name: 'triage', schema: ANSWER_SCHEMA, strict: false },
        retry: { maxAttempts: 2 },
      },
      'Asks for JSON in words; the answer is only checked.',
    ),
    await chain(
      {
        prompt: `${enforced.name}@${enforced.version}`,
        generate: generate({ temperature: 0.7 }),
        output: { name: 'triage', schema: ANSWER_SCHEMA, strict: true, maxReasks: 2 },
        retry: { maxAttempts: 2 },
      },
      'The schema is a contract: repaired, asked for again, or an error.',
    ),
  ];
}

/** Half of the customers each, unless that is in force already. */
async function split(registry: RegistryClient, versions: readonly Version[]): Promise<void> {
  const arms = versions.map(({ name, version }) => ({
    name: `v${version}`,
    chain: `${name}@${version}`,
    weightBps: 5_000,
  }));
  const { split: current } = await registry.call<{
    split: { arms: { name: string; weightBps: number; chain: Version }[] } | null;
  }>('GET', `/endpoints/${NAMES.endpoint}`);
  const inForce = current?.arms.map(({ name, weightBps, chain }) => ({
    name,
    chain: `${chain.name}@${chain.version}`,
    weightBps,
  }));
  if (JSON.stringify(inForce) === JSON.stringify(arms)) return;
  await registry.call('PUT', `/endpoints/${NAMES.endpoint}/split`, {
    arms,
    reason: 'Demo: is an enforced schema worth it?',
  });
}
