import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { AccessEventDto } from '../access-events/access-event.dto.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { NamedQuery } from '../http/named-query.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import {
  ApiKeyDto,
  ApiKeyWithSecretDto,
  CreateApiKeyDto,
  RevokeApiKeyDto,
  RotateApiKeyDto,
  UpdateApiKeyDto,
} from './api-key.dto.js';
import { ApiKeyService } from './api-key.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the API key.', example: 'ticket-system' });

@ApiTags('API keys')
@Controller('api/v1/api-keys')
export class ApiKeyController {
  constructor(private readonly service: ApiKeyService) {}

  @Post()
  @ApiOperation({
    summary: 'Make an API key',
    description:
      'The answer holds its secret, this once. From the first key on, gateways answer nobody without one.',
  })
  @ApiCreatedResponse({ description: 'The key, with its secret.', type: ApiKeyWithSecretDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'ALREADY_EXISTS',
    'REFERENCE_NOT_FOUND',
    'PAYLOAD_TOO_LARGE',
  )
  create(@CallerParam() caller: Caller, @Body() body: CreateApiKeyDto): Promise<ApiKeyWithSecretDto> {
    return this.service.create(caller, body);
  }

  @Get()
  @ApiOperation({
    summary: 'List API keys',
    description: 'Ordered by name; revoked ones with `includeArchived`.',
  })
  @ApiPage(ApiKeyDto, 'API keys in order of their names.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: NamedQuery): Promise<Page<ApiKeyDto>> {
    return this.service.list(caller, query);
  }

  @Get(':name')
  @NameParam()
  @ApiOperation({ summary: 'Get an API key', description: 'Without its secrets.' })
  @ApiOkResponse({ description: 'The key.', type: ApiKeyDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('name') name: string): Promise<ApiKeyDto> {
    return this.service.get(caller, name);
  }

  @Patch(':name')
  @NameParam()
  @ApiOperation({
    summary: 'Change an API key',
    description:
      'Absent fields stay as they are; `null` clears description, team, endpoints (all) and expiry. Gateways follow within a moment.',
  })
  @ApiOkResponse({ description: 'The key as it is now.', type: ApiKeyDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'REVISION_CONFLICT',
    'ARCHIVED',
    'REFERENCE_NOT_FOUND',
  )
  update(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: UpdateApiKeyDto,
  ): Promise<ApiKeyDto> {
    return this.service.update(caller, name, body);
  }

  @Post(':name/rotate')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Rotate an API key',
    description:
      'The answer holds a new secret, this once; those before it stay good for `overlapSeconds`. Limits and usage go on.',
  })
  @ApiOkResponse({ description: 'The key, with its new secret.', type: ApiKeyWithSecretDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'ARCHIVED', 'IN_USE')
  rotate(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: RotateApiKeyDto,
  ): Promise<ApiKeyWithSecretDto> {
    return this.service.rotate(caller, name, body ?? new RotateApiKeyDto());
  }

  @Post(':name/revoke')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Revoke an API key',
    description: 'For good: gateways refuse all its secrets within a moment. Its name stays taken.',
  })
  @ApiOkResponse({ description: 'The key, revoked.', type: ApiKeyDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND')
  revoke(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: RevokeApiKeyDto,
  ): Promise<ApiKeyDto> {
    return this.service.revoke(caller, name, body ?? new RevokeApiKeyDto());
  }

  @Get(':name/events')
  @NameParam()
  @ApiOperation({
    summary: 'What was done to an API key',
    description: 'By whom and why, newest first.',
  })
  @ApiPage(AccessEventDto, 'Events, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  events(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: PageQuery,
  ): Promise<Page<AccessEventDto>> {
    return this.service.events(caller, name, query);
  }
}
