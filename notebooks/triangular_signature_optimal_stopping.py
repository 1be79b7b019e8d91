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
# # Taking a triangle: does the path say more than the present edge?
#
# **You will** turn "take it now, wait, or let it go" into an optimal stopping problem whose reward
# is what three orders really earn a latency later; solve it by regression on the signature of the
# path; and hold it against the rules that a desk would write first, out of sample.
#
# **You will learn** when the history of an edge is worth anything: not where opportunities have no
# memory; something where increments are negatively correlated, though less than a comparison with a
# fixed threshold suggests; and on a short recording less than it costs to estimate.
#
# **You need** the [chapter on triangular arbitrage](triangular_arbitrage), least squares, and the
# idea of an American option. The chapter runs without a network on simulated sessions; a real
# recording is one parameter away.
#
# ```{admonition} The claim
# :class: important
# Where planted opportunities end without memory, the signature rule earns
# {glue:text}`planted_gain:.3f` bp more than the best rule of theory (standard error
# {glue:text}`planted_gain_se:.3f`), which looks at the present only
# ([section](opportunities-without-memory)). Where the edge is fractional Brownian motion of Hurst
# index {glue:text}`hurst:.1f` it earns {glue:text}`over_fixed:.3f` bp
# ({glue:text}`over_fixed_se:.3f`) more than the best fixed threshold, but most of that is the
# clock: beyond a threshold that falls with time {glue:text}`over_falling:.3f`
# ({glue:text}`over_falling_se:.3f`) are left to memory ([section](an-edge-with-memory)). In
# {glue:text}`dataset`, without fees, depth {glue:text}`depth` promises
# {glue:text}`session_promise:.2f` bp a window and on later windows earns
# {glue:text}`session_earned:.2f` ({glue:text}`session_earned_se:.2f`), which is
# {glue:text}`session_gain:.3f` ({glue:text}`session_gain_se:.3f`) more than the threshold
# ([section](a-session-is-short)).
# ```

# %%
import timeit

import numpy as np
import pandas as pd
from scipy import stats

from labkit import data, plots, signatures
from labkit.arbitrage import realised_edges, triangle_history, triangles
from labkit.experiments import record
from labkit.stopping import (
    fractional_brownian_motion,
    fractional_innovations,
    signature_policy,
)

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
dataset = "simulated_triangle"  # session; real: "poloniex_triangle_20220821"
start = "USDT"  # currency in which money starts and ends
fee_bps = 10.0  # taker fee of each leg in the session, basis points
latency_ms = 20.0  # from the decision to the venue, milliseconds
step_ms = 20.0  # between two dates of a window, milliseconds
n_dates = 25  # dates of a window, the last of which lets go
stride_ms = 100.0  # between the starts of the session's windows, milliseconds
train_share = 0.6  # first share of the session, on which rules are made
block_s = 3.0  # stretch of the session taken as one observation, seconds
depth = 2  # of the signature, in the session and its sweep
seed = 7  # of all simulations
n_planted = 2000  # opportunities planted in the session of known truth
mean_life_ms = 100.0  # their mean life, milliseconds
planted_fee_bps = 1.0  # taker fee of each leg there, basis points
hurst = 0.3  # index of the edge with memory
n_paths = 8000  # its paths to make a rule on, and as many fresh ones
swing_bp = 10.0  # its standard deviation at the end of a window, basis points
cost_bp = 3.0  # what taking it costs, basis points

# %%
for name in ("latency_ms", "step_ms", "stride_ms", "mean_life_ms", "swing_bp"):
    if not 0 < globals()[name] <= 1e5:
        raise ValueError(f"{name} must be in (0, 1e5], got {globals()[name]}")
for name, least in {"n_dates": 3, "n_paths": 500, "n_planted": 200}.items():
    if not isinstance(globals()[name], int) or globals()[name] < least:
        raise ValueError(f"{name} must be an integer of at least {least}")
if not (0 <= fee_bps < 1e3 and 0 <= planted_fee_bps < 1e3 and 0 <= cost_bp < 1e3):
    raise ValueError("fee_bps, planted_fee_bps and cost_bp must be in [0, 1000)")
if not (0.05 <= hurst <= 0.95 and 0.1 <= train_share <= 0.9):
    raise ValueError("hurst must be in [0.05, 0.95], train_share in [0.1, 0.9]")
if depth not in (1, 2, 3, 4) or not 0.1 <= block_s <= 3600 or seed < 0:
    raise ValueError("depth must be 1 to 4, block_s 0.1 to 3600, seed not negative")
record(dataset=dataset, hurst=hurst, depth=depth, latency_ms=latency_ms)

