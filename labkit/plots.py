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

__all__ = ["COLORS", "bars", "cycle_graph", "describe", "lines", "points", "steps"]

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


def _level(fig: go.Figure, level: tuple[float, str] | None) -> None:
    if level is not None:
        fig.add_hline(
            y=level[0], line={"color": GREY, "dash": "dot"}, annotation_text=level[1],
            annotation_position="bottom right",
        )  # fmt: skip
