"""Ornstein-Uhlenbeck: statsmodels, numerical integration, published values and simulation."""

import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, special, stats
from statsmodels.tsa.adfvalues import mackinnonp
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.stattools import adfuller

from labkit.ou import (
    bertram_cycle,
    bertram_thresholds,
    first_passage_mean,
    first_passage_probability,
    first_passage_variance,
    fit,
    fit_many,
    leung_li_levels,
    simulate,
)


@pytest.fixture(scope="module")
def path():
    return simulate(2.0, 1.0, 0.3, dt=0.05, n_steps=400, seed=3)[0]


# Estimation


def minus_log_likelihood(parameters, x, dt):
    theta, mu, sigma = parameters
    phi = math.exp(-theta * dt)
    scale = sigma * math.sqrt((1 - phi**2) / (2 * theta))
    return -stats.norm.logpdf(x[1:], mu + phi * (x[:-1] - mu), scale).sum()


def hessian(function, at, step):
    """Second derivatives by central differences."""
    eye = np.diag(step)
    result = np.empty((len(at), len(at)))
    for i, a in enumerate(eye):
        for j, b in enumerate(eye):
            corners = [function(at + s * a + t * b) * s * t for s in (1, -1) for t in (1, -1)]
            result[i, j] = sum(corners) / (4 * step[i] * step[j])
    return result


def test_estimates_maximise_the_likelihood(path):
    result = fit(path, 0.05)
    best = optimize.minimize(
        minus_log_likelihood,
        [1.0, 0.5, 0.5],
        args=(path, 0.05),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000},
    )
    estimates = [result.theta, result.mu, result.sigma]
    np.testing.assert_allclose(estimates, best.x, rtol=1e-5)
    assert result.log_likelihood == pytest.approx(-best.fun, rel=1e-12)


def test_standard_errors_equal_the_inverse_of_the_observed_information(path):
    result = fit(path, 0.05)
    at = np.array([result.theta, result.mu, result.sigma])
    information = hessian(lambda p: minus_log_likelihood(p, path, 0.05), at, 1e-3 * at)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    ours = np.array([result.theta_se, result.mu_se, result.sigma_se])
    # Ours have RSS / (n - 2) in the place of RSS / n, except in the variance of sigma itself.
    wider = math.sqrt(result.n / (result.n - 2))
    np.testing.assert_allclose(ours[:2], errors[:2] * wider, rtol=1e-4)
    np.testing.assert_allclose(ours[2], errors[2], rtol=3e-3)


def test_regression_equals_statsmodels(path):
    result = fit(path, 0.05)
    theirs = AutoReg(path, 1, trend="c").fit()
    assert result.phi == pytest.approx(theirs.params[1], rel=1e-12)
    assert result.mu == pytest.approx(theirs.params[0] / (1 - theirs.params[1]), rel=1e-11)
    assert result.log_likelihood == pytest.approx(theirs.llf, rel=1e-12)
    statistic, pvalue = adfuller(path, maxlag=0, regression="c", autolag=None, result_object=False)[
        :2
    ]
    assert result.unit_root_statistic == pytest.approx(statistic, rel=1e-10)
    assert result.unit_root_pvalue == pytest.approx(pvalue, rel=1e-8)


def test_units_of_time_and_of_values_carry_through(path):
    one, other = fit(path, 0.05), fit(100 - 7 * path, 0.05 * 60)
    assert other.theta == pytest.approx(one.theta / 60, rel=1e-9)
    assert other.theta_se == pytest.approx(one.theta_se / 60, rel=1e-9)
    assert other.theta_bias == pytest.approx(one.theta_bias / 60, rel=1e-9)
    assert other.half_life_interval == pytest.approx(np.array(one.half_life_interval) * 60)
    assert other.mu == pytest.approx(100 - 7 * one.mu, rel=1e-9)
    assert other.mu_se == pytest.approx(7 * one.mu_se, rel=1e-9)
    assert other.sigma == pytest.approx(7 * one.sigma / math.sqrt(60), rel=1e-9)
    assert other.sigma_se == pytest.approx(7 * one.sigma_se / math.sqrt(60), rel=1e-9)
    assert other.unit_root_statistic == pytest.approx(one.unit_root_statistic, rel=1e-9)


def test_a_large_common_level_costs_few_digits(path):
    exact = np.round(path * 2**20) / 2**20
    one, other = fit(exact, 0.05), fit(exact + 2.0**30, 0.05)
    assert other.theta == pytest.approx(one.theta, rel=1e-9)
    assert other.sigma == pytest.approx(one.sigma, rel=1e-9)


THETA, MU, SIGMA = 2.0, 1.0, 0.3