# %% [markdown]
# ## Why it matters: the result first
#
# Whoever sees an open triangle has three choices, again and again until it is gone: send the three
# orders, wait for a better edge, or let it go. The first chapter took everything at once. A trader
# who waits hopes that the path of the edge so far says something about the next tenth of a second
# that its present value does not. This is an optimal stopping problem, and the usual ways to solve
# it, a threshold or a regression on the present state {cite:p}`longstaff_schwartz_2001`, are right
# only if the present is all that matters. {cite:t}`bayer_2023` regress on the *signature* of the
# path instead: its iterated integrals, in which every continuous function of a path is nearly
# linear.
#
# Whether that pays depends on the world. In the figure the edge of the triangle is fractional
# Brownian motion, whose Hurst index is a dial for memory: at 1/2 there is none, below it what went
# up tends to come down again. The curves are what the signature rule earns on fresh paths beyond two
# rules that look at the present edge: the best fixed level, and the best level that falls with the
# time left. The distance between the curves is what knowing the time is worth; the lower one is what
# memory is worth. All rules are made on other paths, and the same random numbers serve at every
# index. A martingale explained [below](an-edge-with-memory) takes most of the noise away.
#
# Rules are dates: a rule turns each path into the index of the date at which it stops.

# %%
UNIT = 10.0  # basis points; paths are divided by it before powers are taken


def earned(rewards, stops):
    """Reward of each path at the date at which it stops."""
    return rewards[np.arange(len(rewards)), stops]


def first_above(edges, boundary):
    """First date at which the edge is above a boundary, or the last one."""
    reached = edges > boundary
    reached[:, -1] = True
    return reached.argmax(axis=1)


# %%
FIXED, FALLING = "best fixed level", "best falling level"


def best_boundary(edges, rewards, powers):
    """Of boundaries level * left**power, left from 1 to 0, the best one."""
    left = np.linspace(1.0, 0.0, edges.shape[1])
    levels = np.quantile(edges, np.linspace(0, 1, 41))
    levels = np.concatenate([levels, np.linspace(0.0, max(edges.max(), 1.0), 41)])
    tried = [np.full(len(left), np.inf)]
    for power in powers:
        for level in np.sort(levels)[::-1]:
            if power == 0 or level > 0:
                tried.append(level * left**power)
    return max(tried, key=lambda x: earned(rewards, first_above(edges, x)).mean())


def thresholds(edges, rewards):
    """Boundaries on the present edge that earned most on these paths."""
    return {
        FIXED: best_boundary(edges, rewards, (0,)),
        FALLING: best_boundary(edges, rewards, (0, 0.25, 0.5, 1)),
    }


# %%
WHOLE_DEPTH = 4  # of the signature where the law is known


def from_zero(edges):
    """Paths that begin with a point 0: a signature forgets where a path begins."""
    return np.pad(edges, [(0, 0), (1, 0)]) / UNIT


def policy(paths, rewards, depth, observed, noise=None):
    """The signature rule made on paths (b, n + 1, ...) and rewards (b, n)."""
    return signature_policy(
        paths,
        rewards,
        depth=depth,
        dates=np.arange(1, paths.shape[1]),
        observed=observed,
        innovations=noise,
    )


# %%
HURSTS = np.unique([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, hurst])


def rough_world(index, stream):
    """Edge after cost, reward and innovations of paths with a Hurst index."""
    paths = fractional_brownian_motion(n_paths, n_dates, index, 2 * seed + stream)
    edges = swing_bp * paths[:, 1:] - cost_bp
    noise = fractional_innovations(paths, index, degree=2)
    return edges, np.maximum(edges, 0.0), noise


memory = {}
for index in HURSTS:
    made_on, (edges, rewards, noise) = (rough_world(index, k) for k in (0, 1))
    made = policy(from_zero(made_on[0]), made_on[1], WHOLE_DEPTH, True, made_on[2])
    stops = made.stops(from_zero(edges), rewards)
    rewards = rewards - made.martingale(from_zero(edges), rewards, noise)
    value = earned(rewards, stops)
    best_case = rewards.max(axis=1)
    memory[index] = {"lower": value.mean(), "lower, s.e.": stats.sem(value)}
    memory[index] |= {
        "upper": best_case.mean(),
        "upper, s.e.": stats.sem(best_case),
    }
    for name, boundary in thresholds(*made_on[:2]).items():
        gain = value - earned(rewards, first_above(edges, boundary))
        memory[index] |= {name: gain.mean(), f"{name}, s.e.": stats.sem(gain)}
memory = pd.DataFrame.from_dict(memory, orient="index")

# %%
beyond = memory[[FIXED, FALLING]]
band = {x: 2 * memory[f"{x}, s.e."] for x in beyond}
plots.lines(
    beyond.add_prefix("beyond the "),
    band={
        f"beyond the {x}": (beyond[x] - e, beyond[x] + e) for x, e in band.items()
    },
    x="Hurst index of the edge",
    y="signature rule earns, bp",
    level=(0.0, ""),
    caption="What a rule on the signature earns beyond thresholds on the present "
    f"edge: {n_paths} fresh paths of {n_dates} dates, two standard errors.",
    alt="Two curves against the Hurst index, beyond a fixed level from "
    f"{beyond[FIXED].iloc[0]:.2f} to {beyond[FIXED].iloc[-1]:.2f} basis points, "
    f"beyond a falling one from {beyond[FALLING].iloc[0]:.2f} to "
    f"{beyond[FALLING].iloc[-1]:.2f}; near 0 at 0.5.",
)

