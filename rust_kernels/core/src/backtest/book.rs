//! The book of one clock: sizes by level, best prices followed.
//!
//! Each side ranks its prices, a bid by its price and an ask by minus its price, so that the greater
//! is the better and one search, downwards, serves both. Levels in a window of ticks lie in an array
//! under a bitmap of those that are not empty; levels outside are in a map. The window is set once,
//! around the prices of the events, and takes at most [`WINDOW`] ticks of 8 bytes a side, whatever
//! the events hold; a level outside costs more time, never a wrong answer.

use std::collections::BTreeMap;

use super::{Events, CLEAR, FOREVER, TRADE};
use crate::Error;

/// Most ticks of the dense window.
const WINDOW: i64 = 1 << 20;
/// Depth events looked at to place a window that cannot hold all.
const SAMPLE: usize = 1024;

/// The rank of a best price where there is none.
pub(super) const NOTHING: i64 = i64::MIN;

/// Lowest price and number of ticks of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    low: i64,
    ticks: i64,
}

impl Window {
    /// All prices of the levels, or as many ticks as are allowed around their median.
    pub(super) fn around(events: Events) -> Self {
        let levels = || {
            (0..events.len())
                .map(|row| events.get(row))
                .filter(|event| event.kind != TRADE && event.kind != CLEAR)
                .map(|event| event.price)
        };
        let (low, high) = levels().fold((i64::MAX, 0), |(a, b), p| (a.min(p), b.max(p)));
        if low > high {
            return Self { low: 0, ticks: 0 };
        }
        if high - low < WINDOW {
            let ticks = high - low + 1;
            return Self { low, ticks };
        }
        let mut sample: Vec<i64> = levels().step_by(events.len().div_ceil(SAMPLE)).collect();
        let middle = sample.len() / 2;
        let median = *sample.select_nth_unstable(middle).1;
        Self {
            low: median - WINDOW / 2,
            ticks: WINDOW,
        }
    }
}

/// One side.
#[derive(Debug)]
struct Half {
    base: i64, // rank of the first level of the window
    sizes: Vec<i64>,
    filled: Vec<u64>, // a bit for each level that is not empty
    far: BTreeMap<i64, i64>,
    best: i64,
    worst: i64,
}

impl Half {
    fn new(base: i64, ticks: usize) -> Self {
        Self {
            base,
            sizes: vec![0; ticks],
            filled: vec![0; ticks.div_ceil(64)],
            far: BTreeMap::new(),
            best: NOTHING,
            worst: FOREVER,
        }
    }

    #[inline(always)]
    fn size(&self, rank: i64) -> i64 {
        match self.sizes.get(rank.wrapping_sub(self.base) as usize) {
            Some(&size) => size,
            None => self.far.get(&rank).copied().unwrap_or(0),
        }
    }

    /// Gives a level its size; returns the size before.
    #[inline(always)]
    fn set(&mut self, rank: i64, size: i64) -> i64 {
        let index = rank.wrapping_sub(self.base) as usize;
        let Some(level) = self.sizes.get_mut(index) else {
            return if size == 0 {
                self.far.remove(&rank)
            } else {
                self.far.insert(rank, size)
            }
            .unwrap_or(0);
        };
        let before = std::mem::replace(level, size);
        let bit = u64::from((before == 0) != (size == 0)) << (index % 64);
        self.filled[index / 64] ^= bit;
        before
    }

    /// The best level worse than `rank` and not below `worst`.
    #[inline]
    fn next(&self, rank: i64) -> i64 {
        let mut found = self.next_in_window(rank);
        if !self.far.is_empty() {
            if let Some((&far, _)) = self.far.range(..rank).next_back() {
                found = found.max(far);
            }
        }
        if found < self.worst {
            NOTHING
        } else {
            found
        }
    }

    fn next_in_window(&self, rank: i64) -> i64 {
        let end = (rank.saturating_sub(self.base)).min(self.sizes.len() as i64);
        if end <= 0 {
            return NOTHING;
        }
        let last = end as usize - 1;
        let mut word = last / 64;
        let mut bits = self.filled[word] & (u64::MAX >> (63 - last % 64));
        while bits == 0 {
            if word == 0 {
                return NOTHING;
            }
            word -= 1;
            bits = self.filled[word];
        }
        self.base + (word * 64) as i64 + 63 - i64::from(bits.leading_zeros())
    }

