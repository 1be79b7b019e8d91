import numpy as np
import pandas as pd
import pytest

from labkit import plots

WORDS = {"x": "time, s", "y": "edge, bp", "caption": "The edge.", "alt": "A falling curve."}
TABLE = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=[0.0, 1.0])


@pytest.mark.parametrize(
    "fig",
    [
        plots.lines(TABLE, **WORDS, band={"a": ([0.5, 1.5], [1.5, 2.5])}, level=(0.0, "zero")),
        plots.steps(TABLE["a"], **WORDS),
        plots.points({"a": TABLE["a"], "b": TABLE["b"]}, **WORDS),
        plots.bars(TABLE, **WORDS),
    ],
)
def test_each_kind_of_figure_keeps_its_data_and_words(fig):
    shown = [trace for trace in fig.data if trace.name == "a"]
    np.testing.assert_array_equal(shown[0].y, TABLE["a"])
    assert fig.layout.meta == {"caption": "The edge.", "alt": "A falling curve."}
    assert fig.layout.xaxis.title.text == "time, s"
    assert fig.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_the_edges_of_a_band_have_no_marks():
    fig = plots.lines(TABLE, **WORDS, band={"a": ([0.5, 1.5], [1.5, 2.5])})
    (edges,) = [trace for trace in fig.data if trace.fill == "toself"]
    assert edges.mode == "lines"


def test_series_differ_by_more_than_colour():
    fig = plots.lines(TABLE, **WORDS)
    assert fig.data[0].line.dash != fig.data[1].line.dash


def test_one_series_needs_no_legend():
    assert not plots.lines(TABLE["a"], **WORDS).layout.showlegend
    assert plots.lines(TABLE, **WORDS).layout.showlegend


def test_a_cycle_is_drawn_with_one_arrow_for_each_rate():
    rates = pd.DataFrame([[1, 2, 0.0], [0.5, 1, 3], [4, 0, 1]], list("abc"), list("abc"))
    fig = plots.cycle_graph(rates, ["a", "b", "c"], caption="c", alt="a")
    arrows = [a for a in fig.layout.annotations if a.showarrow]
    assert len(arrows) == 3
    assert [a.text for a in fig.layout.annotations if a.text] == ["2", "3", "4"]
    with pytest.raises(ValueError, match="cycle must have at least two labels"):
        plots.cycle_graph(rates, ["a"], caption="c", alt="a")
    with pytest.raises(ValueError, match="cycle: z not in rates"):
        plots.cycle_graph(rates, ["a", "z"], caption="c", alt="a")


@pytest.mark.parametrize("word", ["caption", "alt"])
def test_a_figure_without_caption_or_alternative_text_is_refused(word):
    with pytest.raises(ValueError, match=word):
        plots.lines(TABLE, **WORDS | {word: " "})


def test_empty_data_are_refused():
    with pytest.raises(ValueError, match="data must be a table"):
        plots.lines(TABLE.iloc[:0], **WORDS)
    with pytest.raises(ValueError, match="data must be a table"):
        plots.bars([1, 2], **WORDS)
    with pytest.raises(ValueError, match="series"):
        plots.points({}, **WORDS)


# Backtests

TIMES = pd.date_range("2024-01-01", periods=300, freq="min", tz="UTC")
WALK = pd.Series(100 + np.random.default_rng(0).normal(size=300).cumsum() / 10, TIMES)


def test_an_equity_curve_holds_every_value_and_its_fall():
    fig = plots.equity_curve(WALK, **WORDS)
    equity, fall = fig.data
    np.testing.assert_array_equal(equity.y, WALK)
    np.testing.assert_allclose(fall.y, 100 * (WALK / WALK.cummax() - 1), atol=1e-12)
    for trace in fig.data:
        assert pd.DatetimeIndex(trace.x).equals(TIMES.tz_localize(None))
    assert fig.layout.yaxis.title.text == "edge, bp"
    assert fig.layout.yaxis2.title.text == "drawdown, %"
    assert fig.layout.xaxis2.title.text == "time, s"
    assert fig.layout.meta == {"caption": "The edge.", "alt": "A falling curve."}
    assert not fig.layout.showlegend


