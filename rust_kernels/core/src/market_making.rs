//! Market making: a Monte Carlo of quotes that market orders fill, and order-flow imbalance.
//!
//! A path is a walk of two integers, the inventory and the moves of the mid, and of two sums: what
//! the fills earned, and the inventory times the moves, which is an integer too. Profit follows from
//! these, so that nothing but the offsets earned is rounded on the way.

use crate::philox::{self, WORDS};
use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Paths that one loop carries: one need not wait for what another looks up.
const LANES: usize = 4;

/// Paths that are simulated at most: ten gigabytes.
const MOST_PATHS: usize = 100_000_000;

/// Paths of one task.
const CHUNK: usize = 64 * LANES;

/// Steps of all paths from which threads are worth starting: about two milliseconds of work.
const PARALLEL: usize = 1 << 19;

/// Steps that a block of words decides, one each half word.
const STEPS: usize = 2 * WORDS;

/// Of that many equally likely numbers, a half word holds one above its lowest bit.
const GRID: f64 = (1_u64 << 31) as f64;

/// What may be filled in a step (nothing, the ask, the bid or both), as what it adds to a `Lane`:
/// to the column the change of the inventory, and its place here to the sum of places.
const FILLED: [u64; 4] = [0, PLACE - 1, 2 * PLACE + 1, 3 * PLACE];

/// Units of the counters that a `Lane` holds above its column. None exceeds a byte in a block.
const PLACE: u64 = 1 << 32;
const QUOTED: u64 = 1 << 40;

/// Rows of quotes that are looked at while they are near.
const ROWS: usize = 512;

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

/// The quotes at one step and inventory, in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Entry {
    /// Below how many of the numbers both are filled; both or the bid; anything.
    below: [u32; 3],
    /// `QUOTED` where both sides are quoted.
    quoted: u64,
    /// What the fills of `FILLED` earn.
    gain: [f64; 4],
    /// Zero where not both sides are quoted.
    spread: f64,
}

/// One path on its way.
#[derive(Debug, Clone, Copy)]
struct Path {
    /// Inventory as a column of the table.
    at: u32,
    ups: u64,
    /// Sum of the places in `FILLED`.
    places: u64,
    quoted: u64,
    /// Sum of the column times the direction of the move that it was held through.
    carried: i64,
    earned: f64,
    spread: f64,
}

/// A path within a block of steps, in as few registers as can be.
#[derive(Debug, Clone, Copy)]
struct Lane {
    /// The column, and above it the sum of places and the number of quoted steps.
    state: u64,
    earned: f64,
    spread: f64,
}

impl Lane {
    /// Takes a step and returns the column after it.
    #[inline(always)]
    fn step(&mut self, row: &[Entry], number: u32) -> u32 {
        let entry = &row[self.state as u32 as usize];
        let filled: usize = entry
            .below
            .iter()
            .map(|&below| usize::from(number < below))
            .sum();
        self.earned += entry.gain[filled & 3];
        self.spread += entry.spread;
        // The limits are not quoted, so that the low half stays a column.
        self.state = self
            .state
            .wrapping_add(entry.quoted)
            .wrapping_add(FILLED[filled & 3]);
        self.state as u32
    }
}

