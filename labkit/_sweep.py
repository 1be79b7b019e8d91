"""A sweep: the points of a plan, run by workers here or by Dask, kept as they end.

What is kept is the runs themselves; the table is made from them and can be made again. So nothing
that finished is lost, however the sweep ends, and the same call goes on with what is missing.
Part of `labkit.experiments`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pandas as pd

from labkit import _warm
from labkit._chapter import fingerprints, read_notebook, stamp, without_sweeps
from labkit._paths import absolute_places
from labkit._plan import Plan
from labkit._point import FULL_DISK, Job, Outcome, dask_point, job_of, serve
from labkit._store import Store
from labkit.data import catalogue
from labkit.errors import DataUnavailable, RunFailed, SweepStopped

__all__ = [
    "Prepared",
    "Report",
    "Settings",
    "prepare",
    "refuse_failures",
    "run_id",
    "run_sweep",
    "shown",
]

SWEEPS = "sweeps"  # the folder of a chapter's tables, beside its runs
TABLE = "results.parquet"
TRIES = 3  # of a point whose worker or kernel is killed
DASK_ANSWERS = 20  # seconds in which a scheduler has to
LEAST_MB = 1024  # of memory for a point: the libraries take half of it
SHOWN = 10  # failures that a message names
EXACT = 2**53  # whole numbers up to here are floats, too
NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS)
_NAME = re.compile(r"\w[\w-]*")
_ADDRESS = re.compile(r"[a-z+]+://.+")
_WORKER = ("papermill", "papermill.execute", "nbclient", "labkit._point", "labkit._engine")

Points = Iterable[tuple[str, dict[str, Any]]]
Ended = tuple[str, Outcome, Path | None]  # a run's id, what came of it, its folder if still here


def run_id(prints: Mapping[str, str], asked: Mapping[str, Any]) -> str:
    """Name of a run: a hash of all that its outputs depend on."""
    key = json.dumps([prints, sorted(asked.items())], default=list).encode()
    return hashlib.sha256(key).hexdigest()[:12]


@dataclass(frozen=True)
class Settings:
    """How a sweep is run; nothing of it changes what comes out.

    Attributes
    ----------
    jobs : int, optional
        Points at a time; by default one for each `threads` processors.
    threads : int
        Of BLAS, OpenMP and the Rust kernels in a point, which may use as many processors.
    engine : {"auto", "warm", "papermill"}
        Kernels that are forked, or started anew; "auto" forks where the system can.
    scheduler : str, optional
        Address of a Dask scheduler, or "local" for Dask's workers on this machine.
    seconds, memory_mb : float, optional
        Limits of a point.
    """

    jobs: int | None = None
    threads: int = 1
    engine: str = "auto"
    scheduler: str | None = None
    seconds: float | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        for name in ("jobs", "threads"):
            count = getattr(self, name)
            if count is None and name == "jobs":
                continue
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")
        if self.engine not in ("auto", "warm", "papermill"):
            raise ValueError(f"engine must be auto, warm or papermill, got {self.engine!r}")
        if self.engine == "warm" and not _warm.available() and self.scheduler is None:
            raise ValueError("engine: kernels can be forked on Linux only; use papermill")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")
        if self.memory_mb is not None and not self.memory_mb >= LEAST_MB:
            raise ValueError(
                f"memory_mb must be at least {LEAST_MB}, half of it is the libraries', "
                f"got {self.memory_mb:g}"
            )
        given = self.scheduler
        if given not in (None, "local") and not _ADDRESS.fullmatch(str(given)):
            raise ValueError(f"scheduler must be an address (tcp://host:8786), got {given!r}")
        if self.memory_mb is not None and not _warm.available() and self.scheduler is None:
            raise ValueError("memory_mb: limits of memory need Linux")

    @property
    def workers(self) -> int:
        """Points at a time on this machine."""
        return self.jobs or max(1, len(_processors()) // self.threads)


def _processors() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass
class Report:
    """Where a sweep stands."""

    points: int
    reused: int = 0
    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # run: error

    @property
    def ended(self) -> int:
        """Points that need nothing more in this call."""
        return self.reused + self.finished + len(self.failed)


@dataclass(frozen=True)
class Prepared:
    """A plan with the identity of each of its points, and those that are done."""

    plan: Plan
    job: Job
    store: Store
    name: str
    title: str
    runs: dict[str, dict[str, Any]]
    rows: dict[str, dict[str, Any]]
    files: tuple[tuple[str, int, int], ...] = ()

    def refuse_change(self) -> None:
        """What ran after labkit or its data changed would be kept under the name of the old."""
        if stamp() == self.files:
            return
        content = without_sweeps(read_notebook(self.plan.notebook))
        now = fingerprints(self.plan.notebook, content) | {"notebook": ""}
        if now != self.job.fingerprints | {"notebook": ""}:
            raise SweepStopped(
                "labkit, its kernels or the data changed while the sweep ran. What finished before "
                "is kept, and the same command runs all points with what there is now"
            )

    @property
    def table(self) -> str:
        """Where the table is."""
        return self.store.place(SWEEPS, self.name, TABLE)

    @property
    def missing(self) -> list[tuple[str, dict[str, Any]]]:
        """Points that are to run, in the order of the plan."""
        return [(run, point) for run, point in self.runs.items() if run not in self.rows]

    def estimate(self, workers: int) -> float | None:
        """Seconds for the missing points, by earlier runs of the chapter; None without any."""
        if not self.missing:
            return 0.0
        with contextlib.suppress(ValueError):  # a broken run is the sweep's to name
            seen = self.store.read_runs(sorted(self.store.runs())[:50], "provenance.json")
            done = [p["wall_seconds"] for p in seen.values() if p["status"] == "finished"]
            if done:
                return statistics.median(done) * -(-len(self.missing) // workers)
        return None


def prepare(plan: Plan, out: str | Path, name: str | None = None, title: str = "") -> Prepared:
    """Everything that can be wrong with a sweep is found here, before anything runs."""
    absolute_places()
    content = without_sweeps(read_notebook(plan.notebook))
    files, prints = stamp(), fingerprints(plan.notebook, content)
    _refuse_missing_data(plan)
    store = Store(out, plan.notebook.stem)
    words = json.dumps([plan.varied, plan.points], default=list, sort_keys=True).encode()
    name = name or f"sweep-{hashlib.sha256(words).hexdigest()[:8]}"
    if not _NAME.fullmatch(name) or name == plan.notebook.stem:
        raise ValueError(
            f"name must be of letters, digits, _ and -, and not the chapter's, got {name!r}"
        )
    prepared = Prepared(
        plan,
        job_of(plan.notebook, content, prints, token=uuid.uuid4().hex),
        store,
        name,
        title,
        {run_id(prints, point): point for point in plan.points},
        {},
        files,
    )
    return replace(prepared, rows=_done(prepared))


def _refuse_missing_data(plan: Plan) -> None:
    """A parameter that names a data set which is not at hand would fail at every point."""
    places = catalogue()["place"]
    named = {v for point in plan.points for v in plan.values(point).values() if isinstance(v, str)}
    for name in sorted(named & set(places.index[places == ""])):
        raise DataUnavailable(f"{name} is not at hand. Get it with: labkit data fetch {name}")


# ---------------------------------------------------------------- the table


def _row(prepared: Prepared, run: str, outcome: Outcome) -> dict[str, Any]:
    values = prepared.plan.values(prepared.runs[run])
    return {
        "run": run,
        **{f"parameters.{name}": _cell(value) for name, value in values.items()},
        **outcome.results,
        "status": outcome.status,
        "error": outcome.error,
    }


def _cell(value: Any) -> Any:
    """A parameter as a table can hold it: a list becomes its JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _done(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Rows of the points that have finished before, from the runs themselves."""
    here = prepared.store.runs() & set(prepared.runs)
    provenance = prepared.store.read_runs(here, "provenance.json")
    finished = [run for run in here if provenance[run]["status"] == "finished"]
    results = prepared.store.read_runs(finished, "results.json")
    return {run: _row(prepared, run, Outcome("finished", None, results[run])) for run in finished}


def as_table(prepared: Prepared, rows: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    """The table: one row for each point that has ended, in the order of the plan."""
    ordered = [rows[run] for run in prepared.runs if run in rows]
    columns: dict[str, None] = {}
    for row in ordered:
        columns |= dict.fromkeys(row)
    last = ["status", "error"]
    names = [name for name in columns if name not in last] or ["run"]
    values = {name: [row.get(name) for row in ordered] for name in [*names, *last]}
    table = pd.DataFrame({name: _column(column) for name, column in values.items()})
    table = table.set_index("run")
    table.attrs = {
        "chapter": prepared.plan.notebook.stem,
        "sweep": prepared.name,
        "title": prepared.title,
        "points": len(prepared.runs),
        "varied": list(prepared.plan.varied),
        "fingerprints": prepared.job.fingerprints,
        "backend": prepared.job.constants["backend"],
        "commit": prepared.job.constants["commit"],
    }
    return table


def _column(values: list[Any]) -> pd.Series:
    """One type for a column, whatever single points recorded; what there is not is NA or NaN."""
    present = [v for v in values if v is not None and v == v]
    kinds, gaps = {type(v) for v in present}, len(present) < len(values)
    if kinds == {int} and all(-(2**63) <= v < 2**63 for v in present):
        return pd.Series(values, dtype="Int64" if gaps else "int64")
    if kinds and kinds <= {int, float} and all(abs(v) <= EXACT for v in present if type(v) is int):
        return pd.Series(values, dtype="float64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if gaps else "bool")
    texts = [
        None if v is None or v != v else v if isinstance(v, str) else json.dumps(v) for v in values
    ]
    return pd.Series(texts, dtype="string")


def _write(prepared: Prepared, rows: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    content = io.BytesIO()
    as_table(prepared, rows).to_parquet(content)
    prepared.store.write(content.getvalue(), SWEEPS, prepared.name, TABLE)
    return pd.read_parquet(content)


# ---------------------------------------------------------------- workers on this machine


@dataclass
class _Worker:
    connection: Connection
    run: str | None = None
    working: Path | None = None


class _Local:
    """Workers on this machine, forked or started anew, each with one point at a time."""

    def __init__(self, prepared: Prepared, settings: Settings):
        self.job, self.settings = prepared.job, settings
        folder = prepared.store.local
        self._beside = folder if folder is not None else Path(tempfile.mkdtemp(prefix="labkit-"))
        self._temporary = folder is None
        self._zygote: _warm.Zygote | None = None
        self._processes: list[Any] = []
        self._workers: list[_Worker] = []

    def _start(self, place: int) -> _Worker:
        processors = _processors()
        first = os.getpid() + place * self.settings.threads
        wanted = range(first, first + self.settings.threads)
        cpus = sorted({processors[i % len(processors)] for i in wanted})
        if _warm.available():
            if self._zygote is None or not self._zygote.alive:
                if self._zygote is not None:
                    self._zygote.close()
                from labkit._engine import modules_of
                from labkit._point import parsed

                modules = modules_of(parsed(self.job)) if self.job.engine != "papermill" else []
                self._zygote = _warm.Zygote([*_warm.STACK, *_WORKER, *modules])
            forked, _ = _warm.fork_worker(self._zygote.address, "labkit._point:serve")
            connection = Connection(forked.detach())
        else:
            import multiprocessing

            context = multiprocessing.get_context("spawn")
            connection, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
        connection.send((self.job, cpus if hasattr(os, "sched_setaffinity") else None))
        return _Worker(connection)

    def run(self, points: Points) -> Iterator[Ended]:
        """Points as they end; one that dies with its worker or kernel is tried again."""
        waiting = deque(points)
        asked, tries = dict(waiting), dict.fromkeys(dict(waiting), 0)
        count = min(self.settings.workers, len(waiting))
        self._workers = [self._start(place) for place in range(count)]
        host = socket.gethostname()

        def give(worker: _Worker) -> None:
            if not waiting:
                return
            run, parameters = waiting.popleft()
            tries[run] += 1
            worker.run, worker.working = run, self._beside / f".{run}-{host}-{os.getpid()}"
            shutil.rmtree(worker.working, ignore_errors=True)
            worker.working.mkdir(parents=True)
            worker.connection.send((parameters, str(worker.working)))

        for worker in self._workers:
            give(worker)
        while busy := [w for w in self._workers if w.run is not None]:
            for connection in wait([w.connection for w in busy]):
                worker = next(w for w in busy if w.connection is connection)
                run, working = worker.run, worker.working
                assert run is not None
                assert working is not None
                worker.run = worker.working = None
                try:
                    outcome = worker.connection.recv()
                except (EOFError, OSError):
                    worker.connection.close()
                    outcome = Outcome("failed", "its worker was killed", died=True)
                    self._workers[self._workers.index(worker)] = worker = self._start(
                        self._workers.index(worker)
                    )
                if outcome.died and tries[run] < TRIES:
                    shutil.rmtree(working, ignore_errors=True)
                    waiting.append((run, asked[run]))
                else:
                    yield run, outcome, working
                for idle in self._workers:
                    if idle.run is None:
                        with contextlib.suppress(BrokenPipeError):  # read as its end next time
                            give(idle)

    def close(self) -> None:
        """End all of it; what was running leaves nothing."""
        if self._zygote is not None:
            self._zygote.close()
        for process in self._processes:
            process.kill()
        for worker in self._workers:
            worker.connection.close()
            if worker.working is not None:
                shutil.rmtree(worker.working, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self._beside, ignore_errors=True)


# ---------------------------------------------------------------- Dask


def _reach(address: str) -> None:
    """Raise OSError if nobody listens: quicker than Dask, which tries for the whole time."""
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if protocol in ("tcp", "tls") and host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), DASK_ANSWERS).close()


class _Dask:
    """Workers of a Dask cluster, which publish what they run themselves."""

    def __init__(self, prepared: Prepared, settings: Settings):
        try:
            import distributed
        except ImportError as error:
            raise ValueError(
                "scheduler: Dask is not installed; pip install 'labkit[dask]'"
            ) from error
        if prepared.store.shared_memory_only:
            raise ValueError(f"out: Dask's workers do not share {prepared.store.out}")
        self._cluster: Any = None
        address = settings.scheduler
        if address == "local":
            self._cluster = distributed.LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
            )
            address = self._cluster.scheduler_address
        try:
            _reach(str(address))
            self._client = distributed.Client(address, timeout=DASK_ANSWERS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"scheduler: {address} does not answer: {error}") from error
        self.job, self._out = prepared.job, prepared.store.out

    def run(self, points: Points) -> Iterator[Ended]:
        """Points as they end; Dask itself moves a point whose worker dies."""
        from distributed import as_completed

        asked = dict(points)
        tries = dict.fromkeys(asked, 0)
        shared = self._client.scatter(self.job, broadcast=True, hash=False)

        def submit(run: str) -> Any:
            tries[run] += 1
            key = f"{run}-{self.job.token}-{tries[run]}"
            return self._client.submit(
                dask_point, shared, asked[run], self._out, run, key=key, pure=False
            )

        futures = {submit(run): run for run in asked}
        ended = as_completed(list(futures), loop=self._client.loop)
        for future in ended:
            run = futures.pop(future)
            try:
                outcome, _ = future.result()
            except CancelledError as error:  # the job was on the worker that died
                outcome = Outcome("failed", f"{type(error).__name__}: {error}", died=True)
                shared = self._client.scatter(self.job, broadcast=True, hash=False)
            except Exception as error:  # KilledWorker, or what cannot be sent
                outcome = Outcome("failed", f"{type(error).__name__}: {error}")
            if outcome.died and tries[run] < TRIES:
                again = submit(run)
                futures[again] = run
                ended.add(again)
            else:
                yield run, outcome, None

    def close(self) -> None:
        """Give the cluster back; one of our own is ended."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


# ---------------------------------------------------------------- the sweep


@contextlib.contextmanager
def _alone(prepared: Prepared) -> Iterator[None]:
    """No second driver of the same sweep in the same folder, and nothing left of a killed one."""
    folder = prepared.store.local
    if folder is None:
        yield
        return
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    place = folder / SWEEPS / prepared.name
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepStopped(
                f"the sweep {prepared.name} is being run by another process"
            ) from None
        host = socket.gethostname()
        for left in folder.glob(f".*-{host}-*"):
            with contextlib.suppress(ValueError):
                if not _alive(int(left.name.rsplit("-", 1)[1])):
                    shutil.rmtree(left, ignore_errors=True)
        yield


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _room(store: Store, report: Report) -> Iterator[None]:
    """A full disk and a folder that cannot be one, said in words."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise SweepStopped(
                f"stopped after {report.ended} of {report.points} points: no room to write in "
                f"{store.out}. All that finished is kept; make room and repeat the command"
            ) from error
        if error.errno in NO_FOLDER:
            raise ValueError(f"out: cannot write in {store.out}: {error}") from error
        raise


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """A cluster ends jobs with SIGTERM: leave as after Ctrl-C, with everything kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: Any) -> None:
        raise KeyboardInterrupt("SIGTERM")

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_sweep(
    prepared: Prepared,
    settings: Settings,
    told: Callable[[Report, str | None], None] = lambda *_: None,
) -> tuple[pd.DataFrame, Report]:
    """Run what is missing and keep the table; `told` hears after each point.

    Raises
    ------
    SweepStopped
        No room to write, or another process runs the same sweep. What finished is kept.
    KeyboardInterrupt
        As it comes; what finished is kept.
    """
    rows = dict(prepared.rows)
    report = Report(len(prepared.runs), reused=len(rows))
    store = prepared.store
    job = replace(
        prepared.job,
        engine=settings.engine,
        seconds=settings.seconds,
        memory_mb=settings.memory_mb,
        threads=settings.threads,
    )
    prepared = replace(prepared, job=job)
    with _room(store, report), _alone(prepared), _told_to_end():
        table, written = _write(prepared, rows), time.monotonic()
        if not prepared.missing:
            return table, report
        told(report, None)
        pool = (_Dask if settings.scheduler else _Local)(prepared, settings)
        ended = pool.run(prepared.missing)
        working = None
        try:
            for run, outcome, working in ended:
                if outcome.full:
                    raise OSError(FULL_DISK[0], outcome.error)
                prepared.refuse_change()
                if working is not None and (working / "provenance.json").is_file():
                    store.publish(working, run)
                elif working is not None:
                    shutil.rmtree(working, ignore_errors=True)
                rows[run] = _row(prepared, run, outcome)
                if outcome.status == "finished":
                    report.finished += 1
                else:
                    report.failed[run] = outcome.error or "failed"
                told(report, run)
                # Writing takes longer the more rows there are: a twentieth of the time at most.
                now = time.monotonic()
                if now > written:
                    _write(prepared, rows)
                    written = time.monotonic() + max(0.5, 20 * (time.monotonic() - now))
        finally:
            ended.close()  # type: ignore[attr-defined]
            pool.close()
            if working is not None:  # what could not be published
                shutil.rmtree(working, ignore_errors=True)
            with contextlib.suppress(OSError):
                table = _write(prepared, rows)
    return table, report


