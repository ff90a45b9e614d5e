import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { VersionLookup } from '../../entries/versions/version-lookup.js';
import type { Caller } from '../../http/caller.js';
import { VERSION_TAGS, versionTag } from '../run-tags.js';

/** A version that a run evaluated, as a caller names it. */
export interface VersionGiven {
  readonly kind: Kind;
  readonly name: string;
  /** A number; or an alias, which is pinned when it is written. */
  readonly version?: number;
  readonly alias?: string;
}

export interface EvaluatedVersion {
  readonly versionId: string;
  readonly kind: Kind;
  readonly name: string;
  readonly version: number;
}

const MAX_VERSIONS = 50;
/** The first reference of a list. A name may contain commas, an alias may not. */
const REFERENCE = /^\s*([^/:\p{Cc}]{1,256}?@[\p{L}\p{N}_.-]{1,255})\s*(?:,|$)/u;

/** Which prompt, model and chain versions a run evaluated. Tags of the MLflow protocol say the same. */
@Injectable()
export class RunVersions {
  constructor(private readonly lookup: VersionLookup) {}

  /** @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED; VALIDATION_FAILED for more than 50. */
  async resolve(
    caller: Caller,
    given: readonly VersionGiven[],
    tx: EntityManager,
  ): Promise<EvaluatedVersion[]> {
    if (given.length > MAX_VERSIONS)
      throw new DomainError('VALIDATION_FAILED', `/versions has more than ${MAX_VERSIONS} elements.`, [
        { path: '/versions', message: `must have at most ${MAX_VERSIONS} elements` },
      ]);
    const found: EvaluatedVersion[] = [];
    for (const [index, { kind, name, version, alias }] of given.entries()) {
      if ((version === undefined) === (alias === undefined))
        throw new DomainError(
          'VALIDATION_FAILED',
          `/versions/${index} must have either a number (version) or an alias.`,
          [{ path: `/versions/${index}`, message: 'must have either version or alias' }],
        );
      found.push(await this.one(caller, kind, `${name}@${version ?? alias}`, `/versions/${index}`, tx));
    }
    return found;
  }

  /**
   * What the tags `catena.chain`, `catena.prompt` and `catena.model` name: `name@3` or `name@alias`, several separated
   * by commas; an empty value names none.
   * @returns the versions of each kind whose tag is among `tags`.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, VALIDATION_FAILED.
   */
  async fromTags(
    caller: Caller,
    tags: ReadonlyMap<string, string>,
    tx: EntityManager,
  ): Promise<Map<Kind, EvaluatedVersion[]>> {
    const byKind = new Map<Kind, EvaluatedVersion[]>();
    for (const [tag, kind] of VERSION_TAGS) {
      const value = tags.get(tag);
      if (value === undefined) continue;
      const found: EvaluatedVersion[] = [];
      for (let rest = value; rest.trim() !== '';) {
        const [whole, reference] = REFERENCE.exec(rest) ?? [];
        if (whole === undefined || reference === undefined || found.length === MAX_VERSIONS)
          throw new DomainError(
            'VALIDATION_FAILED',
            `The tag ${tag} must name at most ${MAX_VERSIONS} versions as name@3 or name@alias, separated by commas; "${rest.slice(0, 80)}" does not.`,
            [{ path: `/tags/${tag}`, message: 'must be name@3 or name@alias, separated by commas' }],
          );
        found.push(await this.one(caller, kind, reference, `/tags/${tag}`, tx));
        rest = rest.slice(whole.length);
      }
      byKind.set(kind, found);
    }
    return byKind;
  }

  /** Replaces what the run evaluated of these kinds. Rows are written in one order, so that nothing deadlocks. */
  async replace(
    runSerial: number,
    byKind: ReadonlyMap<Kind, readonly EvaluatedVersion[]>,
    tx: EntityManager,
  ): Promise<void> {
    if (byKind.size === 0) return;
    await tx.query(
      `DELETE FROM run_version rv USING version v, entry e
        WHERE rv.run = $1 AND v.id = rv.version_id AND e.id = v.entry_id AND e.kind = ANY ($2::text[])`,
      [runSerial, [...byKind.keys()]],
    );
    await tx.query(
      `INSERT INTO run_version (run, version_id)
       SELECT $1, id FROM unnest($2::uuid[]) id ORDER BY id ON CONFLICT DO NOTHING`,
      [runSerial, [...byKind.values()].flat().map(({ versionId }) => versionId)],
    );
  }

  private async one(
    caller: Caller,
    kind: Kind,
    reference: string,
    path: string,
    tx: EntityManager,
  ): Promise<EvaluatedVersion> {
    const { versionId, name, version } = await this.lookup.get(caller, kind, reference, path, tx);
    return { versionId, kind, name, version };
  }
}

/** The tags that say the same as these versions. */
export function tagsOfVersions(versions: readonly EvaluatedVersion[]): Map<string, string> {
  const tags = new Map<string, string>();
  for (const { kind, name, version } of versions) {
    const before = tags.get(versionTag(kind));
    tags.set(versionTag(kind), `${before === undefined ? '' : `${before},`}${name}@${version}`);
  }
  return tags;
}
