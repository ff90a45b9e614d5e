import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { ChainContent, Generation, Reference } from '#libs/core/content/types.js';
import { servingProblem } from '#libs/core/content/validate.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { VersionLookup, type FoundVersion } from '../entries/versions/version-lookup.js';
import type { Caller } from '../http/caller.js';
import { ModelEndpointService, type ModelUse } from '../model-endpoints/model-endpoint.service.js';
import type { Endpoint } from './endpoint.entity.js';

export interface ReferencedChain {
  readonly chain: Reference;
  /** JSON Pointer of the reference in the caller's document. */
  readonly path: string;
}

/** Decides whether chain versions can be served at this moment. */
@Injectable()
export class ArmCheck {
  constructor(
    private readonly versions: VersionLookup,
    private readonly modelEndpoints: ModelEndpointService,
  ) {}

  /**
   * Pins the chains of a split, in the order given, and keeps their model endpoints from being changed until `tx` ends.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, DIGEST_MISMATCH; VALIDATION_FAILED: a chain that no
   * gateway of this release can run.
   */
  async pin(caller: Caller, chains: readonly ReferencedChain[], tx: EntityManager): Promise<FoundVersion[]> {
    const found: FoundVersion[] = [];
    const uses: ModelUse[] = [];
    for (const { chain, path } of chains) {
      const version = await this.versions.get(caller, 'chain', chain, path, tx);
      const content = JSON.parse(version.content) as ChainContent;
      const problem = servingProblem(content);
      if (problem !== undefined)
        throw new DomainError(
          'VALIDATION_FAILED',
          `${path}: the chain version "${version.name}@${version.version}" cannot be served: ${problem}. Choose another version.`,
          [{ path, message: problem }],
        );
      found.push(version);
      uses.push(...usesOf(content, path));
    }
    await this.modelEndpoints.assertServes(caller, uses, tx);
    return found;
  }

  /**
   * Checks the model endpoints of the split in force, as `pin` does.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED.
   */
  async assertGenerates(caller: Caller, endpoint: Endpoint, tx: EntityManager): Promise<void> {
    const rows: { arm: string; content: string }[] = await tx.query(
      `SELECT a.name AS arm, v.content FROM split s
         JOIN arm a ON a.split_id = s.id
         JOIN version v ON v.id = a.chain_version_id
        WHERE s.workspace_id = $1 AND s.endpoint_id = $2 AND s.revision = $3`,
      [caller.workspaceId, endpoint.id, endpoint.splitRevision],
    );
    const uses = rows.flatMap(({ arm, content }) =>
      usesOf(JSON.parse(content) as ChainContent, `Arm "${arm}" of the split in force`),
    );
    await this.modelEndpoints.assertServes(caller, uses, tx);
  }
}

function usesOf(content: ChainContent, path: string): ModelUse[] {
  const generations: Generation[] = [content.generate, ...(content.fallbacks ?? [])];
  return generations.map(({ modelEndpoint, model }) => ({ modelEndpoint, model, path }));
}
