//! Philox4x64-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (SC 2011).
//!
//! Stream `s` of a seed is `numpy.random.Philox(key=[seed, s], counter=0)`, word for word. Every
//! block of four words follows from its index alone, so that paths can be simulated in any order
//! and on any number of threads.

use crate::hawkes::functions::{fused, ln, polynomial};
use pulp::Simd;

/// Words that one block holds.
pub const WORDS: usize = 4;

const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 10;

/// Block `index` of a stream: its words `4 * index` to `4 * index + 3`.
#[inline(always)]
pub fn block(seed: u64, stream: u64, index: u64) -> [u64; WORDS] {
    // NumPy increments the counter before it makes a block.
    let (low, carry) = index.overflowing_add(1);
    let mut words = [low, u64::from(carry), 0, 0];
    let mut key = [seed, stream];
    for round in 0..ROUNDS {
        if round > 0 {
            key[0] = key[0].wrapping_add(WEYL[0]);
            key[1] = key[1].wrapping_add(WEYL[1]);
        }
        let first = u128::from(MULTIPLIERS[0]) * u128::from(words[0]);
        let second = u128::from(MULTIPLIERS[1]) * u128::from(words[2]);
        words = [
            (second >> 64) as u64 ^ words[1] ^ key[0],
            second as u64,
            (first >> 64) as u64 ^ words[3] ^ key[1],
            first as u64,
        ];
    }
    words
}

/// The uniform number on [0, 1) that a word stands for: its high 53 bits.
#[inline(always)]
pub fn uniform(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// The exponential number of mean 1 that a word stands for, by inversion.
#[inline]
pub fn exponential(word: u64) -> f64 {
    -(-uniform(word)).ln_1p()
}

/// 1.5 * 2^52: a small number added to it is rounded to an integer, which its low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The coefficients of sin(x) / x and of cos(x) in x^2, from the second on: rests 6e-17 and 2e-18 at pi / 4.
const SIN: [f64; 7] = alternating(3);
const COS: [f64; 8] = alternating(2);

/// -1 / first!, 1 / (first + 2)!, -1 / (first + 4)!, ...
const fn alternating<const N: usize>(first: usize) -> [f64; N] {
    let (mut terms, mut k) = ([0.0; N], 0);
    while k < N {
        let (mut factorial, mut n) = (1.0, 2);
        while n <= first + 2 * k {
            factorial *= n as f64;
            n += 1;
        }
        terms[k] = if k % 2 == 0 { -1.0 } else { 1.0 } / factorial;
        k += 1;
    }
    terms
}

/// The independent normal numbers that pairs of words stand for, of the radii and of the angles.
///
/// A pair makes `r cos(2 pi v)` and `r sin(2 pi v)` with `r = sqrt(-2 log(1 - u))`, u and v the high
/// 52 bits of its words as numbers in [0, 1): Box & Muller, Annals of Mathematical Statistics 29
/// (1958) 610-611.
#[inline(always)]
pub fn normals<S: Simd>(words: [&[u64]; 2], numbers: [&mut [f64]; 2]) {
    let [radii, angles] = words;
    let [cosines, sines] = numbers;
    let numbers = cosines.iter_mut().zip(sines);
    for ((&radius, &angle), (cosine, sine)) in radii.iter().zip(angles).zip(numbers) {
        let radius = (-2.0 * ln::<S>(2.0 - one_more(radius))).sqrt();
        let (cos, sin) = turned::<S>(one_more(angle));
        (*cosine, *sine) = (radius * cos, radius * sin);
    }
}

/// The number in [0, 1) that the high 52 bits of a word stand for, and 1.
#[inline(always)]
fn one_more(word: u64) -> f64 {
    f64::from_bits(word >> 12 | 1.0_f64.to_bits())
}

/// Cosine and sine of as many whole turns.
#[inline(always)]
fn turned<S: Simd>(turns: f64) -> (f64, f64) {
    let shifted = 4.0 * turns + ROUND;
    let quarter = shifted.to_bits();
    let x = (4.0 * turns - (shifted - ROUND)) * std::f64::consts::FRAC_PI_2;
    let square = x * x;
    let sin = fused::<S>(polynomial::<S, 7>(&SIN, square) * square, x, x);
    let cos = fused::<S>(polynomial::<S, 8>(&COS, square), square, 1.0);
    let (near, far) = if quarter & 1 == 0 {
        (cos, sin)
    } else {
        (sin, cos)
    };
    // Of the four quarters, the second and third have negative cosines, the last two negative sines.
    let sign = |flip: u64, value: f64| f64::from_bits(value.to_bits() ^ (flip & 2) << 62);
    (sign(quarter.wrapping_add(1), near), sign(quarter, far))
}

/// One stream, read in order from its first word.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u64; 2],
    index: u64,
    used: usize,
    words: [u64; WORDS],
}

