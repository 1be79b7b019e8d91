//! The replay itself: two books, two buses of messages, the venue's queue of own orders.

use std::collections::VecDeque;

use super::book::{slot, Book, Window, NOTHING};
use super::latency::Entry;
use super::queue::Place;
use super::{Event, Events, Latency, Queue, CLEAR, FOREVER, LARGEST, TRADE};
use crate::Error;

/// Columns of a fill.
pub const FILL_COLUMNS: usize = 8;
/// Columns of an order.
pub const ORDER_COLUMNS: usize = 16;
/// Columns of a sample.
pub const SERIES_COLUMNS: usize = 8;
/// Columns of a live order.
pub const LIVE_COLUMNS: usize = 8;

const NEVER: i64 = -1;

/// What is asked of an order.
pub(super) const POST_ONLY: i64 = 1;
const IMMEDIATE: i64 = 2;
const MARKET: i64 = 3;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Open,
    Partial,
    Filled,
    Cancelled,
    Rejected,
    Expired,
}

impl State {
    fn closed(self) -> bool {
        matches!(
            self,
            Self::Filled | Self::Cancelled | Self::Rejected | Self::Expired
        )
    }
}

/// Why an order was rejected or expired.
#[derive(Debug, Clone, Copy)]
enum Reason {
    None,
    Crosses,
    Technical,
    NoDepth,
}

/// One own order: what the venue knows of it, and what the strategy does.
#[derive(Debug, Clone)]
pub(super) struct Order {
    id: i64,
    pub(super) side: i64,
    pub(super) price: i64,
    size: i64,
    kind: i64,
    submitted: i64,
    arrived: i64,
    acknowledged: i64,
    cancel_requested: i64,
    closed: i64,
    closed_locally: i64,
    filled: i64,
    ahead: i64,
    state: State,
    reason: Reason,
    cancels_rejected: i64,
    pub(super) known_state: State,
    known_filled: i64,
    pub(super) cancelling: bool,
}

impl Order {
    fn new(id: i64, [side, price, size, kind]: [i64; 4], submitted: i64) -> Self {
        Self {
            id,
            side,
            price,
            size,
            kind,
            submitted,
            arrived: NEVER,
            acknowledged: NEVER,
            cancel_requested: NEVER,
            closed: NEVER,
            closed_locally: NEVER,
            filled: 0,
            ahead: NEVER,
            state: State::Pending,
            reason: Reason::None,
            cancels_rejected: 0,
            known_state: State::Pending,
            known_filled: 0,
            cancelling: false,
        }
    }

    fn row(&self) -> [i64; ORDER_COLUMNS] {
        [
            self.id,
            self.side,
            self.price,
            self.size,
            self.kind,
            self.submitted,
            self.arrived,
            self.acknowledged,
            self.cancel_requested,
            self.closed,
            self.closed_locally,
            self.filled,
            self.ahead,
            self.state as i64,
            self.reason as i64,
            self.cancels_rejected,
        ]
    }

    /// Lots not known to be filled.
    pub(super) fn known_left(&self) -> i64 {
        self.size - self.known_filled
    }
}

/// An order in the venue's book.
#[derive(Debug, Clone, Copy)]
struct Resting {
    order: usize,
    rank: i64,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    time: i64,
    order: usize,
    cancel: bool,
}

#[derive(Debug, Clone, Copy)]
enum Message {
    Accepted,
    Fill(usize),
    Closed,
    CancelRejected,
}

#[derive(Debug, Clone, Copy)]
struct Response {
    time: i64,
    order: usize,
    message: Message,
    state: State,
}

/// What the strategy knows that it holds; value in ticks x lots.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    position: i64,
    cash: i64,
    maker_value: i64,
    taker_value: i64,
}

/// Ranks from the worst to the best of a side's resting orders.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: i64,
    high: i64,
}

/// That of no orders.
const NO_SPAN: Span = Span {
    low: i64::MAX,
    high: i64::MIN,
};

/// How the market and the venue behave.
#[derive(Debug)]
pub struct Settings {
    /// Added to each receipt.
    pub feed: i64,
    /// Latency of requests and responses.
    pub latency: Latency,
    /// The queue model.
    pub queue: Queue,
    /// A resting order that a trade reaches fills by what reached it, not whole.
    pub partial_fills: bool,
    /// Between wakes; 0: whenever feed or responses have come in.
    pub interval: i64,
    /// Between samples; 0: at each wake.
    pub sample: i64,
}

