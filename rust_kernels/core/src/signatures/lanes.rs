//! Numbers in lanes: one path, or one piece of it, in each lane of a vector.

use super::Paths;
use pulp::{bytemuck, Simd, WithSimd};
use std::fmt;
use std::ops::{Add, AddAssign, Mul, MulAssign, Sub, SubAssign};

/// A floating point number, alone or in vectors.
pub trait Real:
    bytemuck::Pod
    + fmt::Debug
    + fmt::Display
    + PartialEq
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Mul<Output = Self>
    + MulAssign
    + Sub<Output = Self>
    + SubAssign
{
    /// As many as the machine `S` works on at once.
    type Vector<S: Simd>: bytemuck::Pod + Send + Sync;
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;

    /// The nearest number.
    fn from_f64(value: f64) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Lanes of a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
    /// The same number in all lanes.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// `a + b`
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b`
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b + c`
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// `c - a b`
    fn negate_mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

macro_rules! real {
    ($T:ident, $V:ident, $splat:ident, $add:ident, $mul:ident, $fma:ident, $fnma:ident) => {
        impl Real for $T {
            type Vector<S: Simd> = S::$V;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $T
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$T>::is_finite(self)
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$V {
                simd.$splat(value)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$V, b: S::$V) -> S::$V {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$V, b: S::$V) -> S::$V {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$V, b: S::$V, c: S::$V) -> S::$V {
                simd.$fma(a, b, c)
            }
            #[inline(always)]
            fn negate_mul_add<S: Simd>(simd: S, a: S::$V, b: S::$V, c: S::$V) -> S::$V {
                simd.$fnma(a, b, c)
            }
        }
    };
}

real!(
    f64,
    f64s,
    splat_f64s,
    add_f64s,
    mul_f64s,
    mul_add_e_f64s,
    negate_mul_add_e_f64s
);
real!(
    f32,
    f32s,
    splat_f32s,
    add_f32s,
    mul_f32s,
    mul_add_e_f32s,
    negate_mul_add_e_f32s
);

/// Lanes of this machine's vectors.
pub fn lanes<T: Real>() -> usize {
    struct Count<T>(std::marker::PhantomData<T>);
    impl<T: Real> WithSimd for Count<T> {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            T::lanes::<S>()
        }
    }
    pulp::Arch::new().dispatch(Count::<T>(std::marker::PhantomData))
}

/// A piece of a path: its first point and how many steps follow.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    pub path: usize,
    pub first: usize,
    pub steps: usize,
}

/// `count` vectors of zeros in `memory`, none of which crosses a line of the cache.
#[inline(always)]
pub fn zeros<T: Real, S: Simd>(memory: &mut Vec<T>, count: usize) -> &mut [T::Vector<S>] {
    const LINE: usize = 64;
    let length = count * T::lanes::<S>();
    memory.clear();
    memory.resize(length + LINE / size_of::<T>(), T::ZERO);
    // Should no place be found, unaligned vectors are slower and as good.
    let skip = memory
        .as_ptr()
        .align_offset(LINE)
        .min(LINE / size_of::<T>());
    bytemuck::cast_slice_mut(&mut memory[skip..][..length])
}

/// Vectors as the numbers they hold.
#[inline(always)]
pub fn numbers<T: Real, S: Simd>(vectors: &mut [T::Vector<S>]) -> &mut [T] {
    bytemuck::cast_slice_mut(vectors)
}

/// Increments of the steps `from..from + count` of each lane into (count, d, lanes), zero where a
/// lane has no more of them.
#[inline(always)]
pub fn increments<T: Real, S: Simd>(
    paths: &Paths<T>,
    lanes: &[Lane],
    from: usize,
    count: usize,
    into: &mut [T::Vector<S>],
) {
    let (d, width) = (paths.d, T::lanes::<S>());
    let into = &mut numbers::<T, S>(into)[..count * d * width];
    if lanes.len() < width || lanes.iter().any(|lane| lane.steps < from + count) {
        into.fill(T::ZERO);
    }
    for (number, lane) in lanes.iter().enumerate() {
        let count = count.min(lane.steps.saturating_sub(from));
        let points = &paths.path(lane.path)[(lane.first + from) * d..][..(count + 1) * d];
        let steps = points.iter().zip(&points[d..]);
        for (place, (&before, &after)) in into.chunks_exact_mut(width).zip(steps) {
            place[number] = after - before;
        }
    }
}

/// Rows, one for each lane, into vectors: the k-th value of a row to the place `order[k]`.
#[inline(always)]
pub fn gather<T: Real, S: Simd>(rows: &[T], order: &[usize], into: &mut [T::Vector<S>]) {
    let width = T::lanes::<S>();
    let into = numbers::<T, S>(into);
    for (lane, row) in rows.chunks_exact(order.len()).enumerate() {
        for (&place, &value) in order.iter().zip(row) {
            into[place * width + lane] = value;
        }
    }
}

/// Vectors into rows `stride` apart, as many as there are, the other way round.
#[inline(always)]
pub fn scatter<T: Real, S: Simd>(
    from: &mut [T::Vector<S>],
    order: &[usize],
    rows: &mut [T],
    offset: usize,
    stride: usize,
) {
    let width = T::lanes::<S>();
    let from = numbers::<T, S>(from);
    for (lane, row) in rows.chunks_exact_mut(stride).enumerate() {
        for (&place, value) in order.iter().zip(&mut row[offset..]) {
            *value = from[place * width + lane];
        }
    }
}
