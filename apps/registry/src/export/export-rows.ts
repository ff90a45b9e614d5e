import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ArchiveReader, type Ask } from '../archive/archive-reader.js';
import { METADATA_COLUMNS, PAYLOAD_COLUMNS } from '../archive/archive-tables.js';
import { listCondition } from '../inferences/inference-sql.js';
import type { TimeRange } from '../inferences/time-range.js';
import type { ExportQuery } from './export.dto.js';

/** Columns of the archive's table `inferences`, and `feedback`. */
export interface ExportedRow {
  readonly id: string;
  readonly started_at: Date;
  readonly [column: string]: unknown;
}

const PAGE = 2_000;
/** Payloads weigh anything: a page of them ends where it has so much, but after one row at the earliest. */
const PAYLOAD_PAGE = 500;
const PAGE_BYTES = 8 * 1024 * 1024;

/** Rows of a page: from below `before` down to `least`. */
interface Span {
  readonly before: string | undefined;
  readonly least: string | undefined;
  readonly limit: number;
}

interface Weighed {
  readonly id: string;
  /** Bytes of its payload. */
  readonly weight: number;
}

/** Spans that fit into memory, one by one. A row that comes between weighing and reading has its place in them too. */
function* fittingSpans(before: string | undefined, weighed: readonly Weighed[]): Generator<Span> {
  let bytes = 0;
  let above = before;
  for (const [at, { id, weight }] of weighed.entries()) {
    bytes += weight;
    const next = weighed[at + 1];
    if (next && bytes + next.weight <= PAGE_BYTES) continue;
    yield { before: above, least: id, limit: 2 * PAYLOAD_PAGE };
    above = id;
    bytes = 0;
  }
}

/** The rows of an export, newest first, page by page: nothing is held open between pages, in memory is one of them. */
@Injectable()
export class ExportRows {
  constructor(
    private readonly database: DataSource,
    private readonly archive: ArchiveReader,
  ) {}

  /** @param gone ends the work. */
  async *pages(
    workspaceId: string,
    range: TimeRange,
    query: ExportQuery,
    gone: AbortSignal,
  ): AsyncGenerator<ExportedRow[]> {
    const columns = columnsOf(query.payloads);
    const read = async (span: Span): Promise<ExportedRow[]> => {
      const rows = await this.page<ExportedRow>(workspaceId, range, query, span, columns, gone);
      if (query.feedback && rows.length > 0) await this.addFeedback(workspaceId, rows);
      return rows;
    };
    const limit = query.payloads ? PAYLOAD_PAGE : PAGE;
    let before: string | undefined;
    for (let found = limit; found === limit;) {
      const span: Span = { before, least: undefined, limit };
      if (query.payloads) {
        const weighed = await this.page<Weighed>(workspaceId, range, query, span, WEIGHT, gone);
        for (const fitting of fittingSpans(before, weighed)) yield await read(fitting);
        found = weighed.length;
        before = weighed.at(-1)?.id;
      } else {
        const rows = await read(span);
        if (rows.length > 0) yield rows;
        found = rows.length;
        before = rows.at(-1)?.id;
      }
    }
  }

  private async page<Row extends { id: string }>(
    workspaceId: string,
    range: TimeRange,
    query: ExportQuery,
    { before, least, limit }: Span,
    columns: Columns,
    gone: AbortSignal,
  ): Promise<Row[]> {
    const condition = () => {
      const { text, values, bind } = listCondition(workspaceId, range, query, before);
      return { text: least === undefined ? text : `${text} AND id >= ${bind(least)}`, values, bind };
    };
    const { text, values, bind } = condition();
    const stored = await this.read<Row>(columns.stored(text, bind(limit)), values);
    const read = async (archive: Ask): Promise<Row[]> => {
      const narrow = condition();
      if (!columns.areWide)
        return archive<Row>({
          text: columns.archived(narrow.text, narrow.bind(limit)),
          values: narrow.values,
        });
      // The ids first: then what is read of the wide columns is what is wanted.
      const ids = await archive<{ id: string }>({
        text: `SELECT id FROM inference WHERE ${narrow.text} ORDER BY id DESC LIMIT ${narrow.bind(limit)}`,
        values: narrow.values,
      });
      const last = ids.at(-1)?.id;
      if (last === undefined) return [];
      const wide = condition();
      return archive<Row>({
        text: columns.archived(`${wide.text} AND id >= ${wide.bind(last)}`, wide.bind(limit)),
        values: wide.values,
      });
    };
    return this.archive.newest(workspaceId, range, limit, stored, read, gone);
  }

