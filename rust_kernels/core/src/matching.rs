//! A limit order book with price-time priority.
//!
//! Each level is a queue in order of arrival; a taker takes the best level first and within a level
//! the oldest order. Prices are whole ticks, sizes whole lots, side is 1 for bids and -1 for asks.
//!
//! Orders lie in one vector, in order of arrival, and are linked into the queues of their levels.
//! A side keeps its levels sorted with the best one last, so that what happens near the best quote
//! moves little memory, whatever the distance between prices.

use crate::Error;

mod flow;

pub use flow::{zero_intelligence_flow, Flow, Simulated};

/// Kind of request: an order with a worst price.
pub const LIMIT: u8 = 1;
/// Kind of request: an order at any price.
pub const MARKET: u8 = 2;
/// Kind of request: takes a resting order out.
pub const CANCEL: u8 = 3;
/// Kind of request: a new price and open size for a resting order.
pub const MODIFY: u8 = 4;

/// Flag: rejected where it would trade at once.
pub const POST_ONLY: u8 = 1;
/// Flag: what does not trade at once is cancelled.
pub const IMMEDIATE_OR_CANCEL: u8 = 2;
/// Flag: rejected where it would not trade at once in full.
pub const FILL_OR_KILL: u8 = 4;

const ACCEPTED: u8 = 0;
const FILLED: u8 = 1;
const RESTING: u8 = 2;
const CANCELLED: u8 = 3;
const REJECTED: u8 = 4;

const NO_REASON: u8 = 0;
const DUPLICATE_ID: u8 = 1;
const UNKNOWN_ID: u8 = 2;
const NOT_RESTING: u8 = 3;
const BAD_PRICE: u8 = 4;
const BAD_SIZE: u8 = 5;
const WOULD_CROSS: u8 = 6;
const CANNOT_FILL: u8 = 7;
const NO_LIQUIDITY: u8 = 8;

/// Kind of event: a level has a new size.
pub const DEPTH: u8 = 1;
/// Kind of event: a trade.
pub const TRADE: u8 = 2;

/// Ticks or lots of one order.
const LARGEST: i64 = 1 << 40;

/// Levels from the best one on that are looked at one by one.
const NEAR: usize = 8;

/// No order.
const NONE: u32 = u32::MAX;

/// Requests in order of arrival, a column for each field.
#[derive(Debug, Clone, Copy)]
pub struct Requests<'a> {
    /// Arrival, nanoseconds.
    pub time_ns: &'a [i64],
    /// The sender's name for the order.
    pub id: &'a [i64],
    /// LIMIT, MARKET, CANCEL or MODIFY.
    pub kind: &'a [u8],
    /// 1 to buy, -1 to sell; not read of a cancel or modify.
    pub side: &'a [i8],
    /// Ticks; not read of a market order or cancel.
    pub price: &'a [i64],
    /// Lots; not read of a cancel.
    pub size: &'a [i64],
    /// At most one of POST_ONLY, IMMEDIATE_OR_CANCEL and FILL_OR_KILL.
    pub flags: &'a [u8],
}

impl Requests<'_> {
    #[inline(always)]
    fn row(&self, row: usize) -> Request {
        Request {
            time_ns: self.time_ns[row],
            id: self.id[row],
            kind: self.kind[row],
            side: self.side[row],
            price: self.price[row],
            size: self.size[row],
            flags: self.flags[row],
        }
    }
}

/// One request; the fields are those of [`Requests`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Request {
    pub time_ns: i64,
    pub id: i64,
    pub kind: u8,
    pub side: i8,
    pub price: i64,
    pub size: i64,
    pub flags: u8,
}

