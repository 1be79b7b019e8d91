"""Which implementation serves the kernels: the Rust module or its NumPy reference."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from labkit import reference

__all__ = ["backend", "kernels"]


def _choose() -> tuple[str, ModuleType]:
    forced = os.environ.get("LABKIT_BACKEND", "")
    if forced not in ("", "rust", "reference"):
        raise ValueError(f"LABKIT_BACKEND must be 'rust' or 'reference', got {forced!r}")
    if forced != "reference":
        try:
            return "rust", importlib.import_module("labkit._kernels")
        except ModuleNotFoundError as error:
            # Only an absent module selects the reference; one that is there and broken is an error.
            if error.name != "labkit._kernels" or forced == "rust":
                raise
    return "reference", reference


_name, kernels = _choose()


def backend() -> str:
    """Name of the implementation in use, ``"rust"`` or ``"reference"``.

    The Rust module is taken where it was built. ``LABKIT_BACKEND=reference`` in the
    environment, set before labkit is imported, selects the NumPy one; ``LABKIT_BACKEND=rust``
    makes a missing Rust module an error.

    Examples
    --------
    >>> backend() in ("rust", "reference")
    True
    """
    return _name
