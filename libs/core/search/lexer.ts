import { FilterError } from './filter-error.js';

/** Longest filter or order clause, in UTF-16 units. */
export const MAX_FILTER_LENGTH = 100_000;

export type TokenKind = 'word' | 'quoted' | 'number' | 'symbol' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** The word, the symbol, the number as written, or what was between quotes. */
  readonly text: string;
  /** Of quoted text: which quote. */
  readonly quote?: QuoteMark;
  /** 1-based. */
  readonly column: number;
  /** Whether it follows the token before without a space. */
  readonly joined: boolean;
}

export type QuoteMark = "'" | '"' | '`';

const SPACE = /\s+/y;
const WORD = /[\p{L}_][\p{L}\p{M}\p{N}_]*/uy;
/** A key after a dot may begin with a digit. */
const KEY_WORD = /[\p{L}\p{M}\p{N}_]+/uy;
const NUMBER = /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\p{L}\p{N}_.])/uy;
const QUOTED = /'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`/y;
const SYMBOL = /!=|<>|<=|>=|==|[=<>().,]/y;

/**
 * Cuts a filter into tokens, the last of kind `end`. Quotes inside quoted text are doubled; a backslash is a
 * character like any other.
 * @param subject what messages call the text.
 * @throws FilterError at the first character that begins no token.
 */
export function tokenize(text: string, subject: string): Token[] {
  if (text.length > MAX_FILTER_LENGTH)
    throw new FilterError(
      MAX_FILTER_LENGTH + 1,
      `${text.length} characters`,
      `at most ${MAX_FILTER_LENGTH}`,
      subject,
    );
  const nul = text.indexOf('\0');
  if (nul >= 0) throw new FilterError(nul + 1, 'a NUL character', 'text without NUL characters', subject);
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  for (;;) {
    const joined = take(SPACE) === undefined && at > 0;
    const column = at + 1;
    if (at === text.length) return [...tokens, { kind: 'end', text: '', column, joined }];
    const before = tokens.at(-1);
    const isKey = joined && before?.kind === 'symbol' && before.text === '.';
    const word = take(isKey ? KEY_WORD : WORD);
    if (word !== undefined) {
      tokens.push({ kind: 'word', text: word, column, joined });
      continue;
    }
    // A dot that ends a name is no beginning of a number: `tags.1` but `= .1`.
    const follows = joined && (before?.kind === 'word' || before?.kind === 'quoted') && text[at] === '.';
    const number = follows ? undefined : take(NUMBER);
    if (number !== undefined) {
      tokens.push({ kind: 'number', text: number, column, joined });
      continue;
    }
    const quoted = take(QUOTED);
    if (quoted !== undefined) {
      const quote = quoted[0] as QuoteMark;
      const inner = quoted.slice(1, -1).replaceAll(quote + quote, quote);
      tokens.push({ kind: 'quoted', text: inner, quote, column, joined });
      continue;
    }
    const symbol = take(SYMBOL);
    if (symbol === undefined) throw unreadable(text, at, subject);
    tokens.push({ kind: 'symbol', text: symbol, column, joined });
  }
}

function unreadable(text: string, at: number, subject: string): FilterError {
  const character = String.fromCodePoint(text.codePointAt(at)!);
  if (character === "'" || character === '"' || character === '`')
    return new FilterError(at + 1, 'a quote that is never closed', `a closing ${character}`, subject);
  if (/[\d+-]/.test(character))
    return new FilterError(
      at + 1,
      shown(/[^\s,()]*/.exec(text.slice(at, at + 40))![0]),
      'a number such as 0.5 or 1e-3 (quote names and texts that begin like numbers)',
      subject,
    );
  return new FilterError(
    at + 1,
    shown(character),
    'a field, an operator or a value (names with other characters than letters, digits and _ go between backticks)',
    subject,
  );
}

const MAX_SHOWN = 40;

/** Text from a filter as messages show it: short, on one line. */
export function shown(text: string): string {
  const characters = Array.from(text.slice(0, 2 * MAX_SHOWN + 2));
  const cut =
    characters.length > MAX_SHOWN ? `${characters.slice(0, MAX_SHOWN).join('')}…` : characters.join('');
  return JSON.stringify(cut);
}
