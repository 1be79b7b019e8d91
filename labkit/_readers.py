"""Parsers of the data files, one for each `reader` that data/registry.toml names.

A reader takes the files of a set as `{name: bytes}` (uncompressed) and returns tables as
`{name: DataFrame}`. Order-book sessions come out as one row per changed level:

    message      int64   number of the wire message, in order of receipt
    exchange_ns  int64   the venue's time stamp, nanoseconds since 1970-01-01 UTC
    local_ns     int64   time of receipt, same unit
    symbol       str     BASE/QUOTE
    snapshot     bool    the message replaces the whole book
    side         str     "bid" or "ask"
    price, size  float64 quote per base, base units; size 0 removes the level
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal

import pandas as pd

from labkit.errors import SequenceGap

__all__ = ["READERS"]

EVENT_COLUMNS = [
    "message",
    "exchange_ns",
    "local_ns",
    "symbol",
    "snapshot",
    "side",
    "price",
    "size",
]


def _nanoseconds(seconds: str) -> int:
    """Decimal seconds as an exact integer of nanoseconds."""
    return int(Decimal(seconds) * 1_000_000_000)


def _grid(decimals: Mapping[str, int]) -> dict[str, float]:
    return {symbol: float(Decimal(1).scaleb(-places)) for symbol, places in decimals.items()}


def poloniex_book_lv2(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """Raw Poloniex `book_lv2` frames, `<receive time>: <JSON>` a line.

    Each message carries `lastId` and `id`; a message whose `lastId` is not the `id` before it
    means that one was lost.

    Raises
    ------
    SequenceGap
        The id chain of a symbol is broken.
    """
    (content,) = files.values()
    rows, last_id = [], {}
    places: dict[str, dict[str, int]] = {"price": {}, "size": {}}
    message = 0
    for line in content.decode().splitlines():
        stamp, _, frame = line.partition(": ")
        if not frame.startswith('{"channel":"book_lv2"'):
            continue
        packet = json.loads(frame)
        snapshot = packet["action"] == "snapshot"
        for book in packet["data"]:
            symbol = book["symbol"].replace("_", "/")
            if not snapshot and book["lastId"] != last_id.get(symbol):
                raise SequenceGap(
                    f"{symbol}: message {book['id']} follows {book['lastId']}, "
                    f"but {last_id.get(symbol)} was the last one seen"
                )
            last_id[symbol] = book["id"]
            head = (message, book["ts"] * 1_000_000, _nanoseconds(stamp), symbol, snapshot)
            for side, levels in (("bid", book["bids"]), ("ask", book["asks"])):
                for price, size in levels:
                    rows.append((*head, side, float(price), float(size)))
                    for name, text in (("price", price), ("size", size)):
                        digits = len(text.rstrip("0").partition(".")[2])
                        places[name][symbol] = max(digits, places[name].get(symbol, 0))
            message += 1
    markets = pd.DataFrame(
        {"tick_size": _grid(places["price"]), "lot_size": _grid(places["size"])}
    ).rename_axis("symbol")
    return {"events": pd.DataFrame(rows, columns=EVENT_COLUMNS), "markets": markets}


def parquet_tables(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """One table for each Parquet file, under the file's stem."""
    return {
        name.removesuffix(".parquet"): pd.read_parquet(io.BytesIO(content))
        for name, content in files.items()
    }


READERS = {"poloniex_book_lv2": poloniex_book_lv2, "parquet_tables": parquet_tables}