@pytest.mark.parametrize(
    ("step", "n", "paths"),
    [(0.001, 60_000, 300), (0.01, 8_000, 600), (0.1, 1000, 1500), (1, 500, 1500)],
)
def test_parameters_are_recovered_and_errors_are_of_the_stated_size(step, n, paths):
    dt = step / THETA
    table = fit_many(simulate(THETA, MU, SIGMA, dt=dt, n_steps=n, n_paths=paths, seed=17), dt)
    assert (table["status"] == "mean reverting").all()
    for name, true in (("theta_corrected", THETA), ("mu", MU), ("sigma", SIGMA)):
        values = table[name].to_numpy()
        error = values.std(ddof=1) / math.sqrt(paths)
        if name == "sigma":
            # Its bias of order 1 / n: the divisor of the residuals, and that of phi.
            error += SIGMA * 1.5 / n
        assert abs(values.mean() - true) < 4 * error, name
        stated = table[name.replace("corrected", "se") if "_" in name else name + "_se"].median()
        assert stated == pytest.approx(values.std(ddof=1), rel=0.15), name


@pytest.mark.parametrize("step", [0.03, 0.5])
def test_bias_of_theta_is_what_the_formula_says(step):
    n, dt = 600, step / THETA
    table = fit_many(simulate(THETA, MU, SIGMA, dt=dt, n_steps=n, n_paths=4000, seed=5), dt)
    growth = math.exp(step)
    bias = (5 + 2 * growth + growth**2) / (2 * n * dt)
    error = table["theta"].std() / math.sqrt(len(table))
    assert bias > 4 * error
    assert abs(table["theta"].mean() - THETA - bias) < 3 * error


def test_bias_follows_from_that_of_phi_by_a_taylor_expansion():
    n, dt = 250, 0.2
    result = fit(simulate(1.0, 0.0, 1.0, dt=dt, n_steps=n, seed=2)[0], dt)
    phi = result.phi
    # theta = -log(phi) / dt has derivatives -1 / (phi dt) and 1 / (phi**2 dt).
    first = -1 / (phi * dt) * (-(1 + 3 * phi) / n)
    second = 0.5 / (phi**2 * dt) * (1 - phi**2) / n
    assert result.theta_bias == pytest.approx(first + second, rel=1e-12)
    assert result.theta_corrected == result.theta - result.theta_bias


@pytest.mark.parametrize(("step", "covered"), [(0.01, 0.918), (0.1, 0.946), (1.0, 0.952)])
def test_half_life_interval_covers_as_documented(step, covered):
    dt, paths = step / THETA, 3000
    table = fit_many(simulate(THETA, MU, SIGMA, dt=dt, n_steps=1000, n_paths=paths, seed=23), dt)
    true = math.log(2) / THETA
    inside = table["half_life_low"].le(true) & table["half_life_high"].ge(true)
    assert abs(inside.mean() - covered) < 4 * math.sqrt(covered * (1 - covered) / paths)


def test_a_wider_confidence_widens_the_half_life_interval(path):
    low, high = fit(path, 0.05).half_life_interval
    wide_low, wide_high = fit(path, 0.05, confidence=0.99).half_life_interval
    assert wide_low < low < high < wide_high
    centre = fit(path, 0.05, confidence=1e-9).half_life_interval
    assert centre == pytest.approx([math.log(2) / fit(path, 0.05).theta_corrected] * 2)


def test_a_unit_root_is_reported_and_not_raised():
    growing = 1.01 ** np.arange(200) + np.random.default_rng(0).normal(0, 1e-2, 200)
    result = fit(growing)
    assert result.status == "unit root"
    assert result.phi > 1 and result.theta == pytest.approx(-math.log(result.phi))
    assert result.half_life == math.inf and result.half_life_interval[1] == math.inf
    assert math.isfinite(result.sigma) and result.sigma > 0
    assert result.unit_root_pvalue > 0.9
    assert result.theta_bias == pytest.approx(4 / 199)


def test_unit_root_is_rejected_as_often_as_it_should_be():
    table = fit_many(simulate(0, 0, 1, dt=1, n_steps=500, n_paths=2000, start=0.0, seed=8))
    assert abs((table["unit_root_pvalue"] < 0.05).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)


def test_an_alternating_series_has_no_process_and_says_so():
    noise = np.random.default_rng(1).normal(size=300)
    x = 5 + np.array([0.0, *(noise[1:] - 0.9 * noise[:-1])])
    result = fit(x, 0.1)
    assert result.status == "alternating" and result.phi < 0
    for name in ("theta", "theta_se", "sigma", "sigma_se", "half_life", "theta_corrected"):
        assert math.isnan(getattr(result, name)), name
    assert all(math.isnan(end) for end in result.half_life_interval)
    assert result.mu == pytest.approx(5, abs=0.1) and math.isfinite(result.mu_se)
    assert result.unit_root_pvalue < 1e-6


def test_many_fits_are_those_of_each_series_alone():
    x = simulate(2.0, 1.0, 0.3, dt=0.1, n_steps=50, n_paths=20, seed=4)
    table = fit_many(x, 0.1, confidence=0.9)
    for row, series in enumerate(x):
        alone = asdict(fit(series, 0.1, confidence=0.9))
        low, high = alone.pop("half_life_interval")
        assert table.loc[row].to_dict() == alone | {"half_life_low": low, "half_life_high": high}
    later = x.copy()
    later[7] = later[7, ::-1]
    pd.testing.assert_frame_equal(fit_many(later, 0.1, confidence=0.9).drop(7), table.drop(7))
    assert table["unit_root_pvalue"].tolist() == [
        mackinnonp(t, "c") for t in table["unit_root_statistic"]
    ]


