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
from labkit._backend import kernels
from labkit.reference import _checks as check
from labkit.reference._events import CLEAR, DEPTH, EVENT_DTYPE, SNAPSHOT, TRADE

__all__ = [
    "CLEAR",
    "DEPTH",
    "EVENT_DTYPE",
    "SNAPSHOT",
    "TRADE",
    "Instrument",
    "Recording",
    "align_clock",
    "best_quotes",
    "from_hftbacktest",
    "recording",
    "to_hftbacktest",
]


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


def best_quotes(recording: Recording) -> pd.DataFrame:
    """Best bid and ask after each event, in order of receipt.

    A new best price that reaches the other side's best moves that one behind it: of two prices
    that cannot both hold, the one told last does. The level passed over stays in the book, unseen
    until the best price comes back to it or it gets a new size.

    Returns
    -------
    DataFrame
        One row per event, with `local_ns` and the int64 columns `bid`, `bid_size`, `ask` and
        `ask_size` in ticks and lots; 0 where a side is empty.

    Examples
    --------
    >>> events = np.zeros(2, EVENT_DTYPE)
    >>> events["price"], events["size"], events["side"] = [99, 101], 5, [1, -1]
    >>> events["kind"] = DEPTH
    >>> quotes = best_quotes(Recording(Instrument("A/B", 1.0, 1.0), events))
    >>> quotes[["bid", "ask"]].to_numpy().tolist()
    [[99, 0], [99, 101]]
    """
    quotes = kernels.best_quotes(recording.events)
    table = pd.DataFrame(quotes, columns=["bid", "bid_size", "ask", "ask_size"])
    table.insert(0, "local_ns", recording.events["local_ns"])
    return table


def align_clock(recording: Recording, minimum_latency_ns: int) -> Recording:
    """The recording with its clock of receipt shifted so that the least feed latency is given.

    A recorder's clock may be off the venue's by more than the latency: events are then received
    before they happened. One constant is added to every receipt; what it was is the difference of
    the two recordings' `local_ns`. The true least latency is not in the data: it is the caller's
    to know, and every latency of the result is off by the error in it. A drift of one clock
    against the other stays.

    Parameters
    ----------
    minimum_latency_ns : int
        Least time from an event to its receipt; not negative.

    Raises
    ------
    TypeError, ValueError
        `minimum_latency_ns` is no integer or negative, or the recording is empty.

    Examples
    --------
    >>> events = np.zeros(2, EVENT_DTYPE)
    >>> events["exchange_ns"], events["local_ns"] = [100, 200], [60, 175]
    >>> events["price"], events["size"], events["kind"], events["side"] = 1, 1, DEPTH, 1
    >>> aligned = align_clock(Recording(Instrument("A/B", 1.0, 1.0), events), 10)
    >>> aligned.events["local_ns"].tolist()
    [110, 225]
    """
    least = check.count("minimum_latency_ns", minimum_latency_ns, 0)
    if not len(recording):
        raise ValueError("recording must have at least one event, got none")
    events = recording.events.copy()
    events["local_ns"] += least - (events["local_ns"] - events["exchange_ns"]).min()
    return Recording(recording.instrument, events)


# The format of hftbacktest: one row for both clocks, or one for each where their orders differ.

