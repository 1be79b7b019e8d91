# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-papermill,-execution
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version,-papermill,-widgets
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Small mean-reverting portfolios: how few assets revert, and does it pay to trade them?
#
# **You will** estimate a vector autoregression, split a panel of prices into canonical portfolios
# from the most to the least mean-reverting, search for the best portfolio of only a few assets
# (greedily, exhaustively, and with a certified bound by semidefinite programming), and take the
# result through thresholds, optimal exposure and trading costs to a strategy that is re-estimated
# as time goes on.
#
# **You will learn** why the first principal component is no answer to the question, how much
# mean reversion a search finds where there is none, which part of it is the rounding of quotes, and
# why costs prefer portfolios of few assets.
#
# **You need** linear algebra (generalised eigenvalues), the Ornstein-Uhlenbeck process, and Python.
# The chapter runs without a network on the ECB's reference rates; Treasury yields and swap rates are
# one parameter away.
#
# ```{admonition} The claim
# :class: important
# In {glue:text}`dataset` the least predictable of all portfolios has predictability
# {glue:text}`nu_train:.4f` up to {glue:text}`split_day` and {glue:text}`nu_test:.4f` afterwards. The
# p-value of the first number, against random walks searched in the same way, is
# {glue:text}`null_percent:.1f` per cent ([section](is-it-there)). Re-estimated through time and traded a
# day after each decision, portfolios of {glue:text}`cardinality` assets have a Sharpe ratio of
# {glue:text}`sharpe_gross:.2f` (standard error {glue:text}`sharpe_se:.2f`) before costs and
# {glue:text}`sharpe_net:.2f` at {glue:text}`cost_bp` basis points a unit
# ([section](does-it-pay)).
# ```

# %%
import timeit
from statistics import NormalDist

import numpy as np
import pandas as pd
import scipy.linalg
from IPython.display import display

from labkit import data, meanrev, ou, plots, published
from labkit.errors import SolverFailed
from labkit.experiments import published_sweep, record

# %% [markdown]
# ## Parameters
#
# One cell of plain literals for papermill; the next one refuses nonsense. Prices are logarithms of
# exchange rates, or yields, both in basis points (bp). The cost is an assumption, not a measurement:
# 0.1 bp of a logarithm is a hundred-thousandth of the notional, 0.1 bp of a yield is that times a
# duration. Figures show the whole range.

# %% tags=["parameters"]
dataset = "ecb_fx_reference_daily"  # a name in PANELS, the next cell
first_day = "1999-01-04"  # first day of the estimation sample
split_day = "2007-01-01"  # first day after the estimation sample
last_day = "2026-10-30"  # last day
cardinality = 3  # assets in a sparse portfolio
window = 1000  # days that a rolling estimate sees
every = 125  # days from one rolling estimate to the next
compared_from = 2000  # days of the panel before those on which windows are compared
cost_bp = 0.1  # cost of trading one unit of one asset, bp
penalty = 0.1  # of the lasso, as a share of the penalty that empties a column
n_null = 200  # simulated panels of random walks
seed = 7  # of everything random

# %%
PANELS = {  # table of the data set and the columns that have no gaps
    "ecb_fx_reference_daily": ("rates", "USD JPY GBP SEK CHF NOK CAD AUD NZD"),
    "us_treasury_par_yields_daily": ("treasury", "1Y 2Y 3Y 5Y 7Y 10Y 20Y"),
    "fed_h15_cmt_and_swaps_daily": ("swaps", "1Y 2Y 3Y 4Y 5Y 7Y 10Y 30Y"),
}
if dataset not in PANELS:
    raise ValueError(f"dataset must be one of {', '.join(PANELS)}, got {dataset!r}")
n_assets = len(PANELS[dataset][1].split())
days = pd.to_datetime([first_day, split_day, last_day], errors="coerce")
texts = all(isinstance(day, str) for day in (first_day, split_day, last_day))
if not texts or days.isna().any() or not days[0] < days[1] < days[2]:
    raise ValueError("first_day, split_day and last_day must be dates, in order")

# %%
counts = {
    "cardinality": 2,
    "window": 2 * n_assets,
    "every": 1,
    "compared_from": 0,
    "n_null": 20,
    "seed": 0,
}
for name, smallest in counts.items():
    value = globals()[name]
    if not isinstance(value, int) or value < smallest:
        raise ValueError(
            f"{name} must be a whole number from {smallest}, got {value!r}"
        )
if cardinality > n_assets:
    raise ValueError(f"cardinality must be at most {n_assets}, got {cardinality}")
for name, (least_, most) in {"cost_bp": (1e-6, 100), "penalty": (0, 0.99)}.items():
    value = globals()[name]
    if not isinstance(value, int | float) or not least_ <= value <= most:
        raise ValueError(f"{name} must be from {least_} to {most}, got {value!r}")
record(dataset=dataset, split_day=split_day, cardinality=cardinality)
record(cost_bp=cost_bp, window=window, every=every, penalty=penalty)
record(null_error=100 * np.sqrt(0.25 / n_null))

# %% [markdown]
# ## Why it matters: the result first
#
# Statistical arbitrage wants a portfolio whose value returns to its mean. Cointegration tests find
# some, in all the assets at once; {cite:t}`daspremont_2011` asked for *small* ones: portfolios of a
# few assets, which are cheap to trade and possible to understand, and as mean-reverting as their
# size allows. The question is a sparse generalised eigenvalue problem, NP-hard in general, and the
# paper attacks it greedily and by semidefinite relaxation. Its results are figures on swap and
# exchange rates. This chapter rebuilds the method and asks of its answers: how much of the mean
# reversion found is there, how much is the search itself and the rounding of quotes, and how much
# is left after costs.

# %%
session = data.load(dataset)
session

# %%
DECIMALS = 6  # of a quote: what is behind them is binary rounding


def basis_points(name, first, last):
    """Quotes of a data set in basis points, and the grid they are quoted on."""
    table, columns = PANELS[name]
    quotes = data.load(name)[table][columns.split()].loc[first:last].dropna()
    grid = quotes.apply(lambda q: np.diff(np.unique(q.round(DECIMALS))).min())
    if table == "rates":
        return 1e4 * np.log(quotes), 1e4 * grid / quotes.mean()
    return 100 * quotes, 100 * grid  # yields, in percent


panel, tick = basis_points(dataset, first_day, last_day)
train, test = panel[panel.index < split_day], panel[panel.index >= split_day]
if min(len(train), len(test)) < 500 or window > len(panel) // 2:
    raise ValueError(
        "split_day must leave 500 days on each side, window half of all"
    )
before, after = meanrev.var(train), meanrev.var(test)
record(n_train=len(train), n_test=len(test), n_assets=n_assets)

# %%
ROUNDING = 1 / 12  # variance of a rounding error, in squared steps of the grid


def wander(panel, tick, random):
    """Random walks with the covariance of daily changes and the grid of a panel."""
    covariance = panel.diff().iloc[1:].cov() - 2 * ROUNDING * np.diag(tick**2)
    variances, axes = np.linalg.eigh(covariance)
    steps = random.normal(size=panel.shape) * np.sqrt(np.maximum(variances, 0))
    return (
        np.round((steps @ axes.T).cumsum(axis=0) / tick.to_numpy())
        * tick.to_numpy()
    )


