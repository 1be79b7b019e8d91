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
# # Triangular arbitrage: does a profitable loop survive fees, lots and a tenth of a second?
#
# **You will** find the most profitable loop in a table of rates and prove when there is none; size
# a three-leg trade against real depth, fees and lots; find the opportunities in a recorded session
# without looking ahead; and price each of them again 0 to 500 milliseconds later.
#
# **You will learn** why the number that screens show, the product of three best quotes, is the
# least interesting one: what decides is the fee, the size standing at the best quote, and how long
# it stands there.
#
# **You need** the idea of a limit order book, and Python with NumPy and pandas. The chapter runs
# without a network on a simulated session; a real recording is one parameter away.
#
# ```{admonition} The claim
# :class: important
# In the session {glue:text}`dataset` the best round trip multiplies
# money by {glue:text}`max_gross:.5f` before fees. Three taker fees break even at
# {glue:text}`break_even_bps:.2f` basis points a leg, and the best moment could have carried a
# profit of {glue:text}`best_gross_profit:.4f` {glue:text}`start` before fees,
# {glue:text}`best_lot_profit:.4f` in whole lots ([section](what-the-session-offers)). At
# {glue:text}`fee_bps:.1f` basis points a leg, {glue:text}`n_net` moments remain
# ([section](does-it-survive)).
# ```

# %%
import timeit

import numpy as np
import pandas as pd

from labkit import data, plots, published
from labkit.arbitrage import (
    best_cycle,
    find_cycle,
    late_edges,
    triangle_history,
    triangles,
    triangular,
)
from labkit.experiments import published_sweep, record

# %% [markdown]
# ## Parameters
#
# One cell of plain literals, so that papermill can replace any of them; the next one refuses
# nonsense.

# %% tags=["parameters"]
dataset = "simulated_triangle"  # the session; real: "poloniex_triangle_20220821"
start = "USDT"  # currency in which money starts and ends
fee_bps = 10.0  # taker fee of each leg, basis points of what the leg receives
max_latency_ms = 500.0  # longest delay between seeing and trading, milliseconds
latency_step_ms = 10.0  # grid of delays, milliseconds
seed = 7  # of the known-truth session
n_planted = 200  # opportunities planted in it
mean_life_ms = 150.0  # their mean life, milliseconds

# %%
if not 0 <= fee_bps < 1e4:
    raise ValueError(f"fee_bps must be in [0, 10000), got {fee_bps}")
if latency_step_ms <= 0 or max_latency_ms < 0:
    raise ValueError(
        "latency_step_ms must be positive, max_latency_ms not negative"
    )
if n_planted < 1 or mean_life_ms <= 0 or seed < 0:
    raise ValueError(
        "n_planted and mean_life_ms must be positive, seed not negative"
    )
fee = fee_bps / 1e4
kept = (1 - fee) ** 3  # what three taker fees leave of one unit
latencies_ms = np.append(
    np.arange(0.0, max_latency_ms, latency_step_ms), max_latency_ms
)
record(dataset=dataset, start=start, fee_bps=fee_bps, max_latency_ms=max_latency_ms)

# %% [markdown]
# ## Why it matters: the result first
#
# A triangle of markets quotes one price twice: directly, and through a third currency. When the
# two disagree by more than the cost of trading, a round trip is free money, which is why the
# triangle is the textbook's picture of efficiency and the first thing a new trading desk monitors.
# {cite:t}`fenn_2009` looked for such moments in executable foreign-exchange quotes: they exist, but
# most are brief and small, and a trader would have to win an implausible share of the races for
# them. {cite:t}`aiba_2002` made the loop itself the interaction that ties three rates together. The question is not whether loops
# open. It is whether anything is left after fees, lots and latency.
#
# The session is loaded once, from the registry, with its hash checked. It is a list of wire
# messages; each carries the time at which the venue sent it and the time at which it was received.

# %%
session = data.load(dataset)
session

# %%
found = triangles(session["markets"].index, start)
if not found:
    raise ValueError(f"start: {dataset} has no triangle through {start!r}")
symbols = found[0]
history = triangle_history(session["events"], symbols, start)
gross_bps = (history.products - 1) * 1e4
best_route = gross_bps.max().idxmax()
max_gross = history.products.max().max()
record(max_gross=max_gross, n_states=len(history.local_ns), best_route=best_route)

