"""Writes references.json: what SciPy, statsmodels and gbstats say about data whose sums the specs feed to this folder.

Run with numpy 1.26.4, scipy 1.17.1, statsmodels 0.15.0, gbstats 0.8.0:  python references.py > references.json
and then prettier over it.
"""

import json
import warnings

import numpy as np
import statsmodels.api as sm
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import (
    ProportionStatistic, QuantileClusteredStatistic, QuantileStatistic, RatioStatistic,
    RegressionAdjustedStatistic, SampleMeanStatistic, compute_theta,
)
from gbstats.utils import check_srm
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.power import normal_power_het, normal_sample_size_one_tail

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20261123)
cases = []


def case(what, source, given, expected):
    cases.append({"what": what, "source": source, "given": given, "expected": expected})


def sums(**variables):
    names = [name for name in "ydxw" if name in variables]
    out = {"units": len(variables["y"])}
    for i, a in enumerate(names):
        out[a] = float(np.sum(variables[a]))
        for b in names[i:]:
            out[a + b] = float(np.sum(variables[a] * variables[b]))
    return out


def mean_of(v):
    return SampleMeanStatistic(n=len(v), sum=float(v.sum()), sum_squares=float((v * v).sum()))


# Distributions
case("normalCdf", "scipy.stats.norm.cdf", [[x] for x in (-37, -10, -1.5, 0, 0.3, 4)], [stats.norm.cdf(x) for x in (-37, -10, -1.5, 0, 0.3, 4)])
ps = (1e-4, 0.025, 0.2, 0.5, 0.8, 0.975, 0.9995)
case("normalQuantile", "scipy.stats.norm.ppf", [[p] for p in ps], [stats.norm.ppf(p) for p in ps])
ts = [(0.1, 1.5), (2, 3.3), (-4.06, 9), (12, 1e6), (3, 1e12), (3, 1e300)]
case("tTwoSided", "scipy.stats.t.sf", ts, [2 * stats.t.sf(abs(t), df) for t, df in ts])
tq = [(0.975, 1.5), (0.9, 3.3), (0.01, 40.7), (0.995, 1e9), (0.975, 1e300)]
case("tQuantile", "scipy.stats.t.ppf", tq, [stats.t.ppf(*x) for x in tq])
xs = [(0.5, 1), (3.84, 1), (476.7, 1), (20, 7), (900, 3)]
case("chiSquareUpperTail", "scipy.stats.chi2.sf", xs, [stats.chi2.sf(*x) for x in xs])

