import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import backtest, metrics
from labkit.backtest import Borrow, Costs, Fee, HalfSpread, Portfolio, Slippage, run, run_summary

DAYS = pd.date_range("2024-01-01", periods=60)


def random_panel(seed, rows=60, n=3, holes=0.0):
    rng = np.random.default_rng(seed)
    index = DAYS[:rows]
    names = [f"a{i}" for i in range(n)]
    prices = pd.DataFrame(100 * np.exp(rng.normal(0, 0.02, (rows, n)).cumsum(axis=0)), index, names)
    signals = pd.DataFrame(rng.integers(-3, 4, (rows, n)).astype(float), index, names)
    return signals.mask(rng.random((rows, n)) < holes), prices


def all_costs(prices, seed=0):
    rng = np.random.default_rng(seed)
    names = prices.columns
    like = {"index": prices.index, "columns": names}
    return Costs(
        fee=Fee(pd.Series(rng.uniform(0, 0.002, len(names)), names), per_unit=0.01),
        half_spread=HalfSpread(0.0003, pd.DataFrame(rng.uniform(0, 0.05, prices.shape), **like)),
        slippage=Slippage(0.0001, 0.3, pd.DataFrame(rng.uniform(50, 90, prices.shape), **like)),
        borrow=Borrow(0.05),
    )


def scale(*series):
    return max(float(np.abs(np.asarray(s, float)).max(initial=1.0)) for s in series)


# Portfolio


def test_a_short_sale_leaves_equity_and_loses_when_the_price_rises():
    account = Portfolio(100_000.0, ["X"])
    account.trade("X", -10, 100.0)
    assert account.equity == 100_000.0
    assert account.cash == 101_000.0
    account.mark({"X": 150.0})
    assert account.equity == 99_500.0
    assert (account.realised, account.unrealised) == (0.0, -500.0)


def test_selling_more_than_is_held_goes_short():
    account = Portfolio(1000.0, ["X"])
    account.trade("X", 5, 10.0)
    account.trade("X", -8, 12.0)
    assert account.positions["X"] == -3
    assert account.cash == 1000 - 50 + 96
    assert account.equity == 1010.0
    assert account.realised == 10.0
    assert account.average_costs["X"] == 12.0
    account.mark({"X": 11.0})
    assert (account.equity, account.unrealised) == (1013.0, 3.0)


def test_a_trade_in_one_asset_leaves_the_marks_of_the_others():
    account = Portfolio(1000.0, ["X", "Y"])
    account.trade("X", 2, 100.0)
    account.trade("Y", 1, 7.0)
    assert account.marks.to_dict() == {"X": 100.0, "Y": 7.0}
    account.mark(pd.Series({"X": 110.0}))
    account.trade("Y", 1, 8.0)
    assert account.marks.to_dict() == {"X": 110.0, "Y": 8.0}
    assert account.equity == 1000 + 20 + 1


def test_average_cost_is_moved_by_purchases_only():
    account = Portfolio(0.0, ["X"])
    for quantity, price in [(10, 10.0), (10, 20.0), (-5, 30.0), (-5, 5.0)]:
        account.trade("X", quantity, price, fee=1.0)
    assert account.average_costs["X"] == 15.0
    assert account.realised == 5 * 15 - 5 * 10
    assert account.fees == 4.0
    account.trade("X", -10, 15.0)
    assert account.positions["X"] == 0
    assert math.isnan(account.average_costs["X"])
    assert account.unrealised == 0.0


moves = st.tuples(
    st.sampled_from("XYZ"),
    st.one_of(st.integers(-50, 50), st.floats(-50, 50)).filter(lambda q: abs(q) > 1e-6),
    st.floats(0.01, 1000.0),
    st.floats(-1.0, 5.0),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(moves, max_size=30))
