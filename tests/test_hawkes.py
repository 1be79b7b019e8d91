import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from labkit import data, hawkes
from labkit.hawkes import fit, log_likelihood, simulate

ONE = (0.8, 0.6, 3.0)
TWO = ([0.5, 0.7], [[0.2, 0.3], [0.1, 0.4]], 4.0)
PAIRS = ([0.5, 0.7], [[0.2, 0.3], [0.1, 0.4]], [[2.0, 5.0], [3.0, 8.0]])
SUM = ([0.4, 0.3], [[[0.1, 0.2], [0.0, 0.1]], [[0.2, 0.1], [0.3, 0.2]]], [0.7, 9.0])


def kernel_matrix(adjacency, decay, lag):
    """Kernels (d, d, ...) at lags, from any form of the parameters."""
    alpha, beta = np.asarray(adjacency, float), np.asarray(decay, float)
    lag = np.asarray(lag, float)
    if beta.ndim == 1:
        terms = zip(alpha, beta, strict=True)
        return sum(np.multiply.outer(a, b * np.exp(-b * lag)) for a, b in terms)
    if beta.ndim == 2:
        return (alpha * beta)[..., None] * np.exp(-beta[..., None] * lag)
    return np.multiply.outer(alpha, beta * np.exp(-beta * lag))


def slow_likelihood(times, baseline, adjacency, decay, horizon, marks=None):
    """The sum over all pairs of events, and each compensator by quadrature-free integrals."""
    series = [np.asarray(t, float) for t in times]
    marks = [np.ones(len(t)) for t in series] if marks is None else marks
    total = -np.sum(baseline) * horizon
    for i, own in enumerate(series):
        for t in own:
            rate = baseline[i]
            for j, other in enumerate(series):
                past = other < t
                values = kernel_matrix(adjacency, decay, t - other[past])[i, j]
                rate += (values * marks[j][past]).sum()
            total += math.log(rate)
        for j, other in enumerate(series):
            for t, mark in zip(other, marks[j], strict=True):
                whole = kernel_integral(adjacency, decay, horizon - t)[i, j]
                total -= mark * whole
    return total


def kernel_integral(adjacency, decay, upto):
    alpha, beta = np.asarray(adjacency, float), np.asarray(decay, float)
    if beta.ndim == 1:
        return sum(a * -np.expm1(-b * upto) for a, b in zip(alpha, beta, strict=True))
    return alpha * -np.expm1(-beta * upto)


# Likelihood


def test_the_likelihood_of_two_events_is_the_published_one():
    assert log_likelihood([0.5, 0.75], 1.0, 2 / 3, 3.0, 1.0).value == pytest.approx(
        -1.204544111250795, abs=1e-14
    )


