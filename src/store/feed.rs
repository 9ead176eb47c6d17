//! Changes of feeds: of each entry the newest state, whatever the order in which states come.
//!
//! A source's pages need not be ordered by time, a window that was cut short is read again from its start, and windows
//! may overlap at their borders. So an older state never replaces a newer one, and a deletion leaves a tombstone,
//! against which older states of the entry are held.
//!
//! **When a tombstone may go.** A window holds all changes of a span of the source's time. So an older state than a
//! deletion comes in the deletion's own window, when that is read again before its checkpoint is durable, or at the
//! border of the next one. A tombstone therefore outlives the window in which it was written by one: the checkpoint
//! that closes window n drops what was written before window n began. A source that is read again from its beginning
//! passes through all its states in the order of windows, and ends with the newest one.

use std::collections::BTreeMap;

use super::alarm::{self, FeedDeletions};
use super::command::{
    Continues, Deleted, FAULTS_MAX, FaultyItem, FeedApplied, FeedChanges, FeedFault, FeedInfo, FeedNote, FeedState,
    Outcome, SOURCE_IDS_MAX,
};
use super::entries::{Edit, Edited, create_list, normalise};
use super::gate::GateLimits;
use super::state::State;
use super::{Store, StoreError, now};
use crate::catalogue::{Batch, FaultRow, FeedRow, ListRow, TombstoneRow};
use crate::list::{Entry, ListId, ListName};

/// A state of an entry: `None` if it is gone.
struct Newest {
    entry: Option<Entry>,
    changed_at: Option<i64>,
}

impl Store {
    pub(super) fn apply_feed(&self, changes: FeedChanges) -> Result<FeedApplied, StoreError> {
        let mut outcome = FeedApplied::default();
        let newest = newest_states(changes.entries, changes.deleted, &mut outcome);
        let mut state = self.state_to_change()?;
        let existing = state.feed_list(&changes.list)?;
        if let Some(Continues { checkpoint }) = &changes.continues {
            let feed = existing.as_ref().map(|row| state.catalogue.read().feed(row.id)).transpose()?.flatten();
            if feed.and_then(|feed| feed.checkpoint) != *checkpoint {
                return Err(StoreError::FeedSetBack(changes.list));
            }
        }
        let closes = changes.checkpoint.is_some();
        let State { catalogue, feed_deletions, .. } = &mut *state;
        let mut batch = catalogue.batch()?;
        let (id, roles_changed) = match (existing, changes.roles) {
            (Some(row), Some(roles)) if row.roles != roles => {
                batch.put_list(&ListRow { roles, ..row.clone() })?;
                (row.id, true)
            }
            (Some(row), _) => (row.id, false),
            (None, Some(roles)) => {
                outcome.created = true;
                (create_list(&mut batch, &changes.list, roles)?, true)
            }
            (None, None) => return Err(StoreError::NoRole(changes.list)),
        };
        let has_tombstones = batch.read().has_tombstones(id)?;
        let edit = Edit::of(id, outcome.created);
        let mut feed = FeedBatch { list: id, batch, edit, outcome, has_tombstones, changed: roles_changed };
        for (source_id, newest) in newest {
            feed.take(source_id, newest)?;
        }
        feed.note_faults(changes.faults, &changes.mended)?;
        feed.close_window(changes.checkpoint)?;
        let mut deletions = feed_deletions.get(&id).cloned().unwrap_or_default();
        feed.watch_deletions(&changes.list, &mut deletions, &self.options.gate)?;
        let (outcome, edited) = feed.finish()?;
        // Only now: what was not made durable was not deleted, and its alarm not raised.
        match closes {
            true => feed_deletions.remove(&id),
            false => feed_deletions.insert(id, deletions),
        };
        let Some(edited) = edited else { return Ok(outcome) };
        state.apply(edited);
        match roles_changed {
            true => self.show_lists(&mut state)?,
            false => self.show(&state),
        }
        Ok(outcome)
    }

    pub(super) fn feed_state(&self, list: &ListName) -> Result<FeedState, StoreError> {
        let state = self.state();
        let Some(row) = state.find_list(list)? else { return Ok(FeedState::default()) };
        let read = state.catalogue.read();
        let feed = read.feed(row.id)?.unwrap_or_else(|| FeedRow::unread(row.id));
        let faults = read.faults(row.id)?.into_iter();
        Ok(FeedState {
            checkpoint: feed.checkpoint,
            synced_at: feed.synced_at,
            attempted_at: feed.attempted_at,
            fault: feed.fault,
            faults: faults
                .map(|FaultRow { item, fault, at, tries, .. }| FaultyItem { item, fault, at, tries })
                .collect(),
        })
    }

