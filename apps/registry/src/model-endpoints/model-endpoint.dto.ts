import {
  ApiExtraModels,
  ApiProperty,
  ApiPropertyOptional,
  getSchemaPath,
  OmitType,
  PartialType,
} from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';
import { DATA_CLASSES, DEFAULT_DATA_CLASS, type DataClass } from '#libs/core/clearance/clearance.js';
import { PROTOCOLS, type Protocol } from '#libs/core/content/protocol.js';
import {
  DEFAULT_STRUCTURED_OUTPUT,
  STRUCTURED_OUTPUTS,
  type StructuredOutput,
} from '#libs/core/contract/structured-output.js';
import { IfSent, IsExpectedRevision, IsName } from '../http/body-rules.js';
import { IsModelPrices } from '../model-prices/is-model-prices.js';
import { TokenPricesDto } from '../model-prices/token-prices.dto.js';
import { IsBaseUrl, normalizeBaseUrl } from './base-url.js';

export class ReplicaInput {
  @ApiProperty({
    description: 'Base URL, without query, fragment or credentials. A trailing slash is trimmed.',
    example: 'http://10.0.0.5:8000/v1',
  })
  @IsBaseUrl()
  baseUrl!: string;
}

export class ReplicaDto {
  @ApiProperty({ description: 'Stays the same as long as the base URL is listed.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Base URL, as stored.', example: 'http://10.0.0.5:8000/v1' })
  baseUrl!: string;
}

const MODEL_PRICES = {
  type: 'object',
  additionalProperties: { $ref: getSchemaPath(TokenPricesDto) },
  example: {
    'llama-3.1-8b-instruct': {
      inputMicroUsdPerMillionTokens: 100_000,
      outputMicroUsdPerMillionTokens: 100_000,
    },
  },
} as const;

@ApiExtraModels(TokenPricesDto)
export class CreateModelEndpointDto {
  @ApiProperty({
    description: 'Name that chains refer to. It never changes.',
    example: 'gpu-pool',
  })
  @IsName()
  name!: string;

