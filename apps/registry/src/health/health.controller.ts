import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { ApiErrors } from '../http/errors.doc.js';

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(private readonly database: DataSource) {}

  @Get('healthz')
  @ApiOperation({
    summary: 'Is the process alive?',
    description: 'Answers as long as the process can answer at all.',
  })
  @ApiOkResponse({ description: 'Alive.', schema: { example: { status: 'ok' } } })
  alive(): { status: string } {
    return { status: 'ok' };
  }

  @Get('readyz')
  @ApiOperation({ summary: 'Can the registry do its work?', description: 'Asks the database.' })
  @ApiOkResponse({ description: 'Ready.', schema: { example: { status: 'ok' } } })
  @ApiErrors('DATABASE_UNAVAILABLE')
  async ready(): Promise<{ status: string }> {
    return this.database.query('SELECT 1').then(() => ({ status: 'ok' }));
  }
}
