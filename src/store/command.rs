//! What one may ask of a store, and what it answers: plain data, the same whether the store is asked in this
//! process or through the daemon's socket.
//!
//! An import takes two commands. [`Command::BeginImport`] reserves the numbers that the new version's labels must
//! name; the tool then builds the segments in a folder of its own (see [`crate::store::Incoming`]), without the lock;
//! [`Command::Publish`] has the store verify and adopt them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, Kind, Radii, Radius};
use crate::list::{Category, Entry, ListId, ListName, ListShape, ListState, Role, Roles, VersionNumber};

/// One thing to do, or to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Reserves the numbers of a file list's next version. Answer: [`Outcome::ImportBegun`].
    BeginImport {
        /// The list; it need not exist yet, and does not until its first version is published.
        list: ListName,
    },
    /// Makes a built version the one that answers. Answer: [`Outcome::Published`] or [`Outcome::Unchanged`].
    Publish(Publish),
    /// Adds or replaces entries of a feed list, by their source ids. Answer: [`Outcome::Added`].
    Add {
        /// The list; created if it does not exist.
        list: ListName,
        /// The role of a list that is created by this; an existing list keeps its own. Without it, a list that does
        /// not exist is refused.
        role: Option<Role>,
        /// At most one of each source id, else the last counts.
        entries: Vec<Entry>,
    },
    /// From now on the list says nothing of these fingerprints. Answer: [`Outcome::Withdrawn`].
    Withdraw {
        /// The list, of either shape.
        list: ListName,
        /// What it no longer names.
        fingerprints: Vec<Fingerprint>,
    },
    /// Enables, shadows or disables a list. Answer: [`Outcome::StateSet`].
    SetState {
        /// The list.
        list: ListName,
        /// Its new state.
        state: ListState,
    },
    /// Gives a list a radius of its own for a perceptual kind. Answer: [`Outcome::RadiusSet`].
    SetRadius {
        /// The list, of either shape.
        list: ListName,
        /// The kind; the list need not hold it yet.
        kind: Kind,
        /// Its new radius; without one, back to the kind's own.
        radius: Option<Radius>,
    },
    /// Removes a list with all its versions and entries. Its number is never given again. Answer: [`Outcome::Removed`].
    Remove {
        /// The list.
        list: ListName,
    },
    /// Returns a file list to a version that is still kept. Answer: [`Outcome::RolledBack`].
    Rollback {
        /// The list.
        list: ListName,
        /// The version; the newest one older than the current if none is named.
        to: Option<VersionNumber>,
    },
    /// Seals the live layer and merges all segments of each kind. Answer: [`Outcome::Compacted`].
    Compact,
    /// All lists. Answer: [`Outcome::Lists`].
    Lists,
    /// One list with its versions and its history. Answer: [`Outcome::Inspected`].
    Inspect {
        /// The list.
        list: ListName,
    },
    /// Checks every segment, the catalogue and the manifest as they stand on disk. Answer: [`Outcome::Verified`].
    Verify,
    /// What stands in the store. Answer: [`Outcome::Status`].
    Status,
}

/// A version that a tool has built, for [`Command::Publish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
pub struct IncomingSegment {
    /// Its kind.
    pub kind: Kind,
    /// Its name in the folder.
    pub file: String,
}

/// What a tool counted while it read a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// What was done, or is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The numbers of the version to build.
    ImportBegun(ImportBegun),
    /// The version answers.
    Published(Published),
    /// The source is the one of the current version: what was built is removed, and nothing was done except that the
    /// list has the radii that were named.
    Unchanged {
        /// The current version.
        version: VersionNumber,
    },
    /// Entries were added.
    Added(Added),
    /// Fingerprints were withdrawn.
    Withdrawn(Withdrawn),
    /// A list has this state.
    StateSet {
        /// The state it had before.
        previous: ListState,
        /// The state it has.
        state: ListState,
    },
    /// A list has this radius.
    RadiusSet {
        /// The one of its own that it had before; `None` if it had the kind's.
        previous: Option<Radius>,
        /// The one of its own that it has; `None` if it has the kind's.
        radius: Option<Radius>,
    },
    /// A list is gone.
    Removed {
        /// Versions that went with it.
        versions: u64,
        /// Feed entries that went with it.
        entries: u64,
    },
    /// A list is back at an earlier version.
    RolledBack {
        /// The version that answered before.
        from: VersionNumber,
        /// The version that answers now.
        to: VersionNumber,
        /// Against the version that answered before.
        changes: BTreeMap<Kind, Changes>,
    },
    /// Segments were merged.
    Compacted {
        /// Segments before, the live layer not counted.
        before: u64,
        /// Segments after.
        after: u64,
    },
    /// All lists.
    Lists {
        /// In the order of their names, built-in ones among them.
        lists: Vec<ListInfo>,
    },
    /// One list.
    Inspected(Box<Inspected>),
    /// What verification found.
    Verified {
        /// Segment files that were read in full.
        segments: u64,
        /// Bytes that were read from them.
        bytes: u64,
        /// Rows of the catalogue that were checked.
        rows: u64,
        /// What is wrong; empty if all is well.
        damage: Vec<String>,
    },
    /// What stands in the store.
    Status(StoreStatus),
}

/// Answer to [`Command::BeginImport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportBegun {
    /// The list's number, for the labels' source.
    pub list_id: ListId,
    /// The new version's number, for the labels' source.
    pub version: VersionNumber,
    /// What every segment of the version must carry as its `applied_seq`.
    pub applied_seq: u64,
    /// The version that answers now, if there is one.
    pub current: Option<CurrentVersion>,
}