  private async addFeedback(workspaceId: string, rows: ExportedRow[]): Promise<void> {
    const found = await this.database.query<{ id: string; feedback: string }[]>(
      `SELECT matched_inference_id AS id,
              json_agg(json_build_object(
                'event_id', event_id, 'name', name, 'kind', kind, 'number_value', number_value,
                'text_value', text_value, 'source', source, 'source_id', source_id, 'comment', comment,
                'given_at', given_at) ORDER BY name)::text AS feedback
         FROM feedback
        WHERE workspace_id = $1 AND latest AND matched_inference_id = ANY($2)
          AND matched_started_at BETWEEN $3 AND $4
        GROUP BY 1`,
      [workspaceId, rows.map(({ id }) => id), rows.at(-1)?.started_at, rows[0]?.started_at],
    );
    const byId = new Map(found.map(({ id, feedback }) => [id, feedback]));
    for (const [at, row] of rows.entries()) rows[at] = { ...row, feedback: byId.get(row.id) ?? null };
  }

  private read<Row>(text: string, values: readonly unknown[]): Promise<Row[]> {
    return this.database.query(text, [...values]);
  }
}

/** What is read of rows, of both sides of the border. The page is cut before payloads are looked for. */
interface Columns {
  readonly areWide: boolean;
  stored(condition: string, limit: string): string;
  archived(condition: string, limit: string): string;
}

/** JSON as it is stored, like the bodies. */
const asText = (name: string): string => (name === 'contract_rungs' ? `${name}::text AS ${name}` : name);

const pageOf = (columns: readonly string[], condition: string, limit: string): string =>
  `SELECT ${columns.map(asText).join(', ')} FROM inference WHERE ${condition} ORDER BY id DESC LIMIT ${limit}`;

const withPayload = (columns: string, page: string): string =>
  `SELECT ${columns} FROM (${page}) i
     LEFT JOIN inference_payload p ON p.id = i.id AND p.started_at = i.started_at ORDER BY i.id DESC`;

function columnsOf(payloads: boolean): Columns {
  const names = payloads ? [...METADATA_COLUMNS, ...PAYLOAD_COLUMNS] : METADATA_COLUMNS;
  const payload = PAYLOAD_COLUMNS.map((name) => `p.${name}`).join(', ');
  return {
    areWide: payloads,
    archived: (condition, limit) => pageOf(names, condition, limit),
    stored: (condition, limit) => {
      const page = pageOf(METADATA_COLUMNS, condition, limit);
      return payloads ? withPayload(`i.*, ${payload}`, page) : page;
    },
  };
}

const bytesOf = (length: string, prefix: string): string =>
  PAYLOAD_COLUMNS.map((name) => `coalesce(${length}(${prefix}${name}), 0)`).join(' + ');

const WEIGHT: Columns = {
  areWide: true,
  archived: (condition, limit) =>
    `SELECT id, ${bytesOf('strlen', '')} AS weight FROM inference WHERE ${condition} ORDER BY id DESC LIMIT ${limit}`,
  stored: (condition, limit) =>
    withPayload(
      `i.id, ${bytesOf('octet_length', 'p.')} AS weight`,
      pageOf(['id', 'started_at'], condition, limit),
    ),
};
