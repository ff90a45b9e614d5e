import type { Condition, Field, Filter, OrderTerm, Scope } from './ast.js';

const PREFIXES: Readonly<Record<Exclude<Scope, 'attribute'>, string>> = {
  metric: 'metrics',
  param: 'params',
  tag: 'tags',
  dataset: 'dataset',
  metadata: 'metadata',
  span: 'span',
  spanAttribute: 'span.attributes',
  feedback: 'feedback',
  expectation: 'expectation',
  issue: 'issue',
};

/** A field as it is written in a filter, quoted only where it must be. */
export function printField({ scope, key }: Field): string {
  const name = /^[A-Za-z_]\w*$/.test(key) ? key : '`' + key.replaceAll('`', '``') + '`';
  return scope === 'attribute' ? name : `${PREFIXES[scope]}.${name}`;
}

/** The text of a filter: equal filters have one text. `parseFilter` reads it back. */
export function printFilter(filter: Filter): string {
  switch (filter.kind) {
    case 'and':
      return filter.operands
        .map((operand) => (operand.kind === 'or' ? `(${printFilter(operand)})` : printFilter(operand)))
        .join(' AND ');
    case 'or':
      return filter.operands.map(printFilter).join(' OR ');
    case 'compare':
    case 'match':
    case 'in':
    case 'presence':
      return printCondition(filter);
  }
}

/** The clauses of an order; `parseOrderBy` reads them back. */
export function printOrderBy(terms: readonly OrderTerm[]): string[] {
  return terms.map(({ field, direction }) => `${printField(field)} ${direction.toUpperCase()}`);
}

function printCondition(condition: Condition): string {
  const field = printField(condition.field);
  switch (condition.kind) {
    case 'compare':
      return `${field} ${condition.operator} ${printValue(condition.value)}`;
    case 'match':
      return `${field} ${condition.operator} ${printText(condition.pattern)}`;
    case 'in':
      return `${field} ${condition.negated ? 'NOT IN' : 'IN'} (${condition.values.map(printText).join(', ')})`;
    case 'presence':
      return `${field} ${condition.present ? 'IS NOT NULL' : 'IS NULL'}`;
  }
}

function printValue(value: string | number): string {
  return typeof value === 'number' ? String(value) : printText(value);
}

function printText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
