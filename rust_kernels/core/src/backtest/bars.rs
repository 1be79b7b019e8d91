//! Target positions on bars, through an account that is kept after every bar.
//!
//! Cash changes only where something is traded or borrowed, so that the value of an account
//! between two trades is `cash + position * price`: no bar waits for the one before it.

use crate::metrics::{all, none, Moments, Path};
use crate::Error;
use pulp::{Simd, WithSimd};

/// Bars whose equity is kept at hand for their returns, and after which moving sums begin anew.
const BLOCK: usize = 1024;

/// Bars that are looked at together for whether anything is traded in them.
const QUIET: usize = 16;

/// Parts of a block whose running sums are taken side by side.
const PARTS: usize = 4;

/// Accounts of a bar: cash, equity, gross, borrowing.
pub const ACCOUNTS: usize = 4;

/// Numbers of a trade: quantity, fee, half-spread, slippage.
pub const TRADE: usize = 4;

/// What is paid, for n assets and T bars.
#[derive(Debug, Clone, Copy)]
pub struct Costs<'a> {
    /// (4, n): fee, half-spread and slippage as shares of notional; borrowing per year.
    pub rates: &'a [f64],
    /// (n,): fee, money per unit.
    pub fee_unit: &'a [f64],
    /// (1, n) or (T, n): half-spread, money per unit.
    pub spread_unit: &'a [f64],
    /// (1, n) or (T, n): linear impact, money per squared unit.
    pub impact: &'a [f64],
    /// (1,) or (T,): years since the bar before.
    pub elapsed: &'a [f64],
}

/// Targets, prices and how they are traded.
#[derive(Debug, Clone, Copy)]
pub struct Orders<'a> {
    /// (T, n): units, or weights of equity; NaN is no order.
    pub signals: &'a [f64],
    /// (T, n): money for a unit.
    pub prices: &'a [f64],
    /// Assets.
    pub n: usize,
    /// Cash before the first bar.
    pub capital: f64,
    /// Bars from decision to trade.
    pub lag: usize,
    /// Whether signals are weights.
    pub weights: bool,
    /// What is paid.
    pub costs: Costs<'a>,
}

/// What a run held, was worth and traded.
#[derive(Debug, Default)]
pub struct Run {
    /// (T, n): units after each bar.
    pub positions: Vec<f64>,
    /// (T, `ACCOUNTS`).
    pub accounts: Vec<f64>,
    /// (m, 2): bar and asset of each trade.
    pub places: Vec<i64>,
    /// (m, `TRADE`).
    pub trades: Vec<f64>,
}

/// The outcome of a run alone.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// After the last bar.
    pub equity: f64,
    /// Mean of the simple returns.
    pub mean: f64,
    /// Their variance in the sample.
    pub variance: f64,
    /// The largest drawdown.
    pub depth: f64,
}

