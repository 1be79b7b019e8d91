"""One run of a chapter: papermill executes it in a folder that holds all that came of it.

The same function serves `labkit run`, the workers of a sweep and Dask's. Part of
`labkit.experiments`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit import _warm
from labkit._backend import backend
from labkit._chapter import fingerprints, parameters_of, read_notebook, stamp
from labkit._paths import project_root
from labkit._store import Store
from labkit.data import MIME as DATASET_MIME

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["FULL_DISK", "Job", "Outcome", "execute", "job_of", "serve"]

# The prefix keeps a recorded value out of sight in the front ends; it is the one that myst-nb's
# glue uses, so that the book's prose can cite every recorded value by name.
PREFIX = "application/papermill.record/"
VERSIONS = ("labkit", "numpy", "pandas", "plotly", "statsmodels", "papermill")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """What all points of a sweep share.

    Attributes
    ----------
    name, folder : str
        The chapter, and where its kernel works.
    content : str
        The notebook, as JSON.
    fingerprints, constants : dict
        Parts of the provenance.
    engine : {"auto", "warm", "papermill", None}
        Kernels that are forked, or started anew; "auto" forks where the system can; None is
        papermill's own engine, without limits.
    seconds, memory_mb, threads
        Limits of a point.
    token : str
        Differs between sweeps: what a process has imported may be stale for the next.
    """

    name: str
    folder: str
    content: str
    fingerprints: dict[str, str]
    constants: dict[str, Any]
    engine: str | None = None
    seconds: float | None = None
    memory_mb: float | None = None
    threads: int = 1
    token: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a point: its row in the table, and whether it was the machine that failed.

    Attributes
    ----------
    status : {"finished", "failed"}
    error : str or None
    results : dict
    died : bool
        The kernel or its worker was killed, so another try may succeed.
    full : bool
        There was no room to write.
    """

    status: str
    error: str | None
    results: dict[str, Any] = field(default_factory=dict)
    died: bool = False
    full: bool = False


def job_of(path: Path, content: NotebookNode, prints: dict[str, str], **more: Any) -> Job:
    """A job for a notebook that was read."""
    import nbformat

    known = parameters_of(content, path.stem)
    constants = {
        "seed": known["seed"].default if "seed" in known else None,
        "backend": backend(),
        "commit": _commit(project_root()),
        "versions": {name: metadata.version(name) for name in VERSIONS},
    }
    text = nbformat.writes(content)
    folder = str(path.parent)
    return Job(path.stem, folder, text, fingerprints=prints, constants=constants, **more)


