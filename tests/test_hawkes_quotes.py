"""Reactive quotes: quadrature, exact simulation, limits in which others' quotes must come out."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from labkit._backend import kernels
from labkit._hawkes_quotes import (
    AvellanedaStoikovQuoter,
    HawkesQuoter,
    MarketOrders,
    certainty_equivalent_gain,
    hawkes_quotes,
    simulate_quotes,
)
from labkit.market_making import avellaneda_stoikov_quotes

ORDERS = MarketOrders(baseline=0.7, own=0.5, cross=0.1, decay=2.0, impact=0.3)
POISSON = MarketOrders(baseline=0.7, own=0.0, cross=0.0, decay=2.0, impact=0.3)
RISK = {"gamma": 0.1, "sigma": 2.0, "k": 1.5}

# own, cross and decay: with kappa above and at rho, own above and below cross, few and many
# lifetimes until T, and near to explosion.
EXCITATIONS = [
    (0.5, 0.1, 2.0),
    (0.1, 0.5, 2.0),
    (0.6, 0.0, 3.0),
    (0.0, 0.6, 1.0),
    (0.3, 0.3, 1.0),
    (0.0, 0.0, 1.0),
    (0.5, 0.1, 0.05),
    (0.5, 0.1, 40.0),
    (0.99, 0.0, 2.0),
    (0.49, 0.5, 2.0),
]


def orders(own, cross, decay, impact=0.3, baseline=0.7):
    return MarketOrders(baseline, own, cross, decay, impact)


# What the mid is expected to do


@pytest.mark.parametrize("excitation", EXCITATIONS)
@pytest.mark.parametrize("left", [0.2, 1.7, 30.0])
def test_mean_and_variance_are_integrals_over_the_expected_intensities(excitation, left):
    model, now = orders(*excitation), np.array([3.0, 1.0])
    own, cross, b = excitation
    generator = b * np.array([[own - 1, cross], [cross, own - 1]])

    def rhs(u, state):
        # Intensities, their accumulated difference, and the variance by (dM)**2.
        rates = state[:2]
        x = left - u
        kappa = b * (1 - own + cross)
        g = model.impact * (1 + b * (own - cross) * -math.expm1(-kappa * x) / kappa)
        return [
            *(generator @ rates + b * model.baseline),
            model.impact * (rates[0] - rates[1]),
            g**2 * rates.sum(),
        ]

    way = integrate.solve_ivp(rhs, (0, left), [*now, 0, 0], "LSODA", rtol=1e-11, atol=1e-13)
    assert model.mean_shift(now, left) == pytest.approx(way.y[2, -1], rel=1e-7)
    assert model.variance(now, left) == pytest.approx(way.y[3, -1], rel=1e-7)


@pytest.mark.parametrize("own", [0.9, 0.99, 0.9999])
@pytest.mark.parametrize("decays_left", [1e-6, 1e-2, 0.5, 0.999, 1.001, 3.0])
def test_the_variance_keeps_its_digits_near_explosion(own, decays_left):
    model = orders(own, 0.0, 1.0)
    kappa, now = model.imbalance_decay, np.array([3.0, 1.0])
    left = decays_left / kappa

    def integrand(x):
        g = 1 + own * -math.expm1(-kappa * x) / kappa
        past = left - x
        expected = 4 * math.exp(-kappa * past) + 1.4 * -math.expm1(-kappa * past) / kappa
        return (0.3 * g) ** 2 * expected

    value, _ = integrate.quad(integrand, 0, left, epsrel=1e-13, epsabs=0)
    assert model.variance(now, left) == pytest.approx(value, rel=1e-11)


def test_the_mean_goes_to_its_limit_where_imbalance_does_not_fade():
    model = orders(0.9999, 0.0, 1e-3)  # kappa = 1e-7
    assert model.mean_shift([3.0, 1.0], 2.0) == pytest.approx(0.3 * 2.0 * 2.0, rel=2e-7)
    assert model.response(2.0) == pytest.approx(0.3 * (1 + 1e-3 * 0.9999 * 2.0), rel=1e-8)


@pytest.mark.parametrize("excitation", EXCITATIONS)
def test_an_order_moves_the_expected_mid_by_its_response(excitation):
    model = orders(*excitation)
    own, cross, b = excitation
    before = np.array([3.0, 1.0])
    for left in (0.0, 0.3, 5.0):
        after_buy = before + b * np.array([own, cross])
        after_sell = before + b * np.array([cross, own])
        g = model.response(left)
        shift = model.mean_shift(before, left)
        assert model.impact + model.mean_shift(after_buy, left) - shift == pytest.approx(g)
        assert -model.impact + model.mean_shift(after_sell, left) - shift == pytest.approx(-g)


def _residuals(model, n_paths, t, end):
    """At t the intensities, and how far the move of the mid until the end is from its mean."""
    times, types, _, counts = kernels.hawkes_simulate(
        11, n_paths, end, *model.parameters, None, False, 10_000
    )
    now, moves = np.zeros((n_paths, 2)), np.zeros(n_paths)
    for path, rows in enumerate(np.split(np.arange(len(times)), np.cumsum(counts)[:-1])):
        signs = 1 - 2 * types[rows]
        now[path] = model.intensity(times[rows], signs, [t])[0]
        moves[path] = model.impact * signs[times[rows] >= t].sum()
    return now, moves - model.mean_shift(now, end - t)


@pytest.mark.parametrize("excitation", [(0.6, 0.1, 3.0), (0.1, 0.6, 3.0)])
def test_mean_and_variance_are_those_of_exact_paths(excitation):
    model = orders(*excitation, baseline=1.0)
    n, t, end = 3000, 1.0, 2.0
    now, residual = _residuals(model, n, t, end)
    difference, total = now[:, 0] - now[:, 1], now.sum(axis=1)
    excess = residual**2 - model.variance(now, end - t)
    # Every mean is 0 in the model, given the past; 4 standard errors.
    for values in (
        residual,
        residual * difference,
        excess,
        excess * (total - total.mean()),
        excess * difference**2,
    ):
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(n)
    # They can tell: without the shift, and with the variance of Poisson orders, they are not.
    plain = residual + model.mean_shift(now, end - t)
    assert abs((plain * difference).mean()) > 6 * (plain * difference).std() / math.sqrt(n)
    poisson = residual**2 - model.impact**2 * total * (end - t)
    assert abs(poisson.mean()) > 6 * poisson.std() / math.sqrt(n)


@pytest.mark.parametrize("excitation", EXCITATIONS[:6])
def test_variance_over_a_long_time_is_the_square_of_the_volatility(excitation):
    model = orders(*excitation)
    far = 1e7
    rate = (0.5**2 * far + model.variance([0.7, 0.7], far)) / far
    assert math.sqrt(rate) == pytest.approx(model.volatility(0.5), rel=1e-6)


# Intensity from trades


def test_intensity_is_the_sum_over_earlier_trades_of_either_side():
    times, signs = np.array([0.5, 1.0, 1.2, 3.0]), np.array([1, -1, 1, -1])
    at = np.array([0.0, 0.5, 0.9, 1.0, 2.0, 9.0])
    got = ORDERS.intensity(times, signs, at)
    for row, t in enumerate(at):
        past = times < t
        fading = ORDERS.decay * np.exp(-ORDERS.decay * (t - times[past]))
        by_own, by_cross = fading * ORDERS.own, fading * ORDERS.cross
        bought = signs[past] == 1
        buys = ORDERS.baseline + by_own[bought].sum() + by_cross[~bought].sum()
        sells = ORDERS.baseline + by_own[~bought].sum() + by_cross[bought].sum()
        np.testing.assert_allclose(got[row], [buys, sells], rtol=1e-12)


def test_intensity_knows_nothing_of_the_future():
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(0, 10, 60))
    signs = rng.choice([-1, 1], 60)
    at = times[30]  # just before this trade
    past = ORDERS.intensity(times, signs, [at])
    other = signs.copy()
    other[30:] = -other[30:]
    np.testing.assert_array_equal(ORDERS.intensity(times, other, [at]), past)
    np.testing.assert_array_equal(ORDERS.intensity(times[:30], signs[:30], [at]), past)
    moved = np.append(times[:30], np.linspace(at, 20, 30))
    np.testing.assert_array_equal(ORDERS.intensity(moved, other, [at]), past)


# Quotes


def test_without_impact_the_quotes_are_those_of_avellaneda_and_stoikov_to_the_last_bit():
    mid, q, left = np.array([99.0, 100.0, 101.3]), np.arange(-3, 4)[:, None], 0.37
    theirs = avellaneda_stoikov_quotes(mid, q, time_left=left, **RISK)
    for model in (orders(0.0, 0.0, 2.0, impact=0.0), orders(0.5, 0.1, 2.0, impact=0.0)):
        ours = hawkes_quotes(mid, q, time_left=left, intensity=[0.7, 0.7], model=model, **RISK)
        for name in ("bid", "ask", "reservation", "spread"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_without_excitation_orders_are_a_part_of_the_volatility():
    q, left = np.arange(-3, 4)[:, None], np.array([0.0, 0.37, 9.0])
    sigma = math.sqrt(RISK["sigma"] ** 2 + 2 * POISSON.baseline * POISSON.impact**2)
    assert POISSON.volatility(RISK["sigma"]) == pytest.approx(sigma, rel=1e-14)
    theirs = avellaneda_stoikov_quotes(100.0, q, time_left=left, **(RISK | {"sigma": sigma}))
    ours = hawkes_quotes(100.0, q, time_left=left, intensity=[0.7, 0.7], model=POISSON, **RISK)
    for name in ("bid", "ask", "reservation", "spread"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-13)


@given(
    st.tuples(st.floats(0, 0.6), st.floats(0, 0.39), st.floats(0.01, 50)),
    st.tuples(st.floats(0, 20), st.floats(0, 20)),
    st.integers(-9, 9),
    st.floats(0, 5),
    st.booleans(),
)
def test_swapping_the_sides_mirrors_the_quotes(excitation, now, q, left, charged):
    settings = {"time_left": left, "model": orders(*excitation), "charge_response": charged, **RISK}
    one = hawkes_quotes(0.0, q, intensity=now, **settings)
    other = hawkes_quotes(0.0, -q, intensity=now[::-1], **settings)
    assert one.bid == pytest.approx(-other.ask, abs=1e-12)
    assert one.ask == pytest.approx(-other.bid, abs=1e-12)
    assert one.spread == other.spread


@pytest.mark.parametrize("excitation", EXCITATIONS)
def test_buyers_ahead_of_sellers_lift_both_quotes_whatever_excites_what(excitation):
    # With the sum of the intensities held, so that the spread does not change.
    settings = {"time_left": 0.8, "model": orders(*excitation), **RISK}
    even = hawkes_quotes(100.0, 2, intensity=[2.0, 2.0], **settings)
    buyers = hawkes_quotes(100.0, 2, intensity=[3.0, 1.0], **settings)
    assert buyers.bid > even.bid
    assert buyers.ask > even.ask
    assert buyers.spread == pytest.approx(even.spread, rel=1e-14)
    # And more of both widens the spread and leaves a flat holder's reservation price where it was.
    busy = hawkes_quotes(100.0, 0, intensity=[4.0, 4.0], **settings)
    assert busy.spread > even.spread
    assert busy.reservation == 100.0


@pytest.mark.parametrize("excitation", EXCITATIONS)
def test_after_a_buy_quotes_go_further_than_the_mid_only_if_own_is_above_cross(excitation):
    model, (own, cross, b) = orders(*excitation), excitation
    settings = {"time_left": 0.8, "model": model, **RISK}
    before = hawkes_quotes(100.0, 0, intensity=[2.0, 2.0], **settings)
    after = hawkes_quotes(
        100.0 + model.impact, 0, intensity=[2.0 + b * own, 2.0 + b * cross], **settings
    )
    moved = after.reservation - before.reservation
    assert moved > 0
    assert np.sign(round(moved - model.impact, 12)) == np.sign(round(own - cross, 12))
    assert moved == pytest.approx(model.response(0.8), rel=1e-9)


def test_charging_the_response_moves_each_quote_out_by_it():
    settings = {"time_left": [0.1, 2.0], "intensity": [2.0, 1.0], "model": ORDERS, **RISK}
    free = hawkes_quotes(100.0, 1, **settings)
    charged = hawkes_quotes(100.0, 1, charge_response=True, **settings)
    g = ORDERS.response([0.1, 2.0])
    np.testing.assert_allclose(charged.ask - free.ask, g, rtol=1e-11)
    np.testing.assert_allclose(free.bid - charged.bid, g, rtol=1e-11)


def test_quotes_broadcast_and_scalars_give_floats():
    settings = {"time_left": np.ones((4, 1)), "model": ORDERS, **RISK}
    quotes = hawkes_quotes(100.0, [0, 1, 2], intensity=np.ones((4, 3, 2)), **settings)
    assert quotes.bid.shape == quotes.spread.shape == (4, 3)
    one = hawkes_quotes(100.0, 2, intensity=[1.0, 1.0], **(settings | {"time_left": 1.0}))
    assert all(type(value) is float for value in dataclasses.astuple(one))
    assert one.bid == quotes.bid[0, 2]


# Simulation

WORLD = {"sigma": 0.5, "k": 4.0, "horizon": 1.0}
MARKET = MarketOrders(baseline=3.0, own=0.5, cross=0.1, decay=8.0, impact=0.05)


def constant(offset):
    return lambda time, inventory, mid, intensity: (offset, offset)


def nothing(time, inventory, mid, intensity):
    return np.nan, np.nan


@pytest.mark.parametrize("impact", [0.0, 0.05])
@pytest.mark.parametrize("charged", [False, True])
def test_without_excitation_reacting_changes_no_path(impact, charged):
    market = MarketOrders(baseline=8.0, own=0.0, cross=0.0, decay=5.0, impact=impact)
    settings = {"gamma": 0.5, "k": 4.0, "horizon": 1.0}
    reactive = HawkesQuoter(market, sigma=0.5, charge_response=charged, **settings)
    plain = AvellanedaStoikovQuoter(
        sigma=market.volatility(0.5), charge=impact * charged, **settings
    )
    one, other = (
        simulate_quotes(strategy, market, n_paths=300, seed=5, **WORLD)
        for strategy in (reactive, plain)
    )
    for name in ("inventory", "bids_filled", "asks_filled", "mid", "buys", "sells"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if impact:
        np.testing.assert_allclose(one.profit, other.profit, rtol=0, atol=1e-12)
    else:
        np.testing.assert_array_equal(one.profit, other.profit)


def test_wealth_is_conserved_and_every_strategy_meets_the_same_market():
    one = simulate_quotes(constant(0.1), MARKET, n_paths=200, seed=3, inventory=4, **WORLD)
    np.testing.assert_array_equal(one.inventory, 4 + one.bids_filled - one.asks_filled)
    assert (one.asks_filled <= one.buys).all()
    assert (one.bids_filled <= one.sells).all()
    wealth = one.cash + one.inventory * one.mid
    np.testing.assert_allclose(wealth - 4 * 100.0, one.profit, atol=1e-9)
    held = simulate_quotes(nothing, MARKET, n_paths=200, seed=3, inventory=4, **WORLD)
    np.testing.assert_allclose(held.profit, 4 * (held.mid - 100.0), atol=1e-9)
    for name in ("mid", "buys", "sells"):
        np.testing.assert_array_equal(getattr(held, name), getattr(one, name))
    assert not held.bids_filled.any()
    assert not held.asks_filled.any()


def test_a_path_is_the_same_however_many_there_are_and_another_seed_gives_others():
    few = simulate_quotes(constant(0.1), MARKET, n_paths=7, seed=3, **WORLD)
    many = simulate_quotes(constant(0.1), MARKET, n_paths=40, seed=3, **WORLD)
    other = simulate_quotes(constant(0.1), MARKET, n_paths=7, seed=4, **WORLD)
    np.testing.assert_array_equal(few.profit, many.profit[:7])
    assert (few.profit != other.profit).all()


def test_a_strategy_is_asked_with_what_was_so_just_before_the_order():
    asked = []

    def spy(time, inventory, mid, intensity):
        asked.append((time.item(), inventory.item(), mid.item(), *intensity[0]))
        return -50.0, -50.0  # every order fills

    run = simulate_quotes(spy, MARKET, n_paths=1, seed=8, **(WORLD | {"sigma": 0.0}))
    times, types, _, _ = kernels.hawkes_simulate(8, 1, 1.0, *MARKET.parameters, None, False, 1000)
    asked, signs = np.array(asked), 1 - 2 * types
    before = np.append(0, np.cumsum(signs)[:-1])
    np.testing.assert_array_equal(asked[:, 0], times)
    np.testing.assert_array_equal(asked[:, 1], -before)
    np.testing.assert_allclose(asked[:, 2], 100.0 + 0.05 * before)
    np.testing.assert_allclose(asked[:, 3:], MARKET.intensity(times, signs, times), rtol=1e-11)
    assert run.inventory.item() == -signs.sum()


def test_fills_of_poisson_orders_are_poisson_and_the_mid_has_its_variance():
    market = MarketOrders(baseline=6.0, own=0.0, cross=0.0, decay=1.0, impact=0.05)
    n, offset = 4000, 0.2
    run = simulate_quotes(constant(offset), market, n_paths=n, seed=1, **WORLD)
    mean = 6.0 * math.exp(-4.0 * offset)
    for fills in (run.bids_filled, run.asks_filled):
        assert abs(fills.mean() - mean) < 4 * math.sqrt(mean / n)
        assert abs(fills.var() - mean) < 4 * math.sqrt((2 * mean**2 + mean) / n)
    variance = 0.5**2 + 12 * 0.05**2
    assert abs(run.mid.mean() - 100) < 4 * math.sqrt(variance / n)
    assert abs(run.mid.var() / variance - 1) < 4 * math.sqrt(2.3 / n)  # kurtosis a little over 3
    # A fill earns the offset and loses the jump.
    earned = 2 * mean * (offset - 0.05)
    assert abs(run.profit.mean() - earned) < 4 * run.profit.std() / math.sqrt(n)


def test_the_mid_moves_to_the_end_where_no_order_comes():
    market = MarketOrders(baseline=0.01, own=0.0, cross=0.0, decay=1.0, impact=0.0)
    run = simulate_quotes(nothing, market, n_paths=1500, seed=1, **(WORLD | {"horizon": 4.0}))
    assert (run.buys + run.sells == 0).mean() > 0.9
    scaled = (run.mid - 100.0) / (0.5 * 2.0)
    assert stats.kstest(scaled, "norm").pvalue > 1e-3


@pytest.mark.parametrize("excitation", [(0.6, 0.1, 8.0), (0.1, 0.6, 8.0)])
def test_constant_quotes_earn_what_theory_says_in_an_excited_market(excitation):
    """A unit sold to a buy at u earns the offset less E[S_T | F_u-, buy] - S_u-.

    That is ``response(T - u) + mean_shift``; summed over both sides at their intensities, the
    shifts leave ``impact h(T - u) E[D**2]``, with h(x) = (1 - exp(-kappa x)) / kappa.
    """
    own, cross, b = excitation
    market = orders(own, cross, b, impact=0.08, baseline=3.0)
    n, offset, kappa = 3000, 0.15, market.imbalance_decay
    p = math.exp(-4.0 * offset)

    def rhs(u, state):
        total, squared, _ = state  # E[l+ + l-], E[D**2], profit
        h = -math.expm1(-kappa * (1 - u)) / kappa
        earned = p * (total * (offset - market.response(1 - u)) - market.impact * h * squared)
        return [
            b * (2 * market.baseline - (1 - own - cross) * total),
            -2 * kappa * squared + (b * (own - cross)) ** 2 * total,
            earned,
        ]

    theory = integrate.solve_ivp(rhs, (0, 1), [6.0, 0, 0], rtol=1e-9, atol=1e-12).y[2, -1]
    run = simulate_quotes(constant(offset), market, n_paths=n, seed=2, **WORLD)
    error = run.profit.std() / math.sqrt(n)
    assert abs(run.profit.mean() - theory) < 4 * error
    variance = 0.5**2 + market.variance([3.0, 3.0], 1.0)
    squared = (run.mid - 100) ** 2
    assert abs(squared.mean() - variance) < 4 * squared.std() / math.sqrt(n)


def test_an_inventory_limit_is_kept():
    settings = {"gamma": 0.01, "k": 4.0, "horizon": 1.0, "max_inventory": 2}
    for strategy in (
        HawkesQuoter(MARKET, sigma=0.5, **settings),
        AvellanedaStoikovQuoter(sigma=0.5, **settings),
    ):
        seen = []

        def spy(time, inventory, mid, intensity, strategy=strategy, seen=seen):
            seen.append(np.abs(inventory).max())
            return strategy(time, inventory, mid, intensity)

        run = simulate_quotes(spy, MARKET, n_paths=200, seed=6, **WORLD)
        assert max(seen) == 2
        assert np.abs(run.inventory).max() <= 2


def test_reacting_pays_in_an_excited_market_once_the_spread_charges_for_the_response():
    market = MarketOrders(baseline=6.0, own=0.8, cross=0.0, decay=20.0, impact=0.05)
    settings = {"gamma": 0.1, "k": 10.0, "horizon": 1.0}
    reactive = HawkesQuoter(market, sigma=1.0, charge_response=True, **settings)
    plain = AvellanedaStoikovQuoter(
        sigma=market.volatility(1.0), charge=market.response(1e3), **settings
    )
    one, other = (
        simulate_quotes(s, market, sigma=1.0, k=10.0, horizon=1.0, n_paths=600, seed=1)
        for s in (reactive, plain)
    )
    gain = certainty_equivalent_gain(one.profit, other.profit, gamma=0.1)
    assert gain.gain > 3 * gain.standard_error > 0


RISK_NEUTRAL = MarketOrders(baseline=10.0, own=0.6, cross=0.0, decay=20.0, impact=0.05)


def risk_neutral(shift, charge):
    """Profits without risk aversion, with so many times the shift and the charge."""

    def quotes(time, inventory, mid, intensity):
        left = 1.0 - time
        lean = shift * RISK_NEUTRAL.mean_shift(intensity, left)
        half = 1 / 10.0 + charge * RISK_NEUTRAL.response(left)
        return np.maximum(half - lean, 0), np.maximum(half + lean, 0)

    settings = {"sigma": 0.2, "k": 10.0, "horizon": 1.0, "n_paths": 1000, "seed": 3}
    return simulate_quotes(quotes, RISK_NEUTRAL, **settings).profit


@pytest.fixture(scope="module")
def optimum():
    return risk_neutral(1.0, 1.0)


@pytest.mark.parametrize(("shift", "charge"), [(0.0, 1.0), (2.0, 1.0), (1.0, 0.0), (1.0, 2.0)])
def test_without_risk_aversion_shift_and_charge_as_they_are_earn_the_most(optimum, shift, charge):
    loss = certainty_equivalent_gain(risk_neutral(shift, charge), optimum, gamma=0)
    assert loss.gain < -2.5 * loss.standard_error < 0


def test_without_risk_aversion_the_quotes_are_one_over_k_the_charge_and_the_shift():
    now, left = np.array([[3.0, 1.0], [2.0, 9.0]]), np.array([0.5, 0.1])
    settings = {"gamma": 0, "sigma": 0.2, "k": 10.0, "charge_response": True}
    quotes = hawkes_quotes(0.0, 7, time_left=left, intensity=now, model=RISK_NEUTRAL, **settings)
    half = 0.1 + RISK_NEUTRAL.response(left)
    np.testing.assert_allclose(quotes.ask, RISK_NEUTRAL.mean_shift(now, left) + half)
    np.testing.assert_allclose(quotes.bid, RISK_NEUTRAL.mean_shift(now, left) - half)


# Certainty equivalents


def test_certainty_equivalent_of_normal_profits_is_mean_less_half_gamma_variance():
    n, gamma = 200_000, 0.3
    common, own = np.random.default_rng(0).normal(size=(2, n))
    profit, benchmark = 3 + 2 * common + 0.1 * own, 1 + 2 * common
    gain = certainty_equivalent_gain(profit, benchmark, gamma=gamma)
    assert gain.certainty_equivalent == pytest.approx(3 - gamma * 4.01 / 2, abs=0.05)
    assert gain.benchmark == pytest.approx(1 - gamma * 4 / 2, abs=0.05)
    assert gain.gain == pytest.approx(2 - gamma * 0.01 / 2, abs=4 * gain.standard_error)
    # Common numbers: the error is that of what differs, weighted by exp(-gamma profit).
    assert gain.standard_error == pytest.approx(
        0.1 * math.exp(gamma**2 * 4 / 2) / math.sqrt(n), rel=0.05
    )


def test_the_standard_error_is_the_spread_over_samples():
    rng = np.random.default_rng(1)
    common = rng.exponential(size=(400, 300))
    noise = 0.5 * rng.normal(size=common.shape)
    gains = [
        certainty_equivalent_gain(a, b, gamma=0.5)
        for a, b in zip(common + noise, 0.8 * common, strict=True)
    ]
    spread = np.std([g.gain for g in gains], ddof=1)
    stated = np.mean([g.standard_error for g in gains])
    assert stated == pytest.approx(spread, rel=0.15)  # 4 / sqrt(2 * 400)


def test_without_risk_aversion_the_gain_is_the_mean_difference():
    profit, benchmark = np.random.default_rng(2).normal(size=(2, 50))
    gain = certainty_equivalent_gain(profit, benchmark, gamma=0)
    assert gain.gain == pytest.approx((profit - benchmark).mean())
    assert gain.standard_error == pytest.approx(stats.sem(profit - benchmark))
    near = certainty_equivalent_gain(profit, benchmark, gamma=1e-7)
    assert near.gain == pytest.approx(gain.gain, abs=1e-6)


# Bad input


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"baseline": 0.0}, ValueError, "baseline must be positive"),
        ({"own": -0.1}, ValueError, "own must be finite and not negative"),
        ({"own": 0.9}, ValueError, "own and cross must come to at most"),
        ({"cross": math.nan}, ValueError, "cross must be finite and not negative"),
        ({"decay": math.inf}, ValueError, "decay must be positive"),
        ({"impact": "1"}, TypeError, "impact must be a number"),
    ],
)
def test_bad_market_orders_are_refused_by_name(changes, error, words):
    with pytest.raises(error, match=f"^{words}"):
        dataclasses.replace(ORDERS, **changes)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"mid": math.inf}, ValueError, "mid must be finite"),
        ({"inventory": "2"}, TypeError, "inventory must hold numbers"),
        ({"gamma": -1}, ValueError, "gamma must be"),
        ({"sigma": 0}, ValueError, "sigma must be positive"),
        ({"k": 0}, ValueError, "k must be positive"),
        ({"time_left": -1.0}, ValueError, "time_left must be finite and not negative"),
        ({"time_left": math.nan}, ValueError, "time_left must be finite and not negative"),
        ({"intensity": [1.0, -1.0]}, ValueError, "intensity must be finite and not negative"),
        ({"intensity": 1.0}, ValueError, r"intensity must have shape \(..., 2\)"),
        ({"intensity": np.ones((3, 2)), "mid": [1.0, 2.0]}, ValueError, "mid, inventory"),
        ({"model": None}, TypeError, "model must be a MarketOrders"),
        ({"mid": 1.7e308, "intensity": [1e308, 0.0]}, ValueError, "mid, inventory, gamma"),
    ],
)
def test_bad_quotes_are_refused_by_name(changes, error, words):
    good = {"mid": 100.0, "inventory": 1, "time_left": 1.0, "intensity": [1.0, 1.0]}
    with pytest.raises(error, match=f"^{words}"):
        hawkes_quotes(**(good | {"model": ORDERS} | RISK | changes))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1.0, 0.5], [1, 1], [2.0]), ValueError, "times"),
        (([1.0, 2.0], [1, 0], [2.0]), ValueError, "signs must be 1 or -1"),
        (([1.0, 2.0], [1], [2.0]), ValueError, "signs must have shape"),
        (([1.0], [1], [-2.0]), ValueError, "at"),
        (([1.0], ["1"], [2.0]), TypeError, "signs must hold numbers"),
    ],
)
def test_bad_trades_are_refused_by_name(arguments, error, words):
    with pytest.raises(error, match=f"^{words}"):
        ORDERS.intensity(*arguments)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"strategy": HawkesQuoter}, TypeError, "strategy must be a function or a quoter"),
        ({"strategy": 0.1}, TypeError, "strategy must be a function or a quoter"),
        ({"strategy": lambda *_: 0.1}, TypeError, "strategy must return a tuple"),
        ({"strategy": lambda *_: (0.1, np.zeros(99))}, ValueError, "strategy must return offsets"),
        ({"strategy": constant(math.inf)}, ValueError, "strategy must return offsets that are"),
        ({"model": (1, 2)}, TypeError, "model must be a MarketOrders"),
        ({"sigma": -1.0}, ValueError, "sigma must be"),
        ({"k": 0.0}, ValueError, "k must be positive"),
        ({"horizon": 0.0}, ValueError, "horizon must be positive"),
        ({"n_paths": 0}, ValueError, "n_paths must be at least 1"),
        ({"n_paths": 10**9}, ValueError, "n_paths and horizon must give at most"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"mid": math.nan}, ValueError, "mid must be finite"),
        ({"inventory": 1.5}, TypeError, "inventory must be an integer"),
        ({"inventory": 2**40}, ValueError, "inventory must be from"),
    ],
)
def test_bad_simulations_are_refused_by_name(changes, error, words):
    good = {"strategy": constant(0.1), "model": MARKET, "n_paths": 3, "seed": 1}
    with pytest.raises(error, match=f"^{words}"):
        simulate_quotes(**(good | WORLD | changes))


@pytest.mark.parametrize(
    ("profit", "benchmark", "gamma", "words"),
    [
        ([1.0], [1.0], 0.1, "profit must have at least 2"),
        ([1.0, 2.0], [1.0], 0.1, "benchmark must have shape"),
        ([1.0, math.nan], [1.0, 2.0], 0.1, "profit must be finite"),
        ([1.0, 2.0], [1.0, 2.0], -0.1, "gamma must be"),
    ],
)
def test_bad_profits_are_refused_by_name(profit, benchmark, gamma, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        certainty_equivalent_gain(profit, benchmark, gamma=gamma)