/// Results, row after row.
#[derive(Debug)]
pub struct Results {
    /// Fills.
    pub fills: Vec<i64>,
    /// Lots ahead at each fill.
    pub aheads: Vec<f64>,
    /// Orders.
    pub orders: Vec<i64>,
    /// Samples of the series.
    pub series: Vec<i64>,
}

/// A replay that stops at each wake for a strategy to act.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    /// Rows by the venue's time where that is not the order of receipt.
    order: Option<Vec<usize>>,
    received: usize, // events that the strategy has seen
    happened: usize,
    local: Book,
    exchange: Book,
    requests: VecDeque<Request>,
    responses: VecDeque<Response>,
    resting: [Vec<Resting>; 2],
    own: [Span; 2],
    pub(super) orders: Vec<Order>,
    pub(super) live: Vec<usize>,
    account: Account,
    now: i64,
    started: bool,
    finished: bool,
    next_sample: i64,
    last_received: usize, // at the wake before
    fills: Vec<[i64; FILL_COLUMNS]>,
    aheads: Vec<f64>,
    series: Vec<[i64; SERIES_COLUMNS]>,
}

impl Engine {
    /// A replay of `events`, which every later call gets again.
    pub fn new(settings: Settings, events: Events) -> Result<Self, Error> {
        for (name, value) in [
            ("feed_ns", settings.feed),
            ("interval_ns", settings.interval),
            ("sample_ns", settings.sample),
        ] {
            if value < 0 {
                let problem = format!("must not be negative, got {value}");
                return Err(Error::new(name, problem));
            }
            if value >= LARGEST {
                return Err(Error::new(
                    name,
                    format!("must be below 2**53, got {value}"),
                ));
            }
        }
        let order = check(events, settings.feed)?;
        let window = Window::around(events);
        Ok(Self {
            settings,
            order,
            received: 0,
            happened: 0,
            local: Book::new(window),
            exchange: Book::new(window),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            resting: [Vec::new(), Vec::new()],
            own: [NO_SPAN; 2],
            orders: Vec::new(),
            live: Vec::new(),
            account: Account::default(),
            now: 0,
            started: false,
            finished: false,
            next_sample: 0,
            last_received: 0,
            fills: Vec::new(),
            aheads: Vec::new(),
            series: Vec::new(),
        })
    }

    // What the strategy sees

    /// Time on the strategy's clock.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Lots held, as known.
    pub fn position(&self) -> i64 {
        self.account.position
    }

    /// Cash before fees, ticks x lots.
    pub fn cash(&self) -> i64 {
        self.account.cash
    }

    /// Value of fills as maker and as taker.
    pub fn traded(&self) -> (i64, i64) {
        (self.account.maker_value, self.account.taker_value)
    }

    /// Best bid, its size, best ask, its size; zeros where a side is empty.
    pub fn quotes(&self) -> (i64, i64, i64, i64) {
        self.local.quotes().into()
    }

    /// First event received since the previous wake, and the one after the last.
    pub fn received(&self) -> (usize, usize) {
        (self.last_received, self.received)
    }

    /// Size of a level in the book as received.
    pub fn size_at(&self, side: i64, price: i64) -> Result<i64, Error> {
        refuse_side(side)?;
        Ok(price
            .checked_mul(side)
            .map_or(0, |rank| self.local.size(side, rank)))
    }

    /// Own orders not known to be closed, row after row.
    pub fn live_orders(&self) -> Vec<i64> {
        let live = self.live.iter().map(|&order| &self.orders[order]);
        live.flat_map(|order| {
            [
                order.id,
                order.side,
                order.price,
                order.size,
                order.known_filled,
                order.known_state as i64,
                i64::from(order.cancelling),
                order.submitted,
            ]
        })
        .collect()
    }

    // What it can do

