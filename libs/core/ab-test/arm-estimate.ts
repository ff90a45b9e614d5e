import { binOf, LAST_BIN, upperEdge, valueAtRank } from '../histogram/log-bins.js';
import { alwaysValidMultiplier } from '../statistics/always-valid.js';
import { normalQuantile } from '../statistics/distributions.js';
import type { Estimate } from '../statistics/estimate.js';
import { estimate, standardErrorOf } from '../statistics/estimate.js';
import { quantileEstimate, quantileRanks } from '../statistics/quantile.js';
import type { ArmInput } from './ab-test.js';
import type { GroupHistogram } from './histogram.js';
import type { Metric, QuantileMetric } from './metrics.js';

/** An arm's metric. Quantiles know their error from groups of units: `clusters` of them, fewer than units. */
export type ArmEstimate = Estimate & { readonly clusters?: number };

/**
 * Estimate of a metric of one arm in one phase.
 * @returns undefined where nothing is known.
 * @throws RangeError for sums that cannot be.
 */
export function armEstimate(metric: Metric, arm: ArmInput): ArmEstimate | undefined {
  if (metric.kind === 'quantile') {
    const groups = arm.histograms?.[metric.fact];
    return groups && quantileOf(metric, groups, arm.units);
  }
  const sums = arm.sums[metric.name];
  return sums && estimate(metric.kind, sums);
}

/** What `quantileEstimate` takes the distance of its order statistics for. */
const ONE_LOOK = normalQuantile(0.975);

/**
 * A quantile and its clustered error from log-spaced histograms of groups of units. Values are taken as spread evenly within their bin,
 * so it is off by less than the bin's 2 %. Groups, not units, are the clusters: units fall into groups by hash, so that sums over groups
 * vary as sums over units do; 64 of them know the variance to about ± 18 %, and Student's t takes account of it.
 *
 * The error is the farther one of the two order statistics as many standard errors away as an always-valid interval is wide, divided by
 * that number. Nearer ones, on both sides together, tell the density at the quantile: nothing, where it lies beside a gap (5 % of the
 * requests are ten times as slow) that the quantile jumps over by chance. A guardrail then broke in up to half of the A/A tests.
 */
function quantileOf(
  { level }: QuantileMetric,
  histograms: readonly GroupHistogram[],
  units: number,
): ArmEstimate | undefined {
  // A test's histograms have some ten thousand bins, and are read a dozen times in an analysis.
  const totals = new Float64Array(LAST_BIN + 1);
  for (const { bins } of histograms) for (const counted of bins) totals[counted[0]]! += counted[1];
  const sorted = [...totals.entries()].filter(([, count]) => count > 0);
  const values = totals.reduce((sum, count) => sum + count, 0);
  if (values === 0) return undefined;
  const multiplier = alwaysValidMultiplier(2 * values);
  const ranks = quantileRanks(values, level, multiplier);
  if (!ranks) return undefined;
  const quantile = valueAtRank(sorted, values * level);
  const [below, above] = [valueAtRank(sorted, ranks.lower), valueAtRank(sorted, ranks.upper)];
  const reach = (Math.max(quantile - below, above - quantile) / multiplier) * ONE_LOOK;
  const at = binOf(quantile);
  const part = (quantile - upperEdge(at - 1)) / (upperEdge(at) - upperEdge(at - 1));
  const groups = histograms.map(({ bins }) => {
    let [s, n] = [0, 0];
    // By index: taken apart, pairs cost three times as much.
    for (const counted of bins) {
      n += counted[1];
      if (counted[0] < at) s += counted[1];
      else if (counted[0] === at) s += counted[1] * part;
    }
    return { s, n };
  });
  const present = groups.filter(({ n }) => n > 0);
  const sum = (of: (group: { s: number; n: number }) => number) =>
    present.reduce((total, group) => total + of(group), 0);
  const found = quantileEstimate({
    level,
    values,
    quantile,
    lower: quantile - reach,
    upper: quantile + reach,
    clusters: {
      units: present.length,
      s: Math.min(
        sum(({ s }) => s),
        values,
      ),
      ss: sum(({ s }) => s * s),
      n: values,
      nn: sum(({ n }) => n * n),
      sn: sum(({ s, n }) => s * n),
    },
  });
  if (!found) return undefined;
  return { ...found, units, variance: standardErrorOf(found) ** 2 * units, clusters: present.length };
}
