/** The bound values of one statement. */
export class Parameters {
  readonly values: unknown[] = [];

  /** Binds a value. @returns its placeholder with a cast, such as `$3::text`. */
  add(value: unknown, type: string): string {
    return `$${this.values.push(value)}::${type}`;
  }
}