impl Orders<'_> {
    fn rows(&self) -> usize {
        self.prices.len() / self.n
    }

    fn at(&self, row: usize) -> std::ops::Range<usize> {
        row * self.n..(row + 1) * self.n
    }

    fn check(&self) -> Result<(), Error> {
        if self.n == 0 {
            return Err(Error::new("prices", "must have at least 1 column, got 0"));
        }
        not_negative("rates", self.costs.rates, Some(self.n))?;
        not_negative("fee_unit", self.costs.fee_unit, None)?;
        for (name, table) in [
            ("spread_unit", self.costs.spread_unit),
            ("impact", self.costs.impact),
        ] {
            if table.len() != self.n && table.len() != self.prices.len() {
                let got = table.len() / self.n;
                let problem = format!("must have 1 or {} rows, got {got}", self.rows());
                return Err(Error::new(name, problem));
            }
            not_negative(name, table, Some(self.n))?;
        }
        let elapsed = self.costs.elapsed;
        if elapsed.len() != 1 && elapsed.len() != self.rows() {
            let problem = format!(
                "must have 1 or {} values, got {}",
                self.rows(),
                elapsed.len()
            );
            return Err(Error::new("elapsed", problem));
        }
        not_negative("elapsed", elapsed, None)?;
        if !self.capital.is_finite() {
            let problem = format!("must be finite, got {}", self.capital);
            return Err(Error::new("capital", problem));
        }
        if self.weights && self.lag == 0 {
            return Err(Error::new("lag", "must be at least 1 for weights, got 0"));
        }
        Ok(())
    }

    /// The first price or signal that is no number of money or units.
    fn refused_value(&self) -> Option<Error> {
        let place = |t: usize| format!("{}, {}", t / self.n, t % self.n);
        if let Some(t) = self.prices.iter().position(|price| !price.is_finite()) {
            let problem = format!("must be finite, got {}", self.prices[t]);
            return Some(Error::new(format!("prices[{}]", place(t)), problem));
        }
        let t = self
            .signals
            .iter()
            .position(|signal| signal.is_infinite())?;
        let problem = format!("must be finite or NaN, got {}", self.signals[t]);
        Some(Error::new(format!("signals[{}]", place(t)), problem))
    }

    /// Refuses infinite signals that are never traded; all other bad values spoil the equity.
    fn check_end(&self) -> Result<(), Error> {
        let start = self.rows().saturating_sub(self.lag) * self.n;
        if self.signals[start..].iter().any(|s| s.is_infinite()) {
            return Err(Error::new("signals", "must be finite or NaN"));
        }
        Ok(())
    }
}

fn not_negative(name: &str, values: &[f64], columns: Option<usize>) -> Result<(), Error> {
    let pass = |value: f64| (0.0..f64::INFINITY).contains(&value);
    if all(values, pass) {
        return Ok(());
    }
    let place = values.iter().position(|&value| !pass(value)).unwrap_or(0);
    let at = match columns {
        Some(n) => format!("{name}[{}, {}]", place / n, place % n),
        None => format!("{name}[{place}]"),
    };
    let problem = format!("must be finite and not negative, got {}", values[place]);
    Err(Error::new(at, problem))
}

/// The account of one run, from bar to bar.
struct Account<'a> {
    orders: Orders<'a>,
    cash: f64,
    held: Vec<f64>,
    /// Units decided on in the last `lag` bars, where signals are weights.
    decided: Vec<f64>,
    borrows: bool,
}

/// What a bar adds to the account.
struct Bar {
    equity: f64,
    gross: f64,
    borrow: f64,
}

impl<'a> Account<'a> {
    fn new(mut orders: Orders<'a>) -> Self {
        let n = orders.n;
        // A longer lag trades nothing either.
        orders.lag = orders.lag.min(orders.rows());
        let kept = if orders.weights { orders.lag * n } else { 0 };
        Self {
            orders,
            cash: orders.capital,
            held: vec![0.0; n],
            decided: vec![0.0; kept],
            borrows: orders.costs.rates[3 * n..].iter().any(|&rate| rate > 0.0),
        }
    }

    /// Units to hold at a bar, NaN for no order.
    #[inline(always)]
    fn wanted(&self, row: usize, asset: usize) -> f64 {
        let (n, lag) = (self.orders.n, self.orders.lag);
        if row < lag {
            f64::NAN
        } else if self.orders.weights {
            self.decided[row % lag * n + asset]
        } else {
            self.orders.signals[(row - lag) * n + asset]
        }
    }

    /// Fee, half-spread and slippage of a trade.
    fn paid(&self, row: usize, asset: usize, quantity: f64, price: f64) -> [f64; 3] {
        let (n, costs) = (self.orders.n, &self.orders.costs);
        let in_table = |table: &[f64]| table[if table.len() > n { row * n } else { 0 } + asset];
        let size = quantity.abs();
        let notional = size * price.abs();
        [
            costs.rates[asset] * notional + costs.fee_unit[asset] * size,
            costs.rates[n + asset] * notional + in_table(costs.spread_unit) * size,
            costs.rates[2 * n + asset] * notional + in_table(costs.impact) * size * size,
        ]
    }

