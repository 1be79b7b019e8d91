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
# # Imbalance and the micro-price: does the book know where the next trade will be?
#
# **You will** see how the sizes at the best quotes announce the next move; fit Stoikov's micro-price
# and test it on quotes that it has not seen; regress price changes on order-flow imbalance; and let
# a market maker quote around the micro-price instead of the mid, on the same session and with the
# same latency, queue and fees.
#
# **You will learn** to tell a signal that is true from one that pays: what it foretells, against the
# distance and the fee at which one can trade.
#
# **You need** Markov chains, least squares, and the chapter on market making for the quotes and the
# replay. The chapter runs without a network on a simulated session; a real recording is one
# parameter away.
#
# ```{admonition} The claim
# :class: important
# In {glue:text}`dataset`, out of sample, the micro-price explains {glue:text}`explained_1s:.4f` of
# the squared changes of the mid over one second ({glue:text}`explained_1s_se:.4f`) and names the
# direction of the next change in {glue:text}`hit_rate:.1%` of quotes
# ([section](out-of-sample)). Quoting around it instead of the mid changes the profit of the session
# by {glue:text}`gain:.1f` ticks times orders ({glue:text}`gain_se:.1f`)
# ([section](does-quoting-on-it-survive)).
# ```

# %%
from statistics import NormalDist

import numpy as np
import pandas as pd
import statsmodels.api as sm

from labkit import backtest, data, plots, published
from labkit import market_making as mm
from labkit.experiments import published_sweep, record

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
dataset = "simulated_market"  # real: "binance_spot_btcusdt_20240808"
fit_share = 0.5  # first part of the session, on which everything is fitted
n_buckets = 10  # of the imbalance
max_spread = 2  # widest spread with rows of its own, ticks
bin_s = 1.0  # over which order flow is summed, seconds
risk_aversion = 0.05  # gamma as a share of k, of the market maker
max_inventory = 10  # orders held at most, long or short
order_lots = 10  # size of an order, lots
interval_ms = 100.0  # between two looks at the market, milliseconds
feed_latency_ms = 1.0  # least delay of the feed, milliseconds
latency_ms = 5.0  # from us to the venue, and from the venue to us, ms each
maker_fee_bp = 0.1  # fee on a passive fill, basis points of its value

# %%
for name in ("n_buckets", "max_spread", "max_inventory", "order_lots"):
    if not isinstance(globals()[name], int):
        raise ValueError(f"{name} must be an integer, got {globals()[name]}")
if not 0.1 <= fit_share <= 0.9:
    raise ValueError(f"fit_share must be in [0.1, 0.9], got {fit_share}")
if n_buckets < 2 or max_spread < 1 or not 0.01 <= bin_s <= 10:
    raise ValueError(
        "n_buckets must be at least 2, max_spread at least 1, bin_s in [0.01, 10]"
    )
if not 0 < risk_aversion <= 10 or max_inventory < 1 or order_lots < 1:
    raise ValueError("risk_aversion, max_inventory and order_lots must be positive")
if not (1 <= interval_ms <= 1e5 and 0 <= feed_latency_ms <= 1e4):
    raise ValueError("interval_ms must be in [1, 1e5], feed_latency_ms in [0, 1e4]")
if not 0 <= latency_ms <= 1e4:
    raise ValueError(f"latency_ms must be in [0, 1e4], got {latency_ms}")
if not -100 < maker_fee_bp < 100:
    raise ValueError(f"maker_fee_bp must be within 100, got {maker_fee_bp}")
record(dataset=dataset, bin_s=bin_s, latency_ms=latency_ms)

# %% [markdown]
# ## The session
#
# Every row is the best bid and ask with their sizes, in ticks and lots, and the time at which it was
# received. Where the venue sends its best quotes in a stream of their own, those are used; else they
# are those of the rebuilt book. What is fitted is fitted on the first part; all tests are on the
# second.

# %%
session = data.load(dataset)
session

# %%
SECOND = 1_000_000_000
raw = backtest.recording(session)
tape = backtest.align_clock(raw, round(feed_latency_ms * 1e6))
instrument = tape.instrument
shift_ns = int(tape.events["local_ns"][0] - raw.events["local_ns"][0])
columns = ["local_ns", "bid", "bid_size", "ask", "ask_size"]
if "quotes" in session.tables:
    quotes = session["quotes"][columns].copy()
    quotes["local_ns"] += shift_ns
    quotes = quotes.sort_values("local_ns", kind="stable")
