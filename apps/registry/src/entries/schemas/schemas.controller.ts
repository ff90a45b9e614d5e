import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CONTENT_SCHEMAS, KINDS, type Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ApiErrors } from '../../http/errors.doc.js';

@ApiTags('schemas')
@Controller('api/v1/schemas')
export class SchemasController {
  @Get(':kind')
  @Header('content-type', 'application/schema+json')
  @ApiOperation({
    summary: 'Get the JSON Schema of the content of a kind',
    description: 'Draft 2020-12; the very schema that registration validates with.',
  })
  @ApiParam({ name: 'kind', description: 'The kind.', enum: KINDS })
  @ApiOkResponse({
    description: 'The schema.',
    content: { 'application/schema+json': { schema: { type: 'object' } } },
  })
  @ApiErrors('NOT_FOUND')
  get(@Param('kind') kind: string): object {
    return schemaOf(kind);
  }
}

function schemaOf(kind: string): object {
  if (KINDS.includes(kind as Kind)) return CONTENT_SCHEMAS[kind as Kind];
  throw new DomainError(
    'NOT_FOUND',
    `There is no schema of "${kind.slice(0, 64)}"; there is one for ${KINDS.join(', ')}.`,
  );
}