impl Request {
    /// What the request cannot be, as (column, problem).
    fn malformed(&self, last_ns: i64) -> Option<(&'static str, String)> {
        if self.time_ns < last_ns {
            let problem = format!("must not be before {last_ns}, got {}", self.time_ns);
            return Some(("time_ns", problem));
        }
        let allowed = match self.kind {
            LIMIT => 0b10111,
            MARKET => 0b10101,
            CANCEL => 0b1,
            MODIFY => 0b11,
            _ => {
                return Some(("kind", format!("must be from 1 to 4, got {}", self.kind)));
            }
        };
        if self.side.unsigned_abs() != 1 && self.kind <= MARKET {
            return Some(("side", format!("must be 1 or -1, got {}", self.side)));
        }
        if self.flags > FILL_OR_KILL || allowed >> self.flags & 1 == 0 {
            let problem = format!("must go with kind {}, got {}", self.kind, self.flags);
            return Some(("flags", problem));
        }
        None
    }
}

/// Trades in order, a column for each field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trades {
    /// Nanoseconds.
    pub time_ns: Vec<i64>,
    /// Id of the resting order.
    pub maker: Vec<i64>,
    /// Id of the order that met it.
    pub taker: Vec<i64>,
    /// Ticks, of the maker.
    pub price: Vec<i64>,
    /// Lots.
    pub size: Vec<i64>,
    /// Of the taker.
    pub side: Vec<i8>,
    /// Index of the maker among the orders taken.
    makers: Vec<u32>,
}

/// What a venue publishes, in order: a trade (side of the taker), or the new size of a level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// Nanoseconds.
    pub time_ns: Vec<i64>,
    /// Ticks.
    pub price: Vec<i64>,
    /// Lots.
    pub size: Vec<i64>,
    /// DEPTH or TRADE.
    pub kind: Vec<u8>,
    /// 1 or -1.
    pub side: Vec<i8>,
}

impl Events {
    #[inline(always)]
    fn push(&mut self, time_ns: i64, price: i64, size: i64, kind: u8, side: i8) {
        self.time_ns.push(time_ns);
        self.price.push(price);
        self.size.push(size);
        self.kind.push(kind);
        self.side.push(side);
    }
}

/// What has become of each request; the sums belong to the order that it entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Statuses {
    pub state: Vec<u8>,
    pub reason: Vec<u8>,
    pub submitted: Vec<i64>,
    pub filled: Vec<i64>,
    pub resting: Vec<i64>,
    pub cancelled: Vec<i64>,
}

/// An order that was taken, as it is now; `submitted = filled + resting + cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Status {
    pub side: i8,
    pub price: i64,
    pub state: u8,
    pub reason: u8,
    pub submitted: i64,
    pub filled: i64,
    pub resting: i64,
    pub cancelled: i64,
}

/// What the engine has done, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tape {
    /// Trades.
    pub trades: Trades,
    /// Published events.
    pub events: Events,
}

impl Tape {
    /// A tape on which `requests` events find room.
    fn new(requests: usize) -> Self {
        let mut tape = Self::default();
        tape.events.time_ns.reserve(requests);
        tape.events.price.reserve(requests);
        tape.events.size.reserve(requests);
        tape.events.kind.reserve(requests);
        tape.events.side.reserve(requests);
        tape
    }

    fn clear(&mut self) {
        let Trades {
            time_ns,
            maker,
            taker,
            price,
            size,
            side,
            makers,
        } = &mut self.trades;
        for column in [time_ns, maker, taker, price, size] {
            column.clear();
        }
        side.clear();
        makers.clear();
        let Events {
            time_ns,
            price,
            size,
            kind,
            side,
        } = &mut self.events;
        for column in [time_ns, price, size] {
            column.clear();
        }
        kind.clear();
        side.clear();
    }
}

/// An order that was taken: the size still open, and its neighbours in the queue of its level.
#[derive(Debug, Clone, Copy)]
struct Order {
    id: i64,
    price: i64,
    submitted: i64,
    left: i64,
    filled: i64,
    cancelled: i64,
    ahead: u32,
    behind: u32,
    side: i8,
    state: u8,
    reason: u8,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    first: u32,
    last: u32,
    total: i64,
}