else:
    quotes = backtest.best_quotes(tape)[columns]
    quotes = quotes.drop_duplicates("local_ns", keep="last")
whole = (quotes["bid"] > 0) & (quotes["ask"] > quotes["bid"])
changed = quotes[columns[1:]].diff().ne(0).any(axis=1)
quotes = quotes[whole & changed].reset_index(drop=True)
time_ns = quotes["local_ns"].to_numpy()
split_ns = int(time_ns[0] + fit_share * (time_ns[-1] - time_ns[0]))
mid = ((quotes["bid"] + quotes["ask"]) / 2).to_numpy()
share = (quotes["bid_size"] / (quotes["bid_size"] + quotes["ask_size"])).to_numpy()
spread = (quotes["ask"] - quotes["bid"]).to_numpy()
fitted = time_ns < split_ns

# %% [markdown]
# ## What the sizes announce
#
# Call $I = Q_b / (Q_b + Q_a)$ the imbalance, the bid's share of the size at the best quotes. If it is
# near one, sellers at the ask are about to be used up. The first figure is the oldest fact about
# limit order books: the direction of the *next* change of the mid, by the imbalance now.

# %%
moves = np.flatnonzero(np.diff(mid)) + 1  # rows at which the mid has just changed
following = np.searchsorted(moves, np.arange(len(mid)), side="right")
known = following < len(moves)
upward = np.full(len(mid), np.nan)
upward[known] = mid[moves[following[known]]] > mid[moves[following[known]] - 1]
edges = np.arange(1, n_buckets) / n_buckets
bucket = np.searchsorted(edges, share, side="right")
tested = ~fitted & known
by_bucket = pd.Series(upward[tested]).groupby(bucket[tested]).agg(["mean", "count"])
runs = pd.Series(following[tested]).groupby(bucket[tested]).nunique()
error = np.sqrt(by_bucket["mean"] * (1 - by_bucket["mean"]) / runs)
centres = (by_bucket.index.to_numpy() + 0.5) / n_buckets
curve = pd.DataFrame(
    {"next move is up": by_bucket["mean"].to_numpy()}, index=centres
)
band = [
    (by_bucket["mean"] + sign * 2 * error).clip(0, 1).to_numpy() for sign in (-1, 1)
]
plots.lines(
    curve,
    band={"next move is up": tuple(band)},
    x="imbalance",
    y="share of next moves that are up",
    level=(0.5, "a coin"),
    caption="Direction of the next change of the mid against the imbalance, "
    f"second part of {session.name}; the band is two standard errors, counting "
    "each change of the mid once in a bucket.",
    alt=f"A rising curve from {curve.iloc[0, 0]:.2f} at the lowest imbalance to "
    f"{curve.iloc[-1, 0]:.2f} at the highest.",
)

# %%
record(up_low=float(curve.iloc[0, 0]), up_high=float(curve.iloc[-1, 0]))

# %% [markdown]
# The next move is up {glue:text}`up_low:.0%` of the time at the lowest imbalance and
# {glue:text}`up_high:.0%` at the highest.
#
# ## A price that knows it
#
# The *weighted mid* $I P_a + (1 - I) P_b$ puts the price near the side that is thin. It is quick to
# compute and has no theory behind it: it is not a martingale, it jumps when a level is added far from
# any trade, and it weighs the spread in full however wide it is. {cite:t}`stoikov_2018` begins with
# an example of what is wrong with it.

# %% tags=["keep_output", "nbval-check-output"]
example = published.inputs("stoikov_weighted_mid")
before = mm.weighted_mid(
    example["bid"], example["bid_size"], example["ask"], example["ask_size"]
)
after = mm.weighted_mid(
    example["bid"], example["bid_size"], example["new_ask"], example["new_ask_size"]
)
published.check("stoikov_weighted_mid", before=before, after=after)