def test_a_table_holds_one_series_a_column():
    x = simulate(2.0, 1.0, 0.3, dt=0.1, n_steps=50, n_paths=3, seed=4)
    table = fit_many(pd.DataFrame(x.T, columns=["a", "b", "c"]), 0.1)
    assert table.index.tolist() == ["a", "b", "c"]
    pd.testing.assert_frame_equal(table.reset_index(drop=True), fit_many(x, 0.1))


def test_layout_and_type_of_the_series_do_not_matter(path):
    wide = np.column_stack([path, path])
    assert fit(wide[:, 0], 0.05) == fit(path, 0.05) == fit(pd.Series(path), 0.05)
    assert fit(path[::-1], 0.05) == fit(path[::-1].copy(), 0.05)
    assert fit([1, 2, 4, 3, 3, 2, 1]) == fit([1.0, 2.0, 4.0, 3.0, 3.0, 2.0, 1.0])
    before = path.copy()
    fit(path, 0.05)
    np.testing.assert_array_equal(path, before)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"x": [1.0, 2, 1]}, ValueError, "^x must have at least 4 values"),
        ({"x": [1.0, 2, np.nan, 1]}, ValueError, r"^x\[2\] must be finite"),
        ({"x": [1.0, 1, 1, 1, 1]}, ValueError, "^x must vary"),
        ({"x": [1.0, 1, 1, 1, 2]}, ValueError, "^x must vary"),
        ({"x": np.arange(50.0)}, ValueError, "^x.* must have innovations"),
        ({"x": 0.9 ** np.arange(50)}, ValueError, "^x.* must have innovations"),
        ({"x": np.ones((2, 5))}, ValueError, "^x must have shape"),
        ({"x": ["a"] * 5}, TypeError, "^x must hold numbers"),
        ({"dt": 0}, ValueError, "^dt"),
        ({"dt": np.inf}, ValueError, "^dt"),
        ({"dt": None}, TypeError, "^dt"),
        ({"confidence": 1}, ValueError, "^confidence"),
        ({"confidence": np.nan}, ValueError, "^confidence"),
    ],
)
def test_bad_series_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        fit(**{"x": [1.0, 3, 2, 4, 1], **arguments})


def test_bad_series_among_many_are_named():
    good = [1.0, 3, 2, 4, 1]
    for bad, words in (
        ([1.0, 3, np.inf, 4, 1], r"^x\[1, 2\]"),
        ([1.0] * 5, r"^x\[1\] must vary"),
        ([1.0, 2, 3, 4, 5], r"^x\[1\] must have innovations"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_many(np.array([good, bad]))
    with pytest.raises(ValueError, match=r"^x must have shape"):
        fit_many(good)
    with pytest.raises(ValueError, match=r"^x must have at least 4 values"):
        fit_many(pd.DataFrame({"a": good[:3]}))


# Simulation


def test_simulation_has_the_exact_moments():
    theta, mu, sigma, dt, m = 1.5, 2.0, 0.4, 0.3, 40_000
    x = simulate(theta, mu, sigma, dt=dt, n_steps=3, n_paths=m, start=0.5, seed=1)
    assert (x[:, 0] == 0.5).all()
    for k in (1, 2, 3):
        variance = sigma**2 / (2 * theta) * (1 - math.exp(-2 * theta * k * dt))
        mean = mu + (0.5 - mu) * math.exp(-theta * k * dt)
        assert abs(x[:, k].mean() - mean) < 4 * math.sqrt(variance / m)
        assert abs(x[:, k].var() / variance - 1) < 4 * math.sqrt(2 / m)
    stationary = simulate(theta, mu, sigma, dt=dt, n_steps=1, n_paths=m, seed=2)
    variance = sigma**2 / (2 * theta)
    for column in stationary.T:
        assert abs(column.mean() - mu) < 4 * math.sqrt(variance / m)
        assert abs(column.var() / variance - 1) < 4 * math.sqrt(2 / m)
    correlation = np.corrcoef(stationary.T)[0, 1]
    phi = math.exp(-theta * dt)
    assert abs(correlation - phi) < 4 * (1 - phi**2) / math.sqrt(m)


def test_brownian_motion_is_the_limit():
    x = simulate(0, 9.0, 0.5, dt=0.2, n_steps=5, n_paths=20_000, start=1.0, seed=3)
    steps = np.diff(x)
    assert abs(steps.var() / (0.25 * 0.2) - 1) < 4 * math.sqrt(2 / steps.size)
    near = simulate(1e-12, 1.0, 0.5, dt=0.2, n_steps=5, n_paths=20_000, start=1.0, seed=3)
    np.testing.assert_allclose(near, x, atol=1e-9)


def test_a_seed_gives_the_same_paths_again():
    same = [simulate(1, 0, 1, dt=0.1, n_steps=9, n_paths=2, seed=6) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    generator = np.random.default_rng(6)
    np.testing.assert_array_equal(
        same[0], simulate(1, 0, 1, dt=0.1, n_steps=9, n_paths=2, seed=generator)
    )
    assert not np.array_equal(
        same[0], simulate(1, 0, 1, dt=0.1, n_steps=9, n_paths=2, seed=generator)
    )


def test_each_path_may_start_elsewhere():
    x = simulate(1, 0, 1e-9, dt=1, n_steps=1, n_paths=2, start=[1.0, -2.0], seed=0)
    np.testing.assert_allclose(x[:, 1], np.array([1, -2]) * math.exp(-1), atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"theta": -1}, ValueError, "^theta"),
        ({"theta": 0}, ValueError, "^start must be given"),
        ({"sigma": 0}, ValueError, "^sigma"),
        ({"mu": np.nan}, ValueError, "^mu"),
        ({"dt": -1}, ValueError, "^dt"),
        ({"n_steps": 0}, ValueError, "^n_steps"),
        ({"n_paths": 1.5}, TypeError, "^n_paths"),
        ({"start": [0.0, 1.0]}, ValueError, "^start"),
        ({"start": np.inf}, ValueError, "^start"),
        ({"start": "a"}, TypeError, "^start"),
        ({"seed": None}, TypeError, "^seed"),
    ],
)
def test_bad_simulations_are_refused(arguments, error, words):
    good = {"theta": 1, "mu": 0, "sigma": 1, "dt": 1, "n_steps": 2, "seed": 1}
    with pytest.raises(error, match=words):
        simulate(**good | arguments)


