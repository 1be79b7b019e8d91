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
# fixed threshold suggests; and that a short recording cannot tell.
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
# index {glue:text}`hurst:.1f` depth 4 earns {glue:text}`over_fixed:.3f` bp
# ({glue:text}`over_fixed_se:.3f`) more than the best fixed threshold and
# {glue:text}`over_falling:.3f` ({glue:text}`over_falling_se:.3f`) more than the best one that falls
# with time; what lies between is the clock's share ([section](an-edge-with-memory)). In
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
from labkit.experiments import published_sweep, record
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
RANGES = {
    "latency_ms": (0, 1000),
    "step_ms": (1, 1000),
    "stride_ms": (1, 1e5),
    "block_s": (0.1, 3600),
    "train_share": (0.1, 0.9),
    "mean_life_ms": (5, 300),  # opportunities must fit into their session
    "fee_bps": (0, 1000),
    "planted_fee_bps": (1, 100),  # below, plain quotes open triangles too
    "hurst": (0.05, 0.95),
    "swing_bp": (1, 100),
    "cost_bp": (0, 2 * swing_bp),  # beyond, hardly any path has a reward
}
for name, (low, high) in RANGES.items():
    if not low <= globals()[name] <= high:
        raise ValueError(
            f"{name} must be in [{low}, {high:g}], got {globals()[name]}"
        )

# %%
LEAST = {"n_dates": 3, "n_paths": 500, "n_planted": 200, "seed": 0}
for name, least in LEAST.items():
    if not isinstance(globals()[name], int) or globals()[name] < least:
        raise ValueError(f"{name} must be an integer of at least {least}")
if n_dates * step_ms > 2500:
    raise ValueError("n_dates: n_dates * step_ms must be at most 2500 ms")
if depth not in (1, 2, 3, 4):
    raise ValueError(f"depth must be 1, 2, 3 or 4, got {depth}")
record(dataset=dataset, hurst=hurst, depth=depth, latency_ms=latency_ms)

# %% [markdown]
# ## Why it matters: the result first
#
# Whoever sees an open triangle has three choices, again and again until it is gone: send the three
# orders, wait for a better edge, or let it go. The first chapter took everything at once. A trader
# who waits hopes that the path of the edge so far says something about the next tenth of a second
# that its present value does not. This is an optimal stopping problem, and the usual ways to solve
# it, a threshold or a regression on the present state {cite:p}`longstaff_schwartz_2001`, are right
# only if the present is all that matters. {cite:t}`bayer_2023_primal_dual` regress on the
# *signature* of the path instead, its iterated integrals: on a compact set of paths that carry time
# along, linear functionals of it come as near as one likes to any continuous function of the path.
# That stopping times of this form suffice is shown by {cite:t}`bayer_2023`.
#
# Whether that pays depends on the world. In the figure the edge of the triangle is fractional
# Brownian motion, whose Hurst index is a dial for memory: at 1/2 there is none, below it what went
# up tends to come down again. The curves are what the signature rule earns on fresh paths beyond two
# rules that look at the present edge: the best fixed level, and the best level that falls with the
# time left. The distance between the curves is what knowing the time is worth to a level; the lower
# one is what depth 4 gets out of memory, of which a deeper signature may get more. All rules are
# made on other paths, and the same random numbers serve at every index. A martingale explained
# [below](an-edge-with-memory) takes most of the noise away, also where the levels are chosen.
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


def powers(edges):
    """First three powers of an edge as coordinates of a path."""
    return np.stack([edges**k for k in (1, 2, 3)], axis=-1)


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


def beyond_levels(index, repeat=0):
    """Bounds on the value, and what depth 4 earns beyond levels of the present."""
    train, fresh = (rough_world(index, 2 * repeat + k) for k in (0, 1))
    made = policy(from_zero(train[0]), train[1], WHOLE_DEPTH, True, train[2])
    less_noise = [  # of rewards: no rule's mean changes
        rewards - made.martingale(from_zero(edges), rewards, noise)
        for edges, rewards, noise in (train, fresh)
    ]
    value = earned(less_noise[1], made.stops(from_zero(fresh[0]), fresh[1]))
    found = {"lower": value, "upper": less_noise[1].max(axis=1)}
    for name, boundary in thresholds(train[0], less_noise[0]).items():
        found[name] = value - earned(less_noise[1], first_above(fresh[0], boundary))
    errors = {f"{name}, s.e.": stats.sem(x) for name, x in found.items()}
    return {name: x.mean() for name, x in found.items()} | errors