# %% [markdown]
# A seller improves the ask by half the spread with a single lot, which if anything is bad news for
# the price, and the weighted mid *rises* by four tenths of a tick. (The paper prints the weight of
# the second figure as $1/(1 + 9)$; the price that it states belongs to $9/(9 + 1)$.)
#
# The *micro-price* is the price far enough in the future for the present book to be forgotten,
#
# ```{math}
# :label: eq-microprice
# P^{micro}_t = \lim_{i \to \infty} \mathrm{E}\,[\,M_{\tau_i} \mid I_t, S_t\,],
# ```
#
# with $\tau_i$ the time of the $i$-th change of the mid $M$. It is a martingale by construction. With
# imbalance in $n$ buckets and spread in ticks, the state $x = (S, I)$ moves as a Markov chain from one
# quote to the next, and
#
# ```{math}
# :label: eq-chain
# G_1 = (1 - Q)^{-1} R K, \qquad B = (1 - Q)^{-1} T, \qquad
# P^{micro} = M + G^*, \quad G^* = \sum_{i \ge 0} B^i G_1 ,
# ```
#
# where $Q$ has the probabilities of passing to another state without a change of the mid, $R$ those
# of a change by each amount in $K$, and $T$ those of passing to a state with a change. $G_1$ is the
# expected first change, $B$ the state after it. The sum converges only if changes far away cancel,
# $B^* G_1 = 0$ with $B^* = \lim B^i$ (theorem 3.1): on real counts that is never exactly true, and
# Stoikov makes it so by adding to each observation its mirror image, $I \to 1 - I$ and
# $\Delta M \to -\Delta M$.
#
# | symbol | in the code | unit | source |
# |---|---|---|---|
# | $I$ | `share` | 1 | bid's share of the size at the touch |
# | $M$, $S$ | `mid`, `spread` | ticks | |
# | $Q$, $T$ | `still`, `moving` | 1 | {eq}`eq-chain` |
# | $RK$ | `drift` | ticks | expected change at the next quote |
# | $G^*$ | `adjustment` | ticks | {eq}`eq-chain` |
# | $e_n$ | `flow` | lots | {eq}`eq-ofi` |
#
# **Reproduced here:** the worked example. **Not reproduced:** the figures of {cite:t}`stoikov_2018`
# and the regressions of {cite:t}`cont_2014`, whose data are proprietary.

# %%
n_states = max_spread * n_buckets


def adjustment_by_hand(mid, spread, bucket):
    """G* for each spread and bucket, from quotes and their mirror images."""
    row = (np.minimum(spread, max_spread) - 1) * n_buckets
    still, moving = np.zeros((2, n_states, n_states))
    drift = np.zeros(n_states)
    change = np.diff(mid)
    for image, sign in ((bucket, 1.0), (n_buckets - 1 - bucket, -1.0)):
        state = row + image
        pair = state[:-1], state[1:]
        np.add.at(still, pair, change == 0)
        np.add.at(moving, pair, change != 0)
        np.add.at(drift, state[:-1], sign * change)
    seen = (still + moving).sum(axis=1)
    still, moving = still / seen[:, None], moving / seen[:, None]
    drift /= seen
    first, after = np.hsplit(
        np.linalg.solve(np.eye(n_states) - still, np.c_[drift, moving]), [1]
    )
    total, term = np.zeros(n_states), first[:, 0]
    while np.abs(term).max() > 1e-12:
        total, term = total + term, after @ term
    return total.reshape(max_spread, n_buckets)


# %%
part = quotes[fitted]
by_hand = adjustment_by_hand(mid[fitted], spread[fitted], bucket[fitted])
model = mm.MicroPriceModel.fit(
    part["bid"],
    part["bid_size"],
    part["ask"],
    part["ask_size"],
    tick_size=1.0,
    n_buckets=n_buckets,
    max_spread=max_spread,
)
np.testing.assert_allclose(model.adjustment, by_hand, rtol=1e-6, atol=1e-9)

# %%
centres = (np.arange(n_buckets) + 0.5) / n_buckets
curves = pd.DataFrame(
    {f"spread {s + 1}": model.adjustment[s] for s in range(max_spread)},
    index=centres,
)
plots.lines(
    curves.assign(**{"weighted mid, spread 1": centres - 0.5}),
    x="imbalance",
    y="micro-price less mid, ticks",
    level=(0.0, "mid"),
    caption=f"The adjustment fitted to the first part of {session.name}, for each "
    "spread in ticks (the last for wider ones too), and that of the weighted mid.",
    alt="Rising curves that cross zero at an imbalance of one half.",
)

# %% tags=["keep_output", "nbval-check-output"]
assert model.converged
pd.DataFrame(
    model.adjustment,
    index=pd.RangeIndex(1, max_spread + 1, name="spread, ticks"),
    columns=[f"{c:.2f}" for c in centres],
).round(3)

# %% [markdown]
# (out-of-sample)=
# ## Out of sample
#
# Three forecasts of the mid some seconds ahead, on the second part of the session: the mid itself,
# the weighted mid, the micro-price. The score is the share of the squared changes of the mid that a
# forecast explains, $1 - \sum (M_{t+h} - \hat M_t)^2 / \sum (M_{t+h} - M_t)^2$; below zero it is worse
# than the mid. Forecasts overlap, so the standard errors come from ten-second blocks, by the
# delta method for a ratio of sums.