/// Levels of one side; keys are `side * price`, ascending, so that the best level is the last.
#[derive(Debug, Clone, Default)]
struct Side {
    keys: Vec<i64>,
    levels: Vec<Level>,
}

impl Side {
    /// Where the level is, or where it would have to be.
    #[inline(always)]
    fn find(&self, key: i64) -> Result<usize, usize> {
        let (far, near) = self.keys.split_at(self.keys.len().saturating_sub(NEAR));
        // Counting takes no branch that depends on the key.
        let better = near.iter().filter(|&&other| other > key).count();
        let above = self.keys.len() - better;
        if better == near.len() {
            return far.binary_search(&key);
        }
        if self.keys[above - 1] == key {
            Ok(above - 1)
        } else {
            Err(above)
        }
    }

    fn total(&self, key: i64) -> i64 {
        self.find(key).map_or(0, |row| self.levels[row].total)
    }

    /// Appends an order to the queue of its level; the level's size.
    fn append(&mut self, orders: &mut [Order], index: u32, key: i64) -> i64 {
        let left = orders[index as usize].left;
        orders[index as usize].behind = NONE;
        let ahead = match self.find(key) {
            Ok(row) => {
                let level = &mut self.levels[row];
                let ahead = std::mem::replace(&mut level.last, index);
                level.total += left;
                orders[index as usize].ahead = ahead;
                orders[ahead as usize].behind = index;
                return level.total;
            }
            Err(row) => {
                self.keys.insert(row, key);
                let level = Level {
                    first: index,
                    last: index,
                    total: left,
                };
                self.levels.insert(row, level);
                NONE
            }
        };
        orders[index as usize].ahead = ahead;
        left
    }

    /// Takes an order out of its queue; what the level has left.
    fn remove(&mut self, orders: &mut [Order], index: u32, key: i64) -> i64 {
        let Order {
            ahead,
            behind,
            left,
            ..
        } = orders[index as usize];
        let Ok(row) = self.find(key) else {
            return 0;
        };
        let level = &mut self.levels[row];
        level.total -= left;
        match (ahead, behind) {
            (NONE, NONE) => {
                self.keys.remove(row);
                self.levels.remove(row);
                return 0;
            }
            (NONE, _) => level.first = behind,
            _ => orders[ahead as usize].behind = behind,
        }
        if behind == NONE {
            level.last = ahead;
        } else {
            orders[behind as usize].ahead = ahead;
        }
        level.total
    }
}

/// Order indices by id. Ids never leave, so open addressing needs no tombstones.
#[derive(Debug, Clone)]
struct Index {
    /// Id and one more than the index; 0 where nothing is.
    slots: Vec<(i64, u32)>,
    taken: usize,
}

impl Index {
    fn new(capacity: usize) -> Self {
        let slots = vec![(0, 0); (2 * capacity).next_power_of_two().max(16)];
        Self { slots, taken: 0 }
    }