def test_the_account_balances_after_every_event(events):
    account, largest = Portfolio(10_000.0, list("XYZ")), 1e4
    for asset, quantity, price, fee, marks in events:
        if marks:
            account.mark({asset: price})
        else:
            account.trade(asset, quantity, price, fee=fee)
        held = account.positions[account.positions != 0]
        value = float((held * account.marks[held.index]).sum())
        largest = max(largest, abs(account.cash), float(account.positions.abs().max()) * 1000)
        assert account.cash + value == pytest.approx(account.equity, abs=1e-9 * largest)
        earned = account.realised + account.unrealised - account.fees
        assert earned == pytest.approx(account.equity - 10_000, abs=1e-9 * largest)
    log = account.trades
    paid = (log["quantity"] * log["price"]).sum() + log["fee"].sum()
    assert account.cash == pytest.approx(10_000 - paid, abs=1e-9 * largest)
    assert log["realised"].sum() == pytest.approx(account.realised, abs=1e-9 * largest)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("Z", 1, 1.0), ValueError, "asset must be one of"),
        (("X", 0, 1.0), ValueError, "quantity must not be 0"),
        (("X", math.nan, 1.0), ValueError, "quantity must be finite"),
        (("X", 1, math.inf), ValueError, "price must be finite"),
        (("X", "1", 1.0), TypeError, "quantity must be a number"),
    ],
)
def test_bad_trades_are_refused_and_change_nothing(arguments, error, message):
    account = Portfolio(10.0, ["X"])
    with pytest.raises(error, match="^" + message):
        account.trade(*arguments)
    with pytest.raises(ValueError, match=r"^fee must be finite"):
        account.trade("X", 1, 1.0, fee=math.nan)
    assert account.equity == 10.0 and account.trades.empty


def test_a_bad_mark_changes_no_mark_and_time_does_not_run_back():
    account = Portfolio(10.0, ["X", "Y"])
    account.trade("X", 1, 1.0, time=DAYS[1])
    with pytest.raises(ValueError, match=r"^prices\['Y'\] must be finite"):
        account.mark({"X": 5.0, "Y": math.nan})
    with pytest.raises(ValueError, match=r"^asset must be one of"):
        account.mark({"X": 5.0, "Q": 1.0})
    assert account.marks["X"] == 1.0
    with pytest.raises(ValueError, match=r"^time must not be before"):
        account.trade("X", 1, 1.0, time=DAYS[0])
    for assets in ([], ["X", "X"]):
        with pytest.raises(ValueError, match=r"^assets must be distinct"):
            Portfolio(1.0, assets)
    with pytest.raises(TypeError, match=r"^assets must be a sequence"):
        Portfolio(1.0, "BTC")


# Runs


def plain_loop(signals, prices, capital, lag, costs, unit="units"):
    """The same accounts by an independent loop over one asset after another."""
    wanted = signals.to_numpy(copy=True)
    price, times = prices.to_numpy(), prices.index
    cash, held, equity, paid = capital, [0.0] * price.shape[1], [], []
    for t in range(len(price)):
        bar = dict.fromkeys(("fee", "spread", "slippage", "borrow"), 0.0)
        for i, name in enumerate(prices.columns):
            if t > 0 and held[i] < 0:
                year = (times[t] - times[t - 1]).total_seconds() / (365 * 86400)
                bar["borrow"] += costs.borrow.rate * -held[i] * price[t - 1, i] * year
            if t < lag or math.isnan(wanted[t - lag, i]):
                continue
            q = wanted[t - lag, i] - held[i]
            notional = abs(q) * price[t, i]
            bar["fee"] += costs.fee.rate[name] * notional + costs.fee.per_unit * abs(q)
            spread = costs.half_spread
            bar["spread"] += spread.rate * notional + spread.quote.iloc[t, i] * abs(q)
            share = abs(q) / costs.slippage.volume.iloc[t, i]
            bar["slippage"] += (costs.slippage.rate + costs.slippage.impact * share) * notional
            cash -= q * price[t, i]
            held[i] = wanted[t - lag, i]
        cash -= sum(bar.values())
        paid.append(bar)
        equity.append(cash + sum(h * p for h, p in zip(held, price[t], strict=True)))
        for i in range(len(held)):
            if unit == "weight":
                wanted[t, i] *= equity[-1] / price[t, i]
            elif unit == "notional":
                wanted[t, i] /= price[t, i]
    return np.array(equity), pd.DataFrame(paid, times)


