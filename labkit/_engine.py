"""The papermill engine of sweeps: warm kernels where the system can fork them, limits for each run.

`papermill --engine labkit in.ipynb out.ipynb` uses it too. The notebook's metadata say afterwards
what the kernel used and whether a limit stopped it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager

from labkit import _warm

__all__ = ["Engine", "WarmKernelManager", "WarmProvisioner"]

METADATA = "labkit"
GRACE = 5.0  # seconds between asking a kernel to stop and stopping it
_PACKAGES = [
    "IPython",
    "cvxpy",
    "labkit",
    "numpy",
    "pandas",
    "plotly",
    "scipy",
    "sklearn",
    "statsmodels",
]


class WarmProvisioner(LocalProvisioner):
    """Jupyter's view of a forked kernel."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Have it forked."""
        arguments = cmd[cmd.index("-f") :]
        manager = self.parent
        self.process = _warm.fork_kernel(
            manager.zygote,
            argv=arguments,
            cwd=str(kwargs.get("cwd") or Path.cwd()),
            env=dict(kwargs.get("env") or os.environ),
            log=manager.log_file,
        )
        self.pid = self.pgid = self.process.pid
        return self.connection_info

    async def wait(self) -> int | None:
        """Exit status, looked for more often than the ten times a second of the base class."""
        while self.process is not None and (code := self.process.poll()) is None:
            await asyncio.sleep(0.002)
        self.process = None
        return code


class _Client(AsyncKernelClient):
    """Ready as soon as the kernel answers on both channels, without a pause to be sure."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        end = time.monotonic() + (timeout or 60.0)
        answered = heard = False
        while not (answered and heard):
            if not await self.is_alive():
                raise RuntimeError("the kernel died while it started")
            if time.monotonic() > end:
                raise RuntimeError(f"the kernel did not answer within {timeout} seconds")
            self.kernel_info()
            pause = 1.0
            with contextlib.suppress(Empty):
                while not answered:
                    message = await self.get_shell_msg(timeout=pause)
                    answered = message["msg_type"] == "kernel_info_reply"
                # A subscription takes a moment, and what was said before it is lost.
                await self.get_iopub_msg(timeout=0.05)
                heard = True


class WarmKernelManager(AsyncKernelManager):
    """Starts kernels by fork, over sockets in a folder that only this user can read."""

    def __init__(self, zygote: str, **traits: Any):
        self.zygote = zygote
        place, name = Path(zygote).parent, f"{os.getpid()}-{threading.get_ident()}-{id(self)}"
        self.log_file = str(place / f"{name}.log")
        super().__init__(
            transport="ipc",
            ip=str(place / name),
            connection_file=str(place / f"{name}.json"),
            **traits,
        )
        self.client_factory = _Client
        self._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3 (forked)",
            language="python",
            interrupt_mode="signal",
        )
        self.kernel_id = name
        self.provisioner = WarmProvisioner(
            kernel_id=name, kernel_spec=self._kernel_spec, parent=self
        )

    async def _async_finish_shutdown(
        self, waittime: float | None = None, pollinterval: float = 0.1, restart: bool = False
    ) -> None:
        await super()._async_finish_shutdown(waittime, 0.002, restart)


class _Deadline:
    """Interrupts a kernel at the end of its time, and kills it if that is not enough."""

    def __init__(self, process: Any, seconds: float):
        self.passed = False
        self._process, self._over = process, threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(seconds,), daemon=True)
        self._thread.start()

    def _watch(self, seconds: float) -> None:
        if self._over.wait(seconds):
            return
        self.passed = True
        for number, pause in ((signal.SIGINT, GRACE), (signal.SIGKILL, 0.0)):
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
            if self._over.wait(pause):
                return

    def close(self) -> None:
        """The kernel has ended."""
        self._over.set()
        self._thread.join()


class Engine(NBClientEngine):
    """Papermill's own engine, with a choice of kernel and with limits.

    Parameters
    ----------
    warm : bool, optional
        Fork the kernel; by default where the system can.
    zygote : str, optional
        Address of what forks it; by default one of this process.
    source : str, optional
        Notebook that the executed one names as its input; by default the file that was read.
    folder : str, optional
        Where the kernel works; by default the current folder.
    seconds, memory_mb : float, optional
        Limits of the whole run. A kernel out of memory raises `MemoryError` in its cell.
    cpus : list of int, optional
        On which the kernel may run.
    threads : int
        Of BLAS, OpenMP and the Rust kernels.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        warm: bool | None = None,
        zygote: str | None = None,
        source: str | None = None,
        folder: str | None = None,
        seconds: float | None = None,
        memory_mb: float | None = None,
        cpus: list[int] | None = None,
        threads: int = 1,
        log_output: bool = False,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **more: Any,
    ) -> Any:
        warm = _warm.available() if warm is None else warm
        more.pop("input_path", None)
        if source is not None:
            nb_man.nb.metadata.papermill["input_path"] = source
        if warm:
            address = zygote or _warm.shared(modules_of(nb_man.nb))
            manager: AsyncKernelManager = WarmKernelManager(address)
        else:
            manager = AsyncKernelManager(kernel_name=kernel_name)
        client = PapermillNotebookClient(
            nb_man,
            km=manager,
            timeout=execution_timeout,
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log_output=log_output,
            **more,
        )
        environment = {**os.environ, **dict.fromkeys(_warm.THREADS, str(threads))}
        environment.pop(_warm.ADDRESS, None)
        used: dict[str, Any] = {}
        process: Any = None
        deadline: _Deadline | None = None
        try:
            client.reset_execution_trackers()
            client.start_new_kernel(cwd=folder or str(Path.cwd()), env=environment)
            process = manager.provisioner.process
            _limit(process.pid, memory_mb, cpus)
            deadline = _Deadline(process, seconds) if seconds else None
            return client.execute(cleanup_kc=True)
        except (DeadKernelError, RuntimeError) as error:
            code = process.poll() if process is not None else None
            if code is None and not isinstance(error, DeadKernelError):
                raise
            used["died"] = True
            _note_death(nb_man, code, manager)
            return None
        finally:
            if deadline is not None:
                deadline.close()
                if deadline.passed:
                    used["stopped"] = f"stopped after {seconds:g} s"
            used |= getattr(process, "usage", {})
            nb_man.nb.metadata[METADATA] = used
            if client.km is not None and client.km.has_kernel:
                client._cleanup_kernel()
            if warm:
                Path(manager.log_file).unlink(missing_ok=True)
            elif process is not None and _warm.available():
                _warm.end_session(process.pid)


