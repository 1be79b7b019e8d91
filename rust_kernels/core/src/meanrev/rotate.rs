//! Products of a small square matrix with wide rows, on the widest vectors at hand.

use pulp::{Simd, WithSimd};

/// Rows are padded to a multiple of this, two vectors of the widest kind that pulp dispatches to.
pub(super) const PAD: usize = 16;

/// Rows of the product that are computed at once: with two vectors each they fill 12 registers.
const TALL: usize = 6;

/// `product[i] = sum_j left[i, j] * rows[j]` over the first `width` columns.
///
/// Rows are `stride` apart, a multiple of [`PAD`].
pub(super) fn multiply(
    left: &[f64],
    rows: &[f64],
    stride: usize,
    width: usize,
    product: &mut Vec<f64>,
) {
    let tall = left.len() / (rows.len() / stride);
    product.clear();
    product.resize(tall * stride, 0.0);
    pulp::Arch::new().dispatch(Multiply {
        left,
        rows,
        stride,
        width,
        product,
    });
}

struct Multiply<'a> {
    left: &'a [f64],
    rows: &'a [f64],
    stride: usize,
    width: usize,
    product: &'a mut [f64],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let k = self.rows.len() / self.stride;
        let block = 2 * S::F64_LANES;
        for from in (0..self.width).step_by(block) {
            let columns = from..from + block;
            let (left, product) = (
                self.left.chunks_exact(TALL * k),
                self.product.chunks_exact_mut(TALL * self.stride),
            );
            let rest = left.remainder();
            for (left, product) in left.zip(product) {
                tile::<S, TALL>(simd, left, self.rows, self.stride, columns.clone(), product);
            }
            let done = self.left.len() - rest.len();
            let product = self.product[done / k * self.stride..].chunks_exact_mut(self.stride);
            for (left, product) in rest.chunks_exact(k).zip(product) {
                tile::<S, 1>(simd, left, self.rows, self.stride, columns.clone(), product);
            }
        }
    }
}

/// Two vectors of each of HEIGHT rows of the product.
#[inline(always)]
fn tile<S: Simd, const HEIGHT: usize>(
    simd: S,
    left: &[f64],
    rows: &[f64],
    stride: usize,
    columns: std::ops::Range<usize>,
    product: &mut [f64],
) {
    let k = rows.len() / stride;
    let mut sums = [[simd.splat_f64s(0.0); 2]; HEIGHT];
    for (j, row) in rows.chunks_exact(stride).enumerate() {
        let (row, _) = S::as_simd_f64s(&row[columns.clone()]);
        for (i, sum) in sums.iter_mut().enumerate() {
            let factor = simd.splat_f64s(left[i * k + j]);
            sum[0] = simd.mul_add_e_f64s(factor, row[0], sum[0]);
            sum[1] = simd.mul_add_e_f64s(factor, row[1], sum[1]);
        }
    }
    for (row, sum) in product.chunks_exact_mut(stride).zip(&sums) {
        let (out, _) = S::as_mut_simd_f64s(&mut row[columns.clone()]);
        out.copy_from_slice(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_sum_by_definition(
            tall in 1_usize..9,
            k in 1_usize..9,
            width in 1_usize..40,
            entries in prop::collection::vec(-1.0_f64..1.0, 81 + 9 * 48),
        ) {
            let stride = width.next_multiple_of(PAD);
            let (left, rows) = (&entries[..tall * k], &entries[81..81 + k * stride]);
            let mut product = vec![1.0; 3];
            multiply(left, rows, stride, width, &mut product);
            prop_assert_eq!(product.len(), tall * stride);
            for i in 0..tall {
                for c in 0..width {
                    let expected: f64 = (0..k).map(|j| left[i * k + j] * rows[j * stride + c]).sum();
                    prop_assert!((product[i * stride + c] - expected).abs() < 1e-14);
                }
            }
        }
    }
}
