import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { NamedQuery } from '../http/named-query.js';
import { ApiPage, type Page } from '../http/page.js';
import { DiscoveredModelsDto } from './discovered-models.dto.js';
import { ModelDiscoveryService } from './model-discovery.service.js';
import { CreateModelEndpointDto, ModelEndpointDto, UpdateModelEndpointDto } from './model-endpoint.dto.js';
import { ModelEndpointService } from './model-endpoint.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the model endpoint.', example: 'gpu-pool' });

@ApiTags('model endpoints')
@Controller('api/v1/model-endpoints')
export class ModelEndpointController {
  constructor(
    private readonly service: ModelEndpointService,
    private readonly discovery: ModelDiscoveryService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create a model endpoint',
    description:
      'Where generation happens: replicas that serve the same models, their prices and credential.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: ModelEndpointDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'ALREADY_EXISTS', 'PAYLOAD_TOO_LARGE')
  create(@CallerParam() caller: Caller, @Body() body: CreateModelEndpointDto): Promise<ModelEndpointDto> {
    return this.service.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List model endpoints', description: 'Ordered by name.' })
  @ApiPage(ModelEndpointDto, 'Model endpoints in order of their names.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: NamedQuery): Promise<Page<ModelEndpointDto>> {
    return this.service.list(caller, query);
  }

  @Get(':name')
  @NameParam()
  @ApiOperation({ summary: 'Get a model endpoint' })
  @ApiOkResponse({ description: 'The model endpoint.', type: ModelEndpointDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('name') name: string): Promise<ModelEndpointDto> {
    return this.service.get(caller, name);
  }

  @Get(':name/discovered-models')
  @NameParam()
  @ApiOperation({
    summary: 'Ask the replicas which models they serve',
    description:
      'Every replica is asked now, for at most three seconds. Nothing is changed: what is wanted of it belongs in `models`.',
  })
  @ApiOkResponse({ description: 'What they said.', type: DiscoveredModelsDto })
  @ApiErrors('NOT_FOUND', 'VALIDATION_FAILED')
  discover(@CallerParam() caller: Caller, @Param('name') name: string): Promise<DiscoveredModelsDto> {
    return this.discovery.discover(caller, name);
  }

  @Patch(':name')
  @NameParam()
  @ApiOperation({
    summary: 'Change a model endpoint',
    description:
      'Absent fields stay as they are; `null` clears description and credential. Gateways follow within a moment. A model that the split in force of a serving endpoint needs cannot be removed.',
  })
  @ApiOkResponse({ description: 'The model endpoint as it is now.', type: ModelEndpointDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'REVISION_CONFLICT', 'ARCHIVED', 'IN_USE')
  update(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: UpdateModelEndpointDto,
  ): Promise<ModelEndpointDto> {
    return this.service.update(caller, name, body);
  }

  @Post(':name/archive')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Archive a model endpoint',
    description: 'Refused while the split in force of a serving endpoint needs it. Nothing is deleted.',
  })
  @ApiOkResponse({ description: 'Archived.', type: ModelEndpointDto })
  @ApiErrors('NOT_FOUND', 'IN_USE')
  archive(@CallerParam() caller: Caller, @Param('name') name: string): Promise<ModelEndpointDto> {
    return this.service.archive(caller, name);
  }

  @Post(':name/restore')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({ summary: 'Restore an archived model endpoint' })
  @ApiOkResponse({ description: 'In use again.', type: ModelEndpointDto })
  @ApiErrors('NOT_FOUND')
  restore(@CallerParam() caller: Caller, @Param('name') name: string): Promise<ModelEndpointDto> {
    return this.service.restore(caller, name);
  }
}
