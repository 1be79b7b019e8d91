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
# # Market making: does the optimal quote survive a queue, a fee and the next trade?
#
# **You will** derive the quotes of Avellaneda and Stoikov, simulate them and reproduce all thirty
# figures of their tables; solve the problem exactly with an inventory limit; calibrate the model on
# the first part of a recorded session and trade the rest of it in a replay that knows latency,
# queue position and fees.
#
# **You will learn** which part of the model's profit the market pays and which part is an
# assumption: that a fill says nothing about the next price.
#
# **You need** exponential utility, Itô's formula, and Python with NumPy and pandas. The chapter runs
# without a network on a simulated session; a real recording is one parameter away.
#
# ```{admonition} The claim
# :class: important
# In {glue:text}`dataset` the calibrated model promises {glue:text}`promised_ticks:.2f` ticks on each
# order filled. The replay of the same quotes, {glue:text}`latency_ms:.0f` ms away from the venue and
# at the end of each queue, earns {glue:text}`gross_ticks:.2f` before fees
# ({glue:text}`gross_se_ticks:.2f`), and the fee takes {glue:text}`fee_ticks:.2f` more
# ([section](from-the-model-to-the-account)). One second after a fill the mid has moved
# {glue:text}`markout_1s:.2f` ticks in our favour ([section](what-a-fill-knows)); the model takes it
# to be zero.
# ```

# %%
import timeit

import numpy as np
import pandas as pd

from labkit import backtest, data, plots, published
from labkit import market_making as mm
from labkit.experiments import published_sweep, record

# %% [markdown]
# ## Parameters
#
# One cell of plain literals, so that papermill can replace any of them; the next one refuses
# nonsense. What concerns the session is in natural units of its calibration, so that the same
# numbers make sense on any instrument.

# %% tags=["parameters"]
n_paths = 20_000  # simulated paths of each cell of the tables
seed = 7  # of the simulation
dataset = "simulated_market"  # real: "binance_spot_btcusdt_20240808"
calibration_share = 0.4  # share of the session used to calibrate only
risk_aversion = 0.05  # gamma as a share of k
max_inventory = 10  # orders held at most, long or short
order_lots = 10  # size of an order, lots
interval_ms = 100.0  # between two looks at the market, milliseconds
feed_latency_ms = 1.0  # least delay of the feed, milliseconds
latency_ms = 5.0  # from us to the venue, and from the venue to us, ms each
maker_fee_bp = 0.1  # fee on a passive fill, bp of its value

# %%
for name in ("n_paths", "seed", "max_inventory", "order_lots"):
    if not isinstance(globals()[name], int):
        raise ValueError(f"{name} must be an integer, got {globals()[name]}")
if n_paths < 1_000 or not 0 <= seed < 2**64:
    raise ValueError("n_paths must be at least 1000, seed not negative")
if not 0.1 <= calibration_share <= 0.9:
    raise ValueError(
        f"calibration_share must be in [0.1, 0.9], got {calibration_share}"
    )
if not 0 < risk_aversion <= 10 or max_inventory < 1 or order_lots < 1:
    raise ValueError("risk_aversion, max_inventory and order_lots must be positive")
if not (1 <= interval_ms <= 1e5 and 0 <= feed_latency_ms <= 1e4):
    raise ValueError("interval_ms must be in [1, 1e5], feed_latency_ms in [0, 1e4]")
if not 0 <= latency_ms <= 1e4:
    raise ValueError(f"latency_ms must be in [0, 1e4], got {latency_ms}")
if not -100 < maker_fee_bp < 100:
    raise ValueError(f"maker_fee_bp must be within 100, got {maker_fee_bp}")
record(dataset=dataset, latency_ms=latency_ms, maker_fee_bp=maker_fee_bp)

# %% [markdown]
# ## Why it matters: the result first
#
# The model of {cite:t}`avellaneda_stoikov_2008` is where quantitative market making begins. It says
# where to quote, and what quoting there earns, from three numbers that any recording of trades
# gives. So take a session, estimate the three on its first part, quote the optimum in the rest, and
# compare the promise with the account. Every line below is explained further on, from
# [the session](a-recorded-session) to [the replay](the-replay).

# %%
session = data.load(dataset)
session

# %%
tape = backtest.align_clock(
    backtest.recording(session), round(feed_latency_ms * 1e6)
)
SECOND = 1_000_000_000
instrument, events = tape.instrument, tape.events
book = backtest.best_quotes(tape)
complete = (book["bid"] > 0) & (book["ask"] > 0)
book = book[complete].drop_duplicates("local_ns", keep="last")
mids = (book["bid"] + book["ask"]) / 2
mids.index = book["local_ns"]
opened_ns, closed_ns = int(mids.index[0]), int(mids.index[-1])
split_ns = opened_ns + round(calibration_share * (closed_ns - opened_ns))
seconds_ns = np.arange(opened_ns, closed_ns, SECOND)
traded_s = (closed_ns - split_ns) / SECOND


def mid_at(time_ns):
    """The mid in ticks as received by a time."""
    rows = np.searchsorted(mids.index, time_ns, side="right") - 1
    return mids.to_numpy()[np.maximum(rows, 0)]


# %%
calibration_ns = seconds_ns[seconds_ns < split_ns]
sigma = float(np.diff(mid_at(calibration_ns)).std())
trades = events[
    (events["kind"] == backtest.TRADE) & (events["local_ns"] < split_ns)
]
happened, side = trades["exchange_ns"], trades["side"]
depth = mm.trade_depth(happened, trades["price"], side, mids.index, mids)
known = ~np.isnan(depth)  # a book had been received before
sample = (happened[known] / SECOND, depth[known], side[known])
calibrated_s = (split_ns - opened_ns) / SECOND
fits = [
    mm.fill_intensity(*sample, calibrated_s, min_depth=0.5, tick=0.5, method=method)
    for method in ("maximum likelihood", "regression")
]
A, k = fits[1].A, fits[1].k  # see below

# %%
gamma = risk_aversion * k
optimal = mm.glft_quotes(max_inventory, gamma=gamma, sigma=sigma, A=A, k=k)
mid_price = float(mids[mids.index < split_ns].mean())  # known when trading begins
fee_ticks = maker_fee_bp * 1e-4 * mid_price


def quoter(offsets, widen=0.0):
    """Nothing in the first part of the session, these offsets in the second."""
    # A rebate narrows the spread, but no further than to a tenth of it.
    narrowest = np.nanmin(offsets.bid_offset + offsets.ask_offset) / 2
    widen = max(widen, -0.9 * narrowest)
    rows = [
        np.vstack([np.full(side.shape, np.nan), side + widen])
        for side in (offsets.bid_offset, offsets.ask_offset)
    ]
    interval_ns = round(interval_ms * 1e6)
    times = [opened_ns, split_ns]
    return backtest.InventoryQuoter(*rows, order_lots, interval_ns, times=times)


