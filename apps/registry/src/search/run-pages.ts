import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';
import { numberArray, runPrepared } from '#libs/platform/database/prepared.js';
import { Parameters } from './parameters.js';
import { PreparedShapes } from './prepared-shapes.js';
import { ROW_COLUMNS, scopeSql, testSql, type Hit, type RunQuery } from './run-query.js';
import { MAX_WALKED_EXPERIMENTS } from './run-walk.js';
import type { Statement } from './statement.js';

/** Of all pages in memory. */
const MAX_BYTES = 8 * 1024 * 1024;
/** Searches of which it is remembered that they were asked. */
const MAX_SEEN = 1_000;
/** Longest key that is remembered, in characters: a cursor holds values of params or tags, or whatever a caller makes of one. */
const MAX_KEY = 2_000;
/** Where more runs changed since a page was read, it is read anew. */
const MAX_CHANGED = 100;

interface Page {
  readonly hits: readonly Hit[];
  readonly serials: string;
  /** Every transaction below this was over before the page was read. */
  readonly since: string;
}

interface StateRow {
  /** Of the page's runs, in its order. */
  readonly stamps: readonly (string | null)[];
  /** How many of the runs that changed match now, or more than are looked at. */
  readonly touched: number;
  readonly since: string;
}

/**
 * Pages of searches that are asked again and again: dashboards poll, jobs ask for the best run. A page is right as long as
 * none of its runs has changed and no run that changed since matches (docs/adr/0013). What is remembered is never used without
 * the database having said so, and only what is asked a second time is remembered.
 */
@Injectable()
export class RunPages {
  private readonly pages = new LRUCache<string, Page>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ hits, serials }, key) =>
      hits.reduce((sum, hit) => sum + sizeOf(hit), 200 + serials.length + 2 * key.length),
  });
  private readonly seen = new LRUCache<string, true>({ max: MAX_SEEN });
  private readonly shapes = new PreparedShapes();

  constructor(private readonly database: DataSource) {}

  /**
   * @param key names the search with its filter, order, cursor and limit.
   * @param find finds the page.
   */
  async get(key: string, query: RunQuery, find: () => Promise<Hit[]>): Promise<readonly Hit[]> {
    if (query.experiments.length > MAX_WALKED_EXPERIMENTS || key.length > MAX_KEY) return find();
    const known = this.pages.get(key);
    if (known === undefined && !this.seen.has(key)) {
      this.seen.set(key, true);
      return find();
    }
    // Also where nothing is known: `since` has to be older than all that is read after it.
    const { stamps, touched, since } = await this.state(query, known);
    if (known && touched === 0 && known.hits.every(({ changed }, at) => changed === stamps[at])) {
      this.pages.set(key, { ...known, since });
      return known.hits;
    }
    if (known) {
      // Whether it is worth remembering is asked from the beginning: most pages of a busy experiment are not.
      this.pages.delete(key);
      this.seen.delete(key);
      return find();
    }
    const hits = await find();
    if (hits.every(({ changed }) => isBelow(changed, since)))
      this.pages.set(key, { hits, serials: numberArray(hits.map(({ serial }) => serial)), since });
    return hits;
  }

  private async state(query: RunQuery, known: Page | undefined): Promise<StateRow> {
    const { text, values } = stateStatement(query, known);
    const name = this.shapes.nameOf(text);
    const rows: StateRow[] =
      name === undefined
        ? await this.database.query(text, [...values])
        : await runPrepared(this.database, { name, text }, values);
    return rows[0]!;
  }
}

/**
 * Whether what a run was changed by was over before the page was read. One that changed meanwhile may be on the page for what
 * it was, with the stamp of what it is now: sets and runs are read at two moments, and nothing would tell the difference later.
 */
function isBelow(changed: string | null, since: string): boolean {
  return changed !== null && BigInt(changed) < BigInt(since);
}

/** What a hit takes, in bytes, roughly. */
function sizeOf({ key }: Hit): number {
  return key.reduce((sum, text) => sum + 50 + 2 * (text?.length ?? 0), 150);
}

const SINCE = `pg_snapshot_xmin(pg_current_snapshot())::text AS since`;

/** All look-ups, so that one plan does for all values. Why nothing below `since` can have been missed: `changedStatement`. */
function stateStatement(query: RunQuery, known: Page | undefined): Statement {
  if (known === undefined)
    return { text: `SELECT '{}'::text[] AS stamps, 0 AS touched, ${SINCE}`, values: [] };
  const parameters = new Parameters();
  const source = { serial: 'r.serial', row: 'r' };
  const serials = parameters.add(known.serials, 'int[]');
  const matches = [
    scopeSql(query, 'r', parameters),
    ...(query.filter === null ? [] : [testSql(query.filter, source, query.keys, parameters)]),
  ].join(' AND ');
  const text = `
    SELECT ${SINCE}, ARRAY (
      SELECT (SELECT changed::text FROM run_change WHERE run = m.run)
        FROM unnest(${serials}) WITH ORDINALITY m (run, at) ORDER BY at) AS stamps, (
      SELECT count(*) FILTER (WHERE ${matches}) + greatest(count(*) - ${MAX_CHANGED}, 0)
        FROM unnest(${parameters.add(query.experiments, 'int[]')}) e (serial)
       CROSS JOIN LATERAL (
         SELECT run FROM run_change WHERE experiment = e.serial AND changed >= ${parameters.add(known.since, 'xid8')}
          ORDER BY changed LIMIT ${MAX_CHANGED + 1}) c
       CROSS JOIN LATERAL (
         SELECT serial, workspace_id, deleted_at, ${ROW_COLUMNS} FROM run WHERE serial = c.run OFFSET 0) r)::int AS touched`;
  return { text, values: parameters.values };
}
