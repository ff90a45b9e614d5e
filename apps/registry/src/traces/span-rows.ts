import type { EntityManager } from 'typeorm';
import type { TraceSketch } from './span-batch.js';

/** Writes spans in order of (trace, span id). Their traces are locked by then. */
export async function upsertSpans(
  tx: EntityManager,
  traces: ReadonlyMap<string, { readonly serial: number; readonly experiment: number }>,
  sketches: readonly TraceSketch[],
): Promise<void> {
  const rows = sketches.flatMap((sketch) => {
    const trace = traces.get(sketch.traceId)!;
    return sketch.spans.map((span) => ({ ...span, ...trace }));
  });
  const column = <T>(read: (row: (typeof rows)[number]) => T): T[] => rows.map(read);
  const finite = (figure: number | undefined): number | null =>
    figure !== undefined && Number.isFinite(figure) ? figure : null;
  await tx.query(
    `INSERT INTO span (trace, experiment, span_id, parent_id, name, type, status, start_ns, end_ns, model, model_provider,
                       usage, input_cost, output_cost, total_cost, content)
     SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                          $9::bigint[], $10::text[], $11::text[], $12::json[], $13::float8[], $14::float8[], $15::float8[],
                          $16::json[])
     ON CONFLICT ON CONSTRAINT span_pk DO UPDATE SET
       experiment = excluded.experiment, parent_id = excluded.parent_id, name = excluded.name, type = excluded.type,
       status = excluded.status, start_ns = excluded.start_ns, end_ns = excluded.end_ns, model = excluded.model,
       model_provider = excluded.model_provider, usage = excluded.usage, input_cost = excluded.input_cost,
       output_cost = excluded.output_cost, total_cost = excluded.total_cost, content = excluded.content`,
    [
      column((row) => row.serial),
      column((row) => row.experiment),
      column((row) => row.spanId),
      column((row) => row.parentId),
      column((row) => row.name),
      column((row) => row.type),
      column((row) => row.status),
      column((row) => String(row.startNs)),
      column((row) => (row.endNs === null ? null : String(row.endNs))),
      column((row) => row.model),
      column((row) => row.modelProvider),
      column((row) =>
        row.tokens === undefined && row.cost === undefined
          ? null
          : JSON.stringify({ tokens: row.tokens, cost: row.cost }),
      ),
      column((row) => finite(row.cost?.['input_cost'])),
      column((row) => finite(row.cost?.['output_cost'])),
      column((row) => finite(row.cost?.['total_cost'])),
      column((row) => row.content),
    ],
  );
}

/** The spans of traces, whole, as the text that was stored: the root first, then by start. */
export async function readSpans(
  manager: EntityManager,
  serials: readonly number[],
): Promise<Map<number, string[]>> {
  const rows: { trace: number; content: string }[] = await manager.query(
    `SELECT trace, content::text FROM span WHERE trace = ANY($1)
      ORDER BY trace, parent_id IS NOT NULL, start_ns, span_id`,
    [serials],
  );
  const spans = new Map<number, string[]>();
  for (const { trace, content } of rows) {
    const list = spans.get(trace);
    if (list) list.push(content);
    else spans.set(trace, [content]);
  }
  return spans;
}
