//! Limit order books: parsing, order, depth, and the state after each message of a feed.
//!
//! A side of a book is a run of levels `price, size, price, size, ...`, best first. With
//! `I = bid_size / (bid_size + ask_size)` at the best quotes, the size-weighted mid is
//! `I * ask + (1 - I) * bid`; over the first `levels` levels with total sizes B and A the
//! imbalance is `(B - A) / (B + A)`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::Error;

/// Significant decimal digits that every float64 carries exactly.
const EXACT_DIGITS: usize = 15;

/// Levels from the best price on that are scanned one by one.
const NEAR: usize = 32;

/// Brackets that may be open at once in a JSON text.
const MAX_NESTING: usize = 128;

/// The side of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Buyers, highest price first.
    Bids,
    /// Sellers, lowest price first.
    Asks,
}

impl Side {
    /// The name that stands for this side in arguments and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bids => "bids",
            Self::Asks => "asks",
        }
    }

    /// The side of that name.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "bids" => Ok(Self::Bids),
            "asks" => Ok(Self::Asks),
            _ => Err(Error::new(
                "side",
                format!("must be 'bids' or 'asks', got '{name}'"),
            )),
        }
    }

    /// A number that is larger the better the price is for the taker.
    fn rank(self, price: f64) -> f64 {
        match self {
            Self::Bids => price,
            Self::Asks => -price,
        }
    }
}

/// One side of a book, borrowed: `price, size` pairs in a row.
#[derive(Debug, Clone, Copy)]
pub struct Levels<'a>(&'a [f64]);

impl<'a> Levels<'a> {
    /// Checks that every price and size is positive and finite; `name` is for the message.
    pub fn new(pairs: &'a [f64], name: &str) -> Result<Self, Error> {
        if pairs
            .iter()
            .fold(true, |all, &value| all & is_positive(value))
        {
            return Ok(Self(pairs));
        }
        for (row, level) in pairs.chunks_exact(2).enumerate() {
            positive(level[0], || format!("{name}[{row}] price"))?;
            positive(level[1], || format!("{name}[{row}] size"))?;
        }
        Ok(Self(pairs))
    }

    /// As `new`, and prices must move away from the best one, strictly.
    pub fn best_first(pairs: &'a [f64], side: Side, name: &str) -> Result<Self, Error> {
        Self::new(pairs, name)?.sorted(side, name)
    }

    fn sorted(self, side: Side, name: &str) -> Result<Self, Error> {
        let wrong = |row: &usize| side.rank(self.price(*row)) >= side.rank(self.price(*row - 1));
        match (1..self.len()).find(wrong) {
            None => Ok(self),
            Some(row) => Err(Error::new(
                format!("{name}[{row}]"),
                format!(
                    "must be worse than the level before it ({} best first)",
                    side.name()
                ),
            )),
        }
    }

    /// Number of levels.
    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    /// Whether there is no level.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Price of a level, in quote units for one base unit.
    pub fn price(self, row: usize) -> f64 {
        self.0[2 * row]
    }

    /// Size of a level, in base units.
    pub fn size(self, row: usize) -> f64 {
        self.0[2 * row + 1]
    }
}

fn is_positive(value: f64) -> bool {
    (value > 0.0) & (value < f64::INFINITY)
}

fn positive(value: f64, place: impl Fn() -> String) -> Result<(), Error> {
    if is_positive(value) {
        return Ok(());
    }
    Err(Error::new(
        place(),
        format!("must be positive and finite, got {value}"),
    ))
}

/// Both sides of a JSON order book, as `price, size` pairs in the order of the text.
///
/// The text is an object with "bids" and "asks", each an array of levels; a level is an array
/// whose first two entries are decimals, as JSON strings or numbers. All else is ignored.
pub fn parse_orderbook(text: &str) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let refused = |error: serde_json::Error| Error::new("text:", error);
    if nesting(text) > MAX_NESTING {
        return Err(Error::new(
            "text",
            format!("nests deeper than {MAX_NESTING} levels"),
        ));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let book = json.deserialize_map(Document).map_err(refused)?;
    json.end().map_err(refused)?;
    Ok(book)
}

