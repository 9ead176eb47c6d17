//! Feeds: changes that they bring, how far they have been read, and what cannot be.

use serde::{Deserialize, Serialize};

use crate::list::{Entry, ListName, Roles};

/// The most items of a feed that are noted as not readable: a source gone wrong shall not fill the catalogue.
pub const FAULTS_MAX: u64 = 1_000;

/// The most source ids that are told at a time.
pub const SOURCE_IDS_MAX: usize = 10_000;

/// Changes of a feed, for [`super::Command::ApplyFeed`]: durable and searchable together, or not at all.
///
/// Of the states of one source id the one with the latest `changed_at` counts, in whatever order and however often they
/// come, deletions among them; of two of the same time, or without one, the one that comes last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedChanges {
    /// The list that the feed fills.
    pub list: ListName,
    /// The roles that it has from now on. Without them an existing list keeps its own, and one that does not exist is
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Roles>,
    /// Entries as they are from now on. One without fingerprints, or with degenerate ones only, says nothing any
    /// more, and counts as a state like any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// Entries that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<Deleted>,
    /// Items that cannot be read; noted, up to [`FAULTS_MAX`], each with how often it was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FeedFault>,
    /// Items of earlier faults that can be read now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Where the next window begins, as the source writes it: given with the last changes of a window, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What the list's checkpoint must still be: a list that was restored or removed meanwhile is not gone on with, for
    /// what was read before would never be read again. Not checked if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continues>,
}

/// The checkpoint that changes of a feed go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Continues {
    /// `None` while the list has none.
    pub checkpoint: Option<String>,
}

impl FeedChanges {
    /// No changes yet.
    pub fn of(list: ListName) -> FeedChanges {
        FeedChanges {
            list,
            roles: None,
            entries: Vec::new(),
            deleted: Vec::new(),
            faults: Vec::new(),
            mended: Vec::new(),
            checkpoint: None,
            continues: None,
        }
    }
}

/// An entry that its source has deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Deleted {
    /// The source's own key for it.
    pub source_id: String,
    /// When, as in [`Entry::changed_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<i64>,
}

/// An item of a feed that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedFault {
    /// Which one: its source id, or where it stands.
    pub item: String,
    /// What was expected, and found.
    pub fault: String,
}

/// How an attempt to read a feed ended, for [`super::Command::NoteFeed`]. The list may be of any shape, and must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedNote {
    /// The list that the feed fills.
    pub list: ListName,
    /// How far it has been read now, for sources whose changes are not applied by [`super::Command::ApplyFeed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Why it was not read to its end; without it, it was, and the list is as new as its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Answer to [`super::Command::ApplyFeed`]; changes, each counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedApplied {
    /// Whether the list was created.
    pub created: bool,
    /// Entries with a new source id.
    pub added: u64,
    /// Entries that replaced one of the same source id.
    pub replaced: u64,
    /// Entries that were there already, just so, and deletions of what was not there.
    pub unchanged: u64,
    /// Entries that are gone.
    pub deleted: u64,
    /// Changes that were not taken, for a later state is held.
    pub older: u64,
    /// Fingerprints of degenerate content, which were dropped.
    pub degenerate: u64,
}

/// Answer to [`super::Command::FeedState`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedState {
    /// Where the next window begins; without it, at the beginning.
    pub checkpoint: Option<String>,
    /// When it was last read to its end, in seconds since 1970-01-01 UTC.
    pub synced_at: Option<u64>,
    /// When that was last tried, likewise.
    pub attempted_at: Option<u64>,
    /// Why the last attempt failed, if it did.
    pub fault: Option<String>,
    /// Items that cannot be read, ascending.
    pub faults: Vec<FaultyItem>,
}

/// An item in [`FeedState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FaultyItem {
    /// Which one.
    pub item: String,
    /// What is wrong with it, as last told.
    pub fault: String,
    /// When it was last met, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// How often it was met.
    pub tries: u64,
}

/// How fresh a list is that a feed fills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedInfo {
    /// When the feed was last read to its end, in seconds since 1970-01-01 UTC.
    pub synced_at: Option<u64>,
    /// When that was last tried, likewise.
    pub attempted_at: Option<u64>,
    /// Why the last attempt failed, if it did.
    pub fault: Option<String>,
    /// How many of its items cannot be read.
    pub faulty_items: u64,
    /// Whether that was longer ago than the daemon's config allows; `false` where there is no daemon to say.
    pub stale: bool,
}
