import type { Condition, Field, Filter, OrderTerm } from '#libs/core/search/ast.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { Parameters } from '../search/parameters.js';
import type { SharedKind } from './shared-names.js';

/** The tag by which MLflow's protocol tells prompts from models: here it is the kind of the entry. */
export const IS_PROMPT_TAG = 'mlflow.prompt.is_prompt';

/** Where the fields of a search are. */
export interface Columns {
  /** SQL of attributes, by key. */
  readonly attributes: Readonly<Record<string, string>>;
  /** A jsonb object. */
  readonly tags: string;
}

export const ENTRY_COLUMNS: Columns = {
  attributes: { name: 'e.name', creation_timestamp: 'e.created_at', last_updated_timestamp: 'e.updated_at' },
  tags: 'e.tags',
};

export const VERSION_COLUMNS: Columns = {
  attributes: {
    name: 'e.name',
    version_number: 'v.number',
    run_id: 's.run_id',
    source_path: 's.source',
    creation_timestamp: 'v.created_at',
    last_updated_timestamp: 'n.updated_at',
  },
  tags: 'n.tags',
};

/**
 * Prompts or models: what the first condition on the tag says, and models where none does. It holds for the whole
 * filter, for MLflow's clients append ` AND tag.… != 'true'` to what may be an OR without parentheses.
 */
export function kindAskedFor(filter: Filter | null): SharedKind {
  const condition = filter && firstKindCondition(filter);
  if (condition?.kind !== 'compare') return 'model';
  return (String(condition.value).toLowerCase() === 'true') === (condition.operator === '=')
    ? 'prompt'
    : 'model';
}

function firstKindCondition(filter: Filter): Condition | undefined {
  if (filter.kind !== 'and' && filter.kind !== 'or') return isKindTag(filter.field) ? filter : undefined;
  for (const operand of filter.operands) {
    const found = firstKindCondition(operand);
    if (found) return found;
  }
  return undefined;
}

/** The filter as a condition in SQL. */
export function compileFilter(filter: Filter, columns: Columns, values: Parameters): string {
  if (filter.kind === 'and' || filter.kind === 'or')
    return `(${filter.operands
      .map((operand) => compileFilter(operand, columns, values))
      .join(filter.kind === 'and' ? ' AND ' : ' OR ')})`;
  if (isKindTag(filter.field)) return compileKind(filter, values);
  const { scope, key } = filter.field;
  // This way an index on the tags can answer it.
  if (scope === 'tag' && filter.kind === 'compare' && filter.operator === '=')
    return `${columns.tags} @> ${values.add(JSON.stringify({ [key]: filter.value }), 'jsonb')}`;
  const sql = scope === 'tag' ? `(${columns.tags} ->> ${values.add(key, 'text')})` : columns.attributes[key]!;
  switch (filter.kind) {
    case 'compare': {
      const type = typeof filter.value === 'number' ? 'numeric' : 'text';
      return `${sql} ${filter.operator === '!=' ? '<>' : filter.operator} ${values.add(filter.value, type)}`;
    }
    case 'match':
      return compileMatch(sql, filter.operator, values.add(filter.pattern, 'text'));
    case 'in':
      return `${sql} ${filter.negated ? '<> ALL' : '= ANY'} (${values.add(filter.values, 'text[]')})`;
    case 'presence':
      return `${sql} IS ${filter.present ? 'NOT NULL' : 'NULL'}`;
  }
}

const isKindTag = ({ scope, key }: Field): boolean => scope === 'tag' && key === IS_PROMPT_TAG;

/** Models lack the tag, and MLflow finds them all the same where it must not be 'true'. */
function compileKind(condition: Condition, values: Parameters): string {
  const isPrompt = `CASE WHEN e.kind = 'prompt' THEN 'true' ELSE 'false' END`;
  switch (condition.kind) {
    case 'compare': {
      const said = String(condition.value).toLowerCase();
      if (said !== 'true' && said !== 'false') return condition.operator === '=' ? 'false' : 'true';
      return (said === 'true') === (condition.operator === '=') ? `e.kind = 'prompt'` : `e.kind = 'model'`;
    }
    case 'match':
      return compileMatch(isPrompt, condition.operator, values.add(condition.pattern, 'text'));
    case 'in':
      return `${isPrompt} ${condition.negated ? '<> ALL' : '= ANY'} (${values.add(condition.values, 'text[]')})`;
    case 'presence':
      return condition.present ? `e.kind = 'prompt'` : `e.kind = 'model'`;
  }
}