/// The largest number of brackets open at once, outside strings.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(inner) = bytes.next() {
                    match inner {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = (Vec<f64>, Vec<f64>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"bids\" and \"asks\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut bids, mut asks) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let side = match key.as_str() {
                "bids" => &mut bids,
                "asks" => &mut asks,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if side.is_some() {
                return Err(A::Error::custom(format!("{key} is given twice")));
            }
            *side = Some(map.next_value_seed(SideSeed { name: &key })?);
        }
        let missing = |name| A::Error::custom(format!("{name} is missing"));
        Ok((
            bids.ok_or_else(|| missing("bids"))?,
            asks.ok_or_else(|| missing("asks"))?,
        ))
    }
}

struct SideSeed<'a> {
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for SideSeed<'_> {
    type Value = Vec<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<f64>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for SideSeed<'_> {
    type Value = Vec<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of levels at {}", self.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f64>, A::Error> {
        let mut pairs = Vec::new();
        for row in 0.. {
            match seq.next_element_seed(LevelSeed {
                name: self.name,
                row,
            })? {
                Some(level) => pairs.extend(level),
                None => break,
            }
        }
        Ok(pairs)
    }
}

struct LevelSeed<'a> {
    name: &'a str,
    row: usize,
}

impl<'de> DeserializeSeed<'de> for LevelSeed<'_> {
    type Value = [f64; 2];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<[f64; 2], D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LevelSeed<'_> {
    type Value = [f64; 2];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an array of price and size at {}[{}]",
            self.name, self.row
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[f64; 2], A::Error> {
        let mut level = [0.0; 2];
        for (column, entry) in level.iter_mut().enumerate() {
            let Some(raw) = seq.next_element::<&RawValue>()? else {
                return Err(A::Error::custom(format!(
                    "{}[{}] must hold a price and a size",
                    self.name, self.row
                )));
            };
            *entry = decimal(raw.get()).map_err(|problem| {
                A::Error::custom(format!("{}[{}][{column}] {problem}", self.name, self.row))
            })?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(level)
    }
}

/// The positive number that a JSON string or number spells, if float64 carries it exactly.
fn decimal(raw: &str) -> Result<f64, String> {
    let quoted = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let text = match quoted {
        Some(inside) if !inside.contains('\\') => Cow::Borrowed(inside),
        Some(_) => Cow::Owned(serde_json::from_str::<String>(raw).map_err(|e| e.to_string())?),
        None => Cow::Borrowed(raw),
    };
    let digits = significant_digits(&text)
        .ok_or_else(|| format!("must be a decimal number, got {:.40}", raw))?;
    if digits > EXACT_DIGITS {
        return Err(format!(
            "has {digits} significant digits, float64 carries {EXACT_DIGITS}"
        ));
    }
    let value: f64 = text
        .parse()
        .map_err(|_| "must be a decimal number".to_owned())?;
    if digits == 0 || value < 0.0 {
        return Err(format!("must be positive, got {text:.40}"));
    }
    if !(f64::MIN_POSITIVE..=f64::MAX).contains(&value) {
        return Err(format!("is outside the range of float64, got {text:.40}"));
    }
    Ok(value)
}