    /// Sends a new order; returns its id.
    pub fn submit(&mut self, side: i64, price: i64, size: i64, kind: i64) -> Result<i64, Error> {
        refuse_side(side)?;
        let least = |name, value, least| {
            if value < least {
                return Err(Error::new(
                    name,
                    format!("must be at least {least}, got {value}"),
                ));
            }
            Ok(())
        };
        least("size", size, 1)?;
        least("kind", kind, 0)?;
        if kind > MARKET {
            return Err(Error::new(
                "kind",
                format!("must be at most {MARKET}, got {kind}"),
            ));
        }
        least("price", price, i64::from(kind != MARKET))?;
        if kind == MARKET && price > 0 {
            let problem = format!("must be 0 for a market order, got {price}");
            return Err(Error::new("price", problem));
        }
        for (name, value) in [("price", price), ("size", size)] {
            if value >= LARGEST {
                return Err(Error::new(
                    name,
                    format!("must be below 2**53, got {value}"),
                ));
            }
        }
        let index = self.orders.len();
        let id = index as i64 + 1;
        self.orders
            .push(Order::new(id, [side, price, size, kind], self.now));
        self.live.push(index);
        self.request(index, false);
        Ok(id)
    }

    /// Sends a request to cancel an order not known to be closed.
    pub fn cancel(&mut self, id: i64) -> Result<(), Error> {
        let Some(index) = self.live.iter().copied().find(|&i| self.orders[i].id == id) else {
            let problem = format!("must be that of a live order, got {id}");
            return Err(Error::new("order_id", problem));
        };
        if self.orders[index].cancelling {
            let problem = format!("must not be under cancellation already, got {id}");
            return Err(Error::new("order_id", problem));
        }
        self.cancel_at(index);
        Ok(())
    }

    pub(super) fn cancel_at(&mut self, index: usize) {
        let order = &mut self.orders[index];
        order.cancelling = true;
        if order.cancel_requested == NEVER {
            order.cancel_requested = self.now;
        }
        self.request(index, true);
    }

    fn request(&mut self, order: usize, cancel: bool) {
        match self.settings.latency.entry(self.now) {
            Entry::Arrives(latency) => {
                let last = self.requests.back().map_or(0, |request| request.time);
                let time = (self.now + latency).max(last);
                self.requests.push_back(Request {
                    time,
                    order,
                    cancel,
                });
            }
            Entry::Lost(latency) if cancel => {
                self.send(self.now + latency, order, Message::CancelRejected);
            }
            Entry::Lost(latency) => {
                self.orders[order].state = State::Rejected;
                self.orders[order].reason = Reason::Technical;
                self.send(self.now + latency, order, Message::Closed);
            }
        }
    }

    // Time

    /// Goes to the next wake; false, without one, once no event is left and what was under way has
    /// arrived.
    ///
    /// The book as received is only looked at in a wake: what has come in until then is put into it
    /// at once, after everything else.
    pub fn advance(&mut self, events: Events) -> Result<bool, Error> {
        if self.finished {
            return Ok(false);
        }
        let mut woken = NEVER;
        if self.started {
            woken = self.now;
            self.take_sample(false);
        } else if events.len() > 0 {
            self.started = true;
            self.now = self.next_happening(events);
            self.next_sample = self.now;
        }
        self.last_received = self.received;
        let each_event = self.settings.interval == 0;
        let mut until = if each_event {
            self.next_receipt(events)
        } else {
            self.now + self.settings.interval
        };
        let left = loop {
            let response = self.responses.front().map_or(FOREVER, |r| r.time);
            let request = self.requests.front().map_or(FOREVER, |r| r.time);
            // One wake at one time: answers without latency would never let it pass.
            if each_event && response > woken {
                until = until.min(response);
            }
            if self.happen_before(events, response, request.min(until)) {
                continue; // there are new responses
            }
            if self.ended(events, until) {
                until = FOREVER; // answers to answers would never let the replay end
            }
            let time = self.next_happening(events).min(response).min(request);
            if time > until || time == FOREVER {
                break time < FOREVER;
            }
            self.now = time;
            if response == time {
                self.response_in()?;
            } else {
                self.request_in();
            }
        };
        self.receive_until(events, until);
        self.finished = !left && self.received == events.len();
        if self.finished {
            self.take_sample(true);
        } else {
            self.now = until;
        }
        Ok(!self.finished)
    }

