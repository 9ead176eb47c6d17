//! Everything behind a match: which lists hold a hash, what they say of it, and what covers it.

use serde::{Deserialize, Serialize};

use super::lists::{Change, ListInfo};
use super::versions::VersionInfo;
use crate::fingerprint::{Fingerprint, Radius};
use crate::list::{Category, Entry, Flags, Role, Suppression, VersionNumber};

/// Answer to [`super::Command::Explain`]: what held at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Explained {
    /// The hash that was asked.
    pub fingerprint: Fingerprint,
    /// The radius that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius: Option<Radius>,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The generation that answered.
    pub generation: u64,
    /// The last batch.
    pub seq: u64,
    /// What a question about this hash alone is answered.
    pub verdict: VerdictInfo,
    /// Whether all that is held of the kind could be looked at: `ready` if so, as in [`super::KindStatus::state`].
    pub kind_state: String,
    /// Each list that holds the hash, or did, in the order of their names.
    pub lists: Vec<Holding>,
    /// What covers it, or one of the hashes that matched it by distance, in force and lifted; newest first.
    pub suppressions: Vec<Suppression>,
}

/// A verdict as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VerdictInfo {
    /// Its name.
    pub verdict: String,
    /// Why it is undecided, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a list of role `watch` matched.
    pub watched: bool,
    /// Whether something matched that is suppressed.
    pub suppressed: bool,
}

/// What one list has to do with a hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Holding {
    /// The list.
    pub list: ListInfo,
    /// What it says now, or said before it was withdrawn, of the hash and of those near to it: the nearest first, at most
    /// [`Holding::STATEMENTS_MAX`] labels.
    pub statements: Vec<Statement>,
    /// How many labels more there are.
    pub more_statements: u64,
    /// Of a file list: the version that answers, and those kept whose records are told; newest first.
    pub versions: Vec<VersionInfo>,
    /// The entries that hold one of these hashes, at most [`Holding::RECORDS_MAX`].
    pub records: Vec<Record>,
    /// How many entries more there are.
    pub more_records: u64,
}

impl Holding {
    /// How many labels are told of a list.
    pub const STATEMENTS_MAX: usize = 100;
    /// How many entries are told of a list.
    pub const RECORDS_MAX: usize = 100;
}

/// What a list says of one hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Statement {
    /// The hash as the list holds it.
    pub fingerprint: Fingerprint,
    /// Of a perceptual kind: in how many bits it differs from the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<u16>,
    /// What is said of it; nothing where that is not known any more.
    pub said: Vec<Said>,
    /// The batch since which the list says it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Change>,
    /// Whether it is suppressed.
    pub suppressed: bool,
}

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Said {
    /// The role that the category has in this list.
    pub role: Role,
    /// The issuer's raw category with its scheme.
    pub category: Option<Category>,
    /// What else the issuer says.
    pub flags: Flags,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Record {
    /// Of a file list: the version that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// Of a feed list: the batch that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Change>,
    /// The entry; that of a file list has no source id.
    pub entry: Entry,
}