# %%
sizes = range(1, n_assets + 1)
best = {k: meanrev.exhaustive(before, k) for k in sizes}
random = np.random.default_rng(seed)
walks = [meanrev.var(wander(train, tick, random)) for _ in range(n_null)]
null = pd.DataFrame(
    [[meanrev.exhaustive(walk, k).predictability for k in sizes] for walk in walks],
    columns=sizes,
)
by_size = pd.DataFrame(
    {
        "best in sample": [best[k].predictability for k in sizes],
        "the same weights afterwards": [
            after.predictability(best[k].weights) for k in sizes
        ],
        "best in random walks": null.median(),
    },
    index=sizes,
)
p_value = (1 + (null <= by_size["best in sample"]).sum()) / (1 + n_null)

# %%
record(
    nu_train=by_size.iloc[-1, 0],
    nu_test=by_size.iloc[-1, 1],
    nu_null=by_size.iloc[-1, 2],
    null_percent=100 * p_value[n_assets],
    nu_size=by_size.loc[cardinality].iloc[0],
    nu_size_test=by_size.loc[cardinality].iloc[1],
    null_size_percent=100 * p_value[cardinality],
)
plots.lines(
    by_size,
    band={by_size.columns[2]: (null.quantile(0.05), null.quantile(0.95))},
    x="assets in the portfolio",
    y="predictability",
    caption=f"The least predictable portfolio of each size in {dataset} before "
    f"{split_day}, the same weights after it, and what the same search finds in "
    f"{n_null} panels of random walks with the same daily covariance and the same "
    "rounding (median, 5 to 95 per cent).",
    alt="Three curves of predictability against size, with all assets "
    + ", ".join(f"{name} {value:.3f}" for name, value in by_size.iloc[-1].items()),
)

# %% [markdown]
# ## Model
#
# The rows $S_t \in \mathbb{R}^n$ of the panel, with their mean taken off, follow
#
# ```{math}
# :label: eq-var
# S_t = S_{t-1} A + Z_t ,
# ```
#
# with shocks $Z_t$ uncorrelated with the past. A portfolio of $x_i$ units of asset $i$ is worth
# $P_t = S_t x$. Its variance is $x^\top \Gamma x$ with $\Gamma = \mathbb{E}[S_t^\top S_t]$, and the
# part of it that yesterday's prices forecast is $x^\top A^\top \Gamma A x$. {cite:t}`box_tiao_1977`
# call their ratio the predictability,
#
# ```{math}
# :label: eq-nu
# \nu(x) = \frac{x^\top A^\top \Gamma A\, x}{x^\top \Gamma\, x} .
# ```
#
# A random walk has $\nu = 1$, white noise 0. If $x$ is an eigenvector of $A$ with eigenvalue
# $\varphi$ then $P_t$ is an AR(1) process, $\nu = \varphi^2$, and with $\varphi = e^{-\theta\,dt}$
# it is an Ornstein-Uhlenbeck process sampled at steps $dt$, whose half-life is
# $\ln 2 / \theta = -2\, dt \ln 2 / \ln \nu$. The stationary points of $\nu$ are the generalised
# eigenvectors
#
# ```{math}
# :label: eq-pencil
# A^\top \Gamma A\, x = \nu\, \Gamma\, x ,
# ```
#
# Box and Tiao's canonical portfolios: uncorrelated with one another, from the most mean-reverting
# to the most persistent. Multiplying an asset by a constant changes neither $\nu$ nor which assets
# a portfolio holds. A portfolio of at most $k$ assets solves
#
# ```{math}
# :label: eq-sparse
# \min_x\ \nu(x) \quad \text{subject to } \operatorname{Card}(x) \le k .
# ```
#
# For a given support it is {eq}`eq-pencil` again, on fewer rows and columns; the difficulty is in
# the choice of the support.
#
# **The relaxation.** With $X = x x^\top$, the constraint $\operatorname{Card}(x) \le k$ implies
# $\sum_{ij} |X_{ij}| \le k \operatorname{Tr} X$ (Cauchy-Schwarz). Dropping the rank of $X$ and
# dividing by $\operatorname{Tr} \Gamma X$ leaves a semidefinite programme
# {cite:p}`daspremont_2011`,
#
# ```{math}
# :label: eq-sdp
# \min_{Y \succeq 0} \operatorname{Tr}(A^\top \Gamma A\, Y) \quad \text{subject to }
# \operatorname{Tr}(\Gamma Y) = 1,\ \textstyle\sum_{ij} |Y_{ij}| \le k \operatorname{Tr} Y ,
# ```
#
# whose value is below that of {eq}`eq-sparse`. A solver stops at a tolerance, so labkit does not
# report that value as the bound. It takes the dual matrix $U$ of the last constraint, with
# $\rho = \max_{ij} |U_{ij}|$, and returns the least generalised eigenvalue of
# $(A^\top \Gamma A + U - \rho k I,\ \Gamma)$ for assets scaled to unit variance. Since
# $x^\top U x \le \rho \lVert x \rVert_1^2 \le \rho k\, x^\top x$ when $x$ has $k$ nonzero entries,
# that is below $\nu(x)$ for all of them, whatever the solver did.
#
# **Assumptions.** (1) One lag; coefficients constant over the sample. (2) The mean is that of the
# sample; in a trading rule it is that of the window seen so far. (3) Quotes can be traded at: not so
# for a fixing or a fitted curve, which is why [costs](does-it-pay) are charged on every unit. (4) No
# carry: a position in a rate is counted in its basis points, without roll-down, interest or margin.
#
# | symbol | in the code | unit | default | source |
# |---|---|---|---|---|
# | $S_t$ | `panel` | bp | | data |
# | $A$, $\Gamma$ | `model.transition`, `.covariance` | 1, bp² | | {eq}`eq-var` |
# | $x$ | `portfolio.weights` | units, $\lVert x \rVert = 1$ | | {eq}`eq-sparse` |
# | $\nu$ | `portfolio.predictability` | 1 | | {eq}`eq-nu` |
# | $k$ | `cardinality` | assets | 3 | |
# | $\theta$, $\mu$, $\sigma$ | `fit.theta`, `.mu`, `.sigma` | 1/day, bp, bp/√day | | {eq}`eq-ou` |
# | $c$ | `cost_bp` | bp a unit | 0.1 | an assumption |
#
# **Reproduced here:** Box-Tiao eigenvalues and subset optima of a public data set; the instances of
# {cite:t}`bertram_2010` and {cite:t}`leung_li_2015` that are in circulation; the predictabilities of
# seven Treasury yields. **Not reproduced:** d'Aspremont's figures, whose swap and exchange-rate data
# are proprietary and which come without a table. Everything from [thresholds](from-portfolio) on
# extends his paper and belongs to other authors, who are named there.

# %% [markdown]
# ## Known truth first
#
# A panel of five random walks hides one mean-reverting combination of three of them. Box and Tiao's
# first portfolio must be it. The first principal component maximises $x^\top \Gamma x$, and what
# varies most in a panel of prices is what wanders most. The last component is what varies least. That is the planted portfolio here, until
# one price is quoted in dollars and the others in cents. The predictability knows nothing of units.

# %%
truth = data.simulate_basket(seed)
planted = truth["planted"]["weight"]
known = meanrev.var(truth["prices"])
unit = pd.Series(1.0, planted.index)
unit[planted.abs().idxmin()] = 0.01  # one price in dollars, the others in cents
mixed = meanrev.var(truth["prices"] * unit)

