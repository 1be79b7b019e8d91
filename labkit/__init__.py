"""labkit: the words in which the chapters of the book are written.

Topics are modules of the same name as their chapter's subject (`labkit.orderbook`,
`labkit.arbitrage`, ...). Each kernel exists twice, in `labkit.reference` (NumPy, to be read)
and in Rust; `backend` says which one is in use.
"""

from labkit._backend import backend

__all__ = ["__version__", "backend"]

__version__ = "0.1.0"
