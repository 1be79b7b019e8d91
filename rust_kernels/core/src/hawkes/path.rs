//! The intensity at given times, and its integral.

use super::{not_negative, shown, History, Model};
use crate::Error;

/// Intensity of each type just before the times `at`, and its integral from 0 to there, by rows.
pub fn hawkes_path(
    model: &Model,
    history: &History,
    at: &[f64],
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let mut last = 0.0;
    for (row, &time) in at.iter().enumerate() {
        if !(not_negative(time) && last <= time) {
            let problem = format!(
                "must be finite, not negative and not before the time in front of it, got {}",
                shown(time)
            );
            return Err(Error::new(format!("at[{row}]"), problem));
        }
        last = time;
    }
    let cells = at.len() * model.types();
    let (mut intensity, mut compensator) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
    let mut walk = Walk::new(model);
    let mut seen = 0;
    for &time in at {
        while seen < history.times.len() && history.times[seen] < time {
            walk.fade(history.times[seen]);
            walk.add(history.types[seen] as usize, history.mark(seen));
            seen += 1;
        }
        walk.fade(time);
        walk.write(&mut intensity, &mut compensator);
    }
    Ok((intensity, compensator))
}

/// What is left of the children that each type i may have under decay m, and all there may be.
struct Walk<'a> {
    model: &'a Model<'a>,
    time: f64,
    left: Vec<f64>,
    all: Vec<f64>,
}

impl<'a> Walk<'a> {
    fn new(model: &'a Model) -> Self {
        let cells = model.decay.len() * model.types();
        Self {
            model,
            time: 0.0,
            left: vec![0.0; cells],
            all: vec![0.0; model.types()],
        }
    }

    fn fade(&mut self, time: f64) {
        let gap = time - self.time;
        let rows = self.left.chunks_mut(self.model.types());
        for (left, b) in rows.zip(self.model.decay) {
            let fade = (-b * gap).exp();
            left.iter_mut().for_each(|left| *left *= fade);
        }
        self.time = time;
    }

    fn add(&mut self, kind: usize, mark: f64) {
        let d = self.model.types();
        for (row, left) in self.left.iter_mut().enumerate() {
            let children = mark * self.model.adjacency[row * d + kind];
            *left += children;
            self.all[row % d] += children;
        }
    }

    fn write(&self, intensity: &mut Vec<f64>, compensator: &mut Vec<f64>) {
        let d = self.model.types();
        for (i, (mu, all)) in self.model.baseline.iter().zip(&self.all).enumerate() {
            let (mut excess, mut left) = (0.0, 0.0);
            for (row, b) in self.left.chunks(d).zip(self.model.decay) {
                excess += b * row[i];
                left += row[i];
            }
            intensity.push(mu + excess);
            compensator.push(mu * self.time + (all - left));
        }
    }
}
