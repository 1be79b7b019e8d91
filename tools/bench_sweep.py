"""What a sweep costs beside its points, as rows of `make bench`.

The first row is the time of a point, start included, against papermill starting a kernel for
each, both two at a time in one go. The others are the share of the book's own sweeps that is spent
outside the chapter: all CPU time of the command and its children, less that of the kernels, of
which what an empty notebook's kernel takes is counted as cost too. The first of them is the
shortest chapter, the second one of middling length.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_notebook

from labkit.experiments import published_sweep

ROOT = Path(__file__).resolve().parents[1]
POINTS = 100
PEER = 16  # of papermill's, half before and half after ours: they all cost the same
SWEEPS = ("triangular_fee_latency", "mean_reversion_window")
IMPORTS = """
import numpy, pandas, scipy.stats, statsmodels.api, plotly.express
from labkit.experiments import record
record(double=2 * n)
"""


def _write(path: Path, *cells: str) -> Path:
    notebook = new_notebook(
        cells=[
            new_code_cell("n = 0  # of the point", metadata={"tags": ["parameters"]}),
            *map(new_code_cell, cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}},
    )
    nbformat.write(notebook, path)
    return path


def _sweep(out: Path, *words: str) -> tuple[float, float]:
    """Wall and CPU seconds of a sweep by the command, two at a time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = "from labkit.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", *words, "--out", str(out), "--jobs", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def _one(notebook: str, target: str, n: int) -> None:
    import papermill

    papermill.execute_notebook(notebook, target, {"n": n}, progress_bar=False)


def _papermill(pool: ProcessPoolExecutor, notebook: Path, points: range) -> float:
    """Wall seconds of papermill for each of some points, in processes that have imported it."""
    start = time.perf_counter()
    targets = [str(notebook.with_name(f"{n}.ipynb")) for n in points]
    list(pool.map(_one, [str(notebook)] * len(points), targets, points))
    return time.perf_counter() - start


def _kernels(out: Path) -> list[float]:
    """CPU seconds of the kernel of each run in a folder."""
    files = out.glob("*/[!.]*/provenance.json")
    return [json.loads(file.read_text())["cpu_seconds"] for file in files]


def _row(workload: str, peer: str, ratio: float, spread: list[float], target: float, agree: bool):
    return {
        "kernel": "sweep",
        "workload": workload,
        "peer": peer,
        "ratio": float(f"{ratio:.3g}"),
        "spread": [float(f"{edge:.3g}") for edge in spread],
        "target": target,
        "reached": ratio <= target,
        "agree": agree,
    }


def _share(name: str, start: float, place: Path) -> dict[str, Any]:
    """The share of a published sweep's CPU that is not its chapter's; `start` is a kernel's."""
    shares, agree, book = [], True, published_sweep(name)
    for turn in range(2):
        out = place / f"{name}{turn}"
        _, total = _sweep(out, name)
        kernels = _kernels(out)
        (table,) = out.glob(f"*/sweeps/{name}/results.parquet")
        ours = pd.read_parquet(table).reset_index(drop=True)
        agree &= ours[book.columns].equals(book.reset_index(drop=True))
        shares.append(1 - sum(max(0.0, cpu - start) for cpu in kernels) / total)
    return _row(
        f"CPU outside the chapter, {name} ({len(book)} points)",
        "all CPU of the sweep",
        sum(shares) / 2,
        sorted(shares),
        0.1,
        agree,
    )


def rows() -> list[dict[str, Any]]:
    """The rows, measured."""
    place = Path(tempfile.mkdtemp(prefix="labkit-bench-"))
    try:
        notebook = _write(place / "imports.ipynb", IMPORTS)
        with ProcessPoolExecutor(2) as pool:
            _papermill(pool, notebook, range(2))  # their imports are not counted, ours are
            first = _papermill(pool, notebook, range(PEER // 2))
            ours, _ = _sweep(place / "runs", str(notebook), "-g", f"n=0:{POINTS}")
            second = _papermill(pool, notebook, range(PEER // 2, PEER))
        each = ours / POINTS
        theirs = [2 * first / PEER, 2 * second / PEER]
        agree = all(
            json.loads((run / "results.json").read_text())["double"]
            == 2 * json.loads((run / "provenance.json").read_text())["parameters"].get("n", 0)
            for run in (place / "runs" / "imports").glob("[!.s]*")
        )
        cost = _row(
            f"a point of {POINTS}, two at a time",
            "papermill, a kernel for each",
            each / (sum(theirs) / 2),
            sorted(each / one for one in theirs),
            0.12,
            agree,
        )
        empty = _write(place / "empty.ipynb", "n")
        _sweep(place / "empty", str(empty), "-g", "n=0:6")
        start = statistics.median(_kernels(place / "empty"))
        return [cost, *(_share(name, start, place) for name in SWEEPS)]
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    os.chdir(ROOT)
    print(json.dumps(rows(), indent=1))