@pytest.mark.parametrize("model", [TWO, PAIRS, SUM], ids=["one decay", "pairs", "sum"])
@pytest.mark.parametrize("marked", [False, True])
def test_the_likelihood_is_that_of_all_pairs_of_events(model, marked):
    path = simulate(*model, 60.0, seed=4, marks=[0.5, 1.0, 2.0] if marked else None)
    value = log_likelihood(path.times, *model, 60.0, marks=path.marks).value
    slow = slow_likelihood(path.times, *model, 60.0, path.marks)
    assert value == pytest.approx(slow, rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("model", [ONE, TWO, PAIRS, SUM], ids=["d=1", "one", "pairs", "sum"])
def test_the_gradient_is_that_of_central_differences(model):
    path = simulate(*model, 40.0, seed=9)
    found = log_likelihood(path.times, *model, 40.0)
    for place, name in enumerate(("baseline", "adjacency", "decay")):
        value = np.asarray(model[place], float)
        slope = np.asarray(getattr(found, name))
        assert slope.shape == value.shape
        for at in np.ndindex(value.shape):
            step = 1e-6 * max(value[at], 0.1)
            sides = []
            for sign in (2, 1) if value[at] < step else (1, -1):
                changed = value.copy()
                changed[at] += sign * step
                other = [*model[:place], changed, *model[place + 1 :]]
                sides.append(log_likelihood(path.times, *other, 40.0).value)
            if value[at] < step:  # at the bound: one-sided, second order
                numeric = (4 * sides[1] - sides[0] - 3 * found.value) / (2 * step)
            else:
                numeric = (sides[0] - sides[1]) / (2 * step)
            assert slope[at] == pytest.approx(numeric, rel=2e-6, abs=2e-5)


def test_without_excitation_the_likelihood_is_poisson():
    times = [0.3, 1.1, 2.5]
    expected = 3 * math.log(0.7) - 0.7 * 4.0
    assert log_likelihood(times, 0.7, 0.0, 1.0, 4.0).value == pytest.approx(expected)
    assert log_likelihood([], 0.7, 0.5, 1.0, 4.0).value == pytest.approx(-2.8)
    assert log_likelihood([0.5, 1.0], 0.0, 0.5, 1.0, 2.0).value == -math.inf


def test_one_type_is_the_same_as_a_list_of_one():
    times = simulate(*ONE, 50.0, seed=1).times
    alone = log_likelihood(times, *ONE, 50.0)
    listed = log_likelihood([times], [ONE[0]], [[ONE[1]]], ONE[2], 50.0)
    assert alone.value == listed.value
    assert listed.adjacency.tolist() == [[alone.adjacency]]


@settings(max_examples=30)
@given(st.floats(0.01, 100.0), st.integers(0, 100))
def test_the_unit_of_time_does_not_matter(scale, seed):
    times = simulate(*ONE, 30.0, seed=seed).times
    here = log_likelihood(times, *ONE, 30.0).value
    there = log_likelihood(times * scale, ONE[0] / scale, ONE[1], ONE[2] / scale, 30.0 * scale)
    assert there.value + len(times) * math.log(scale) == pytest.approx(here, rel=1e-9, abs=1e-7)


# Intensity and residuals


@pytest.mark.parametrize("model", [TWO, PAIRS, SUM], ids=["one decay", "pairs", "sum"])
def test_intensity_and_compensator_are_the_sums_over_the_past(model):
    path = simulate(*model, 20.0, seed=2)
    at = np.sort(np.concatenate([np.linspace(0, 25.0, 40), path.times[0]]))
    rate = hawkes.intensity(path.times, *model, at)
    area = hawkes.compensator(path.times, *model, at)
    for row, time in enumerate(at):
        expected = np.array(model[0], float)
        integral = expected * time
        for j, other in enumerate(path.times):
            past = other[other < time]
            expected += kernel_matrix(model[1], model[2], time - past)[:, j].sum(axis=-1)
            integral += sum(kernel_integral(model[1], model[2], time - t)[:, j] for t in past)
        np.testing.assert_allclose(rate[row], expected, rtol=1e-10)
        np.testing.assert_allclose(area[row], integral, rtol=1e-10)


def test_the_future_does_not_change_intensity_or_residuals():
    times = simulate(*ONE, 50.0, seed=3).times
    at = np.linspace(0.0, 25.0, 60)
    past = times[times < 25.0]
    other = np.concatenate([past, 25.0 + np.sort(np.random.default_rng(0).uniform(0, 9, 30))])
    for function in (hawkes.intensity, hawkes.compensator):
        np.testing.assert_array_equal(function(times, *ONE, at), function(other, *ONE, at))
    here, there = (hawkes.compensator_residuals(t, *ONE).by_type[0] for t in (times, other))
    np.testing.assert_array_equal(here[: len(past)], there[: len(past)])


@pytest.mark.parametrize("method", ["auto", "thinning"])
@pytest.mark.parametrize("model", [ONE, TWO, PAIRS], ids=["d=1", "d=2", "pairs"])
def test_residuals_of_simulated_paths_are_exponential_and_independent(model, method):
    path = simulate(*model, 1_500.0, seed=12, method=method)
    table = hawkes.compensator_residuals(path.times, *model).table
    assert (table["n"] > 1_000).all()
    assert (abs(table["mean"] - 1) < 4 / np.sqrt(table["n"])).all()
    for name in ("ks_pvalue", "ljung_box_pvalue", "dispersion_pvalue"):
        assert (table[name] > 0.001).all(), name


def test_residuals_reject_a_wrong_model():
    times = simulate(*ONE, 2_000.0, seed=6).times
    poisson = hawkes.compensator_residuals(times, len(times) / 2_000.0, 0.0, 1.0).table
    assert poisson["ks_pvalue"].iloc[0] < 1e-10
    assert poisson["dispersion_pvalue"].iloc[0] < 1e-10


def test_quantiles_of_exponential_residuals_lie_on_the_diagonal():
    values = -np.log1p(-(np.arange(1_000) + 0.5) / 1_000)
    series = hawkes.Residuals((values,), 10).quantiles(50)
    assert len(series) == 50
    np.testing.assert_allclose(series.to_numpy(), series.index, rtol=0.06)


# Simulation


@pytest.mark.parametrize("method", ["auto", "thinning"])
def test_mean_and_variance_of_counts_are_the_theory(method):
    # Variance over a window of the stationary regime: the second half of a long path.
    baseline, adjacency, decay, window, paths = 0.5, 0.6, 1.0, 20.0, 1_200
    found = simulate(
        baseline, adjacency, decay, 60.0 + window, seed=3, n_paths=paths, method=method
    )
    late = np.array([(path.times > 60.0).sum() for path in found], float)
    whole = np.array([len(path.times) for path in found], float)
    expected = hawkes.mean_count(baseline, adjacency, decay, 80.0)
    assert abs(whole.mean() - expected) < 4 * whole.std() / math.sqrt(paths)
    assert abs(late.mean() - 25.0) < 4 * late.std() / math.sqrt(paths)
    centred = late - late.mean()
    error = math.sqrt(((centred**4).mean() - late.var() ** 2) / paths)
    theory = hawkes.count_covariance(baseline, adjacency, decay, window)
    assert theory == pytest.approx(139.849254, abs=1e-6)
    assert abs(late.var() - theory) < 4 * error


@pytest.mark.parametrize("model", [TWO, PAIRS, SUM], ids=["one decay", "pairs", "sum"])
def test_means_and_covariances_of_several_types_are_the_theory(model):
    paths, burn, window = 800, 25.0, 10.0
    found = simulate(*model, burn + window, seed=8, n_paths=paths)
    late = np.array([[(t > burn).sum() for t in path.times] for path in found], float)
    whole = np.array([[len(t) for t in path.times] for path in found], float)
    means = hawkes.mean_count(*model, burn + window)
    assert (abs(whole.mean(axis=0) - means) < 4 * whole.std(axis=0) / math.sqrt(paths)).all()
    theory = hawkes.count_covariance(*model, window)
    product = np.einsum("pi,pj->pij", late - late.mean(axis=0), late - late.mean(axis=0))
    error = product.std(axis=0) / math.sqrt(paths)
    assert (abs(product.mean(axis=0) - theory) < 4 * error).all()
    rate = hawkes.stationary_rate(model[0], model[1])
    assert (abs(late.mean(axis=0) - rate * window) < 4 * late.std(axis=0) / math.sqrt(paths)).all()


def test_both_constructions_have_one_law():
    counts = [
        [len(path.times) for path in simulate(*ONE, 30.0, seed=s, n_paths=600, method=method)]
        for s, method in ((1, "auto"), (2, "thinning"))
    ]
    assert stats.ks_2samp(*counts).pvalue > 0.001
    first = [
        [path.times[0] for path in simulate(*ONE, 30.0, seed=s, n_paths=600, method=method)]
        for s, method in ((1, "auto"), (2, "thinning"))
    ]
    assert stats.ks_2samp(*first).pvalue > 0.001


def test_a_path_depends_on_the_seed_and_its_number_alone():
    three = simulate(*TWO, 20.0, seed=5, n_paths=3)
    five = simulate(*TWO, 20.0, seed=5, n_paths=5)
    for one, other in zip(three, five[:3], strict=True):
        for a, b in zip(one.times, other.times, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(three[0].times[0], three[1].times[0])
    assert not np.array_equal(
        simulate(*ONE, 20.0, seed=1).times, simulate(*ONE, 20.0, seed=2).times
    )


def test_marks_are_drawn_from_the_sample_and_excite():
    path = simulate(0.5, 0.4, 2.0, 4_000.0, seed=3, marks=[0.0, 2.0])
    assert set(path.marks) == {0.0, 2.0}
    share = path.marks.mean() / 2
    assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(len(path.marks))
    result = fit(path.times, 4_000.0, marks=path.marks)
    z = (result.parameters - [0.5, 0.4, 2.0]) / result.standard_errors
    assert z.abs().max() < 4
    blind = log_likelihood(path.times, 0.5, 0.4, 2.0, 4_000.0).value
    assert result.log_likelihood > blind + 100


def test_a_supercritical_path_stops_at_the_limit_of_events():
    with pytest.raises(ValueError, match="at most 500 events"):
        simulate(1.0, 1.5, 2.0, 1e6, seed=1, max_events=500)
    assert hawkes.mean_count(1.0, 1.5, 2.0, 3.0) > 3.0
    with pytest.raises(ValueError, match="branching ratio below 1"):
        hawkes.stationary_rate(1.0, 1.5)
    with pytest.raises(ValueError, match="branching ratio below 1"):
        hawkes.count_covariance(1.0, 1.0, 2.0, 3.0)


# Theory


@pytest.mark.parametrize("window", [1.0, 5.0, 20.0])
def test_the_count_variance_is_the_closed_form(window):
    baseline, a, b = 0.5, 0.6, 1.0
    k, g = 1 / (1 - a / b), b - a
    expected = baseline * k * (window * k**2 + (1 - k**2) * -math.expm1(-g * window) / g)
    found = hawkes.count_covariance(baseline, a / b, b, window)
    assert found == pytest.approx(expected, rel=1e-12)


def test_pairs_with_equal_decays_are_one_decay():
    pairs = (*TWO[:2], np.full((2, 2), TWO[2]))
    np.testing.assert_allclose(hawkes.mean_count(*pairs, 7.0), hawkes.mean_count(*TWO, 7.0))
    np.testing.assert_allclose(
        hawkes.count_covariance(*pairs, 7.0), hawkes.count_covariance(*TWO, 7.0)
    )


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 1.5])
def test_a_power_law_is_its_sum_of_exponentials(exponent):
    kernel = hawkes.power_law(0.7, exponent, 2.0)
    assert kernel.adjacency.sum() == pytest.approx(0.7)
    lags = np.logspace(-4, 4, 300)
    found = (kernel.adjacency * kernel.decay * np.exp(-np.outer(lags, kernel.decay))).sum(axis=1)
    exact = 0.7 * exponent * 2.0**exponent / (lags + 2.0) ** (1 + exponent)
    np.testing.assert_allclose(found, exact, rtol=1e-4)
    whole = integrate.quad(lambda t: exponent / (1 + t) ** (1 + exponent), 0, math.inf)[0]
    assert whole == pytest.approx(1.0)


