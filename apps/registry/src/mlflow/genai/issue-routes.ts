import { Injectable } from '@nestjs/common';
import type { Issue, IssueSeverity, IssueStatus } from '../../issues/issue.js';
import { IssueService } from '../../issues/issue.service.js';
import { runHex as hexOf, parseRunId as uuidOf } from '../../runs/run-id.js';
import { readFilter } from '../../search/search-text.js';
import { flag, integer, list, text } from '../protocol/fields.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment, noSuchRun, runIdOf } from '../tracking/tracking-refusals.js';
import { experimentNumber } from './genai-refusals.js';

const MAX_PAGE = 1_000;
const ID = { issue_id: text({ required: true }) };
const TEXTS = list(text({ default: '' }));

/** `/issues…`. Status and severity are text, and checked by the service. */
@Injectable()
export class IssueRoutes {
  constructor(private readonly issues: IssueService) {}

  register(routes: MlflowRoutes): void {
    this.registerOne(routes);
    routes.add({
      method: 'POST',
      path: '/issues/search',
      version: 3,
      fields: {
        experiment_id: text(),
        filter_string: text(),
        max_results: integer({ default: 100, min: 1, max: 50_000 }),
        page_token: text(),
        include_trace_count: flag({ default: false }),
      },
      handle: async (caller, given) => {
        const page = await this.issues
          .search(caller, {
            experiment: given.experiment_id ? experimentNumber(given.experiment_id) : undefined,
            filter: readFilter('issue', given.filter_string) ?? undefined,
            withTraceCount: given.include_trace_count,
            limit: Math.min(given.max_results, MAX_PAGE),
            cursor: given.page_token || undefined,
          })
          .catch((error: unknown) => {
            // An experiment that is not there has no issues.
            if (isRefusal(error, 'NOT_FOUND')) return { items: [], nextCursor: null };
            throw error;
          });
        return { issues: page.items.map(issueMessage), next_page_token: page.nextCursor ?? '' };
      },
    });
  }

  private registerOne(routes: MlflowRoutes): void {
    const { issues } = this;
    routes.add({
      method: 'POST',
      path: '/issues',
      version: 3,
      fields: {
        experiment_id: text({ required: true }),
        name: text({ required: true }),
        description: text({ required: true }),
        status: text(),
        severity: text(),
        root_causes: TEXTS,
        source_run_id: text(),
        created_by: text(),
        categories: TEXTS,
      },
      handle: async (caller, given) => {
        const number = experimentNumber(given.experiment_id);
        const issue = issues.create(caller, {
          experimentNumber: number,
          name: given.name,
          description: given.description,
          status: (given.status || undefined) as IssueStatus | undefined,
          severity: (given.severity || undefined) as IssueSeverity | undefined,
          rootCauses: given.root_causes,
          categories: given.categories,
          sourceRunId: given.source_run_id ? runIdOf(given.source_run_id) : null,
          createdBy: given.created_by || null,
        });
        return {
          issue: issueMessage(
            await aboutExperiment({ number }, issue.catch(aboutSourceRun(given.source_run_id))),
          ),
        };
      },
    });
    routes.add({
      method: 'GET',
      path: '/issues/{issue_id}',
      version: 3,
      fields: ID,
      handle: async (caller, { issue_id }) => ({
        issue: issueMessage(await about(issue_id, (id) => issues.get(caller, id))),
      }),
    });
    routes.add({
      method: 'PATCH',
      path: '/issues/{issue_id}',
      version: 3,
      fields: { ...ID, name: text(), description: text(), status: text(), severity: text() },
      handle: async (caller, { issue_id, ...given }) => ({
        issue: issueMessage(
          await about(issue_id, (id) =>
            issues.update(caller, id, {
              name: given.name || undefined,
              description: given.description || undefined,
              status: (given.status || undefined) as IssueStatus | undefined,
              severity: (given.severity || undefined) as IssueSeverity | undefined,
            }),
          ),
        ),
      }),
    });
  }
}

/** Says that the issue is not there as the client named it. */
async function about<T>(given: string, work: (id: string) => Promise<T>): Promise<T> {
  const id = uuidOf(given.replace(/^iss-/, ''));
  try {
    if (id !== undefined) return await work(id);
  } catch (error) {
    if (!isRefusal(error, 'NOT_FOUND')) throw error;
  }
  throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Issue with ID '${given.slice(0, 64)}' not found`);
}

function aboutSourceRun(given: string | undefined): (error: unknown) => never {
  return (error) => {
    throw isRefusal(error, 'REFERENCE_NOT_FOUND') ? noSuchRun(given ?? '') : error;
  };
}

function issueMessage(issue: Issue): object {
  return {
    issue_id: `iss-${hexOf(issue.id)}`,
    experiment_id: String(issue.experimentNumber),
    name: issue.name,
    description: issue.description,
    status: issue.status,
    severity: issue.severity,
    root_causes: issue.rootCauses,
    source_run_id: issue.sourceRunId && hexOf(issue.sourceRunId),
    created_timestamp: issue.createdAt.getTime(),
    last_updated_timestamp: issue.updatedAt.getTime(),
    created_by: issue.createdBy,
    categories: issue.categories,
    trace_count: issue.traceCount,
  };
}