@pytest.mark.parametrize("lag", [1, 2, 7, 100])
@pytest.mark.parametrize(("unit", "size"), [("units", 1), ("notional", 1e3), ("weight", 0.02)])
def test_runs_equal_an_independent_loop(lag, unit, size):
    signals, prices = random_panel(lag, holes=0.3)
    prices.index = prices.index + pd.to_timedelta(np.arange(60) ** 2, "h")
    signals = signals.set_axis(prices.index) * size
    costs = all_costs(prices)
    result = run(signals, prices, costs, capital=1e5, lag=lag, unit=unit)
    equity, paid = plain_loop(signals, prices, 1e5, lag, costs, unit)
    np.testing.assert_allclose(result.equity, equity, rtol=1e-12)
    np.testing.assert_allclose(result.costs, paid, rtol=1e-9, atol=1e-9)
    assert (result.costs.sum() > 0).all() == (lag < 60)


@pytest.mark.parametrize("seed", range(4))
def test_a_portfolio_that_trades_the_same_has_the_same_equity(seed):
    signals, prices = random_panel(seed, holes=0.2)
    costs = Costs(fee=0.001, half_spread=HalfSpread(quote=0.02))
    result = run(signals, prices, costs, capital=1e5)
    account = Portfolio(1e5, prices.columns)
    todo = result.trades.set_index("time")
    for day in prices.index:
        for row in todo.loc[[day]].itertuples() if day in todo.index else ():
            paid = row.fee + row.spread + row.slippage
            account.trade(row.asset, row.quantity, row.price, fee=paid, time=day)
        account.mark(prices.loc[day])
        assert account.equity == pytest.approx(result.equity[day], rel=1e-12)
        assert account.cash == pytest.approx(result.cash[day], rel=1e-12)
        assert account.positions.tolist() == result.positions.loc[day].tolist()
    assert account.fees == pytest.approx(result.costs.to_numpy().sum(), rel=1e-12)


cases = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 4), st.integers(1, 5)
)


@settings(max_examples=100, deadline=None)
@given(cases)
def test_cash_positions_and_marks_are_the_equity_and_all_changes_are_accounted_for(case):
    seed, rows, n, lag = case
    signals, prices = random_panel(seed, rows, n, holes=0.2)
    result = run(signals, prices, all_costs(prices, seed), capital=1e4, lag=lag)
    value = (result.positions * prices).sum(axis=1)
    size = scale(result.cash, value)
    np.testing.assert_allclose(result.cash + value, result.equity, atol=1e-9 * size)
    explained = 1e4 + result.gross.cumsum() - result.costs.sum(axis=1).cumsum()
    np.testing.assert_allclose(result.equity, explained, atol=1e-9 * size)
    by_day = result.trades.groupby("time")[["fee", "spread", "slippage"]].sum()
    by_day = by_day.reindex(prices.index, fill_value=0.0)
    np.testing.assert_allclose(by_day, result.costs.drop(columns="borrow"), atol=1e-12 * size)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_without_costs_equity_changes_by_position_times_price_change(case):
    seed, rows, n, lag = case
    signals, prices = random_panel(seed, rows, n, holes=0.2)
    result = run(signals, prices, capital=1e4, lag=lag)
    want = (result.positions.shift(fill_value=0.0) * prices.diff().fillna(0.0)).sum(axis=1)
    np.testing.assert_allclose(result.equity.diff().fillna(0.0), want, atol=1e-8)
    assert not result.costs.to_numpy().any()


@settings(max_examples=60, deadline=None)
@given(cases)
def test_mirrored_signals_have_mirrored_profits_and_equal_costs(case):
    seed, rows, n, lag = case
    signals, prices = random_panel(seed, rows, n, holes=0.2)
    costs = all_costs(prices, seed)
    costs = Costs(costs.fee, costs.half_spread, costs.slippage)
    long, short = (run(s, prices, costs, capital=1e4, lag=lag) for s in (signals, -signals))
    pd.testing.assert_frame_equal(long.costs, short.costs)
    pd.testing.assert_series_equal(long.gross, -short.gross)
    pd.testing.assert_frame_equal(long.positions, -short.positions)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 59), st.sampled_from(["units", "notional", "weight"]))
