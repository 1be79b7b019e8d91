//! Forward selection.

use super::pencil::{Pencil, Shifted};
use crate::Error;

/// The order in which assets enter, and nu of each of its beginnings.
pub fn greedy_path(
    predicted: &[f64],
    covariance: &[f64],
    n: usize,
) -> Result<(Vec<usize>, Vec<f64>), Error> {
    plain(&Pencil::new(predicted, covariance, n)?, n)
}

/// The first `size` assets of the path, one eigenvalue of one support after another.
pub(super) fn plain(pencil: &Pencil, size: usize) -> Result<(Vec<usize>, Vec<f64>), Error> {
    let (mut order, mut values) = (Vec::new(), Vec::new());
    for _ in 0..size {
        let mut best: Option<(f64, usize)> = None;
        for i in (0..pencil.n).filter(|i| !order.contains(i)) {
            let rejected = best.is_some_and(|(value, _)| {
                Shifted::new(pencil, &order, value - pencil.tie)
                    .is_some_and(|shifted| shifted.corner(i) >= 0.0)
            });
            if !rejected {
                let value = pencil.least(&[&order[..], &[i]].concat())?;
                if best.is_none_or(|(least, _)| value < least - pencil.tie) {
                    best = Some((value, i));
                }
            }
        }
        if let Some((value, i)) = best {
            order.push(i);
            values.push(value);
        }
    }
    Ok((order, values))
}
