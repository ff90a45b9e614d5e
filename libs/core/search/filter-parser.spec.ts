import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition, Field, Filter, SearchEntity } from './ast.js';
import { ENTITY_RULES } from './field-rules.js';
import { FilterError } from './filter-error.js';
import {
  MAX_CONDITIONS,
  MAX_FILTER_DEPTH,
  MAX_LIST_VALUES,
  MAX_ORDER_TERMS,
  parseFilter,
  parseOrderBy,
  parseOrderField,
} from './filter-parser.js';
import { MAX_FILTER_LENGTH } from './lexer.js';
import { printFilter, printOrderBy } from './print-filter.js';

const compare = (scope: Field['scope'], key: string, operator: string, value: string | number) => ({
  kind: 'compare',
  field: { scope, key },
  operator,
  value,
});

function refusal(read: () => unknown): FilterError {
  try {
    read();
  } catch (error) {
    if (error instanceof FilterError) return error;
    throw error;
  }
  throw new Error('was read without an error');
}

describe('A filter', () => {
  it.each<[SearchEntity, string, unknown]>([
    ['run', 'metrics.loss < 0.5', compare('metric', 'loss', '<', 0.5)],
    ['run', 'metric.`my loss`>=-1e-3', compare('metric', 'my loss', '>=', -0.001)],
    ['run', 'metrics.loss = .5', compare('metric', 'loss', '=', 0.5)],
    ['run', "params.lr != '0.1'", compare('param', 'lr', '!=', '0.1')],
    ['run', 'parameters."my lr" = "it\'s"', compare('param', 'my lr', '=', "it's")],
    ['run', "tags.mlflow.parentRunId = 'a'", compare('tag', 'mlflow.parentRunId', '=', 'a')],
    ['run', "tags.1st = 'a'", compare('tag', '1st', '=', 'a')],
    ['run', "tags.and = 'it''s'", compare('tag', 'and', '=', "it's")],
    ['run', "`tag`.`a``b` = 'C:\\x\\'", compare('tag', 'a`b', '=', 'C:\\x\\')],
    ['run', "status = 'FINISHED'", compare('attribute', 'status', '=', 'FINISHED')],
    ['run', "attr.run_name = 'x'", compare('attribute', 'run_name', '=', 'x')],
    ['run', "run.`Run name` = 'x'", compare('attribute', 'run_name', '=', 'x')],
    ['run', "run name = 'x'", compare('attribute', 'run_name', '=', 'x')],
    ['run', 'attributes.created > 12', compare('attribute', 'start_time', '>', 12)],
    ['run', "datasets.digest = 'x'", compare('dataset', 'digest', '=', 'x')],
    ['experiment', "attribute.experiment_id = '3'", compare('attribute', 'experiment_id', '=', '3')],
    [
      'experiment',
      'creation_time > 1699999999999',
      compare('attribute', 'creation_time', '>', 1699999999999),
    ],
    ['modelVersion', 'version_number <= 3', compare('attribute', 'version_number', '<=', 3)],
    ['loggedModel', 'params.lr = 0.01', compare('param', 'lr', '=', '0.01')],
    ['loggedModel', "status = 'READY'", compare('attribute', 'status', '=', 'READY')],
    ['trace', 'trace.timestamp > 5', compare('attribute', 'timestamp_ms', '>', 5)],
    ['trace', "request_id = 'tr-1'", compare('attribute', 'trace_id', '=', 'tr-1')],
    ['trace', "metadata.`mlflow.trace.session` = 's'", compare('metadata', 'mlflow.trace.session', '=', 's')],
    ['trace', "span.attributes.`a b` = 'x'", compare('spanAttribute', 'a b', '=', 'x')],
    ['trace', "span.attributes.llm.model = 'x'", compare('spanAttribute', 'llm.model', '=', 'x')],
    ['trace', 'feedback.score >= 0.8', compare('feedback', 'score', '>=', 0.8)],
    ['trace', "issue.id = 'iss-1'", compare('issue', 'id', '=', 'iss-1')],
    ['evaluationDataset', "created_by = 'me'", compare('attribute', 'created_by', '=', 'me')],
    ['issue', "status != 'OPEN'", compare('attribute', 'status', '!=', 'OPEN')],
  ])('of %s: %s', (entity, text, expected) => {
    expect(parseFilter(entity, text)).toEqual(expected);
  });

  it('knows LIKE, ILIKE, RLIKE, lists and NULL, with keywords in any case', () => {
    const field = { scope: 'tag', key: 'a' };
    expect(parseFilter('run', "tags.a like 'x%'")).toEqual({
      kind: 'match',
      field,
      operator: 'LIKE',
      pattern: 'x%',
    });
    expect(parseFilter('trace', "tags.a RLike '^x'")).toMatchObject({ operator: 'RLIKE' });
    expect(parseFilter('run', 'tags.a is  null')).toEqual({ kind: 'presence', field, present: false });
    expect(parseFilter('run', 'tags.a IS NOT NULL')).toEqual({ kind: 'presence', field, present: true });
    const runId = { scope: 'attribute', key: 'run_id' };
    expect(parseFilter('run', `run_id IN ('a', "b",)`)).toEqual({
      kind: 'in',
      field: runId,
      negated: false,
      values: ['a', 'b'],
    });
    expect(parseFilter('run', "run_id Not In('a')")).toMatchObject({ negated: true, values: ['a'] });
  });

  it('is null when it is empty', () => {
    expect(parseFilter('run', '')).toBeNull();
    expect(parseFilter('run', ' \n\t')).toBeNull();
  });

  it('binds AND stronger than OR, and parentheses stronger than both', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((key) => compare('metric', key, '>', 1));
    expect(parseFilter('run', 'metrics.a > 1 OR metrics.b > 1 AND metrics.c > 1')).toEqual({
      kind: 'or',
      operands: [a, { kind: 'and', operands: [b, c] }],
    });
    expect(parseFilter('run', '(metrics.a > 1 or metrics.b > 1) and metrics.c > 1')).toEqual({
      kind: 'and',
      operands: [{ kind: 'or', operands: [a, b] }, c],
    });
    expect(parseFilter('run', '((metrics.a > 1 AND (metrics.b > 1)) AND metrics.c > 1)')).toEqual({
      kind: 'and',
      operands: [a, b, c],
    });
  });
});

