/** A row that can never be stored, and why. */
export interface Refused<Row> {
  readonly row: Row;
  readonly error: Error;
}

/**
 * Stores a batch; where PostgreSQL refuses some of the rows, all others.
 * @param store all or nothing.
 * @returns the rows that are refused whatever happens.
 * @throws what `store` throws that is not about the rows.
 */
export async function storeOrDivide<Row>(
  rows: readonly Row[],
  store: (rows: readonly Row[]) => Promise<unknown>,
): Promise<Refused<Row>[]> {
  try {
    await store(rows);
    return [];
  } catch (error) {
    if (!isAboutData(error)) throw error;
    if (rows.length === 1) return [{ row: rows[0]!, error: error as Error }];
    const middle = rows.length >> 1;
    const first = await storeOrDivide(rows.slice(0, middle), store);
    return [...first, ...(await storeOrDivide(rows.slice(middle), store))];
  }
}

export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Whether the rows themselves are refused: SQLSTATE class 22 (data exception) or 23 (constraint). Anything else
 * (connection, shutdown, disk full, missing table) passes with time.
 */
function isAboutData(error: unknown): boolean {
  return /^2[23]\w{3}$/.test(codeOf(error) ?? '');
}
