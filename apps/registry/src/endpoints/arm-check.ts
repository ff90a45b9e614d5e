import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { isCleared, type DataClass } from '#libs/core/clearance/clearance.js';
import { generationsOf, taskOf } from '#libs/core/content/chain.js';
import type { ChainContent, Reference } from '#libs/core/content/types.js';
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
  /** Whether the split in force has it: it may have been archived since. */
  readonly isInForce?: boolean;
}

/** A chain version that an endpoint can serve. */
export interface ServableVersion extends FoundVersion {
  /** Its model endpoints that are not cleared for what the endpoint carries. */
  readonly passedOver: readonly string[];
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
   * gateway of this release can run, or chains of which some embed and some generate; NOT_CLEARED.
   */
  async pin(
    caller: Caller,
    { dataClass }: Endpoint,
    chains: readonly ReferencedChain[],
    tx: EntityManager,
  ): Promise<ServableVersion[]> {
    const found: FoundVersion[] = [];
    const served: Served[] = [];
    for (const { chain, path, isInForce } of chains) {
      const version = await this.versions.get(caller, 'chain', chain, path, tx, isInForce);
      const content = JSON.parse(version.content) as ChainContent;
      const problem = servingProblem(content);
      if (problem !== undefined)
        throw new DomainError(
          'VALIDATION_FAILED',
          `${path}: the chain version "${version.name}@${version.version}" cannot be served: ${problem}. Choose another version.`,
          [{ path, message: problem }],
        );
      found.push(version);
      served.push({ content, path });
    }
    refuseMixed(served);
    const passedOver = await this.assertServed(caller, dataClass, served, tx);
    return found.map((version, index) => ({ ...version, passedOver: passedOver[index]! }));
  }

  /**
   * Checks the model endpoints of the split in force, as `pin` does.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, NOT_CLEARED.
   */
  async assertGenerates(caller: Caller, endpoint: Endpoint, tx: EntityManager): Promise<void> {
    const rows: { arm: string; content: string }[] = await tx.query(
      `SELECT a.name AS arm, v.content FROM split s
         JOIN arm a ON a.split_id = s.id
         JOIN version v ON v.id = a.chain_version_id
        WHERE s.workspace_id = $1 AND s.endpoint_id = $2 AND s.revision = $3`,
      [caller.workspaceId, endpoint.id, endpoint.splitRevision],
    );
    const served = rows.map(({ arm, content }) => ({
      content: JSON.parse(content) as ChainContent,
      path: `Arm "${arm}" of the split in force`,
    }));
    await this.assertServed(caller, endpoint.dataClass, served, tx);
  }

  /**
   * Each needs one model endpoint that may see what the endpoint carries.
   * @returns the others of each, which gateways pass over.
   */
  private async assertServed(
    caller: Caller,
    dataClass: DataClass,
    served: readonly Served[],
    tx: EntityManager,
  ): Promise<string[][]> {
    const uses = served.flatMap(({ content, path }) => usesOf(content, path));
    const clearances = await this.modelEndpoints.assertServes(caller, uses, tx);
    return served.map(({ content, path }) => {
      const names = [...new Set(usesOf(content, path).map(({ modelEndpoint }) => modelEndpoint))];
      const passedOver = names.filter((name) => !isCleared(clearances.get(name)!, dataClass));
      if (passedOver.length < names.length) return passedOver;
      const said = names.map((name) => `"${name}" for ${clearances.get(name)}`).join(', ');
      throw new DomainError(
        'NOT_CLEARED',
        `${path}: none of its model endpoints is cleared for ${dataClass} data, which the endpoint carries (${said}). Clear one of them, or choose another version.`,
        { path, dataClass, modelEndpoints: names },
      );
    });
  }
}

interface Served {
  readonly content: ChainContent;
  readonly path: string;
}

function usesOf(content: ChainContent, path: string): ModelUse[] {
  const task = taskOf(content);
  return generationsOf(content).map(({ modelEndpoint, model }) => ({ modelEndpoint, model, path, task }));
}

/** @throws DomainError VALIDATION_FAILED: a caller asks for one or the other, whichever arm its unit gets. */
function refuseMixed(served: readonly Served[]): void {
  const other = served.find(({ content }) => taskOf(content) !== taskOf(served[0]!.content));
  if (!other) return;
  const does = { generate: 'generates', embed: 'embeds' };
  const message = `${does[taskOf(other.content)]}, and ${served[0]!.path} ${does[taskOf(served[0]!.content)]}; all arms of an endpoint do the same`;
  throw new DomainError(
    'VALIDATION_FAILED',
    `${other.path} names a chain version that ${message}. Choose another version, or give each an endpoint of its own.`,
    [{ path: other.path, message }],
  );
}
