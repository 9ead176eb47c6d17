//! Entries: added, withdrawn, and read out in pages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, Kind, Radii};
use crate::list::{ListShape, Roles, Source};

/// Answer to [`super::Command::Add`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Added {
    /// Whether the list was created.
    pub created: bool,
    /// Entries with a new source id.
    pub added: u64,
    /// Entries that replaced one of the same source id.
    pub replaced: u64,
    /// Entries that were there already, just so.
    pub unchanged: u64,
    /// Fingerprints of degenerate content, which were dropped.
    pub degenerate: u64,
}

/// Answer to [`super::Command::Withdraw`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Withdrawn {
    /// How many the list named, and names no more.
    pub withdrawn: u64,
    /// Those that the list did not name.
    pub not_held: Vec<Fingerprint>,
}

/// Answer to [`super::Command::Contents`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Contents {
    /// The list's number and the version that is told; [`crate::list::VersionNumber::LIVE`] of a feed list.
    pub source: Source,
    /// File or feed.
    pub shape: ListShape,
    /// The roles of its labels.
    pub roles: Roles,
    /// The list's own radii; kinds not named have their kind's default.
    #[serde(default, skip_serializing_if = "Radii::is_empty")]
    pub radii: Radii,
    /// Distinct fingerprints by kind. Of a version: as built, withdrawals not subtracted.
    pub fingerprints: BTreeMap<Kind, u64>,
    /// A version's segment files, as paths in the data folder, all labels in them being of this version. The store
    /// removes them when the version goes, so whoever reads them opens them at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<Kind, String>,
    /// A version's records files, likewise, oldest source first; none unless the records of all its sources were kept.
    /// They tell more than the segments where something was withdrawn before the version was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<String>,
    /// Fingerprints withdrawn from the version since it was built; [`super::Command::Withdrawals`] tells which.
    pub withdrawn: u64,
    /// Entries of a feed list, which [`super::Command::Entries`] tells; records in the records files of a version.
    pub entries: u64,
}

/// Part of an answer that may be long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// In the order that the command names.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// JSON from which on a [`Page`] is full, in bytes; one long item alone may be longer.
pub const PAGE_BYTES: usize = 256 << 10;
