# Writes references-r.json: what R says about data whose sums the specs feed to this folder.
# Base R only; run with R 4.2.2:  Rscript references.R > references-r.json   and then prettier over it.

set.seed(20261123)
cases <- list()

json <- function(x) {
  if (is.null(x)) return("null")
  if (is.list(x) && !is.null(names(x))) {
    return(paste0("{", paste0('"', names(x), '":', vapply(x, json, ""), collapse = ","), "}"))
  }
  if (is.list(x)) return(paste0("[", paste(vapply(x, json, ""), collapse = ","), "]"))
  if (is.character(x)) return(paste0('"', x, '"'))
  numbers <- sprintf("%.17g", x)
  if (length(x) == 1) numbers else paste0("[", paste(numbers, collapse = ","), "]")
}

case <- function(what, source, given, expected) {
  cases[[length(cases) + 1]] <<- list(what = what, source = source, given = given, expected = expected)
}

sums <- function(y, x = NULL) {
  out <- list(units = length(y), y = sum(y), yy = sum(y * y))
  if (!is.null(x)) out <- c(out, list(x = sum(x), xx = sum(x * x), yx = sum(y * x)))
  out
}

# Distributions
xs <- c(-30, -8, -1.96, 0.01, 2.5)
case("normalCdf", "R pnorm", lapply(xs, list), pnorm(xs))
ps <- c(1e-9, 0.001, 0.05, 0.31, 0.95, 0.999)
case("normalQuantile", "R qnorm", lapply(ps, list), qnorm(ps))
ts <- list(c(0.5, 2), c(-2.2, 17.3), c(6, 1000), c(40, 5.5))
case("tTwoSided", "R pt", ts, vapply(ts, function(t) 2 * pt(-abs(t[1]), t[2]), 0))
tq <- list(c(0.975, 2), c(0.995, 17.3), c(0.05, 1000), c(0.9, 1.1))
case("tQuantile", "R qt", tq, vapply(tq, function(t) qt(t[1], t[2]), 0))
cs <- list(c(10.83, 1), c(3, 4), c(150, 6), c(0.02, 2))
case("chiSquareUpperTail", "R pchisq", cs, vapply(cs, function(c) pchisq(c[1], c[2], lower.tail = FALSE), 0))

# Two arms
for (sizes in list(c(25, 31), c(700, 200), c(4000, 4100))) {
  x <- lapply(sizes, function(n) rgamma(n, 4))
  y <- list(50 * x[[1]] + rgamma(sizes[1], 3, scale = 40), 52 * x[[2]] + rgamma(sizes[2], 3, scale = 40))
  arms <- lapply(1:2, function(k) sums(y[[k]], x[[k]]))
  welch <- t.test(y[[2]], y[[1]])
  case("welch", "R t.test", arms, list(
    statistic = welch$statistic, pValue = welch$p.value, df = welch$parameter, lower = welch$conf.int[1], upper = welch$conf.int[2]
  ))
  # CUPED: Welch's test on what a regression over all units leaves.
  theta <- unname(coef(lm(unlist(y) ~ unlist(x)))[2])
  left <- lapply(1:2, function(k) y[[k]] - theta * x[[k]])
  adjusted <- t.test(left[[2]], left[[1]])
  case("cuped", "R lm, t.test", list(kind = "mean", arms = arms, scale = "absolute"), list(
    theta = theta, estimate = mean(left[[2]]) - mean(left[[1]]), standardError = adjusted$stderr, pValue = adjusted$p.value
  ))
}

# One arm's rate
for (n in list(c(0, 20), c(20, 20), c(1, 9), c(37, 300), c(99990, 100000))) {
  for (level in c(0.95, 0.99)) {
    found <- suppressWarnings(prop.test(n[1], n[2], conf.level = level, correct = FALSE))$conf.int
    case("wilson", "R prop.test(correct = FALSE)", list(successes = n[1], units = n[2], alpha = 1 - level), c(found[1], found[2]))
  }
}

for (p in list(c(0.001, 0.02, 0.03, 0.04, 0.9), c(0.5, 0.01, 0.5, 0.012), c(1, 0))) case("holm", "R p.adjust", p, p.adjust(p, "holm"))

for (s in list(list(c(5100, 4900), c(1, 1)), list(c(900, 70, 30), c(90, 7, 3)), list(c(330, 350, 300, 20), c(33, 33, 32, 2)))) {
  chi <- chisq.test(s[[1]], p = s[[2]] / sum(s[[2]]))
  case("sampleRatio", "R chisq.test", list(units = s[[1]], weights = s[[2]]), list(statistic = chi$statistic, pValue = chi$p.value))
}

# All interactions at once: Wald's test, from the means of the cells, whose covariance is diagonal
for (size in list(c(2, 2), c(3, 2), c(3, 4))) {
  k <- size[1]
  m <- size[2]
  cells <- lapply(seq_len(k * m) - 1, function(at) rnorm(20 + 9 * at, 10 + at %/% m + 0.2 * (at %/% m) * (at %% m), 1 + at %% 3))
  contrasts <- kronecker(cbind(-1, diag(k - 1)), cbind(-1, diag(m - 1)))
  effects <- contrasts %*% vapply(cells, mean, 0)
  covariance <- contrasts %*% diag(vapply(cells, function(cell) var(cell) / length(cell), 0)) %*% t(contrasts)
  statistic <- mahalanobis(t(effects), rep(0, nrow(contrasts)), covariance)
  case("interaction", "R mahalanobis, pchisq",
    lapply(seq_len(k), function(i) lapply(seq_len(m), function(j) sums(cells[[(i - 1) * m + j]]))),
    list(statistic = statistic, degreesOfFreedom = nrow(contrasts), pValue = pchisq(statistic, nrow(contrasts), lower.tail = FALSE)))
}

cat(json(list(versions = "R 4.2.2", cases = cases)))
