"""The `labkit` command: run chapters, look at results and data, and say what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import labkit
from labkit import data as _data
from labkit import experiments
from labkit._warm import available as warm_available
from labkit.errors import LabkitError, RunFailed, SweepStopped

__all__ = ["app", "main"]

app = typer.Typer(
    help="Experiments and data of the book.", no_args_is_help=True, pretty_exceptions_enable=False
)
data_app = typer.Typer(help="Data sets: what there is, and how to get it.", no_args_is_help=True)
app.add_typer(data_app, name="data")
out = Console()
err = Console(stderr=True)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"labkit {labkit.__version__} ({labkit.backend()} backend)")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Experiments and data of the book."""


@app.command()
def run(
    chapter: Annotated[str, typer.Argument(help="Name of a chapter, or path of its notebook.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            help="NAME VALUE or NAME=VALUE, for each parameter that differs from its default.",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
    force: Annotated[bool, typer.Option(help="Run again even if it was done before.")] = False,
) -> None:
    """Run a chapter with other parameters and print what it recorded."""
    values = _values(chapter, parameter)
    done = experiments.run(chapter, values, out=folder, force=force, progress=out.is_terminal)
    table = Table("result", "value", title=f"{done.provenance['notebook']} {done.path.name}")
    for name, value in done.results.items():
        table.add_row(name, f"{value:.8g}" if isinstance(value, float) else escape(str(value)))
    out.print(table)
    how = "found, it was done before" if done.reused else f"{done.provenance['wall_seconds']:.1f} s"
    out.print(f"{done.notebook} ({how})", soft_wrap=True)


def _values(chapter: str, texts: list[str] | None) -> dict[str, Any]:
    """Parameters given as NAME=VALUE, by the types of the chapter's defaults."""
    asked = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is neither NAME VALUE nor NAME=VALUE")
        if name in asked:
            raise typer.BadParameter(f"parameter {name} is given twice")
        asked[name] = value
    return experiments.parse(chapter, asked)


@app.command()
def sweep(
    chapter: Annotated[
        str, typer.Argument(help="A chapter, or a sweep of notebooks/sweeps (name or file).")
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "-g",
            "--grid",
            help="NAME=1,2,5 or NAME=0:100 for all combinations, NAME=0.1..2 or "
            "NAME=log:0.1..10 for a range to draw from.",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="NAME VALUE or NAME=VALUE, for all points."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Draw so many points: of the ranges, or of the combinations.",
        ),
    ] = None,
    method: Annotated[
        Literal["sobol", "random"] | None,
        typer.Option(help="How points of ranges are drawn; default: sobol."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the drawing; default: 0.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Points at a time; default: as many as processors.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processors that a point may use.")] = 1,
    seconds: Annotated[float | None, typer.Option("--timeout", help="Seconds a point has.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory a point has, such as 2000M or 4G.")
    ] = None,
    engine: Annotated[
        Literal["auto", "warm", "papermill"],
        typer.Option(help="Kernels that are forked, or started anew."),
    ] = "auto",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:8786.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="local: Dask's own workers on this machine.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep.")] = None,
    folder: Annotated[str, typer.Option("--out", help="Folder or URL of the runs.")] = "runs",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run.")] = False,
) -> None:
    """Run a chapter at many points; what was done before is not done again."""
    if dask not in (None, "local"):
        raise typer.BadParameter(f"--dask is local, got {dask!r}; a cluster is a --scheduler")
    if dask and scheduler:
        raise typer.BadParameter("give --dask local or --scheduler, not both")
    settings = experiments.Settings(
        jobs, threads, engine, scheduler or dask, seconds, _megabytes(memory)
    )
    if sample is None and (method or seed is not None):
        raise typer.BadParameter("--method and --seed belong to --sample")
    if (grid or parameter or sample) and experiments.sweep_file(chapter):
        raise typer.BadParameter("-g, -p and --sample: the points of a sweep's file are given")
    if grid or parameter or sample:
        drawn = None
        if sample:
            drawn = experiments.Sample(points=sample, method=method or "sobol", seed=seed or 0)
        points = experiments.plan_from_options(
            chapter, grid or [], drawn, _values(chapter, parameter)
        )
        prepared = experiments.prepared_sweep(points, out=folder, name=name)
    else:
        prepared = experiments.prepared_sweep(chapter, out=folder, name=name)
    if dry_run or err.is_terminal:
        _show_plan(prepared, settings)
    if dry_run:
        return
    state = experiments.Report(len(prepared.runs), reused=len(prepared.rows))
    try:
        with experiments.shown(err.is_terminal) as bar:

            def told(report: experiments.Report, run: str | None) -> None:
                nonlocal state
                state = report
                bar(report, run)
                if run in report.failed and not err.is_terminal:
                    line = f"{run} failed: {report.failed[run]}"
                    err.print(line, soft_wrap=True, markup=False, highlight=False)

            _, state = experiments.run_sweep(prepared, settings, told)
    except KeyboardInterrupt as reason:
        err.print(
            f"labkit: interrupted after {state.ended} of {state.points} points, which are kept in "
            f"{prepared.table}; the same command goes on",
            style="red",
            soft_wrap=True,
            markup=False,
        )
        _summary(prepared, state)
        raise typer.Exit(143 if str(reason) else 130) from None
    except SweepStopped:
        _summary(prepared, state)
        raise
    _summary(prepared, state)
    experiments.refuse_failures(prepared, state)


def _summary(prepared: experiments.Prepared, state: experiments.Report) -> None:
    """What came of a sweep, however it ended: in words, or off a terminal as a line of JSON."""
    if out.is_terminal:
        how = f"{state.finished} run, {state.reused} found, {len(state.failed)} failed"
        out.print(f"{state.points} points: {how}\n{prepared.table}", soft_wrap=True, markup=False)
        return
    summary = {
        "sweep": prepared.name,
        "points": state.points,
        "finished": state.finished,
        "reused": state.reused,
        "failed": len(state.failed),
        "table": prepared.table,
    }
    sys.stdout.write(json.dumps(summary) + "\n")


def _megabytes(text: str | None) -> float | None:
    """`800M` or `4G` in megabytes."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MG])i?B?", text.strip(), flags=re.IGNORECASE)
    if not found:
        raise typer.BadParameter(f"--memory is a number of M or G, such as 4G; got {text!r}")
    return float(found[1]) * (1024 if found[2].upper() == "G" else 1)


def _show_plan(prepared: experiments.Prepared, settings: experiments.Settings) -> None:
    """What a sweep will run, and how long that may take."""
    plan = prepared.plan
    table = Table("parameter", "values", title=f"{plan.notebook.stem}: {prepared.name}")
    values = [plan.values(point) for point in plan.points]
    for name in values[0]:
        column = list(dict.fromkeys(str(point[name]) for point in values))
        few = column if len(column) <= 8 else [*column[:3], "...", *column[-2:]]
        text = ", ".join(few) + (f"  ({len(column)})" if few != column else "")
        table.add_row(name, escape(text))
    err.print(table)
    seconds = prepared.estimate(settings.workers)
    where = f"on {settings.scheduler}" if settings.scheduler else f"{settings.workers} at a time"
    took = (
        "no run of this chapter here yet, so no estimate"
        if seconds is None
        else f"about {_span(seconds)} by earlier runs"
    )
    done = f", {len(prepared.rows)} of them done" if prepared.rows else ""
    err.print(f"{len(prepared.runs)} points{done}; {where}, {took}", soft_wrap=True)
    if settings.engine == "auto" and not warm_available() and not settings.scheduler:
        err.print("kernels cannot be forked on this system: each point starts its own")


def _span(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@app.command()
def results(
    what: Annotated[
        str, typer.Argument(help="Name of a chapter or a sweep, or where their results are.")
    ],
    folder: Annotated[str, typer.Option("--out", help="Folder or URL of the runs.")] = "runs",
    csv: Annotated[bool, typer.Option("--csv", help="Print the whole table as CSV.")] = False,
) -> None:
    """A sweep's table, or the latest runs of a chapter, one a column; all of them with --csv."""
    table = experiments.results(what, out=folder)
    if csv:
        sys.stdout.write(table.to_csv())
        return
    width = max(map(len, table.columns)) + 5
    latest = table.tail(max(1, (out.width - width) // 15))
    shown = Table("run", *latest.index)
    for name, values in latest.items():
        shown.add_row(escape(name), *(escape(_short(value)) for value in values))
    out.print(shown)
    if len(latest) < len(table):
        out.print(f"the latest {len(latest)} of {len(table)} runs; --csv prints all")
    points = table.attrs.get("points", len(table))
    if points > len(table):
        out.print(f"{points - len(table)} of {points} points have not ended")


def _short(value: object) -> str:
    """A value of a table: six digits of a number, nothing for none."""
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@data_app.command("list")
def data_list() -> None:
    """All data sets, and whether each is at hand."""
    table = Table("name", "kind", "at hand", "title")
    for name, row in _data.catalogue().iterrows():
        table.add_row(str(name), row["kind"], row["place"] or "no", row["title"])
    out.print(table)


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names of data sets.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are not at hand.")] = False,
) -> None:
    """Download data sets from where they are published and check their hashes."""
    if bool(names) == everything:
        raise typer.BadParameter("give the names of data sets, or --all")
    table = _data.catalogue()
    missing = table[table["place"] == ""]
    for name in missing.index[missing["url"] == ""] if everything else ():
        out.print(f"{name}: no published address, left out")
    for name in names or missing.index[missing["url"] != ""]:
        for path in _data.fetch(name, progress=out.is_terminal):
            out.print(str(path), soft_wrap=True)


@data_app.command("verify")
def data_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all if none.")] = None,
) -> None:
    """Check the hashes of the data sets that are at hand."""
    bad = 0
    for name in names or _data.catalogue().index:
        if not names and not _data.available(name):
            out.print(f"{name}: not at hand")
            continue
        try:
            out.print(f"{name}: good ({_data.verify(name)})")
        except LabkitError as error:
            bad += 1
            out.print(f"{name}: {error}", soft_wrap=True)
    if bad:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """What is installed, which backend serves, which data are at hand, and what to do."""
    table = Table("what", "found", "what to do")
    table.add_row("Python", platform.python_version(), "")
    name = labkit.backend()
    forced = os.environ.get("LABKIT_BACKEND")
    advice = ""
    if name == "reference":
        advice = (
            "unset LABKIT_BACKEND"
            if forced == "reference" and importlib.util.find_spec("labkit._kernels")
            else "install a Rust toolchain (rustup), then: make install"
        )
    table.add_row("backend", name, advice)
    for package in ("numpy", "pandas", "plotly", "statsmodels", "papermill"):
        table.add_row(package, metadata.version(package), "")
    for package in ("jupytext", "jupyter-book", "jupyterlab"):
        found = _installed(package)
        table.add_row(package, found or "not installed", "" if found else "make install")
    for tools, use in (
        (("cargo",), "builds the Rust kernels"),
        (("npm",), "gets MathJax for the book; without it a Python package does"),
        (("chromium", "chromium-browser", "google-chrome"), "opens the built pages in tests"),
    ):
        found = next((tool for tool in tools if shutil.which(tool)), None)
        table.add_row(found or tools[0], "yes" if found else "no", "" if found else use)
    for dataset, row in _data.catalogue().iterrows():
        remedy = f"labkit data fetch {dataset}" if row["url"] else "name its folder in a mirror"
        missing = "" if row["place"] else remedy
        table.add_row(f"data: {dataset}", row["place"] or "not at hand", missing)
    out.print(table)


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _join_pairs(words: list[str]) -> list[str]:
    """`-p NAME VALUE`, papermill's spelling, as `-p NAME=VALUE`."""
    joined, i = [], 0
    while i < len(words):
        if words[i] in ("-p", "--parameter") and i + 2 < len(words) and "=" not in words[i + 1]:
            joined += [words[i], f"{words[i + 1]}={words[i + 2]}"]
            i += 3
        else:
            joined.append(words[i])
            i += 1
    return joined


def main() -> None:
    """Entry point: labkit's own errors are one line on standard error and exit status 1."""
    try:
        app(_join_pairs(sys.argv[1:]))
    except (LabkitError, ValueError) as error:
        err.print(f"labkit: {error}", style="red", soft_wrap=True, markup=False)
        sys.exit(2 if isinstance(error, ValueError) and not isinstance(error, RunFailed) else 1)
