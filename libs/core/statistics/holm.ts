/**
 * Holm's step-down correction (Holm 1979, Scandinavian Journal of Statistics 6): adjusted p-values in the order given. Rejecting those
 * below α keeps the chance of any false rejection below α, whatever the dependence between the metrics. They are max over the smaller
 * ones of (m − rank)·p, at most 1. Always-valid p-values stay always valid.
 * @throws RangeError for a p-value outside 0…1.
 */
export function holm(pValues: readonly number[]): number[] {
  for (const p of pValues)
    if (!(p >= 0 && p <= 1)) throw new RangeError(`A p-value lies between 0 and 1; one is ${p}.`);
  const adjusted = Array<number>(pValues.length).fill(0);
  let largest = 0;
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  for (const [rank, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[i]!));
    adjusted[i] = largest;
  }
  return adjusted;
}