# %%
memory = pd.DataFrame({index: beyond_levels(index) for index in HURSTS}).T

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
    f"{beyond[FALLING].iloc[-1]:.2f}; at 0.5 {beyond.loc[0.5, FALLING]:.2f}.",
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
late_edge = rough_world(hurst, 1)[0][:2000]
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
    duration_s=n_planted * max(10.0, 20e-3 * n_dates * step_ms),
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
if not missed.any():
    raise ValueError("n_planted: no opportunity was missed, plant more of them")
loss = -train[1][missed, 0].mean()
star = loss * (1 - p) / p
grid = np.linspace(1.0, 8.0, 100_001)  # of the uniform law of edges
closed_form = np.maximum(p * grid - (1 - p) * loss, 0.0).mean()
met = rewards[:, 0] > 0
assert stats.binomtest(int(met.sum()), len(met), p).pvalue > 1e-4
taken = earned(fresh[1], first_above(fresh[0], star))
assert abs(taken.mean() - closed_form) <= 4 * stats.sem(taken)
record(p=p, star=star, loss=loss, closed_form=closed_form, met=met.mean())
record(worth=(grid > star).mean())

# %% [markdown]
# A feed delay and {glue:text}`latency_ms:.0f` ms after it opened, an opportunity is still there with
# probability {glue:text}`p:.4f` by {eq}`eq-still-there`; {glue:text}`met:.4f` of them are. Missing
# it costs {glue:text}`loss:.2f` bp, so the edge must be above {glue:text}`star:.2f` bp to be worth
# an attempt, as {glue:text}`worth:.3f` of the planted ones are (none where the level is above the
# largest planted edge, 8 bp), and the best rule is worth {glue:text}`closed_form:.3f` bp an
# opportunity. The rules of this chapter, from here on always the same ones:

# %%
DEPTHS = (1, 2, 3, 4)


def rules(train, fresh, observed=False, depths=DEPTHS, noise=None):
    """Dates at which rules made on `train` stop the paths of `fresh`."""
    (edges, rewards), (new, unseen) = train, fresh
    paths = from_zero(edges)
    made = {k: policy(paths, rewards, k, observed, noise) for k in depths}
    clean = rewards
    if noise is not None:  # levels are chosen with less noise
        clean = rewards - made[max(depths)].martingale(paths, rewards, noise)
    last = np.full(len(new), new.shape[1] - 1)
    found = {
        "take at once": 0 * last,
        "wait, best in training": 0 * last + clean.mean(axis=0).argmax(),
        "edge above 0": first_above(new, 0.0),
        "to the last date": last,
    }
    for name, boundary in thresholds(edges, clean).items():
        found[name] = first_above(new, boundary)
    # Of powers of the present edge as coordinates depth 1 sees the present.
    present = policy(powers(paths), rewards, 1, observed, noise)
    found["present edge, cubic"] = present.stops(powers(from_zero(new)), unseen)
    for k, rule in made.items():
        found[f"signature, depth {k}"] = rule.stops(from_zero(new), unseen)
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
no_better = learnt["less reference"] <= 4 * learnt["s.e. of that"]
assert no_better.all(), "a path without memory cannot say more than the present"
within = planted["mean, bp"] <= closed_form + 4 * planted["s.e."]
assert within.drop("upper bound").all()
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
# message of its end has not arrived, which is more often than it is there. The theory dips 20 ms
# after an opportunity opened, where a date falls there: the simulator's shortest life is 20 ms, at
# which {glue:text}`short_lived:.2f` of all opportunities end, and news of that is on its way just
# then.

