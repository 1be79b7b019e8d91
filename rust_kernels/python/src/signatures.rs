//! Binding of the signature kernels, for float64 and float32.

use labkit_core::signatures::{self as core, Paths, Real};
use numpy::{Element, Ix2, Ix3, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, Input};
use crate::orderbook::count;

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(signature, m)?)?;
    m.add_function(wrap_pyfunction!(signature_extend, m)?)?;
    m.add_function(wrap_pyfunction!(signature_gradient, m)?)?;
    m.add_function(wrap_pyfunction!(signature_gram, m)?)?;
    m.add_function(wrap_pyfunction!(signature_kernel, m)?)?;
    m.add_function(wrap_pyfunction!(signature_logarithm, m)?)
}

/// Whether an array holds float32; anything else is taken for float64, and refused if it is not.
fn is_single(value: &Bound<'_, PyAny>) -> bool {
    value.cast::<PyUntypedArray>().is_ok_and(|array| {
        let single = numpy::dtype::<f32>(value.py());
        array.dtype().is_equiv_to(&single)
    })
}

/// Calls the function for the type of numbers that the array holds.
macro_rules! by_type {
    ($value:expr, $function:ident($($argument:expr),*)) => {
        if is_single($value) {
            $function::<f32>($($argument),*)
        } else {
            $function::<f64>($($argument),*)
        }
    };
}

fn batch<'py, T: Real + Element>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Input<'py, T, Ix3>> {
    Input::new(name, value, "(b, n, d)")
}

fn paths<'a, T: Real + Element>(
    name: &str,
    input: &'a Input<'_, T, Ix3>,
) -> PyResult<Paths<'a, T>> {
    let &[b, n, d] = input.shape() else {
        return Err(PyValueError::new_err(format!(
            "{name} must have shape (b, n, d)"
        )));
    };
    Paths::new(name, input.slice()?, [b, n, d]).map_err(refused)
}

/// An array of two axes, each of the given length if there is one.
fn table<'py, T: Element>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    words: &str,
    shape: [Option<usize>; 2],
) -> PyResult<Input<'py, T, Ix2>> {
    let input = Input::new(name, value, words)?;
    let got = input.shape();
    if shape
        .iter()
        .zip(got)
        .any(|(want, got)| want.is_some_and(|want| want != *got))
    {
        return Err(PyValueError::new_err(format!(
            "{name} must have shape {words}, got ({}, {})",
            got[0], got[1]
        )));
    }
    Ok(input)
}

fn any<'py, T: Element, D>(array: Bound<'py, numpy::PyArray<T, D>>) -> Bound<'py, PyAny> {
    array.into_any()
}

/// Signatures of piecewise linear paths (b, n, d): (b, size), or (b, n, size) with `prefixes`.
///
/// float64 or float32, as the paths. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (paths, depth, prefixes))]
fn signature<'py>(
    paths: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
    prefixes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(paths, signature_of(paths, depth, prefixes))
}

fn signature_of<'py, T: Real + Element>(
    values: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
    prefixes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = values.py();
    let input = batch::<T>("paths", values)?;
    let paths = paths("paths", &input)?;
    let prefixes: bool = prefixes.extract().map_err(|_| {
        let kind = prefixes.get_type().name();
        let kind = kind.map_or_else(|_| "?".to_owned(), |kind| kind.to_string());
        PyTypeError::new_err(format!("prefixes must be a bool, got {kind}"))
    })?;
    let depth = count("depth", depth, 1)?;
    let (b, n) = (paths.count(), paths.points());
    let found = py
        .detach(|| core::signature(&paths, depth, prefixes))
        .map_err(refused)?;
    let size = core::size(paths.dim(), depth, 1).map_err(refused)?;
    if prefixes {
        output(py, found, (b, n, size)).map(any)
    } else {
        output(py, found, (b, size)).map(any)
    }
}

/// Signatures (b, size) of paths that go on by straight increments (b, d).
///
/// float64 or float32, as the signatures. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (signatures, increments, depth))]
fn signature_extend<'py>(
    signatures: &Bound<'py, PyAny>,
    increments: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(increments, extend_of(signatures, increments, depth))
}

fn extend_of<'py, T: Real + Element>(
    signatures: &Bound<'py, PyAny>,
    increments: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = signatures.py();
    let steps = table::<T>("increments", increments, "(b, d)", [None, None])?;
    let (b, d) = (steps.shape()[0], steps.shape()[1]);
    core::increments(steps.slice()?, [b, d]).map_err(refused)?;
    let depth = count("depth", depth, 1)?;
    let size = core::size(d, depth, b.max(1)).map_err(refused)?;
    let words = format!("({b}, {size})");
    let states = table::<T>("signatures", signatures, &words, [Some(b), Some(size)])?;
    let (states, steps) = (states.slice()?, steps.slice()?);
    let found = py
        .detach(|| core::signature_extend(states, steps, d, depth))
        .map_err(refused)?;
    output(py, found, (b, size)).map(any)
}

