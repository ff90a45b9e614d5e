import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';
import type { Condition, Filter } from '#libs/core/search/ast.js';
import { numberArray, runPrepared } from '#libs/platform/database/prepared.js';
import { conjuncts } from './conditions.js';
import { Parameters } from './parameters.js';
import { PreparedShapes } from './prepared-shapes.js';
import { isVolume, runSet } from './run-fields.js';
import { testSql, type RunQuery } from './run-query.js';
import type { Statement } from './statement.js';

/** The runs that match some conditions of a search, all of them. */
export interface Members {
  /** The conditions that need no test any more. */
  readonly filters: readonly Filter[];
  readonly count: number;
  /** Their serials as text of an `integer[]`. */
  readonly serials: string;
}

export interface Recalled {
  readonly members: Members;
  /** The set as it is now: the same object where it is the same; undefined where it has to be found anew. */
  current(): Promise<Members | undefined>;
}

/** Larger sets narrow a search too little to be worth their while. */
const MAX_MEMBERS = 20_000;
/** More conditions hardly make a set smaller; they are tested run by run. */
const MAX_CONDITIONS = 8;
/** Where more runs changed since a set was read, it is read anew. */
const MAX_CHANGED = 1_000;
/** Of all sets in memory. */
const MAX_BYTES = 4 * 1024 * 1024;
/** How long a set that was too large is not tried again. */
const TOO_MANY_MS = 60_000;

interface Known {
  readonly runs: readonly number[];
  readonly serials: string;
  /** Every transaction below this was over when the set was read. */
  readonly since: string;
}

interface ChangedRow {
  readonly run: number;
  readonly matches: boolean | null;
  readonly since: string;
}

const TOO_MANY: Known = { runs: [], serials: '', since: '' };

/**
 * Sets of runs by the values of params and tags: `params.a = 'x' AND tags.b = 'y'`. An index gives each at once, but both
 * together cost what each of them has; so sets are remembered, and asked of the database is only which runs have changed
 * since (`run_change.labelled`). What is remembered is never used without that.
 */
@Injectable()
export class RunMatches {
  private readonly sets = new LRUCache<string, Known>({
    maxSize: MAX_BYTES,
    // An array of small integers, their digits, the key and the entry.
    sizeCalculation: ({ runs, serials }, key) => runs.length * 8 + serials.length + 2 * key.length + 200,
  });

  private readonly shapes = new PreparedShapes();

  constructor(private readonly database: DataSource) {}

  /** The set of a search where it is remembered; right only if `current` says so. */
  recall(query: RunQuery): Recalled | undefined {
    const filters = equalities(query);
    if (filters.length === 0) return undefined;
    if (filters.some(({ field }) => !query.keys.has(field.key))) {
      const none = membersOf(filters, [], '{}');
      return { members: none, current: () => Promise.resolve(none) };
    }
    const key = keyOf(query, filters);
    const known = this.sets.get(key);
    if (known === undefined || known === TOO_MANY) return undefined;
    const members = membersOf(filters, known.runs, known.serials);
    return { members, current: () => this.current(query, key, known, members, filters) };
  }

  private async current(
    query: RunQuery,
    key: string,
    known: Known,
    members: Members,
    filters: readonly Condition[],
  ): Promise<Members | undefined> {
    const changed = await this.changed(changedStatement(query, filters, known.since));
    if (changed.length === 0) return members;
    if (changed.length > MAX_CHANGED) {
      this.sets.delete(key);
      return undefined;
    }
    const matches = new Map(changed.map(({ run, matches }) => [run, matches === true]));
    const kept = known.runs.filter((run) => matches.get(run) !== false);
    const there = new Set(kept);
    const added = changed.filter(({ run, matches }) => matches === true && !there.has(run));
    const { since } = changed[0]!;
    if (added.length > 0 || kept.length < known.runs.length)
      return this.remember(key, filters, [...kept, ...added.map(({ run }) => run)], since);
    this.sets.set(key, { ...known, since });
    return members;
  }