# %% [markdown]
# ## Model
#
# A *window* has $n$ dates $t_1 < \dots < t_n$ on a fixed grid. At each the desk knows the path of
# the net edge $x_1, \dots, x_j$: the product of the best quotes of the better of the two round
# trips, as received by then, after three fees, in basis points. Stopping at $t_j$ sends three
# orders. They reach the venue at $t_j + \ell$ and earn $R_j$, the profit of pushing what the quotes
# of $t_j$ could carry through the books that stand *then*. So $R_j$ is not known at $t_j$: a reward
# that the rule must foretell. The last date lets go: $R_n = 0$. A rule is a stopping time $\tau$ of
# the path, and what is sought is
#
# ```{math}
# :label: eq-taking
# V = \sup_{\tau \in \{1, \dots, n\}} \mathbb{E}[R_\tau] \; \ge \; 0 .
# ```
#
# From the last date back, $C_n = 0$, and at date $j$ a path stops where
# $\mathbb{E}[R_j - C_{j+1} \mid x_1, \dots, x_j] \ge 0$; then $C_j = R_j$, otherwise
# $C_j = C_{j+1}$. With $S_j$ the signature up to some depth of the path $(t, x)$ until $t_j$, the
# conditional expectation is replaced by a regression,
#
# ```{math}
# :label: eq-two-regressions
# \mathbb{E}[R_j - C_{j+1} \mid x_1, \dots, x_j] \approx \langle a_j, S_j \rangle .
# ```
#
# A signature does not change when the path is shifted; a point 0 before the first date puts the
# level in. Depth 1 then sees $(1, t_j, x_j)$: the present only.
#
# **Assumptions.** Those of the first chapter: taker orders, three at once, nobody reacts, clocks
# agree. The grid begins at a time chosen by what is known then. Rewards are in basis points of what
# goes in, so windows count alike whatever their size.
#
# | symbol | in the code | unit | default | source |
# |---|---|---|---|---|
# | $x_j$ | `edges` | bp, after fees | | data, received by $t_j$ |
# | $R_j$ | `rewards` | bp of the amount | | data, venue at $t_j + \ell$ |
# | $\ell$ | `latency_ms` | ms | 20 | |
# | $t_{j+1} - t_j$, $n$ | `step_ms`, `n_dates` | ms | 20, 25 | half a second |
# | depth | `depth` | | 2 | 1 to 4 are shown |
# | $C_j$ | `cash` | bp | | {eq}`eq-two-regressions` |
#
# **Not reproduced here:** the published values of stopping fractional Brownian motion; they have
# [their own chapter](signature_optimal_stopping). Here the process is put to work.
#
# ## Two regressions in one
#
# The algorithm by hand, for an edge with memory and a latency of one date: what is earned at date
# $j$ is the edge of date $j + 1$. `labkit.stopping.signature_policy` regresses the two parts of
# {eq}`eq-two-regressions` one by one and extends signatures instead of taking them anew. Both must
# stop every path at the same date.

# %%
late_edge = edges[:2000].copy()
late_reward = np.pad(late_edge[:, 1:], [(0, 0), (0, 1)])  # the next edge; at last 0


def rule_by_hand(edges, rewards, depth):
    """Stops of the rule on the paths it is made on, and what it earns there."""
    timed = signatures.with_time(from_zero(edges)[..., None])
    last = edges.shape[1] - 1
    stops = np.full(len(edges), last)
    cash = rewards[:, last].copy()
    for date in reversed(range(last)):
        past = signatures.signature(timed[:, : date + 2], depth)
        weights = np.linalg.lstsq(past, rewards[:, date] - cash, rcond=None)[0]
        taking = past @ weights >= 0
        stops[taking] = date
        cash[taking] = rewards[taking, date]
    return stops, cash.mean()


# %%
stops, value = rule_by_hand(late_edge, late_reward, 3)
same = policy(from_zero(late_edge), late_reward, 3, False)
np.testing.assert_array_equal(same.stops(from_zero(late_edge), late_reward), stops)
np.testing.assert_allclose(same.in_sample, value, rtol=1e-9)
seconds = [
    min(timeit.repeat(lambda f=f: f(late_edge, late_reward, 3), number=1, repeat=3))
    for f in (lambda x, r, k: policy(from_zero(x), r, k, False), rule_by_hand)
]
print(f"signature_policy takes {seconds[0] / seconds[1]:.2f} of the time by hand")