def test_the_future_does_not_change_the_past(case, cut, unit):
    seed, rows, n, lag = case
    signals, prices = random_panel(seed, rows, n, holes=0.2)
    size = {"units": 1.0, "notional": 100.0, "weight": 0.1}[unit]
    signals *= size
    costs = Costs(fee=0.001, half_spread=0.001, borrow=0.1)
    other_signals, other_prices = (table.copy() for table in (signals, prices))
    rng = np.random.default_rng(seed + 1)
    later = rng.permutation(np.arange(min(cut + 1, rows), rows))
    other_signals.iloc[cut + 1 :] = signals.iloc[later].to_numpy()
    other_prices.iloc[cut + 1 :] = 1.5 * prices.iloc[later].to_numpy()
    first, second = (
        run(s, p, costs, capital=1e5, lag=lag, unit=unit)
        for s, p in ((signals, prices), (other_signals, other_prices))
    )
    for name in ("equity", "cash", "positions", "gross", "costs", "turnover"):
        ours, theirs = (getattr(result, name).iloc[: cut + 1] for result in (first, second))
        np.testing.assert_array_equal(ours, theirs)


def test_a_rate_on_a_notional_costs_exactly_that():
    prices = pd.Series([100.0, 80.0, 90.0], DAYS[:3])
    signals = pd.Series([7.0, -3.0, 0.0], DAYS[:3])
    for name, column in [("fee", "fee"), ("half_spread", "spread"), ("slippage", "slippage")]:
        result = run(signals, prices, Costs(**{name: 0.001}), capital=1e4)
        want = [0.0, 0.001 * (7.0 * 80.0), 0.001 * (10.0 * 90.0)]
        assert result.costs[column].tolist() == want
        assert result.turnover.tolist() == [0.0, 560.0, 900.0]
        others = result.costs.drop(columns=column)
        assert not others.to_numpy().any()


def test_impact_is_quadratic_in_the_size_and_a_quote_spread_is_per_unit():
    prices = pd.Series([100.0, 80.0, 80.0], DAYS[:3])
    signals = pd.Series([4.0, 4.0, 4.0], DAYS[:3])
    volume = pd.Series([1.0, 200.0, 5.0], DAYS[:3])
    quote = pd.Series([9.0, 0.25, 9.0], DAYS[:3])
    costs = Costs(slippage=Slippage(impact=0.5, volume=volume), half_spread=HalfSpread(quote=quote))
    result = run(signals, prices, costs, capital=1e4)
    assert result.costs["slippage"].tolist() == pytest.approx([0.0, 0.5 * 4 / 200 * 320, 0.0])
    assert result.costs["spread"].tolist() == [0.0, 1.0, 0.0]
    assert result.trades["price"].tolist() == [80.0]


def test_borrowing_is_paid_by_elapsed_time_on_what_was_short():
    times = pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06"], tz="UTC")
    prices = pd.DataFrame({"x": [10.0, 20.0, 30.0, 30.0], "y": [5.0, 5.0, 6.0, 7.0]}, times)
    signals = pd.DataFrame({"x": [-2.0, 0.0, 0.0, 0.0], "y": [3.0] * 4}, times)
    result = run(signals, prices, Costs(borrow=0.365), capital=100.0)
    assert result.costs["borrow"].tolist() == pytest.approx([0, 0, 0.365 * 40 * 3 / 365, 0])


def test_a_signal_is_traded_later_and_nan_is_no_order():
    prices = pd.Series([10.0, 11.0, 12.0, 13.0, 14.0], DAYS[:5])
    signals = pd.Series([1.0, math.nan, 2.0, math.nan, 5.0], DAYS[:5])
    result = run(signals, prices, capital=100.0)
    assert result.positions[0].tolist() == [0.0, 1.0, 1.0, 2.0, 2.0]
    assert result.trades["time"].tolist() == [DAYS[1], DAYS[3]]
    assert run(signals, prices, capital=100.0, lag=3).positions[0].tolist() == [0, 0, 0, 1, 1]


def test_weights_are_sized_by_price_and_equity_of_the_decision():
    prices = pd.DataFrame({"x": [10.0, 20.0, 40.0], "y": [5.0, 5.0, 4.0]}, DAYS[:3])
    signals = pd.DataFrame({"x": [0.5, math.nan, 0], "y": [0.2, 0.1, 0]}, DAYS[:3])
    result = run(signals, prices, capital=1000.0, unit="weight")
    assert result.positions["x"].tolist() == [0.0, 50.0, 50.0]
    assert result.equity.tolist() == [1000.0, 1000.0, 1000 + 50 * 20 - 40]
    assert result.positions["y"].tolist() == [0.0, 40.0, 20.0]
    notional = run(signals * 1000, prices, capital=1000.0, unit="notional")
    assert notional.positions["x"].tolist() == [0.0, 50.0, 50.0]
    assert notional.positions["y"].tolist() == [0.0, 40.0, 20.0]