describe('A bad filter is refused with the place, what is there and what is expected:', () => {
  it.each<[SearchEntity, string, number, RegExp, RegExp]>([
    ['run', 'metrics.loss <', 15, /the end/, /number/],
    ['run', "metrics.loss < '1'", 16, /"'1'"/, /a number without quotes/],
    ['run', 'metrics.loss < 1x', 16, /"1x"/, /number/],
    ['run', 'metrics.loss < 1e999', 16, /1e999/, /number/],
    ['run', 'metrics.loss == 1', 14, /"=="/, /one of =, !=, <, <=, >, >= after metrics.loss/],
    ['run', "metrics.loss LIKE '1'", 14, /LIKE/, /one of/],
    ['run', 'params.lr = 0.1', 13, /"0.1"/, /text in quotes/],
    ['run', 'params.lr = `x`', 13, /"`x`"/, /text in quotes/],
    ['run', "params.lr = 'x", 13, /never closed/, /closing '/],
    ['run', "params.my-lr = 'x'", 10, /"-lr"/, /number/],
    ['run', "loss = 'x'", 1, /"loss"/, /run_id.*metrics\.<key>.*params\.<key>.*tags\.<key>/],
    ['run', "labels.x = 'x'", 1, /"labels"/, /tags\.<key>/],
    ['run', "dataset.source = 'x'", 9, /"source"/, /name, digest, context/],
    ['run', "status = 'x' metrics.a > 1", 14, /"metrics"/, /AND, OR or the end/],
    ['run', "status = 'x';", 13, /";"/, /field/],
    ['run', "(status = 'x'", 14, /the end/, /AND, OR or \)/],
    ['run', "status = 'x')", 13, /"\)"/, /AND, OR or the end/],
    ['run', "status = 'x' AND", 17, /the end/, /field/],
    ['run', "NOT status = 'x'", 1, /"NOT"/, /field/],
    ['run', "status IN ('x')", 8, /IN/, /one of =, !=, LIKE, ILIKE/],
    ['run', 'run_id IN ()', 12, /"\)"/, /text in quotes/],
    ['run', "run_id IN ('a' 'b')", 16, /'b'/, /comma/],
    ['run', "run_id = ('a')", 10, /"\("/, /text in quotes/],
    ['run', 'metrics.a IS NULL', 11, /IS/, /one of/],
    ['run', "tags.a = 'x\0'", 12, /NUL/, /without NUL/],
    ['run', "tags.`` = 'x'", 6, /``/, /key/],
    ['run', "tags. = 'x'", 7, /"="/, /key/],
    ['experiment', 'creation_time > 1.5', 17, /1.5/, /whole number/],
    ['experiment', "experiment_id = 'abc'", 17, /abc/, /whole number in quotes/],
    ['experiment', "metrics.a = 'abc'", 1, /metrics/, /tags\.<key>/],
    ['registeredModel', 'timestamp > 1', 11, />/, /ordered by, not filtered/],
    ['trace', 'feedback.ok = 1', 15, /"1"/, /text in quotes/],
    ['trace', "feedback.ok > '1'", 15, /'1'/, /number/],
    ['trace', "span.nothing = 'x'", 6, /nothing/, /content, attributes/],
  ])('%s: %s', (entity, text, column, found, expected) => {
    const error = refusal(() => parseFilter(entity, text));
    expect(error.column).toBe(column);
    expect(error.found).toMatch(found);
    expect(error.expected).toMatch(expected);
    expect(error.message).not.toContain('\n');
    expect(error.message).toContain(`column ${column}`);
  });

  it('names of JavaScript objects are no fields', () => {
    for (const name of [
      'constructor',
      '__proto__',
      'toString',
      'run.__proto__',
      'constructor.x',
      'dataset.valueOf',
    ])
      expect(refusal(() => parseFilter('run', `${name} = 'x'`)).found).toContain(
        name.split('.').at(-1) === 'x' ? 'constructor' : name.split('.').at(-1),
      );
  });
});