    /// Interest on what was short at the bar before.
    fn borrow(&self, row: usize, before: &[f64]) -> f64 {
        let rates = &self.orders.costs.rates[3 * self.orders.n..];
        let short = rates.iter().zip(&self.held).zip(before);
        let yearly: f64 = short
            .map(|((rate, held), price)| rate * (-held * price).max(0.0))
            .fold(0.0, |sum, value| sum + value);
        let elapsed = self.orders.costs.elapsed;
        yearly * elapsed[if elapsed.len() > 1 { row } else { 0 }]
    }

    /// Follows the account through a bar; tells of each trade its asset, quantity and costs.
    #[inline(always)]
    fn step(
        &mut self,
        row: usize,
        mut traded: impl FnMut(usize, f64, [f64; 3]),
    ) -> Result<Bar, Error> {
        let orders = self.orders;
        let prices = &orders.prices[orders.at(row)];
        let before = &orders.prices[orders.at(row.saturating_sub(1))];
        let borrow = if self.borrows {
            self.borrow(row, before)
        } else {
            0.0
        };
        self.cash -= borrow;
        let (mut value, mut gross) = (0.0, 0.0);
        for (asset, (&price, &last)) in prices.iter().zip(before).enumerate() {
            let held = self.held[asset];
            gross += held * (price - last);
            let wanted = self.wanted(row, asset);
            let quantity = wanted - held;
            // Neither no order nor the position that is held already.
            if quantity.abs() > 0.0 {
                let paid = self.paid(row, asset, quantity, price);
                self.cash -= quantity * price + (paid[0] + paid[1] + paid[2]);
                self.held[asset] = wanted;
                traded(asset, quantity, paid);
            }
            value += self.held[asset] * price;
        }
        let equity = self.cash + value;
        if !equity.is_finite() {
            return Err(not_finite(format!("signals[{row}]"), equity));
        }
        if orders.weights {
            self.decide(row, equity)?;
        }
        Ok(Bar {
            equity,
            gross,
            borrow,
        })
    }

    /// Units that are worth the weights at the prices and the equity of the bar.
    fn decide(&mut self, row: usize, equity: f64) -> Result<(), Error> {
        let orders = self.orders;
        let (weights, prices) = (
            &orders.signals[orders.at(row)],
            &orders.prices[orders.at(row)],
        );
        if equity <= 0.0 && weights.iter().any(|weight| !weight.is_nan()) {
            let problem = format!("as weights need equity above 0, got {equity}");
            return Err(Error::new(format!("signals[{row}]"), problem));
        }
        let slot = row % orders.lag * orders.n;
        for (i, (&weight, &price)) in weights.iter().zip(prices).enumerate() {
            if price <= 0.0 && !weight.is_nan() {
                let problem = format!("must be positive for a weight, got {price}");
                return Err(Error::new(format!("prices[{row}, {i}]"), problem));
            }
            self.decided[slot + i] = weight * equity / price;
        }
        Ok(())
    }

    /// How many of the next bars, up to `most`, change nothing but the price of the one asset.
    #[inline(always)]
    fn quiet(&self, start: usize, most: usize) -> usize {
        let orders = &self.orders;
        if orders.n != 1 || orders.weights || self.borrows || start < orders.lag {
            return 0;
        }
        let held = self.held[0];
        let trades = |signal: f64| (signal - held).abs() > 0.0;
        let signals = &orders.signals[start - orders.lag..][..most];
        let calm = signals
            .chunks(QUIET)
            .take_while(|chunk| none(chunk, trades));
        let bars = (calm.count() * QUIET).min(most);
        let rest = &signals[bars..most.min(bars + QUIET)];
        bars + rest.iter().take_while(|&&signal| !trades(signal)).count()
    }
}

