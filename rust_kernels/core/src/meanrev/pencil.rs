//! The two matrices, checked and put in common units, and their shifts `M - l * Gamma`.

use super::dense::{cholesky, dot, forward, least_eigenvalue, reduced};
use crate::Error;

/// Two values that differ by this part of the largest predictability of a single asset are equal.
pub const TIE: f64 = 1e-12;

/// Largest asymmetry that is taken for rounding, relative to the largest entry.
const ASYMMETRY: f64 = 1e-8;

/// `M` and `Gamma`, symmetric and in units in which the variances are close to 1.
#[derive(Debug, Clone)]
pub(super) struct Pencil {
    pub m: Vec<f64>,
    pub gamma: Vec<f64>,
    pub n: usize,
    /// Values closer than this are equal.
    pub tie: f64,
}

impl Pencil {
    /// The pencil of two matrices of order n.
    pub fn new(predicted: &[f64], covariance: &[f64], n: usize) -> Result<Self, Error> {
        if n == 0 {
            return Err(Error::new(
                "predicted",
                "must have at least one row, got (0, 0)",
            ));
        }
        let mut m = symmetric("predicted", predicted, n)?;
        let mut gamma = symmetric("covariance", covariance, n)?;
        if (0..n).any(|i| gamma[i * n + i] <= 0.0) {
            return Err(indefinite());
        }
        // Powers of two, so that the change of units does not round.
        let unit: Vec<f64> = (0..n)
            .map(|i| (-0.5 * gamma[i * n + i].log2()).round().exp2())
            .collect();
        for (row, (m, gamma)) in m
            .chunks_exact_mut(n)
            .zip(gamma.chunks_exact_mut(n))
            .enumerate()
        {
            for (j, (m, gamma)) in m.iter_mut().zip(gamma).enumerate() {
                *m *= unit[row] * unit[j];
                *gamma *= unit[row] * unit[j];
            }
        }
        let spread: Vec<f64> = (0..n).map(|i| gamma[i * n + i].sqrt()).collect();
        let largest = m.iter().enumerate().fold(0.0_f64, |top, (at, x)| {
            top.max(x.abs() / (spread[at / n] * spread[at % n]))
        });
        let tie = TIE * largest;
        let pencil = Self { m, gamma, n, tie };
        pencil.factor(&(0..n).collect::<Vec<_>>())?;
        Ok(pencil)
    }

    /// The Cholesky factor of the covariance on a support.
    fn factor(&self, support: &[usize]) -> Result<Vec<f64>, Error> {
        let k = support.len();
        let mut factor = part(&self.gamma, self.n, support);
        match cholesky(&mut factor, k, k as f64 * f64::EPSILON) {
            true => Ok(factor),
            false => Err(indefinite()),
        }
    }

    /// nu of a support, to rounding.
    pub fn least(&self, support: &[usize]) -> Result<f64, Error> {
        let k = support.len();
        let factor = self.factor(support)?;
        let matrix = reduced(&factor, &part(&self.m, self.n, support), k);
        Ok(least_eigenvalue(matrix, k))
    }
}

/// The error that says that the covariance is singular, or singular to rounding.
pub(super) fn indefinite() -> Error {
    Error::new("covariance", "must be positive definite")
}

fn symmetric(name: &str, matrix: &[f64], n: usize) -> Result<Vec<f64>, Error> {
    if let Some(at) = matrix.iter().position(|x| !x.is_finite()) {
        return Err(Error::new(
            format!("{name}[{}, {}]", at / n, at % n),
            format!("must be finite, got {}", matrix[at]),
        ));
    }
    let largest = matrix.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
    let mirrored = |at: usize| matrix[at % n * n + at / n];
    if (0..n * n).any(|at| (matrix[at] - mirrored(at)).abs() > ASYMMETRY * largest) {
        return Err(Error::new(name, "must be symmetric"));
    }
    Ok((0..n * n)
        .map(|at| 0.5 * matrix[at] + 0.5 * mirrored(at))
        .collect())
}

fn part(matrix: &[f64], n: usize, support: &[usize]) -> Vec<f64> {
    let row = |&i: &usize| support.iter().map(move |&j| matrix[i * n + j]);
    support.iter().flat_map(row).collect()
}

