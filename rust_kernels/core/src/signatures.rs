//! Path signatures: iterated integrals of piecewise linear paths, their logarithm and their kernel.
//!
//! A signature is flat: the constant term, then level after level, the words of each in
//! lexicographic order. Of many paths, each lane of a vector holds one, so that all arithmetic is
//! of whole vectors without shuffles; a long path is cut into pieces for the lanes, which Chen's
//! identity puts together. Where it is cut depends on its length alone.

mod algebra;
mod forward;
mod gradient;
mod kernel;
mod lanes;
mod tree;

use crate::Error;
use forward::Forward;
use gradient::Gradient;
use kernel::Kernel;
pub use lanes::Real;
use lanes::{lanes, Lane};
use rayon::prelude::*;

/// Coordinates of all signatures together, at most: two gigabytes.
const LARGEST: usize = 1 << 28;

/// Multiplications from which threads are worth starting: about a millisecond of work.
const PARALLEL: usize = 1 << 22;

/// Steps of a piece at least, and pieces of a path at most.
const PIECE: usize = 512;
const PIECES: usize = 64;

/// Tasks that many paths are divided into, about.
const TASKS: usize = 32;

/// Paths of as many points each, in one array of shape (b, n, d).
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a, T> {
    values: &'a [T],
    b: usize,
    n: usize,
    d: usize,
}

impl<'a, T: Real> Paths<'a, T> {
    /// Paths named `name` in messages; `values` fill the shape.
    pub fn new(name: &str, values: &'a [T], [b, n, d]: [usize; 3]) -> Result<Self, Error> {
        if n == 0 || d == 0 {
            let problem = format!(
                "must have at least one point and one dimension, got the shape ({b}, {n}, {d})"
            );
            return Err(Error::new(name, problem));
        }
        finite(name, values, &[n, d])?;
        Ok(Self { values, b, n, d })
    }

    /// Paths in the batch.
    pub fn count(&self) -> usize {
        self.b
    }

    /// Points of each path.
    pub fn points(&self) -> usize {
        self.n
    }

    /// Dimensions of a point.
    pub fn dim(&self) -> usize {
        self.d
    }

    fn path(&self, number: usize) -> &'a [T] {
        &self.values[number * self.n * self.d..][..self.n * self.d]
    }
}

/// Refuses the first value that is not finite; `inner` are the lengths of all axes but the first.
fn finite<T: Real>(name: &str, values: &[T], inner: &[usize]) -> Result<(), Error> {
    // Zero times what is not finite is not a number, and sums side by side tell quickly.
    let mut sums = [T::ZERO; 32];
    let blocks = values.chunks_exact(sums.len());
    let rest = blocks.remainder();
    for block in blocks {
        for (sum, &value) in sums.iter_mut().zip(block) {
            *sum += value * T::ZERO;
        }
    }
    if sums.iter().all(|&sum| sum == T::ZERO) && rest.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    let Some(place) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    let mut rest = place;
    let mut at: Vec<String> = Vec::new();
    for &length in inner.iter().rev() {
        at.insert(0, (rest % length).to_string());
        rest /= length;
    }
    at.insert(0, rest.to_string());
    let value = values[place].to_string().to_lowercase();
    Err(Error::new(
        format!("{name}[{}]", at.join(", ")),
        format!("must be finite, got {value}"),
    ))
}

/// Coordinates of a signature, unless `rows` of them are too many.
pub fn size(d: usize, depth: usize, rows: usize) -> Result<usize, Error> {
    let (mut total, mut level) = (1_usize, 1_usize);
    for _ in 0..depth {
        level = level.saturating_mul(d);
        total = total.saturating_add(level);
        if total.saturating_mul(rows) > LARGEST {
            let problem = format!("must give at most 2**28 coordinates in all, got {depth}");
            return Err(Error::new("depth", problem));
        }
    }
    Ok(total)
}

