//! Section 12: the normative error names.

use std::fmt;

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorName {
    BadSignature,
    BadVersion,
    BadHeader,
    Truncated,
    TrailingData,
    Checksum,
    BadManifest,
    BadStream,
    UnknownFeature,
    LimitMemory,
}

impl ErrorName {
    /// The name as the specification writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorName::BadSignature => "bad-signature",
            ErrorName::BadVersion => "bad-version",
            ErrorName::BadHeader => "bad-header",
            ErrorName::Truncated => "truncated",
            ErrorName::TrailingData => "trailing-data",
            ErrorName::Checksum => "checksum",
            ErrorName::BadManifest => "bad-manifest",
            ErrorName::BadStream => "bad-stream",
            ErrorName::UnknownFeature => "unknown-feature",
            ErrorName::LimitMemory => "limit-memory",
        }
    }
}

/// A normative name and an explanation for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub name: ErrorName,
    pub explanation: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.as_str(), self.explanation)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn new(name: ErrorName, explanation: impl Into<String>) -> Error {
        Error {
            name,
            explanation: explanation.into(),
        }
    }

    /// The same error, saying where it was met.
    pub(crate) fn at(mut self, place: &str) -> Error {
        self.explanation = format!("{place}: {}", self.explanation);
        self
    }
}

pub(crate) fn bad_header<T>(explanation: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorName::BadHeader, explanation))
}

pub(crate) fn bad_manifest<T>(explanation: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorName::BadManifest, explanation))
}

pub(crate) fn bad_stream<T>(explanation: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorName::BadStream, explanation))
}

pub(crate) fn unknown<T>(explanation: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorName::UnknownFeature, explanation))
}

pub(crate) fn limit_memory<T>(explanation: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorName::LimitMemory, explanation))
}
