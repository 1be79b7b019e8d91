//! Quotes at offsets from a fair price that depend on the inventory.

use super::replay::{State, POST_ONLY};
use super::{Engine, Events, Results, Settings, LARGEST};
use crate::Error;

/// Offsets of one side, row after row.
#[derive(Debug, Clone, Copy)]
pub struct Offsets<'a> {
    /// Ticks from the fair price, NaN for no quote.
    pub values: &'a [f64],
    /// Inventories.
    pub columns: usize,
}

/// The quoter.
#[derive(Debug)]
pub struct Quoter<'a> {
    bids: Offsets<'a>,
    asks: Offsets<'a>,
    times: &'a [i64],
    size: i64,
    most: i64,
    adjustment: &'a [f64],
    buckets: usize,
}

impl<'a> Quoter<'a> {
    /// Offsets of both sides of one shape, a row from each of `times` on; lots of an order; ticks
    /// from mid to fair price, row after row of `buckets`.
    pub fn new(
        bids: Offsets<'a>,
        asks: Offsets<'a>,
        times: &'a [i64],
        size: i64,
        adjustment: &'a [f64],
        buckets: usize,
    ) -> Result<Self, Error> {
        let columns = bids.columns;
        if bids.values.is_empty() || columns % 2 != 1 {
            return Err(Error::new(
                "bid_offset",
                format!("must have an odd number of columns, got {columns}"),
            ));
        }
        refuse_offsets("bid_offset", bids, columns - 1)?;
        refuse_offsets("ask_offset", asks, 0)?;
        let spreads = bids.values.iter().zip(asks.values).map(|(b, a)| b + a);
        if let Some(at) = spreads.into_iter().position(|spread| spread <= 0.0) {
            return Err(Error::new(
                format!("ask_offset[{}]", at / columns),
                "must leave a positive spread",
            ));
        }
        if let Some(row) = times.windows(2).position(|pair| pair[1] <= pair[0]) {
            return Err(Error::new(
                format!("times[{}]", row + 1),
                "must be after the one in front of it",
            ));
        }
        if adjustment.iter().any(|ticks| !small(*ticks)) {
            return Err(Error::new("adjustment", "must be finite"));
        }
        if size < 1 {
            let problem = format!("must be at least 1, got {size}");
            return Err(Error::new("order_size", problem));
        }
        let most = columns as i64 / 2;
        if most.checked_mul(size).is_none_or(|limit| limit >= LARGEST) {
            return Err(Error::new(
                "order_size",
                format!("must keep the limit below 2**53, got {size}"),
            ));
        }
        Ok(Self {
            bids,
            asks,
            times,
            size,
            most,
            adjustment,
            buckets,
        })
    }

    fn fair(&self, (bid, bid_size, ask, ask_size): (i64, i64, i64, i64)) -> f64 {
        let middle = (bid + ask) as f64 / 2.0;
        if self.adjustment.is_empty() {
            return middle;
        }
        let spreads = self.adjustment.len() / self.buckets;
        let row = (ask - bid).min(spreads as i64) as usize - 1;
        let share = bid_size as f64 / (bid_size + ask_size) as f64;
        let bucket = ((share * self.buckets as f64) as usize).min(self.buckets - 1);
        middle + self.adjustment[row * self.buckets + bucket]
    }

    /// The price wanted on a side; 0 for none.
    fn wish(&self, engine: &Engine, side: i64) -> i64 {
        let quotes = engine.quotes();
        let (bid, _, ask, _) = quotes;
        if bid == 0 || ask == 0 {
            return 0;
        }
        // A unit held in part counts whole against the side that would add to it.
        let units = -(-side * engine.position()).div_euclid(self.size) * side;
        if units.abs() > self.most {
            return 0;
        }
        let offsets = if side == 1 { self.bids } else { self.asks };
        let row = self.times.partition_point(|&time| time <= engine.now());
        let at = row.saturating_sub(1) * offsets.columns + (units + self.most) as usize;
        let offset = offsets.values[at];
        if offset.is_nan() {
            return 0;
        }
        let fair = self.fair(quotes);
        if side == 1 {
            ((fair - offset).floor() as i64).min(ask - 1).max(0)
        } else {
            ((fair + offset).ceil() as i64).max(bid + 1)
        }
    }

    /// Cancels what is not wanted; the price at which a quote is missing, or 0.
    fn cancel(&self, engine: &mut Engine, side: i64) -> i64 {
        let price = self.wish(engine, side);
        let mut exposure = side * engine.position();
        let mut quoted = false;
        for at in 0..engine.live.len() {
            let index = engine.live[at];
            let order = &engine.orders[index];
            if order.side != side {
                continue;
            }
            exposure += order.known_left();
            if order.cancelling {
                continue;
            }
            if price > 0 && order.price == price {
                quoted = true;
            } else if order.known_state != State::Pending {
                engine.cancel_at(index);
            }
        }
        let room = exposure + self.size <= self.most * self.size;
        if room && !quoted {
            price
        } else {
            0
        }
    }

    fn act(&self, engine: &mut Engine) -> Result<(), Error> {
        let missing = [1, -1].map(|side| (side, self.cancel(engine, side)));
        for (side, price) in missing.into_iter().filter(|&(_, price)| price > 0) {
            engine.submit(side, price, self.size, POST_ONLY)?;
        }
        Ok(())
    }
}

fn small(ticks: f64) -> bool {
    ticks.abs() < LARGEST as f64
}

/// Refuses offsets that are not numbers of ticks or NaN, or that quote at the limit of inventory.
fn refuse_offsets(name: &str, offsets: Offsets, limit: usize) -> Result<(), Error> {
    for (row, values) in offsets.values.chunks_exact(offsets.columns).enumerate() {
        let place = format!("{name}[{row}]");
        if !values[limit].is_nan() {
            return Err(Error::new(place, "must end quoting at the limit with NaN"));
        }
        if values.iter().any(|&ticks| !ticks.is_nan() && !small(ticks)) {
            return Err(Error::new(place, "must be finite or NaN"));
        }
    }
    Ok(())
}

/// A replay of the quoter.
pub fn replay(words: &[i64], settings: Settings, quoter: &Quoter) -> Result<Results, Error> {
    let events = Events::unchecked(words)?;
    let mut engine = Engine::new(settings, events)?;
    while engine.advance(events)? {
        quoter.act(&mut engine)?;
    }
    Ok(engine.results())
}