/// Simulates `n_paths` paths from `inventory`, the mid moving by `move_size` a step.
///
/// In each step either side is filled or not, then the mid moves. Half word t of Philox stream p of
/// the seed, low halves first, decides step t of path p: bits 1-31 the fills, bit 0 the move. The
/// result is the same for any number of threads.
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
    if n_paths > MOST_PATHS {
        let problem = format!("must be at most 100000000, got {n_paths}");
        return Err(Error::new("n_paths", problem));
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
            .map(|path| {
                // The columns count from -limit.
                let carried = path.carried - limit * walk.moves(path);
                path.earned + move_size * carried as f64
            })
            .collect(),
        inventory: paths
            .iter()
            .map(|path| i64::from(path.at) - limit)
            .collect(),
        moves: paths.iter().map(|path| walk.moves(path)).collect(),
        spread: paths
            .iter()
            .map(|path| path.spread / path.quoted as f64)
            .collect(),
        fills: paths.iter().flat_map(|path| walk.fills(path)).collect(),
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
            at: (self.inventory + self.limit) as u32,
            ups: 0,
            carried: 0,
            places: 0,
            quoted: 0,
            earned: 0.0,
            spread: 0.0,
        }
    }

    /// Moves up less moves down.
    fn moves(&self, path: &Path) -> i64 {
        2 * path.ups as i64 - self.n_steps as i64
    }

    /// Fills of bids and of asks, from how the inventory changed and from all places in `FILLED`.
    ///
    /// Asks alone count one, bids alone two and both three, so that twice the sum less the change
    /// is three times the fills.
    fn fills(&self, path: &Path) -> [i64; 2] {
        let change = i64::from(path.at) - self.limit - self.inventory;
        let fills = (2 * path.places as i64 - change) / 3;
        [(fills + change) / 2, (fills - change) / 2]
    }

    /// All paths of a task take a few steps before the next ones, so that the rows stay near.
    fn run(&self, first: usize, paths: &mut [Path]) {
        let stride = if self.table.len() == self.columns {
            0
        } else {
            self.columns
        };
        for block in 0..self.n_steps.div_ceil(STEPS) {
            let steps = block * STEPS..((block + 1) * STEPS).min(self.n_steps);
            let rows: Vec<&[Entry]> = steps
                .map(|step| &self.table[step * stride..][..self.columns])
                .collect();
            for (number, lanes) in paths.chunks_mut(LANES).enumerate() {
                let first = first + number * LANES;
                // Known lengths let the compiler unroll both loops.
                match (lanes.first_chunk_mut(), rows.first_chunk::<STEPS>()) {
                    (Some(lanes), Some(rows)) => {
                        *lanes = self.together::<LANES>(block, first, lanes, rows);
                    }
                    _ => {
                        for (lane, path) in lanes.iter_mut().enumerate() {
                            [*path] = self.together(block, first + lane, &[*path], &rows);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn together<const N: usize>(
        &self,
        block: usize,
        first: usize,
        paths: &[Path; N],
        rows: &[&[Entry]],
    ) -> [Path; N] {
        let words: [[u64; WORDS]; N] = std::array::from_fn(|lane| {
            philox::block(self.seed, (first + lane) as u64, block as u64)
        });
        let mut lanes = paths.map(|path| Lane {
            state: u64::from(path.at),
            earned: path.earned,
            spread: path.spread,
        });
        let mut halves = [[0; N]; STEPS];
        for (half, numbers) in halves.iter_mut().enumerate() {
            *numbers =
                std::array::from_fn(|lane| (words[lane][half / 2] >> (32 * (half % 2))) as u32);
        }
        let numbers = halves.map(|halves| halves.map(|half| half >> 1));
        let mut columns = [[0; N]; STEPS];
        for ((row, numbers), columns) in rows.iter().zip(&numbers).zip(&mut columns) {
            for ((lane, &number), column) in lanes.iter_mut().zip(numbers).zip(columns) {
                *column = lane.step(row, number);
            }
        }
        std::array::from_fn(|n| {
            let (lane, path) = (&lanes[n], &paths[n]);
            let (mut ups, mut carried) = (0, 0);
            for (halves, columns) in halves.iter().zip(&columns).take(rows.len()) {
                let up = halves[n] & 1;
                ups += u64::from(up);
                carried += i64::from(columns[n]) * (2 * i64::from(up) - 1);
            }
            Path {
                at: lane.state as u32,
                ups: path.ups + ups,
                places: path.places + lane.state / PLACE % (QUOTED / PLACE),
                quoted: path.quoted + lane.state / QUOTED,
                carried: path.carried + carried,
                earned: lane.earned,
                spread: lane.spread,
            }
        })
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
    Ok(bids.zip(asks).map(entry).collect())
}

/// What a step does at the given offsets (NaN: not quoted) and probabilities of a fill.
fn entry(((bid, buys), (ask, sells)): ((f64, f64), (f64, f64))) -> Entry {
    let both = buys * sells;
    let quoted = !(bid + ask).is_nan();
    let earned = |offset: f64| if offset.is_nan() { 0.0 } else { offset };
    let below = [both, buys, buys + sells - both];
    Entry {
        below: below.map(|probability| (probability * GRID).round_ties_even() as u32),
        quoted: if quoted { QUOTED } else { 0 },
        gain: [0.0, earned(ask), earned(bid), earned(bid) + earned(ask)],
        spread: earned(bid + ask),
    }
}

/// Offsets and probabilities of one side, which must not be quoted in the column `edge`.
fn side<'a>(
    name: &str,
    offsets: &'a [f64],
    probabilities: &'a [f64],
    columns: usize,
    edge: usize,
) -> Result<impl Iterator<Item = (f64, f64)> + 'a, Error> {
    let place =
        |what, cell: usize| format!("{name}_{what}[{}, {}]", cell / columns, cell % columns);
    if let Some(cell) = offsets.iter().position(|offset| offset.is_infinite()) {
        let problem = format!("must be finite, or NaN, got {}", offsets[cell]);
        return Err(Error::new(place("offset", cell), problem));
    }
    let mut edges = (edge..offsets.len()).step_by(columns);
    if let Some(cell) = edges.find(|&cell| !offsets[cell].is_nan()) {
        let problem = "must be NaN at the limit of the inventory";
        return Err(Error::new(place("offset", cell), problem));
    }
    let pairs = || offsets.iter().copied().zip(probabilities.iter().copied());
    let bad =
        |(offset, probability): (f64, f64)| !offset.is_nan() && !(0.0..=1.0).contains(&probability);
    if let Some(cell) = pairs().position(bad) {
        let problem = format!("must be from 0 to 1, got {}", probabilities[cell]);
        return Err(Error::new(place("probability", cell), problem));
    }
    Ok(offsets
        .iter()
        .zip(probabilities)
        .map(|(&offset, &probability)| (offset, if offset.is_nan() { 0.0 } else { probability })))
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
    let named = [
        ("bid", bid),
        ("bid_size", bid_size),
        ("ask", ask),
        ("ask_size", ask_size),
    ];
    if let Some((name, values)) = named.iter().find(|(_, v)| v.len() != bid.len()) {
        let problem = format!("must have {} rows, as bid, got {}", bid.len(), values.len());
        return Err(Error::new(name, problem));
    }
    let count = bid.len() - 1;
    let mut result = Vec::with_capacity(count);
    let mut near = [0.0; ROWS];
    let mut finite = true;
    let arch = pulp::Arch::new();
    for first in (0..count).step_by(ROWS) {
        let out = &mut near[..ROWS.min(count - first)];
        let quotes = named.map(|(_, values)| &values[first..=first + out.len()]);
        finite &= arch.dispatch(Rows { quotes, out });
        result.extend_from_slice(&near[..count.min(first + ROWS) - first]);
    }
    // A result of one row has looked at none.
    if finite && bid.len() > 1 {
        return Ok(result);
    }
    for (name, values) in named {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("must be finite, got {}", values[row]);
            return Err(Error::new(format!("{name}[{row}]"), problem));
        }
    }
    Ok(result)
}

/// A few rows of quotes, one more than results. False where a value is not finite.
struct Rows<'a> {
    quotes: [&'a [f64]; 4],
    out: &'a mut [f64],
}

impl WithSimd for Rows<'_> {
    type Output = bool;

    /// Not in vectors by name: the compiler makes them, for the machine that this is compiled for.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        let n = self.out.len();
        let [bids, bid_sizes, asks, ask_sizes] = self
            .quotes
            .map(|values| values[..n].iter().zip(&values[1..=n]));
        let when = |condition: bool, size: f64| if condition { size } else { 0.0 };
        let rows = bids.zip(bid_sizes).zip(asks.zip(ask_sizes));
        for (out, ((bid, bid_size), (ask, ask_size))) in self.out.iter_mut().zip(rows) {
            let demand = when(bid.1 >= bid.0, *bid_size.1) - when(bid.1 <= bid.0, *bid_size.0);
            let supply = when(ask.1 <= ask.0, *ask_size.1) - when(ask.1 >= ask.0, *ask_size.0);
            *out = demand - supply;
        }
        self.quotes.iter().all(|values| all_finite(values))
    }
}

/// Without a way out of the loop, so that it is done in vectors.
#[inline(always)]
fn all_finite(values: &[f64]) -> bool {
    values
        .iter()
        .fold(true, |finite, value| finite & value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;
    use proptest::prelude::*;

    /// Tables of offsets and probabilities, bid and ask by turns, and the columns.
    struct Tables([Vec<f64>; 4], usize);

    impl Tables {
        fn quotes(&self) -> Quotes<'_> {
            let [bid_offset, ask_offset, bid_probability, ask_probability] = &self.0;
            Quotes {
                bid_offset,
                ask_offset,
                bid_probability,
                ask_probability,
                columns: self.1,
            }
        }
    }

    /// Some quotes, of which a share is missing.
    fn tables(rows: usize, limit: usize, missing: f64, seed: u64) -> Tables {
        let columns = 2 * limit + 1;
        let mut stream = Stream::new(seed, 0);
        let mut table = |width: f64| -> Vec<f64> {
            let cells = rows * columns;
            (0..cells).map(|_| width * stream.uniform()).collect()
        };
        let mut sides = [table(2.0), table(2.0), table(1.0), table(1.0)];
        let mut gaps = Stream::new(seed, 1);
        for (side, edge) in [(0, columns - 1), (1, 0)] {
            for (cell, offset) in sides[side].iter_mut().enumerate() {
                if gaps.uniform() < missing || cell % columns == edge {
                    *offset = f64::NAN;
                }
            }
        }
        Tables(sides, columns)
    }

    /// One path, as it is described: profit, inventory, moves, spread, bids and asks filled.
    fn plain(tables: &Tables, n_steps: usize, start: i64, seed: u64, path: u64) -> [f64; 6] {
        let Tables([bids, asks, buys, sells], columns) = tables;
        let (mut stream, mut word) = (Stream::new(seed, path), 0);
        let (mut held, mut moves, mut carried, mut filled) = (start, 0, 0, [0, 0]);
        let (mut earned, mut spread, mut quoted) = (0.0, 0.0, 0);
        for step in 0..n_steps {
            word = if step % 2 == 0 {
                stream.word()
            } else {
                word >> 32
            };
            let number = ((word as u32) >> 1) as f64;
            let row = if bids.len() == *columns { 0 } else { step };
            let cell = row * columns + (held + (columns / 2) as i64) as usize;
            let (bid, ask) = (bids[cell], asks[cell]);
            let b = if bid.is_nan() { 0.0 } else { buys[cell] };
            let a = if ask.is_nan() { 0.0 } else { sells[cell] };
            let bound = |probability: f64| (probability * GRID).round_ties_even();
            let bought = number < bound(b);
            let sold = number < bound(b * a) || (!bought && number < bound(b + a - b * a));
            earned += match (bought, sold) {
                (true, true) => bid + ask,
                (true, false) => bid,
                (false, true) => ask,
                (false, false) => 0.0,
            };
            if !(bid + ask).is_nan() {
                spread += bid + ask;
                quoted += 1;
            }
            filled = [filled[0] + i64::from(bought), filled[1] + i64::from(sold)];
            held += i64::from(bought) - i64::from(sold);
            let direction = if word & 1 == 1 { 1 } else { -1 };
            moves += direction;
            carried += held * direction;
        }
        [
            earned + 0.5 * carried as f64,
            held as f64,
            moves as f64,
            spread / f64::from(quoted),
            filled[0] as f64,
            filled[1] as f64,
        ]
    }

    fn row(outcome: &Outcome, path: usize) -> [f64; 6] {
        [
            outcome.profit[path],
            outcome.inventory[path] as f64,
            outcome.moves[path] as f64,
            outcome.spread[path],
            outcome.fills[2 * path] as f64,
            outcome.fills[2 * path + 1] as f64,
        ]
    }

    fn same(a: [f64; 6], b: [f64; 6]) -> bool {
        a.map(f64::to_bits) == b.map(f64::to_bits) || (a[3].is_nan() && b[3].is_nan())
    }

    #[test]
    fn threads_do_not_change_the_result() {
        let (n_steps, n_paths) = (100, PARALLEL / 100 + 3 * CHUNK + 5);
        let tables = tables(n_steps, 6, 0.1, 1);
        let run = |n_paths| {
            simulate_market_making(&tables.quotes(), n_steps, 2, 0.5, n_paths, 9).unwrap()
        };
        let (together, few) = (run(n_paths), run(7));
        for path in [0, 3, 6] {
            assert!(same(row(&together, path), row(&few, path)));
        }
        for path in [0, CHUNK - 1, CHUNK, n_paths / 2, n_paths - 1] {
            let alone = plain(&tables, n_steps, 2, 9, path as u64);
            assert!(same(row(&together, path), alone));
        }
    }

    #[test]
    fn sides_are_filled_with_their_probabilities_and_independently() {
        let (n, b, a) = (400_000_usize, 0.3, 0.6);
        let nan = f64::NAN;
        let quotes = Quotes {
            bid_offset: &[nan, 1.0, nan],
            ask_offset: &[nan, 2.0, nan],
            bid_probability: &[nan, b, nan],
            ask_probability: &[nan, a, nan],
            columns: 3,
        };
        let outcome = simulate_market_making(&quotes, 1, 0, 0.0, n, 3).unwrap();
        let share = |what: f64| {
            let count = outcome.profit.iter().filter(|&&profit| profit == what);
            count.count() as f64 / n as f64
        };
        let expected = [(1.0 - a) * (1.0 - b), b * (1.0 - a), a * (1.0 - b), a * b];
        for (profit, p) in [0.0, 1.0, 2.0, 3.0].into_iter().zip(expected) {
            let error = (p * (1.0 - p) / n as f64).sqrt();
            assert!((share(profit) - p).abs() < 4.0 * error, "{profit}");
        }
    }

    #[test]
    fn arguments_out_of_range_are_named() {
        let good = tables(3, 2, 0.0, 1);
        let run = |inventory, size| {
            simulate_market_making(&good.quotes(), 3, inventory, size, 1, 0)
                .unwrap_err()
                .to_string()
        };
        assert!(run(3, 1.0).starts_with("inventory must be from -2 to 2, got 3"));
        assert!(run(i64::MIN, 1.0).starts_with("inventory"));
        assert!(run(0, f64::NAN).starts_with("move"));
        let error = simulate_market_making(&good.quotes(), 4, 0, 1.0, 1, 0).unwrap_err();
        assert!(error
            .to_string()
            .starts_with("bid_offset must have 1 or n_steps = 4 rows"));
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let n = 3 * ROWS;
        for place in [0, 1, ROWS - 1, ROWS, n - 1] {
            for side in 0..4 {
                let mut quotes = vec![vec![1.0; n]; 4];
                quotes[side][place] = f64::INFINITY;
                let result = order_flow_imbalance(&quotes[0], &quotes[1], &quotes[2], &quotes[3]);
                let name = ["bid", "bid_size", "ask", "ask_size"][side];
                let message = result.unwrap_err().to_string();
                assert!(message.starts_with(&format!("{name}[{place}] must be finite")));
            }
        }
        assert!(order_flow_imbalance(&[f64::NAN], &[1.0], &[1.0], &[1.0]).is_err());
        assert_eq!(
            order_flow_imbalance(&[1.0], &[1.0], &[1.0], &[1.0]),
            Ok(vec![])
        );
    }

    proptest! {
        #[test]
        fn paths_are_as_described(
            n_steps in 1_usize..30,
            limit in 1_usize..5,
            constant in any::<bool>(),
            missing in 0.0_f64..0.5,
            n_paths in 1_usize..20,
            seed in any::<u64>(),
        ) {
            let tables = tables(if constant { 1 } else { n_steps }, limit, missing, seed);
            let start = (seed % (2 * limit as u64 + 1)) as i64 - limit as i64;
            let outcome =
                simulate_market_making(&tables.quotes(), n_steps, start, 0.5, n_paths, seed);
            let outcome = outcome.unwrap();
            for path in 0..n_paths {
                let alone = plain(&tables, n_steps, start, seed, path as u64);
                prop_assert!(same(row(&outcome, path), alone), "{alone:?}");
            }
        }

        #[test]
        fn imbalance_is_the_difference_of_what_joins_and_leaves(
            quotes in prop::collection::vec((0_i32..3, 1_i32..9, 0_i32..3, 1_i32..9), 2..1500),
        ) {
            let column = |pick: fn(&(i32, i32, i32, i32)) -> i32| -> Vec<f64> {
                quotes.iter().map(|row| f64::from(pick(row))).collect()
            };
            let (bid, bid_size) = (column(|q| q.0), column(|q| q.1));
            let (ask, ask_size) = (column(|q| q.2), column(|q| q.3));
            let flow = order_flow_imbalance(&bid, &bid_size, &ask, &ask_size).unwrap();
            for (flow, pair) in flow.iter().zip(quotes.windows(2)) {
                let ((b0, q0, a0, r0), (b1, q1, a1, r1)) = (pair[0], pair[1]);
                let bids = match b1.cmp(&b0) {
                    std::cmp::Ordering::Greater => q1,
                    std::cmp::Ordering::Equal => q1 - q0,
                    std::cmp::Ordering::Less => -q0,
                };
                let asks = match a1.cmp(&a0) {
                    std::cmp::Ordering::Less => r1,
                    std::cmp::Ordering::Equal => r1 - r0,
                    std::cmp::Ordering::Greater => -r0,
                };
                prop_assert_eq!(*flow, f64::from(bids - asks));
            }
        }
    }
}
