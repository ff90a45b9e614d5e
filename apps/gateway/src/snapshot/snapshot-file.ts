import { createHash, type Hash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { KeyRing, type ApiKeyRecord } from '../callers/key-ring.js';
import type { LimitRecord } from '../limits/limit-record.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { LoadedEndpoint, LoadedModelEndpoint, LoadedSnapshot } from './loaded-snapshot.js';
import { recordsOf, type SnapshotRecord } from './snapshot-records.js';
import type { SnapshotBuilder } from './snapshot-builder.js';
import { snapshotOf } from './snapshot-loader.js';
import type { Head } from './snapshot-reader.js';
import { keyIn } from './workspace-key.js';

const FORMAT = 'catena-gateway-snapshot';
/** Raise it when a record changes its shape; a file of another version is ignored. */
const FORMAT_VERSION = 2;
/** Encoded in one turn of the event loop: about a millisecond. */
const CHUNK_CHARACTERS = 64 * 1024;
/** Rest between two turns, so that requests wait for saving no longer than for each other. */
const REST_MS = 3;

interface Header extends Head {
  readonly format: string;
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly savedAt: number;
}

/**
 * The last snapshot on the disk: NDJSON with a header, one record per line, and a footer `{count, sha256}` over all
 * bytes before it. Written beside and renamed, so that a crash leaves the file before. Credentials are in it as
 * ciphertext only, and API keys as digests; the file is readable by its owner only.
 */
@Injectable()
export class SnapshotFile {
  readonly path: string;

  constructor(
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.path = join(settings.CATENA_DATA_DIR, 'gateway', 'snapshot.ndjson');
  }

  /** @throws Error of the file system. */
  async save(snapshot: LoadedSnapshot): Promise<void> {
    const temporary = `${this.path}.tmp`;
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'w', 0o600);
    try {
      const hash = createHash('sha256');
      const { epoch, seq, stamp } = snapshot;
      const header: Header = {
        format: FORMAT,
        version: FORMAT_VERSION,
        epoch,
        seq,
        stamp,
        savedAt: Date.now(),
      };
      let text = line(header);
      let count = 0;
      const flush = async () => {
        const bytes = Buffer.from(text);
        hash.update(bytes);
        text = '';
        await file.write(bytes);
      };
      for (const record of recordsOf(snapshot)) {
        text += line(record);
        count++;
        if (text.length < CHUNK_CHARACTERS) continue;
        await flush();
        await sleep(REST_MS);
      }
      await flush();
      await file.write(line({ count, sha256: hash.digest('hex') }));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.path);
    await syncDirectory(dirname(this.path));
  }

  /** The snapshot on the disk; undefined when there is none, or (with a warning) when it is not intact. */
  async load(builder: SnapshotBuilder): Promise<{ snapshot: LoadedSnapshot; savedAt: number } | undefined> {
    try {
      return parse(await readFile(this.path), builder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      this.logger.warn({ err: error, path: this.path }, 'snapshot on disk is not usable and is ignored');
      return undefined;
    }
  }
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** The name of a renamed file is on the disk only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const NEWLINE = 0x0a;

function parse(bytes: Buffer, builder: SnapshotBuilder): { snapshot: LoadedSnapshot; savedAt: number } {
  if (bytes.at(-1) !== NEWLINE) throw new Error('The last line is cut off.');
  const footerStart = bytes.lastIndexOf(NEWLINE, bytes.length - 2) + 1;
  const body = bytes.subarray(0, footerStart);
  const footer = JSON.parse(bytes.toString('utf8', footerStart)) as { count?: number; sha256?: string };
  const hash: Hash = createHash('sha256').update(body);
  if (footer.sha256 !== hash.digest('hex')) throw new Error('The checksum does not match.');

  const lines = linesOf(body);
  const header = JSON.parse(lines.next().value ?? '{}') as Header;
  if (header.format !== FORMAT || header.version !== FORMAT_VERSION)
    throw new Error(`Format ${header.format} ${header.version} is not ${FORMAT} ${FORMAT_VERSION}.`);
  const endpoints = new Map<string, LoadedEndpoint>();
  const modelEndpoints = new Map<string, LoadedModelEndpoint>();
  const apiKeys: ApiKeyRecord[] = [];
  const limits = new Map<string, LimitRecord>();
  let count = 0;
  for (const text of lines) {
    count++;
    const record = JSON.parse(text) as SnapshotRecord;
    if ('prompt' in record) builder.addPrompt(record.prompt);
    else if ('chain' in record) builder.addChain(record.chain);
    else if ('modelEndpoint' in record)
      modelEndpoints.set(
        keyIn(record.modelEndpoint.workspaceId, record.modelEndpoint.name),
        builder.modelEndpoint(record.modelEndpoint),
      );
    else if ('apiKey' in record) apiKeys.push(record.apiKey);
    else if ('limit' in record) limits.set(record.limit.id, record.limit);
    else {
      const endpoint = builder.endpoint(record.endpoint);
      if (endpoint) endpoints.set(keyIn(endpoint.workspaceId, endpoint.name), endpoint);
    }
  }
  if (footer.count !== count) throw new Error(`It has ${count} records, its footer says ${footer.count}.`);
  const keyRing = KeyRing.EMPTY.with([], apiKeys);
  return {
    snapshot: snapshotOf(header, { endpoints, modelEndpoints, keyRing, limits }),
    savedAt: header.savedAt,
  };
}

function* linesOf(bytes: Buffer): Generator<string, undefined> {
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(NEWLINE, start);
    yield bytes.toString('utf8', start, end);
    start = end + 1;
  }
  return undefined;
}
