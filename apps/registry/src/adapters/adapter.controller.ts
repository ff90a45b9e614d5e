import { Body, Controller, Delete, HttpCode, Param, Post } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { AdapterDto, LoadAdapterDto, LoadedAdapterDto } from './adapter.dto.js';
import { AdapterService } from './adapter.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the model endpoint.', example: 'gpu-pool' });

@ApiTags('model endpoints')
@Controller('api/v1/model-endpoints')
export class AdapterController {
  constructor(private readonly service: AdapterService) {}

  @Post(':name/adapters')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Load an adapter into the replicas',
    description:
      'Every replica is told to load a LoRA adapter, through vLLM’s API for it. One that has it already is fine; one that cannot says why. Gateways send requests for it to the replicas that have it. A replica forgets it when it restarts.',
  })
  @ApiOkResponse({ description: 'What the replicas said.', type: LoadedAdapterDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'ARCHIVED',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'DIGEST_MISMATCH',
  )
  load(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: LoadAdapterDto,
  ): Promise<LoadedAdapterDto> {
    return this.service.load(caller, name, body);
  }

  @Delete(':name/adapters/:adapter')
  @NameParam()
  @ApiParam({ name: 'adapter', description: 'Name of the adapter.', example: 'support-reply' })
  @ApiOperation({
    summary: 'Unload an adapter from the replicas',
    description: 'Refused while the split in force of a serving endpoint generates with it.',
  })
  @ApiOkResponse({ description: 'What the replicas said.', type: AdapterDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'ARCHIVED', 'IN_USE')
  unload(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('adapter') adapter: string,
  ): Promise<AdapterDto> {
    return this.service.unload(caller, name, adapter);
  }
}
