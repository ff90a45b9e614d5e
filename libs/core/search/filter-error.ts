/** A filter or order that cannot be read. The message is one line that names the place and what is expected there. */
export class FilterError extends Error {
  override readonly name = 'FilterError';

  constructor(
    /** 1-based column in the text. */
    readonly column: number,
    /** What stands there, ready to print. */
    readonly found: string,
    /** What should stand there, ready to print. */
    readonly expected: string,
    /** Which text: "filter", or the clause of an order. */
    readonly subject: string = 'filter',
  ) {
    super(`Invalid ${subject}: at column ${column}, expected ${expected}, found ${found}.`);
  }
}