# %%
HORIZONS_S = [0.1, 0.3, 1.0, 3.0, 10.0]
BLOCK_S = 10.0
estimates = {
    "weighted mid": mm.weighted_mid(*quotes[columns[1:]].to_numpy(float).T),
    "micro-price": model.predict(*quotes[columns[1:]].to_numpy(float).T),
}


def score(forecast, horizon_s):
    """Share of squared changes explained, and its standard error over blocks."""
    later = time_ns + round(horizon_s * SECOND)
    ahead = np.searchsorted(time_ns, later, side="right") - 1
    use = ~fitted & (later <= time_ns[-1])
    change = mid[ahead] - mid
    lost = ((change - (forecast - mid)) ** 2)[use]
    total = (change**2)[use]
    block = ((time_ns[use] - split_ns) / (BLOCK_S * SECOND)).astype(int)
    lost, total = np.bincount(block, lost), np.bincount(block, total)
    ratio = lost.sum() / total.sum()
    n = len(total)
    residual = lost - ratio * total
    return 1 - ratio, np.sqrt(n / (n - 1) * (residual**2).sum()) / total.sum()


# %% tags=["keep_output", "nbval-check-output"]
scores = {
    (horizon, name): score(forecast, horizon)
    for horizon in HORIZONS_S
    for name, forecast in estimates.items()
}
explained = pd.DataFrame(scores, index=["explained", "s.e."]).T
explained.rename_axis(["seconds ahead", "forecast"]).round(4)

# %%
direction = np.sign(estimates["micro-price"] - mid)
sure = tested & (direction != 0)
hit = (direction[sure] > 0) == upward[sure]
one_second = explained.loc[(1.0, "micro-price")]
record(
    explained_1s=one_second["explained"],
    explained_1s_se=one_second["s.e."],
    hit_rate=float(hit.mean()),
    up_share=float(upward[sure].mean()),
    typical_signal=float(np.abs(estimates["micro-price"] - mid)[~fitted].mean()),
    typical_spread=float(spread[~fitted].mean()),
    half_spread=float(spread[~fitted].mean() / 2),
    fee_ticks=float(maker_fee_bp * 1e-4 * mid[~fitted].mean()),
)

# %% [markdown]
# Where a figure is negative the forecast is worse than the mid itself: the micro-price is the limit
# far ahead, and over a moment the mid has not gone there yet. One second ahead it explains {glue:text}`explained_1s:.4f` of the squared changes
# ({glue:text}`explained_1s_se:.4f`), and it names the direction of the next change rightly in
# {glue:text}`hit_rate:.1%` of quotes (it is up in {glue:text}`up_share:.1%`). Its mean distance from the mid is
# {glue:text}`typical_signal:.2f` ticks, where the mean spread is {glue:text}`typical_spread:.2f`.
#
# ## Order-flow imbalance
#
# The micro-price looks at the state of the book; {cite:t}`cont_2014` look at what
# happens to it. Each change of the best quotes adds to demand or supply,
#
# ```{math}
# :label: eq-ofi
# e_n = 1_{P^b_n \ge P^b_{n-1}} q^b_n - 1_{P^b_n \le P^b_{n-1}} q^b_{n-1}
# - 1_{P^a_n \le P^a_{n-1}} q^a_n + 1_{P^a_n \ge P^a_{n-1}} q^a_{n-1} ,
# ```
#
# and the order-flow imbalance of an interval is the sum. In a book with $D$ lots at every level the
# mid moves by $\mathrm{OFI} / 2D$ ticks: a slope that can be compared with the depth. It describes
# the same interval; whether it foretells the next one is another regression.

# %%
best = quotes[columns[1:]].to_numpy(float).T


def flow_by_hand(bid, bid_size, ask, ask_size):
    """The definition, term by term."""
    up, down = bid[1:] >= bid[:-1], bid[1:] <= bid[:-1]
    low, high = ask[1:] <= ask[:-1], ask[1:] >= ask[:-1]
    demand = up * bid_size[1:] - down * bid_size[:-1]
    return demand - low * ask_size[1:] + high * ask_size[:-1]


flow = mm.order_flow_imbalance(*best)
np.testing.assert_allclose(flow, flow_by_hand(*best), rtol=1e-12)
bins_ns = np.arange(time_ns[0], time_ns[-1], round(bin_s * SECOND))
n_bins = len(bins_ns) - 1
if n_bins < 50:
    raise ValueError(f"bin_s must leave at least 50 intervals, got {n_bins}")
