import type { Scope, SearchEntity } from './ast.js';

/** What a field is compared with: `integer` and `number` with numbers, `numeral` with an integer in quotes. */
export type ValueType = 'text' | 'number' | 'integer' | 'numeral';

export type Operator =
  | '='
  | '!='
  | '<'
  | '<='
  | '>'
  | '>='
  | 'LIKE'
  | 'ILIKE'
  | 'RLIKE'
  | 'IN'
  | 'NOT IN'
  | 'IS NULL'
  | 'IS NOT NULL';

export interface FieldRule {
  readonly type: ValueType;
  /** Empty: cannot be filtered by. */
  readonly operators: readonly Operator[];
  readonly orderable: boolean;
  /** Operators that take a number although the type is text (scores of assessments). */
  readonly numericOperators?: readonly Operator[];
}

/** Keys that exist, by canonical name; or one rule for any key. */
export type ScopeRules = { readonly any: FieldRule } | { readonly keys: Readonly<Record<string, FieldRule>> };

export interface EntityRules {
  /** As messages name one. */
  readonly noun: string;
  /** How a scope may be written before the dot. Fields without a dot are attributes. */
  readonly prefixes: Readonly<Record<string, Scope>>;
  readonly scopes: Partial<Readonly<Record<Scope, ScopeRules>>>;
  /** Other names of attributes → the canonical one. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Text may be written as a bare number: `params.lr = 0.01`. */
  readonly bareNumbersAsText?: boolean;
}

const EQUAL = ['=', '!='] as const;
const LIKE = ['LIKE', 'ILIKE'] as const;
const LISTS = ['IN', 'NOT IN'] as const;
const PRESENCE = ['IS NULL', 'IS NOT NULL'] as const;
const NUMERIC = ['=', '!=', '<', '<=', '>', '>='] as const;

const text = (...operators: Operator[]): FieldRule => ({ type: 'text', operators, orderable: true });
const unordered = (rule: FieldRule): FieldRule => ({ ...rule, orderable: false });
const NUMBER: FieldRule = { type: 'number', operators: NUMERIC, orderable: true };
const INTEGER: FieldRule = { type: 'integer', operators: NUMERIC, orderable: true };
const ORDER_ONLY: FieldRule = { type: 'text', operators: [], orderable: true };
const LABEL = text(...EQUAL, ...LIKE);
const LISTED_LABEL = text(...EQUAL, ...LIKE, ...LISTS);
const OPTIONAL_LABEL = text(...EQUAL, ...LIKE, ...PRESENCE);

const TAG = { tag: 'tag', tags: 'tag' } as const;
const ATTRIBUTE = { attribute: 'attribute', attributes: 'attribute', attr: 'attribute' } as const;
const METRIC = { metric: 'metric', metrics: 'metric' } as const;
const PARAM = { param: 'param', params: 'param', parameter: 'param', parameters: 'param' } as const;

const TRACE_TEXT = text(...EQUAL, ...LIKE, 'RLIKE');
const TRACE_LISTED = text(...EQUAL, ...LIKE, 'RLIKE', ...LISTS);
const TRACE_LABEL = text(...EQUAL, ...LIKE, 'RLIKE', ...PRESENCE);
const ASSESSMENT: FieldRule = {
  type: 'text',
  operators: [...NUMERIC, ...LIKE, 'RLIKE', ...PRESENCE],
  orderable: false,
  numericOperators: ['<', '<=', '>', '>='],
};