/// Derivatives (b, n, d) by the points of sums of coordinates with weights (b, size).
///
/// float64 or float32, as the paths. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (paths, depth, weights))]
fn signature_gradient<'py>(
    paths: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(paths, gradient_of(paths, depth, weights))
}

fn gradient_of<'py, T: Real + Element>(
    values: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = values.py();
    let input = batch::<T>("paths", values)?;
    let paths = paths("paths", &input)?;
    let depth = count("depth", depth, 1)?;
    let (b, n, d) = (paths.count(), paths.points(), paths.dim());
    let size = core::size(d, depth, b.max(1)).map_err(refused)?;
    let words = format!("({b}, {size})");
    let weights = table::<T>("weights", weights, &words, [Some(b), Some(size)])?;
    let weights = weights.slice()?;
    let found = py
        .detach(|| core::signature_gradient(&paths, depth, weights))
        .map_err(refused)?;
    output(py, found, (b, n, d)).map(any)
}

/// Kernels (b, c) of all pairs of paths (b, n, d) and (c, m, d), or of one batch with itself.
///
/// float64 or float32, as the left paths. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (left, right, refinement))]
fn signature_gram<'py>(
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    refinement: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(left, gram_of(left, right, refinement))
}

fn gram_of<'py, T: Real + Element>(
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    refinement: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = left.py();
    let first = batch::<T>("left", left)?;
    let first = paths("left", &first)?;
    let second = (!right.is_none()).then(|| batch::<T>("right", right));
    let second = second.transpose()?;
    let second = second
        .as_ref()
        .map(|input| paths("right", input))
        .transpose()?;
    if let Some(second) = second.filter(|second| second.dim() != first.dim()) {
        return Err(PyValueError::new_err(format!(
            "right must have shape (c, m, {}), got ({}, {}, {})",
            first.dim(),
            second.count(),
            second.points(),
            second.dim()
        )));
    }
    let refinement = count("refinement", refinement, 0)?;
    let shape = (first.count(), second.unwrap_or(first).count());
    let found = py
        .detach(|| core::signature_gram(&first, second.as_ref(), refinement))
        .map_err(refused)?;
    output(py, found, shape).map(any)
}

/// Inner products (b,) of the signatures of pairs of paths, (b, n, d) and (b, m, d).
///
/// float64 or float32, as the left paths. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (left, right, refinement))]
fn signature_kernel<'py>(
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    refinement: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(left, kernel_of(left, right, refinement))
}

fn kernel_of<'py, T: Real + Element>(
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    refinement: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = left.py();
    let first = batch::<T>("left", left)?;
    let first = paths("left", &first)?;
    let second = batch::<T>("right", right)?;
    let second = paths("right", &second)?;
    let (b, d) = (first.count(), first.dim());
    if second.count() != b || second.dim() != d {
        return Err(PyValueError::new_err(format!(
            "right must have shape ({b}, m, {d}), got ({}, {}, {})",
            second.count(),
            second.points(),
            second.dim()
        )));
    }
    let refinement = count("refinement", refinement, 0)?;
    let found = py
        .detach(|| core::signature_kernel(&first, &second, refinement))
        .map_err(refused)?;
    output(py, found, b).map(any)
}

/// Logarithms (b, size) of signatures (b, size) in d dimensions.
///
/// float64 or float32, as the signatures. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (signatures, dim, depth))]
fn signature_logarithm<'py>(
    signatures: &Bound<'py, PyAny>,
    dim: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    by_type!(signatures, logarithm_of(signatures, dim, depth))
}

fn logarithm_of<'py, T: Real + Element>(
    signatures: &Bound<'py, PyAny>,
    dim: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = signatures.py();
    let d = count("dim", dim, 1)?;
    let depth = count("depth", depth, 1)?;
    let size = core::size(d, depth, 1).map_err(refused)?;
    let words = format!("(b, {size})");
    let input = table::<T>("signatures", signatures, &words, [None, Some(size)])?;
    let b = input.shape()[0];
    let values = input.slice()?;
    let found = py
        .detach(|| core::signature_logarithm(values, d, depth))
        .map_err(refused)?;
    output(py, found, (b, size)).map(any)
}
