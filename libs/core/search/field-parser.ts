import type { Field, Scope, SearchEntity } from './ast.js';
import { ENTITY_RULES, type EntityRules, type FieldRule } from './field-rules.js';
import type { Token } from './lexer.js';
import type { TokenReader } from './token-reader.js';

export interface RuledField {
  readonly field: Field;
  readonly rule: FieldRule;
}

/** Reads `tags.team`, `` params.`learning rate` ``, `status`, `run name` and checks that the entity has it. */
export function readField(reader: TokenReader, entity: SearchEntity): RuledField {
  const rules = ENTITY_RULES[entity];
  const first = reader.token;
  const head = readName(reader, () => `a field: ${fieldsOf(rules)}`);
  if (!reader.isSymbol('.')) return attribute(reader, rules, first, spaced(reader, rules, head));
  const scope = Object.hasOwn(rules.prefixes, head) ? rules.prefixes[head] : undefined;
  if (scope === undefined) throw reader.unexpected(`a field: ${fieldsOf(rules)}`, first);
  const keyToken = reader.following;
  const parts: string[] = [];
  while (reader.takeSymbol('.')) parts.push(readName(reader, () => 'a key after the dot'));
  const key = parts.join('.');
  if (scope === 'attribute') return attribute(reader, rules, keyToken, spaced(reader, rules, key));
  return keyed(reader, rules, keyToken, scope, key);
}

/**
 * A field as one name without quotes, as some requests carry it: all behind the first dot is the key.
 * @param reader whose current token the errors point at.
 */
export function namedField(reader: TokenReader, entity: SearchEntity, name: string): RuledField {
  const rules = ENTITY_RULES[entity];
  const { token } = reader;
  const dot = name.indexOf('.');
  if (dot < 0) return attribute(reader, rules, token, name);
  const prefix = name.slice(0, dot);
  const scope = Object.hasOwn(rules.prefixes, prefix) ? rules.prefixes[prefix] : undefined;
  if (scope === undefined) throw reader.unexpected(`a field: ${fieldsOf(rules)}`, token);
  const key = name.slice(dot + 1);
  if (key === '') throw reader.unexpected('a key after the dot', token);
  return scope === 'attribute'
    ? attribute(reader, rules, token, key)
    : keyed(reader, rules, token, scope, key);
}

function readName(reader: TokenReader, expected: () => string): string {
  const { token } = reader;
  const isName = token.kind === 'word' || (token.kind === 'quoted' && token.quote !== "'");
  if (!isName || token.text === '') throw reader.unexpected(expected());
  return reader.next().text;
}

/** MLflow knows the attribute "run name", which may be written without quotes. */
function spaced(reader: TokenReader, rules: EntityRules, name: string): string {
  if (reader.token.kind !== 'word') return name;
  const longer = `${name} ${reader.token.text}`;
  if (!Object.hasOwn(rules.aliases, longer)) return name;
  reader.next();
  return longer;
}

function attribute(reader: TokenReader, rules: EntityRules, token: Token, name: string): RuledField {
  const key = Object.hasOwn(rules.aliases, name) ? rules.aliases[name]! : name;
  return keyed(reader, rules, token, 'attribute', key);
}

function keyed(reader: TokenReader, rules: EntityRules, token: Token, scope: Scope, key: string): RuledField {
  if (scope === 'span' && key.startsWith('attributes.') && key.length > 'attributes.'.length)
    return keyed(reader, rules, token, 'spanAttribute', key.slice('attributes.'.length));
  const known = rules.scopes[scope];
  if (known !== undefined && 'any' in known) return { field: { scope, key }, rule: known.any };
  const rule = known !== undefined && Object.hasOwn(known.keys, key) ? known.keys[key] : undefined;
  if (rule !== undefined) return { field: { scope, key }, rule };
  if (scope === 'attribute') throw reader.unexpected(`a field: ${fieldsOf(rules)}`, token);
  const keys = Object.keys(known?.keys ?? {});
  if (scope === 'span') keys.push('attributes.<key>');
  throw reader.unexpected(`a key of ${scope}: ${keys.join(', ')}`, token);
}

function fieldsOf(rules: EntityRules): string {
  const attributes = rules.scopes.attribute;
  const names = attributes !== undefined && 'keys' in attributes ? Object.keys(attributes.keys) : [];
  // One spelling a scope is enough, the one with "s" where there is one.
  const spellings = new Map<Scope, string>();
  for (const [prefix, scope] of Object.entries(rules.prefixes))
    if (scope !== 'attribute' && (!spellings.has(scope) || prefix === `${scope}s`))
      spellings.set(scope, prefix);
  return [...names, ...[...spellings.values()].map((prefix) => `${prefix}.<key>`)].join(', ');
}
