//! Zero-intelligence order flow: a market in which orders come and go at random.
//!
//! Limit orders arrive on each side at rate `limit_rates[d - 1]` at d ticks from the opposite best
//! quote, market orders at `market_rate` on each side, and every resting order is cancelled at
//! rate `cancel_rates[d - 1]` (the last one from there on). This is the model of Cont, Stoikov and
//! Talreja, Operations Research 58 (2010) 549-563, and with flat rates nearly that of Smith,
//! Farmer, Gillemot and Krishnamurthy, Quantitative Finance 3 (2003) 481-514.
//!
//! A fundamental price jumps by a tick up or down at `fundamental_rate` in all; a share
//! `(1 + tilt) / 2` of market orders buys, where `tilt = pull * (fundamental - mid)`, at most one
//! in size.
//!
//! The simulation is exact. A candidate event comes after an exponential time at the total rate, in
//! which every order is taken to leave at the largest rate of cancellation; one that is slower is
//! then kept with the right probability. Candidate n takes block n of stream 0 of the seed: its
//! words give the time, the choice, the size, and whether a cancellation is done.

use super::{Engine, Request, Tape, CANCEL, LIMIT, MARKET};
use crate::philox::{block, exponential, uniform};
use crate::Error;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// Largest mean size, so that no order is above the largest that the engine takes.
const LARGEST_MEAN: f64 = (1_u64 << 32) as f64;

/// Orders that a simulation may expect.
const MOST: f64 = 1e9;

/// Rates are per second, prices in ticks, sizes in lots.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// Of every stream.
    pub seed: u64,
    /// Length of the simulation.
    pub duration_s: f64,
    /// Middle of the book at the start, and the fundamental price there.
    pub start_price: i64,
    /// Of limit orders on one side, by distance from the opposite best quote, from one tick on.
    pub limit_rates: &'a [f64],
    /// Of one resting order's cancellation, by that distance.
    pub cancel_rates: &'a [f64],
    /// Of market orders on one side.
    pub market_rate: f64,
    /// Mean of the geometric law of the sizes of limit orders.
    pub limit_size: f64,
    /// Mean of the geometric law of the sizes of market orders.
    pub market_size: f64,
    /// Of jumps of the fundamental price.
    pub fundamental_rate: f64,
    /// Tilt for one tick between mid and fundamental price.
    pub pull: f64,
}

impl Flow<'_> {
    fn check(&self) -> Result<(), Error> {
        positive("duration_s", self.duration_s)?;
        rates("limit_rates", self.limit_rates)?;
        rates("cancel_rates", self.cancel_rates)?;
        for (name, value) in [
            ("market_rate", self.market_rate),
            ("fundamental_rate", self.fundamental_rate),
            ("pull", self.pull),
        ] {
            not_negative(name, value)?;
        }
        for (name, value) in [
            ("limit_size", self.limit_size),
            ("market_size", self.market_size),
        ] {
            if !(1.0..=LARGEST_MEAN).contains(&value) {
                let problem = format!("must be from 1 to 2**32, got {value}");
                return Err(Error::new(name, problem));
            }
        }
        let depth = self.limit_rates.len() as i64;
        if !(depth + 1..=super::LARGEST / 2).contains(&self.start_price) {
            let problem = format!(
                "must be from {} to 2**39, got {}",
                depth + 1,
                self.start_price
            );
            return Err(Error::new("start_price", problem));
        }
        let per_side: f64 = self.limit_rates.iter().sum::<f64>() + self.market_rate;
        if self.duration_s * (2.0 * per_side + self.fundamental_rate) > MOST {
            let problem = format!("must give at most 1e9 orders, got {}", self.duration_s);
            return Err(Error::new("duration_s", problem));
        }
        Ok(())
    }
}

fn positive(name: &str, value: f64) -> Result<(), Error> {
    if value > 0.0 && value < f64::INFINITY {
        return Ok(());
    }
    let problem = format!("must be positive and finite, got {value}");
    Err(Error::new(name, problem))
}

fn not_negative(place: &str, value: f64) -> Result<(), Error> {
    if (0.0..f64::INFINITY).contains(&value) {
        return Ok(());
    }
    let problem = format!("must be finite and not negative, got {value}");
    Err(Error::new(place, problem))
}

fn rates(name: &str, values: &[f64]) -> Result<(), Error> {
    for (row, &value) in values.iter().enumerate() {
        not_negative(&format!("{name}[{row}]"), value)?;
    }
    if values.is_empty() {
        return Err(Error::new(name, "must have at least one rate"));
    }
    Ok(())
}

