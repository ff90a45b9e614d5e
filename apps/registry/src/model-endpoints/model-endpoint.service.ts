import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DEFAULT_DATA_CLASS, type DataClass } from '#libs/core/clearance/clearance.js';
import { EMBEDDING_PROTOCOLS, type Protocol } from '#libs/core/content/protocol.js';
import type { Task } from '#libs/core/content/types.js';
import {
  DEFAULT_STRUCTURED_OUTPUT,
  structuredOutputProblem,
  type StructuredOutput,
} from '#libs/core/contract/structured-output.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { credentialContext, SecretBox } from '#libs/platform/secrets/secret-box.js';
import { recordChange } from '../changes/record-change.js';
import { isUniqueViolation } from '../http/conflict.js';
import type { Caller } from '../http/caller.js';
import type { NamedQuery } from '../http/named-query.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import { PriceListService } from '../model-prices/price-list.service.js';
import { modelPricesOf, priceColumns } from './model-endpoint-prices.js';
import { lockModelEndpoint, readModelEndpoint, SELECT_SHOWN } from './model-endpoint-read.js';
import { modelEndpointUses, type ModelEndpointUse } from './model-endpoint-usage.js';
import type {
  CreateModelEndpointDto,
  ModelEndpointDto,
  UpdateModelEndpointDto,
} from './model-endpoint.dto.js';
import { ModelEndpoint } from './model-endpoint.entity.js';
import { replaceReplicas } from './replace-replicas.js';

/** One place of a chain's content that asks for a model. */
export interface ModelUse {
  /** Name of a model endpoint. */
  readonly modelEndpoint: string;
  readonly model: string;
  /** JSON Pointer of the place in the caller's document, for the error message. */
  readonly path: string;
  readonly task: Task;
}

type UsedModelEndpoint = Pick<ModelEndpoint, 'name' | 'protocol' | 'models' | 'clearance' | 'archivedAt'>;

const DEFAULT_CONCURRENCY = 32;

/** Where generation happens: replicas that serve the same models, with prices, a limit and a credential. */
@Injectable()
export class ModelEndpointService {
  constructor(
    private readonly database: DataSource,
    private readonly secrets: SecretBox,
    private readonly priceList: PriceListService,
  ) {}

  /** @throws DomainError VALIDATION_FAILED, ALREADY_EXISTS, also when the holder of the name is archived. */
  async create(caller: Caller, given: CreateModelEndpointDto): Promise<ModelEndpointDto> {
    assertKnows(given.protocol, given.structuredOutput);
    const id = v7();
    const now = new Date();
    const row: ModelEndpoint = {
      id,
      workspaceId: caller.workspaceId,
      name: given.name,
      description: given.description ?? null,
      protocol: given.protocol,
      apiVersion: given.apiVersion ?? null,
      models: given.models,
      ...priceColumns(given.prices ?? {}),
      modelPrices: modelPricesOf(this.priceList, given, given.models, {}),
      clearance: given.clearance ?? DEFAULT_DATA_CLASS,
      structuredOutput: given.structuredOutput ?? DEFAULT_STRUCTURED_OUTPUT,
      maxConcurrencyPerReplica: given.maxConcurrencyPerReplica ?? DEFAULT_CONCURRENCY,
      ...this.seal(id, given.credential),
      revision: 1,
      createdAt: now,
      createdBy: caller.actor,
      updatedAt: now,
      archivedAt: null,
    };
    return this.database.transaction(async (tx) => {
      try {
        await tx.insert(ModelEndpoint, row);
      } catch (error) {
        if (!isUniqueViolation(error, 'model_endpoint_name_key')) throw error;
        throw new DomainError(
          'ALREADY_EXISTS',
          `There is already a model endpoint "${given.name}" (perhaps an archived one); change it with PATCH, or choose another name.`,
        );
      }
      await replaceReplicas(tx, row, given.replicas);
      return finish(tx, row);
    });
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string): Promise<ModelEndpointDto> {
    return readModelEndpoint(this.database.manager, caller.workspaceId, name);
  }

