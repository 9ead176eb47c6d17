//! Readers that hold decompression to its limits.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Limits;
use super::error::{Refusal, Refused};

/// Bytes that may come out of however few: small repetitive files are harmless.
const RATIO_GRACE_BYTES: u64 = 64 << 20;

/// Counts the bytes that are read from `inner`.
pub(super) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R, count: Arc<AtomicU64>) -> Counted<R> {
        Counted { inner, count }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Passes on what a decompressor gives, up to the limits.
pub(super) struct Bounded<R> {
    inner: R,
    compressed: Arc<AtomicU64>,
    limits: Limits,
    passed_bytes: u64,
}

impl<R> Bounded<R> {
    /// `compressed` counts what `inner` has read.
    pub(super) fn new(inner: R, compressed: Arc<AtomicU64>, limits: Limits) -> Bounded<R> {
        Bounded { inner, compressed, limits, passed_bytes: 0 }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.passed_bytes += read as u64;
        if self.passed_bytes > self.limits.max_bytes {
            return Err(too_large(format!("at most {} bytes after decompression", self.limits.max_bytes)));
        }
        let by_ratio = self.compressed.load(Ordering::Relaxed).saturating_mul(self.limits.max_ratio);
        if self.passed_bytes > by_ratio.max(RATIO_GRACE_BYTES) {
            return Err(too_large(format!("at most {} bytes out of each compressed one", self.limits.max_ratio)));
        }
        Ok(read)
    }
}

fn too_large(expected: String) -> io::Error {
    Refused::new(Refusal::Limit, expected, "more", "if you trust the file, decompress it yourself").into()
}
