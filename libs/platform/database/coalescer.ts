/**
 * Gathers items that arrive in one turn of the event loop, or while earlier ones are under way, into one call for all of
 * them: under load many small statements become a few larger ones that cost little more than one, and without load
 * nothing waits.
 */
export class Coalescer<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private underWay = 0;
  private readonly mostAtOnce: number;
  private readonly maxWeight: number;
  private readonly weigh: (item: Item) => number;

  /**
   * @param work answers every item of a group, in order; when it throws, the whole group fails.
   * @param options.mostAtOnce groups under way at the same time.
   * @param options.maxWeight of one group, unless a single item weighs more.
   * @param options.weigh how much of it an item takes; 1 where it is left out.
   */
  constructor(
    private readonly work: (items: readonly Item[]) => Promise<readonly Result[]>,
    options: { mostAtOnce: number; maxWeight: number; weigh?: (item: Item) => number },
  ) {
    this.mostAtOnce = options.mostAtOnce;
    this.maxWeight = options.maxWeight;
    this.weigh = options.weigh ?? (() => 1);
  }

  /** Resolves to the item's own result, or rejects with what its group failed with. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (this.underWay < this.mostAtOnce && this.waiting.length === 1) setImmediate(() => this.next());
    });
  }

  private next(): void {
    if (this.waiting.length === 0 || this.underWay >= this.mostAtOnce) return;
    const group = this.takeGroup();
    this.underWay++;
    this.work(group.map(({ item }) => item))
      .then(
        (results) => group.forEach(({ resolve }, index) => resolve(results[index]!)),
        (error: unknown) => group.forEach(({ reject }) => reject(error)),
      )
      .finally(() => {
        this.underWay--;
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