# %%
plots.steps(
    gross_bps,
    x="seconds since the first complete state",
    y="gross edge, bp",
    level=((1 / kept - 1) * 1e4, f"break-even at {fee_bps:g} bp a leg"),
    caption=f"Gross edge of both round trips through {', '.join(symbols)} at the "
    f"best quotes ({session.name}). A round trip gains only above the dotted line.",
    alt="Two step curves over time; the higher one peaks at "
    f"{gross_bps.max().max():.1f} basis points, and three fees of {fee_bps:g} "
    f"basis points ask for {(1 / kept - 1) * 1e4:.1f}.",
)

# %% [markdown]
# ## Model
#
# There are $n$ currencies. A unit of currency $i$ buys $r_{ij}$ units of currency $j$ at once. A
# loop $c = (i_1, \dots, i_k)$ returns
#
# ```{math}
# :label: eq-product
# \Pi(c) = r_{i_1 i_2}\, r_{i_2 i_3} \cdots r_{i_k i_1}
# ```
#
# and is profitable when $\Pi(c) > 1$. With $w_{ij} = -\log r_{ij}$ this is a cycle of negative
# weight, which {cite:t}`bellman_1958` and {cite:t}`moore_1959` find in $O(n^3)$. **No** loop is
# profitable exactly when there are prices $p_i > 0$ at which no trade gains value:
#
# ```{math}
# :label: eq-certificate
# r_{ij}\, p_j \le p_i \quad \text{for all } i, j .
# ```
#
# Multiplying {eq}`eq-certificate` around any loop cancels the prices and leaves $\Pi \le 1$: the
# prices are a proof that anyone can check in $n^2$ multiplications.
#
# A triangle of order books has no single rate. Leg $l$ turns an amount $x$ of what it is given into
# $f_l(x)$: it takes levels from the best one on, and pays the fee from what it receives. Each
# $f_l$ is increasing, concave and piecewise linear, therefore so is their composition, and the
# profit
#
# ```{math}
# :label: eq-profit
# P(x) = f_3(f_2(f_1(x))) - x
# ```
#
# is concave: using up levels while the product of the three *net* marginal rates exceeds 1 finds
# its maximum exactly. With lots, quantities are whole multiples of a minimum; what a leg receives
# and the next cannot use is dust, and counts as nothing.
#
# **Assumptions.**
#
# 1. All three orders are taker orders and reach the venue at the same instant, `latency` after the
#    message that showed the opportunity was received.
# 2. They meet the books that stand at the venue at that instant, by the venue's own clock. The
#    observer hears of those books only later: the delay of the feed has passed before the first
#    order can be sent, and no latency of ours makes up for it. This takes it that the two clocks
#    agree.
# 3. Nobody reacts to our orders; our own trade does not refill.
# 4. The fee is a fraction of what a leg receives, the same on all legs.
#
# | symbol | in the code | unit | default | source |
# |---|---|---|---|---|
# | $r_{ij}$ | `rates` | units of $j$ for one of $i$ | | data |
# | $\Pi$ | `products` | | | {eq}`eq-product` |
# | $p_i$ | `prices` | any | | {eq}`eq-certificate` |
# | $P(x)$ | `outcome(books, x).profit` | `start` | | {eq}`eq-profit` |
# | fee | `fee_bps` | bp of the receipt | 10 | a usual standard tier |
# | latency | `latencies_ms` | ms | 0 to 500 | |
#
# **Reproduced here:** the arbitrage that {cite:t}`sedgewick_wayne_2011` print for their table of
# rates, and an independent replay of the Poloniex recording. **Not reproduced:** the counts of
# {cite:t}`fenn_2009`, whose tick data are proprietary.

# %% [markdown]
# ## Method
#
# ### A loop in a table of rates
#
# Bellman and Ford's idea in multiplicative form: carry the best amount with which each currency
# can be reached, improve it trade by trade, and if an improvement is still possible after $n$
# rounds, walk back along the trades that made it until a currency repeats. That is a loop.

# %%
GAIN = 1 + 1e-12  # a trade that multiplies by less gains nothing but rounding