def test_ruin_with_weights_is_an_error_and_with_units_a_result():
    prices = pd.Series([10.0, 10.0, 30.0, 30.0], DAYS[:4])
    short = pd.Series([-1.0] * 4, DAYS[:4])
    with pytest.raises(ValueError, match=r"^signals\[2\] as weights need equity above 0"):
        run(short, prices, capital=100.0, unit="weight")
    ruined = run(short * 10, prices, capital=100.0)
    assert ruined.equity.tolist() == [100.0, 100.0, -100.0, -100.0]
    with pytest.raises(ValueError, match=r"^equity must be positive"):
        _ = ruined.returns


def test_the_summary_is_that_of_the_equity():
    signals, prices = random_panel(5)
    result = run(signals, prices, Costs(fee=0.001), capital=1e5)
    figures = result.summary(risk_free=0.01)
    assert figures["total_return"] == pytest.approx(result.equity.iloc[-1] / 1e5 - 1)
    assert figures["trades"] == len(result.trades)
    assert figures["cost"] == pytest.approx(result.costs["fee"].sum() / 1e5)
    assert len(result.returns) == 59 and result.returns.index[0] == DAYS[1]
    assert figures["periods_per_year"] == pytest.approx(365.25)


@pytest.mark.parametrize("unit", ["units", "weight"])
def test_the_outcome_alone_is_that_of_the_run(unit):
    signals, prices = random_panel(6, holes=0.3)
    arguments = (signals / 100 if unit == "weight" else signals, prices, all_costs(prices))
    figures = run_summary(*arguments, capital=1e4, unit=unit)
    result = run(*arguments, capital=1e4, unit=unit)
    assert figures["final_equity"] == pytest.approx(result.equity.iloc[-1], rel=1e-12)
    whole = metrics.summary(equity=result.equity)
    shared = [name for name in figures.index if name != "final_equity"]
    assert figures[shared].to_numpy() == pytest.approx(whole[shared].to_numpy(), rel=1e-9)
    no_time = [frame.reset_index(drop=True) for frame in arguments[:2]]
    hourly = run_summary(*no_time, capital=1e4, unit=unit, periods_per_year=8766.0)
    assert hourly["sharpe"] > figures["sharpe"] or hourly["sharpe"] < 0
    with pytest.raises(ValueError, match=r"^periods_per_year must be positive"):
        run_summary(*no_time, capital=1e4, unit=unit, periods_per_year=0.0)
    with pytest.raises(TypeError, match="periods_per_year"):
        run_summary(*no_time, capital=1e4, unit=unit)


