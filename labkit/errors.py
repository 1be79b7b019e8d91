"""The errors that labkit raises on purpose, beside ValueError and TypeError."""

__all__ = [
    "CrossedBook",
    "DataCorrupt",
    "DataUnavailable",
    "LabkitError",
    "RunFailed",
    "SequenceGap",
    "SolverFailed",
    "SweepStopped",
    "UnknownParameter",
]


class LabkitError(Exception):
    """Base of labkit's own errors."""


class CrossedBook(LabkitError, ValueError):
    """The best bid is not below the best ask."""


class SequenceGap(LabkitError):
    """A recording skips an update, so the books after it are not known."""


class SolverFailed(LabkitError, RuntimeError):
    """A numerical programme was not solved; the message says what the solver reports."""


class DataUnavailable(LabkitError):
    """A data set is not at hand; the message names the one command that gets it."""


class DataCorrupt(LabkitError):
    """A data file does not have the hash that the registry gives."""


class UnknownParameter(LabkitError, ValueError):
    """A chapter has no parameter of that name, or the value has the wrong type."""


class RunFailed(LabkitError):
    """A chapter raised an error while it ran; the executed notebook holds the traceback."""


class SweepStopped(LabkitError):
    """A sweep ended before its last point; what finished is kept, and the same call goes on."""