ofi = mm.sum_by_time(time_ns[1:], flow, bins_ns)
last = np.searchsorted(time_ns, bins_ns, side="right") - 1
change = np.diff(mid[last])
trades = tape.events[tape.events["kind"] == backtest.TRADE]
traded = mm.sum_by_time(
    trades["local_ns"], trades["side"] * trades["size"], bins_ns
)

# %% tags=["keep_output", "nbval-check-output"]
LAGS = 5  # of the Newey-West covariance, in bins
regressions = {}
for name, x, y in (
    ("on order-flow imbalance", ofi, change),
    ("on trade imbalance", traded, change),
    ("next change on order-flow imbalance", ofi[:-1], change[1:]),
):
    fit = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="HAC", cov_kwds={"maxlags": LAGS}
    )
    regressions[name] = (fit.params[1], fit.bse[1], fit.tvalues[1], fit.rsquared)
regressions = pd.DataFrame(
    regressions, index=["ticks per lot", "s.e.", "t", "R squared"]
).T
regressions.map(lambda value: f"{value:.4g}")

# %%
slope, r2 = regressions.loc[
    "on order-flow imbalance", ["ticks per lot", "R squared"]
]
depth = float((quotes["bid_size"] + quotes["ask_size"]).mean() / 2)
record(
    ofi_r2=r2,
    trade_r2=regressions.loc["on trade imbalance", "R squared"],
    next_r2=regressions.loc["next change on order-flow imbalance", "R squared"],
    next_t=regressions.loc["next change on order-flow imbalance", "t"],
    implied_depth=1 / (2 * slope),
    depth=depth,
    n_bins=n_bins,
)
plots.points(
    {"one bin": pd.Series(change, index=ofi)},
    x="order-flow imbalance, lots",
    y="change of the mid, ticks",
    level=(0.0, ""),
    caption=f"Change of the mid against order-flow imbalance in {n_bins} intervals "
    f"of {bin_s:g} s ({session.name}). It explains {r2:.0%} of the variance.",
    alt="A cloud of points that rises from left to right.",
)

# %% [markdown]
# Over intervals of {glue:text}`bin_s:g` s order-flow imbalance explains {glue:text}`ofi_r2:.1%` of the
# variance of the mid, and trade imbalance {glue:text}`trade_r2:.1%`. (Cont, Kukanov and Stoikov report
# about 65 and 32 per cent for 50 stocks at ten seconds; from the literature, page not checked, and
# with other data no gate for ours.) The slope is that of a book with {glue:text}`implied_depth:.0f`
# lots a level; the mean size at the best quotes is {glue:text}`depth:.0f`. The two can be far apart
# where ticks are fine: behind the best quote most prices then hold nothing. Of the *next* interval
# the flow explains {glue:text}`next_r2:.2%` (t = {glue:text}`next_t:.1f`); what counts for trading is
# that regression, not the first.
#
# ## Quoting on it
#
# A market maker who centres the quotes on the micro-price leans with the book: when the bid is thick
# both quotes rise, the ask is out of the way of the buyer who is about to come, and the bid is
# nearer. Both market makers here have the same offsets, those of the exact solution of the market-
# making chapter, calibrated on the first part of the session; only the centre differs. The
# adjustment is computed from the book as the strategy receives it.

# %%
SECONDS_NS = np.arange(time_ns[0], split_ns, SECOND)
sigma = float(
    np.diff(mid[np.searchsorted(time_ns, SECONDS_NS, side="right") - 1]).std()
)
early = tape.events[
    (tape.events["kind"] == backtest.TRADE) & (tape.events["local_ns"] < split_ns)
]
happened, side = early["exchange_ns"], early["side"]
reach = mm.trade_depth(happened, early["price"], side, time_ns, mid)
known = ~np.isnan(reach)
rate = mm.fill_intensity(
    happened[known] / SECOND,
    reach[known],
    side[known],
    (split_ns - time_ns[0]) / SECOND,
    min_depth=0.5,
    tick=0.5,
    method="regression",
)
A, k = rate.A, rate.k

# %%
offsets = mm.glft_quotes(
    max_inventory, gamma=risk_aversion * k, sigma=sigma, A=A, k=k
)