    /// Whether no event comes after `until`, those before it having happened.
    fn ended(&self, events: Events, until: i64) -> bool {
        let rows = events.len();
        let receipt = |row: usize| events.time(row, 1) + self.settings.feed;
        self.happened == rows && (self.received == rows || receipt(rows - 1) <= until)
    }

    /// Receipt of the next event that the strategy has not seen.
    fn next_receipt(&self, events: Events) -> i64 {
        if self.received < events.len() {
            events.time(self.received, 1) + self.settings.feed
        } else {
            FOREVER
        }
    }

    /// Time of the next event at the venue.
    fn next_happening(&self, events: Events) -> i64 {
        if self.happened < events.len() {
            events.time(self.row(self.happened), 0)
        } else {
            FOREVER
        }
    }

    /// The row of the event that is at a place in the venue's order.
    #[inline(always)]
    fn row(&self, place: usize) -> usize {
        match &self.order {
            Some(rows) => rows[place],
            None => place,
        }
    }

    /// Puts events into the book as received.
    fn receive_until(&mut self, events: Events, until: i64) {
        while self.received < events.len() {
            let event = events.get(self.received);
            let time = event.local + self.settings.feed;
            if time > until {
                return;
            }
            self.now = self.now.max(time);
            self.received += 1;
            self.local.apply(event);
        }
    }

    // The venue

    /// Lets events happen up to `last` that come before `response`; true where one stopped it by
    /// filling orders.
    #[inline(always)]
    fn happen_before(&mut self, events: Events, response: i64, last: i64) -> bool {
        while self.happened < events.len() {
            let event = events.get(self.row(self.happened));
            if event.exchange >= response || event.exchange > last {
                return false;
            }
            self.now = event.exchange;
            self.happened += 1;
            if self.happen(event) {
                return true;
            }
        }
        false
    }

    /// What an event does to the book and to the orders in it; true where some are filled.
    #[inline(always)]
    fn happen(&mut self, event: Event) -> bool {
        let side = i64::from(event.side);
        let rank = side * event.price;
        if event.kind == TRADE {
            return self.own[slot(-side)].high >= -rank
                && self.trade(side, event.price, event.size);
        }
        if event.kind == CLEAR {
            self.exchange.clear(side, event.price);
            return false;
        }
        let before = self.exchange.update(side, event.price, event.size);
        let Span { low, high } = self.own[slot(side)];
        if (low <= rank) & (rank <= high) {
            self.move_queue(side, rank, before, event.size);
        }
        let crossing = -self.exchange.best(side);
        let crossed = self.own[slot(-side)].high >= crossing;
        if crossed {
            self.cross(-side, crossing);
        }
        crossed
    }

    /// A level with own orders has a new size.
    fn move_queue(&mut self, side: i64, rank: i64, before: i64, size: i64) {
        for resting in &mut self.resting[slot(side)] {
            if resting.rank == rank {
                self.settings.queue.depth(&mut resting.place, before, size);
            }
        }
    }

    /// The other side's best has come to `rank`: orders at it or better are filled.
    fn cross(&mut self, side: i64, rank: i64) {
        let mut queue = std::mem::take(&mut self.resting[slot(side)]);
        for resting in queue.iter().filter(|resting| resting.rank >= rank) {
            self.fill_resting(resting, i64::MAX);
        }
        self.put_back(side, &mut queue);
    }

    /// A trade fills orders at better prices whole, and at its own by the queue; true where any.
    fn trade(&mut self, aggressor: i64, price: i64, size: i64) -> bool {
        let fills = self.fills.len();
        let (side, rank) = (-aggressor, -aggressor * price);
        let mut queue = std::mem::take(&mut self.resting[slot(side)]);
        let mut left = size;
        for resting in &mut queue {
            if resting.rank > rank {
                self.fill_resting(resting, i64::MAX);
            } else if resting.rank == rank {
                // What an own order in front took was not taken from the others in the queue.
                let reached = self.settings.queue.trade(&mut resting.place, size, left);
                let order = &self.orders[resting.order];
                left -= reached.min(order.size - order.filled);
                if reached > 0 {
                    let partial = self.settings.partial_fills;
                    self.fill_resting(resting, if partial { reached } else { i64::MAX });
                }
            }
        }
        self.put_back(side, &mut queue);
        self.fills.len() > fills
    }

