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
# **You will learn** why the first principal component is the worst answer to the question, how much
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
# {glue:text}`nu_train:.4f` up to {glue:text}`split_day` and {glue:text}`nu_test:.4f` afterwards;
# of simulated panels of random walks, {glue:text}`null_percent:.0f` per cent look at
# least as mean-reverting in sample ([section](is-it-there)). Re-estimated through time and traded a
# day after each decision, portfolios of {glue:text}`cardinality` assets have a Sharpe ratio of
# {glue:text}`sharpe_gross:.2f` (standard error {glue:text}`sharpe_se:.2f`) before costs and
# {glue:text}`sharpe_net:.2f` at {glue:text}`cost_bp` basis points a unit
# ([section](does-it-pay)).
# ```

# %%
import timeit

import numpy as np
import pandas as pd
import scipy.linalg
from IPython.display import display

from labkit import data, meanrev, ou, plots, published
from labkit.experiments import record

# %% [markdown]
# ## Parameters
#
# One cell of plain literals for papermill; the next one refuses nonsense. Prices are logarithms of
# exchange rates or yields, both in basis points (bp), so that a cost of 0.1 means the same in both.

# %% tags=["parameters"]
dataset = "ecb_fx_reference_daily"  # a name in PANELS, the next cell
first_day = "1999-01-04"  # first day of the estimation sample
split_day = "2007-01-01"  # first day after the estimation sample
last_day = "2026-10-30"  # last day
cardinality = 3  # assets in a sparse portfolio
window = 1000  # days that a rolling estimate sees
every = 125  # days from one rolling estimate to the next
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
if not first_day < split_day < last_day:
    raise ValueError("first_day, split_day and last_day must be in order")
if not 2 <= cardinality <= n_assets:
    raise ValueError(f"cardinality must be from 2 to {n_assets}, got {cardinality}")
if window < 2 * n_assets or every < 1 or n_null < 20 or seed < 0:
    raise ValueError("window, every, n_null or seed is too small")
if cost_bp <= 0 or not 0 <= penalty < 1:
    raise ValueError("cost_bp must be positive and penalty in [0, 1)")
record(dataset=dataset, split_day=split_day, cardinality=cardinality)
record(cost_bp=cost_bp, window=window, every=every, penalty=penalty)

# %% [markdown]
# ## Why it matters: the result first
#
# Statistical arbitrage wants a portfolio whose value returns to its mean. Cointegration tests find
# some, in all the assets at once; {cite:t}`daspremont_2011` asked for *small* ones: portfolios of a
# few assets, which are cheap to trade and possible to understand, and as mean-reverting as their
# size allows. The question is a sparse generalised eigenvalue problem, NP-hard in general, and the
# paper attacks it greedily and by semidefinite relaxation. Its results are figures on swap and
# exchange rates. This chapter rebuilds the method and asks two things that the figures leave open:
# how much of the mean reversion found is there, and how much of it is left after the search, the
# rounding of quotes and the costs.

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
before, after = meanrev.var(train), meanrev.var(test)
record(n_train=len(train), n_test=len(test), n_assets=n_assets)

# %%
sizes = range(1, n_assets + 1)
best = {k: meanrev.exhaustive(before, k) for k in sizes}
random = np.random.default_rng(seed)
mixing = np.linalg.cholesky(train.diff().iloc[1:].cov()).T
walks = [
    meanrev.var((random.normal(size=train.shape) @ mixing).cumsum(axis=0))
    for _ in range(n_null)
]
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

