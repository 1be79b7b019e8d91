//! A route of three trades through order books, starting and ending in one currency.
//!
//! Leg k trades a base quantity q_k. A buy takes asks: it spends the notional and receives
//! `q (1 - fee)`. A sale takes bids: it spends q and receives the notional times `1 - fee`. What a
//! leg spends is convex in q, what it receives concave. A leg may not spend more than the leg
//! before it received; what is left over is worth nothing. Maximise what leg 3 receives less what
//! leg 1 spends.
//!
//! **Continuous quantities.** Profit is a concave, piecewise linear function of the amount put in.
//! Levels are merged greedily while the product of the three net rates is above 1, which is the
//! slope of the next piece: the end is the smallest maximiser.
//!
//! **Lots.** Fix the count n of leg j. All amounts rise with the quantities, so the legs before it
//! had best be the smallest that supply it and the legs after it the largest it can feed, and
//! profit(n) is known; the optimum over n is the optimum. With continuous quantities in the other
//! legs the same construction gives `bound(n) >= profit(n)`, and bound is concave, being the
//! optimal value of a concave program as a function of one of its variables. It falls on both
//! sides of the continuous optimum, so the search goes outward from there and stops on each side
//! when bound(n) is no better than the best profit met. j is the leg whose lot is worth most, for
//! the fewest counts.
//!
//! Decimal quantities are not exact in float64: a quantity within 1e-12 of a whole lot, relatively,
//! counts as whole. A net rate product at or below 1 + 1e-14 counts as no profit.

use crate::orderbook::{Levels, Side};
use crate::Error;

/// Relative distance from a whole lot, or from the end of a level, that counts as none.
const WHOLE: f64 = 1e-12;

/// Relative profit that is rounding.
const MARGIN: f64 = 1e-14;

/// Rounding of a bound, relative to the amounts in it; wider than `WHOLE` can add up to.
const SLACK: f64 = 1e-11;

/// Lots in a book, at most: beyond it float64 does not count them one by one.
const MAX_LOTS: f64 = 1e15;

/// One leg as given: levels best first (asks for a buy, bids for a sale), fee, lot.
#[derive(Debug, Clone, Copy)]
pub struct LegInput<'a> {
    /// `price, size` pairs.
    pub levels: &'a [f64],
    /// Whether the leg buys base for quote.
    pub buy: bool,
    /// Taker fee, a fraction of what the leg receives.
    pub fee: f64,
    /// Base quantities are whole multiples of it; 0 for continuous ones.
    pub lot: f64,
}

/// One leg as traded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trade {
    /// Base quantity.
    pub quantity: f64,
    /// Quote units that change hands, before the fee.
    pub notional: f64,
    /// Price of the last level touched, 0 for none.
    pub worst_price: f64,
    /// What the leg spends, in the currency it comes from.
    pub spent: f64,
    /// What it receives after the fee, in the currency it goes to.
    pub received: f64,
}

/// A leg with the running sums of its levels.
struct Ladder {
    price: Vec<f64>,
    /// Base and quote up to each level's end; the first entry is 0.
    base: Vec<f64>,
    quote: Vec<f64>,
    buy: bool,
    keep: f64,
    lot: f64,
}

impl Ladder {
    fn new(leg: &LegInput<'_>, k: usize) -> Result<Self, Error> {
        let side = if leg.buy { Side::Asks } else { Side::Bids };
        let levels = Levels::best_first(leg.levels, side, &format!("levels{}", k + 1))?;
        if !(0.0..1.0).contains(&leg.fee) {
            return Err(Error::new(
                format!("fees[{k}]"),
                format!("must be at least 0 and below 1, got {}", leg.fee),
            ));
        }
        if !(0.0..f64::INFINITY).contains(&leg.lot) {
            return Err(Error::new(
                format!("lots[{k}]"),
                format!("must be zero or positive and finite, got {}", leg.lot),
            ));
        }
        let rows = levels.len();
        let (mut base, mut quote) = (Vec::with_capacity(rows + 1), Vec::with_capacity(rows + 1));
        base.push(0.0);
        quote.push(0.0);
        let price = (0..rows).map(|row| levels.price(row)).collect();
        let (mut base_sum, mut quote_sum) = (0.0, 0.0);
        for row in 0..rows {
            base_sum += levels.size(row);
            quote_sum += levels.size(row) * levels.price(row);
            base.push(base_sum);
            quote.push(quote_sum);
        }
        if base_sum > MAX_LOTS * leg.lot && leg.lot > 0.0 {
            return Err(Error::new(
                format!("lots[{k}]"),
                format!(
                    "must not divide the depth into more than {MAX_LOTS:e} lots, got {}",
                    leg.lot
                ),
            ));
        }
        Ok(Self {
            price,
            base,
            quote,
            buy: leg.buy,
            keep: 1.0 - leg.fee,
            lot: leg.lot,
        })
    }

