import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsOptional,
  IsString,
  MaxLength,
} from 'class-validator';
import { PageQuery } from '../http/page.js';
import { Shadows, type ShadowFilter } from './shadow-filter.js';
import { IsTimestamp } from './time-range.js';

export const USAGE_GROUPS = [
  'day',
  'team',
  'apiKey',
  'endpoint',
  'chainVersion',
  'modelEndpoint',
  'model',
] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

const Only =
  (description: string, example: string): PropertyDecorator =>
  (target, property) => {
    ApiPropertyOptional({ description, example })(target, property);
    IsOptional()(target, property);
    IsString()(target, property);
    MaxLength(256)(target, property);
  };

export class UsageQuery extends PageQuery {
  @IsTimestamp('Not before this time.', '2026-11-22T00:00:00Z')
  from!: string;

  @IsTimestamp('Before this time; at most 31 days after `from`.', '2026-11-23T00:00:00Z')
  to!: string;

  @ApiPropertyOptional({
    description:
      'What is told apart, comma-separated: one group per combination that occurs, listed in this order. Days are of UTC.',
    type: 'array',
    items: { type: 'string', enum: [...USAGE_GROUPS] },
    default: ['day'],
    example: 'endpoint,chainVersion',
  })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.split(',') : value))
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(USAGE_GROUPS.length)
  @ArrayUnique({ message: 'a group is listed twice' })
  @IsIn(USAGE_GROUPS, { each: true })
  groupBy: UsageGroup[] = ['day'];

  @Only('Only with API keys of this team.', 'payments')
  team?: string;

  @Only('Only with this API key.', 'checkout')
  apiKey?: string;

  @Only('Only of this serving endpoint.', 'support-bot')
  endpoint?: string;

  @Only('Only of this chain.', 'support-reply')
  chain?: string;

  @Only('Only those this model endpoint answered last.', 'gpu-pool')
  modelEndpoint?: string;

  @Only('Only those this model answered last.', 'llama-3.1-8b-instruct')
  model?: string;

  @Shadows(
    'Whether copies of requests that answered nobody are counted. They are unless it says otherwise: they cost the same.',
    'include',
  )
  shadows: ShadowFilter = 'include';
}

const Key = (description: string, type: StringConstructor | NumberConstructor, example: unknown) =>
  ApiPropertyOptional({
    description: `${description} Only where it is told apart.`,
    type,
    nullable: true,
    example,
  });

export class UsageDto {
  @Key('Day of UTC.', String, '2026-11-22')
  day?: string;

  @Key('Team of the API key; null without.', String, 'payments')
  team?: string | null;

  @Key('API key; null without.', String, 'checkout')
  apiKey?: string | null;

  @Key('Serving endpoint.', String, 'support-bot')
  endpoint?: string;

  @Key('Chain.', String, 'support-reply')
  chain?: string;

  @Key('Its version.', Number, 1)
  chainVersion?: number;

  @Key('Model endpoint of the last attempt; null where there was none.', String, 'gpu-pool')
  modelEndpoint?: string | null;

  @Key('Model of the last attempt; null where there was none.', String, 'llama-3.1-8b-instruct')
  model?: string | null;

  @ApiProperty({ description: 'All requests.', example: 500 })
  requests!: number;

  @ApiProperty({
    description: 'Of them, copies for shadows, with the key and the team of the request copied.',
    example: 25,
  })
  shadowRequests!: number;

  @ApiProperty({
    description: 'Of them, answered without a model call, and so without tokens and cost.',
    example: 40,
  })
  cacheHits!: number;

  @ApiProperty({ description: 'Answered.', example: 496 })
  ok!: number;

  @ApiProperty({ description: 'Prompt tokens.', example: 120_000 })
  inputTokens!: number;

  @ApiProperty({ description: 'Of them, read from a cache of the server.', example: 80_000 })
  cachedInputTokens!: number;

  @ApiProperty({ description: 'Of them, written to a cache of the server.', example: 0 })
  cacheWriteInputTokens!: number;

  @ApiProperty({ description: 'Completion tokens.', example: 30_000 })
  outputTokens!: number;

  @ApiProperty({ description: 'Of them, the model thought with.', example: 12_000 })
  reasoningTokens!: number;

  @ApiProperty({ description: 'Cost in micro-USD.', example: 36_000 })
  costMicroUsd!: number;

  @ApiProperty({ description: 'Of it, what shadows cost.', example: 1_800 })
  shadowCostMicroUsd!: number;

  @ApiProperty({
    description: 'Requests whose tokens the server did not tell, so that their cost is not known.',
    example: 4,
  })
  requestsWithoutCost!: number;
}
