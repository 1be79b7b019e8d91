//! How a resting order moves up in the queue of its level.

use crate::Error;

/// How decreases that are no trades are shared between the front and the back of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    RiskAverse,
    Power,
    Power2,
    Power3,
    Log,
    Log2,
}

const KINDS: [(&str, Kind); 6] = [
    ("risk_averse", Kind::RiskAverse),
    ("power", Kind::Power),
    ("power2", Kind::Power2),
    ("power3", Kind::Power3),
    ("log", Kind::Log),
    ("log2", Kind::Log2),
];

/// A queue model.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    kind: Kind,
    exponent: f64,
    unit: f64,
}

/// Place of an order in its queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Lots in front of it, as estimated.
    pub ahead: f64,
    /// Traded at the level since its size last changed.
    pub traded: i64,
}

impl Queue {
    /// The model `kind`, with the exponent of the power models and what a lot is in the logarithms.
    pub fn new(kind: &str, exponent: f64, unit: f64) -> Result<Self, Error> {
        let Some(&(_, kind)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            let names = KINDS.map(|(name, _)| name).join(", ");
            return Err(Error::new(
                "queue",
                format!("must be one of {names}, got {kind}"),
            ));
        };
        for (name, value) in [("exponent", exponent), ("unit", unit)] {
            if !(value > 0.0 && value < f64::INFINITY) {
                let problem = format!("must be positive and finite, got {value}");
                return Err(Error::new(name, problem));
            }
        }
        Ok(Self {
            kind,
            exponent,
            unit,
        })
    }

    fn f(&self, lots: f64) -> f64 {
        match self.kind {
            Kind::Log | Kind::Log2 => (1.0 + lots * self.unit).ln(),
            _ => lots.powf(self.exponent),
        }
    }

    /// Probability that what left the level left it behind the order.
    fn behind(&self, front: f64, back: f64) -> f64 {
        let (front, back) = (front.max(0.0), back.max(0.0));
        let (above, below) = match self.kind {
            Kind::Power | Kind::Log => (self.f(back), self.f(back) + self.f(front)),
            Kind::Power2 | Kind::Log2 => (self.f(back), self.f(back + front)),
            _ => (self.f(front), self.f(front + back)),
        };
        match self.kind {
            _ if below == 0.0 => 1.0,
            Kind::Power3 => 1.0 - above / below,
            _ => above / below,
        }
    }

    /// The level went from `before` to `size`.
    pub(super) fn depth(&self, place: &mut Place, before: i64, size: i64) {
        if self.kind != Kind::RiskAverse {
            let left = before - size - place.traded; // without what trades have already taken
            place.traded = 0;
            if left >= 0 {
                let left = left as f64;
                let (front, back) = (place.ahead, before as f64 - place.ahead);
                let share = self.behind(front, back);
                place.ahead = front - (1.0 - share) * left;
            }
        }
        // Not more than all that is left, where the share takes more from behind than is there.
        place.ahead = place.ahead.min(size as f64).max(0.0);
    }

    /// A trade, `left` of it behind own orders in front; the lots that reach this one.
    pub(super) fn trade(&self, place: &mut Place, size: i64, left: i64) -> i64 {
        place.ahead -= left as f64;
        place.traded = place.traded.saturating_add(size);
        let reached = (0.5 - place.ahead).floor() as i64;
        place.ahead = place.ahead.max(0.0);
        reached.max(0)
    }
}