# Estimation


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["likelihood", "em"])
def test_estimates_are_near_the_truth(seed, method):
    times = simulate(*ONE, 1_500.0, seed=seed).times
    result = fit(times, 1_500.0, method=method)
    assert result.converged and result.stationary
    z = (result.parameters - np.array(ONE)) / result.standard_errors
    assert z.abs().max() < 4
    assert result.branching_ratio == pytest.approx(result.adjacency)
    assert result.branching_ratio_se == pytest.approx(result.standard_errors["adjacency"], rel=1e-6)


def test_em_and_the_gradient_find_one_maximum():
    path = simulate(*TWO, 800.0, seed=21)
    climbed, stepped = (fit(path.times, 800.0, method=m) for m in ("likelihood", "em"))
    assert stepped.log_likelihood == pytest.approx(climbed.log_likelihood, abs=1e-4)
    difference = (stepped.parameters - climbed.parameters) / climbed.standard_errors
    assert difference.abs().max() < 0.02


@pytest.mark.parametrize(
    ("model", "kernel"), [(TWO, "exponential"), (PAIRS, "pairs")], ids=["one decay", "pairs"]
)
def test_estimates_of_several_types_are_near_the_truth(model, kernel):
    path = simulate(*model, 2_000.0, seed=14)
    result = fit(path.times, 2_000.0, kernel=kernel)
    truth = np.concatenate([np.ravel(values) for values in model])
    z = (result.parameters - truth) / result.standard_errors
    assert result.converged and z.abs().max() < 4
    truth = hawkes.branching_ratio(model[1])
    assert abs(result.branching_ratio - truth) < 4 * result.branching_ratio_se
    assert (result.residuals(path.times).table["ks_pvalue"] > 0.01).all()


