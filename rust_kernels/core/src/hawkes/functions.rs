//! Exponentials and logarithms that the compiler can make several of at once.

use pulp::Simd;

/// 1.5 * 2^52: a small number added to it is rounded to an integer, which its low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts, the first short enough for exact products with exponents.
const LN_2: [f64; 2] = [0.693_146_705_627_441_4, 4.749_325_039_031_672_6e-7];

/// Below 2^-1021, whose bits would not hold more.
const LEAST: f64 = -707.0;

/// The coefficients of exp from the square on: rest 1e-17 at ln(2) / 2.
const EXP: [f64; 12] = {
    let (mut terms, mut k) = ([0.5; 12], 1);
    while k < 12 {
        terms[k] = terms[k - 1] / (k + 2) as f64;
        k += 1;
    }
    terms
};

/// The coefficients of 2 atanh(s) / s in s^2 from the first on: rest 1e-18 at s = 0.1716.
const ATANH: [f64; 11] = {
    let (mut terms, mut k) = ([0.0; 11], 0);
    while k < 11 {
        terms[k] = 2.0 / (2 * k + 3) as f64;
        k += 1;
    }
    terms
};

/// `a * b + c`, rounded once where the machine does that at no cost.
#[inline(always)]
pub(crate) fn fused<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::IS_SCALAR {
        a * b + c
    } else {
        a.mul_add(b, c)
    }
}

/// Terms of x^0, x^1, ... summed by Horner's rule.
#[inline(always)]
pub(crate) fn polynomial<S: Simd, const N: usize>(terms: &[f64; N], x: f64) -> f64 {
    let mut sum = terms[N - 1];
    for k in (0..N - 1).rev() {
        sum = fused::<S>(sum, x, terms[k]);
    }
    sum
}

/// Exponential of a number below 709; of one below -707 about 1e-307.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f64) -> f64 {
    let x = if x > LEAST { x } else { LEAST };
    let shifted = fused::<S>(x, std::f64::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let rest = fused::<S>(-power, LN_2[0], x);
    let rest = fused::<S>(-power, LN_2[1], rest);
    let tail = polynomial::<S, 12>(&EXP, rest) * (rest * rest);
    let mantissa = 1.0 + (rest + tail);
    f64::from_bits(mantissa.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// A positive normal number as mantissa in [1, 2) and exponent, the latter more by 1023.
#[inline(always)]
pub(crate) fn split(x: f64) -> (f64, u64) {
    let bits = x.to_bits();
    (
        f64::from_bits(bits & (u64::MAX >> 12) | 1.0_f64.to_bits()),
        bits >> 52,
    )
}

/// Logarithm of a positive normal number.
#[inline(always)]
pub(crate) fn ln<S: Simd>(x: f64) -> f64 {
    // Bits such that the exponent changes at the root of a half.
    let half = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let power = x.to_bits().wrapping_add(1.0_f64.to_bits() - half) >> 52;
    let mantissa = f64::from_bits(x.to_bits().wrapping_sub(power.wrapping_sub(1023) << 52));
    // The integer as a number: the low bits of one near 2^52.
    let two_52 = (1_u64 << 52) as f64;
    let power = f64::from_bits(power | two_52.to_bits()) - (two_52 + 1023.0);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let tail = polynomial::<S, 11>(&ATANH, square) * (s * square);
    let low = fused::<S>(power, LN_2[1], tail);
    fused::<S>(power, LN_2[0], fused::<S>(2.0, s, low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pulp::WithSimd;

    /// What both functions make of each number, on this machine's vectors.
    struct Both<'a>(&'a [f64]);

    impl WithSimd for Both<'_> {
        type Output = Vec<(f64, f64)>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Self::Output {
            self.0.iter().map(|&x| (exp::<S>(x), ln::<S>(x))).collect()
        }
    }

    fn near(got: f64, want: f64) -> bool {
        (got - want).abs() <= 4.0 * f64::EPSILON * want.abs()
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_library(
            logs in prop::collection::vec(-700.0_f64..700.0, 1..40),
            shares in prop::collection::vec(0.0_f64..1.0, 1..40),
        ) {
            let numbers: Vec<f64> = logs.iter().map(|x| x.exp()).chain(shares).collect();
            for simd in [true, false] {
                let run = |values: &[f64]| match simd {
                    true => pulp::Arch::new().dispatch(Both(values)),
                    false => Both(values).with_simd(pulp::Scalar::new()),
                };
                for (&x, (exp, _)) in logs.iter().zip(run(&logs)) {
                    prop_assert!(near(exp, x.exp()), "exp({x}) = {exp}");
                }
                for (&x, (_, ln)) in numbers.iter().zip(run(&numbers)) {
                    prop_assert!(near(ln, x.ln()), "ln({x}) = {ln}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_their_ranges_are_held() {
        let least = f64::MIN_POSITIVE;
        let below_one = 1.0 - f64::EPSILON / 2.0;
        let cases = [0.0, -0.0, 1.0, below_one, 708.0, LEAST, least, f64::MAX];
        for (x, (exp, ln)) in cases
            .into_iter()
            .zip(Both(&cases).with_simd(pulp::Scalar::new()))
        {
            assert!(x > 709.0 || near(exp, x.exp()), "exp({x}) = {exp}");
            assert!(x <= 0.0 || near(ln, x.ln()), "ln({x}) = {ln}");
        }
        let small = exp::<pulp::Scalar>(f64::NEG_INFINITY);
        assert!(small > 0.0 && small < 1e-306);
        assert_eq!(ln::<pulp::Scalar>(1.0), 0.0);
    }
}