  @ApiPropertyOptional({
    description: 'For people.',
    type: String,
    nullable: true,
    example: 'Two H100 in Frankfurt.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  description?: string | null;

  @ApiProperty({
    description:
      'What the replicas speak. `openai`: vLLM, SGLang, TGI, llama.cpp, Ollama, OpenAI and what else is compatible, with a base URL such as http://10.0.0.5:8000/v1. `azure-openai`: the dated API of Azure, with https://{resource}.openai.azure.com/openai and deployments for models. `anthropic`: https://api.anthropic.com/v1.',
    enum: PROTOCOLS,
    example: 'openai',
  })
  @IsIn(PROTOCOLS)
  protocol!: Protocol;

  @ApiPropertyOptional({
    description:
      'Version of the protocol to ask for: `api-version` of `azure-openai`, `anthropic-version` of `anthropic`. `null`: 2024-10-21 and 2023-06-01. `openai` has none.',
    type: String,
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsString()
  @Matches(/^[A-Za-z0-9._-]{1,64}$/, {
    message: 'must be 1 to 64 letters, digits, dots, hyphens or underscores, such as 2024-10-21',
  })
  apiVersion?: string | null;

  @ApiProperty({ description: 'Interchangeable servers, 1 to 64, each once.', type: [ReplicaInput] })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(64)
  @IsObject({ each: true, message: 'each must be an object with a baseUrl' })
  @ArrayUnique((replica: { baseUrl?: unknown } | null) => normalizedOf(replica?.baseUrl), {
    message: 'a base URL is listed twice; list every replica once',
  })
  @ValidateNested({ each: true })
  @Type(() => ReplicaInput)
  replicas!: ReplicaInput[];

  @ApiProperty({
    description: 'Model names the replicas serve, 1 to 100. A chain may name no other.',
    type: [String],
    example: ['llama-3.1-8b-instruct'],
  })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @ArrayUnique({ message: 'a model is listed twice; list every model once' })
  @IsString({ each: true })
  @Length(1, 256, { each: true })
  models!: string[];

  @ApiPropertyOptional({ description: 'What tokens cost; nothing, unless given.', type: TokenPricesDto })
  @IfSent()
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => TokenPricesDto)
  prices?: TokenPricesDto;

  @ApiPropertyOptional({
    description: 'Prices of single models, by name; the others cost `prices`.',
    ...MODEL_PRICES,
  })
  @IfSent()
  @IsModelPrices()
  modelPrices?: Record<string, TokenPricesDto>;

  @ApiPropertyOptional({
    description:
      'Vendor of GET /api/v1/model-prices: each of `models` without a price in `modelPrices` gets the one listed there. A model that is not listed is refused.',
    example: 'anthropic',
    writeOnly: true,
  })
  @IfSent()
  @IsString()
  @MaxLength(128)
  pricesFrom?: string;

  @ApiPropertyOptional({
    description:
      'The highest class of data it may see. Gateways send it nothing above, neither at first nor as a fallback.',
    enum: DATA_CLASSES,
    default: DEFAULT_DATA_CLASS,
  })
  @IfSent()
  @IsIn(DATA_CLASSES)
  clearance?: DataClass;

  @ApiPropertyOptional({
    description:
      "How it is asked for the output contract of a chain. `response_format`: in the field of its protocol, which OpenAI, vLLM, SGLang, llama.cpp, Ollama and Anthropic know. `structured_outputs`: vLLM's own field. `json_object`: for any JSON, with the schema in words. `prompt`: in words alone. Azure knows no `structured_outputs`, Anthropic only `response_format` and `prompt`.",
    enum: STRUCTURED_OUTPUTS,
    default: DEFAULT_STRUCTURED_OUTPUT,
  })
  @IfSent()
  @IsIn(STRUCTURED_OUTPUTS)
  structuredOutput?: StructuredOutput;

  @ApiPropertyOptional({
    description: 'Most requests a gateway has under way at one replica; the others wait.',
    minimum: 1,
    maximum: 100_000,
    default: 32,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(100_000)
  maxConcurrencyPerReplica?: number;

  @ApiPropertyOptional({
    description:
      'What the replicas know the gateway by, sent as their protocol has it: a bearer token, `api-key`, `x-api-key`. Kept encrypted, never returned. `null`: none.',
    type: String,
    nullable: true,
    writeOnly: true,
    example: 'sk-example',
  })
  @IsOptional()
  @IsString()
  @MaxLength(8192)
  // What RFC 9110 lets into a header value, without white space: anything else could not be sent.
  @Matches(/^[\x21-\x7e]+$/, {
    message: 'must be a token: 1 to 8192 visible ASCII characters without spaces',
  })
  credential?: string | null;
}

function normalizedOf(baseUrl: unknown): unknown {
  return typeof baseUrl === 'string' ? (normalizeBaseUrl(baseUrl) ?? baseUrl) : baseUrl;
}

/** Fields that may change. Lists and prices are given as a whole. */
export class UpdateModelEndpointDto extends PartialType(
  OmitType(CreateModelEndpointDto, ['name', 'protocol'] as const),
  { skipNullProperties: false },
) {
  @ApiPropertyOptional({
    description: 'The revision you have seen. If another is in force by now: 409, and nothing changes.',
    example: 1,
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class ModelEndpointDto {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Name that chains refer to.', example: 'gpu-pool' })
  name!: string;

  @ApiProperty({ description: 'For people.', type: String, nullable: true })
  description!: string | null;

  @ApiProperty({ description: 'What the replicas speak.', enum: PROTOCOLS })
  protocol!: Protocol;

  @ApiProperty({
    description: 'Version of the protocol asked for.',
    type: String,
    nullable: true,
    example: null,
  })
  apiVersion!: string | null;

  @ApiProperty({ description: 'Interchangeable servers.', type: [ReplicaDto] })
  replicas!: ReplicaDto[];

  @ApiProperty({ description: 'Model names served.', type: [String], example: ['llama-3.1-8b-instruct'] })
  models!: string[];

  @ApiProperty({ description: 'What tokens cost.', type: TokenPricesDto })
  prices!: TokenPricesDto;

  @ApiProperty({ description: 'What tokens of single models cost, by name.', ...MODEL_PRICES })
  modelPrices!: Record<string, TokenPricesDto>;

  @ApiProperty({ description: 'The highest class of data it may see.', enum: DATA_CLASSES })
  clearance!: DataClass;

  @ApiProperty({ description: 'How it is asked for JSON by a schema.', enum: STRUCTURED_OUTPUTS })
  structuredOutput!: StructuredOutput;

  @ApiProperty({ description: 'Most requests a gateway has under way at one replica.', example: 32 })
  maxConcurrencyPerReplica!: number;

  @ApiProperty({ description: 'Whether a credential is kept. It is never shown.' })
  hasCredential!: boolean;

  @ApiProperty({ description: 'Grows by one with every change.', example: 1 })
  revision!: number;

  @ApiProperty({ description: 'When it was created.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who created it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time', type: String })
  updatedAt!: Date;

  @ApiProperty({
    description: 'When it was archived; null while it is in use.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  archivedAt!: Date | null;
}