# %% tags=["keep_output", "nbval-check-output"]
found = pd.DataFrame(
    {
        "planted": planted,
        "Box-Tiao, first": meanrev.box_tiao(known)[0].weights,
        "Box-Tiao, mixed units": meanrev.box_tiao(mixed)[0].weights * unit,
        "backward to 3 assets": meanrev.greedy(
            known, 3, direction="backward"
        ).weights,
        "semidefinite, 3 assets": meanrev.semidefinite(known, 3).weights,
        "forward to 3 assets": meanrev.greedy(known, 3).weights,
        "principal component, first": meanrev.pca(known)[0].weights,
        "principal component, last": meanrev.pca(known)[-1].weights,
        "the last, mixed units": meanrev.pca(mixed)[-1].weights * unit,
    }
).T
found = found.div(np.linalg.norm(found, axis=1), axis=0)
cosine = (found @ planted).abs()
found["predictability"] = [known.predictability(row) for row in found.to_numpy()]
found["|cosine|"] = cosine
assert (cosine.iloc[:5] > 0.99).all()
found.round(3)

# %% [markdown]
# ```{admonition} What was known when
# :class: note
# The portfolios of the first figure are chosen on data before {glue:text}`split_day` and judged on
# data after it. In the strategy below an estimate sees the {glue:text}`window` days up to its
# decision and nothing later, and a position decided on one day's quotes is traded at the *next*
# day's. Tests permute all later prices and find every earlier weight and position unchanged.
# ```
#
# ## Method
#
# Least squares, one generalised eigenproblem, and a loop: the canonical portfolios and the greedy
# search by hand.

# %%
TOLERANCE = 1e-8  # relative, between the results by hand and those of labkit


def pencil_by_hand(prices):
    """The two matrices of the predictability, from rows of prices."""
    levels = prices - prices.mean(axis=0)
    transition = np.linalg.lstsq(levels[:-1], levels[1:], rcond=None)[0]
    covariance = levels.T @ levels / (len(levels) - 1)
    return transition.T @ covariance @ transition, covariance


def least(predicted, covariance, support):
    """The least predictability of the portfolios of some assets."""
    at = np.ix_(support, support)
    return scipy.linalg.eigh(predicted[at], covariance[at], eigvals_only=True)[0]


# %%
START = ()  # the search begins with no asset


def greedy_by_hand(predicted, covariance):
    """Assets in the order in which they lower the predictability, and its path."""
    order, path, rest = [*START], [], list(range(len(predicted)))
    while rest:
        trials = [least(predicted, covariance, [*order, i]) for i in rest]
        path.append(min(trials))
        order.append(rest.pop(int(np.argmin(trials))))
    return order, path


# %% [markdown]
# Held against `labkit`, whose greedy search keeps the eigenvalues of the support it has, and
# finds the effect of each further asset from one secular equation instead of a new decomposition:

# %%
matrices = pencil_by_hand(train.to_numpy())
order, path = greedy_by_hand(*matrices)
greedy = meanrev.greedy_path(before)
np.testing.assert_allclose([p.predictability for p in greedy], path, rtol=TOLERANCE)
assert set(greedy[2].support) == {panel.columns[i] for i in order[:3]}
wide = np.random.default_rng(seed).normal(size=(400, 30)).cumsum(axis=0)
large = meanrev.var(wide)
pencil = pencil_by_hand(wide)
seconds = [
    min(timeit.repeat(search, number=1, repeat=3))
    for search in (
        lambda: meanrev.greedy_path(large),
        lambda: greedy_by_hand(*pencil),
    )
]
print(f"30 assets: labkit takes {seconds[0] / seconds[1]:.3f} of the time by hand")

# %% [markdown]
# ## The canonical portfolios, and what the rounding of quotes makes of them
#
# Quotes come on a grid. Rounding adds to each asset a nearly independent error of variance
# $\Delta^2 / 12$, white noise whose predictability is zero. A portfolio of weights $x$ carries
# $\sum_i x_i^2 \Delta_i^2 / 12$ of it, and when the true variance of the portfolio is small that
# error is what reverts to the mean. The share of rounding in the variance says where this begins.

# %%
DAY = 1.0  # between two rows


def modes(panel, tick):
    """Canonical portfolios: predictability, half-life, size, share of rounding."""
    model = meanrev.var(panel, dt=DAY)
    found = meanrev.box_tiao(model)
    weights = np.array([portfolio.weights for portfolio in found])
    variance = np.einsum("ij,jk,ik->i", weights, model.covariance, weights)
    return pd.DataFrame(
        {
            "predictability": [portfolio.predictability for portfolio in found],
            "half-life, days": [portfolio.half_life for portfolio in found],
            "deviation, bp": np.sqrt(variance),
            "rounding, % of variance": 100
            * ROUNDING
            * (weights**2 @ tick**2)
            / variance,
        },
        index=pd.RangeIndex(1, len(found) + 1, name="portfolio"),
    )


# %% tags=["keep_output", "nbval-check-output"]
canonical = modes(train, tick)
canonical.round(4)

# %%
record(
    first_half_life=canonical.iloc[0, 1],
    first_deviation=canonical.iloc[0, 2],
    first_rounding=canonical.iloc[0, 3],
)

# %% [markdown]
# The half-lives are those of the AR(1) with $\varphi = \sqrt\nu$. For the first portfolio of
# {glue:text}`dataset` that is {glue:text}`first_half_life:.1f` days; it has a standard deviation of {glue:text}`first_deviation:.2f` bp, and
# {glue:text}`first_rounding:.2f` per cent of its variance is rounding. How bad it can get, on a
# curve with known truth: three factors that wander and nothing that reverts, quoted in whole basis
# points. Without rounding the covariance has rank three; with it, every other canonical portfolio is
# the rounding itself.

# %% tags=["keep_output", "nbval-check-output"]
tenors = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 30.0])
hump = np.exp(-tenors / 3.0)
loadings = np.column_stack([np.ones(7), hump, tenors / 3 * hump])
shocks = np.random.default_rng(seed).normal(size=(2000, 3)) * [3.0, 4.0, 5.0]
curve = pd.DataFrame(400 + shocks.cumsum(axis=0) @ loadings.T).round()
rounded = modes(curve, pd.Series(np.ones(7)))
assert (rounded["predictability"].iloc[:4] < 0.05).all()
rounded.round(3)

# %% [markdown]
# Beside it, the other panels that are at hand, over 1998 to 2005 or the part of it that they cover:

# %%
shown = {dataset: canonical}
for name in PANELS:
    if name != dataset and data.available(name):
        shown[name] = modes(*basis_points(name, "1998", "2005"))
pd.concat(shown).groupby(level=0).head(3).round(4)

# %% [markdown]
# Where the swap panel is at hand it shows the trap: its first portfolio, a butterfly of neighbouring
# tenors, is half a basis point wide and gone within a day, and much of its variance is the last
# digit of the quotes. The Treasury's yields come off a fitted curve, so theirs is partly the fit.
#
# (is-it-there)=
# ## Is it there at all?
#
# A search over portfolios finds mean reversion in anything. Of random walks too the least predictable
# combination has $\nu$ well below one, by an amount that depends on the number of assets and days,
# on the covariance of the daily changes for sparse portfolios, and on the rounding. So the observed
# value is held against the same search on simulated walks with that covariance and on that grid: by
# Monte Carlo, a test of no cointegration. With $m$ of $B$ walks at or below the observed value the
# p-value is $(1 + m) / (1 + B)$, with a standard error of at most {glue:text}`null_error:.1f` per
# cent.

# %% tags=["keep_output", "nbval-check-output"]
observed = by_size["best in sample"]
futures = [meanrev.var(wander(test, tick, random)) for _ in range(n_null)]
fixed = {  # the same weights, in walks that come after
    k: np.quantile(
        [walk.predictability(best[k].weights.to_numpy()) for walk in futures], 0.05
    )
    for k in sizes
}
pd.DataFrame(
    {
        "in sample": observed,
        "walks, 5 %": null.quantile(0.05),
        "walks, median": null.median(),
        "p-value": p_value,
        "afterwards": by_size["the same weights afterwards"],
        "walks, 5 %, afterwards": fixed,
    }
).rename_axis("assets").round(4)

