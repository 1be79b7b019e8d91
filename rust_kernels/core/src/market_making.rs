//! Market making: a Monte Carlo of quotes that market orders fill, and order-flow imbalance.
//!
//! A path is a walk of two integers, the inventory and the moves of the mid, and of two sums: what
//! the fills earned, and the inventory times the moves, which is an integer too. Profit follows from
//! these, so that nothing but the offsets earned is rounded on the way.

use crate::philox::{self, WORDS};
use crate::Error;
use rayon::prelude::*;

/// Paths that one loop carries: their words and their look-ups do not wait for each other.
const LANES: usize = 8;

/// Paths of one task.
const CHUNK: usize = 64 * LANES;

/// Steps of all paths from which threads are worth starting: about two milliseconds of work.
const PARALLEL: usize = 1 << 19;

/// Of 2^31 equally likely numbers, those for the bid are in the high bits of a word.
const BID_SHIFT: u32 = 33;

/// And those for the ask in the next ones; the lowest but one bit is not used.
const ASK_SHIFT: u32 = 2;
const ASK_MASK: u64 = (1 << 31) - 1;

/// Quotes of each step (or, with one row, of all steps) and each inventory, lowest first.
#[derive(Debug, Clone, Copy)]
pub struct Quotes<'a> {
    /// Mid less bid, NaN where there is no bid.
    pub bid_offset: &'a [f64],
    /// Ask less mid, NaN where there is no ask.
    pub ask_offset: &'a [f64],
    /// Probability that the bid is filled in the step.
    pub bid_probability: &'a [f64],
    /// Probability that the ask is filled in the step.
    pub ask_probability: &'a [f64],
    /// Inventories, an odd number: the middle one is 0.
    pub columns: usize,
}

/// What the paths came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Change of cash and of the value of the inventory together.
    pub profit: Vec<f64>,
    /// Inventory at the end.
    pub inventory: Vec<i64>,
    /// Moves of the mid up less moves down.
    pub moves: Vec<i64>,
    /// Mean spread over the steps in which both sides were quoted, NaN where there were none.
    pub spread: Vec<f64>,
    /// Fills of bids and of asks, by pairs.
    pub fills: Vec<i64>,
}

/// The quotes at one step and inventory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    bid_below: u32,
    ask_below: u32,
    bid: f64,
    ask: f64,
    /// NaN where not both sides are quoted.
    spread: f64,
}

/// One path on its way.
#[derive(Debug, Clone, Copy)]
struct Path {
    /// Inventory as a column of the table.
    at: usize,
    moves: i64,
    carried: i64,
    bought: i64,
    sold: i64,
    unquoted: u64,
    earned: f64,
    spread: f64,
}

impl Path {
    #[inline(always)]
    fn step(&mut self, row: &[Entry], start: i64, word: u64) {
        let entry = &row[self.at];
        let bought = (word >> BID_SHIFT) < u64::from(entry.bid_below);
        let sold = ((word >> ASK_SHIFT) & ASK_MASK) < u64::from(entry.ask_below);
        self.earned += if bought { entry.bid } else { 0.0 };
        self.earned += if sold { entry.ask } else { 0.0 };
        if entry.spread.is_nan() {
            self.unquoted += 1;
        } else {
            self.spread += entry.spread;
        }
        self.bought += i64::from(bought);
        self.sold += i64::from(sold);
        // The limits are not quoted, so that this stays a column.
        self.at = self.at + usize::from(bought) - usize::from(sold);
        let direction = ((word & 1) as i64) * 2 - 1;
        self.moves += direction;
        self.carried += (self.at as i64 - start) * direction;
    }
}