/// Signatures, (b, size), or with `prefixes` of all initial segments, (b, n, size).
///
/// The result is the same for any number of threads.
pub fn signature<T: Real>(paths: &Paths<T>, depth: usize, prefixes: bool) -> Result<Vec<T>, Error> {
    let &Paths { b, n, d, .. } = paths;
    let size = size(d, depth, b.max(1) * if prefixes { n } else { 1 })?;
    if prefixes {
        let whole = |path| Lane {
            path,
            first: 0,
            steps: n - 1,
        };
        let all: Vec<Lane> = (0..b).map(whole).collect();
        return Ok(forward(paths, depth, &all, n * size, true));
    }
    let (pieces, mut found) = signatures_of_pieces(paths, depth, size);
    if pieces > 1 {
        for path in 0..b {
            let own = &mut found[path * pieces * size..][..pieces * size];
            let (whole, rest) = own.split_at_mut(size);
            for piece in rest.chunks_exact(size) {
                algebra::multiply(whole, piece, d, depth);
            }
        }
        found = found
            .chunks_exact(pieces * size)
            .flat_map(|own| &own[..size])
            .copied()
            .collect();
    }
    Ok(found)
}

/// How many pieces each path has, and the signatures of all.
fn signatures_of_pieces<T: Real>(paths: &Paths<T>, depth: usize, size: usize) -> (usize, Vec<T>) {
    let (pieces, all) = cut(paths);
    (pieces, forward(paths, depth, &all, size, false))
}

/// How many pieces each path has, and all of them.
fn cut<T: Real>(paths: &Paths<T>) -> (usize, Vec<Lane>) {
    let steps = paths.n - 1;
    let pieces = (steps / PIECE).clamp(1, PIECES);
    let all = (0..paths.b * pieces).map(|number| {
        let (path, piece) = (number / pieces, number % pieces);
        let (first, end) = (piece * steps / pieces, (piece + 1) * steps / pieces);
        Lane {
            path,
            first,
            steps: end - first,
        }
    });
    (pieces, all.collect())
}

/// Signatures of pieces, `length` values of each.
fn forward<T: Real>(
    paths: &Paths<T>,
    depth: usize,
    pieces: &[Lane],
    length: usize,
    prefixes: bool,
) -> Vec<T> {
    let mut found = vec![T::ZERO; pieces.len() * length];
    let width = task::<T>(pieces.len());
    let steps = pieces.first().map_or(0, |piece| piece.steps);
    let work = found.len().saturating_mul(if prefixes { 1 } else { steps });
    in_parallel(&mut found, width * length, work, |group, out| {
        let first = group * width;
        pulp::Arch::new().dispatch(Forward {
            paths: *paths,
            depth,
            lanes: &pieces[first..(first + width).min(pieces.len())],
            prefixes,
            out,
        });
    });
    found
}

/// Lanes of a task: as many vectors of them as leave some tasks for each thread.
fn task<T: Real>(all: usize) -> usize {
    let width = lanes::<T>();
    width * (all / width / TASKS).max(1)
}

/// Does the task for each part of the result.
fn in_parallel<T: Real>(
    result: &mut [T],
    part: usize,
    work: usize,
    task: impl Fn(usize, &mut [T]) + Sync,
) {
    let each = |(number, part): (usize, &mut [T])| task(number, part);
    // The threads end with the call: a lasting pool would not survive a fork of the process.
    let pool = (work >= PARALLEL && result.len() > part)
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1);
    match pool {
        None => result.chunks_mut(part).enumerate().for_each(each),
        Some(pool) => pool.install(|| result.par_chunks_mut(part).enumerate().for_each(each)),
    }
}

