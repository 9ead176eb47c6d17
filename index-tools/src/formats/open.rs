//! Opens a list file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::FormatError;
use super::limits::HEAD_BYTES;

/// How far a compressed list may unfold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub max_bytes: u64,
    /// Bytes after decompression for each compressed byte.
    pub max_ratio: u64,
}

impl Default for Limits {
    /// A tebibyte, and a ratio of 200: digests hardly shrink, so real lists stay below 50.
    fn default() -> Limits {
        Limits { max_bytes: 1 << 40, max_ratio: 200 }
    }
}

/// Opens a list file as plain UTF-8 bytes.
///
/// # Errors
/// [`FormatError::Io`] if it cannot be read.
pub fn open(path: &Path, _limits: &Limits) -> Result<Box<dyn BufRead + Send>, FormatError> {
    let file = File::open(path)?;
    Ok(Box::new(BufReader::with_capacity(HEAD_BYTES, file)))
}