# %%
random = np.random.default_rng(seed)
delays = D_MS + random.gamma(
    2.0, G_MS, (2, 100_000)
)  # of its first and last message
waits = step_ms * np.arange(n_dates - 1)
lived = waits[:, None] + delays[0] - delays[1]
seen = np.where(lived < D_MS, 1.0, np.exp(-lived / mean_life_ms)).mean(axis=1)
there = p * np.exp(-waits / mean_life_ms)
gone = seen - there
share, first, second = (np.mean((grid > star) * grid**k) for k in (0, 1, 2))
attempts = np.where(edges > star, rewards, 0.0)[:, :-1]
curves = pd.DataFrame(
    {
        "theory": first * there - share * loss * gone,
        "simulated": attempts.mean(axis=0),
    },
    index=waits,
)
# Of theory, and one attempt more: of a few attempts the sample's own says little.
error = second * there + share * loss**2 * gone + loss**2 / len(attempts)
error = np.sqrt(error / len(attempts))
assert (abs(curves["theory"] - curves["simulated"]) < 4 * error + 0.01).all()

# %%
error = stats.sem(attempts, axis=0)
low, high = (curves["simulated"] + k * error for k in (-2, 2))
plots.lines(
    curves,
    band={"simulated": (low, high)},
    x="time waited, ms",
    y="earned, bp a window",
    level=(0.0, ""),
    caption="What waiting costs where opportunities have no memory: taken at one "
    f"date if seen above {star:.2f} bp then; {len(edges)} windows, two s.e.",
    alt=f"Two curves that agree: {curves.iloc[0, 0]:.2f} basis points without "
    f"waiting, {curves.iloc[-1, 0]:.2f} after {waits[-1]:.0f} ms.",
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
# fall several times. It is taken off as well where levels are chosen; a level chosen on raw rewards
# is a worse one, which flatters the signature. For a recorded edge there is no such martingale,
# because what the past foretold is not known.
#
# One index checks the machinery. At $H = 1/2$ the reward is a convex function of a martingale,
# waiting until the end is optimal, and $V = \sigma \varphi(K / \sigma) - K \Phi(-K / \sigma)$.

# %%
ratio = cost_bp / swing_bp
brownian = swing_bp * stats.norm.pdf(ratio) - cost_bp * stats.norm.sf(ratio)
at_half = memory.loc[0.5]
assert at_half["lower"] < brownian + 4 * at_half["lower, s.e."]
assert at_half["lower"] > brownian - 4 * at_half["lower, s.e."] - 0.05 * swing_bp
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
# the innovations make up the martingale. Where waiting is all there is to know, estimating is a
# cost. Now the index {glue:text}`hurst:.1f`:

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
N_REPEATS = 5  # of making levels and rule, and of valuing both, on other paths
repeats = pd.DataFrame([beyond_levels(hurst, k) for k in range(N_REPEATS)])
repeats = repeats[[FIXED, FALLING]]
repeat_error = repeats.sem()
reach = rough.loc["upper bound"]
highest = reach["mean, bp"] + 4 * (rough["s.e."] + reach["s.e."])
assert (rough["mean, bp"] <= highest).all()
# Below 1/2 memory pays in theory; few paths, dates or rewards cannot show it.
can_show = n_paths >= 4000 and n_dates >= 15 and cost_bp <= swing_bp / 2
if hurst <= 0.3 and can_show:
    assert repeats[FALLING].mean() > 3 * repeat_error[FALLING]

# %%
record(
    over_falling=repeats[FALLING].mean(),
    over_falling_se=repeat_error[FALLING],
    over_fixed=repeats[FIXED].mean(),
    over_fixed_se=repeat_error[FIXED],
    falling_least=repeats[FALLING].min(),
    falling_most=repeats[FALLING].max(),
    one_falling_se=memory.loc[hurst, f"{FALLING}, s.e."],
    n_repeats=N_REPEATS,
)
record(
    rough_value=rough.loc[f"signature, depth {WHOLE_DEPTH}", "mean, bp"],
    rough_upper=reach["mean, bp"],
    rough_fixed=rough.loc[FIXED, "mean, bp"],
    rough_falling=rough.loc[FALLING, "mean, bp"],
    rough_present=rough.loc["present edge, cubic", "mean, bp"],
    foresight=fresh_rough[1].max(axis=1).mean(),
)

# %% [markdown]
# The reference is the best falling level. On these paths a fixed level earns
# {glue:text}`rough_fixed:.2f` bp, a falling one {glue:text}`rough_falling:.2f`, the signature
# {glue:text}`rough_value:.2f`. The standard errors of the table are those of the fresh paths, for
# rules as they were made. But levels and rules are themselves estimates, so the comparison was made
# {glue:text}`n_repeats` times, each on other paths to make them on and other fresh ones (a `seed`
# further on). Against the level that a desk would write first, depth 4 earns
# {glue:text}`over_fixed:.3f` bp more ({glue:text}`over_fixed_se:.3f`, from the repeats); against one
# that also knows the time {glue:text}`over_falling:.3f` ({glue:text}`over_falling_se:.3f`), between
# {glue:text}`falling_least:.3f` and {glue:text}`falling_most:.3f` from one repeat to another, where
# the error within one is {glue:text}`one_falling_se:.3f`. That is what depth 4 gets out of memory,
# not all that memory is worth. A regression on the present is another control: its cubic, fitted at
# each date, comes to {glue:text}`rough_present:.2f`. The table says at which depths, if at any, the
# path beats the falling level, and the first figure how that changes with the index. Between
# {glue:text}`rough_value:.2f` and {glue:text}`rough_upper:.2f` lies what the best rule can earn; the
# {glue:text}`foresight:.2f` of perfect foresight are no benchmark.

# %% [markdown]
# (a-session-is-short)=
# ## A session is short
#
# Recorded edges are neither of the two. There is no trigger to start from where the edge is hardly
# ever positive, so windows begin on a fixed grid, every {glue:text}`stride_ms:.0f` ms, whatever the
# market does. Rules are made on the windows that end in the first part of the session, and valued
# on those that begin after it; a window ends when the last order that it could send has arrived.
# Windows overlap and the market lingers, so standard errors are taken from stretches of
# {glue:text}`block_s:.1f` s as single observations. Such stretches are few: intervals are Student's,
# of one degree of freedom less than there are blocks, at 95 %.

# %%
session = data.load(dataset)
session

# %%
found = triangles(session["markets"].index, start)
if not found:
    raise ValueError(f"start: {dataset} has no triangle through {start!r}")
history = triangle_history(session["events"], found[0], start)
first_ns, last_ns = (int(history.local_ns[i]) for i in (0, -1))
length_ns = round(step_ms * n_dates * MS)
split_ns = first_ns + round(train_share * (last_ns - first_ns))
starts_ns = np.arange(first_ns, last_ns - length_ns, round(stride_ms * MS))
blocks = (starts_ns - split_ns) // round(block_s * 1e9)
valued_on = starts_ns >= split_ns


def made_on(latency_ms):
    """Windows whose last order arrives before the split, whatever the latency."""
    return starts_ns + length_ns + round(latency_ms * MS) <= split_ns


if made_on(latency_ms).sum() < 50 or len(np.unique(blocks[valued_on])) < 4:
    raise ValueError(f"{dataset} is too short for these windows, blocks and shares")

# %%
SURE = 0.95  # of an interval from blocks


def block_error(values, blocks):
    """Standard error of a mean of values that are dependent within blocks."""
    sums = pd.Series(values - values.mean()).groupby(blocks).sum()
    return np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(values)


def student(blocks):
    """Standard errors on each side of a mean in an interval from these blocks."""
    return stats.t.ppf((1 + SURE) / 2, len(np.unique(blocks)) - 1)


def session_worlds(fee_bps, latency_ms=latency_ms):
    """Windows to make rules on, windows to value them on, and blocks of those."""
    edges, rewards = windows(history, starts_ns, fee_bps / 1e4, latency_ms)
    whole = ~np.isnan(rewards).any(axis=1)  # orders arrive before the session ends
    early, later = made_on(latency_ms) & whole, valued_on & whole
    train, fresh = ((edges[x], rewards[x]) for x in (early, later))
    return train, fresh, blocks[later]


# %% tags=["keep_output", "nbval-check-output"]
verdicts = {}
for level in np.unique([0.0, fee_bps]):
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
    n_rules=len(free) - 1,  # the last row is the bound
    n_fees=len(verdicts),
)

