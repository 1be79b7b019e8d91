//! Products of a small square matrix with wide rows, on the widest vectors at hand.

use pulp::{Simd, WithSimd};

/// Rows are padded to a multiple of this, two vectors of the widest kind that pulp dispatches to.
pub(super) const PAD: usize = 16;

/// Rows of the product that are computed at once; the result has a multiple of it.
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
    let k = rows.len() / stride;
    let tall = left.len() / k;
    // Blocks of full height only: the rows that are missing are taken for zero.
    let mut padded = left.to_vec();
    padded.resize(tall.next_multiple_of(TALL) * k, 0.0);
    product.clear();
    product.resize(tall.next_multiple_of(TALL) * stride, 0.0);
    pulp::Arch::new().dispatch(Multiply {
        left: &padded,
        rows,
        stride,
        width,
        product,
    });
    product.truncate(tall * stride);
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
            let heights = self.left.chunks_exact(TALL * k);
            for (left, product) in heights.zip(self.product.chunks_exact_mut(TALL * self.stride)) {
                let mut sums = [[simd.splat_f64s(0.0); 2]; TALL];
                for (j, row) in self.rows.chunks_exact(self.stride).enumerate() {
                    let (row, _) = S::as_simd_f64s(&row[from..from + block]);
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let factor = simd.splat_f64s(left[i * k + j]);
                        sum[0] = simd.mul_add_e_f64s(factor, row[0], sum[0]);
                        sum[1] = simd.mul_add_e_f64s(factor, row[1], sum[1]);
                    }
                }
                for (row, sum) in product.chunks_exact_mut(self.stride).zip(&sums) {
                    let (out, _) = S::as_mut_simd_f64s(&mut row[from..from + block]);
                    out.copy_from_slice(sum);
                }
            }
        }
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
