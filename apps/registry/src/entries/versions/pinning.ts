import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Json } from '#libs/core/canonical/canonical.js';
import { generationsOf, misfitFallback, taskOf } from '#libs/core/content/chain.js';
import type { Kind } from '#libs/core/content/schemas.js';
import { unrenderable } from '#libs/core/content/mlflow-prompt.js';
import type {
  ChainContent,
  Generation,
  PinnedReference,
  Reference,
  StoredPrompt,
} from '#libs/core/content/types.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { ModelEndpointService } from '../../model-endpoints/model-endpoint.service.js';
import { VersionLookup, type FoundVersion } from './version-lookup.js';

/** One reference of a version: where in its content, and the id of the version it means. */
export interface Pin {
  readonly path: string;
  readonly versionId: string;
}

export interface PinnedContent {
  readonly content: Json;
  readonly pins: readonly Pin[];
}

/** Turns what a caller wrote into what is stored: every reference names one version and its digest, for ever. */
@Injectable()
export class Pinning {
  constructor(
    private readonly lookup: VersionLookup,
    private readonly modelEndpoints: ModelEndpointService,
  ) {}

  /**
   * @param content valid by the schema of its kind.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, DIGEST_MISMATCH; VALIDATION_FAILED for a prompt of
   * MLflow's that cannot be rendered, and for embeddings that no model could give or that could not be compared.
   */
  async pin(caller: Caller, kind: Kind, content: unknown, tx: EntityManager): Promise<PinnedContent> {
    if (kind !== 'chain') return { content: content as Json, pins: [] };
    const chain = content as ChainContent<Reference>;
    const pins: Pin[] = [];
    const pin = async (of: Kind, reference: Reference, path: string): Promise<PinnedReference> => {
      const found = await this.lookup.get(caller, of, reference, path, tx);
      if (of === 'prompt') refuseUnrenderable(found, path);
      pins.push({ path, versionId: found.versionId });
      return { name: found.name, version: found.version, digest: found.digest };
    };
    const pinGeneration = async (from: Generation<Reference>, path: string): Promise<Generation> => {
      const { registeredModel, ...rest } = from;
      if (registeredModel === undefined) return rest;
      return { ...rest, registeredModel: await pin('model', registeredModel, `${path}/registeredModel`) };
    };

    const task = taskOf(chain);
    const generations = generationsOf(chain).map((generation, index) => ({
      generation,
      path: index === 0 ? `/${task}` : `/fallbacks/${index - 1}`,
    }));
    await this.modelEndpoints.assertServes(
      caller,
      generations.map(({ generation: { modelEndpoint, model }, path }) => ({
        modelEndpoint,
        model,
        path,
        task,
      })),
      tx,
    );
    const pinnedPrompt =
      chain.prompt === undefined ? {} : { prompt: await pin('prompt', chain.prompt, '/prompt') };
    const pinned: Generation[] = [];
    for (const { generation, path } of generations) pinned.push(await pinGeneration(generation, path));
    const result = {
      ...chain,
      ...pinnedPrompt,
      [task]: pinned[0]!,
      ...(chain.fallbacks && { fallbacks: pinned.slice(1) }),
    } as ChainContent;
    refuseMisfit(result);
    return { content: result as unknown as Json, pins };
  }
}

function refuseMisfit(chain: ChainContent): void {
  const misfit = misfitFallback(chain);
  if (!misfit) return;
  const { index, message } = misfit;
  const path = `/fallbacks/${index}`;
  throw new DomainError('VALIDATION_FAILED', `${path} ${message}.`, [{ path, message }]);
}

function refuseUnrenderable({ name, version, content }: FoundVersion, path: string): void {
  const why = unrenderable(JSON.parse(content) as StoredPrompt);
  if (why === undefined) return;
  const message = `names version ${version} of the prompt "${name}", which was registered with MLflow and which a chain cannot render: ${why}`;
  throw new DomainError(
    'VALIDATION_FAILED',
    `${path} ${message}. Register it without that, and name the new version.`,
    [{ path, message }],
  );
}