# Passage times


def passage_slope(y):
    return math.sqrt(2 * math.pi) * math.exp(y * y / 2) * special.ndtr(y)


PAIRS = [(-1.4, 0.0), (-2.0, 1.5), (0.3, 2.0), (1.0, -1.0), (2.5, 0.5)]


@pytest.mark.parametrize(("start", "level"), PAIRS)
def test_passage_moments_equal_nested_integrals(start, level):
    # theta = 1 and sigma = sqrt(2): x is y.
    low, high = (start, level) if start < level else (-start, -level)
    mean = integrate.quad(passage_slope, low, high)[0]

    def slope(y):
        inner = integrate.quad(
            lambda u: math.exp(-u * u / 2) * passage_slope(u) ** 2, -12, y, epsabs=0, epsrel=1e-10
        )[0]
        return 2 * math.exp(y * y / 2) * inner

    variance = integrate.quad(slope, low, high, epsrel=1e-9)[0]
    root = math.sqrt(2)
    assert first_passage_mean(1, 0, root, start, level) == pytest.approx(mean, rel=1e-11)
    assert first_passage_variance(1, 0, root, start, level) == pytest.approx(variance, rel=1e-9)
    # A theta of 3, sigma of 0.2 and level of 5 change scales only.
    there = [5 + y * 0.2 / math.sqrt(6) for y in (start, level)]
    assert first_passage_mean(3, 5, 0.2, *there) == pytest.approx(mean / 3, rel=1e-9)
    assert first_passage_variance(3, 5, 0.2, *there) == pytest.approx(variance / 9, rel=1e-9)


def passage_times(start, level, dt, n, seed):
    """Times at which y, from below, is first at a level, with the chance of a hit within a step."""
    rng = np.random.default_rng(seed)
    phi = math.exp(-dt)
    y, times, alive = np.full(n, start), np.empty(n), np.arange(n)
    for k in range(10**6):
        new = phi * y + math.sqrt(1 - phi**2) * rng.normal(size=len(y))
        # Brownian bridge of variance 2 dt over the step.
        bridge = np.exp(-np.maximum(level - y, 0) * np.maximum(level - new, 0) / dt)
        hit = rng.random(len(y)) < bridge
        times[alive[hit]] = (k + 0.5) * dt
        y, alive = new[~hit], alive[~hit]
        if not len(alive):
            return times
    raise AssertionError("the passages do not end")


@pytest.mark.parametrize(("start", "level"), [(-1.4, 0.0), (-0.5, 1.0)])
def test_passage_moments_equal_simulation(start, level):
    n = 20_000
    times = passage_times(start, level, 0.004, n, seed=9)
    root = math.sqrt(2)
    error = times.std() / math.sqrt(n)
    assert abs(times.mean() - first_passage_mean(1, 0, root, start, level)) < 4 * error
    error = ((times - times.mean()) ** 2).std() / math.sqrt(n)
    assert abs(times.var() - first_passage_variance(1, 0, root, start, level)) < 4 * error
    if level == 0.0:
        for t in (0.3, 1.0, 2.5):
            expected = first_passage_probability(1, 0, root, start, t)
            error = math.sqrt(expected * (1 - expected) / n)
            # Times are known to half a step.
            assert abs((times <= t).mean() - expected) < 4 * error + 0.002


def test_probability_of_passage_has_the_mean_of_passage():
    root = math.sqrt(2)
    survival = integrate.quad(
        lambda t: 1 - first_passage_probability(1, 0, root, 1.4, t), 0, np.inf, epsrel=1e-10
    )[0]
    assert survival == pytest.approx(first_passage_mean(1, 0, root, 1.4, 0), rel=1e-8)
    second = integrate.quad(
        lambda t: 2 * t * (1 - first_passage_probability(1, 0, root, 1.4, t)), 0, np.inf
    )[0]
    variance = first_passage_variance(1, 0, root, 1.4, 0)
    assert second - survival**2 == pytest.approx(variance, rel=1e-6)


