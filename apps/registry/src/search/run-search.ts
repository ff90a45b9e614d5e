import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Filter, OrderTerm } from '#libs/core/search/ast.js';
import { printFilter, printOrderBy } from '#libs/core/search/print-filter.js';
import { runPrepared } from '#libs/platform/database/prepared.js';
import type { Caller } from '../http/caller.js';
import type { Run } from '../runs/run.entity.js';
import { PreparedShapes } from './prepared-shapes.js';
import { isKeyText, termType, totalOrder, type OrderKey } from './run-order.js';
import {
  demands,
  hasNarrowSet,
  hitOf,
  namesRuns,
  type Hit,
  type HitRow,
  type Lifecycle,
  type RunQuery,
} from './run-query.js';
import { RunMatches, type Members } from './run-matches.js';
import { RunPages } from './run-pages.js';
import { RunReader } from './run-reader.js';
import { sortStatement } from './run-sort.js';
import {
  hasRest,
  isLookup,
  MAX_SORTED_MEMBERS,
  MAX_WALKED_EXPERIMENTS,
  sliceOf,
  slicesOf,
  walkStatement,
  type Slice,
  type Walk,
  type WalkRow,
} from './run-walk.js';
import { SearchCursors } from './search-cursor.js';
import { HEAD_LENGTH, isVolume } from './run-fields.js';

