//! The book of one clock: sizes by level, best prices followed.
//!
//! Each side ranks its prices, a bid by its price and an ask by minus its price, so that the greater
//! is the better and one search, downwards, serves both. Levels in a window of [`WINDOW`] ticks lie
//! in an array under a bitmap of those that are not empty, whose memory is only taken where it is
//! touched; levels outside are in a map. The window is set once, around the median of a sample of
//! the prices: a level outside costs more time, never a wrong answer, and whatever the events hold
//! a book takes at most 16 MB and what its far levels need.

use std::collections::BTreeMap;

use super::{Event, Events, CLEAR, FOREVER, TRADE};
use crate::Error;

/// Ticks of the dense window.
const WINDOW: i64 = 1 << 20;
/// Events looked at to place it.
const SAMPLE: usize = 1024;

/// The rank of a best price where there is none; its negative is a rank, too.
pub(super) const NOTHING: i64 = -i64::MAX;

/// Lowest price of the window.
pub(super) fn window(events: Events) -> i64 {
    let step = events.len().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<i64> = (0..events.len())
        .step_by(step)
        .map(|row| events.get(row))
        .filter(|event| event.kind != CLEAR)
        .map(|event| event.price)
        .collect();
    if sample.is_empty() {
        return 0;
    }
    let middle = sample.len() / 2;
    (*sample.select_nth_unstable(middle).1).saturating_sub(WINDOW / 2)
}

/// One side.
#[derive(Debug)]
struct Half {
    base: i64, // rank of the first level of the window
    sizes: Vec<i64>,
    filled: Vec<u64>, // a bit for each level that is not empty
    far: BTreeMap<i64, i64>,
    best: i64,
    best_size: i64,
    worst: i64,
}

impl Half {
    fn new(base: i64) -> Self {
        Self {
            base,
            sizes: vec![0; WINDOW as usize],
            filled: vec![0; WINDOW as usize / 64],
            far: BTreeMap::new(),
            best: NOTHING,
            best_size: 0,
            worst: FOREVER,
        }
    }

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
            return self.set_far(rank, size);
        };
        let before = std::mem::replace(level, size);
        let bit = u64::from((before == 0) != (size == 0)) << (index % 64);
        self.filled[index / 64] ^= bit;
        before
    }

    #[cold]
    fn set_far(&mut self, rank: i64, size: i64) -> i64 {
        let before = if size == 0 {
            self.far.remove(&rank)
        } else {
            self.far.insert(rank, size)
        };
        before.unwrap_or(0)
    }

    /// The best level worse than `rank` and not below `worst`.
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
        let end = rank.saturating_sub(self.base).min(WINDOW);
        let first = self.worst.saturating_sub(self.base).max(0);
        if end <= first {
            return NOTHING;
        }
        let last = end as usize - 1;
        let lowest = first as usize / 64;
        let mut word = last / 64;
        let mut bits = self.filled[word] & (u64::MAX >> (63 - last % 64));
        while bits == 0 {
            if word == lowest {
                return NOTHING;
            }
            word -= 1;
            bits = self.filled[word];
        }
        self.base + (word * 64) as i64 + 63 - i64::from(bits.leading_zeros())
    }

    /// Moves the best price to `rank`.
    fn set_best(&mut self, rank: i64) {
        self.best = rank;
        self.best_size = if rank == NOTHING { 0 } else { self.size(rank) };
    }

    fn forget_if_empty(&mut self) {
        if self.best == NOTHING {
            self.worst = FOREVER;
        }
    }

    /// Empties the levels at `from` and better.
    fn clear(&mut self, from: i64) {
        drop(self.far.split_off(&from));
        let first = from.saturating_sub(self.base).clamp(0, WINDOW) as usize;
        let tail = self.filled.get_mut(first / 64..);
        if let Some((word, rest)) = tail.and_then(<[u64]>::split_first_mut) {
            let kept = *word & ((1 << (first % 64)) - 1);
            let emptied = std::iter::once(*word & !kept).chain(rest.iter().copied());
            for (at, mut bits) in (first / 64..).zip(emptied) {
                while bits != 0 {
                    self.sizes[at * 64 + bits.trailing_zeros() as usize] = 0;
                    bits &= bits - 1;
                }
            }
            *word = kept;
            rest.fill(0);
        }
        if self.best >= from {
            self.set_best(self.next(from));
        }
        self.forget_if_empty();
    }
}

