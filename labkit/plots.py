"""Figures in one style: a Plotly template, and one function for each kind of figure.

Backgrounds are transparent and lines thick enough to read on white, on black and in grey print;
series differ by dash or symbol as well as by colour. Each figure carries its caption and the text
that stands for it where it cannot be seen (`layout.meta`); the book prints the one and gives the
other to screen readers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

__all__ = [
    "COLORS",
    "bars",
    "cycle_graph",
    "describe",
    "equity_curve",
    "heatmap",
    "inventory",
    "lines",
    "points",
    "steps",
    "trades_on_price",
]

# Okabe and Ito's palette, ordered so that neighbours differ in lightness too.
COLORS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "x"]
GREY = "#808080"

_axis = {
    "gridcolor": "rgba(128,128,128,0.25)",
    "linecolor": GREY,
    "ticks": "outside",
    "tickcolor": GREY,
    "zerolinecolor": "rgba(128,128,128,0.6)",
    "automargin": True,
    "title": {"standoff": 8},
}
pio.templates["labkit"] = go.layout.Template(
    layout={
        "colorway": COLORS,
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": GREY},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 16, "t": 24, "b": 48},
        "height": 380,
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": _axis,
        "yaxis": _axis,
    }
)


def describe(
    fig: go.Figure, *, x: str, y: str, caption: str, alt: str, height: int = 380
) -> go.Figure:
    """Give a figure the common style, its axis titles, caption and alternative text.

    Parameters
    ----------
    fig : Figure
        Changed in place and returned.
    x, y : str
        Axis titles with units.
    caption, alt : str
        What the figure shows, for all readers, and what stands for it where it cannot be seen.
    height : int
        Pixels.

    Raises
    ------
    ValueError
        The caption or the alternative text is empty.
    """
    for name, text in (("caption", caption), ("alt", alt)):
        if not text.strip():
            raise ValueError(f"{name} must not be empty")
    fig.update_layout(
        template="labkit",
        height=height,
        meta={"caption": caption, "alt": alt},
        showlegend=sum(trace.showlegend is not False for trace in fig.data) > 1,
    )
    fig.update_xaxes(title_text=x)
    fig.update_yaxes(title_text=y)
    return fig


def _frame(data: pd.DataFrame | pd.Series, name: str) -> pd.DataFrame:
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise ValueError(f"{name} must be a table with at least one row, got {type(data).__name__}")
    return frame


def lines(
    data: pd.DataFrame | pd.Series,
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    band: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    step: bool = False,
    level: tuple[float, str] | None = None,
    height: int = 380,
) -> go.Figure:
    """Curves over the index of a table, one for each column.

    Parameters
    ----------
    data : DataFrame or Series
        Index is the abscissa, columns are the curves.
    x, y, caption, alt, height
        As in `describe`.
    band : mapping of column to (lower, upper), optional
        A shaded band around a curve, for instance two standard errors.
    step : bool
        Draw each value until the next one, as for a quantity that jumps.
    level : (float, str), optional
        A horizontal line and its label.

    Raises
    ------
    ValueError
        The table is empty, or the caption or alternative text is.
    """
    frame = _frame(data, "data")
    fig = go.Figure()
    grid = np.asarray(frame.index)
    for i, column in enumerate(frame.columns):
        color = COLORS[i % len(COLORS)]
        if band and column in band:
            lower, upper = (np.asarray(edge, dtype=float) for edge in band[column])
            fig.add_scatter(
                x=np.concatenate([grid, grid[::-1]]),
                y=np.concatenate([upper, lower[::-1]]),
                mode="lines",  # of few points Plotly would draw markers too
                fill="toself",
                fillcolor=color,
                opacity=0.2,
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
            )
        fig.add_scatter(
            x=grid,
            y=frame[column].to_numpy(),
            name=str(column),
            mode="lines",
            line={
                "color": color,
                "dash": DASHES[i % len(DASHES)],
                "width": 2,
                "shape": "hv" if step else "linear",
            },
        )
    _level(fig, level)
    return describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)


def steps(data: pd.DataFrame | pd.Series, **style) -> go.Figure:
    """`lines` for quantities that hold until they jump, such as best quotes."""
    return lines(data, step=True, **style)


def heatmap(
    data: pd.DataFrame,
    *,
    x: str,
    y: str,
    z: str,
    caption: str,
    alt: str,
    middle: float | None = None,
    numbers: str = ".3g",
    height: int = 380,
) -> go.Figure:
    """A table as coloured cells with their numbers, for a quantity over two parameters.

    Parameters
    ----------
    data : DataFrame
        Numbers; the index goes up, columns go right, in their order and at equal distances. NaN
        leaves a cell empty.
    x, y, caption, alt, height
        As in `describe`.
    z : str
        What the numbers are, with units.
    middle : float, optional
        Value at which the colour turns, for instance 0 between gains and losses.
    numbers : str
        How the numbers in the cells are printed, such as `.3g` or `.2f`; a zero has no sign.

    Raises
    ------
    ValueError
        The table is empty or has no number, or the caption or alternative text is empty.
    """
    frame = _frame(data, "data").astype(float)
    values = frame.to_numpy()
    if not np.isfinite(values).any():
        raise ValueError("data must hold at least one finite number")
    text = [["" if np.isnan(v) else f"{v:z{numbers}}" for v in row] for row in values]
    # Light throughout, so that dark numbers can be read in every cell and theme.
    turning = [(0.0, COLORS[4]), (0.5, "#F2F2F2"), (1.0, COLORS[1])]
    rising = [(0.0, "#F2F2F2"), (1.0, COLORS[4])]
    fig = go.Figure(
        go.Heatmap(
            z=values,
            x=[f"{label:g}" if np.isreal(label) else str(label) for label in frame.columns],
            y=[f"{label:g}" if np.isreal(label) else str(label) for label in frame.index],
            text=text,
            texttemplate="%{text}",
            textfont={"color": "#111111"},
            colorscale=rising if middle is None else turning,
            zmid=middle,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": z, "side": "right"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>%{{z:.6g}}<extra></extra>",
            hoverongaps=False,
        )
    )
    describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)
    fig.update_xaxes(type="category", showgrid=False)
    fig.update_yaxes(type="category", showgrid=False)
    return fig


def points(
    series: Mapping[str, pd.Series],
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    level: tuple[float, str] | None = None,
    height: int = 380,
) -> go.Figure:
    """Marks at the index and value of each series; they may have different indices.

    Raises
    ------
    ValueError
        There is no series, or the caption or alternative text is empty.
    """
    if not series:
        raise ValueError("series must hold at least one series")
    fig = go.Figure()
    for i, (name, values) in enumerate(series.items()):
        fig.add_scatter(
            x=np.asarray(values.index),
            y=values.to_numpy(),
            name=name,
            mode="markers",
            marker={
                "color": COLORS[i % len(COLORS)],
                "symbol": SYMBOLS[i % len(SYMBOLS)] + ("-open" if i % 2 else ""),
                "size": 9 + 4 * (i % 2),
                "line": {"width": 2, "color": COLORS[i % len(COLORS)]},
            },
        )
    _level(fig, level)
    return describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)


def bars(
    data: pd.DataFrame | pd.Series,
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    level: tuple[float, str] | None = None,
    height: int = 380,
) -> go.Figure:
    """Bars over the index of a table, one group for each column.

    Raises
    ------
    ValueError
        The table is empty, or the caption or alternative text is.
    """
    frame = _frame(data, "data")
    fig = go.Figure()
    for i, column in enumerate(frame.columns):
        fig.add_bar(
            x=np.asarray(frame.index),
            y=frame[column].to_numpy(),
            name=str(column),
            marker={
                "color": COLORS[i % len(COLORS)],
                "pattern": {"shape": ["", "/", ".", "x"][i % 4]},
            },
        )
    _level(fig, level)
    return describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)


def cycle_graph(
    rates: pd.DataFrame, cycle: Sequence[str], *, caption: str, alt: str, height: int = 420
) -> go.Figure:
    """A currency graph on a circle, every market in grey and one cycle drawn over them.

    Parameters
    ----------
    rates : DataFrame (n, n)
        `rates.loc[i, j]` units of j for one of i; 0 where there is no market.
    cycle : sequence of str
        Labels in order, without the return to the first.

    Raises
    ------
    ValueError
        The cycle has fewer than two labels or one that is not in the table, or the caption or
        the alternative text is empty.
    """
    if len(cycle) < 2:
        raise ValueError(f"cycle must have at least two labels, got {list(cycle)}")
    missing = [name for name in cycle if name not in rates.index]
    if missing:
        raise ValueError(f"cycle: {', '.join(map(str, missing))} not in rates")
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(rates)) / len(rates)
    place = dict(zip(rates.index, zip(np.cos(angle), np.sin(angle), strict=True), strict=True))
    grey_x, grey_y = [], []
    for i, first in enumerate(rates.index):
        for second in rates.index[i + 1 :]:
            if rates.loc[first, second] > 0 or rates.loc[second, first] > 0:
                grey_x += [place[first][0], place[second][0], None]
                grey_y += [place[first][1], place[second][1], None]
    fig = go.Figure()
    fig.add_scatter(
        x=grey_x, y=grey_y, mode="lines", line={"color": GREY, "width": 1}, hoverinfo="skip"
    )
    closed = [*cycle, cycle[0]]
    for first, second in itertools.pairwise(closed):
        tail, head = np.array(place[first]), np.array(place[second])
        along = (head - tail) / np.linalg.norm(head - tail)
        beside = np.array([-along[1], along[0]])  # left of the arrow
        (x0, y0), (x1, y1) = tail + 0.2 * along, head - 0.2 * along
        fig.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y",
            showarrow=True, arrowhead=2, arrowsize=1.2, arrowwidth=3, arrowcolor=COLORS[3],
        )  # fmt: skip
        label = (tail + head) / 2 + 0.13 * beside
        fig.add_annotation(
            x=label[0], y=label[1], showarrow=False,
            text=f"{rates.loc[first, second]:g}", font={"size": 13},
        )  # fmt: skip
    fig.add_scatter(
        x=[p[0] for p in place.values()],
        y=[p[1] for p in place.values()],
        mode="markers+text",
        text=list(place),
        textposition="middle center",
        textfont={"color": "white"},
        marker={"size": 46, "color": COLORS[0]},
        hoverinfo="text",
    )
    describe(fig, x="", y="", caption=caption, alt=alt, height=height)
    fig.update_layout(showlegend=False)
    fig.update_xaxes(visible=False, range=[-1.3, 1.3])
    fig.update_yaxes(visible=False, range=[-1.15, 1.25], scaleanchor="x")
    return fig


# Backtests


def _series(data: pd.Series, name: str, max_points: int | None) -> pd.Series:
    """A series of numbers, thinned, with an index that Plotly draws in UTC."""
    if not isinstance(data, pd.Series) or data.empty:
        raise ValueError(
            f"{name} must be a Series with at least one value, got {type(data).__name__}"
        )
    if isinstance(data.index, pd.DatetimeIndex) and data.index.tz is not None:
        data = data.set_axis(data.index.tz_convert("UTC").tz_localize(None))
    return data if max_points is None else data.iloc[_kept(data.to_numpy(float), max_points)]


def _kept(values: np.ndarray, max_points: int) -> np.ndarray:
    """Places of the first, lowest, highest and last value of equal stretches, in order."""
    if max_points < 8:
        raise ValueError(f"max_points must be at least 8, got {max_points}")
    if len(values) <= max_points:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), max_points // 4 + 1).astype(int)
    keep = [
        place
        for start, stop in itertools.pairwise(edges)
        for place in (
            start,
            start + _extreme(np.nanargmin, values[start:stop]),
            start + _extreme(np.nanargmax, values[start:stop]),
            stop - 1,
        )
    ]
    return np.unique(keep)


def _extreme(where, values: np.ndarray) -> int:
    return 0 if np.isnan(values).all() else int(where(values))


def equity_curve(
    equity: pd.Series,
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    max_points: int | None = 8_000,
    height: int = 460,
) -> go.Figure:
    """Equity, and below it the fall from the highest value so far.

    A series longer than `max_points` is cut into `max_points / 4` equal stretches, and of each the
    first, lowest, highest and last value are drawn (Jugel et al., "M4: a visualization-oriented
    time series data aggregation", VLDB 2014): no extreme is lost, and at that many pixels no line
    either. The fall is taken before, from all values, and thinned in the same way.

    Parameters
    ----------
    equity : Series
        Positive, over time.
    x, y, caption, alt, height
        As in `describe`; `y` is of the upper panel.
    max_points : int, optional
        Of each panel, at least 8; None draws every value.

    Raises
    ------
    ValueError
        The series is empty or falls to 0 or below, or the caption or alternative text is empty.
    """
    full = _series(equity, "equity", None)
    if not (full > 0).all():
        raise ValueError(f"equity must be positive, got {full.min()}")
    drawdown = full / full.cummax() - 1
    fig = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    panels = ((full, "equity", 0, None), (100 * drawdown, "drawdown", 3, "tozeroy"))
    for row, (values, name, color, fill) in enumerate(panels, 1):
        shown = _series(values, name, max_points)
        fig.add_scatter(
            x=np.asarray(shown.index), y=shown.to_numpy(), name=name, mode="lines", fill=fill,
            line={"color": COLORS[color], "width": 2 if row == 1 else 1.5}, row=row, col=1,
        )  # fmt: skip
    describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)
    fig.update_xaxes(title_text="", row=1, col=1)
    fig.update_yaxes(title_text="drawdown, %", row=2, col=1)
    fig.update_layout(showlegend=False)
    return fig


def trades_on_price(
    price: pd.Series,
    trades: pd.DataFrame,
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    max_points: int | None = 8_000,
    height: int = 380,
) -> go.Figure:
    """A price with every trade on it: purchases point up, sales point down.

    Parameters
    ----------
    price : Series
        Over time; thinned as in `equity_curve`.
    trades : DataFrame
        Columns time, quantity (above 0 bought, below 0 sold) and price, as in `Backtest.trades`
        of one asset. Each is drawn, whatever their number.
    x, y, caption, alt, height
        As in `describe`.
    max_points : int, optional
        Of the price, at least 8; None draws every value.

    Raises
    ------
    ValueError
        The price is empty, a column is missing, a quantity is 0 or no number, `trades` are of
        several assets, or the caption or alternative text is empty.
    """
    shown = _series(price, "price", max_points)
    missing = {"time", "quantity", "price"} - set(trades.columns)
    if missing:
        raise ValueError(f"trades must have the columns {sorted(missing)}")
    if "asset" in trades and len(trades["asset"].unique()) > 1:
        raise ValueError(f"trades must be of one asset, got {trades['asset'].unique().tolist()}")
    if not trades["quantity"].abs().gt(0).all():
        raise ValueError("trades must have a quantity above or below 0 each")
    fig = go.Figure()
    fig.add_scatter(
        x=np.asarray(shown.index), y=shown.to_numpy(), name="price", mode="lines",
        line={"color": GREY, "width": 1.5},
    )  # fmt: skip
    for name, sign, color, symbol in (
        ("buy", 1, COLORS[0], "triangle-up"),
        ("sell", -1, COLORS[3], "triangle-down-open"),
    ):
        side = trades[sign * trades["quantity"] > 0]
        marks = _series(side.set_index("time")["price"], "trades", None) if len(side) else side
        fig.add_scatter(
            x=np.asarray(marks.index) if len(side) else [],
            y=side["price"].to_numpy(),
            customdata=side["quantity"].abs().to_numpy(),
            name=name,
            mode="markers",
            marker={
                "color": color,
                "symbol": symbol,
                "size": 11,
                "line": {"color": color, "width": 2},
            },
            hovertemplate=f"{name} %{{customdata}} @ %{{y}}<br>%{{x}}<extra></extra>",
        )
    return describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)


def inventory(
    position: pd.Series,
    *,
    x: str,
    y: str,
    caption: str,
    alt: str,
    limits: tuple[float, float] | None = None,
    max_points: int | None = 8_000,
    height: int = 300,
) -> go.Figure:
    """A position over time, held until it changes, between its limits.

    Parameters
    ----------
    position : Series
        Units held from each time on; thinned as in `equity_curve`.
    x, y, caption, alt, height
        As in `describe`.
    limits : (float, float), optional
        The least and the largest position allowed, drawn as dashed lines.
    max_points : int, optional
        At least 8; None draws every value.

    Raises
    ------
    ValueError
        The series is empty, the limits are out of order, or the caption or alternative text is
        empty.
    """
    shown = _series(position, "position", max_points)
    if limits is not None and not limits[0] <= limits[1]:
        raise ValueError(f"limits must be the least and the largest position, got {limits}")
    fig = go.Figure()
    fig.add_scatter(
        x=np.asarray(shown.index), y=shown.to_numpy(), name=str(position.name or "position"),
        mode="lines", line={"color": COLORS[0], "width": 2, "shape": "hv"},
    )  # fmt: skip
    for limit in limits or ():
        fig.add_hline(
            y=limit, line={"color": COLORS[3], "dash": "dash"}, annotation_text=f"limit {limit:g}",
            annotation_position="bottom right",
        )  # fmt: skip
    return describe(fig, x=x, y=y, caption=caption, alt=alt, height=height)


def _level(fig: go.Figure, level: tuple[float, str] | None) -> None:
    if level is not None:
        fig.add_hline(
            y=level[0], line={"color": GREY, "dash": "dot"}, annotation_text=level[1],
            annotation_position="bottom right",
        )  # fmt: skip