@pytest.mark.parametrize("start", [-20.0, -3.0, 0.0, 3.0])
def test_moments_of_short_passages_are_additive(start):
    root, step = math.sqrt(2), 1e-4
    for function in (first_passage_mean, first_passage_variance):
        parts = [function(1, 0, root, start + k * step, start + (k + 1) * step) for k in range(4)]
        whole = function(1, 0, root, start, start + 4 * step)
        assert sum(parts) == pytest.approx(whole, rel=1e-9)
        tiny = function(1, 0, root, start, start + 1e-10)
        assert tiny / 1e-10 == pytest.approx(parts[0] / step, rel=1e-3)


def test_limits_of_passages():
    assert first_passage_mean(1, 0, 1, 0.7, 0.7) == first_passage_variance(1, 0, 1, 2, 2) == 0
    probability = first_passage_probability(2.0, 1.0, 0.5, 3.0, [0.0, 0.5, np.inf])
    assert probability[0] == 0 and probability[2] == 1 and 0 < probability[1] < 1
    assert first_passage_probability(2.0, 1.0, 0.5, 1.0, 0.0) == 1
    # From afar the way is deterministic: log(distance / distance).
    far = first_passage_mean(1, 0, 1e-6, 1.0, 0.1)
    assert far == pytest.approx(math.log(10), rel=1e-6)
    near = first_passage_variance(1, 0, 1e-3, 1.0, 0.1)
    # Noise of the deterministic path, over its speed at the level.
    assert near == pytest.approx(1e-6 / 2 * (1 / 0.1**2 - 1), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 0, 1, 0, 1), "^theta"),
        ((1, np.inf, 1, 0, 1), "^mu"),
        ((1, 0, -1, 0, 1), "^sigma"),
        ((1, 0, 1, np.nan, 1), "^start"),
        ((1, 0, 1, 0, np.inf), "^level"),
        ((1, 0, 1, 0, 40), "^level"),
        ((1, 0, 1, 0, -40), "^level"),
    ],
)
def test_bad_passages_are_refused(arguments, words):
    for function in (first_passage_mean, first_passage_variance):
        with pytest.raises(ValueError, match=words):
            function(*arguments)
    if words != "^level":
        with pytest.raises(ValueError, match=words):
            first_passage_probability(*arguments)
    with pytest.raises(ValueError, match=r"^t must"):
        first_passage_probability(1, 0, 1, 1, -1.0)
    for t in ("1", ["soon"], None):
        with pytest.raises(TypeError, match=r"^t must hold numbers"):
            first_passage_probability(1, 0, 1, 1, t)


# Bertram (2010)

BERTRAM = (180.9670, 0.0, 0.1538)


def test_bertram_published_instance():
    best = bertram_thresholds(*BERTRAM, 0.001)
    # The published level comes from a maximiser, which a flat top leaves at half of its digits.
    assert best.entry == pytest.approx(-0.0047151768, abs=1e-10)
    assert best.exit == -best.entry
    assert best.expected_cycle == pytest.approx(0.0171223945, abs=1e-9)
    assert best.variance_cycle == pytest.approx(0.000154416874, abs=1e-11)
    assert best.expected_return == pytest.approx(0.4923583279, abs=5e-10)
    assert best.variance_return == pytest.approx(0.00218621481, abs=1e-11)
    sharpest = bertram_thresholds(*BERTRAM, 0.001, objective="sharpe", risk_free=0.01)
    assert sharpest.entry == pytest.approx(-0.0112674430, abs=5e-11)
    assert sharpest.sharpe == pytest.approx(3.861879024, abs=1e-9)


def series_variance(low, high):
    """Bertram's series for theta**2 V[T] of a cycle, thresholds in y."""
    k = np.arange(1, 160)
    odd = 2 * k[:80] - 1

    def terms(z, k):
        size = special.gammaln(k / 2) + k * np.log(math.sqrt(2) * abs(z)) - special.gammaln(k + 1)
        return np.sign(z) ** k * np.exp(size)

    def w1(z):
        t = terms(z, k)
        return (t.sum() / 2) ** 2 - ((t * (-1.0) ** k).sum() / 2) ** 2

    def w2(z):
        return (terms(z, odd) * (special.psi(odd / 2) - special.psi(1))).sum()

    return w1(high) - w1(low) - w2(high) + w2(low)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.4, 1.3), (0.2, 2.0), (-2.5, -1.0)])
def test_cycle_variance_equals_the_series(low, high):
    cycle = bertram_cycle(1, 0, math.sqrt(2), low, high, 0.0)
    assert cycle.variance_cycle == pytest.approx(series_variance(low, high), rel=1e-9)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.4, 1.3), (0.2, 2.0)])