/// What was simulated: the requests as an engine takes them, and the path of the fundamental price.
#[derive(Debug, Clone, Default)]
pub struct Simulated {
    /// Limit, market and cancel requests; ids of orders count from 1.
    pub requests: Vec<Request>,
    /// Time in nanoseconds and ticks of each jump.
    pub fundamental: Vec<(i64, i64)>,
}

/// Simulates from a book with one order on each side at each distance that has a limit rate.
pub fn zero_intelligence_flow(flow: Flow<'_>) -> Result<Simulated, Error> {
    flow.check()?;
    let mut market = Market::new(flow)?;
    market.open();
    market.run();
    Ok(market.simulated)
}

struct Market<'a> {
    flow: Flow<'a>,
    engine: Engine,
    tape: Tape,
    simulated: Simulated,
    /// Indices of the resting orders, in no order, and the place of each order there.
    live: Vec<u32>,
    place: Vec<u32>,
    /// Best bid and ask; of an empty side the last one there was.
    best: [i64; 2],
    fundamental: i64,
    time_ns: i64,
}

impl<'a> Market<'a> {
    fn new(flow: Flow<'a>) -> Result<Self, Error> {
        Ok(Self {
            flow,
            engine: Engine::new(&[], &[], &[], &[])?,
            tape: Tape::default(),
            simulated: Simulated::default(),
            live: Vec::new(),
            place: Vec::new(),
            best: [flow.start_price; 2],
            fundamental: flow.start_price,
            time_ns: 0,
        })
    }

    fn open(&mut self) {
        for distance in 1..=self.flow.limit_rates.len() as i64 {
            for side in [1, -1] {
                let price = self.flow.start_price - i64::from(side) * distance;
                self.send(0.0, LIMIT, side, price, self.flow.limit_size as i64);
            }
        }
    }

    fn run(&mut self) {
        let flow = self.flow;
        let mut sum = 0.0;
        let add = |rate: &f64| {
            sum += rate;
            sum
        };
        let cumulative: Vec<f64> = flow.limit_rates.iter().map(add).collect();
        let (limit, market) = (sum, flow.market_rate);
        let fastest = flow.cancel_rates.iter().fold(0.0, |a: f64, &b| a.max(b));
        let mut time = 0.0;
        for n in 0.. {
            let words = block(flow.seed, 0, n);
            let leaving = fastest * self.live.len() as f64;
            let total = 2.0 * limit + 2.0 * market + leaving + flow.fundamental_rate;
            if total == 0.0 {
                return;
            }
            time += exponential(words[0]) / total;
            if time >= flow.duration_s {
                return;
            }
            let mut rest = uniform(words[1]) * total;
            if rest < 2.0 * limit {
                let side = if rest < limit { 1 } else { -1 };
                let rest = if rest < limit { rest } else { rest - limit };
                let row = cumulative.partition_point(|&sum| sum <= rest);
                let distance = row.min(cumulative.len() - 1) as i64 + 1;
                let price = self.opposite(side) - i64::from(side) * distance;
                let size = geometric(flow.limit_size, uniform(words[2]));
                self.send(time, LIMIT, side, price, size);
                continue;
            }
            rest -= 2.0 * limit;
            if rest < 2.0 * market {
                let side = if rest < market * (1.0 + self.tilt()) {
                    1
                } else {
                    -1
                };
                let size = geometric(flow.market_size, uniform(words[2]));
                self.send(time, MARKET, side, 0, size);
                continue;
            }
            rest -= 2.0 * market;
            if rest < leaving {
                let row = ((rest / fastest) as usize).min(self.live.len() - 1);
                let index = self.live[row];
                if uniform(words[3]) * fastest < self.cancel_rate(index) {
                    self.cancel(time, index);
                }
                continue;
            }
            let up = rest - leaving < 0.5 * flow.fundamental_rate;
            self.fundamental += if up { 1 } else { -1 };
            let jump = ((time * SECOND) as i64, self.fundamental);
            self.simulated.fundamental.push(jump);
        }
    }

    fn opposite(&self, side: i8) -> i64 {
        self.best[usize::from(side > 0)]
    }

    fn tilt(&self) -> f64 {
        let mid = 0.5 * (self.best[0] + self.best[1]) as f64;
        (self.flow.pull * (self.fundamental as f64 - mid)).clamp(-1.0, 1.0)
    }

    fn cancel_rate(&self, index: u32) -> f64 {
        let order = &self.engine.orders[index as usize];
        let distance = i64::from(order.side) * (self.opposite(order.side) - order.price);
        let rates = self.flow.cancel_rates;
        rates[(distance.max(1) as usize).min(rates.len()) - 1]
    }