/// Simulates `n_paths` paths from `inventory`, the mid moving by `move_size` a step.
///
/// In each step either side is filled or not, then the mid moves. Word t of Philox stream p of the
/// seed decides step t of path p: bits 33-63 the bid, bits 2-32 the ask, bit 0 the move. The result
/// is the same for any number of threads.
pub fn simulate_market_making(
    quotes: &Quotes,
    n_steps: usize,
    inventory: i64,
    move_size: f64,
    n_paths: usize,
    seed: u64,
) -> Result<Outcome, Error> {
    let table = entries(quotes, n_steps)?;
    let limit = (quotes.columns / 2) as i64;
    if inventory.unsigned_abs() > limit.unsigned_abs() {
        return Err(Error::new(
            "inventory",
            format!("must be from {} to {limit}, got {inventory}", -limit),
        ));
    }
    if !(0.0..f64::INFINITY).contains(&move_size) {
        return Err(Error::new(
            "move",
            format!("must be finite and not negative, got {move_size}"),
        ));
    }
    let walk = Walk {
        table: &table,
        columns: quotes.columns,
        n_steps,
        limit,
        inventory,
        seed,
    };
    let mut paths = vec![walk.at_start(); n_paths];
    let chunks = |(number, paths): (usize, &mut [Path])| walk.run(number * CHUNK, paths);
    // The threads end with the call: a lasting pool would not survive a fork of the process.
    let pool = (n_paths.saturating_mul(n_steps) >= PARALLEL && n_paths > CHUNK)
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1);
    match pool {
        None => paths.chunks_mut(CHUNK).enumerate().for_each(chunks),
        Some(pool) => {
            pool.install(|| paths.par_chunks_mut(CHUNK).enumerate().for_each(chunks));
        }
    }
    Ok(Outcome {
        profit: paths
            .iter()
            .map(|path| path.earned + move_size * path.carried as f64)
            .collect(),
        inventory: paths.iter().map(|path| path.at as i64 - limit).collect(),
        moves: paths.iter().map(|path| path.moves).collect(),
        spread: paths
            .iter()
            .map(|path| path.spread / (n_steps as u64 - path.unquoted) as f64)
            .collect(),
        fills: paths
            .iter()
            .flat_map(|path| [path.bought, path.sold])
            .collect(),
    })
}

/// What all paths have in common.
struct Walk<'a> {
    table: &'a [Entry],
    columns: usize,
    n_steps: usize,
    limit: i64,
    inventory: i64,
    seed: u64,
}

impl Walk<'_> {
    fn at_start(&self) -> Path {
        Path {
            at: (self.inventory + self.limit) as usize,
            moves: 0,
            carried: 0,
            bought: 0,
            sold: 0,
            unquoted: 0,
            earned: 0.0,
            spread: 0.0,
        }
    }

    fn run(&self, first: usize, paths: &mut [Path]) {
        for (number, lanes) in paths.chunks_mut(LANES).enumerate() {
            let first = first + number * LANES;
            if let Ok(lanes) = <&mut [Path; LANES]>::try_from(&mut *lanes) {
                self.together(first, lanes);
            } else {
                for (lane, path) in lanes.iter_mut().enumerate() {
                    self.together(first + lane, std::array::from_mut(path));
                }
            }
        }
    }

    #[inline(always)]
    fn together<const N: usize>(&self, first: usize, paths: &mut [Path; N]) {
        let stride = if self.table.len() == self.columns {
            0
        } else {
            self.columns
        };
        for block in 0..self.n_steps.div_ceil(WORDS) {
            let words: [[u64; WORDS]; N] = std::array::from_fn(|lane| {
                philox::block(self.seed, (first + lane) as u64, block as u64)
            });
            let steps = block * WORDS..((block + 1) * WORDS).min(self.n_steps);
            for (word, step) in steps.enumerate() {
                let row = &self.table[step * stride..][..self.columns];
                for (path, words) in paths.iter_mut().zip(&words) {
                    path.step(row, self.limit, words[word]);
                }
            }
        }
    }
}

