"""Chapters as experiments: parameters checked first, papermill runs, results and provenance kept.

A chapter has one code cell tagged `parameters`, of plain literals. `run` checks what is asked
against that cell before any kernel starts, executes the notebook with papermill, and leaves a
folder `runs/<notebook>/<id>/` with the executed notebook, its recorded results and where they
come from. The id is a hash of all that the outputs depend on (notebook, parameters, labkit,
kernels, data registry and committed data, pinned versions), so a run that was done is found
again and not repeated. `sweep` does the same for many points at once: a point is such a run.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit._chapter import (
    Parameter,
    check,
    fingerprints,
    notebook_path,
    parameters,
    parameters_of,
    parse,
    published_sweep_path,
    read_notebook,
    stamp,
)
from labkit._paths import absolute_places, project_root
from labkit._plan import Plan, Range, Sample, plan, read_sweep
from labkit._plan import from_options as plan_from_options
from labkit._point import PREFIX, execute, job_of
from labkit._store import Store, is_url
from labkit._sweep import (
    TABLE,
    Prepared,
    Report,
    Settings,
    prepare,
    refuse_failures,
    run_id,
    run_sweep,
    shown,
)
from labkit.errors import DataUnavailable, RunFailed

__all__ = [
    "Parameter",
    "Plan",
    "Prepared",
    "Range",
    "Report",
    "Run",
    "Sample",
    "Settings",
    "notebook_path",
    "parameters",
    "parse",
    "plan",
    "plan_from_options",
    "prepared_sweep",
    "published_sweep",
    "read_sweep",
    "record",
    "refuse_failures",
    "results",
    "run",
    "run_sweep",
    "shown",
    "sweep",
    "sweep_file",
]


# Of the tables of `results`, beside what a chapter records.
_COLUMNS = ("run", "status", "error", "started", "wall_seconds", "backend")


@dataclass(frozen=True)
class Run:
    """One executed chapter.

    Attributes
    ----------
    path : Path
        Its folder.
    parameters : dict
        The values that differ from the chapter's defaults.
    results : dict
        What the chapter recorded.
    provenance : dict
        Where the results come from.
    reused : bool
        True when the run had been done before.
    """

    path: Path
    parameters: dict[str, Any]
    results: dict[str, Any]
    provenance: dict[str, Any] = field(repr=False)
    reused: bool = False

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.path / "notebook.ipynb"


def record(**values: Any) -> None:
    """Record results of a chapter under their names.

    A recorded value lands in the run's `results.json` and in the table of `results`, and the
    chapter's text can cite it as ``{glue:text}`name```. Nothing is shown in the notebook.

    Parameters
    ----------
    **values
        Numbers, strings, booleans or None. NumPy scalars become Python ones.

    Raises
    ------
    TypeError
        A value is of another type.
    ValueError
        A value is infinite (NaN is recorded: "no value" is a result), or its name is a column
        that every table of runs has.
    """
    from IPython.display import display

    for name, value in values.items():
        if name in _COLUMNS or name.startswith("parameters."):
            raise ValueError(f"{name}: a column of every table of runs, record another name")
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, int | float | str | bool | None):
            raise TypeError(f"{name}: cannot record a {type(value).__name__}, only plain values")
        if isinstance(plain, float) and math.isinf(plain):
            raise ValueError(f"{name}: cannot record an infinite value")
        coded = None if isinstance(plain, float) and math.isnan(plain) else plain
        display(
            {f"{PREFIX}text/plain": repr(plain), f"{PREFIX}application/json": json.dumps(coded)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": PREFIX}},
        )


def _read(store: Store, run: str, asked: dict[str, Any], *, reused: bool) -> Run:
    recorded, provenance = (store.read_json(run, f"{x}.json") for x in ("results", "provenance"))
    return Run(Path(store.place(run)), asked, recorded, provenance, reused)


def run(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    out: str | Path = "runs",
    force: bool = False,
    progress: bool = False,
    **more: Any,
) -> Run:
    """Execute a chapter with papermill, or find the run that was done with the same inputs.

    Parameters
    ----------
    notebook : str or Path
        A chapter's name (`"triangular_arbitrage"`) or the path of its notebook.
    parameters : mapping, optional
        Values that replace the chapter's defaults; also accepted as keywords.
    out : str or Path
        Folder of the runs; the run is `<out>/<notebook>/<id>/`.
    force : bool
        Run again even if the same run was done before.
    progress : bool
        Show papermill's progress bar.

    Returns
    -------
    Run
        With the executed notebook, the recorded results and their provenance.

    Raises
    ------
    UnknownParameter
        A name that the chapter does not have, or a value of the wrong type. No kernel was
        started.
    RunFailed
        A cell raised. The folder named in the message holds the notebook with the traceback.
    """
    path = notebook_path(notebook)
    content = read_notebook(path)
    asked = check(parameters_of(content, path.stem), {**(parameters or {}), **more}, path.stem)
    unchanged, prints = stamp(), fingerprints(path)
    store = Store(out, path.stem)
    if store.local is None:
        raise ValueError(f"out: a single run is kept in a folder, not at {out}; a sweep can be")
    name = run_id(prints, asked)
    if not force and name in store.runs():
        done = _read(store, name, asked, reused=True)
        if done.provenance["status"] == "finished":
            return done
    absolute_places()
    working = store.local / f".{name}-{os.getpid()}"
    working.mkdir(parents=True)
    try:
        outcome = execute(job_of(path, content, prints), asked, working, progress=progress)
        if stamp() != unchanged and fingerprints(path, content) != prints:
            raise RunFailed(f"{path.stem}: labkit, its kernels or the data changed while it ran")
        store.publish(working, name)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    done = _read(store, name, asked, reused=False)
    if outcome.error:
        raise RunFailed(f"{path.stem} failed with {outcome.error}; see {done.notebook}")
    return done


def sweep(
    notebook: str | Path | Plan,
    grid: Mapping[str, Any] | None = None,
    *,
    zip: Mapping[str, Any] | None = None,
    sample: Sample | None = None,
    fixed: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    jobs: int | None = None,
    threads: int = 1,
    engine: str = "auto",
    scheduler: str | None = None,
    seconds: float | None = None,
    memory_mb: float | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Run a chapter at many points, and only those that have not been run.

    Every point is checked before the first runs. A point is a run like that of `run`, without the
    cells tagged `sweep`, which draw published sweeps. However a sweep ends, what finished is kept
    and the same call goes on.

    Parameters
    ----------
    notebook : str, Path or Plan
        A chapter, a file of notebooks/sweeps (its path, or its name), or a plan.
    grid, zip, sample, fixed
        As in `plan`; none of them with a file or a plan.
    out : str or Path
        Folder of the runs, or a URL that fsspec knows (`s3://bucket/runs`).
    name : str, optional
        Of the sweep; by default the file's, or a hash of its points.
    jobs : int, optional
        Points at a time; by default one for each `threads` processors.
    threads : int
        Of BLAS, OpenMP and the Rust kernels, and processors that a point may use.
    engine : {"auto", "warm", "papermill"}
        Kernels forked from a process that has imported everything, or started anew; "auto" forks
        where the system can (Linux).
    scheduler : str, optional
        Address of a Dask scheduler (`tcp://host:8786`), or "local".
    seconds, memory_mb : float, optional
        Limits of a point: its wall time, and its memory with what the libraries take (Linux).
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    DataFrame
        As `results` reads it: one row for each point, in the order of the plan.

    Raises
    ------
    UnknownParameter, ValueError
        The plan is wrong; nothing was run.
    RunFailed
        Points failed. All others have run, and the message names the notebooks with tracebacks.
    SweepStopped
        The disk is full, or another process runs the same sweep.
    """
    prepared = prepared_sweep(
        notebook, grid, zip=zip, sample=sample, fixed=fixed, out=out, name=name
    )
    settings = Settings(jobs, threads, engine, scheduler, seconds, memory_mb)
    with shown(progress) as told:
        table, report = run_sweep(prepared, settings, told)
    refuse_failures(prepared, report)
    return table


