import type { DataSource, EntityManager } from 'typeorm';
import type { ImportRecords, Noun } from './import-records.js';
import { fingerprintOfLoggedModel } from './logged-model-import.js';
import { fingerprintOfEntry } from './registry-import.js';
import { fingerprintOfRun } from './run-import.js';

export interface Verdict {
  /** By kind of fact: how many the source had, and how many of them are here. */
  readonly counts: Record<string, { source: number; here: number }>;
  readonly mismatches: string[];
}

/** Reads back everything that was brought, now or earlier, and compares it with what the source said. */
export async function verify(database: DataSource, records: ImportRecords): Promise<Verdict> {
  const verdict: Verdict = { counts: {}, mismatches: [] };
  const ask: [Noun, (manager: EntityManager, id: string) => Promise<string | undefined>][] = [
    ['run', fingerprintOfRun],
    ['logged model', fingerprintOfLoggedModel],
    ['model', fingerprintOfEntry],
  ];
  for (const [noun, fingerprint] of ask)
    for await (const { sourceId, targetId, fingerprint: said } of records.all(noun)) {
      const here = await fingerprint(database.manager, targetId);
      addCounts(verdict, 'source', said);
      addCounts(verdict, 'here', here);
      if (said === null) verdict.mismatches.push(`${noun} ${sourceId} was brought in part only`);
      else if (here === undefined) verdict.mismatches.push(`${noun} ${sourceId} is gone here`);
      else if (here !== said)
        verdict.mismatches.push(`${noun} ${sourceId} differs: the source has ${said}, here is ${here}`);
    }
  return verdict;
}

function addCounts(verdict: Verdict, side: 'source' | 'here', fingerprint: string | null | undefined): void {
  if (!fingerprint) return;
  const { digest: _, ...counts } = JSON.parse(fingerprint) as Record<string, number>;
  for (const [kind, count] of Object.entries(counts)) {
    const total = (verdict.counts[kind] ??= { source: 0, here: 0 });
    total[side] += count;
  }
}
