import { FilterError } from './filter-error.js';
import { shown, tokenize, type Token } from './lexer.js';

/** Walks over the tokens of one text. */
export class TokenReader {
  private readonly tokens: readonly Token[];
  private index = 0;

  /** @throws FilterError where the text has no tokens. */
  constructor(
    text: string,
    private readonly subject: string,
  ) {
    this.tokens = tokenize(text, subject);
  }

  get token(): Token {
    return this.tokens[this.index]!;
  }

  get isAtEnd(): boolean {
    return this.token.kind === 'end';
  }

  get following(): Token {
    return this.tokens[Math.min(this.index + 1, this.tokens.length - 1)]!;
  }

  next(): Token {
    const { token } = this;
    if (token.kind !== 'end') this.index++;
    return token;
  }

  isSymbol(text: string): boolean {
    return this.token.kind === 'symbol' && this.token.text === text;
  }

  /** @param word in upper case; keywords may be written in any. */
  isWord(word: string): boolean {
    return this.token.kind === 'word' && this.token.text.toUpperCase() === word;
  }

  takeSymbol(text: string): boolean {
    const found = this.isSymbol(text);
    if (found) this.next();
    return found;
  }

  takeWord(word: string): boolean {
    const found = this.isWord(word);
    if (found) this.next();
    return found;
  }

  /** The error of what stands at `token`, by default the current one. */
  unexpected(expected: string, token: Token = this.token): FilterError {
    const found = token.kind === 'end' ? 'the end' : shown(written(token));
    return new FilterError(token.column, found, expected, this.subject);
  }
}

function written({ text, quote }: Token): string {
  return quote === undefined ? text : quote + text.replaceAll(quote, quote + quote) + quote;
}