# %% [markdown]
# With all assets the predictability is {glue:text}`nu_train:.4f` against a median of
# {glue:text}`nu_null:.4f` in walks. With {glue:text}`cardinality` it is {glue:text}`nu_size:.4f`, and
# its p-value is {glue:text}`null_size_percent:.1f` per cent. The column *afterwards* is the honest
# one: the weights were fixed before {glue:text}`split_day`, and afterwards they have
# {glue:text}`nu_test:.4f` and {glue:text}`nu_size_test:.4f`. Nothing was searched there, so the
# yardstick beside it is the same portfolio in random walks of that length, of which one in twenty
# falls below.
#
# ## Greedy, exhaustive, and the bound
#
# Greedy starts from the least predictable single asset and is bound by that choice forever. Swaps
# repair some of it: exchange one member for one outsider as long as it helps. Backward elimination
# starts from all assets, and takes out the one that is missed least. The relaxation {eq}`eq-sdp`
# gives a portfolio too, and a number that no portfolio of that size can beat.

# %% tags=["keep_output", "nbval-check-output"]
search = pd.DataFrame(index=pd.Index(sizes, name="assets"))
relaxed = {k: meanrev.semidefinite(before, k) for k in sizes}
search["greedy"] = [p.predictability for p in greedy]
search["with swaps"] = [
    meanrev.greedy(before, k, swaps=True).predictability for k in sizes
]
search["backward"] = [
    meanrev.greedy(before, k, direction="backward").predictability for k in sizes
]
search["semidefinite"] = [relaxed[k].predictability for k in sizes]
search["exhaustive"] = observed
search["bound"] = [relaxed[k].bound for k in sizes]
found = search.drop(columns="exhaustive")
assert (search["bound"] <= search["exhaustive"]).all()
assert (
    found.drop(columns="bound").min(axis=1) > search["exhaustive"] - 1e-12
).all()
search.round(4)

# %% [markdown]
# ## Estimation with a penalty
#
# {cite:t}`daspremont_2011` estimates $A$ by penalised regression {cite:p}`tibshirani_1996` and
# $\Gamma^{-1}$ by covariance selection {cite:p}`friedman_2008`, so that the panel falls apart into
# groups of assets that can be searched separately. The penalty is not innocent here. Shrinking $A$
# towards zero makes *every* asset look more mean-reverting than it is; shrinking it towards a random
# walk does not. The table holds the portfolio chosen under each penalty against the data that came
# after it.

# %% tags=["keep_output", "nbval-check-output"]
strengths = sorted({0.0, penalty / 4, penalty / 2, penalty, (1 + penalty) / 2})
rows = {}
for toward in ("zero", "random walk"):
    for strength in strengths:
        shrunk = meanrev.penalized_var(train, strength, toward=toward)
        chosen = meanrev.exhaustive(shrunk, cardinality)
        rows[toward, strength] = {
            "zeros in A, %": 100 * (shrunk.transition == 0).mean(),
            "claimed": chosen.predictability,
            "in sample": before.predictability(chosen.weights),
            "afterwards": after.predictability(chosen.weights),
            "assets": ", ".join(chosen.support),
        }
penalized = pd.DataFrame(rows).T.rename_axis(["towards", "penalty"])
penalized.infer_objects().round(4)

# %% tags=["keep_output", "nbval-check-output"]
groups = {}
for strength in sorted({penalty, 0.5, 0.9}):
    shrunk = meanrev.penalized_var(train, strength, toward="random walk")
    try:
        selected = meanrev.covariance_selection(shrunk, strength)
    except SolverFailed:
        groups[strength] = "no solution: the prices are too nearly collinear"
        continue
    names = [", ".join(group) for group in meanrev.clusters(selected)]
    groups[strength] = " | ".join(names)
pd.Series(groups, name="groups").rename_axis("penalty").to_frame()

# %% [markdown]
# ## Other measures of mean reversion
#
# A model of one lag sees one day: where prices have a longer memory, a portfolio with little to do
# with yesterday may still drift for weeks, and one that reverts at once may be too small to trade.
# {cite:t}`cuturi_daspremont_2013` therefore minimise one of three proxies
# (predictability; a portmanteau statistic, the sum of squared autocovariances; a crossing statistic,
# for a Gaussian AR(1) the rate of crossing the mean is $\arccos(\rho_1)/\pi$) over portfolios with
# $\lVert x \rVert = 1$ whose variance is at least a threshold. Here the threshold is a quarter of
# the median variance of the assets.

# %% tags=["keep_output", "nbval-check-output"]
floor = 0.25 * float(np.median(np.diag(before.covariance)))
rows = {}
for proxy in ("predictability", "portmanteau", "crossing"):
    chosen = meanrev.variance_threshold(train, proxy, floor)
    for period, prices in (("before", train), ("after", test)):
        value = chosen.value(prices)
        rows[proxy, period] = {
            "deviation, bp": value.std(),
            "predictability": meanrev.var(value.to_frame("x")).predictability(
                [1.0]
            ),
            "portmanteau, 5 lags": meanrev.portmanteau(value, 5),
            "crossings, % of days": 100 * meanrev.crossing_rate(value),
        }
pd.DataFrame(rows).T.rename_axis(["proxy", "period"]).round(
    {
        "deviation, bp": 0,
        "predictability": 3,
        "portmanteau, 5 lags": 3,
        "crossings, % of days": 1,
    }
)

# %% [markdown]
# (from-portfolio)=
# ## From portfolio to process
#
# The value $P_t$ of the chosen portfolio is read as an Ornstein-Uhlenbeck process,
#
# ```{math}
# :label: eq-ou
# dP_t = \theta (\mu - P_t)\,dt + \sigma\, dW_t ,
# ```
#
# whose samples are exactly an AR(1), so that its likelihood is known in closed form. The estimate of
# $\theta$ is biased upwards by about $4/T$ even with the right weights {cite:p}`tang_chen_2009`, and
# by more when the weights were searched for on the same data. The Dickey-Fuller p-value in the table
# knows nothing of that search: judge it by the section before.

# %% tags=["keep_output", "nbval-check-output"]
small = best[cardinality]
fits = {
    "before": ou.fit(small.value(train)),
    "after": ou.fit(small.value(test)),
}
pd.DataFrame(
    {
        period: {
            "theta, 1/day": fit.theta,
            "its s.e.": fit.theta_se,
            "less bias": fit.theta_corrected,
            "mu, bp": fit.mu,
            "sigma, bp/sqrt(day)": fit.sigma,
            "half-life, days": fit.half_life,
            "from": fit.half_life_interval[0],
            "to": fit.half_life_interval[1],
            "unit-root p-value": fit.unit_root_pvalue,
        }
        for period, fit in fits.items()
    }
).round(4)

# %% [markdown]
# ### Thresholds: when to enter and leave
#
# {cite:t}`bertram_2010` buys at $a$, sells at $m$, pays $c$ for the two trades, and starts again.
# The profit per unit of time is $(m - a - c) / \mathbb{E}[T]$, and the mean time of a cycle is known,
#
# ```{math}
# :label: eq-cycle
# \mathbb{E}[T] = \frac{\pi}{\theta} \left[ \operatorname{erfi}(z_m) - \operatorname{erfi}(z_a) \right] ,
# \qquad z_x = (x - \mu) \sqrt{\theta} / \sigma ,
# ```
#
# so the best thresholds are a root of one equation, symmetric about $\mu$. {cite:t}`leung_li_2015`
# ask a different question, one trade and a discount rate: at which level to sell (and at which to
# give up), and at which level it is worth waiting to buy. What they discount is the price itself, so
# their levels depend on where its zero is: here it is $\mu$, as for a margined position, and the rate
# is 0.0001 a day. For $\theta$ and $\sigma$ as fitted before {glue:text}`split_day`, in stationary
# standard deviations from $\mu$, for a quarter of the cost up to sixteen times it (left out
# where a cycle would practically never end):