# Two arms: latencies (means), rates, ratios over clustered requests, with covariates
for nc, nt, lift in ((40, 55, 1.1), (900, 300, 1.03), (5000, 5200, 1.0)):
    x = [rng.gamma(4, 1, n) for n in (nc, nt)]
    y = [(x[0] * 50 + rng.gamma(3, 40, nc)), (x[1] * 50 + rng.gamma(3, 40, nt)) * lift]
    arms = [sums(y=y[k], x=x[k]) for k in (0, 1)]
    welch = stats.ttest_ind(y[1], y[0], equal_var=False)
    interval = welch.confidence_interval(0.95)
    case("welch", "scipy.stats.ttest_ind(equal_var=False)", arms,
         {"statistic": welch.statistic, "pValue": welch.pvalue, "df": welch.df, "lower": interval.low, "upper": interval.high})
    a, b = mean_of(y[0]), mean_of(y[1])
    for scale in ("absolute", "relative"):
        fixed = TwoSidedTTest(a, b, FrequentistConfig(alpha=0.1, difference_type=scale)).compute_result()
        case("fixedHorizon", "gbstats TwoSidedTTest", {"kind": "mean", "arms": arms, "scale": scale, "alpha": 0.1},
             {"estimate": fixed.expected, "standardError": fixed.uplift.stddev, "pValue": fixed.p_value, "interval": fixed.ci})
        for tuned in (500, 5000):
            seq = SequentialTwoSidedTTest(a, b, SequentialConfig(difference_type=scale, sequential_tuning_parameter=tuned)).compute_result()
            case("alwaysValid", "gbstats SequentialTwoSidedTTest", {"kind": "mean", "arms": arms, "scale": scale, "tunedUnits": tuned},
                 {"pValue": seq.p_value, "interval": seq.ci})
        for proper in (False, True):
            bayes = EffectBayesianABTest(a, b, EffectBayesianConfig(
                difference_type=scale, prior_type=scale, prior_effect=GaussianPrior(0.01, 0.09, proper))).compute_result()
            case("chanceToWin", "gbstats EffectBayesianABTest", {"kind": "mean", "arms": arms, "scale": scale, "prior": {"mean": 0.01, "standardDeviation": 0.3} if proper else None},
                 {"chanceToWin": bayes.chance_to_win, "lossOfKeeping": bayes.risk[0], "lossOfShipping": bayes.risk[1], "mean": bayes.expected, "interval": bayes.ci})

    pre = [mean_of(v) for v in x]
    adjusted = [RegressionAdjustedStatistic(n=s.n, post_statistic=s, pre_statistic=p, post_pre_sum_of_products=arm["yx"], theta=0)
                for s, p, arm in zip((a, b), pre, arms)]
    theta = compute_theta(*adjusted)
    assert abs(theta - stats.linregress(np.concatenate(x), np.concatenate(y)).slope) < 1e-9
    for s in adjusted:
        s.theta = theta
    cuped = TwoSidedTTest(*adjusted, FrequentistConfig(difference_type="absolute")).compute_result()
    case("cuped", "gbstats RegressionAdjustedStatistic", {"kind": "mean", "arms": arms, "scale": "absolute"},
         {"theta": theta, "estimate": cuped.expected, "standardError": cuped.uplift.stddev, "pValue": cuped.p_value})
    # GrowthBook, "Technical CUPED details": the newer formula for lifts, on the raw units.
    cov = [np.cov(y[k], x[k]) for k in (0, 1)]
    mc, mt = y[0].mean(), y[1].mean()
    gt, gc = np.array([1, -theta]) / mc, np.array([-mt / mc, theta]) / mc
    case("cuped", "numpy, by GrowthBook's formula", {"kind": "mean", "arms": arms, "scale": "relative"},
         {"theta": theta, "estimate": cuped.expected / mc, "standardError": float(np.sqrt(gt @ cov[1] @ gt / nt + gc @ cov[0] @ gc / nc))})

    hits = [rng.random(n) < p for n, p in ((nc, 0.2), (nt, 0.23))]
    rate = [ProportionStatistic(n=len(h), sum=int(h.sum())) for h in hits]
    for scale in ("absolute", "relative"):
        fixed = TwoSidedTTest(*rate, FrequentistConfig(difference_type=scale)).compute_result()
        case("fixedHorizon", "gbstats TwoSidedTTest, proportions", {"kind": "rate", "arms": [{"units": r.n, "y": r.sum} for r in rate], "scale": scale, "alpha": 0.05},
             {"estimate": fixed.expected, "standardError": fixed.uplift.stddev, "pValue": fixed.p_value, "interval": fixed.ci})

    d = [rng.poisson(4, n) + 1 for n in (nc, nt)]
    m = [rng.binomial(d[k], rng.beta(6, 2, len(d[k]))) for k in (0, 1)]
    ratio_arms = [sums(y=m[k].astype(float), d=d[k].astype(float), x=x[k]) for k in (0, 1)]
    ratio = [RatioStatistic(n=len(d[k]), m_statistic=mean_of(m[k]), d_statistic=mean_of(d[k]), m_d_sum_of_products=float((m[k] * d[k]).sum())) for k in (0, 1)]
    for scale in ("absolute", "relative"):
        seq = SequentialTwoSidedTTest(*ratio, SequentialConfig(difference_type=scale)).compute_result()
        case("alwaysValid", "gbstats RatioStatistic", {"kind": "ratio", "arms": ratio_arms, "scale": scale, "tunedUnits": 5000}, {"pValue": seq.p_value, "interval": seq.ci})
        fixed = TwoSidedTTest(*ratio, FrequentistConfig(difference_type=scale)).compute_result()
        case("fixedHorizon", "gbstats RatioStatistic", {"kind": "ratio", "arms": ratio_arms, "scale": scale, "alpha": 0.05},
             {"estimate": fixed.expected, "standardError": fixed.uplift.stddev, "pValue": fixed.p_value, "interval": fixed.ci})
    requests = np.concatenate([np.r_[np.ones(k), np.zeros(n - k)] for k, n in zip(m[0], d[0])])
    ols = sm.OLS(requests, np.ones(len(requests))).fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(nc), d[0])})
    case("standardError", "statsmodels OLS, errors clustered by unit", {"kind": "ratio", "arm": ratio_arms[0]}, {"value": ols.params[0], "standardError": ols.bse[0]})
    # CUPED of ratios: regression of the linearised metric on the covariate, on the raw units.
    R = sum(v.sum() for v in m) / sum(v.sum() for v in d)
    D = sum(v.sum() for v in d) / (nc + nt)
    theta = stats.linregress(np.concatenate(x), np.concatenate([(m[k] - R * d[k]) / D for k in (0, 1)])).slope
    lin = [(m[k] - m[k].sum() / d[k].sum() * d[k]) / d[k].mean() - theta * (x[k] - x[k].mean()) for k in (0, 1)]
    gap = np.diff([m[k].sum() / d[k].sum() - theta * x[k].mean() for k in (0, 1)])[0]
    case("cuped", "scipy linregress on linearised units", {"kind": "ratio", "arms": ratio_arms, "scale": "absolute"},
         {"theta": theta, "estimate": gap, "standardError": float(np.sqrt(lin[0].var(ddof=1) / nc + lin[1].var(ddof=1) / nt))})

    # Quantile of clustered requests
    values = [np.exp(rng.normal(0, 1, len(d[k])).repeat(d[k]) * 0.6 + rng.normal(5, 0.5, d[k].sum())) for k in (0, 1)]
    unit = [np.arange(len(d[k])).repeat(d[k]) for k in (0, 1)]
    for nu in (0.5, 0.9):
        ordered = np.sort(values[0])
        n = len(ordered)
        z = stats.norm.ppf(0.975)
        low, high = n * (nu - z * np.sqrt(nu * (1 - nu) / n)), n * (nu + z * np.sqrt(nu * (1 - nu) / n))
        q, ql, qu = (float(ordered[int(i) - 1]) for i in (np.ceil(n * nu), np.floor(low), np.ceil(high)))
        s = np.bincount(unit[0], values[0] <= q)
        big = d[0].astype(float)
        clusters = {"units": nc, "s": float(s.sum()), "ss": float((s * s).sum()), "n": float(big.sum()), "nn": float((big * big).sum()), "sn": float((s * big).sum())}
        base = dict(n=n, n_star=n, nu=nu, quantile_hat=q, quantile_lower=ql, quantile_upper=qu)
        gb = QuantileClusteredStatistic(**base, main_sum=clusters["s"], main_sum_squares=clusters["ss"], denominator_sum=clusters["n"],
                                        denominator_sum_squares=clusters["nn"], main_denominator_sum_product=clusters["sn"], n_clusters=nc)
        given = {"level": nu, "values": n, "quantile": q, "lower": ql, "upper": qu}
        case("quantile", "gbstats QuantileStatistic", given, {"value": q, "standardError": float(np.sqrt(QuantileStatistic(**base).variance / n)), "ranks": [low, high]})
        case("quantile", "gbstats QuantileClusteredStatistic", {**given, "clusters": clusters}, {"value": q, "standardError": float(np.sqrt(gb.variance / n)), "ranks": [low, high]})