def test_a_long_series_is_thinned_without_its_extremes():
    times = pd.date_range("2024-01-01", periods=100_000, freq="s")
    values = 1000 + np.random.default_rng(1).normal(size=100_000).cumsum() / 10
    values[[12_345, 54_321]] = [3000.0, 1.0]
    series = pd.Series(values, times)
    for fig in (
        plots.equity_curve(series, **WORDS),
        plots.inventory(series, **WORDS),
        plots.trades_on_price(series, NO_TRADES, **WORDS),
    ):
        assert len(fig.to_json()) < 1_500_000
        trace = fig.data[0]
        assert len(trace.x) <= 8_000
        assert {3000.0, 1.0, values[0], values[-1]} <= set(trace.y)
        drawn = pd.Series(trace.y, pd.DatetimeIndex(trace.x))
        pd.testing.assert_series_equal(
            drawn, series[drawn.index], check_freq=False, check_index_type=False
        )
        # Each stretch keeps its lowest and highest value.
        for start in range(0, 100_000, 5_000):
            part = series.iloc[start : start + 5_000]
            shown = drawn[part.index[0] : part.index[-1]]
            assert (shown.min(), shown.max()) == (part.min(), part.max())
    deepest = (series / series.cummax() - 1).min() * 100
    assert min(plots.equity_curve(series, **WORDS).data[1].y) == pytest.approx(deepest)
    whole = plots.equity_curve(series, **WORDS, max_points=None)
    np.testing.assert_array_equal(whole.data[0].y, series)


NO_TRADES = pd.DataFrame({"time": TIMES[:0], "quantity": [], "price": []})
TRADES = pd.DataFrame(
    {"time": TIMES[[3, 7, 9]], "quantity": [2.0, -5.0, 1.5], "price": [99.0, 101.0, 100.0]}
)


def test_every_trade_is_on_the_price_with_its_side_and_size():
    fig = plots.trades_on_price(WALK, TRADES, **WORDS)
    price, buys, sells = fig.data
    np.testing.assert_array_equal(price.y, WALK)
    assert (list(buys.y), list(buys.customdata)) == ([99.0, 100.0], [2.0, 1.5])
    assert (list(sells.y), list(sells.customdata)) == ([101.0], [5.0])
    assert list(pd.DatetimeIndex(buys.x)) == list(TIMES[[3, 9]].tz_localize(None))
    assert buys.marker.symbol != sells.marker.symbol
    assert buys.marker.color != sells.marker.color
    assert buys.hovertemplate.startswith("buy ") and "customdata" in buys.hovertemplate
    empty = plots.trades_on_price(WALK, NO_TRADES, **WORDS)
    assert [len(trace.y) for trace in empty.data] == [300, 0, 0]


def test_an_inventory_steps_between_its_limits():
    fig = plots.inventory(TRADES["quantity"], **WORDS, limits=(-10, 10))
    np.testing.assert_array_equal(fig.data[0].y, TRADES["quantity"])
    assert fig.data[0].line.shape == "hv"
    assert [shape.y0 for shape in fig.layout.shapes] == [-10, 10]
    held = pd.Series([1.0, np.nan, 2.0] * 20)
    assert len(plots.inventory(held, **WORDS, max_points=8).data[0].y) <= 8


def test_backtest_figures_refuse_what_they_cannot_draw():
    two = TRADES.assign(asset=["x", "y", "x"])
    for call, message in [
        (lambda: plots.equity_curve(WALK[:0], **WORDS), "equity must be a Series"),
        (lambda: plots.equity_curve(WALK - 1000, **WORDS), "equity must be positive"),
        (lambda: plots.equity_curve(WALK, **WORDS, max_points=4), "max_points must be at least 8"),
        (lambda: plots.inventory(WALK.to_frame(), **WORDS), "position must be a Series"),
        (lambda: plots.inventory(WALK, **WORDS, limits=(1, -1)), "limits must be the least"),
        (lambda: plots.trades_on_price(WALK, TRADES[["time"]], **WORDS), "trades must have the c"),
        (lambda: plots.trades_on_price(WALK, two, **WORDS), "trades must be of one asset"),
        (
            lambda: plots.trades_on_price(WALK, TRADES.assign(quantity=0.0), **WORDS),
            "trades must have a quantity",
        ),
    ]:
        with pytest.raises(ValueError, match="^" + message):
            call()


def test_a_heatmap_keeps_its_cells_and_leaves_missing_ones_empty():
    table = pd.DataFrame([[1.0, np.nan], [-2.5, 4.0]], index=[0.1, 1.0], columns=[5, 10])
    fig = plots.heatmap(table, z="profit, bp", middle=0.0, **WORDS)
    (cells,) = fig.data
    np.testing.assert_array_equal(cells.z, table)
    assert [list(row) for row in cells.text] == [["1", ""], ["-2.5", "4"]]
    assert list(cells.x) == ["5", "10"]
    assert list(cells.y) == ["0.1", "1"]
    assert cells.zmid == 0.0
    assert fig.layout.xaxis.type == "category"
    assert cells.colorbar.title.text == "profit, bp"
    with pytest.raises(ValueError, match="data must hold at least one finite number"):
        plots.heatmap(table * np.nan, z="z", **WORDS)
