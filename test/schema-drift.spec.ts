import { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry.close());

it('the entities say exactly what the migrations made', async () => {
  const source = registry.app.get(DataSource);
  expect(source.entityMetadatas.map((entity) => entity.tableName)).toEqual(
    expect.arrayContaining(['entry', 'version', 'version_reference', 'alias', 'alias_move']),
  );
  const drift = await source.driver.createSchemaBuilder().log();
  expect(drift.upQueries.map((query) => query.query)).toEqual([]);
});
