import { Module, type OnModuleInit } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { WebhookModule } from '../../webhooks/webhook.module.js';
import type { UpdateWebhookDto, WebhookDto } from '../../webhooks/webhook.dto.js';
import { WebhookService } from '../../webhooks/webhook.service.js';
import { choice, integer, list, message, text } from '../protocol/fields.js';
import { invalidValue, isRefusal, missingValue, MlflowError } from '../protocol/mlflow-error.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { ACTIONS, ENTITIES, fromMlflow, KNOWN_TYPES, toMlflow, type MlflowEvent } from './webhook-events.js';
import { checkUrlInMlflowWords } from './webhook-url-rule.js';

const NAME = /^(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i;
const MOST_CHARACTERS = 1_000;
const EVENT = {
  entity: choice(ENTITIES, { required: true }),
  action: choice(ACTIONS, { required: true }),
};
const STATUS = choice({ ACTIVE: 1, DISABLED: 2 });

/** The webhook RPCs of MLflow: a translation onto the native webhooks. */
@Module({ imports: [MlflowProtocolModule, WebhookModule] })
export class MlflowWebhookModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly webhooks: WebhookService,
  ) {}

  onModuleInit(): void {
    this.addCollection();
    this.addItem();
  }

  private addCollection(): void {
    this.routes.add({
      method: 'POST',
      path: '/webhooks',
      version: 2,
      fields: {
        name: text({ required: true }),
        url: text({ required: true }),
        events: list(message(EVENT, { required: true })),
        description: text(),
        secret: text(),
        status: STATUS,
      },
      handle: async (caller, request) => {
        if (request.events.length === 0) throw missingValue('events');
        const { name, url, status } = request;
        const { description, secret } = checked(request);
        const events = typesOf(request.events);
        const given = { name, url, events, description: description || null, secret: secret || null };
        const created = await inMlflowWords('', () =>
          this.webhooks.create(caller, { ...given, ...(status && { status }) }),
        );
        return { webhook: shown(created) };
      },
    });
    this.routes.add({
      method: 'GET',
      path: '/webhooks',
      version: 2,
      fields: { max_results: integer(), page_token: text() },
      handle: async (caller, { max_results: wanted, page_token: cursor }) => {
        const limit = wanted || 100;
        if (limit < 1 || limit > 1_000)
          throw new MlflowError('INVALID_PARAMETER_VALUE', 'max_results must be between 1 and 1000.');
        const page = await this.webhooks.list(caller, { limit, ...(cursor && { cursor }) }, KNOWN_TYPES);
        return { webhooks: page.items.map(shown), next_page_token: page.nextCursor };
      },
    });
  }

  private addItem(): void {
    this.routes.add({
      method: 'GET',
      path: '/webhooks/{webhook_id}',
      version: 2,
      fields: { webhook_id: text({ required: true }) },
      handle: async (caller, { webhook_id: id }) => ({ webhook: shown(await this.get(caller, id)) }),
    });
    this.routes.add({
      method: 'PATCH',
      path: '/webhooks/{webhook_id}',
      version: 2,
      fields: {
        webhook_id: text({ required: true }),
        name: text(),
        url: text(),
        events: list(message(EVENT, { required: true })),
        description: text(),
        secret: text(),
        status: STATUS,
      },
      handle: async (caller, request) => {
        const { webhook_id: id, name, url, status } = request;
        const { description, secret } = checked(request);
        const changes: UpdateWebhookDto = {
          ...(name && { name }),
          ...(url && { url }),
          ...(status && { status }),
          ...(request.events.length > 0 && { events: typesOf(request.events) }),
          ...(description !== undefined && { description }),
          ...(secret !== undefined && { secret: secret === '' ? null : secret }),
        };
        return { webhook: shown(await inMlflowWords(id, () => this.webhooks.update(caller, id, changes))) };
      },
    });
    this.routes.add({
      method: 'DELETE',
      path: '/webhooks/{webhook_id}',
      version: 2,
      fields: { webhook_id: text({ required: true }) },
      handle: (caller, { webhook_id: id }) => inMlflowWords(id, () => this.webhooks.remove(caller, id)),
    });
    this.routes.add({
      method: 'POST',
      path: '/webhooks/{webhook_id}/test',
      version: 2,
      fields: { webhook_id: text({ required: true }), event: message(EVENT) },
      handle: async (caller, { webhook_id: id, event }) => {
        const type = event && fromMlflow(event);
        const result = await inMlflowWords(id, () => this.webhooks.test(caller, id, type));
        return {
          result: {
            success: result.success,
            response_status: result.responseStatus,
            response_body: result.responseExcerpt,
            error_message: result.error === null ? undefined : `Failed to test webhook: ${result.error}`,
          },
        };
      },
    });
  }

  private get(caller: Caller, id: string): Promise<WebhookDto> {
    return inMlflowWords(id, () => this.webhooks.get(caller, id));
  }
}

async function inMlflowWords<T>(id: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!isRefusal(error, 'NOT_FOUND')) throw error;
    throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Webhook with ID ${id.slice(0, 64)} not found.`);
  }
}

interface Texts {
  readonly name: string | undefined;
  readonly url: string | undefined;
  readonly description: string | undefined;
  readonly secret: string | undefined;
}

function checked({ name, url, description, secret }: Texts): Omit<Texts, 'name' | 'url'> {
  if (name && !NAME.test(name))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Webhook name '${name.slice(0, 100)}' is invalid. It must start and end with a letter or digit, be at most 63 characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).`,
    );
  if (url) checkUrlInMlflowWords(url);
  if (description !== undefined && description.length > MOST_CHARACTERS)
    throw invalidValue('description', description, `at most ${MOST_CHARACTERS} characters`);
  if (secret !== undefined && secret.length > MOST_CHARACTERS)
    throw invalidValue('secret', '…', `at most ${MOST_CHARACTERS} characters`);
  return { description, secret };
}

const typesOf = (events: readonly MlflowEvent[]) => [...new Set(events.map(fromMlflow))];

function shown(webhook: WebhookDto): object {
  return {
    webhook_id: webhook.id,
    name: webhook.name,
    description: webhook.description,
    url: webhook.url,
    // What MLflow's clients have no word for, they cannot read.
    events: webhook.events.flatMap((type) => toMlflow(type) ?? []),
    status: webhook.status,
    creation_timestamp: Date.parse(webhook.createdAt),
    last_updated_timestamp: Date.parse(webhook.updatedAt),
  };
}
