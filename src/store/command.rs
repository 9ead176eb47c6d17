//! What one may ask of a store, and what it answers: plain data, the same whether the store is asked in this
//! process or through the daemon's socket.
//!
//! An import takes two commands. [`Command::BeginImport`] reserves the numbers that the new version's labels must
//! name; the tool then builds the segments in a folder of its own (see [`crate::store::Incoming`]), without the lock;
//! [`Command::Publish`] has the store verify and adopt them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gate::Limit;
use crate::fingerprint::{Fingerprint, Kind, Radii, Radius};
use crate::list::{
    Category, Entry, Flags, ListId, ListName, ListShape, ListState, Role, Roles, Source, Suppression, SuppressionScope,
    VersionNumber,
};

/// One thing to do, or to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Reserves the numbers of a file list's next version. Answer: [`Outcome::ImportBegun`].
    BeginImport {
        /// The list; it need not exist yet, and does not until its first version is published.
        list: ListName,
    },
    /// Makes a built version the one that answers, if it passes the gate. Answer: [`Outcome::Published`],
    /// [`Outcome::Held`] or [`Outcome::Unchanged`].
    Publish(Publish),
    /// Puts a held version into force, whatever the gate says, or only acknowledges what alarms a list has raised; the
    /// former does the latter too. Answer: [`Outcome::Accepted`] or [`Outcome::Acknowledged`].
    Accept {
        /// The list.
        list: ListName,
        /// The version, which must be the one that is held. Without it, alarms alone are acknowledged.
        version: Option<VersionNumber>,
        /// Why, for the history: a line of at most [`REASON_MAX`] bytes.
        reason: String,
    },
    /// The held version of a list, with all that the gate says of it. Answer: [`Outcome::Held`].
    TellHeld {
        /// The list.
        list: ListName,
    },
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
    /// Applies changes of a feed to its list. Answer: [`Outcome::FeedApplied`].
    ApplyFeed(FeedChanges),
    /// How far a feed has been read. Answer: [`Outcome::FeedState`].
    FeedState {
        /// The list that it fills; one that does not exist yet has been read nowhere.
        list: ListName,
    },
    /// The source ids of a feed list, a part at a time: what a source that starts again no longer names is found among
    /// them. Answer: [`Outcome::SourceIds`].
    SourceIds {
        /// The list.
        list: ListName,
        /// The last one that is known already; empty for the first part.
        after: String,
        /// The most to tell, up to [`SOURCE_IDS_MAX`].
        limit: usize,
    },
    /// Notes how an attempt to read a feed ended. Answer: [`Outcome::FeedNoted`].
    NoteFeed(FeedNote),
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
    /// Lets what lists say of a hash decide nothing, until that is lifted. Answer: [`Outcome::Suppressed`].
    Suppress {
        /// The hash; a list need not hold it.
        fingerprint: Fingerprint,
        /// What is covered with it.
        scope: SuppressionScope,
        /// Who wants it: one line of text.
        author: String,
        /// Why: one line of text.
        reason: String,
    },
    /// Ends suppressions. Answer: [`Outcome::Lifted`].
    Lift {
        /// Which.
        of: Lifting,
        /// Who wants it: one line of text.
        author: String,
        /// Why: one line of text.
        reason: String,
    },
    /// The suppressions, newest first, at most [`Command::SUPPRESSIONS_MAX`]. Answer: [`Outcome::Suppressions`].
    Suppressions {
        /// Only those of a smaller number: the last one of the answer before, to go on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// Whether to tell those that were lifted, too.
        #[serde(default)]
        lifted: bool,
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
    /// Everything behind a match. Answer: [`Outcome::Explained`], in full only from a store that answers questions.
    Explain {
        /// The hash that was asked.
        fingerprint: Fingerprint,
        /// Of a perceptual kind: the radius of the question, if it named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        radius: Option<Radius>,
    },
    /// Makes a consistent copy of the store in a folder of `incoming/`. Answer: [`Outcome::BackedUp`].
    Backup,
    /// Puts a backup in place of all that the store holds. Answer: [`Outcome::Restored`].
    Restore {
        /// The name of the folder in `incoming/` that holds a copy of the backup.
        incoming: String,
    },
    /// How many entries a list has in each category. Answer: [`Outcome::Categories`]. Those of a feed list are counted
    /// one by one, some thousands at a time; changes go on in between.
    Categories {
        /// The list.
        list: ListName,
    },
    /// What a list holds, and where it stands. Answer: [`Outcome::Contents`].
    Contents {
        /// The list, of either shape.
        list: ListName,
        /// A version that is kept; the one that answers if none is named. A feed list has none.
        #[serde(default)]
        version: Option<VersionNumber>,
    },
    /// The next page of a feed list's entries, ascending by source id. Answer: [`Outcome::Entries`]. What changes
    /// between two pages is seen if it comes behind `after`.
    Entries {
        /// The list.
        list: ListName,
        /// The last source id of the page before; `None` for the first page.
        #[serde(default)]
        after: Option<String>,
    },
    /// The next page of what was withdrawn from a version since it was built, ascending by kind and value. Answer:
    /// [`Outcome::Withdrawals`].
    Withdrawals {
        /// The list.
        list: ListName,
        /// The version, as [`Contents::source`] names it.
        version: VersionNumber,
        /// The last fingerprint of the page before; `None` for the first page.
        #[serde(default)]
        after: Option<Fingerprint>,
    },
    /// Checks every segment, the catalogue and the manifest as they stand on disk. Answer: [`Outcome::Verified`].
    Verify,
    /// What stands in the store. Answer: [`Outcome::Status`].
    Status,
}