def prepared_sweep(
    notebook: str | Path | Plan,
    grid: Mapping[str, Any] | None = None,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    **more: Any,
) -> Prepared:
    """What `sweep` would run, checked: its points, and which of them are done."""
    asked = {key: value for key, value in {"grid": grid, **more}.items() if value}
    file = None if isinstance(notebook, Plan) else sweep_file(notebook)
    if (file is not None or isinstance(notebook, Plan)) and asked:
        raise ValueError(f"{next(iter(asked))}: the points are given already, by a file or a plan")
    if isinstance(notebook, Plan):
        return prepare(notebook, out, name)
    if file is None:
        given = plan(notebook, grid, **{("zip_" if k == "zip" else k): v for k, v in more.items()})
        return prepare(given, out, name)
    stated = read_sweep(file)
    given = plan(
        stated.chapter, stated.grid, zip_=stated.zip, sample=stated.sample, fixed=stated.fixed
    )
    return prepare(given, out, name or file.stem, stated.title)


def sweep_file(notebook: str | Path) -> Path | None:
    """The file that states a sweep, by its path or by its name in notebooks/sweeps."""
    path = Path(notebook)
    if path.suffix in (".yml", ".yaml"):
        if not path.is_file():
            raise ValueError(f"notebook: no file {path}")
        return path
    named = project_root() / "notebooks" / "sweeps" / f"{path.name}.yml"
    return named if path.parent == Path() and named.is_file() else None


