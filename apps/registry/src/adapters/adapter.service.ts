import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ModelContent } from '#libs/core/content/types.js';
import type { Protocol } from '#libs/core/content/protocol.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { recordChange } from '../changes/record-change.js';
import { VersionLookup, type FoundVersion } from '../entries/versions/version-lookup.js';
import type { Caller } from '../http/caller.js';
import type { ModelEndpointDto } from '../model-endpoints/model-endpoint.dto.js';
import { ModelEndpointService } from '../model-endpoints/model-endpoint.service.js';
import { modelEndpointUses } from '../model-endpoints/model-endpoint-usage.js';
import { ReplicaCaller, type ReplicaSaid } from '../model-endpoints/replica-caller.js';
import type { AdapterDto, AdapterReplicaDto, LoadAdapterDto, LoadedAdapterDto } from './adapter.dto.js';

/** Weights are read from a disk or a hub meanwhile. */
const TIMEOUT_MS = 60_000;
/** As much of a replica's complaint as is told. */
const MAX_COMPLAINT = 500;

/** Protocols whose servers may load adapters: vLLM's, as far as it was started to do so. */
const LOADS_ADAPTERS: ReadonlySet<Protocol> = new Set<Protocol>(['openai']);

/**
 * Loads adapters (LoRA) into the replicas of a model endpoint, through vLLM's API for it:
 * https://docs.vllm.ai/en/latest/features/lora/#dynamically-serving-lora-adapters. Replicas do not tell each other, and
 * forget at a restart; gateways ask those for a model that list it.
 */
@Injectable()
export class AdapterService {
  constructor(
    private readonly database: DataSource,
    private readonly modelEndpoints: ModelEndpointService,
    private readonly versions: VersionLookup,
    private readonly replicas: ReplicaCaller,
  ) {}

  /**
   * A replica that cannot is part of the answer.
   * @throws DomainError NOT_FOUND, ARCHIVED, REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, DIGEST_MISMATCH; VALIDATION_FAILED:
   * no adapter, no path, or a protocol that has none.
   */
  async load(caller: Caller, name: string, given: LoadAdapterDto): Promise<LoadedAdapterDto> {
    const endpoint = await this.get(caller, name);
    const version = await this.versions.get(caller, 'model', given.model, '/model');
    const { adapter, source } = adapterOf(version);
    const path = given.path ?? source;
    if (path === undefined)
      throw new DomainError(
        'VALIDATION_FAILED',
        `The model version "${version.name}@${version.version}" has no "source"; say in "path" where the replicas find its files.`,
        [{ path: '/path', message: 'must be given' }],
      );
    const replicas = await this.tellAll(caller, endpoint, 'load_lora_adapter', {
      lora_name: adapter,
      lora_path: path,
    });
    return {
      adapter,
      version: `${version.name}@${version.version}`,
      isRegistered: endpoint.models.includes(adapter),
      replicas,
    };
  }

  /** @throws DomainError NOT_FOUND, ARCHIVED, VALIDATION_FAILED, IN_USE (a split in force needs it). */
  async unload(caller: Caller, name: string, adapter: string): Promise<AdapterDto> {
    const endpoint = await this.get(caller, name);
    const uses = await modelEndpointUses(this.database.manager, caller.workspaceId, name);
    const using = [...new Set(uses.filter(({ model }) => model === adapter).map((use) => use.endpoint))];
    if (using.length > 0)
      throw new DomainError(
        'IN_USE',
        `The adapter "${adapter}" cannot go: splits in force generate with it (${using.slice(0, 10).join(', ')}). Move their traffic first.`,
        { endpoints: using.slice(0, 100) },
      );
    const replicas = await this.tellAll(caller, endpoint, 'unload_lora_adapter', { lora_name: adapter });
    return { adapter, replicas };
  }

  private async get(caller: Caller, name: string): Promise<ModelEndpointDto> {
    const endpoint = await this.modelEndpoints.get(caller, name);
    if (endpoint.archivedAt)
      throw new DomainError('ARCHIVED', `The model endpoint "${name}" is archived; restore it first.`);
    if (!LOADS_ADAPTERS.has(endpoint.protocol))
      throw new DomainError(
        'VALIDATION_FAILED',
        `Servers that speak "${endpoint.protocol}" load no adapters at run time.`,
      );
    return endpoint;
  }

  private async tellAll(
    caller: Caller,
    { id, replicas }: ModelEndpointDto,
    route: string,
    body: object,
  ): Promise<AdapterReplicaDto[]> {
    const credential = await this.replicas.credentialOf(caller, id);
    const headers = { ...(credential !== undefined && { authorization: `Bearer ${credential}` }) };
    const told = await Promise.all(
      replicas.map(async ({ id, baseUrl }) => {
        const request = { method: 'POST', headers, body } as const;
        const said = await this.replicas.call(`${baseUrl}/${route}`, request, TIMEOUT_MS);
        return { id, baseUrl, error: complaintOf(said) };
      }),
    );
    // Gateways look again at what the replicas serve.
    await this.database.transaction((tx) => recordChange(tx, caller.workspaceId, 'model_endpoint', id));
    return told;
  }
}

function adapterOf({ name, version, content }: FoundVersion): {
  adapter: string;
  source: string | undefined;
} {
  const model = JSON.parse(content) as ModelContent;
  if (model.format !== 'lora')
    throw new DomainError(
      'VALIDATION_FAILED',
      `The model version "${name}@${version}" is no adapter: its format is "${model.format}", not "lora".`,
      [{ path: '/model', message: 'must name a version of the format "lora"' }],
    );
  return { adapter: model.model, source: model.source };
}

/** What a replica complains of; null where it has done as told, or had done so before. */
function complaintOf(said: ReplicaSaid): string | null {
  if ('error' in said) return said.error;
  const { status, text } = said;
  if (status === 200) return null;
  // vLLM answers 400 for one that is there, and 404 for one that is not when it is to go.
  if (status === 400 && /already been loaded/i.test(text)) return null;
  const complaint = `it answered ${status}: ${text.slice(0, MAX_COMPLAINT)}`;
  return status === 404 && !/adapter/i.test(text)
    ? `${complaint} (vLLM loads adapters only when it is started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora)`
    : complaint;
}
