import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsOptional,
  IsString,
  Length,
  Matches,
  MaxLength,
} from 'class-validator';
import { IfSent, IsExpectedRevision } from '../http/body-rules.js';
import { EVENT_TYPES, type EventType } from './event-types.js';
import { WEBHOOK_STATUSES, type WebhookStatus } from './webhook.entity.js';

/** As MLflow's names of webhooks. */
const NAME = /^(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i;
const NAME_MESSAGE =
  'must have 1 to 63 characters: letters, digits, ".", "_" or "-", and begin and end with a letter or digit';
const EVENTS_DOC = {
  description:
    'What the webhook is told of. Names of models and prompts are those of MLflow; `…_alias.created` is every move of an alias and names the previous version. `budget_policy.exceeded` is accepted for MLflow’s clients and not sent yet.',
  enum: EVENT_TYPES,
  isArray: true,
  example: ['model_version_alias.created', 'prompt_alias.created', 'chain_alias.created'],
};
const SECRET_DOC = {
  description:
    'Signs every delivery (HMAC-SHA256). `whsec_` and base64, as Standard Webhooks has it, or any text. Never shown again.',
  example: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
  writeOnly: true,
};

export class CreateWebhookDto {
  @ApiProperty({
    description: 'For people; need not be unique.',
    minLength: 1,
    maxLength: 63,
    example: 'deploy-bot',
  })
  @Matches(NAME, { message: NAME_MESSAGE })
  name!: string;

  @ApiPropertyOptional({
    description: 'For people.',
    type: String,
    nullable: true,
    example: 'Rolls out new champions.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(1_000)
  description?: string | null;

  @ApiProperty({
    description:
      'Where deliveries are posted to. Redirects are not followed; private addresses are refused unless CATENA_WEBHOOK_PRIVATE_HOSTS allows them.',
    maxLength: 2048,
    example: 'https://deploy.example.com/hooks/catena',
  })
  @IsString()
  @MaxLength(2048)
  url!: string;

  @ApiProperty(EVENTS_DOC)
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPES.length)
  @ArrayUnique()
  @IsIn(EVENT_TYPES, { each: true })
  events!: EventType[];

  @ApiPropertyOptional({ ...SECRET_DOC, type: String, nullable: true })
  @IsOptional()
  @IsString()
  @Length(1, 1_000)
  secret?: string | null;

  @ApiPropertyOptional({
    description: '`DISABLED`: events are not written down, and what is pending waits.',
    enum: WEBHOOK_STATUSES,
    default: 'ACTIVE',
  })
  @IfSent()
  @IsIn(WEBHOOK_STATUSES)
  status?: WebhookStatus;
}

export class UpdateWebhookDto {
  @ApiPropertyOptional({ description: 'For people.', minLength: 1, maxLength: 63, example: 'deploy-bot' })
  @IfSent()
  @Matches(NAME, { message: NAME_MESSAGE })
  name?: string;

  @ApiPropertyOptional({
    description: 'Null clears it.',
    type: String,
    nullable: true,
    example: 'Rolls out new champions.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(1_000)
  description?: string | null;

  @ApiPropertyOptional({
    description: 'Where deliveries are posted to, pending ones too.',
    maxLength: 2048,
    example: 'https://deploy.example.com/hooks/catena',
  })
  @IfSent()
  @IsString()
  @MaxLength(2048)
  url?: string;

  @ApiPropertyOptional(EVENTS_DOC)
  @IfSent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPES.length)
  @ArrayUnique()
  @IsIn(EVENT_TYPES, { each: true })
  events?: EventType[];

  @ApiPropertyOptional({ ...SECRET_DOC, type: String, nullable: true })
  @IsOptional()
  @IsString()
  @Length(1, 1_000)
  secret?: string | null;

  @ApiPropertyOptional({ description: 'Whether events are sent.', enum: WEBHOOK_STATUSES })
  @IfSent()
  @IsIn(WEBHOOK_STATUSES)
  status?: WebhookStatus;

  @ApiPropertyOptional({
    description: 'The revision you saw; refused when it is another one now.',
    minimum: 0,
    type: 'integer',
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class WebhookDto {
  @ApiProperty({ description: 'Id of the webhook.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'For people.', example: 'deploy-bot' })
  name!: string;

  @ApiProperty({
    description: 'For people.',
    type: String,
    nullable: true,
    example: 'Rolls out new champions.',
  })
  description!: string | null;

  @ApiProperty({
    description: 'Where deliveries are posted to.',
    example: 'https://deploy.example.com/hooks/catena',
  })
  url!: string;

  @ApiProperty(EVENTS_DOC)
  events!: EventType[];

  @ApiProperty({ description: 'Whether deliveries are signed.', example: true })
  hasSecret!: boolean;

  @ApiProperty({
    description: '`DISABLED` by hand, or because the receiver answered 410.',
    enum: WEBHOOK_STATUSES,
  })
  status!: WebhookStatus;

  @ApiProperty({ description: 'Grows with every change.', type: 'integer', example: 1 })
  revision!: number;

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ana' })
  createdBy!: string;

  @ApiProperty({ description: 'When it was changed last.', format: 'date-time' })
  updatedAt!: string;
}

export class TestWebhookDto {
  @ApiPropertyOptional({
    description: 'Type of the example event; by default the first one the webhook is told of.',
    enum: EVENT_TYPES,
    example: 'model_version_alias.created',
  })
  @IfSent()
  @IsIn(EVENT_TYPES)
  event?: EventType;
}

export class WebhookTestDto {
  @ApiProperty({ description: 'Whether the receiver answered 2xx.', example: true })
  success!: boolean;

  @ApiProperty({ description: 'What it answered.', type: 'integer', nullable: true, example: 204 })
  responseStatus!: number | null;

  @ApiProperty({ description: 'The beginning of its body.', type: String, nullable: true, example: '' })
  responseExcerpt!: string | null;

  @ApiProperty({ description: 'Why there was no answer.', type: String, nullable: true, example: null })
  error!: string | null;

  @ApiProperty({ description: 'How long it took.', type: 'integer', example: 41 })
  durationMs!: number;
}