# Beta-Binomial, by numerical integration; the last two are the field's published ones
for a, b in (((200, 1000), (250, 1000)), ((42, 104), (500, 1009)), ((0, 12), (3, 9)), ((30, 30), (30, 30)), ((0, 0), (1, 1)), ((9000, 60000), (9200, 60000))):
    A, B = (stats.beta(1 + s, 1 + n - s) for s, n in (a, b))
    def on(f):
        edges = sorted({min(1, max(0, X.mean() + k * X.std())) for X in (A, B) for k in range(-12, 13)} | {0, 1})
        return sum(integrate.quad(f, p, q, epsabs=1e-15, epsrel=1e-13)[0] for p, q in zip(edges, edges[1:]))
    # E[(X − Y)⁺] = ∫ P(Y ≤ t < X) dt
    case("betaBinomial", "scipy.integrate.quad", [dict(zip(("successes", "units"), s)) for s in (a, b)],
         {"chanceToWin": on(lambda t: B.pdf(t) * A.cdf(t)), "lossOfShipping": on(lambda t: B.cdf(t) * A.sf(t)), "lossOfKeeping": on(lambda t: A.cdf(t) * B.sf(t))})

for units, weights in (([1000, 1000], [5000, 5000]), ([5050, 4950], [5000, 5000]), ([812, 161, 27], [8000, 1700, 300]), ([10400, 9600], [1, 1]), ([950, 1000, 1100, 985], [1, 1, 1, 1])):
    chi = stats.chisquare(units, np.array(weights) / sum(weights) * sum(units))
    assert abs(chi.pvalue - check_srm(units, weights)) < 1e-12
    case("sampleRatio", "scipy.stats.chisquare", {"units": units, "weights": weights}, {"statistic": chi.statistic, "pValue": chi.pvalue})