/// Trades towards the targets, bar by bar, and keeps the accounts.
pub fn run_bars(orders: Orders) -> Result<Run, Error> {
    orders.check()?;
    // Bad values are named first, as in the reference.
    run(orders).map_err(|error| orders.refused_value().unwrap_or(error))
}

fn run(orders: Orders) -> Result<Run, Error> {
    orders.check_end()?;
    let rows = orders.rows();
    let mut account = Account::new(orders);
    let mut run = Run {
        positions: Vec::with_capacity(rows * orders.n),
        accounts: Vec::with_capacity(rows * ACCOUNTS),
        ..Run::default()
    };
    for row in 0..rows {
        let (places, trades) = (&mut run.places, &mut run.trades);
        let bar = account.step(row, |asset, quantity, [fee, spread, slippage]| {
            places.extend([row as i64, asset as i64]);
            trades.extend([quantity, fee, spread, slippage]);
        })?;
        run.positions.extend(&account.held);
        run.accounts
            .extend([account.cash, bar.equity, bar.gross, bar.borrow]);
    }
    Ok(run)
}

/// The outcome of `run_bars`, without a column of accounts.
pub fn bars_summary(orders: Orders) -> Result<Summary, Error> {
    orders.check()?;
    let found = pulp::Arch::new().dispatch(Summarising(orders));
    found.map_err(|error| orders.refused_value().unwrap_or(error))
}

/// `summarise`, compiled for the machine's vectors.
struct Summarising<'a>(Orders<'a>);

impl WithSimd for Summarising<'_> {
    type Output = Result<Summary, Error>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        summarise(self.0)
    }
}

#[inline(always)]
fn summarise(orders: Orders) -> Result<Summary, Error> {
    orders.check_end()?;
    let rows = orders.rows();
    if rows < 3 {
        let problem = format!("must have at least 3 rows, got {rows}");
        return Err(Error::new("prices", problem));
    }
    let mut account = Account::new(orders);
    let (mut moments, mut path) = (Moments::default(), None);
    // The equity before the block, then that of its bars.
    let (mut equity, mut returns) = ([0.0; BLOCK + 1], [0.0; BLOCK]);
    for start in (0..rows).step_by(BLOCK) {
        let bars = BLOCK.min(rows - start);
        follow(&mut account, start, &mut equity[1..=bars])?;
        check_equity(start, &equity[1..=bars])?;
        let first = if start == 0 { 1 } else { 0 };
        let levels = equity[first..=bars].windows(2);
        for (out, pair) in returns[first..bars].iter_mut().zip(levels) {
            *out = pair[1] / pair[0] - 1.0;
        }
        moments.add::<false>(&returns[first..bars], 0.0);
        path.get_or_insert_with(|| Path::new(equity[1]))
            .extend(&equity[1 + first..=bars]);
        equity[0] = equity[bars];
    }
    Ok(Summary {
        equity: equity[0],
        mean: moments.mean,
        variance: moments.variance(),
        depth: path.map_or(0.0, |path| path.fall().depth),
    })
}

/// Refuses equity that is lost or no number.
#[inline(always)]
fn check_equity(start: usize, levels: &[f64]) -> Result<(), Error> {
    let kept = |level: f64| (level > 0.0) & (level <= f64::MAX);
    if none(levels, |level| !kept(level)) {
        return Ok(());
    }
    let bar = levels.iter().position(|&x| !kept(x)).unwrap_or(0);
    let place = format!("signals[{}]", start + bar);
    let level = levels[bar];
    Err(if level.is_finite() {
        Error::new(place, format!("must leave equity above 0, got {level}"))
    } else {
        not_finite(place, level)
    })
}

fn not_finite(place: String, equity: f64) -> Error {
    let problem = format!("and prices must keep equity finite, got {equity}");
    Error::new(place, problem)
}