/// The Cholesky factor of `M - l * Gamma` on a support whose nu is above l.
pub(super) struct Shifted<'a> {
    pencil: &'a Pencil,
    support: &'a [usize],
    shift: f64,
    factor: Vec<f64>,
}

impl<'a> Shifted<'a> {
    /// The factor, or `None` where the shifted matrix is not positive definite.
    pub fn new(pencil: &'a Pencil, support: &'a [usize], shift: f64) -> Option<Self> {
        let k = support.len();
        let mut factor = part(&pencil.m, pencil.n, support);
        let gamma = part(&pencil.gamma, pencil.n, support);
        for (m, gamma) in factor.iter_mut().zip(gamma) {
            *m -= shift * gamma;
        }
        cholesky(&mut factor, k, 0.0).then_some(Self {
            pencil,
            support,
            shift,
            factor,
        })
    }

    /// The Schur complement of asset i: nu of the support with i is below the shift exactly if it
    /// is negative.
    pub fn corner(&self, i: usize) -> f64 {
        let Pencil { m, gamma, n, .. } = self.pencil;
        let entry = |j: usize| m[i * n + j] - self.shift * gamma[i * n + j];
        let mut column: Vec<f64> = self.support.iter().map(|&j| entry(j)).collect();
        forward(&self.factor, self.support.len(), &mut column);
        entry(i) - dot(&column, &column)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pencil from entries: `M = B B'` of the given rank, `Gamma = C C' + 0.1`.
    pub fn random(n: usize, rank: usize, entries: &[f64]) -> Pencil {
        let (b, c) = (&entries[..n * rank], &entries[n * rank..n * rank + n * n]);
        let product = |x: &[f64], width: usize, ridge: f64| -> Vec<f64> {
            (0..n * n)
                .map(|at| {
                    let (i, j) = (at / n, at % n);
                    let (i, j) = (i * width..(i + 1) * width, j * width..(j + 1) * width);
                    dot(&x[i], &x[j]) + if at % (n + 1) == 0 { ridge } else { 0.0 }
                })
                .collect()
        };
        Pencil::new(&product(b, rank, 0.0), &product(c, n, 0.1), n).unwrap()
    }

    #[test]
    fn a_pair_has_the_smaller_root_of_its_quadratic() {
        let pencil = Pencil::new(&[2.0, 0.5, 0.5, 1.0], &[4.0, 1.0, 1.0, 9.0], 2).unwrap();
        // det(M - l Gamma) = 35 l^2 - 21 l + 1.75
        let expected = (21.0 - (441.0_f64 - 4.0 * 35.0 * 1.75).sqrt()) / 70.0;
        assert!((pencil.least(&[0, 1]).unwrap() - expected).abs() < 1e-16);
        assert_eq!(pencil.least(&[1]).unwrap(), 1.0 / 9.0);
    }

    #[test]
    fn a_corner_changes_its_sign_at_nu() {
        let pencil = Pencil::new(&[2.0, 0.5, 0.5, 1.0], &[4.0, 1.0, 1.0, 9.0], 2).unwrap();
        let nu = pencil.least(&[0, 1]).unwrap();
        for (shift, sign) in [(nu - 1e-9, 1.0), (nu + 1e-9, -1.0)] {
            let corner = Shifted::new(&pencil, &[0], shift).unwrap().corner(1);
            assert_eq!(corner.signum(), sign);
        }
        assert!(Shifted::new(&pencil, &[0], 0.5).is_none());
    }

    #[test]
    fn what_is_no_pencil_is_refused() {
        let one = [1.0, 0.0, 0.0, 1.0];
        let message = |m: &[f64], gamma: &[f64]| Pencil::new(m, gamma, 2).unwrap_err().to_string();
        assert_eq!(
            message(&one, &[1.0, 1.0, 1.0, 1.0]),
            "covariance must be positive definite"
        );
        assert_eq!(
            message(&one, &[1.0, 0.0, 0.0, 0.0]),
            "covariance must be positive definite"
        );
        assert_eq!(
            message(&[1.0, 1e-7, 0.0, 1.0], &one),
            "predicted must be symmetric"
        );
        assert!(message(&one, &[1.0, f64::NAN, 0.0, 1.0]).starts_with("covariance[0, 1] must be"));
        assert!(Pencil::new(&[], &[], 0).is_err());
    }
}