# %% tags=["keep_output", "nbval-check-output"]
fit = fits["before"]
spread_sd = fit.sigma / np.sqrt(2 * fit.theta)
per_trade = cost_bp * np.abs(small.weights).sum()
rows = {}
for times in (0.25, 1, 4, 16):
    try:
        cycle = ou.bertram_thresholds(
            fit.theta, 0.0, fit.sigma, 2 * per_trade * times
        )
    except ValueError:  # thresholds beyond reach
        continue
    levels = ou.leung_li_levels(
        fit.theta, 0.0, fit.sigma, rate=1e-4, cost=per_trade * times
    )
    rows[cost_bp * times] = {
        "Bertram entry": cycle.entry / spread_sd,
        "cycle, days": cycle.expected_cycle,
        "its deviation": np.sqrt(cycle.variance_cycle),
        "profit, bp a year": 252 * cycle.expected_return,
        "Leung-Li entry": levels.entry / spread_sd if levels.entry else np.nan,
        "Leung-Li exit": levels.exit / spread_sd,
    }
pd.DataFrame(rows).T.rename_axis("cost, bp a unit").round(3)

# %% [markdown]
# The profit is what the *model* promises. In the model the probability of having crossed $\mu$ by time
# $t$ has a closed form by reflection, held here against simulated paths; a path that is looked at now
# and then crosses late, for which its barrier is moved by $0.5826\, \sigma \sqrt{\delta}$ at looks
# $\delta$ apart {cite:p}`broadie_1997`. Out of the model, the same weights had a half-life of
# {glue:text}`half_life_before:.0f` days before {glue:text}`split_day` and
# {glue:text}`half_life_after:.0f` after it.

# %%
start = 2 * spread_sd
days = np.unique(np.round(np.linspace(1, 4 * fit.half_life, 40)))
passed = [
    ou.first_passage_probability(fit.theta, 0.0, fit.sigma, start, day)
    for day in days
]
fine = 20  # steps a day
paths = ou.simulate(
    fit.theta,
    0.0,
    fit.sigma,
    dt=1 / fine,
    n_steps=int(days[-1]) * fine,
    n_paths=2000,
    start=start,
    seed=seed,
)
barrier = 0.5826 * fit.sigma / np.sqrt(fine)
crossed = np.maximum.accumulate(paths <= barrier, axis=1).mean(axis=0)
passage = pd.DataFrame(
    {"closed form": passed, "simulated": crossed[(days * fine).astype(int)]},
    index=days,
)
plots.lines(
    passage,
    x="days",
    y="probability",
    caption="Probability that the portfolio has returned to its mean from two "
    "deviations: closed form, and 2,000 simulated paths seen 20 times a day "
    "(standard error at most 0.011).",
    alt="Two curves that rise together from zero towards one.",
)

# %% [markdown]
# ### How much to hold: CARA and the tangency portfolio
#
# An investor with constant absolute risk aversion $\gamma$ and normal price changes of mean $m$ and
# covariance $\Sigma$ maximises $x^\top m - \tfrac{\gamma}{2} x^\top \Sigma x$ and holds
# $x = \Sigma^{-1} m / \gamma$ {cite:p}`merton_1969`. The tangency portfolio {cite:p}`sharpe_1964` is the
# same mix scaled to sum to one: it answers which mix, not how much. That needs a positive sum. Where
# the weights of $\Sigma^{-1} m$ add up to less than nothing, scaling by the sum would hold the opposite
# portfolio, the one with the *lowest* Sharpe ratio, and labkit refuses. For spreads, whose weights
# add up to little, the tangency portfolio is therefore the wrong tool. Here $m$ is what the
# autoregression forecasts on the last day of the estimation sample.

# %% tags=["keep_output", "nbval-check-output"]
level = (train - before.mean).to_numpy()
surprise = level[1:] - level[:-1] @ before.transition
risk = np.cov(surprise.T)
forecast = level[-1] @ before.transition - level[-1]
held = meanrev.cara_weights(forecast, risk, risk_aversion=1.0)
slope = forecast - risk @ held  # the gradient of the objective
assert np.abs(slope).max() < 1e-10 * np.abs(forecast).max()
if held.sum() > 0:
    mix = meanrev.sharpe_weights(forecast, risk)
    np.testing.assert_allclose(mix, held / held.sum())
ratio = forecast @ held / np.sqrt(held @ risk @ held)
one = small.weights.to_numpy()
pd.Series(
    {
        "Sharpe ratio of one day, all assets": ratio,
        f"the same, the portfolio of {cardinality}": abs(forecast @ one)
        / np.sqrt(one @ risk @ one),
        "units held, per bp of daily risk": np.abs(held).sum() / ratio,
        "their sum: a tangency portfolio exists if positive": held.sum() / ratio,
    }
).round(4).to_frame("value")

# %% [markdown]
# ### Trading when trading costs
#
# The myopic rule above trades the whole way to each day's optimum.
# {cite:t}`garleanu_pedersen_2013` solve the problem over all future days with quadratic costs
# $\tfrac12 \Delta x^\top \Lambda \Delta x$: trade a fixed part of the way towards an aim that is
# less than today's optimum, for the signal will have faded before the cost is earned. Without costs
# that is the myopic rule, with infinite costs no trade at all. Proportional costs have no closed
# form; there the plan over a horizon is a convex programme, of which the first trade is made and the
# rest thrown away. The portfolio of {glue:text}`cardinality` assets on the first 500 days after
# {glue:text}`split_day`, in units of its daily deviation, with the process as fitted before. The rule
# for quadratic costs uses $\Lambda = 2 c\, \Sigma$, at which a trade of one unit costs what it does at
# the proportional cost $c$; all rules are then charged the proportional cost. Bertram's thresholds
# say when and not how much: that rule holds what the myopic one does at one stationary deviation.

# %%
record(
    half_life_before=fits["before"].half_life,
    half_life_after=fits["after"].half_life,
)
# In units of the deviation of a day's shock: signal, loadings and decay, risk.
unit = fit.sigma * np.sqrt((1 - fit.phi**2) / (2 * fit.theta))
gap = ((small.value(test) - fit.mu) / unit).iloc[:500]
signal, unit_cost = gap.to_frame(), per_trade / unit
pull = np.array([[1 - fit.phi]])
problem = (-pull, pull, np.eye(1))
rules = {
    name: meanrev.garleanu_pedersen(
        *problem, risk_aversion=1.0, quadratic_cost=price
    ).positions(signal)[0]
    for name, price in (("myopic (CARA)", 0.0), ("quadratic costs", 2 * unit_cost))
}
rules["proportional costs"] = meanrev.replan(
    signal, *problem, horizon=20, risk_aversion=1.0, cost=unit_cost
)[0]
cycle = ou.bertram_thresholds(fit.theta, 0.0, fit.sigma, 2 * per_trade)
state = meanrev.threshold_positions(gap, cycle.entry / unit, cycle.exit / unit)
rules["thresholds (Bertram)"] = (1 - fit.phi) * spread_sd / unit * state

