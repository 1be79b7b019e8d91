"""Hawkes processes: exact simulation, likelihood, estimation and tests of what they claim.

The intensity of type i of d is, with j the type of event k,

    baseline_i + sum over events k before t of mark_k adjacency_ij decay exp(-decay (t - t_k))

so that `adjacency` is the branching matrix: the events of type i that one event of type j has as
its direct children (Hawkes, Biometrika 58 (1971) 83-90). Decays may differ by pair, or several
exponentials be summed, up to a power law. Time is in one unit throughout, that of `times`, and the
history before 0 is empty.

- events: `distinct` and `jitter` for clocks that are coarser than the process;
- the model: `simulate`, `log_likelihood`, `intensity`, `compensator`, `compensator_residuals`,
  `power_law`; what follows exactly: `branching_ratio`, `stationary_rate`, `mean_count`,
  `count_covariance` (written in `_hawkes_model`);
- estimation: `fit` gives a `HawkesFit`; `fit_binned` for counts in bins; `estimate_kernel` for a
  first look without a form (in `_hawkes_fit`);
- a market in which orders excite one another: `simulate_order_flow` (in `_hawkes_flow`); quotes
  that react to it are in `labkit.market_making`.
"""

from __future__ import annotations

from labkit._hawkes_fit import HawkesFit, estimate_kernel, fit, fit_binned
from labkit._hawkes_flow import ORDER_TYPES, OrderFlow, simulate_order_flow
from labkit._hawkes_model import (
    Likelihood,
    PowerLaw,
    Residuals,
    Simulated,
    branching_ratio,
    compensator,
    compensator_residuals,
    count_covariance,
    distinct,
    intensity,
    jitter,
    log_likelihood,
    mean_count,
    power_law,
    simulate,
    stationary_rate,
)

__all__ = [
    "ORDER_TYPES",
    "HawkesFit",
    "Likelihood",
    "OrderFlow",
    "PowerLaw",
    "Residuals",
    "Simulated",
    "branching_ratio",
    "compensator",
    "compensator_residuals",
    "count_covariance",
    "distinct",
    "estimate_kernel",
    "fit",
    "fit_binned",
    "intensity",
    "jitter",
    "log_likelihood",
    "mean_count",
    "power_law",
    "simulate",
    "simulate_order_flow",
    "stationary_rate",
]