describe('Limits keep every filter cheap:', () => {
  const condition = 'metrics.a>1';

  it('length, depth, conditions, values and clauses', () => {
    const nested = (depth: number) => '('.repeat(depth) + condition + ')'.repeat(depth);
    expect(parseFilter('run', nested(MAX_FILTER_DEPTH))).not.toBeNull();
    expect(refusal(() => parseFilter('run', nested(MAX_FILTER_DEPTH + 1))).column).toBe(MAX_FILTER_DEPTH + 1);
    expect(refusal(() => parseFilter('run', nested(40_000))).column).toBe(MAX_FILTER_DEPTH + 1);
    const many = (count: number) => Array(count).fill(condition).join(' OR ');
    expect(parseFilter('run', many(MAX_CONDITIONS))).not.toBeNull();
    expect(refusal(() => parseFilter('run', many(MAX_CONDITIONS + 1))).expected).toMatch(/100 conditions/);
    const list = (count: number) => `run_id IN (${Array(count).fill("'a'").join()})`;
    expect(parseFilter('run', list(MAX_LIST_VALUES))).not.toBeNull();
    expect(refusal(() => parseFilter('run', list(MAX_LIST_VALUES + 1))).expected).toMatch(/10000 values/);
    const long = `tags.a = '${'x'.repeat(MAX_FILTER_LENGTH)}'`;
    expect(refusal(() => parseFilter('run', long)).column).toBe(MAX_FILTER_LENGTH + 1);
    const clauses = Array.from({ length: MAX_ORDER_TERMS + 1 }, (_, index) => `tags.a${index}`);
    expect(refusal(() => parseOrderBy('run', clauses)).expected).toMatch(/20 clauses/);
  });

  it('texts made to be slow are read in milliseconds', () => {
    const size = MAX_FILTER_LENGTH - 20;
    for (const text of [
      "'",
      "''",
      '`',
      '"',
      ' ',
      '(',
      '.',
      '1',
      '1.',
      'a',
      'a.',
      '-',
      "'a',",
      'tags.',
      '\u{1F600}',
    ]) {
      const start = performance.now();
      refusal(() => parseFilter('run', `tags.a = ${text.repeat(size / text.length)} x`));
      expect(performance.now() - start).toBeLessThan(500);
    }
  });
});

