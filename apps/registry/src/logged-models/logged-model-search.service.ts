import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Filter } from '#libs/core/search/ast.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { TrackingKeys } from '../metrics/tracking-keys.js';
import { Parameters } from '../search/parameters.js';
import type { KeyIds } from '../search/run-fields.js';
import { afterSql, isKeyText, keySql, orderSql } from '../search/run-order.js';
import { SearchCursors } from '../search/search-cursor.js';
import { readFilter } from '../search/search-text.js';
import {
  modelFilterSql,
  sqlTerm,
  termType,
  totalOrder,
  type DatasetRef,
  type ModelOrderTerm,
} from './logged-model-query.js';
import type { LoggedModelRecord } from './logged-model-record.js';
import { LoggedModelReader } from './logged-model.reader.js';

export interface LoggedModelSearch {
  /** UUIDs or numbers; those that do not exist hold no models. */
  readonly experiments: { readonly ids: readonly string[] } | { readonly numbers: readonly number[] };
  readonly filter?: string | undefined;
  readonly datasets?: readonly DatasetRef[];
  readonly orderBy?: readonly ModelOrderTerm[];
  readonly limit: number;
  readonly cursor?: string | undefined;
}

type HitRow = { id: string } & Record<`k${number}`, string | null>;

/** Finds logged models that are not deleted. */
@Injectable()
export class LoggedModelSearchService {
  constructor(
    private readonly database: DataSource,
    private readonly keys: TrackingKeys,
    private readonly reader: LoggedModelReader,
  ) {}

  /** @throws DomainError VALIDATION_FAILED (the filter); INVALID_CURSOR. */
  async search(caller: Caller, search: LoggedModelSearch): Promise<Page<LoggedModelRecord>> {
    const { limit, datasets = [], experiments } = search;
    const filter = readFilter('loggedModel', search.filter);
    if (datasets.some(({ name }) => name === ''))
      throw new DomainError('VALIDATION_FAILED', 'Every dataset must be given with its name.');
    const terms = totalOrder(search.orderBy ?? []);
    const cursors = new SearchCursors([caller.workspaceId, experiments, filter, datasets, terms]);
    const after = cursors.read(search.cursor, terms.length, (text, index) =>
      isKeyText(termType(terms[index]!.field), text),
    );
    const keys = await this.keys.find(caller.workspaceId, metricNames(filter, terms));
    const hits = await this.find(caller, search, filter, terms, keys, after);
    const shown = hits.slice(0, limit);
    const last = shown.at(-1);
    return {
      items: await this.reader.list(
        caller,
        shown.map(({ id }) => id),
      ),
      nextCursor:
        hits.length > limit && last !== undefined
          ? cursors.write(terms.map((_, index) => last[`k${index}`] ?? null))
          : null,
    };
  }

  private async find(
    caller: Caller,
    { experiments, datasets = [], limit }: LoggedModelSearch,
    filter: Filter | null,
    terms: readonly ModelOrderTerm[],
    keys: KeyIds,
    after: readonly (string | null)[] | undefined,
  ): Promise<HitRow[]> {
    const parameters = new Parameters();
    const named =
      'ids' in experiments
        ? `id = ANY (${parameters.add(experiments.ids, 'uuid[]')})`
        : `number = ANY (${parameters.add(experiments.numbers, 'bigint[]')})`;
    const workspace = parameters.add(caller.workspaceId, 'uuid');
    const sqlTerms = terms.map((term) => sqlTerm(term, keys, parameters));
    const key = sqlTerms.map(({ type, sql }, index) => `${keySql(type, sql)} AS k${index}`);
    const order = sqlTerms.map(({ type, sql }, index) => orderSql(type, sql, terms[index]!));
    return this.database.query(
      `SELECT m.id, ${key.join(', ')}
         FROM logged_model m
        WHERE m.experiment = ANY (ARRAY(SELECT serial FROM experiment WHERE workspace_id = ${workspace} AND ${named}))
          AND m.deleted_at IS NULL
          AND ${modelFilterSql(filter, datasets, keys, parameters)}
          AND ${after ? afterSql(sqlTerms, after, parameters) : 'true'}
        ORDER BY ${order.join(', ')}
        LIMIT ${parameters.add(limit + 1, 'int')}`,
      parameters.values,
    );
  }
}

function metricNames(filter: Filter | null, terms: readonly ModelOrderTerm[]): Set<string> {
  const names = new Set(terms.filter(({ field }) => field.scope === 'metric').map(({ field }) => field.key));
  const visit = (part: Filter): void => {
    if (part.kind === 'and' || part.kind === 'or') part.operands.forEach(visit);
    else if (part.field.scope === 'metric') names.add(part.field.key);
  };
  if (filter) visit(filter);
  return names;
}
