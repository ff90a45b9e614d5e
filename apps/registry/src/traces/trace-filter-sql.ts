import type { Condition, Filter } from '#libs/core/search/ast.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { parseRunId } from '../runs/run-id.js';
import { integerCondition, numberCondition, textCondition } from '../search/conditions.js';
import type { Parameters } from '../search/parameters.js';
import { SOURCE_RUN } from './trace.js';

/**
 * A filter on traces as SQL over `trace t` inside `experiment e`. Conditions on spans that stand side by side in one AND
 * are asked of one and the same span, as MLflow does; alone, or beside an OR, each finds its own.
 */
export function traceFilterSql(filter: Filter, parameters: Parameters): string {
  if (filter.kind === 'or')
    return `(${filter.operands.map((operand) => traceFilterSql(operand, parameters)).join(' OR ')})`;
  if (filter.kind !== 'and') return conditionSql(filter, parameters);
  const onSpans = filter.operands.filter(isOnSpan);
  const others = filter.operands.filter((operand) => !isOnSpan(operand));
  const parts = others.map((operand) => traceFilterSql(operand, parameters));
  if (onSpans.length > 0) parts.push(spansSql(onSpans, parameters));
  return `(${parts.join(' AND ')})`;
}

function isOnSpan(filter: Filter): filter is Condition {
  return 'field' in filter && (filter.field.scope === 'span' || filter.field.scope === 'spanAttribute');
}

function conditionSql(condition: Condition, parameters: Parameters): string {
  const { scope, key } = condition.field;
  if (scope === 'attribute') return attributeSql(key, condition, parameters);
  if (scope === 'tag') return pairSql('t.tags', key, condition, parameters);
  if (scope === 'metadata') return pairSql('t.metadata', key, condition, parameters);
  if (scope === 'span' || scope === 'spanAttribute') return spansSql([condition], parameters);
  if (scope === 'feedback' || scope === 'expectation') return assessmentSql(scope, condition, parameters);
  if (scope === 'issue')
    return `t.serial IN (SELECT a.trace FROM assessment a WHERE a.experiment = e.serial AND a.kind = 'issue'
                            AND ${textCondition('a.name', condition, parameters)})`;
  throw new TypeError(`Traces have no ${scope}`);
}

function attributeSql(key: string, condition: Condition, parameters: Parameters): string {
  switch (key) {
    case 'trace_id':
    case 'client_request_id':
    case 'name':
      return textCondition(`t.${key}`, condition, parameters);
    case 'status':
      return textCondition('t.state', condition, parameters);
    case 'timestamp_ms':
      return integerCondition('t.time_ms', condition, parameters);
    case 'execution_time_ms':
      return integerCondition('t.duration_ms', condition, parameters);
    case 'end_time_ms':
      return integerCondition('(t.time_ms + t.duration_ms)', condition, parameters);
    case 'run_id':
      return runSql(condition, parameters);
    case 'prompt':
      return promptSql(condition, parameters);
    case 'text':
      return spansSql([{ ...condition, field: { scope: 'span', key: 'content' } }], parameters);
    default:
      throw new TypeError(`Traces have no attribute ${key}`);
  }
}

/** Equality is asked of the whole document, which has an index. */
function pairSql(column: string, key: string, condition: Condition, parameters: Parameters): string {
  if (condition.kind === 'compare' && condition.operator === '=')
    return `${column} @> ${parameters.add(JSON.stringify({ [key]: String(condition.value) }), 'jsonb')}`;
  return textCondition(`(${column} ->> ${parameters.add(key, 'text')})`, condition, parameters);
}

/** Traces of a run: those that it logged, and those that were linked to it. */
function runSql(condition: Condition, parameters: Parameters): string {
  if (condition.kind !== 'compare' || condition.operator !== '=')
    return pairSql('t.metadata', SOURCE_RUN, condition, parameters);
  const id = String(condition.value);
  return `t.serial IN (
    SELECT o.serial FROM trace o
     WHERE o.experiment = e.serial AND o.metadata @> ${parameters.add(JSON.stringify({ [SOURCE_RUN]: id }), 'jsonb')}
     UNION ALL
    SELECT o.serial FROM run r JOIN trace_run l ON l.run = r.serial
      JOIN trace o ON o.workspace_id = r.workspace_id AND o.trace_id = l.trace_id
     WHERE r.id = ${parameters.add(parseRunId(id) ?? null, 'uuid')})`;
}

