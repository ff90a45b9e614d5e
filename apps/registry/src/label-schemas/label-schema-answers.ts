import { Injectable } from '@nestjs/common';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import {
  labelSchemaDto,
  type CreateLabelSchemaDto,
  type LabelSchemaDto,
  type ListLabelSchemasQuery,
  type UpdateLabelSchemaDto,
} from './label-schema.dto.js';
import { LabelSchemaService } from './label-schema.service.js';

/** Label schemas as the native API shows them. */
@Injectable()
export class LabelSchemaAnswers {
  constructor(
    private readonly schemas: LabelSchemaService,
    private readonly experiments: ExperimentService,
  ) {}

  async create(caller: Caller, { experimentId, ...given }: CreateLabelSchemaDto): Promise<LabelSchemaDto> {
    const experimentNumber = await this.number(caller, experimentId);
    return labelSchemaDto(await this.schemas.create(caller, { ...given, experimentNumber }));
  }

  async get(caller: Caller, id: string): Promise<LabelSchemaDto> {
    return labelSchemaDto(await this.schemas.get(caller, id));
  }

  async list(caller: Caller, query: ListLabelSchemasQuery): Promise<Page<LabelSchemaDto>> {
    const page = await this.schemas.list(caller, await this.number(caller, query.experimentId), query);
    return { ...page, items: page.items.map(labelSchemaDto) };
  }

  async update(caller: Caller, id: string, patch: UpdateLabelSchemaDto): Promise<LabelSchemaDto> {
    return labelSchemaDto(await this.schemas.update(caller, id, patch));
  }

  private async number(caller: Caller, experimentId: string): Promise<number> {
    return (await this.experiments.get(caller, parseExperimentRef(experimentId, '/experimentId'))).number;
  }
}