def test_a_cycle_is_a_passage_up_and_one_down(low, high):
    process = (3.0, 1.0, 0.5)
    cycle = bertram_cycle(*process, low, high, 0.1)
    mean, variance = (
        function(*process, low, high) + function(*process, high, low)
        for function in (first_passage_mean, first_passage_variance)
    )
    assert cycle.expected_cycle == pytest.approx(mean, rel=1e-11)
    assert cycle.variance_cycle == pytest.approx(variance, rel=1e-11)
    profit = high - low - 0.1
    assert cycle.expected_return == pytest.approx(profit / mean, rel=1e-12)
    assert cycle.variance_return == pytest.approx(profit**2 * variance / mean**3, rel=1e-12)


@pytest.mark.parametrize("cost", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize(("objective", "risk_free"), [("return", 0.0), ("sharpe", 0.04)])
def test_no_pair_of_thresholds_beats_the_symmetric_optimum(cost, objective, risk_free):
    process = (3.0, 1.0, 0.5)
    best = bertram_thresholds(*process, cost, objective=objective, risk_free=risk_free)
    name = "expected_return" if objective == "return" else "sharpe"

    def worth(point):
        entry, exit_ = point
        if not -4 < entry < exit_ - cost < 6:
            return 0.0
        cycle = bertram_cycle(*process, entry, exit_, cost, risk_free=risk_free)
        return -getattr(cycle, name)

    found = optimize.minimize(
        worth,
        [1 - cost - 0.05, 1 + cost + 0.2],
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-14, "maxiter": 500},
    )
    assert -found.fun <= getattr(best, name) * (1 + 1e-10)
    assert found.x == pytest.approx([best.entry, best.exit], abs=2e-4)
    assert best.entry + best.exit == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("cost", [1e-7, 1e-3, 1.0, 45.0])
def test_every_cost_has_an_optimum_with_a_profit(cost):
    process = (1.0, 0.0, math.sqrt(2))
    best = bertram_thresholds(*process, cost)
    assert best.exit - best.entry > cost and best.expected_return > 0
    for factor in (0.999, 1.001):
        other = bertram_cycle(*process, best.entry * factor, best.exit * factor, cost)
        assert other.expected_return < best.expected_return


@pytest.mark.parametrize("cost", [1e-9, 1e-12, 1e-15])
def test_small_costs_leave_thresholds_of_their_cube_root(cost):
    best = bertram_thresholds(1.0, 0.0, math.sqrt(2), cost)
    # The next term of the expansion is y**2 / 15 of the first, relatively.
    assert best.exit == pytest.approx(math.cbrt(1.5 * cost) * (1 + best.exit**2 / 15), rel=1e-10)


def test_returns_of_simulated_trading_are_the_expected_ones():
    process, dt, n = (2.0, 0.0, 1.0), 0.0005, 400
    best = bertram_thresholds(*process, 0.2)
    x = simulate(*process, dt=dt, n_steps=40_000, n_paths=n, start=best.exit, seed=12)
    state = np.where(x >= best.exit, 1, np.where(x <= best.entry, -1, 0))
    trades = np.empty(n)
    for row, signs in enumerate(state):
        visits = signs[signs != 0]
        # Half a cycle is a change of side.
        trades[row] = np.count_nonzero(np.diff(visits)) / 2
    # Seen at discrete times a threshold is passed late, as one 0.5826 standard deviations farther.
    late = 0.5826 * math.sqrt(dt)
    seen = bertram_cycle(*process, best.entry - late, best.exit + late, 0.2)
    span = 40_000 * dt
    error = trades.std() / math.sqrt(n)
    # The renewal function of a delayed start is within one cycle of span / mean.
    expected = span / seen.expected_cycle
    offset = (seen.variance_cycle / seen.expected_cycle**2 - 1) / 2 + 0.25
    assert abs(trades.mean() - expected - offset) < 4 * error + 0.1
    spread = math.sqrt(span * seen.variance_cycle / seen.expected_cycle**3)
    assert trades.std() == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cost": 0}, "^cost"),
        ({"cost": -1}, "^cost"),
        ({"cost": 60.0}, "^cost must be below"),
        ({"sigma": 0}, "^sigma"),
        ({"theta": -1}, "^theta"),
        ({"objective": "profit"}, "^objective"),
        ({"objective": "sharpe"}, "^risk_free"),
        ({"risk_free": np.nan}, "^risk_free"),
    ],
)
def test_bad_thresholds_are_refused(arguments, words):
    good = {"theta": 1.0, "mu": 0.0, "sigma": 1.0, "cost": 0.1}
    with pytest.raises(ValueError, match=words):
        bertram_thresholds(**good | arguments)


def test_bad_cycles_are_refused():
    for entry, exit_, words in ((1.0, 1.0, "^entry must be below"), (0.0, 50.0, "^exit must be")):
        with pytest.raises(ValueError, match=words):
            bertram_cycle(1.0, 0.0, 1.0, entry, exit_, 0.1)


@pytest.mark.parametrize("risk_free", [-0.1, 0.0, 0.1])
def test_a_cycle_without_profit_has_no_sharpe_ratio(risk_free):
    cycle = bertram_cycle(1.0, 0.0, 1.0, -0.5, 0.5, 1.0, risk_free=risk_free)
    assert cycle.expected_return == cycle.variance_return == 0 < cycle.expected_cycle
    assert math.isnan(cycle.sharpe)