impl Stream {
    /// Stream `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self {
            key: [seed, stream],
            index: 0,
            used: WORDS,
            words: [0; WORDS],
        }
    }

    /// The next word.
    #[inline]
    pub fn word(&mut self) -> u64 {
        if self.used == WORDS {
            self.words = block(self.key[0], self.key[1], self.index);
            self.index = self.index.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// The next word as a uniform number.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        uniform(self.word())
    }

    /// The next word as an exponential number of mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        exponential(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed, stream and first words of `numpy.random.Philox(key=[seed, stream], counter=0)`.
    const NUMPY: [(u64, u64, [u64; 6]); 3] = [
        (
            0x0000_0000_0000_0000,
            0x0000_0000_0000_0000,
            [
                0x02F4_BA64_08E4_D89B,
                0x3DD6_2B0B_9CA8_C5B2,
                0x1C86_67A5_5D90_2E79,
                0x907D_7A05_2FD5_B4DC,
                0x809B_F322_8839_87C3,
                0x4711_28B9_E807_F7DD,
            ],
        ),
        (
            0x0000_0000_0000_3039,
            0x0000_0000_0000_02A6,
            [
                0x5B1B_F28E_7EBC_0607,
                0xC88A_3DC7_F9BB_68E7,
                0x9012_744C_223E_E1BD,
                0xBEBB_3517_8DBE_4996,
                0xD16C_EAAD_F59C_8D1E,
                0x54F7_CA20_DC6A_B79A,
            ],
        ),
        (
            0xFFFF_FFFF_FFFF_FFFF,
            0x8000_0000_0000_0001,
            [
                0xB51B_9841_2E97_2C74,
                0xC2F7_FB88_2121_6828,
                0xBE8D_CEF6_2EDE_E7B4,
                0x1483_530A_3A9D_626F,
                0xD63C_646C_5DE1_DEC2,
                0x9456_599A_2C90_7581,
            ],
        ),
    ];

    #[test]
    fn words_are_those_of_numpy() {
        for (seed, number, expected) in NUMPY {
            let mut stream = Stream::new(seed, number);
            assert_eq!(expected.map(|_| stream.word()), expected);
        }
    }

    #[test]
    fn a_block_needs_no_other() {
        let mut stream = Stream::new(7, 3);
        let words: Vec<u64> = (0..40).map(|_| stream.word()).collect();
        assert_eq!(block(7, 3, 9), words[36..40]);
    }

    /// Normal numbers of pairs of words, on this machine's vectors or without.
    fn both(words: &[(u64, u64)], simd: bool) -> Vec<(f64, f64)> {
        struct Run<'a>(&'a [(u64, u64)]);
        impl pulp::WithSimd for Run<'_> {
            type Output = Vec<(f64, f64)>;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Self::Output {
                let (radii, angles): (Vec<u64>, Vec<u64>) = self.0.iter().copied().unzip();
                let (mut cos, mut sin) = (vec![0.0; radii.len()], vec![0.0; radii.len()]);
                normals::<S>([&radii, &angles], [&mut cos, &mut sin]);
                cos.into_iter().zip(sin).collect()
            }
        }
        match simd {
            true => pulp::Arch::new().dispatch(Run(words)),
            false => pulp::WithSimd::with_simd(Run(words), pulp::Scalar::new()),
        }
    }

    #[test]
    fn normal_numbers_are_those_of_the_library() {
        let mut stream = Stream::new(1, 2);
        let mut words: Vec<(u64, u64)> = (0..10_000)
            .map(|_| (stream.word(), stream.word()))
            .collect();
        let ends = [
            0,
            1 << 61,
            1 << 62,
            3 << 61,
            1 << 63,
            5 << 61,
            3 << 62,
            7 << 61,
            u64::MAX,
        ];
        words.extend(ends.iter().flat_map(|&a| ends.map(|b| (a, b))));
        for simd in [true, false] {
            for (&(a, b), (cos, sin)) in words.iter().zip(both(&words, simd)) {
                let radius = (-2.0 * (2.0 - one_more(a)).ln()).sqrt();
                let angle = std::f64::consts::TAU * (one_more(b) - 1.0);
                let near = |got: f64, want: f64| (got - want).abs() <= 2e-15 * radius;
                assert!(near(cos, radius * angle.cos()), "{a} {b}: {cos}");
                assert!(near(sin, radius * angle.sin()), "{a} {b}: {sin}");
                assert!((cos.hypot(sin) - radius).abs() <= 1e-15 * radius);
            }
        }
    }

    #[test]
    fn the_largest_words_stay_below_one() {
        assert_eq!(uniform(u64::MAX), 1.0 - f64::EPSILON / 2.0);
        assert_eq!(uniform(0), 0.0);
        assert_eq!(exponential(0), 0.0);
        assert!((exponential(u64::MAX) - 53.0 * 2.0_f64.ln()).abs() < 1e-12);
    }
}
