"""Kernels that are ready at once: a process that has imported the stack forks one for each run.

The process (a zygote) is a Python of its own. It imports what it is told to, checks that nothing
has started a thread, and forks on request. What it forks is a kernel as any other: it has its own
memory, environment, random state and session, speaks Jupyter's protocol, and ends with its run. It
only finds its modules imported. All that is forked dies with the zygote, and the zygote with the
process that started it.

Jupyter reaches it through a kernel provisioner, papermill through an engine: `papermill --engine
labkit in.ipynb out.ipynb`. Linux only: elsewhere fork and system libraries do not go together, and
the same engine starts kernels the slow way.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "THREADS",
    "WarmProcess",
    "Zygote",
    "available",
    "end_session",
    "lean_jsonschema",
    "shared",
]

# Read when the libraries are imported or start their pools.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
# Arrow's allocator starts a thread when it is imported, to give memory back; it can do without.
_ARROW = "JE_ARROW_MALLOC_CONF"
ADDRESS = "LABKIT_WARM"
# All that a kernel imports while it starts, most of it the debugger that JupyterLab may ask for.
STACK = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "ipykernel.parentpoller",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.history",
    "IPython.display",
    "IPython.extensions.storemagic",
    "sqlite3",
    "tornado.platform.asyncio",
)


def available() -> bool:
    """True where kernels can be forked."""
    return sys.platform == "linux"


@contextlib.contextmanager
def lean_jsonschema() -> Iterator[None]:
    """Import nbformat here: jsonschema does not build its parser of IRIs, which takes 1.5 s.

    It looks whether there is one when it is imported; a notebook has no IRI to check.
    """
    name = "rfc3987_syntax"
    hidden = name not in sys.modules and "jsonschema" not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # so import raises ImportError
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


# ---------------------------------------------------------------- the side that asks


class WarmProcess:
    """A forked process, with the methods of `subprocess.Popen` that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, pid: int):
        self._connection = connection
        self._unread = b""
        self.pid = pid
        self.returncode: int | None = None
        self.usage: dict[str, float] = {}

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        if self.returncode is not None:
            return self.returncode
        self._connection.setblocking(False)
        try:
            while part := self._connection.recv(4096):
                self._unread += part
            gone = True
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if b"\n" in self._unread:
            message = json.loads(self._unread)
            self.returncode = message.pop("exit")
            self.usage = message
        elif gone:  # the zygote is dead, and all its children with it
            self.returncode = -signal.SIGKILL
        if self.returncode is not None:
            self._connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, waited for."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
            time.sleep(0.002)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """A process that has imported `modules` and forks kernels and workers.

    Parameters
    ----------
    modules : iterable of str
        Imported once; those that cannot be imported are left to whoever needs them.

    Raises
    ------
    OSError
        It did not come up; the message says what it printed.
    """

    def __init__(self, modules: Iterable[str] = ()):
        place = tempfile.gettempdir()
        # The names of sockets may have 107 bytes, and those of a kernel's channels are long.
        self.folder = Path(
            tempfile.mkdtemp(prefix="labkit-", dir=place if len(place) < 30 else "/tmp")
        )
        environment = {
            **os.environ,
            **dict.fromkeys(THREADS, "1"),  # a pool of more would be started by the import
            _ARROW: "background_thread:false",
        }
        environment.pop(ADDRESS, None)
        self._noise = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-Xfrozen_modules=off",
                "-m",
                __name__,
                self.folder,
                *dict.fromkeys(modules),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
            start_new_session=True,
        )
        atexit.register(self.close)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self._process.wait()
            self._noise.seek(0)
            said = self._noise.read().strip()[-2000:]
            self.close()
            raise OSError(f"the process that forks kernels did not start: {said}")

    @property
    def address(self) -> str:
        """Path of the socket on which it listens."""
        return str(self.folder / "zygote")

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it and all that it has forked."""
        atexit.unregister(self.close)
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._noise.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _ask(address: str, **request: Any) -> tuple[socket.socket, int]:
    """Have the zygote at `address` fork; the connection to the child's keeper, and its pid."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(1)  # what follows belongs to another message
            if not part:
                raise ConnectionError("the process that forks kernels has gone")
            answer += part
    except BaseException:
        connection.close()
        raise
    return connection, json.loads(answer)["pid"]


def fork_kernel(address: str, **request: Any) -> WarmProcess:
    """A kernel: `argv`, `cwd`, `env` and `log` (a file for what it prints beside its cells)."""
    return WarmProcess(*_ask(address, kind="kernel", **request))


def fork_worker(address: str, function: str) -> tuple[socket.socket, int]:
    """A process that runs `function` ("module:name") on its end of the connection; and its pid."""
    return _ask(address, kind="worker", function=function)


_own: dict[str, Zygote] = {}
_own_lock = threading.Lock()


def shared(modules: Sequence[str], token: str = "") -> str:
    """Address of the zygote that serves this process, started if there is none.

    Parameters
    ----------
    token : str
        A zygote of another token is ended: what it imported may be stale.
    """
    if given := os.environ.get(ADDRESS):
        return given
    key = json.dumps([sorted(modules), token, os.getpid()])
    with _own_lock:
        for stale in [k for k, z in _own.items() if not z.alive or (token and k != key)]:
            _own.pop(stale).close()
        if key not in _own:
            _own[key] = Zygote([*STACK, *modules])
        return _own[key].address


# ---------------------------------------------------------------- the zygote itself


