//! Search for the support of a sparse mean-reverting portfolio.
//!
//! With `M = A' Gamma A`, the part of the covariance Gamma that a VAR(1) predicts, weights x have
//! the predictability `x' M x / x' Gamma x` (Box & Tiao, Biometrika 64 (1977)). The least on a
//! support S is nu(S), the smallest eigenvalue of the pencil `(M[S, S], Gamma[S, S])`, and the
//! support of k assets with the least nu is looked for (d'Aspremont, Quantitative Finance 11
//! (2011), section 3). Two facts carry all three searches:
//!
//! - nu(S) > l exactly if `M[S, S] - l * Gamma[S, S]` is positive definite;
//! - eigenvalues interlace: nu(S + i) <= nu(S), and nu(S + i) is the root below nu(S) of the Schur
//!   complement of asset i in `M - l * Gamma`, which falls as l grows.
//!
//! A value is off by up to about `n * eps * condition(Gamma)` of the largest predictability of a
//! single asset, the condition taken at unit variances: the rounding of `M` in a Gamma-orthonormal
//! basis. What is smaller than that has no digits.
//!
//! Two values that differ by less than [`TIE`] of the largest predictability of a single asset are
//! equal; of equal choices the first counts, by index.

mod arrow;
mod dense;
mod greedy;
mod pencil;
mod rotate;
mod subset;

pub use greedy::greedy_path;
pub use pencil::TIE;
pub use subset::{best_subset, swap_subset, MOST_SUPPORTS};
