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

# %%
import timeit

import numpy as np
import pandas as pd

from labkit import backtest, data, plots, published
from labkit import market_making as mm
from labkit.experiments import record

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
calibration_share = 0.4  # first part of the session, used to calibrate and not traded
risk_aversion = 0.05  # gamma as a share of k
max_inventory = 10  # orders held at most, long or short
order_lots = 10  # size of an order, lots
interval_ms = 100.0  # between two looks at the market, milliseconds
feed_latency_ms = 1.0  # least delay of the feed, to which the clocks are aligned, ms
latency_ms = 5.0  # from us to the venue, and from the venue to us, ms each
maker_fee_bp = 0.1  # fee on a passive fill, basis points of its value; negative: rebate

# %%
if n_paths < 100 or not 0 <= seed < 2**64:
    raise ValueError(f"n_paths must be at least 100, seed not negative, got {n_paths}")
if not 0.1 <= calibration_share <= 0.9:
    raise ValueError(f"calibration_share must be in [0.1, 0.9], got {calibration_share}")
if not 0 < risk_aversion <= 10 or max_inventory < 1 or order_lots < 1:
    raise ValueError("risk_aversion, max_inventory and order_lots must be positive")
if interval_ms <= 0 or min(feed_latency_ms, latency_ms) < 0:
    raise ValueError("interval_ms must be positive, latencies not negative")
if not -100 < maker_fee_bp < 100:
    raise ValueError(f"maker_fee_bp must be within 100, got {maker_fee_bp}")
record(dataset=dataset, latency_ms=latency_ms, maker_fee_bp=maker_fee_bp)

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
# first order in the fills, puts that into {eq}`eq-first-order`. The two quotes then lie
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
    published.inputs(key)["gamma"]: key
    for key in (f"avellaneda_stoikov_table_{n}" for n in (1, 2, 3))
}
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
    return mm.simulate(mm.AvellanedaStoikov(gamma), **market, **which)


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
# a unit of the last digit, and 3.5 of ours). The average spread is not random. It is $3.02$ at
# $\gamma = 1$ only if the time left averages exactly one half: quotes are set for the middle of a
# step.


# %%
def moments(strategy, name):
    """The five figures that the paper prints, with our standard errors."""
    run = mm.simulate(strategy, **market, n_paths=n_paths, seed=seed)
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
# \mathrm{E}[\text{profit}] = 2Npd, \qquad
# \mathrm{Var}[q_T] = 2Np(1-p), \qquad
# \mathrm{Var}[\text{profit}] = 2Np(1-p)\,d^2 + \sigma^2 dt\; 2p(1-p)\,\tfrac{N(N+1)}2 .
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