# %% [markdown]
# (opportunities-without-memory)=
# ## Known truth: opportunities without memory
#
# `simulate_triangle` plants opportunities whose edge after fees, uniform from 1 to 8 bp, stands
# still and ends after an exponential life of mean $T$. A window begins when the edge is seen to
# rise above zero, which is known at that time.
#
# ```{admonition} What was known when
# :class: note
# `edges` contains messages received by each date, and sizes are those displayed then. `rewards`
# come from the books at the venue, a latency later; no rule reads them at its date. Levels, waits
# and regressions are made on earlier windows than they are valued on.
# ```
#
# What can be earned is known in closed form. While the opportunity is seen, it is in the same state
# at every date: an exponential life has no memory. Orders sent at the first date meet it if it has
# lived longer than the delay $D$ of the feed and the latency $\ell$, with probability
#
# ```{math}
# :label: eq-still-there
# p = \mathbb{E}\big[e^{-(D + \ell) / T}\big]
#   = e^{-(d + \ell) / T} \, (1 + g / T)^{-2} ,
# ```
#
# because the simulated feed takes $d = 20$ ms and a gamma time of shape 2 and scale $g = 1$ ms (and
# lives are at least $d$). They earn the edge $x$ if it is there, and lose some $c$ on average if
# only the spreads and fees are. At any later date at which it is still seen, the probability is not
# higher. So given $x$ no rule can earn more than $\max(p x - (1 - p) c, 0)$, and taking at once
# where that is positive earns it:
#
# ```{math}
# :label: eq-memoryless
# V = \mathbb{E}\big[(p\,x - (1 - p)\,c)^+\big], \qquad
# \text{take at once if } x > x^* = c\,\frac{1 - p}{p} .
# ```
#
# Nothing in the path can add to that, and waiting until date $j$ only loses: the orders still find
# the opportunity with probability $p\, e^{-(t_j - t_1)/T}$, but are sent more often than that, to
# opportunities that are seen and gone.

# %%
MS = 1_000_000


def windows(history, starts_ns, fee, latency_ms=latency_ms):
    """Net edge known and reward earned at the dates of windows, bp (m, n_dates)."""
    dates_ns = starts_ns[:, None] + np.arange(n_dates) * round(step_ms * MS)
    products = history.products.to_numpy()[history.positions(dates_ns)]
    better = products.argmax(axis=2)
    edges = (products.max(axis=2) * (1 - fee) ** 3 - 1) * 1e4
    routes = [
        realised_edges(history, route, dates_ns, latency_ms, fee=fee)
        for route in history.products
    ]
    rewards = np.where(better == 0, *routes)
    rewards[:, -1] = 0.0
    return edges, rewards


# %%
planted_fee = planted_fee_bps / 1e4
truth = data.simulate_triangle(
    seed,
    duration_s=10.0 * n_planted,
    n_planted=n_planted,
    fee_bps=planted_fee_bps,
    mean_life_ms=mean_life_ms,
    quote_rate=0.2,
    volatility_bps=0.3,
)
known = triangle_history(
    truth["events"], triangles(truth["markets"].index, "USDT")[0], "USDT"
)
opened = known.episodes(above=(1 - planted_fee) ** -3)["start_ns"].to_numpy()
edges, rewards = windows(known, opened[:-1], planted_fee)
half = len(edges) // 2
train, fresh = (edges[:half], rewards[:half]), (edges[half:], rewards[half:])

# %%
D_MS, G_MS = 20.0, 1.0  # of the simulated feed: least delay, scale of the rest
decay = np.exp(-(D_MS + latency_ms) / mean_life_ms)
p = decay * (1 + G_MS / mean_life_ms) ** -2
missed = train[1][:, 0] < 0
loss = -train[1][missed, 0].mean()
star = loss * (1 - p) / p
grid = np.linspace(1.0, 8.0, 100_001)  # of the uniform law of edges
closed_form = np.maximum(p * grid - (1 - p) * loss, 0.0).mean()
met = (rewards[:, 0] > 0).mean()
assert abs(met - p) < 4 * np.sqrt(p * (1 - p) / len(rewards))
taken = earned(fresh[1], first_above(fresh[0], star))
assert abs(taken.mean() - closed_form) < 4 * stats.sem(taken)
record(p=p, star=star, loss=loss, closed_form=closed_form, met=met)

# %% [markdown]
# A feed delay and {glue:text}`latency_ms:.0f` ms after it opened, an opportunity is still there with
# probability {glue:text}`p:.4f` by {eq}`eq-still-there`; {glue:text}`met:.4f` of them are. Missing
# it costs {glue:text}`loss:.2f` bp, so the edge must be above {glue:text}`star:.2f` bp to be worth
# an attempt, and the best rule is worth {glue:text}`closed_form:.3f` bp an opportunity. The rules of
# this chapter, from here on always the same ones:

# %%
DEPTHS = (1, 2, 3, 4)


def rules(train, fresh, observed=False, depths=DEPTHS, noise=None):
    """Dates at which rules made on `train` stop the paths of `fresh`."""
    (edges, rewards), (new, unseen) = train, fresh
    last = np.full(len(new), new.shape[1] - 1)
    found = {
        "take at once": 0 * last,
        "wait, best in training": 0 * last + rewards.mean(axis=0).argmax(),
        "edge above 0": first_above(new, 0.0),
        "to the last date": last,
    }
    for name, boundary in thresholds(edges, rewards).items():
        found[name] = first_above(new, boundary)
    # Powers of the present edge as coordinates, of which depth 1 sees the present.
    cubic = [
        np.stack([from_zero(x) ** k for k in (1, 2, 3)], -1) for x in (edges, new)
    ]
    found["present edge, cubic"] = policy(
        cubic[0], rewards, 1, observed, noise
    ).stops(cubic[1], unseen)
    for k in depths:
        made = policy(from_zero(edges), rewards, k, observed, noise)
        found[f"signature, depth {k}"] = made.stops(from_zero(new), unseen)
    return found