impl Command {
    /// How many suppressions are told at a time.
    pub const SUPPRESSIONS_MAX: usize = 1_000;
}

/// Which suppressions are to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lifting {
    /// The one of this number.
    Id(u64),
    /// All that were given for this hash. One that covers it because of another hash is not among them.
    Hash(Fingerprint),
}

/// A version that a tool has built, for [`Command::Publish`].
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

/// The most items of a feed that are noted as not readable: a source gone wrong shall not fill the catalogue.
pub const FAULTS_MAX: u64 = 1_000;

/// The most source ids that are told at a time.
pub const SOURCE_IDS_MAX: usize = 10_000;

/// Changes of a feed, for [`Command::ApplyFeed`]: durable and searchable together, or not at all.
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

/// How an attempt to read a feed ended, for [`Command::NoteFeed`]. The list may be of any shape, and must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FeedNote {
    /// The list that the feed fills.
    pub list: ListName,
    /// How far it has been read now, for sources whose changes are not applied by [`Command::ApplyFeed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Why it was not read to its end; without it, it was, and the list is as new as its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What was done, or is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The numbers of the version to build.
    ImportBegun(ImportBegun),
    /// The version answers.
    Published(Published),
    /// The version waits for [`Command::Accept`]; what answered before answers on.
    Held(Box<Held>),
    /// A held version answers.
    Accepted(Accepted),
    /// The alarms of a list are acknowledged.
    Acknowledged {
        /// How many there were.
        alarms: u64,
    },
    /// The source is the one of the current version: what was built is removed, and nothing was done except that the
    /// list has the radii that were named.
    Unchanged {
        /// The current version.
        version: VersionNumber,
    },
    /// Entries were added.
    Added(Added),
    /// Changes of a feed were applied.
    FeedApplied(FeedApplied),
    /// How far a feed has been read.
    FeedState(FeedState),
    /// Source ids of a feed list.
    SourceIds {
        /// Ascending; fewer than asked for only at the end.
        source_ids: Vec<String>,
    },
    /// The end of an attempt was noted.
    FeedNoted,
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
    /// A hash is suppressed.
    Suppressed(Suppressed),
    /// Suppressions have ended.
    Lifted {
        /// What they were.
        lifted: Vec<Suppression>,
        /// Those that still cover one of their hashes.
        still: Vec<Suppression>,
    },
    /// Suppressions, newest first.
    Suppressions {
        /// Each with how many fingerprints it covers now.
        suppressions: Vec<(Suppression, u64)>,
    },
    /// Segments were merged.
    Compacted {
        /// Segments before, the live layer not counted.
        before: u64,
        /// Segments after.
        after: u64,
    },
    /// A copy of the store lies in `incoming/`.
    BackedUp(BackedUp),
    /// The store is as the backup was.
    Restored(Restored),
    /// All lists.
    Lists {
        /// In the order of their names, built-in ones among them.
        lists: Vec<ListInfo>,
    },
    /// One list.
    Inspected(Box<Inspected>),
    /// Everything behind a match.
    Explained(Box<Explained>),
    /// Entries of a feed list, and records of the list files of the version that answers, by category.
    Categories(CategoryCounts),
    /// What a list holds.
    Contents(Box<Contents>),
    /// Entries of a feed list.
    Entries(Page<Entry>),
    /// Fingerprints that were withdrawn from a version.
    Withdrawals(Page<Fingerprint>),
    /// What verification found.
    Verified {
        /// Segment files that were read in full.
        segments: u64,
        /// Records files that were read in full.
        #[serde(default)]
        records: u64,
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
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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

/// Answer to [`Command::Accept`] of a version.
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

/// The longest reason that is taken for the history, in bytes.
pub const REASON_MAX: usize = 1_000;

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

/// Answer to [`Command::Add`].
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

/// Answer to [`Command::ApplyFeed`]; changes, each counted once.
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

/// Answer to [`Command::FeedState`].
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

/// Answer to [`Command::Withdraw`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Withdrawn {
    /// How many the list named, and names no more.
    pub withdrawn: u64,
    /// Those that the list did not name.
    pub not_held: Vec<Fingerprint>,
}

