/**
 * Gathers items that arrive while earlier ones are being written, and writes them together: under load many small
 * transactions become a few larger ones, and without load nothing waits.
 */
export class GroupCommit<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private writing = 0;

  /**
   * @param write answers every item of a group, in order; when it throws, the whole group fails.
   * @param weigh how much of `maxWeight` an item takes.
   * @param maxWeight of one group, unless a single item weighs more.
   * @param maxWriting groups on the way at the same time.
   */
  constructor(
    private readonly write: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly weigh: (item: Item) => number,
    private readonly maxWeight: number,
    private readonly maxWriting: number,
  ) {}

  /** Resolves when the item is written, or rejects with what its group failed with. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (this.writing < this.maxWriting && this.waiting.length === 1) setImmediate(() => this.next());
    });
  }

  private next(): void {
    if (this.waiting.length === 0 || this.writing >= this.maxWriting) return;
    const group = this.takeGroup();
    this.writing++;
    this.write(group.map(({ item }) => item))
      .then(
        (results) => group.forEach(({ resolve }, index) => resolve(results[index]!)),
        (error: unknown) => group.forEach(({ reject }) => reject(error)),
      )
      .finally(() => {
        this.writing--;
        this.next();
      });
    this.next();
  }

  private takeGroup(): Waiting<Item, Result>[] {
    let weight = 0;
    let count = 0;
    while (count < this.waiting.length) {
      weight += this.weigh(this.waiting[count]!.item);
      if (count > 0 && weight > this.maxWeight) break;
      count++;
    }
    return this.waiting.splice(0, count);
  }
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}
