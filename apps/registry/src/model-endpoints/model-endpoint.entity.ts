import { Check, Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Protocol } from '#libs/core/content/protocol.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { TokenPrices } from '#libs/core/cost/cost.js';
import { Workspace } from '../workspaces/workspace.entity.js';

@Entity('model_endpoint')
@Unique('model_endpoint_name_key', ['workspaceId', 'name'])
@Check('model_endpoint_protocol_check', `protocol IN ('openai', 'azure-openai', 'anthropic')`)
@Check(
  'model_endpoint_prices_check',
  'input_micro_usd_per_million_tokens >= 0 AND output_micro_usd_per_million_tokens >= 0',
)
@Check(
  'model_endpoint_part_prices_check',
  'cached_input_micro_usd_per_million_tokens >= 0 AND cache_write_input_micro_usd_per_million_tokens >= 0 AND reasoning_micro_usd_per_million_tokens >= 0',
)
@Check('model_endpoint_clearance_check', `clearance IN ('public', 'internal', 'restricted')`)
@Check(
  'model_endpoint_structured_output_check',
  `structured_output IN ('response_format', 'structured_outputs', 'json_object', 'prompt')`,
)
@Check('model_endpoint_concurrency_check', 'max_concurrency_per_replica > 0')
@Check('model_endpoint_credential_check', '(credential_ciphertext IS NULL) = (credential_key_id IS NULL)')
export class ModelEndpoint {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'model_endpoint_pk' })
  id!: string;

  @Column({ name: 'workspace_id', type: 'uuid' })
  @ForeignKey(() => Workspace, { name: 'model_endpoint_workspace_fk' })
  workspaceId!: string;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column({ type: 'text', nullable: true })
  description!: string | null;

  @Column({ type: 'text' })
  protocol!: Protocol;

  @Column({
    name: 'api_version',
    type: 'text',
    nullable: true,
    comment: 'version of the protocol to ask for; null: the one the gateway was written against',
  })
  apiVersion!: string | null;

  @Column({ type: 'text', array: true })
  models!: string[];

  @Column({ name: 'input_micro_usd_per_million_tokens', type: 'bigint' })
  inputMicroUsdPerMillionTokens!: number;

  @Column({ name: 'output_micro_usd_per_million_tokens', type: 'bigint' })
  outputMicroUsdPerMillionTokens!: number;

  @Column({ name: 'cached_input_micro_usd_per_million_tokens', type: 'bigint', nullable: true })
  cachedInputMicroUsdPerMillionTokens!: number | null;

  @Column({ name: 'cache_write_input_micro_usd_per_million_tokens', type: 'bigint', nullable: true })
  cacheWriteInputMicroUsdPerMillionTokens!: number | null;

  @Column({ name: 'reasoning_micro_usd_per_million_tokens', type: 'bigint', nullable: true })
  reasoningMicroUsdPerMillionTokens!: number | null;

  @Column({
    name: 'model_prices',
    type: 'jsonb',
    default: {},
    comment: 'object: model -> its prices, where they are not those of the others',
  })
  modelPrices!: Record<string, TokenPrices>;

  @Column({ type: 'text', default: 'internal', comment: 'the highest class of data it may see' })
  clearance!: DataClass;

  @Column({
    name: 'structured_output',
    type: 'text',
    default: 'response_format',
    comment: 'how it is asked for JSON by a schema; prompt: in words only',
  })
  structuredOutput!: StructuredOutput;

  @Column({ name: 'max_concurrency_per_replica', type: 'integer' })
  maxConcurrencyPerReplica!: number;

  @Column({ name: 'credential_ciphertext', type: 'bytea', nullable: true })
  credentialCiphertext!: Buffer | null;

  @Column({ name: 'credential_key_id', type: 'text', nullable: true })
  credentialKeyId!: string | null;

  @Column({ type: 'integer' })
  revision!: number;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'created_by', type: 'text' })
  createdBy!: string;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'archived_at', type: 'timestamptz', nullable: true })
  archivedAt!: Date | null;
}