# %%
plots.steps(
    pd.DataFrame(rules).iloc[:250].set_axis(range(1, 251)),
    x=f"days after {split_day}",
    y="units of the portfolio",
    level=(0.0, ""),
    caption=f"What four rules hold of the portfolio of {cardinality} assets in "
    f"{dataset}; a unit is one day's standard deviation, its cost "
    f"{unit_cost:.3f} of that.",
    alt="Four step curves of position over 250 days; rules with costs move less.",
)

# %% tags=["keep_output", "nbval-check-output"]
rows, myopic = {}, None
for name, position in rules.items():
    account = meanrev.profit_and_loss(
        position.rename("portfolio"), gap.rename("portfolio"), cost=unit_cost
    )
    myopic = account["net"] if myopic is None else myopic
    rows[name] = {
        "traded a day": account["turnover"].mean(),
        "gross": account["gross"].sum(),
        "cost": account["cost"].sum(),
        "net": account["net"].sum(),
        "net less myopic": (account["net"] - myopic).sum(),
        "its deviation": (account["net"] - myopic).std() * np.sqrt(len(account)),
    }
pd.DataFrame(rows).T.rename_axis("rule").round(3)

# %% [markdown]
# The rules hold much the same, so they are compared in pairs: the last column is the standard
# deviation of the sum of daily differences from the myopic rule, for independent days.
#
# ### A horizon: Jurek and Yang
#
# {cite:t}`jurek_yang_2007` maximise the utility of wealth at a horizon when a spread follows
# {eq}`eq-ou`. For logarithmic utility the number of units held for each unit of wealth is, without
# interest,
#
# ```{math}
# :label: eq-log
# \frac{N_t}{W_t} = \frac{\theta(\mu - P_t)}{\sigma^2} ,
# ```
#
# the rule that d'Aspremont's paper trades. A more risk-averse investor holds less, but not
# $1/\gamma$ of it: a loss comes with a spread that has widened, which is worth something, and this
# hedge grows with the time left.

# %%
left = np.linspace(0, 5 * fit.half_life, 101)
exposure = pd.DataFrame(
    {
        f"risk aversion {g:g}": spread_sd
        * meanrev.jurek_yang(
            fit.theta, 0.0, fit.sigma, horizon=left[-1], risk_aversion=g
        ).exposure(-spread_sd, left)
        for g in (1.0, 2.0, 8.0)
    },
    index=left,
)
plots.lines(
    exposure,
    x="days left",
    y="exposure, in stationary deviations",
    caption="Units held one stationary deviation below the mean, times that "
    f"deviation, for the process fitted in {dataset}.",
    alt="Three curves of exposure against time left: constant for risk aversion 1, "
    "rising from below for 2 and 8.",
)

# %% [markdown]
# (does-it-pay)=
# ## Does it survive?
#
# Every {glue:text}`every` days the covariances, the portfolio and the process are estimated anew on
# the last {glue:text}`window` days. In between the position follows the log-utility rule {eq}`eq-log`
# for a capital of one that is never added to, capped where a day's standard deviation is the whole
# capital. What is decided on one day is traded at the next day's quote, at {glue:text}`cost_bp` bp for
# each unit of each asset. Sharpe ratios are annual, with the standard error of {cite:t}`lo_2002` for
# independent returns.
#
# ```{admonition} Not an account
# :class: warning
# Nobody could run this at full size. With {glue:text}`cardinality` assets a day's profit has a
# standard deviation of {glue:text}`daily_sd:.2f` of the capital, the worst day is
# {glue:text}`worst_day:.1f` times the capital, and the deepest loss from a peak
# {glue:text}`drawdown:.1f` times. The log-utility rule believes its estimates; real ones are wrong.
# Read the profits in units of risk: a Sharpe ratio is the same at any size, ruin is not.
# ```

# %%
RULE = {"rule": "log", "max_exposure": 1.0}


def choices(prices, k, window):
    """Portfolios of k assets, each chosen on the window before its decision."""
    return meanrev.rolling(
        prices,
        lambda seen: meanrev.greedy(meanrev.var(seen), k, swaps=True),
        window=window,
        every=every,
    )


def strategy(k, window=window, lag=1):
    """Profit and loss of portfolios of k assets, from the first decision on."""
    chosen = choices(panel, k, window)
    return meanrev.trade(panel, chosen, cost=cost_bp, lag=lag, **RULE).pnl.iloc[
        window:
    ]


def sharpe(profit):
    """Annual Sharpe ratio and its standard error, by the time stamps."""
    a_year = len(profit) / ((profit.index[-1] - profit.index[0]).days / 365.25)
    daily = profit.mean() / profit.std()
    error = np.sqrt((1 + daily**2 / 2) / len(profit))
    return daily * np.sqrt(a_year), error * np.sqrt(a_year)


# %% [markdown]
# What re-estimation finds through time, and what becomes of it: the predictability of each choice in
# its own window, and in the window that follows.

# %%
rolled = choices(panel, cardinality, window)
followed = {}
for row, day, portfolio in zip(
    rolled.rows, rolled.decisions, rolled.choices, strict=True
):
    later = panel.iloc[row + 1 : row + 1 + window]
    followed[day] = {
        "in its window": portfolio.predictability,
        "in the next window": meanrev.var(later).predictability(portfolio.weights)
        if len(later) == window
        else np.nan,
        "support": " ".join(portfolio.support),
    }
followed = pd.DataFrame(followed).T
record(n_decisions=len(followed), n_supports=followed["support"].nunique())
plots.lines(
    followed.drop(columns="support").astype(float),
    x="day of decision",
    y="predictability",
    caption=f"Portfolios of {cardinality} assets chosen every {every} days on "
    f"{window} days: predictability where they were chosen, and over as many days "
    "afterwards (known only later).",
    alt="Two curves over time, in the window of the choice and in the next one; "
    f"on average {followed['in its window'].mean():.3f} and "
    f"{followed['in the next window'].mean():.3f}.",
)

# %% [markdown]
# The {glue:text}`n_decisions` decisions pick {glue:text}`n_supports` different supports, and each change
# trades out of some assets and into others.

# %% tags=["keep_output", "nbval-check-output"]
runs = {k: strategy(k) for k in sizes if k > 1}
survives = pd.DataFrame(
    {
        k: {
            "gross Sharpe": sharpe(run["gross"])[0],
            "s.e.": sharpe(run["gross"])[1],
            "net Sharpe": sharpe(run["net"])[0],
            "lost per bp of cost": sharpe(run["gross"])[0]
            - sharpe(run["gross"] - run["turnover"])[0],
            "break-even cost, bp": run["gross"].sum() / run["turnover"].sum(),
        }
        for k, run in runs.items()
    }
).T.rename_axis("assets")
survives.round(3)

