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
    /// Events of which every field is what its kind asks for, in order of receipt.
    pub fn new(words: &'a [i64]) -> Result<Self, Error> {
        let events = Self::checked_before(words)?;
        let mut last = 0;
        for row in 0..events.len() {
            let event = events.get(row);
            if let Some(name) = misfit(&event, last) {
                return Err(Error::new(
                    format!("events[{row}]"),
                    format!("must have a {name} that fits its kind and place"),
                ));
            }
            last = event.local;
        }
        Ok(events)
    }

    /// Events that [`Self::new`] has accepted before.
    pub fn checked_before(words: &'a [i64]) -> Result<Self, Error> {
        if words.len() % WORDS != 0 {
            return Err(Error::new("events", "must have five words each"));
        }
        Ok(Self(words))
    }

    fn len(self) -> usize {
        self.0.len() / WORDS
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

/// The field of an event that is not what its kind asks for.
fn misfit(event: &Event, last: i64) -> Option<&'static str> {
    let trade = i64::from(event.kind == TRADE);
    let clear = event.kind == CLEAR;
    [
        ("exchange_ns", (0..LATEST).contains(&event.exchange)),
        ("local_ns", (last..LATEST).contains(&event.local)),
        ("kind", (DEPTH..=SNAPSHOT).contains(&event.kind)),
        (
            "side",
            matches!(event.side, 1 | -1) || (event.side == 0 && clear),
        ),
        ("size", (trade..LARGEST).contains(&event.size)),
        ("price", clear || (1..LARGEST).contains(&event.price)),
    ]
    .into_iter()
    .find_map(|(name, fits)| (!fits).then_some(name))
}
