import { Injectable } from '@nestjs/common';
import type { Kind } from '#libs/core/content/schemas.js';
import type { Caller } from '../../http/caller.js';
import { diffContents } from './content-diff.js';
import type { DiffDto, DiffQuery } from './diff.dto.js';
import { VersionReader } from '../versions/version.reader.js';

/** Compares two versions of one entry. */
@Injectable()
export class DiffService {
  constructor(private readonly versions: VersionReader) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, kind: Kind, name: string, query: DiffQuery): Promise<DiffDto> {
    const from = await this.versions.find(caller, kind, name, query.from);
    const to = await this.versions.find(caller, kind, name, query.to);
    return {
      kind,
      name,
      from: { version: from.version, digest: from.digest },
      to: { version: to.version, digest: to.digest },
      changes: diffContents(from.content, to.content),
    };
  }
}
