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
# # Hawkes processes: how much of the trading is caused by trading?
#
# **You will** simulate self-exciting processes exactly, estimate them by maximum likelihood with
# standard errors, and test the fit with residuals that must be exponential; fit recorded trades of
# up to five markets, one side and both; and let a market maker use the intensity.
#
# **You will learn** to read a branching ratio with the caution it needs: what the clock, the form of
# the kernel and a drifting rate each do to it, and what a test that rejects is telling.
#
# **You need** Poisson processes and maximum likelihood. The chapter runs without a network on a
# simulated session whose truth is known; recorded ones are two parameters away.
#
# ```{admonition} The claim
# :class: important
# Trades of {glue:text}`market` cluster: the exponential Hawkes process finds
# {glue:text}`branching:.3f` direct children per trade ({glue:text}`branching_se:.3f`). It is far
# better than Poisson, by {glue:text}`gain_poisson:.0f` of log-likelihood, and the tests of its
# residuals have p-values of {glue:text}`ks_p:.1g` and {glue:text}`lb_p:.1g`
# ([section](what-rejects-it)). The number itself goes from {glue:text}`lowest:.2f` to
# {glue:text}`highest:.2f` with the form of the kernel, the treatment of the clock and the window
# ([section](how-much-is-the-number-worth)). Before fees, quotes that react to the intensity make
# {glue:text}`reacting_each:.1f` ticks an order, quotes that do not {glue:text}`plain_each:.1f`
# ([section](does-reacting-survive)).
# ```

# %%
import timeit
from pathlib import Path

import numpy as np
import pandas as pd

from labkit import backtest, data, hawkes, plots, published
from labkit import market_making as mm
from labkit.experiments import published_sweep, record

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
dataset = "simulated_order_flow"  # session that is replayed
trades = "simulated_order_flow"  # trades: real: "binance_trades_20240808"
market = "SIM/USD"  # of the trades, looked at closely
resolution_ms = 1.0  # tick of the venue's clock, milliseconds
seed = 7  # of every simulation
n_samples = 400  # simulated samples whose intervals are counted
sample_branching = 0.5  # their branching ratio
sample_length = 1000.0  # their length, mean lifetimes of the excitation
calibration_share = 0.4  # first share of the session, fitted only
horizon_s = 10.0  # over which quotes look ahead, seconds
risk_aversion = 0.05  # gamma as a share of k, of the market maker
max_inventory = 10  # orders held at most, long or short
order_lots = 10  # size of an order, lots
interval_ms = 100.0  # between two looks at the market, milliseconds
latency_ms = 5.0  # from us to the venue, and from the venue to us, ms
maker_fee_bp = 0.1  # fee on a passive fill, basis points of its value
retweets_csv = ""  # file of times in minutes that repeats a published fit

# %%
for name in ("seed", "n_samples", "max_inventory", "order_lots"):
    if not isinstance(globals()[name], int) or globals()[name] < 1:
        raise ValueError(
            f"{name} must be a positive integer, got {globals()[name]}"
        )
if not 0.001 <= resolution_ms <= 1e4:
    raise ValueError(f"resolution_ms must be in [0.001, 1e4], got {resolution_ms}")
if not 0.1 <= calibration_share <= 0.9:
    raise ValueError(
        f"calibration_share must be in [0.1, 0.9], got {calibration_share}"
    )
if not (0 < risk_aversion <= 10 and 0.1 <= horizon_s <= 1e4):
    raise ValueError("risk_aversion must be in (0, 10], horizon_s in [0.1, 1e4]")
if not (1 <= interval_ms <= 1e5 and 0 <= latency_ms <= 1e4):
    raise ValueError("interval_ms must be in [1, 1e5], latency_ms in [0, 1e4]")
if not -100 < maker_fee_bp < 100 or n_samples < 20:
    raise ValueError("maker_fee_bp must be within 100, n_samples at least 20")
if not (0.05 <= sample_branching <= 0.95 and 50 <= sample_length <= 1e4):
    raise ValueError(
        "sample_branching must be in [0.05, 0.95], sample_length in [50, 1e4]"
    )
record(dataset=dataset, market=market, maker_fee_bp=maker_fee_bp)

# %% [markdown]
# ## Why it matters: the result first
#
# A trade makes the next one likelier: orders are split, stops are hit, others react. If each trade
# has $n$ direct children on average, and they have theirs, a share $n$ of all trades is *caused* by
# trading and only $1 - n$ arrives from outside. {cite:t}`filimonov_sornette_2012` read this number
# as the reflexivity of a market, {cite:t}`hardiman_2013` found it near one, and the debate on what
# such estimates mean has not ended. Here is the evidence on one market. If a model is true, the
# integral of its intensity from each event to the next is exponential with mean one; the curves are
# the quantiles of that integral, and a true model follows the diagonal.

# %%
session = data.load(trades)
session

# %%
SECOND = 1_000_000_000


def stamps(tables, name):
    """Times of the venue, ns, and the taker's side of the trades of a market."""
    if "trades" in tables.tables:
        table = tables["trades"][tables["trades"]["market"] == name]
    else:
        table = tables["events"][tables["events"]["kind"] == backtest.TRADE]
        table = table[[name in tables["markets"].index] * len(table)]
    if table.empty:
        raise ValueError(f"market must be in {tables.name}, got {name!r}")
    return table["exchange_ns"].to_numpy(), table["side"].to_numpy()


