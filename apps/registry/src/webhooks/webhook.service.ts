import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { SecretBox } from '#libs/platform/secrets/secret-box.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { eventBody } from './event-body.js';
import type { EventType } from './event-types.js';
import { exampleEvent } from './example-event.js';
import { reachOf, type Reach } from './private-hosts.js';
import { secretContext } from './signature.js';
import { checkedUrl } from './webhook-url.js';
import type { CreateWebhookDto, UpdateWebhookDto, WebhookDto, WebhookTestDto } from './webhook.dto.js';
import { Webhook } from './webhook.entity.js';
import { WebhookSender } from './webhook-sender.js';

/** Who is told of what happens in the registry. */
@Injectable()
export class WebhookService {
  private readonly reach: Reach;

  constructor(
    private readonly database: DataSource,
    private readonly secrets: SecretBox,
    private readonly sender: WebhookSender,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.reach = reachOf(settings);
  }

  /** @throws DomainError VALIDATION_FAILED (a URL that may not be called). */
  async create(caller: Caller, dto: CreateWebhookDto): Promise<WebhookDto> {
    const id = v7();
    const now = new Date();
    const row: Webhook = {
      id,
      workspaceId: caller.workspaceId,
      name: dto.name,
      description: dto.description ?? null,
      url: checkedUrl(dto.url, this.reach),
      events: dto.events,
      status: dto.status ?? 'ACTIVE',
      ...this.seal(id, dto.secret ?? null),
      revision: 1,
      createdAt: now,
      createdBy: caller.actor,
      updatedAt: now,
    };
    await this.database.getRepository(Webhook).insert(row);
    return toDto(row);
  }

  /** Newest first. @param events only those that are told of one of these. */
  async list(caller: Caller, query: PageQuery, events?: readonly EventType[]): Promise<Page<WebhookDto>> {
    const before = decodeCursor(query.cursor, isId);
    const rows = await this.database
      .getRepository(Webhook)
      .createQueryBuilder('h')
      .where('h.workspaceId = :workspaceId', caller)
      .andWhere('(:before::uuid IS NULL OR h.id < :before)', { before: before ?? null })
      .andWhere('(:events::text[] IS NULL OR h.events && :events)', { events: events ?? null })
      .orderBy('h.id', 'DESC')
      .limit(query.limit + 1)
      .getMany();
    return pageOf(rows, query.limit, (row) => row.id, toDto);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<WebhookDto> {
    return toDto(await this.row(caller, id));
  }

  /** @throws DomainError NOT_FOUND, REVISION_CONFLICT, VALIDATION_FAILED. */
  async update(caller: Caller, id: string, dto: UpdateWebhookDto): Promise<WebhookDto> {
    return this.database.transaction(async (tx) => {
      const row = await this.row(caller, id, tx);
      if (dto.expectedRevision !== undefined && dto.expectedRevision !== row.revision)
        throw new DomainError(
          'REVISION_CONFLICT',
          `The webhook is at revision ${row.revision}, not ${dto.expectedRevision}; look at it again before you change it.`,
          { expectedRevision: dto.expectedRevision, currentRevision: row.revision },
        );
      const changed: Partial<Webhook> = { revision: row.revision + 1, updatedAt: new Date() };
      if (dto.name !== undefined) changed.name = dto.name;
      if (dto.description !== undefined) changed.description = dto.description;
      if (dto.url !== undefined) changed.url = checkedUrl(dto.url, this.reach);
      if (dto.events !== undefined) changed.events = dto.events;
      if (dto.status !== undefined) changed.status = dto.status;
      if (dto.secret !== undefined) Object.assign(changed, this.seal(row.id, dto.secret));
      await tx.update(Webhook, { id: row.id }, changed);
      return toDto(Object.assign(row, changed));
    });
  }

  /** With its deliveries and their log; to keep these, disable it. @throws DomainError NOT_FOUND. */
  async remove(caller: Caller, id: string): Promise<void> {
    const { id: found } = await this.row(caller, id);
    await this.database.getRepository(Webhook).delete({ id: found, workspaceId: caller.workspaceId });
  }

  /** Sends an example at once, whatever the status; nothing of it is kept. @throws DomainError NOT_FOUND. */
  async test(caller: Caller, id: string, given?: EventType): Promise<WebhookTestDto> {
    const row = await this.row(caller, id);
    const workspaces: { name: string }[] = await this.database.query(
      `SELECT name FROM workspace WHERE id = $1`,
      [caller.workspaceId],
    );
    const type = given ?? row.events[0]!;
    const outcome = await this.sender.send({
      id: v7(),
      webhook: row,
      body: eventBody(exampleEvent(type), new Date(), workspaces[0]!.name),
    });
    const { success, responseStatus, responseExcerpt, error, durationMs } = outcome;
    return { success, responseStatus, responseExcerpt, error, durationMs };
  }

  private async row(caller: Caller, id: string, tx?: EntityManager): Promise<Webhook> {
    const row = validate(id)
      ? await (tx ?? this.database.manager).getRepository(Webhook).findOne({
          where: { id, workspaceId: caller.workspaceId },
          ...(tx && { lock: { mode: 'for_no_key_update' as const } }),
        })
      : null;
    if (row) return row;
    throw new DomainError('NOT_FOUND', `There is no webhook "${id.slice(0, 64)}"; list them to find its id.`);
  }

  private seal(id: string, secret: string | null): Pick<Webhook, 'secretCiphertext' | 'secretKeyId'> {
    if (secret === null) return { secretCiphertext: null, secretKeyId: null };
    const { ciphertext, keyId } = this.secrets.seal(secret, secretContext(id));
    return { secretCiphertext: ciphertext, secretKeyId: keyId };
  }
}

const isId = (key: unknown): key is string => isStringKey(key) && validate(key);

function toDto(row: Webhook): WebhookDto {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    url: row.url,
    events: row.events,
    hasSecret: row.secretCiphertext !== null,
    status: row.status,
    revision: row.revision,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    updatedAt: row.updatedAt.toISOString(),
  };
}
