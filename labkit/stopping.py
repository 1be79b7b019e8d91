r"""Optimal stopping: when to take a reward, with bounds on what the best answer is worth.

``sup E[reward at tau]`` over all rules tau that use only what is known when they stop. Any rule,
applied to paths it was not made on, bounds it from below; the mean of the largest
``reward - martingale`` bounds it from above for any martingale that starts at 0 (Rogers,
Mathematical Finance 12 (2002) 271-286; Haugh & Kogan, Operations Research 52 (2004) 258-270). Both
bounds come with standard errors, and the distance between them says what is left to find.

- rules by regression: `longstaff_schwartz` on the present state, `signature_stopping` on the whole
  path, whose bounds are a `StoppingBounds` and whose rule is a `SignaturePolicy`;
- processes: `fractional_brownian_motion`, `fractional_covariance`, `fractional_innovations`,
  `hermite_innovations`;
- references: `binomial_tree`, `black_scholes`.
"""

from __future__ import annotations

from labkit._fractional import (
    fractional_brownian_motion,
    fractional_covariance,
    fractional_innovations,
    hermite_innovations,
)
from labkit._longstaff_schwartz import LongstaffSchwartz, longstaff_schwartz
from labkit._options import binomial_tree, black_scholes
from labkit._signature_stopping import (
    SignaturePolicy,
    StoppingBounds,
    signature_policy,
    signature_stopping,
)

__all__ = [
    "LongstaffSchwartz",
    "SignaturePolicy",
    "StoppingBounds",
    "binomial_tree",
    "black_scholes",
    "fractional_brownian_motion",
    "fractional_covariance",
    "fractional_innovations",
    "hermite_innovations",
    "longstaff_schwartz",
    "signature_policy",
    "signature_stopping",
]