def trade(offsets, *, widen=0.0, delay_ms=latency_ms, queue=None, fee_bp=0.0):
    """Replay the session."""
    delay_ns = round(delay_ms * 1e6)
    return backtest.replay(
        tape,
        quoter(offsets, widen),
        latency=backtest.ConstantLatency(delay_ns, delay_ns),
        queue=queue or backtest.RiskAverseQueue(),
        fees=backtest.Fees(maker=fee_bp * 1e-4, taker=fee_bp * 1e-4),
    )


# %%
result = trade(optimal, fee_bp=maker_fee_bp)
accounts = result.series.dropna(subset="mid")  # from the first whole book on
order_size = order_lots * instrument.lot_size
UNIT = order_size * instrument.tick_size  # money of one tick on one order
STEP_S = 0.1
model = mm.simulate(
    mm.GLFT(gamma, max_inventory, far_from_end=True),
    sigma=sigma,
    A=A,
    k=k,
    horizon=traded_s,
    n_steps=max(1, round(traded_s / STEP_S)),
    n_paths=2_000,
    seed=seed,
)

# %%
curve = accounts[accounts.index >= pd.Timestamp(split_ns, tz="UTC")]
curves = pd.DataFrame(
    {
        "before fees": (curve["equity"] + curve["fees"]) / UNIT,
        "after fees": curve["equity"] / UNIT,
    }
)
curves.index = (curves.index - curves.index[0]).total_seconds()
curves["the model's mean"] = model.profit.mean() * curves.index / traded_s
plots.steps(
    curves.iloc[:: max(1, len(curves) // 2000)],
    x="seconds since trading began",
    y="profit, ticks x orders",
    level=(0.0, ""),
    caption=f"Profit of the optimal quotes on {session.name}: what the calibrated "
    "model expects, and what the replay of the same quotes earns before and after "
    f"a maker fee of {maker_fee_bp:g} bp, {latency_ms:g} ms away from the venue.",
    alt="Three curves from zero, which end at: "
    + ", ".join(f"{name} {value:.0f}" for name, value in curves.iloc[-1].items()),
)

# %% [markdown]
# ## The model
#
# A market maker buys at a bid and sells at an ask, earns the difference when both are hit, and is
# left with an inventory when only one is. {cite:t}`ho_stoll_1981` posed the trade-off;
# {cite:t}`avellaneda_stoikov_2008` solved it for a limit order book.
#
# **Assumptions.**
#
# 1. The mid is a Brownian motion without drift, $dS_t = \sigma\,dW_t$, which nobody's orders move.
# 2. A quote at distance $\delta$ from the mid is filled, one unit at a time, at rate
#    $\lambda(\delta) = A e^{-k\delta}$, and fills of the two sides are independent of each other and
#    of $W$.
# 3. The market maker's utility of wealth at the time $T$, cash and inventory at the mid, is
#    $-e^{-\gamma(X_T + q_T S_T)}$. No fees, no latency; quotes move without cost.
#
# With $u(s, x, q, t)$ the best expected utility from cash $x$ and inventory $q$, the dynamic
# programming equation is
#
# ```{math}
# :label: eq-hjb
# \partial_t u + \tfrac12\sigma^2 \partial_{ss} u
# + \max_{\delta^b} \lambda(\delta^b)\,[u(s, x - s + \delta^b, q + 1, t) - u]
# + \max_{\delta^a} \lambda(\delta^a)\,[u(s, x + s + \delta^a, q - 1, t) - u] = 0 .
# ```
#
# The cash and the mid can be taken out of it: $u = -e^{-\gamma(x + qs + \theta_q(t))}$ leaves an
# equation for what the inventory is worth beyond its price, $\theta_q(t)$ with $\theta_q(T) = 0$.
# The bid that maximises its term of {eq}`eq-hjb` is
#
# ```{math}
# :label: eq-first-order
# \delta^b_q = \theta_q - \theta_{q+1} + \frac1\gamma \log\Bigl(1 + \frac{\gamma}{k}\Bigr), \qquad
# \delta^a_q = \theta_q - \theta_{q-1} + \frac1\gamma \log\Bigl(1 + \frac{\gamma}{k}\Bigr):
# ```
#
# the loss of value that one unit more brings, and on top of it what a monopolist facing demand
# $e^{-k\delta}$ would take, $1/k$ as $\gamma \to 0$. Holding $q$ to the end without trading is worth
# $\theta_q = -\tfrac12\gamma\sigma^2 q^2 (T - t)$, and Avellaneda and Stoikov's approximation, of
# second order in $q$ with the terms of the arrivals linearised, leads to that in
# {eq}`eq-first-order`. The two quotes then lie
# symmetrically around a *reservation price* $r$,
#
# ```{math}
# :label: eq-as
# r = s - q\,\gamma\sigma^2 (T - t), \qquad
# \delta^a + \delta^b = \gamma\sigma^2 (T - t) + \frac2\gamma \log\Bigl(1 + \frac{\gamma}{k}\Bigr) .
# ```
#
# | symbol | in the code | unit | default | source |
# |---|---|---|---|---|
# | $s$, $\sigma$ | `mid`, `sigma` | price, price per square root of time | 100, 2 | section 3.3 of the paper |
# | $q$ | `inventory` | units | 0 | |
# | $\gamma$ | `gamma` | 1 / price | 0.1, 0.01, 1 | Tables 1 to 3 |
# | $A$, $k$ | `A`, `k` | 1 / time, 1 / price | 140, 1.5 | section 3.3 |
# | $\theta_q$ | | price | | {eq}`eq-first-order` |
# | $T$, $dt$ | `horizon`, `dt` | time | 1, 0.005 | section 3.3 |
#
# **Reproduced here:** all thirty figures of their Tables 1 to 3. **Not reproduced:** the figures of
# {cite:t}`gueant_2013`, which print curves; what they show is checked against a second solution.

# %%
PAPER = published.inputs("avellaneda_stoikov_table_1")
TABLES = {
    0.1: "avellaneda_stoikov_table_1",
    0.01: "avellaneda_stoikov_table_2",
    1.0: "avellaneda_stoikov_table_3",
}
assert all(published.inputs(TABLES[gamma])["gamma"] == gamma for gamma in TABLES)
mid, horizon = PAPER["mid"], PAPER["horizon"]
n_steps = round(horizon / PAPER["dt"])
market = {name: PAPER[name] for name in ("sigma", "A", "k", "horizon")}
market |= {"n_steps": n_steps}


def quotes_by_hand(s, q, gamma, sigma, k, time_left):
    """Bid and ask of the two formulas above."""
    reservation = s - q * gamma * sigma**2 * time_left
    spread = gamma * sigma**2 * time_left + 2 / gamma * np.log1p(gamma / k)
    return reservation - spread / 2, reservation + spread / 2


q = np.arange(-5, 6)
by_hand = quotes_by_hand(mid, q, 0.1, market["sigma"], market["k"], 0.5)
quotes = mm.avellaneda_stoikov_quotes(
    mid, q, gamma=0.1, sigma=market["sigma"], k=market["k"], time_left=0.5
)
np.testing.assert_allclose(by_hand, (quotes.bid, quotes.ask), rtol=1e-14)

# %% [markdown]
# One path of the model shows what the formula does. Both quotes follow the mid; when the market
# maker is long they sink, so that the ask is hit more often than the bid, until the position is
# gone. Towards $T$ there is less to fear and the leaning ends.

# %%
leaning = mm.simulate(
    mm.AvellanedaStoikov(0.1), **market, n_paths=1, seed=seed, n_recorded=1
).paths
path = pd.DataFrame(
    {
        "mid": leaning.mid[0, :-1],
        "bid": leaning.bid[0],
        "ask": leaning.ask[0],
    },
    index=leaning.time[:-1],
)
plots.steps(
    path,
    x="time",
    y="price",
    caption="One path of the model at gamma = 0.1: the quotes lean against an "
    f"inventory that goes from {leaning.inventory.min()} to "
    f"{leaning.inventory.max()} units.",
    alt="Three step curves, the mid between bid and ask; the pair moves up and "
    "down relative to the mid as the inventory changes.",
)

# %% [markdown]
# ## Replication
#
# The paper's experiment has 200 steps; in each, either quote is filled with probability
# $A e^{-k\delta}dt$, and then the mid moves by $\pm\sigma\sqrt{dt}$. The *inventory* strategy quotes
# {eq}`eq-as`; the *symmetric* one quotes the same average spread around the mid and never leans.
# First in a few lines of NumPy, against the kernel:

# %%
PATHS_BY_HAND = 4_000  # enough to compare within a standard error of some 0.1
NO_LIMIT = 100  # an inventory that no path comes near


def simulate_by_hand(gamma, n_paths, random):
    """Profit of the inventory strategy on each path."""
    sigma, A, k = market["sigma"], market["A"], market["k"]
    dt = horizon / n_steps
    s, cash, q = np.full(n_paths, mid), np.zeros(n_paths), np.zeros(n_paths)
    for step in range(n_steps):
        time_left = horizon - (step + 0.5) * dt
        bid, ask = quotes_by_hand(s, q, gamma, sigma, k, time_left)
        chances = A * dt * np.exp(-k * np.array([s - bid, ask - s]))
        bought, sold = random.random((2, n_paths)) < chances
        cash += np.where(sold, ask, 0.0) - np.where(bought, bid, 0.0)
        q += bought.astype(float) - sold
        s += sigma * np.sqrt(dt) * random.choice([-1.0, 1.0], n_paths)
    return cash + q * s


def simulated(gamma, **which):
    """The same by the kernel, with all that it returns."""
    strategy = mm.AvellanedaStoikov(gamma, NO_LIMIT)
    return mm.simulate(strategy, **market, **which)


hand = simulate_by_hand(0.1, PATHS_BY_HAND, np.random.default_rng(seed))
kernel = simulated(0.1, n_paths=PATHS_BY_HAND, seed=seed).profit
error = np.sqrt((hand.var() + kernel.var()) / PATHS_BY_HAND)
assert abs(hand.mean() - kernel.mean()) < 4 * error

# %%
seconds = [
    np.median(timeit.repeat(one, number=1, repeat=5))
    for one in (
        lambda: simulated(0.1, n_paths=PATHS_BY_HAND, seed=seed),
        lambda: simulate_by_hand(0.1, PATHS_BY_HAND, np.random.default_rng(seed)),
    )
]
print(f"simulate takes {seconds[0] / seconds[1]:.3f} of the time by hand")

# %% [markdown]
# The paper prints means and standard deviations of 1,000 runs: figures with a sampling error of
# their own, which the tolerances of the ledger take in (3.5 standard errors of 1,000 runs and half
# a unit of the last digit, and 3.5 of ours). The average spread is not random. It prints as $3.02$
# at $\gamma = 1$ if quotes are set for the middle of a step, so that the time left averages one
# half; for its beginning it would be $3.03$.

# %%
DRAWS = {"n_paths": n_paths, "seed": seed}


def moments(strategy, name):
    """The five figures that the paper prints, with our standard errors."""
    run = mm.simulate(strategy, **market, **DRAWS)
    figures = {f"{name}_spread": run.spread.mean()}
    for label, sample in (("profit", run.profit), ("final_q", run.inventory)):
        centred = sample - sample.mean()
        variance = (centred**2).mean()
        kurtosis = (centred**4).mean() / variance**2
        spread = np.sqrt(variance)
        figures[f"{name}_{label}"] = (sample.mean(), spread / np.sqrt(n_paths))
        error = spread * np.sqrt((kurtosis - 1) / (4 * n_paths))
        figures[f"{name}_{label}_std"] = (spread, error)
    return figures


measured = {}
for gamma in TABLES:
    leaning = moments(mm.AvellanedaStoikov(gamma), "inventory")
    centred = mm.Symmetric(leaning["inventory_spread"])
    measured[gamma] = leaning | moments(centred, "symmetric")

# %% tags=["keep_output", "nbval-check-output"]
published.check(TABLES[0.1], **measured[0.1])

# %% tags=["keep_output", "nbval-check-output"]
published.check(TABLES[0.01], **measured[0.01])

# %% tags=["keep_output", "nbval-check-output"]
published.check(TABLES[1.0], **measured[1.0])

# %% [markdown]
# The symmetric strategy needs no simulation. With $d$ half the spread and
# $p = A e^{-kd}dt$, its fills are independent of each other and of the mid, so that over $N$ steps
#
# ```{math}
# :label: eq-symmetric
# \begin{aligned}
# \mathrm{E}[\text{profit}] &= 2Npd, \qquad \mathrm{Var}[q_T] = 2Np(1-p), \\
# \mathrm{Var}[\text{profit}] &= 2Np(1-p)\,d^2 + \sigma^2 dt\; 2p(1-p)\,\tfrac{N(N+1)}2 .
# \end{aligned}
# ```
#
# This is a gate of another kind: our simulation must agree with it within four standard errors, and
# the paper's sampling can be judged by it.

# %% tags=["keep_output", "nbval-check-output"]
gates = []
for gamma, figures in measured.items():
    exact = mm.symmetric_moments(figures["inventory_spread"], **market)
    for label, key, value in (
        ("mean profit", "symmetric_profit", exact.profit_mean),
        ("std of profit", "symmetric_profit_std", exact.profit_std),
        ("std of final q", "symmetric_final_q_std", exact.inventory_std),
    ):
        ours, error = figures[key]
        assert abs(ours - value) < 4 * error, (gamma, label)
        quantity = published.publication(TABLES[gamma]).quantities[key]
        of_paper = error * np.sqrt(n_paths / PAPER["runs"])
        z = (quantity.published - value) / of_paper
        gates.append((gamma, label, value, ours, error, quantity.published, z))
columns = ["gamma", "figure", "exact", "ours", "s.e.", "paper", "paper's z"]
gates = pd.DataFrame(gates, columns=columns).set_index(["gamma", "figure"])
gates.round({"exact": 3, "ours": 3, "s.e.": 3, "paper's z": 1})

# %%
low = {gamma: gates.loc[(gamma, "std of profit")] for gamma in (0.1, 0.01)}
record(
    std_paper_1=low[0.1]["paper"],
    std_exact_1=low[0.1]["exact"],
    std_z_1=low[0.1]["paper's z"],
    std_paper_2=low[0.01]["paper"],
    std_exact_2=low[0.01]["exact"],
    std_z_2=low[0.01]["paper's z"],
    normal_z_1=(low[0.1]["paper"] / low[0.1]["exact"] - 1)
    * np.sqrt(2 * PAPER["runs"]),
)

# %% [markdown]
# The paper's standard deviation of the symmetric profit is low at $\gamma = 0.1$ and $0.01$:
# {glue:text}`std_paper_1:.1f` and {glue:text}`std_paper_2:.1f` where the exact values are
# {glue:text}`std_exact_1:.2f` and {glue:text}`std_exact_2:.2f`. A simulation that was made to
# reproduce the printed figures closely would be wrong. As draws of 1,000 runs they are
# {glue:text}`std_z_1:.1f` and {glue:text}`std_z_2:.1f` standard errors off. The usual error of a
# standard deviation, $s/\sqrt{2n}$, would make the first {glue:text}`normal_z_1:.1f`, but that is
# for normal samples: an inventory that wanders freely gives the profit fat tails, and the error
# above is computed with its kurtosis. All profits and standard deviations of the inventory agree.

# %% [markdown]
# ## The exact solution, with a limit on the inventory
#
# Avellaneda and Stoikov's formula is an expansion. {cite:t}`gueant_2013` solve {eq}`eq-hjb` without
# one: the substitution $v_q = e^{k\theta_q}$ makes it linear,
#
# ```{math}
# :label: eq-glft
# v_q'(t) = \alpha q^2 v_q(t) - \eta\,[v_{q-1}(t) + v_{q+1}(t)], \qquad v_q(T) = 1, \qquad
# \alpha = \tfrac{k}{2}\gamma\sigma^2, \quad \eta = A\Bigl(1 + \frac{\gamma}{k}\Bigr)^{-(1 + k/\gamma)},
# ```
#
# for $|q| \le Q$, where the term of the side that is not quoted at the limit is missing. The quotes
# are those of {eq}`eq-first-order` with $\theta_q = \frac1k \log v_q$. As a second solution, the
# matrix exponential of the tridiagonal system, at the paper's parameters (ticks and seconds):

# %%
from scipy.linalg import expm

GLFT = {"gamma": 0.01, "sigma": 0.3, "A": 0.9, "k": 0.3}  # the paper's figures
Q, T = 30, 600.0


def value(max_inventory, time_left, *, gamma, sigma, A, k):
    """v at each inventory from -Q to Q, by the matrix exponential."""
    held = np.arange(-max_inventory, max_inventory + 1)
    eta = A * (1 + gamma / k) ** -(1 + k / gamma)
    neighbours = np.eye(len(held), k=1) + np.eye(len(held), k=-1)
    matrix = np.diag(k / 2 * gamma * sigma**2 * held**2) - eta * neighbours
    return expm(-matrix * time_left) @ np.ones(len(held))


# Far from T the values grow without bound; their ratios, which matter, do not.
v = value(Q, 60.0, **GLFT)
base = np.log1p(GLFT["gamma"] / GLFT["k"]) / GLFT["gamma"]
exact = mm.glft_quotes(Q, **GLFT, time_left=60.0)
np.testing.assert_allclose(
    exact.bid_offset[:-1], np.log(v[:-1] / v[1:]) / GLFT["k"] + base, rtol=1e-9
)

# %% [markdown]
# Far from $T$ the quotes no longer depend on time, and a closed form is close to them:
#
# ```{math}
# :label: eq-asymptotic
# \delta^b_q \simeq \frac1\gamma\log\Bigl(1 + \frac\gamma k\Bigr) + \frac{2q + 1}{2}
# \sqrt{\frac{\sigma^2\gamma}{2kA}\Bigl(1 + \frac\gamma k\Bigr)^{1 + k/\gamma}}, \qquad
# \delta^a_q \simeq \delta^b_{-q} .
# ```

# %%
stationary = mm.glft_quotes(Q, **GLFT, time_left=T)
closed_form = mm.glft_closed_form(stationary.inventory, **GLFT)
central = np.abs(stationary.inventory) <= 10
gap = np.abs(stationary.bid_offset - closed_form.bid_offset)[central].max()
at_end = mm.glft_quotes(Q, **GLFT, time_left=0.0)
end_spread = (at_end.bid_offset + at_end.ask_offset)[Q]
assert np.isclose(end_spread, 2 * base, rtol=1e-12)
record(glft_gap=gap, glft_end_spread=end_spread)
offsets = pd.DataFrame(
    {
        "bid, exact": stationary.bid_offset,
        "bid, closed form": closed_form.bid_offset,
        "ask, exact": stationary.ask_offset,
        "ask, closed form": closed_form.ask_offset,
    },
    index=stationary.inventory,
)
plots.lines(
    offsets,
    x="inventory",
    y="distance from the mid, ticks",
    caption="Exact quotes 600 s before the end with an inventory limit of 30, and "
    "the closed form without one, at the paper's parameters.",
    alt="Two rising and two falling lines; exact and closed form coincide in the "
    "middle, and the exact ones bend away near the limits.",
)

# %% [markdown]
# For inventories up to 10 the largest difference is {glue:text}`glft_gap:.4f` ticks; near the limit
# the exact quotes bend away, since a market maker who may not buy any more has less to offer. At the
# very end the spread is $\frac2\gamma\log(1 + \gamma/k)$, {glue:text}`glft_end_spread:.3f` ticks.
#
# What does the approximation cost? Expected utility, as a certainty equivalent
# $-\frac1\gamma \log \mathrm{E}\,e^{-\gamma\,\text{profit}}$, on Avellaneda and Stoikov's own market.
# The exact solution also says what nobody can exceed in continuous time, $\frac1k\log v_0(0)$; the
# simulated game approaches it as its steps get shorter.

# %%
LIMIT = 30  # so far out that it does not bind here
gamma = 0.1
in_time = {name: market[name] for name in ("sigma", "A", "k")}


def certainty_equivalent(strategy, steps):
    """With its standard error, by the delta method."""
    run = mm.simulate(
        strategy, **(market | {"n_steps": steps}), n_paths=n_paths, seed=seed
    )
    utility = np.exp(-gamma * (run.profit - run.profit.mean()))
    error = utility.std() / utility.mean() / gamma / np.sqrt(n_paths)
    return run.profit.mean() - np.log(utility.mean()) / gamma, error


bound = np.log(value(LIMIT, horizon, gamma=gamma, **in_time)[LIMIT]) / market["k"]
equivalents = {}
for name, strategy in (
    ("exact (GLFT)", mm.GLFT(gamma, LIMIT)),
    ("Avellaneda-Stoikov", mm.AvellanedaStoikov(gamma, LIMIT)),
):
    for steps in (n_steps, 5 * n_steps):
        equivalents[name, steps] = certainty_equivalent(strategy, steps)

# %% tags=["keep_output", "nbval-check-output"]
best, second = (
    equivalents[name, n_steps] for name in ("exact (GLFT)", "Avellaneda-Stoikov")
)
assert best[0] - second[0] > 4 * np.hypot(best[1], second[1])
pd.DataFrame(equivalents, index=["certainty equivalent", "s.e."]).T.rename_axis(
    ["strategy", "steps"]
).round(2)

# %%
leaning = mm.glft_quotes(LIMIT, gamma=gamma, time_left=horizon, **in_time)
record(
    lean_exact=leaning.bid_offset[LIMIT + 1] - leaning.bid_offset[LIMIT],
    lean_paper=gamma * market["sigma"] ** 2 * horizon,
    n_fine=5 * n_steps,
    bound=bound,
    ce_exact=equivalents["exact (GLFT)", 5 * n_steps][0],
    ce_paper=equivalents["Avellaneda-Stoikov", 5 * n_steps][0],
    ce_se=equivalents["exact (GLFT)", 5 * n_steps][1],
)

# %% [markdown]
# In continuous time the optimum is {glue:text}`bound:.2f`. With {glue:text}`n_fine:d` steps the exact
# quotes come to {glue:text}`ce_exact:.2f` ({glue:text}`ce_se:.2f`) and the approximation to
# {glue:text}`ce_paper:.2f`. The approximation prices a unit as if it had to be held until $T$, and at
# the start it leans {glue:text}`lean_paper:.2f` for each unit held; the exact solution knows that
# the next fill is near and leans {glue:text}`lean_exact:.2f`. We quote the exact solution from here
# on.

# %% [markdown]
# (a-recorded-session)=
# ## A recorded session
#
# Now a session with real events in it (or, by default, simulated ones whose law is known): each
# change of the book and each trade, stamped twice, when it happened at the venue and when it was
# received. Units from here on: prices in ticks, time in seconds, inventory in orders.
#
# ```{admonition} What was known when
# :class: note
# The first part of the session calibrates the model, the rest is traded; nothing is estimated from
# the part that is traded, but for the one constant that aligns the clocks. The strategy sees the
# book as *received*, and its orders reach the venue later than they are sent. A test shuffles the
# events after a time and checks that no quote and no fill before it changes.
# ```

# %% [markdown]
# A recorder's clock may run ahead of the venue's or behind it, and a latency measured with two
# clocks that disagree means nothing. Only the least latency is an assumption here
# (`feed_latency_ms`): one constant shifts the receipts until it holds.

# %%
by_second = pd.Series(
    mid_at(seconds_ns), index=(seconds_ns - opened_ns) / SECOND, name="mid"
)
plots.lines(
    by_second * instrument.tick_size,
    x="seconds since the first complete book",
    y=f"mid, {instrument.symbol.partition('/')[2]}",
    caption=f"The session {session.name}. The first "
    f"{(split_ns - opened_ns) / SECOND:.0f} s calibrate, the rest is traded.",
    alt="One curve of the mid over the session.",
)

# %% [markdown]
# ### Calibration
#
# The volatility is that of the mid from second to second. For the rate of fills, take every moment
# at which trades printed and measure how far from the mid *before* them they reached: an order that
# had stood closer would have been filled. If trades arrive at rate $A$ and their reach is
# exponential with mean $1/k$, a quote at distance $\delta$ is passed at rate $A e^{-k\delta}$.

# %% tags=["keep_output", "nbval-check-output"]
calibration = pd.DataFrame(
    {
        fit.method: {
            "A, 1/s": fit.A,
            "s.e. of A": fit.A_se,
            "k, 1/tick": fit.k,
            "s.e. of k": fit.k_se,
            "orders": fit.n,
            "p-value of the law": fit.pvalue,
        }
        for fit in fits
    }
)
calibration.loc["sigma, ticks per square root of s"] = sigma
calibration.map(lambda value: f"{value:.4g}")

# %%
orders = pd.DataFrame({"t": sample[0], "side": sample[2], "depth": sample[1]})
reach = orders.groupby(["t", "side"])["depth"].max().to_numpy()
levels = np.unique(np.quantile(reach[reach >= 0.5], np.linspace(0, 0.99, 60)))
recorded = (reach[:, None] >= levels).sum(axis=0) / (2 * calibrated_s)
rates = pd.DataFrame({"recorded": recorded}, index=levels)
for fit in fits:
    modelled = fit.rate(levels)
    rates[fit.method] = np.where(modelled > recorded.min() / 3, modelled, np.nan)
plots.lines(
    rates,
    x="distance from the mid, ticks",
    y="orders per second (logarithmic)",
    caption="Rate at which market orders of one side reach a distance from the "
    f"mid, first part of {session.name}, and the exponential law fitted twice.",
    alt="A falling curve of recorded rates and two straight lines.",
).update_yaxes(type="log", dtick=1)

# %%
record(
    A=A,
    k=k,
    sigma=sigma,
    law_p=fits[0].pvalue,
    mean_reach=1 / k,
    n_orders=fits[0].n,
)

# %% [markdown]
# An exponential law would be a straight line. The goodness-of-fit test of the maximum-likelihood
# estimate has a p-value of {glue:text}`law_p:.2g` on {glue:text}`n_orders:d` orders. Where the law
# fails, the two methods answer different questions: maximum likelihood serves the many small orders
# that go no further than the best quote, the regression on the logarithms of the rates
# serves the depths at which a market maker would stand. The quotes below use the regression, as the
# practical literature does; the standard errors are those of Poisson arrivals, which trades that
# come in clusters do not obey.

# %% [markdown]
# (the-replay)=
# ### The replay
#
# The quotes are those of {eq}`eq-first-order` far from $T$, at the calibrated $\sigma$, $A$ and $k$
# and with $\gamma$ a given share of $k$. Every `interval_ms` the strategy looks at the book that it
# has received, cancels what is not where it should be, and sends post-only orders, never so many
# that all of them together could break the limit. Its bids and asks are whole ticks, rounded away
# from the mid. What happens to them:
#
# 1. A request takes `latency_ms` to the venue, and its answer as long to come back; until then the
#    strategy does not know. A cancellation can come too late.
# 2. An order starts at the end of the queue of its price. Here nothing but trades moves it forward
#    (the most cautious model), and what trades at the price fills those in front first.
# 3. A trade beyond its price, or the other side's best price reaching it, fills it.
# 4. A passive fill pays the maker fee, and the account is kept in whole ticks times lots.
#
# Nobody reacts to our orders and our fills take nothing out of the recorded book, so that only an
# order small against what trades there means anything.

# %%
fills = result.fills
assert result.cash_units == -(fills["side"] * fills["ticks"] * fills["lots"]).sum()
position = (fills["side"] * fills["size"]).sum()
cash = -(fills["side"] * fills["price"] * fills["size"]).sum()
worth = cash + position * accounts["mid"].iloc[-1] - fills["fee"].sum()
np.testing.assert_allclose(worth, result.final_equity, rtol=1e-9, atol=1e-9)
assert accounts["position"].abs().max() <= max_inventory * order_size * (1 + 1e-12)

# %%
held = curve["position"] / order_size
held.index = curves.index
plots.inventory(
    held,
    limits=(-max_inventory, max_inventory),
    x="seconds since trading began",
    y="inventory, orders",
    caption=f"Inventory of the replay; the limits are {max_inventory} orders.",
    alt=f"A step curve between {held.min():.0f} and {held.max():.0f} orders.",
)

# %%
shown_ns = split_ns + round(min(60.0, traded_s) * SECOND)
near = curve[curve.index <= pd.Timestamp(shown_ns, tz="UTC")]
marks = result.fills[result.fills["exchange_ns"] <= shown_ns]
seconds = (near.index - curve.index[0]).total_seconds()
marks = pd.DataFrame(
    {
        "time": (marks["exchange_ns"] - split_ns) / SECOND,
        "quantity": marks["side"] * marks["lots"],
        "price": marks["price"],
    }
)
plots.trades_on_price(
    pd.Series(near["mid"].to_numpy(), index=seconds),
    marks,
    x="seconds since trading began",
    y=f"mid, {instrument.symbol.partition('/')[2]}",
    caption="The first minute: the mid as received, and every fill at its price.",
    alt=f"A curve of the mid with {len(marks)} marks of fills near it.",
)

# %% [markdown]
# (from-the-model-to-the-account)=
# ### From the model to the account, one step at a time
#
# First what the model itself says about these minutes, by its own Monte Carlo: fills as a Poisson
# process of the calibrated rate, independent of the mid. Then the recorded events without delay;
# with delay; with other ideas about the queue; with the fee; and with quotes that add the fee to
# their offsets, as they should: a fee of $f$ ticks a unit shifts the best offset by $f$.

# %%
BLOCK_S = 10.0


def by_block(replayed):
    """Profit, ticks x orders, and orders known to be filled, in each block."""
    series = replayed.equity / UNIT
    series = series[series.index >= pd.Timestamp(split_ns, tz="UTC")]
    fills = replayed.fills.sort_values("local_ns")
    orders = np.append(0.0, fills["lots"].cumsum() / order_lots)
    known = np.searchsorted(
        fills["local_ns"], series.index.as_unit("ns").asi8, side="right"
    )
    account = pd.DataFrame({"profit": series, "orders": orders[known]})
    levels = account.resample(f"{BLOCK_S:g}s").last().ffill()
    return levels.diff().fillna(levels.iloc[0])


def summary(replayed):
    """Fills, profit with its standard error, per order and in basis points."""
    blocks = by_block(replayed)
    fills = replayed.fills["lots"].sum() / order_lots
    profit = blocks["profit"].sum()
    error = blocks["profit"].std() * np.sqrt(len(blocks))
    per_fill = profit / fills if fills else np.nan
    return fills, profit, error, per_fill, per_fill / mid_price * 1e4


# %%
by_depth = backtest.ProbabilityQueue("power", exponent=3.0)
stages = {
    "replay, no delay": trade(optimal, delay_ms=0.0),
    "with the delay": trade(optimal),
    "with the delay, queue by depth": trade(optimal, queue=by_depth),
    "with the delay and the fee": result,
    "... and quotes that add the fee": trade(
        optimal, widen=fee_ticks, fee_bp=maker_fee_bp
    ),
}
filled = (model.bids_filled + model.asks_filled).mean()
profit, error = model.profit.mean(), model.profit.std()
in_bp = profit / filled / mid_price * 1e4
rows = {"the model's own promise": (filled, profit, error, profit / filled, in_bp)}
rows |= {name: summary(replayed) for name, replayed in stages.items()}

# %% tags=["keep_output", "nbval-check-output"]
columns = ["orders filled", "profit", "s.e. of profit", "per order, ticks", "bp"]
stage_table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
stage_table.round({"bp": 4}).round(2)

# %%
plain, paid = rows["with the delay"], rows["with the delay and the fee"]


def order_error(replayed):
    """Standard error of the profit per order, a ratio of two sums over blocks."""
    blocks = by_block(replayed)
    n, filled = len(blocks), blocks["orders"].sum()
    if n < 2 or not filled:
        return np.nan
    off = blocks["profit"] - blocks["profit"].sum() / filled * blocks["orders"]
    return np.sqrt(n / (n - 1) * (off**2).sum()) / filled


record(
    promised_bp=in_bp,
    promised_ticks=profit / filled,
    gross_bp=plain[4],
    gross_ticks=plain[3],
    gross_se_ticks=order_error(stages["with the delay"]),
    net_bp=paid[4],
    net_ticks=paid[3],
    net_se_ticks=order_error(result),
    at_once_ticks=rows["replay, no delay"][3],
    fee_ticks=fee_ticks,
    n_filled=plain[0],
    n_blocks=len(by_block(result)),
)

# %% [markdown]
# The model promises {glue:text}`promised_ticks:.2f` ticks on each order; the replay earns
# {glue:text}`gross_ticks:.2f` before fees, with a standard error of {glue:text}`gross_se_ticks:.2f`
# from {glue:text}`n_filled:.0f` orders in {glue:text}`n_blocks` blocks of ten seconds, taken as
# independent. The fee takes {glue:text}`fee_ticks:.2f` ticks of each.
#
# (what-a-fill-knows)=
# ### What a fill knows
#
# The model's second assumption says that a fill is independent of the mid. Put it to the test: after
# each fill, how far has the mid moved in our favour, up after a purchase and down after a sale? In
# the model the answer is zero at every horizon. What is earned at once is the distance from the mid
# to our price; what is left of it after a while is the difference.

# %%
HORIZONS_S = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]


def markouts(fills):
    """Moves of the mid in our favour after each fill, ticks, a column a horizon."""
    at, side = fills["exchange_ns"].to_numpy(), fills["side"].to_numpy()
    moves = {}
    for after in HORIZONS_S:
        then = at + round(after * SECOND)
        seen = np.where(then <= closed_ns, mid_at(then), np.nan)
        moves[after] = side * (seen - mid_at(at))
    return pd.DataFrame(moves)


def clustered_errors(moves, at):
    """Standard errors of the means, by blocks of time."""
    block = ((at - split_ns) / (BLOCK_S * SECOND)).astype(int)
    off = (moves - moves.mean()).groupby(block.to_numpy()).sum()
    return np.sqrt((off**2).sum()) / moves.count()


# %%
fills = stages["with the delay"].fills
moved = markouts(fills)
distance = fills["side"] * (
    mid_at(fills["exchange_ns"].to_numpy()) - fills["ticks"]
)
errors = clustered_errors(moved, fills["exchange_ns"])
kept = pd.DataFrame({"mid in our favour": moved.mean()})
plots.lines(
    kept,
    band={
        "mid in our favour": (
            kept.iloc[:, 0] - 2 * errors,
            kept.iloc[:, 0] + 2 * errors,
        )
    },
    x="seconds after the fill (logarithmic)",
    y="ticks",
    level=(-distance.mean(), "spread lost"),
    caption=f"Mean move of the mid after {len(fills)} fills, in our favour, with "
    "two standard errors. Below the dotted line a fill has lost what its distance "
    "from the mid had earned.",
    alt=f"A curve from {kept.iloc[0, 0]:.2f} ticks after {HORIZONS_S[0]:g} s to "
    f"{kept.iloc[-1, 0]:.2f} after {HORIZONS_S[-1]:g} s.",
).update_xaxes(type="log", dtick=1)

# %% tags=["keep_output", "nbval-check-output"]
shown = pd.DataFrame({"mean move": moved.mean(), "s.e.": errors})
shown.rename_axis("seconds after the fill").round(3)

# %%
record(
    markout_1s=moved[1.0].mean(),
    markout_1s_se=errors[1.0],
    earned_ticks=distance.mean(),
)

# %% [markdown]
# At the moment of the fill the price is {glue:text}`earned_ticks:.2f` ticks from the mid last
# received; within a second the mid has moved {glue:text}`markout_1s:.2f`
# ({glue:text}`markout_1s_se:.2f`) in our favour. Where that is negative, the orders that meet ours
# know more than we do, or the price was on its way through ours: what fills a resting order is not
# drawn independently of the next move, and calibration cannot repair it, since $A$ and $k$ describe
# how often a price is reached and say nothing of what happens next. {cite:t}`glosten_milgrom_1985`
# is the model in which that is the whole of the spread.

# %% [markdown]
# ## Does it survive?
#
# **Latency and risk aversion.** Without delay the same quotes earn {glue:text}`at_once_ticks:.2f` ticks
# an order before fees, with it {glue:text}`gross_ticks:.2f`. The [sweep](sweep-latency-risk) has other
# delays and other risk aversions.
#
# **Fees.** Quotes that know the fee stand further away and are filled less often. The maker fee at
# which the session would have broken even is where the curve crosses zero, if it does: negative
# fees are rebates.

# %%
fees_bp = np.linspace(-1.5, 1.5, 13) * max(abs(plain[4]), 0.1)
by_fee = {}
for fee_bp in fees_bp:
    widen = fee_bp * 1e-4 * mid_price
    with_fee = trade(optimal, widen=widen, fee_bp=fee_bp)
    same_quotes = trade(optimal, fee_bp=fee_bp)
    by_fee[fee_bp] = [summary(with_fee)[1], summary(same_quotes)[1]]
by_fee = pd.DataFrame.from_dict(
    by_fee, orient="index", columns=["quotes that add the fee", "the same quotes"]
)
plots.lines(
    by_fee,
    x="maker fee, bp",
    y="profit of the session, ticks x orders",
    level=(0.0, ""),
    caption=f"Profit after fees on {session.name} against the maker fee, with the "
    "fee added to the offsets and without.",
    alt="Two curves of profit against the fee; that of unchanged quotes is a line.",
)

# %% [markdown]
# **Queue.** The table above has the same quotes under two models of the queue; neither is known to be
# true, and what separates them is part of the uncertainty. **Agreement.** The replay itself is not
# taken on trust: a test sends the same quotes through the open engine hftbacktest
# {cite:p}`hftbacktest` on the recorded session, with the same latency, queue and fees, and both must
# give the same fills at the same times and the same final equity to $10^{-6}$.
#
# **Out of sample and number of trials.** The traded part was not used to fit anything. It is one
# stretch of one session, though, and a strategy that had been chosen by looking at the figures of
# this section would have been fitted to it.

# %% [markdown]
# (sweep-latency-risk)=
# ## Sweep
#
# Could another risk aversion, or a quicker line, have saved the account? Each cell of the two figures
# is a run of this chapter on {glue:text}`swept_dataset` with its own `risk_aversion` and
# `latency_ms`: the profit per order before fees, and the move of the mid in our favour within one
# second of a fill.

# %% tags=["sweep"]
swept = published_sweep("market_making_latency")


def over_both(column):
    """A recorded value over risk aversion and latency."""
    return swept.pivot_table(
        index="parameters.risk_aversion",
        columns="parameters.latency_ms",
        values=column,
    )


axes = {"x": "delay each way, ms", "y": "risk aversion, gamma / k"}
gross, gross_se = over_both("gross_ticks"), over_both("gross_se_ticks")
plots.heatmap(
    gross,
    **axes,
    z="ticks",
    numbers=".0f",
    caption="Profit per order filled, before fees, on "
    f"{swept['parameters.dataset'].iloc[0]}; standard errors from "
    f"{gross_se.min(axis=None):.0f} to {gross_se.max(axis=None):.0f} ticks.",
    alt="A table of numbers over delay and risk aversion, between "
    f"{gross.min(axis=None):.0f} and {gross.max(axis=None):.0f} ticks.",
)

# %% tags=["sweep"]
moved_1s, moved_1s_se = over_both("markout_1s"), over_both("markout_1s_se")
plots.heatmap(
    moved_1s,
    **axes,
    z="ticks",
    numbers=".0f",
    caption="Mean move of the mid in our favour within one second of a fill, same "
    f"runs; standard errors from {moved_1s_se.min(axis=None):.0f} to "
    f"{moved_1s_se.max(axis=None):.0f} ticks.",
    alt="A table of numbers over delay and risk aversion, between "
    f"{moved_1s.min(axis=None):.0f} and {moved_1s.max(axis=None):.0f} ticks.",
)

# %% tags=["sweep"]
filled_at, net = over_both("n_filled"), over_both("net_ticks")
assert (gross < 0).all(axis=None), "the text says that the quotes earn nowhere"
record(
    swept_dataset=swept["parameters.dataset"].iloc[0],
    swept_points=len(swept),
    swept_worst=gross.min(axis=None),
    swept_best=gross.max(axis=None),
    swept_spread=np.ptp(gross),
    swept_se_low=gross_se.min(axis=None),
    swept_se_high=gross_se.max(axis=None),
    swept_losing=int((gross + 2 * gross_se < 0).sum(axis=None)),
    swept_promised_low=swept["promised_ticks"].min(),
    swept_promised_high=swept["promised_ticks"].max(),
    swept_markout_low=moved_1s.min(axis=None),
    swept_markout_high=moved_1s.max(axis=None),
    swept_earned_low=swept["earned_ticks"].min(),
    swept_earned_high=swept["earned_ticks"].max(),
    swept_filled_quick=filled_at.iloc[0, 0],
    swept_filled_late=filled_at.iloc[0, -1],
    swept_slowest_ms=filled_at.columns[-1],
    swept_least_risk=filled_at.index[0],
    swept_fee=swept["fee_ticks"].iloc[0],
    swept_fee_bp=swept["parameters.maker_fee_bp"].iloc[0],
    swept_net_best=net.max(axis=None),
)

# %% [markdown]
# The model promises from {glue:text}`swept_promised_low:.0f` to {glue:text}`swept_promised_high:.0f`
# ticks on an order, the less the more risk-averse the quotes. The replay pays between
# {glue:text}`swept_worst:.0f` and {glue:text}`swept_best:.0f`, with standard errors from
# {glue:text}`swept_se_low:.0f` to {glue:text}`swept_se_high:.0f`. No two cells are more than
# {glue:text}`swept_spread:.0f` apart, and {glue:text}`swept_losing` of the {glue:text}`swept_points` lie
# more than two standard errors below zero. All are replays of the same minutes, so they are not so many confirmations; but nor is there
# a corner of the grid in which the quotes earn. The second figure says why. Orders are filled from
# {glue:text}`swept_earned_low:.0f` to {glue:text}`swept_earned_high:.0f` ticks away from the mid, and
# a second later the mid has moved {glue:text}`swept_markout_low:.0f` to
# {glue:text}`swept_markout_high:.0f` in our favour. What latency changes is mostly how much is traded: at
# $\gamma / k$ = {glue:text}`swept_least_risk:g`, {glue:text}`swept_filled_quick:.0f` orders are filled
# without delay and {glue:text}`swept_filled_late:.0f` at {glue:text}`swept_slowest_ms:.0f` ms. A fee of
# {glue:text}`swept_fee_bp:g` bp, about {glue:text}`swept_fee:.0f` ticks an order, leaves
# {glue:text}`swept_net_best:.0f` in the best cell.
#
# The sweep again, and its table, which has the profit after the fee and all standard errors:
#
# ```console
# labkit sweep market_making_latency
# labkit results market_making_latency
# ```
#
# Anything else is swept from the command line, such as twenty seeds of the simulation with
# `labkit sweep market_making -g seed=0:20`.

# %% [markdown]
# ## Exercises
#
# **1. Change.** The paper has no inventory limit, a desk has. How small may the limit be before the
# certainty equivalent of the exact quotes falls by one per cent of its best value?

# %% tags=["hide-input"]
limits = {
    limit: np.log(value(limit, horizon, gamma=0.1, **in_time)[limit]) / market["k"]
    for limit in range(1, 16)
}
enough = min(q for q, worth in limits.items() if worth > 0.99 * bound)
print(
    f"a limit of {enough} units is enough; one unit gives {limits[1] / bound:.0%}"
)

# %% [markdown]
# **2. Extend.** Post-only orders never pay the taker's fee, but at the end the inventory is still
# there. What does it cost to close it at the last quotes, at a taker fee of twice the maker's?

# %% tags=["hide-input"]
last, position = book.iloc[-1], accounts["position"].iloc[-1]
touch = last["bid"] if position > 0 else last["ask"]
mid_last = (last["bid"] + last["ask"]) / 2
half_spread = abs(mid_last - touch) * instrument.tick_size * abs(position)
taker_fee = 2 * max(fee_ticks, 0.0) * instrument.tick_size * abs(position)
print(
    f"{(half_spread + taker_fee) / UNIT:.1f} ticks x orders, at the best quote only"
)

# %% [markdown]
# **3. Break.** Throw away what happened after the middle of the traded part. No fill before it may
# change.

# %% tags=["hide-input"]
middle_ns = (split_ns + closed_ns) // 2
shortened = backtest.Recording(
    instrument, events[events["local_ns"] <= middle_ns].copy()
)
cut = backtest.replay(
    shortened,
    quoter(optimal),
    latency=backtest.ConstantLatency(*[round(latency_ms * 1e6)] * 2),
    queue=backtest.RiskAverseQueue(),
    fees=backtest.Fees(maker=maker_fee_bp * 1e-4, taker=maker_fee_bp * 1e-4),
)
# Events of the venue received later are missing: compare what was known before.
safe_ns = int(events["exchange_ns"][events["local_ns"] > middle_ns].min())
before = [
    f[f["exchange_ns"] < safe_ns].reset_index(drop=True)
    for f in (cut.fills, result.fills)
]
known = ["exchange_ns", "side", "ticks", "lots"]
pd.testing.assert_frame_equal(before[0][known], before[1][known])
print(f"{len(before[0])} fills before the cut, all the same")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`ho_stoll_1981`: where dealers' optimal quotes under inventory risk begin.
# - {cite:t}`avellaneda_stoikov_2008`: the model of this chapter, with the tables replicated here.
# - {cite:t}`gueant_2013`: the exact solution with inventory limits and its closed-form limit.
# - {cite:t}`glosten_milgrom_1985`: the spread as the price of trading with those who know more.
# - {cite:t}`hftbacktest`: the open replay engine that ours is held against.

# %% tags=["remove-input"]
import labkit

print(
    f"labkit {labkit.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
)
print("time of this run, backend and data: see the page Execution")