# %%
record(
    nu_train=by_size.iloc[-1, 0],
    nu_test=by_size.iloc[-1, 1],
    nu_null=by_size.iloc[-1, 2],
    null_error=100 * np.sqrt(0.25 / n_null),
    null_percent=100 * (null[n_assets] <= by_size.iloc[-1, 0]).mean(),
    nu_size=by_size.loc[cardinality].iloc[0],
    nu_size_test=by_size.loc[cardinality].iloc[1],
    null_size_percent=100
    * (null[cardinality] <= by_size.loc[cardinality].iloc[0]).mean(),
)
plots.lines(
    by_size,
    band={
        "best in random walks": (
            null.quantile(0.05),
            null.quantile(0.95),
        )
    },
    x="assets in the portfolio",
    y="predictability",
    caption=f"The least predictable portfolio of each size in {dataset} before "
    f"{split_day}, the same weights after it, and what the same search finds in "
    f"{n_null} panels of random walks with the same covariance of daily changes "
    "(median, 5 to 95 per cent).",
    alt="Three curves of predictability against size. In sample it falls from "
    f"{by_size.iloc[0, 0]:.3f} to {by_size.iloc[-1, 0]:.3f}, afterwards it is "
    f"{by_size.iloc[-1, 1]:.3f} with all assets, and random walks give "
    f"{by_size.iloc[-1, 2]:.3f}.",
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
# first portfolio must be it. The first principal component, which is often offered as a "mean
# reversion factor", maximises $x^\top \Gamma x$, and what varies most in a panel of prices is what
# wanders most. The last component is what varies least. That is the planted portfolio here, until
# one price is quoted in dollars and the others in cents. The predictability knows nothing of units.

# %% tags=["keep_output", "nbval-check-output"]
truth = data.simulate_basket(seed)
planted = truth["planted"]["weight"]
known = meanrev.var(truth["prices"])
unit = pd.Series(1.0, planted.index)
unit[planted.abs().idxmin()] = 0.01  # one price in dollars, the others in cents
mixed = meanrev.var(truth["prices"] * unit)
found = pd.DataFrame(
    {
        "planted": planted,
        "Box-Tiao, first": meanrev.box_tiao(known)[0].weights,
        "greedy, 3 assets": meanrev.greedy(known, 3).weights,
        "semidefinite, 3 assets": meanrev.semidefinite(known, 3).weights,
        "Box-Tiao, mixed units": meanrev.box_tiao(mixed)[0].weights * unit,
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
UNIFORM = 1 / 12  # variance of a rounding error, in squared steps of the grid


def modes(panel, tick):
    """Canonical portfolios: predictability, half-life, size, share of rounding."""
    model = meanrev.var(panel)
    found = meanrev.box_tiao(model)
    weights = np.array([portfolio.weights for portfolio in found])
    variance = np.einsum("ij,jk,ik->i", weights, model.covariance, weights)
    return pd.DataFrame(
        {
            "predictability": [portfolio.predictability for portfolio in found],
            "half-life, days": [portfolio.half_life for portfolio in found],
            "deviation, bp": np.sqrt(variance),
            "rounding, % of variance": 100
            * UNIFORM
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
# The first portfolio of {glue:text}`dataset` has a half-life of {glue:text}`first_half_life:.1f`
# days, a standard deviation of {glue:text}`first_deviation:.2f` bp, and
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
# The recorded curves that are at hand, each over its first years up to 2005:

# %%
shown = {dataset: canonical}
for name in PANELS:
    if name != dataset and data.available(name):
        shown[name] = modes(*basis_points(name, "1998", "2005"))
pd.concat(shown).groupby(level=0).head(3).round(4)

# %% [markdown]
# Where the swap panel is at hand it shows the trap: its first portfolio, a butterfly of neighbouring
# tenors, is half a basis point wide and gone within a day, and a third of its variance is the last
# digit of the quotes. The Treasury's yields come off a fitted curve, so theirs is partly the fit.
#
# (is-it-there)=
# ## Is it there at all?
#
# A search over portfolios finds mean reversion in anything. Of random walks too the least predictable
# combination has $\nu$ well below one, by an amount that depends on the number of assets and days,
# and for sparse portfolios on the covariance of the daily changes. So the observed value is held
# against the same search on simulated walks with that covariance: by Monte Carlo, a test of no
# cointegration. The share of walks at or below the observed value is its p-value, with a standard
# error of at most {glue:text}`null_error:.1f` per cent.

# %% tags=["keep_output", "nbval-check-output"]
observed = by_size["best in sample"]
share = (null <= observed).mean()
fixed = [  # weights that nobody chose: by symmetry, the first walk alone
    meanrev.var(random.normal(size=test.shape).cumsum(axis=0)).predictability(
        np.eye(n_assets)[0]
    )
    for _ in range(n_null)
]
pd.DataFrame(
    {
        "in sample": observed,
        "walks, 5 %": null.quantile(0.05),
        "walks, median": null.median(),
        "p-value": share,
        "afterwards": by_size["the same weights afterwards"],
        "one walk, 5 %": np.quantile(fixed, 0.05),
    }
).rename_axis("assets").round(4)

# %% [markdown]
# With all assets the predictability is {glue:text}`nu_train:.4f` against a median of
# {glue:text}`nu_null:.4f` in walks; with {glue:text}`cardinality` it is {glue:text}`nu_size:.4f`,
# and {glue:text}`null_size_percent:.0f` per cent of the walks show less. The column *afterwards* is
# the honest one: the weights were fixed before {glue:text}`split_day`, and afterwards they have
# {glue:text}`nu_test:.4f` and {glue:text}`nu_size_test:.4f`. Nothing was searched there, so the
# measure is a single random walk of that length, below whose last column only one in twenty falls.
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
strengths = sorted({0.0, penalty / 4, penalty / 2, penalty, 2 * penalty} - {1.0})
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
selected = {
    strength: meanrev.covariance_selection(
        meanrev.penalized_var(train, strength, toward="random walk"), strength
    )
    for strength in (penalty, 0.5, 0.9)
}
pd.Series(
    {
        strength: " | ".join(", ".join(group) for group in meanrev.clusters(model))
        for strength, model in selected.items()
    },
    name="groups",
).rename_axis("penalty").to_frame()

# %% [markdown]
# ## Other measures of mean reversion
#
# A portfolio can be unpredictable from yesterday and still wander, and one that reverts at once may
# be too small to trade. {cite:t}`cuturi_daspremont_2013` therefore minimise one of three proxies
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
# give up), and at which level it is worth waiting to buy. For the process fitted above, in stationary
# standard deviations from $\mu$:

# %% tags=["keep_output", "nbval-check-output"]
fit = fits["before"]
spread_sd = fit.sigma / np.sqrt(2 * fit.theta)
per_trade = cost_bp * np.abs(small.weights).sum()
rows = {}
for times in (0.25, 1, 4, 16):
    cost = 2 * per_trade * times
    cycle = ou.bertram_thresholds(fit.theta, 0.0, fit.sigma, cost)
    levels = ou.leung_li_levels(
        fit.theta, 0.0, fit.sigma, rate=1e-4, cost=per_trade * times
    )
    rows[cost_bp * times] = {
        "Bertram entry": cycle.entry / spread_sd,
        "cycle, days": cycle.expected_cycle,
        "its deviation": np.sqrt(cycle.variance_cycle),
        "profit, bp a year": 252 * cycle.expected_return,
        "Leung-Li entry": levels.entry / spread_sd,
        "Leung-Li exit": levels.exit / spread_sd,
    }
pd.DataFrame(rows).T.rename_axis("cost, bp a unit").round(3)

# %% [markdown]
# The profit is what the *model* promises. Waiting for the mean takes as long as the model says: the
# probability of having crossed $\mu$ by time $t$ has a closed form by reflection, held here against
# simulated paths.

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
crossed = np.maximum.accumulate(paths <= 0, axis=1).mean(axis=0)
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
    "(standard error at most 0.011, and late by the time between two looks).",
    alt="Two curves that rise together from zero towards one.",
)

# %% [markdown]
# ### How much to hold: CARA and the tangency portfolio
#
# An investor with constant absolute risk aversion $\gamma$ and normal price changes of mean $m$ and
# covariance $\Sigma$ maximises $x^\top m - \tfrac{\gamma}{2} x^\top \Sigma x$ and holds
# $x = \Sigma^{-1} m / \gamma$ {cite:p}`merton_1969`. The tangency portfolio {cite:p}`sharpe_1964`
# points the same way and is scaled to sum to one: it answers which mix, not how much. Here $m$ is
# what the autoregression forecasts on the last day of the estimation sample.

# %% tags=["keep_output", "nbval-check-output"]
level = (train - before.mean).to_numpy()
surprise = level[1:] - level[:-1] @ before.transition
risk = np.cov(surprise.T)
forecast = level[-1] @ before.transition - level[-1]
held = meanrev.cara_weights(forecast, risk, risk_aversion=1.0)
mix = meanrev.sharpe_weights(np.sign(held.sum()) * forecast, risk)
slope = forecast - risk @ held  # the gradient of the objective
assert np.abs(slope).max() < 1e-10 * np.abs(forecast).max()
np.testing.assert_allclose(mix, held / held.sum())
ratio = forecast @ held / np.sqrt(held @ risk @ held)
one = small.weights.to_numpy()
pd.Series(
    {
        "Sharpe ratio of one day, all assets": ratio,
        f"the same, the portfolio of {cardinality}": abs(forecast @ one)
        / np.sqrt(one @ risk @ one),
        "units traded to hold it, per bp of daily risk": np.abs(held).sum() / ratio,
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
# {glue:text}`split_day`, in units of its daily deviation, with the process as fitted before:

# %%
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
rows = {}
for name, position in rules.items():
    account = meanrev.profit_and_loss(
        position.rename("portfolio"), gap.rename("portfolio"), cost=unit_cost
    )
    rows[name] = {
        "traded a day": account["turnover"].mean(),
        "gross": account["gross"].sum(),
        "cost": account["cost"].sum(),
        "net": account["net"].sum(),
        "deviation": account["net"].std() * np.sqrt(len(account)),
    }
pd.DataFrame(rows).T.rename_axis("rule").round(3)

# %% [markdown]
# The last column is the standard deviation that a sum of so many days has: differences between the
# rules that are smaller say nothing.
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
# with constant capital, capped at one unit of capital's standard deviation a day. What is decided on
# one day is traded at the next day's quote, at {glue:text}`cost_bp` bp for each unit of each asset.
# Sharpe ratios are annual, with the standard error of {cite:t}`lo_2002` for independent returns; their
# scale does not depend on the leverage.

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
# The {glue:text}`n_decisions` decisions pick {glue:text}`n_supports` different supports. Each change of
# support is a full turn of the portfolio, paid for at the cost below.

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
income, turnover = runs[cardinality]["gross"], runs[cardinality]["turnover"]
impact = cost_bp / turnover.mean()  # the average trade at scale 1 pays cost_bp more
moved = impact * (turnover**2).sum()
size = np.linspace(0, max(1.2 * income.sum() / moved, 0.1), 101)
capacity = pd.DataFrame(
    {
        "impact only": size * income.sum() - size**2 * moved,
        f"and {cost_bp:g} bp a unit": size
        * (income.sum() - cost_bp * turnover.sum())
        - size**2 * moved,
    },
    index=size,
)
chosen = survives.loc[cardinality]
record(
    sharpe_gross=chosen["gross Sharpe"],
    sharpe_se=chosen["s.e."],
    sharpe_net=chosen["net Sharpe"],
    break_even_bp=chosen["break-even cost, bp"],
    best_net=survives["net Sharpe"].max(),
    best_net_size=int(survives["net Sharpe"].idxmax()),
    n_sizes=len(survives),
    capacity=float(capacity.iloc[:, 0].idxmax()),
    capacity_net=float(capacity.iloc[:, 1].idxmax()),
)
plots.lines(
    capacity,
    x="size, multiples of the strategy's own",
    y="profit, units of capital",
    level=(0.0, ""),
    caption=f"Profit over {len(income)} days against size when the average trade "
    f"at size 1 moves the price by {cost_bp:g} bp, in proportion to its size.",
    alt="Two concave curves from zero; profit is largest at size "
    f"{capacity.iloc[:, 0].idxmax():.2f} and {capacity.iloc[:, 1].idxmax():.2f}.",
)

# %% [markdown]
# **Costs.** Portfolios of {glue:text}`cardinality` assets earn a Sharpe ratio of
# {glue:text}`sharpe_gross:.2f` ± {glue:text}`sharpe_se:.2f` before costs and
# {glue:text}`sharpe_net:.2f` at {glue:text}`cost_bp` bp; they break even at
# {glue:text}`break_even_bp:.3f` bp. More assets mean more predictability and more trading for the
# same risk: the slope of the lines is the price of cardinality, which is d'Aspremont's argument for
# small portfolios. **Capacity.** If impact grows with size, profit is largest at
# {glue:text}`capacity:.2f` times the strategy's own size without the proportional cost and at
# {glue:text}`capacity_net:.2f` times with it; zero means that there is no size at which it pays.
# **Latency and the fixing.** Positions are traded a day late; the first exercise shows what trading
# on the very quotes that made the decision would pretend. **Number of trials.** The best of the
# {glue:text}`n_sizes` sizes has a net Sharpe ratio of {glue:text}`best_net:.2f`; it was picked after
# the fact. The standard error is for independent days and one strategy, so even the largest value is
# to be read against the spread of the others. **What is left out.** Carry and roll-down of curve
# positions, interest on currencies, financing and margin: for slow portfolios they are as large as
# the profits here.
#
# ## Sweep
#
# How much past should an estimate see? The same strategy for other windows, before costs and on the
# days that all of them share:

# %%
windows = sorted({250, 500, window, 2000})
windows = [days for days in windows if 2 * n_assets <= days < len(panel) // 2]
swept = {
    k: {
        days: strategy(k, window=days).iloc[-(len(panel) - windows[-1]) :]
        for days in windows
    }
    for k in sorted({2, cardinality, n_assets})
}
by_window = pd.DataFrame(
    {
        f"{k} assets": [sharpe(run["gross"])[0] for run in row.values()]
        for k, row in swept.items()
    },
    index=windows,
)
plots.lines(
    by_window,
    x="days that an estimate sees",
    y="annual Sharpe ratio before costs",
    level=(0.0, ""),
    caption=f"Sharpe ratio of the rolling strategy on {dataset} by window.",
    alt="One line for each number of assets.",
)

# %% [markdown]
# Cost and cardinality are swept in the figures above, the penalty in its table. As experiments, with
# the results in one table:
#
# ```console
# for k in 2 3 4 5; do labkit run mean_rev_vec -p cardinality $k; done
# for w in 250 500 1000; do labkit run mean_rev_vec -p window $w; done
# labkit run mean_rev_vec -p dataset us_treasury_par_yields_daily -p first_day 1998-01-01 \
#   -p split_day 2006-01-01 -p last_day 2022-03-11
# labkit results mean_rev_vec
# papermill notebooks/mean_rev_vec.ipynb out.ipynb -p penalty 0.3
# ```
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
book = meanrev.semidefinite_components(before, cardinality, 3)
stack = np.array([p.weights for p in book])
correlation = stack @ before.covariance @ stack.T
deviation = np.sqrt(np.diag(correlation))
assert np.allclose(
    correlation / np.outer(deviation, deviation), np.eye(3), atol=1e-6
)
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
# - {cite:t}`daspremont_2011`: the paper this chapter rebuilds; the greedy search, the relaxation and
#   the trading experiments with costs.
# - {cite:t}`box_tiao_1977`: canonical analysis, with the hog data.
# - {cite:t}`cuturi_daspremont_2013`: other proxies, and the variance floor that makes them tradable.
# - {cite:t}`johansen_juselius_1990`: cointegration in the same algebra, with its test.
# - {cite:t}`garleanu_pedersen_2013`: trade partially towards the aim.

# %% tags=["remove-input"]
import labkit

print(f"labkit {labkit.__version__}, NumPy {np.__version__}")
print(f"SciPy {scipy.__version__}, pandas {pd.__version__}")
print("time of this run, backend and data: see the page Execution")