def test_a_sum_with_known_decays_recovers_its_shares():
    model = (0.4, [0.3, 0.4], [0.5, 20.0])
    times = simulate(*model, 4_000.0, seed=5).times
    result = fit(times, 4_000.0, kernel="sum", decay=model[2])
    z = (result.parameters - [0.4, 0.3, 0.4]) / result.standard_errors
    assert z.abs().max() < 4
    assert result.branching_ratio == pytest.approx(result.adjacency.sum())
    free = fit(times, 4_000.0, kernel="sum", terms=2)
    assert free.log_likelihood >= result.log_likelihood - 1e-6
    one = fit(times, 4_000.0)
    assert free.aic < one.aic - 50 and free.bic < one.bic - 50


def test_a_power_law_is_recovered_and_told_from_an_exponential():
    kernel = hawkes.power_law(0.6, 0.7, 0.2, terms=20)
    times = simulate(0.5, kernel.adjacency, kernel.decay, 2_000.0, seed=4).times
    result = fit(times, 2_000.0, kernel="power law", terms=20, n_starts=1)
    truth = pd.Series([0.5, 0.6, 0.7, 0.2], result.parameters.index)
    z = (result.parameters - truth) / result.standard_errors
    assert z.abs().max() < 4
    assert result.aic < fit(times, 2_000.0).aic - 20


