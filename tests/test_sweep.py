"""Sweeps as the experimenter runs them: engines that agree, faults that lose nothing."""

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fsspec
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit import _chapter, _point, _sweep, _warm, experiments
from labkit._store import Store
from labkit.errors import RunFailed, SweepStopped

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = """
n = 0  # of the point
what = "nothing"  # to do
"""
BODY = """
import os, random, sys, time, threading
import numpy as np
import pandas as pd
from labkit.experiments import record
record(double=2 * n, root=float(np.sqrt(n)), odd=bool(n % 2), label=f"point {n}")
if what == "fail":
    raise ZeroDivisionError("by " + str(n))
"""
KERNELSPEC = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
warm_only = pytest.mark.skipif(not _warm.available(), reason="kernels are forked on Linux only")
LABKIT = [sys.executable, "-c", "from labkit.cli import main; main()"]


def write(folder, *cells, parameters=PARAMETERS, name="small"):
    """A chapter of a parameters cell and code cells, given as text or as cells."""
    given = [cell if not isinstance(cell, str) else new_code_cell(cell) for cell in cells]
    head = [
        new_markdown_cell("# Small"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
    ]
    for i, cell in enumerate([*head, *given]):
        cell["id"] = f"cell-{i}"  # random otherwise, and then two files would differ
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[*head, *given], metadata=KERNELSPEC), path)
    return path


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    return write(tmp_path_factory.mktemp("chapter"), BODY)


@pytest.fixture(scope="module")
def swept(chapter, tmp_path_factory):
    """A sweep of eight points that ended: its folder and its table."""
    out = tmp_path_factory.mktemp("runs")
    return out, experiments.sweep(chapter, {"n": "0:8"}, out=out, name="eight", jobs=2)


