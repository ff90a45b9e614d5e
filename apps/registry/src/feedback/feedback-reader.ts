import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { timeRange } from '../inferences/time-range.js';
import { listStatement, summaryStatement } from './feedback-sql.js';
import type {
  FeedbackSummaryDto,
  FeedbackSummaryGroupDto,
  FeedbackSummaryQuery,
} from './feedback-summary.dto.js';
import type { FeedbackDto, FeedbackQuery } from './feedback.dto.js';

const MAX_ABOUT = 200;

/** Reads judgements. */
@Injectable()
export class FeedbackReader {
  constructor(private readonly database: DataSource) {}

  /** Received last first. @throws DomainError VALIDATION_FAILED (the time range), INVALID_CURSOR. */
  async list(caller: Pick<Caller, 'workspaceId'>, query: FeedbackQuery): Promise<Page<FeedbackDto>> {
    const before = decodeCursor(query.cursor, (key): key is string => validate(key));
    const statement = listStatement(caller.workspaceId, query, receivedIn(query), before);
    const rows: FeedbackDto[] = await this.database.query(statement.text, [...statement.values]);
    return pageOf(
      rows,
      query.limit,
      (row) => row.id,
      (row) => row,
    );
  }

  /** What is said about one inference, received last first; at most `MAX_ABOUT`. */
  async about(caller: Pick<Caller, 'workspaceId'>, inferenceId: string): Promise<FeedbackDto[]> {
    const query = { inferenceId, limit: MAX_ABOUT - 1 };
    const statement = listStatement(caller.workspaceId, query, undefined, undefined);
    return this.database.query(statement.text, [...statement.values]);
  }

  /** Compares chain versions or arms. @throws DomainError VALIDATION_FAILED (the time range). */
  async summarize(caller: Caller, query: FeedbackSummaryQuery): Promise<FeedbackSummaryDto> {
    const statement = summaryStatement(caller.workspaceId, timeRange(query), query);
    const groups: FeedbackSummaryGroupDto[] = await this.database.query(statement.text, [
      ...statement.values,
    ]);
    return { groups };
  }
}

function receivedIn({ from, to, inferenceId, clientRequestId, unit }: FeedbackQuery) {
  if (from !== undefined && to !== undefined) return timeRange({ from, to });
  if (from === undefined && to === undefined && (inferenceId ?? clientRequestId ?? unit) !== undefined)
    return undefined;
  const missing = from === undefined ? 'from' : 'to';
  throw new DomainError(
    'VALIDATION_FAILED',
    `The request is not valid: /${missing} is missing. Give \`from\` and \`to\`, or neither and an inference, a request or a unit.`,
    [{ path: `/${missing}`, message: 'is missing' }],
  );
}
