//! Everything that bounds the workers, in one place: the names are those of `[pictures]` in the config.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sandbox::ProcessLimits;
use super::wire::PICTURE_BYTES_MAX;
use crate::media::picture::DecodeLimits;

/// Address space for the program itself, its stack, and what stands beside the picture's bytes and pixels.
const PROGRAM_BYTES: u64 = 128 << 20;

/// The most pixels that any picture may have: beyond it, crate `image_hasher` adds up more than its numbers hold.
const PIXELS_MAX: u64 = 300_000_000;

/// The least memory to decode with: below it, ordinary photos fail.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// How many workers there are, and how much each picture may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Worker processes. Default: one a processor.
    pub workers: usize,
    /// Pictures that may wait for a worker; one more is busy. Each is held in memory. Default 8.
    pub queue: usize,
    /// Pictures after which a worker is replaced by a fresh one. Default 1,000.
    pub jobs: u32,
    /// Seconds in which a picture must be decoded, once a worker has begun. Default 10.
    pub deadline_s: u64,
    /// Seconds of processor time that a picture may use. Default 10.
    pub cpu_s: u64,
    /// The largest file that is decoded, in bytes. Default 128 MiB.
    pub input_bytes: u64,
    /// The most pixels that a picture may have. Default 100 million.
    pub pixels: u64,
    /// The most memory that decoding a picture may take, in bytes. Default 1 GiB.
    pub memory_bytes: u64,
}

impl Default for WorkerConfig {
    fn default() -> WorkerConfig {
        let limits = DecodeLimits::default();
        WorkerConfig {
            workers: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 8,
            jobs: 1_000,
            deadline_s: 10,
            cpu_s: 10,
            input_bytes: limits.input_bytes_max,
            pixels: limits.pixels_max,
            memory_bytes: limits.memory_bytes_max,
        }
    }
}

/// A bound with which no picture could be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pictures.{name}: expected {expected}, found {found}")]
pub struct BadWorkerConfig {
    /// The bound.
    pub name: &'static str,
    expected: String,
    found: u64,
}

impl WorkerConfig {
    /// Checks that each bound leaves room for something.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BadWorkerConfig> {
        for (name, found, least, most) in [
            ("workers", self.workers as u64, 1, 1_024),
            ("queue", self.queue as u64, 1, 65_536),
            ("jobs", self.jobs.into(), 1, u32::MAX.into()),
            ("deadline_s", self.deadline_s, 1, 3_600),
            ("cpu_s", self.cpu_s, 1, 3_600),
            ("input_bytes", self.input_bytes, 1, PICTURE_BYTES_MAX),
            ("pixels", self.pixels, 1, PIXELS_MAX),
            ("memory_bytes", self.memory_bytes, MEMORY_BYTES_MIN, 1 << 40),
        ] {
            if !(least..=most).contains(&found) {
                return Err(BadWorkerConfig { name, expected: format!("{least} to {most}"), found });
            }
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    /// The limits that decoding keeps by itself.
    pub fn limits(&self) -> DecodeLimits {
        DecodeLimits { input_bytes_max: self.input_bytes, pixels_max: self.pixels, memory_bytes_max: self.memory_bytes }
    }

    /// The limits that hold a worker where a decoder does not keep its own.
    pub(super) fn process_limits(&self) -> ProcessLimits {
        let address_space_bytes = self.memory_bytes.saturating_add(self.input_bytes).saturating_add(PROGRAM_BYTES);
        ProcessLimits { address_space_bytes, cpu_s: self.cpu_s, jobs: self.jobs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_leave_no_room_are_refused() {
        assert_eq!(WorkerConfig::default().check(), Ok(()));
        for bad in [
            WorkerConfig { workers: 0, ..WorkerConfig::default() },
            WorkerConfig { deadline_s: 0, ..WorkerConfig::default() },
            WorkerConfig { input_bytes: u64::MAX, ..WorkerConfig::default() },
            WorkerConfig { memory_bytes: 1, ..WorkerConfig::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