/// Signatures (b, size) times exp of increments (b, d): each path goes on in a straight line.
pub fn signature_extend<T: Real>(
    signatures: &[T],
    increments: &[T],
    d: usize,
    depth: usize,
) -> Result<Vec<T>, Error> {
    let rows = increments.len() / d;
    let size = size(d, depth, rows.max(1))?;
    finite("signatures", signatures, &[size])?;
    let mut found = signatures.to_vec();
    let width = lanes::<T>();
    let work = found.len();
    in_parallel(&mut found, width * size, work, |group, out| {
        let rows = out.len() / size;
        pulp::Arch::new().dispatch(forward::Extend {
            increments: &increments[group * width * d..][..rows * d],
            d,
            depth,
            out,
        });
    });
    Ok(found)
}

/// The array of increments (b, d), which must be finite and not empty along d.
pub fn increments<T: Real>(values: &[T], [b, d]: [usize; 2]) -> Result<(), Error> {
    if d == 0 {
        let problem = format!("must have at least one dimension, got the shape ({b}, {d})");
        return Err(Error::new("increments", problem));
    }
    finite("increments", values, &[d])
}

/// Logarithms of signatures (b, size), whose constant term must be 1.
pub fn signature_logarithm<T: Real>(
    signatures: &[T],
    d: usize,
    depth: usize,
) -> Result<Vec<T>, Error> {
    let size = size(d, depth, 1)?;
    finite("signatures", signatures, &[size])?;
    if let Some(row) = signatures.chunks(size).position(|row| row[0] != T::ONE) {
        let value = signatures[row * size].to_string();
        let problem = format!("must be 1, the constant term, got {value}");
        return Err(Error::new(format!("signatures[{row}, 0]"), problem));
    }
    let mut found = signatures.to_vec();
    let width = task::<T>(found.len() / size);
    let work = found.len().saturating_mul(depth);
    in_parallel(&mut found, width * size, work, |_, out| {
        pulp::Arch::new().dispatch(algebra::Logarithm { d, depth, out });
    });
    Ok(found)
}

/// Derivatives by the points of sums of coordinates with weights (b, size); (b, n, d).
pub fn signature_gradient<T: Real>(
    paths: &Paths<T>,
    depth: usize,
    weights: &[T],
) -> Result<Vec<T>, Error> {
    let &Paths { b, n, d, .. } = paths;
    let size = size(d, depth, b.max(1))?;
    finite("weights", weights, &[size])?;
    let (pieces, all) = cut(paths);
    // From what each piece ends with, and what the rest of the path makes of the weights.
    let ends = forward(paths, depth, &all, size, false);
    let (mut ends, mut pulled) = (ends, vec![T::ZERO; b * pieces * size]);
    for path in 0..b {
        let own = &mut ends[path * pieces * size..][..pieces * size];
        let pulled = &mut pulled[path * pieces * size..][..pieces * size];
        pulled[(pieces - 1) * size..].copy_from_slice(&weights[path * size..][..size]);
        for piece in (1..pieces).rev() {
            let (before, after) = pulled.split_at_mut(piece * size);
            let before = &mut before[(piece - 1) * size..];
            algebra::pull(
                before,
                &after[..size],
                &own[piece * size..][..size],
                d,
                depth,
            );
        }
        for piece in 1..pieces {
            let (before, after) = own.split_at_mut(piece * size);
            let mut whole = before[(piece - 1) * size..].to_vec();
            algebra::multiply(&mut whole, &after[..size], d, depth);
            after[..size].copy_from_slice(&whole);
        }
    }
    let width = lanes::<T>();
    let rows = all.iter().map(|piece| piece.steps).max().unwrap_or(0);
    let mut steps = vec![T::ZERO; all.len() * rows * d];
    if rows > 0 {
        let work = steps.len().saturating_mul(size);
        in_parallel(&mut steps, width * rows * d, work, |group, out| {
            let first = group * width;
            let end = (first + width).min(all.len());
            pulp::Arch::new().dispatch(Gradient {
                paths: *paths,
                depth,
                lanes: &all[first..end],
                ends: &ends[first * size..end * size],
                pulled: &pulled[first * size..end * size],
                rows,
                out,
            });
        });
    }
    let mut found = vec![T::ZERO; b * n * d];
    for (number, piece) in all.iter().enumerate() {
        let steps = &steps[number * rows * d..][..piece.steps * d];
        let points = &mut found[(piece.path * n + piece.first) * d..];
        for (k, &by_step) in steps.iter().enumerate() {
            points[k] -= by_step;
            points[k + d] += by_step;
        }
    }
    Ok(found)
}