  /** Ordered by name. */
  async list(caller: Caller, query: NamedQuery): Promise<Page<ModelEndpointDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    const rows: ModelEndpointDto[] = await this.database.query(
      `${SELECT_SHOWN}
        WHERE m.workspace_id = $1 AND ($2::text IS NULL OR m.name > $2) AND m.name ^@ $3
          AND ($4 OR m.archived_at IS NULL)
        ORDER BY m.name LIMIT $5`,
      [caller.workspaceId, after ?? null, query.prefix ?? '', query.includeArchived, query.limit + 1],
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.name,
      (row) => row,
    );
  }

  /** @throws DomainError VALIDATION_FAILED, NOT_FOUND, ARCHIVED, REVISION_CONFLICT, IN_USE (a removed model is needed). */
  async update(caller: Caller, name: string, given: UpdateModelEndpointDto): Promise<ModelEndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await lockModelEndpoint(tx, caller, name);
      if (row.archivedAt)
        throw new DomainError('ARCHIVED', `The model endpoint "${name}" is archived; restore it first.`);
      if (given.expectedRevision !== undefined && given.expectedRevision !== row.revision)
        throw new DomainError(
          'REVISION_CONFLICT',
          `The model endpoint "${name}" is at revision ${row.revision}, not ${given.expectedRevision}; look at it again before you change it.`,
          {
            expectedRevision: given.expectedRevision,
            currentRevision: row.revision,
            current: await readModelEndpoint(tx, caller.workspaceId, name),
          },
        );
      assertKnows(row.protocol, given.structuredOutput);
      if (given.models) await refuseRemoval(tx, caller, row, given.models);
      if (given.replicas) await replaceReplicas(tx, row, given.replicas);
      const changed: Partial<ModelEndpoint> = { revision: row.revision + 1, updatedAt: new Date() };
      if (given.description !== undefined) changed.description = given.description;
      if (given.apiVersion !== undefined) changed.apiVersion = given.apiVersion;
      if (given.models) changed.models = given.models;
      if (given.prices) Object.assign(changed, priceColumns(given.prices));
      changed.modelPrices = modelPricesOf(this.priceList, given, given.models ?? row.models, row.modelPrices);
      if (given.clearance !== undefined) changed.clearance = given.clearance;
      if (given.structuredOutput !== undefined) changed.structuredOutput = given.structuredOutput;
      if (given.maxConcurrencyPerReplica !== undefined)
        changed.maxConcurrencyPerReplica = given.maxConcurrencyPerReplica;
      if (given.credential !== undefined) Object.assign(changed, this.seal(row.id, given.credential));
      await tx.update(ModelEndpoint, { id: row.id, workspaceId: caller.workspaceId }, changed);
      return finish(tx, row);
    });
  }

  /** Does nothing to one that is archived already. @throws DomainError NOT_FOUND, IN_USE. */
  async archive(caller: Caller, name: string): Promise<ModelEndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await lockModelEndpoint(tx, caller, name);
      if (row.archivedAt) return readModelEndpoint(tx, caller.workspaceId, name);
      refuseUses(`The model endpoint "${name}"`, await modelEndpointUses(tx, caller.workspaceId, name));
      return setArchived(tx, row, new Date());
    });
  }

  /** Does nothing to one that is not archived. @throws DomainError NOT_FOUND. */
  async restore(caller: Caller, name: string): Promise<ModelEndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await lockModelEndpoint(tx, caller, name);
      return row.archivedAt ? setArchived(tx, row, null) : readModelEndpoint(tx, caller.workspaceId, name);
    });
  }

  /**
   * Checks that every use names a model endpoint that serves the model, and keeps these model endpoints from being
   * changed until `tx` ends.
   * @returns what they are cleared for, by name.
   * @throws DomainError REFERENCE_NOT_FOUND (no such model endpoint, or it does not serve the model), REFERENCE_ARCHIVED,
   * VALIDATION_FAILED (it cannot embed).
   */
  async assertServes(
    caller: Caller,
    uses: readonly ModelUse[],
    tx: EntityManager,
  ): Promise<ReadonlyMap<string, DataClass>> {
    const names = [...new Set(uses.map((use) => use.modelEndpoint))];
    // In order of the names, so that two transactions cannot wait for each other.
    const rows: UsedModelEndpoint[] = await tx.query(
      `SELECT name, protocol, models, clearance, archived_at AS "archivedAt" FROM model_endpoint
        WHERE workspace_id = $1 AND name = ANY ($2::text[]) ORDER BY name FOR SHARE`,
      [caller.workspaceId, names],
    );
    for (const { modelEndpoint, model, path, task } of uses) {
      const found = rows.find((row) => row.name === modelEndpoint);
      if (!found)
        throw new DomainError(
          'REFERENCE_NOT_FOUND',
          `${path}: there is no model endpoint "${modelEndpoint}"; create it first, or correct the name.`,
          { path, modelEndpoint },
        );
      if (found.archivedAt)
        throw new DomainError(
          'REFERENCE_ARCHIVED',
          `${path}: the model endpoint "${modelEndpoint}" is archived; restore it, or name another one.`,
          { path, modelEndpoint },
        );
      if (!found.models.includes(model))
        throw new DomainError(
          'REFERENCE_NOT_FOUND',
          `${path}: the model endpoint "${modelEndpoint}" does not serve "${model}"; it serves ${quoted(found.models)}.`,
          { path, modelEndpoint, model, models: found.models },
        );
      if (task === 'embed' && !EMBEDDING_PROTOCOLS.includes(found.protocol)) {
        const message = `"${modelEndpoint}" speaks the protocol "${found.protocol}", which has no embeddings; name a model endpoint that speaks ${EMBEDDING_PROTOCOLS.map((protocol) => `"${protocol}"`).join(' or ')}`;
        throw new DomainError('VALIDATION_FAILED', `${path}: the model endpoint ${message}.`, [
          { path, message },
        ]);
      }
    }
    return new Map(rows.map(({ name, clearance }) => [name, clearance]));
  }

  /** The two columns of a credential; the context binds the ciphertext to its row. */
  private seal(
    id: string,
    credential: string | null | undefined,
  ): Pick<ModelEndpoint, 'credentialCiphertext' | 'credentialKeyId'> {
    if (credential === null || credential === undefined)
      return { credentialCiphertext: null, credentialKeyId: null };
    const { ciphertext, keyId } = this.secrets.seal(credential, credentialContext(id));
    return { credentialCiphertext: ciphertext, credentialKeyId: keyId };
  }
}