# %%
half_width = student(where) * mine["s.e. of that"]
record(
    student=student(where),
    half_width=half_width,
    gain_low=mine["less reference"] - half_width,
    gain_high=mine["less reference"] + half_width,
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
error = student(where) * earned_there["s.e."].to_numpy()
earned_line = depth_curves["earned"]
plots.lines(
    depth_curves,
    band={"earned": (earned_line - error, earned_line + error)},
    x="depth of the signature",
    y="earned, bp a window",
    level=(0.0, "let everything go"),
    caption=f"What rules promise on the {len(edges)} windows they are made on, and "
    f"earn on {len(where)} later ones, without fees ({session.name}); "
    f"{SURE:.0%} intervals from {len(np.unique(where))} blocks.",
    alt="Two curves against depth: promised "
    f"{promise.iloc[0]:.2f} to {promise.iloc[-1]:.2f} basis points, earned "
    f"{earned_line.iloc[0]:.2f} to {earned_line.iloc[-1]:.2f}.",
)

# %% [markdown]
# At {glue:text}`fee_bps:.0f` bp a leg the best moment of the session nets
# {glue:text}`best_net:.1f` bp. Without fees, {glue:text}`positive_train:.3f` of the
# {glue:text}`n_train` windows that rules are made on and {glue:text}`positive_fresh:.3f` of the
# {glue:text}`n_fresh` later ones have a positive edge at any date, and {glue:text}`n_blocks` blocks
# is what there is to judge by, so that an interval reaches {glue:text}`student:.2f` standard errors
# to each side. The unattainable bound is {glue:text}`session_ahead:.3f` bp a
# window. The fixed level chosen before earns {glue:text}`session_threshold:.3f`, the signature of
# depth {glue:text}`depth` {glue:text}`session_earned:.3f` ({glue:text}`session_earned_se:.3f`), and
# it had promised {glue:text}`session_promise:.2f`. What a rule promises counts the opportunities
# that the first part of the session happened to hold; what it earns later, those of the second part.
# Each depth fits more coefficients at each date to the same handful of independent opportunities;
# where a depth trades on what is only a peculiarity of those, it pays for it later.
#
# ```{admonition} Verdict
# :class: warning
# Signature less threshold: {glue:text}`session_gain:.3f` bp, with an interval from
# {glue:text}`gain_low:.3f` to {glue:text}`gain_high:.3f` from {glue:text}`n_blocks` blocks. Where it
# holds 0, this session is no evidence that the path says more than the present, nor that it does
# not: it could tell only a difference above {glue:text}`half_width:.3f` bp. Where it does not, it is
# one of many differences in one session. A width of 0 means that both rules did the same in every
# window; then it does not measure what the session could tell, and the difference is not known.
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
# rules {glue:text}`n_rules`, fees {glue:text}`n_fees`, and the best of several equals looks good by
# chance; the depth quoted in the claim was fixed before.
#
# ## Fee by latency
#
# At the fee and latency of this run, {glue:text}`fee_bps:g` bp a leg and {glue:text}`latency_ms:g` ms:
# what the signature rule of depth {glue:text}`depth` promises on the windows it is made on, and what it
# earns later beyond the threshold that is best in training, one that may fall with time.

# %%
train, fresh, where = session_worlds(fee_bps)
found = rules(train, fresh, depths=(depth,))
own = f"signature, depth {depth}"
here = compared(found, fresh[1], lambda x, at=where: block_error(x, at))
ours, theirs = (earned(fresh[1], found[name]) for name in (own, FALLING))
record(
    fee_promise=policy(from_zero(train[0]), train[1], depth, False).in_sample,
    fee_earned=here.loc[own, "mean, bp"],
    fee_threshold=here.loc[FALLING, "mean, bp"],
    fee_gain=here.loc[own, "less reference"],
    fee_gain_width=student(where) * here.loc[own, "s.e. of that"],
    fee_windows=len(where),
    fee_blocks=len(np.unique(where)),
    fee_differ=int((ours != theirs).sum()),
    fee_open=int((fresh[1].max(axis=1) > 0).sum()),
)

# %% [markdown]
# It promises {glue:text}`fee_promise:.3f` bp a window and earns {glue:text}`fee_earned:.3f`,
# {glue:text}`fee_gain:.3f` more than the threshold, with an interval of {glue:text}`fee_gain_width:.3f`
# to each side. In {glue:text}`fee_open` of {glue:text}`fee_windows` windows anything can be earned, and
# in {glue:text}`fee_differ` the two earn different amounts; where they never do, the interval of 0
# measures nothing. A published sweep, with everything made anew for each point on windows that at its
# latency are over before the split:

# %% tags=["sweep"]
swept = published_sweep("stopping_fee_latency")
promises, gains = (
    swept.pivot_table(name, "parameters.fee_bps", "parameters.latency_ms")
    for name in ("fee_promise", "fee_gain")
)
swept_session = swept["parameters.dataset"].iloc[0]
plots.heatmap(
    promises,
    x="latency, ms",
    y="fee a leg, bp",
    z="promised, bp a window",
    numbers=".2f",
    caption="What the signature rule of depth 2 promises on the windows it is made "
    f"on in {swept_session}, by fee and latency.",
    alt=f"From {promises.iloc[0, 0]:.2f} basis points without fee and latency to "
    f"{promises.iloc[0, -1]:.2f} at {promises.columns[-1]:g} ms and "
    f"{promises.iloc[-1, 0]:.2f} at a fee of {promises.index[-1]:g} bp.",
)

# %% tags=["sweep"]
plots.heatmap(
    gains,
    x="latency, ms",
    y="fee a leg, bp",
    z="more than the threshold, bp",
    middle=0.0,
    numbers=".2f",
    caption="What the same rules earn on later windows beyond the best threshold.",
    alt=f"{(gains == 0).sum(axis=None)} of {gains.size} cells are 0, the others "
    f"between {gains.min(axis=None):.2f} and {gains.max(axis=None):.2f} basis "
    "points a window.",
)

# %% tags=["sweep"]
widest = swept.loc[swept["fee_gain"].abs().idxmax()]
idle = (swept["fee_earned"] == 0) & (swept["fee_differ"] == 0)
record(
    swept_session=swept_session,
    swept_points=len(swept),
    swept_differ=int((swept["fee_differ"] > 0).sum()),
    swept_most_differ=swept["fee_differ"].max(),
    swept_idle=int(idle.sum()),
    swept_empty=int((idle & (swept["fee_open"] == 0)).sum()),
    swept_gain=widest["fee_gain"],
    swept_width=widest["fee_gain_width"],
    swept_least=swept["fee_windows"].min(),
    swept_blocks=swept["fee_blocks"].min(),
    promise_first=promises.iloc[0, 0],
    promise_late=promises.iloc[0, -1],
    promise_fee=promises.iloc[1, 0],
    fee_one=promises.index[1],
    late_ms=promises.columns[-1],
    promise_last=promises.iloc[-1].max(),
    fee_last=promises.index[-1],
)

# %% [markdown]
# In {glue:text}`swept_session` depth 2 promises {glue:text}`promise_first:.2f` bp a window without fee
# and latency, {glue:text}`promise_late:.2f` at {glue:text}`late_ms:.0f` ms,
# {glue:text}`promise_fee:.2f` at a fee of {glue:text}`fee_one:g` bp and at most
# {glue:text}`promise_last:.2f` at {glue:text}`fee_last:g` bp. On later windows the rule and the
# threshold earn different amounts at {glue:text}`swept_differ` of {glue:text}`swept_points` points, in
# at most {glue:text}`swept_most_differ` windows; the largest difference is {glue:text}`swept_gain:.3f` bp,
# with an interval of {glue:text}`swept_width:.3f` to each side. At {glue:text}`swept_idle` points both
# earn exactly nothing, and at {glue:text}`swept_empty` of them there was nothing to take, not even with
# foresight. With {glue:text}`swept_least` or a few more later windows in {glue:text}`swept_blocks`
# blocks, the same at each point but for the last of them, whose orders arrive too late where latency is
# long, this table cannot tell fees or latencies apart in what is earned. It shows the fall of the
# promise, which has no error either: it comes from a few opportunities in the first part of the
# session, seen through overlapping windows, and the first steps of latency need not lower it. The sweep
# again, and others:
#
# ```console
# labkit sweep stopping_fee_latency
# labkit results stopping_fee_latency
# labkit sweep triangular_signature_optimal_stopping -g depth=1,2,3,4 -g fee_bps=0,1,2
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
early, later = made_on(latency_ms) & whole, valued_on & whole
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
assert too_good > 4 or p * half < 50, "it knows the future"
print(f"{value.mean():.2f} bp of {closed_form:.2f} possible: {too_good:.0f} errors")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`bayer_2023_primal_dual`: the regression on the signature, and the martingale of the
#   upper bound.
# - {cite:t}`bayer_2023`: why stopping times given by signatures are enough; no regression there, the
#   rule is optimised over the expected signature.
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