/// Signature kernels of pairs of paths, by the Goursat equation on a grid.
pub fn signature_kernel<T: Real>(
    left: &Paths<T>,
    right: &Paths<T>,
    refinement: usize,
) -> Result<Vec<T>, Error> {
    check_refinement(refinement)?;
    let mut found = vec![T::ZERO; left.b];
    kernels(&mut found, left, right, refinement, |pair| (pair, pair));
    Ok(found)
}

/// Signature kernels of all pairs, (b, c), or of all of one batch with itself.
pub fn signature_gram<T: Real>(
    left: &Paths<T>,
    right: Option<&Paths<T>>,
    refinement: usize,
) -> Result<Vec<T>, Error> {
    check_refinement(refinement)?;
    let b = left.b;
    if let Some(right) = right {
        let c = right.b;
        let mut found = vec![T::ZERO; b * c];
        kernels(&mut found, left, right, refinement, |pair| {
            (pair / c, pair % c)
        });
        return Ok(found);
    }
    let mut half = vec![T::ZERO; b * (b + 1) / 2];
    kernels(&mut half, left, left, refinement, below_diagonal);
    let mut found = vec![T::ZERO; b * b];
    for (pair, &value) in half.iter().enumerate() {
        let (i, j) = below_diagonal(pair);
        found[i * b + j] = value;
        found[j * b + i] = value;
    }
    Ok(found)
}

/// Row and column of an entry on or below the diagonal, counted row by row.
fn below_diagonal(pair: usize) -> (usize, usize) {
    let mut row = ((((8 * pair + 1) as f64).sqrt() - 1.0) / 2.0) as usize;
    while row * (row + 1) / 2 > pair {
        row -= 1;
    }
    while (row + 1) * (row + 2) / 2 <= pair {
        row += 1;
    }
    (row, pair - row * (row + 1) / 2)
}

fn check_refinement(refinement: usize) -> Result<(), Error> {
    if refinement > 16 {
        let problem = format!("must be at most 16, got {refinement}");
        return Err(Error::new("refinement", problem));
    }
    Ok(())
}

