import { createHash } from 'node:crypto';

/**
 * Counts and one digest of many small facts, in whatever order they come: the sum of the first 64 bits of each
 * fact's SHA-256. Two sides that hold the same facts have the same fingerprint.
 */
export class Fingerprint {
  readonly counts: Record<string, number> = {};
  private sum = 0n;

  /** @param kind what is counted, for instance `params`. */
  add(kind: string, ...parts: readonly (string | number | null)[]): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    const digest = createHash('sha256')
      .update(JSON.stringify([kind, ...parts.map(String)]))
      .digest();
    this.sum = BigInt.asUintN(64, this.sum + digest.readBigUInt64BE());
  }

  addPairs(kind: string, pairs: Readonly<Record<string, string>>): void {
    for (const [key, value] of Object.entries(pairs)) this.add(kind, key, value);
  }

  toString(): string {
    const sorted = Object.entries(this.counts).sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify({ ...Object.fromEntries(sorted), digest: this.sum.toString(16).padStart(16, '0') });
  }
}