def on_the_clock(time_ns):
    """Seconds since the first trade, in whole ticks of the venue's clock."""
    tick_ns = round(resolution_ms * 1e6)
    return (time_ns // tick_ns - time_ns[0] // tick_ns) * tick_ns / SECOND


# %%
time_ns, side = stamps(session, market)
times, together = hawkes.distinct(on_the_clock(time_ns))
end = times[-1] + resolution_ms / 1e3
rate = len(times) / end
fitted = hawkes.fit(times, end)
residuals = {
    "Poisson": hawkes.compensator_residuals(times, rate, 0.0, 1.0),
    "Hawkes, exponential": fitted.residuals(times),
}
tests = residuals["Hawkes, exponential"].table.loc[0]
gain = fitted.log_likelihood - len(times) * (np.log(rate) - 1)

# %%
quantiles = pd.DataFrame({name: r.quantiles(400) for name, r in residuals.items()})
quantiles["if the model holds"] = quantiles.index
worst = quantiles.iloc[-1]
plots.lines(
    quantiles,
    x="quantile of the exponential law",
    y="quantile of the residuals",
    caption=f"Integrated intensity between trades of {market} ({session.name}) "
    "under two models, against the law that it has if the model holds.",
    alt="Three curves, one the diagonal; the largest quantiles are "
    + ", ".join(f"{name} {value:.1f}" for name, value in worst.items()),
)

# %%
record(
    n_trades=len(time_ns),
    n_times=len(times),
    branching=fitted.branching_ratio,
    branching_se=fitted.branching_ratio_se,
    half_life_ms=1e3 * np.log(2) / fitted.decay,
    gain_poisson=gain,
    ks_p=tests["ks_pvalue"],
    lb_p=tests["ljung_box_pvalue"],
)

# %% [markdown]
# ## Model
#
# The events of type $i = 1, \dots, d$ arrive at the intensity {cite:p}`hawkes_1971`
#
# ```{math}
# :label: eq-hawkes
# \lambda_i(t) = \mu_i + \sum_{j=1}^{d} \sum_{t^j_k < t} \phi_{ij}(t - t^j_k), \qquad
# \phi_{ij}(t) = \alpha_{ij}\,\beta\,e^{-\beta t} .
# ```
#
# **Assumptions.**
#
# 1. The history before time 0 is empty, and $\mu$ does not change.
# 2. Excitation adds up, and is never negative.
# 3. No two events happen at one time.
#
# | symbol | in code | meaning | unit |
# |---|---|---|---|
# | $\mu$ | `baseline` | rate of events from outside | per second |
# | $\alpha$ | `adjacency` | direct children of type $i$ of an event of type $j$ | |
# | $\beta$ | `decay` | speed at which excitation fades | per second |
# | $n$ | `branching_ratio` | spectral radius of $\alpha$ | |
#
# Read as a family tree {cite:p}`hawkes_oakes_1974`, an event has $\alpha_{ij}$ direct children, each
# born after an exponential time; with $n < 1$ families die out and the mean rate is
# $\Lambda = (I - \alpha)^{-1}\mu$. From the empty start the mean count of one type is
#
# ```{math}
# :label: eq-mean
# \mathbb E N(T) = \frac{\mu}{1 - n} T - \frac{\mu n}{(1 - n) g}\,\bigl(1 - e^{-g T}\bigr),
# \qquad g = \beta (1 - n) ,
# ```
#
# and in the stationary regime the variance of a count over a window $\tau$, with $k = 1/(1 - n)$, is
#
# ```{math}
# :label: eq-variance
# \operatorname{Var} N_\tau = \Lambda \Bigl( \tau k^2 + (1 - k^2)\,\frac{1 - e^{-g\tau}}{g} \Bigr) .
# ```
#
# A count that varies $k^2$ times as much as a Poisson count is the first sign of $n$, in any window
# that is long against $1/g$.

# %% [markdown]
# ## Known truth first
#
# Two constructions are exact. {cite:t}`ogata_1981` draws candidates at a rate that bounds the
# intensity until the next event and keeps each with the right probability. For exponential kernels
# {cite:t}`dassios_zhao_2013` need no rejection: the next event is the earlier of one from the
# baseline and one from the excess, and the time of either can be inverted.

# %%
truth = {"baseline": 1.0, "adjacency": 2 / 3, "decay": 3.0}
counts = {}
for method in ("auto", "thinning"):
    paths = hawkes.simulate(
        **truth, horizon=100.0, seed=seed, n_paths=400, method=method
    )
    counts[method] = np.array([len(path.times) for path in paths])
    error = counts[method].std() / np.sqrt(len(paths))
    assert abs(
        counts[method].mean() - hawkes.mean_count(**truth, horizon=100.0)
    ) < (4 * error)

# %%
cascade = hawkes.simulate(**truth, horizon=20.0, seed=seed).times
grid = np.sort(np.concatenate([np.linspace(0, 20, 2_000), cascade, cascade + 1e-9]))
path = hawkes.intensity(cascade, **truth, at=grid)
plots.lines(
    pd.DataFrame({"intensity": path}, index=grid),
    x="time",
    y="intensity",
    level=(hawkes.stationary_rate(1.0, 2 / 3), "long-run mean"),
    caption=f"The intensity of a simulated path with {len(cascade)} events: each "
    "raises it by the adjacency times the decay.",
    alt="A curve that jumps up at each event and falls back exponentially, in "
    f"bursts; it peaks at {path.max():.0f}.",
)

# %% [markdown]
# ## Method
#
# The log-likelihood of events on $(0, T]$ is $\sum_k \log\lambda(t_k) - \int_0^T \lambda$. The sum
# over all earlier events in each $\lambda(t_k)$ looks quadratic, but the exponential kernel carries
# it along {cite:p}`ozaki_1979`: with $R_k = \sum_{l < k} e^{-\beta(t_k - t_l)}$,
# $R_{k+1} = e^{-\beta(t_{k+1} - t_k)}(1 + R_k)$.

# %%
PAIRS = 300.0  # a horizon with few enough events to take all pairs of them


def by_recursion(times, horizon, baseline, adjacency, decay):
    """The likelihood as in the text, event by event."""
    total, r, last = 0.0, 0.0, times[0]
    for k, t in enumerate(times):
        r = np.exp(-decay * (t - last)) * (r + 1) if k else 0.0
        total += np.log(baseline + adjacency * decay * r)
        last = t
    spent = -np.expm1(-decay * (horizon - times)).sum()
    return total - baseline * horizon - adjacency * spent


def by_pairs(times, horizon, baseline, adjacency, decay):
    """The same by the sum over all pairs."""
    lag = np.subtract.outer(times, times)
    past = np.where(lag > 0, np.exp(-decay * np.maximum(lag, 0)), 0.0)
    rates = baseline + adjacency * decay * past.sum(axis=1)
    spent = -np.expm1(-decay * (horizon - times)).sum()
    return np.log(rates).sum() - baseline * horizon - adjacency * spent


# %%
some = hawkes.simulate(**truth, horizon=PAIRS, seed=seed).times
exact = hawkes.log_likelihood(some, **truth, horizon=PAIRS).value
for by_hand in (by_recursion, by_pairs):
    np.testing.assert_allclose(by_hand(some, PAIRS, **truth), exact, rtol=1e-12)

# %%
seconds = [
    np.median(timeit.repeat(one, number=1, repeat=5))
    for one in (
        lambda: hawkes.log_likelihood(some, **truth, horizon=PAIRS),
        lambda: by_recursion(some, PAIRS, **truth),
    )
]
print(
    f"with its gradient it takes {seconds[0] / seconds[1]:.3f} of the time by hand"
)

# %% [markdown]
# `hawkes.fit` gives value and gradient to L-BFGS-B, in the logarithms of what is positive, from
# several starts; the standard errors are those of the observed information. The alternative is EM,
# which treats the family tree as missing data {cite:p}`veen_schoenberg_2008`. Both climb one
# likelihood and must meet at one top.

# %%
long = hawkes.simulate(**truth, horizon=1_500.0, seed=seed).times
climbed = hawkes.fit(long, 1_500.0)
stepped = hawkes.fit(long, 1_500.0, method="em")
assert abs(climbed.log_likelihood - stepped.log_likelihood) < 1e-3
z = (climbed.parameters - pd.Series(truth)) / climbed.standard_errors
assert z.abs().max() < 4
recovered = climbed.residuals(long).table.loc[0]
assert min(recovered[["ks_pvalue", "ljung_box_pvalue"]]) > 0.001

# %% tags=["keep_output", "nbval-check-output"]
shown = climbed.intervals()
shown.insert(0, "truth", pd.Series(truth))
shown["by EM"] = stepped.parameters
shown.round(3)

# %% [markdown]
# ## Replication
#
# Closed forms first: the likelihood of two events, the mean {eq}`eq-mean` and the variance
# {eq}`eq-variance` at three windows, each from the general code (a recursion, a matrix exponential
# and a Lyapunov equation) and held against figures computed independently.

# %% tags=["keep_output", "nbval-check-output"]
variance = {"baseline": 0.5, "adjacency": 0.6, "decay": 1.0}
published.check(
    "hawkes_closed_forms",
    log_likelihood=hawkes.log_likelihood([0.5, 0.75], **truth, horizon=1.0).value,
    mean=hawkes.mean_count(**truth, horizon=100.0),
    variance_1=hawkes.count_covariance(**variance, window=1.0),
    variance_5=hawkes.count_covariance(**variance, window=5.0),
    variance_20=hawkes.count_covariance(**variance, window=20.0),
)

# %% [markdown]
# A published estimate on public data: the retweets of one tweet, fitted by the R package stelfi.
# Its data are under a licence that forbids to pass them on here. With a file of the times (minutes
# since the first, one in a line, each time once) the rows below are checked by
#
# ```console
# labkit run hawkes_modeling -p retweets_csv=PATH
# ```

# %%
ESTIMATES = ("baseline", "jump", "decay")


def retweets():
    """Estimates on the file, or the reason why there are none."""
    if not retweets_csv:
        command = "labkit run hawkes_modeling -p retweets_csv=PATH"
        return dict.fromkeys(
            ESTIMATES, f"data under another licence, not shipped: {command}"
        )
    minutes = np.loadtxt(Path(retweets_csv).expanduser())
    result = hawkes.fit(np.unique(minutes), minutes.max())
    found = (result.baseline, result.adjacency * result.decay, result.decay)
    return dict(zip(ESTIMATES, found, strict=True))


# %% tags=["keep_output", "nbval-check-output"]
published.check("stelfi_retweets", **retweets())

# %% [markdown]
# ## The recorded trades
#
# A venue stamps trades in ticks of its clock, here {glue:text}`resolution_ms:g` ms, and one order
# that takes several resting orders prints a trade for each at the same time. Of
# {glue:text}`n_trades:d` prints in {glue:text}`market`, {glue:text}`n_times:d` have a time of their
# own. Assumption 3 forbids ties, and `fit` refuses them. Here and above a tick of the clock with
# trades in it counts as one event; what the other treatments give is
# [further down](how-much-is-the-number-worth).
#
# ```{admonition} What was known when
# :class: note
# The tables of this section describe whole sessions after the fact. The quoting experiment uses only
# parameters from the first part of its session, but for the one constant that aligns its clocks, and
# intensities from trades that had been received.
# ```

# %%
markets = [market]
if "trades" in session.tables:
    markets = sorted(session["trades"]["market"].unique())
rows = {}
for name in markets:
    prints = on_the_clock(stamps(session, name)[0])
    t, _ = hawkes.distinct(prints)
    one = hawkes.fit(t, t[-1] + resolution_ms / 1e3)
    test = one.residuals(t).table.loc[0]
    rows[name] = {
        "prints": len(prints),
        "times": len(t),
        "baseline, 1/s": one.baseline,
        "branching": one.branching_ratio,
        "s.e.": one.branching_ratio_se,
        "half-life, ms": 1e3 * np.log(2) / one.decay,
        "KS p": test["ks_pvalue"],
        "Ljung-Box p": test["ljung_box_pvalue"],
    }

# %% tags=["keep_output", "nbval-check-output"]
by_market = pd.DataFrame.from_dict(rows, orient="index")
counted = by_market[["prints", "times"]].astype(int)
estimated = by_market.drop(columns=["prints", "times"]).map("{:.3g}".format)
pd.concat([counted, estimated], axis=1)

# %% [markdown]
# (what-rejects-it)=
# ### What rejects it
#
# Two tests ask different things of the same residuals. Kolmogorov and Smirnov's asks for the
# exponential law, Ljung and Box's for independence from one residual to the next. With estimated
# parameters the first is lenient, for the fit has seen the data. A kernel with one time scale may
# fail either, so here are richer ones: sums of two and three exponentials, and a power law
# $\phi(t) = n\,\varepsilon c^{\varepsilon} (t + c)^{-1-\varepsilon}$, which is a Gamma mixture of
# exponentials and computed as forty of them.

# %%
forms = {
    "exponential": fitted,
    "two exponentials": hawkes.fit(times, end, kernel="sum", terms=2),
    "three exponentials": hawkes.fit(times, end, kernel="sum", terms=3),
    "power law": hawkes.fit(times, end, kernel="power law", n_starts=2),
}
rows = {}
for name, one in forms.items():
    test = one.residuals(times).table.loc[0]
    rows[name] = {
        "parameters": len(one.parameters),
        "AIC, less exponential": one.aic - fitted.aic,
        "branching": one.branching_ratio,
        "KS p": test["ks_pvalue"],
        "Ljung-Box p": test["ljung_box_pvalue"],
    }
by_form = pd.DataFrame.from_dict(rows, orient="index")
best_form = by_form["AIC, less exponential"].idxmin()

# %% tags=["keep_output", "nbval-check-output"]
shown = by_form.copy()
shown["parameters"] = shown["parameters"].astype(int)
shown["AIC, less exponential"] = shown["AIC, less exponential"].round(0)
shown.map(lambda value: f"{value:.2g}" if isinstance(value, float) else value)

# %%
record(
    best_form=best_form,
    best_aic=by_form["AIC, less exponential"].min(),
    best_ks=by_form["KS p"][best_form],
    best_lb=by_form["Ljung-Box p"][best_form],
    power_branching=by_form["branching"]["power law"],
    resolution_ms=resolution_ms,
    one_tick=(np.diff(times) < 1.5 * resolution_ms / 1e3).mean(),
)

# %% [markdown]
# By Akaike's criterion the best of the four is "{glue:text}`best_form`", by
# {glue:text}`best_aic:.0f` against one exponential; its tests have p-values of
# {glue:text}`best_ks:.2g` and {glue:text}`best_lb:.2g`. A small p-value after that is no licence to
# add a fifth kernel until one passes: what remains may not be a kernel at all. The clock is one
# suspect, for {glue:text}`one_tick:.1%` of the gaps between times are a single tick of it, and no
# intensity makes lumps in the law of gaps; a drifting baseline is the other (see below).
#
# ### A first look without a form
#
# {cite:t}`bacry_muzy_2016` need no form: the mean rate of trades at a lag after a trade, less its
# mean, solves a Wiener-Hopf equation with the kernel. It is a look, not a test; it inherits every
# drift of the rate.

# %%
WIDTH_S, BINS = 0.010001, 50  # so that no lag in ticks of the clock is on an edge
shape = hawkes.estimate_kernel(times, end, width=WIDTH_S, bins=BINS)["phi"]
lags = shape.index.to_numpy()[:, None]
curves = pd.DataFrame({"without a form": shape})
for name in dict.fromkeys(["exponential", best_form]):
    alpha, beta = (
        np.atleast_1d(v) for v in (forms[name].adjacency, forms[name].decay)
    )
    over = np.expm1(beta * WIDTH_S / 2) - np.expm1(
        -beta * WIDTH_S / 2
    )  # mean of a bin
    curves[name] = (alpha * np.exp(-beta * lags) * over / WIDTH_S).sum(axis=1)
plots.lines(
    curves,
    x="lag, seconds",
    y="kernel, 1/s",
    level=(0.0, ""),
    caption=f"The kernel of the trades of {market}, counted in bins of "
    f"{1e3 * WIDTH_S:.0f} ms, and two fitted forms averaged over the same bins.",
    alt="Falling curves; in the first bin they stand at "
    + ", ".join(f"{name} {value:.1f}" for name, value in curves.iloc[0].items()),
)

# %% [markdown]
# ### Buys and sells
#
# Now two types, by the side of the taker. Buys and sells in one tick of the clock are ties between
# types: both series are spread over the tick at random, which cannot matter at lags well above it.

# %%
sides = [hawkes.distinct(on_the_clock(time_ns)[side == s])[0] for s in (1, -1)]
spread = hawkes.jitter(sides, resolution_ms / 1e3, seed=seed)
both = hawkes.fit(spread, end)
own = np.diag(both.adjacency).mean()
cross = (both.adjacency.sum() - np.trace(both.adjacency)) / 2

# %% tags=["keep_output", "nbval-check-output"]
shown = both.intervals()[["estimate", "standard error"]]
shown.index = shown.index.str.replace("0", "buy").str.replace("1", "sell")
shown.round(3)

# %%
slack = both.residuals(spread).table
record(
    own=own,
    cross=cross,
    both_branching=both.branching_ratio,
    both_branching_se=both.branching_ratio_se,
    both_ks=slack["ks_pvalue"].min(),
)

# %% [markdown]
# On average a trade has {glue:text}`own:.2f` children on its own side and {glue:text}`cross:.2f` on
# the other; the spectral radius is {glue:text}`both_branching:.3f`
# ({glue:text}`both_branching_se:.3f`). The difference is what a directional signal can live on: it
# is how much of a burst of buying will be followed by more buying.
#
# (how-much-is-the-number-worth)=
# ## How much is the number worth?
#
# **The clock.** The same trades, treated in other ways: every print instead of every time, spread
# over the tick; and counts in bins, whose likelihood needs no order within a bin but loses what
# happens inside it.

# %%
tick_s = resolution_ms / 1e3
prints = on_the_clock(time_ns)
clocks = {"distinct times": fitted}
for again in (1, 2):
    tape = hawkes.jitter(prints, tick_s, seed=seed + again)
    clocks[f"every print, spread ({again})"] = hawkes.fit(tape, end)
ticks, widths = np.round(times / tick_s).astype(int), {}
for per_bin in (round(max(ms / resolution_ms, 1)) for ms in (10, 100, 1_000)):
    name = f"distinct times in bins of {per_bin * resolution_ms:g} ms"
    widths[name] = per_bin * tick_s
    clocks[name] = hawkes.fit_binned(np.bincount(ticks // per_bin), widths[name])

# %% tags=["keep_output", "nbval-check-output"]
by_clock = pd.DataFrame(
    {
        name: {
            "branching": one.branching_ratio,
            "s.e.": one.branching_ratio_se,
            "half-life, ms": 1e3 * np.log(2) / one.decay,
        }
        for name, one in clocks.items()
    }
).T
by_clock.map("{:.3g}".format)

# %% [markdown]
# **The window.** The baseline is not constant, and a process whose rate wanders looks like one that
# excites itself: in both, a busy second is followed by a busy second. {cite:t}`filimonov_sornette_2012`
# therefore fit short windows, and {cite:t}`hardiman_2013` answer that short windows cut the long
# memory off. A sample may show either, both or neither. First the trap by itself: a Poisson process, no
# event caused by another, whose rate changes every half minute.

# %%
random = np.random.default_rng(seed)
block_s, mean_rate = 30.0, 10.0
block_rates = mean_rate * np.exp(random.normal(-0.125, 0.5, 40))
innocent = np.sort(
    np.concatenate(
        [
            block_s * (b + random.random(random.poisson(r * block_s)))
            for b, r in enumerate(block_rates)
        ]
    )
)
trap = hawkes.fit(innocent, block_s * len(block_rates))
record(
    trap=trap.branching_ratio,
    trap_se=trap.branching_ratio_se,
    trap_half_life=np.log(2) / trap.decay,
)

# %% [markdown]
# The fit calls {glue:text}`trap:.2f` of it endogenous ({glue:text}`trap_se:.2f`), with a half-life of
# {glue:text}`trap_half_life:.1f` seconds. The standard error has no idea: it trusts the model. A
# half-life of seconds to minutes is the mark of the trap, where reactions of machines take
# milliseconds. Now the recorded trades, in windows of growing length:

# %%
lengths = [
    length for length in (30.0, 60.0, 120.0, 240.0, 480.0) if 2 * length <= end
]
means = {}
for length in [*lengths, end]:
    parts = [
        hawkes.fit(part, length).branching_ratio
        for start in np.arange(0.0, end - length + 1e-9, length)
        if len(part := times[(times > start) & (times <= start + length)] - start)
        > 50
    ]
    if not parts:
        continue
    error = (
        np.std(parts, ddof=1) / np.sqrt(len(parts)) if len(parts) > 1 else np.nan
    )
    means[length] = np.mean(parts), error if np.isfinite(error) else 0.0
by_window = pd.DataFrame(means, index=["branching", "s.e."]).T
plots.lines(
    by_window[["branching"]],
    band={
        "branching": [
            by_window["branching"] + s * 2 * by_window["s.e."] for s in (-1, 1)
        ]
    },
    x="window, seconds",
    y="mean branching ratio",
    caption=f"Branching ratio of {market} in windows of a length, averaged over "
    "all windows, with two standard errors of the mean; the longest is the whole.",
    alt=f"A curve from {by_window['branching'].iloc[0]:.2f} in short windows to "
    f"{by_window['branching'].iloc[-1]:.2f} in the whole.",
)

# %%
half_life_s = np.log(2) / fitted.decay
coarse = [name for name, width in widths.items() if width > half_life_s]
groups = {
    "form": by_form["branching"],
    "clock": by_clock["branching"].drop(coarse),
    "window": by_window["branching"],
}
every = pd.concat(groups)
record(
    lowest=every.min(),
    highest=every.max(),
    **{f"range_{name}": np.ptp(values) for name, values in groups.items()},
)

# %% [markdown]
# Between the forms of the kernel the branching ratio differs by up to
# {glue:text}`range_form:.3f`, between the treatments of the clock by
# {glue:text}`range_clock:.3f` (without bins wider than the half-life, which lose the excitation), and
# between the windows by {glue:text}`range_window:.3f`. The standard error of one fit,
# {glue:text}`branching_se:.3f`, knows of none of these choices. The number compares samples that are
# treated alike; as a share of trading that is caused by trading it has no meaning without the model
# that it was measured with.
#
# (does-reacting-survive)=
# ## Does it survive?
#
# A market maker can use the intensity in two ways. The *imbalance* of buying and selling intensity
# foretells where the mid goes: with $D = \lambda^+ - \lambda^-$, common baseline and decay,
# self-excitation $n_s$ and cross-excitation $n_c$, and an impact of $\eta$ ticks for each order,
#
# ```{math}
# :label: eq-shift
# \mathbb E[S_T - S_t] = \eta D\,\frac{1 - e^{-\kappa (T - t)}}{\kappa}, \qquad
# \kappa = \beta (1 - n_s + n_c),
# ```
#
# and the quotes of Avellaneda and Stoikov are centred on the expected mid instead of the mid:
# `market_making.hawkes_quotes`, which without excitation is their formula. And the *total* intensity
# says when it is dangerous to stand in the way: when the next orders come in a burst, leave.
#
# Parameters, volatility, impact and threshold come from the first part of the session; the rest is
# replayed with latency, queue and fee, as in the chapter on market making. First the orders as they
# were received, one for each tick of the clock and side.

# %%
replayed = data.load(dataset)
tape = backtest.align_clock(backtest.recording(replayed), 1_000_000)
events, instrument = tape.events, tape.instrument
book = backtest.best_quotes(tape)
book = book[(book["bid"] > 0) & (book["ask"] > 0)].drop_duplicates(
    "local_ns", keep="last"
)
mids = pd.Series(((book["bid"] + book["ask"]) / 2).to_numpy(), book["local_ns"])
opened_ns, closed_ns = int(mids.index[0]), int(mids.index[-1])
split_ns = opened_ns + round(calibration_share * (closed_ns - opened_ns))
orders = pd.DataFrame(events[events["kind"] == backtest.TRADE])
orders = orders[orders["local_ns"] > opened_ns]
orders["tick"] = orders["exchange_ns"] // round(resolution_ms * 1e6)
orders = orders.drop_duplicates(["tick", "side"])


def mid_at(when_ns):
    """The mid in ticks as received by a time."""
    rows = np.searchsorted(mids.index, when_ns, side="right") - 1
    return mids.to_numpy()[np.maximum(rows, 0)]


# %%
before = orders[orders["local_ns"] < split_ns]
tick_ns = round(resolution_ms * 1e6)
calibrated_s = (split_ns - opened_ns) / SECOND
on_clock = [
    (before.loc[before["side"] == s, "tick"] - before["tick"].min())
    * tick_ns
    / SECOND
    for s in (1, -1)
]
on_clock = hawkes.jitter(on_clock, tick_s, seed=seed)
first = hawkes.fit(on_clock, max(one[-1] for one in on_clock) + tick_s)
self_excited = float(np.diag(first.adjacency).mean())
cross_excited = float((first.adjacency.sum() - np.trace(first.adjacency)) / 2)

# %% [markdown]
# The impact $\eta$ is the slope of the mid's change over a second on the orders of that second, buys
# less sells. With the orders that it excites, an order moves the mid by $\eta / (1 - n_s + n_c)$ in
# the long run.

# %%
marks_ns = np.arange(opened_ns, split_ns, SECOND)
moves = np.diff(mid_at(marks_ns))
sigma = moves.std()
row = np.searchsorted(marks_ns, before["local_ns"], side="right") - 1
net = np.bincount(row, before["side"], len(marks_ns))[: len(moves)]
slope = (net @ moves) / (net @ net)
excited = mm.MarketOrders(
    baseline=float(np.mean(first.baseline)),
    own=self_excited,
    cross=cross_excited,
    decay=first.decay,
    impact=max(slope, 0.0),
)
record(
    impact=excited.impact,
    fade_ms=1e3 * np.log(2) / excited.imbalance_decay,
)

# %% [markdown]
# Excitation fades with a half-life of {glue:text}`fade_ms:.0f` ms and the impact is
# {glue:text}`impact:.2f` ticks an order. What the shift {eq}`eq-shift` can be worth is known before
# any replay: its size, below, against half the spread.

# %%
wakes_ns = np.arange(split_ns, closed_ns, round(interval_ms * 1e6))
seen = orders.drop_duplicates("local_ns")
seconds = (seen["local_ns"].to_numpy() - opened_ns) / SECOND
points_s = (np.concatenate([marks_ns, wakes_ns]) - opened_ns) / SECOND
rates = excited.intensity(seconds, seen["side"].to_numpy(), points_s)
before_split, live = rates[: len(marks_ns)], rates[len(marks_ns) :]
shift = excited.mean_shift(live, horizon_s)
hectic = live.sum(axis=1) > np.quantile(before_split.sum(axis=1), 0.8)
spread = (book["ask"] - book["bid"])[book["local_ns"] >= split_ns]
record(
    shift_ticks=np.abs(shift).mean(),
    half_spread=spread.median() / 2,
    hectic=hectic.mean(),
)

# %% [markdown]
# On average the shift is {glue:text}`shift_ticks:.3f` ticks; half the spread, in the median, is
# {glue:text}`half_spread:.1f`. Leaving the market means: no quotes while the total intensity is above
# the 80 % quantile of the first part, {glue:text}`hectic:.0%` of the time. The base quotes are the
# optimal ones with an inventory limit {cite:p}`gueant_2013` at the calibrated $\sigma$, $A$ and $k$.

# %%
prints = events[
    (events["kind"] == backtest.TRADE) & (events["local_ns"] < split_ns)
]
prints = prints[prints["local_ns"] > opened_ns]
depth = mm.trade_depth(
    prints["exchange_ns"], prints["price"], prints["side"], mids.index, mids
)
priced = ~np.isnan(depth)
law = mm.fill_intensity(
    prints["exchange_ns"][priced] / SECOND,
    depth[priced],
    prints["side"][priced],
    calibrated_s,
    min_depth=0.5,
    tick=0.5,
    method="regression",
)
base = mm.glft_quotes(
    max_inventory, gamma=risk_aversion * law.k, sigma=sigma, A=law.A, k=law.k
)
fee_ticks = maker_fee_bp * 1e-4 * mids[mids.index < split_ns].mean()

# %%
UNIT = order_lots * instrument.lot_size * instrument.tick_size
delay = backtest.ConstantLatency(*[round(latency_ms * 1e6)] * 2)


def quoted(moved=0.0, away=False):
    """Profit in ticks x orders, before fees, and the orders filled."""
    silent = np.where(away, np.nan, 0.0)[..., None] + np.zeros((len(wakes_ns), 1))
    moved = np.reshape(moved, (-1, 1)) + silent
    sides = [base.bid_offset - moved, base.ask_offset + moved]
    nothing = np.full((1, len(base.inventory)), np.nan)  # until the split
    sides = [np.vstack([nothing, side]) for side in sides]
    starts = np.concatenate([[opened_ns], wakes_ns])
    quoter = backtest.InventoryQuoter(
        *sides, order_lots, round(interval_ms * 1e6), times=starts
    )
    run = backtest.replay(
        tape,
        quoter,
        latency=delay,
        queue=backtest.RiskAverseQueue(),
        fees=backtest.Fees(0.0, 0.0),
    )
    equity = run.equity[run.equity.index >= pd.Timestamp(split_ns, tz="UTC")]
    return equity / UNIT, run.fills["lots"].sum() / order_lots


# %%
BLOCK = "10s"
away = hectic[:, None]
runs = {
    "plain": quoted(),
    "shifted": quoted(shift),
    "absent in bursts": quoted(0.0, hectic),
    "shifted, absent in bursts": quoted(shift, hectic),
}
blocks = {
    name: equity.resample(BLOCK).last().ffill().diff()
    for name, (equity, _) in runs.items()
}
for name, (equity, _) in runs.items():  # the first block begins at nothing
    blocks[name].iloc[0] = equity.resample(BLOCK).last().iloc[0]

# %%
rows = {}
for name, (equity, filled) in runs.items():
    over = (blocks[name] - blocks["plain"]).dropna()
    rows[name] = {
        "orders filled": filled,
        "profit": equity.iloc[-1],
        "an order": equity.iloc[-1] / filled if filled else np.nan,
        "s.e.": blocks[name].std() * np.sqrt(len(blocks[name])),
        "over plain": over.sum(),
        "s.e. of that": over.std() * np.sqrt(len(over)),
        "profit after fee": equity.iloc[-1] - filled * fee_ticks,
    }

# %% tags=["keep_output", "nbval-check-output"]
by_strategy = pd.DataFrame.from_dict(rows, orient="index")
by_strategy.round(1)

# %%
profits = pd.DataFrame(
    {
        name: equity.resample("1s").last().ffill()
        for name, (equity, _) in runs.items()
    }
)
profits.index = (profits.index - profits.index[0]).total_seconds()
reacting = by_strategy.loc["shifted, absent in bursts"]
record(
    plain_ticks=by_strategy.loc["plain", "profit"],
    plain_orders=by_strategy.loc["plain", "orders filled"],
    reacting_orders=reacting["orders filled"],
    plain_each=by_strategy.loc["plain", "an order"],
    reacting_each=reacting["an order"],
    gain_ticks=reacting["over plain"],
    gain_se=reacting["s.e. of that"],
    gain_shift=by_strategy.loc["shifted", "over plain"],
    gain_shift_se=by_strategy.loc["shifted", "s.e. of that"],
    fee_ticks=fee_ticks,
    reacting_net=reacting["profit after fee"],
)
plots.steps(
    profits,
    x="seconds since trading began",
    y="profit, ticks x orders",
    level=(0.0, ""),
    caption=f"Profit before fees of four ways to quote on {replayed.name}, "
    f"{latency_ms:g} ms away from the venue.",
    alt="Four step curves from zero, which end at: "
    + ", ".join(f"{name} {value:.0f}" for name, value in profits.iloc[-1].items()),
)

# %% [markdown]
# Reacting changes the profit before fees from {glue:text}`plain_ticks:.0f` by
# {glue:text}`gain_ticks:.0f` ticks times orders ({glue:text}`gain_se:.0f`), with
# {glue:text}`reacting_orders:.0f` orders filled instead of {glue:text}`plain_orders:.0f`: an order
# makes {glue:text}`reacting_each:.1f` ticks instead of {glue:text}`plain_each:.1f`. The shift alone
# changes it by {glue:text}`gain_shift:.0f` ({glue:text}`gain_shift_se:.0f`; both are zero where it
# is too small to move a quote by a tick). A fee of {glue:text}`maker_fee_bp:g` bp is
# {glue:text}`fee_ticks:.2f` ticks an order and leaves {glue:text}`reacting_net:.0f`. Both rules were
# written down before the replay, with one threshold that was not searched; the session is one, and
# the orders are small against what trades in it.
#
# **In the model itself** the gain can be had without noise: the same market and the same random
# numbers for both, so that the difference of certainty equivalents has a small standard error.

# %%
GAMMA, SIGMA, K, HORIZON = 0.1, 0.5, 10.0, 2.0
worth = {}

# %%
for own_share in (0.0, 0.3, 0.6, 0.8):
    flow = mm.MarketOrders(
        baseline=5.0, own=own_share, cross=0.1, decay=20.0, impact=0.02
    )
    common = {"gamma": GAMMA, "k": K, "horizon": HORIZON}
    play = {
        "sigma": SIGMA,
        "k": K,
        "horizon": HORIZON,
        "n_paths": 2_000,
        "seed": seed,
    }
    quoters = [
        mm.AvellanedaStoikovQuoter(
            sigma=flow.volatility(SIGMA), charge=charge, **common
        )
        for charge in (0.0, flow.response(HORIZON))
    ] + [
        mm.HawkesQuoter(flow, sigma=SIGMA, charge_response=charge, **common)
        for charge in (False, True)
    ]
    plain, *others = (mm.simulate_quotes(q, flow, **play).profit for q in quoters)
    gains = [mm.certainty_equivalent_gain(p, plain, gamma=GAMMA) for p in others]
    worth[own_share] = (gains[0].benchmark, *(x for g in gains for x in g[:2]))

# %% tags=["keep_output", "nbval-check-output"]
gained = ["charging", "reacting", "both"]
columns = [
    "plain",
    *(part for name in gained for part in (name, f"s.e. of {name}")),
]
in_model = pd.DataFrame.from_dict(worth, orient="index", columns=columns)
in_model.rename_axis("self-excitation").round(2)

# %%
record(
    model_plain=in_model["plain"].iloc[-1],
    model_reacting=in_model["reacting"].iloc[-1],
    model_reacting_se=in_model["s.e. of reacting"].iloc[-1],
    model_charging=in_model["charging"].iloc[-1],
    model_both=in_model["both"].iloc[-1],
    model_both_se=in_model["s.e. of both"].iloc[-1],
)

# %% [markdown]
# Certainty equivalents of Avellaneda and Stoikov's quotes, and what is gained over them on the same
# paths. Whoever fills us moves the mid against us, by the impact and by all that the order will
# excite. Centring the quotes and widening them in bursts does not pay for that: at a self-excitation
# of 0.8 it gains {glue:text}`model_reacting:.2f` ({glue:text}`model_reacting_se:.2f`) on
# {glue:text}`model_plain:.2f`. Plain quotes that *charge* for it, by moving out as far as the order
# that fills them will move the mid, gain {glue:text}`model_charging:.2f`; doing both
# {glue:text}`model_both:.2f` ({glue:text}`model_both_se:.2f`).

# %% [markdown]
# ## Sweep
#
# Are the standard errors to be believed? Simulate samples with a branching ratio of
# {glue:text}`sample_branching:g` and {glue:text}`sample_length:g` mean lifetimes $1/\beta$ of the
# excitation long, fit them, and count how often the 95 % interval of the branching ratio covers the
# truth. With {glue:text}`n_samples:d` samples a coverage of 95 % has a standard error of
# {glue:text}`coverage_se:.1f` points.

# %%
own_seed = np.random.SeedSequence(
    [seed, round(1e6 * sample_branching), round(1e3 * sample_length)]
).generate_state(1)[0]
samples = hawkes.simulate(
    0.5, sample_branching, 1.0, sample_length, seed=int(own_seed), n_paths=n_samples
)
found = [hawkes.fit(one.times, sample_length) for one in samples]
estimates = np.array([one.adjacency for one in found])
intervals = pd.DataFrame([one.intervals().loc["adjacency"] for one in found])
covered = intervals["lower"].le(sample_branching) & intervals["upper"].ge(
    sample_branching
)

# %%
record(
    n_samples=n_samples,
    sample_branching=sample_branching,
    sample_length=sample_length,
    coverage=100 * covered.mean(),
    coverage_se=100 * np.sqrt(0.95 * 0.05 / n_samples),
    no_interval=100 * intervals["upper"].isna().mean(),
    at_zero=100 * (estimates < 1e-6).mean(),
    at_least_one=100 * (estimates >= 1).mean(),
    median_error=np.median(estimates) - sample_branching,
    mean_absolute_error=np.abs(np.minimum(estimates, 1) - sample_branching).mean(),
    mean_events=np.mean([len(one.times) for one in samples]),
)

# %% [markdown]
# The intervals cover {glue:text}`coverage:.1f` %; a sample without an interval, as are
# {glue:text}`no_interval:.1f` %, counts as not covered. The published sweep does the same at other
# branching ratios and lengths. Its samples are simulated, whatever session the rest of a point stands
# on, and every cell has random numbers of its own.

# %% tags=["sweep"]
swept = published_sweep("hawkes_coverage")
coverages = swept.pivot_table(
    "coverage", "parameters.sample_length", "parameters.sample_branching"
)
drawn_samples = swept["n_samples"].iloc[0]
plots.heatmap(
    coverages,
    x="branching ratio",
    y="length, mean lifetimes",
    z="coverage, %",
    numbers=".1f",
    middle=95.0,
    caption="Coverage of nominal 95 % intervals for the branching ratio in "
    f"simulated samples, {drawn_samples} a cell.",
    alt="Least in the shortest samples of the least branching ratio, "
    f"{coverages.iloc[0, 0]:.0f} per cent; in the longest from "
    f"{coverages.iloc[-1].min():.0f} to {coverages.iloc[-1].max():.0f}.",
)

# %% tags=["sweep"]
cells = swept.set_index(["parameters.sample_branching", "parameters.sample_length"])
weak = cells.loc[(coverages.columns[0], coverages.index[0])]
middle = cells.loc[(coverages.columns[0], coverages.index[-2])]
assert coverages.min(axis=None) == weak["coverage"], "the figure's text says so"
record(
    swept_samples=drawn_samples,
    swept_se=swept["coverage_se"].iloc[0],
    long_coverage=coverages.iloc[-1].mean(),
    long_se=swept["coverage_se"].iloc[0] / np.sqrt(coverages.shape[1]),
    long_length=coverages.index[-1],
    short_length=coverages.index[0],
    weak_ratio=coverages.columns[0],
    weak_coverage=weak["coverage"],
    weak_zero=weak["at_zero"],
    weak_explosive=weak["at_least_one"],
    weak_missing=weak["no_interval"],
    weak_given=100 * weak["coverage"] / (100 - weak["no_interval"]),
    weak_error=weak["mean_absolute_error"],
    weak_long=coverages.iloc[-1, 0],
    weak_mid_length=coverages.index[-2],
    weak_mid_coverage=middle["coverage"],
    weak_mid_missing=middle["no_interval"],
    strong_ratio=coverages.columns[-1],
    strong_coverage=coverages.iloc[0, -1],
)

# %% [markdown]
# A cell of {glue:text}`swept_samples:d` samples has a standard error of {glue:text}`swept_se:.1f` points
# where the coverage is 95 %. In samples of {glue:text}`long_length:.0f` lifetimes the intervals cover
# {glue:text}`long_coverage:.1f` % ({glue:text}`long_se:.1f`) on average over the branching ratios,
# against a nominal 95 %. In those of {glue:text}`short_length:.0f` the branching ratio decides: {glue:text}`strong_coverage:.0f` % at
# {glue:text}`strong_ratio:g`, {glue:text}`weak_coverage:.0f` % at {glue:text}`weak_ratio:g`, where the
# longest come to {glue:text}`weak_long:.0f` %. With little excitation there is little to tell it by: of
# the shortest and weakest samples {glue:text}`weak_missing:.0f` % have no interval
# ({glue:text}`weak_zero:.0f` % have an estimate of 0, the edge of what it can be, where curvature gives no
# standard error), and of the rest {glue:text}`weak_given:.0f` % cover, with intervals that are wide.
# Missing intervals are not all of it: at {glue:text}`weak_mid_length:.0f` lifetimes only
# {glue:text}`weak_mid_missing:.1f` % have none, and {glue:text}`weak_mid_coverage:.0f` % cover. Near 0 the
# estimate is not normal, and an interval from the curvature is too short on its upper side. In the
# shortest and weakest samples {glue:text}`weak_explosive:.1f` % of the estimates are at least one: a slow decay with a large adjacency
# is a drift of the rate, and a short sample cannot tell it from excitation. The mean absolute error
# there, such estimates taken as 1, is {glue:text}`weak_error:.2f`; the ratio is {glue:text}`weak_ratio:g`. The
# sweep again, and another one:
#
# ```console
# labkit sweep hawkes_coverage
# labkit results hawkes_coverage
# labkit sweep hawkes_modeling -g seed=1:21 -p n_samples=100
# ```

# %% [markdown]
# ## Exercises
#
# **1. Change.** Let an event excite in proportion to the prints at its time, instead of equally:
# counts as marks. Is the likelihood better, and what is the branching ratio now (per event, at the
# mean mark)?

# %% tags=["hide-input"]
marked = hawkes.fit(times, end, marks=together / together.mean())
better = marked.log_likelihood - fitted.log_likelihood
print(f"log-likelihood {better:+.1f}, branching {marked.branching_ratio:.3f}")

# %% [markdown]
# **2. Extend.** Put six types of event, market orders, limit orders and cancellations on both sides,
# through a matching engine, and find the branching matrix again from the times alone.

# %% tags=["hide-input"]
adjacency = 0.25 * np.eye(6) + 0.05
flow = hawkes.simulate_order_flow(
    np.full(6, 1.0), adjacency, 20.0, duration_s=300.0, seed=seed
)
series = [flow.times[flow.types == kind] for kind in range(6)]
again = hawkes.fit(series, 300.0, decay=20.0)
off = again.adjacency - adjacency
errors = again.standard_errors.filter(like="adjacency").to_numpy().reshape(6, 6)
print(f"trades {len(flow.matched.trades)}, book changes {len(flow.events)}")
print(f"largest error {np.nanmax(np.abs(off / errors)):.1f} standard errors")

# %% [markdown]
# **3. Break.** Shuffle the gaps between the trades, which keeps their law and destroys their order.
# What is left of the branching ratio, and what do the residuals of the Poisson process still say?

# %% tags=["hide-input"]
gaps = np.diff(times, prepend=0.0)[1:]
shuffled = np.cumsum(np.random.default_rng(seed).permutation(gaps))
broken = hawkes.fit(shuffled, end)
again = hawkes.compensator_residuals(shuffled, len(shuffled) / end, 0.0, 1.0).table
print(f"branching {broken.branching_ratio:.3f}, was {fitted.branching_ratio:.3f}")
print(f"Poisson, independence: p = {again.loc[0, 'ljung_box_pvalue']:.2f}")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`hawkes_1971`: where it begins; {cite:t}`hawkes_oakes_1974`: the family tree.
# - {cite:t}`ozaki_1979` and {cite:t}`ogata_1981`: likelihood and simulation.
# - {cite:t}`bacry_mastromatteo_muzy_2015`: a survey of the uses in finance.
# - {cite:t}`filimonov_sornette_2012` and {cite:t}`hardiman_2013`: two answers to one question.
# - {cite:t}`cartea_jaimungal_ricci_2014`: market making when market orders excite one another.

# %% tags=["remove-input"]
import labkit

print(
    f"labkit {labkit.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
)
print("time of this run, backend and data: see the page Execution")