    /// The slot that holds the id, or the free one that would.
    #[inline(always)]
    fn slot(&self, id: i64) -> usize {
        // The highest bits of the multiple by the golden ratio depend on every bit of the id, and
        // ids that follow each other lie evenly. The fold is for ids that differ far above only.
        let mixed = (id ^ (id >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) as u64;
        let mask = self.slots.len() - 1;
        let mut slot = (mixed >> (64 - self.slots.len().trailing_zeros())) as usize;
        while self.slots[slot].1 != 0 && self.slots[slot].0 != id {
            slot = (slot + 1) & mask;
        }
        slot
    }

    #[inline(always)]
    fn get(&self, id: i64) -> Option<u32> {
        self.slots[self.slot(id)].1.checked_sub(1)
    }

    /// Makes room for `more` ids.
    fn reserve(&mut self, more: usize) {
        if 2 * (self.taken + more) <= self.slots.len() {
            return;
        }
        let mut larger = Self::new(self.taken + more);
        for &(id, next) in self.slots.iter().filter(|slot| slot.1 != 0) {
            let slot = larger.slot(id);
            larger.slots[slot] = (id, next);
        }
        self.slots = larger.slots;
    }

    #[inline(always)]
    fn insert(&mut self, id: i64, index: u32) {
        if 2 * self.taken >= self.slots.len() {
            self.reserve(self.slots.len() / 2 + 1);
        }
        let slot = self.slot(id);
        self.slots[slot] = (id, index + 1);
        self.taken += 1;
    }
}

/// A book, every order that it has taken, and the time of the last request.
#[derive(Debug, Clone)]
pub struct Engine {
    orders: Vec<Order>,
    index: Index,
    sides: [Side; 2],
    time_ns: i64,
    /// Sizes asked for so far: no level, and no sum of an order, holds more.
    lots: i64,
}

/// The sum of the sizes asked for, with one more; sizes that are rejected do not count.
#[inline(always)]
fn more_lots(lots: i64, row: usize, size: i64) -> Result<i64, Error> {
    if !(1..=LARGEST).contains(&size) {
        return Ok(lots);
    }
    lots.checked_add(size).ok_or_else(|| {
        let problem = format!("must leave less than 2**63 lots in all, got {size} after {lots}");
        Error::new(format!("size[{row}]"), problem)
    })
}

/// Row of a side: bids, then asks.
fn which(side: i8) -> usize {
    usize::from(side < 0)
}

impl Engine {
    /// An engine whose book holds the orders given, in order of arrival.
    pub fn new(id: &[i64], side: &[i8], price: &[i64], size: &[i64]) -> Result<Self, Error> {
        let mut engine = Self {
            orders: Vec::with_capacity(id.len()),
            index: Index::new(id.len()),
            sides: [Side::default(), Side::default()],
            time_ns: i64::MIN,
            lots: 0,
        };
        for row in 0..id.len() {
            let (id, side, price, size) = (id[row], side[row], price[row], size[row]);
            let refuse =
                |name: &str, problem: String| Err(Error::new(format!("{name}[{row}]"), problem));
            if engine.index.get(id).is_some() {
                return refuse("id", format!("must be new, got {id} twice"));
            }
            if side.unsigned_abs() != 1 {
                return refuse("side", format!("must be 1 or -1, got {side}"));
            }
            for (name, value) in [("price", price), ("size", size)] {
                if !(1..=LARGEST).contains(&value) {
                    return refuse(name, format!("must be from 1 to 2**40, got {value}"));
                }
            }
            if engine.marketable(side, price) {
                return refuse("price", format!("must not cross the book, got {price}"));
            }
            engine.lots = more_lots(engine.lots, row, size)?;
            let index = engine.take_in(id, side, price, size);
            let key = i64::from(side) * price;
            engine.sides[which(side)].append(&mut engine.orders, index, key);
        }
        Ok(engine)
    }

    /// Works through requests in the order given; none where one of them is malformed.
    ///
    /// The status of each is that at the end.
    pub fn process(&mut self, requests: Requests<'_>) -> Result<(Tape, Statuses), Error> {
        let n = requests.time_ns.len();
        let (mut last, mut lots) = (self.time_ns, self.lots);
        for row in 0..n {
            let request = requests.row(row);
            if let Some((column, problem)) = request.malformed(last) {
                return Err(Error::new(format!("{column}[{row}]"), problem));
            }
            last = request.time_ns;
            if request.kind != CANCEL {
                lots = more_lots(lots, row, request.size)?;
            }
        }
        if self.orders.len() + n >= NONE as usize {
            return Err(Error::new(
                "time_ns",
                "must leave less than 2**32 orders in all",
            ));
        }
        self.lots = lots;
        let entering = requests.kind.iter().filter(|&&kind| kind <= MARKET).count();
        self.orders.reserve(entering);
        self.index.reserve(entering);
        let mut tape = Tape::new(n + n / 4);
        let mut statuses = Statuses {
            state: vec![ACCEPTED; n],
            reason: vec![NO_REASON; n],
            submitted: vec![0; n],
            filled: vec![0; n],
            resting: vec![0; n],
            cancelled: vec![0; n],
        };
        let first = self.orders.len();
        for row in 0..n {
            let reason = self.request(requests.row(row), &mut tape);
            if reason != NO_REASON {
                statuses.state[row] = REJECTED;
                statuses.reason[row] = reason;
            }
        }
        // Orders were entered in the order of the requests that were not refused.
        let mut entered = self.orders[first..].iter();
        for (row, _) in (requests.kind.iter().enumerate()).filter(|(_, &kind)| kind <= MARKET) {
            if statuses.state[row] == REJECTED {
                statuses.submitted[row] = requests.size[row];
            } else if let Some(order) = entered.next() {
                statuses.state[row] = order.state;
                statuses.reason[row] = order.reason;
                statuses.submitted[row] = order.submitted;
                statuses.filled[row] = order.filled;
                statuses.resting[row] = order.left;
                statuses.cancelled[row] = order.cancelled;
            }
        }
        Ok((tape, statuses))
    }

