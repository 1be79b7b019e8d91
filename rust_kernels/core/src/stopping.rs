//! Optimal stopping: paths of fractional Brownian motion, and backward regression on paths.
//!
//! Mandelbrot & Van Ness, SIAM Review 10 (1968) 422-437; Longstaff & Schwartz, Review of Financial
//! Studies 14 (2001) 113-147.

mod fractional;
mod least_squares;
mod policy;

pub use fractional::{Method, Motion};
pub use least_squares::regression;
pub use policy::{apply_policy, backward_regression};

use rayon::ThreadPool;

/// Rows that are turned into columns at once.
const SQUARE: usize = 4;

/// Writes rows of one length as the starts of columns.
#[inline(always)]
fn turn<'a>(rows: [&[f64]; SQUARE], columns: impl Iterator<Item = &'a mut [f64]>) {
    // Not by `map`, whose arrays the compiler would keep in memory.
    let [first, second, third, fourth] = rows;
    let rows = first.iter().zip(second).zip(third.iter().zip(fourth));
    for (((first, second), (third, fourth)), column) in rows.zip(columns) {
        column[..SQUARE].copy_from_slice(&[*first, *second, *third, *fourth]);
    }
}

/// Threads, where there is work for more than one. They end with the call: a lasting pool would not
/// survive a fork of the process.
fn threads(wanted: bool) -> Option<ThreadPool> {
    wanted
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1)
}
