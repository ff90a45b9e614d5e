import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { validate, version } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { getStatement, listStatement, summaryStatement, type Statement } from './inference-sql.js';
import type { SummaryDto, SummaryGroupDto, SummaryQuery } from './inference-summary.dto.js';
import type { InferenceDto, InferenceItemDto, InferenceQuery } from './inference.dto.js';
import { timeRange } from './time-range.js';

type StoredInference = Omit<InferenceDto, 'metadata' | 'request' | 'response'> & {
  metadata: string | null;
  request: string;
  response: string | null;
};

/** Reads inference rows. Only gateways write them. */
@Injectable()
export class InferenceService {
  constructor(private readonly database: DataSource) {}

  /** Newest first. @throws DomainError VALIDATION_FAILED (the time range), INVALID_CURSOR. */
  async list(caller: Caller, query: InferenceQuery): Promise<Page<InferenceItemDto>> {
    const before = decodeCursor(query.cursor, isUuid);
    const statement = listStatement(caller.workspaceId, timeRange(query), query, before);
    const rows = await this.read<InferenceItemDto>(statement);
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
    const [found] = isPossible ? await this.read<StoredInference>(getStatement(caller.workspaceId, id)) : [];
    if (!found)
      throw new DomainError(
        'NOT_FOUND',
        isPossible
          ? `There is no inference ${id}. Rows arrive a moment after the answer: if it is new, try again.`
          : 'The id of an inference is a UUIDv7, as in header x-catena-inference-id.',
      );
    return {
      ...found,
      metadata: parsed(found.metadata),
      request: parsed(found.request),
      response: parsed(found.response),
    };
  }

  /** Compares the chain versions or arms of an endpoint. @throws DomainError VALIDATION_FAILED (the time range). */
  async summarize(caller: Caller, query: SummaryQuery): Promise<SummaryDto> {
    const range = timeRange(query);
    const statement = summaryStatement(caller.workspaceId, range, query.endpoint, query.groupBy);
    return { groups: await this.read<SummaryGroupDto>(statement) };
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