    /// An order that was taken under the id.
    pub fn order(&self, id: i64) -> Option<Status> {
        let order = self.orders[self.index.get(id)? as usize];
        Some(Status {
            side: order.side,
            price: order.price,
            state: order.state,
            reason: order.reason,
            submitted: order.submitted,
            filled: order.filled,
            resting: order.left,
            cancelled: order.cancelled,
        })
    }

    /// Price and size of the best `depth` levels of a side, best first.
    pub fn levels(&self, side: i8, depth: usize) -> impl Iterator<Item = (i64, i64)> + '_ {
        let book = &self.sides[which(side)];
        let pairs = book.keys.iter().zip(&book.levels).rev().take(depth);
        pairs.map(move |(key, level)| (i64::from(side) * key, level.total))
    }

    /// Id, side, price and open size of every resting order: bids best first, then asks.
    pub fn resting(&self) -> Vec<(i64, i8, i64, i64)> {
        let mut rows = Vec::new();
        for level in self.sides.iter().flat_map(|side| side.levels.iter().rev()) {
            let mut next = level.first;
            while let Some(order) = self.orders.get(next as usize) {
                rows.push((order.id, order.side, order.price, order.left));
                next = order.behind;
            }
        }
        rows
    }

    /// Best price of a side.
    fn best(&self, side: i8) -> Option<i64> {
        let key = self.sides[which(side)].keys.last()?;
        Some(i64::from(side) * key)
    }

    /// Does what a well-formed request asks, or nothing where there is a reason not to.
    #[inline(always)]
    fn request(&mut self, request: Request, tape: &mut Tape) -> u8 {
        self.time_ns = request.time_ns;
        if request.kind >= CANCEL {
            return self.change(request, tape);
        }
        let reason = self.refusal(request);
        if reason != NO_REASON {
            return reason;
        }
        let Request {
            id,
            side,
            price,
            size,
            flags,
            ..
        } = request;
        let index = self.take_in(id, side, price, size);
        if request.kind == MARKET {
            self.enter(index, i64::MIN, false, tape);
        } else {
            let keeps = flags & (IMMEDIATE_OR_CANCEL | FILL_OR_KILL) == 0;
            self.enter(index, -i64::from(side) * price, keeps, tape);
        }
        NO_REASON
    }

    fn take_in(&mut self, id: i64, side: i8, price: i64, size: i64) -> u32 {
        let index = self.orders.len() as u32; // process keeps it below NONE
        self.orders.push(Order {
            id,
            price,
            submitted: size,
            left: size,
            filled: 0,
            cancelled: 0,
            ahead: NONE,
            behind: NONE,
            side,
            state: RESTING,
            reason: NO_REASON,
        });
        self.index.insert(id, index);
        index
    }