    /// Gives the venue its queue of a side again, without the orders that are filled.
    fn put_back(&mut self, side: i64, queue: &mut Vec<Resting>) {
        queue.retain(|resting| self.orders[resting.order].state != State::Filled);
        std::mem::swap(&mut self.resting[slot(side)], queue);
        self.set_span(side);
    }

    fn set_span(&mut self, side: i64) {
        let queue = &self.resting[slot(side)];
        self.own[slot(side)] = match (queue.last(), queue.first()) {
            (Some(worst), Some(best)) => Span {
                low: worst.rank,
                high: best.rank,
            },
            _ => NO_SPAN,
        };
    }

    fn fill_resting(&mut self, resting: &Resting, most: i64) {
        let order = &self.orders[resting.order];
        let size = most.min(order.size - order.filled);
        self.fill(resting.order, order.price, size, true, resting.place.ahead);
    }

    fn fill(&mut self, index: usize, price: i64, size: i64, maker: bool, ahead: f64) {
        let now = self.now;
        let order = &mut self.orders[index];
        order.filled += size;
        let left = order.size - order.filled;
        order.state = if left == 0 {
            order.closed = now;
            State::Filled
        } else {
            State::Partial
        };
        let (id, side) = (order.id, order.side);
        let local = self.respond(index, Message::Fill(self.fills.len()));
        self.fills
            .push([now, local, id, side, price, size, i64::from(maker), left]);
        self.aheads.push(ahead);
    }

    fn request_in(&mut self) {
        let Some(Request { order, cancel, .. }) = self.requests.pop_front() else {
            return;
        };
        if cancel {
            return self.cancel_in(order);
        }
        self.orders[order].arrived = self.now;
        let Order {
            side, price, kind, ..
        } = self.orders[order];
        let opposite = self.exchange.best(-side);
        let marketable = opposite != NOTHING && (kind == MARKET || side * price >= -opposite);
        match (marketable, kind) {
            (true, POST_ONLY) => self.close(order, State::Rejected, Reason::Crosses),
            (true, _) => self.take(order),
            (false, IMMEDIATE | MARKET) => self.close(order, State::Expired, Reason::NoDepth),
            (false, _) => self.rest(order),
        }
    }

    fn rest(&mut self, index: usize) {
        let order = &mut self.orders[index];
        let (side, rank) = (order.side, order.side * order.price);
        order.ahead = self.exchange.size(side, rank);
        order.state = State::Open;
        let place = Place {
            ahead: order.ahead as f64,
            traded: 0,
        };
        let queue = &mut self.resting[slot(side)];
        let at = queue.partition_point(|resting| resting.rank >= rank);
        let order = index;
        queue.insert(at, Resting { order, rank, place });
        self.set_span(side);
        self.respond(index, Message::Accepted);
    }

    /// Walks the shown levels of the other side, which are left as they are.
    ///
    /// What cannot be filled expires: the book that is replayed would show again to the rest of the
    /// order the very lots that it has just taken.
    fn take(&mut self, index: usize) {
        let Order {
            side,
            price,
            kind,
            size,
            ..
        } = self.orders[index];
        let mut rank = self.exchange.best(-side);
        let mut left = size;
        while rank != NOTHING && left > 0 && (kind == MARKET || side * price >= -rank) {
            let taken = left.min(self.exchange.size(-side, rank));
            self.fill(index, -side * rank, taken, false, 0.0);
            left -= taken;
            rank = self.exchange.next(-side, rank);
        }
        if left > 0 {
            self.close(index, State::Expired, Reason::NoDepth);
        }
    }

    fn cancel_in(&mut self, index: usize) {
        let side = self.orders[index].side;
        let queue = &mut self.resting[slot(side)];
        match queue.iter().position(|resting| resting.order == index) {
            None => {
                self.respond(index, Message::CancelRejected);
            }
            Some(at) => {
                queue.remove(at);
                self.set_span(side);
                self.close(index, State::Cancelled, Reason::None);
            }
        }
    }

    fn close(&mut self, index: usize, state: State, reason: Reason) {
        let order = &mut self.orders[index];
        order.state = state;
        order.reason = reason;
        order.closed = self.now;
        self.respond(index, Message::Closed);
    }