def loop_by_hand(rates):
    """A profitable loop in a matrix of rates, or prices that rule one out."""
    n = len(rates)
    amount, came_from = np.ones(n), np.full(n, -1)
    for _ in range(n):
        offers = amount[:, None] * rates
        np.fill_diagonal(offers, 0.0)
        better = offers.max(axis=0) > amount * GAIN
        came_from[better] = offers.argmax(axis=0)[better]
        amount[better] = offers.max(axis=0)[better]
        if not better.any():
            return None, 1 / amount
    node = int(np.flatnonzero(better)[0])
    for _ in range(n):
        node = came_from[node]
    loop = [node]
    while (node := came_from[node]) != loop[0]:
        loop.append(node)
    return [int(i) for i in reversed(loop)], None


# %% [markdown]
# The rates are those of Sedgewick and Wayne's text. `find_cycle` is the same search in Rust;
# `best_cycle` answers a harder question: not *a* profitable loop but the most profitable one.

# %%
inputs = published.inputs("sedgewick_wayne_rates")
rates = pd.DataFrame(inputs["rates"], inputs["currencies"], inputs["currencies"])
table = rates.to_numpy()


def product(loop):
    """Units of the first currency that one unit becomes around a loop."""
    return np.prod(
        [table[a, b] for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
    )


loop, _ = loop_by_hand(table)
found, best = find_cycle(rates), best_cycle(rates)
assert product(loop) > 1
assert found.product > 1
assert best.product >= max(product(loop), found.product) - 1e-15

# %%
plots.cycle_graph(
    rates,
    best.nodes,
    caption="Sedgewick and Wayne's five currencies and the most profitable of all "
    f"their loops: 1000 {best.nodes[0]} become {1000 * best.product:.5f}.",
    alt="Five currencies on a circle; arrows lead "
    f"{' to '.join((*best.nodes, best.nodes[0]))}.",
)

# %% [markdown]
# When a fee is taken from every trade the loop closes, and `find_cycle` returns the proof
# {eq}`eq-certificate` instead.

# %% tags=["keep_output", "nbval-check-output"]
after_fees = find_cycle(rates * (1 - 0.003))
assert after_fees.nodes == ()
prices = pd.Series(after_fees.prices)
gain = (rates * (1 - 0.003)).mul(prices, axis=1).div(prices, axis=0)
gain = gain.mask(np.eye(len(gain), dtype=bool))  # a trade leads to another currency
assert gain.max(axis=None) <= 1 + 1e-12
pd.DataFrame({"price": prices, "best value of one trade": gain.max(axis=1)}).round(
    6
)

# %% [markdown]
# A value of one is a trade at the certificate's own prices; none is above. How the two searches
# compare in speed, on a matrix of 200 currencies in which no loop is open:

# %%
random = np.random.default_rng(seed)
value = random.lognormal(size=200)
large = np.outer(value, 1 / value) * random.uniform(0.997, 0.999, (200, 200))
seconds = [
    np.median(
        timeit.repeat(lambda search=search: search(large), number=1, repeat=15)
    )
    for search in (find_cycle, loop_by_hand)
]
assert loop_by_hand(large)[0] is None
assert not find_cycle(large).profitable
print(f"find_cycle takes {seconds[0] / seconds[1]:.3f} of the time by hand")

# %% [markdown]
# ### A triangle of books
#
# The size of the trade, by hand: at each step the three best levels that are left give a marginal
# rate. As long as it exceeds one, trade on until the first of the three levels is used up. There is
# no search: concavity makes the first step that does not pay the last one worth trying.

# %%
USED_UP = 1 - 1e-12  # the share of a level from which on it counts as used up


def size_by_hand(levels, buys, fee):
    """Start currency to spend and to get back: use up levels while it pays."""
    left = [[list(level) for level in leg] for leg in levels]
    spent = received = 0.0
    while all(left):
        price, size = np.array([leg[0] for leg in left]).T
        rates = np.where(buys, 1 / price, price) * (1 - fee)
        if rates.prod() <= 1:
            break
        # What each leg's best level can take, in the currency it is given ...
        room = np.where(buys, price * size, size)
        # ... of which a unit of start currency becomes `reach` units on the way.
        reach = np.array([1.0, rates[0], rates[0] * rates[1]])
        amount = min(room / reach)
        given = amount * reach
        taken = np.where(buys, given / price, given)
        for leg, base, full in zip(
            left, taken, given >= room * USED_UP, strict=True
        ):
            leg[0][1] -= base
            if full:
                leg.pop(0)
        spent, received = spent + amount, received + amount * rates.prod()
    return spent, received


# %% [markdown]
# Held against `labkit.arbitrage.triangular` at the best moment of the session, before fees.

# %%
best_at = int(history.products[best_route].to_numpy().argmax())
books = history.books(history.local_ns[best_at])
free = next(
    r
    for r in triangular(books, 0.0, start=start).routes
    if ">".join(r.path) == best_route
)
levels = [
    books[leg.symbol].asks if leg.side == "buy" else books[leg.symbol].bids
    for leg in free.legs
]
buys = [leg.side == "buy" for leg in free.legs]
np.testing.assert_allclose(
    size_by_hand(levels, buys, 0.0), (free.spent, free.received), rtol=1e-9
)

# %% [markdown]
# ## Known truth first
#
# Before any real session, one in which the truth is known. `simulate_triangle` quotes three books
# around two random walks and never lets a round trip open: a quote that would open one is pulled
# back to break-even before it is sent. The exception is where it plants one: a single order stands
# in the cross book at a price at which the trip earns a chosen edge *after* three fees, and is
# withdrawn after an exponential life. The detector sees nothing of this but the messages.
#
# ```{admonition} What was known when
# :class: note
# Every state is stamped with the time its message was *received*, and `history.books(t)` contains
# messages received by `t` and no other. A test shuffles the future of a session and checks that
# nothing found before changes.
# ```

# %%
truth = data.simulate_triangle(
    seed,
    duration_s=n_planted * (1.0 + 2e-3 * mean_life_ms),
    n_planted=n_planted,
    fee_bps=fee_bps,
    mean_life_ms=mean_life_ms,
)
known = triangle_history(
    truth["events"], triangles(truth["markets"].index, "USDT")[0], "USDT"
)
episodes = known.episodes(above=1 / kept)
arrival = truth["events"].groupby("message")["local_ns"].first()
planted = truth["planted"].assign(
    start_ns=truth["planted"]["message"].map(arrival),
    end_ns=truth["planted"]["end_message"].map(arrival),
)
matched = planted.merge(episodes, on=["route", "start_ns", "end_ns"])
record(
    n_planted=len(planted),
    n_found=len(matched),
    n_extra=len(episodes) - len(matched),
)

# %% tags=["keep_output", "nbval-check-output"]
assert len(planted) == len(episodes) == len(matched)
np.testing.assert_allclose(matched["best"], matched["gross_product"], rtol=1e-12)
pd.Series(
    {
        "planted": len(planted),
        "found, same route, start and end": len(matched),
        "found but not planted": len(episodes) - len(matched),
        "median net edge, bp": round(
            (planted["net_product"].median() - 1) * 1e4, 3
        ),
    },
    dtype=object,
).to_frame("known truth")

# %% [markdown]
# All {glue:text}`n_found` planted opportunities are found, to the message, and nothing else. The
# session also has a closed form for latency: an opportunity with exponential life of mean $\tau$ is
# still there after $\ell$ with probability $e^{-\ell/\tau}$ (for $\ell$ above the simulator's
# shortest life of 20 ms). The fraction that is must agree within four standard errors and one
# opportunity.

# %% tags=["keep_output", "nbval-check-output"]
probe_ms = np.array([50.0, 100.0, 200.0, 400.0])
late = planted["start_ns"].to_numpy()[:, None] + (probe_ms * 1e6).astype(int)
which = known.products.columns.get_indexer(planted["route"])[:, None]
still_pays = known.products.to_numpy()[known.positions(late), which] > 1 / kept
same_one = late < planted["end_ns"].to_numpy()[:, None]
alive = (still_pays & same_one).mean(axis=0)
expected = np.exp(-probe_ms / mean_life_ms)
error = np.sqrt(expected * (1 - expected) / len(planted))
off = np.abs(alive - expected) - 4 * error - 1 / len(planted)
assert (off < 0).all(), f"alive {alive} is not exp(-l/tau) {expected}"
pd.DataFrame(
    {"alive": alive, "exp(-l/tau)": expected, "standard error": error},
    index=pd.Index(probe_ms, name="latency, ms"),
).round(4)

# %% [markdown]
# (what-the-session-offers)=
# ## What the session offers
#
# Now the session of the first figure. For each round trip: the best product at the quotes, the
# share of time it was above one, how often and for how long, and the fee per leg at which the best
# moment breaks even, $1 - \Pi^{-1/3}$. These are facts of one recording, without sampling error;
# how little one recording says about another is the subject of the last sections.

# %% tags=["keep_output", "nbval-check-output"]
opportunities, after_fee = (
    history.episodes(above=1.0),
    history.episodes(above=1 / kept),
)
held = np.diff(history.local_ns) / 1e9
offers = {}
for route, gross in history.products.items():
    runs = opportunities[opportunities["route"] == route]
    above = held[gross.to_numpy()[:-1] > 1].sum() / held.sum()
    longest = (runs["end_ns"] - runs["start_ns"]).max() / 1e6 if len(runs) else 0
    offers[route] = {
        "best product": f"{gross.max():.6f}",
        "time above 1, %": f"{100 * above:.2f}",
        "opportunities": len(runs),
        "longest, ms": f"{longest:.1f}",
        "break-even fee, bp a leg": f"{(1 - gross.max() ** (-1 / 3)) * 1e4:.2f}",
        "opportunities after fees": (after_fee["route"] == route).sum(),
    }
pd.DataFrame(
    {route: pd.Series(column, dtype=object) for route, column in offers.items()}
)

# %%
break_even_bps = (1 - max_gross ** (-1 / 3)) * 1e4
record(
    break_even_bps=break_even_bps,
    n_gross=len(opportunities),
    n_net=len(after_fee),
)

# %% [markdown]
# The best moment, leg by leg: the most that anybody could have made then, before fees, with
# quantities as fine as one likes and in the whole lots of these markets. The leg with the smallest
# size at the best quote decides; read the quantities.

# %% tags=["keep_output", "nbval-check-output"]
lots = session["markets"].loc[list(symbols), "lot_size"].to_dict()
ticks = session["markets"].loc[list(symbols), "tick_size"].to_dict()
whole = triangular(books, 0.0, start=start, lot_sizes=lots, tick_sizes=ticks)
in_lots = next(route for route in whole.routes if route.path == free.path)
pd.DataFrame(
    [
        (
            one.symbol,
            one.side,
            one.limit_price,
            one.quantity,
            two.quantity,
            two.lot_size,
        )
        for one, two in zip(free.legs, in_lots.legs, strict=True)
    ],
    columns=[
        "market",
        "side",
        "limit price",
        "quantity",
        "quantity in lots",
        "lot",
    ],
).round(8)

# %%
record(
    best_size=free.spent,
    best_gross_profit=free.profit,
    best_lot_profit=in_lots.profit,
    best_moment_s=float(history.products.index[best_at]),
)

# %% [markdown]
# {glue:text}`best_size:.2f` {glue:text}`start` go in, and {glue:text}`best_gross_profit:.4f` come
# out on top of them; in whole lots it is {glue:text}`best_lot_profit:.4f`. Rounding a small trade
# to lots can cost more than the edge, and then the best trade is none. The figure puts any amount
# through the same books: beyond the optimum the marginal rate is below one and the profit falls;
# three fees lower the whole curve.

# %%
paid = next(
    r for r in triangular(books, fee, start=start).routes if r.path == free.path
)
sizes = np.linspace(0.0, 3 * free.spent, 121)[1:]
curves = pd.DataFrame(
    {
        "before fees": free.outcome(books, sizes)["profit"].to_numpy(),
        f"after three fees of {fee_bps:g} bp": paid.outcome(books, sizes)[
            "profit"
        ].to_numpy(),
    },
    index=sizes,
)
plots.lines(
    curves,
    x=f"{start} put in",
    y=f"profit, {start}",
    level=(0.0, ""),
    caption="Profit against size at the best moment of the session, without lots: "
    f"the optimum before fees is {free.spent:.2f} {start} and earns "
    f"{free.profit:.4f}.",
    alt="Two concave curves from zero; the one before fees rises to its optimum "
    "and then falls, the one after fees lies below it.",
)

# %% [markdown]
# ## Replication
#
# Sedgewick and Wayne print one loop for their table, 1000 USD into 1007.14497. Their program finds
# *a* negative cycle; enumeration shows that it happens to be the best of all simple loops. The
# counts of loops are not printed in the text: they are exact values, recomputed here by brute
# force, independently of `best_cycle`.

# %% tags=["keep_output", "nbval-check-output"]
from itertools import permutations

loops = [
    (first, *rest)
    for first in range(len(rates))
    for k in range(1, len(rates))
    for rest in permutations(range(first + 1, len(rates)), k)
]
values = [product(c) for c in loops]
assert np.isclose(max(values), best.product, rtol=1e-14)
published.check(
    "sedgewick_wayne_rates",
    final_usd=1000 * best.product,
    best_product=best.product,
    simple_cycles=len(values),
    profitable_cycles=sum(value > 1 for value in values),
)

# %% [markdown]
# The second replication needs the Poloniex recording. Where it is not at hand the row says so, and
# the command that gets it.

# %%
recording = "poloniex_triangle_20220821"
if data.available(recording):
    real = data.load(recording)
    loop = triangles(real["markets"].index, "USDT")[0]
    top = triangle_history(real["events"], loop, "USDT").products.max()
    measured = {
        "usdt_btc_bch_usdt": top["USDT>BTC>BCH>USDT"],
        "usdt_bch_btc_usdt": top["USDT>BCH>BTC>USDT"],
    }
else:
    missing = f"needs the recording: labkit data fetch {recording}"
    measured = dict.fromkeys(["usdt_btc_bch_usdt", "usdt_bch_btc_usdt"], missing)
published.check("poloniex_triangle_products", **measured)

# %% [markdown]
# (does-it-survive)=
# ## Does it survive?
#
# **Fees** have been answered: the best of {glue:text}`n_states` states breaks even at
# {glue:text}`break_even_bps:.2f` bp a leg. **Latency**: each of the {glue:text}`n_gross`
# opportunities is sized when its first message is received, on the books known then, and traded
# later on the books as they stand then. What is plotted is the mean over opportunities, without
# lots; the band is two standard errors of the mean, and with few opportunities it is wide. Latency
# counts from receipt, and at zero the feed's own delay has already been paid.

# %%
edges = late_edges(history, opportunities, latencies_ms, fee=fee)
by_latency = edges.groupby("latency_ms")[["gross_bps", "net_bps"]]
mean, spread = by_latency.mean(), by_latency.sem()
mean.columns = spread.columns = [
    "before fees",
    f"after three fees of {fee_bps:g} bp",
]
plots.lines(
    mean,
    band={
        name: (mean[name] - 2 * spread[name], mean[name] + 2 * spread[name])
        for name in mean
    },
    x="latency from receipt to the venue, ms",
    y="profit, bp of the amount put in",
    level=(0.0, "break-even"),
    caption=f"What {len(opportunities)} opportunities seen in {session.name} are "
    "worth when they are traded later; mean and two standard errors.",
    alt="Two curves of profit against latency: before fees from "
    f"{mean.iloc[0, 0]:.1f} to {mean.iloc[-1, 0]:.1f} basis points, after fees "
    f"from {mean.iloc[0, 1]:.1f} to {mean.iloc[-1, 1]:.1f}.",
)

# %% tags=["keep_output", "nbval-check-output"]
shown = pd.concat([mean, spread], axis=1).iloc[:, [0, 2, 1, 3]]
shown.columns = ["before fees", "s.e.", "after fees", "s.e."]
shown.iloc[:: max(1, (len(shown) - 1) // 5)].round(3)

# %%
no_delay = [0.0]


def total(fee, lots):
    """Profit of trading every opportunity on the very books it was seen on."""
    seen = late_edges(
        history, opportunities, no_delay, fee=fee, lot_sizes=lots, clock="local"
    )
    return float(seen["profit"].clip(lower=0).sum())


# Those open after fees, all of them, whatever becomes of them
as_seen = late_edges(history, after_fee, no_delay, fee=fee, clock="local")
at_venue = late_edges(history, after_fee, [max_latency_ms], fee=fee)
record(
    seen_profit=as_seen["profit"].sum(),
    late_profit=at_venue["profit"].sum(),
    n_late=int(at_venue["profit"].notna().sum()),
    edge_at_once_bps=float(mean.iloc[0, 0]),
    edge_late_bps=float(mean.iloc[-1, 0]),
    net_at_once_bps=float(mean.iloc[0, 1]),
    total_gross=total(0.0, 0.0),
    total_lots=total(0.0, lots),
    total_net=total(fee, 0.0),
)

# %% [markdown]
# Before fees the mean edge goes from {glue:text}`edge_at_once_bps:.2f` bp at zero latency to
# {glue:text}`edge_late_bps:.2f` bp after {glue:text}`max_latency_ms:.0f` ms. After fees it is
# {glue:text}`net_at_once_bps:.2f` bp at zero latency. **Capacity**: had every opportunity been
# traded on the very books on which it was seen, with no delay at all and each at its own best size,
# the session would have earned {glue:text}`total_gross:.4f` {glue:text}`start` before fees,
# {glue:text}`total_lots:.4f` in whole lots, and {glue:text}`total_net:.4f` after fees without lots.
#
# **Spread and queue.** A taker crosses three spreads, and they are in the products already: the
# other direction in the first figure shows what crossing them the wrong way costs. Queue position
# does not matter to a taker, but competition does: an order that stands at a wrong price can be
# taken once, and whoever is second trades with what is behind it. The curves know only of changes
# that are in the recording. A rival who reacts to the same message as we do is not in it.
#
# **Out of sample and number of trials.** One session is one sample. The best product is the maximum
# over {glue:text}`n_states` states and two directions, so it overstates what the next session would
# show; and the standard errors above treat the opportunities as independent, which one session
# cannot confirm. No parameter was fitted here, so nothing can be overfitted, and nothing generalises
# either: the statement is about this session.

# %% [markdown]
# ## Sweep
#
# Fee and latency together: each cell of the figure is a run of this chapter with its own `fee_bps`
# and `max_latency_ms`, on the session {glue:text}`swept_dataset`, without lots. Every opportunity
# that is open after the fee is sized when it is seen and traded at the venue so much later, and it
# counts whatever has become of it, so that a cell can be negative. (The run in front of you has
# {glue:text}`n_net` of them: {glue:text}`seen_profit:.4f` {glue:text}`start` on the books as seen,
# {glue:text}`late_profit:.4f` at the venue {glue:text}`max_latency_ms:.0f` ms after receipt.)

# %% tags=["sweep"]
swept = published_sweep("triangular_fee_latency")
left = swept.pivot_table(
    index="parameters.fee_bps",
    columns="parameters.max_latency_ms",
    values="late_profit",
)
plots.heatmap(
    1e3 * left,
    x="latency from receipt to the venue, ms",
    y="taker fee, bp a leg",
    z="thousandths of a USDT",
    numbers=".2f",
    middle=0.0,
    caption="What taker fee and latency leave of the session "
    f"{swept['parameters.dataset'].iloc[0]}: total profit of every opportunity "
    "that is open after fees, traded late. At the highest fee none is open.",
    alt="A column of numbers for each latency: without latency from "
    f"{1e3 * left.iloc[0, 0]:.2f} at no fee to {1e3 * left.iloc[-2, 0]:.2f} at "
    f"{left.index[-2]:g} bp, at {left.columns[-1]:g} ms from "
    f"{1e3 * left.iloc[0, -1]:.2f} to {1e3 * left.iloc[-2, -1]:.2f}.",
)

# %% tags=["sweep"]
lost = 1 - left.iloc[0] / left.iloc[0, 0]
slow = lost[lost > 0.1].index[0]  # the first latency that costs a tenth
last_fee = left.apply(lambda column: column[column > 0].index.max())
record(
    swept_dataset=swept["parameters.dataset"].iloc[0],
    swept_points=len(swept),
    swept_gross=int(swept["n_gross"].iloc[0]),
    swept_open=int(swept.loc[swept["n_net"] > 0, "n_net"].min()),
    swept_none_fee=swept.loc[swept["n_net"] == 0, "parameters.fee_bps"].min(),
    swept_best=1e3 * left.iloc[0, 0],
    swept_quick_ms=lost[lost.index < slow].index.max(),
    swept_slow_ms=slow,
    swept_lost=lost[slow],
    swept_fee_at_once=last_fee.iloc[0],
    swept_fee_least=last_fee.min(),
    swept_fee_least_ms=last_fee.idxmin(),
    swept_fee_late=last_fee.iloc[-1],
    swept_latest_ms=left.columns[-1],
    swept_late_loss=1e3 * left.iloc[:, -1].min(),
)

# %% [markdown]
# The session has {glue:text}`swept_gross` opportunities before fees and {glue:text}`swept_open` at
# the highest fee at which any is open; at {glue:text}`swept_none_fee:.0f` bp a leg there is none,
# and those cells are zero because nothing is traded. Without fee or latency the session is worth
# {glue:text}`swept_best:.2f` thousandths of a USDT. Up to {glue:text}`swept_quick_ms:.0f` ms of latency
# it loses less than a tenth of that; at {glue:text}`swept_slow_ms:.0f` ms {glue:text}`swept_lost:.0%`
# of the profit before fees are gone. The fee that the session carries falls with it:
# {glue:text}`swept_fee_at_once:.0f` bp is the last on this grid that leaves a profit at once,
# {glue:text}`swept_fee_least:.0f` bp after {glue:text}`swept_fee_least_ms:.0f` ms,
# {glue:text}`swept_fee_late:.0f` bp after {glue:text}`swept_latest_ms:.0f` ms, where the worst fee
# leaves {glue:text}`swept_late_loss:.2f` thousandths. None of this has an error to quote: the
# {glue:text}`swept_points` cells are the same few trips, repriced, and a rise from one latency to a
# longer one is a change or two of a book. It shows how the two costs work
# together, not what another session would leave.
#
# The sweep again, and its table with the profit on the books as seen:
#
# ```console
# labkit sweep triangular_fee_latency
# labkit results triangular_fee_latency
# ```
#
# Anything else is swept from the command line, such as the simulated session with
# `labkit sweep triangular_arbitrage -g fee_bps=0,5,10 -g max_latency_ms=20,100,500`.

# %% [markdown]
# ## Exercises
#
# **1. Change.** At which fee per trade does Sedgewick and Wayne's table stop offering any loop? It
# is not enough to look at the best one: which loop is the last to close?

# %% tags=["hide-input"]
low, high = 0.0, 0.01
while high - low > 1e-9:
    middle = (low + high) / 2
    low, high = (
        (middle, high)
        if find_cycle(rates * (1 - middle)).profitable
        else (low, middle)
    )
last = find_cycle(rates * (1 - low))
closing = 1 - np.array(values) ** (-1 / np.array([len(c) for c in loops]))
assert np.isclose(closing.max(), high, atol=2e-9)
print(f"at {high * 1e4:.3f} bp a trade; the last loop is {' > '.join(last.nodes)}")

# %% [markdown]
# **2. Extend.** A second loop is often open at the same time as the best one. List the loops of the
# table that are profitable and share no currency pair with the best loop.

# %% tags=["hide-input"]
used = {
    frozenset(pair)
    for pair in zip(best.nodes, best.nodes[1:] + best.nodes[:1], strict=True)
}
for c, value in sorted(zip(loops, values, strict=True), key=lambda item: -item[1]):
    names = [rates.index[i] for i in c]
    pairs = {
        frozenset(pair) for pair in zip(names, names[1:] + names[:1], strict=True)
    }
    if value > 1 and not pairs & used:
        print(f"{value:.8f} {' > '.join(names)}")

# %% [markdown]
# **3. Break.** Look-ahead is the usual way in which such a study lies. Throw away the second half of
# the session's messages: every opportunity that ended before must be found unchanged, and sized the
# same.

# %% tags=["hide-input"]
events = session["events"]
half = int(history.local_ns[len(history.local_ns) // 2])
first_half = triangle_history(events[events["local_ns"] <= half], symbols, start)
assert len(first_half.local_ns) < len(history.local_ns)
past = opportunities[opportunities["end_ns"] <= half]
pd.testing.assert_frame_equal(first_half.episodes(above=1.0).head(len(past)), past)
whole_session, cut = (
    late_edges(h, past, [0.0], fee=fee, lot_sizes=lots, clock="local")
    for h in (history, first_half)
)
pd.testing.assert_frame_equal(whole_session, cut)
print(f"{len(past)} opportunities before the cut, all the same")

# %% [markdown]
# ## Further reading
#
# - {cite:t}`fenn_2009`: how often the foreign-exchange triangle really opened, on proprietary
#   feeds, and why the gain was mostly gone on execution.
# - {cite:t}`aiba_2002` and {cite:t}`aiba_hatano_2004`: the triangle as the force that keeps three
#   rates together.
# - {cite:t}`sedgewick_wayne_2011`: the graph algorithm, with the table used here.
# - {cite:t}`cherkassky_goldberg_1999`: which negative-cycle search is fast in practice, and why.

# %% tags=["remove-input"]
import labkit

print(
    f"labkit {labkit.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
)
print("time of this run, backend and data: see the page Execution")
