//! Event-driven replay of a recorded market, and the books that it needs.
//!
//! Prices are whole ticks and sizes whole lots. Four sources are merged by time: feed received,
//! responses received, events at the venue, requests at the venue; at one time in that order. What a
//! strategy knows comes from the first two alone.

pub mod bars;
mod book;
mod latency;
mod queue;
mod quoter;
mod replay;

use crate::Error;

pub use book::best_quotes;
pub use latency::Latency;
pub use queue::Queue;
pub use quoter::{replay, Offsets, Quoter};
pub use replay::{
    Engine, Results, Settings, FILL_COLUMNS, LIVE_COLUMNS, ORDER_COLUMNS, SERIES_COLUMNS,
};

/// 64-bit words of one event.
pub const WORDS: usize = 5;

/// Prices, sizes and latencies stay below: what a float64 still counts one by one.
pub const LARGEST: i64 = 1 << 53;
/// Times stay below.
const LATEST: i64 = 1 << 62;
/// The time of what never comes.
const FOREVER: i64 = i64::MAX;

const DEPTH: u8 = 1;
const TRADE: u8 = 2;
const CLEAR: u8 = 3;
const SNAPSHOT: u8 = 4;

/// One market event.
#[derive(Debug, Clone, Copy)]
struct Event {
    exchange: i64,
    local: i64,
    price: i64,
    size: i64,
    kind: u8,
    side: i8,
}

/// Events as they lie in memory: five words each, kind and side the first two bytes of the last.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a>(&'a [i64]);

impl<'a> Events<'a> {
    /// Events of which the fields have yet to be checked, or have been before.
    pub fn unchecked(words: &'a [i64]) -> Result<Self, Error> {
        if words.len() % WORDS != 0 {
            return Err(Error::new("events", "must have five words each"));
        }
        Ok(Self(words))
    }

    fn len(self) -> usize {
        self.0.len() / WORDS
    }

    /// Exchange time of an event (column 0) or its receipt (column 1).
    #[inline(always)]
    fn time(self, row: usize, column: usize) -> i64 {
        self.0[row * WORDS + column]
    }

    #[inline(always)]
    fn get(self, row: usize) -> Event {
        let words = &self.0[row * WORDS..(row + 1) * WORDS];
        let bytes = words[4].to_ne_bytes();
        Event {
            exchange: words[0],
            local: words[1],
            price: words[2],
            size: words[3],
            kind: bytes[0],
            side: bytes[1] as i8,
        }
    }
}

impl Event {
    /// Whether every field is what the kind asks for, after the receipt of the one before.
    #[inline(always)]
    fn fits(self, last: i64) -> [bool; 6] {
        // One comparison each: what is below the range is huge without its sign.
        let within = |value: i64, low: i64, high: i64| {
            (value.wrapping_sub(low) as u64) < high.wrapping_sub(low) as u64
        };
        let clear = self.kind == CLEAR;
        [
            within(self.exchange, 0, LATEST),
            within(self.local, last, LATEST),
            within(i64::from(self.kind), DEPTH.into(), i64::from(SNAPSHOT) + 1),
            (self.side == 1) | (self.side == -1) | ((self.side == 0) & clear),
            within(self.size, i64::from(self.kind == TRADE), LARGEST),
            clear | within(self.price, 1, LARGEST),
        ]
    }
}

impl Events<'_> {
    /// The event at `row`, refused where a field is not what its kind asks for, or where it was
    /// received before `last`.
    #[inline(always)]
    fn checked(self, row: usize, last: i64) -> Result<Event, Error> {
        let event = self.get(row);
        if event
            .fits(last)
            .into_iter()
            .fold(true, |all, fits| all & fits)
        {
            return Ok(event);
        }
        Err(self.refused(row, last))
    }

    // It reads the event again so that the loops can keep theirs in registers.
    #[cold]
    #[inline(never)]
    fn refused(self, row: usize, last: i64) -> Error {
        let names = ["exchange_ns", "local_ns", "kind", "side", "size", "price"];
        let fits = self.get(row).fits(last);
        let misfit = fits.iter().position(|fits| !fits).unwrap_or(0);
        Error::new(
            format!("events[{row}]"),
            format!("must have a {} that fits its kind and place", names[misfit]),
        )
    }
}