def trade(adjustment=None, *, delay_ms=latency_ms, fee_bp=0.0, offsets=offsets):
    """Replay the second part of the session around the mid, or an adjusted one."""
    rows = [
        np.vstack([np.full(side.shape, np.nan), side])
        for side in (offsets.bid_offset, offsets.ask_offset)
    ]
    strategy = backtest.InventoryQuoter(
        *rows,
        order_lots,
        round(interval_ms * 1e6),
        times=[int(time_ns[0]), split_ns],
        adjustment=adjustment,
    )
    delay_ns = round(delay_ms * 1e6)
    return backtest.replay(
        tape,
        strategy,
        latency=backtest.ConstantLatency(delay_ns, delay_ns),
        queue=backtest.RiskAverseQueue(),
        fees=backtest.Fees(maker=fee_bp * 1e-4, taker=fee_bp * 1e-4),
    )


# %%
unit = order_lots * instrument.lot_size * instrument.tick_size
block = f"{BLOCK_S:g}s"


def gains(replayed):
    """Profit of each block, in ticks on one order."""
    equity = replayed.equity / unit
    known = equity[equity.index >= pd.Timestamp(split_ns, tz="UTC")]
    levels = known.resample(block).last().ffill()
    return levels.diff().fillna(levels.iloc[0])


results = {
    "around the mid": trade(),
    "around the micro-price": trade(model.adjustment),
}

# %% tags=["keep_output", "nbval-check-output"]
by_block = pd.DataFrame({name: gains(one) for name, one in results.items()})
by_block["difference"] = by_block.iloc[:, 1] - by_block.iloc[:, 0]
filled = [one.fills["lots"].sum() / order_lots for one in results.values()]
paid = [one.turnover * maker_fee_bp * 1e-4 / unit for one in results.values()]
verdict = pd.DataFrame(
    {
        "profit, ticks x orders": by_block.sum(),
        "s.e.": by_block.std() * np.sqrt(len(by_block)),
        "orders filled": [*filled, filled[1] - filled[0]],
        "fee": [*paid, paid[1] - paid[0]],
    }
)
verdict["after fee"] = verdict["profit, ticks x orders"] - verdict["fee"]
verdict.round(2)

# %%
profit, error = verdict["profit, ticks x orders"], verdict["s.e."]
record(
    profit_mid=profit["around the mid"],
    profit_micro=profit["around the micro-price"],
    gain=profit["difference"],
    gain_se=error["difference"],
    filled_mid=filled[0],
    filled_micro=filled[1],
    net_micro=verdict.loc["around the micro-price", "after fee"],
    maker_fee_bp=maker_fee_bp,
)
running = by_block.iloc[:, :2].cumsum()
running.index = (running.index - running.index[0]).total_seconds()
plots.steps(
    running,
    x="seconds since trading began",
    y="profit, ticks x orders",
    level=(0.0, ""),
    caption=f"The same offsets around the mid and around the micro-price, "
    f"{session.name}, {latency_ms:g} ms away from the venue, before fees.",
    alt=f"Two step curves; around the mid it ends at {running.iloc[-1, 0]:.0f}, "
    f"around the micro-price at {running.iloc[-1, 1]:.0f}.",
)

# %% [markdown]
# (does-quoting-on-it-survive)=
# ## Does it survive?
#
# Around the mid the session brings {glue:text}`profit_mid:.1f` ticks times orders before fees, around
# the micro-price {glue:text}`profit_micro:.1f`; the difference is {glue:text}`gain:.1f` with a
# standard error of {glue:text}`gain_se:.1f`, both runs taken block by block on the same events. After
# a maker fee of {glue:text}`maker_fee_bp:.2f` bp the second is left with {glue:text}`net_micro:.1f`.
#
# **Latency.** Is the signal worth less a moment later? The difference between the two, over the delay
# each way, with a band that says how much of its shape to believe:

# %%
DELAYS_MS = [0.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
advantage = {}
for delay_ms in DELAYS_MS:
    pair = [
        gains(trade(adjustment, delay_ms=delay_ms))
        for adjustment in (None, model.adjustment)
    ]
    difference = (pair[1] - pair[0]).dropna()
    total = difference.sum()
    spread_of_total = difference.std() * np.sqrt(len(difference))
    advantage[delay_ms] = (total, spread_of_total)
advantage = pd.DataFrame(advantage, index=["gain", "s.e."]).T
lower, upper = (
    advantage["gain"] + sign * 2 * advantage["s.e."] for sign in (-1, 1)
)
plots.lines(
    advantage[["gain"]],
    band={"gain": (lower, upper)},
    x="delay each way, ms",
    y="profit gained, ticks x orders",
    level=(0.0, "no difference"),
    caption="Profit of quoting around the micro-price less that of quoting around "
    f"the mid, against the delay ({session.name}); two standard errors.",
    alt=f"A curve from {advantage['gain'].iloc[0]:.0f} without delay to "
    f"{advantage['gain'].iloc[-1]:.0f} at {DELAYS_MS[-1]:g} ms.",
)

# %% [markdown]
# **Spread, fee, queue and capacity.** The micro-price is {glue:text}`typical_signal:.2f` ticks from
# the mid on average. Half the spread is {glue:text}`half_spread:.2f` ticks and the maker's fee
# {glue:text}`fee_ticks:.2f`: a taker would have to pay both, the fee at the taker's rate, to act on
# the signal alone. The replay puts every order at the end of its queue and lets only trades move it
# up; sizes are small against the market's.
#
# **Out of sample and number of trials.** The micro-price, the intensity and the volatility were
# fitted on the first part and used on the second. The number of buckets was fixed before; the sweep
# below varies it afterwards on the same traded part, so that its best cell is chosen in hindsight.
# Spreads were not searched over. One session is one sample, and the standard errors over blocks take
# blocks as independent.

# %% [markdown]
# ## Sweep
#
# How finely should the imbalance be cut? Each cell is a run of this chapter on
# {glue:text}`swept_dataset` with its own `n_buckets` and `latency_ms`, and the number in it is the
# profit that quoting around the micro-price gains on quoting around the mid.

# %% tags=["sweep"]
swept = published_sweep("imbalance_buckets")


def over_both(column):
    """A recorded value over buckets and latency."""
    return swept.pivot_table(
        index="parameters.n_buckets", columns="parameters.latency_ms", values=column
    )


gained, gained_se = over_both("gain"), over_both("gain_se")
plots.heatmap(
    gained / 1e3,
    x="delay each way, ms",
    y="buckets of the imbalance",
    z="gain, thousand ticks x orders",
    numbers=".1f",
    middle=0.0,
    caption="Profit of quoting around the micro-price less that of quoting around "
    f"the mid, before fees, on {swept['parameters.dataset'].iloc[0]}; standard "
    f"errors from {gained_se.min(axis=None) / 1e3:.1f} to "
    f"{gained_se.max(axis=None) / 1e3:.1f} thousand.",
    alt="A table of numbers over delay and buckets, between "
    f"{gained.min(axis=None) / 1e3:.1f} and {gained.max(axis=None) / 1e3:.1f} "
    "thousand.",
)

# %% tags=["sweep"]
in_errors = gained / gained_se
told = swept.groupby("parameters.n_buckets")[["explained_1s", "explained_1s_se"]]
told = told.first()  # the forecast knows nothing of latency
record(
    swept_dataset=swept["parameters.dataset"].iloc[0],
    swept_points=len(swept),
    swept_few=int(told.index[0]),
    swept_ten=10,
    swept_told_ten=told["explained_1s"][10],
    swept_many=int(told.index[-1]),
    swept_told_few=told["explained_1s"].iloc[0],
    swept_told_few_se=told["explained_1s_se"].iloc[0],
    swept_told_many=told["explained_1s"].iloc[-1],
    swept_told_many_se=told["explained_1s_se"].iloc[-1],
    swept_se_low=gained_se.min(axis=None),
    swept_se_high=gained_se.max(axis=None),
    swept_most_errors=in_errors.max(axis=None),
    swept_least_errors=in_errors.min(axis=None),
    swept_delays=len(gained.columns),
    swept_threshold=NormalDist().inv_cdf(1 - 0.025 / len(gained.columns)),
    swept_best=swept["profit_micro"].max(),
)

# %% tags=["sweep"]
gains = swept[swept["gain"] > 0]
each_micro = gains["profit_micro"] / gains["filled_micro"]
each_mid = gains["profit_mid"] / gains["filled_mid"]
assert (swept["profit_micro"] < 0).all(), "the text says that every point loses"
record(
    swept_positive=len(gains),
    swept_fewer=int((gains["filled_micro"] < gains["filled_mid"]).sum()),
    swept_worse=int((each_micro < each_mid).sum()),
)

# %% [markdown]
# The forecast gains from finer buckets up to about ten: with {glue:text}`swept_few` of them it explains
# {glue:text}`swept_told_few:.4f` ({glue:text}`swept_told_few_se:.4f`) of the squared changes of the
# mid over one second, with {glue:text}`swept_ten` it is {glue:text}`swept_told_ten:.4f`, with
# {glue:text}`swept_many` {glue:text}`swept_told_many:.4f` ({glue:text}`swept_told_many_se:.4f`); all are
# of the same blocks, so that the differences are surer than the errors suggest. The account does not
# follow. Of the {glue:text}`swept_points`
# gains {glue:text}`swept_positive` are positive, with standard errors from
# {glue:text}`swept_se_low:.0f` to {glue:text}`swept_se_high:.0f` ticks times orders; the largest is
# {glue:text}`swept_most_errors:.1f` of its own standard errors above zero, the smallest
# {glue:text}`swept_least_errors:.1f`. All cells share the events, and those of a column are much the
# same run; but if they are taken as no more than {glue:text}`swept_delays` looks, one a delay, the
# largest would have to be at {glue:text}`swept_threshold:.1f` errors to be significant at 5 per cent
# (Bonferroni). Nor is a gain a better fill. At every point the quotes lose before fees,
# {glue:text}`swept_best:.0f` at the least bad one, and who loses on what he trades gains by trading
# less: of the {glue:text}`swept_positive` gains {glue:text}`swept_fewer` go with fewer orders filled,
# and at {glue:text}`swept_worse` the micro-price loses more on each.
#
# The sweep again, and its table:
#
# ```console
# labkit sweep imbalance_buckets
# labkit results imbalance_buckets
# ```
#
# Anything else is swept from the command line, such as the market maker's risk aversion with
# `labkit sweep market_making_imbalance -g risk_aversion=0.01,0.05,0.2`.

# %% [markdown]
# ## Exercises
#
# **1. Change.** Is the micro-price a martingale where the weighted mid is not? Regress the change of
# the mid over the next ten seconds on the adjustment: the slope should be one, within its error.

# %% tags=["hide-input"]
later = time_ns + 10 * SECOND
lags = int(
    10 * SECOND / np.diff(time_ns).mean()
)  # rows in ten seconds: the overlap
use = ~fitted & (later <= time_ns[-1])
ahead = mid[np.searchsorted(time_ns, later, side="right") - 1] - mid
for name, estimate in estimates.items():
    fit = sm.OLS(ahead[use], sm.add_constant((estimate - mid)[use])).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags}
    )
    print(f"{name}: slope {fit.params[1]:.2f} ({fit.bse[1]:.2f})")

