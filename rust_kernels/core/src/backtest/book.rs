//! The book of one clock: sizes by level, best prices followed.
//!
//! Each side ranks its prices, a bid by its price and an ask by minus its price, so that the greater
//! is the better and one search, downwards, serves both. Levels in a window of ticks lie in an array
//! under a bitmap of those that are not empty, levels outside in a map. The window is set once, by a
//! sample of the prices, and has at most [`WIDEST`] ticks: a level outside costs more time, never a
//! wrong answer, and whatever the events hold a book takes at most 17 MB and what its far levels need.

use std::collections::BTreeMap;

use super::{Event, Events, CLEAR, FOREVER, TRADE};
use crate::Error;

/// Most ticks of the dense window.
const WIDEST: i64 = 1 << 20;
/// Ticks that it has beyond twice the range of the sample.
const MARGIN: i64 = 1 << 12;
/// Events that are sampled.
const SAMPLE: usize = 1024;

/// The rank of a best price where there is none; its negative is a rank, too.
pub(super) const NOTHING: i64 = -i64::MAX;

/// Lowest price and number of ticks of the dense part of a book.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    low: i64,
    ticks: i64,
}

impl Window {
    /// Around the median price of a sample of the events.
    pub(super) fn around(events: Events) -> Self {
        let step = events.len().div_ceil(SAMPLE).max(1);
        let mut prices: Vec<i64> = (0..events.len())
            .step_by(step)
            .map(|row| events.get(row))
            .filter(|event| event.kind != CLEAR)
            .map(|event| event.price)
            .collect();
        prices.sort_unstable();
        let (Some(first), Some(last)) = (prices.first(), prices.last()) else {
            return Self { low: 0, ticks: 0 };
        };
        let range = last.saturating_sub(*first).clamp(0, WIDEST);
        let ticks = (2 * range + MARGIN).min(WIDEST);
        let low = prices[prices.len() / 2].saturating_sub(ticks / 2);
        Self { low, ticks }
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
    best_size: i64,
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
        let end = rank.saturating_sub(self.base).min(self.sizes.len() as i64);
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
        let levels = self.sizes.len() as i64;
        let first = from.saturating_sub(self.base).clamp(0, levels) as usize;
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
    pub(super) fn new(window: Window) -> Self {
        let Window { low, ticks } = window;
        let levels = ticks as usize;
        Self {
            halves: [
                Half::new(low, levels),
                Half::new(1 - ticks.saturating_add(low), levels),
            ],
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
        let at_best = rank == half.best;
        half.best_size = if at_best { size } else { half.best_size };
        // A side's best moves with its own removal or with a better level.
        if (at_best & (size == 0)) | ((rank > half.best) & (size != 0)) {
            self.move_best(side, rank, size);
        }
        before
    }

    /// The best level was removed, or there is a better one.
    fn move_best(&mut self, side: i64, rank: i64, size: i64) {
        let half = &mut self.halves[slot(side)];
        if size == 0 {
            half.set_best(half.next(rank));
            half.forget_if_empty();
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
    pub(super) fn apply(&mut self, event: Event) {
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

/// Writes best bid, its size, best ask, its size after each event, zeros where a side is empty.
///
/// `out` has four places for each event.
pub fn best_quotes(words: &[i64], out: &mut [i64]) -> Result<(), Error> {
    let events = Events::unchecked(words)?;
    let mut book = Book::new(Window::around(events));
    let mut last = 0;
    for (row, quotes) in out.chunks_exact_mut(4).take(events.len()).enumerate() {
        let event = events.checked(row, last)?;
        last = event.local;
        book.apply(event);
        quotes.copy_from_slice(&book.quotes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Prices in the window, at its edges and far away on both sides.
    fn prices() -> impl Strategy<Value = i64> {
        prop_oneof![
            990..1010_i64,
            1..4_i64,
            3040..3060_i64,
            Just(1 << 30),
            Just(1 << 50)
        ]
    }

    /// Side, price, size; a size of 9 stands for a clear.
    fn changes() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
        let side = prop_oneof![Just(1_i64), Just(-1)];
        let size = prop_oneof![0..4_i64, 0..4_i64, Just(9)];
        prop::collection::vec((side, prices(), size), 0..120)
    }

    /// The levels of a side by rank, scanned.
    #[derive(Default)]
    struct Plain {
        levels: [BTreeMap<i64, i64>; 2],
    }

    fn window() -> Window {
        Window {
            low: 1000 - MARGIN / 2,
            ticks: MARGIN,
        }
    }

    proptest! {
        #[test]
        fn sizes_are_those_of_a_map_in_and_outside_the_window(changes in changes()) {
            let mut book = Book::new(window());
            let mut plain = Plain::default();
            for (side, price, size) in changes {
                let levels = &mut plain.levels[slot(side)];
                if size == 9 {
                    book.clear(side, price);
                    levels.retain(|&rank, _| rank < side * price);
                } else {
                    let before = book.update(side, price, size);
                    prop_assert_eq!(before, levels.insert(side * price, size).unwrap_or(0));
                }
                for (&rank, &size) in levels.iter() {
                    prop_assert_eq!(book.size(side, rank), size);
                }
            }
        }

        #[test]
        fn the_next_level_is_that_of_a_map(changes in changes(), from in prices()) {
            let mut half = Half::new(1000 - MARGIN / 2, MARGIN as usize);
            let mut levels = BTreeMap::new();
            half.worst = NOTHING;
            for (_, price, size) in changes {
                half.set(price, size);
                levels.insert(price, size);
            }
            let expected = levels.range(..from).rev().find(|(_, &size)| size > 0);
            prop_assert_eq!(half.next(from), expected.map_or(NOTHING, |(&rank, _)| rank));
        }

        #[test]
        fn best_prices_never_cross_and_are_levels(changes in changes()) {
            let mut book = Book::new(window());
            for (side, price, size) in changes {
                if size == 9 {
                    book.clear(side, price);
                } else {
                    book.update(side, price, size);
                }
                let [bid, bid_size, ask, ask_size] = book.quotes();
                prop_assert!(bid == 0 || ask == 0 || bid < ask);
                prop_assert_eq!(bid_size, if bid == 0 { 0 } else { book.size(1, bid) });
                prop_assert_eq!(ask_size, if ask == 0 { 0 } else { book.size(-1, -ask) });
                prop_assert!((bid == 0) == (bid_size == 0) && (ask == 0) == (ask_size == 0));
            }
        }
    }
}