    fn levels(&self) -> usize {
        self.price.len()
    }

    /// Base quantity of all levels.
    fn depth(&self) -> f64 {
        self.base[self.levels()]
    }

    /// Received for one unit spent, at a level.
    fn net_rate(&self, level: usize) -> f64 {
        match self.buy {
            true => self.keep / self.price[level],
            false => self.keep * self.price[level],
        }
    }

    /// The level in which a cumulative amount ends; there must be one.
    fn level_of(&self, cumulative: &[f64], amount: f64) -> usize {
        let ends = &cumulative[1..self.levels()];
        ends.partition_point(|&end| end * (1.0 + WHOLE) < amount)
    }

    /// Quote for a base quantity.
    fn notional(&self, quantity: f64) -> f64 {
        if self.levels() == 0 {
            return 0.0;
        }
        let level = self.level_of(&self.base, quantity);
        self.quote[level] + (quantity - self.base[level]) * self.price[level]
    }

    /// Base for a quote amount, within the depth.
    fn base_for(&self, notional: f64) -> f64 {
        if self.levels() == 0 {
            return 0.0;
        }
        let level = self.level_of(&self.quote, notional);
        let base = self.base[level] + (notional - self.quote[level]) / self.price[level];
        base.min(self.depth())
    }

    fn spend(&self, quantity: f64) -> f64 {
        if self.buy {
            self.notional(quantity)
        } else {
            quantity
        }
    }

    fn receive(&self, quantity: f64) -> f64 {
        self.keep
            * if self.buy {
                quantity
            } else {
                self.notional(quantity)
            }
    }

    /// The largest quantity that spends no more than `amount`.
    fn affordable(&self, amount: f64) -> f64 {
        if self.buy {
            self.base_for(amount)
        } else {
            amount.min(self.depth())
        }
    }

    /// The smallest quantity that receives `amount`, where the depth has it.
    fn supplying(&self, amount: f64) -> Option<f64> {
        let gross = amount / self.keep;
        let most = if self.buy {
            self.depth()
        } else {
            self.quote[self.levels()]
        };
        if gross > most * (1.0 + WHOLE) {
            return None;
        }
        Some(if self.buy {
            gross
        } else {
            self.base_for(gross)
        })
    }

    fn lots_in(&self, quantity: f64) -> f64 {
        (quantity / self.lot * (1.0 + WHOLE)).floor()
    }

    fn rounded_down(&self, quantity: f64) -> f64 {
        if self.lot == 0.0 {
            quantity
        } else {
            self.lots_in(quantity) * self.lot
        }
    }

    fn rounded_up(&self, quantity: f64) -> Option<f64> {
        if self.lot == 0.0 {
            return Some(quantity);
        }
        let lots = (quantity / self.lot * (1.0 - WHOLE)).ceil();
        (lots <= self.lots_in(self.depth())).then_some(lots * self.lot)
    }

    fn trade(&self, quantity: f64) -> Trade {
        if quantity <= 0.0 {
            return Trade::default();
        }
        Trade {
            quantity,
            notional: self.notional(quantity),
            worst_price: self.price[self.level_of(&self.base, quantity)],
            spent: self.spend(quantity),
            received: self.receive(quantity),
        }
    }
}

type Ladders = [Ladder; 3];