    fn respond(&mut self, order: usize, message: Message) -> i64 {
        let latency = self.settings.latency.response(self.now);
        self.send(self.now + latency, order, message)
    }

    fn send(&mut self, time: i64, order: usize, message: Message) -> i64 {
        let last = self.responses.back().map_or(0, |response| response.time);
        let time = time.max(last);
        let state = self.orders[order].state;
        self.responses.push_back(Response {
            time,
            order,
            message,
            state,
        });
        time
    }

    // What comes back

    fn response_in(&mut self) -> Result<(), Error> {
        let Some(response) = self.responses.pop_front() else {
            return Ok(());
        };
        let order = &mut self.orders[response.order];
        if let Message::CancelRejected = response.message {
            order.cancels_rejected += 1;
            order.cancelling = false;
            return Ok(());
        }
        if order.acknowledged == NEVER {
            order.acknowledged = response.time;
        }
        if let Message::Fill(row) = response.message {
            let [_, _, _, side, price, size, maker, _] = self.fills[row];
            order.known_filled += size;
            self.account
                .book(side, price, size, maker == 1)
                .ok_or_else(|| Error::new("events", "must trade less than 2**63 ticks x lots"))?;
        }
        order.known_state = response.state;
        if response.state.closed() {
            order.closed_locally = response.time;
            self.live.retain(|&live| live != response.order);
        }
        Ok(())
    }

    // The record

    /// Own best bid and ask, of orders meant to rest and not asked to be cancelled.
    fn own_quotes(&self) -> (i64, i64) {
        let best = |side: i64| {
            let live = self.live.iter().map(|&order| &self.orders[order]);
            live.filter(|order| order.side == side && order.kind <= POST_ONLY && !order.cancelling)
                .map(|order| side * order.price)
                .max()
                .map_or(0, |rank| side * rank)
        };
        (best(1), best(-1))
    }

    fn take_sample(&mut self, last: bool) {
        if !last {
            if self.now < self.next_sample {
                return;
            }
            let step = self.settings.sample;
            if step > 0 {
                self.next_sample += ((self.now - self.next_sample) / step + 1) * step;
            }
        }
        let (own_bid, own_ask) = self.own_quotes();
        let account = &self.account;
        self.series.push([
            self.now,
            own_bid,
            own_ask,
            self.local.mid2(),
            account.position,
            account.cash,
            account.maker_value,
            account.taker_value,
        ]);
    }

    /// All that has been recorded.
    pub fn results(&self) -> Results {
        Results {
            fills: self.fills.concat(),
            aheads: self.aheads.clone(),
            orders: self.orders.iter().flat_map(Order::row).collect(),
            series: self.series.concat(),
        }
    }
}

impl Account {
    /// Books a fill; nothing where the value no longer fits.
    fn book(&mut self, side: i64, price: i64, size: i64, maker: bool) -> Option<()> {
        let value = price.checked_mul(size)?;
        self.position = self.position.checked_add(side * size)?;
        self.cash = self.cash.checked_sub(side * value)?;
        let traded = if maker {
            &mut self.maker_value
        } else {
            &mut self.taker_value
        };
        *traded = traded.checked_add(value)?;
        Some(())
    }
}

/// Refuses events that do not fit or are received before they happen; the rows by exchange time where
/// that is not their order.
fn check(events: Events, feed: i64) -> Result<Option<Vec<usize>>, Error> {
    let mut sorted = true;
    let (mut last, mut last_local) = (0, 0);
    for row in 0..events.len() {
        let event = events.checked(row, last_local)?;
        if event.exchange > event.local + feed {
            return Err(Error::new(
                format!("events[{row}]"),
                "must not be received before it happened (see align_clock)",
            ));
        }
        sorted &= last <= event.exchange;
        (last, last_local) = (event.exchange, event.local);
    }
    Ok((!sorted).then(|| {
        let mut rows: Vec<usize> = (0..events.len()).collect();
        rows.sort_by_key(|&row| events.time(row, 0));
        rows
    }))
}

fn refuse_side(side: i64) -> Result<(), Error> {
    if side == 1 || side == -1 {
        return Ok(());
    }
    Err(Error::new("side", format!("must be 1 or -1, got {side}")))
}
