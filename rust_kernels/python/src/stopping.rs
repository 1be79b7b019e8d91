//! Binding of the kernels of optimal stopping.

use labkit_core::stopping::{self as core, Method};
use numpy::ndarray::Dimension;
use numpy::{Ix2, Ix3, PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::arrays::{output, refused, Input};
use crate::market_making::integer;
use crate::orderbook::{count, number};

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(fractional_brownian_motion, m)?)?;
    m.add_function(wrap_pyfunction!(regression, m)?)?;
    m.add_function(wrap_pyfunction!(backward_regression, m)?)?;
    m.add_function(wrap_pyfunction!(apply_policy, m)?)
}

/// Paths of fractional Brownian motion at the times 0, 1 / n_steps, ..., 1, of the exact law.
///
/// Shape (n_paths, n_steps + 1). Path p takes the words of Philox stream p of the seed.
#[pyfunction]
#[pyo3(signature = (n_paths, n_steps, hurst, seed, method))]
fn fractional_brownian_motion<'py>(
    py: Python<'py>,
    n_paths: &Bound<'py, PyAny>,
    n_steps: &Bound<'py, PyAny>,
    hurst: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let n_paths = count("n_paths", n_paths, 1)?;
    let n_steps = count("n_steps", n_steps, 1)?;
    let hurst = number("hurst", hurst)?;
    let seed = integer::<u64>("seed", seed, "from 0 to 2**64 - 1")?;
    let word = method
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("method must be a str, got {}", kind(method))))?;
    let method = match word.to_cow()?.as_ref() {
        "davies_harte" => Method::DaviesHarte,
        "cholesky" => Method::Cholesky,
        _ => {
            let got = word.repr()?;
            return Err(PyValueError::new_err(format!(
                "method must be 'davies_harte' or 'cholesky', got {got}"
            )));
        }
    };
    let motion = py
        .detach(|| core::Motion::new(n_paths, n_steps, hurst, method))
        .map_err(refused)?;
    // Memory of NumPy, which asks for large pages.
    let result = PyArray2::zeros(py, motion.shape(), false);
    let mut values = result.readwrite();
    let out = values
        .as_slice_mut()
        .map_err(|e| PyValueError::new_err(format!("n_paths: {e}")))?;
    py.detach(|| motion.fill(seed, out));
    Ok(result)
}

/// Least squares of the targets (b, m) on the features (b, k): coefficients (k, m).
///
/// A regressor that others explain but for 1e-10 of its square is left out. Strided arrays are
/// copied first.
#[pyfunction]
#[pyo3(signature = (features, targets))]
fn regression<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (features, [b, k]) = shaped::<Ix2, 2>("features", features, ["b", "k"])?;
    let (targets, [_, m]) = shaped::<Ix2, 2>("targets", targets, [&b.to_string(), "m"])?;
    let (features, targets) = (features.slice()?, targets.slice()?);
    let result = py
        .detach(|| core::regression(features, [b, k], targets, m))
        .map_err(refused)?;
    output(py, result, (k, m))
}

type Policy<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<i64>>);

/// Exercise policy of Longstaff & Schwartz (2001): coefficients (n, k), and where it stops each path.
///
/// Features (n, b, k) at n dates on b paths, rewards (n, b). Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (features, rewards, positive))]
fn backward_regression<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    rewards: &Bound<'py, PyAny>,
    positive: &Bound<'py, PyAny>,
) -> PyResult<Policy<'py>> {
    let (features, shape) = shaped::<Ix3, 3>("features", features, ["n", "b", "k"])?;
    let [n, b, k] = shape;
    let rewards = like("rewards", rewards, [n, b])?;
    let positive = flag("positive", positive)?;
    let (features, rewards) = (features.slice()?, rewards.slice()?);
    let (coefficients, stops) = py
        .detach(|| core::backward_regression(features, shape, rewards, positive))
        .map_err(refused)?;
    Ok((output(py, coefficients, (n, k))?, output(py, stops, b)?))
}

/// First date at which a policy stops each path, from what is known at that date alone.
///
/// Features (n, b, k), rewards (n, b), coefficients (n, k). Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (features, rewards, coefficients, positive))]
fn apply_policy<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    rewards: &Bound<'py, PyAny>,
    coefficients: &Bound<'py, PyAny>,
    positive: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (features, shape) = shaped::<Ix3, 3>("features", features, ["n", "b", "k"])?;
    let [n, b, k] = shape;
    let rewards = like("rewards", rewards, [n, b])?;
    let coefficients = like("coefficients", coefficients, [n, k])?;
    let positive = flag("positive", positive)?;
    let (features, rewards) = (features.slice()?, rewards.slice()?);
    let coefficients = coefficients.slice()?;
    let stops = py
        .detach(|| core::apply_policy(features, shape, rewards, coefficients, positive))
        .map_err(refused)?;
    output(py, stops, b)
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("{name} must be a bool, got {}", kind(value))))
}

fn like<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    shape: [usize; 2],
) -> PyResult<Input<'py, f64, Ix2>> {
    let words = shape.map(|length| length.to_string());
    shaped::<Ix2, 2>(name, value, [&words[0], &words[1]]).map(|(input, _)| input)
}

/// An array and its lengths along each axis, which must be those that are numbers.
fn shaped<'py, D: Dimension, const N: usize>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    axes: [&str; N],
) -> PyResult<(Input<'py, f64, D>, [usize; N])> {
    let words = format!("({})", axes.join(", "));
    let input = Input::<f64, D>::new(name, value, &words)?;
    let fits = |(axis, got): (&&str, &usize)| axis.parse().map_or(true, |n: usize| n == *got);
    match <[usize; N]>::try_from(input.shape()) {
        Ok(shape) if axes.iter().zip(&shape).all(fits) => Ok((input, shape)),
        _ => {
            let got: Vec<String> = input.shape().iter().map(ToString::to_string).collect();
            let got = got.join(", ");
            let problem = format!("{name} must have shape {words}, got ({got})");
            Err(PyValueError::new_err(problem))
        }
    }
}
