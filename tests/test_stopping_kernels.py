"""Fractional Brownian motion and backward regression: covariances, least squares, trees."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import backend, reference
from labkit._backend import kernels
from labkit.reference import _philox as philox
from labkit.reference import stopping as steps

MODULES = [kernels] if backend() == "reference" else [kernels, reference]
BOTH = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
METHOD = pytest.mark.parametrize("method", steps.METHODS)
HURST = pytest.mark.parametrize("hurst", [0.05, 0.3, 0.5, 0.7, 0.95])


# Fractional Brownian motion


def motion_covariance(n, hurst):
    """The covariance that defines it, at the times 1 / n to 1."""
    t = np.arange(1, n + 1) / n
    s = t[:, None]
    return (t ** (2 * hurst) + s ** (2 * hurst) - abs(t - s) ** (2 * hurst)) / 2


def linear_map(method, n, hurst):
    """The matrix that makes increments of unit steps from independent normal numbers."""
    pairs = n if method == "davies_harte" else (n + 1) // 2
    units = np.concatenate([np.eye(pairs), 1j * np.eye(pairs)])
    if method == "davies_harte":
        return steps.davies_harte(units, hurst).T
    return steps.cholesky(units, n, hurst).T


@METHOD
@HURST
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1000])
def test_numbers_are_mapped_to_the_exact_covariance(method, hurst, n):
    sums = np.cumsum(linear_map(method, n, hurst), axis=0) * n**-hurst
    assert abs(sums @ sums.T - motion_covariance(n, hurst)).max() < 1e-12


@HURST
def test_covariance_of_noise_is_the_second_difference_of_powers(hurst):
    def power(k):
        return abs(k) ** (2 * hurst)

    k = np.arange(1001.0)
    direct = (power(k + 1) - 2 * power(k) + power(k - 1)) / 2
    # What the direct formula loses to cancellation grows with the powers.
    bound = 4 * np.finfo(float).eps * np.maximum(power(k + 1), 1)
    assert (abs(steps.noise_covariance(1000, hurst) - direct) <= bound).all()


@BOTH
@METHOD
@HURST
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_paths_have_the_covariance_within_their_standard_errors(module, method, hurst, n):
    count = 40_000
    paths = module.fractional_brownian_motion(count, n, hurst, 11, method)
    assert (paths[:, 0] == 0).all()
    values, exact = paths[:, 1:], motion_covariance(n, hurst)
    variances = np.diag(exact)
    error = np.sqrt((np.outer(variances, variances) + exact**2) / count)
    assert abs((values.T @ values / count - exact) / error).max() < 4.5
    assert abs(values.mean(axis=0) / np.sqrt(variances / count)).max() < 4.5


@BOTH
@METHOD
def test_half_a_hurst_index_is_brownian_motion(module, method):
    paths = module.fractional_brownian_motion(2000, 100, 0.5, 3, method)
    scaled = np.diff(paths, axis=1) * 10
    n = scaled.size
    assert abs(scaled.mean()) < 4 / n**0.5
    assert abs((scaled**2).mean() - 1) < 4 * (2 / n) ** 0.5
    assert abs((scaled**4).mean() - 3) < 4 * (96 / n) ** 0.5
    for lag in (1, 2, 99):
        products = scaled[:, lag:] * scaled[:, :-lag]
        assert abs(products.mean()) < 4 / products.size**0.5


@BOTH
@METHOD
@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_hurst_one_is_a_line_through_a_normal_slope(module, method, n):
    paths = module.fractional_brownian_motion(5, n, 1.0, 8, method)
    slopes = philox.normal(philox.raw(8, np.arange(5), 0, 2))[:, 0].real
    np.testing.assert_allclose(paths, np.outer(slopes, np.arange(n + 1) / n), rtol=1e-14)


@BOTH
@METHOD
def test_paths_near_hurst_one_are_near_lines(module, method):
    paths = module.fractional_brownian_motion(500, 20, 0.999, 8, method)
    bends = paths - np.outer(paths[:, -1], np.linspace(0, 1, 21))
    assert 0 < bends.std() < 0.05


@BOTH
@METHOD
@pytest.mark.parametrize("hurst", [0.3, 1.0])
def test_a_path_depends_on_its_number_and_the_seed_alone(module, method, hurst):
    def paths(count, seed):
        return module.fractional_brownian_motion(count, 33, hurst, seed, method)

    many = paths(301, 2**64 - 1)
    for count in (1, 2, 7, 64, 65, 300):
        np.testing.assert_allclose(paths(count, 2**64 - 1), many[:count], rtol=0, atol=1e-14)
    assert len(np.unique(many[:, -1])) == 301
    assert not (paths(301, 5)[:, -1] == many[:, -1]).any()


def test_normal_numbers_are_normal():
    numbers = philox.normal(philox.raw(4, np.arange(1000), 0, 200))
    parts = np.concatenate([numbers.real.ravel(), numbers.imag.ravel()])
    n = parts.size
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        assert abs((parts**power).mean() - mean) < 4 * (variance / n) ** 0.5
    # Real and imaginary parts, and their squares, are uncorrelated.
    assert abs((numbers.real * numbers.imag).mean()) < 4 / (n / 2) ** 0.5
    squares = (numbers.real**2 - 1) * (numbers.imag**2 - 1)
    assert abs(squares.mean()) < 4 * (4 / (n / 2)) ** 0.5


# Least squares


@BOTH
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**32))
def test_regression_is_least_squares(module, extra, k, m, seed):
    rng = np.random.default_rng(seed)
    b = k + extra
    features = rng.normal(size=(b, k)) * 10.0 ** rng.integers(-30, 30, k)
    targets = rng.normal(size=(b, m))
    scale = np.sqrt((features**2).sum(axis=0))
    condition = np.linalg.cond(features / scale)
    expected = np.linalg.lstsq(features / scale, targets, rcond=None)[0]
    got = module.regression(features, targets) * scale[:, None]
    if condition < 1e4:
        assert abs(got - expected).max(initial=0) <= 1e-13 * condition**2 * b**0.5


@BOTH
@pytest.mark.parametrize("b", [3, 40, 5000])
def test_regressors_that_others_explain_are_left_out(module, b):
    rng = np.random.default_rng(b)
    x, y = rng.normal(size=(2, b))
    zero = np.zeros(b)
    features = np.stack([zero, np.ones(b), x, 3 * x - 2, np.full(b, 7.0), x * (1 + 1e-9)], axis=1)
    got = module.regression(features, y[:, None])[:, 0]
    kept = np.linalg.lstsq(features[:, 1:3], y, rcond=None)[0]
    np.testing.assert_allclose(features @ got, features[:, 1:3] @ kept, rtol=1e-9, atol=1e-12)
    assert (got != 0).sum() == 2
    assert (got[[0, 4, 5]] == 0).all()


@BOTH
def test_more_regressors_than_rows_fit_exactly(module):
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(4, 9)), rng.normal(size=(4, 2))
    got = module.regression(features, targets)
    np.testing.assert_allclose(features @ got, targets, rtol=1e-9, atol=1e-9)
    assert (got != 0).sum(axis=0).tolist() == [4, 4]


# Policies


LONGSTAFF_SCHWARTZ = np.array(
    [
        [1.09, 1.16, 1.22, 0.93, 1.11, 0.76, 0.92, 0.88],
        [1.08, 1.26, 1.07, 0.97, 1.56, 0.77, 0.84, 1.22],
        [1.34, 1.54, 1.03, 0.92, 1.52, 0.90, 1.01, 1.34],
    ]
)


@BOTH
def test_the_example_of_longstaff_and_schwartz(module):
    prices = LONGSTAFF_SCHWARTZ
    discount = np.exp(-0.06 * np.arange(1, 4))[:, None]
    rewards = np.maximum(1.10 - prices, 0) * discount
    features = np.stack([np.ones_like(prices), prices, prices**2], axis=-1)
    coefficients, stops = module.backward_regression(features, rewards, True)
    # The paper discounts to the date of the regression.
    published = [[2.03751, -3.33544, 1.35646], [-1.06999, 2.98341, -1.81358], [0, 0, 0]]
    np.testing.assert_allclose(coefficients / discount, published, atol=5.1e-6)
    assert stops.tolist() == [2, 2, 2, 0, 2, 0, 0, 0]
    assert abs(rewards[stops, range(8)].mean() - 0.114434330) < 5e-10
    again = module.apply_policy(features, rewards, coefficients, True)
    np.testing.assert_array_equal(again, stops)


def binomial_put(n_dates):
    """All paths of a symmetric tree, one-hot regressors of its nodes, rewards, and its value."""
    up, rate, strike = 1.1, 0.01, 1.03
    moves = np.array(list(itertools.product([0, 1], repeat=n_dates)))
    ups = moves.cumsum(axis=1).T
    dates = np.arange(1, n_dates + 1)[:, None]

    def reward(ups, date):
        return np.maximum(strike - up ** (2.0 * ups - date), 0) * np.exp(-rate * date)

    features = (ups[:, :, None] == np.arange(n_dates + 1)).astype(float)
    value = reward(np.arange(n_dates + 1), n_dates)
    for date in range(n_dates - 1, 0, -1):
        value = np.maximum((value[1:] + value[:-1]) / 2, reward(np.arange(date + 1), date))
    return features, reward(ups, dates), value.mean()


@BOTH
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("n_dates", [1, 2, 5, 10])
def test_on_a_whole_tree_the_policy_is_that_of_dynamic_programming(module, positive, n_dates):
    features, rewards, value = binomial_put(n_dates)
    coefficients, stops = module.backward_regression(features, rewards, positive)
    assert abs(rewards[stops, np.arange(len(stops))].mean() - value) < 1e-14
    again = module.apply_policy(features, rewards, coefficients, positive)
    np.testing.assert_array_equal(again, stops)


def plain_policy(features, rewards, positive):
    """Backward regression by `lstsq`."""
    n, b, k = features.shape
    coefficients, stops, cash = np.zeros((n, k)), np.full(b, n - 1), rewards[-1].copy()
    for date in range(n - 2, -1, -1):
        for_these = rewards[date] > 0 if positive else np.ones(b, bool)
        x = features[date][for_these]
        coefficients[date] = np.linalg.lstsq(x, cash[for_these], rcond=None)[0]
        stop = for_these & (rewards[date] >= features[date] @ coefficients[date])
        cash[stop], stops[stop] = rewards[date, stop], date
    return coefficients, stops


def example(n, b, k, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, b, k))
    rewards = np.maximum(features[..., 0] + rng.normal(size=(n, b)), 0)
    features[..., -1] = 1
    return features, rewards


@BOTH
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("b", "k"), [(20, 1), (127, 3), (128, 4), (1000, 10), (9000, 7)])
def test_policies_are_those_of_least_squares(module, positive, b, k):
    features, rewards = example(6, b, k, b)
    coefficients, stops = module.backward_regression(features, rewards, positive)
    expected, where = plain_policy(features, rewards, positive)
    np.testing.assert_allclose(coefficients, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(stops, where)
    again = module.apply_policy(features, rewards, coefficients, positive)
    np.testing.assert_array_equal(again, stops)


@BOTH
@pytest.mark.parametrize("positive", [False, True])
def test_a_policy_does_not_look_ahead(module, positive):
    features, rewards = example(8, 500, 4, 3)
    coefficients, _ = module.backward_regression(features, rewards, positive)
    features, rewards = example(8, 300, 4, 4)
    stops = module.apply_policy(features, rewards, coefficients, positive)
    rng = np.random.default_rng(5)
    for date in range(7):
        mixed = [values.copy() for values in (features, rewards)]
        for values in mixed:
            values[date + 1 :] = rng.permutation(values[date + 1 :], axis=1)
        again = module.apply_policy(*mixed, coefficients, positive)
        np.testing.assert_array_equal(again[stops <= date], stops[stops <= date])
        assert (again[stops > date] > date).all()


@BOTH
def test_only_paths_with_a_positive_reward_stop_early(module):
    features, rewards = example(6, 400, 3, 6)
    _, stops = module.backward_regression(features, rewards, True)
    early = stops < 5
    assert early.any()
    assert (rewards[stops, np.arange(400)][early] > 0).all()
    rewards[2] = 0
    coefficients, stops = module.backward_regression(features, rewards, True)
    assert (coefficients[2] == 0).all()
    assert not (stops == 2).any()


@BOTH
def test_features_of_the_last_date_are_not_used(module):
    features, rewards = example(4, 100, 3, 7)
    other = features.copy()
    other[-1] = 5.0
    for ours, theirs in zip(
        module.backward_regression(features, rewards, True),
        module.backward_regression(other, rewards, True),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