    pub(super) fn source_ids(&self, list: &ListName, after: &str, limit: usize) -> Result<Outcome, StoreError> {
        let state = self.state();
        let row = state.feed_list(list)?.ok_or_else(|| StoreError::NoSuchList(list.clone()))?;
        let source_ids = state.catalogue.read().source_ids(row.id, after, limit.min(SOURCE_IDS_MAX))?;
        Ok(Outcome::SourceIds { source_ids })
    }

    pub(super) fn note_feed(&self, note: FeedNote) -> Result<Outcome, StoreError> {
        let mut state = self.state_to_change()?;
        let row = state.list(&note.list)?;
        let mut batch = state.catalogue.batch()?;
        let before = batch.read().feed(row.id)?.unwrap_or_else(|| FeedRow::unread(row.id));
        let at = now();
        let action = note.fault.as_ref().map_or("synced".to_owned(), |fault| format!("sync failed: {fault}"));
        batch.put_feed(&FeedRow {
            checkpoint: note.checkpoint.or(before.checkpoint),
            synced_at: if note.fault.is_none() { Some(at) } else { before.synced_at },
            attempted_at: Some(at),
            fault: note.fault,
            ..before
        })?;
        batch.commit(at, Some(row.id), &action)?;
        Ok(Outcome::FeedNoted)
    }
}

impl State {
    /// How fresh a list is, if a feed fills it.
    pub(super) fn feed_info(&self, list: ListId) -> Result<Option<FeedInfo>, StoreError> {
        let read = self.catalogue.read();
        let Some(feed) = read.feed(list)? else { return Ok(None) };
        Ok(Some(FeedInfo {
            synced_at: feed.synced_at,
            attempted_at: feed.attempted_at,
            fault: feed.fault,
            faulty_items: read.fault_count(list)?,
            stale: false,
        }))
    }
}

/// The batch that makes the changes of one command.
struct FeedBatch<'c> {
    list: ListId,
    batch: Batch<'c>,
    edit: Edit,
    outcome: FeedApplied,
    /// Whether any stood when the batch began. Each entry is taken once, so those of this batch do not matter to it.
    has_tombstones: bool,
    /// Whether something beside entries is another than before.
    changed: bool,
}

impl FeedBatch<'_> {
    /// Takes a state of an entry, unless a later one is held.
    fn take(&mut self, source_id: String, newest: Newest) -> Result<(), StoreError> {
        let Some(old) = self.batch.entry(self.list, &source_id)? else { return self.take_absent(source_id, newest) };
        if is_older(newest.changed_at, old.row.entry.changed_at) {
            self.outcome.older += 1;
            return Ok(());
        }
        match &newest.entry {
            Some(entry) if *entry == old.row.entry => {
                self.outcome.unchanged += 1;
                return Ok(());
            }
            Some(_) => self.outcome.replaced += 1,
            None => {
                self.outcome.deleted += 1;
                self.bury(&source_id, newest.changed_at)?;
            }
        }
        self.edit.replace(&mut self.batch, source_id, Some(&old), newest.entry)
    }

    /// The same of an entry that is not there: it never was, or is gone.
    fn take_absent(&mut self, source_id: String, newest: Newest) -> Result<(), StoreError> {
        let tombstone = match self.has_tombstones {
            true => self.batch.read().tombstone(self.list, &source_id)?,
            false => None,
        };
        let buried_at = tombstone.map(|tombstone| tombstone.changed_at);
        if is_older(newest.changed_at, buried_at) {
            self.outcome.older += 1;
            return Ok(());
        }
        let Some(entry) = newest.entry else {
            self.outcome.unchanged += 1;
            return if newest.changed_at == buried_at { Ok(()) } else { self.bury(&source_id, newest.changed_at) };
        };
        if buried_at.is_some() {
            self.batch.remove_tombstone(self.list, &source_id)?;
        }
        self.outcome.added += 1;
        self.edit.replace(&mut self.batch, source_id, None, Some(entry))
    }

    /// Holds older states of an entry off. Where it is not known when it was deleted, none is older.
    fn bury(&mut self, source_id: &str, changed_at: Option<i64>) -> Result<(), StoreError> {
        let Some(changed_at) = changed_at else { return Ok(()) };
        self.changed = true;
        let (source_id, seq) = (source_id.to_owned(), self.batch.seq());
        Ok(self.batch.put_tombstone(&TombstoneRow { list: self.list, source_id, changed_at, seq })?)
    }

    fn note_faults(&mut self, faults: Vec<FeedFault>, mended: &[String]) -> Result<(), StoreError> {
        for item in mended {
            self.changed |= self.batch.mend(self.list, item)?;
        }
        let mut noted = self.batch.read().fault_count(self.list)?;
        for FeedFault { item, fault } in faults {
            let before = self.batch.read().fault_of(self.list, &item)?;
            if before.is_none() && noted >= FAULTS_MAX {
                continue;
            }
            noted += u64::from(before.is_none());
            let tries = before.map_or(0, |row| row.tries) + 1;
            self.batch.put_fault(&FaultRow { list: self.list, item, at: now(), tries, fault })?;
            self.changed = true;
        }
        Ok(())
    }

    /// Lets the next window begin, and drops the tombstones that were written before this one began.
    fn close_window(&mut self, checkpoint: Option<String>) -> Result<(), StoreError> {
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let before = self.batch.read().feed(self.list)?.unwrap_or_else(|| FeedRow::unread(self.list));
        if before.checkpoint.as_ref() == Some(&checkpoint) {
            return Ok(());
        }
        self.batch.remove_tombstones(self.list, before.closed_seq)?;
        let closed_seq = self.batch.seq();
        self.batch.put_feed(&FeedRow { checkpoint: Some(checkpoint), closed_seq, ..before })?;
        self.changed = true;
        Ok(())
    }

    /// Raises an alarm when the window that is being read takes much of the list away.
    fn watch_deletions(
        &mut self,
        list: &ListName,
        deletions: &mut FeedDeletions,
        limits: &GateLimits,
    ) -> Result<(), StoreError> {
        let held = || self.batch.read().entry_count(self.list);
        if let Some(alarm) = deletions.note(self.outcome.deleted, limits, held)? {
            alarm::raise(&mut self.batch, self.list, list, &alarm)?;
        }
        Ok(())
    }

    /// Makes it durable, unless there is nothing to it.
    fn finish(mut self) -> Result<(FeedApplied, Option<Edited>), StoreError> {
        if self.edit.is_empty() && !self.changed {
            return Ok((self.outcome, None));
        }
        let edited = self.edit.finish(&mut self.batch)?;
        let FeedApplied { added, replaced, deleted, .. } = self.outcome;
        let action = format!("feed: added {added} entries, replaced {replaced}, deleted {deleted}");
        self.batch.commit(now(), Some(self.list), &action)?;
        Ok((self.outcome, Some(edited)))
    }
}

