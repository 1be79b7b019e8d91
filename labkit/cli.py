"""The `labkit` command: run chapters, look at results and data, and say what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import labkit
from labkit import data as _data
from labkit import experiments
from labkit.errors import LabkitError, RunFailed

__all__ = ["app", "main"]

app = typer.Typer(
    help="Experiments and data of the book.", no_args_is_help=True, pretty_exceptions_enable=False
)
data_app = typer.Typer(help="Data sets: what there is, and how to get it.", no_args_is_help=True)
app.add_typer(data_app, name="data")
out = Console()


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
    asked = {}
    for text in parameter or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is neither NAME VALUE nor NAME=VALUE")
        if name in asked:
            raise typer.BadParameter(f"parameter {name} is given twice")
        asked[name] = value
    values = experiments.parse(chapter, asked)
    done = experiments.run(chapter, values, out=folder, force=force, progress=out.is_terminal)
    table = Table("result", "value", title=f"{done.provenance['notebook']} {done.path.name}")
    for name, value in done.results.items():
        table.add_row(name, f"{value:.8g}" if isinstance(value, float) else str(value))
    out.print(table)
    how = "found, it was done before" if done.reused else f"{done.provenance['wall_seconds']:.1f} s"
    out.print(f"{done.notebook} ({how})", soft_wrap=True)


@app.command()
def results(
    chapter: Annotated[str, typer.Argument(help="Name of a chapter, or folder of its runs.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
    csv: Annotated[bool, typer.Option("--csv", help="Print the whole table as CSV.")] = False,
) -> None:
    """The latest runs of a chapter, one a column, as many as fit; all of them with --csv."""
    table = experiments.results(chapter, out=folder)
    if csv:
        sys.stdout.write(table.to_csv())
        return
    width = max(map(len, table.columns)) + 5
    latest = table.tail(max(1, (out.width - width) // 15))
    shown = Table("run", *latest.index)
    for name, values in latest.items():
        shown.add_row(name, *map(_short, values))
    out.print(shown)
    if len(latest) < len(table):
        out.print(f"the latest {len(latest)} of {len(table)} runs; --csv prints all")


def _short(value: object) -> str:
    """A value of a table: six digits of a number, nothing for none."""
    if value is None or value != value:
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
        Console(stderr=True).print(f"labkit: {error}", style="red", soft_wrap=True, markup=False)
        sys.exit(2 if isinstance(error, ValueError) and not isinstance(error, RunFailed) else 1)
