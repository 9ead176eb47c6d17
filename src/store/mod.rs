//! The one owner of a data folder: lists, versions, entries, segments, and the snapshot that answers.
//!
//! Every change is durable before it is acknowledged, and visible to every question that comes after. Questions never
//! wait: they read a snapshot through an [`ArcSwap`], and only the swap of a finished one touches it. Changes take
//! turns under one mutex, which is held for milliseconds; what takes long (verifying a version, writing a segment,
//! merging segments) happens outside and comes back with a result that is held against what changed meanwhile.
//!
//! | file | what it does |
//! |---|---|
//! | `command` | what one may ask, and what is answered: plain data |
//! | `open` | opens a folder, whatever a crash left there |
//! | `state` | what the mutex guards; makes snapshots; brings manifest and catalogue in line |
//! | `publish` | versions of file lists: reserve, publish, roll back |
//! | `gate` | what a new version must pass before it answers |
//! | `held` | versions that did not: kept, told, accepted |
//! | `alarm` | what an operator should look at |
//! | `change` | feed entries, withdrawals, states, radii, removal |
//! | `entries` | what `change` and `feed` share |
//! | `feed` | changes of feeds: the newest state of each entry, checkpoints, faults |
//! | `suppress` | the operator's veto |
//! | `checked` | segment files, verified |
//! | `records` | records files of versions: opened, verified |
//! | `seal`, `merge` | the live layer becomes segments; segments become fewer |
//! | `backup`, `restore` | a consistent copy of the store; a copy put in place of what the store holds |
//! | `tell` | lists, one list, status, verification |
//! | `contents` | what a list holds, for those who read it out |
//! | `explain` | everything behind a match |
//! | `manifest`, `lock`, `incoming` | the commit point, the one writer, folders of tools |
//! | `privacy` | who may read what is written |

mod alarm;
mod backup;
mod change;
mod checked;
pub mod command;
mod contents;
mod entries;
mod error;
mod explain;
mod feed;
mod gate;
mod held;
mod incoming;
mod lock;
mod manifest;
mod merge;
mod open;
mod privacy;
mod publish;
mod records;
mod restore;
mod seal;
mod state;
mod suppress;
mod tell;

pub use backup::{Backup, BackupFile, check_copy};
pub use command::{Command, Outcome, Publish};
pub use error::StoreError;
pub use gate::{BadGateLimit, GateLimits, Limit};
pub use incoming::Incoming;
pub use privacy::keep_to_the_owner;
pub use records::VersionRecords;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::fingerprint::DegenerateDigests;
use crate::index::snapshot::Snapshot;
use crate::moment::now;
use state::State;

/// The folder of segments, in the data folder.
const SEGMENTS: &str = "segments";
/// The catalogue's file, in the data folder, by which one is recognised.
pub const CATALOGUE: &str = "catalogue.sqlite";

/// What no list may hold.
static DEGENERATE_DIGESTS: LazyLock<DegenerateDigests> = LazyLock::new(DegenerateDigests::compute);

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether to make the folder and an empty store in it, if there is none.
    pub create: bool,
    /// Whether to answer questions. A tool that only changes lists while no daemon runs maps nothing.
    pub serve: bool,
    /// Fingerprints in the live layer from which on it is sealed.
    pub seal_at: usize,
    /// Versions of a file list that are kept, the current one among them.
    pub keep_versions: usize,
    /// What a new version must keep to, or else is held, and what raises an alarm.
    pub gate: GateLimits,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { create: false, serve: true, seal_at: 65_536, keep_versions: 3, gate: GateLimits::default() }
    }
}

/// The open store. Shared between threads; dropping it gives the lock back.
pub struct Store {
    folder: PathBuf,
    options: StoreOptions,
    state: Mutex<State>,
    /// Held while the live layer is sealed or segments are merged: one at a time.
    maintenance: Mutex<()>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    _lock: lock::Lock,
}

impl Store {
    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a question that comes now shall see.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    /// Where the newest snapshot always is.
    pub fn snapshots(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshots.clone()
    }

