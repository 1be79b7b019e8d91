"""Optimal stopping: trees, closed forms, published values, and bounds that must enclose them."""

import math

import numpy as np
import pytest
from scipy import stats

from labkit import published, signatures
from labkit.stopping import (
    binomial_tree,
    black_scholes,
    fractional_brownian_motion,
    fractional_covariance,
    fractional_innovations,
    hermite_innovations,
    longstaff_schwartz,
    signature_policy,
    signature_stopping,
)

RATE, STRIKE = 0.06, 40.0


def stock(seed, n_paths, n_steps, spot, volatility, maturity, antithetic=False):
    """Prices (b, n + 1) of geometric Brownian motion and the normal numbers behind them."""
    rng = np.random.default_rng(seed)
    if antithetic:
        half = rng.standard_normal((n_paths // 2, n_steps))
        normal = np.concatenate([half, -half])
    else:
        normal = rng.standard_normal((n_paths, n_steps))
    dt = maturity / n_steps
    steps = (RATE - volatility**2 / 2) * dt + volatility * math.sqrt(dt) * normal
    logs = np.concatenate([np.zeros((n_paths, 1)), np.cumsum(steps, axis=1)], axis=1)
    return spot * np.exp(logs), normal


def put_rewards(prices, maturity):
    """Discounted payoffs at all dates after the first point."""
    n = prices.shape[1] - 1
    discount = np.exp(-RATE * maturity * np.arange(1, n + 1) / n)
    return np.maximum(STRIKE - prices[:, 1:], 0.0) * discount


def fractional_bounds(hurst, n_paths=4000, n_steps=100, depth=4, degree=2, **options):
    train = fractional_brownian_motion(n_paths, n_steps, hurst, 1)
    fresh = fractional_brownian_motion(n_paths, n_steps, hurst, 2)
    return signature_stopping(
        train,
        train,
        fresh,
        fresh,
        depth=depth,
        innovations=fractional_innovations(train, hurst, degree=degree),
        fresh_innovations=fractional_innovations(fresh, hurst, degree=degree),
        **options,
    )


def enclosed(value, bounds, errors=3.0):
    low = bounds.lower - errors * bounds.lower_error
    high = bounds.upper + errors * bounds.upper_error
    return low <= value <= high


# Fractional Brownian motion


@pytest.mark.parametrize("hurst", [0.1, 0.5, 0.8])
def test_paths_have_the_covariance_of_fractional_brownian_motion(hurst):
    n, b = 6, 40_000
    paths = fractional_brownian_motion(b, n, hurst, 5)[:, 1:]
    exact = fractional_covariance(n, hurst)
    products = paths[:, :, None] * paths[:, None, :]
    error = products.std(axis=0, ddof=1) / math.sqrt(b)
    assert (abs(products.mean(axis=0) - exact) < 4.5 * error).all()


def test_covariance_grows_as_the_power_of_time_and_increments_are_stationary():
    exact = fractional_covariance(5, 0.3)
    times = np.arange(1, 6) / 5
    np.testing.assert_allclose(np.diagonal(exact), times**0.6, rtol=1e-14)
    for lag in (1, 2):
        variance = [
            exact[i + lag, i + lag] + exact[i, i] - 2 * exact[i, i + lag] for i in range(5 - lag)
        ]
        np.testing.assert_allclose(variance, (lag / 5) ** 0.6, rtol=1e-12)


@pytest.mark.parametrize("hurst", [0.05, 0.3, 0.5, 0.9])
def test_innovations_are_the_numbers_that_a_cholesky_factor_turns_into_the_path(hurst):
    normal = np.random.default_rng(0).standard_normal((7, 20))
    values = normal @ np.linalg.cholesky(fractional_covariance(20, hurst)).T
    paths = np.concatenate([np.zeros((7, 1)), values], axis=1)
    found = fractional_innovations(paths, hurst)[..., 0]
    np.testing.assert_allclose(found, normal, atol=1e-8)


def test_of_a_straight_line_only_the_first_step_is_an_innovation():
    paths = fractional_brownian_motion(3, 4, 1.0, 0)
    found = fractional_innovations(paths, 1.0, degree=3)
    np.testing.assert_allclose(found[:, 0, 0], paths[:, -1])
    assert (found[:, 1:] == 0).all()
    assert (found[:, 0, 1:] != 0).all()


def test_innovations_do_not_look_ahead():
    paths = fractional_brownian_motion(5, 12, 0.3, 0)
    changed = paths.copy()
    changed[:, 8:] = np.random.default_rng(1).standard_normal((5, 5))
    before = fractional_innovations(paths, 0.3, degree=2)[:, :7]
    np.testing.assert_array_equal(fractional_innovations(changed, 0.3, degree=2)[:, :7], before)


def test_hermite_polynomials_are_orthonormal_and_of_mean_zero():
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    values = hermite_innovations(nodes[:, None], degree=5)[:, 0]
    weights = weights / weights.sum()
    np.testing.assert_allclose(weights @ values, 0.0, atol=1e-12)
    np.testing.assert_allclose((values.T * weights) @ values, np.eye(5), atol=1e-11)


# References


@pytest.mark.parametrize("kind", ["put", "call"])
def test_a_tree_with_one_date_is_the_european_option(kind):
    tree = binomial_tree(36.0, STRIKE, RATE, 0.2, 1.0, kind, dates=1)
    assert tree == pytest.approx(black_scholes(36.0, STRIKE, RATE, 0.2, 1.0, kind), abs=5e-4)


def test_black_scholes_keeps_put_call_parity():
    put, call = (black_scholes(44.0, STRIKE, RATE, 0.4, 2.0, kind) for kind in ("put", "call"))
    assert call - put == pytest.approx(44.0 - STRIKE * math.exp(-2 * RATE), rel=1e-13)


def test_more_dates_are_worth_more_and_a_call_is_never_exercised_early():
    values = [binomial_tree(36.0, STRIKE, RATE, 0.2, 1.0, dates=m) for m in (1, 10, 50, 2000)]
    assert values == sorted(values)
    calls = [binomial_tree(36.0, STRIKE, RATE, 0.2, 1.0, "call", dates=m) for m in (1, 2000)]
    assert calls[0] == pytest.approx(calls[1], rel=1e-12)


def test_the_tree_by_hand():
    up = math.exp(0.2 * math.sqrt(0.5))
    rise = (math.exp(0.03) - 1 / up) / (up - 1 / up)
    payoff = [max(40 - 36 * up**j, 0.0) for j in (-2, 0, 2)]
    low = math.exp(-0.03) * ((1 - rise) * payoff[0] + rise * payoff[1])
    high = math.exp(-0.03) * ((1 - rise) * payoff[1] + rise * payoff[2])
    low, high = max(low, 40 - 36 / up), max(high, 40 - 36 * up)
    expected = math.exp(-0.03) * ((1 - rise) * low + rise * high)
    assert binomial_tree(36.0, 40.0, 0.06, 0.2, 1.0, dates=2, steps=2) == pytest.approx(expected)


# Longstaff and Schwartz


def test_the_eight_paths_of_longstaff_and_schwartz():
    inputs = published.inputs("longstaff_schwartz_example")
    paths = np.array(inputs["paths"])
    discount = np.exp(-inputs["rate"] * np.arange(1, 4))
    rewards = np.maximum(inputs["strike"] - paths, 0.0) * discount
    found = longstaff_schwartz(paths, rewards, basis="power", degree=2, scale=1.0)
    assert found.value == pytest.approx(0.114434330, abs=1e-8)
    assert rewards[:, -1].mean() == pytest.approx(0.056380739, abs=1e-8)
    # At date 2 the printed regression is of values at that date, ours of values today.
    np.testing.assert_allclose(
        found.coefficients[1] / discount[1], [-1.06999, 2.98341, -1.81358], atol=5e-6
    )
    np.testing.assert_allclose(
        found.coefficients[0] / discount[0], [2.03751, -3.33544, 1.35646], atol=5e-6
    )
    np.testing.assert_array_equal(found.stops, [2, 2, 2, 0, 2, 0, 0, 0])


@pytest.mark.parametrize(("spot", "volatility", "maturity"), [(36.0, 0.2, 1.0), (44.0, 0.4, 2.0)])
def test_regression_on_the_state_comes_near_the_tree(spot, volatility, maturity):
    dates = round(50 * maturity)
    samples = []
    for seed in (1, 2):
        prices, _ = stock(seed, 20_000, dates, spot, volatility, maturity, antithetic=True)
        samples.append((prices[:, 1:], put_rewards(prices, maturity)))
    found = longstaff_schwartz(*samples[0], scale=STRIKE, antithetic=True, fresh=samples[1])
    tree = binomial_tree(spot, STRIKE, RATE, volatility, maturity, dates=dates, steps=20 * dates)
    assert abs(found.value - tree) < 3.5 * found.standard_error + 0.02
    # On fresh paths the rule cannot be better than the best one.
    assert found.fresh_value < tree + 3.5 * found.fresh_standard_error
    assert found.fresh_value > tree - 3.5 * found.fresh_standard_error - 0.03


def test_bases_of_one_span_stop_at_the_same_dates():
    prices, _ = stock(3, 500, 8, 38.0, 0.3, 1.0)
    rewards = put_rewards(prices, 1.0)
    stops = [
        longstaff_schwartz(prices[:, 1:], rewards, basis=basis, degree=3, scale=STRIKE).stops
        for basis in (
            "power",
            "hermite",
            "chebyshev",
            lambda x: np.stack([np.ones_like(x), x - 1, (x - 1) ** 2, (x - 1) ** 3], axis=-1),
        )
    ]
    for other in stops[1:]:
        np.testing.assert_array_equal(stops[0], other)


def test_laguerre_regressors_are_those_of_the_paper():
    """A constant, and exp(-x / 2) times 1, 1 - x, 1 - 2 x + x**2 / 2: the fit shows them all."""
    x = np.random.default_rng(0).uniform(0.5, 2.0, (200, 1))
    weight = np.exp(-x / 2)
    terms = [np.ones_like(x), weight, weight * (1 - x), weight * (1 - 2 * x + x**2 / 2)]
    wanted = np.array([0.7, -1.2, 0.4, 2.0])
    later = sum(c * term for c, term in zip(wanted, terms, strict=True))
    paths, rewards = np.hstack([x, x]), np.hstack([np.full_like(x, -9.0), later])
    found = longstaff_schwartz(paths, rewards, degree=3, scale=1.0, in_the_money=False)
    np.testing.assert_allclose(found.coefficients[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("basis", ["laguerre", "power"])
def test_the_unit_of_prices_does_not_matter(basis):
    prices, _ = stock(3, 500, 8, 38.0, 0.3, 1.0)
    rewards = put_rewards(prices, 1.0)
    one, thousand = (
        longstaff_schwartz(unit * prices[:, 1:], unit * rewards, basis=basis)
        for unit in (1.0, 1000.0)
    )
    np.testing.assert_array_equal(one.stops, thousand.stops)


def test_out_of_the_money_a_path_may_stop_only_where_it_is_allowed():
    states = np.random.default_rng(1).normal(size=(300, 3))
    rewards = np.column_stack([np.full(300, -0.1), np.full(300, -1.0), np.full(300, -1.0)])
    inside = longstaff_schwartz(states, rewards, basis="power")
    everywhere = longstaff_schwartz(states, rewards, basis="power", in_the_money=False)
    assert (inside.stops == 2).all()
    assert (everywhere.stops == 0).all()


def test_antithetic_errors_are_those_of_pairs():
    prices, _ = stock(4, 400, 5, 40.0, 0.2, 1.0, antithetic=True)
    rewards = put_rewards(prices, 1.0)
    sample = (prices[:, 1:], rewards)
    found = longstaff_schwartz(*sample, scale=STRIKE, antithetic=True, fresh=sample)
    assert found.fresh_value == pytest.approx(found.value, rel=1e-12)
    assert found.fresh_standard_error == pytest.approx(found.standard_error, rel=1e-12)
    taken = rewards[np.arange(400), found.stops]
    pairs = (taken[:200] + taken[200:]) / 2
    assert found.standard_error == pytest.approx(stats.sem(pairs), rel=1e-12)
    plain = longstaff_schwartz(prices[:, 1:], rewards, scale=STRIKE)
    assert plain.standard_error == pytest.approx(stats.sem(taken), rel=1e-12)


# Bounds


@pytest.mark.parametrize(("hurst", "value"), [(0.1, 1.049), (0.3, 0.370), (0.7, 0.207)])
def test_published_values_of_fractional_brownian_motion_lie_between_the_bounds(hurst, value):
    bounds = fractional_bounds(hurst)
    assert enclosed(value, bounds)
    assert bounds.lower < bounds.upper
    assert bounds.gap < 0.06
    assert bounds.lower > value - 0.02
    assert abs(bounds.plain - bounds.lower) < 4 * math.hypot(bounds.plain_error, bounds.lower_error)


def test_brownian_motion_is_worth_nothing_whatever_the_rule():
    bounds = fractional_bounds(0.5)
    assert abs(bounds.lower) < 1e-9
    assert abs(bounds.upper) < 1e-9
    assert abs(bounds.plain) < 4 * bounds.plain_error + 1e-12


def test_a_line_of_random_slope_has_its_closed_form():
    n = 20
    exact = (1 - 1 / n) / math.sqrt(2 * math.pi)
    bounds = fractional_bounds(1.0, n_steps=n, degree=6)
    assert enclosed(exact, bounds)
    assert bounds.gap < 0.04


def test_bounds_enclose_the_tree_of_a_put():
    samples = []
    for seed in (1, 2):
        prices, normal = stock(seed, 6000, 50, 36.0, 0.2, 1.0)
        samples.append((np.log(prices / STRIKE), put_rewards(prices, 1.0), normal))
    (a, gains, z), (b, fresh, w) = samples
    bounds = signature_stopping(
        a,
        gains,
        b,
        fresh,
        depth=3,
        dates=np.arange(1, 51),
        innovations=hermite_innovations(z, degree=3),
        fresh_innovations=hermite_innovations(w, degree=3),
    )
    assert enclosed(binomial_tree(36.0, STRIKE, RATE, 0.2, 1.0, dates=50), bounds)
    assert 0 < bounds.gap < 0.25


@pytest.mark.parametrize("quiet", [0, 12])
def test_the_rule_is_that_of_least_squares_on_every_prefix(quiet):
    """Also where a coordinate does not move at first, so that its words are exactly 0."""
    paths = fractional_brownian_motion(400, 20, 0.3, 1)
    paths[:, : quiet + 1] = 0.0
    prefixes = signatures.signature(signatures.with_time(paths[..., None]), 3, prefixes=True)
    cash = paths[:, -1].copy()
    for date in range(19, -1, -1):
        now = prefixes[:, date]
        going_on = now @ np.linalg.lstsq(now, cash, rcond=1e-9)[0]
        cash = np.where(paths[:, date] >= going_on, paths[:, date], cash)
    policy = signature_policy(paths, paths, depth=3)
    assert policy.in_sample == pytest.approx(cash.mean(), rel=1e-9)
    stops = policy.stops(paths, paths)
    assert paths[np.arange(400), stops].mean() == pytest.approx(policy.in_sample, rel=1e-9)


def independent_rewards(seed, n, b=4000):
    """Standard normal rewards at each of n dates after a first point of 0."""
    normal = np.random.default_rng(seed).standard_normal((b, n))
    return np.concatenate([np.zeros((b, 1)), normal], axis=1), normal


def test_independent_offers_have_the_value_of_their_recursion():
    n, value = 8, 0.0
    for _ in range(n - 1):  # the value of one more offer: E max(offer, value)
        value = value * stats.norm.cdf(value) + stats.norm.pdf(value)
    (a, z), (b, w) = (independent_rewards(seed, n) for seed in (1, 2))
    bounds = signature_stopping(
        a,
        z,
        b,
        w,
        depth=2,
        dates=np.arange(1, n + 1),
        innovations=hermite_innovations(z, degree=6),
        fresh_innovations=hermite_innovations(w, degree=6),
    )
    assert enclosed(value, bounds)
    assert bounds.gap < 0.12


def test_an_offer_seen_only_afterwards_is_worth_its_mean():
    n = 8
    z, w = (independent_rewards(seed, n)[1] for seed in (1, 2))
    none = np.zeros((len(z), n + 1))
    bounds = signature_stopping(
        none, z, none, w, depth=2, dates=np.arange(1, n + 1), observed=False
    )
    assert abs(bounds.lower) < 4 * bounds.lower_error
    assert math.isnan(bounds.upper)
    # The policy cannot have looked: other offers on the same paths stop it at the same dates.
    other = np.random.default_rng(3).standard_normal(w.shape)
    np.testing.assert_array_equal(bounds.policy.stops(none, other), bounds.stops)


def test_an_offer_seen_only_afterwards_is_foretold_by_the_path():
    """The path with noise on top of its rewards is worth what it is worth without the noise."""
    n, b = 20, 4000
    paths = [fractional_brownian_motion(b, n, 0.3, seed) for seed in (1, 2)]
    noise = np.random.default_rng(0).standard_normal((2, b, n + 1))
    noise[:, :, 0] = 0.0
    clear = signature_stopping(paths[0], paths[0], paths[1], paths[1], depth=3)
    late = signature_stopping(
        paths[0], paths[0] + noise[0], paths[1], paths[1] + noise[1], depth=3, observed=False
    )
    assert clear.lower > 0.2
    assert abs(late.lower - clear.lower) < 4 * late.lower_error
    assert late.lower > 0.2


def test_the_martingale_is_one_level_less_deep_unless_told():
    x = fractional_brownian_motion(200, 5, 0.3, 0)
    noise = fractional_innovations(x, 0.3)
    for depth, dual in ((1, 1), (2, 1), (3, 2)):
        policy = signature_policy(x, x, depth=depth, innovations=noise)
        assert policy.dual_depth == dual
        assert policy.integrand.shape == (5, 1, signatures.size(2, dual) + 1)


def test_the_martingale_has_mean_zero_at_every_date():
    bounds = fractional_bounds(0.3, n_paths=2000, n_steps=20, depth=3)
    fresh = fractional_brownian_motion(20_000, 20, 0.3, 9)
    noise = fractional_innovations(fresh, 0.3, degree=2)
    martingale = bounds.policy.martingale(fresh, fresh, noise)
    error = martingale.std(axis=0, ddof=1) / math.sqrt(len(fresh))
    assert (martingale[:, 0] == 0).all()
    assert (abs(martingale.mean(axis=0)[1:]) < 4.5 * error[1:]).all()
    steps = np.diff(martingale, axis=1)
    for j in range(1, 20):  # and no step is foretold by the value before it
        correlation = np.corrcoef(steps[:, j], fresh[:, j])[0, 1]
        assert abs(correlation) < 4.5 / math.sqrt(len(fresh))


@pytest.mark.parametrize("observed", [True, False])
def test_a_rule_does_not_look_ahead(observed):
    train = fractional_brownian_motion(1000, 12, 0.3, 1)
    policy = signature_policy(train, train, depth=3, observed=observed)
    fresh = fractional_brownian_motion(300, 12, 0.3, 2)
    stops = policy.stops(fresh, fresh)
    for date in (0, 4, 9):
        changed = fresh.copy()
        changed[:, date + 1 :] = np.random.default_rng(0).permutation(changed[:, date + 1 :])
        again = policy.stops(changed, changed)
        early = stops <= date
        np.testing.assert_array_equal(again[early], stops[early])
        assert (again[~early] > date).all()


def test_dates_that_are_not_allowed_lower_the_value():
    few = np.arange(0, 101, 10)
    train = fractional_brownian_motion(4000, 100, 0.3, 1)
    fresh = fractional_brownian_motion(4000, 100, 0.3, 2)
    a, b = (fractional_innovations(x, 0.3, degree=2) for x in (train, fresh))
    bounds = signature_stopping(
        train, train[:, few], fresh, fresh[:, few], dates=few, innovations=a, fresh_innovations=b
    )
    every = fractional_bounds(0.3)
    assert bounds.upper < every.lower - 10 * every.lower_error
    assert set(np.unique(bounds.stops)) <= set(range(11))
    # Ten dates seen on 100 points: 0.24368 (0.00359) in the notebook of Bayer, Pelizzari and
    # Schoenmakers' repository.
    assert abs(bounds.lower - 0.24368) < 3 * math.hypot(bounds.lower_error, 0.00359)


def test_deeper_signatures_close_the_gap():
    gaps = [fractional_bounds(0.3, n_steps=30, depth=depth).gap for depth in (1, 2, 3)]
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_more_coordinates_and_other_units_of_time_do_not_change_the_bounds():
    train = fractional_brownian_motion(800, 10, 0.7, 1)
    fresh = fractional_brownian_motion(800, 10, 0.7, 2)
    one = signature_stopping(train, train, fresh, fresh, depth=2)
    twice = [np.stack([x, 3 * x], axis=-1) for x in (train, fresh)]
    two = signature_stopping(twice[0], train, twice[1], fresh, depth=2, times=np.arange(11.0))
    np.testing.assert_array_equal(one.stops, two.stops)
    assert one.lower == two.lower


# Bad input


def test_bad_input_is_named():
    x = fractional_brownian_motion(10, 4, 0.3, 0)
    noise = fractional_innovations(x, 0.3)
    cases = [
        (lambda: fractional_brownian_motion(0, 4, 0.3, 0), "n_paths"),
        (lambda: fractional_brownian_motion(1, 4, 1.2, 0), "hurst"),
        (lambda: fractional_brownian_motion(1, 4, 0.3, -1), "seed"),
        (lambda: fractional_brownian_motion(1, 4, 0.3, 0, method="hosking"), "method"),
        (lambda: fractional_covariance(0, 0.3), "n_steps"),
        (lambda: fractional_innovations(x, 0.0), "hurst"),
        (lambda: fractional_innovations(x[:, :1], 0.3), "paths"),
        (lambda: hermite_innovations(x, degree=0), "degree"),
        (lambda: hermite_innovations(x, degree=500), "degree"),
        (lambda: fractional_innovations(x, 1 - 1e-15), "hurst"),
        (lambda: binomial_tree(36, 40, 0.06, 0.2, 1, dates=7), "dates"),
        (lambda: binomial_tree(36, 40, 0.06, 1e5, 1, dates=1), "volatility"),
        (lambda: binomial_tree(36, 40, 0.06, 30.0, 1, dates=1), "steps"),
        (lambda: black_scholes(36, 36, 0.06, 1e-320, 1), "volatility"),
        (lambda: black_scholes(36, 40, -1e3, 0.2, 1), "rate"),
        (lambda: longstaff_schwartz(x, x, basis=["power"]), "basis"),
        (lambda: longstaff_schwartz(x, x, basis=lambda s: s[..., None] * np.nan), "basis"),
        (lambda: longstaff_schwartz(x, x, fresh=(x,)), "fresh"),
        (lambda: longstaff_schwartz(x, x, fresh=3), "fresh"),
        (lambda: longstaff_schwartz(x, x, scale=0.0), "scale"),
        (lambda: longstaff_schwartz([[1.0], [1.0, 2.0]], x), "paths"),
        (lambda: signature_policy(x, x, depth=40), "depth"),
        (lambda: signature_policy(x, x[:, :4], dates=np.array([0, 3, 1, 4], np.uint64)), "dates"),
        (lambda: binomial_tree(36, 40, 2.0, 0.02, 1, dates=1, steps=2), "steps"),
        (lambda: black_scholes(-1, 40, 0.06, 0.2, 1), "spot"),
        (lambda: black_scholes(36, 40, 0.06, 0.2, 1, "straddle"), "kind"),
        (lambda: longstaff_schwartz(x, x, basis="fourier"), "basis"),
        (lambda: longstaff_schwartz(x, x, basis=lambda s: s), "basis"),
        (lambda: longstaff_schwartz(x, x[:, 1:]), "rewards"),
        (lambda: longstaff_schwartz(x[:9], x[:9], antithetic=True), "paths"),
        (lambda: longstaff_schwartz(x, x, fresh=(x[:, 1:], x[:, 1:])), "fresh"),
        (lambda: longstaff_schwartz(x, x, fresh=(x, x[:, 1:])), "fresh_rewards"),
        (lambda: signature_policy(x, x[1:]), "rewards"),
        (lambda: signature_policy(x, x, depth=0), "depth"),
        (lambda: signature_policy(x, x, depth=2, dual_depth=3), "dual_depth"),
        (lambda: signature_policy(x, x, dates=[0, 1, 2, 3]), "dates"),
        (lambda: signature_policy(x, x, dates=[0, 0, 4]), "dates"),
        (lambda: signature_policy(x, x, times=[0, 1, 2, 2, 3]), "times"),
        (lambda: signature_policy(x, x, innovations=noise[:, 1:]), "innovations"),
        (lambda: signature_policy(np.full_like(x, np.nan), x), "paths"),
        (lambda: signature_stopping(x, x, x, x, innovations=noise), "fresh_innovations"),
        (lambda: signature_stopping(x, x, x[:, 1:], x), "fresh_paths"),
        (lambda: signature_stopping(x, x, x, x[1:]), "fresh_rewards"),
        (lambda: signature_policy(x, x, depth=2).stops(x[:, 1:], x), "paths"),
        (lambda: signature_policy(x, x, depth=2).stops(np.stack([x, x], -1), x), "paths"),
        (lambda: signature_policy(x, x, depth=2).bounds(x, x, noise), "innovations"),
    ]
    for call, name in cases:
        with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
            call()
