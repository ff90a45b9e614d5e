import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ExperimentService } from '../experiments/experiment.service.js';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { RunReader } from '../search/run-reader.js';
import { RunSearch } from '../search/run-search.js';
import { readFilter, readOrderBy } from '../search/search-text.js';
import { runWithDataDto } from './run-answers.js';
import type { EvaluatedVersionDto, RunDetailDto, RunWithDataDto } from './run.dto.js';
import { recordOf } from './run-record.js';
import type { SearchRunsDto } from './run-search.dto.js';
import { RunService } from './run.service.js';

/** Runs with what they logged, as the native API shows them. */
@Injectable()
export class RunDetails {
  constructor(
    private readonly database: DataSource,
    private readonly runs: RunService,
    private readonly experiments: ExperimentService,
    private readonly reader: RunReader,
    private readonly runSearch: RunSearch,
  ) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<RunDetailDto> {
    const run = await this.runs.get(caller, id);
    const [data, versions] = await Promise.all([this.reader.load([run.serial]), this.versions(run.serial)]);
    return Object.assign(runWithDataDto(run, data.get(run.serial)!), { versions });
  }

  /** @throws DomainError VALIDATION_FAILED (the filter, with its place); NOT_FOUND (an experiment); INVALID_CURSOR. */
  async search(caller: Caller, query: SearchRunsDto): Promise<Page<RunWithDataDto>> {
    const filter = readFilter('run', query.filter);
    const orderBy = readOrderBy('run', query.orderBy);
    const experiments = await this.experiments.getMany(
      caller,
      query.experimentIds.map((id, index) => parseExperimentRef(id, `/experimentIds/${index}`)),
    );
    const { runs, nextCursor } = await this.runSearch.search(caller, {
      experimentSerials: experiments.map(({ serial }) => serial),
      filter,
      orderBy,
      lifecycle: query.lifecycle,
      limit: query.limit,
      cursor: query.cursor ?? undefined,
    });
    const bySerial = new Map(experiments.map((experiment) => [experiment.serial, experiment]));
    const data = await this.reader.load(runs.map(({ serial }) => serial));
    const items = runs.map((run) =>
      runWithDataDto(recordOf(run, bySerial.get(run.experimentSerial)!), data.get(run.serial)!),
    );
    return { items, nextCursor };
  }

  private async versions(serial: number): Promise<EvaluatedVersionDto[]> {
    return this.database.query(
      `SELECT e.kind, e.name, v.number AS version
         FROM run_version rv JOIN version v ON v.id = rv.version_id JOIN entry e ON e.id = v.entry_id
        WHERE rv.run = $1 ORDER BY e.kind, e.name, v.number`,
      [serial],
    );
  }
}
