//! Latency of requests and responses, from tables over time.

use super::{LARGEST, LATEST};
use crate::Error;

/// Columns of the table of requests: time, latency (-1: lost), time until the loss is known.
pub const ENTRY_COLUMNS: usize = 3;
/// Columns of the table of responses: time, latency.
pub const RESPONSE_COLUMNS: usize = 2;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It gets to the venue after this time.
    Arrives(i64),
    /// It does not, which is known after this time.
    Lost(i64),
}

/// Tables of which a row holds from its time on, or is interpolated up to the next one.
#[derive(Debug, Clone)]
pub struct Latency {
    entry: Vec<[i64; ENTRY_COLUMNS]>,
    response: Vec<[i64; RESPONSE_COLUMNS]>,
    interpolate: bool,
}

impl Latency {
    /// From the rows of both tables, one after the other.
    pub fn new(entry: &[i64], response: &[i64], interpolate: bool) -> Result<Self, Error> {
        Ok(Self {
            entry: table("entry", entry, [0, -1, 0])?,
            response: table("response", response, [0, 0])?,
            interpolate,
        })
    }

    pub(super) fn entry(&self, now: i64) -> Entry {
        let row = last_row(&self.entry, now);
        let [time, entry, round_trip] = self.entry[row];
        let Some(&[next_time, next_entry, next_trip]) = self.next(&self.entry, row, now) else {
            return if entry < 0 {
                Entry::Lost(round_trip)
            } else {
                Entry::Arrives(entry)
            };
        };
        if entry < 0 || next_entry < 0 {
            Entry::Lost(between(now, (time, round_trip), (next_time, next_trip)))
        } else {
            Entry::Arrives(between(now, (time, entry), (next_time, next_entry)))
        }
    }

    pub(super) fn response(&self, now: i64) -> i64 {
        let row = last_row(&self.response, now);
        let [time, latency] = self.response[row];
        match self.next(&self.response, row, now) {
            None => latency,
            Some(&[next_time, next]) => between(now, (time, latency), (next_time, next)),
        }
    }

    /// The row to interpolate to.
    fn next<'a, const N: usize>(
        &self,
        rows: &'a [[i64; N]],
        row: usize,
        now: i64,
    ) -> Option<&'a [i64; N]> {
        rows.get(row + 1)
            .filter(|_| self.interpolate && rows[row][0] <= now)
    }
}

/// The last row at or before `now`; the first one before all.
fn last_row<const N: usize>(rows: &[[i64; N]], now: i64) -> usize {
    rows.partition_point(|row| row[0] <= now).saturating_sub(1)
}

fn between(x: i64, (x1, y1): (i64, i64), (x2, y2): (i64, i64)) -> i64 {
    ((y2 - y1) as f64 / (x2 - x1) as f64 * (x - x1) as f64) as i64 + y1
}

fn table<const N: usize>(
    name: &str,
    values: &[i64],
    least: [i64; N],
) -> Result<Vec<[i64; N]>, Error> {
    if values.is_empty() {
        return Err(Error::new(name, "must have at least one row"));
    }
    let mut last = 0;
    let mut rows = Vec::with_capacity(values.len() / N);
    for (index, chunk) in values.chunks_exact(N).enumerate() {
        let mut row = [0; N];
        row.copy_from_slice(chunk);
        let place = || format!("{name}[{index}]");
        if !(last..LATEST).contains(&row[0]) {
            let problem = "must have a time not before the row in front of it";
            return Err(Error::new(place(), problem));
        }
        for (low, latency) in least.into_iter().zip(row).skip(1) {
            if !(low..LARGEST).contains(&latency) {
                let problem = format!("must have latencies of at least {low} ns");
                return Err(Error::new(place(), problem));
            }
        }
        last = row[0];
        rows.push(row);
    }
    Ok(rows)
}