/// Both sides.
#[derive(Debug)]
pub(super) struct Book {
    halves: [Half; 2],
    mid2: i64,
}

/// Place of a side in a pair: 0 for bids, 1 for asks.
#[inline(always)]
pub(super) fn slot(side: i64) -> usize {
    usize::from(side < 0)
}

impl Book {
    /// An empty book with a window from the price `low` on.
    pub(super) fn new(low: i64) -> Self {
        Self {
            halves: [Half::new(low), Half::new(-(low + WINDOW - 1))],
            mid2: 0,
        }
    }

    /// Rank of the best price of a side.
    #[inline(always)]
    pub(super) fn best(&self, side: i64) -> i64 {
        self.halves[slot(side)].best
    }

    /// Bid + ask, as they were the last time there were both; 0 before.
    pub(super) fn mid2(&self) -> i64 {
        self.mid2
    }

    pub(super) fn size(&self, side: i64, rank: i64) -> i64 {
        self.halves[slot(side)].size(rank)
    }

    /// The best level of a side that is worse than `rank`.
    pub(super) fn next(&self, side: i64, rank: i64) -> i64 {
        self.halves[slot(side)].next(rank)
    }

    /// Best bid, its size, best ask, its size; zeros where a side is empty.
    #[inline(always)]
    pub(super) fn quotes(&self) -> [i64; 4] {
        let [bids, asks] = &self.halves;
        let price = |best: i64| if best == NOTHING { 0 } else { best };
        [
            price(bids.best),
            bids.best_size,
            -price(asks.best),
            asks.best_size,
        ]
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
        half.worst = half.worst.min(if size == 0 { FOREVER } else { rank });
        if rank >= half.best {
            self.update_best(side, rank, size);
        }
        before
    }

    /// The level at `rank`, as good as the best or better, has got its size.
    fn update_best(&mut self, side: i64, rank: i64, size: i64) {
        let half = &mut self.halves[slot(side)];
        if size == 0 {
            if rank == half.best {
                half.set_best(half.next(rank));
                half.forget_if_empty();
            }
        } else {
            half.best = rank;
            half.best_size = size;
            let other = &mut self.halves[slot(-side)];
            if other.best >= -rank {
                other.set_best(other.next(-rank));
            }
        }
        self.remember_mid();
    }

    fn remember_mid(&mut self) {
        let [bids, asks] = &self.halves;
        if bids.best != NOTHING && asks.best != NOTHING {
            self.mid2 = bids.best - asks.best;
        }
    }

    /// Empties a side (0: both), of one side and a positive price the levels up to there.
    #[cold]
    pub(super) fn clear(&mut self, side: i64, price: i64) {
        match side {
            0 => self.halves.iter_mut().for_each(|half| half.clear(NOTHING)),
            _ if price <= 0 => self.halves[slot(side)].clear(NOTHING),
            _ => self.halves[slot(side)].clear(side * price),
        }
        self.remember_mid();
    }

    /// What an event does to the book.
    #[inline(always)]
    fn apply(&mut self, event: &Event) {
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
    let events = Events::unchecked(words)?;
    let mut book = Book::new(window(events));
    let mut out = vec![0; 4 * events.len()];
    let mut last = 0;
    for (row, quotes) in out.chunks_exact_mut(4).enumerate() {
        let event = events.get(row);
        event.check(row, last)?;
        last = event.local;
        book.apply(&event);
        quotes.copy_from_slice(&book.quotes());
    }
    Ok(out)
}