/// Equity after each of the bars from `start` on.
#[inline(always)]
fn follow(account: &mut Account, start: usize, equity: &mut [f64]) -> Result<(), Error> {
    let mut bar = 0;
    while bar < equity.len() {
        let quiet = account.quiet(start + bar, equity.len() - bar);
        if quiet > 0 {
            let (cash, held) = (account.cash, account.held[0]);
            let prices = &account.orders.prices[start + bar..][..quiet];
            for (level, price) in equity[bar..].iter_mut().zip(prices) {
                *level = cash + held * price;
            }
            bar += quiet;
        }
        if bar < equity.len() {
            equity[bar] = account.step(start + bar, |_, _, _| ())?.equity;
            bar += 1;
        }
    }
    Ok(())
}

/// +1 where the mean of the last `fast` prices is above that of the last `slow`, -1 below.
///
/// 0 where they are equal, NaN before there are `slow` prices.
pub fn moving_average_cross(prices: &[f64], fast: usize, slow: usize) -> Result<Vec<f64>, Error> {
    let warm = prices.len().min(slow - 1);
    let mut signs = Vec::with_capacity(prices.len());
    signs.resize(warm, f64::NAN);
    let mut finite = all(&prices[..warm], f64::is_finite);
    let arch = pulp::Arch::new();
    let mut gaps = [0.0; BLOCK];
    while signs.len() < prices.len() {
        let start = signs.len();
        let bars = BLOCK.min(prices.len() - start);
        let seen = &prices[start + 1 - slow..start + bars];
        // What is not finite stays in the sums until their block ends.
        arch.dispatch(
            #[inline(always)]
            || {
                finite &= gap_of_sums(seen, fast, slow, &mut gaps);
                signs.extend(gaps[..bars].iter().map(|&gap| sign(gap)));
            },
        );
    }
    if finite {
        return Ok(signs);
    }
    Err(match prices.iter().position(|price| !price.is_finite()) {
        Some(place) => {
            let problem = format!("must be finite, got {}", prices[place]);
            Error::new(format!("prices[{place}]"), problem)
        }
        None => Error::new("prices", "must have finite sums"),
    })
}

/// The difference of the means times `fast * slow`, which is exact for whole ticks.
///
/// Returns whether the last one is finite. No gap depends on how many prices come after it.
#[inline(always)]
fn gap_of_sums(prices: &[f64], fast: usize, slow: usize, gaps: &mut [f64; BLOCK]) -> bool {
    // From the first price of the block: equal prices have equal means, to the last digit.
    let base = prices[slow - 1];
    let sum = |window: &[f64]| window.iter().map(|price| price - base).sum::<f64>();
    let (f, s) = (fast as f64, slow as f64);
    let bars = prices.len() + 1 - slow;
    gaps[0] = s * sum(&prices[slow - fast..slow]) - f * sum(&prices[..slow]);
    let now = prices[slow..].iter();
    let pasts = prices[slow - fast..].iter().zip(prices);
    for ((out, price), (past, farther)) in gaps[1..bars].iter_mut().zip(now).zip(pasts) {
        *out = s * (price - past) - f * (price - farther);
    }
    gaps[bars..].fill(0.0);
    accumulate(gaps);
    gaps[bars - 1].is_finite()
}

/// Running sums, in four parts side by side: each addition waits for the one before it.
#[inline(always)]
fn accumulate(values: &mut [f64; BLOCK]) {
    const PART: usize = BLOCK / PARTS;
    let mut sums = [0.0; PARTS];
    for row in 0..PART {
        for (part, sum) in sums.iter_mut().enumerate() {
            *sum += values[part * PART + row];
            values[part * PART + row] = *sum;
        }
    }
    let mut before = 0.0;
    for (part, sum) in values.chunks_exact_mut(PART).zip(sums) {
        part.iter_mut().for_each(|value| *value += before);
        before += sum;
    }
}