# %%
OF_RULES = ["mean, bp", "s.e.", "less reference", "s.e. of that"]


def compared(found, rewards, error=stats.sem, than=FALLING):
    """Mean reward of rules, and less that of one of them, with standard errors."""
    earn = {name: earned(rewards, stops) for name, stops in found.items()}
    earn["upper bound"] = rewards.max(axis=1)
    rows = {
        name: [
            x.mean(),
            error(x),
            (gain := x - earn[than]).mean(),
            error(gain),
        ]
        for name, x in earn.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=OF_RULES)


# %% tags=["keep_output", "nbval-check-output"]
found = {"level of theory": first_above(fresh[0], star), **rules(train, fresh)}
planted = compared(found, fresh[1], than="level of theory")
learnt = planted.filter(regex="signature|present", axis=0)
excess = learnt["less reference"] / learnt["s.e. of that"]
assert (excess < 4).all(), "a path without memory cannot say more than the present"
assert (
    (planted["mean, bp"] < closed_form + 4 * planted["s.e."])
    .drop("upper bound")
    .all()
)
planted.round(3)

# %%
best = planted.loc[f"signature, depth {WHOLE_DEPTH}"]
record(
    planted_gain=best["less reference"],
    planted_gain_se=best["s.e. of that"],
    short_lived=float(1 - np.exp(-D_MS / mean_life_ms)),
)

# %% [markdown]
# Only the depth-4 rule is quoted above; the others are in the table, and none of them beats the
# threshold by four standard errors (the cell would fail). "Take at once" pays for the small edges,
# and the rules that wait pay for the opportunities that end meanwhile. The figure makes each date
# in turn the first at which one may take what is still seen above $x^*$. The line follows from
# {eq}`eq-still-there` and the law of the two delays: at date $j$ the opportunity is seen if the
# message of its end has not arrived, which is more often than it is there. The dip at the second
# date is the simulator's shortest life of 20 ms, at which {glue:text}`short_lived:.2f` of all
# opportunities end: news of that is on its way just then.

# %%
random = np.random.default_rng(seed)
delays = D_MS + random.gamma(
    2.0, G_MS, (2, 100_000)
)  # of its first and last message
waits = step_ms * np.arange(n_dates - 1)
lived = waits[:, None] + delays[0] - delays[1]
seen = np.where(lived < D_MS, 1.0, np.exp(-lived / mean_life_ms)).mean(axis=1)
there = p * np.exp(-waits / mean_life_ms)
wanted = grid[grid > star]
share = len(wanted) / len(grid)
attempts = np.where(edges > star, rewards, 0.0)[:, :-1]
curves = pd.DataFrame(
    {
        "theory": share * (wanted.mean() * there - loss * (seen - there)),
        "simulated": attempts.mean(axis=0),
    },
    index=waits,
)
error = stats.sem(attempts, axis=0)
assert (abs(curves["theory"] - curves["simulated"]) < 4 * error + 0.01).all()

# %%
low, high = (curves["simulated"] + k * error for k in (-2, 2))
plots.lines(
    curves,
    band={"simulated": (low, high)},
    x="time waited, ms",
    y="earned, bp a window",
    level=(0.0, ""),
    caption="What waiting costs where opportunities have no memory: taken at one "
    f"date if seen above {star:.2f} bp then; {len(edges)} windows, two s.e.",
    alt=f"Two falling curves that agree, from {curves.iloc[0, 0]:.2f} basis points "
    f"without waiting to {curves.iloc[-1, 0]:.2f} after {waits[-1]:.0f} ms.",
)

# %% [markdown]
# (an-edge-with-memory)=
# ## Known truth: an edge with memory
#
# Now the world of the first figure, at one Hurst index. The edge is
# {glue:text}`swing_bp:.0f` bp times fractional Brownian motion {cite:p}`mandelbrot_van_ness_1968`
# over the window, taking it costs {glue:text}`cost_bp:.1f` bp, there is no latency, and letting go
# is worth nothing:
#
# ```{math}
# :label: eq-rough-reward
# R_j = (\sigma B^H_{t_j} - K)^+ .
# ```
#
# That reward is known at its date, so it joins the signature as a regressor, and there is a bound
# from the other side. For any martingale $M$ that starts at 0,
#
# ```{math}
# :label: eq-two-sides
# \mathbb{E}[R_\tau - M_\tau] \; = \; \mathbb{E}[R_\tau] \; \le \; V \; \le \;
# \mathbb{E}\big[\max_j (R_j - M_j)\big]
# ```
#
# {cite:p}`rogers_2002,haugh_kogan_2004`; the regression finds one together with the rule. Its
# increments are multiples, linear in the signature, of the part of each step of the path that the
# past did not foretell, which for a Gaussian process is known exactly. The same $M$ is taken off the
# reward of every rule on the fresh paths: by {eq}`eq-two-sides` no mean changes, and standard errors
# fall several times. For a recorded edge there is no such martingale, because what the past foretold
# is not known.
#
# One index checks the machinery. At $H = 1/2$ the reward is a convex function of a martingale,
# waiting until the end is optimal, and $V = \sigma \varphi(K / \sigma) - K \Phi(-K / \sigma)$.

