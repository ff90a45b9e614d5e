import { Inject, Injectable } from '@nestjs/common';
import { readLink, writeLink } from '#libs/core/feedback/feedback-link.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { FEEDBACK_LINKS, LinkSigner } from '#libs/platform/secrets/link-signer.js';
import type { Caller } from '../http/caller.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import type { FeedbackLinkDto } from './feedback-link.dto.js';
import { refusalOf } from './feedback.service.js';

/** Makes links by which people without a key judge. Nothing is stored: the link itself says what it allows. */
@Injectable()
export class FeedbackLinkService {
  private readonly signer: LinkSigner;
  private readonly gatewayUrl: string;

  constructor(@Inject(SETTINGS_TOKEN) settings: Settings) {
    this.signer = new LinkSigner(settings.CATENA_ENCRYPTION_KEYS!, FEEDBACK_LINKS);
    const { CATENA_HOST: host, CATENA_GATEWAY_PORT: port, CATENA_GATEWAY_URL: url } = settings;
    this.gatewayUrl = (url ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`).replace(
      /\/+$/,
      '',
    );
  }

  /** @throws DomainError VALIDATION_FAILED. */
  create(caller: Caller, body: unknown): FeedbackLinkDto {
    const link = readLink(body, caller.workspaceId, Date.now());
    if (!('name' in link)) throw refusalOf('The feedback link', link.problems);
    return {
      url: `${this.gatewayUrl}/v1/feedback/links/${this.signer.sign(writeLink(link))}`,
      expiresAt: new Date(link.expiresAtMs).toISOString(),
    };
  }
}
