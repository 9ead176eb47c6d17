//! Lists as they stand, and their history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::feeds::FeedInfo;
use super::gate::{Held, RaisedAlarm};
use super::versions::VersionInfo;
use crate::fingerprint::{Kind, Radii};
use crate::list::{Category, ListId, ListName, ListShape, ListState, Roles, VersionNumber};

/// A list as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ListInfo {
    /// Its number.
    pub id: ListId,
    /// Its name.
    pub name: ListName,
    /// File, feed, or part of the program.
    pub shape: ListShape,
    /// Its state.
    pub state: ListState,
    /// Its roles.
    pub roles: Roles,
    /// Own radii; kinds not named have their kind's default.
    #[serde(default, skip_serializing_if = "Radii::is_empty")]
    pub radii: Radii,
    /// The version that answers; `None` for lists without versions, and for those whose first one is held.
    pub version: Option<VersionNumber>,
    /// The version that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<VersionNumber>,
    /// Distinct fingerprints by kind. Of a file list: as built, withdrawals not subtracted.
    pub fingerprints: BTreeMap<Kind, u64>,
    /// Entries of a feed list; records of the version that answers, 0 if they were not all kept.
    pub entries: u64,
    /// Fingerprints withdrawn from the version that answers.
    pub withdrawn: u64,
    /// When it was created, in seconds since 1970-01-01 UTC; 0 for built-in ones.
    pub created_at: u64,
    /// When it was last changed, likewise.
    pub changed_at: u64,
    /// Of a list that a feed fills: how fresh it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedInfo>,
}

/// Answer to [`super::Command::Inspect`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Inspected {
    /// The list.
    pub list: ListInfo,
    /// Why a version of it is held, without the entries in [`super::Overlap`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Its alarms, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<RaisedAlarm>,
    /// The versions of it that are kept, newest first.
    pub versions: Vec<VersionInfo>,
    /// Its last changes, newest first, at most [`Inspected::HISTORY_MAX`].
    pub history: Vec<Change>,
}

impl Inspected {
    /// How many changes are told.
    pub const HISTORY_MAX: usize = 20;
}

/// Records of each category, as the list has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CategoryCounts {
    /// Of each category that occurs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_category: BTreeMap<Category, u64>,
    /// Without a category.
    #[serde(default)]
    pub uncategorised: u64,
}

/// One line of a list's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Change {
    /// The batch.
    pub seq: u64,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// What was done, in words.
    pub action: String,
}
