/** How many rows of what, in the order in which they were first counted. */
export class Tally {
  private readonly counts = new Map<string, number>();

  add(what: string, count: number): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + count);
  }

  entries(): [what: string, count: number][] {
    return [...this.counts];
  }
}