def test_a_sharpe_ratio_without_risk_free_has_no_maximum():
    ratios = [
        bertram_cycle(1.0, 0.0, 1.0, -y, y, 0.1).sharpe for y in (0.0501, 0.06, 0.1, 0.5, 1.0)
    ]
    assert ratios == sorted(ratios, reverse=True)


# Leung & Li (2015)


@pytest.mark.parametrize(
    ("process", "cost", "exit_", "entry", "digits"),
    [
        ((8.0, 0.3, 0.3), 0.02, 0.46683587, 0.11568110, 8),
        ((16.6677, 0.5388, 0.1599), 0.02, 0.5930, 0.4600, 4),
        ((16.6677, 0.5388, 0.1599), 0.05, 0.59371, 0.44819, 5),
    ],
)
def test_leung_li_published_levels(process, cost, exit_, entry, digits):
    levels = leung_li_levels(*process, rate=0.05, cost=cost)
    assert round(levels.exit, digits) == pytest.approx(exit_, abs=10**-digits / 10)
    assert round(levels.entry, digits) == pytest.approx(entry, abs=10**-digits / 10)
    assert levels.stop_loss is levels.exit_with_stop is levels.entry_with_stop is None


def test_leung_li_published_levels_with_a_stop_loss():
    process = (16.6677, 0.5388, 0.1599)
    levels = leung_li_levels(*process, rate=0.05, cost=0.0005, stop_loss=0.4834)
    assert round(levels.exit_with_stop, 4) == 0.5670
    assert [round(level, 4) for level in levels.entry_with_stop] == [0.5056, 0.5059]
    costly = leung_li_levels(*process, rate=0.05, cost=0.02, stop_loss=0.4834)
    assert costly.entry_with_stop is None and costly.entry is not None


class Discounted:
    """F and G by quadrature over s = log u, the tail towards u = 0 by its closed form."""

    def __init__(self, process, rate):
        self.theta, self.mu, sigma = process
        self.nu, self.scale = rate / self.theta, math.sqrt(2 * self.theta) / sigma

    def integral(self, y, power):
        """Of ``u**(power - 1) exp(y u - u**2 / 2)``."""
        least = 1e-6
        head = least**power * (1 / power + y * least / (power + 1))

        def integrand(s):
            u = math.exp(s)
            return math.exp(power * s + y * u - u * u / 2)

        points = [math.log(least), 0.0, math.log(abs(y) + 12)]
        return head + sum(
            integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-11, limit=200)[0]
            for a, b in pairwise(points)
        )

    def rising(self, x, order=0):
        y = (x - self.mu) * self.scale
        return self.integral(y, self.nu + order) * self.scale**order

    def falling(self, x, order=0):
        y = (self.mu - x) * self.scale
        return self.integral(y, self.nu + order) * (-self.scale) ** order

    def value(self, x, top, cost, stop=None):
        """Of a position that is closed at `top` or at `stop`, by its discounted passages."""
        if stop is None:
            return (top - cost) * self.rising(x) / self.rising(top)
        f, g = self.rising, self.falling
        share = f(top) * g(stop) - f(stop) * g(top)
        up = (f(x) * g(stop) - f(stop) * g(x)) / share
        down = (f(top) * g(x) - f(x) * g(top)) / share
        return (top - cost) * up + (stop - cost) * down


CASES = [
    {"process": (8.0, 0.3, 0.3), "rate": 0.05, "cost": 0.02, "stop": 0.05},
    {"process": (2.0, 0.1, 0.5), "rate": 0.3, "cost": 0.01, "stop": -0.3},
    {"process": (0.5, -0.2, 0.3), "rate": 1.0, "cost": 0.0, "stop": -0.5},
    {"process": (16.6677, 0.5388, 0.1599), "rate": 0.05, "cost": 0.0005, "stop": 0.4},
]


