//! Optimal stopping: paths of fractional Brownian motion, and backward regression on paths.
//!
//! Mandelbrot & Van Ness, SIAM Review 10 (1968) 422-437; Longstaff & Schwartz, Review of Financial
//! Studies 14 (2001) 113-147.

mod fractional;
mod least_squares;
mod policy;

pub use fractional::{fractional_brownian_motion, Method};
pub use least_squares::regression;
pub use policy::{apply_policy, backward_regression};

use rayon::ThreadPool;

/// Threads, where there is work for more than one. They end with the call: a lasting pool would not
/// survive a fork of the process.
fn threads(wanted: bool) -> Option<ThreadPool> {
    wanted
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1)
}
