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

Daily series come out with a DatetimeIndex in ascending order, one column a series, NaN where there
is no value.
"""

from __future__ import annotations

import io
import json
import zipfile
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


def ecb_reference_rates(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """The ECB's history of euro reference rates: units of each currency for one euro."""
    (content,) = files.values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        table = pd.read_csv(archive.open(name), index_col="Date", parse_dates=True)
    rates = table.loc[:, ~table.columns.str.startswith("Unnamed")].sort_index()
    return {"rates": rates.astype(float).rename_axis(index="date")}


# Stretches in which the Treasury published no value of a tenor, which its file writes as 0.00.
UNPUBLISHED = {
    "1M": (None, "2001-07-30"),
    "20Y": (None, "1993-09-30"),
    "30Y": ("2002-02-19", "2006-02-08"),
}


def treasury_par_yields(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """The US Treasury's par yield curve, percent, with tenors as column names.

    A yield of 0.00 is a value (bills in 2011 and 2020), except where the tenor was not published.
    """
    (content,) = files.values()
    table = pd.read_csv(io.BytesIO(content), index_col="date", parse_dates=True).sort_index()
    table = table.drop(columns="BC_30YEARDISPLAY")
    words = table.columns.str.removeprefix("BC_")
    table.columns = words.str.replace("MONTH", "M").str.replace("YEAR", "Y")
    for tenor, (first, last) in UNPUBLISHED.items():
        gap = table.loc[first:last, tenor]
        table.loc[gap.index[gap == 0.0], tenor] = float("nan")
    return {"treasury": table}


def fed_h15(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """Constant-maturity yields and swap rates of the Federal Reserve's H.15, percent."""
    tables = {}
    for name, content in files.items():
        table = pd.read_parquet(io.BytesIO(content))
        table.index = pd.DatetimeIndex(pd.to_datetime(table.index), name="date")
        kind, prefix = ("swaps", "DSWP") if "DSWP" in name else ("treasury", "DGS")
        tenors = table.columns.str.removeprefix(prefix)
        table.columns = [t.replace("MO", "M") if t.endswith("MO") else f"{t}Y" for t in tenors]
        tables[kind] = table.sort_index()
    return tables


def quarterly_csv(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """Quarterly series from a CSV file with a column `period` such as 1974Q1."""
    (content,) = files.values()
    table = pd.read_csv(io.BytesIO(content), encoding="utf-8-sig")
    index = pd.PeriodIndex(table.pop("period"), freq="Q").to_timestamp()
    return {"series": table.set_index(index.rename("date"))}


READERS = {
    "ecb_reference_rates": ecb_reference_rates,
    "fed_h15": fed_h15,
    "parquet_tables": parquet_tables,
    "poloniex_book_lv2": poloniex_book_lv2,
    "quarterly_csv": quarterly_csv,
    "treasury_par_yields": treasury_par_yields,
}