/// Whether a state of this time is older than one of that time. What has no time is never older.
fn is_older(changed_at: Option<i64>, than: Option<i64>) -> bool {
    matches!((changed_at, than), (Some(this), Some(that)) if this < that)
}

/// Of each source id the newest of the states that one command brings.
fn newest_states(entries: Vec<Entry>, deleted: Vec<Deleted>, outcome: &mut FeedApplied) -> BTreeMap<String, Newest> {
    let mut newest: BTreeMap<String, Newest> = BTreeMap::new();
    let mut offer = |source_id: String, state: Newest| {
        if newest.get(&source_id).is_some_and(|held| is_older(state.changed_at, held.changed_at)) {
            outcome.older += 1;
        } else {
            newest.insert(source_id, state);
        }
    };
    let mut degenerate = 0;
    for mut entry in entries {
        degenerate += normalise(&mut entry);
        let (source_id, changed_at) = (entry.source_id.clone(), entry.changed_at);
        let entry = Some(entry).filter(|entry| !entry.fingerprints.is_empty());
        offer(source_id, Newest { entry, changed_at });
    }
    for Deleted { source_id, changed_at } in deleted {
        offer(source_id, Newest { entry: None, changed_at });
    }
    outcome.degenerate = degenerate;
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Role, Roles};
    use crate::store::StoreOptions;

    #[test]
    fn a_tombstone_outlives_its_window_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions { create: true, ..StoreOptions::default() }).unwrap();
        let list: ListName = "network".parse().unwrap();
        let apply = |deleted: Option<i64>, checkpoint: Option<&str>| {
            let deleted = deleted.map(|at| Deleted { source_id: "a".to_owned(), changed_at: Some(at) });
            let changes = FeedChanges {
                roles: Some(Roles::uniform(Role::Illegal)),
                deleted: deleted.into_iter().collect(),
                checkpoint: checkpoint.map(str::to_owned),
                ..FeedChanges::of(list.clone())
            };
            store.apply_feed(changes).unwrap();
            let state = store.state();
            let row = state.find_list(&list).unwrap().unwrap();
            state.catalogue.read().has_tombstones(row.id).unwrap()
        };
        assert!(!apply(None, Some("1")));
        assert!(apply(Some(5), None));
        assert!(apply(None, Some("2")));
        // The same checkpoint again closes nothing.
        assert!(apply(None, Some("2")));
        assert!(!apply(None, Some("3")));
        // What is met again counts from then on.
        assert!(apply(Some(6), Some("4")));
        assert!(apply(Some(7), Some("5")));
        assert!(!apply(None, Some("6")));
    }
}