# %% [markdown]
# **2. Extend.** Without the mirror images the condition of the theorem fails. By how much? Compute
# $B^* G_1$ from the raw counts of the first part, and compare it with the symmetrised chain.

# %% tags=["hide-input"]
state = (np.minimum(spread, max_spread) - 1) * n_buckets + bucket
state, step = state[fitted], np.diff(mid[fitted])
counts = np.zeros((2, n_states, n_states))
np.add.at(counts, ((step != 0).astype(int), state[:-1], state[1:]), 1.0)
drift = np.bincount(state[:-1], step, n_states)
seen = np.maximum(counts.sum(axis=(0, 2)), 1.0)
resolvent = np.linalg.inv(np.eye(n_states) - counts[0] / seen[:, None])
after = resolvent @ (counts[1] / seen[:, None])
limit = np.linalg.matrix_power(after, 4096) @ resolvent @ (drift / seen)
print(f"without mirror images: {np.abs(limit).max():.3g} ticks at each change")
print(f"with them: {model.residual:.1g}")

# %% [markdown]
# **3. Break.** Fit the micro-price on the *whole* session, the part on which it is then tested
# included. How much of its score is the look-ahead worth?

# %% tags=["hide-input"]
peeking = mm.MicroPriceModel.fit(
    *(quotes[name] for name in columns[1:]),
    tick_size=1.0,
    n_buckets=n_buckets,
    max_spread=max_spread,
)
seen_before = score(peeking.predict(*best), 1.0)[0]
print(
    f"explained at one second: {one_second['explained']:.4f}, "
    f"with look-ahead {seen_before:.4f}"
)

# %% [markdown]
# ## Further reading
#
# - {cite:t}`stoikov_2018`: the micro-price, its theorem and its figures.
# - {cite:t}`cont_2014`: order-flow imbalance and the depth as the slope.
# - {cite:t}`gould_bonart_2016`: the imbalance as a predictor of the next move, tested with care.
# - {cite:t}`avellaneda_stoikov_2008`: the quotes that are centred here.

# %% tags=["remove-input"]
import labkit

print(
    f"labkit {labkit.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
)
print("time of this run, backend and data: see the page Execution")