/** What MLflow 3 lets one filter and order by (mlflow/utils/search_utils.py); wider where that harms nobody. */
export const ENTITY_RULES: Readonly<Record<SearchEntity, EntityRules>> = {
  run: {
    noun: 'run',
    prefixes: {
      ...ATTRIBUTE,
      run: 'attribute',
      ...METRIC,
      ...PARAM,
      ...TAG,
      dataset: 'dataset',
      datasets: 'dataset',
    },
    scopes: {
      attribute: {
        keys: {
          run_id: LISTED_LABEL,
          run_name: LABEL,
          user_id: LABEL,
          status: LABEL,
          artifact_uri: LABEL,
          start_time: NUMBER,
          end_time: NUMBER,
        },
      },
      metric: { any: NUMBER },
      param: { any: OPTIONAL_LABEL },
      tag: { any: OPTIONAL_LABEL },
      dataset: {
        keys: {
          name: unordered(LISTED_LABEL),
          digest: unordered(LISTED_LABEL),
          context: unordered(LISTED_LABEL),
        },
      },
    },
    aliases: {
      created: 'start_time',
      Created: 'start_time',
      'run name': 'run_name',
      'Run name': 'run_name',
      'Run Name': 'run_name',
    },
  },
  experiment: {
    noun: 'experiment',
    prefixes: { ...ATTRIBUTE, ...TAG },
    scopes: {
      attribute: {
        keys: {
          name: LABEL,
          experiment_id: { type: 'numeral', operators: [...EQUAL, ...LISTS], orderable: true },
          creation_time: INTEGER,
          last_update_time: INTEGER,
        },
      },
      tag: { any: unordered(OPTIONAL_LABEL) },
    },
    aliases: {},
  },
  registeredModel: {
    noun: 'registered model',
    prefixes: { ...ATTRIBUTE, ...TAG },
    scopes: {
      attribute: {
        keys: {
          name: LISTED_LABEL,
          creation_timestamp: { ...INTEGER, operators: [] },
          last_updated_timestamp: { ...INTEGER, operators: [] },
        },
      },
      tag: { any: unordered(LABEL) },
    },
    aliases: { timestamp: 'last_updated_timestamp' },
  },
  modelVersion: {
    noun: 'model version',
    prefixes: { ...ATTRIBUTE, ...TAG },
    scopes: {
      attribute: {
        keys: {
          name: LISTED_LABEL,
          run_id: unordered(LISTED_LABEL),
          source_path: unordered(LABEL),
          version_number: INTEGER,
          creation_timestamp: { ...INTEGER, operators: [] },
          last_updated_timestamp: { ...INTEGER, operators: [] },
        },
      },
      tag: { any: unordered(LABEL) },
    },
    aliases: {},
  },
  loggedModel: {
    noun: 'logged model',
    prefixes: { ...ATTRIBUTE, ...METRIC, ...PARAM, ...TAG },
    scopes: {
      attribute: {
        keys: {
          name: LISTED_LABEL,
          model_id: LISTED_LABEL,
          model_type: LISTED_LABEL,
          status: LISTED_LABEL,
          source_run_id: LISTED_LABEL,
          creation_timestamp_ms: NUMBER,
          last_updated_timestamp_ms: NUMBER,
        },
      },
      metric: { any: NUMBER },
      param: { any: unordered(LISTED_LABEL) },
      tag: { any: unordered(LISTED_LABEL) },
    },
    aliases: {
      creation_time: 'creation_timestamp_ms',
      creation_timestamp: 'creation_timestamp_ms',
      last_updated_time: 'last_updated_timestamp_ms',
      last_updated_timestamp: 'last_updated_timestamp_ms',
    },
    bareNumbersAsText: true,
  },
  trace: {
    noun: 'trace',
    prefixes: {
      ...ATTRIBUTE,
      trace: 'attribute',
      ...TAG,
      metadata: 'metadata',
      request_metadata: 'metadata',
      span: 'span',
      feedback: 'feedback',
      expectation: 'expectation',
      issue: 'issue',
    },
    scopes: {
      attribute: {
        keys: {
          trace_id: TRACE_LISTED,
          client_request_id: unordered(TRACE_LISTED),
          name: TRACE_LISTED,
          status: TRACE_LISTED,
          run_id: TRACE_LISTED,
          timestamp_ms: NUMBER,
          execution_time_ms: NUMBER,
          end_time_ms: NUMBER,
          prompt: unordered(text('=')),
          text: unordered(text(...LIKE)),
          experiment_id: ORDER_ONLY,
        },
      },
      tag: { any: TRACE_LABEL },
      metadata: { any: TRACE_LABEL },
      span: {
        keys: {
          name: unordered(TRACE_LISTED),
          type: unordered(TRACE_LISTED),
          status: unordered(TRACE_LISTED),
          content: unordered(text(...LIKE)),
        },
      },
      spanAttribute: { any: unordered({ ...TRACE_TEXT, operators: TRACE_LISTED.operators }) },
      feedback: { any: ASSESSMENT },
      expectation: { any: ASSESSMENT },
      issue: { keys: { id: unordered(text('=')) } },
    },
    aliases: {
      request_id: 'trace_id',
      timestamp: 'timestamp_ms',
      execution_time: 'execution_time_ms',
      end_time: 'end_time_ms',
    },
  },
  evaluationDataset: {
    noun: 'evaluation dataset',
    prefixes: { ...ATTRIBUTE, ...TAG },
    scopes: {
      attribute: {
        keys: {
          name: text(...EQUAL, ...LIKE, 'IN'),
          created_by: unordered(LABEL),
          last_updated_by: unordered(LABEL),
          created_time: NUMBER,
          last_update_time: NUMBER,
        },
      },
      tag: { any: unordered(LABEL) },
    },
    aliases: {},
  },
  issue: {
    noun: 'issue',
    prefixes: {},
    scopes: {
      attribute: { keys: { status: unordered(text(...EQUAL)), source_run_id: unordered(text(...EQUAL)) } },
    },
    aliases: {},
  },
};
