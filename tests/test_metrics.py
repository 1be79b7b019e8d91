import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import metrics

DAYS = pd.date_range("2024-01-01", periods=500, freq="B")


def sample(seed=0, n=500, mean=0.0005, deviation=0.01):
    values = np.random.default_rng(seed).standard_t(5, n) * deviation + mean
    return pd.Series(values, DAYS[:n])


# Annualisation


def test_periods_follow_from_elapsed_time_and_not_from_a_habit():
    daily = pd.date_range("2024-01-01", periods=367)
    assert metrics.annualization(daily) == pytest.approx(365.25)
    assert metrics.annualization(daily[daily.day_of_week < 5]) == pytest.approx(260.9, rel=0.01)
    assert metrics.annualization(pd.date_range("2024", periods=1000, freq="min")) == 365.25 * 1440
    assert metrics.annualization(daily.tz_localize("Asia/Tokyo")) == pytest.approx(365.25)


def test_gaps_count_as_time_without_periods():
    morning = pd.Timedelta("9h30min")
    minutes = [
        day + morning + pd.Timedelta(minutes=m)
        for day in pd.date_range("2024-01-01", periods=521, freq="B")
        for m in range(0, 390, 30)
    ]
    assert metrics.annualization(pd.DatetimeIndex(minutes)) == pytest.approx(13 * 260.9, rel=0.002)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (
            pd.RangeIndex(9),
            TypeError,
            "index must have timestamps .* periods_per_year must be given",
        ),
        (DAYS[:1], ValueError, "index must have at least 2 timestamps, got 1"),
        (DAYS[:0], ValueError, "index must have at least 2 timestamps, got 0"),
        (DAYS[[1, 0]], ValueError, "index must have timestamps that increase"),
        (DAYS[[0, 0]], ValueError, "index must have timestamps that increase"),
        (DAYS[:3].insert(1, pd.NaT), ValueError, "index must have timestamps that increase"),
    ],
)
def test_an_index_without_elapsed_time_is_refused(index, error, message):
    with pytest.raises(error, match="^" + message):
        metrics.annualization(index)


def test_coarser_sampling_changes_no_annual_figure():
    index = pd.date_range("2024-01-01", periods=365 * 24 + 1, freq="h")
    steps = np.random.default_rng(1).normal(1e-5, 1e-3, len(index)) * (np.arange(len(index)) > 0)
    equity = pd.Series(np.exp(steps.cumsum()), index)
    fine, coarse = (metrics.summary(equity=e) for e in (equity, equity[::24]))
    for name in ("total_return", "annual_return"):
        assert fine[name] == pytest.approx(coarse[name], rel=1e-12)
    assert coarse["periods_per_year"] == pytest.approx(fine["periods_per_year"] / 24, rel=1e-12)
    # The volatility of 365 daily returns has a relative standard error of 1 / sqrt(730).
    assert coarse["volatility"] == pytest.approx(fine["volatility"], rel=4 / math.sqrt(730))
    gap = coarse["sharpe"] - fine["sharpe"]
    assert abs(gap) < 4 * math.sqrt(365.25 / 730) * fine["sharpe"] / math.sqrt(365) + 0.2


# Against empyrical


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 400), st.floats(2.0, 1e5), st.floats(-0.2, 0.2))
def test_figures_equal_empyrical_given_the_same_year(seed, n, a_year, rate):
    empyrical = pytest.importorskip("empyrical")
    returns = sample(seed, n).clip(lower=-0.9)
    year = {"annualization": a_year}
    given_ = {"periods_per_year": a_year}
    same = [
        (metrics.total_return(returns), empyrical.cum_returns_final(returns)),
        (metrics.volatility(returns, **given_), empyrical.annual_volatility(returns, **year)),
        # Their risk-free rate and required return are those of one period.
        (
            metrics.sharpe(returns, rate, **given_),
            empyrical.sharpe_ratio(returns, rate / a_year, **year),
        ),
        (
            metrics.sortino(returns, rate, **given_),
            empyrical.sortino_ratio(returns, rate / a_year, **year),
        ),
        # Their drawdown is negative.
        (metrics.summary(returns, **given_)["max_drawdown"], -empyrical.max_drawdown(returns)),
    ]
    for ours, theirs in same:
        if math.isfinite(theirs):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)
        else:
            assert not math.isfinite(ours)
    annual = empyrical.annual_return(returns, **year)
    if math.isfinite(annual) and annual < 1e100:
        assert metrics.annual_return(returns, **given_) == pytest.approx(
            annual, rel=1e-7, abs=1e-12
        )