function assertKnows(protocol: Protocol, given: StructuredOutput | undefined): void {
  const message = given && structuredOutputProblem(protocol, given);
  if (message === undefined) return;
  const problem = { path: '/structuredOutput', message };
  throw new DomainError('VALIDATION_FAILED', `structuredOutput: ${message}.`, [problem]);
}

/** The last statements of every change: read the answer, then tell the gateways. */
async function finish(tx: EntityManager, row: ModelEndpoint): Promise<ModelEndpointDto> {
  const answer = await readModelEndpoint(tx, row.workspaceId, row.name);
  await recordChange(tx, row.workspaceId, 'model_endpoint', row.id);
  return answer;
}

async function setArchived(
  tx: EntityManager,
  row: ModelEndpoint,
  archivedAt: Date | null,
): Promise<ModelEndpointDto> {
  const changed = { archivedAt, updatedAt: new Date(), revision: row.revision + 1 };
  await tx.update(ModelEndpoint, { id: row.id, workspaceId: row.workspaceId }, changed);
  return finish(tx, row);
}

async function refuseRemoval(
  tx: EntityManager,
  caller: Caller,
  row: ModelEndpoint,
  models: readonly string[],
): Promise<void> {
  const removed = row.models.filter((model) => !models.includes(model));
  if (removed.length === 0) return;
  const uses = await modelEndpointUses(tx, caller.workspaceId, row.name);
  refuseUses(
    `Of the models of "${row.name}", ${quoted(removed)}`,
    uses.filter((use) => removed.includes(use.model)),
  );
}

function refuseUses(what: string, uses: readonly ModelEndpointUse[]): void {
  if (uses.length === 0) return;
  const endpoints = [...new Set(uses.map((use) => use.endpoint))];
  throw new DomainError(
    'IN_USE',
    `${what} cannot go: the splits in force of ${quoted(endpoints)} generate there. Move their traffic to chains that do not, then try again.`,
    { endpoints, uses: uses.slice(0, 100) },
  );
}

/** At most ten, so that a message stays one. */
function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => `"${name}"`);
  return shown.join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');
}