# %%
ratio = cost_bp / swing_bp
brownian = swing_bp * stats.norm.pdf(ratio) - cost_bp * stats.norm.sf(ratio)
at_half = memory.loc[0.5]
assert at_half["lower"] < brownian + 4 * at_half["lower, s.e."]
assert at_half["lower"] > 0.97 * brownian
assert at_half["upper"] > brownian - 4 * at_half["upper, s.e."]
record(
    brownian=brownian,
    brownian_lower=at_half["lower"],
    brownian_se=at_half["lower, s.e."],
    brownian_upper=at_half["upper"],
    swing_bp=swing_bp,
    cost_bp=cost_bp,
)

# %% [markdown]
# The closed form is {glue:text}`brownian:.3f` bp; the rule of depth 4 comes to
# {glue:text}`brownian_lower:.3f` ({glue:text}`brownian_se:.3f`), and the upper bound is
# {glue:text}`brownian_upper:.3f`: above, as it must be, and not tight, because few polynomials of
# the innovations make up the martingale. Where waiting is all there is to know, estimating is a cost. Now the index {glue:text}`hurst:.1f`:

# %% tags=["keep_output", "nbval-check-output"]
(edges, rewards, noise), fresh_rough = (rough_world(hurst, k) for k in (0, 1))
made = policy(from_zero(edges), rewards, WHOLE_DEPTH, True, noise)
clean = fresh_rough[1] - made.martingale(
    from_zero(fresh_rough[0]), *fresh_rough[1:]
)
found = rules((edges, rewards), fresh_rough[:2], observed=True, noise=noise)
rough = compared(found, clean)
rough.round(2)

# %%
deep, reach = rough.loc[f"signature, depth {WHOLE_DEPTH}"], rough.loc["upper bound"]
highest = reach["mean, bp"] + 4 * (rough["s.e."] + reach["s.e."])
assert (rough["mean, bp"] < highest).all()
assert hurst > 0.3 or deep["less reference"] > 3 * deep["s.e. of that"]
record(
    over_falling=deep["less reference"],
    over_falling_se=deep["s.e. of that"],
    over_fixed=memory.loc[hurst, FIXED],
    over_fixed_se=memory.loc[hurst, f"{FIXED}, s.e."],
    rough_value=deep["mean, bp"],
    rough_upper=reach["mean, bp"],
    rough_fixed=rough.loc[FIXED, "mean, bp"],
    rough_falling=rough.loc[FALLING, "mean, bp"],
    rough_present=rough.loc["present edge, cubic", "mean, bp"],
    foresight=fresh_rough[1].max(axis=1).mean(),
)

# %% [markdown]
# The reference is the best falling level. A fixed level earns {glue:text}`rough_fixed:.2f` bp, a
# falling one {glue:text}`rough_falling:.2f`, the signature {glue:text}`rough_value:.2f`: against the
# rule that a desk would write first, the path looks worth {glue:text}`over_fixed:.3f` bp
# ({glue:text}`over_fixed_se:.3f`), against one that also knows the time
# {glue:text}`over_falling:.3f` ({glue:text}`over_falling_se:.3f`). A regression on the present is no
# better control: its cubic, fitted at each date, comes to {glue:text}`rough_present:.2f` only. Nor
# does memory come with the first iterated integrals: the table says from which depth on the path
# beats the falling level. It is worth more the rougher the edge (first figure). Between
# {glue:text}`rough_value:.2f` and {glue:text}`rough_upper:.2f` lies what the best rule can earn; the
# {glue:text}`foresight:.2f` of perfect foresight are no benchmark. Standard errors are those of the
# fresh paths, for rules as they were made; with other paths to make rules on (another `seed`) the
# differences move by a few hundredths of a basis point more.

# %% [markdown]
# (a-session-is-short)=
# ## A session is short
#
# Recorded edges are neither of the two. There is no trigger to start from where the edge is hardly
# ever positive, so windows begin on a fixed grid, every {glue:text}`stride_ms:.0f` ms, whatever the
# market does. Rules are made on the windows that end in the first part of the session, and valued
# on those that begin after it. Windows overlap and the market lingers, so standard errors are
# taken from stretches of {glue:text}`block_s:.0f` s as single observations.

# %%
session = data.load(dataset)
session

# %%
found = triangles(session["markets"].index, start)
if not found:
    raise ValueError(f"start: {dataset} has no triangle through {start!r}")
history = triangle_history(session["events"], found[0], start)
first_ns, last_ns = (int(history.local_ns[i]) for i in (0, -1))
span_ns = round((step_ms * n_dates + latency_ms) * MS)
split_ns = first_ns + round(train_share * (last_ns - first_ns))
starts_ns = np.arange(first_ns, last_ns - span_ns, round(stride_ms * MS))
blocks = (starts_ns - split_ns) // round(block_s * 1e9)
made_on, valued_on = starts_ns + span_ns <= split_ns, starts_ns >= split_ns
if made_on.sum() < 50 or len(np.unique(blocks[valued_on])) < 3:
    raise ValueError(f"{dataset} is too short for these windows, blocks and shares")