@dataclass
class _Child:
    """A forked kernel as the zygote knows it: who asked for it, and its process."""

    connection: socket.socket
    pid: int


class _Forked(BaseException):
    """Raised in a child to leave the zygote's loop: what it is to do instead."""

    def __init__(self, job: Callable[[], None]):
        self.job = job


def _preload(modules: Sequence[str]) -> None:
    """Import modules as a kernel would: some look whether they are in one when imported."""
    import IPython
    from ipykernel.zmqshell import ZMQInteractiveShell
    from traitlets.config import Config

    shell = ZMQInteractiveShell.__new__(ZMQInteractiveShell)  # only its type and config are asked
    shell.config = Config({"IPKernelApp": {}})
    real = IPython.get_ipython
    IPython.get_ipython = lambda: shell
    try:
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if "plotly" in sys.modules:
            with contextlib.suppress(Exception):
                _first_figure()
    finally:
        IPython.get_ipython = real


def _first_figure() -> None:
    """Plotly imports some three hundred modules not when it is imported but when it first draws."""
    import nbformat  # noqa: F401  # asked for when a figure is shown
    import plotly.graph_objects as go

    traces = (go.Scatter(x=[0], y=[0]), go.Bar(x=[0], y=[0]), go.Heatmap(z=[[0]]))
    go.Figure(list(traces))._repr_mimebundle_()
    if "plotly.express" in sys.modules:
        sys.modules["plotly.express"].line(y=[0, 1])


def _serve(folder: Path, listener: socket.socket, forks: set[int]) -> None:
    """Fork on request until whoever started the zygote is gone; `forks` are those that run."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: dict[int, _Child] = {}
    selector = selectors.DefaultSelector()
    for source in (0, woken, listener):
        selector.register(source, selectors.EVENT_READ)

    def forked(connection: socket.socket, keep: bool) -> int:
        """Fork; in the child, close everything that is the zygote's."""
        pid = os.fork()
        if pid:
            forks.add(pid)
            return pid
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        selector.close()
        for held in [listener, *(c.connection for c in children.values())]:
            held.close()
        if not keep:
            connection.close()
        for end in (woken, wake):
            os.close(end)
        return 0

    def admit(connection: socket.socket) -> None:
        request = json.loads(connection.makefile("rb").readline() or b"{}")
        kind = request.pop("kind", None)
        if kind == "kernel":
            pid = forked(connection, keep=False)
            if not pid:
                raise _Forked(lambda: _kernel(**request))
            children[pid] = _Child(connection, pid)
            selector.register(connection, selectors.EVENT_READ, pid)
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        elif kind == "worker":
            pid = forked(connection, keep=True)
            if not pid:
                raise _Forked(lambda: _worker(connection, folder, **request))
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
            connection.close()
        else:
            connection.close()

    def reap() -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            forks.discard(pid)
            end_session(pid)
            child = children.pop(pid, None)
            if child is None:
                continue
            message = {
                "exit": os.waitstatus_to_exitcode(status),
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "memory_mb": usage.ru_maxrss / 1024,
            }
            selector.unregister(child.connection)
            with contextlib.suppress(OSError), child.connection:
                child.connection.sendall(json.dumps(message).encode() + b"\n")

    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                if not os.read(0, 4096):
                    return
            elif key.fileobj == woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
                reap()
            elif key.fileobj is listener:
                with contextlib.suppress(OSError, ValueError):
                    admit(listener.accept()[0])
            elif key.data in children:  # nothing is ever sent: whoever asked for it is gone
                _end(key.data)
                selector.unregister(key.fileobj)
                children.pop(key.data).connection.close()


def _end(pid: int) -> None:
    """Kill a forked process and its group."""
    end_session(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def end_session(pid: int) -> None:
    """Kill what a kernel has started and left running; `pid` leads, or led, their group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """The kernel sends SIGKILL when the zygote ends, however it ends."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent or parent == 1:
        os._exit(1)


def _fresh() -> None:
    """What a new interpreter would have drawn anew."""
    os.setsid()
    _die_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _kernel(argv: list[str], cwd: str, env: dict[str, str], log: str) -> None:
    _fresh()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.close(printed)
    if (threads := int(env.get(THREADS[0], 1))) > 1:  # the imports found room for one
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel_launcher", *argv]
    application = IPKernelApp.instance()
    application.initialize(argv)
    application.start()
    # As at the end of any Python, but for taking a thousand modules apart before the memory goes.
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def _worker(connection: socket.socket, folder: Path, function: str) -> None:
    _fresh()
    os.environ[ADDRESS] = str(folder / "zygote")
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(connection)


def _main(folder: Path, modules: Sequence[str]) -> None:
    owner, job = os.getpid(), None
    forks: set[int] = set()
    try:
        with lean_jsonschema():
            _preload(modules)
        os.environ.pop(_ARROW, None)
        running = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        if running != 1:
            sys.exit(f"an imported module has started {running - 1} threads, so no fork is safe")
        gc.collect()
        gc.freeze()  # what is shared with the forks stays shared
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(0))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "zygote"))
        listener.listen(256)
        print("ready", flush=True)
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 1)
        os.close(quiet)
        _serve(folder, listener, forks)
    except _Forked as fork:
        job = fork.job
    finally:
        if os.getpid() == owner:
            for pid in forks:
                _end(pid)
            for pid in forks:  # when this process is gone, so are they, and their times are known
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            shutil.rmtree(folder, ignore_errors=True)
    if job is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        job()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
