"""The wheel installs in a clean environment, with the Rust module and without a toolchain."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import labkit
from labkit._paths import project_root

UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
LEFT_OUT = (".git", ".venv", "_build", "runs", "target", "build", "*.egg-info", "_kernels*.so")
PROBE = "import labkit; print(labkit.__version__, labkit.backend(), labkit.__file__)"


def without_cargo(path):
    return os.pathsep.join(
        folder for folder in path.split(os.pathsep) if not (Path(folder) / "cargo").exists()
    )


@pytest.mark.parametrize("backend", ["rust", "reference"])
def test_a_wheel_installs_and_serves(backend, tmp_path):
    if backend == "rust" and shutil.which("cargo") is None:
        pytest.skip("no Rust toolchain on the PATH")
    path = os.environ["PATH"]
    environment = {**os.environ, "PATH": path if backend == "rust" else without_cargo(path)}
    environment.pop("LABKIT_BACKEND", None)
    # From a copy, because a build leaves files beside its sources; compiled crates are shared.
    shutil.copytree(project_root(), tmp_path / "source", ignore=shutil.ignore_patterns(*LEFT_OUT))
    environment["CARGO_TARGET_DIR"] = str(project_root() / "rust_kernels" / "target")
    options = ["--build-constraints", "constraints.txt", "--no-create-gitignore"]
    built = subprocess.run(
        [UV, "build", "--wheel", *options, "--out-dir", tmp_path, "--python", sys.executable, "."],
        cwd=tmp_path / "source",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert ("building without Rust kernels" in built.stderr) == (backend == "reference")
    (wheel,) = tmp_path.glob("labkit-*.whl")
    assert ("cp311-abi3" in wheel.name) == (backend == "rust")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"labkit"}
    assert "labkit/reference/arbitrage.py" in names
    assert "labkit/_kernels.pyi" in names

    clean = tmp_path / "clean"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clean], check=True)
    python = clean / "bin" / "python"
    install = [UV, "pip", "install", "-q", "--no-deps", "--python", python, wheel]
    subprocess.run(install, check=True)
    # Its dependencies are borrowed from here; a path given so does not see our editable labkit.
    borrowed = {**environment, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    done = subprocess.run(
        [python, "-c", PROBE], cwd=tmp_path, env=borrowed, capture_output=True, text=True
    )
    version, served, file = done.stdout.split()
    assert (version, served) == (labkit.__version__, backend)
    assert Path(file).is_relative_to(clean)
