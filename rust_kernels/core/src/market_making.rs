//! Market making: a Monte Carlo of quotes that market orders fill, and order-flow imbalance.
//!
//! A path is a walk of two integers, the inventory and the moves of the mid, and of two sums: what
//! the fills earned, and the inventory times the moves, which is an integer too. Profit follows from
//! these, so that nothing but the offsets earned is rounded on the way.

use crate::philox::{self, WORDS};
use crate::Error;
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
    ups: u32,
    /// Sum of the places in `FILLED`.
    places: i64,
    quoted: u32,
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
            .map(|path| path.spread / f64::from(path.quoted))
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
        2 * i64::from(path.ups) - self.n_steps as i64
    }

    /// Fills of bids and of asks, from how the inventory changed and from all places in `FILLED`.
    ///
    /// Asks alone count one, bids alone two and both three, so that twice the sum less the change
    /// is three times the fills.
    fn fills(&self, path: &Path) -> [i64; 2] {
        let change = i64::from(path.at) - self.limit - self.inventory;
        let fills = (2 * path.places - change) / 3;
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
                ups += up;
                carried += i64::from(columns[n]) * (2 * i64::from(up) - 1);
            }
            Path {
                at: lane.state as u32,
                ups: path.ups + ups,
                places: path.places + (lane.state / PLACE % (QUOTED / PLACE)) as i64,
                quoted: path.quoted + (lane.state / QUOTED) as u32,
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
        finite &= arch.dispatch(
            #[inline(always)]
            || flow_into(out, quotes),
        );
        result.extend_from_slice(out);
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

/// Order-flow imbalance of a few rows, one more than results; false where a value is not finite.
#[inline(always)]
fn flow_into(out: &mut [f64], quotes: [&[f64]; 4]) -> bool {
    let n = out.len();
    // Without a way out of the loop, so that it is done in vectors.
    let finite = quotes.map(|values| {
        let count = values.iter().map(|value| u64::from(value.is_finite()));
        count.sum::<u64>() == values.len() as u64
    });
    let [bid, bid_size, ask, ask_size] = quotes.map(|values| (&values[..n], &values[1..][..n]));
    let when = |condition: bool, size: f64| if condition { size } else { 0.0 };
    for (i, out) in out.iter_mut().enumerate() {
        let demand =
            when(bid.1[i] >= bid.0[i], bid_size.1[i]) - when(bid.1[i] <= bid.0[i], bid_size.0[i]);
        let supply =
            when(ask.1[i] <= ask.0[i], ask_size.1[i]) - when(ask.1[i] >= ask.0[i], ask_size.0[i]);
        *out = demand - supply;
    }
    finite.iter().all(|&finite| finite)
}
