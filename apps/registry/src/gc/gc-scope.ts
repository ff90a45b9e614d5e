/** What may be removed. */
export interface GcScope {
  /** Only what was deleted before. */
  readonly before: Date;
  /** One workspace; all where undefined. */
  readonly workspaceId?: string | undefined;
  /** Only these runs, by id. */
  readonly runIds?: readonly string[] | undefined;
  /** Only these experiments and what is in them, by number. */
  readonly experimentNumbers?: readonly number[] | undefined;
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 } as const;

/**
 * Milliseconds of a duration as `mlflow gc --older-than` takes it: `30d`, `12h30m`, `1.5d`.
 * @returns undefined for anything else.
 */
export function parseAge(text: string): number | undefined {
  const match = /^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(
    text,
  );
  if (!match || text === '') return undefined;
  const [, d = '0', h = '0', m = '0', s = '0'] = match;
  return Number(d) * UNITS.d + Number(h) * UNITS.h + Number(m) * UNITS.m + Number(s) * UNITS.s;
}

/** SQL: rows of the scope, over aliases `e` (experiment) and, where there is one, `r` (run). */
export function inScope(scope: GcScope, withRun: boolean): { where: string; parameters: unknown[] } {
  return {
    where: `($1::uuid IS NULL OR e.workspace_id = $1) AND ($2::integer[] IS NULL OR e.number = ANY ($2))
            AND ${withRun ? '($3::uuid[] IS NULL OR r.id = ANY ($3))' : '$3::uuid[] IS NULL'}`,
    parameters: [scope.workspaceId ?? null, scope.experimentNumbers ?? null, scope.runIds ?? null],
  };
}
