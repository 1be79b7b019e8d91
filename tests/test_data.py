import gzip
import hashlib
import http.server
import threading

import numpy as np
import pandas as pd
import pytest

from labkit import _readers, data
from labkit.errors import DataCorrupt, DataUnavailable, SequenceGap

REAL = "poloniex_triangle_20220821"


def test_in_ci_no_recording_is_missing(in_ci):
    if not in_ci:
        pytest.skip("only CI promises that every recording is at hand")
    table = data.catalogue()
    assert list(table.index[table["place"] == ""]) == []


@pytest.mark.parametrize("name", data.catalogue().index)
def test_every_set_at_hand_has_its_hash(name):
    if not data.available(name):
        pytest.skip(f"{name} is not at hand (labkit data fetch {name})")
    assert data.verify(name) in ("project", "cache", "mirror")


def test_an_unknown_set_is_refused_and_the_known_ones_named():
    for function in (data.load, data.fetch, data.verify, data.available, data.locate):
        with pytest.raises(ValueError, match=r"no data set 'nope'; there are .*simulated_triangle"):
            function("nope")


def test_a_missing_recording_raises_with_the_command_that_gets_it(no_recordings):
    with pytest.raises(DataUnavailable, match=f"labkit data fetch {REAL}"):
        data.load(REAL)
    assert not data.available(REAL)
    assert data.catalogue().loc[REAL, "place"] == ""


def test_a_changed_file_is_refused(no_recordings, monkeypatch, tmp_path):
    folder = tmp_path / "mirror" / REAL
    folder.mkdir(parents=True)
    (folder / "POLONIEX.ws.1.0.txt.gz").write_bytes(gzip.compress(b"1: {}"))
    monkeypatch.setenv("LABKIT_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(
        DataCorrupt, match=r"POLONIEX.ws.1.0.txt: SHA-256 of the copy in the mirror is"
    ):
        data.load(REAL)


def test_a_truncated_archive_is_refused(no_recordings, monkeypatch, tmp_path):
    folder = tmp_path / "mirror" / REAL
    folder.mkdir(parents=True)
    (folder / "POLONIEX.ws.1.0.txt.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    monkeypatch.setenv("LABKIT_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DataCorrupt, match="cannot be read"):
        data.load(REAL)