def test_misaligned_or_broken_input_is_refused():
    signals, prices = random_panel(1)
    one, nan = prices["a0"], prices.where(prices != prices.iloc[3, 1])
    series = pd.Series([0.1] * 3, ["a0", "a2", "a1"])
    negative = prices - 1000
    refused = [
        ((signals.iloc[1:], prices), {}, ValueError, "signals must have the index of prices"),
        ((signals[["a1", "a0", "a2"]], prices), {}, ValueError, "signals must have the columns"),
        ((signals["a0"], prices), {}, TypeError, "signals must be a DataFrame or a Series"),
        ((signals["a0"].iloc[1:], one), {}, ValueError, "signals must have the index"),
        ((signals * math.inf, prices), {}, ValueError, "signals must be finite or NaN"),
        ((signals.astype(str), prices), {}, TypeError, "signals must hold numbers"),
        ((signals, nan), {}, ValueError, "prices must be finite, got nan at row 2024-01-04"),
        ((signals[::-1], prices[::-1]), {}, ValueError, "prices must have rows in increasing"),
        ((signals, prices), {"lag": 0}, ValueError, "lag must be at least 1, got 0"),
        ((signals, prices), {"lag": 1.0}, TypeError, "lag must be an integer"),
        ((signals, prices), {"lag": True}, TypeError, "lag must be an integer, got bool"),
        ((signals, prices), {"unit": "shares"}, ValueError, "unit must be"),
        ((signals, prices), {"capital": 0.0}, ValueError, "capital must be positive"),
        ((signals, negative), {"unit": "weight"}, ValueError, "prices must be positive"),
        ((signals, negative), {"unit": "notional"}, ValueError, "prices must be positive"),
        ((signals, prices, 0.001), {}, TypeError, "costs must be Costs"),
        ((signals, prices, Costs(fee=-1.0)), {}, ValueError, "fee.rate must not be negative"),
        ((signals, prices, Costs(fee=Fee(series))), {}, ValueError, "fee.rate must have the lab"),
        (
            (signals, prices, Costs(half_spread=HalfSpread(quote=prices.iloc[1:]))),
            {}, ValueError, "half_spread.quote must have the index",
        ),
        (
            (signals, prices, Costs(half_spread=HalfSpread(quote=-prices))),
            {}, ValueError, "half_spread.quote must not be negative",
        ),
        (
            (signals, prices, Costs(slippage=Slippage(impact=0.1))),
            {}, ValueError, "slippage.volume must be given",
        ),
        (
            (signals, prices, Costs(slippage=Slippage(impact=0.1, volume=prices * 0))),
            {}, ValueError, "slippage.volume must be positive",
        ),
        (
            (signals, prices, Costs(slippage=Slippage(impact=0.1, volume=one))),
            {}, TypeError, "slippage.volume must be labelled as prices",
        ),
        (
            (signals.set_axis(range(60)), prices.set_axis(range(60)), Costs(borrow=0.1)),
            {}, TypeError, "prices must have timestamps",
        ),
    ]  # fmt: skip
    for args, given_, error, message in refused:
        with pytest.raises(error, match="^" + message):
            run(*args, **{"capital": 1e4} | given_)
    with pytest.raises(TypeError, match=r"^fee must be a number"):
        Costs(fee="free")


def test_an_empty_sample_gives_an_empty_run():
    signals, prices = random_panel(0)
    result = run(signals.iloc[:0], prices.iloc[:0], Costs(fee=0.1, borrow=0.1), capital=1.0)
    assert len(result.equity) == len(result.trades) == len(result.costs) == 0


# Moving averages


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2500), st.integers(1, 20), st.integers(1, 60))
def test_a_cross_is_the_sign_of_the_difference_of_rolling_means(seed, rows, fast, more):
    ticks = np.random.default_rng(seed).integers(-2, 3, rows).cumsum() + 10_000
    prices = pd.Series(ticks.astype(float))
    signs = backtest.moving_average_cross(prices, fast, fast + more)
    sums = [pd.Series(ticks).rolling(window).sum() for window in (fast, fast + more)]
    want = np.sign(sums[0] * (fast + more) - sums[1] * fast)
    np.testing.assert_array_equal(signs, want)


@pytest.mark.parametrize("rows", [70, 500, 1100, 2047])
def test_a_cross_does_not_depend_on_how_many_prices_follow(rows):
    # Tenths, whose means are equal often and whose sums are rounded.
    steps = np.random.default_rng(0).integers(-1, 2, 2048)
    prices = pd.Series(100 + steps.cumsum() / 10)
    whole = backtest.moving_average_cross(prices, 2, 6)
    part = backtest.moving_average_cross(prices[:rows], 2, 6)
    np.testing.assert_array_equal(part, whole[:rows])


def test_equal_prices_have_equal_means():
    signs = backtest.moving_average_cross(pd.Series([0.1] * 3000), 3, 7)
    assert signs.isna().sum() == 6 and not signs.iloc[6:].any()


def test_bad_windows_and_prices_of_a_cross_are_refused():
    prices = pd.Series([1.0, 2.0, 3.0])
    for args, error, message in [
        ((prices, 0, 2), ValueError, "fast must be at least 1"),
        ((prices, 2, 2), ValueError, "slow must be at least 3"),
        ((prices.where(prices > 1), 1, 2), ValueError, "prices must be finite"),
        ((prices.to_numpy(), 1, 2), TypeError, "prices must be a Series"),
    ]:
        with pytest.raises(error, match="^" + message):
            backtest.moving_average_cross(*args)
    assert backtest.moving_average_cross(prices, 2, 10).isna().all()
