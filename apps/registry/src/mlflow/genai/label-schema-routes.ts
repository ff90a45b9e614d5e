import { Injectable } from '@nestjs/common';
import type { LabelInput, LabelSchema } from '../../label-schemas/label-schema.js';
import { LabelSchemaService } from '../../label-schemas/label-schema.service.js';
import { runHex as hexOf, parseRunId as uuidOf } from '../../runs/run-id.js';
import { choice, double, flag, integer, list, message, text, type RequestOf } from '../protocol/fields.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import { namedActor } from '../protocol/mlflow-caller.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { experimentNumber } from './genai-refusals.js';

const MAX_PAGE = 1_000;
const ID = { schema_id: text({ required: true }) };
const EXPERIMENT = { experiment_id: text({ required: true }) };
const INPUT = {
  pass_fail: message({ positive_label: text({ default: '' }), negative_label: text({ default: '' }) }),
  categorical: message({ options: list(text({ default: '' })), multi_select: flag({ default: false }) }),
  numeric: message({ min_value: double(), max_value: double() }),
  text: message({ max_length: integer() }),
};
const TYPE = choice(
  { LABEL_SCHEMA_TYPE_UNSPECIFIED: 0, FEEDBACK: 1, EXPECTATION: 2 },
  { default: 'LABEL_SCHEMA_TYPE_UNSPECIFIED' },
);

/** `/label-schemas…` */
@Injectable()
export class LabelSchemaRoutes {
  constructor(private readonly schemas: LabelSchemaService) {}

  register(routes: MlflowRoutes): void {
    this.registerWriting(routes);
    this.registerReading(routes);
  }

  private registerWriting(routes: MlflowRoutes): void {
    const { schemas } = this;
    const fields = { instruction: text(), enable_comment: flag(), input: message(INPUT) };
    routes.add({
      method: 'POST',
      path: '/label-schemas/create',
      version: 3,
      fields: { ...EXPERIMENT, name: text({ required: true }), type: TYPE, ...fields },
      handle: async (caller, { experiment_id, name, type, instruction, enable_comment, input }) => {
        const number = experimentNumber(experiment_id);
        if (type === 'LABEL_SCHEMA_TYPE_UNSPECIFIED')
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            'Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0.',
          );
        const made = schemas.create(caller, {
          experimentNumber: number,
          name,
          type: type === 'FEEDBACK' ? 'feedback' : 'expectation',
          instruction,
          enableComment: enable_comment,
          input: inputOf(input ?? {}),
        });
        return { label_schema: schemaMessage(await aboutExperiment({ number }, made)) };
      },
    });
    routes.add({
      method: 'PATCH',
      path: '/label-schemas/update',
      version: 3,
      fields: { ...ID, name: text(), ...fields },
      handle: async (caller, { schema_id, name, instruction, enable_comment, input }) => {
        const patch = {
          name,
          instruction,
          enableComment: enable_comment,
          input: input && inputOf(input),
        };
        return {
          label_schema: schemaMessage(await about(schema_id, (id) => schemas.update(caller, id, patch))),
        };
      },
    });
    routes.add({
      method: 'DELETE',
      path: '/label-schemas/delete',
      version: 3,
      fields: ID,
      // As MLflow: what is not there is as good as deleted.
      handle: async (caller, { schema_id }) => {
        await about(schema_id, (id) => schemas.delete(caller, id)).catch((error: unknown) => {
          if (!(error instanceof MlflowError) || error.code !== 'RESOURCE_DOES_NOT_EXIST') throw error;
        });
      },
    });
  }

  private registerReading(routes: MlflowRoutes): void {
    const { schemas } = this;
    routes.add({
      method: 'GET',
      path: '/label-schemas/get',
      version: 3,
      fields: ID,
      handle: async (caller, { schema_id }) => ({
        label_schema: schemaMessage(await about(schema_id, (id) => schemas.get(caller, id))),
      }),
    });
    routes.add({
      method: 'GET',
      path: '/label-schemas/get-by-name',
      version: 3,
      fields: { ...EXPERIMENT, name: text({ required: true }) },
      handle: async (caller, { experiment_id, name }) => {
        const number = experimentNumber(experiment_id);
        return { label_schema: schemaMessage(await schemas.getByName(caller, number, name)) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/label-schemas/list',
      version: 3,
      fields: {
        ...EXPERIMENT,
        max_results: integer({ default: 100, min: 1, max: 50_000 }),
        page_token: text(),
      },
      handle: async (caller, { experiment_id, max_results, page_token }) => {
        const number = experimentNumber(experiment_id);
        const page = await aboutExperiment(
          { number },
          schemas.list(caller, number, {
            limit: Math.min(max_results, MAX_PAGE),
            cursor: page_token || undefined,
          }),
        );
        return { label_schemas: page.items.map(schemaMessage), next_page_token: page.nextCursor ?? '' };
      },
    });
  }
}

/** Says that the schema is not there as the client named it. */
async function about<T>(given: string, work: (id: string) => Promise<T>): Promise<T> {
  const id = uuidOf(given.replace(/^ls-/, ''));
  try {
    if (id !== undefined) return await work(id);
  } catch (error) {
    if (!isRefusal(error, 'NOT_FOUND')) throw error;
  }
  throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Label schema with id '${given.slice(0, 64)}' not found.`);
}

function inputOf(input: Partial<RequestOf<typeof INPUT>>): LabelInput {
  const { pass_fail, categorical, numeric, text: words } = input;
  const [only, ...others] = [
    pass_fail && {
      kind: 'passFail' as const,
      positiveLabel: pass_fail.positive_label,
      negativeLabel: pass_fail.negative_label,
    },
    categorical && {
      kind: 'categorical' as const,
      options: categorical.options,
      multiSelect: categorical.multi_select,
    },
    numeric && {
      kind: 'numeric' as const,
      minValue: numeric.min_value ?? null,
      maxValue: numeric.max_value ?? null,
    },
    words && { kind: 'text' as const, maxLength: words.max_length ?? null },
  ].filter((variant) => variant !== undefined);
  if (only === undefined || others.length > 0)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      'Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` set.',
    );
  return only;
}

function inputMessage(input: LabelInput): object {
  switch (input.kind) {
    case 'passFail':
      return { pass_fail: { positive_label: input.positiveLabel, negative_label: input.negativeLabel } };
    case 'categorical':
      return { categorical: { options: input.options, multi_select: input.multiSelect } };
    case 'numeric':
      return { numeric: { min_value: input.minValue, max_value: input.maxValue } };
    case 'text':
      return { text: { max_length: input.maxLength } };
  }
}

function schemaMessage(schema: LabelSchema): object {
  return {
    schema_id: `ls-${hexOf(schema.id)}`,
    experiment_id: String(schema.experimentNumber),
    name: schema.name,
    type: schema.type.toUpperCase(),
    instruction: schema.instruction,
    enable_comment: schema.enableComment,
    input: inputMessage(schema.input),
    created_by: namedActor(schema.createdBy),
    created_at: schema.createdAt.getTime(),
    last_updated_at: schema.updatedAt.getTime(),
    is_default: schema.isDefault,
  };
}