@pytest.mark.parametrize("case", CASES)
def test_exits_maximise_the_value_of_a_position(case):
    oracle = Discounted(case["process"], case["rate"])
    cost = case["cost"]
    levels = leung_li_levels(
        *case["process"],
        rate=case["rate"],
        cost=cost,
        entry_cost=cost + 1e-4,
        stop_loss=case["stop"],
    )
    deviation = 1 / oracle.scale
    at = (case["stop"] + levels.exit_with_stop) / 2
    for top, stop in ((levels.exit, None), (levels.exit_with_stop, case["stop"])):
        best = optimize.minimize_scalar(
            lambda b, stop=stop: -oracle.value(at, b, cost, stop),
            bounds=(at + 0.01 * deviation, levels.exit + 2 * deviation),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert top == pytest.approx(best.x, abs=1e-5 * deviation)
        assert oracle.value(at, top, cost, stop) >= -best.fun - 1e-11 * deviation


@pytest.mark.parametrize("case", CASES)
def test_entries_maximise_the_gain_of_waiting(case):
    oracle = Discounted(case["process"], case["rate"])
    cost, paid = case["cost"], case["cost"] + 1e-4
    levels = leung_li_levels(
        *case["process"], rate=case["rate"], cost=cost, entry_cost=paid, stop_loss=case["stop"]
    )
    deviation = 1 / oracle.scale

    def gain(d, top, stop):
        return oracle.value(d, top, cost, stop) - d - paid

    # From above: the gain at d, discounted by the passage down to it.
    for entry, top, stop in (
        (levels.entry, levels.exit, None),
        (levels.entry_with_stop[1], levels.exit_with_stop, case["stop"]),
    ):
        found = optimize.minimize_scalar(
            lambda d, top=top, stop=stop: -gain(d, top, stop) / oracle.falling(d),
            bounds=(entry - deviation if stop is None else levels.entry_with_stop[0], top),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert entry == pytest.approx(found.x, abs=1e-4 * deviation)
    # From below, between the stop and the interval.
    found = optimize.minimize_scalar(
        lambda a: -gain(a, levels.exit_with_stop, case["stop"]) / oracle.rising(a),
        bounds=(case["stop"], levels.entry_with_stop[1]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert levels.entry_with_stop[0] == pytest.approx(found.x, abs=1e-4 * deviation)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stopped", [False, True])
def test_values_satisfy_the_variational_inequalities(case, stopped):
    theta, mu, sigma = case["process"]
    oracle, cost, paid = (
        Discounted(case["process"], case["rate"]),
        case["cost"],
        case["cost"] + 1e-4,
    )
    levels = leung_li_levels(
        theta, mu, sigma, rate=case["rate"], cost=cost, entry_cost=paid, stop_loss=case["stop"]
    )
    deviation, stop = 1 / oracle.scale, case["stop"] if stopped else None
    top = levels.exit_with_stop if stopped else levels.exit
    low, high = levels.entry_with_stop if stopped else (-math.inf, levels.entry)

    def value(x):
        if x >= top or (stopped and x <= stop):
            return x - cost
        return oracle.value(x, top, cost, stop)

    def gain(x):
        return value(x) - x - paid

    def waiting(x):
        if x > high:
            return gain(high) * oracle.falling(x) / oracle.falling(high)
        if x < low:
            return gain(low) * oracle.rising(x) / oracle.rising(low)
        return gain(x)

    def drift(function, x, h):
        """Generator less rate, by differences of fourth order."""
        at = np.array([function(x + k * h) for k in (-2, -1, 0, 1, 2)])
        slope = at @ [1, -8, 0, 8, -1] / (12 * h)
        bend = at @ [-1, 16, -30, 16, -1] / (12 * h**2)
        return theta * (mu - x) * slope + sigma**2 / 2 * bend - case["rate"] * at[2]

    scale, h = theta * deviation, 5e-3 * deviation
    least = stop + 0.05 * deviation if stopped else levels.entry - 2 * deviation
    for x in np.linspace(least, levels.exit + deviation, 37):
        if min(abs(x - edge) for edge in (top, low, high)) < 3 * h:
            continue
        holding, idle = drift(value, x, h), drift(waiting, x, h)
        assert value(x) >= x - cost - 1e-9 * deviation
        assert waiting(x) >= max(gain(x), 0) - 1e-9 * deviation
        assert holding <= 1e-5 * scale and idle <= 1e-5 * scale
        if x < top:
            assert abs(holding) <= 1e-5 * scale
        if not low <= x <= high:
            assert abs(idle) <= 1e-5 * scale


def test_a_stop_loss_far_away_changes_nothing():
    free = leung_li_levels(8.0, 0.3, 0.3, rate=0.05, cost=0.02)
    far = leung_li_levels(8.0, 0.3, 0.3, rate=0.05, cost=0.02, stop_loss=-1.0)
    assert far.exit_with_stop == pytest.approx(free.exit, abs=1e-9)
    assert far.entry_with_stop[1] == pytest.approx(free.entry, abs=1e-9)
    tops = [
        leung_li_levels(8.0, 0.3, 0.3, rate=0.05, cost=0.02, stop_loss=stop).exit_with_stop
        for stop in (-1.0, 0.1, 0.2, 0.25)
    ]
    assert tops == sorted(tops, reverse=True)


def test_an_entry_that_is_never_reached_is_none():
    levels = leung_li_levels(1.0, 0.0, 0.1, rate=0.01, cost=0.02, entry_cost=3.0)
    assert levels.entry is None and levels.exit > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"theta": 0}, "^theta"),
        ({"rate": 0}, "^rate"),
        ({"rate": np.inf}, "^rate"),
        ({"cost": -0.1}, "^cost"),
        ({"entry_cost": -0.1}, "^entry_cost"),
        ({"entry_rate": 0.0}, "^entry_rate"),
        ({"cost": 0.0}, "^cost must be positive"),
        ({"cost": 9.0}, "^mu and cost"),
        ({"mu": 1e6}, "^mu and cost"),
        ({"stop_loss": 0.5}, "^stop_loss"),
        ({"stop_loss": -50.0}, "^stop_loss"),
        ({"stop_loss": np.nan}, "^stop_loss"),
    ],
)
def test_bad_levels_are_refused(arguments, words):
    good = {"theta": 8.0, "mu": 0.3, "sigma": 0.3, "rate": 0.05, "cost": 0.02}
    with pytest.raises(ValueError, match=words):
        leung_li_levels(**good | arguments)