describe('An order', () => {
  it.each<[SearchEntity, string, unknown]>([
    ['run', 'metrics.loss', { field: { scope: 'metric', key: 'loss' }, direction: 'asc' }],
    ['run', 'metrics.`my loss` desc', { field: { scope: 'metric', key: 'my loss' }, direction: 'desc' }],
    ['run', '`metrics.my loss` DESC', { field: { scope: 'metric', key: 'my loss' }, direction: 'desc' }],
    ['run', '"params.a" asc', { field: { scope: 'param', key: 'a' }, direction: 'asc' }],
    [
      'run',
      'attribute.Created DESC',
      { field: { scope: 'attribute', key: 'start_time' }, direction: 'desc' },
    ],
    ['run', 'run name DESC', { field: { scope: 'attribute', key: 'run_name' }, direction: 'desc' }],
    ['run', 'tags.desc DESC', { field: { scope: 'tag', key: 'desc' }, direction: 'desc' }],
    [
      'registeredModel',
      'timestamp',
      { field: { scope: 'attribute', key: 'last_updated_timestamp' }, direction: 'asc' },
    ],
    ['trace', 'timestamp_ms DESC', { field: { scope: 'attribute', key: 'timestamp_ms' }, direction: 'desc' }],
  ])('of %s: %s', (entity, clause, expected) => {
    expect(parseOrderBy(entity, [clause])).toEqual([expected]);
  });

  it.each<[SearchEntity, string[], RegExp]>([
    ['run', ['start_time', ''], /clause 2: at column 1, expected a field/],
    ['run', ['metrics.a up'], /clause 1: at column 11, expected ASC, DESC or the end/],
    ['run', ['metrics.a, metrics.b'], /column 10/],
    ['run', ['dataset.name'], /runs can be ordered by/],
    ['run', ['created', 'attributes.start_time DESC'], /clause 2: .*`order_by` contains duplicate fields/],
    ['run', ['nothing'], /expected a field/],
    ['experiment', ['tags.a'], /experiments can be ordered by/],
  ])('of %s is refused: %s', (entity, clauses, message) => {
    expect(refusal(() => parseOrderBy(entity, clauses)).message).toMatch(message);
  });

  it('takes a plain name where a request gives the field alone', () => {
    expect(parseOrderField('loggedModel', 'creation_time')).toEqual({
      scope: 'attribute',
      key: 'creation_timestamp_ms',
    });
    expect(parseOrderField('loggedModel', 'metrics.a `b.c')).toEqual({ scope: 'metric', key: 'a `b.c' });
    expect(refusal(() => parseOrderField('loggedModel', 'params.a')).message).toMatch(/can be ordered by/);
    expect(refusal(() => parseOrderField('loggedModel', 'x')).message).toMatch(/expected a field/);
    expect(refusal(() => parseOrderField('loggedModel', 'metrics.')).message).toMatch(/key/);
  });
});