/// Answer to [`Command::Suppress`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Suppressed {
    /// The suppression's number.
    pub id: u64,
    /// How many fingerprints it covers.
    pub covers: u64,
    /// The first of them, at most [`Suppressed::COVERED_MAX`].
    pub covered: Vec<Fingerprint>,
    /// The lists that hold the hash now.
    pub held_by: Vec<ListName>,
    /// Those of them whose entries are not known, or not all, so that other hashes of these may not be covered.
    pub without_records: Vec<ListName>,
}

impl Suppressed {
    /// How many fingerprints are told.
    pub const COVERED_MAX: usize = 100;
}

/// Answer to [`Command::Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BackedUp {
    /// The name of the folder in `incoming/`. Whoever asked takes it over, copies what is in it, and removes it. Segments
    /// in it are the store's own, under a second name: they must not be written to.
    pub incoming: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The generation that it holds.
    pub generation: u64,
    /// The last batch that it holds.
    pub seq: u64,
    /// That batch's checksum, in hex.
    pub checksum: String,
    /// How long changes had to wait for it, in milliseconds. Questions never wait.
    pub changes_waited_ms: u64,
}

/// Answer to [`Command::Restore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Restored {
    /// When the backup was made, in seconds since 1970-01-01 UTC.
    pub made_at: u64,
    /// The generation that answers now.
    pub generation: u64,
    /// The last batch now.
    pub seq: u64,
    /// The generation that it takes the place of; 0 if none can be told.
    pub replaced_generation: u64,
}

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

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VersionInfo {
    /// Its number.
    pub version: VersionNumber,
    /// Whether it is the one that answers.
    pub current: bool,
    /// Whether it waits for [`Command::Accept`].
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

/// Answer to [`Command::Inspect`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Inspected {
    /// The list.
    pub list: ListInfo,
    /// Why a version of it is held, without the entries in [`Overlap`].
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

/// Answer to [`Command::Contents`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Contents {
    /// The list's number and the version that is told; [`VersionNumber::LIVE`] of a feed list.
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
    /// Fingerprints withdrawn from the version since it was built; [`Command::Withdrawals`] tells which.
    pub withdrawn: u64,
    /// Entries of a feed list, which [`Command::Entries`] tells; records in the records files of a version.
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

/// Answer to [`Command::Explain`]: what held at one moment.
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
    /// Whether all that is held of the kind could be looked at: `ready` if so, as in [`KindStatus::state`].
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

/// Answer to [`Command::Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StoreStatus {
    /// The generation that answers.
    pub generation: u64,
    /// When it came into force, in seconds since 1970-01-01 UTC; `None` if the file system does not say.
    #[serde(default)]
    pub generation_at: Option<u64>,
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
    /// Alarms that nobody has acknowledged yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<RaisedAlarm>,
    /// Of each list with a version that did not pass the gate: that version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<ListName, VersionNumber>,
    /// Of each list that a feed fills: how fresh it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feeds: BTreeMap<ListName, FeedInfo>,
}

