"""PEP 517 build backend: maturin where cargo is on the PATH, else setuptools.

Without a Rust toolchain the package is still whole: `labkit.reference` serves every
kernel and `labkit.backend()` says "reference". Nothing else differs.
"""

import importlib
import shutil
import sys

_HOOKS = (
    "build_wheel",
    "build_sdist",
    "build_editable",
    "prepare_metadata_for_build_wheel",
    "prepare_metadata_for_build_editable",
)
_RUST = shutil.which("cargo") is not None
_REQUIRES = ["maturin>=1.8,<2"] if _RUST else ["setuptools>=77"]

if not _RUST:
    print("labkit: no cargo on the PATH, building without Rust kernels", file=sys.stderr)


def _requires(config_settings=None):
    return list(_REQUIRES)


get_requires_for_build_wheel = _requires
get_requires_for_build_sdist = _requires
get_requires_for_build_editable = _requires


def __getattr__(hook):
    # Late, because the frontend asks for the requirements before it installs them.
    if hook not in _HOOKS:
        raise AttributeError(hook)
    return getattr(importlib.import_module("maturin" if _RUST else "setuptools.build_meta"), hook)