def block_error(values, blocks):
    """Standard error of a mean of values that are dependent within blocks."""
    sums = pd.Series(values - values.mean()).groupby(blocks).sum()
    return np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(values)


def session_worlds(fee_bps, latency_ms=latency_ms):
    """Windows to make rules on, windows to value them on, and blocks of those."""
    edges, rewards = windows(history, starts_ns, fee_bps / 1e4, latency_ms)
    whole = ~np.isnan(rewards).any(axis=1)  # orders arrive before the session ends
    train, fresh = (
        (edges[x], rewards[x]) for x in (made_on & whole, valued_on & whole)
    )
    return train, fresh, blocks[valued_on & whole]


# %% tags=["keep_output", "nbval-check-output"]
verdicts = {}
for level in (0.0, fee_bps):
    train, fresh, where = session_worlds(level)
    found = rules(train, fresh)
    verdicts[level] = compared(
        found, fresh[1], lambda x, at=where: block_error(x, at)
    )
pd.concat({f"{level:g} bp a leg": v for level, v in verdicts.items()}).round(2)

# %%
free = verdicts[0.0]
(edges, rewards), fresh, where = session_worlds(0.0)
promise = pd.Series(
    {k: policy(from_zero(edges), rewards, k, False).in_sample for k in DEPTHS}
)
mine = free.loc[f"signature, depth {depth}"]
record(
    session_gain=mine["less reference"],
    session_gain_se=mine["s.e. of that"],
    session_promise=promise[depth],
    session_earned=mine["mean, bp"],
    session_earned_se=mine["s.e."],
    session_ahead=free.loc["upper bound", "mean, bp"],
    session_threshold=free.loc[FIXED, "mean, bp"],
    n_train=len(edges),
    n_fresh=len(where),
    n_blocks=len(np.unique(where)),
)

# %%
best_product = history.products.max(axis=None)
record(
    positive_train=float((edges > 0).any(axis=1).mean()),
    positive_fresh=float((fresh[0] > 0).any(axis=1).mean()),
    best_net=float((best_product * (1 - fee_bps / 1e4) ** 3 - 1) * 1e4),
    stride_ms=stride_ms,
    block_s=block_s,
    fee_bps=fee_bps,
)

# %%
earned_there = free.filter(like="signature", axis=0)
depth_curves = pd.DataFrame(
    {
        "promised": promise.to_numpy(),
        "earned": earned_there["mean, bp"].to_numpy(),
    },
    index=list(DEPTHS),
)
error = earned_there["s.e."].to_numpy()
earned_line = depth_curves["earned"]
plots.lines(
    depth_curves,
    band={"earned": (earned_line - 2 * error, earned_line + 2 * error)},
    x="depth of the signature",
    y="earned, bp a window",
    level=(0.0, "let everything go"),
    caption=f"What rules promise on the {len(edges)} windows they are made on, and "
    f"earn on {len(where)} later ones, without fees ({session.name}); two standard "
    "errors from blocks.",
    alt="Two curves against depth: promised "
    f"{promise.iloc[0]:.2f} to {promise.iloc[-1]:.2f} basis points, earned "
    f"{earned_line.iloc[0]:.2f} to {earned_line.iloc[-1]:.2f}.",
)

# %% [markdown]
# At {glue:text}`fee_bps:.0f` bp a leg the best moment of the session nets
# {glue:text}`best_net:.1f` bp. Without fees, {glue:text}`positive_train:.3f` of the
# {glue:text}`n_train` windows that rules are made on and {glue:text}`positive_fresh:.3f` of the
# {glue:text}`n_fresh` later ones have a positive edge at any date, and {glue:text}`n_blocks` blocks
# is what there is to judge by. The unattainable bound is {glue:text}`session_ahead:.3f` bp a
# window. The fixed level chosen before earns {glue:text}`session_threshold:.3f`, the signature of
# depth {glue:text}`depth` {glue:text}`session_earned:.3f` ({glue:text}`session_earned_se:.3f`), and
# it had promised {glue:text}`session_promise:.2f`. What a rule promises counts the opportunities
# that the first part of the session happened to hold; what it earns later, those of the second part.
# Each depth fits more coefficients at each date to the same handful of independent opportunities, and
# the deepest rules pay for it where they trade on what is only a peculiarity of those.
#
# ```{admonition} Verdict
# :class: warning
# A difference of {glue:text}`session_gain:.3f` bp with a standard error of
# {glue:text}`session_gain_se:.3f` from {glue:text}`n_blocks` blocks is no evidence that the path
# says more than the present, nor that it does not: a session of this length cannot tell. An error
# of 0 means that both rules did the same in every window, not that it is known.
# ```

# %% [markdown]
# (does-waiting-survive)=
# ## Does waiting survive fees and latency?
#
# **Fees.** A fee moves every edge down and every threshold up. Where the edge after fees is hardly
# ever positive the best level in training is often infinite and the rule lets everything go.
# **Latency** makes the reward a forecast, and a forecast is where a path could help; it also makes
# every attempt at a short-lived opportunity a lottery ticket. **Queue** does not matter to takers;
# **competition** does, and is not in the recording: opportunities that we wait for are those that
# others left. **Capacity** is what the best quotes display at the decision. **Number of trials:**
# the table has ten rules and two fees, and the best of several equals looks good by chance; the
# depth quoted in the claim was fixed before.
#
# ## Fee by latency
#
# What the signature rule of depth {glue:text}`depth` earns beyond the best threshold as fee and
# latency change, everything made anew for each point.

