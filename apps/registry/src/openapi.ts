import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { contentSchemaComponents } from './entries/schemas/content-docs.js';

/** The OpenAPI document of the registry, made from the decorators; the committed `openapi.json` is held against it. */
export function openApiDocument(app: NestExpressApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    // 3.1, because its schemas are JSON Schema 2020-12, as the content schemas are.
    .setOpenAPIVersion('3.1.0')
    .setTitle('Catena registry')
    .setDescription(
      'Versioned prompts, models and chains, their artifacts, the model endpoints that generate, and the serving endpoints whose traffic is split between chain versions.',
    )
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'CATENA_ADMIN_KEY, where it is set.' });
  for (const [name, description] of TAGS) builder.addTag(name, description);
  const config = builder.build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}_${method}`,
  });
  return withNullTypes({
    ...document,
    // Without it where it is not set, else with it.
    security: [{}, { bearer: [] }],
    paths: sorted(document.paths),
    components: {
      ...document.components,
      schemas: sorted({ ...document.components?.schemas, ...contentSchemaComponents() }),
    },
  }) as OpenAPIObject;
}

/** In the order in which a reader meets them. */
const TAGS = [
  ['model endpoints', 'Where generation happens: a protocol, replicas, prices, a credential.'],
  ['prompts', 'Named prompts, their immutable versions and the aliases that point at them.'],
  ['models', 'Named models: base weights or adapters, as versions.'],
  ['chains', 'Prompt, generation, output contract and retry policy as one version: what can be served.'],
  ['schemas', 'The JSON Schemas of what versions hold.'],
  ['endpoints', 'Serving endpoints: the stable names applications call.'],
  ['splits', 'How the traffic of an endpoint is divided: preview, revisions, rollback.'],
  ['API keys', 'Who may call the gateways, for what, and until when.'],
  ['limits', 'How much callers may use: rates and budgets of requests, tokens and cost.'],
  ['inferences', 'One row per request that a gateway admitted.'],
  [
    'artifacts',
    'Bytes in the object store, addressed by SHA-256, owned by a version, a run or a logged model.',
  ],
  ['logged models', 'Models as runs make them, before they are registered.'],
  ['experiments', 'Named groups of runs.'],
  ['runs', 'What is tracked: metrics, params, tags, datasets, and the versions a run evaluated.'],
  ['webhooks', 'Who is told of changes in the registry, and what became of each delivery.'],
  ['health', 'Is the registry alive, and can it work?'],
] as const;

/** Swagger UI at /docs, the document at /openapi.json. */
export function mountOpenApi(app: NestExpressApplication): void {
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    jsonDocumentUrl: 'openapi.json',
    customSiteTitle: 'Catena registry',
  });
}

/** By key, so that the order in which modules are imported does not show in the committed document. */
function sorted<T extends object>(map: T): T {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))) as T;
}

/** OpenAPI 3.1 has no `nullable`, which the decorators write; it says null with a type, as JSON Schema does. */
function withNullTypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withNullTypes);
  if (typeof value !== 'object' || value === null) return value;
  const { nullable, ...rest } = value as Record<string, unknown>;
  const converted = Object.fromEntries(
    Object.entries(rest).map(([key, child]) => [key, withNullTypes(child)]),
  );
  if (nullable === undefined || typeof nullable === 'object')
    return nullable === undefined ? converted : { ...converted, nullable: withNullTypes(nullable) };
  if (nullable === false) return converted;
  if (Array.isArray(converted['enum'])) converted['enum'] = [...(converted['enum'] as unknown[]), null];
  if (typeof converted['type'] === 'string') return { ...converted, type: [converted['type'], 'null'] };
  const { description, allOf, $ref, ...others } = converted;
  return {
    ...(description !== undefined && { description }),
    ...others,
    anyOf: [
      ...(Array.isArray(allOf) ? (allOf as unknown[]) : []),
      ...($ref ? [{ $ref }] : []),
      { type: 'null' },
    ],
  };
}