/// Digits between the first and the last that is not 0; `None` where JSON's grammar of numbers,
/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`, does not hold.
fn significant_digits(text: &str) -> Option<usize> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let valid = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits);
    if !valid {
        return None;
    }
    let mantissa = mantissa.as_bytes();
    let (first, last) = match mantissa.iter().position(is_nonzero) {
        Some(first) => (
            first,
            mantissa.iter().rposition(is_nonzero).unwrap_or(first),
        ),
        None => return Some(0),
    };
    let between = &mantissa[first..=last];
    Some(between.len() - usize::from(between.contains(&b'.')))
}

fn is_nonzero(digit: &u8) -> bool {
    (b'1'..=b'9').contains(digit)
}

/// The levels of a side, best first; prices must be unique.
pub fn sort_levels(pairs: &[f64], side: Side) -> Result<Vec<f64>, Error> {
    let levels = Levels::new(pairs, side.name())?;
    let mut rows: Vec<usize> = (0..levels.len()).collect();
    rows.sort_by(|&a, &b| {
        side.rank(levels.price(b))
            .total_cmp(&side.rank(levels.price(a)))
            .then(a.cmp(&b))
    });
    for pair in rows.windows(2) {
        if levels.price(pair[0]) == levels.price(pair[1]) {
            return Err(Error::new(
                side.name(),
                format!(
                    "has the price {} twice, in rows {} and {}",
                    levels.price(pair[0]),
                    pair[0],
                    pair[1]
                ),
            ));
        }
    }
    Ok(rows
        .into_iter()
        .flat_map(|row| [levels.price(row), levels.size(row)])
        .collect())
}

/// What an order of some size meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Base units done; less than asked for where the depth is short.
    pub filled: f64,
    /// Quote units that change hands, before fees.
    pub notional: f64,
    /// Price of the last level touched; NaN where none is.
    pub worst_price: f64,
    /// Number of levels touched.
    pub levels: usize,
}

/// Takes `size` base units from the levels, best first.
pub fn walk_levels(pairs: &[f64], size: f64) -> Result<Walk, Error> {
    if size.is_nan() || size < 0.0 {
        return Err(Error::new(
            "size",
            format!("must not be negative or NaN, got {size}"),
        ));
    }
    let levels = Levels::new(pairs, "levels")?;
    let falling = levels.len() > 1 && levels.price(1) < levels.price(0);
    let side = if falling { Side::Bids } else { Side::Asks };
    levels.sorted(side, "levels")?;

    let mut walk = Walk {
        filled: 0.0,
        notional: 0.0,
        worst_price: f64::NAN,
        levels: 0,
    };
    let mut left = size;
    while left > 0.0 && walk.levels < levels.len() {
        let price = levels.price(walk.levels);
        let taken = left.min(levels.size(walk.levels));
        left -= taken;
        walk.filled += taken;
        walk.notional += taken * price;
        walk.worst_price = price;
        walk.levels += 1;
    }
    if left == 0.0 {
        // The sum of the parts may differ from the whole in the last digit.
        walk.filled = size;
    }
    Ok(walk)
}

/// One state of a stack: its levels up to the first NaN, checked.
fn state_sizes<'a>(
    state: &'a [f64],
    levels: usize,
    name: &'a str,
    index: usize,
) -> impl Iterator<Item = Result<(f64, f64), Error>> + 'a {
    let mut ended = false;
    state
        .chunks_exact(2)
        .take(levels)
        .enumerate()
        .filter_map(move |(row, level)| {
            let (price, size) = (level[0], level[1]);
            if price.is_nan() && size.is_nan() {
                ended = true;
                return None;
            }
            let inside = |v: f64| v > 0.0 && v < f64::INFINITY;
            if ended || !inside(price) || !inside(size) {
                return Some(Err(Error::new(
                    format!("{name}[{index}, {row}]"),
                    format!(
                        "must be a positive price and size, or NaN past the last level, \
                     got ({price}, {size})"
                    ),
                )));
            }
            Some(Ok((price, size)))
        })
}

/// Size-weighted mid of `m` stacked books, `depth` levels a side; NaN where a side is empty.
pub fn microprice(bids: &[f64], asks: &[f64], m: usize, depth: usize) -> Result<Vec<f64>, Error> {
    let mut out = Vec::with_capacity(m);
    for index in 0..m {
        let state = index * depth * 2..(index + 1) * depth * 2;
        let bid = state_sizes(&bids[state.clone()], 1, "bids", index)
            .next()
            .transpose()?;
        let ask = state_sizes(&asks[state], 1, "asks", index)
            .next()
            .transpose()?;
        out.push(match (bid, ask) {
            (Some((bid, bid_size)), Some((ask, ask_size))) => {
                let weight = bid_size / (bid_size + ask_size);
                weight * ask + (1.0 - weight) * bid
            }
            _ => f64::NAN,
        });
    }
    Ok(out)
}

/// Imbalance of `m` stacked books over their first `levels` levels; NaN where a side is empty.
pub fn imbalance(
    bids: &[f64],
    asks: &[f64],
    m: usize,
    depth: usize,
    levels: usize,
) -> Result<Vec<f64>, Error> {
    if levels == 0 || levels > depth {
        return Err(Error::new(
            "levels",
            format!("must be between 1 and the depth of the books, {depth}, got {levels}"),
        ));
    }
    let total = |side: &[f64], name: &str, index: usize| {
        let state = &side[index * depth * 2..(index + 1) * depth * 2];
        state_sizes(state, levels, name, index)
            .try_fold(0.0, |sum, level| level.map(|(_, size)| sum + size))
    };
    let mut out = Vec::with_capacity(m);
    for index in 0..m {
        let bid = total(bids, "bids", index)?;
        let ask = total(asks, "asks", index)?;
        let both = bid > 0.0 && ask > 0.0;
        out.push(if both {
            (bid - ask) / (bid + ask)
        } else {
            f64::NAN
        });
    }
    Ok(out)
}

/// The level changes of a feed, one row each; rows of one message are applied together.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// Identifier of the wire message, non-decreasing.
    pub message: &'a [i64],
    /// 0 bid, 1 ask.
    pub side: &'a [i8],
    /// Price of the level.
    pub price: &'a [f64],
    /// Its new size; zero removes it.
    pub size: &'a [f64],
    /// Whether the message is a snapshot, which clears both sides first.
    pub reset: &'a [bool],
}

/// One side under change: `(rank, price, size)`, worst first, so that what changes most is last.
struct Half {
    side: Side,
    levels: Vec<(f64, f64, f64)>,
}

impl Half {
    fn new(side: Side) -> Self {
        Self {
            side,
            levels: Vec::new(),
        }
    }

    fn set(&mut self, price: f64, size: f64) {
        let rank = self.side.rank(price);
        // Most changes are near the best price, where a short scan beats bisection.
        let near = self.levels.len().saturating_sub(NEAR);
        let place = match self.levels[near..].iter().rposition(|level| level.0 < rank) {
            Some(last_worse) => near + last_worse + 1,
            None => self.levels[..near].partition_point(|level| level.0 < rank),
        };
        let present = self.levels.get(place).is_some_and(|level| level.0 == rank);
        match (present, size > 0.0) {
            (true, true) => self.levels[place].2 = size,
            (true, false) => {
                self.levels.remove(place);
            }
            (false, true) => self.levels.insert(place, (rank, price, size)),
            (false, false) => {}
        }
    }

    fn write(&self, out: &mut [f64]) {
        for (cell, level) in out.chunks_exact_mut(2).zip(self.levels.iter().rev()) {
            cell[0] = level.1;
            cell[1] = level.2;
        }
    }
}

/// The best `depth` levels of both sides after each message, NaN past the last level.
///
/// Returns the number of messages and two runs of `messages * depth` pairs.
pub fn rebuild_books(
    changes: Changes<'_>,
    depth: usize,
) -> Result<(usize, Vec<f64>, Vec<f64>), Error> {
    let rows = changes.message.len();
    for (name, length) in [
        ("side", changes.side.len()),
        ("price", changes.price.len()),
        ("size", changes.size.len()),
        ("reset", changes.reset.len()),
    ] {
        if length != rows {
            return Err(Error::new(
                name,
                format!("must have {rows} rows, got {length}"),
            ));
        }
    }
    if depth == 0 {
        return Err(Error::new("depth", "must be at least 1, got 0"));
    }
    check_changes(changes)?;

    let ends: Vec<usize> = (1..=rows)
        .filter(|&end| end == rows || changes.message[end] != changes.message[end - 1])
        .collect();
    let mut halves = [Half::new(Side::Bids), Half::new(Side::Asks)];
    let mut out = [0, 1].map(|_| vec![f64::NAN; ends.len() * depth * 2]);
    let mut row = 0;
    for (index, &end) in ends.iter().enumerate() {
        if changes.reset[row] {
            halves.iter_mut().for_each(|half| half.levels.clear());
        }
        for k in row..end {
            halves[usize::from(changes.side[k] == 1)].set(changes.price[k], changes.size[k]);
        }
        row = end;
        for (half, books) in halves.iter().zip(&mut out) {
            half.write(&mut books[index * depth * 2..(index + 1) * depth * 2]);
        }
    }
    let [bids, asks] = out;
    Ok((ends.len(), bids, asks))
}

fn check_changes(changes: Changes<'_>) -> Result<(), Error> {
    for row in 0..changes.message.len() {
        let (price, size) = (changes.price[row], changes.size[row]);
        if !(0..=1).contains(&changes.side[row]) {
            let got = changes.side[row];
            return Err(Error::new(
                format!("side[{row}]"),
                format!("must be 0 (bid) or 1 (ask), got {got}"),
            ));
        }
        positive(price, || format!("price[{row}]"))?;
        if !(0.0..f64::INFINITY).contains(&size) {
            return Err(Error::new(
                format!("size[{row}]"),
                format!("must be zero or positive and finite, got {size}"),
            ));
        }
        if row == 0 {
            continue;
        }
        if changes.message[row] < changes.message[row - 1] {
            return Err(Error::new(format!("message[{row}]"), "must not decrease"));
        }
        if changes.message[row] == changes.message[row - 1]
            && changes.reset[row] != changes.reset[row - 1]
        {
            return Err(Error::new(
                format!("reset[{row}]"),
                "must be the same for all rows of a message",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, value) in [("\"0.10\"", 0.1), ("1e2", 100.0), ("\"\\u0031\"", 1.0)] {
            assert_eq!(decimal(text), Ok(value));
        }
        for text in [
            "0", "-1", "\"\"", "01", "1.", ".5", "+1", "null", "1e400", "1e-320", "[1]",
        ] {
            assert!(decimal(text).is_err(), "{text}");
        }
        assert!(decimal("123456789012345000").is_ok());
        assert!(decimal("0.1234567890123456").is_err());
    }

    #[test]
    fn a_refused_text_names_the_place() {
        let text = r#"{"bids": [], "asks": [["1", "2"], ["2", true]]}"#;
        let error = parse_orderbook(text).unwrap_err().to_string();
        assert!(error.starts_with("text: asks[1][1] "), "{error}");
    }

    #[test]
    fn walk_takes_the_best_levels_first() {
        let walk = walk_levels(&[101.0, 1.0, 102.0, 4.0], 2.0).unwrap();
        let expected = Walk {
            filled: 2.0,
            notional: 203.0,
            worst_price: 102.0,
            levels: 2,
        };
        assert_eq!(walk, expected);
    }

    #[test]
    fn a_gap_in_a_stack_is_refused() {
        let nan = f64::NAN;
        let bids = [nan, nan, 99.0, 1.0];
        let asks = [101.0, 1.0, nan, nan];
        let error = imbalance(&bids, &asks, 1, 2, 2).unwrap_err().to_string();
        assert!(error.starts_with("bids[0, 1] "), "{error}");
        assert!(microprice(&bids, &asks, 1, 2).unwrap()[0].is_nan());
    }

    proptest! {
        #[test]
        fn rebuilt_books_equal_a_map(
            rows in prop::collection::vec((0_i64..3, any::<bool>(), 1_u32..80, 0_u32..3), 0..120),
            depth in 1_usize..6,
        ) {
            let message: Vec<i64> =
                rows.iter().scan(0, |id, row| { *id += row.0; Some(*id) }).collect();
            let reset: Vec<bool> = message.iter().map(|id| id % 7 == 0).collect();
            let side: Vec<i8> = rows.iter().map(|row| i8::from(row.1)).collect();
            let price: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
            let size: Vec<f64> = rows.iter().map(|row| f64::from(row.3)).collect();
            let changes = Changes {
                message: &message, side: &side, price: &price, size: &size, reset: &reset,
            };
            let (m, bids, asks) = rebuild_books(changes, depth).unwrap();

            let mut books = [BTreeMap::new(), BTreeMap::new()];
            let mut index = 0;
            for row in 0..rows.len() {
                if reset[row] && (row == 0 || message[row] != message[row - 1]) {
                    books.iter_mut().for_each(BTreeMap::clear);
                }
                let book = &mut books[side[row] as usize];
                match rows[row].3 {
                    0 => book.remove(&rows[row].2),
                    new => book.insert(rows[row].2, new),
                };
                if row + 1 < rows.len() && message[row + 1] == message[row] {
                    continue;
                }
                let bid: Vec<_> = books[0].iter().rev().take(depth).collect();
                let ask: Vec<_> = books[1].iter().take(depth).collect();
                for (expected, stack) in [(bid, &bids), (ask, &asks)] {
                    let state = &stack[index * depth * 2..(index + 1) * depth * 2];
                    for (row, level) in state.chunks_exact(2).enumerate() {
                        match expected.get(row) {
                            Some((&price, &size)) => {
                                prop_assert_eq!(level, [f64::from(price), f64::from(size)]);
                            }
                            None => prop_assert!(level.iter().all(|v| v.is_nan())),
                        }
                    }
                }
                index += 1;
            }
            prop_assert_eq!(index, m);
        }
    }
}