export interface RunSearchGiven {
  /** The experiments searched, all of the caller's workspace. */
  readonly experimentSerials: readonly number[];
  /** See `readFilter`. */
  readonly filter: Filter | null;
  /** See `readOrderBy`. Then, and where it is empty: `start_time` descending, then the run's id. */
  readonly orderBy: readonly OrderTerm[];
  readonly lifecycle: Lifecycle;
  /** Most runs of the page, at least 1. */
  readonly limit: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

/** Serials of the runs of a page, in its order. */
export interface SerialPage {
  readonly serials: readonly number[];
  /** What each was changed by last: as long as that is the same, so is the run with all it logged. */
  readonly changed: readonly (string | null)[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

export interface RunPage {
  readonly runs: readonly Run[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

/** Index entries that the first try of a walk looks at for each run it is to find. */
const TRIAL_FACTOR = 10;
/** The same where an index names few runs that match a part of the filter: sorting them may well be cheaper. */
const NARROW_TRIAL_FACTOR = 3;
/** What a walk costs for each index entry, in the planner's unit: about two look-ups by primary key. */
const ENTRY_COST = 16;
/** A walk of fewer index entries is over sooner than the planner has answered what sorting would cost. */
const WORTH_ASKING = 1_000;
/** Index entries that a walk passes in the time that one member is looked up. */
const ENTRIES_PER_MEMBER = 20;
/** Where more index entries than these would have to be looked at, matching runs are found first and sorted. */
const MAX_WALK = 25_000;

/** Finds runs of experiments by filter and order, page by page. */
@Injectable()
export class RunSearch {
  private readonly shapes = new PreparedShapes();

  constructor(
    private readonly database: DataSource,
    private readonly reader: RunReader,
    private readonly matches: RunMatches,
    private readonly pages: RunPages,
  ) {}

  /** @throws DomainError INVALID_CURSOR. */
  async search(caller: Caller, given: RunSearchGiven): Promise<RunPage> {
    const { serials, nextCursor } = await this.serials(caller, given);
    return { runs: await this.reader.runs(serials), nextCursor };
  }

  /** @throws DomainError INVALID_CURSOR. */
  async serials(caller: Caller, given: RunSearchGiven): Promise<SerialPage> {
    const { filter, lifecycle, limit } = given;
    const experiments = [...new Set(given.experimentSerials)].sort((a, b) => a - b);
    const terms = totalOrder(given.orderBy);
    const cursors = new SearchCursors([
      'runs',
      caller.workspaceId,
      experiments,
      filter && printFilter(filter),
      printOrderBy(given.orderBy),
      lifecycle,
    ]);
    const types = terms.map(({ field }) => termType(field));
    const after = cursors.read(given.cursor, terms.length, (text, index) => isKeyText(types[index]!, text));
    if (experiments.length === 0) return { serials: [], changed: [], nextCursor: null };
    const keys = await this.reader.keyIds(caller, keyNames(filter, terms));
    const query: RunQuery = { workspaceId: caller.workspaceId, experiments, filter, terms, lifecycle, keys };
    const key = `${cursors.digest} ${limit} ${given.cursor ?? ''}`;
    const hits = await this.pages.get(key, query, () => this.findRecalled(query, after, limit + 1));
    const shown = hits.slice(0, limit);
    return {
      serials: shown.map(({ serial }) => serial),
      changed: shown.map(({ changed }) => changed),
      nextCursor: hits.length > limit ? cursors.write(shown.at(-1)!.key) : null,
    };
  }

  /** Searches among what is remembered while the database is asked whether that is still so. */
  private async findRecalled(query: RunQuery, after: OrderKey | undefined, limit: number): Promise<Hit[]> {
    const recalled = this.matches.recall(query);
    if (recalled === undefined) return this.find(query, after, limit);
    const [hits, current] = await Promise.all([
      this.find(query, after, limit, recalled.members),
      recalled.current(),
    ]);
    return current === recalled.members ? hits : this.find(query, after, limit, current);
  }

  /**
   * Walks along the index of the leading term, then, where it is missing, along that of the next. Where a walk finds
   * too little on a long way, the rest of the page is found by sorting, or among the members of a set.
   */
  private async find(
    query: RunQuery,
    after: OrderKey | undefined,
    limit: number,
    members?: Members,
  ): Promise<Hit[]> {
    if (members?.count === 0) return [];
    const hits: Hit[] = [];
    const sorted = async (): Promise<Hit[]> => {
      const rest = await this.sort(query, hits.at(-1)?.key ?? after, limit - hits.length, members);
      return [...hits, ...rest];
    };
    const isSmall = members !== undefined && members.count <= MAX_SORTED_MEMBERS;
    if (query.experiments.length > MAX_WALKED_EXPERIMENTS || namesRuns(query)) return sorted();
    let from = after;
    for (const [level, term] of query.terms.entries()) {
      const slices = slicesOf(query.terms, level);
      if (slices === undefined || (isSmall && !isVolume(term.field.scope))) return sorted();
      const start: Slice = from === undefined ? 'value' : sliceOf(termType(term.field), from[level]!);
      for (const slice of slices) {
        if (rank(slice) < rank(start)) continue;
        const behind = slice === start ? from : undefined;
        const walked = await this.walk(query, level, slice, behind, limit - hits.length, members);
        hits.push(...walked.hits);
        if (walked.members !== undefined) {
          const rest = limit - hits.length;
          return [...hits, ...(await this.find(query, hits.at(-1)?.key ?? after, rest, walked.members))];
        }
        if (!walked.isComplete) return sorted();
        if (hits.length >= limit) return hits;
      }
      if (!hasRest(query.terms, level) || demands(query, term)) return hits;
      if (start !== 'missing') from = undefined;
    }
    return hits;
  }

  /**
   * Walks further and further, as long as the hits so far promise that the page will be full soon.
   * @returns hits, which are `complete` unless sorting is likely to find the others at less cost; with members, unless
   * these were not given and the others are better found among them.
   */
  private async walk(
    query: RunQuery,
    level: number,
    slice: Slice,
    after: OrderKey | undefined,
    limit: number,
    members: Members | undefined,
  ): Promise<{ hits: Hit[]; isComplete: boolean; members?: Members }> {
    const hits: Hit[] = [];
    let walked = 0;
    const isNarrow = hasNarrowSet(query);
    let sortCost: number | undefined;
    const first =
      members === undefined
        ? (isNarrow ? NARROW_TRIAL_FACTOR : TRIAL_FACTOR) * limit
        : members.count * ENTRIES_PER_MEMBER + limit;
    for (let budget = first; ; budget *= 4) {
      const from = hits.at(-1)?.key ?? after;
      const rows = await this.entries({
        query,
        level,
        slice,
        after: from,
        limit: limit - hits.length,
        budget,
        members,
      });
      const found = rows.map((row) => hitOf(row, query.terms.length));
      if (!rows[0]?.edge) return { hits: [...hits, ...found].slice(0, limit), isComplete: true };
      const edge = found.shift()!;
      const seen = hits.length + found.length;
      // What is equal to the edge may have other equals behind it.
      hits.push(...found.filter(({ key }) => leadOf(key, level) !== leadOf(edge.key, level)));
      if (members !== undefined) return { hits, isComplete: false };
      walked += budget;
      const projected = (walked * limit) / seen;
      const isWorthAsking = isNarrow && projected - walked >= WORTH_ASKING;
      const set = isWorthAsking ? await this.matches.find(query) : undefined;
      if (set !== undefined) return { hits, isComplete: false, members: set };
      if (projected > MAX_WALK + TRIAL_FACTOR * limit || walked > MAX_WALK + 2 * TRIAL_FACTOR * limit)
        return { hits, isComplete: false };
      if (!isWorthAsking) continue;
      sortCost ??= await this.sortCost(query, after, limit);
      if (sortCost < (projected - walked) * ENTRY_COST) return { hits, isComplete: false };
    }
  }

  private entries(walk: Walk): Promise<WalkRow[]> {
    const { text, values } = walkStatement(walk);
    // All look-ups by primary key: no value of a parameter makes another plan better.
    const name = isLookup(walk) ? this.shapes.nameOf(text) : undefined;
    return name === undefined
      ? this.database.query(text, [...values])
      : runPrepared(this.database, { name, text }, values);
  }

  /** As the planner estimates it. What a walk costs is seen by walking; what sorting costs, only after it. */
  private async sortCost(query: RunQuery, after: OrderKey | undefined, limit: number): Promise<number> {
    const { text, values } = sortStatement(query, after, limit);
    const rows: { 'QUERY PLAN': { Plan: { 'Total Cost': number } }[] }[] = await this.database.query(
      `EXPLAIN (FORMAT JSON) ${text}`,
      [...values],
    );
    return rows[0]!['QUERY PLAN'][0]!.Plan['Total Cost'];
  }

  private async sort(
    query: RunQuery,
    after: OrderKey | undefined,
    limit: number,
    members: Members | undefined,
  ): Promise<Hit[]> {
    const { text, values } = sortStatement(query, after, limit, members);
    if (members !== undefined) {
      const among: HitRow[] = await this.database.query(text, [...values]);
      return among.map((row) => hitOf(row, query.terms.length));
    }
    const rows: HitRow[] = await this.database.transaction(async (tx) => {
      // An index serves every search; a scan of all rows would be chosen where estimates are wrong.
      await tx.query('SET LOCAL enable_seqscan = off');
      return tx.query(text, [...values]);
    });
    return rows.map((row) => hitOf(row, query.terms.length));
  }
}

/** As far as an index knows it (`param_head_idx`). */
function leadOf(key: OrderKey, level: number): string | null {
  const value = key[level] ?? null;
  if (value === null || value.length <= HEAD_LENGTH) return value;
  return Array.from(value).slice(0, HEAD_LENGTH).join('');
}

function rank(slice: Slice): number {
  return ['value', 'NaN', 'missing'].indexOf(slice);
}

/** Names of the metrics, params and tags that a filter and an order mention. */
function keyNames(filter: Filter | null, terms: readonly OrderTerm[]): string[] {
  const names = new Set<string>();
  const visit = (each: Filter): void => {
    if (each.kind === 'and' || each.kind === 'or') each.operands.forEach(visit);
    else if (isVolume(each.field.scope)) names.add(each.field.key);
  };
  if (filter) visit(filter);
  for (const { field } of terms) if (isVolume(field.scope)) names.add(field.key);
  return [...names];
}