bh = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1]
for p in (bh, [0.04, 0.01, 0.03], [0.01, 0.01, 0.5], [0.2]):
    case("holm", "statsmodels multipletests", p, list(multipletests(p, method="holm")[1]))

for p1, p2 in ((0.1, 0.11), (0.05, 0.055), (0.2, 0.25)):
    sd = np.sqrt((p1 * (1 - p1) + p2 * (1 - p2)))
    case("requiredUnits", "statsmodels normal_sample_size_one_tail", {"design": {"control": {"rate": p1}}, "effect": p2 - p1},
         2 * normal_sample_size_one_tail(p2 - p1, 0.8, 0.025, std_null=sd))
    case("power", "statsmodels normal_power_het", {"design": {"control": {"rate": p1}}, "sizes": {"control": 3000, "treatment": 3000}, "effect": p2 - p1},
         normal_power_het(p2 - p1, 3000, 0.05, std_null=sd, std_alternative=sd, alternative="two-sided"))
case("requiredUnits", "statsmodels normal_sample_size_one_tail", {"design": {"control": {"value": 300, "variance": 14400}, "power": 0.9, "alpha": 0.01}, "effect": -7},
     2 * normal_sample_size_one_tail(7, 0.9, 0.005, std_null=np.sqrt(2 * 14400)))
case("power", "statsmodels normal_power_het", {"design": {"control": {"value": 300, "variance": 14400}}, "sizes": {"control": 2000, "treatment": 1000}, "effect": 11},
     normal_power_het(11, 2000, 0.05, std_null=120 * np.sqrt(3), std_alternative=120 * np.sqrt(3), alternative="two-sided"))

# 2 × 3 cells of unequal size and spread: saturated OLS, whose HC2 errors are s²/n of the cells
cells = [[rng.normal(10 + i + 2 * j + i * j, 1 + i + j, 30 + 20 * i + 7 * j) for j in range(3)] for i in range(2)]
values = np.concatenate([c for row in cells for c in row])
design = np.zeros((len(values), 6))
design[np.arange(len(values)), np.repeat(np.arange(6), [len(c) for row in cells for c in row])] = 1
fit = sm.OLS(values, design).fit(cov_type="HC2")
rows = {"rows": [[-1 / 3] * 3 + [1 / 3] * 3], "columns": [[-0.5, 0.5, 0, -0.5, 0.5, 0], [-0.5, 0, 0.5, -0.5, 0, 0.5]], "interactions": [[1, -1, 0, -1, 1, 0], [1, 0, -1, -1, 0, 1]]}
case("factorial", "statsmodels OLS with HC2 errors", [[sums(y=c) for c in row] for row in cells],
     {name: [[t.effect[0], t.sd[0][0]] for t in (fit.t_test(np.array(c)) for c in weights)] for name, weights in rows.items()})
together = fit.wald_test(np.array(rows["interactions"]), use_f=False, scalar=True)
case("interaction", "statsmodels OLS with HC2 errors, wald_test", [[sums(y=c) for c in row] for row in cells],
     {"statistic": together.statistic, "degreesOfFreedom": 2, "pValue": together.pvalue})

for successes, units in ((0, 15), (15, 15), (3, 40), (512, 1000)):
    case("wilson", "statsmodels proportion_confint", {"successes": successes, "units": units, "alpha": 0.05},
         list(proportion_confint(successes, units, 0.05, "wilson")))

for arms in ([(0.1, 0.02), (0.12, 0.02)], [(1, 1), (2, 0.01), (1.9, 0.3)], [(5, 2), (5, 2), (5, 2), (4, 1)], [(0, 1e-3), (4e-3, 1)]):
    def chance(i):
        edges = sorted({m + k * s for m, s in arms for k in np.arange(-9, 9.5, 0.5)})
        f = lambda t: stats.norm.pdf(t, *arms[i]) * np.prod([stats.norm.cdf(t, *o) for j, o in enumerate(arms) if j != i])
        return sum(integrate.quad(f, p, q, epsabs=1e-15, epsrel=1e-13)[0] for p, q in zip(edges, edges[1:]))
    case("chancesOfBeingBest", "scipy.integrate.quad", [dict(zip(("mean", "standardDeviation"), a)) for a in arms], [chance(i) for i in range(len(arms))])

print(json.dumps({"versions": "numpy 1.26.4, scipy 1.17.1, statsmodels 0.15.0, gbstats 0.8.0", "cases": cases}, indent=1, default=float))
