"""Market events: one record type for feeds, replay, matching and simulation.

Prices are whole ticks and sizes whole lots, so that quantities are conserved and cash is exact;
an `Instrument` says what a tick and a lot are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as valid

__all__ = [
    "CLEAR",
    "DEPTH",
    "EVENT_DTYPE",
    "SNAPSHOT",
    "TRADE",
    "Instrument",
    "Recording",
    "recording",
]

DEPTH = 1  # a level has a new size; 0 removes it
TRADE = 2  # an aggressive order met a resting one
CLEAR = 3  # a side (0: both) is emptied
SNAPSHOT = 4  # a level of a book sent whole; in the book it acts like DEPTH

EVENT_DTYPE = np.dtype(
    [
        ("exchange_ns", "i8"),  # when it happened at the venue, UTC
        ("local_ns", "i8"),  # when it was received
        ("price", "i8"),  # ticks
        ("size", "i8"),  # lots
        ("kind", "u1"),  # DEPTH, TRADE, CLEAR or SNAPSHOT
        ("side", "i1"),  # 1 bid, -1 ask; of a trade 1 where the buyer was the aggressor; 0 both
    ],
    align=True,
)


@dataclass(frozen=True)
class Instrument:
    """What is traded, and the grid that it is traded on.

    Parameters
    ----------
    symbol : str
        BASE/QUOTE.
    tick_size : float
        Quote units for one base unit; every price is a whole number of ticks.
    lot_size : float
        Base units; every size is a whole number of lots.

    Raises
    ------
    TypeError, ValueError
        A size is not a positive finite number.

    Examples
    --------
    >>> btc = Instrument("BTC/USDT", tick_size=0.01, lot_size=0.00001)
    >>> btc.ticks(61837.63).item(), btc.price(6183763)
    (6183763, 61837.63)
    """

    symbol: str
    tick_size: float
    lot_size: float

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size"):
            object.__setattr__(self, name, valid.positive(name, getattr(self, name)))

    def price(self, ticks: ArrayLike) -> NDArray[np.float64] | float:
        """Prices in quote units, the float nearest to the decimal price."""
        return _scaled(ticks, self.tick_size)

    def size(self, lots: ArrayLike) -> NDArray[np.float64] | float:
        """Sizes in base units."""
        return _scaled(lots, self.lot_size)

    def ticks(self, price: ArrayLike) -> NDArray[np.int64]:
        """Prices in quote units as whole ticks.

        Raises
        ------
        ValueError
            A price is not on the grid.
        """
        return _units("price", price, self.tick_size)

    def lots(self, size: ArrayLike) -> NDArray[np.int64]:
        """Sizes in base units as whole lots.

        Raises
        ------
        ValueError
            A size is not on the grid.
        """
        return _units("size", size, self.lot_size)


def _scaled(units: ArrayLike, unit: float) -> NDArray[np.float64] | float:
    inverse = round(1 / unit)
    exact = inverse > 0 and abs(inverse * unit - 1) < 1e-12
    # 6183763 / 100 is the float nearest to 61837.63; 6183763 * 0.01 is not
    values = np.asarray(units) / inverse if exact else np.asarray(units) * unit
    return float(values) if values.ndim == 0 else values


def _units(name: str, value: ArrayLike, unit: float) -> NDArray[np.int64]:
    numbers = valid.numbers(name, value)
    whole = np.rint(numbers / unit)
    off = ~(np.abs(numbers / unit - whole) <= 1e-6 + 1e-9 * np.abs(whole))
    if off.any():
        raise ValueError(f"{name} must be a whole number of {unit:g}, got {numbers[off].flat[0]}")
    if (np.abs(whole) >= 2**53).any():
        raise ValueError(f"{name} must be below 2**53 units of {unit:g}, got {numbers.max()}")
    return whole.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Recording:
    """Market events of one instrument, in order of receipt.

    Attributes
    ----------
    instrument : Instrument
    events : ndarray of EVENT_DTYPE, shape (n,), read-only

    Raises
    ------
    TypeError
        `events` is no array of EVENT_DTYPE.
    ValueError
        An event is not what its kind must be, or was received before the one in front of it.
    """

    instrument: Instrument
    events: NDArray

    def __post_init__(self) -> None:
        events = self.events
        if not isinstance(events, np.ndarray) or events.dtype != EVENT_DTYPE or events.ndim != 1:
            raise TypeError("events must be a vector of labkit.backtest.EVENT_DTYPE")
        kind, side, size = events["kind"], events["side"], events["size"]
        trade, clear = kind == TRADE, kind == CLEAR
        for name, wrong in (
            ("kind", (kind < DEPTH) | (kind > SNAPSHOT)),
            ("side", (np.abs(side) > 1) | ((side == 0) & ~clear)),
            ("size", (size < 0) | (trade & (size == 0))),
            ("price", (events["price"] <= 0) & ~clear),
            ("local_ns", np.append(False, np.diff(events["local_ns"]) < 0)[: len(events)]),
        ):
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise ValueError(f"events[{row}][{name!r}] is refused, got {events[row]}")
        view = events.view()
        view.flags.writeable = False
        object.__setattr__(self, "events", view)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, instrument: Instrument) -> Recording:
        """Events from a table with the columns of EVENT_DTYPE.

        Raises
        ------
        ValueError
            A column is missing, or holds what its type cannot carry.
        """
        events = np.zeros(len(frame), EVENT_DTYPE)
        for name in EVENT_DTYPE.names:
            if name not in frame.columns:
                raise ValueError(f"frame has no column {name!r}")
            column = frame[name].to_numpy()
            events[name] = column
            if column.dtype.kind not in "iu" or (events[name] != column).any():
                raise ValueError(f"frame[{name!r}] must hold integers of {EVENT_DTYPE[name]}")
        return cls(instrument, events)

    def to_frame(self) -> pd.DataFrame:
        """The events as a table, one column a field."""
        return pd.DataFrame({name: self.events[name] for name in EVENT_DTYPE.names})

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"Recording({self.instrument.symbol}, {len(self)} events)"


def recording(tables: Mapping[str, pd.DataFrame]) -> Recording:
    """The recording that a data set holds.

    Parameters
    ----------
    tables : Dataset or mapping
        Tables ``events`` (the columns of EVENT_DTYPE) and ``markets`` (one row: index `symbol`,
        columns `tick_size` and `lot_size`).

    Raises
    ------
    ValueError
        There is more than one market, or the events are refused.

    Examples
    --------
    >>> markets = pd.DataFrame({"tick_size": [0.01], "lot_size": [0.001]}, index=["SIM/USD"])
    >>> events = pd.DataFrame([[0, 5, 100, 3, 4, 1]], columns=EVENT_DTYPE.names)
    >>> recording({"events": events, "markets": markets})
    Recording(SIM/USD, 1 events)
    """
    markets = tables["markets"]
    if len(markets) != 1:
        raise ValueError(f"tables['markets'] must have one row, got {list(markets.index)}")
    (row,) = markets.itertuples()
    instrument = Instrument(str(row.Index), float(row.tick_size), float(row.lot_size))
    return Recording.from_frame(tables["events"], instrument)
