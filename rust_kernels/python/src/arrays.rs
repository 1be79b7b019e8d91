//! Arrays at the border: borrowed where they are C-contiguous, copied where they are strided.

use numpy::ndarray::{Array, Dimension};
use numpy::{
    Element, IntoPyArray, PyArray, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The error of a kernel as a Python exception.
pub fn refused(error: labkit_core::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A read-only argument whose values lie in one piece, in C order.
pub struct Input<'py, T: Element, D: Dimension> {
    name: &'static str,
    array: PyReadonlyArray<'py, T, D>,
}

impl<'py, T: Element, D: Dimension> Input<'py, T, D> {
    /// The argument `name`; `shape` describes what it must look like, for the message.
    pub fn new(name: &'static str, value: &Bound<'py, PyAny>, shape: &str) -> PyResult<Self> {
        let py = value.py();
        let expected = numpy::dtype::<T>(py);
        let Ok(untyped) = value.cast::<PyUntypedArray>() else {
            return Err(PyTypeError::new_err(format!(
                "{name} must be a numpy array of {expected}, got {}",
                value.get_type().name()?
            )));
        };
        if !untyped.dtype().is_equiv_to(&expected) {
            return Err(PyTypeError::new_err(format!(
                "{name} must be an array of {expected}, got {}",
                untyped.dtype()
            )));
        }
        let wrong_shape = || shape_error(name, shape, untyped.shape());
        let in_place = untyped.is_c_contiguous() && untyped.is_aligned();
        let value = if in_place {
            value.clone()
        } else {
            value.call_method1("copy", ("C",))?
        };
        let array = value.cast::<PyArray<T, D>>().map_err(|_| wrong_shape())?;
        let array = array
            .try_readonly()
            .map_err(|e| PyValueError::new_err(format!("{name} cannot be read: {e}")))?;
        Ok(Self { name, array })
    }

    /// The values, row by row.
    pub fn slice(&self) -> PyResult<&[T]> {
        self.array
            .as_slice()
            .map_err(|e| PyValueError::new_err(format!("{} cannot be read: {e}", self.name)))
    }

    /// Length along each axis.
    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }
}

fn shape_error(name: &str, expected: &str, got: &[usize]) -> PyErr {
    let got: Vec<String> = got.iter().map(ToString::to_string).collect();
    let comma = if got.len() == 1 { "," } else { "" };
    PyValueError::new_err(format!(
        "{name} must have shape {expected}, got ({}{comma})",
        got.join(", ")
    ))
}

/// Levels of one side: an array of shape (n, 2).
pub fn levels<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Input<'py, f64, numpy::Ix2>> {
    let input = Input::new(name, value, "(n, 2)")?;
    if input.shape()[1] != 2 {
        return Err(shape_error(name, "(n, 2)", input.shape()));
    }
    Ok(input)
}

/// A vector of `length` values, any number where it is `None`.
pub fn vector<'py, T: Element>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    length: Option<usize>,
) -> PyResult<Input<'py, T, numpy::Ix1>> {
    let shape = length.map_or("(k,)".to_owned(), |n| format!("({n},)"));
    let input = Input::new(name, value, &shape)?;
    if length.is_some_and(|n| n != input.shape()[0]) {
        return Err(shape_error(name, &shape, input.shape()));
    }
    Ok(input)
}

/// A square matrix and its order.
pub fn square<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Input<'py, f64, numpy::Ix2>, usize)> {
    let input = Input::new(name, value, "(n, n)")?;
    let &[rows, columns] = input.shape() else {
        return Err(shape_error(name, "(n, n)", input.shape()));
    };
    if rows != columns {
        return Err(shape_error(name, "(n, n)", input.shape()));
    }
    Ok((input, rows))
}

/// Books of both sides, stacked: two arrays of one shape (m, depth, 2), and m and depth.
#[allow(clippy::type_complexity)]
pub fn stacks<'py>(
    bids: &Bound<'py, PyAny>,
    asks: &Bound<'py, PyAny>,
) -> PyResult<(
    Input<'py, f64, numpy::Ix3>,
    Input<'py, f64, numpy::Ix3>,
    usize,
    usize,
)> {
    let bids = Input::new("bids", bids, "(m, depth, 2)")?;
    let &[m, depth, 2] = bids.shape() else {
        return Err(shape_error("bids", "(m, depth, 2)", bids.shape()));
    };
    let asks = Input::new("asks", asks, "(m, depth, 2)")?;
    if asks.shape() != bids.shape() {
        return Err(shape_error(
            "asks",
            &format!("({m}, {depth}, 2), as bids"),
            asks.shape(),
        ));
    }
    Ok((bids, asks, m, depth))
}

/// A fresh vector, copied: quicker than handing over the memory where it is short.
pub fn short<'py, T: Element>(py: Python<'py>, values: &[T]) -> Bound<'py, numpy::PyArray1<T>> {
    numpy::PyArray1::from_slice(py, values)
}

/// A fresh array of a shape that holds exactly the values.
pub fn output<'py, T: Element, S, D>(
    py: Python<'py>,
    values: Vec<T>,
    shape: S,
) -> PyResult<Bound<'py, PyArray<T, D>>>
where
    D: Dimension,
    S: Into<numpy::ndarray::StrideShape<D>>,
{
    Array::from_shape_vec(shape, values)
        .map(|array| array.into_pyarray(py))
        .map_err(|e| PyValueError::new_err(format!("result has the wrong shape: {e}")))
}
