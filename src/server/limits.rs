//! Everything that bounds the daemon, in one place: the names are those of `[limits]` in the config.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Kind, KindRadius, Radii, Radius};
use crate::protocol::DEFAULT_MAX_FRAME_BYTES;

/// Bounds of the daemon. Beyond each there is an answer that says so, never a silent loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once, over all listeners. One more is told BUSY and closed. Default 256.
    pub connections: u64,
    /// Of the connections over TLS, those over which nobody who has any right asked yet; one more is closed. Default 64.
    pub strangers: u64,
    /// The most bytes of one frame, its length field included; a longer one ends its connection. An answer that would
    /// be longer is an ERROR. Default 16 MiB, which holds 65,536 values of the widest kind.
    pub frame_bytes: u32,
    /// Memory for frames, and for bodies of HTTP requests, above 256 KiB while they are read and answered, over all
    /// connections. One that finds no room is read away and answered BUSY. Smaller ones live in their connection's own
    /// buffer. Default 256 MiB.
    pub large_frame_bytes: u64,
    /// Answers of one connection, in bytes, that may wait to be written; then the connection reads no further request.
    /// Default 256 KiB.
    pub unwritten_bytes: usize,
    /// Commands under way on one connection; one more is answered BUSY. Default 4.
    pub commands_per_connection: u32,
    /// Commands under way over all connections; one more is answered BUSY. Default 16.
    pub commands: u64,
    /// Readers of match events at once, over all connections; one more is answered BUSY. Default 16.
    pub event_readers: u64,
    /// Values of perceptual kinds in one LOOKUP; each costs as much as thousands of exact ones. Default 1,024.
    pub near_values: u32,
    /// The widest radius that a question may name, by kind; for kinds not named here, the kind's own default. Default
    /// `{ pdq = 40, phash64 = 8, dhash64 = 8, blockhash64 = 8 }`.
    pub radii: Radii,
    /// The largest content of a file that is asked about, in bytes. Default 4 GiB.
    pub content_bytes: u64,
    /// Memory for pictures while they come and are decoded, over all connections, in bytes; what finds no room is
    /// answered BUSY. Default 512 MiB.
    pub content_memory_bytes: u64,
    /// Seconds in which a file whose descriptor is passed must have been read. Default 30.
    pub content_s: u64,
    /// Seconds in which somebody who has any right must have asked over a TLS connection. Default 10.
    pub stranger_s: u64,
    /// Seconds until a connection without any request is closed. Default 600.
    pub idle_s: u64,
    /// Seconds in which a frame that has begun must be complete. Default 10.
    pub frame_s: u64,
    /// Seconds in which a client must have taken the answers that wait for it. Default 10.
    pub write_s: u64,
    /// Seconds that requests have to be finished when the daemon stops or a listener is removed. Default 5.
    pub drain_s: u64,
}

/// The smallest `frame_bytes`: one row of all kinds, and any answer that people would call ordinary.
const FRAME_BYTES_MIN: u32 = 4 << 10;

/// Descriptors that are kept for the daemon's own files, pipes and sockets, so that connections never take the last one.
const OWN_DESCRIPTORS: u64 = 256;

/// The largest `frame_bytes`.
const FRAME_BYTES_MAX: u32 = 1 << 30;

/// The longest wait, a year: a moment so far ahead that no clock holds it would end whoever waits for it.
const SECONDS_MAX: u64 = 365 * 86_400;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            strangers: 64,
            frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            large_frame_bytes: 256 << 20,
            unwritten_bytes: 256 << 10,
            commands_per_connection: 4,
            commands: 16,
            event_readers: 16,
            near_values: 1_024,
            radii: ["pdq=40", "phash64=8", "dhash64=8", "blockhash64=8"]
                .into_iter()
                .map(|text| text.parse::<KindRadius>().expect("defaults are within the kinds' bounds"))
                .collect(),
            content_bytes: 4 << 30,
            content_memory_bytes: 512 << 20,
            content_s: 30,
            stranger_s: 10,
            idle_s: 600,
            frame_s: 10,
            write_s: 10,
            drain_s: 5,
        }
    }
}

/// A bound with which the daemon could not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name}: expected {expected}, found {found}")]
pub struct BadLimit {
    /// The bound.
    pub name: &'static str,
    expected: String,
    found: u64,
}