    fn forget_if_empty(&mut self) {
        if self.best == NOTHING {
            self.worst = FOREVER;
        }
    }

    /// Empties the levels at `from` and better.
    fn clear(&mut self, from: i64) {
        let cleared = self.far.split_off(&from);
        drop(cleared);
        let first = from
            .saturating_sub(self.base)
            .clamp(0, self.sizes.len() as i64) as usize;
        self.sizes[first..].fill(0);
        if let Some((word, rest)) = self
            .filled
            .get_mut(first / 64..)
            .and_then(<[u64]>::split_first_mut)
        {
            *word &= (1 << (first % 64)) - 1;
            rest.fill(0);
        }
        if self.best >= from {
            self.best = self.next(from);
        }
        self.forget_if_empty();
    }
}

/// Both sides.
#[derive(Debug)]
pub(super) struct Book {
    halves: [Half; 2],
}

/// Place of a side in a pair: 0 for bids, 1 for asks.
#[inline(always)]
pub(super) fn slot(side: i64) -> usize {
    usize::from(side < 0)
}

impl Book {
    pub(super) fn new(window: Window) -> Self {
        let ticks = window.ticks as usize;
        let highest = window.low + window.ticks - 1;
        Self {
            halves: [Half::new(window.low, ticks), Half::new(-highest, ticks)],
        }
    }

    /// Rank of the best price of a side.
    #[inline(always)]
    pub(super) fn best(&self, side: i64) -> i64 {
        self.halves[slot(side)].best
    }

    /// The best price of a side; 0 where there is none.
    #[inline(always)]
    pub(super) fn price(&self, side: i64) -> i64 {
        let best = self.best(side);
        if best == NOTHING {
            0
        } else {
            side * best
        }
    }

    #[inline(always)]
    pub(super) fn size(&self, side: i64, rank: i64) -> i64 {
        self.halves[slot(side)].size(rank)
    }

    /// The best level of a side that is worse than `rank`.
    pub(super) fn next(&self, side: i64, rank: i64) -> i64 {
        self.halves[slot(side)].next(rank)
    }

    /// Best price of a side and its size.
    #[inline(always)]
    pub(super) fn touch(&self, side: i64) -> [i64; 2] {
        let half = &self.halves[slot(side)];
        if half.best == NOTHING {
            [0, 0]
        } else {
            [side * half.best, half.size(half.best)]
        }
    }

    /// Gives a level its new size; returns the size before.
    ///
    /// A new best that reaches the other side's moves that one behind it. Levels passed over stay,
    /// hidden, until the best price comes back to them.
    #[inline(always)]
    pub(super) fn update(&mut self, side: i64, price: i64, size: i64) -> i64 {
        let rank = side * price;
        let half = &mut self.halves[slot(side)];
        let before = half.set(rank, size);
        if size == 0 {
            if rank == half.best {
                half.best = half.next(rank);
                half.forget_if_empty();
            }
            return before;
        }
        half.worst = half.worst.min(rank);
        if rank > half.best {
            half.best = rank;
            let other = &mut self.halves[slot(-side)];
            if other.best != NOTHING && other.best >= -rank {
                other.best = other.next(-rank);
            }
        }
        before
    }

    /// Empties a side (0: both), of one side and a positive price the levels up to there.
    pub(super) fn clear(&mut self, side: i64, price: i64) {
        match side {
            0 => self.halves.iter_mut().for_each(|half| half.clear(NOTHING)),
            _ if price <= 0 => self.halves[slot(side)].clear(NOTHING),
            _ => self.halves[slot(side)].clear(side * price),
        }
    }

    /// What an event does to the book.
    #[inline(always)]
    pub(super) fn apply(&mut self, event: &super::Event) {
        let side = i64::from(event.side);
        match event.kind {
            TRADE => {}
            CLEAR => self.clear(side, event.price),
            _ => {
                self.update(side, event.price, event.size);
            }
        }
    }
}

/// Best bid, its size, best ask, its size after each event, zeros where a side is empty.
pub fn best_quotes(words: &[i64]) -> Result<Vec<i64>, Error> {
    let events = Events::new(words)?;
    let mut book = Book::new(Window::around(events));
    let mut out = Vec::with_capacity(4 * events.len());
    for row in 0..events.len() {
        book.apply(&events.get(row));
        out.extend_from_slice(&book.touch(1));
        out.extend_from_slice(&book.touch(-1));
    }
    Ok(out)
}