    /// Sends an order; one that would have no positive price is not sent.
    fn send(&mut self, time: f64, kind: u8, side: i8, price: i64, size: i64) {
        if kind == LIMIT && price < 1 {
            return;
        }
        let request = Request {
            time_ns: self.stamp(time),
            id: self.place.len() as i64 + 1,
            kind,
            side,
            price,
            size,
            flags: 0,
        };
        self.pass(request);
    }

    fn cancel(&mut self, time: f64, index: u32) {
        let request = Request {
            time_ns: self.stamp(time),
            id: i64::from(index) + 1,
            kind: CANCEL,
            side: self.engine.orders[index as usize].side,
            price: 0,
            size: 0,
            flags: 0,
        };
        self.leave(index);
        self.pass(request);
    }

    /// Whole nanoseconds, each later than the one before.
    fn stamp(&mut self, time: f64) -> i64 {
        self.time_ns = ((time * SECOND) as i64).max(self.time_ns + 1);
        self.time_ns
    }

    fn pass(&mut self, request: Request) {
        self.tape.clear();
        let index = self.engine.orders.len();
        self.engine.request(request, &mut self.tape);
        if let Some(order) = self.engine.orders.get(index) {
            self.place.push(self.live.len() as u32);
            if order.left > 0 {
                self.live.push(index as u32);
            }
        }
        for trade in 0..self.tape.trades.makers.len() {
            let maker = self.tape.trades.makers[trade];
            if self.engine.orders[maker as usize].left == 0 {
                self.leave(maker);
            }
        }
        for (row, side) in [1, -1].into_iter().enumerate() {
            if let Some(price) = self.engine.best(side) {
                self.best[row] = price;
            }
        }
        self.simulated.requests.push(request);
    }

    /// The last of the living takes the place of the one that leaves.
    fn leave(&mut self, index: u32) {
        let row = self.place[index as usize];
        self.live.swap_remove(row as usize);
        if let Some(&moved) = self.live.get(row as usize) {
            self.place[moved as usize] = row;
        }
    }
}

/// A geometric number of the mean, from 1 on, by inversion.
fn geometric(mean: f64, uniform: f64) -> i64 {
    if mean == 1.0 {
        return 1;
    }
    1 + ((-uniform).ln_1p() / (-1.0 / mean).ln_1p()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow<'_> = Flow {
        seed: 1,
        duration_s: 50.0,
        start_price: 100,
        limit_rates: &[2.0, 1.0, 0.5],
        cancel_rates: &[0.5, 0.2],
        market_rate: 0.5,
        limit_size: 3.0,
        market_size: 1.0,
        fundamental_rate: 1.0,
        pull: 0.1,
    };

    #[test]
    fn a_longer_flow_begins_as_the_shorter_one() {
        let short = zero_intelligence_flow(FLOW).unwrap();
        let duration_s = 80.0;
        let long = zero_intelligence_flow(Flow { duration_s, ..FLOW }).unwrap();
        assert!(long.requests.len() > short.requests.len());
        let row = |r: &Request| (r.time_ns, r.id, r.kind, r.side, r.price, r.size);
        let pairs = short.requests.iter().zip(&long.requests);
        assert!(pairs.into_iter().all(|(a, b)| row(a) == row(b)));
        assert!(long.fundamental.starts_with(&short.fundamental));
    }

    #[test]
    fn market_orders_of_mean_size_one_are_of_one_lot() {
        let simulated = zero_intelligence_flow(FLOW).unwrap();
        let of = |kind| simulated.requests.iter().filter(move |r| r.kind == kind);
        assert!(of(MARKET).count() > 20 && of(MARKET).all(|r| r.size == 1));
        assert!(of(LIMIT).any(|r| r.size > 3));
    }

    #[test]
    fn sizes_are_geometric_by_inversion() {
        // P(size > k) = (1 - 1 / mean)^k.
        assert_eq!(geometric(4.0, 0.0), 1);
        assert_eq!(geometric(4.0, 0.2499), 1);
        assert_eq!(geometric(4.0, 0.2501), 2);
        assert_eq!(geometric(4.0, 1.0 - 0.75_f64.powi(10) * 0.999), 11);
        assert_eq!(geometric(1.0, 0.999), 1);
    }

    #[test]
    fn rates_that_cannot_be_are_refused_by_name() {
        let refused = |flow| zero_intelligence_flow(flow).unwrap_err().to_string();
        let limit_rates = &[1.0, -1.0][..];
        assert_eq!(
            refused(Flow {
                limit_rates,
                ..FLOW
            }),
            "limit_rates[1] must be finite and not negative, got -1"
        );
        let start_price = 3;
        assert!(refused(Flow {
            start_price,
            ..FLOW
        })
        .starts_with("start_price must be from 4"));
    }
}