impl StoreStatus {
    /// How many alarms of each sort each list has; those of no list have an empty name.
    pub fn alarm_counts(&self) -> BTreeMap<(&str, &'static str), u64> {
        let mut counts = BTreeMap::new();
        for raised in &self.alarms {
            let list = raised.list.as_ref().map_or("", ListName::as_str);
            *counts.entry((list, raised.alarm.name())).or_default() += 1;
        }
        counts
    }
}

/// One kind in [`StoreStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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
        let list_name = list.clone();
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
            records: Some("records.rec".to_owned()),
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
            Command::Accept { list: list.clone(), version: Some(VersionNumber(2)), reason: "seen".to_owned() },
            Command::Rollback { list: list.clone(), to: None },
            Command::Suppress {
                fingerprint: fingerprint.clone(),
                scope: SuppressionScope::Entry,
                author: "an operator".to_owned(),
                reason: "a stock photo".to_owned(),
            },
            Command::Lift { of: Lifting::Id(7), author: "an operator".to_owned(), reason: "x".to_owned() },
            Command::Lift { of: Lifting::Hash(fingerprint.clone()), author: "a".to_owned(), reason: "x".to_owned() },
            Command::Suppressions { before: None, lifted: true },
            Command::Explain { fingerprint: fingerprint.clone(), radius: None },
            Command::Contents { list: list.clone(), version: Some(VersionNumber(3)) },
            Command::Entries { list: list.clone(), after: Some("a".to_owned()) },
            Command::Withdrawals { list, version: VersionNumber(3), after: Some(fingerprint.clone()) },
            Command::Compact,
        ] {
            let json = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
        }
        let limit = Limit::new(0.1, 10);
        let entry = OverlapEntry {
            fingerprint: fingerprint.clone(),
            category: None,
            list: list_name.clone(),
            role: Role::Ignorable,
            list_category: Some(Category::new(None, "1")),
            distance: Some(3),
        };
        let with = OverlapWith { list: list_name, kind: Kind::Md5, role: Role::Ignorable, new: 1, total: 2 };
        let held = Held {
            version: VersionNumber(4),
            at: 5,
            already: true,
            in_force: Some(VersionNumber(2)),
            reasons: vec![
                HoldReason::Emptied { of: 3 },
                HoldReason::Shrunk { kind: Kind::Md5, removed: 1, of: 2, limit },
                HoldReason::Contradicts { role: Role::Illegal, new: 1, of: 2, limit },
                HoldReason::Unchecked { found: "x".to_owned() },
            ],
            changes: BTreeMap::new(),
            overlap: Overlap { new: 1, total: 2, lists: vec![with], entries: vec![entry] },
            dropped: Some(VersionNumber(3)),
        };
        let alarm = RaisedAlarm { seq: 1, at: 2, list: None, alarm: Alarm::Held { version: VersionNumber(4) } };
        let json = serde_json::to_string(&alarm).unwrap();
        assert_eq!(json, r#"{"seq":1,"at":2,"list":null,"alarm":"held","version":4}"#);
        assert_eq!(serde_json::from_str::<RaisedAlarm>(&json).unwrap(), alarm);
        for outcome in [
            Outcome::RadiusSet { previous: Some(Radius(0)), radius: None },
            Outcome::Withdrawn(Withdrawn { withdrawn: 0, not_held: vec![fingerprint.clone()] }),
            Outcome::Withdrawals(Page { items: vec![fingerprint], more: true }),
            Outcome::Published(Published {
                version: VersionNumber(2),
                replaced: None,
                generation: 3,
                changes: [(Kind::Sha1, Changes { added: 1, removed: 2, kept: 3 })].into(),
                overlap: Overlap::default(),
                dropped: None,
            }),
            Outcome::Held(Box::new(held)),
            Outcome::Acknowledged { alarms: 2 },
        ] {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
        }
    }
}