def test_conventions_that_differ_from_empyrical():
    empyrical = pytest.importorskip("empyrical")
    ups = pd.Series([0.01, 0.02, 0.03], DAYS[:3])
    # No return below the target: they give infinity, here the ratio is not defined.
    assert empyrical.sortino_ratio(ups) == math.inf
    assert math.isnan(metrics.sortino(ups))
    # They leave out what is missing, here it is refused.
    assert math.isfinite(empyrical.sharpe_ratio(pd.Series([0.01, math.nan, 0.02])))
    with pytest.raises(ValueError, match=r"^returns\[1\] must be finite"):
        metrics.sharpe(pd.Series([0.01, math.nan, 0.02], DAYS[:3]))
    # They take 252 days for granted.
    assert metrics.sharpe(ups, periods_per_year=252) == pytest.approx(empyrical.sharpe_ratio(ups))


# Definitions


def test_the_summary_is_what_the_functions_say():
    equity = pd.Series(100 * np.cumprod(1 + sample(3)), DAYS)
    returns = metrics.simple_returns(equity)
    pd.testing.assert_series_equal(returns, equity.pct_change().iloc[1:])
    a_year = metrics.annualization(equity.index)
    figures = metrics.summary(equity=equity, risk_free=0.02)
    given_ = {"periods_per_year": a_year}
    want = {
        "total_return": metrics.total_return(returns),
        "annual_return": metrics.annual_return(returns, **given_),
        "volatility": returns.std() * math.sqrt(a_year),
        "sharpe": (returns.mean() - 0.02 / a_year) / returns.std() * math.sqrt(a_year),
        "sharpe_standard_error": metrics.sharpe_standard_error(returns, 0.02, **given_),
        "sortino": metrics.sortino(returns, 0.02, **given_),
        "max_drawdown": metrics.max_drawdown(equity).depth,
        "hit_rate": (returns > 0).mean(),
        "skewness": ((returns - returns.mean()) ** 3).mean() / returns.std(ddof=0) ** 3,
        "kurtosis": ((returns - returns.mean()) ** 4).mean() / returns.std(ddof=0) ** 4,
        "periods": 499,
        "periods_per_year": a_year,
    }
    assert list(figures.index) == list(want)
    for name, value in want.items():
        assert figures[name] == pytest.approx(value, rel=1e-9), name
    # From returns alone the index has no beginning of the first period.
    again = metrics.summary(returns, risk_free=0.02, periods_per_year=a_year)
    pd.testing.assert_series_equal(again, figures, rtol=1e-9)


def test_annual_return_is_that_of_the_elapsed_time():
    days = pd.date_range("2023-01-01", periods=1462)
    equity = pd.Series(1.0, days)
    equity.iloc[700:] = 1.44
    years = (days[-1] - days[0]) / metrics.YEAR
    annual = metrics.summary(equity=equity)["annual_return"]
    assert annual == pytest.approx(1.44 ** (1 / years) - 1, rel=1e-12)
    thinned = equity.iloc[[0, 5, 700, 1461]]
    assert metrics.summary(equity=thinned)["annual_return"] == pytest.approx(annual, rel=1e-12)


def test_profits_in_money_have_the_ratio_of_returns_on_a_constant_capital():
    returns = sample(1)
    assert metrics.sharpe(returns * 1e6) == pytest.approx(metrics.sharpe(returns), rel=1e-12)