/** Names are compared by code unit; only upper and lower case need the language of the database. */
function compileMatch(sql: string, operator: string, pattern: string): string {
  if (operator === 'LIKE') return `${sql} LIKE ${pattern}`;
  return `${sql} COLLATE "default" ILIKE ${pattern}`;
}

/** An order in which no two rows are equal, and a page's place in it. */
export interface Order {
  readonly terms: readonly {
    readonly sql: string;
    readonly type: string;
    readonly direction: 'asc' | 'desc';
  }[];
  /** Says which order a token belongs to. */
  readonly signature: string;
}

const TYPES: Readonly<Record<string, string>> = {
  name: 'text',
  version_number: 'integer',
  creation_timestamp: 'timestamptz',
  last_updated_timestamp: 'timestamptz',
};

/** @param ties appended where not named, so that the order is total. */
export function orderOf(given: readonly OrderTerm[], ties: readonly OrderTerm[], columns: Columns): Order {
  const all = [...given, ...ties.filter((tie) => !given.some((term) => term.field.key === tie.field.key))];
  const terms = all.map(({ field: { key }, direction }) => ({
    sql: columns.attributes[key]!,
    type: TYPES[key]!,
    direction,
  }));
  return {
    // An entry and another of the other kind may share a name.
    terms: [...terms, { sql: 'e.id', type: 'uuid', direction: 'asc' }],
    signature: all.map(({ field, direction }) => `${field.key} ${direction}`).join(','),
  };
}

export const byAttribute = (key: string, direction: 'asc' | 'desc'): OrderTerm => ({
  field: { scope: 'attribute', key },
  direction,
});

/** ORDER BY, the columns of the position, and the condition to lie behind one. */
export function compileOrder(
  { terms }: Order,
  after: readonly string[] | undefined,
  values: Parameters,
): { readonly orderBy: string; readonly position: string; readonly behind: string } {
  const orderBy = terms.map(({ sql, direction }) => `${sql} ${direction}`).join(', ');
  const position = `ARRAY[${terms.map(({ sql, type }) => asText(sql, type)).join(', ')}] AS position`;
  if (!after) return { orderBy, position, behind: 'true' };
  const holders = terms.map(({ type }, index) => values.add(after[index], type));
  const behind = terms
    .map(({ sql, direction }, index) =>
      [
        ...terms.slice(0, index).map((term, earlier) => `${term.sql} = ${holders[earlier]}`),
        `${sql} ${direction === 'asc' ? '>' : '<'} ${holders[index]}`,
      ].join(' AND '),
    )
    .join(' OR ');
  const [first] = terms;
  // Says what the first alternative of all says already, so that a scan of an index can begin there.
  const from = `${first!.sql} ${first!.direction === 'asc' ? '>=' : '<='} ${holders[0]}`;
  return { orderBy, position, behind: `${from} AND (${behind})` };
}

/** Times to the microsecond, whatever the session's style of dates. */
const asText = (sql: string, type: string): string =>
  type === 'timestamptz'
    ? `to_char((${sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : `(${sql})::text`;

export function encodePosition(order: Order, position: readonly string[]): string {
  return Buffer.from(JSON.stringify([order.signature, ...position])).toString('base64url');
}

const SHAPES: Readonly<Record<string, RegExp>> = {
  text: /^[^\0]{0,512}$/su,
  integer: /^\d{1,9}$/,
  timestamptz: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
};

/** @throws DomainError INVALID_CURSOR. */
export function decodePosition(order: Order, token: string | undefined): readonly string[] | undefined {
  if (token === undefined || token === '') return undefined;
  try {
    const [signature, ...position] = JSON.parse(
      Buffer.from(token, 'base64url').toString('utf8'),
    ) as unknown[];
    const fits =
      signature === order.signature &&
      position.length === order.terms.length &&
      order.terms.every(({ type }, index) => {
        const part = position[index];
        return (
          typeof part === 'string' &&
          SHAPES[type]!.test(part) &&
          (type !== 'timestamptz' || !isNaN(Date.parse(part)))
        );
      });
    if (fits) return position as string[];
  } catch {
    // falls through: not JSON is as bad as the wrong shape
  }
  throw new DomainError(
    'INVALID_CURSOR',
    'The page token is not one this search returned in this order; start again without it.',
  );
}
