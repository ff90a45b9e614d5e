import type { Condition, Field, Filter, OrderTerm, SearchEntity } from './ast.js';
import { namedField, readField, type RuledField } from './field-parser.js';
import { ENTITY_RULES, type FieldRule, type Operator } from './field-rules.js';
import { printField } from './print-filter.js';
import { TokenReader } from './token-reader.js';

/** Deepest nesting of parentheses. */
export const MAX_FILTER_DEPTH = 32;
/** Most conditions of a filter. */
export const MAX_CONDITIONS = 100;
/** Most values of one list. */
export const MAX_LIST_VALUES = 10_000;
/** Most clauses of an order. */
export const MAX_ORDER_TERMS = 20;

/**
 * Reads a filter of MLflow's language, with OR and parentheses added: `metrics.loss < 0.5 AND (params.model = 'a' OR
 * tags.team LIKE 'x%')`. AND binds stronger than OR; keywords may be written in any case.
 * @returns null for an empty filter.
 * @throws FilterError for everything else that is not a filter of this entity.
 */
export function parseFilter(entity: SearchEntity, text: string): Filter | null {
  return new FilterParser(entity, text).parse();
}

/**
 * Reads the clauses of an order, such as `metrics.loss DESC` or `start_time`.
 * @throws FilterError
 */
export function parseOrderBy(entity: SearchEntity, clauses: readonly string[]): readonly OrderTerm[] {
  if (clauses.length > MAX_ORDER_TERMS)
    throw new TokenReader('', 'order_by').unexpected(`at most ${MAX_ORDER_TERMS} clauses`);
  const seen = new Set<string>();
  return clauses.map((clause, index) => {
    const reader = new TokenReader(clause, `order_by clause ${index + 1}`);
    const start = reader.token;
    const { field, rule } = readOrderField(reader, entity);
    if (!rule.orderable)
      throw reader.unexpected(`a field that ${ENTITY_RULES[entity].noun}s can be ordered by`, start);
    const name = printField(field);
    if (seen.has(name))
      throw reader.unexpected('each field once (`order_by` contains duplicate fields)', start);
    seen.add(name);
    const direction = reader.takeWord('DESC') ? 'desc' : 'asc';
    if (direction === 'asc') reader.takeWord('ASC');
    if (!reader.isAtEnd) throw reader.unexpected('ASC, DESC or the end of the clause');
    return { field, direction };
  });
}

/**
 * A field to order by that is given as a plain name, without quotes (`metrics.my loss`, `creation_time`).
 * @throws FilterError
 */
export function parseOrderField(entity: SearchEntity, name: string): Field {
  const reader = new TokenReader('`' + name.replaceAll('`', '``') + '`', 'order_by field');
  const { field, rule } = namedField(reader, entity, name);
  if (!rule.orderable)
    throw reader.unexpected(`a field that ${ENTITY_RULES[entity].noun}s can be ordered by`);
  return field;
}

/** In an order, quotes may stand around the whole: `` `metrics.my loss` DESC ``. */
function readOrderField(reader: TokenReader, entity: SearchEntity): RuledField {
  const { token, following } = reader;
  const isWhole = token.kind === 'quoted' && token.quote !== "'" && token.text.includes('.');
  if (!isWhole || (following.kind === 'symbol' && following.text === '.')) return readField(reader, entity);
  const found = namedField(reader, entity, token.text);
  reader.next();
  return found;
}

class FilterParser {
  private readonly reader: TokenReader;
  private conditions = 0;

  constructor(
    private readonly entity: SearchEntity,
    text: string,
  ) {
    this.reader = new TokenReader(text, 'filter');
  }

  parse(): Filter | null {
    const { reader } = this;
    if (reader.isAtEnd) return null;
    const filter = this.disjunction(0);
    if (!reader.isAtEnd) throw reader.unexpected('AND, OR or the end of the filter');
    return filter;
  }

  private disjunction(depth: number): Filter {
    return this.chain('or', () => this.chain('and', () => this.primary(depth)));
  }

  /** `a OR b OR c` as one node: operands of the same kind, from parentheses, are taken in. */
  private chain(kind: 'and' | 'or', operand: () => Filter): Filter {
    const operands: Filter[] = [];
    do {
      const next = operand();
      if (next.kind === kind) operands.push(...next.operands);
      else operands.push(next);
    } while (this.reader.takeWord(kind.toUpperCase()));
    return operands.length === 1 ? operands[0]! : { kind, operands };
  }