def _limit(pid: int, memory_mb: float | None, cpus: list[int] | None) -> None:
    """Limits that the system keeps; they hold for what the kernel starts, too."""
    if memory_mb is not None:
        import resource

        room = round(memory_mb * 2**20)
        resource.prlimit(pid, resource.RLIMIT_DATA, (room, room))
    if cpus:
        os.sched_setaffinity(pid, cpus)


def _note_death(
    nb_man: NotebookExecutionManager, code: int | None, manager: AsyncKernelManager
) -> None:
    """Put the kernel's death where its traceback would be: in the cell that was running."""
    begun = [cell for cell in nb_man.nb.cells if cell.metadata.papermill.get("start_time")]
    how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit status {code}"
    said = ""
    if isinstance(manager, WarmKernelManager):
        with contextlib.suppress(OSError):
            said = Path(manager.log_file).read_text(encoding="utf-8", errors="replace")[-4000:]
    code_cells = [cell for cell in begun if cell.cell_type == "code"]
    if not code_cells:
        raise RuntimeError(f"the kernel died before its first cell ({how}) {said}")
    cell = code_cells[-1]
    text = f"the kernel died ({how})"
    cell.outputs.append(
        new_output("error", ename="DeadKernelError", evalue=text, traceback=[text, said])
    )
    nb_man.cell_exception(cell)


def modules_of(notebook: Any) -> list[str]:
    """What a notebook imports of the packages that labkit stands on, read without running it.

    Only of those: another package may start threads when it is imported, or cost what no cell
    needs.
    """
    found: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:  # a line for IPython
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                found |= dict.fromkeys([node.module, *names])
    return [name for name in found if name.split(".")[0] in _PACKAGES]