impl Limits {
    /// Checks that each bound leaves room for something, and that they agree with one another.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BadLimit> {
        let bad = |name, expected, found| Err(BadLimit { name, expected, found });
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&self.frame_bytes) {
            let expected = format!("{FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}");
            return bad("frame_bytes", expected, self.frame_bytes.into());
        }
        if self.large_frame_bytes < self.frame_bytes.into() {
            let expected = format!("at least frame_bytes, which is {}", self.frame_bytes);
            return bad("large_frame_bytes", expected, self.large_frame_bytes);
        }
        for (name, value) in [
            ("connections", self.connections),
            ("strangers", self.strangers),
            ("unwritten_bytes", self.unwritten_bytes as u64),
            ("commands_per_connection", self.commands_per_connection.into()),
            ("commands", self.commands),
            ("event_readers", self.event_readers),
            ("near_values", self.near_values.into()),
            ("content_bytes", self.content_bytes),
            ("content_memory_bytes", self.content_memory_bytes),
        ] {
            if value == 0 {
                return bad(name, "at least 1".to_owned(), value);
            }
        }
        for (name, value) in [
            ("content_s", self.content_s),
            ("stranger_s", self.stranger_s),
            ("idle_s", self.idle_s),
            ("frame_s", self.frame_s),
            ("write_s", self.write_s),
            ("drain_s", self.drain_s),
        ] {
            if !(1..=SECONDS_MAX).contains(&value) {
                return bad(name, format!("1 to {SECONDS_MAX}"), value);
            }
        }
        Ok(())
    }

    /// These bounds with as many connections as the system has descriptors for; raises the soft limit on descriptors
    /// to the hard one first. Beyond them the kernel would refuse to accept, and clients would wait without a word.
    pub(super) fn within_descriptors(self) -> Limits {
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
            match setrlimit(Resource::Nofile, raised) {
                Ok(()) => limit = raised,
                Err(error) => tracing::warn!(%error, "the soft limit on descriptors stays as it is"),
            }
        }
        self.within(limit.current.unwrap_or(u64::MAX))
    }

    fn within(mut self, descriptors: u64) -> Limits {
        let room = descriptors.saturating_sub(OWN_DESCRIPTORS).max(1);
        if self.connections > room {
            let (connections, needed) = (self.connections, self.connections.saturating_add(OWN_DESCRIPTORS));
            tracing::warn!(
                connections,
                descriptors,
                "the hard limit on descriptors leaves room for {room} connections, more are told BUSY; raise it to \
                 {needed} (LimitNOFILE= of a systemd unit, or ulimit -Hn), or lower limits.connections"
            );
            self.connections = room;
        }
        self
    }

    /// The widest radius that a question may name for a perceptual kind.
    pub(super) fn radius(&self, kind: Kind) -> Radius {
        self.radii.get(kind).or(kind.radius_default()).unwrap_or(Radius(0))
    }

    pub(super) fn stranger(&self) -> Duration {
        Duration::from_secs(self.stranger_s)
    }

    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_s)
    }

    pub(super) fn frame(&self) -> Duration {
        Duration::from_secs(self.frame_s)
    }

    pub(super) fn write(&self) -> Duration {
        Duration::from_secs(self.write_s)
    }

    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_s)
    }
}

/// Counts what is in use of something bounded. The bound is given with each take, since a reload may change it.
#[derive(Debug, Default)]
pub(super) struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Takes `amount` if the sum stays within `limit`.
    pub(super) fn take(&self, amount: u64, limit: u64) -> Option<Taken> {
        let within = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()?;
        Some(Taken { gauge: Arc::clone(&self.0), amount })
    }

    /// Takes nothing yet, to [grow](Taken::grow).
    pub(super) fn take_nothing(&self) -> Taken {
        Taken { gauge: Arc::clone(&self.0), amount: 0 }
    }

    /// What is in use.
    pub(super) fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Taken {
    /// Takes `amount` more if the sum of all stays within `limit`. Returns whether it did.
    pub(super) fn grow(&mut self, amount: u64, limit: u64) -> bool {
        let more = Gauge(Arc::clone(&self.gauge)).take(amount, limit);
        let taken = more.is_some();
        if let Some(mut more) = more {
            self.amount += std::mem::take(&mut more.amount);
        }
        taken
    }
}

/// What was taken from a [`Gauge`], given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    gauge: Arc<AtomicU64>,
    amount: u64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.gauge.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_never_exceeds_its_limit() {
        let gauge = Gauge::default();
        let first = gauge.take(3, 4).unwrap();
        assert!(gauge.take(2, 4).is_none());
        let mut second = gauge.take(0, 4).unwrap();
        assert!(!second.grow(2, 4) && second.grow(1, 4));
        assert!(gauge.take(u64::MAX, 4).is_none());
        drop(first);
        assert_eq!(gauge.used(), 1);
        drop(second);
        assert_eq!(gauge.used(), 0);
    }

    #[test]
    fn connections_leave_the_daemon_its_own_descriptors() {
        let asked = |connections| Limits { connections, ..Limits::default() };
        assert_eq!(asked(768).within(1_024), asked(768));
        assert_eq!(asked(769).within(1_024), asked(768));
        assert_eq!(asked(u64::MAX).within(64), asked(1));
        assert_eq!(asked(u64::MAX).within(u64::MAX), asked(u64::MAX - OWN_DESCRIPTORS));
    }

    #[test]
    fn bounds_that_leave_no_room_are_refused() {
        assert_eq!(Limits::default().check(), Ok(()));
        for bad in [
            Limits { connections: 0, ..Limits::default() },
            Limits { frame_bytes: 100, ..Limits::default() },
            Limits { large_frame_bytes: 1, ..Limits::default() },
            Limits { drain_s: 0, ..Limits::default() },
            Limits { idle_s: i64::MAX as u64, ..Limits::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
