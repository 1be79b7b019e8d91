//! The one error of the kernels: an argument that cannot be worked with.

use std::fmt;

/// An argument was refused. The message begins with the argument's name and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// The error that says `problem` of the argument at `place`, for instance `bids[3]`.
    pub fn new(place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self(format!("{place} {problem}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
