"""Market making: published tables, closed forms, differential equations and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, stats

from labkit import _microprice
from labkit.market_making import (
    GLFT,
    AvellanedaStoikov,
    Market,
    MicroPriceModel,
    Offsets,
    Symmetric,
    avellaneda_stoikov_quotes,
    fill_intensity,
    glft_closed_form,
    glft_quotes,
    order_flow_imbalance,
    simulate,
    sum_by_time,
    symmetric_moments,
    trade_depth,
    weighted_mid,
)
from labkit.reference import _philox as philox

# The generator


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (5, 7), (2**64 - 1, 2**63 + 1)])
def test_streams_are_those_of_numpy(seed, stream):
    theirs = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=0).random_raw(41)
    np.testing.assert_array_equal(philox.raw(seed, stream, 0, 41), theirs)
    np.testing.assert_array_equal(philox.raw(seed, stream, 6, 11), theirs[6:17])
    np.testing.assert_array_equal(philox.blocks(seed, stream, 9), theirs[36:40])


def test_many_streams_are_made_at_once():
    words = philox.raw(3, np.arange(6).reshape(2, 3), 5, 9)
    assert words.shape == (2, 3, 9)
    for stream in range(6):
        np.testing.assert_array_equal(words[divmod(stream, 3)], philox.raw(3, stream, 5, 9))


def test_numbers_of_words_are_uniform_and_exponential():
    assert philox.uniform(2**64 - 1) == 1 - 2.0**-53
    assert philox.exponential(0) == 0
    assert philox.exponential(2**64 - 1) == pytest.approx(53 * math.log(2), rel=1e-14)
    uniform = philox.uniform(philox.raw(1, 2, 0, 20_000))
    # The same double as numpy's generator makes of the word.
    theirs = np.random.Generator(np.random.Philox(key=[1, 2], counter=0)).random(20_000)
    np.testing.assert_array_equal(uniform, theirs)


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), ("1", TypeError)]
)
def test_a_seed_that_no_word_holds_is_refused(value, error):
    with pytest.raises(error, match="seed must be"):
        philox.seed("seed", value)


# Quotes of Avellaneda and Stoikov

AS = {"gamma": 0.1, "sigma": 2.0, "k": 1.5}


def test_reservation_price_is_that_of_a_holder_who_waits_until_the_end():
    gamma, sigma, left = 0.1, 2.0, 0.4

    def log_utility(cash, price, q):
        # -log of E[exp(-gamma (cash + q S_T))] with S_T normal around the price
        return gamma * (cash + q * price) - gamma**2 * q**2 * sigma**2 * left / 2

    for q in (-3, 0, 4):
        buy = optimize.brentq(
            lambda r, q=q: log_utility(-r, 100, q + 1) - log_utility(0, 100, q), 0, 200
        )
        sell = optimize.brentq(
            lambda r, q=q: log_utility(r, 100, q - 1) - log_utility(0, 100, q), 0, 200
        )
        quotes = avellaneda_stoikov_quotes(100, q, time_left=left, **AS)
        assert quotes.reservation == pytest.approx((buy + sell) / 2, abs=1e-9)
        # Beyond indifference, what the fill adds times how often it comes is greatest.
        best = optimize.minimize_scalar(
            lambda x: -math.exp(-1.5 * x) * (1 - math.exp(-gamma * x)),
            bounds=(0, 5),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert quotes.spread == pytest.approx(sell - buy + 2 * best.x, abs=1e-6)


def test_quotes_broadcast_and_may_cross_the_mid():
    quotes = avellaneda_stoikov_quotes(100.0, np.arange(-9, 10), time_left=[[1.0], [0.0]], **AS)
    assert quotes.bid.shape == quotes.spread.shape == (2, 19)
    np.testing.assert_allclose(quotes.ask - quotes.bid, quotes.spread, rtol=1e-12)
    assert quotes.ask[0, -1] < 100 < quotes.bid[0, 0]
    np.testing.assert_allclose(quotes.reservation[1], 100.0)


def test_without_risk_aversion_the_quotes_are_those_of_the_limit():
    zero, small = (
        avellaneda_stoikov_quotes(100, 7, gamma=g, sigma=2, k=1.5, time_left=1) for g in (0, 1e-9)
    )
    assert (zero.reservation, zero.spread) == (100.0, 2 / 1.5)
    assert small.bid == pytest.approx(zero.bid, abs=1e-6)


@pytest.mark.parametrize(
    "large", [{"sigma": 1e200}, {"gamma": 1e308}, {"time_left": 1e308, "inventory": 1e9}]
)
def test_quotes_beyond_float64_are_refused(large):
    arguments = {"mid": 100.0, "inventory": 1, "time_left": 1.0} | AS | large
    with pytest.raises(ValueError, match=r"^(mid, inventory, )?gamma"):
        avellaneda_stoikov_quotes(**arguments)


def test_quotes_of_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"^mid, inventory and time_left must broadcast"):
        avellaneda_stoikov_quotes(np.ones(3), np.ones(2), time_left=1.0, **AS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gamma", -0.1), ("gamma", math.inf), ("sigma", 0), ("k", 0), ("time_left", -1)]
    + [(name, math.nan) for name in ("mid", "inventory", "gamma", "sigma", "k", "time_left")],
)
def test_quotes_name_a_bad_argument(name, value):
    with pytest.raises(ValueError, match=name):
        avellaneda_stoikov_quotes(
            **({"mid": 100.0, "inventory": 1, "time_left": 1.0} | AS | {name: value})
        )


# Quotes of Gueant, Lehalle and Fernandez-Tapia

PAPER = {"gamma": 0.01, "sigma": 0.3, "A": 0.9, "k": 0.3}
BOLD = {"gamma": 1.0, "sigma": 2.0, "A": 140.0, "k": 1.5}


def hjb_offsets(q_max, left, gamma, sigma, A, k):
    """Offsets from the Hamilton-Jacobi-Bellman equation, each maximum searched numerically.

    The value is ``-exp(-gamma (cash + q mid + theta_q))``.
    """
    q = np.arange(-q_max, q_max + 1)

    def best(gain):
        """The offset with the greatest ``A exp(-k x) (1 - exp(-gamma (x + gain)))``."""
        found = optimize.minimize_scalar(
            lambda x: -math.exp(-k * x) * -math.expm1(-gamma * (x + gain)),
            bounds=(-gain, -gain + 8 / k),
            method="bounded",
            options={"xatol": 1e-10},
        )
        return found.x, -found.fun * A / gamma

    def slope(_, theta):
        result = -gamma / 2 * sigma**2 * q**2.0
        for i in range(len(q)):
            for j in (i - 1, i + 1):
                if 0 <= j < len(q):
                    result[i] += best(theta[j] - theta[i])[1]
        return result

    theta = integrate.solve_ivp(slope, (0, left), np.zeros(len(q)), rtol=1e-7, atol=1e-9).y[:, -1]
    return np.array([best(step)[0] for step in np.diff(theta)])


@pytest.mark.parametrize(
    ("q", "left", "parameters"), [(2, 5.0, PAPER), (2, 0.02, BOLD | {"gamma": 0.3})]
)
def test_exact_quotes_solve_the_hjb_equation(q, left, parameters):
    quotes = glft_quotes(q, time_left=left, **parameters)
    expected = hjb_offsets(q, left, **parameters)
    np.testing.assert_allclose(quotes.bid_offset[:-1], expected, atol=2e-6)
    np.testing.assert_allclose(quotes.ask_offset[:0:-1], expected, atol=2e-6)


def test_quotes_of_the_paper():
    inner = np.abs(np.arange(-30, 31)) <= 10
    exact = glft_quotes(30, time_left=600.0, **PAPER)
    far = glft_quotes(30, **PAPER)
    closed = glft_closed_form(exact.inventory, **PAPER)
    for side in ("bid_offset", "ask_offset"):
        a, b, c = (getattr(quotes, side)[inner] for quotes in (exact, far, closed))
        # What the paper calls close to each other at T = 600 s: against the closed form.
        assert 0.001 < np.abs(a - c).max() < 0.002
        assert np.abs(a - b).max() < 5e-7
    end = glft_quotes(30, time_left=0.0, **PAPER)
    total = 2 / 0.01 * math.log(1 + 0.01 / 0.3)
    np.testing.assert_allclose((end.bid_offset + end.ask_offset)[1:-1], total, rtol=1e-12)


def test_no_quote_beyond_the_limit():
    quotes = glft_quotes(2, time_left=[1.0, math.inf], **PAPER)
    assert np.isnan(quotes.bid_offset).tolist() == [[False] * 4 + [True]] * 2
    assert np.isnan(quotes.ask_offset).tolist() == [[True] + [False] * 4] * 2


def test_far_from_the_end_the_quotes_are_those_of_the_least_eigenvector():
    gamma, sigma, A, k = PAPER.values()
    eta = A * (1 + gamma / k) ** -(1 + k / gamma)
    diagonal = k * gamma * sigma**2 / 2 * np.arange(-30, 31) ** 2
    f = np.abs(linalg.eigh_tridiagonal(diagonal, np.full(60, -eta))[1][:, 0])
    expected = np.log(f[:-1] / f[1:]) / k + math.log1p(gamma / k) / gamma
    np.testing.assert_allclose(glft_quotes(30, **PAPER).bid_offset[:-1], expected, atol=1e-9)


def test_values_of_large_inventories_keep_their_digits():
    far = glft_quotes(30, **BOLD)
    # The logarithm of their ratio to the best: beyond what an eigensolver has digits for.
    assert (1.5 * (far.bid_offset[30:-1] - math.log1p(1 / 1.5))).sum() > 80
    near = glft_quotes(30, time_left=50.0, **BOLD)
    np.testing.assert_allclose(near.bid_offset, far.bid_offset, rtol=1e-10)


def test_times_may_come_in_any_order():
    times = np.array([3.0, 0.0, math.inf, 40.0, 3.0])
    table = glft_quotes(4, time_left=times, **PAPER)
    for row, time in enumerate(times):
        one = glft_quotes(4, time_left=time, **PAPER)
        np.testing.assert_allclose(table.ask_offset[row], one.ask_offset, rtol=1e-12)


def test_without_risk_aversion_only_the_limit_makes_quotes_lean():
    free = {"gamma": 0.0, "sigma": 2.0, "A": 140.0, "k": 1.5}
    far = glft_quotes(5, **free)
    f = np.cos(np.pi * np.arange(-5, 6) / 12)  # of the matrix with zeros on the diagonal
    np.testing.assert_allclose(far.bid_offset[:-1], (1 + np.log(f[:-1] / f[1:])) / 1.5, rtol=1e-10)
    small = glft_quotes(5, time_left=0.1, **(free | {"gamma": 1e-8}))
    zero = glft_quotes(5, time_left=0.1, **free)
    np.testing.assert_allclose(small.bid_offset, zero.bid_offset, atol=1e-6)
    closed = glft_closed_form([-3, 3], **free)
    np.testing.assert_allclose([closed.bid_offset, closed.ask_offset], 1 / 1.5)


def test_a_limit_that_float64_cannot_reach_is_refused():
    with pytest.raises(ValueError, match="max_inventory must be less"):
        glft_quotes(300, time_left=10.0, **BOLD)
    assert np.isfinite(glft_quotes(300, **BOLD).bid_offset[:-1]).all()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_inventory", 0, ValueError),
        ("max_inventory", 1.5, TypeError),
        ("max_inventory", True, TypeError),
        ("max_inventory", 10**9, ValueError),
        ("sigma", 1e200, ValueError),
        ("A", 1e-320, ValueError),
        ("k", 1e-309, ValueError),
        ("gamma", -1, ValueError),
        ("sigma", 0, ValueError),
        ("A", 0, ValueError),
        ("k", math.nan, ValueError),
        ("time_left", -1.0, ValueError),
        ("time_left", math.nan, ValueError),
        ("time_left", np.ones((2, 2)), ValueError),
    ],
)
def test_glft_names_a_bad_argument(name, value, error):
    with pytest.raises(error, match=name):
        glft_quotes(**({"max_inventory": 3} | PAPER | {name: value}))


@pytest.mark.parametrize("time_left", [1.0, math.inf])
@pytest.mark.parametrize("large", [{"gamma": 1e300}, {"sigma": 1e200}])
def test_quotes_that_float64_does_not_hold_are_refused(large, time_left):
    with pytest.raises(ValueError, match="gamma"):
        glft_quotes(3, **(PAPER | large), time_left=time_left)
    with pytest.raises(ValueError, match=r"^gamma"):
        glft_closed_form([3], **(PAPER | large))


def test_moments_that_float64_does_not_hold_are_refused():
    with pytest.raises(ValueError, match=r"^spread, sigma, horizon and n_steps must keep"):
        symmetric_moments(1.0, **(MARKET | {"sigma": 1e200}))


def test_the_closed_form_takes_whole_inventories():
    with pytest.raises(TypeError, match="inventory"):
        glft_closed_form([0.5], **PAPER)


# Monte Carlo

MARKET = {"sigma": 2.0, "A": 140.0, "k": 1.5, "horizon": 1.0, "n_steps": 200}

# Spread, mean and standard deviation of profit, mean and standard deviation of final inventory:
# Tables 1 to 3 of the paper, from 1000 paths each.
TABLES = [
    (0.1, "inventory", 1.49, 65.0, 6.6, 0.08, 2.9),
    (0.1, "symmetric", 1.49, 68.4, 12.7, 0.26, 8.4),
    (0.01, "inventory", 1.35, 68.6, 8.7, 0.12, 5.1),
    (0.01, "symmetric", 1.35, 68.8, 12.8, 0.09, 8.7),
    (1.0, "inventory", 3.02, 31.4, 5.0, 0.02, 1.7),
    (1.0, "symmetric", 3.02, 44.0, 11.0, 0.00, 5.1),
]


def mean_spread(gamma):
    return gamma * 4 / 2 + 2 / gamma * math.log(1 + gamma / 1.5)


def std_error_of_std(values, n):
    """Of the standard deviation of n values with the kurtosis of these."""
    kurtosis = stats.kurtosis(values, fisher=False)
    return values.std() * math.sqrt((kurtosis - (n - 3) / (n - 1)) / (4 * n))


@pytest.mark.parametrize(("gamma", "strategy", "spread", "p", "s", "q", "d"), TABLES)
def test_tables_of_avellaneda_and_stoikov(gamma, strategy, spread, p, s, q, d):
    maker = AvellanedaStoikov(gamma) if strategy == "inventory" else Symmetric(mean_spread(gamma))
    run = simulate(maker, n_paths=20_000, seed=2008, **MARKET)
    # The mean over a path of what is quoted does not depend on the path.
    np.testing.assert_allclose(run.spread, mean_spread(gamma), rtol=1e-12)
    assert round(mean_spread(gamma), 2) == spread
    n = 1000
    for theirs, values in ((p, run.profit), (q, run.inventory)):
        # Theirs is one sample of 1000, ours one of 20,000.
        error = values.std() * math.sqrt(1 / n + 1 / len(values))
        assert abs(theirs - values.mean()) < 3.5 * error
    for theirs, values in ((s, run.profit), (d, run.inventory)):
        error = std_error_of_std(values, n) * math.sqrt(1 + n / len(values))
        assert abs(theirs - values.std(ddof=1)) < 3.5 * error + 0.05  # printed to one decimal


@pytest.mark.parametrize(
    ("gamma", "p", "mean", "std", "std_q"),
    [
        (0.1, 0.22884, 68.228, 13.457, 8.402),
        (0.01, 0.25452, 68.666, 13.678, 8.712),
        (1.0, 0.07259, 43.869, 10.751, 5.189),
    ],
)
@pytest.mark.parametrize("moves", ["binary", "gaussian"])
def test_symmetric_quotes_have_the_moments_of_the_closed_form(gamma, p, mean, std, std_q, moves):
    exact = symmetric_moments(mean_spread(gamma), **MARKET)
    assert exact.fill_probability == pytest.approx(p, abs=5e-6)
    assert exact.profit_mean == pytest.approx(mean, abs=5e-4)
    assert exact.profit_std == pytest.approx(std, abs=5e-4)
    assert exact.inventory_std == pytest.approx(std_q, abs=5e-4)
    n = 20_000 if moves == "binary" else 4000
    maker = Symmetric(mean_spread(gamma))
    run = simulate(maker, n_paths=n, seed=5, moves=moves, **MARKET)
    assert abs(run.profit.mean() - mean) < 4 * std / math.sqrt(n)
    assert abs(run.profit.std() - std) < 4 * std_error_of_std(run.profit, n)
    assert abs(run.inventory.mean()) < 4 * std_q / math.sqrt(n)
    assert abs(run.inventory.std() - std_q) < 4 * std_error_of_std(run.inventory, n)


def test_moments_of_two_steps_counted_out():
    market = {"sigma": 3.0, "A": 2.0, "k": 1.0, "horizon": 0.5, "n_steps": 2}
    exact = symmetric_moments(0.4, **market)
    p, move = 2.0 * math.exp(-0.2) * 0.25, 3.0 * 0.5
    mean = square = held = 0.0
    for outcome in itertools.product((0, 1), repeat=6):  # bid, ask, up of both steps
        weight, profit, q = 1.0, 0.0, 0
        for bid, ask, up in (outcome[:3], outcome[3:]):
            for filled in (bid, ask):
                weight *= p if filled else 1 - p
                profit += 0.2 * filled
            q += bid - ask
            weight, profit = weight / 2, profit + q * move * (2 * up - 1)
        mean, square, held = (
            mean + weight * profit,
            square + weight * profit**2,
            held + weight * q**2,
        )
    assert exact.profit_mean == pytest.approx(mean, rel=1e-12)
    assert exact.profit_std == pytest.approx(math.sqrt(square - mean**2), rel=1e-12)
    assert exact.inventory_std == pytest.approx(math.sqrt(held), rel=1e-12)


def as_function(market, gamma):
    def quotes(time, inventory, mid):
        risk = gamma * market["sigma"] ** 2 * (market["horizon"] - time)
        half = risk / 2 + math.log1p(gamma / market["k"]) / gamma
        return half + inventory * risk, half - inventory * risk

    return quotes


@pytest.mark.parametrize("moves", ["binary", "gaussian"])
def test_a_function_and_a_table_make_the_same_paths(moves):
    market = MARKET | {"n_steps": 37}
    both = [
        simulate(maker, n_paths=300, seed=11, inventory=3, moves=moves, n_recorded=4, **market)
        for maker in (AvellanedaStoikov(0.1), as_function(market, 0.1))
    ]
    for name in ("profit", "inventory", "cash", "mid", "spread", "bids_filled", "asks_filled"):
        one, other = (getattr(run, name) for run in both)
        assert one.dtype == other.dtype and one.shape == other.shape == (300,)
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-10)
    for name in ("mid", "inventory", "cash", "bid", "ask", "bought", "sold"):
        np.testing.assert_allclose(*(getattr(run.paths, name) for run in both), rtol=1e-12)


@pytest.mark.parametrize("maker", [AvellanedaStoikov(0.5), GLFT(0.1, 4), Symmetric(1.0, 2)])
def test_whole_paths_add_up_to_the_outcome(maker):
    run = simulate(maker, n_paths=1000, seed=3, inventory=-2, n_recorded=50, mid=40, **MARKET)
    paths = run.paths
    np.testing.assert_array_equal(paths.inventory[:, -1], run.inventory[:50])
    np.testing.assert_allclose(paths.mid[:, -1], run.mid[:50], rtol=1e-13)
    np.testing.assert_allclose(paths.cash[:, -1], run.cash[:50], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(paths.bought.sum(axis=1), run.bids_filled[:50])
    np.testing.assert_array_equal(paths.sold.sum(axis=1), run.asks_filled[:50])
    np.testing.assert_array_equal(run.inventory, -2 + run.bids_filled - run.asks_filled)
    # Cash is what the fills paid and received at the quotes in force.
    flow = np.where(paths.sold, paths.ask, 0.0) - np.where(paths.bought, paths.bid, 0.0)
    np.testing.assert_allclose(np.diff(paths.cash), flow, atol=1e-9)
    np.testing.assert_allclose(np.abs(np.diff(paths.mid)), 2 * math.sqrt(0.005), rtol=1e-9)
    np.testing.assert_allclose(paths.wealth[:, -1] - paths.wealth[:, 0], run.profit[:50], atol=1e-9)
    assert len(simulate(maker, n_paths=2, seed=3, **MARKET).paths.mid) == 0


def test_a_path_does_not_depend_on_the_number_of_paths():
    many = simulate(AvellanedaStoikov(0.1), n_paths=5003, seed=9, **MARKET)
    few = simulate(AvellanedaStoikov(0.1), n_paths=37, seed=9, **MARKET)
    np.testing.assert_array_equal(many.profit[:37], few.profit)
    assert len(np.unique(many.profit)) > 4900


def test_the_past_does_not_depend_on_the_future():
    def maker(time, inventory, mid):
        return 0.5 + 0.1 * inventory, 0.5 - 0.1 * inventory + 0.0 * mid

    market = MARKET | {"horizon": 0.05, "n_steps": 10}
    short = simulate(maker, n_paths=50, seed=1, n_recorded=50, **market)
    longer = simulate(
        maker, n_paths=50, seed=1, n_recorded=50, **(market | {"horizon": 0.1, "n_steps": 20})
    )
    np.testing.assert_allclose(longer.paths.mid[:, :11], short.paths.mid, rtol=1e-12)
    np.testing.assert_array_equal(longer.paths.inventory[:, :11], short.paths.inventory)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("kind", ["avellaneda", "symmetric", "glft", "table"])
def test_no_path_ever_breaks_the_limit(kind, limit):
    maker = {
        "avellaneda": AvellanedaStoikov(0.01, max_inventory=limit),
        "symmetric": Symmetric(0.1, max_inventory=limit),
        "glft": GLFT(0.001, limit),
        "table": Offsets(np.full(2 * limit + 1, -0.1), np.full(2 * limit + 1, -0.1)),
    }[kind]
    market = MARKET | {"A": 100.0}
    run = simulate(maker, n_paths=300, seed=4, n_recorded=300, **market)
    assert np.abs(run.paths.inventory).max() == limit
    at_limit = run.paths.inventory[:, :-1] == limit
    assert at_limit.any() and np.isnan(run.paths.bid[at_limit]).all()


def test_a_quote_beyond_the_mid_is_filled_with_probability_one_at_most():
    run = simulate(Symmetric(-8.0), n_paths=10, seed=4, **MARKET)
    np.testing.assert_array_equal(run.bids_filled, 200)
    np.testing.assert_array_equal(run.asks_filled, 200)
    np.testing.assert_allclose(run.profit, -8.0 * 200)


def test_fills_of_the_two_sides_are_independent():
    market = MARKET | {"n_steps": 1, "horizon": 0.005, "A": 80.0}
    n = 200_000
    run = simulate(
        Offsets([np.nan, 0.1, 0.1][::-1], [np.nan, 0.6, 0.6]), n_paths=n, seed=0, **market
    )
    buy, sell = (0.4 * math.exp(-1.5 * x) for x in (0.1, 0.6))
    both = (run.bids_filled * run.asks_filled).mean()
    for share, expected in ((run.bids_filled.mean(), buy), (run.asks_filled.mean(), sell)):
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert abs(both - buy * sell) < 4 * math.sqrt(buy * sell * (1 - buy * sell) / n)
    # And of the move of the mid.
    up = run.mid > 100
    assert abs(up.mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    assert abs((up & (run.bids_filled > 0)).mean() - buy / 2) < 4 * math.sqrt(buy / 2 / n)


def test_the_spread_is_averaged_where_both_sides_were_quoted():
    bid = np.array([[1.0, 2.0, np.nan], [np.nan, np.nan, np.nan], [1.0, 1.0, np.nan]])
    ask = np.array([[np.nan, 1.0, 1.0], [np.nan, 1.0, 1.0], [np.nan, 4.0, 4.0]])
    market = {"sigma": 1.0, "A": 1e-9, "k": 1.0, "horizon": 1.0, "n_steps": 3}  # no fills
    run = simulate(Offsets(bid, ask), n_paths=3, seed=0, **market)
    np.testing.assert_array_equal(run.spread, (3.0 + 5.0) / 2)
    never = simulate(Offsets(bid * np.nan, ask), n_paths=3, seed=0, **market)
    assert np.isnan(never.spread).all()


def test_risk_aversion_and_the_limit_trade_profit_for_risk():
    runs = [
        simulate(maker, n_paths=4000, seed=8, **MARKET)
        for maker in (Symmetric(2 / 1.5), AvellanedaStoikov(0.1), AvellanedaStoikov(0.5))
    ]
    profits, risks = ([f(run.profit) for run in runs] for f in (np.mean, np.std))
    assert profits[0] > profits[1] > profits[2] and risks[0] > risks[1] > risks[2]


@pytest.mark.parametrize(("shift", "slope"), [(0.25, 1.0), (-0.2, 1.0), (0.0, 0.4), (0.0, 1.8)])
def test_exact_quotes_have_the_greatest_expected_utility(shift, slope):
    # Short steps, so that the discrete market is near the continuous one.
    gamma, limit, market = 1.0, 4, MARKET | {"n_steps": 500, "horizon": 0.1}
    best = GLFT(gamma, limit).offsets(Market(**market), limit)
    half = math.log1p(gamma / market["k"]) / gamma  # what does not depend on the inventory
    other = Offsets(*(half + shift + slope * (side - half) for side in (best.bid, best.ask)))
    ours, theirs = (
        -np.exp(-gamma * simulate(maker, n_paths=25_000, seed=6, **market).profit)
        for maker in (best, other)
    )
    gain = ours - theirs  # on the same random numbers
    assert gain.mean() > 4 * gain.std() / math.sqrt(len(gain))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sigma": -1}, ValueError, "sigma"),
        ({"A": 0}, ValueError, "A"),
        ({"k": math.inf}, ValueError, "k"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"n_paths": 0}, ValueError, "n_paths"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"mid": math.nan}, ValueError, "mid"),
        ({"inventory": 0.5}, TypeError, "inventory"),
        ({"inventory": 9, "strategy": GLFT(0.1, 3)}, ValueError, "inventory"),
        ({"moves": "normal"}, ValueError, "moves"),
        ({"n_recorded": 11}, ValueError, "n_recorded"),
        ({"strategy": 3}, TypeError, "strategy"),
        ({"strategy": Offsets(np.ones((7, 3)), np.ones((7, 3)))}, ValueError, "strategy"),
        ({"strategy": lambda t, q, s: 1.0}, TypeError, "strategy"),
        ({"strategy": lambda t, q, s: (1.0, np.ones(3))}, ValueError, "strategy"),
        ({"strategy": lambda t, q, s: (1.0, math.inf)}, ValueError, "strategy"),
        ({"strategy": AvellanedaStoikov(-1.0)}, ValueError, "gamma"),
        ({"strategy": Symmetric(math.nan)}, ValueError, "spread"),
        ({"n_steps": 100_000}, ValueError, "max_inventory"),
        ({"n_paths": 10**15}, ValueError, "n_paths must be at most 100000000"),
        ({"n_paths": True}, TypeError, "n_paths must be an integer, got bool"),
        ({"strategy": AvellanedaStoikov}, TypeError, "strategy must be an instance, got the class"),
        ({"strategy": AvellanedaStoikov(0.1, True)}, TypeError, "max_inventory must be an integer"),
        ({"strategy": AvellanedaStoikov(0.1, 10**9)}, ValueError, "max_inventory must be less"),
        ({"strategy": Symmetric(1.0, 10**9)}, ValueError, "max_inventory must be less"),
        ({"strategy": GLFT(0.1, 10**9)}, ValueError, "max_inventory must be at most 100000"),
        ({"strategy": lambda t, q, s: (1.0, 1.0), "inventory": 2**40}, ValueError, "inventory"),
        ({"strategy": AvellanedaStoikov(1e300), "sigma": 1e200}, ValueError, "gamma, sigma and k"),
        ({"strategy": AvellanedaStoikov(1e300), "sigma": 1e3}, ValueError, "gamma, sigma and hor"),
    ],
)
def test_simulate_names_a_bad_argument(change, error, message):
    arguments = MARKET | {"strategy": AvellanedaStoikov(0.1), "n_paths": 10, "seed": 0} | change
    with pytest.raises(error, match=message):
        simulate(**arguments)


@pytest.mark.parametrize(
    ("bid", "ask"),
    [
        (np.ones(4), np.ones(4)),
        (np.ones(3), np.ones(5)),
        (np.ones((2, 3)), np.ones(3)),
        ([1.0, math.inf, 1.0], np.ones(3)),
        (np.ones((1, 1, 3)), np.ones((1, 1, 3))),
    ],
)
def test_tables_of_offsets_are_checked(bid, ask):
    with pytest.raises(ValueError, match=r"bid|ask"):
        Offsets(bid, ask)


# Fill intensity


def trades(rng, A, k, duration, least, tick):
    """Market orders of both sides whose depth is exponential beyond the least, or geometric."""
    n = rng.poisson(2 * duration * A * math.exp(-k * least))
    depth = rng.exponential(1 / k, n)
    depth = np.floor(depth / tick) * tick if tick else depth
    return rng.uniform(0, duration, n), least + depth, rng.choice([-1, 1], n)


@pytest.mark.parametrize(("least", "tick"), [(0.0, 0.0), (1.5, 0.0), (0.5, 1.0), (2.5, 5.0)])
def test_intensity_is_recovered_and_its_errors_are_of_the_stated_size(least, tick):
    rng = np.random.default_rng(7)
    A, k, paths = 0.9, 0.3, 300
    for method, bias in (("maximum likelihood", 0.0), ("regression", 0.2)):
        scores, pvalues = [], []
        for _ in range(paths):
            data = trades(rng, A, k, 1500.0, least, tick)
            fit = fill_intensity(*data, 1500.0, min_depth=least, tick=tick, method=method)
            scores.append([(fit.A - A) / fit.A_se, (fit.k - k) / fit.k_se])
            pvalues.append(fit.pvalue)
        scores = np.array(scores)
        # A regression on logarithms of small counts is biased by a part of its error.
        assert (np.abs(scores.mean(axis=0)) < 4 / math.sqrt(paths) + bias).all()
        assert (np.abs(scores.std(axis=0) - 1) < 4 / math.sqrt(2 * paths) + bias / 2).all()
        assert stats.kstest(pvalues, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("tick", [0.0, 0.5])
def test_estimates_maximise_the_likelihood(tick):
    time, depth, side = trades(np.random.default_rng(2), 0.9, 0.3, 800.0, 0.25, tick)
    fit = fill_intensity(time, depth, side, 800.0, min_depth=0.25, tick=tick)

    def minus_log_likelihood(parameters):
        log_a, k = parameters
        rate = math.exp(log_a - k * 0.25) * 1600.0
        marks = math.log(k) - k * (depth - 0.25)
        if tick:
            marks = math.log(-math.expm1(-k * tick)) - k * (depth - 0.25)
        return rate - len(depth) * math.log(rate) - marks.sum()

    best = optimize.minimize(
        minus_log_likelihood,
        [0.0, 0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000},
    )
    assert (math.log(fit.A), fit.k) == pytest.approx(best.x, abs=1e-6)
    # The stated covariance is the inverse of the observed information.
    h = 1e-4
    f = [
        [minus_log_likelihood(best.x + h * np.array([i, j])) for j in (-1, 0, 1)]
        for i in (-1, 0, 1)
    ]
    cross = (f[2][2] + f[0][0] - f[2][0] - f[0][2]) / 4
    information = (
        np.array(
            [[f[2][1] - 2 * f[1][1] + f[0][1], cross], [cross, f[1][2] - 2 * f[1][1] + f[1][0]]]
        )
        / h**2
    )
    covariance = np.linalg.inv(information)
    assert fit.A_se / fit.A == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-3)
    assert fit.k_se == pytest.approx(math.sqrt(covariance[1, 1]), rel=1e-3)
    scale = math.sqrt(covariance[0, 0] * covariance[1, 1])
    assert fit.correlation == pytest.approx(covariance[0, 1] / scale, abs=1e-3)


def test_a_wrong_law_fails_the_test_of_fit():
    rng = np.random.default_rng(3)
    n = 3000
    fit = fill_intensity(
        np.arange(n), rng.pareto(3.0, n), np.ones(n), float(n), min_depth=0.0, sides=1
    )
    assert fit.pvalue < 1e-6


def test_trades_of_one_order_count_once_at_its_deepest():
    time = [1, 1, 1, 2, 2, 5, 9]
    depth = [0.5, 2.5, 1.5, 0.5, 1.5, 0.5, 3.5]
    side = [1, 1, 1, 1, -1, -1, 1]
    fit = fill_intensity(time, depth, side, 10.0, min_depth=0.5, tick=1.0)
    # Orders: 2.5, 0.5, 1.5, 0.5, 3.5.
    assert fit.n == 5
    assert fit.k == pytest.approx(math.log(1 + 1 / ((2 + 0 + 1 + 0 + 3) / 5)))
    assert fit.rate(0.5) == pytest.approx(5 / 20)


def test_orders_that_do_not_reach_the_least_depth_are_left_out():
    rng = np.random.default_rng(1)
    time, depth, side = trades(rng, 0.9, 0.3, 5000.0, 0.0, 0.0)
    fit = fill_intensity(time, depth, side, 5000.0, min_depth=2.0)
    assert fit.n == (depth >= 2).sum()
    assert abs(fit.A - 0.9) < 4 * fit.A_se and abs(fit.k - 0.3) < 4 * fit.k_se


def test_one_side_has_half_the_exposure():
    rng = np.random.default_rng(1)
    time, depth, side = trades(rng, 0.9, 0.3, 5000.0, 0.0, 0.0)
    buys = side == 1
    fit = fill_intensity(time[buys], depth[buys], side[buys], 5000.0, min_depth=0.0, sides=1)
    assert abs(fit.A - 0.9) < 4 * fit.A_se
    with pytest.raises(ValueError, match="sides"):
        fill_intensity(time, depth, side, 5000.0, min_depth=0.0, sides=1)


def test_depth_is_measured_from_the_mid_before_the_trade():
    quote_time, mid = [0, 10, 20], [100.0, 90.0, 80.0]
    time, price, side = [0, 5, 10, 11, 21], [101.0] * 5, [1, 1, -1, 1, -1]
    depth = trade_depth(time, price, side, quote_time, mid)
    np.testing.assert_array_equal(depth, [np.nan, 1.0, -1.0, 11.0, -21.0])
    # Nothing later changes it, not even at the same time.
    other = trade_depth(time, price, side, quote_time, [100.0, 90.0, 1.0])
    np.testing.assert_array_equal(other[:4], depth[:4])


def test_times_of_two_kinds_are_refused():
    ns = 1_700_000_000_000_000_001  # no float64
    trades = np.array([ns]), [101.0], [1]
    assert trade_depth(*trades, np.array([ns - 1]), [100.0]).tolist() == [1.0]
    for quotes in (np.array([ns - 1.0]), np.array([ns - 1], np.uint64)):
        with pytest.raises(TypeError, match=r"^time and quote_time must be all integers or all"):
            trade_depth(*trades, quotes, [100.0])
    assert np.isnan(trade_depth(*trades, [], [])).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"depth": []}, ValueError, "depth"),
        ({"depth": [1.0, math.nan, 2.0]}, ValueError, "depth"),
        ({"depth": [1.0, 1.0, 1.0]}, ValueError, "depth"),
        ({"depth": [1.0, 1.3, 2.0], "tick": 0.5}, ValueError, "depth"),
        ({"time": [1.0, 2.0]}, ValueError, "time"),
        ({"time": ["a", "b", "c"]}, TypeError, "time"),
        ({"side": [1, 0, 1]}, ValueError, "side"),
        ({"duration": 0.0}, ValueError, "duration"),
        ({"duration": 1.0}, ValueError, "duration"),
        ({"min_depth": -1.0}, ValueError, "min_depth"),
        ({"min_depth": 9.0}, ValueError, "min_depth"),
        ({"tick": -1.0}, ValueError, "tick"),
        ({"sides": 3}, ValueError, "sides"),
        ({"method": "moments"}, ValueError, "method"),
        ({"method": "regression"}, ValueError, "depth must hold at least 10"),
        ({"method": "regression", "levels": [1.0]}, ValueError, "levels"),
        ({"method": "regression", "levels": [0.1, 1.0]}, ValueError, "levels"),
        ({"method": "regression", "levels": [1.0, 7.0]}, ValueError, "levels"),
        ({"method": "regression", "levels": [1.6, 1.8]}, ValueError, "levels must not all be"),
        ({"levels": [1.0, 2.0]}, ValueError, "levels must be None"),
        ({"depth": [1e4, 1e4, 1e4 + 1], "min_depth": 1e4}, ValueError, "min_depth must be less"),
    ],
)
def test_intensity_names_a_bad_argument(change, error, message):
    arguments = {
        "time": [1.0, 2.0, 4.0],
        "depth": [1.0, 1.5, 2.0],
        "side": [1, -1, 1],
        "duration": 10.0,
        "min_depth": 1.0,
    } | change
    if change.get("depth") == []:
        arguments |= {"time": [], "side": []}
    with pytest.raises(error, match=message):
        fill_intensity(**arguments)


# Micro-price


def test_weighted_mid_of_the_paper():
    assert weighted_mid(10.00, 9, 10.02, 27) == pytest.approx(10.005, rel=1e-14)
    # One lot to sell, inside the spread, raises it.
    assert weighted_mid(10.00, 9, 10.01, 1) == pytest.approx(10.009, rel=1e-14)
    np.testing.assert_allclose(weighted_mid([1.0, 1.0], [1, 3], [2.0, 2.0], [1, 1]), [1.5, 1.75])


def test_a_chain_of_two_states_is_solved_by_hand():
    # Antisymmetric vectors are eigenvectors of both matrices.
    a, b, c, e, d = 0.4, 0.2, 0.15, 0.25, 0.1
    stay, leave = np.array([[a, b], [b, a]]), np.array([[c, e], [e, c]])
    first, chain = _microprice._first_adjustment(stay, leave, np.array([-d, d]))
    np.testing.assert_allclose(first, np.array([-1, 1]) * d / (1 - a + b), rtol=1e-14)
    total, _, converged = _microprice._series(first, chain, 1e-15, 1000)
    assert converged
    np.testing.assert_allclose(total, np.array([-1, 1]) * d / (1 - (a - b) - (c - e)), rtol=1e-13)
    # A series that has no limit is said to have none.
    assert not _microprice._series(np.ones(2), chain, 1e-9, 50)[2]


BUCKETS, SPREADS, CHANGES = 4, 2, np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def chain_of_quotes(seed, n):
    """Quotes from a Markov chain that is symmetric in bids and asks: its law and a sample."""
    rng = np.random.default_rng(seed)
    states = BUCKETS * SPREADS
    spread, bucket = np.divmod(np.arange(states), BUCKETS)
    weight = rng.uniform(0.2, 1.0, (states, states, len(CHANGES)))
    weight[:, :, 2] *= 4
    weight *= np.exp(0.8 * (bucket - 1.5)[:, None, None] * CHANGES)
    # The mid is on the grid of half ticks that its spread allows.
    half = CHANGES * 2 % 2 == 1
    weight[(spread[:, None] != spread)[:, :, None] != half] = 0.0
    mirror = spread * BUCKETS + BUCKETS - 1 - bucket
    weight = weight + weight[np.ix_(mirror, mirror)][:, :, ::-1]
    law = weight / weight.sum(axis=(1, 2), keepdims=True)
    cumulative = law.reshape(states, -1).cumsum(axis=1)
    uniform = rng.random(n)
    path, change = np.zeros(n, np.int64), np.zeros(n)
    for i in range(1, n):
        cell = min(int(np.searchsorted(cumulative[path[i - 1]], uniform[i])), law[0].size - 1)
        path[i], move = divmod(cell, len(CHANGES))
        change[i] = CHANGES[move]
    ticks = spread[path] + 1
    mid = 1000.5 + change.cumsum()
    share = (bucket[path] + 0.5) / BUCKETS
    quotes = (mid - ticks / 2, 8 * share, mid + ticks / 2, 8 * (1 - share))
    return law, path, mid, quotes


@pytest.fixture(scope="module")
def chain():
    return chain_of_quotes(5, 60_000)


SHAPE = {"tick_size": 1.0, "n_buckets": BUCKETS, "max_spread": SPREADS}


def long_run(law, horizon=4000):
    """Expected change of the mid after so many steps, from each state."""
    step, drift = law.sum(axis=2), (law * CHANGES).sum(axis=(1, 2))
    total = np.zeros(len(drift))
    for _ in range(horizon):
        total = drift + step @ total
    return total


def symmetrised(path, mid):
    """The law that was counted, with each transition exchanged too."""
    mirror = path // BUCKETS * BUCKETS + BUCKETS - 1 - path % BUCKETS
    law = np.zeros((BUCKETS * SPREADS, BUCKETS * SPREADS, len(CHANGES)))
    place = np.rint(2 * np.diff(mid)).astype(int)
    np.add.at(law, (path[:-1], path[1:], place + 2), 1)
    np.add.at(law, (mirror[:-1], mirror[1:], 2 - place), 1)
    return law / law.sum(axis=(1, 2), keepdims=True)


def test_micro_price_is_the_mid_expected_in_the_long_run(chain):
    law, path, mid, quotes = chain
    model = MicroPriceModel.fit(*quotes, **SHAPE)
    assert model.converged and model.residual < 1e-14
    # Of the chain that was counted, step by step and with no word of first changes.
    counted = long_run(symmetrised(path, mid))
    np.testing.assert_allclose(model.adjustment.ravel(), counted, atol=1e-9)
    # And of the chain that made the quotes, within what the sample allows.
    horizon = 60
    later = mid[horizon:] - mid[:-horizon]
    for state, expected in enumerate(long_run(law)):
        here = np.flatnonzero(path[:-horizon] == state)[::5]
        error = later[here].std() * math.sqrt(horizon / 5 / len(here))  # windows overlap
        assert abs(later[here].mean() - expected) < 4 * error
        # Half the transitions of a state, and as many of its image, were counted.
        count = model.counts.ravel()[state]
        assert abs(model.adjustment.ravel()[state] - expected) < 4 * 2.0 / math.sqrt(count)


def test_series_equals_the_linear_solve(chain):
    model = MicroPriceModel.fit(*chain[3], **SHAPE, tolerance=1e-16)
    first = model.first_adjustment.ravel()
    n = len(first)
    assert np.allclose(model.chain.sum(axis=1), 1, atol=1e-12)
    pi = np.linalg.matrix_power(model.chain, 1 << 14)[0]
    assert abs(pi @ first) < 1e-14
    solved = np.linalg.solve(np.eye(n) - model.chain + np.outer(np.ones(n), pi), first)
    np.testing.assert_allclose(model.adjustment.ravel(), solved, atol=1e-12)


def test_micro_price_of_the_exchanged_book_is_the_exchanged_one(chain):
    bid, bid_size, ask, ask_size = chain[3]
    model = MicroPriceModel.fit(*chain[3], **SHAPE)
    np.testing.assert_allclose(model.adjustment, -model.adjustment[:, ::-1], atol=1e-12)
    other = MicroPriceModel.fit(-ask, ask_size, -bid, bid_size, **SHAPE)
    np.testing.assert_allclose(other.adjustment, model.adjustment, atol=1e-12)
    price, exchanged = model.predict(*chain[3]), model.predict(-ask, ask_size, -bid, bid_size)
    np.testing.assert_allclose(price, -exchanged, atol=1e-9)


def test_micro_price_scales_with_the_tick(chain):
    bid, bid_size, ask, ask_size = chain[3]
    one = MicroPriceModel.fit(*chain[3], **SHAPE)
    cents = MicroPriceModel.fit(
        bid * 0.01, bid_size, ask * 0.01, ask_size, **(SHAPE | {"tick_size": 0.01})
    )
    np.testing.assert_allclose(cents.adjustment, one.adjustment, atol=1e-9)
    np.testing.assert_allclose(
        cents.predict(bid * 0.01, bid_size, ask * 0.01, ask_size),
        0.01 * one.predict(*chain[3]),
        rtol=1e-12,
    )


def test_predictions_look_up_the_state(chain):
    model = MicroPriceModel.fit(*chain[3], **SHAPE)
    assert model.predict(10.0, 1.0, 11.0, 7.0) == 10.5 + model.adjustment[0, 0]
    assert model.predict(10.0, 7.0, 12.0, 1.0) == 11.0 + model.adjustment[1, 3]
    # On the edge the mean of both buckets; wider than the table as its widest.
    on_edge = 10.5 + model.adjustment[0, :2].mean()
    assert model.predict(10.0, 1.0, 11.0, 3.0) == pytest.approx(on_edge, abs=1e-12)
    assert model.predict(10.0, 7.0, 15.0, 1.0) == 12.5 + model.adjustment[1, 3]
    assert model.predict([[10.0]], [[7.0]], [[12.0]], [[1.0]]).shape == (1, 1)


def test_at_equal_sizes_the_micro_price_is_the_mid(chain):
    model = MicroPriceModel.fit(*chain[3], **SHAPE)
    assert model.predict(10.0, 3.0, 11.0, 3.0) == pytest.approx(10.5, abs=1e-12)
    assert model.predict(10.0, 1.0, 12.0, 1.0) == pytest.approx(11.0, abs=1e-12)


@pytest.mark.parametrize("buckets", ["equal width", "equal counts"])
@pytest.mark.parametrize("n_buckets", [2, 3, 4, 10])
def test_predictions_mirror_where_the_imbalance_is_on_an_edge(n_buckets, buckets):
    shape = {"tick_size": 1.0, "max_spread": 1, "n_buckets": n_buckets, "buckets": buckets}
    rng = np.random.default_rng(0)
    bid = np.cumsum(rng.integers(-1, 2, 20_000))
    sizes = rng.integers(1, 12, (2, bid.size))
    model = MicroPriceModel.fit(bid, sizes[0], bid + 1, sizes[1], **shape)
    bid_size = np.repeat(np.arange(1.0, 31.0), 30)
    ask_size = np.tile(np.arange(1.0, 31.0), 30)
    share = bid_size / (bid_size + ask_size)
    assert (np.abs(share[:, None] - model.edges[1:-1]) < 1e-12).any(axis=0).all()
    bid = np.full(share.shape, 10.0)
    here = model.predict(bid, bid_size, bid + 1, ask_size)
    there = model.predict(bid, ask_size, bid + 1, bid_size)
    np.testing.assert_allclose(here - 10.5, 10.5 - there, atol=1e-10)


def test_buckets_of_equal_counts_are_symmetric_and_even():
    rng = np.random.default_rng(0)
    n = 20_000
    bid_size, ask_size = rng.lognormal(0, 1, (2, n))
    bid = 100 + rng.integers(0, 2, n)
    model = MicroPriceModel.fit(
        bid,
        bid_size,
        bid + 1,
        ask_size,
        tick_size=1,
        n_buckets=5,
        max_spread=1,
        buckets="equal counts",
    )
    np.testing.assert_array_equal(model.edges, 1 - model.edges[::-1])
    np.testing.assert_allclose(model.counts, 2 * (n - 1) / 5, rtol=0.01)


GOOD = {
    "bid": [1.0, 2.0, 1.0, 2.0, 1.0],
    "bid_size": [1.0, 3.0, 3.0, 1.0, 1.0],
    "ask": [2.0, 3.0, 2.0, 3.0, 2.0],
    "ask_size": [3.0, 1.0, 1.0, 3.0, 3.0],
    "tick_size": 1.0,
    "n_buckets": 2,
    "max_spread": 1,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bid": [1.0, 2.0, 1.0, 3.0, 1.0]}, ValueError, "bid must be below ask"),
        ({"bid": [1.0, 2.0, math.nan, 2.0, 1.0]}, ValueError, "bid"),
        ({"bid": [1.0, 2.0, 1.5, 2.0, 1.0]}, ValueError, "ask must be whole ticks"),
        ({"bid_size": [1.0, 0.0, 3.0, 1.0, 1.0]}, ValueError, "bid_size"),
        ({"ask": [2.0, 3.0]}, ValueError, "ask"),
        ({"ask_size": ["a"] * 5}, TypeError, "ask_size"),
        ({"tick_size": 0.0}, ValueError, "tick_size"),
        ({"n_buckets": 1}, ValueError, "n_buckets"),
        ({"n_buckets": 6}, ValueError, "n_buckets and max_spread must leave no state empty"),
        ({"max_spread": 0}, ValueError, "max_spread"),
        ({"max_spread": 2}, ValueError, "spread of 2 ticks and an imbalance in bucket 0"),
        ({"buckets": "deciles"}, ValueError, "buckets"),
        ({"buckets": "equal counts", "n_buckets": 5}, ValueError, "n_buckets"),
        ({"tolerance": 0.0}, ValueError, "tolerance"),
        ({"max_iterations": 0}, ValueError, "max_iterations"),
        ({"bid": [1.0] * 5, "ask": [2.0] * 5}, ValueError, "a change of the mid"),
    ],
)
def test_micro_price_names_a_bad_argument(change, error, message):
    MicroPriceModel.fit(**GOOD)
    with pytest.raises(error, match=message):
        MicroPriceModel.fit(**(GOOD | change))


# Order-flow imbalance


def book_of_constant_depth(seed, n, depth):
    """Quotes of a book that holds `depth` at every price behind the best ones, by single lots."""
    rng = np.random.default_rng(seed)
    bid, bid_size, ask, ask_size = 100, depth, 105, depth
    rows = [(bid, bid_size, ask, ask_size)]
    for buyer, arrival in rng.integers(0, 2, (n, 2)).tolist():
        if buyer:
            if arrival and bid_size == depth and bid + 1 == ask:
                continue
            bid, bid_size = one_lot(bid, bid_size, arrival, depth, 1)
        else:
            if arrival and ask_size == depth and bid + 1 == ask:
                continue
            ask, ask_size = one_lot(ask, ask_size, arrival, depth, -1)
        rows.append((bid, bid_size, ask, ask_size))
    return np.array(rows, dtype=float).T


def one_lot(price, size, arrival, depth, improves):
    """A queue after an order joins it, opens a better price, or is taken from it."""
    if arrival:
        return (price, size + 1) if size < depth else (price + improves, 1)
    return (price, size - 1) if size > 1 else (price - improves, depth)


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_in_a_book_of_constant_depth_the_mid_moves_with_the_imbalance(depth):
    bid, bid_size, ask, ask_size = book_of_constant_depth(depth, 5000, depth)
    flow = order_flow_imbalance(bid, bid_size, ask, ask_size)
    assert set(np.unique(flow)) == {-1.0, 1.0}
    total = np.append(0.0, flow.cumsum())
    # What the prices do not show is in the queues.
    left = (bid_size - bid_size[0]) - (ask_size - ask_size[0])
    change = (bid + ask) / 2 - (bid[0] + ask[0]) / 2
    np.testing.assert_array_equal(2 * depth * change, total - left)
    assert np.abs(change - total / (2 * depth)).max() <= 1
    assert np.abs(change).max() > 3


def test_imbalance_case_by_case():
    cases = [
        # bid, size, ask, size before; after; flow
        ((10, 5, 12, 4), (10, 7, 12, 4), 2),  # joins the bid
        ((10, 5, 12, 4), (11, 2, 12, 4), 2),  # a better bid
        ((10, 5, 12, 4), (9, 8, 12, 4), -5),  # the bid is gone
        ((10, 5, 12, 4), (10, 5, 12, 9), -5),  # joins the ask
        ((10, 5, 12, 4), (10, 5, 11, 3), -3),  # a better ask
        ((10, 5, 12, 4), (10, 5, 13, 6), 4),  # the ask is gone
        ((10, 5, 12, 4), (10, 5, 12, 4), 0),
    ]
    for before, after, flow in cases:
        assert order_flow_imbalance(*zip(before, after, strict=True)).tolist() == [flow]
        # Bids and asks exchanged.
        b, a = (
            (-ask, ask_size, -bid, bid_size) for bid, bid_size, ask, ask_size in (before, after)
        )
        assert order_flow_imbalance(*zip(b, a, strict=True)).tolist() == [-flow]


def test_sums_by_time_are_open_at_the_beginning_and_closed_at_the_end():
    time, values = [0, 1, 2, 2, 3, 9], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    np.testing.assert_array_equal(sum_by_time(time, values, [0, 2, 3, 5]), [14.0, 16.0, 0.0])
    ns = np.array(time) + 1_700_000_000_000_000_000  # no float64 tells these apart
    edges = np.array([0, 2, 3, 5]) + 1_700_000_000_000_000_000
    np.testing.assert_array_equal(sum_by_time(ns, values, edges), [14.0, 16.0, 0.0])


def test_imbalance_over_an_interval_knows_nothing_later():
    rng = np.random.default_rng(1)
    book = book_of_constant_depth(1, 400, 5)
    time = np.sort(rng.integers(0, 100, book.shape[1]))
    edges = np.arange(0, 101, 10)
    sums = sum_by_time(time[1:], order_flow_imbalance(*book), edges)
    cut = np.searchsorted(time, 50, side="right")
    past = sum_by_time(time[1:cut], order_flow_imbalance(*book[:, :cut]), edges)
    np.testing.assert_array_equal(past[:5], sums[:5])
    assert (past[5:] == 0).all()


@pytest.mark.parametrize(
    ("time", "values", "edges", "message"),
    [
        ([2, 1], [1.0, 1.0], [0, 1], "time"),
        ([1], [1.0, 1.0], [0, 1], "time"),
        ([1, 2], [1.0, math.nan], [0, 1], "values"),
        ([1, 2], [1.0, 1.0], [0], "edges"),
        ([1, 2], [1.0, 1.0], [1, 1], "edges"),
        ([1, 2], [1.0, 1.0], [0, math.nan], "edges"),
        ([1, 2], [1.0, 1.0], [0.0, 1.0], "time and edges must be all integers or all floats"),
        ([1.0, 2.0], [1.0, 1.0], [0, 1], "time and edges must be all integers or all floats"),
        (["1", "2"], [1.0, 1.0], [0, 1], "time"),
    ],
)
def test_sums_name_a_bad_argument(time, values, edges, message):
    with pytest.raises(TypeError if "integers" in message else ValueError, match=message):
        sum_by_time(time, values, edges)