def test_intervals_cover_at_their_level():
    # Coverage of 95 % intervals in 300 samples has a standard error of 1.3 %.
    truth, horizon, samples = np.array([1.0, 0.5, 3.0]), 300.0, 300
    paths = simulate(*truth, horizon, seed=77, n_paths=samples)
    inside = np.zeros(3)
    for path in paths:
        table = fit(path.times, horizon, n_starts=1).intervals(0.95)
        inside += (table["lower"] <= truth) & (truth <= table["upper"])
    assert (abs(inside / samples - 0.95) < 4 * math.sqrt(0.95 * 0.05 / samples)).all()


def test_a_parameter_at_zero_has_no_standard_error_and_leaves_the_others_theirs():
    random = np.random.default_rng(2)
    grid = np.sort(np.arange(400) + random.uniform(0, 0.5, 400))  # more regular than Poisson
    result = fit(grid, 401.0, decay=1.0)
    assert result.adjacency < 1e-6
    assert math.isnan(result.standard_errors["adjacency"])
    rate = 400 / 401
    assert result.standard_errors["baseline"] == pytest.approx(math.sqrt(rate / 401), rel=1e-3)
    assert math.isnan(result.branching_ratio_se)


def test_the_starts_are_listed_and_the_best_is_taken():
    times = simulate(*ONE, 400.0, seed=2).times
    result = fit(times, 400.0, n_starts=4)
    assert len(result.starts) == 4
    assert result.starts.iloc[0] == result.log_likelihood == result.starts.max()


# Clocks


def test_ties_are_refused_with_the_ways_out_and_each_of_them_works():
    times = np.floor(simulate(5.0, 0.5, 10.0, 300.0, seed=8).times * 50) / 50
    times = times[times > 0]
    assert (np.diff(times) == 0).any()
    with pytest.raises(ValueError, match=r"tied.*distinct, jitter and fit_binned"):
        fit(times, 300.0)
    once, counts = hawkes.distinct(times)
    assert counts.sum() == len(times) and (np.diff(once) > 0).all()
    spread = hawkes.jitter(times, 0.02, seed=1)
    assert len(spread) == len(times)
    assert (spread - np.sort(times)).min() >= 0 and (spread - times).max() < 0.02
    np.testing.assert_array_equal(spread, hawkes.jitter(times, 0.02, seed=1))
    bins = np.bincount(np.round(times * 50).astype(int), minlength=15_000)
    found = [fit(once, 300.0), fit(spread, 300.02), hawkes.fit_binned(bins, 0.02)]
    # A clock ten times faster than the decay leaves the branching ratio where it was, nearly.
    for result in found[1:]:
        assert abs(result.branching_ratio - 0.5) < 4 * result.branching_ratio_se + 0.03
    assert found[0].branching_ratio < 0.5  # events within a tick are lost