# %%
costs = np.linspace(0, 4 * cost_bp, 17)
by_cost = pd.DataFrame(
    {
        f"{k} assets": [
            sharpe(run["gross"] - c / cost_bp * run["cost"])[0] for c in costs
        ]
        for k, run in runs.items()
        if k in {2, cardinality, (n_assets + cardinality) // 2, n_assets}
    },
    index=costs,
)
plots.lines(
    by_cost,
    x="cost, bp a unit",
    y="annual Sharpe ratio",
    level=(0.0, ""),
    caption=f"Sharpe ratio of the rolling strategy on {dataset} against the cost "
    "of trading, by the number of assets (standard error about "
    f"{survives['s.e.'].mean():.2f}).",
    alt="Lines falling with cost; portfolios of more assets fall faster.",
)

# %%
run = meanrev.trade(panel, rolled, cost=cost_bp, **RULE)
income, trades = run.pnl["gross"].iloc[window:], run.positions.diff().iloc[window:]
impact = cost_bp / trades.abs().mean(axis=None)  # assumed: see the caption
moved, paid = (
    impact * (trades**2).sum(axis=None),
    cost_bp * trades.abs().sum(axis=None),
)
size = np.linspace(0, max(1.2 * income.sum() / moved, 0.01), 101)
capacity = pd.DataFrame(
    {
        "impact only": size * income.sum() - size**2 * moved,
        f"and {cost_bp:g} bp a unit": size * (income.sum() - paid)
        - size**2 * moved,
    },
    index=size,
)
plots.lines(
    capacity,
    x="size, multiples of the strategy's own",
    y="profit, units of capital",
    level=(0.0, ""),
    caption=f"Profit over {len(income)} days against size, if a trade moves the "
    "price of its asset in proportion to its size, and the average trade at size 1 "
    f"by {cost_bp:g} bp. That impact is assumed, not measured.",
    alt="Two concave curves from zero; profit is largest at size "
    f"{capacity.iloc[:, 0].idxmax():.2f} and {capacity.iloc[:, 1].idxmax():.2f}.",
)

# %%
chosen = survives.loc[cardinality]
lasts = f"they break even at {chosen['break-even cost, bp']:.3f} bp a unit"
loses = "they lose before costs, so that no cost is low enough"
total = income.cumsum()
record(
    sharpe_gross=chosen["gross Sharpe"],
    sharpe_se=chosen["s.e."],
    sharpe_net=chosen["net Sharpe"],
    break_even=lasts if income.sum() > 0 else loses,
    best_net=survives["net Sharpe"].max(),
    n_sizes=len(survives),
    capacity=float(capacity.iloc[:, 0].idxmax()),
    capacity_net=float(capacity.iloc[:, 1].idxmax()),
    daily_sd=income.std(),
    worst_day=income.min(),
    drawdown=(total.cummax().clip(lower=0) - total).max(),
)

# %%
# Windows can be compared only on the days that the longest of them leaves.
shared = runs[cardinality].iloc[max(compared_from - window, 0) :]
comparable = window <= compared_from and len(shared) >= 250
shared_gross, shared_se, shared_net = (
    (*sharpe(shared["gross"]), sharpe(shared["net"])[0])
    if comparable
    else [np.nan] * 3
)
record(
    shared_gross=shared_gross,
    shared_se=shared_se,
    shared_net=shared_net,
    shared_days=len(shared) if comparable else 0,
    shared_turnover=shared["turnover"].mean() if comparable else np.nan,
)

# %% [markdown]
# **Costs.** Portfolios of {glue:text}`cardinality` assets have a Sharpe ratio of
# {glue:text}`sharpe_gross:.2f` ± {glue:text}`sharpe_se:.2f` before costs and
# {glue:text}`sharpe_net:.2f` at {glue:text}`cost_bp` bp; {glue:text}`break_even`. Every further asset
# is traded too: the slope of the lines is the price of cardinality, which is d'Aspremont's argument
# for small portfolios. **Capacity.** Under the assumed impact profit is largest at
# {glue:text}`capacity:.2f` times the strategy's own size without the proportional cost and at
# {glue:text}`capacity_net:.2f` times with it; zero means that no size pays. **Latency and the
# fixing.** Positions are traded a day late; the first exercise shows what trading on the very quotes
# that made the decision would pretend. **Number of trials.** The best of the {glue:text}`n_sizes`
# sizes has a net Sharpe ratio of {glue:text}`best_net:.2f`; it was picked after the fact. The standard
# error is for independent days and one strategy, so even the largest value is to be read against the
# spread of the others. **What is left out.** Carry and roll-down of curve positions, interest on
# currencies, financing and margin are not in these prices, and not measured here.

# %% [markdown]
# ## Sweep
#
# How much past should an estimate see, and for how many assets? Each cell of the two figures is a run
# of this chapter on {glue:text}`swept_dataset` with its own `window` and `cardinality`. All Sharpe
# ratios are of the same {glue:text}`swept_days` days, those after the first `compared_from`: a short
# window could trade earlier, and would be judged on other days.

# %% tags=["sweep"]
swept = published_sweep("mean_reversion_window")


def over_both(column):
    """A recorded value over number of assets and window."""
    return swept.pivot_table(
        index="parameters.cardinality", columns="parameters.window", values=column
    )


axes = {"x": "days that an estimate sees", "y": "assets in the portfolio"}
gross_swept, net_swept = over_both("shared_gross"), over_both("shared_net")
plots.heatmap(
    gross_swept,
    **axes,
    z="annual Sharpe ratio",
    numbers=".2f",
    middle=0.0,
    caption="Sharpe ratio before costs of the rolling strategy on "
    f"{swept['parameters.dataset'].iloc[0]}, every cell on the same "
    f"{swept['shared_days'].iloc[0]} days; standard error "
    f"{swept['shared_se'].max():.2f}.",
    alt="A table of numbers over window and assets, between "
    f"{gross_swept.min(axis=None):.2f} and {gross_swept.max(axis=None):.2f}.",
)

# %% tags=["sweep"]
plots.heatmap(
    net_swept,
    **axes,
    z="annual Sharpe ratio",
    numbers=".2f",
    middle=0.0,
    caption="The same after costs of 0.1 bp a unit, as in the book.",
    alt="A table of numbers over window and assets, between "
    f"{net_swept.min(axis=None):.2f} and {net_swept.max(axis=None):.2f}; least "
    "at the shortest window in every row.",
)

# %% tags=["sweep"]
se_swept = swept["shared_se"].max()
in_errors = gross_swept / over_both("shared_se")
traded = swept.groupby("parameters.window")["shared_turnover"].mean()
best_cell = swept.loc[swept["shared_net"].idxmax()]
record(
    swept_dataset=swept["parameters.dataset"].iloc[0],
    swept_points=len(swept),
    swept_days=int(swept["shared_days"].iloc[0]),
    swept_se=se_swept,
    swept_sure=int((in_errors > 2).sum(axis=None)),
    swept_gross_best=gross_swept.max(axis=None),
    swept_errors=in_errors.max(axis=None),
    swept_threshold=NormalDist().inv_cdf(1 - 0.025 / len(swept)),
    swept_traded_short=traded.iloc[0],
    swept_traded_long=traded.iloc[-1],
    swept_short=int(traded.index[0]),
    swept_second=int(traded.index[1]),
    swept_range=np.ptp(gross_swept.iloc[:, 1:], axis=1).max(),
    swept_long=int(traded.index[-1]),
    swept_net_best=best_cell["shared_net"],
    swept_net_assets=int(best_cell["parameters.cardinality"]),
    swept_net_window=int(best_cell["parameters.window"]),
    swept_net_positive=int((net_swept > 0).sum(axis=None)),
)

# %% tags=["sweep"]
lowest = net_swept.idxmin(axis=1)
assert best_cell["shared_net"] < se_swept, "the text says so"
assert (lowest == net_swept.columns[0]).all(), "so does the figure"

# %% [markdown]
# With a standard error of {glue:text}`swept_se:.2f` in every cell, for independent days (differences
# of cells have errors of their own: small between portfolios of many assets, which hold much the
# same, and as large as this one between small portfolios), {glue:text}`swept_sure` of {glue:text}`swept_points` are
# more than two errors above zero before costs. The largest, {glue:text}`swept_gross_best:.2f`, is
# {glue:text}`swept_errors:.1f` errors away, where the largest of {glue:text}`swept_points` independent
# looks would need {glue:text}`swept_threshold:.1f` to be significant at 5 per cent (Bonferroni).
# Costs undo it: {glue:text}`swept_net_positive` cells stay above zero, and the best of them,
# {glue:text}`swept_net_assets` assets on {glue:text}`swept_net_window` days, has
# {glue:text}`swept_net_best:.2f`, less than its error. What a longer window saves is cost. From
# {glue:text}`swept_second` days on no size changes by more than {glue:text}`swept_range:.2f` before
# costs, but the estimate is steadier and less is traded: on average over the sizes
# {glue:text}`swept_traded_short:.2f` units a day with {glue:text}`swept_short` days, and
# {glue:text}`swept_traded_long:.2f` with {glue:text}`swept_long`.
#
# The sweep again, and its table:
#
# ```console
# labkit sweep mean_reversion_window
# labkit results mean_reversion_window
# ```
#
# Anything else is swept from the command line, such as the days between two estimates
# with `labkit sweep mean_rev_vec -g every=25,125,250`.
#
# ## Replication
#
# d'Aspremont's paper has no table, so its method is held against public data: the five Danish series
# of {cite:t}`johansen_juselius_1990`. They are a ready-made case in which greedy search is not
# optimal: three assets are found at 0.468, and the best three have 0.419 and share one asset with
# them.

# %% tags=["keep_output", "nbval-check-output"]
series = data.load("danish_money_demand")["series"]
danish = meanrev.var((series - series.mean()) / series.std())
eigenvalues = [p.predictability for p in meanrev.box_tiao(danish)]
forward = [p.predictability for p in meanrev.greedy_path(danish)]
exact = {k: meanrev.exhaustive(danish, k).predictability for k in (3, 4)}
assert all(meanrev.semidefinite(danish, k).bound <= exact[k] for k in exact)
published.check(
    "danish_mean_reversion",
    **{f"box_tiao_{i}": value for i, value in enumerate(eigenvalues, 1)},
    **{f"greedy_{i}": value for i, value in enumerate(forward[:4], 1)},
    **{f"exhaustive_{k}": value for k, value in exact.items()},
)

# %%
treasury, missing = (
    "us_treasury_par_yields_daily",
    "needs the recording: labkit data fetch {}",
)
if data.available(treasury):
    curve = data.load(treasury)["treasury"][PANELS[treasury][1].split()]
    seven = meanrev.box_tiao(meanrev.var(curve.loc["1998":"2005"].dropna()))
    measured = [p.predictability for p in seven]
else:
    measured = [missing.format(treasury)] * 7
published.check(
    "cmt_predictabilities", **{f"nu_{i}": nu for i, nu in enumerate(measured, 1)}
)

# %% [markdown]
# The instances of the two threshold papers. Bertram's is in circulation with a variance that comes
# from cutting an infinite series short; those rows differ, for the reason they give, and the
# second table holds our values against an independent evaluation of the whole series.

# %% tags=["keep_output", "nbval-check-output"]
case = published.inputs("bertram_quoted")
process = (case["theta"], 0.0, case["sigma"], case["cost"])
earns = ou.bertram_thresholds(*process)
steady = ou.bertram_thresholds(
    *process, objective="sharpe", risk_free=case["risk_free"]
)
cycle_values = {
    "expected_cycle": earns.expected_cycle,
    "variance_cycle": earns.variance_cycle,
    "expected_return": earns.expected_return,
    "variance_return": earns.variance_return,
    "sharpe": steady.sharpe,
}
display(published.check("bertram_quoted", **cycle_values))
published.check(
    "bertram_recomputed",
    entry=earns.entry,
    sharpe_entry=steady.entry,
    **cycle_values,
)

# %% tags=["keep_output", "nbval-check-output"]
first = ou.leung_li_levels(8.0, 0.3, 0.3, rate=0.05, cost=0.02)
other = (16.6677, 0.5388, 0.1599)
cheap = ou.leung_li_levels(*other, rate=0.05, cost=0.02)
dear = ou.leung_li_levels(*other, rate=0.05, cost=0.05)
stopped = ou.leung_li_levels(*other, rate=0.05, cost=0.0005, stop_loss=0.4834)
published.check(
    "leung_li_levels",
    exit=first.exit,
    entry=first.entry,
    second_exit=cheap.exit,
    second_entry=cheap.entry,
    costly_exit=dear.exit,
    costly_entry=dear.entry,
    stop_exit=stopped.exit_with_stop,
    stop_entry_low=stopped.entry_with_stop[0],
    stop_entry_high=stopped.entry_with_stop[1],
)

# %% [markdown]
# A pair of stop-loss levels is quoted for that paper's Figure 7 and does not follow from its
# equations: with a cost of 0.05 on each of two trades, no trade from below the exit level can earn
# its cost, and there is no entry level.

# %% tags=["keep_output", "nbval-check-output"]
quoted = ou.leung_li_levels(*other, rate=0.05, cost=0.05, stop_loss=0.4834)
assert quoted.entry_with_stop is None
published.check(
    "leung_li_quoted",
    exit=quoted.exit_with_stop,
    entry="no entry is profitable: two costs of 0.05 exceed the way from the "
    "stop-loss to the exit",
)

# %% [markdown]
# ## Exercises
#
# **1. Change.** Trade on the very quotes that made the decision (`lag=0`), then one, two and five
# days later. How much of the Sharpe ratio before costs is the last digit of a quote?

# %% tags=["hide-input"]
for lag in (0, 1, 2, 5):
    value, error = sharpe(strategy(n_assets, lag=lag)["gross"])
    print(f"{lag} days late: {value:.2f} +- {error:.2f}")

# %% [markdown]
# **2. Extend.** One portfolio is not a book. Find a second and a third one of the same size that are
# uncorrelated with those before (d'Aspremont's deflation).

# %% tags=["hide-input"]
book = meanrev.semidefinite_components(before, cardinality, min(3, cardinality))
stack = np.array([p.weights for p in book])
correlation = stack @ before.covariance @ stack.T
deviation = np.sqrt(np.diag(correlation))
correlation /= np.outer(deviation, deviation)
assert np.allclose(correlation, np.eye(len(book)), atol=1e-6)
for portfolio in book:
    print(f"{portfolio.predictability:.4f} {', '.join(portfolio.support)}")

# %% [markdown]
# **3. Break.** Permute all days after {glue:text}`split_day`. Every weight and every position
# before must stay as it was, to the last bit.

# %% tags=["hide-input"]
scrambled = panel.copy()
shuffled = np.random.default_rng(seed).permutation(len(test))
scrambled.iloc[len(train) :] = test.to_numpy()[shuffled]


def held_before(prices):
    """Positions up to the split."""
    chosen = choices(prices, cardinality, window)
    return meanrev.trade(prices, chosen, **RULE).positions.iloc[: len(train)]


pd.testing.assert_frame_equal(
    held_before(panel), held_before(scrambled), check_exact=True
)
print(f"{len(train)} days of positions, all the same")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`daspremont_2011`: the paper this chapter rebuilds, with the greedy search and the
#   relaxation.
# - {cite:t}`box_tiao_1977`: canonical analysis, with the hog data.
# - {cite:t}`cuturi_daspremont_2013`: other proxies, and the variance floor that makes them tradable.
# - {cite:t}`johansen_juselius_1990`: cointegration in the same algebra, with its test.
# - {cite:t}`garleanu_pedersen_2013`: trade partially towards the aim.

# %% tags=["remove-input"]
import labkit

print(f"labkit {labkit.__version__}, NumPy {np.__version__}")
print(f"SciPy {scipy.__version__}, pandas {pd.__version__}")
print("time of this run, backend and data: see the page Execution")