#[inline(always)]
fn sign(value: f64) -> f64 {
    let above = if value > 0.0 { 1.0 } else { 0.0 };
    let below = if value < 0.0 { 1.0 } else { 0.0 };
    above - below
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: [f64; 4] = [0.0; 4];

    fn free<'a>(signals: &'a [f64], prices: &'a [f64], n: usize, lag: usize) -> Orders<'a> {
        // One or two assets without costs.
        Orders {
            signals,
            prices,
            n,
            capital: 1e4,
            lag,
            weights: false,
            costs: Costs {
                rates: &ZEROS[..4 * n],
                fee_unit: &NOTHING[..n],
                spread_unit: &NOTHING[..n],
                impact: &NOTHING[..n],
                elapsed: &NOTHING[..1],
            },
        }
    }

    static ZEROS: [f64; 8] = [0.0; 8];

    fn walk(seed: u64, n: usize) -> Vec<f64> {
        let (mut state, mut price) = (seed | 1, 1000.0);
        let step = |state: &mut u64| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((*state >> 61) as f64) - 3.5
        };
        (0..n)
            .map(|_| {
                price += step(&mut state);
                price
            })
            .collect()
    }

    #[test]
    fn cash_pays_for_what_is_bought_and_for_its_costs() {
        let (signals, prices) = ([5.0, 5.0, 0.0], [10.0, 10.0, 12.0]);
        let rates = [0.01, 0.0, 0.0, 0.0];
        let mut orders = free(&signals, &prices, 1, 1);
        orders.costs.rates = &rates;
        let run = run_bars(orders).unwrap();
        assert_eq!(run.positions, [0.0, 5.0, 5.0]);
        let cash: Vec<f64> = run.accounts.chunks(ACCOUNTS).map(|bar| bar[0]).collect();
        assert_eq!(cash, [1e4, 1e4 - 50.0 - 0.5, 1e4 - 50.5]);
        assert_eq!(run.places, [1, 0]);
        assert_eq!(run.trades, [5.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_bad_price_in_a_quiet_time_is_named() {
        let mut prices = vec![1.0; 3000];
        prices[2500] = f64::NAN;
        let signals = vec![f64::NAN; 3000];
        let error = bars_summary(free(&signals, &prices, 1, 1)).unwrap_err();
        assert!(error
            .to_string()
            .starts_with("prices[2500, 0] must be finite"));
    }

    #[test]
    fn whole_ticks_have_exact_crosses() {
        let prices = walk(3, 5000);
        let signs = moving_average_cross(&prices, 3, 8).unwrap();
        for t in 7..prices.len() {
            let fast: f64 = prices[t - 2..=t].iter().sum();
            let slow: f64 = prices[t - 7..=t].iter().sum();
            assert_eq!(signs[t], sign(8.0 * fast - 3.0 * slow));
        }
    }

    proptest! {
        #[test]
        fn a_summary_is_that_of_the_run(
            seed in any::<u64>(),
            rows in 3_usize..3000,
            every in 1_usize..200,
            lag in 0_usize..5,
        ) {
            let prices = walk(seed, rows);
            let signals: Vec<f64> = walk(seed ^ 99, rows)
                .iter()
                .enumerate()
                .map(|(t, x)| if t % every == 0 { x % 3.0 } else { f64::NAN })
                .collect();
            let orders = free(&signals, &prices, 1, lag);
            let run = run_bars(orders).unwrap();
            let summary = bars_summary(orders).unwrap();
            let equity: Vec<f64> = run.accounts.chunks(ACCOUNTS).map(|bar| bar[1]).collect();
            let returns: Vec<f64> = equity.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
            let moments = crate::metrics::return_moments(&returns, 0.0).unwrap();
            let fall = crate::metrics::drawdown(&equity).unwrap();
            prop_assert_eq!(summary.equity, equity[rows - 1]);
            prop_assert_eq!(summary.depth, fall.depth);
            prop_assert!((summary.mean - moments.mean).abs() <= 1e-15);
            let error = summary.variance - moments.variance();
            prop_assert!(error.abs() <= 1e-12 * moments.variance());
        }
    }
}
