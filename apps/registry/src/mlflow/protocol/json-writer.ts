import type { Int64 } from '../../metrics/int64.js';

/** An answer that is written as it is made, for those of any length: the chunks are the text of one JSON object. */
export class Streamed {
  constructor(readonly chunks: AsyncIterable<string>) {}
}

/** An answer that is written already: the text of one JSON object. */
export class Written {
  constructor(readonly text: string) {}
}

/** Free-form JSON in an answer: written as it is, empty lists and all. */
export class Verbatim {
  constructor(private readonly value: unknown) {}
  toJSON(): unknown {
    return this.value;
  }
}

/**
 * Writes an answer as MLflow's server does: unset fields and empty lists are left out (an empty search is `{}`), doubles
 * that JSON lacks are the strings "NaN", "Infinity" and "-Infinity", and int64 are numbers (those beyond 2^53
 * as bigint, see `int64Json`).
 */
export function writeJson(answer: object): string {
  return JSON.stringify(pruned(answer));
}

/** The value itself where nothing has to change, which is nearly always: answers hold tens of thousands of values. */
function pruned(value: unknown): unknown {
  if (typeof value === 'number') {
    if (Object.is(value, -0)) return rawJson('-0.0');
    return Number.isFinite(value) ? value : String(value);
  }
  if (typeof value === 'bigint') return rawJson(String(value));
  if (typeof value !== 'object' || value instanceof Verbatim) return value;
  if (value === null) return undefined;
  if (value instanceof Date) throw new TypeError('Answers hold milliseconds or text, not dates.');
  return Array.isArray(value) ? prunedList(value) : prunedObject(value as Record<string, unknown>);
}

function prunedList(list: readonly unknown[]): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < list.length; index++) {
    const kept = pruned(list[index]);
    if (kept === list[index]) continue;
    copy ??= [...list];
    copy[index] = kept;
  }
  return copy ?? list;
}

function prunedObject(object: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const key in object) {
    const value = object[key];
    const kept = Array.isArray(value) && value.length === 0 ? undefined : pruned(value);
    if (kept === value) continue;
    copy ??= { ...object };
    copy[key] = kept;
  }
  return copy ?? object;
}

/** `JSON.rawJSON` writes digits as they are: https://github.com/tc39/proposal-json-parse-with-source */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** Writes an int64 as a number, all its digits. */
export function int64Json(value: Int64): number | bigint {
  return typeof value === 'number' ? value : BigInt(value);
}

/** A double as `writeJson` writes it. */
export function doubleText(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0.0' : String(value);
  return `"${value}"`;
}
