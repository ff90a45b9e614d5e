import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

/** The order in which a reader who tries the document out would come to them. */
const STORY = [
  'ModelEndpoint_create',
  'ModelEndpoint_update',
  ...['Prompt', 'Model', 'Chain'].flatMap((kind) => [
    `${kind}s_create`,
    `${kind}s_update`,
    `${kind}Versions_register`,
    `${kind}Versions_update`,
    `${kind}Aliases_move`,
  ]),
  'Adapter_load',
  'Endpoint_create',
  'Endpoint_update',
  'Split_preview',
  'Split_put',
  'Split_rollback',
  'AbTest_plan',
  'AbTest_create',
  'ApiKey_create',
  'ApiKey_update',
  'ApiKey_rotate',
  'Limit_create',
  'Limit_update',
  'ApiKey_revoke',
  'Experiment_create',
  'Run_create',
  'RunSearch_search',
  'Experiment_update',
  'LoggedModel_create',
  'LoggedModel_search',
  'EvaluationDataset_create',
  'Scorer_register',
  'Issue_create',
  'LabelSchema_create',
  'ReviewQueue_create',
  'Webhook_create',
  'Feedback_give',
  'FeedbackLink_create',
];
/** Their bodies name bytes that nobody has uploaded. */
const NEEDS_AN_UPLOAD = /(Artifact|Upload)_(begin|complete)$/;
/** Ids are not known before. */
const NEEDS_AN_ID = /\{\w*[iI]d\}|\/runs\/(metrics|compare)$/;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly [field: string]: any;
}

describe('the examples of the OpenAPI document', () => {
  let registry: TestRegistry;
  let document: any;
  let operations: Map<string, Operation>;
  beforeAll(async () => {
    registry = await startTestRegistry();
    document = await (await fetch(`${registry.url}/openapi.json`)).json();
    operations = new Map(
      Object.entries<any>(document.paths).flatMap(([path, methods]) =>
        Object.entries<any>(methods).map(([method, operation]) => [
          operation.operationId as string,
          { ...operation, method: method.toUpperCase(), path },
        ]),
      ),
    );
  });
  afterAll(() => registry.close());

  const run = ({ method, path, parameters = [], requestBody }: Operation) =>
    registry.call(
      method,
      withParameters(path.replace('/api/v1', ''), parameters),
      requestBody && exampleOf(requestBody.content['application/json'].schema),
    );

  it('make a story: every body is accepted as it stands, in order, by an empty registry', async () => {
    const told = [...operations].filter(
      ([id, { path, requestBody }]) =>
        requestBody?.content['application/json'] && !NEEDS_AN_UPLOAD.test(id) && !NEEDS_AN_ID.test(path),
    );
    expect(told.map(([id]) => id).sort()).toEqual([...STORY].sort());
    for (const id of STORY) {
      const { status, body } = await run(operations.get(id)!);
      expect([id, status < 300, body]).toEqual([id, true, body]);
    }
  });

  it('answer every GET of a name, number or alias afterwards', async () => {
    for (const operation of operations.values()) {
      if (operation.method !== 'GET' || !operation.path.startsWith('/api/v1/')) continue;
      if (NEEDS_AN_ID.test(operation.path) || /artifacts\/(content|download-url)$/.test(operation.path))
        continue;
      const { status, body } = await run(operation);
      expect([operation.path, status, body]).toEqual([operation.path, 200, body]);
      // What the filters' examples say must find what the bodies' examples made.
      if (/^\/api\/v1\/(prompts|models|chains|endpoints|model-endpoints)$/.test(operation.path))
        expect(body.items, operation.path).toHaveLength(1);
    }
  });

  /** What Swagger UI puts into the form: examples first, then defaults. */
  function exampleOf(schema: any): unknown {
    if (schema.$ref) return exampleOf(document.components.schemas[schema.$ref.split('/').at(-1)]);
    if ('example' in schema) return schema.example;
    if ('default' in schema) return schema.default;
    if (schema.enum) return schema.enum[0];
    const [combined] = schema.allOf ?? schema.oneOf ?? schema.anyOf ?? [];
    if (combined) return exampleOf(combined);
    if (schema.properties)
      return Object.fromEntries(
        Object.entries(schema.properties)
          // A cursor comes from an answer.
          .filter(([name]) => name !== 'cursor')
          .map(([name, property]) => [name, exampleOf(property)]),
      );
    if (schema.type === 'array') return [exampleOf(schema.items)];
    throw new Error(`no example: ${JSON.stringify(schema)}`);
  }
});

function withParameters(path: string, parameters: readonly any[]): string {
  const query = new URLSearchParams();
  let filled = path;
  for (const { in: place, name, schema, example = schema.example ?? schema.enum?.[0] } of parameters) {
    if (place === 'path') filled = filled.replace(`{${name}}`, encodeURIComponent(String(example)));
    else if (place === 'query' && example !== undefined)
      for (const value of [example].flat()) query.append(name, String(value));
  }
  return query.size > 0 ? `${filled}?${query}` : filled;
}