    #[inline(always)]
    fn refusal(&self, request: Request) -> u8 {
        let limit = request.kind == LIMIT;
        if !(1..=LARGEST).contains(&request.size) {
            BAD_SIZE
        } else if limit && !(1..=LARGEST).contains(&request.price) {
            BAD_PRICE
        } else if self.index.get(request.id).is_some() {
            DUPLICATE_ID
        } else if request.flags == POST_ONLY && self.marketable(request.side, request.price) {
            WOULD_CROSS
        } else if request.flags == FILL_OR_KILL && !self.fills(request) {
            CANNOT_FILL
        } else {
            NO_REASON
        }
    }

    fn marketable(&self, side: i8, price: i64) -> bool {
        let best = self.sides[which(-side)].keys.last();
        best.is_some_and(|&key| key >= -i64::from(side) * price)
    }

    /// Whether the opposite side has all of a request within its price.
    fn fills(&self, request: Request) -> bool {
        let book = &self.sides[which(-request.side)];
        let least = match request.kind {
            MARKET => i64::MIN,
            _ => -i64::from(request.side) * request.price,
        };
        let mut left = request.size;
        for (&key, level) in book.keys.iter().zip(&book.levels).rev() {
            if key < least {
                break;
            }
            left -= level.total;
            if left <= 0 {
                return true;
            }
        }
        false
    }

    /// Trades what can be traded with keys of at least `least`; the rest rests or is cancelled.
    fn enter(&mut self, index: u32, least: i64, keeps: bool, tape: &mut Tape) {
        let taker = self.orders[index as usize];
        let mut left = taker.left;
        while left > 0 {
            match self.sides[which(-taker.side)].keys.last() {
                Some(&key) if key >= least => left = self.take(taker.id, -taker.side, left, tape),
                _ => break,
            }
        }
        let order = &mut self.orders[index as usize];
        order.filled += order.left - left;
        order.left = left;
        if left == 0 {
            order.state = FILLED;
        } else if keeps {
            let (side, price) = (order.side, order.price);
            let key = i64::from(side) * price;
            let total = self.sides[which(side)].append(&mut self.orders, index, key);
            self.publish(side, price, total, tape);
        } else {
            order.state = CANCELLED;
            order.reason = NO_LIQUIDITY;
            order.cancelled += left;
            order.left = 0;
        }
    }

    /// Trades up to `left` lots with the best level of `side`, the oldest order first; what is left.
    fn take(&mut self, taker: i64, side: i8, mut left: i64, tape: &mut Tape) -> i64 {
        let time_ns = self.time_ns;
        let book = &mut self.sides[which(side)];
        let (Some(&key), Some(level)) = (book.keys.last(), book.levels.last_mut()) else {
            return left;
        };
        let price = i64::from(side) * key;
        while left > 0 && level.first != NONE {
            let maker = &mut self.orders[level.first as usize];
            let size = left.min(maker.left);
            left -= size;
            maker.left -= size;
            maker.filled += size;
            level.total -= size;
            let trades = &mut tape.trades;
            trades.time_ns.push(time_ns);
            trades.maker.push(maker.id);
            trades.taker.push(taker);
            trades.price.push(price);
            trades.size.push(size);
            trades.side.push(-side);
            trades.makers.push(level.first);
            tape.events.push(time_ns, price, size, TRADE, -side);
            if maker.left == 0 {
                maker.state = FILLED;
                level.first = maker.behind;
            }
        }
        let total = level.total;
        match self.orders.get_mut(level.first as usize) {
            Some(first) => first.ahead = NONE,
            None => {
                book.keys.pop();
                book.levels.pop();
            }
        }
        self.publish(side, price, total, tape);
        left
    }

    fn change(&mut self, request: Request, tape: &mut Tape) -> u8 {
        let Some(index) = self.index.get(request.id) else {
            return UNKNOWN_ID;
        };
        if self.orders[index as usize].state != RESTING {
            NOT_RESTING
        } else if request.kind == CANCEL {
            self.cancel(index, tape)
        } else {
            self.modify(index, request, tape)
        }
    }

