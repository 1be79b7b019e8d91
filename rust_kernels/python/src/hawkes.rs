//! Binding of the Hawkes kernels.

use labkit_core::hawkes::{self as core, History, Model, Simulation};
use numpy::{Element, Ix1, Ix3, PyArray1, PyArray2, PyArray3};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, vector, Input};
use crate::market_making::integer;
use crate::orderbook::{count, number};

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(hawkes_likelihood, m)?)?;
    m.add_function(wrap_pyfunction!(hawkes_path, m)?)?;
    m.add_function(wrap_pyfunction!(hawkes_simulate, m)?)
}

type Likelihood<'py> = (
    f64,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray1<f64>>,
);

type Paths<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<i64>>,
);

/// The arrays of a model.
struct Parameters<'py> {
    baseline: Input<'py, f64, Ix1>,
    adjacency: Input<'py, f64, Ix3>,
    decay: Input<'py, f64, Ix1>,
}

impl<'py> Parameters<'py> {
    fn new(
        baseline: &Bound<'py, PyAny>,
        adjacency: &Bound<'py, PyAny>,
        decay: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let baseline = any_length("baseline", baseline, "d")?;
        let decay = any_length("decay", decay, "m")?;
        let (d, terms) = (baseline.shape()[0], decay.shape()[0]);
        if d == 0 {
            // The model says it, before the shape of the adjacency is looked at.
            Model::new(&[], &[], &[]).map_err(refused)?;
        }
        let shape = format!("({terms}, {d}, {d})");
        let adjacency = Input::new("adjacency", adjacency, &shape)?;
        if adjacency.shape() != [terms, d, d] {
            let got = adjacency.shape();
            return Err(PyValueError::new_err(format!(
                "adjacency must have shape {shape}, got ({}, {}, {})",
                got[0], got[1], got[2]
            )));
        }
        Ok(Self {
            baseline,
            adjacency,
            decay,
        })
    }

    fn types(&self) -> usize {
        self.baseline.shape()[0]
    }

    fn model(&self) -> PyResult<Model<'_>> {
        let (baseline, adjacency) = (self.baseline.slice()?, self.adjacency.slice()?);
        Model::new(baseline, adjacency, self.decay.slice()?).map_err(refused)
    }
}

/// The arrays of a history.
struct Events<'py> {
    times: Input<'py, f64, Ix1>,
    types: Input<'py, i64, Ix1>,
    marks: Option<Input<'py, f64, Ix1>>,
}

impl<'py> Events<'py> {
    fn new(
        times: &Bound<'py, PyAny>,
        types: &Bound<'py, PyAny>,
        marks: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let times = any_length("times", times, "n")?;
        let n = Some(times.shape()[0]);
        let types = vector("types", types, n)?;
        let marks = (!marks.is_none()).then(|| vector("marks", marks, n));
        Ok(Self {
            times,
            types,
            marks: marks.transpose()?,
        })
    }

    fn history(&self, d: usize) -> PyResult<History<'_>> {
        let marks = self.marks.as_ref().map(Input::slice).transpose()?;
        History::new(self.times.slice()?, self.types.slice()?, marks, d).map_err(refused)
    }
}

