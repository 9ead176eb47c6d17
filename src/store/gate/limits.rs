//! What the gate lets through, and from where on an alarm is raised.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Exceeded by what is both more than a share and more than a number: so a small list is not held for an entry or two,
/// nor a large one for a number that means nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The share, 1 being all of it.
    pub share: f64,
    /// The number of fingerprints.
    pub entries: u64,
}

impl Limit {
    /// A limit that nothing exceeds.
    pub const NONE: Limit = Limit { share: f64::MAX, entries: u64::MAX };

    /// A limit by share and number.
    pub const fn new(share: f64, entries: u64) -> Limit {
        Limit { share, entries }
    }

    /// Whether `count` fingerprints out of `of` are too many.
    pub fn is_exceeded(&self, count: u64, of: u64) -> bool {
        count > self.entries && count as f64 > self.share * of as f64
    }
}

/// `10 % and 20`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To a hundredth of a percent, without the zeros that say nothing.
        let percent = (self.share * 10_000.0).round() / 100.0;
        write!(f, "{percent} % and {}", self.entries)
    }
}

/// The limits of a new version, and of alarms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateLimits {
    /// Of each kind: what the version in force holds and the new one lacks.
    pub shrink: Limit,
    /// Of each kind: what the new version holds and the one in force lacks.
    pub growth: Limit,
    /// Degenerate fingerprints that were dropped from what was read.
    pub degenerate: Limit,
    /// What the new version calls illegal and ignorable lists hold, unless the version in force called it so already.
    pub benign_in_illegal: Limit,
    /// What the new version calls ignorable and illegal lists hold, likewise.
    pub illegal_in_ignorable: Limit,
    /// What one command or one version takes away from what a list holds, from where on an alarm is raised.
    pub deletion: Limit,
}

/// A list of benign material can wait, and one that holds illegal material hides it; so there a single fingerprint is too
/// much. Holding a list of illegal material means matches that are missed meanwhile, and what it shares with benign lists
/// is answered as `conflict`; so there a few are let through and reported.
impl Default for GateLimits {
    fn default() -> GateLimits {
        GateLimits {
            shrink: Limit::new(0.1, 10),
            growth: Limit::new(1.0, 10_000),
            degenerate: Limit::new(0.05, 100),
            benign_in_illegal: Limit::new(0.001, 10),
            illegal_in_ignorable: Limit::new(0.0, 0),
            deletion: Limit::new(0.05, 100),
        }
    }
}

impl GateLimits {
    /// Limits with which only a version is held that empties its list, or that could not be checked.
    pub const NONE: GateLimits = GateLimits {
        shrink: Limit::NONE,
        growth: Limit::NONE,
        degenerate: Limit::NONE,
        benign_in_illegal: Limit::NONE,
        illegal_in_ignorable: Limit::NONE,
        deletion: Limit::NONE,
    };

    /// Refuses a share that is none.
    ///
    /// # Errors
    /// [`BadGateLimit`] names the limit.
    pub fn check(&self) -> Result<(), BadGateLimit> {
        let GateLimits { shrink, growth, degenerate, benign_in_illegal, illegal_in_ignorable, deletion } = self;
        for (name, limit) in [
            ("shrink", shrink),
            ("growth", growth),
            ("degenerate", degenerate),
            ("benign_in_illegal", benign_in_illegal),
            ("illegal_in_ignorable", illegal_in_ignorable),
            ("deletion", deletion),
        ] {
            if limit.share.is_nan() || limit.share < 0.0 {
                return Err(BadGateLimit { name, found: limit.share });
            }
        }
        Ok(())
    }
}

/// A share that is no share.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("gate.{name}.share: expected a share from 0, where 1 is all, found {found}")]
pub struct BadGateLimit {
    /// The limit.
    pub name: &'static str,
    /// The share that was given.
    pub found: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_exceeded_by_share_and_number_together() {
        let limit = Limit::new(0.1, 10);
        for (count, of, expected) in
            [(0, 0, false), (10, 10, false), (11, 11, true), (11, 110, false), (12, 110, true), (100, 1_000, false)]
        {
            assert_eq!(limit.is_exceeded(count, of), expected, "{count} of {of}");
        }
        assert!(Limit::new(0.0, 0).is_exceeded(1, u64::MAX));
        assert!(!Limit::NONE.is_exceeded(u64::MAX, 0));
        assert_eq!(limit.to_string(), "10 % and 10");
        assert_eq!(Limit::new(0.0005, 1).to_string(), "0.05 % and 1");
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        GateLimits::default().check().unwrap();
        GateLimits::NONE.check().unwrap();
        for share in [-0.1, f64::NAN] {
            let limits = GateLimits { growth: Limit::new(share, 0), ..GateLimits::default() };
            assert!(limits.check().unwrap_err().to_string().starts_with("gate.growth.share: expected"));
        }
    }
}