@pytest.mark.parametrize("types", [1, 2])
def test_binned_counts_of_fine_bins_have_the_likelihood_of_the_events(types):
    model = ONE if types == 1 else TWO
    path = simulate(*model, 300.0, seed=31)
    series = [path.times] if types == 1 else path.times
    width = 0.002
    edges = np.arange(0, 300.0 + width / 2, width)
    counts = np.stack([np.histogram(t, edges)[0] for t in series], axis=1)
    binned = hawkes.fit_binned(counts[:, 0] if types == 1 else counts, width)
    exact = fit(path.times, 300.0)
    difference = (binned.parameters - exact.parameters) / exact.standard_errors
    assert difference.abs().max() < 0.25
    errors = binned.standard_errors / exact.standard_errors
    assert errors.between(0.9, 1.1).all()
    assert binned.n_events == exact.n_events


def test_types_that_are_tied_with_each_other_are_named():
    with pytest.raises(ValueError, match=r"times of the types \[0, 1\] must not be tied, as at 2"):
        log_likelihood([[1.0, 2.0], [2.0]], *TWO, 5.0)


# A first look


def test_the_kernel_is_seen_without_a_form():
    path = simulate(*TWO, 8_000.0, seed=3)
    width, bins = 0.05, 40
    found = hawkes.estimate_kernel(path.times, 8_000.0, width=width, bins=bins)
    lags = found.index.to_numpy()
    for i in range(2):
        for j in range(2):
            exact = TWO[1][i][j] * TWO[2] * np.exp(-TWO[2] * lags)
            rate = hawkes.stationary_rate(*TWO[:2])
            # A count of pairs in a bin is nearly Poisson: its error sets the scale.
            error = np.sqrt(rate[i] / (rate[j] * 8_000.0 * width))
            assert abs(found[i, j] - exact).max() < 6 * error
            assert found[i, j].sum() * width == pytest.approx(TWO[1][i][j], abs=0.06)


# Recorded trades

TRADES = "binance_trades_20240808"


@pytest.mark.real_data(TRADES)
@pytest.mark.parametrize(
    ("market", "n", "branching"),
    [
        ("USD-M BTC/USDT", 5_260, 0.466),
        ("spot BTC/USDT", 7_108, 0.482),
        ("spot ETH/USDT", 4_947, 0.564),
    ],
)
def test_recorded_trades_have_the_branching_ratios_on_record(market, n, branching):
    trades = data.load(TRADES)["trades"]
    stamps = trades.loc[trades["market"] == market, "exchange_ns"]
    times, _ = hawkes.distinct((stamps - stamps.min()) / 1e9)
    assert len(times) == n
    result = fit(times, times[-1] + 0.001)
    assert result.converged
    assert round(result.branching_ratio, 3) == branching
    assert result.residuals(times).table["ljung_box_pvalue"].iloc[0] < 1e-10  # and is rejected


# Bad input