def ran(out):
    """Times at which each run of a folder was executed, by its id."""
    files = Path(out).glob("small/[!.]*/provenance.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def left_behind(out):
    return [str(p) for p in Path(out).rglob(".*") if p.name != ".lock"]


def forks(mark):
    """Processes that fork kernels or were forked, of a command started with a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"labkit._warm" in (entry / "cmdline").read_bytes():
                found += [int(entry.name)] * (mark.encode() in (entry / "environ").read_bytes())
    return found


def started(command, mark):
    """A command in a session of its own, whose forks can be told from others."""

    def listening():  # whoever runs the tests in the background has SIGINT ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        command,
        stdout=-1,
        stderr=-1,
        text=True,
        start_new_session=True,
        env={**os.environ, "LABKIT_TEST_MARK": mark},
        preexec_fn=listening,
    )


# ---------------------------------------------------------------- what a sweep leaves


def test_a_sweep_is_one_row_for_each_point_in_the_order_of_the_plan(swept):
    out, table = swept
    assert table["parameters.n"].to_list() == list(range(8))
    assert table["double"].to_list() == [2 * n for n in range(8)]
    assert table.dtypes[["double", "root", "odd"]].astype(str).to_list() == [
        "int64",
        "float64",
        "bool",
    ]
    assert set(table["status"]) == {"finished"}
    assert table.attrs["points"] == 8
    assert table.attrs["chapter"] == "small"
    pd.testing.assert_frame_equal(experiments.results("eight", out=out), table)
    folder = out / "small" / "sweeps" / "eight"
    pd.testing.assert_frame_equal(experiments.results(folder), table)
    pd.testing.assert_frame_equal(experiments.results(folder / "results.parquet"), table)
    assert left_behind(out) == []


def test_each_point_is_a_run_like_any_other(chapter, swept):
    out, table = swept
    runs = experiments.results("small", out=out)
    assert sorted(runs.index) == sorted(table.index)
    again = experiments.run(chapter, n=3, out=out)
    assert again.reused
    assert again.results["root"] == table.loc[again.path.name, "root"]
    assert again.provenance["cpu_seconds"] > 0
    assert again.provenance["versions"]["papermill"]
    executed = nbformat.read(again.notebook, as_version=4)
    assert executed.metadata.papermill.input_path == str(chapter)
    tags = [tag for cell in executed.cells for tag in cell.metadata.get("tags", [])]
    assert "injected-parameters" in tags


def test_only_what_is_new_is_run(chapter, swept):
    out, _ = swept
    before = ran(out)
    table = experiments.sweep(chapter, {"n": "0:8"}, out=out, name="eight")
    assert ran(out) == before
    wider = experiments.sweep(chapter, {"n": "6:9"}, out=out, jobs=1)
    assert len(wider) == 3
    after = ran(out)
    assert {run: after[run] for run in before} == before
    assert len(after) == 9
    assert wider.index[:2].to_list() == table.index[6:].to_list()


def test_a_table_that_is_lost_or_damaged_is_made_again_from_the_runs(chapter, swept):
    out, table = swept
    file = out / "small" / "sweeps" / "eight" / "results.parquet"
    content, before = file.read_bytes(), ran(out)
    for damage in (file.unlink, lambda: file.write_bytes(content[:100])):
        damage()
        again = experiments.sweep(chapter, {"n": "0:8"}, out=out, name="eight")
        pd.testing.assert_frame_equal(again, table)
        assert file.read_bytes() == content
    assert ran(out) == before


def test_what_a_point_depends_on_changes_its_identity(chapter, swept, monkeypatch):
    from labkit import _sweep

    out, _ = swept
    prints = _sweep.fingerprints
    for changed in ("labkit", "kernels", "data", "pins", "python", "notebook"):
        with monkeypatch.context() as patch:
            patch.setattr(_sweep, "fingerprints", lambda *a, c=changed: prints(*a) | {c: "new"})
            prepared = experiments.prepared_sweep(chapter, {"n": "0:8"}, out=out)
            assert len(prepared.missing) == 8, changed
    assert not experiments.prepared_sweep(chapter, {"n": "0:8"}, out=out).missing


def test_a_changed_file_of_the_project_changes_what_a_run_is_known_by(
    chapter, tmp_path, monkeypatch
):
    root = tmp_path / "clone"
    for name in ("labkit", "data"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.so", "__py*"))
    library = root / "kernels.so"
    library.write_bytes(b"kernels")
    shutil.copy(ROOT / "constraints.txt", root)
    monkeypatch.setenv("LABKIT_ROOT", str(root))
    monkeypatch.setattr(_chapter, "__file__", str(root / "labkit" / "_chapter.py"))
    monkeypatch.setattr(_chapter, "kernels", SimpleNamespace(__file__=str(library)))
    monkeypatch.setattr(_chapter, "backend", lambda: "rust")
    before, stamp = _chapter.fingerprints(chapter), _chapter.stamp()
    for key, file in {
        "labkit": root / "labkit" / "reference" / "ou.py",
        "kernels": library,
        "data": root / "data" / "registry.toml",
        "pins": root / "constraints.txt",
    }.items():
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        now = _chapter.fingerprints(chapter)
        assert {name for name in before if now[name] != before[name]} == {key}
        assert _chapter.stamp() != stamp
        file.write_bytes(content)
    assert _chapter.fingerprints(chapter) == before


def test_a_sweep_stops_when_labkit_changes_and_keeps_what_came_before(
    chapter, tmp_path, monkeypatch
):
    asked, prints = itertools.count(), _sweep.fingerprints
    edited = False

    def stamp():  # asked once before the sweep, and once for each point
        return next(asked) >= 3

    def now(*given):
        return prints(*given) | ({"labkit": "edited"} if edited else {})

    monkeypatch.setattr(_sweep, "stamp", stamp)
    monkeypatch.setattr(_sweep, "fingerprints", now)
    out = tmp_path / "runs"
    prepared = experiments.prepared_sweep(chapter, {"n": "0:6"}, out=out, name="six")
    edited = True
    with pytest.raises(SweepStopped, match="labkit, its kernels or the data changed"):
        experiments.run_sweep(prepared, experiments.Settings())
    assert len(ran(out)) == len(experiments.results("six", out=out)) == 2
    assert left_behind(out) == []
    edited = False  # a file that was only touched stops nothing
    assert len(experiments.sweep(chapter, {"n": "0:6"}, out=out, name="six")) == 6


def test_a_run_that_exists_is_replaced_whole(tmp_path):
    store = Store(tmp_path / "runs", "small")
    for text in ("first", "second"):
        folder = tmp_path / text
        folder.mkdir()
        (folder / "provenance.json").write_text(text)
        store.publish(folder, "one")
        assert not folder.exists()
    assert store.read("one", "provenance.json") == b"second"
    assert [p.name for p in (tmp_path / "runs" / "small").iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["run", "status", "error", "started", "parameters.n"])
def test_the_names_of_the_tables_own_columns_cannot_be_recorded(name):
    with pytest.raises(ValueError, match=f"{name}: a column of every table"):
        experiments.record(**{name: 1})


def test_cells_that_draw_a_published_sweep_are_no_part_of_a_point(tmp_path):
    drawing = new_code_cell("raise RuntimeError('drawn')", metadata={"tags": ["sweep"]})
    path = write(tmp_path, BODY, drawing)
    table = experiments.sweep(path, {"n": [1, 2]}, out=tmp_path / "runs")
    assert table["double"].to_list() == [2, 4]
    changed = new_code_cell("1", metadata={"tags": ["sweep"]})
    again = experiments.prepared_sweep(
        write(tmp_path, BODY, changed), {"n": [1, 2]}, out=tmp_path / "runs"
    )
    assert not again.missing
    with pytest.raises(RunFailed, match="drawn"):
        experiments.run(write(tmp_path, BODY, drawing), out=tmp_path / "runs")


def test_columns_of_mixed_kinds_keep_their_values(tmp_path):
    body = """
from labkit.experiments import record
record(mixed=[1, 2.5, None][n], any=[1, "a", True][n], flag=[True, None, False][n],
       gap=[2**53 + 1, None, 1][n], big=[2**63, 2**70, 1][n], fine=[2**53 + 1, 0.5, 1][n])
"""
    table = experiments.sweep(
        write(tmp_path, body), {"n": "0:3", "what": ["nothing"]}, out=tmp_path / "runs"
    )
    assert table["mixed"].to_list()[:2] == [1.0, 2.5]
    assert table["any"].to_list() == ["1", "a", "true"]
    assert table["flag"].to_list()[::2] == [True, False]
    assert table["flag"].isna().to_list() == [False, True, False]
    assert table["gap"].to_list()[::2] == [2**53 + 1, 1]
    assert table["gap"].isna().to_list() == [False, True, False]
    assert list(map(int, table["big"])) == [2**63, 2**70, 1]
    assert table["fine"].to_list() == [str(2**53 + 1), "0.5", "1"]


# ---------------------------------------------------------------- engines


@pytest.fixture(scope="module")
def dask_cluster():
    """Two worker processes of a Dask cluster on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster


def table_file(out):
    (place,) = Store(out, "").tables("eight")
    with fsspec.open(place) as file:
        return file.read()


def test_all_engines_and_stores_give_the_same_table(
    chapter, swept, dask_cluster, tmp_path, tmp_path_factory
):
    expected = table_file(swept[0])
    sweep = {"grid": {"n": "0:8"}, "name": "eight"}
    experiments.sweep(chapter, **sweep, out=tmp_path / "plain", engine="papermill", jobs=2)
    assert table_file(tmp_path / "plain") == expected
    address = dask_cluster.scheduler_address
    experiments.sweep(chapter, **sweep, out=tmp_path / "dask", scheduler=address)
    assert table_file(tmp_path / "dask") == expected
    assert left_behind(tmp_path) == []
    hosts = {
        json.loads(file.read_text())["fingerprints"]["labkit"]
        for file in tmp_path.rglob("provenance.json")
    }
    assert len(hosts) == 1


def test_a_store_in_memory_gives_the_same_table_and_is_found_again(chapter, swept):
    out = "memory://sweeps"
    table = experiments.sweep(chapter, {"n": "0:8"}, out=out, name="eight")
    assert table_file(out) == table_file(swept[0])
    pd.testing.assert_frame_equal(experiments.results("eight", out=out), table)
    assert len(experiments.results(f"{out}/small")) == 8
    files = fsspec.filesystem("memory").find("/sweeps/small")
    assert sum(name.endswith("notebook.ipynb") for name in files) == 8
    prepared = experiments.prepared_sweep(chapter, {"n": "0:8"}, out=out, name="eight")
    assert not prepared.missing
    with pytest.raises(ValueError, match="workers do not share memory"):
        experiments.sweep(chapter, {"n": "0:9"}, out=out, scheduler="local")


def test_a_url_that_nothing_can_open_is_refused(chapter):
    with pytest.raises(ValueError, match="out: nosuch://x cannot be opened"):
        experiments.sweep(chapter, {"n": [1, 2]}, out="nosuch://x")


def test_dask_moves_the_point_of_a_worker_that_dies(dask_cluster, tmp_path):
    once = tmp_path / "once"
    body = (
        BODY
        + f"""
from pathlib import Path
mark = Path({str(once)!r})
if n == 2 and not mark.exists():
    mark.touch()
    import psutil
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "spawn_main" in line and process.pid in {{WORKERS}}:
            process.kill()
            break
"""
    )
    workers = dask_cluster.scheduler_info["workers"].values()
    pids = {worker.pid for worker in dask_cluster.workers.values()}
    assert len(workers) == 2
    path = write(tmp_path, body.replace("{WORKERS}", str(sorted(pids))))
    address = dask_cluster.scheduler_address
    table = experiments.sweep(path, {"n": "0:6"}, out=tmp_path / "runs", scheduler=address)
    assert once.exists()
    assert {worker.pid for worker in dask_cluster.workers.values()} != pids
    assert table["double"].to_list() == [0, 2, 4, 6, 8, 10]


def test_dask_that_is_not_there_is_named(chapter, tmp_path, monkeypatch):
    monkeypatch.setattr("labkit._sweep.DASK_ANSWERS", 1)
    with pytest.raises(ValueError, match=r"scheduler: tcp://127.0.0.1:9 does not answer"):
        experiments.sweep(
            chapter, {"n": [1, 2]}, out=tmp_path, scheduler="tcp://127.0.0.1:9", name="x"
        )


def test_a_worker_of_dask_with_another_labkit_refuses_points(chapter, tmp_path):
    job = experiments.prepared_sweep(chapter, {"n": [1, 2]}, out=tmp_path).job
    other = replace(job, fingerprints=job.fingerprints | {"labkit": "other", "pins": "other"})
    outcome, place = _point.dask_point(replace(other, token="t"), {"n": 1}, str(tmp_path), "one")
    assert outcome.status == "failed"
    assert outcome.error.endswith("has other labkit, pins")
    assert place is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jobs": 0}, "jobs must be .* of at least 1"),
        ({"threads": 0}, "threads must be .* of at least 1"),
        ({"engine": "fast"}, "engine must be auto, warm or papermill"),
        ({"seconds": 0.0}, "seconds must be positive"),
        ({"jobs": 1.5}, "jobs must be a whole number"),
        ({"threads": "2"}, "threads must be a whole number"),
        ({"memory_mb": 10.0}, "memory_mb must be at least 1024"),
        ({"scheduler": "foo"}, r"scheduler must be an address \(tcp://host:8786\), got 'foo'"),
        ({"name": "../x"}, "name must be of letters"),
        ({"name": "small"}, "name must be .* not the chapter's"),
    ],
)
def test_wrong_settings_are_refused(chapter, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        experiments.sweep(chapter, {"n": [1, 2]}, out=tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- a forked kernel is a kernel


@warm_only
def test_nothing_leaks_from_one_point_to_the_next(tmp_path):
    body = (
        BODY
        + """
import plotly.io
record(
    seen=hasattr(np, "leak") or "LEAK" in os.environ or "leak" in globals(),
    drawn=float(np.random.random()), other=random.random(), renderer=plotly.io.renderers.default,
    parent=os.getppid(), session=os.getsid(0) == os.getpid(),
    here=os.getcwd(), argv=sys.argv[0], module=__name__, threads=os.environ["OMP_NUM_THREADS"],
    path=sys.path[0], daemon=threading.current_thread() is threading.main_thread(),
)
np.leak = os.environ["LEAK"] = leak = "x"
np.random.seed(1)
os.chdir("/")
sys.path.insert(0, "/leak")
pd.set_option("display.max_rows", 3)
"""
    )
    path = write(tmp_path, body)
    settings = {"out": tmp_path / "runs", "jobs": 1}
    forked = experiments.sweep(path, {"n": "0:4"}, **settings, engine="warm")
    anew = experiments.sweep(path, {"n": "0:2"}, out=tmp_path / "plain", jobs=1, engine="papermill")
    assert not forked["seen"].any()
    assert len(set(forked["parent"])) == 1
    for name in ("drawn", "other"):
        assert forked[name].nunique() == 4
    for name in ("renderer", "session", "here", "module", "threads", "path", "daemon"):
        assert forked[name].unique().tolist() == anew[name].unique().tolist(), name
    assert forked["here"].unique() == [str(tmp_path)]


@warm_only
def test_papermill_itself_can_use_the_engine(tmp_path):
    path = write(tmp_path, BODY, "n + 1")
    outputs = []
    for engine in (["--engine", "labkit"], []):
        target = tmp_path / f"out{len(engine)}.ipynb"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "papermill",
                "--no-progress-bar",
                *engine,
                path,
                target,
                "-p",
                "n",
                "4",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        cells = nbformat.read(target, as_version=4).cells
        outputs.append([cell.get("outputs") for cell in cells])
    assert outputs[0] == outputs[1]
    assert outputs[0][-1][0].data["text/plain"] == "5"


@warm_only
def test_a_zygote_with_a_thread_is_refused(tmp_path, monkeypatch):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(OSError, match="started 1 threads, so no fork is safe"):
        _warm.Zygote(["threaded"])


@warm_only
def test_thread_pools_work_after_the_fork(tmp_path):
    body = """
import os
import numpy as np
import pandas as pd
import pyarrow.compute
from threadpoolctl import threadpool_info
from concurrent.futures import ThreadPoolExecutor
from labkit import hawkes
from labkit.experiments import record
paths = hawkes.simulate(1.0, 0.5, 1.0, 200.0, seed=n, n_paths=8)
product = np.ones((300, 300)) @ np.ones((300, 300))
table = pd.DataFrame({"a": np.arange(1000.0)})
table.to_parquet("/dev/null")
with ThreadPoolExecutor(2) as pool:
    total = sum(pool.map(len, [[1], [2, 3]]))
record(times=sum(len(p.times) for p in paths), product=product[0, 0], total=total,
       cpus=len(os.sched_getaffinity(0)), threads=os.environ["RAYON_NUM_THREADS"],
       blas=max(pool["num_threads"] for pool in threadpool_info()))
"""
    path = write(tmp_path, body)
    at_hand = len(os.sched_getaffinity(0))
    for threads, engine in ((1, "warm"), (2, "warm"), (2, "papermill")):
        out = tmp_path / f"{engine}{threads}"
        table = experiments.sweep(path, {"n": [1, 2]}, out=out, threads=threads, engine=engine)
        assert table["product"].to_list() == [300.0, 300.0]
        assert set(table["threads"]) == {str(threads)}
        assert set(table["cpus"]) == {min(threads, at_hand)}
        assert set(table["blas"]) == {min(threads, at_hand)}


@warm_only
@pytest.mark.parametrize("engine", ["warm", "papermill"])
def test_what_a_kernel_starts_ends_with_it_and_reads_nothing(tmp_path, engine):
    body = f"""
import os, subprocess
from labkit.experiments import record
record(read=len(subprocess.run(["cat"], capture_output=True, timeout=20).stdout))
child = subprocess.Popen(["sleep", "600"])
with open({str(tmp_path)!r} + "/children", "a") as file:
    file.write(str(child.pid) + chr(10))
if what == "die":
    os._exit(3)
"""
    path = write(tmp_path, body)
    with pytest.raises(RunFailed, match="1 of 2 points failed"):
        experiments.sweep(
            path, {"what": ["live", "die"]}, out=tmp_path / "runs", name="kin", engine=engine
        )
    children = (tmp_path / "children").read_text().split()
    assert len(children) == 4  # the one that died was tried three times
    table = experiments.results("kin", out=tmp_path / "runs")
    assert set(table["read"].dropna()) == {0}

    def gone():
        for child in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text():
                    return False
        return True

    wait_for(gone)


@warm_only
def test_a_long_temporary_folder_is_no_hindrance(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    table = experiments.sweep(write(tmp_path, BODY), {"n": [1, 2]}, out=tmp_path / "runs")
    assert table["double"].to_list() == [2, 4]


@warm_only
def test_limits_of_time_and_memory_stop_a_point_and_no_other(tmp_path):
    body = (
        BODY
        + """
if what == "sleep":
    time.sleep(600)
if what == "spin":  # does not listen to an interrupt
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
if what == "hoard":
    held = np.ones(400_000_000)
"""
    )
    path = write(tmp_path, body)
    settings = {"seconds": 4.0, "memory_mb": 2048.0, "jobs": 4, "out": tmp_path / "runs"}
    wanted = ["nothing", "sleep", "spin", "hoard"]
    with pytest.raises(RunFailed, match="3 of 4 points failed") as caught:
        experiments.sweep(path, {"what": wanted}, name="limits", **settings)
    table = experiments.results("limits", out=tmp_path / "runs").set_index("parameters.what")
    assert table["status"].to_list() == ["finished", "failed", "failed", "failed"]
    assert "stopped after 4 s, in a cell that raised KeyboardInterrupt" in table["error"]["sleep"]
    assert "stopped after 4 s" in table["error"]["spin"]
    assert "MemoryError" in table["error"]["hoard"]
    places = [line.strip() for line in str(caught.value).splitlines() if ".ipynb" in line]
    assert len(places) == 3
    for place in places:
        cells = nbformat.read(place, as_version=4).cells
        errors = [o for c in cells for o in c.get("outputs", []) if o.output_type == "error"]
        assert errors, place


# ---------------------------------------------------------------- faults


def test_a_failing_point_stops_no_other_and_is_tried_again(tmp_path):
    body = BODY + f"if n == 3 and not os.path.exists({str(tmp_path / 'mended')!r}): 1 / 0"
    path = write(tmp_path, body)
    out = tmp_path / "runs"
    with pytest.raises(RunFailed, match=r"1 of 6 points failed\n  n=3: ZeroDivisionError"):
        experiments.sweep(path, {"n": "0:6"}, out=out, name="six")
    table = experiments.results("six", out=out)
    assert table["status"].to_list() == ["finished"] * 3 + ["failed"] + ["finished"] * 2
    assert table["error"].iloc[3] == "ZeroDivisionError: division by zero"
    assert table["double"].iloc[3] == 6  # recorded before it failed
    before = ran(out)
    (tmp_path / "mended").touch()
    table = experiments.sweep(path, {"n": "0:6"}, out=out, name="six")
    assert set(table["status"]) == {"finished"}
    assert table["error"].isna().all()
    after = ran(out)
    assert sum(after[run] != before[run] for run in before) == 1


@warm_only
@pytest.mark.parametrize("victim", ["kernel", "worker", "zygote"])
def test_a_point_whose_process_is_killed_is_run_again(tmp_path, victim):
    mark = tmp_path / "killed"
    pid = {"kernel": "os.getpid()", "worker": "worker", "zygote": "os.getppid()"}[victim]
    body = (
        BODY
        + f"""
if n == 2 and not os.path.exists({str(mark)!r}):
    open({str(mark)!r}, "w").close()
    import signal, psutil
    others = psutil.Process(os.getppid()).children()
    worker = min(p.pid for p in others if p.pid != os.getpid())
    os.kill({pid}, signal.SIGKILL)
    time.sleep(600)
"""
    )
    path, out = write(tmp_path, body), tmp_path / "runs"
    # One worker where it is the victim: with two it might be the other one's point.
    table = experiments.sweep(path, {"n": "0:5"}, out=out, jobs=1 if victim == "worker" else 2)
    assert mark.exists()
    assert table["double"].to_list() == [0, 2, 4, 6, 8]
    assert left_behind(out) == []


@warm_only
def test_a_kernel_that_always_dies_is_given_up_with_the_cell_that_killed_it(tmp_path):
    body = (
        BODY
        + """
if what == "die":
    os.write(2, b"the last words of the kernel")
    os.abort()
"""
    )
    path = write(tmp_path, body)
    with pytest.raises(RunFailed, match=r"DeadKernelError: the kernel died .signal SIGABRT"):
        experiments.sweep(path, {"what": ["nothing", "die"]}, out=tmp_path / "runs", name="two")
    table = experiments.results("two", out=tmp_path / "runs")
    assert table["status"].to_list() == ["finished", "failed"]
    cells = nbformat.read(
        tmp_path / "runs" / "small" / table.index[1] / "notebook.ipynb", as_version=4
    ).cells
    (error,) = [o for c in cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert "the last words of the kernel" in "\n".join(error.traceback)


def test_a_full_disk_stops_the_sweep_and_keeps_what_there_is(chapter, tmp_path, monkeypatch):
    publish, room = Store.publish, itertools.count()

    def full(self, folder, run):
        if next(room) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return publish(self, folder, run)

    out = tmp_path / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", full)
        with pytest.raises(SweepStopped, match=r"stopped after 2 of 6 points: no room to write"):
            experiments.sweep(chapter, {"n": "0:6"}, out=out, name="six")
    assert len(experiments.results("six", out=out)) == 2
    assert left_behind(out) == []
    before = ran(out)
    assert len(before) == 2
    table = experiments.sweep(chapter, {"n": "0:6"}, out=out, name="six")
    assert table["double"].to_list() == [0, 2, 4, 6, 8, 10]
    assert {run: ran(out)[run] for run in before} == before


def test_no_room_at_the_start_and_no_folder_are_said_in_words(chapter, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", full)
        with pytest.raises(SweepStopped, match="stopped after 0 of 2 points: no room to write"):
            experiments.sweep(chapter, {"n": [1, 2]}, out=tmp_path)
    done = command("sweep", chapter, "-g", "n=1,2", "--out", "/dev/null/x")
    assert done.returncode == 2
    assert done.stderr.startswith("labkit: out: cannot write in /dev/null/x")


def sweep_command(path, out, *words):
    return [*LABKIT, "sweep", str(path), "-g", "n=0:24", "--name", "killed", "--out", out, *words]


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@warm_only
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_says_so_keeps_what_finished_and_goes_on(tmp_path, number, status):
    path = write(tmp_path, BODY + "time.sleep(0.3)")
    out = tmp_path / "runs"
    command = sweep_command(path, str(out), "--jobs", "2")
    process = started(command, str(tmp_path))
    wait_for(lambda: len(ran(out)) >= 3)
    assert forks(str(tmp_path))
    os.killpg(process.pid, number)  # as a terminal does: to all in the foreground
    said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "of 24 points, which are kept in" in said[1]
    before = ran(out)
    assert 3 <= len(before) < 24
    assert json.loads(said[0])["finished"] == len(before)
    assert len(experiments.results("killed", out=out)) == len(before)
    assert left_behind(out) == []
    wait_for(lambda: not forks(str(tmp_path)))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["reused"] == len(before)
    assert {run: ran(out)[run] for run in before} == before


@warm_only
def test_a_driver_killed_twenty_times_loses_and_repeats_no_point(tmp_path):
    path = write(tmp_path, BODY + "time.sleep(0.2)")
    out = tmp_path / "runs"
    luck = random.Random(7)
    command = [*sweep_command(path, str(out), "--jobs", "2")]
    command[command.index("n=0:24")] = "n=0:60"
    finished = {}
    for kill in range(20):
        process = started(command, str(tmp_path))
        if kill % 2:  # while it starts, or a little later
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(luck.uniform(0.2, 4.0))
        else:  # among the points, whatever they are doing then
            wanted = len(finished) + luck.randint(0, 3)
            wait_for(lambda n=wanted: len(ran(out)) > n)
            time.sleep(luck.uniform(0.0, 0.5))
        assert process.poll() is None, "the sweep ended before it was killed twenty times"
        process.kill()
        process.communicate()
        wait_for(lambda: not forks(str(tmp_path)), 20)  # nothing of it survives
        now = ran(out)
        assert {run: now[run] for run in finished} == finished, "a finished point was run again"
        finished = now
        for run in now:
            assert (out / "small" / run / "notebook.ipynb").is_file()
            json.loads((out / "small" / run / "results.json").read_text())
        if (out / "small" / "sweeps" / "killed" / "results.parquet").exists():
            table = experiments.results("killed", out=out)
            assert table.index.is_unique
            assert set(table.index) <= set(now)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["points"], summary["failed"]) == (60, 0)
    assert summary["reused"] == len(finished)
    table = experiments.results("killed", out=out)
    assert table["parameters.n"].to_list() == list(range(60))
    assert table["double"].to_list() == [2 * n for n in range(60)]
    now = ran(out)
    assert {run: now[run] for run in finished} == finished
    assert len(now) == 60
    assert left_behind(out) == []


def test_the_same_sweep_is_not_run_twice_at_once(chapter, tmp_path):
    import fcntl

    place = tmp_path / "small" / "sweeps" / "six"
    place.mkdir(parents=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SweepStopped, match="six is being run by another process"):
            experiments.sweep(chapter, {"n": [1, 2]}, out=tmp_path, name="six")


# ---------------------------------------------------------------- the command


def command(*words):
    return subprocess.run([*LABKIT, *map(str, words)], capture_output=True, text=True, check=False)


def test_the_command_off_a_terminal_is_one_line_for_a_machine(chapter, swept):
    out, table = swept
    done = command("sweep", chapter, "-g", "n=0:8", "--out", out, "--name", "eight")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sweep": "eight",
        "points": 8,
        "finished": 0,
        "reused": 8,
        "failed": 0,
        "table": str(out / "small" / "sweeps" / "eight" / "results.parquet"),
    }
    assert done.stderr == ""
    done = command("results", "eight", "--csv", "--out", out)
    assert done.stdout == table.to_csv()
    assert "double" in command("results", "eight", "--out", out).stdout


def test_a_dry_run_shows_the_plan_and_runs_nothing(chapter, swept, tmp_path):
    done = command("sweep", chapter, "-g", "n=0:8", "--out", tmp_path, "--dry-run", "--jobs", 2)
    assert done.returncode == 0
    assert "8 points; 2 at a time, no run of this chapter here yet" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = command(
        "sweep", chapter, "-g", "n=0:20", "-p", "what", "x", "--out", swept[0], "--dry-run"
    )
    assert "0, 1, 2, ..., 18, 19  (20)" in done.stderr
    assert "20 points; " in done.stderr
    assert " by earlier runs" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-g", "m=1,2"], "small has no parameter 'm'"),
        (["-g", "n=1,x"], "parameter n must be int"),
        (["-g", "n=1,2", "--memory", "much"], "--memory is a number of M or G"),
        (["-g", "n=1,2", "--dask", "here"], "--dask is local"),
        (["-g", "n=1,2", "--scheduler", "foo"], "scheduler must be an address"),
        (["-g", "n=1,2", "--seed", "1"], "--method and --seed belong to --sample"),
        (["-g", "n=1,2", "--name", "../x"], "name must be of letters"),
        ([], "needs at least one parameter that varies"),
    ],
)
def test_a_wrong_command_is_one_line_and_runs_nothing(chapter, tmp_path, words, message):
    done = command("sweep", chapter, *words, "--out", tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_with_failed_points_exits_non_zero_and_names_the_notebooks(tmp_path):
    path = write(tmp_path, BODY)
    done = command("sweep", path, "-g", "what=nothing,fail", "--out", tmp_path / "runs")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == 1
    assert "1 of 2 points failed" in done.stderr
    (place,) = [line.strip() for line in done.stderr.splitlines() if line.endswith(".ipynb")]
    assert "ZeroDivisionError" in Path(place).read_text()


def test_brackets_are_text_and_not_markup(tmp_path):
    path = write(tmp_path, BODY + "record(said=what)")
    words = ["sweep", path, "-g", "what=[/x],[red]", "--out", tmp_path / "runs", "--name", "marks"]
    assert "[/x], [red]" in command(*words, "--dry-run").stderr
    assert command(*words).returncode == 0
    shown = command("results", "marks", "--out", tmp_path / "runs")
    assert shown.returncode == 0
    assert "[/x]" in shown.stdout


def test_points_cannot_be_added_to_a_sweep_that_a_file_states():
    done = command("sweep", "triangular_fee_latency", "-g", "seed=1,2", "--dry-run")
    assert done.returncode == 2
    assert "the points of a sweep's file are given" in " ".join(
        done.stderr.replace("│", "").split()
    )
