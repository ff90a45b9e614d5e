import { CONTENT_SCHEMAS, KINDS, type Kind } from '#libs/core/content/schemas.js';
import { capitalised } from '../kind.js';

/** Where the OpenAPI document holds the content schema of a kind. */
export function contentSchemaRef(kind: Kind): string {
  return `#/components/schemas/${capitalised(kind)}Content`;
}

/** The published content schemas as OpenAPI 3.1 components, their `$ref`s moved to their place in that document. */
export function contentSchemaComponents(): Record<string, object> {
  return Object.fromEntries(
    KINDS.map((kind) => {
      const { $schema: _, ...schema } = CONTENT_SCHEMAS[kind];
      const text = JSON.stringify(schema).replaceAll('"#/$defs/', `"${contentSchemaRef(kind)}/$defs/`);
      return [`${capitalised(kind)}Content`, JSON.parse(text) as object];
    }),
  );
}

/** Contents that the validator accepts; a test holds them against it. */
export const EXAMPLES = {
  prompt: {
    type: 'chat',
    messages: [
      {
        role: 'system',
        content: 'You answer support tickets of {{company}}. Be brief and name the next step.',
      },
      '{{messages}}',
    ],
  },
  model: {
    format: 'lora',
    model: 'support-reply',
    baseModel: 'llama-3.1-8b-instruct',
    source: '/models/adapters/support-reply',
  },
  chain: {
    prompt: 'support-reply@champion',
    generate: {
      modelEndpoint: 'gpu-pool',
      model: 'llama-3.1-8b-instruct',
      parameters: { temperature: 0.2, max_tokens: 400 },
    },
    retry: { maxAttempts: 2 },
  },
} as const satisfies Record<Kind, object>;