    fn cancel(&mut self, index: u32, tape: &mut Tape) -> u8 {
        let (side, price, total) = self.take_out(index);
        let order = &mut self.orders[index as usize];
        order.state = CANCELLED;
        order.cancelled += order.left;
        order.left = 0;
        self.publish(side, price, total, tape);
        NO_REASON
    }

    fn modify(&mut self, index: u32, request: Request, tape: &mut Tape) -> u8 {
        let Order {
            side, price, left, ..
        } = self.orders[index as usize];
        if !(1..=LARGEST).contains(&request.size) {
            return BAD_SIZE;
        }
        if !(1..=LARGEST).contains(&request.price) {
            return BAD_PRICE;
        }
        if request.flags == POST_ONLY && self.marketable(side, request.price) {
            return WOULD_CROSS;
        }
        let key = i64::from(side) * price;
        let change = request.size - left;
        let stays = request.price == price && change <= 0;
        if stays {
            if let Ok(row) = self.sides[which(side)].find(key) {
                self.sides[which(side)].levels[row].total += change;
            }
        } else {
            self.take_out(index);
        }
        let order = &mut self.orders[index as usize];
        order.left = request.size;
        order.submitted += change.max(0);
        order.cancelled += (-change).max(0);
        order.price = request.price;
        if request.price == price && !stays {
            self.sides[which(side)].append(&mut self.orders, index, key);
        }
        let total = self.sides[which(side)].total(key);
        self.publish(side, price, total, tape);
        if request.price != price {
            self.enter(index, -i64::from(side) * request.price, true, tape);
        }
        NO_REASON
    }

    /// Takes an order out of its queue: side, price and what the level has left.
    fn take_out(&mut self, index: u32) -> (i8, i64, i64) {
        let Order { side, price, .. } = self.orders[index as usize];
        let key = i64::from(side) * price;
        let total = self.sides[which(side)].remove(&mut self.orders, index, key);
        (side, price, total)
    }