fn ladders(legs: &[LegInput<'_>; 3]) -> Result<Ladders, Error> {
    let [a, b, c] = legs;
    Ok([Ladder::new(a, 0)?, Ladder::new(b, 1)?, Ladder::new(c, 2)?])
}

/// What is spent and received when each of `sizes` is pushed through the three legs.
pub fn route_outcome(
    legs: &[LegInput<'_>; 3],
    sizes: &[f64],
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let ladders = ladders(legs)?;
    let (mut spent, mut received) = (Vec::new(), Vec::new());
    for (row, &size) in sizes.iter().enumerate() {
        if !(0.0..f64::INFINITY).contains(&size) {
            return Err(Error::new(
                format!("sizes[{row}]"),
                format!("must be zero or positive and finite, got {size}"),
            ));
        }
        let mut amount = size;
        for (k, leg) in ladders.iter().enumerate() {
            let quantity = leg.rounded_down(leg.affordable(amount));
            if k == 0 {
                spent.push(leg.spend(quantity));
            }
            amount = leg.receive(quantity);
        }
        received.push(amount);
    }
    Ok((spent, received))
}

/// The trades of the profit-maximising size; all zero where nothing is profitable.
pub fn triangular_route(legs: &[LegInput<'_>; 3], max_size: f64) -> Result<[Trade; 3], Error> {
    if max_size.is_nan() || max_size <= 0.0 {
        return Err(Error::new(
            "max_size",
            format!("must be positive, got {max_size}"),
        ));
    }
    let ladders = ladders(legs)?;
    let continuous = merged(&ladders, max_size);
    let quantities = match coarsest(&ladders) {
        Some(leg) if continuous[0] > 0.0 => best_lots(&ladders, max_size, leg, continuous[leg]),
        _ => continuous,
    };
    Ok([0, 1, 2].map(|k| ladders[k].trade(quantities[k])))
}

fn profit(ladders: &Ladders, quantities: &[f64; 3]) -> f64 {
    ladders[2].receive(quantities[2]) - ladders[0].spend(quantities[0])
}

/// The continuous optimum: levels are used up together, one unit of start currency at a time.
fn merged(ladders: &Ladders, max_size: f64) -> [f64; 3] {
    let mut level = [0; 3];
    // Base units used of the current level, and the amount of start currency still allowed.
    let mut used = [0.0; 3];
    let mut left = max_size;
    while left > 0.0 && (0..3).all(|k| level[k] < ladders[k].levels()) {
        let mut reach = 1.0; // received by the legs so far, for one unit of start currency
        let mut capacity = [0.0; 3];
        for (k, leg) in ladders.iter().enumerate() {
            let rest = leg.base[level[k] + 1] - leg.base[level[k]] - used[k];
            let spend = if leg.buy {
                rest * leg.price[level[k]]
            } else {
                rest
            };
            capacity[k] = spend / reach;
            reach *= leg.net_rate(level[k]);
        }
        if reach <= 1.0 + MARGIN {
            break;
        }
        let step = capacity.iter().fold(left, |least, &c| least.min(c));
        let mut amount = step;
        for (k, leg) in ladders.iter().enumerate() {
            let price = leg.price[level[k]];
            let rate = leg.net_rate(level[k]);
            if capacity[k] <= step * (1.0 + WHOLE) {
                level[k] += 1;
                used[k] = 0.0;
            } else {
                used[k] += if leg.buy { amount / price } else { amount };
            }
            amount *= rate;
        }
        left -= step;
    }
    [0, 1, 2].map(|k| ladders[k].base[level[k]] + used[k])
}

/// The leg whose lot is worth most in start currency at the best prices, if any leg has lots.
fn coarsest(ladders: &Ladders) -> Option<usize> {
    let mut reach = 1.0;
    let mut found: Option<(usize, f64)> = None;
    for (k, leg) in ladders.iter().enumerate() {
        if leg.levels() == 0 {
            return None;
        }
        let value = leg.lot * if leg.buy { leg.price[0] } else { 1.0 } / reach;
        if value > found.map_or(0.0, |(_, most)| most) {
            found = Some((k, value));
        }
        reach *= leg.net_rate(0);
    }
    found.map(|(k, _)| k)
}

/// Quantities of all legs with leg `fixed` at `quantity`: the smallest before, the largest after.
fn around(
    ladders: &Ladders,
    fixed: usize,
    quantity: f64,
    max_size: f64,
    lots: bool,
) -> Option<[f64; 3]> {
    let mut quantities = [quantity; 3];
    for k in (0..fixed).rev() {
        let needed = ladders[k].supplying(ladders[k + 1].spend(quantities[k + 1]))?;
        quantities[k] = if lots {
            ladders[k].rounded_up(needed)?
        } else {
            needed
        };
    }
    if ladders[0].spend(quantities[0]) > max_size * (1.0 + WHOLE) {
        return None;
    }
    for k in fixed + 1..3 {
        let most = ladders[k].affordable(ladders[k - 1].receive(quantities[k - 1]));
        quantities[k] = if lots {
            ladders[k].rounded_down(most)
        } else {
            most
        };
    }
    Some(quantities)
}

/// The optimum over whole lots, searched outward from the continuous one.
fn best_lots(ladders: &Ladders, max_size: f64, fixed: usize, optimum: f64) -> [f64; 3] {
    let leg = &ladders[fixed];
    let most = leg.lots_in(leg.depth());
    let nearest = leg.lots_in(optimum);
    let mut best = [0.0; 3];
    let mut best_profit = 0.0;
    for up in [false, true] {
        let mut count = if up { nearest + 1.0 } else { nearest };
        while count >= 1.0 && count <= most {
            let quantity = count * leg.lot;
            let Some(relaxed) = around(ladders, fixed, quantity, max_size, false) else {
                break;
            };
            let turnover = ladders[0].spend(relaxed[0]) + ladders[2].receive(relaxed[2]);
            if profit(ladders, &relaxed) + SLACK * turnover <= best_profit {
                break;
            }
            if let Some(trial) = around(ladders, fixed, quantity, max_size, true) {
                let gain = profit(ladders, &trial);
                if gain > best_profit && gain > MARGIN * ladders[0].spend(trial[0]) {
                    best = trial;
                    best_profit = gain;
                }
            }
            count += if up { 1.0 } else { -1.0 };
        }
    }
    // The same outcome with the least quantities: what leg 3 does not need, legs 1 and 2 leave.
    match around(ladders, 2, best[2], max_size, true) {
        Some(least) if profit(ladders, &least) >= best_profit => least,
        _ => best,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leg(levels: &[f64], buy: bool, fee: f64, lot: f64) -> LegInput<'_> {
        LegInput {
            levels,
            buy,
            fee,
            lot,
        }
    }

    #[test]
    fn by_hand_without_lots() {
        // Buy at 10, sell at 2 for the middle currency, sell that at 5.1: 0.1 * 2 * 5.1 = 1.02.
        let legs = [
            leg(&[10.0, 3.0, 11.0, 9.0], true, 0.0, 0.0),
            leg(&[2.0, 4.0], false, 0.0, 0.0),
            leg(&[5.1, 5.0, 4.0, 9.0], false, 0.0, 0.0),
        ];
        let [first, second, third] = triangular_route(&legs, f64::INFINITY).unwrap();
        assert_eq!((third.quantity, third.worst_price), (5.0, 5.1));
        assert!((second.quantity - 2.5).abs() < 1e-15 && (first.spent - 25.0).abs() < 1e-12);
        assert!((third.received - 25.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_gain_is_no_trade() {
        let legs = [
            leg(&[10.0, 3.0], true, 0.001, 0.0),
            leg(&[2.0, 4.0], false, 0.0, 0.0),
            leg(&[5.0, 5.0], false, 0.0, 0.0),
        ];
        assert_eq!(triangular_route(&legs, 1e9).unwrap(), [Trade::default(); 3]);
    }

    #[test]
    fn an_empty_side_is_no_trade() {
        let legs = [
            leg(&[], true, 0.0, 0.1),
            leg(&[2.0, 4.0], false, 0.0, 0.0),
            leg(&[5.0, 5.0], false, 0.0, 0.0),
        ];
        assert_eq!(triangular_route(&legs, 1e9).unwrap(), [Trade::default(); 3]);
        assert_eq!(
            route_outcome(&legs, &[7.0]).unwrap(),
            (vec![0.0], vec![0.0])
        );
    }

    proptest! {
        #[test]
        fn no_size_beats_the_optimum(
            sizes in prop::collection::vec(1_u32..20, 9),
            ticks in prop::collection::vec(1_u32..5, 9),
            lots in prop::collection::vec(0_u32..4, 3),
            edge in 0.97_f64..1.06,
            push in 0.0_f64..30.0,
        ) {
            let level = |start: f64, sign: f64, at: usize| -> Vec<f64> {
                (0..3).scan(start, |price, row| {
                    let level = [*price, f64::from(sizes[at + row])];
                    *price += sign * 0.003 * f64::from(ticks[at + row]) * start;
                    Some(level)
                }).flatten().collect()
            };
            let (a, b, c) = (level(1.0, 1.0, 0), level(1.0, -1.0, 3), level(edge, -1.0, 6));
            let lot = |k: usize| f64::from(lots[k]) * 0.5;
            let legs = [
                leg(&a, true, 0.001, lot(0)),
                leg(&b, false, 0.001, lot(1)),
                leg(&c, false, 0.001, lot(2)),
            ];
            let [first, _, third] = triangular_route(&legs, f64::INFINITY).unwrap();
            let best = third.received - first.spent;
            prop_assert!(best >= 0.0);
            let (spent, received) = route_outcome(&legs, &[push, first.spent]).unwrap();
            prop_assert!(received[0] - spent[0] <= best + 1e-9);
            prop_assert!((received[1] - spent[1] - best).abs() < 1e-9);
        }
    }
}