/// The table, checked.
fn entries(quotes: &Quotes, n_steps: usize) -> Result<Vec<Entry>, Error> {
    let columns = quotes.columns;
    let cells = quotes.bid_offset.len();
    if columns % 2 == 0 || (cells != columns && Some(cells) != columns.checked_mul(n_steps)) {
        let rows = cells.checked_div(columns).unwrap_or(0);
        return Err(Error::new(
            "bid_offset",
            format!(
                "must have 1 or n_steps = {n_steps} rows and an odd number of columns, \
                 got ({rows}, {columns})"
            ),
        ));
    }
    let bids = side(
        "bid",
        quotes.bid_offset,
        quotes.bid_probability,
        columns,
        columns - 1,
    )?;
    let asks = side("ask", quotes.ask_offset, quotes.ask_probability, columns, 0)?;
    Ok(bids
        .into_iter()
        .zip(asks)
        .map(|((bid, bid_below), (ask, ask_below))| Entry {
            bid_below,
            ask_below,
            bid,
            ask,
            spread: bid + ask,
        })
        .collect())
}

/// Offsets and thresholds of one side, which must not be quoted in the column `edge`.
fn side(
    name: &str,
    offsets: &[f64],
    probabilities: &[f64],
    columns: usize,
    edge: usize,
) -> Result<Vec<(f64, u32)>, Error> {
    let place =
        |what, cell: usize| format!("{name}_{what}[{}, {}]", cell / columns, cell % columns);
    if let Some(cell) = offsets.iter().position(|offset| offset.is_infinite()) {
        let problem = format!("must be finite, or NaN, got {}", offsets[cell]);
        return Err(Error::new(place("offset", cell), problem));
    }
    let edges = || (edge..offsets.len()).step_by(columns);
    if let Some(cell) = edges().find(|&cell| !offsets[cell].is_nan()) {
        let problem = "must be NaN at the limit of the inventory";
        return Err(Error::new(place("offset", cell), problem));
    }
    let cells = offsets.iter().zip(probabilities).enumerate();
    cells
        .map(|(cell, (&offset, &probability))| {
            if offset.is_nan() {
                return Ok((offset, 0));
            }
            if !(0.0..=1.0).contains(&probability) {
                let problem = format!("must be from 0 to 1, got {probability}");
                return Err(Error::new(place("probability", cell), problem));
            }
            let below = (probability * (1_u64 << 31) as f64).round_ties_even();
            Ok((offset, below as u32))
        })
        .collect()
}

/// What each change of the best quotes adds to demand less supply: n - 1 values from n rows.
pub fn order_flow_imbalance(
    bid: &[f64],
    bid_size: &[f64],
    ask: &[f64],
    ask_size: &[f64],
) -> Result<Vec<f64>, Error> {
    if bid.is_empty() {
        return Err(Error::new("bid", "must have at least one row"));
    }
    for (name, values) in [
        ("bid", bid),
        ("bid_size", bid_size),
        ("ask", ask),
        ("ask_size", ask_size),
    ] {
        if values.len() != bid.len() {
            let problem = format!("must have {} rows, as bid, got {}", bid.len(), values.len());
            return Err(Error::new(name, problem));
        }
        if !values.iter().all(|value| value.is_finite()) {
            let row = values.iter().position(|value| !value.is_finite());
            let row = row.unwrap_or(0);
            let problem = format!("must be finite, got {}", values[row]);
            return Err(Error::new(format!("{name}[{row}]"), problem));
        }
    }
    let when = |condition: bool, size: f64| if condition { size } else { 0.0 };
    let quotes = bid.windows(2).zip(ask.windows(2));
    let sizes = bid_size.windows(2).zip(ask_size.windows(2));
    Ok(quotes
        .zip(sizes)
        .map(|((bid, ask), (bid_size, ask_size))| {
            let demand = when(bid[1] >= bid[0], bid_size[1]) - when(bid[1] <= bid[0], bid_size[0]);
            let supply = when(ask[1] <= ask[0], ask_size[1]) - when(ask[1] >= ask[0], ask_size[0]);
            demand - supply
        })
        .collect())
}
