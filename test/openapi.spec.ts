import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { EXAMPLES } from '../apps/registry/src/entries/schemas/content-docs.js';
import { openApiText } from '../apps/registry/src/openapi-text.js';
import { KINDS } from '../libs/core/content/schemas.js';
import { validateContent } from '../libs/core/content/validate.js';
import { startTestRegistry } from './support/registry.js';

interface Operation {
  where: string;
  [field: string]: any;
}

let text: string;
let document: any;
let operations: Operation[];
beforeAll(async () => {
  text = await openApiText();
  document = JSON.parse(text);
  operations = Object.entries<any>(document.paths).flatMap(([path, methods]) =>
    Object.entries<any>(methods).map(([method, operation]) => ({
      ...operation,
      where: `${method.toUpperCase()} ${path}`,
    })),
  );
});

/** Where `isBad` holds. */
const offenders = (isBad: (operation: Operation) => boolean) =>
  operations.filter(isBad).map(({ where }) => where);

describe('the OpenAPI document', () => {
  it('is the committed openapi.json; after a change of the API run `npm run openapi` and commit the file', async () => {
    expect(JSON.parse(await readFile('openapi.json', 'utf8'))).toEqual(document);
    expect(await readFile('openapi.json', 'utf8')).toBe(text);
  });

  it('names every operation: a summary, a tag, an operation id of its own', () => {
    expect(operations.length).toBeGreaterThan(50);
    expect(offenders(({ summary }) => !summary)).toEqual([]);
    expect(offenders(({ tags }) => !(tags?.length > 0))).toEqual([]);
    expect(offenders(({ operationId }) => !/^[A-Z]\w*_[a-z]\w*$/.test(operationId))).toEqual([]);
    const ids = operations.map(({ operationId }) => operationId as string);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });

  it('says for every operation how it succeeds, with a description', () => {
    expect(
      offenders(({ responses }) => !Object.keys(responses).some((status) => /^[23]/.test(status))),
    ).toEqual([]);
    expect(
      offenders(({ responses }) => Object.values<any>(responses).some(({ description }) => !description)),
    ).toEqual([]);
  });

  it('says for every operation that takes a body or a query that it can be refused with 400', () => {
    const takes = (operation: Operation) =>
      operation['requestBody'] || operation['parameters']?.some((parameter: any) => parameter.in === 'query');
    expect(offenders((operation) => takes(operation) && !operation['responses']['400'])).toEqual([]);
  });

  it('gives every parameter of a path a 404, and every one of them is declared', () => {
    for (const { where, parameters = [] } of operations) {
      const declared = parameters
        .filter((parameter: any) => parameter.in === 'path')
        .map(({ name }: any) => name);
      const inPath = [...where.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(new Set(declared), where).toEqual(new Set(inPath));
    }
    expect(offenders(({ where, responses }) => where.includes('{') && !responses['404'])).toEqual([]);
  });

  it('describes every parameter and every property of every schema', () => {
    const undescribed = operations.flatMap(({ where, parameters = [] }) =>
      parameters
        .filter((parameter: any) => !parameter.description)
        .map(({ name }: any) => `${where} ${name}`),
    );
    walk(document, '', (schema, path) => {
      for (const [name, property] of Object.entries<any>(schema.properties ?? {}))
        // A $ref alone says nothing about why it is here, but what it refers to is described, too. False may not be there.
        if (property !== false && !property.description && !property.$ref && !('const' in property))
          undescribed.push(`${path}/${name}`);
    });
    expect(undescribed).toEqual([]);
  });

  it('refers only to what is in it, and is a valid JSON Schema wherever it has one', () => {
    const missing: string[] = [];
    const seen = new Set<string>();
    JSON.stringify(document, (key, value) => {
      if (key === '$ref' && typeof value === 'string') seen.add(value);
      return value as unknown;
    });
    for (const ref of seen)
      if (
        ref
          .slice(2)
          .split('/')
          .reduce((at: any, key) => at?.[key], document) === undefined
      )
        missing.push(ref);
    expect(missing).toEqual([]);
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const [name, schema] of Object.entries<any>(document.components.schemas))
      expect(ajv.validateSchema(schema), `${name}: ${ajv.errorsText()}`).toBe(true);
    expect(text).not.toContain('"nullable"');
  });

  it.each(KINDS)('types the content of a %s version, with an example that is valid', (kind) => {
    const body = document.components.schemas[`Register${kind[0]!.toUpperCase()}${kind.slice(1)}VersionDto`];
    const ref = body.properties.content.allOf[0].$ref as string;
    const ajv = new Ajv2020({ strict: false });
    ajv.addSchema(document, 'openapi');
    const validate = ajv.compile({ $ref: `openapi${ref}` });
    expect(validate(EXAMPLES[kind]), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...EXAMPLES[kind], unknown: 1 })).toBe(false);
    expect(() => validateContent(kind, body.properties.content.example)).not.toThrow();
  });
});

it('is served by the registry, with Swagger UI beside it', async () => {
  const registry = await startTestRegistry();
  try {
    const served = await fetch(`${registry.url}/openapi.json`);
    expect(await served.json()).toEqual(document);
    const ui = await fetch(`${registry.url}/docs`);
    expect([ui.status, await ui.text()]).toEqual([200, expect.stringContaining('swagger-ui')]);
  } finally {
    await registry.close();
  }
});

/** Visits every object that looks like an object schema, but not examples. */
function walk(value: any, path: string, visit: (schema: any, path: string) => void): void {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value) && typeof value.properties === 'object') visit(value, path);
  for (const [key, child] of Object.entries(value))
    if (key !== 'example' && key !== 'examples') walk(child, `${path}/${key}`, visit);
}
