import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import { Registry } from 'prom-client';
import { Telemetry } from './telemetry.js';

@ApiTags('health')
@Controller()
export class TelemetryController {
  constructor(private readonly telemetry: Telemetry) {}

  @Get('metrics')
  @Header('content-type', Registry.PROMETHEUS_CONTENT_TYPE)
  @ApiOperation({ summary: 'Metrics of this registry', description: "In Prometheus' text format." })
  @ApiProduces('text/plain')
  @ApiOkResponse({
    description: 'The metrics.',
    schema: { type: 'string', example: 'catena_follower_behind_seconds{follower="inference-minutes"} 0\n' },
  })
  read(): Promise<string> {
    return this.telemetry.registry.metrics();
  }
}
