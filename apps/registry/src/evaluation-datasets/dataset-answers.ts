import { Injectable } from '@nestjs/common';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page, PageQuery } from '../http/page.js';
import { readFilter } from '../search/search-text.js';
import { DatasetRecords } from './dataset-records.js';
import {
  datasetDto,
  recordDto,
  type CreateEvaluationDatasetDto,
  type DatasetRecordDto,
  type EvaluationDatasetDto,
  type ListEvaluationDatasetsQuery,
  type UpdateEvaluationDatasetDto,
  type UpsertedRecordsDto,
  type UpsertRecordsDto,
} from './evaluation-dataset.dto.js';
import { EvaluationDatasetService } from './evaluation-dataset.service.js';

/** Evaluation datasets as the native API shows them. */
@Injectable()
export class DatasetAnswers {
  constructor(
    private readonly datasets: EvaluationDatasetService,
    private readonly records: DatasetRecords,
    private readonly experiments: ExperimentService,
  ) {}

  async create(caller: Caller, given: CreateEvaluationDatasetDto): Promise<EvaluationDatasetDto> {
    const { name, tags, experimentNumbers: experiments } = given;
    return datasetDto(
      await this.datasets.create(caller, { name, tags, experiments, createdBy: caller.actor }),
    );
  }

  async list(caller: Caller, query: ListEvaluationDatasetsQuery): Promise<Page<EvaluationDatasetDto>> {
    const { experimentId, filter, limit, cursor } = query;
    const experiment =
      experimentId === undefined
        ? undefined
        : await this.experiments.get(caller, parseExperimentRef(experimentId, '/experimentId'));
    const page = await this.datasets.search(caller, {
      experiments: experiment && [experiment.number],
      filter: readFilter('evaluationDataset', filter) ?? undefined,
      limit,
      cursor,
    });
    return { ...page, items: page.items.map(datasetDto) };
  }

  async get(caller: Caller, id: string): Promise<EvaluationDatasetDto> {
    return datasetDto(await this.datasets.get(caller, id));
  }

  async update(
    caller: Caller,
    id: string,
    { tags }: UpdateEvaluationDatasetDto,
  ): Promise<EvaluationDatasetDto> {
    return datasetDto(await this.datasets.setTags(caller, id, tags));
  }

  async listRecords(caller: Caller, id: string, query: PageQuery): Promise<Page<DatasetRecordDto>> {
    const page = await this.records.list(caller, id, query);
    return { ...page, items: page.items.map(recordDto) };
  }

  upsertRecords(caller: Caller, id: string, { records }: UpsertRecordsDto): Promise<UpsertedRecordsDto> {
    return this.records.upsert(caller, id, JSON.stringify(records));
  }
}
