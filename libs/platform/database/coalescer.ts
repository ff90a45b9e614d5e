/**
 * Answers look-ups that come while others are under way with one query for all of them. Alone, a look-up goes out at
 * once; under load a query carries dozens, and costs little more than one.
 * @template K what is looked up
 */
export class Coalescer<K, V> {
  private waiting: { readonly key: K; resolve(value: V | undefined): void; reject(error: unknown): void }[] =
    [];
  private underWay = 0;

  /**
   * @param query answers in the order of the keys; undefined for what is not there. Fails for all or for none.
   * @param mostAtOnce queries under way at a time.
   * @param mostKeys of one query.
   */
  constructor(
    private readonly query: (keys: readonly K[]) => Promise<readonly (V | undefined)[]>,
    private readonly mostAtOnce = 2,
    private readonly mostKeys = 100,
  ) {}

  get(key: K): Promise<V | undefined> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ key, resolve, reject });
      if (this.underWay < this.mostAtOnce) void this.send();
    });
  }

  private async send(): Promise<void> {
    this.underWay++;
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.mostKeys);
      try {
        const values = await this.query(batch.map(({ key }) => key));
        batch.forEach(({ resolve }, index) => resolve(values[index]));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.underWay--;
  }
}