/// The version that an import replaces or adds to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurrentVersion {
    /// Its number.
    pub version: VersionNumber,
    /// Its roles.
    pub roles: Roles,
    /// Its segment files, as paths in the data folder, all labels in them being of this version.
    pub segments: BTreeMap<Kind, String>,
    /// What was withdrawn from it since it was built: `--add` must leave these out of what it takes from the base.
    pub withdrawn: Vec<Fingerprint>,
    /// What it was made from, oldest first: `--add` of one of these changes nothing, if the roles are the same.
    pub sources: Vec<String>,
}

/// Answer to [`Command::Publish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
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
pub struct Changes {
    /// In the new version only.
    pub added: u64,
    /// In the older version only.
    pub removed: u64,
    /// In both, whatever their labels.
    pub kept: u64,
}

/// Answer to [`Command::Add`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Answer to [`Command::Withdraw`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// How many the list named, and names no more.
    pub withdrawn: u64,
    /// Those that the list did not name.
    pub not_held: Vec<Fingerprint>,
}

/// A list as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The version that answers; `None` for lists without versions.
    pub version: Option<VersionNumber>,
    /// Distinct fingerprints by kind. Of a file list: as built, withdrawals not subtracted.
    pub fingerprints: BTreeMap<Kind, u64>,
    /// Entries of a feed list.
    pub entries: u64,
    /// Fingerprints withdrawn from the version that answers.
    pub withdrawn: u64,
    /// When it was created, in seconds since 1970-01-01 UTC; 0 for built-in ones.
    pub created_at: u64,
    /// When it was last changed, likewise.
    pub changed_at: u64,
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its number.
    pub version: VersionNumber,
    /// Whether it is the one that answers.
    pub current: bool,
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
}

/// Answer to [`Command::Inspect`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// The list.
    pub list: ListInfo,
    /// The versions of it that are kept, newest first.
    pub versions: Vec<VersionInfo>,
    /// Its last changes, newest first, at most [`Inspected::HISTORY_MAX`].
    pub history: Vec<Change>,
}

impl Inspected {
    /// How many changes are told.
    pub const HISTORY_MAX: usize = 20;
}

/// One line of a list's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The batch.
    pub seq: u64,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// What was done, in words.
    pub action: String,
}

/// Answer to [`Command::Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The generation that answers.
    pub generation: u64,
    /// The last batch.
    pub seq: u64,
    /// The last batch whose feed changes stand in segments.
    pub sealed_seq: u64,
    /// Lists, built-in ones not counted.
    pub lists: u64,
    /// What answers, by kind.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Fingerprints in the live layer; `None` where the store does not serve.
    pub live_fingerprints: Option<u64>,
}

/// One kind in [`StoreStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindStatus {
    /// Segments.
    pub segments: u64,
    /// Digests in them; one that stands in two counts twice.
    pub digests: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// `ready`, `loading`, `failed: …`; `not served` where the store does not serve.
    pub state: String,
}

/// Why a command was not carried out: [`crate::store::StoreError`] as plain data, for those who ask through a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of error it is, for programs.
    pub reason: RefusalReason,
    /// What was expected, what was found, and what to do, for people.
    pub message: String,
}

/// Sorts of [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// The command itself cannot be carried out: no such list, a wrong shape, a bad file.
    Rejected,
    /// Something else was changed meanwhile; trying again may help.
    Conflict,
    /// The store is damaged.
    Damaged,
    /// The machine failed: disk full, no permission.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{KindRadius, hash_bytes};

    #[test]
    fn commands_and_outcomes_survive_json() {
        let fingerprint = hash_bytes(Kind::Md5, b"abc");
        let list: ListName = "own-cases".parse().unwrap();
        let entry = Entry {
            source_id: Entry::hand_source_id(&fingerprint),
            fingerprints: vec![fingerprint.clone()],
            category: Some(Category::new(Some("US"), "1")),
            ..Entry::default()
        };
        let by_category = [(Category::new(None, "a:b"), 2)].into();
        let publish = Publish {
            list: list.clone(),
            list_id: ListId(16),
            version: VersionNumber(1),
            base: Some(VersionNumber::LIVE),
            incoming: "x".to_owned(),
            segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5.seg".to_owned() }],
            roles: Roles::uniform(Role::Watch),
            source: "s".to_owned(),
            adds: true,
            radii: ["pdq=40".parse::<KindRadius>().unwrap()].into_iter().collect(),
            counts: ImportCounts { by_category, ..ImportCounts::default() },
        };
        for command in [
            Command::Add { list: list.clone(), role: Some(Role::Illegal), entries: vec![entry] },
            Command::Publish(Publish { radii: Radii::none(), ..publish.clone() }),
            Command::Publish(publish),
            Command::SetRadius { list: list.clone(), kind: Kind::Pdq, radius: Some(Radius(40)) },
            Command::SetRadius { list: list.clone(), kind: Kind::Phash64, radius: None },
            Command::Rollback { list, to: None },
            Command::Compact,
        ] {
            let json = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
        }
        for outcome in [
            Outcome::RadiusSet { previous: Some(Radius(0)), radius: None },
            Outcome::Withdrawn(Withdrawn { withdrawn: 0, not_held: vec![fingerprint] }),
            Outcome::Published(Published {
                version: VersionNumber(2),
                replaced: None,
                generation: 3,
                changes: [(Kind::Sha1, Changes { added: 1, removed: 2, kept: 3 })].into(),
            }),
        ] {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
        }
    }
}