    fn publish(&self, side: i8, price: i64, size: i64, tape: &mut Tape) {
        tape.events.push(self.time_ns, price, size, DEPTH, side);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn empty() -> Engine {
        Engine::new(&[], &[], &[], &[]).unwrap()
    }

    /// Rows of id, kind, side, price, size and flags, at times 0, 1, ...
    fn run(engine: &mut Engine, rows: &[(i64, u8, i8, i64, i64, u8)]) -> (Tape, Statuses) {
        let time_ns: Vec<i64> = (0..rows.len() as i64).collect();
        let requests = Requests {
            time_ns: &time_ns,
            id: &rows.iter().map(|row| row.0).collect::<Vec<_>>(),
            kind: &rows.iter().map(|row| row.1).collect::<Vec<_>>(),
            side: &rows.iter().map(|row| row.2).collect::<Vec<_>>(),
            price: &rows.iter().map(|row| row.3).collect::<Vec<_>>(),
            size: &rows.iter().map(|row| row.4).collect::<Vec<_>>(),
            flags: &rows.iter().map(|row| row.5).collect::<Vec<_>>(),
        };
        engine.process(requests).unwrap()
    }

    #[test]
    fn the_best_price_trades_first_and_then_the_oldest_order() {
        let rows = [
            (1, LIMIT, -1, 102, 4, 0),
            (2, LIMIT, -1, 101, 3, 0),
            (3, LIMIT, -1, 101, 2, 0),
            (4, LIMIT, 1, 102, 6, 0),
        ];
        let mut engine = empty();
        let (tape, statuses) = run(&mut engine, &rows);
        assert_eq!(tape.trades.maker, [2, 3, 1]);
        assert_eq!(tape.trades.price, [101, 101, 102]);
        assert_eq!(tape.trades.size, [3, 2, 1]);
        assert_eq!(statuses.state, [RESTING, FILLED, FILLED, FILLED]);
        assert_eq!(engine.resting(), [(1, -1, 102, 3)]);
    }

    #[test]
    fn ids_are_found_however_they_lie() {
        for stride in [1, -1, 1 << 10, 1 << 20, 1 << 33, 0x5DEE_CE66] {
            let mut index = Index::new(0);
            for n in 0..5000_u32 {
                assert_eq!(index.get(i64::from(n) * stride), None);
                index.insert(i64::from(n) * stride, n);
            }
            assert!((0..5000).all(|n| index.get(i64::from(n) * stride) == Some(n)));
        }
    }

    #[test]
    fn millions_of_ids_in_a_row_are_found_in_few_steps() {
        let n = 4_000_000_u32;
        let mut index = Index::new(0);
        for id in 0..n {
            index.insert(i64::from(id), id);
        }
        // Each id lies at most a few slots beyond the first one looked at.
        let wrong = (0..n).filter(|&id| index.get(i64::from(id)) != Some(id));
        assert_eq!(wrong.count(), 0);
        let mut run = 0;
        let mut longest = 0;
        for slot in &index.slots {
            run = if slot.1 == 0 { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        assert!(longest < 100, "{longest} slots in a row are taken");
    }

    #[test]
    fn lots_that_no_sum_holds_are_refused_and_change_nothing() {
        let mut engine = empty();
        engine.lots = i64::MAX - 5;
        let of = |size: &'static [i64]| Requests {
            time_ns: &[1, 2],
            id: &[1, 2],
            kind: &[LIMIT, LIMIT],
            side: &[1, 1],
            price: &[10, 10],
            size,
            flags: &[0, 0],
        };
        let error = engine.process(of(&[3, 3])).unwrap_err().to_string();
        let end = "less than 2**63 lots in all, got 3 after 9223372036854775805";
        assert_eq!(error, format!("size[1] must leave {end}"));
        assert!(engine.resting().is_empty());
        engine.process(of(&[3, 2])).unwrap();
        assert_eq!(engine.levels(1, 1).next(), Some((10, 5)));
    }

    #[test]
    fn a_malformed_request_changes_nothing() {
        let mut engine = empty();
        let requests = Requests {
            time_ns: &[5, 4],
            id: &[1, 2],
            kind: &[LIMIT, LIMIT],
            side: &[1, 1],
            price: &[10, 10],
            size: &[1, 1],
            flags: &[0, 0],
        };
        let error = engine.process(requests).unwrap_err().to_string();
        assert_eq!(error, "time_ns[1] must not be before 5, got 4");
        assert!(engine.resting().is_empty());
    }

    proptest! {
        #[test]
        fn levels_stay_sorted_and_hold_what_rests(
            rows in prop::collection::vec(
                (0..60_i64, 1..=4_u8, prop::bool::ANY, 1..120_i64, 1..9_i64), 0..300,
            )
        ) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(id, kind, buys, price, size)| {
                    (id, kind, if buys { 1 } else { -1 }, price, size, 0)
                })
                .collect();
            let mut engine = empty();
            let (_, statuses) = run(&mut engine, &rows);
            let resting = engine.resting();
            for side in [1, -1] {
                let levels: Vec<_> = engine.levels(side, usize::MAX).collect();
                let better = |pair: &[(i64, i64)]| i64::from(side) * (pair[0].0 - pair[1].0) > 0;
                prop_assert!(levels.windows(2).all(better));
                for (price, total) in levels {
                    let here = |order: &&(i64, i8, i64, i64)| order.1 == side && order.2 == price;
                    let sum: i64 = resting.iter().filter(here).map(|order| order.3).sum();
                    prop_assert_eq!(sum, total);
                }
            }
            if let (Some(bid), Some(ask)) = (engine.best(1), engine.best(-1)) {
                prop_assert!(bid < ask);
            }
            let left: i64 = resting.iter().map(|order| order.3).sum();
            prop_assert_eq!(statuses.resting.iter().sum::<i64>(), left);
            for row in 0..rows.len() {
                let parts = statuses.filled[row] + statuses.resting[row] + statuses.cancelled[row];
                prop_assert!(statuses.state[row] == REJECTED || statuses.submitted[row] == parts);
            }
        }
    }
}