@contextlib.contextmanager
def shown(wanted: bool) -> Iterator[Callable[[Report, str | None], None]]:
    """A bar on standard error with rate, time left and failures; nothing if it is not wanted."""
    if not wanted:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failures]}", style="red"),
        console=Console(stderr=True),
    )
    begun, first = time.monotonic(), 0
    with bar:
        task = bar.add_task("points", total=None, rate="", failures="")

        def told(report: Report, run: str | None) -> None:
            nonlocal first
            first = report.ended if run is None else first
            done = report.ended - first
            pace = done / (time.monotonic() - begun)
            bar.update(
                task,
                total=report.points,
                completed=report.ended,
                rate=f"{60 * pace:.3g}/min" if done else "",
                failures=f"{len(report.failed)} failed" if report.failed else "",
            )

        yield told


def refuse_failures(prepared: Prepared, report: Report) -> None:
    """Raise `RunFailed` if a point failed, with the notebooks that show why."""
    if not report.failed:
        return
    lines = []
    for run, error in list(report.failed.items())[:SHOWN]:
        values = ", ".join(f"{k}={v}" for k, v in prepared.runs[run].items()) or "defaults"
        shown = prepared.store.read(run, "provenance.json") is not None
        place = prepared.store.place(run, "notebook.ipynb") if shown else "no notebook"
        lines.append(f"  {values}: {error}\n    {place}")
    if len(report.failed) > SHOWN:
        lines.append(f"  and {len(report.failed) - SHOWN} more, in {prepared.table}")
    raise RunFailed(f"{len(report.failed)} of {report.points} points failed\n" + "\n".join(lines))
