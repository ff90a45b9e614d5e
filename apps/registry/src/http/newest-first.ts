import { validate } from 'uuid';

/** Keyset position in a list by time, newest first, and then by id: milliseconds since 1970, id. */
export type Place = readonly [timeMs: number, id: string];

/** Years 0 to 9999, as PostgreSQL can be asked for. */
const MAX_TIME_MS = 253_402_300_799_999;

/** Whether something out of a cursor is a place; ids are UUIDs unless said otherwise. */
export const isPlace =
  (isId: (id: string) => boolean = validate) =>
  (key: unknown): key is Place =>
    Array.isArray(key) &&
    key.length === 2 &&
    Number.isSafeInteger(key[0]) &&
    key[0] >= 0 &&
    key[0] <= MAX_TIME_MS &&
    typeof key[1] === 'string' &&
    isId(key[1]);