BAD = [
    ({"times": [2.0, 1.0]}, ValueError, r"times\[1\] must not be before the time in front of it"),
    ({"times": [1.0, 1.0]}, ValueError, r"times\[1\] must not be tied .*distinct, jitter"),
    ({"times": [1.0, math.nan]}, ValueError, r"times\[1\] must be finite"),
    ({"times": [-1.0, 1.0]}, ValueError, "times must not be negative"),
    ({"times": ["a", "b"]}, TypeError, "times must hold numbers"),
    ({"times": [1.0, 9.0]}, ValueError, "horizon must not be before the last time"),
    ({"horizon": 0.0}, ValueError, "horizon must be positive"),
    ({"baseline": -1.0}, ValueError, "baseline must be finite and not negative"),
    ({"adjacency": -0.1}, ValueError, "adjacency must be finite and not negative"),
    ({"adjacency": [[0.1]]}, ValueError, r"adjacency must have shape \(\)"),
    ({"decay": 0.0}, ValueError, "decay must be finite and positive"),
    ({"decay": [[1.0]]}, ValueError, r"decay must have shape \(\) or \(m,\) for one type"),
    ({"baseline": [1.0, 1.0]}, ValueError, r"adjacency must have shape \(2, 2\)"),
    ({"marks": [1.0]}, ValueError, "marks must have shape"),
    ({"marks": [1.0, -1.0]}, ValueError, "marks must not be negative"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD)
def test_bad_arguments_are_refused_by_name(changes, error, message):
    arguments = {"times": [1.0, 2.0], "baseline": 1.0, "adjacency": 0.5, "decay": 2.0}
    with pytest.raises(error, match=f"^{message}"):
        log_likelihood(**(arguments | {"horizon": 5.0} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [1.0]}, "times must have at least 2 events to fit, got 1"),
        ({"times": []}, "times must have at least 2 events to fit, got 0"),
        ({"times": [[1.0, 2.0], [3.0]]}, r"times\[1\] must have at least 2 events"),
        ({"kernel": "gaussian"}, "kernel must be one of exponential, pairs, sum, power law"),
        ({"method": "moments"}, "method must be 'likelihood' or 'em'"),
        ({"kernel": "power law", "method": "em"}, "method must be 'likelihood'"),
        ({"terms": 2}, "terms must not be given with the kernel 'exponential'"),
        ({"kernel": "sum", "terms": 2, "decay": [1.0]}, "terms must not be given together"),
        ({"kernel": "power law", "decay": 1.0}, "decay must not be given"),
        ({"decay": -1.0}, "decay must be positive"),
        ({"decay": [1.0, 2.0]}, "decay must have shape"),
        ({"n_starts": 0}, "n_starts must be at least 1"),
    ],
)
def test_a_fit_refuses_by_name(changes, message):
    arguments = {"times": [1.0, 2.0, 4.0], "horizon": 5.0} | changes
    with pytest.raises(ValueError, match=f"^{message}"):
        fit(**arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: simulate(*ONE, 5.0, seed=1, method="exact"), ValueError, "method must be 'auto'"),
        (lambda: simulate(*ONE, -5.0, seed=1), ValueError, "horizon must be positive"),
        (lambda: simulate(*ONE, 5.0, seed=-1), ValueError, "seed must be from 0"),
        (lambda: simulate(*ONE, 5.0, seed=1, n_paths=0), ValueError, "n_paths must be at least"),
        (lambda: simulate(*ONE, 5.0, seed=1, marks=[]), ValueError, "marks must have at least"),
        (lambda: hawkes.intensity([1.0], *ONE, [2.0, 1.0]), ValueError, r"at\[1\] must be finite"),
        (lambda: hawkes.distinct([2.0, 1.0]), ValueError, r"times\[1\] must not be before"),
        (lambda: hawkes.jitter([1.0], 0.0, 1), ValueError, "resolution must be positive"),
        (lambda: hawkes.fit_binned([1.5], 1.0), TypeError, "counts must be integers"),
        (lambda: hawkes.fit_binned([1, -1], 1.0), ValueError, "counts must not be negative"),
        (lambda: hawkes.fit_binned([1, 0], 1.0), ValueError, "counts must have at least 2 events"),
        (
            lambda: hawkes.fit_binned([1, 2], 1.0, kernel="power law"),
            ValueError,
            "kernel must be one of exponential, pairs, sum",
        ),
        (
            lambda: hawkes.estimate_kernel([1.0, 2.0], 10.0, width=1.0, bins=5),
            ValueError,
            "width times bins must be below half of the horizon",
        ),
        (lambda: hawkes.branching_ratio([[0.1, 0.2]]), ValueError, "adjacency must be square"),
        (lambda: hawkes.stationary_rate([1.0, 1.0], 0.5), ValueError, "adjacency must have 2"),
        (lambda: hawkes.power_law(0.5, 0.0, 1.0), ValueError, "exponent must be positive"),
        (lambda: hawkes.power_law(0.5, 1.0, 1.0, terms=1), ValueError, "terms must be at least 10"),
    ],
)
def test_other_functions_refuse_by_name(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


@pytest.mark.parametrize("terms", [10, 15, 40])
@pytest.mark.parametrize("exponent", [0.3, 1.0])
def test_the_power_law_has_the_gradient_of_central_differences(terms, exponent):
    from labkit import _hawkes_fit

    times = simulate(*ONE, 40.0, seed=5).times
    result = fit(times, 40.0, kernel="power law", terms=terms, n_starts=1, max_iterations=1)
    problem, theta = result._problem, np.array([0.7, 0.4, exponent, 0.3])
    assert isinstance(problem.form, _hawkes_fit.PowerLaws)
    slope = problem.value(theta)[1]
    for i, step in enumerate(1e-6 * theta):
        shift = np.eye(4)[i] * step
        numeric = (problem.value(theta + shift)[0] - problem.value(theta - shift)[0]) / (2 * step)
        assert slope[i] == pytest.approx(numeric, rel=1e-5, abs=1e-4)


def test_the_branching_ratio_is_that_at_the_mean_mark():
    path = simulate(0.3, 0.06, 5.0, 2_000.0, seed=1, marks=[5.0, 15.0])
    result = fit(path.times, 2_000.0, marks=path.marks)
    expected = result.adjacency * path.marks.mean()
    assert result.branching_ratio == pytest.approx(expected)
    assert abs(result.branching_ratio - 0.6) < 4 * result.branching_ratio_se


def test_without_excitation_the_baseline_keeps_its_standard_error():
    times = np.random.default_rng(4).exponential(0.2, 500).cumsum()
    regular = np.sort(times.round(1) + np.linspace(0, 1e-3, 500))
    grid = np.arange(500) * 0.2 + 0.1 + 0.01 * np.sin(regular)
    result = fit(grid, 100.0)
    assert result.adjacency < 1e-6
    assert math.isnan(result.standard_errors["decay"])
    assert result.standard_errors["baseline"] == pytest.approx(math.sqrt(5 / 100), rel=0.01)


def test_nanoseconds_stay_apart_and_are_not_taken_for_seconds():
    stamps = np.array([0, 1, 2, 2]) + 1_723_075_200_000_000_000
    once, counts = hawkes.distinct(stamps)
    assert once.tolist() == stamps[:3].tolist() and counts.tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match=r"^times must be below 2\*\*53"):
        fit(stamps[:3], 2e18)


