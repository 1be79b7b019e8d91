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

Sessions for replay hold depth and trades of one symbol in whole ticks and lots: the columns of
`labkit.backtest.EVENT_DTYPE`, in order of receipt.

Daily series come out with a DatetimeIndex in ascending order, one column a series, NaN where there
is no value.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pandas as pd

from labkit._events import CLEAR, DEPTH, EVENT_DTYPE, SNAPSHOT, TRADE
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


class _BinanceStream:
    """One symbol's combined stream, from the message that its REST snapshot makes usable."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, str, str, int, int]] = []
        self.quotes: list[tuple[int, int, int, str, str, str, str]] = []
        self.symbol = ""
        self.waiting: list[tuple[int, dict]] = []  # depth received before the snapshot
        self.book: dict | None = None  # a snapshot received before any depth
        self.last_id: int | None = None
        self.chained = False

    def snapshot(self, local_ns: int, book: dict) -> None:
        """Starts the book; messages received before it count from its receipt on.

        A snapshot has no time of the venue, only an id: it takes that of a depth message, and waits
        for one where there was none.
        """
        if self.last_id is not None or self.book is not None:
            raise ValueError("files: the recording holds a second snapshot of the book")
        if not self.waiting:
            self.book = book
            return
        self.last_id = book["lastUpdateId"]
        older = [data for _, data in self.waiting if data["u"] <= self.last_id]
        stamp = (older or [data for _, data in self.waiting])[-1 if older else 0]
        exchange_ns = stamp.get("T", stamp["E"]) * 1_000_000
        self.rows.append((exchange_ns, local_ns, "0", "0", CLEAR, 0))
        for side, name in ((1, "bids"), (-1, "asks")):
            for price, size in book[name]:
                self.rows.append((exchange_ns, local_ns, price, size, SNAPSHOT, side))
        for _, data in self.waiting:
            self.depth(local_ns, data)
        self.waiting.clear()

    def depth(self, local_ns: int, data: dict) -> None:
        if self.last_id is None:
            self.waiting.append((local_ns, data))
            if self.book is not None:
                book, self.book = self.book, None
                self.snapshot(local_ns, book)
            return
        if data["u"] <= self.last_id:
            return
        # Spot numbers every change, futures name the message before; both bridge the snapshot.
        follows = data["pu"] == self.last_id if "pu" in data else data["U"] == self.last_id + 1
        if not (follows if self.chained else data["U"] <= self.last_id + 1):
            raise SequenceGap(
                f"{self.symbol}: message {data['U']} to {data['u']} follows {self.last_id}"
            )
        self.last_id, self.chained = data["u"], True
        exchange_ns = data.get("T", data["E"]) * 1_000_000
        for side, name in ((1, "b"), (-1, "a")):
            for price, size in data[name]:
                self.rows.append((exchange_ns, local_ns, price, size, DEPTH, side))

    def message(self, local_ns: int, packet: dict) -> None:
        if "lastUpdateId" in packet:
            self.snapshot(local_ns, packet)
            return
        data = packet["data"]
        self.symbol = data["s"]
        kind = packet["stream"].partition("@")[2]
        if kind.startswith("depth"):
            self.depth(local_ns, data)
        elif self.last_id is None:
            return
        elif kind == "trade":
            side = -1 if data["m"] else 1
            row = (data["T"] * 1_000_000, local_ns, data["p"], data["q"], TRADE, side)
            self.rows.append(row)
        elif kind == "bookTicker":
            time_ns = data["T"] * 1_000_000 if "T" in data else -1
            prices = (data["b"], data["B"], data["a"], data["A"])
            self.quotes.append((time_ns, local_ns, data["u"], *prices))


def _places(numbers: pd.Series) -> int:
    """Most decimal places among distinct decimal texts."""
    return int(numbers.str.rstrip("0").str.partition(".")[2].str.len().max())


def _whole(numbers: pd.Series, places: int) -> np.ndarray:
    """Decimal texts in units of their last place, exactly."""
    codes, texts = pd.factorize(numbers)
    return np.array([int(Decimal(text).scaleb(places)) for text in texts])[codes]


# Currencies that symbols are quoted in; no name is the end of another.
QUOTES = ("USDT", "FDUSD", "USDC", "TUSD", "BTC", "ETH", "TRY", "EUR")


def _pair(symbol: str) -> str:
    """BASE/QUOTE of a symbol that Binance writes in one word."""
    for quote in QUOTES:
        base = symbol.removesuffix(quote)
        if base and base != symbol:
            return f"{base}/{quote}"
    raise ValueError(f"files: the symbol must be quoted in one of {QUOTES}, got {symbol!r}")


def binance_stream(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """Raw Binance combined stream of one symbol, `<local ns> <JSON>` a line, gzip.

    Tables `events`, `markets`, and `quotes` (the venue's own best quotes; `exchange_ns` is -1
    where the venue gives no time). What came before the REST snapshot is used only as far as it
    bridges it. A snapshot that comes before any depth message counts from the first of them on,
    and so does what follows.

    Raises
    ------
    SequenceGap
        A depth message is missing.
    ValueError
        There is no snapshot, or none that a depth message follows, or more than one; or the symbol
        is quoted in a currency that is not in QUOTES.
    """
    (content,) = files.values()
    stream = _BinanceStream()
    for line in gzip.decompress(content).splitlines():
        stamp, _, frame = line.partition(b" ")
        stream.message(int(stamp), json.loads(frame))
    if stream.book is not None:
        raise ValueError("files: the recording holds no depth message")
    if stream.last_id is None:
        raise ValueError("files: the recording holds no snapshot of the book")
    events = pd.DataFrame(stream.rows, columns=EVENT_DTYPE.names)
    places = {name: _places(events[name].drop_duplicates()) for name in ("price", "size")}
    for name, digits in places.items():
        events[name] = _whole(events[name], digits)
    names = ["exchange_ns", "local_ns", "update_id", "bid", "bid_size", "ask", "ask_size"]
    quotes = pd.DataFrame(stream.quotes, columns=names)
    for name in names[3:]:
        quotes[name] = _whole(quotes[name], places["size" if "size" in name else "price"])
    symbol = _pair(stream.symbol)
    grid = {
        f"{word}_size": float(Decimal(1).scaleb(-places[name]))
        for word, name in (("tick", "price"), ("lot", "size"))
    }
    markets = pd.DataFrame(grid, index=pd.Index([symbol], name="symbol"))
    return {"events": events, "markets": markets, "quotes": quotes}


def binance_trades(files: Mapping[str, bytes]) -> dict[str, pd.DataFrame]:
    """Trades of several Binance markets from one Parquet table.

    Table `trades`: `market` such as "spot BTC/USDT", `exchange_ns`, `local_ns`, `side` of the taker
    (1 buys), `price` and `size` (coin-margined: contracts), sorted by market and trade id.
    """
    (content,) = files.values()
    raw = pd.read_parquet(io.BytesIO(content)).sort_values(["venue", "symbol", "trade_id"])
    venue = raw["venue"].astype(str).map({"spot": "spot", "usdm": "USD-M", "cm": "COIN-M"})
    pair = raw["symbol"].astype(str).str.upper().str.removesuffix("_PERP")
    coin = pair.str.removesuffix("USD") + "/USD"
    pair = coin.where(venue == "COIN-M", pair.str.removesuffix("USDT") + "/USDT")
    trades = pd.DataFrame(
        {
            "market": (venue + " " + pair).astype("category"),
            "exchange_ns": raw["exch_ms"] * 1_000_000,
            "local_ns": raw["local_ns"],
            "side": np.where(raw["buyer_is_maker"], -1, 1),
            "price": raw["price"],
            "size": raw["qty"],
        }
    )
    return {"trades": trades.reset_index(drop=True)}


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
    "binance_stream": binance_stream,
    "binance_trades": binance_trades,
    "ecb_reference_rates": ecb_reference_rates,
    "fed_h15": fed_h15,
    "parquet_tables": parquet_tables,
    "poloniex_book_lv2": poloniex_book_lv2,
    "quarterly_csv": quarterly_csv,
    "treasury_par_yields": treasury_par_yields,
}
