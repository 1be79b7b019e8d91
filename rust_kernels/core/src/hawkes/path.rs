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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hawkes::{hawkes_simulate, Simulation};

    #[test]
    fn the_integral_is_that_of_the_intensity() {
        let (baseline, adjacency, decay) = ([0.5, 0.2], [0.3, 0.1, 0.0, 0.4], [1.5]);
        let model = Model::new(&baseline, &adjacency, &decay).unwrap();
        let history = History::new(&[0.5, 1.0], &[0, 1], Some(&[1.0, 2.0]), 2).unwrap();
        let steps = 20_000;
        let at: Vec<f64> = (0..=steps)
            .map(|k| 3.0 * f64::from(k) / f64::from(steps))
            .collect();
        let (intensity, compensator) = hawkes_path(&model, &history, &at).unwrap();
        for i in 0..2 {
            let sum: f64 = intensity.iter().skip(i).step_by(2).sum();
            let want = 3.0 / f64::from(steps) * sum;
            let got = compensator[compensator.len() - 2 + i];
            assert!((got - want).abs() < 1e-3, "{got} {want}");
        }
        assert_eq!(intensity[..2], baseline);
        assert_eq!(compensator[..2], [0.0; 2]);
    }

    /// Of a simulated path, the compensator between events is exponential with mean and variance 1.
    #[test]
    fn simulated_events_are_those_of_the_intensity() {
        let (baseline, adjacency) = ([0.5, 0.2], [0.3, 0.1, 0.2, 0.4, 0.1, 0.1, 0.0, 0.2]);
        for (decay, thinning) in [(&[1.5][..], false), (&[1.5], true), (&[1.5, 0.3], false)] {
            let effects = &adjacency[..4 * decay.len()];
            let model = Model::new(&baseline, effects, decay).unwrap();
            let simulation = Simulation {
                model,
                horizon: 2e4,
                marks: Some(&[0.5, 1.5]),
                thinning,
                most: usize::MAX,
            };
            let paths = hawkes_simulate(&simulation, 1, 3).unwrap();
            let history = History::new(&paths.times, &paths.types, Some(&paths.marks), 2).unwrap();
            let (_, compensator) = hawkes_path(&model, &history, &paths.times).unwrap();
            for kind in 0..2 {
                let own = (0..paths.times.len()).filter(|&k| paths.types[k] as usize == kind);
                let at: Vec<f64> = own.map(|k| compensator[2 * k + kind]).collect();
                let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let n = gaps.len() as f64;
                let mean = gaps.iter().sum::<f64>() / n;
                let square = gaps.iter().map(|gap| gap * gap).sum::<f64>() / n;
                assert!(n > 1e4 && (mean - 1.0).abs() < 4.0 / n.sqrt(), "{mean}");
                // The square has mean 2 and variance 20.
                assert!((square - 2.0).abs() < 4.0 * (20.0 / n).sqrt(), "{square}");
            }
        }
    }

    #[test]
    fn times_in_wrong_order_are_refused() {
        let model = Model::new(&[1.0], &[], &[]).unwrap();
        let history = History::new(&[], &[], None, 1).unwrap();
        for bad in [
            [0.0, -1.0],
            [2.0, 1.0],
            [0.0, f64::NAN],
            [0.0, f64::INFINITY],
        ] {
            let error = hawkes_path(&model, &history, &bad).unwrap_err();
            assert!(error.to_string().starts_with("at[1] must be finite"));
        }
    }
}