def test_empty_and_single_histories_have_defined_results():
    assert hawkes.intensity([], *ONE, [1.0, 2.0]).tolist() == [0.8, 0.8]
    table = hawkes.compensator_residuals([], *ONE).table
    assert table["n"].iloc[0] == 0 and table["ks_pvalue"].isna().all()
    alone = hawkes.compensator_residuals([2.0], *ONE).by_type[0]
    assert alone.tolist() == pytest.approx([1.6])
    two = log_likelihood([[1.0], []], *TWO, 3.0)
    assert math.isfinite(two.value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fit(None, 1.0), TypeError, "times must be an array of numbers"),
        (lambda: log_likelihood(0.5, *ONE, 1.0), TypeError, "times must be an array of numbers"),
        (lambda: fit([0.5, [1.0]], 2.0), ValueError, r"times must have shape \(n,\), got rows"),
        (
            lambda: log_likelihood([[1.0], [2.0]], *TWO, 3.0, marks=3.0),
            TypeError,
            "marks must have the shape of times",
        ),
        (lambda: hawkes.mean_count(1.0, 1.5, 1.0, 1e4), ValueError, "horizon must leave the mean"),
        (lambda: hawkes.stationary_rate(math.nan, 0.5), ValueError, "baseline must be finite"),
        (lambda: hawkes.branching_ratio(-0.5), ValueError, "adjacency must be finite and not neg"),
        (lambda: hawkes.branching_ratio(np.zeros((0, 0))), ValueError, "adjacency must be finite"),
        (
            lambda: hawkes.Residuals((np.ones(3),), 1).quantiles(kind=5),
            ValueError,
            "kind must be below 1",
        ),
        (
            lambda: hawkes.Residuals((np.ones(3),), 1).quantiles(-1),
            ValueError,
            "points must be at least 1",
        ),
        (
            lambda: hawkes.estimate_kernel([], 9.0, width=1.0, bins=2),
            ValueError,
            "times must have events",
        ),
    ],
)
def test_odd_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
