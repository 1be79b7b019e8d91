"""What papermill finds under the name `labkit`: the engine, imported when it is asked for.

Papermill loads all engines while it is imported itself, and ours imports papermill.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Engine"]


class Engine:
    """`labkit._engine.Engine` by its methods."""

    @staticmethod
    def execute_notebook(*words: Any, **more: Any) -> Any:
        """Execute a notebook."""
        from labkit._engine import Engine as Real

        return Real.execute_notebook(*words, **more)

    @staticmethod
    def nb_kernel_name(nb: Any, name: str | None = None) -> str:
        """Name of a notebook's kernel."""
        from labkit._engine import Engine as Real

        return Real.nb_kernel_name(nb, name)

    @staticmethod
    def nb_language(nb: Any, language: str | None = None) -> str:
        """Language of a notebook's kernel."""
        from labkit._engine import Engine as Real

        return Real.nb_language(nb, language)
