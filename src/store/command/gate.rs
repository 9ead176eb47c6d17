//! What the gate says of a version, and what an operator is alarmed of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::versions::Changes;
use crate::fingerprint::{Fingerprint, Kind};
use crate::list::{Category, ListName, Role, VersionNumber};
use crate::store::gate::Limit;

/// The longest reason that is taken for the history, in bytes.
pub const REASON_MAX: usize = 1_000;

/// A version that did not pass the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Held {
    /// Its number.
    pub version: VersionNumber,
    /// Since when, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// Whether it was held before, and came again as it was.
    #[serde(default)]
    pub already: bool,
    /// The version that answers on; none if it is the list's first.
    pub in_force: Option<VersionNumber>,
    /// Why it is held.
    pub reasons: Vec<HoldReason>,
    /// Against the version that answers on.
    pub changes: BTreeMap<Kind, Changes>,
    /// What it and other lists say the opposite of. The entries are told to those only who may change lists.
    #[serde(default, skip_serializing_if = "Overlap::is_empty")]
    pub overlap: Overlap,
    /// A version that was held until this one came, and is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<VersionNumber>,
}

/// Why a version is held. Counts are of fingerprints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldReason {
    /// Nothing stands in it.
    #[error("it is empty, and the version in force holds {of}")]
    Emptied {
        /// What the version in force holds.
        of: u64,
    },
    /// Much is gone.
    #[error("it lacks {removed} {kind} of the {of} in force (limit: {limit})")]
    Shrunk {
        /// The kind.
        kind: Kind,
        /// What is gone.
        removed: u64,
        /// What the version in force holds.
        of: u64,
        /// What may be gone.
        limit: Limit,
    },
    /// Much has come.
    #[error("it adds {added} {kind} to the {of} in force (limit: {limit})")]
    Grown {
        /// The kind.
        kind: Kind,
        /// What has come.
        added: u64,
        /// What the version in force holds; if nothing of the kind, then of the kind that it holds most of.
        of: u64,
        /// What may come.
        limit: Limit,
    },
    /// Much of what was read is the same everywhere: empty files, flat pictures.
    #[error("{count} of its {of} fingerprints were of content that identifies nothing (limit: {limit})")]
    Degenerate {
        /// What was dropped.
        count: u64,
        /// All that was read.
        of: u64,
        /// What may be dropped.
        limit: Limit,
    },
    /// Such content stands in it all the same.
    #[error("{count} of its fingerprints are of content that identifies nothing, which should have been dropped")]
    NotDropped {
        /// How much.
        count: u64,
    },
    /// Other lists say the opposite.
    #[error("other lists say the opposite of {new} of the {of} that it newly calls {role} (limit: {limit})")]
    Contradicts {
        /// What this version calls them: `illegal`, which others call `ignorable`, or the other way round.
        role: Role,
        /// How many, those not counted that the version in force calls so already.
        new: u64,
        /// How many the version calls so.
        of: u64,
        /// How many may be contradicted.
        limit: Limit,
    },
    /// Some other list could not be asked.
    #[error("other lists cannot all be asked about it: {found}")]
    Unchecked {
        /// The file, and what is wrong with it.
        found: String,
    },
}

/// What a version and other lists say the opposite of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Overlap {
    /// Fingerprints of which the version in force does not say it already.
    pub new: u64,
    /// All fingerprints.
    pub total: u64,
    /// By other list and kind.
    pub lists: Vec<OverlapWith>,
    /// The first [`Overlap::ENTRIES_MAX`] new ones, entry by entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<OverlapEntry>,
}

impl Overlap {
    /// How many are told one by one.
    pub const ENTRIES_MAX: usize = 1_000;

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The counts alone, which give away nothing of what lists hold.
    pub(crate) fn without_entries(self) -> Overlap {
        Overlap { entries: Vec::new(), ..self }
    }
}

/// What a version and one other list say the opposite of, of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct OverlapWith {
    /// The other list.
    pub list: ListName,
    /// The kind.
    pub kind: Kind,
    /// What the other list calls them.
    pub role: Role,
    /// Fingerprints of which the version in force does not say it already.
    pub new: u64,
    /// All fingerprints.
    pub total: u64,
}

/// One fingerprint of which a version and another list say the opposite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct OverlapEntry {
    /// The version's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its category there.
    pub category: Option<Category>,
    /// The other list.
    pub list: ListName,
    /// What the other list calls it.
    pub role: Role,
    /// Its category there.
    pub list_category: Option<Category>,
    /// Of a perceptual kind: in how many bits the other list's code differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<u16>,
}

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "alarm", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Alarm {
    /// One command or one version took much away from a list.
    #[error("{removed} of {of} fingerprints were taken away at once")]
    MassDeletion {
        /// The version that lacks them; `None` for a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<VersionNumber>,
        /// What is gone.
        removed: u64,
        /// What the list held.
        of: u64,
    },
    /// One window of a feed took many of its entries away.
    #[error("{removed} of {of} entries were deleted by the feed")]
    MassDeletionByFeed {
        /// Entries that are gone, as far as the window has been read when the alarm was raised.
        removed: u64,
        /// Entries that the list held.
        of: u64,
    },
    /// A version did not pass the gate.
    #[error("version {version} is held")]
    Held {
        /// The version.
        version: VersionNumber,
    },
}

impl Alarm {
    /// Its sort, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Alarm::MassDeletion { .. } => "mass_deletion",
            Alarm::MassDeletionByFeed { .. } => "mass_deletion_by_feed",
            Alarm::Held { .. } => "held",
        }
    }

    /// The version it is about.
    pub fn version(&self) -> Option<VersionNumber> {
        match self {
            Alarm::MassDeletion { version, .. } => *version,
            Alarm::Held { version } => Some(*version),
            Alarm::MassDeletionByFeed { .. } => None,
        }
    }
}

/// An alarm that nobody has acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RaisedAlarm {
    /// The batch that raised it.
    pub seq: u64,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The list that it is about.
    pub list: Option<ListName>,
    /// What happened.
    #[serde(flatten)]
    pub alarm: Alarm,
}
