//! What one may ask of a store, and what it answers: plain data, the same whether the store is asked in this
//! process or through the daemon's socket.
//!
//! An import takes two commands. [`Command::BeginImport`] reserves the numbers that the new version's labels must
//! name; the tool then builds the segments in a folder of its own (see [`crate::store::Incoming`]), without the lock;
//! [`Command::Publish`] has the store verify and adopt them.
//!
//! What commands and outcomes consist of, by what they are about:
//!
//! | file | what |
//! |---|---|
//! | `versions` | versions of file lists: built, published, told |
//! | `gate` | what the gate says of a version; alarms |
//! | `entries` | entries: added, withdrawn, read out in pages |
//! | `feeds` | changes that feeds bring, and how far each has been read |
//! | `lists` | lists as they stand, and their history |
//! | `suppressions` | suppressions: what one covers, and which are to end |
//! | `explain` | everything behind a match |
//! | `backup` | copies of the store, made and put in its place |
//! | `status` | how the store is |
//! | `refusal` | why a command was not carried out |

mod backup;
mod entries;
mod explain;
mod feeds;
mod gate;
mod lists;
mod refusal;
mod status;
mod suppressions;
#[cfg(test)]
mod tests;
mod versions;

pub use backup::{BackedUp, Restored};
pub use entries::{Added, Contents, PAGE_BYTES, Page, Withdrawn};
pub use explain::{Explained, Holding, Record, Said, Statement, VerdictInfo};
pub use feeds::{
    Continues, Deleted, FAULTS_MAX, FaultyItem, FeedApplied, FeedChanges, FeedFault, FeedInfo, FeedNote, FeedState,
    SOURCE_IDS_MAX,
};
pub use gate::{Alarm, Held, HoldReason, Overlap, OverlapEntry, OverlapWith, REASON_MAX, RaisedAlarm};
pub use lists::{CategoryCounts, Change, Inspected, ListInfo};
pub use refusal::{Refusal, RefusalReason};
pub use status::{KindStatus, StoreStatus};
pub use suppressions::{Lifting, Suppressed};
pub use versions::{
    Accepted, Changes, CurrentVersion, ImportBegun, ImportCounts, IncomingSegment, KeptRecords, Publish, Published,
    VersionInfo,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, Kind, Radius};
use crate::list::{Entry, ListName, ListState, Role, Suppression, SuppressionScope, VersionNumber};

/// One thing to do, or to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
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

impl Outcome {
    /// Takes out hashes of lists that stood in no command, for those who may not see the hashes that lists hold.
    pub fn without_hashes(self) -> Outcome {
        match self {
            Outcome::Suppressed(suppressed) => Outcome::Suppressed(Suppressed { covered: Vec::new(), ..suppressed }),
            other => other,
        }
    }
}