    /// Carries out a command. What it changed is durable, and seen by every question asked from then on.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed, unless it is [`StoreError::Unsure`].
    pub fn execute(&self, command: Command) -> Result<Outcome, StoreError> {
        match command {
            Command::BeginImport { list } => self.begin_import(&list).map(Outcome::ImportBegun),
            Command::Publish(publish) => self.publish(&publish),
            Command::Accept { list, version, reason } => self.accept(&list, version, &reason),
            Command::TellHeld { list } => self.tell_held(&list),
            Command::Add { list, role, entries } => self.add(&list, role, entries).map(Outcome::Added),
            Command::ApplyFeed(changes) => self.apply_feed(changes).map(Outcome::FeedApplied),
            Command::FeedState { list } => self.feed_state(&list).map(Outcome::FeedState),
            Command::SourceIds { list, after, limit } => self.source_ids(&list, &after, limit),
            Command::NoteFeed(note) => self.note_feed(note),
            Command::Withdraw { list, fingerprints } => self.withdraw(&list, fingerprints).map(Outcome::Withdrawn),
            Command::SetState { list, state } => self.set_state(&list, state),
            Command::SetRadius { list, kind, radius } => self.set_radius(&list, kind, radius),
            Command::Remove { list } => self.remove(&list),
            Command::Rollback { list, to } => self.rollback(&list, to),
            Command::Suppress { fingerprint, scope, author, reason } => {
                self.suppress(fingerprint, scope, author, reason).map(Outcome::Suppressed)
            }
            Command::Lift { of, author, reason } => self.lift(&of, author, reason),
            Command::Suppressions { before, lifted } => self.suppressions(before, lifted),
            Command::Compact => self.compact_all(),
            Command::Backup => self.backup().map(Outcome::BackedUp),
            Command::Restore { incoming } => self.restore(&incoming).map(Outcome::Restored),
            Command::Lists => self.tell_lists().map(|lists| Outcome::Lists { lists }),
            Command::Inspect { list } => self.inspect(&list).map(|found| Outcome::Inspected(Box::new(found))),
            Command::Categories { list } => self.categories(&list).map(Outcome::Categories),
            Command::Contents { list, version } => {
                self.contents(&list, version).map(|contents| Outcome::Contents(Box::new(contents)))
            }
            Command::Entries { list, after } => self.entries_page(&list, after.as_deref()).map(Outcome::Entries),
            Command::Withdrawals { list, version, after } => {
                self.withdrawals_page(&list, version, after.as_ref()).map(Outcome::Withdrawals)
            }
            Command::Explain { fingerprint, radius } => {
                self.explain(fingerprint, radius).map(|found| Outcome::Explained(Box::new(found)))
            }
            Command::Verify => self.verify(),
            Command::Status => self.status().map(Outcome::Status),
        }
    }

    /// Does one step of what is due in the background: finishes what a change left, seals a large live layer, merges
    /// segments, forgets withdrawals that count nowhere, removes what killed tools left. Returns whether there may be more
    /// to do. Questions and changes go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; the store is as it was, and the step will be due again.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        drop(self.state_to_change()?);
        if self.seal_if_due(self.options.seal_at)? || self.merge_if_due()? || self.forget_withdrawals()? {
            return Ok(true);
        }
        incoming::sweep(&self.folder).map_err(StoreError::io("tidy", &self.folder.join(incoming::INCOMING)))?;
        Ok(false)
    }

    /// The state, for a short time. A panic elsewhere leaves it usable: what is durable is decided by the catalogue
    /// and the manifest, and both are left behind by an unfinished change as they were.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, ready for a change. What the change before could not finish is finished, and shown to questions, whatever
    /// becomes of this one.
    fn state_to_change(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        let was_unsettled = state.unsettled;
        let ready = state.ready_to_change();
        if was_unsettled {
            self.show(&state);
        }
        ready.map(|()| state)
    }

    /// Shows the state to questions, with the lists as they are, or as ones that cannot be read.
    fn show_lists(&self, state: &mut State) -> Result<(), StoreError> {
        let refreshed = state.refresh_lists();
        self.show(state);
        refreshed
    }

    /// Shows the state to questions.
    fn show(&self, state: &State) {
        self.snapshots.store(Arc::new(state.snapshot()));
    }
}