describe('For any input', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 }).map((value) => value.replaceAll('\0', ''));
  const key = text.filter((value) => value !== '');

  const conditions = (entity: SearchEntity): fc.Arbitrary<Condition> => {
    const rules = ENTITY_RULES[entity];
    const fields = Object.entries(rules.scopes).flatMap(([scope, known]) =>
      'any' in known
        ? [
            {
              rule: known.any,
              field: key.map((any): Field => ({ scope: scope as Field['scope'], key: any })),
            },
          ]
        : Object.entries(known.keys).map(([name, rule]) => ({
            rule,
            field: fc.constant<Field>({ scope: scope as Field['scope'], key: name }),
          })),
    );
    return fc
      .constantFrom(...fields.filter(({ rule }) => rule.operators.length > 0))
      .chain(({ rule, field }) =>
        fc
          .tuple(field, fc.constantFrom(...rule.operators))
          .chain(([chosen, operator]): fc.Arbitrary<Condition> => {
            const value = rule.type === 'numeral' ? fc.nat().map(String) : text;
            const isNumeric =
              rule.type === 'number' || rule.type === 'integer' || rule.numericOperators?.includes(operator);
            const number =
              rule.type === 'integer' ? fc.integer() : fc.double({ noNaN: true, noDefaultInfinity: true });
            switch (operator) {
              case 'IS NULL':
              case 'IS NOT NULL':
                return fc.constant({ kind: 'presence', field: chosen, present: operator === 'IS NOT NULL' });
              case 'IN':
              case 'NOT IN':
                return fc
                  .array(value, { minLength: 1, maxLength: 4 })
                  .map((values) => ({ kind: 'in', field: chosen, negated: operator === 'NOT IN', values }));
              case 'LIKE':
              case 'ILIKE':
              case 'RLIKE':
                return text.map((pattern) => ({ kind: 'match', field: chosen, operator, pattern }));
              case '=':
              case '!=':
              case '<':
              case '<=':
              case '>':
              case '>=':
                return (isNumeric ? number : value).map((given) => ({
                  kind: 'compare',
                  field: chosen,
                  operator,
                  value: Object.is(given, -0) ? 0 : given,
                }));
            }
          }),
      );
  };

  const filters = (entity: SearchEntity): fc.Arbitrary<Filter> => {
    const joined = (kind: 'and' | 'or', operand: fc.Arbitrary<Filter>): fc.Arbitrary<Filter> =>
      fc.array(operand, { minLength: 2, maxLength: 3 }).map((operands) => ({
        kind,
        operands: operands.flatMap((each) => (each.kind === kind ? each.operands : [each])),
      }));
    const { filter } = fc.letrec<{ filter: Filter; leaf: Filter }>((tie) => ({
      leaf: conditions(entity),
      filter: fc.oneof(
        { maxDepth: 3 },
        tie('leaf'),
        joined('and', tie('filter')),
        joined('or', tie('filter')),
      ),
    }));
    return filter;
  };

  it.each(Object.keys(ENTITY_RULES) as SearchEntity[])(
    'what is printed of a %s filter is read back as the same filter, whatever its keys and values hold',
    (entity) => {
      fc.assert(
        fc.property(filters(entity), (filter) => {
          expect(parseFilter(entity, printFilter(filter))).toEqual(filter);
        }),
      );
    },
  );

  it('what is printed of an order is read back as the same order', () => {
    const term = fc.record({
      field: fc.record({ scope: fc.constantFrom<Field['scope']>('metric', 'param', 'tag'), key }),
      direction: fc.constantFrom<('asc' | 'desc')[]>('asc', 'desc'),
    });
    const terms = fc.uniqueArray(term, {
      selector: ({ field }) => `${field.scope}.${field.key}`,
      maxLength: 5,
    });
    fc.assert(
      fc.property(terms, (order) => {
        expect(parseOrderBy('run', printOrderBy(order))).toEqual(order);
      }),
    );
  });

  it('text is a filter or is refused with a place inside it, and nothing else happens', () => {
    const pieces = fc.constantFrom(
      ...`' " \` ( ) . , = < != AND OR NOT IN IS NULL LIKE metrics tags x 1 - 1e3 status 'v' -- ; \\ /* run name`.split(
        ' ',
      ),
      ' ',
      '\ud800',
    );
    const source = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join('')),
      fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(' ')),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(ENTITY_RULES) as SearchEntity[])),
        source,
        (entity, given) => {
          for (const read of [() => parseFilter(entity, given), () => parseOrderBy(entity, [given])])
            try {
              read();
            } catch (error) {
              expect(error).toBeInstanceOf(FilterError);
              expect((error as FilterError).column).toBeLessThanOrEqual(given.length + 1);
              expect((error as FilterError).message).not.toMatch(/[\n\r\0]/);
            }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('an injected value stays one value', () => {
    for (const value of ["'; DROP TABLE run; --", "' OR '1'='1", '$1', "\\'", '%_', '`', '"', "a''b"]) {
      const filter = parseFilter('run', `tags.a = '${value.replaceAll("'", "''")}'`);
      expect(filter).toEqual(compare('tag', 'a', '=', value));
    }
  });
});
