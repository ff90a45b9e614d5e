import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { DuckDBInstance, DuckDBResultReader, DuckDBType, DuckDBValue } from '@duckdb/node-api';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';

/** More wait for one to end: each may use all of the memory. */
const MAX_QUERIES = 2;
const MAX_WAITING = 64;
const STALE_MS = 86_400_000;
const SWEEP_MS = 3_600_000;

/** One connection of DuckDB, for one purpose. */
export interface Duck {
  /** Runs a statement. `$1`, `$2`… are bound: strings, whole numbers, booleans, dates. */
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/**
 * DuckDB in this process: loaded on first use, in memory, without extensions, without the network, and able to open
 * nothing but files below `directory`. What does not fit into CATENA_DUCKDB_MEMORY_BYTES is spilled there.
 */
@Injectable()
export class DuckDb implements OnApplicationShutdown {
  /** Where files for it lie. */
  readonly directory: string;
  private readonly memoryBytes: number;
  private readonly timeoutMs: number;
  private readonly spill = `spill-${randomUUID()}`;
  private instance: Promise<DuckDBInstance> | undefined;
  private sweepDueMs = 0;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(@Inject(SETTINGS_TOKEN) settings: Settings) {
    this.directory = join(settings.CATENA_DATA_DIR, 'archive');
    this.memoryBytes = settings.CATENA_DUCKDB_MEMORY_BYTES;
    this.timeoutMs = settings.CATENA_STATEMENT_TIMEOUT_MS;
  }

  /**
   * A connection for a caller who waits for the answer: in turn with other callers, and until `limit` is aborted.
   * `work` may go on after that, until its next statement.
   * @throws DomainError SEARCH_TOO_SLOW.
   */
  async ask<T>(work: (duck: Duck) => Promise<T>, limit?: AbortSignal): Promise<T> {
    if (!limit) return this.limited((own) => this.ask(work, own));
    await this.turn();
    let giveUp = (): void => undefined;
    const late = new Promise<never>((_, reject) => {
      giveUp = () => reject(tooSlow(`longer than ${this.timeoutMs} ms`));
    });
    limit.addEventListener('abort', giveUp);
    if (limit.aborted) giveUp();
    const done = this.connected(work, limit).finally(() => {
      limit.removeEventListener('abort', giveUp);
      this.running--;
      this.waiting.shift()?.();
    });
    try {
      return await Promise.race([done, late]);
    } catch (error) {
      done.catch(() => undefined); // it was answered already
      if (!/out of memory/iu.test(String(error))) throw error;
      throw Object.assign(tooSlow('more memory than CATENA_DUCKDB_MEMORY_BYTES'), { cause: error });
    }
  }

  /** Several questions of one caller: they are to end when it has waited for as long as one statement may take, or has gone. */
  async limited<T>(work: (limit: AbortSignal) => Promise<T>, gone?: AbortSignal): Promise<T> {
    const limit = new AbortController();
    const end = () => limit.abort();
    const timer = this.timeoutMs > 0 ? setTimeout(end, this.timeoutMs) : undefined;
    gone?.addEventListener('abort', end);
    if (gone?.aborted) end();
    try {
      return await work(limit.signal);
    } finally {
      clearTimeout(timer);
      gone?.removeEventListener('abort', end);
    }
  }

  /** A connection for work that takes as long as it takes, or until it is aborted. */
  work<T>(work: (duck: Duck) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.connected(work, signal);
  }

  /** A path for a file of its own, to be removed by who asks for it. What a killed process left goes after a day. */
  async newPath(extension: string): Promise<string> {
    await this.start();
    const work = join(this.directory, 'work');
    if (performance.now() >= this.sweepDueMs) {
      this.sweepDueMs = performance.now() + SWEEP_MS;
      await removeStale(work, this.spill);
    }
    return join(work, `${randomUUID()}.${extension}`);
  }

  onApplicationShutdown(): void {
    void this.instance?.then(
      (instance) => instance.closeSync(),
      () => undefined,
    );
  }

  private async connected<T>(work: (duck: Duck) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const connection = await (await this.start()).connect();
    const interrupt = () => connection.interrupt();
    signal?.addEventListener('abort', interrupt);
    try {
      return await work({
        query: async <Row>(text: string, values: readonly unknown[] = []) => {
          signal?.throwIfAborted();
          const [bound, types] = await bind(values);
          return rowsOf(await connection.runAndReadAll(text, [...bound], [...types])) as Row[];
        },
      });
    } finally {
      signal?.removeEventListener('abort', interrupt);
      connection.closeSync();
    }
  }

  private async turn(): Promise<void> {
    if (this.waiting.length >= MAX_WAITING) throw tooSlow('too many queries at a time');
    if (this.running >= MAX_QUERIES) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.running++;
  }

  private start(): Promise<DuckDBInstance> {
    this.instance ??= this.open().catch((error: unknown) => {
      this.instance = undefined;
      throw error;
    });
    return this.instance;
  }

  private async open(): Promise<DuckDBInstance> {
    const work = join(this.directory, 'work');
    await mkdir(work, { recursive: true, mode: 0o700 });
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(availableParallelism()),
      memory_limit: `${this.memoryBytes}B`,
      temp_directory: join(work, this.spill),
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      allow_community_extensions: 'false',
    });
    const connection = await instance.connect();
    await connection.run(`SET GLOBAL TimeZone = 'UTC'`);
    // In this order: each makes the next impossible to take back.
    await connection.run(`SET allowed_directories = [${quoted(`${this.directory}/`)}]`);
    await connection.run('SET enable_external_access = false');
    await connection.run('SET lock_configuration = true');
    connection.closeSync();
    return instance;
  }
}

function tooSlow(why: string): DomainError {
  return new DomainError(
    'SEARCH_TOO_SLOW',
    `The archived days of the range would take ${why}; ask for a shorter range, or try again later.`,
  );
}

/** A text as a literal of SQL, for what takes no parameters: paths, which are ours. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function removeStale(directory: string, except: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name === except) continue;
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined); // its owner was faster
    if (found && found.mtimeMs < Date.now() - STALE_MS) await rm(path, { recursive: true, force: true });
  }
}

async function bind(values: readonly unknown[]) {
  const { BIGINT, BOOLEAN, TIMESTAMPTZ, VARCHAR, timestampTZValue } = await import('@duckdb/node-api');
  const bound = values.map((value): [DuckDBValue, DuckDBType] => {
    if (value instanceof Date) return [timestampTZValue(BigInt(value.getTime()) * 1000n), TIMESTAMPTZ];
    if (typeof value === 'number') return [BigInt(value), BIGINT];
    if (typeof value === 'boolean') return [value, BOOLEAN];
    return [String(value), VARCHAR];
  });
  return [bound.map(([value]) => value), bound.map(([, type]) => type)] as const;
}

/** Rows as the driver of PostgreSQL gives them: numbers, dates, and JSON parsed. */
function rowsOf(reader: DuckDBResultReader): Record<string, unknown>[] {
  const types = reader.columnTypes();
  const isJson = new Set(reader.columnNames().filter((_, at) => types[at]!.alias === 'JSON'));
  return reader.getRowObjectsJS().map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => {
        if (typeof value === 'bigint') return [name, Number(value)];
        return [name, isJson.has(name) && typeof value === 'string' ? JSON.parse(value) : value];
      }),
    ),
  );
}
