/** What can be searched. Each has a table of fields of its own (`field-rules.ts`). */
export type SearchEntity =
  | 'run'
  | 'experiment'
  | 'registeredModel'
  | 'modelVersion'
  | 'loggedModel'
  | 'trace'
  | 'evaluationDataset'
  | 'issue';

/** The group of fields a key belongs to. Aliases such as `params` or `attr` are resolved by the parser. */
export type Scope =
  | 'attribute'
  | 'metric'
  | 'param'
  | 'tag'
  | 'dataset'
  | 'metadata'
  | 'span'
  | 'spanAttribute'
  | 'feedback'
  | 'expectation'
  | 'issue';

/** `tags.team` is `{ scope: 'tag', key: 'team' }`; keys of attributes are canonical (`created` is `start_time`). */
export interface Field {
  readonly scope: Scope;
  readonly key: string;
}

export type Comparator = '=' | '!=' | '<' | '<=' | '>' | '>=';
export type Matcher = 'LIKE' | 'ILIKE' | 'RLIKE';

/** All operands hold: `a AND b AND c`. At least two, none of them an `And`. */
export interface And {
  readonly kind: 'and';
  readonly operands: readonly Filter[];
}

/** One operand holds: `a OR b`. At least two, none of them an `Or`. */
export interface Or {
  readonly kind: 'or';
  readonly operands: readonly Filter[];
}

/**
 * `metrics.loss < 0.5`, `name != 'x'`. Numbers for numeric fields, text for others. As in SQL, an entity that lacks
 * the key never matches, not by `!=` either.
 */
export interface Comparison {
  readonly kind: 'compare';
  readonly field: Field;
  readonly operator: Comparator;
  readonly value: string | number;
}

/** `params.model LIKE 'gpt%'`: `%` any text, `_` any character. ILIKE ignores case, RLIKE is a regular expression. */
export interface Match {
  readonly kind: 'match';
  readonly field: Field;
  readonly operator: Matcher;
  readonly pattern: string;
}

/** `run_id IN ('a', 'b')`, `dataset.name NOT IN ('a')`. At least one value. */
export interface Membership {
  readonly kind: 'in';
  readonly field: Field;
  readonly negated: boolean;
  readonly values: readonly string[];
}

/** `tags.team IS NULL` (`present: false`: the key is not there) and `IS NOT NULL` (`present: true`). */
export interface Presence {
  readonly kind: 'presence';
  readonly field: Field;
  readonly present: boolean;
}

/** A test of one field. */
export type Condition = Comparison | Match | Membership | Presence;

export type Filter = And | Or | Condition;

/** One term of `order_by`. What lacks the field comes last in both directions. */
export interface OrderTerm {
  readonly field: Field;
  readonly direction: 'asc' | 'desc';
}