  private primary(depth: number): Filter {
    const { reader } = this;
    const open = reader.token;
    if (!reader.takeSymbol('(')) return this.condition();
    if (depth === MAX_FILTER_DEPTH)
      throw reader.unexpected(`parentheses at most ${MAX_FILTER_DEPTH} deep`, open);
    const inner = this.disjunction(depth + 1);
    if (!reader.takeSymbol(')')) throw reader.unexpected('AND, OR or )');
    return inner;
  }

  private condition(): Condition {
    const { reader } = this;
    if (++this.conditions > MAX_CONDITIONS) throw reader.unexpected(`at most ${MAX_CONDITIONS} conditions`);
    const { field, rule } = readField(reader, this.entity);
    const operator = this.operator(field, rule);
    switch (operator) {
      case 'IS NULL':
      case 'IS NOT NULL':
        return { kind: 'presence', field, present: operator === 'IS NOT NULL' };
      case 'IN':
      case 'NOT IN':
        return { kind: 'in', field, negated: operator === 'NOT IN', values: this.list(rule) };
      case 'LIKE':
      case 'ILIKE':
      case 'RLIKE':
        return { kind: 'match', field, operator, pattern: this.text(rule) };
      case '=':
      case '!=':
      case '<':
      case '<=':
      case '>':
      case '>=':
        return { kind: 'compare', field, operator, value: this.value(rule, operator) };
    }
  }

  private operator(field: Field, rule: FieldRule): Operator {
    const { reader } = this;
    const { token } = reader;
    const operator = readOperator(reader);
    if (operator !== undefined && rule.operators.includes(operator)) return operator;
    const name = printField(field);
    throw reader.unexpected(
      rule.operators.length === 0
        ? `another field (${name} can be ordered by, not filtered)`
        : `one of ${rule.operators.join(', ')} after ${name}`,
      token,
    );
  }

  private value(rule: FieldRule, operator: Operator): string | number {
    const isNumeric = rule.type === 'number' || rule.type === 'integer';
    return isNumeric || rule.numericOperators?.includes(operator) ? this.number(rule) : this.text(rule);
  }

  private number(rule: FieldRule): number {
    const { token } = this.reader;
    const value = token.kind === 'number' ? Number(token.text) : Number.NaN;
    const isInteger = rule.type === 'integer';
    if (!Number.isFinite(value) || (isInteger && !Number.isInteger(value)))
      throw this.reader.unexpected(isInteger ? 'a whole number without quotes' : 'a number without quotes');
    this.reader.next();
    return value;
  }

  private text(rule: FieldRule): string {
    const { reader } = this;
    const { token } = reader;
    const isText = token.kind === 'quoted' && token.quote !== '`';
    const isBare = token.kind === 'number' && ENTITY_RULES[this.entity].bareNumbersAsText === true;
    if (!isText && !isBare) throw reader.unexpected("a text in quotes, such as 'value'");
    if (rule.type === 'numeral' && !/^\d{1,18}$/.test(token.text))
      throw reader.unexpected("a whole number in quotes, such as '3'");
    return reader.next().text;
  }

  private list(rule: FieldRule): string[] {
    const { reader } = this;
    if (!reader.takeSymbol('(')) throw reader.unexpected("a list of texts in quotes, such as ('a', 'b')");
    const values: string[] = [];
    do {
      // A comma may end the list.
      if (values.length > 0 && reader.isSymbol(')')) break;
      if (values.length === MAX_LIST_VALUES) throw reader.unexpected(`at most ${MAX_LIST_VALUES} values`);
      values.push(this.text(rule));
    } while (reader.takeSymbol(','));
    if (!reader.takeSymbol(')')) throw reader.unexpected('a comma or )');
    return values;
  }
}

const SYMBOL_OPERATORS: readonly string[] = ['=', '!=', '<', '<=', '>', '>='] satisfies Operator[];
const WORD_OPERATORS: readonly string[] = ['LIKE', 'ILIKE', 'RLIKE', 'IN'] satisfies Operator[];

function readOperator(reader: TokenReader): Operator | undefined {
  const { token } = reader;
  if (token.kind === 'symbol' && SYMBOL_OPERATORS.includes(token.text)) return reader.next().text as Operator;
  if (token.kind !== 'word') return undefined;
  const word = token.text.toUpperCase();
  if (WORD_OPERATORS.includes(word)) return reader.next().text.toUpperCase() as Operator;
  if (reader.takeWord('NOT')) return reader.takeWord('IN') ? 'NOT IN' : undefined;
  if (!reader.takeWord('IS')) return undefined;
  const isNegated = reader.takeWord('NOT');
  if (!reader.takeWord('NULL')) return undefined;
  return isNegated ? 'IS NOT NULL' : 'IS NULL';
}
