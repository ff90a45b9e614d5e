import { Injectable } from '@nestjs/common';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { readFilter } from '../search/search-text.js';
import {
  issueDto,
  type CreateIssueDto,
  type IssueDto,
  type ListIssuesQuery,
  type UpdateIssueDto,
} from './issue.dto.js';
import { IssueService } from './issue.service.js';

/** Issues as the native API shows them. */
@Injectable()
export class IssueAnswers {
  constructor(
    private readonly issues: IssueService,
    private readonly experiments: ExperimentService,
  ) {}

  async create(caller: Caller, { experimentId, ...given }: CreateIssueDto): Promise<IssueDto> {
    const experimentNumber = await this.number(caller, experimentId);
    return issueDto(
      await this.issues.create(caller, { ...given, experimentNumber, createdBy: caller.actor }),
    );
  }

  async get(caller: Caller, id: string): Promise<IssueDto> {
    return issueDto(await this.issues.get(caller, id));
  }

  async list(caller: Caller, query: ListIssuesQuery): Promise<Page<IssueDto>> {
    const { experimentId, filter, withTraceCount, limit, cursor } = query;
    const page = await this.issues.search(caller, {
      experiment: experimentId === undefined ? undefined : await this.number(caller, experimentId),
      filter: readFilter('issue', filter) ?? undefined,
      withTraceCount,
      limit,
      cursor,
    });
    return { ...page, items: page.items.map(issueDto) };
  }

  async update(caller: Caller, id: string, patch: UpdateIssueDto): Promise<IssueDto> {
    return issueDto(await this.issues.update(caller, id, patch));
  }

  private async number(caller: Caller, experimentId: string): Promise<number> {
    return (await this.experiments.get(caller, parseExperimentRef(experimentId, '/experimentId'))).number;
  }
}