def _commit(root: Path) -> str:
    """The commit of the clone, with "+" when files differ from it; "unknown" outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    if shutil.which("git") is None or not (head := git("rev-parse", "HEAD")):
        return "unknown"
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _outputs(content: NotebookNode) -> Iterable[NotebookNode]:
    for cell in content.cells:
        yield from cell.get("outputs", [])


def _recorded(content: NotebookNode) -> dict[str, Any]:
    key = f"{PREFIX}application/json"
    return {
        output.metadata.scrapbook.name: json.loads(output.data[key])
        for output in _outputs(content)
        if key in output.get("data", {})
    }


def _datasets(content: NotebookNode) -> dict[str, list[str]]:
    marks = [o.data[DATASET_MIME] for o in _outputs(content) if DATASET_MIME in o.get("data", {})]
    return {mark["name"]: list(mark["sha256"]) for mark in marks}


def execute(
    job: Job,
    parameters: Mapping[str, Any],
    working: Path,
    *,
    progress: bool = False,
    cpus: list[int] | None = None,
) -> Outcome:
    """Run a point and leave `notebook.ipynb`, `results.json` and `provenance.json` in `working`."""
    import papermill
    from papermill.engines import papermill_engines

    from labkit._papermill import Engine

    more: dict[str, Any] = {"cwd": job.folder}
    warm = job.engine == "warm" or (job.engine == "auto" and _warm.available())
    if job.engine is not None:
        from labkit._engine import modules_of

        papermill_engines.register("labkit", Engine)
        more = {
            "engine_name": "labkit",
            "warm": warm,
            "folder": job.folder,
            "seconds": job.seconds,
            "memory_mb": job.memory_mb,
            "threads": job.threads,
            "cpus": cpus,
            # Saving after every cell would cost more than many a cell; a lost point is run again.
            "request_save_on_cell_execute": False,
        }
    if warm:
        more["zygote"] = _warm.shared(modules_of(parsed(job)), job.token)
    notebook = Path(job.folder) / f"{job.name}.ipynb"
    source, target = notebook, working / "notebook.ipynb"
    if job.engine is not None:  # what a sweep runs is not the notebook as it is
        source = working / "source.ipynb"
        source.write_text(job.content, encoding="utf-8")
        more["source"] = str(notebook)
    started, clock = datetime.now(UTC), time.perf_counter()
    error = None
    try:
        executed = papermill.execute_notebook(
            str(source),
            str(target),
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=progress,
            **more,
        )
    except papermill.PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
        executed = read_notebook(target)
    if source != notebook:
        source.unlink()
    used = executed.metadata.get("labkit", {})
    if used.get("stopped"):
        error = f"{used['stopped']}, in a cell that raised {error}" if error else used["stopped"]
    outcome = Outcome(
        "failed" if error else "finished",
        error,
        _recorded(executed),
        died=bool(used.get("died")) and not used.get("stopped"),
    )
    provenance = {
        "notebook": job.name,
        "status": outcome.status,
        "error": error,
        "parameters": dict(parameters),
        **job.constants,
        "seed": parameters.get("seed", job.constants["seed"]),
        "datasets": _datasets(executed),
        "fingerprints": job.fingerprints,
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round(time.perf_counter() - clock, 3),
        **{key: round(used[key], 3) for key in ("cpu_seconds", "memory_mb") if key in used},
    }
    for name, values in (("results", outcome.results), ("provenance", provenance)):
        (working / f"{name}.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    return outcome


_last: dict[str, NotebookNode] = {}


def parsed(job: Job) -> NotebookNode:
    """The job's notebook, parsed once for all points that a process runs."""
    import nbformat

    if job.content not in _last:
        _last.clear()
        _last[job.content] = nbformat.reads(job.content, as_version=4)
    return _last[job.content]


def attempt(
    job: Job, parameters: Mapping[str, Any], working: Path, cpus: list[int] | None = None
) -> Outcome:
    """`execute`, with what goes wrong outside the notebook as an outcome too."""
    try:
        return execute(job, parameters, working, cpus=cpus)
    except OSError as error:
        return Outcome("failed", f"{type(error).__name__}: {error}", full=error.errno in FULL_DISK)
    except Exception as error:
        return Outcome("failed", f"{type(error).__name__}: {error}", died=True)


def serve(connection: Any) -> None:
    """A worker: receives a job, then points of it, and sends back what came of each."""
    if isinstance(connection, socket.socket):
        connection = Connection(connection.detach())
    try:
        job, cpus = connection.recv()
        while True:
            parameters, working = connection.recv()
            connection.send(attempt(job, parameters, Path(working), cpus))
    except (EOFError, OSError):
        return  # whoever gave the points is gone


# What differs here from where the sweep was started, and the files as they were then.
_alike: dict[str, tuple[list[str], Any]] = {}


def dask_point(
    job: Job, parameters: Mapping[str, Any], out: str, run: str
) -> tuple[Outcome, str | None]:
    """A point as a task of Dask: run where the task lands, and published from there."""
    if job.token not in _alike:
        files, here = stamp(), fingerprints(Path(job.name), parsed(job))
        _alike.clear()
        _alike[job.token] = [k for k, v in job.fingerprints.items() if here[k] != v], files
    differ, files = _alike[job.token]
    where = f"{socket.gethostname()} ({os.getpid()})"
    if differ:
        return Outcome("failed", f"worker {where} has other {', '.join(differ)}"), None
    from distributed import get_worker

    scratch = get_worker().local_directory  # which is removed even if the worker is killed
    if not Path(job.folder).is_dir():  # another machine, without the clone at the same place
        job = replace(job, folder=scratch)
    working = Path(tempfile.mkdtemp(prefix="labkit-point-", dir=scratch))
    outcome = attempt(job, parameters, working)
    if stamp() != files:
        shutil.rmtree(working)
        return Outcome("failed", f"worker {where}: labkit or its data changed meanwhile"), None
    if not (working / "provenance.json").is_file():
        shutil.rmtree(working)
        return outcome, None
    try:
        return outcome, Store(out, job.name).publish(working, run)
    except OSError as error:
        shutil.rmtree(working, ignore_errors=True)
        return (
            Outcome("failed", f"{type(error).__name__}: {error}", full=error.errno in FULL_DISK),
            None,
        )