fn kernels<T: Real>(
    found: &mut [T],
    left: &Paths<T>,
    right: &Paths<T>,
    refinement: usize,
    pair: impl Fn(usize) -> (usize, usize) + Sync,
) {
    let width = lanes::<T>();
    let cells = ((left.n - 1) << refinement).saturating_mul((right.n - 1) << refinement);
    let work = cells.saturating_mul(found.len());
    in_parallel(found, width, work, |group, out| {
        let pairs: Vec<(usize, usize)> = (group * width..).take(out.len()).map(&pair).collect();
        pulp::Arch::new().dispatch(Kernel {
            left: *left,
            right: *right,
            pairs: &pairs,
            refinement,
            out,
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Points of a walk, each coordinate by its own generator.
    fn walk(b: usize, n: usize, d: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut values: Vec<f64> = Vec::with_capacity(b * n * d);
        for place in 0..b * n * d {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let step = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            let before = if place % (n * d) < d {
                0.0
            } else {
                values[place - d]
            };
            values.push(before + step / (n as f64).sqrt());
        }
        values
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10)
    }

    #[test]
    fn a_stream_has_its_signature_and_logarithm() {
        let points = [1.0, 1.0, 3.0, 4.0, 5.0, 2.0, 8.0, 6.0];
        let paths = Paths::new("paths", &points, [1, 4, 2]).unwrap();
        let found = signature(&paths, 2, false).unwrap();
        assert_eq!(found, [1.0, 7.0, 5.0, 24.5, 19.0, 16.0, 12.5]);
        let logarithm = signature_logarithm(&found, 2, 2).unwrap();
        assert_eq!(logarithm, [0.0, 7.0, 5.0, 0.0, 1.5, -1.5, 0.0]);
    }

    #[test]
    fn a_line_has_the_powers_of_its_increment() {
        let paths = Paths::new("paths", &[0.0, 3.0], [1, 2, 1]).unwrap();
        let found = signature(&paths, 7, false).unwrap();
        let mut power = 1.0;
        for (k, value) in found.iter().enumerate() {
            power *= if k == 0 { 1.0 } else { 3.0 / k as f64 };
            assert!((value - power).abs() < 1e-14);
        }
    }

    #[test]
    fn pairs_below_the_diagonal_are_counted_row_by_row() {
        let mut pair = 0;
        for row in 0..300 {
            for column in 0..=row {
                assert_eq!(below_diagonal(pair), (row, column));
                pair += 1;
            }
        }
        for row in [1_usize << 20, (1 << 27) + 12_345] {
            let first = row * (row + 1) / 2;
            assert_eq!(below_diagonal(first), (row, 0));
            assert_eq!(below_diagonal(first - 1), (row - 1, row - 1));
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_named_wherever_they_are() {
        for place in [0, 31, 32, 77, 95, 96, 98] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut values = walk(3, 11, 3, 1);
                values[place] = value;
                let error = Paths::new("paths", &values, [3, 11, 3]).unwrap_err();
                let at = format!("[{}, {}, {}]", place / 33, place / 3 % 11, place % 3);
                let expected = format!("paths{at} must be finite, got ");
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn two_pieces_in_a_row_multiply(
            n in 2_usize..40, d in 1_usize..5, depth in 1_usize..6, cut in 0.0_f64..1.0,
            seed in any::<u64>(),
        ) {
            let values = walk(1, n, d, seed);
            let at = (cut * n as f64) as usize;
            let part = |values: &[f64]| {
                let paths = Paths::new("paths", values, [1, values.len() / d, d]).unwrap();
                signature(&paths, depth, false).unwrap()
            };
            let mut product = part(&values[..(at + 1) * d]);
            algebra::multiply(&mut product, &part(&values[at * d..]), d, depth);
            prop_assert!(close(&product, &part(&values)));
        }

        #[test]
        fn the_last_prefix_is_the_signature_of_all(
            b in 1_usize..6, n in 1_usize..1500, d in 1_usize..4, depth in 1_usize..5,
            seed in any::<u64>(),
        ) {
            let values = walk(b, n, d, seed);
            let paths = Paths::new("paths", &values, [b, n, d]).unwrap();
            let whole = signature(&paths, depth, false).unwrap();
            let all = signature(&paths, depth, true).unwrap();
            let size = size(d, depth, b).unwrap();
            let ends = all.chunks(n * size).flat_map(|path| path[(n - 1) * size..].to_vec());
            prop_assert!(close(&whole, &ends.collect::<Vec<_>>()));
        }

        #[test]
        fn gradients_are_those_of_central_differences(
            n in 2_usize..7, d in 1_usize..4, depth in 1_usize..6, place in any::<usize>(),
            seed in any::<u64>(),
        ) {
            let values = walk(1, n, d, seed);
            let place = place % values.len();
            let weights = walk(1, size(d, depth, 1).unwrap(), 1, seed ^ 7);
            let sum = |shift: f64| {
                let mut values = values.clone();
                values[place] += shift;
                let paths = Paths::new("paths", &values, [1, n, d]).unwrap();
                let found = signature(&paths, depth, false).unwrap();
                found.iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>()
            };
            let numeric = (sum(1e-5) - sum(-1e-5)) / 2e-5;
            let paths = Paths::new("paths", &values, [1, n, d]).unwrap();
            let found = signature_gradient(&paths, depth, &weights).unwrap();
            prop_assert!((found[place] - numeric).abs() < 1e-7 * (1.0 + numeric.abs()));
        }
    }
}