def falls(levels):
    """Every pair of a high and a later low."""
    return [
        (1 - low / high, peak, trough)
        for peak, high in enumerate(levels)
        for trough, low in enumerate(levels[peak:], peak)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_a_drawdown_is_the_worst_pair_of_a_high_and_a_later_low(levels):
    equity = pd.Series(np.array(levels, float), DAYS[: len(levels)])
    found = metrics.max_drawdown(equity)
    depth = max(fall[0] for fall in falls(levels))
    assert found.depth == depth
    if depth == 0:
        assert (found.peak, found.trough, found.recovery, found.duration) == (None,) * 4
        return
    assert 1 - equity[found.trough] / equity[found.peak] == depth
    assert equity[: found.trough].max() == equity[found.peak]
    back = equity[found.trough :].index[equity[found.trough :] >= equity[found.peak]]
    assert found.recovery == (back[0] if len(back) else None)
    end = equity.index[-1] if found.recovery is None else found.recovery
    assert found.duration == end - found.peak
    rows = metrics.max_drawdown(np.array(levels, float))
    assert (equity.index[rows.peak], equity.index[rows.trough]) == (found.peak, found.trough)


def test_a_fall_from_the_initial_capital_counts():
    assert metrics.summary(sample(0, 3) * 0 - 0.1)["max_drawdown"] == pytest.approx(1 - 0.9**3)


def test_a_total_loss_is_a_result_and_more_is_an_error():
    lost = pd.Series([0.1, -1.0, 0.5], DAYS[:3])
    figures = metrics.summary(lost)
    assert (figures["total_return"], figures["annual_return"]) == (-1.0, -1.0)
    assert figures["max_drawdown"] == 1.0
    for function in (metrics.total_return, metrics.annual_return, metrics.summary):
        with pytest.raises(ValueError, match=r"^returns\[1\] must be at least -1, got -1.5"):
            function(pd.Series([0.1, -1.5, 0.5], DAYS[:3]))
    assert math.isfinite(metrics.sharpe(lost * 2))


def test_a_constant_series_has_no_ratio():
    for value in (0.0, 0.001, -0.1):
        returns = pd.Series([value] * 300, DAYS[:300])
        figures = metrics.summary(returns)
        assert figures["volatility"] == 0.0
        undefined = figures[["sharpe", "sharpe_standard_error", "skewness", "kurtosis"]]
        assert undefined.isna().all()
        assert math.isnan(metrics.sharpe_standard_error(returns, method="newey-west"))
    assert math.isnan(metrics.hit_rate([0.0, 0.0]))


def test_too_few_values_and_wrong_types_are_refused():
    one, frame = sample(0, 1), sample().to_frame()
    known = {"periods_per_year": 252.0}
    calls = [
        (lambda: metrics.total_return([]), ValueError, "returns must have at least 1 values"),
        (lambda: metrics.volatility(one, **known), ValueError, "returns must have at least 2"),
        (lambda: metrics.sharpe(one, **known), ValueError, "returns must have at least 2 values"),
        (lambda: metrics.sharpe(one), ValueError, "returns must have at least 2 timestamps"),
        (lambda: metrics.sharpe([0.1, 0.2]), TypeError, "returns must have timestamps"),
        (lambda: metrics.sharpe(frame), ValueError, "returns must be one series"),
        (lambda: metrics.sharpe(["a", "b"], **known), TypeError, "returns must hold numbers"),
        (lambda: metrics.sharpe(sample(), math.nan), ValueError, "risk_free must be finite"),
        (lambda: metrics.sharpe(sample(), periods_per_year=0), ValueError, "periods_per_year must"),
        (lambda: metrics.sortino(sample(), math.inf), ValueError, "target must be finite"),
        (lambda: metrics.max_drawdown([]), ValueError, "equity must have at least 1"),
        (lambda: metrics.max_drawdown([1.0, 0.0]), ValueError, "equity must be positive, got 0.0"),
        (lambda: metrics.simple_returns([1.0, -1.0]), ValueError, "equity must be positive"),
        (lambda: metrics.summary(), TypeError, "returns or equity must be given"),
        (lambda: metrics.summary(one, equity=one), TypeError, "returns or equity must be given"),
        (lambda: metrics.summary(equity=[1.0, 2.0], **known), ValueError, "equity must have at le"),
        (lambda: metrics.hit_rate([]), ValueError, "returns must have at least 1"),
        (lambda: metrics.turnover([1.0], [1.0, 2.0], **known), ValueError, "traded must have the"),
        (lambda: metrics.turnover([-1.0], [1.0], **known), ValueError, "traded must not be neg"),
        (lambda: metrics.turnover([1.0], [-1.0], **known), ValueError, "equity must be positive"),
        (
            lambda: metrics.turnover(sample(), sample().shift(1, freq="D")),
            ValueError, "traded must have the index of equity",
        ),
        (
            lambda: metrics.sharpe_standard_error(sample(), method="bootstrap"),
            ValueError, "method must be",
        ),
        (lambda: metrics.sharpe_standard_error(sample(), lags=3), ValueError, "lags must be None"),
        (
            lambda: metrics.sharpe_standard_error(sample(), method="newey-west", lags=500),
            ValueError, "lags must be below the 500",
        ),
        (
            lambda: metrics.sharpe_standard_error(sample(), method="newey-west", lags=-1),
            ValueError, "lags must be at least 0",
        ),
    ]  # fmt: skip
    for call, error, message in calls:
        with pytest.raises(error, match="^" + message):
            call()


# Standard errors of the Sharpe ratio


def ratios(draw, n, paths, method):
    """Ratios of many samples, and the mean of their squared standard errors."""
    found = [draw() for _ in range(paths)]
    values = [metrics.sharpe(r, periods_per_year=1) for r in found]
    errors = [metrics.sharpe_standard_error(r, method=method, periods_per_year=1) for r in found]
    return np.array(values), math.sqrt(np.square(errors).mean())


@pytest.mark.parametrize(
    ("kind", "method"),
    [("normal", "lo"), ("normal", "mertens"), ("skewed", "mertens"), ("correlated", "newey-west")],
)
def test_standard_errors_are_the_deviation_of_simulated_ratios(kind, method):
    rng = np.random.default_rng(7)
    n, paths = 1500, 1200

    def draw():
        shocks = rng.normal(size=n + 50)
        if kind == "skewed":
            return 0.8 + (rng.exponential(size=n) - 1) * -1.0
        if kind == "correlated":
            path = 0.5 + shocks[1:] + 0.5 * shocks[:-1]
            return path[:n]
        return 0.5 + shocks[:n]

    values, claimed = ratios(draw, n, paths, method)
    measured = values.std(ddof=1)
    # A deviation from 1200 samples has a relative standard error of 1 / sqrt(2400), 2.0%; the
    # Bartlett weights of 7 lags miss 1/8 of the one autocovariance, about 3.6% of the error.
    slack = 4 / math.sqrt(2 * paths) + (0.05 if method == "newey-west" else 0.0)
    assert claimed == pytest.approx(measured, rel=slack)


def test_the_wrong_formula_is_told_from_the_right_one():
    rng = np.random.default_rng(1)
    crashes = 0.8 - (rng.exponential(size=20_000) - 1)
    lo, mertens = (
        metrics.sharpe_standard_error(crashes, method=method, periods_per_year=1)
        for method in ("lo", "mertens")
    )
    # Exact moments: S = 0.8, skewness -2, kurtosis 9.
    assert lo == pytest.approx(math.sqrt((1 + 0.32) / 20_000), rel=0.02)
    assert mertens == pytest.approx(math.sqrt((1 + 0.32 + 1.6 + 0.96) / 20_000), rel=0.05)


def test_without_lags_newey_west_is_mertens():
    returns = sample(2)
    mertens = metrics.sharpe_standard_error(returns, 0.02)
    west = metrics.sharpe_standard_error(returns, 0.02, method="newey-west", lags=0)
    assert west == pytest.approx(mertens, rel=1e-12)


def test_the_long_run_variance_is_that_of_statsmodels():
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    values = sample(4).to_numpy() - sample(4).mean()
    ours = metrics._long_run_variance(values, 6)
    assert ours == pytest.approx(S_hac_simple(values[:, None], 6).item() / len(values), rel=1e-12)