def published_sweep(name: str) -> pd.DataFrame:
    """Table of a sweep that the book publishes, as `make sweeps` left it in book/sweeps.

    Parameters
    ----------
    name : str
        Of its file in notebooks/sweeps.

    Returns
    -------
    DataFrame
        One row for each point: parameters as `parameters.NAME`, recorded results by name.
        Its `attrs` say which chapter, plan, commit and backend it is from.

    Raises
    ------
    DataUnavailable
        There is no such table; the message says how to make it.
    """
    path = published_sweep_path(name)
    if not path.is_file():
        raise DataUnavailable(f"no table of the sweep {name!r} in {path.parent}; make sweeps")
    return pd.read_parquet(path)


def results(path: str | Path, *, out: str | Path = "runs") -> pd.DataFrame:
    """Table of a sweep, or of all runs of a chapter, newest last.

    Parameters
    ----------
    path : str or Path
        Name of a sweep or of a chapter, a folder that holds the runs of a chapter or the table of
        a sweep, or the file or URL of such a table.
    out : str or Path
        Where to look for what is given by name; a folder, or a URL that fsspec knows.

    Returns
    -------
    DataFrame
        Indexed by run id. Of a sweep: every parameter that varies (as `parameters.NAME`), each
        recorded result under its name, `status` and `error`, in the order of the plan; a point
        that has not ended has no row. Of a chapter: `status`, `started`, `wall_seconds` and
        `backend` come first, and parameters are those that were set.

    Raises
    ------
    ValueError
        There are no runs there, or a file of a run cannot be read.
    """
    text = str(path)
    if text.endswith(".parquet"):
        return _table(text)
    if not is_url(text) and (Path(text) / TABLE).is_file():
        return _table(str(Path(text) / TABLE))
    if is_url(text) or (Path(text).is_dir() and not Store(out, Path(text).stem).runs()):
        parent, _, chapter = text.rstrip("/").rpartition("/")
        store = Store(parent or ".", chapter)
    else:
        store = Store(out, Path(text).stem)
    runs = store.runs()
    provenance = store.read_runs(runs, "provenance.json")
    recorded = store.read_runs(runs, "results.json")
    rows = {
        run: {
            **{key: given[key] for key in _COLUMNS if key not in ("run", "error")},
            **{f"parameters.{k}": v for k, v in given["parameters"].items()},
            **recorded[run],
            **({"error": given["error"]} if given["error"] else {}),
        }
        for run, given in provenance.items()
    }
    if rows:
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
        return table.sort_values("started")
    tables = Store(out, "").tables(text)
    if len(tables) > 1:
        raise ValueError(f"path: more than one sweep {text!r}: {', '.join(tables)}")
    if not tables:
        raise ValueError(f"path: no runs in {store.place()}, and no sweep {text!r} in {out}")
    return _table(tables[0])


def _table(place: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(place)
    except (OSError, ValueError) as error:
        raise ValueError(f"path: {place} is no table of a sweep: {error}") from error
