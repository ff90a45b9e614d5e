import { Body, Controller, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../../http/caller.js';
import { ApiErrors } from '../../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../../http/page.js';
import {
  adaptiveSettings,
  PutAdaptiveDto,
  PutRampDto,
  rampSettings,
  SteeringActionDto,
  SteeringDto,
  SteeringMoveDto,
} from './steering.dto.js';
import { SteeringService } from './steering.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the endpoint.', example: 'support-bot' });
const IdParam = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the test.', example: '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11' });

/** What an order can be refused for; those that make a split, for what a split is refused. */
const ACTION_ERRORS = ['VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'IMMUTABLE'] as const;
const SPLIT_ERRORS = [
  ...ACTION_ERRORS,
  'ARCHIVED',
  'REFERENCE_NOT_FOUND',
  'REFERENCE_ARCHIVED',
  'NOT_CLEARED',
] as const;

@ApiTags('ab-tests')
@Controller('api/v1/endpoints/:name/ab-tests/:id')
export class SteeringController {
  constructor(private readonly service: SteeringService) {}

  @Put('ramp')
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Put an A/B test on a ramp',
    description:
      'Treatments get their traffic in steps, each a revision of the split, as long as nothing speaks against it. Begins when the test runs. While it is under way, pause it first.',
  })
  @ApiOkResponse({ description: 'How it is steered.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  putRamp(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: PutRampDto,
  ): Promise<SteeringDto> {
    return this.service.put(caller, { endpoint: name, id }, 'ramp', rampSettings(body));
  }

  @Get('ramp')
  @NameParam()
  @IdParam()
  @ApiOperation({ summary: 'Get the ramp of an A/B test' })
  @ApiOkResponse({ description: 'How far it is, and what it waits for.', type: SteeringDto })
  @ApiErrors('NOT_FOUND')
  getRamp(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
  ): Promise<SteeringDto> {
    return this.service.get(caller, { endpoint: name, id }, 'ramp');
  }

  @Post('ramp/pause')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Pause a ramp',
    description: 'The split stays as it is until the ramp is resumed. Harm is acted on all the same.',
  })
  @ApiOkResponse({ description: 'It is paused.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  pause(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.pause(caller, { endpoint: name, id }, 'ramp', body);
  }

  @Post('ramp/resume')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Resume a ramp',
    description:
      'It goes on from the split in force, also where somebody else has set it, and in spite of the alarms it paused for: those of this split revision do not pause it again.',
  })
  @ApiOkResponse({ description: 'It goes on.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  resume(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.resume(caller, { endpoint: name, id }, 'ramp', body);
  }

  @Post('ramp/advance')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({ summary: 'Take the next step of a ramp now', description: 'Whatever its gates say.' })
  @ApiOkResponse({ description: 'The step is taken.', type: SteeringDto })
  @ApiErrors(...SPLIT_ERRORS)
  advance(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.advance(caller, { endpoint: name, id }, body);
  }

  @Post('ramp/kill')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Kill switch: all units to control, at once',
    description: 'One revision of the split. The test ends, rolled back; the ramp never moves again.',
  })
  @ApiOkResponse({ description: 'All units are on control.', type: SteeringDto })
  @ApiErrors(...SPLIT_ERRORS, 'IN_USE')
  kill(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.kill(caller, { endpoint: name, id }, body);
  }

  @Put('adaptive')
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Make an A/B test adaptive',
    description:
      'Thompson sampling by the primary metric, with a floor: better arms get more units. Each change of the weights is a revision of the split, so a phase.',
  })
  @ApiOkResponse({ description: 'How it is steered.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  putAdaptive(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: PutAdaptiveDto,
  ): Promise<SteeringDto> {
    return this.service.put(caller, { endpoint: name, id }, 'adaptive', adaptiveSettings(body));
  }

  @Get('adaptive')
  @NameParam()
  @IdParam()
  @ApiOperation({ summary: 'Get how an A/B test adapts' })
  @ApiOkResponse({ description: 'When it last moved, and what it waits for.', type: SteeringDto })
  @ApiErrors('NOT_FOUND')
  getAdaptive(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
  ): Promise<SteeringDto> {
    return this.service.get(caller, { endpoint: name, id }, 'adaptive');
  }

  @Post('adaptive/pause')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Pause an adaptive test',
    description: 'The weights stay until it is resumed. Harm is acted on all the same.',
  })
  @ApiOkResponse({ description: 'It is paused.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  pauseAdaptive(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.pause(caller, { endpoint: name, id }, 'adaptive', body);
  }

  @Post('adaptive/resume')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Resume an adaptive test',
    description:
      'It goes on from the split in force, also where somebody else has set it, and in spite of the alarms it paused for: those of this split revision do not pause it again.',
  })
  @ApiOkResponse({ description: 'It goes on.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  resumeAdaptive(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.resume(caller, { endpoint: name, id }, 'adaptive', body);
  }

  @Post('adaptive/stop')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Stop adapting',
    description: 'The weights stay as they are; it never moves again. The test itself goes on.',
  })
  @ApiOkResponse({ description: 'It is latched.', type: SteeringDto })
  @ApiErrors(...ACTION_ERRORS)
  stop(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.service.stop(caller, { endpoint: name, id }, body);
  }

  @Get('moves')
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'List what a ramp or an adaptive test did',
    description: 'Newest first: every step, pause and order, with its reason.',
  })
  @ApiPage(SteeringMoveDto, 'Moves, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  moves(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Query() query: PageQuery,
  ): Promise<Page<SteeringMoveDto>> {
    return this.service.moves(caller, { endpoint: name, id }, query);
  }
}