_HFTBACKTEST = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)
_AT_EXCHANGE, _AT_LOCAL, _BUY, _SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def from_hftbacktest(array: NDArray, instrument: Instrument) -> Recording:
    """A recording from the event array of hftbacktest.

    Its rows for the local side are the events, in their order; rows for the exchange side repeat
    them in the order of the venue, which a replay restores by sorting. Events of one exchange time
    keep the order of receipt.

    Parameters
    ----------
    array : ndarray, shape (n,)
        With the fields `ev`, `exch_ts`, `local_ts`, `px` and `qty`; times in UTC nanoseconds.
    instrument : Instrument

    Raises
    ------
    TypeError
        A field is missing.
    ValueError
        A row is no depth, trade, clear or snapshot event, is off the grid of the instrument, or is
        shown to one side alone and never to the other.
    """
    names = ("ev", "exch_ts", "local_ts", "px", "qty")
    fields = getattr(getattr(array, "dtype", None), "names", None) or ()
    if any(name not in fields for name in names):
        raise TypeError(f"array must have the fields {', '.join(names)}")
    local, exchange = ((array["ev"] & flag) != 0 for flag in (_AT_LOCAL, _AT_EXCHANGE))
    split = not (local & exchange).all()
    if split and not np.array_equal(_sorted_rows(array[local]), _sorted_rows(array[exchange])):
        raise ValueError("array must show every event to the local and to the exchange side")
    rows = array[local]
    kind = rows["ev"] & 0xFF
    if not np.isin(kind, (DEPTH, TRADE, CLEAR, SNAPSHOT)).all():
        row = int(np.flatnonzero(~np.isin(kind, (DEPTH, TRADE, CLEAR, SNAPSHOT)))[0])
        raise ValueError(f"array must hold depth, trade and clear events, got kind {kind[row]}")
    events = np.zeros(len(rows), EVENT_DTYPE)
    events["exchange_ns"], events["local_ns"] = rows["exch_ts"], rows["local_ts"]
    buy, sell = ((rows["ev"] & flag) != 0 for flag in (_BUY, _SELL))
    events["side"] = buy.astype(np.int8) - sell
    events["kind"] = kind
    whole = (kind == CLEAR) & (~np.isfinite(rows["px"]) | (events["side"] == 0))
    events["price"] = instrument.ticks(np.where(whole, 0.0, rows["px"]))
    events["size"] = instrument.lots(np.where(kind == CLEAR, 0.0, rows["qty"]))
    return Recording(instrument, events)


def _sorted_rows(rows: NDArray) -> NDArray[np.int64]:
    """What the rows show, in an order that does not depend on theirs; floats as their bits."""
    shown = [(rows["ev"] & (_AT_LOCAL - 1)).astype(np.int64), rows["exch_ts"], rows["local_ts"]]
    shown += [np.ascontiguousarray(rows[name]).view(np.int64) for name in ("px", "qty")]
    return np.stack(shown)[:, np.lexsort(shown)]


def to_hftbacktest(recording: Recording) -> NDArray:
    """The event array of hftbacktest that shows the same events to both sides.

    Where the venue's order is that of receipt an event is one row for both sides. An event that
    happened before one received earlier takes two, each in its place.

    Returns
    -------
    ndarray, shape (n + events out of order,)
    """
    events = recording.events
    n = len(events)
    happened = events["exchange_ns"]
    latest = np.maximum.accumulate(happened) if n else happened
    late = np.flatnonzero(happened < latest)  # received after something that happened later
    both = np.flatnonzero(happened == latest)
    rank = np.empty(n, np.int64)
    rank[np.argsort(happened, kind="stable")] = np.arange(n)
    # Rows for both sides are a backbone in both orders; the others go in front of one of them.
    source = np.concatenate([both, late, late])
    before = np.concatenate(
        [np.arange(len(both)), np.searchsorted(both, late), np.searchsorted(rank[both], rank[late])]
    )
    within = np.concatenate([np.full(len(both), n), late, rank[late]])
    order = np.lexsort((within, before))
    seen = np.repeat(
        np.array([_AT_EXCHANGE | _AT_LOCAL, _AT_LOCAL, _AT_EXCHANGE], np.uint64),
        [len(both), len(late), len(late)],
    )[order]
    rows = events[source[order]]
    out = np.zeros(len(rows), _HFTBACKTEST)
    side = np.where(rows["side"] == 1, _BUY, np.where(rows["side"] == -1, _SELL, 0))
    out["ev"] = seen | side.astype(np.uint64) | rows["kind"].astype(np.uint64)
    out["exch_ts"], out["local_ts"] = rows["exchange_ns"], rows["local_ns"]
    whole = (rows["kind"] == CLEAR) & (rows["price"] <= 0)
    out["px"] = np.where(whole, np.nan, recording.instrument.price(rows["price"]))
    out["qty"] = recording.instrument.size(rows["size"])
    return out
