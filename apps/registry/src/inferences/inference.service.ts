import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { validate, version } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import { ArchiveReader } from '../archive/archive-reader.js';
import { PayloadStore, type PayloadPlace } from '../retention/payload-store.js';
import { FeedbackReader } from '../feedback/feedback-reader.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import {
  archivedStatements,
  getStatement,
  listStatement,
  SUMMARY_COLUMNS,
  summaryCondition,
  summaryStatement,
  type Statement,
} from './inference-sql.js';
import type { SummaryDto, SummaryGroupDto, SummaryQuery } from './inference-summary.dto.js';
import type { InferenceDto, InferenceItemDto, InferenceQuery } from './inference.dto.js';
import type { ModelCallDto } from './model-call.dto.js';
import { timeRange } from './time-range.js';

type StoredInference = Omit<InferenceDto, 'feedback' | 'metadata' | 'payload' | 'request' | 'response'> & {
  metadata: string | null;
  request: string | null;
  response: string | null;
  requestDigest: string | null;
  responseDigest: string | null;
  hasPayload: boolean | null;
};

/** Reads inference rows. Only gateways write them. */
@Injectable()
export class InferenceService {
  private readonly logger = new Logger(InferenceService.name);

  constructor(
    private readonly database: DataSource,
    private readonly archive: ArchiveReader,
    private readonly payloads: PayloadStore,
    private readonly feedback: FeedbackReader,
  ) {}

  /** Newest first. @throws DomainError VALIDATION_FAILED (the time range), INVALID_CURSOR. */
  async list(caller: Caller, query: InferenceQuery): Promise<Page<InferenceItemDto>> {
    const before = decodeCursor(query.cursor, isUuid);
    const range = timeRange(query);
    const { workspaceId } = caller;
    const statement = listStatement(workspaceId, range, query, before);
    const stored = await this.read<InferenceItemDto>(statement);
    const rows = await this.archive.newest(workspaceId, range, query.limit + 1, stored, (archive) =>
      archive<InferenceItemDto>(statement),
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.id,
      (row) => row,
    );
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<InferenceDto> {
    const isPossible = validate(id) && version(id) === 7;
    const found = isPossible ? await this.find(caller.workspaceId, id.toLowerCase()) : undefined;
    if (!found)
      throw new DomainError(
        'NOT_FOUND',
        isPossible
          ? `There is no inference ${id}. Rows arrive a moment after the answer: if it is new, try again.`
          : 'The id of an inference is a UUIDv7, as in header x-catena-inference-id.',
      );
    const { hasPayload, requestDigest, responseDigest, metadata, request, response, ...inference } = found;
    const place = { workspaceId: caller.workspaceId, startedAt: new Date(inference.startedAt) };
    const [feedback, given, answered] = await Promise.all([
      this.feedback.about(caller, inference.id),
      this.bodyOf(place, request, requestDigest),
      this.bodyOf(place, response, responseDigest),
    ]);
    const isThere = given !== undefined && answered !== undefined;
    return {
      ...inference,
      feedback,
      payload: hasPayload ? (isThere ? 'stored' : 'unavailable') : 'expired',
      metadata: parsed(metadata ?? null),
      request: parsed(given ?? null),
      response: parsed(answered ?? null),
    };
  }

  /** Compares the chain versions or arms of an endpoint. @throws DomainError VALIDATION_FAILED (the time range). */
  async summarize(caller: Caller, query: SummaryQuery): Promise<SummaryDto> {
    const range = timeRange(query);
    const { workspaceId } = caller;
    const statement = summaryStatement(workspaceId, range, query.endpoint, query.groupBy);
    const stored = await this.read<SummaryGroupDto>(statement);
    const condition = summaryCondition(workspaceId, range, query.endpoint);
    const whole = this.archive.whole<SummaryGroupDto>(
      workspaceId,
      range,
      SUMMARY_COLUMNS,
      condition,
      statement,
    );
    return { groups: (await whole) ?? stored };
  }

  /** Of PostgreSQL; of the archive, what PostgreSQL no longer has of it. */
  private async find(workspaceId: string, id: string): Promise<StoredInference | undefined> {
    const [stored] = await this.read<StoredInference>(getStatement(workspaceId, id));
    if (stored?.hasPayload) return stored;
    const { row, calls } = archivedStatements(workspaceId, id);
    const [archived] = await this.archive.of<StoredInference>(id, 'inferences', workspaceId, row);
    if (!archived) return stored;
    const called = await this.archive.of<{ call: ModelCallDto }>(id, 'model_calls', workspaceId, calls);
    return { ...archived, modelCalls: called.length > 0 ? called.map(({ call }) => call) : null };
  }

  /** @returns undefined where the object store does not give it. */
  private async bodyOf(
    place: PayloadPlace,
    inline: string | null,
    digest: string | null,
  ): Promise<string | null | undefined> {
    if (!digest) return inline;
    try {
      const body = await this.payloads.read(place, digest);
      if (body === undefined)
        this.logger.error(`The object store has no body ${digest} any more, or another.`);
      return body;
    } catch (error) {
      this.logger.warn(`A body could not be read from the object store: ${String(error)}`);
      return undefined;
    }
  }

  private async read<Row>({ text, values }: Statement): Promise<Row[]> {
    return this.database.query(text, [...values]);
  }
}

const isUuid = (key: unknown): key is string => typeof key === 'string' && validate(key);

/** Bodies are kept as sent, and an upstream may have sent anything. */
function parsed(text: string | null): unknown {
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return nestsTooDeeply(value, text.length) ? text : value;
  } catch {
    return text;
  }
}
