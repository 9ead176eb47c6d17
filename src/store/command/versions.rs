//! Versions of file lists: built by a tool, published, told, and the records kept with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gate::Overlap;
use crate::fingerprint::{Kind, Radii};
use crate::list::{Category, ListId, ListName, Roles, VersionNumber};

/// A version that a tool has built, for [`super::Command::Publish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Publish {
    /// The list's name.
    pub list: ListName,
    /// The list's number, as [`ImportBegun`] gave it.
    pub list_id: ListId,
    /// The version's number, as [`ImportBegun`] gave it.
    pub version: VersionNumber,
    /// If set, the version that must still be the current one, [`VersionNumber::LIVE`] standing for none: set by
    /// `--add`, whose result would otherwise lack what another import published meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<VersionNumber>,
    /// The name of the folder in `incoming/`.
    pub incoming: String,
    /// The file of each kind in that folder, at most one a kind.
    pub segments: Vec<IncomingSegment>,
    /// The name in that folder of the file with the source's records (see [`crate::records`]), if they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// Which role the version's labels have.
    pub roles: Roles,
    /// What the version was made from: a digest of the source's bytes and of the options that decide how they are
    /// read. An import whose source and roles are those of the current version changes nothing.
    pub source: String,
    /// Whether it is the union of its base and the source (`--add`), so that the base's sources count on.
    #[serde(default)]
    pub adds: bool,
    /// Radii that the list gets in the same step as the version answers; those not named stay as they are. They are
    /// the list's and not the version's: a rollback leaves them.
    #[serde(default, skip_serializing_if = "Radii::is_empty")]
    pub radii: Radii,
    /// What the tool counted.
    #[serde(default)]
    pub counts: ImportCounts,
}

/// One file of a version that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IncomingSegment {
    /// Its kind.
    pub kind: Kind,
    /// Its name in the folder.
    pub file: String,
}

/// What a tool counted while it read a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportCounts {
    /// Records that were read and taken.
    pub records: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// Fingerprints that stood in the source more than once.
    pub duplicates: u64,
    /// Fingerprints of degenerate content, which were dropped.
    pub degenerate: u64,
    /// Records of each category.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_category: BTreeMap<Category, u64>,
    /// Records without a category.
    #[serde(default)]
    pub uncategorised: u64,
}

/// Answer to [`super::Command::BeginImport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportBegun {
    /// The list's number, for the labels' source.
    pub list_id: ListId,
    /// The new version's number, for the labels' source.
    pub version: VersionNumber,
    /// What every segment of the version must carry as its `applied_seq`.
    pub applied_seq: u64,
    /// The version that answers now, if there is one. Of what it takes from there, `--add` must leave out what was withdrawn
    /// since: [`super::Command::Withdrawals`].
    pub current: Option<CurrentVersion>,
}

/// The version that an import replaces or adds to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CurrentVersion {
    /// Its number.
    pub version: VersionNumber,
    /// Its roles.
    pub roles: Roles,
    /// Its segment files, as paths in the data folder, all labels in them being of this version.
    pub segments: BTreeMap<Kind, String>,
    /// What it was made from, oldest first: `--add` of one of these changes nothing, if the roles are the same.
    pub sources: Vec<String>,
}

/// Answer to [`super::Command::Publish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Published {
    /// The version that answers now.
    pub version: VersionNumber,
    /// The version that it replaces.
    pub replaced: Option<VersionNumber>,
    /// The generation that holds it.
    pub generation: u64,
    /// Against the version that it replaces.
    pub changes: BTreeMap<Kind, Changes>,
    /// What it and other lists say the opposite of, within what the gate lets through.
    #[serde(default, skip_serializing_if = "Overlap::is_empty")]
    pub overlap: Overlap,
    /// A version that was held until this one came, and is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<VersionNumber>,
}

/// Answer to [`super::Command::Accept`] of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// The version that answers now.
    pub version: VersionNumber,
    /// The version that it replaces.
    pub replaced: Option<VersionNumber>,
    /// The generation that holds it.
    pub generation: u64,
    /// Against the version that it replaces.
    pub changes: BTreeMap<Kind, Changes>,
}

/// Digests of one kind, of two versions beside each other. What was withdrawn from the older does not count as in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Changes {
    /// In the new version only.
    pub added: u64,
    /// In the older version only.
    pub removed: u64,
    /// In both, whatever their labels.
    pub kept: u64,
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VersionInfo {
    /// Its number.
    pub version: VersionNumber,
    /// Whether it is the one that answers.
    pub current: bool,
    /// Whether it waits for [`super::Command::Accept`].
    #[serde(default)]
    pub held: bool,
    /// Its roles.
    pub roles: Roles,
    /// What it was made from, oldest first.
    pub sources: Vec<String>,
    /// When it was published, in seconds since 1970-01-01 UTC.
    pub created_at: u64,
    /// Distinct fingerprints by kind.
    pub fingerprints: BTreeMap<Kind, u64>,
    /// What the tool counted.
    pub counts: ImportCounts,
    /// The records that were kept with it; `None` if not all of its sources' were, as with versions that an earlier
    /// hashward published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<KeptRecords>,
}

/// The records files of a version together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeptRecords {
    /// Files.
    pub files: u64,
    /// Records in them. One whose fingerprints are all of degenerate content is not kept.
    pub records: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}
