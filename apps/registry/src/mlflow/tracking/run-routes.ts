import { Injectable } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { LOG_LIMITS } from '../../runs/log/run-log.rules.js';
import { RUN_NAME_TAG } from '../../runs/run-tags.js';
import { RunService } from '../../runs/run.service.js';
import { choice, list, long, message, text, type RequestOf } from '../protocol/fields.js';
import { namedCaller } from '../protocol/mlflow-caller.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { cut } from './log-rules.js';
import { RUN_STATUS_NUMBERS, runInfoMessage } from './run-message.js';
import { RunMessages } from './run-messages.js';
import { aboutExperiment, aboutRun, experimentRefOf, runIdOf } from './tracking-refusals.js';

const RUN = { run_id: text({ required: true, orElse: 'run_uuid' }) };
const CREATE_FIELDS = {
  experiment_id: text({ default: '' }),
  user_id: text(),
  run_name: text({ default: '' }),
  start_time: long(),
  tags: list(message({ key: text({ required: true }), value: text({ default: '' }) })),
};
const UPDATE_FIELDS = {
  ...RUN,
  status: choice(RUN_STATUS_NUMBERS),
  end_time: long(),
  run_name: text(),
};

/** The lifecycle of runs: `/runs/create`, `get`, `update`, `delete`, `restore`. */
@Injectable()
export class RunRoutes {
  constructor(
    private readonly runs: RunService,
    private readonly messages: RunMessages,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/runs/create',
      version: 2,
      fields: CREATE_FIELDS,
      handle: (caller, request) => this.create(caller, request),
    });
    routes.add({
      method: 'GET',
      path: '/runs/get',
      version: 2,
      fields: RUN,
      handle: async (caller, { run_id }) => {
        const run = await aboutRun(run_id, this.runs.get(caller, runIdOf(run_id)));
        return { run: await this.messages.one(run) };
      },
    });
    routes.add({
      method: 'POST',
      path: '/runs/update',
      version: 2,
      fields: UPDATE_FIELDS,
      handle: (caller, request) => this.update(caller, request),
    });
    routes.add({
      method: 'POST',
      path: '/runs/delete',
      version: 2,
      fields: RUN,
      handle: async (caller, { run_id }) => {
        await aboutRun(run_id, this.runs.delete(caller, runIdOf(run_id)));
      },
    });
    routes.add({
      method: 'POST',
      path: '/runs/restore',
      version: 2,
      fields: RUN,
      handle: async (caller, { run_id }) => {
        await aboutRun(run_id, this.runs.restore(caller, runIdOf(run_id)));
      },
    });
  }

  private async create(caller: Caller, request: RequestOf<typeof CREATE_FIELDS>): Promise<object> {
    const ref = experimentRefOf(request.experiment_id);
    const tags = new Map(request.tags.map(({ key, value }) => [key, cut(value, LOG_LIMITS.tagValue)]));
    const tagged = tags.get(RUN_NAME_TAG);
    if (request.run_name && tagged && request.run_name !== tagged)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${request.run_name}', mlflow.runName='${tagged}').`,
      );
    const run = await aboutExperiment(
      ref,
      this.runs.create(namedCaller(caller, request.user_id), {
        experiment: ref,
        name: request.run_name,
        tags: Object.fromEntries(tags),
        ...(request.start_time === undefined ? {} : { startedAt: request.start_time }),
        ...(request.user_id ? { user: request.user_id } : {}),
      }),
    );
    tags.set(RUN_NAME_TAG, run.name);
    return {
      run: {
        info: runInfoMessage(run),
        data: { tags: [...tags].map(([key, value]) => ({ key, value })) },
        inputs: {},
      },
    };
  }

  private async update(caller: Caller, request: RequestOf<typeof UPDATE_FIELDS>): Promise<object> {
    const { run_id, status, end_time, run_name } = request;
    const run = await aboutRun(
      run_id,
      this.runs.update(caller, runIdOf(run_id), {
        ...(status === undefined ? {} : { status }),
        ...(end_time === undefined ? {} : { endedAt: end_time }),
        ...(run_name ? { name: run_name } : {}),
      }),
    );
    return { run_info: runInfoMessage(run) };
  }
}