# %%
sweep_fees = np.unique([0.0, 1.0, 3.0, fee_bps])
sweep_ms = np.array([0.0, 10.0, 20.0, 50.0, 100.0, 200.0])
gains, errors = ({f"fee {x:g} bp": [] for x in sweep_fees} for _ in range(2))
for level in sweep_fees:
    for delay in sweep_ms:
        train, fresh, where = session_worlds(level, delay)
        row = compared(
            rules(train, fresh, depths=(depth,)),
            fresh[1],
            lambda x, at=where: block_error(x, at),
        ).loc[f"signature, depth {depth}"]
        gains[f"fee {level:g} bp"].append(row["less reference"])
        errors[f"fee {level:g} bp"].append(row["s.e. of that"])
gains, errors = (pd.DataFrame(x, index=sweep_ms) for x in (gains, errors))

# %%
plots.lines(
    gains,
    band={x: (gains[x] - 2 * errors[x], gains[x] + 2 * errors[x]) for x in gains},
    x="latency, ms",
    y="more than the threshold, bp",
    level=(0.0, "the best threshold"),
    caption=f"Signature rule of depth {depth} less the best threshold in "
    f"{session.name}, by fee a leg and latency; two standard errors from blocks.",
    alt=f"{len(sweep_fees)} curves against latency between "
    f"{gains.min(axis=None):.2f} and {gains.max(axis=None):.2f} basis points.",
)

# %% [markdown]
# The same for other sessions, depths and seeds:
#
# ```console
# for d in 1 2 3 4; do labkit run triangular_signature_optimal_stopping -p depth $d; done
# labkit results triangular_signature_optimal_stopping
# papermill notebooks/triangular_signature_optimal_stopping.ipynb out.ipynb -p hurst 0.2
# ```

# %% [markdown]
# ## Exercises
#
# **1. Change.** Put a latency of one date into the world with memory: what is earned is the next
# edge, less the cost, which may be negative, and the last date lets go. The reward is no longer
# known at its date. How much of the gain is left?

# %% tags=["hide-input"]
lagged = []
for edge in (rough_world(hurst, k)[0] for k in (0, 1)):
    lagged.append((edge, np.pad(edge[:, 1:], [(0, 0), (0, 1)])))
late = compared(rules(*lagged), lagged[1][1]).loc["signature, depth 4"]
print(
    f"{late['mean, bp']:.2f} bp, {late['less reference']:.2f} more than the "
    f"falling level ({late['s.e. of that']:.2f})"
)

# %% [markdown]
# **2. Extend.** Give the rule the edge of the other round trip as a second coordinate of the path,
# in the session without fees. Mind how many coefficients depth 2 then has.

# %% tags=["hide-input"]
dates_ns = starts_ns[:, None] + np.arange(n_dates) * round(step_ms * MS)
both = (np.sort(history.products.to_numpy()[history.positions(dates_ns)]) - 1) * 1e4
paths = np.stack([from_zero(both[..., i]) for i in (1, 0)], axis=-1)
_, gains_all = windows(history, starts_ns, 0.0)
whole = ~np.isnan(gains_all).any(axis=1)
early, later = made_on & whole, valued_on & whole
two = policy(paths[early], gains_all[early], 2, False)
value = earned(gains_all[later], two.stops(paths[later], gains_all[later]))
print(
    f"{two.continuation.shape[1]} coefficients a date: promised {two.in_sample:.2f}"
    f", earned {value.mean():.2f} bp ({block_error(value, blocks[later]):.2f})"
)

# %% [markdown]
# **3. Break.** Tell the rule of the planted session that rewards are observed at their dates. It
# then knows whether the orders will arrive in time. By how many standard errors does it beat what
# {eq}`eq-memoryless` says is possible?

# %% tags=["hide-input"]
edges, rewards = windows(known, opened[:-1], planted_fee)
cheat = policy(from_zero(edges[:half]), rewards[:half], 2, True)
value = earned(rewards[half:], cheat.stops(from_zero(edges[half:]), rewards[half:]))
too_good = (value.mean() - closed_form) / stats.sem(value)
assert too_good > 4
print(f"{value.mean():.2f} bp of {closed_form:.2f} possible: {too_good:.0f} errors")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`bayer_2023`: stopping with signatures, and why linear rules on them are enough.
# - {cite:t}`rogers_2002` and {cite:t}`haugh_kogan_2004`: the upper bound.
# - {cite:t}`longstaff_schwartz_2001`: the regression, on the present state.
# - {cite:t}`becker_2019`: the same process, stopped by neural networks.
# - {cite:t}`fenn_2009`: how long triangles in foreign exchange stay open.

# %% tags=["remove-input"]
import labkit

print(
    f"labkit {labkit.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
)
print("time of this run, backend and data: see the page Execution")