function promptSql(condition: Condition, parameters: Parameters): string {
  const named = condition.kind === 'compare' ? /^(.+)\/(\d{1,9})$/.exec(String(condition.value)) : null;
  if (named === null)
    throw new DomainError(
      'VALIDATION_FAILED',
      "Invalid prompt filter value: a prompt is searched by name and version, for instance prompt = 'greeting/3'.",
    );
  return `t.serial IN (SELECT l.trace FROM trace_prompt l
                        WHERE l.name = ${parameters.add(named[1], 'text')} AND l.number = ${parameters.add(Number(named[2]), 'int')})`;
}

/**
 * What is said in a span, without the words of OTLP's JSON around it: who looks for "value" means none of those. A quote
 * inside a text is escaped, so that nothing a sender wrote looks like one of these names.
 */
const SPAN_TEXT = `regexp_replace(s.content::text,
  '"(?:(?:string|bool|int|double|bytes|array|kvlist)_value|values?|key)": ?', '', 'g')`;

/**
 * One span that all conditions hold for. Where one of them has an index, the planner may start from there; where none
 * has, each trace is asked in the order of the list, as a scalar sub-query, which never becomes a scan of all spans.
 */
function spansSql(conditions: readonly Condition[], parameters: Parameters): string {
  const tests = conditions.map((condition) => {
    const { scope, key } = condition.field;
    if (scope === 'spanAttribute') return spanAttributeSql(key, condition, parameters);
    return textCondition(key === 'content' ? SPAN_TEXT : `s.${key}`, condition, parameters);
  });
  const test = tests.join(' AND ');
  return conditions.some(isIndexed)
    ? `t.serial IN (SELECT s.trace FROM span s WHERE s.experiment = e.serial AND ${test})`
    : `(SELECT true FROM span s WHERE s.trace = t.serial AND ${test} LIMIT 1)`;
}

function isIndexed(condition: Condition): boolean {
  const { scope, key } = condition.field;
  if (scope !== 'span' || condition.kind !== 'compare' || condition.operator !== '=') return false;
  return key === 'name' || key === 'type' || (key === 'status' && condition.value === 'ERROR');
}

function spanAttributeSql(key: string, condition: Condition, parameters: Parameters): string {
  // Whatever type the value has, its text: { "int_value": "5" } is 5.
  const value = `(SELECT v.value #>> '{}' FROM json_each(p -> 'value') v LIMIT 1)`;
  return `EXISTS (SELECT FROM json_array_elements(s.content -> 'attributes') p
                   WHERE p ->> 'key' = ${parameters.add(key, 'text')} AND ${textCondition(value, condition, parameters)})`;
}

function assessmentSql(
  kind: 'feedback' | 'expectation',
  condition: Condition,
  parameters: Parameters,
): string {
  const name = parameters.add(condition.field.key, 'text');
  const of = (test: string): string =>
    `t.serial IN (SELECT a.trace FROM assessment a
                   WHERE a.experiment = e.serial AND a.kind = '${kind}' AND a.name = ${name} AND a.valid${test})`;
  if (condition.kind === 'presence')
    return condition.present
      ? of('')
      : `NOT EXISTS (SELECT FROM assessment a WHERE a.trace = t.serial AND a.kind = '${kind}' AND a.name = ${name} AND a.valid)`;
  const isNumeric = condition.kind === 'compare' && condition.operator !== '=' && condition.operator !== '!=';
  if (isNumeric)
    return of(
      ` AND json_typeof(a.value) = 'number' AND ${numberCondition('a.number_value', { ...condition, value: Number(condition.value) }, parameters)}`,
    );
  return of(` AND ${textCondition(`(a.value #>> '{}')`, condition, parameters)}`);
}