/// A vector of any length, which the message calls `length`.
fn any_length<'py, T: Element>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    length: &str,
) -> PyResult<Input<'py, T, Ix1>> {
    Input::new(name, value, &format!("({length},)"))
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// Log-likelihood of the events on (0, horizon], and its gradient by all parameters, in O(n).
///
/// Returns the value and its derivatives by baseline, adjacency and decay. Strided arrays are
/// copied first.
#[pyfunction]
#[pyo3(signature = (times, types, marks, horizon, baseline, adjacency, decay))]
#[allow(clippy::too_many_arguments)] // the signature of the reference
fn hawkes_likelihood<'py>(
    py: Python<'py>,
    times: &Bound<'py, PyAny>,
    types: &Bound<'py, PyAny>,
    marks: &Bound<'py, PyAny>,
    horizon: &Bound<'py, PyAny>,
    baseline: &Bound<'py, PyAny>,
    adjacency: &Bound<'py, PyAny>,
    decay: &Bound<'py, PyAny>,
) -> PyResult<Likelihood<'py>> {
    let parameters = Parameters::new(baseline, adjacency, decay)?;
    let model = parameters.model()?;
    let events = Events::new(times, types, marks)?;
    let d = parameters.types();
    let history = events.history(d)?;
    let horizon = number("horizon", horizon)?;
    let result = py
        .detach(|| core::hawkes_likelihood(&model, &history, horizon))
        .map_err(refused)?;
    let terms = result.by_decay.len();
    Ok((
        result.value,
        output(py, result.by_baseline, d)?,
        output(py, result.by_adjacency, (terms, d, d))?,
        output(py, result.by_decay, terms)?,
    ))
}

/// Intensity of each type just before given times, and its integral from 0 to there, (q, d) each.
///
/// Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (times, types, marks, baseline, adjacency, decay, at))]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the signature of the reference
fn hawkes_path<'py>(
    py: Python<'py>,
    times: &Bound<'py, PyAny>,
    types: &Bound<'py, PyAny>,
    marks: &Bound<'py, PyAny>,
    baseline: &Bound<'py, PyAny>,
    adjacency: &Bound<'py, PyAny>,
    decay: &Bound<'py, PyAny>,
    at: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>)> {
    let parameters = Parameters::new(baseline, adjacency, decay)?;
    let model = parameters.model()?;
    let events = Events::new(times, types, marks)?;
    let d = parameters.types();
    let history = events.history(d)?;
    let at = any_length("at", at, "q")?;
    let shape = (at.shape()[0], d);
    let at = at.slice()?;
    let (intensity, compensator) = py
        .detach(|| core::hawkes_path(&model, &history, at))
        .map_err(refused)?;
    Ok((
        output(py, intensity, shape)?,
        output(py, compensator, shape)?,
    ))
}

/// Exact paths on (0, horizon]: times, types and marks, one path after the other, and counts.
///
/// Step n of path p takes block n of Philox stream p of the seed. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (seed, n_paths, horizon, baseline, adjacency, decay, marks, thinning, most))]
#[allow(clippy::too_many_arguments)] // the signature of the reference
fn hawkes_simulate<'py>(
    py: Python<'py>,
    seed: &Bound<'py, PyAny>,
    n_paths: &Bound<'py, PyAny>,
    horizon: &Bound<'py, PyAny>,
    baseline: &Bound<'py, PyAny>,
    adjacency: &Bound<'py, PyAny>,
    decay: &Bound<'py, PyAny>,
    marks: &Bound<'py, PyAny>,
    thinning: &Bound<'py, PyAny>,
    most: &Bound<'py, PyAny>,
) -> PyResult<Paths<'py>> {
    let seed = integer("seed", seed, "from 0 to 2**64 - 1")?;
    let n_paths = count("n_paths", n_paths, 1)?;
    let horizon = number("horizon", horizon)?;
    let parameters = Parameters::new(baseline, adjacency, decay)?;
    let model = parameters.model()?;
    let marks = (!marks.is_none()).then(|| any_length("marks", marks, "k"));
    let marks = marks.transpose()?;
    let marks = marks.as_ref().map(Input::slice).transpose()?;
    let thinning = thinning.extract().map_err(|_| {
        PyTypeError::new_err(format!("thinning must be a bool, got {}", kind(thinning)))
    })?;
    let simulation = Simulation {
        model,
        horizon,
        marks,
        thinning,
        most: count("most", most, 1)?,
    };
    let paths = py
        .detach(|| core::hawkes_simulate(&simulation, n_paths, seed))
        .map_err(refused)?;
    let n = paths.times.len();
    Ok((
        output(py, paths.times, n)?,
        output(py, paths.types, n)?,
        output(py, paths.marks, n)?,
        output(py, paths.counts, n_paths)?,
    ))
}