def served(monkeypatch, content):
    """The registry's recording, published by a server on the loopback instead."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    entry = data._entry(REAL)
    file = entry.files[0].model_copy(
        update={
            "url": f"http://127.0.0.1:{server.server_port}/session",
            "sha256": hashlib.sha256(FRAMES.encode()).hexdigest(),
        }
    )
    monkeypatch.setattr(data, "_entry", lambda name: entry.model_copy(update={"files": [file]}))
    return server


def frame(time, action, symbol, last, ident, bids, asks):
    import json

    book = {"symbol": symbol, "createTime": 1, "bids": bids, "asks": asks}
    book |= {"lastId": last, "id": ident, "ts": 1661123517823}
    return f"{time}: " + json.dumps(
        {"channel": "book_lv2", "data": [book], "action": action}, separators=(",", ":")
    )


FRAMES = "\n".join(
    [
        "wss://example <-> 1.0",
        '0.5: {"event":"subscribe","channel":"book_lv2"}',
        frame("1661123517.8535650", "snapshot", "A_B", 4, 5, [["9.5", "1"]], [["10.25", "2.500"]]),
        frame("1661123517.9", "update", "A_B", 5, 6, [], [["10.25", "0"], ["10.5", "0.001"]]),
    ]
)


def test_fetch_downloads_checks_and_then_load_finds_it(no_recordings, monkeypatch):
    server = served(monkeypatch, FRAMES.encode())
    (path,) = data.fetch(REAL)
    server.shutdown()
    assert path.read_text() == FRAMES
    loaded = data.load(REAL)
    assert loaded.place == "cache"
    assert len(loaded["events"]) == 4


def test_fetch_keeps_nothing_that_has_another_hash(no_recordings, monkeypatch):
    server = served(monkeypatch, b"something else")
    with pytest.raises(DataCorrupt):
        data.fetch(REAL)
    server.shutdown()
    assert not data.available(REAL)


def test_fetch_says_when_the_address_cannot_be_reached(no_recordings, monkeypatch):
    server = served(monkeypatch, b"")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataUnavailable, match="cannot be reached"):
        data.fetch(REAL)


def test_the_card_tells_origin_licence_defects_and_no_path():
    bundle = data.load("simulated_triangle")._repr_mimebundle_()
    assert "MIT" in bundle["text/plain"]
    assert "stand still" in bundle["text/html"]
    assert (
        "/" not in bundle["text/plain"].replace("USDT", "").split("Licence")[0].split("Origin")[1]
    )


def test_an_unknown_table_is_named():
    with pytest.raises(KeyError, match="has no table 'trades'; it has events, markets, planted"):
        data.load("simulated_triangle")["trades"]


def test_poloniex_reader_keeps_every_level_exactly():
    tables = _readers.poloniex_book_lv2({"x": FRAMES.encode()})
    events = tables["events"]
    assert events["local_ns"].iloc[0] == 1661123517853565000
    assert events["exchange_ns"].iloc[0] == 1661123517823000000
    assert events["message"].to_list() == [0, 0, 1, 1]
    assert events["snapshot"].to_list() == [True, True, False, False]
    assert events[["side", "price", "size"]].to_numpy().tolist() == [
        ["bid", 9.5, 1.0],
        ["ask", 10.25, 2.5],
        ["ask", 10.25, 0.0],
        ["ask", 10.5, 0.001],
    ]
    assert tables["markets"].loc["A/B"].to_list() == [0.01, 0.001]


def test_poloniex_reader_refuses_a_gap():
    gap = FRAMES + "\n" + frame("1661123518.0", "update", "A_B", 7, 8, [["9.4", "1"]], [])
    with pytest.raises(SequenceGap, match="A/B: message 8 follows 7, but 6 was the last one seen"):
        _readers.poloniex_book_lv2({"x": gap.encode()})


@pytest.mark.real_data(REAL)
def test_the_recording_has_the_figures_of_its_description():
    events = data.load(REAL)["events"]
    assert events["message"].nunique() == 294  # 11 snapshots and 283 updates
    assert events.loc[events["snapshot"], "message"].nunique() == 11
    by_symbol = events.groupby("symbol")["message"].nunique()
    assert by_symbol["BTC/USDT"] == 160
    assert by_symbol["BCH/USDT"] == 57
    assert by_symbol["BCH/BTC"] == 25
    assert events["local_ns"].is_monotonic_increasing


# ------------------------------------------------------------------ the simulated session


def test_the_committed_session_is_what_the_simulator_gives():
    made = data.simulate_triangle(7)
    stored = data.load("simulated_triangle")
    for name, table in made.items():
        pd.testing.assert_frame_equal(table, stored[name], check_dtype=False, rtol=1e-12)


def test_the_same_seed_gives_the_same_session_and_another_seed_another():
    one = data.simulate_triangle(3, duration_s=20, n_planted=2)
    two = data.simulate_triangle(np.random.default_rng(3), duration_s=20, n_planted=2)
    other = data.simulate_triangle(4, duration_s=20, n_planted=2)
    pd.testing.assert_frame_equal(one["events"], two["events"])
    assert not one["events"].equals(other["events"])


def test_prices_and_sizes_lie_on_their_grids():
    session = data.simulate_triangle(5, duration_s=20, n_planted=2)
    events = session["events"].merge(session["markets"], left_on="symbol", right_index=True)
    for value, grid in (("price", "tick_size"), ("size", "lot_size")):
        ratio = events[value] / events[grid]
        np.testing.assert_allclose(ratio, ratio.round(), atol=1e-6)


def test_messages_arrive_in_order_and_after_they_were_sent():
    events = data.simulate_triangle(6, duration_s=20, n_planted=2)["events"]
    assert events["message"].is_monotonic_increasing
    assert events["local_ns"].is_monotonic_increasing
    assert (events["local_ns"] > events["exchange_ns"]).all()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("duration_s", 0.0),
        ("duration_s", float("nan")),
        ("mean_life_ms", -1.0),
        ("half_spread_bps", 0.0),
        ("volatility_bps", float("inf")),
        ("quote_rate", -2.0),
        ("n_planted", -1),
        ("levels", 0),
        ("fee_bps", -1.0),
        ("edge_bps", (3.0, 1.0)),
        ("edge_bps", (1.0, float("inf"))),
        ("fee_bps", 9999.0),
        ("half_spread_bps", 20000.0),
        ("n_planted", 2.5),
        ("levels", 1.5),
    ],
)
def test_the_simulator_names_a_bad_argument(argument, value):
    with pytest.raises(ValueError, match=argument):
        data.simulate_triangle(1, **{argument: value})


def test_too_many_planted_opportunities_are_refused():
    with pytest.raises(ValueError, match="n_planted: 100 opportunities do not fit into 5"):
        data.simulate_triangle(1, duration_s=5.0, n_planted=100)