  /** @returns undefined where the set is too large, or no condition makes one. */
  async find(query: RunQuery): Promise<Members | undefined> {
    const filters = equalities(query);
    const key = keyOf(query, filters);
    if (filters.length === 0 || this.sets.get(key) === TOO_MANY) return undefined;
    const { text, values } = membersStatement(query, filters);
    const [found]: { runs: number[]; since: string }[] = await this.database.transaction(async (tx) => {
      // An index answers, whatever the estimates say.
      await tx.query('SET LOCAL enable_seqscan = off');
      return tx.query(text, [...values]);
    });
    const { runs, since } = found!;
    return this.remember(key, filters, runs, since);
  }

  private changed({ text, values }: Statement): Promise<ChangedRow[]> {
    const name = this.shapes.nameOf(text);
    return name === undefined
      ? this.database.query(text, [...values])
      : runPrepared(this.database, { name, text }, values);
  }

  private remember(
    key: string,
    filters: readonly Condition[],
    runs: readonly number[],
    since: string,
  ): Members | undefined {
    if (runs.length > MAX_MEMBERS) {
      this.sets.set(key, TOO_MANY, { ttl: TOO_MANY_MS });
      return undefined;
    }
    const serials = numberArray(runs);
    this.sets.set(key, { runs, serials, since });
    return membersOf(filters, runs, serials);
  }
}

function membersOf(filters: readonly Filter[], runs: readonly number[], serials: string): Members {
  return { filters, count: runs.length, serials };
}

/** Whether a condition of the filter names the value of a param or tag. */
function equalities({ filter }: RunQuery): readonly Condition[] {
  return conjuncts(filter)
    .filter((each): each is Condition => isEquality(each))
    .slice(0, MAX_CONDITIONS);
}

function isEquality(filter: Filter): boolean {
  return (
    filter.kind === 'compare' &&
    filter.operator === '=' &&
    isVolume(filter.field.scope) &&
    filter.field.scope !== 'metric'
  );
}

/** Serials and ids of keys belong to one workspace. */
function keyOf({ experiments, keys }: RunQuery, filters: readonly Condition[]): string {
  const conditions = filters.map((each) => [
    each.field.scope,
    keys.get(each.field.key),
    each.kind === 'compare' ? each.value : null,
  ]);
  return JSON.stringify([experiments, conditions]);
}

/** One row: the runs of the set, up to one more than are remembered. */
function membersStatement(
  { experiments, keys }: RunQuery,
  [first, ...others]: readonly Condition[],
): Statement {
  const parameters = new Parameters();
  const set = (condition: Condition): string => runSet(condition, experiments, keys, parameters)!;
  const tests = others.map((condition) => `run IN (${set(condition)})`);
  const text = `
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS since, ARRAY (
      SELECT run FROM (${set(first!)}) s ${tests.length === 0 ? '' : `WHERE ${tests.join(' AND ')}`} LIMIT ${MAX_MEMBERS + 1}
    ) AS runs`;
  return { text, values: parameters.values };
}

/**
 * The runs whose params or tags may have changed since, and whether they match now. A transaction that the set did not
 * see was not over then, and so is not below the least that was running; `labelled` of what it changed may be that of
 * one that changed it again, which then was not over either.
 */
function changedStatement(query: RunQuery, filters: readonly Condition[], since: string): Statement {
  const parameters = new Parameters();
  const source = { serial: 'c.run', row: 'c' };
  const tests = filters.map((filter) => testSql(filter, source, query.keys, parameters));
  // In the order of the index, so that nothing else is tried: what has changed is few, which no statistics know.
  const text = `
    SELECT c.run, ${tests.join(' AND ')} AS matches, pg_snapshot_xmin(pg_current_snapshot())::text AS since
      FROM unnest(${parameters.add(query.experiments, 'int[]')}) e (serial)
     CROSS JOIN LATERAL (
       SELECT run FROM run_change WHERE experiment = e.serial AND labelled >= ${parameters.add(since, 'xid8')}
        ORDER BY labelled LIMIT ${MAX_CHANGED + 1}) c
     LIMIT ${MAX_CHANGED + 1}`;
  return { text, values: parameters.values };
}
