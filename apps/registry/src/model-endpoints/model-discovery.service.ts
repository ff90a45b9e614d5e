import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type {
  DiscoveredModelDto,
  DiscoveredModelsDto,
  DiscoveredReplicaDto,
} from './discovered-models.dto.js';
import { readModelEndpoint } from './model-endpoint-read.js';
import type { ReplicaDto } from './model-endpoint.dto.js';
import { MODEL_LISTS, readModelList, type ListedModel, type ModelListRequest } from './model-list.js';
import { ReplicaCaller } from './replica-caller.js';

const TIMEOUT_MS = 3_000;

interface Asked {
  readonly replica: ReplicaDto;
  readonly models: readonly ListedModel[];
  readonly error: string | null;
}

/** Asks the replicas of a model endpoint what they serve. */
@Injectable()
export class ModelDiscoveryService {
  constructor(
    private readonly database: DataSource,
    private readonly replicas: ReplicaCaller,
  ) {}

  /** A replica that does not answer is part of the answer. @throws DomainError NOT_FOUND, VALIDATION_FAILED (no such list). */
  async discover(caller: Caller, name: string): Promise<DiscoveredModelsDto> {
    const endpoint = await readModelEndpoint(this.database.manager, caller.workspaceId, name);
    const ask = MODEL_LISTS[endpoint.protocol];
    if (!ask)
      throw new DomainError(
        'VALIDATION_FAILED',
        `Servers that speak "${endpoint.protocol}" do not tell which models they serve; list them in the model endpoint yourself.`,
      );
    const asking = ask(await this.replicas.credentialOf(caller, endpoint.id), endpoint.apiVersion);
    const asked = await Promise.all(endpoint.replicas.map((replica) => this.ask(replica, asking)));
    const answered = asked.filter(({ error }) => error === null);
    return {
      models: summarize(answered, endpoint.models),
      missing: endpoint.models.filter((model) =>
        answered.some(({ models }) => !models.some(({ id }) => id === model)),
      ),
      replicas: asked.map(shown),
    };
  }

  private async ask(replica: ReplicaDto, { path, headers }: ModelListRequest): Promise<Asked> {
    const said = await this.replicas.call(replica.baseUrl + path, { method: 'GET', headers }, TIMEOUT_MS);
    const failed = (error: string): Asked => ({ replica, models: [], error });
    if ('error' in said) return failed(said.error);
    if (said.status !== 200) return failed(`it answered ${said.status}`);
    const models = readModelList(said.text);
    return models ? { replica, models, error: null } : failed('its answer is no list of models');
  }
}

function summarize(answered: readonly Asked[], registered: readonly string[]): DiscoveredModelDto[] {
  const found = new Map<string, DiscoveredModelDto>();
  for (const { models } of answered)
    for (const { id, parent, maxModelLen } of new Map(models.map((model) => [model.id, model])).values()) {
      const known = found.get(id);
      if (known) known.replicas++;
      else found.set(id, { id, parent, maxModelLen, replicas: 1, isRegistered: registered.includes(id) });
    }
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function shown({ replica, models, error }: Asked): DiscoveredReplicaDto {
  return { id: replica.id, baseUrl: replica.baseUrl, models: models.map(({ id }) => id), error };
}
