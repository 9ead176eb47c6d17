//! What the commands share that change feed lists entry by entry.

use std::collections::BTreeMap;

use super::state::{State, live_change};
use super::{DEGENERATE_DIGESTS, StoreError, now};
use crate::catalogue::{Batch, EntryRow, ListRow};
use crate::fingerprint::Fingerprint;
use crate::index::live::LiveChange;
use crate::list::{Entry, ListId, ListName, ListShape, ListState, Roles, VersionNumber};

/// Changes of a feed list's entries within one batch.
pub(super) struct Edit {
    list: ListId,
    /// Whether the list began with this batch, so that nothing of it is held anywhere.
    is_new: bool,
    /// Of each fingerprint that is touched: whether the list held it before, so that a segment may hold it.
    touched: BTreeMap<Fingerprint, bool>,
}

/// What is left to do once the batch is durable.
pub(super) struct Edited {
    list: ListId,
    withdrawn: Vec<Fingerprint>,
    changes: Vec<LiveChange>,
}

impl Edit {
    /// No changes yet.
    pub(super) fn of(list: ListId, is_new: bool) -> Edit {
        Edit { list, is_new, touched: BTreeMap::new() }
    }

    /// Puts `entry` in the place of `old`, which is what stands in the catalogue under the same source id; without one,
    /// it is removed.
    pub(super) fn replace(
        &mut self,
        batch: &mut Batch<'_>,
        source_id: &str,
        old: Option<&Entry>,
        entry: Option<Entry>,
    ) -> Result<(), StoreError> {
        for fingerprint in old.into_iter().chain(&entry).flat_map(|entry| &entry.fingerprints) {
            if !self.touched.contains_key(fingerprint) {
                let held = !self.is_new && batch.read().holds(self.list, fingerprint)?;
                self.touched.insert(fingerprint.clone(), held);
            }
        }
        match entry {
            Some(entry) => batch.put_entry(&EntryRow { list: self.list, seq: batch.seq(), entry })?,
            None => batch.remove_entry(self.list, source_id)?,
        }
        Ok(())
    }

    /// Whether nothing was changed.
    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Writes the withdrawals, and tells what the list says now of all that was touched.
    pub(super) fn finish(self, batch: &mut Batch<'_>) -> Result<Edited, StoreError> {
        let mut edited = Edited { list: self.list, withdrawn: Vec::new(), changes: Vec::new() };
        for (fingerprint, held) in self.touched {
            if held {
                batch.withdraw(self.list, &fingerprint)?;
                edited.withdrawn.push(fingerprint.clone());
            }
            let entries = batch.read().entries_with(self.list, &fingerprint)?;
            edited.changes.push(live_change(&entries, self.list, fingerprint));
        }
        Ok(edited)
    }
}

impl State {
    /// Shows what is durable to the questions that come from now on.
    pub(super) fn apply(&mut self, edited: Edited) {
        self.apply_withdrawals(edited.list, &edited.withdrawn);
        self.apply_live(edited.changes);
    }

    /// The feed list of this name; `None` if there is no list of it. One of another shape is refused.
    pub(super) fn feed_list(&self, list: &ListName) -> Result<Option<ListRow>, StoreError> {
        match self.list(list) {
            Ok(ListRow { shape: shape @ ListShape::File, .. }) => {
                let remedy = "import a file with --add, or put your own entries into a list of another name";
                Err(StoreError::WrongShape { list: list.clone(), shape, tried: "changed entry by entry", remedy })
            }
            Ok(row) => Ok(Some(row)),
            Err(StoreError::NoSuchList(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes a feed list. The name may have been given to an import that has published nothing; who comes first has it.
pub(super) fn create_list(batch: &mut Batch<'_>, name: &ListName, roles: Roles) -> Result<ListId, StoreError> {
    let reserved = batch.read().list(name)?;
    if let Some(reserved) = reserved {
        batch.remove_list(reserved.id)?;
    }
    let id = batch.new_list_id()?;
    batch.put_list(&ListRow {
        id,
        name: name.clone(),
        shape: ListShape::Feed,
        state: ListState::Active,
        roles,
        next_version: VersionNumber(1),
        current: VersionNumber::LIVE,
        created_at: now(),
    })?;
    Ok(id)
}

/// An entry as it is kept: each fingerprint once, none of degenerate content. Returns how many of those there were.
pub(super) fn normalise(entry: &mut Entry) -> u64 {
    entry.fingerprints.sort();
    entry.fingerprints.dedup();
    let before = entry.fingerprints.len();
    entry.fingerprints.retain(|fingerprint| !DEGENERATE_DIGESTS.contains(fingerprint.kind(), fingerprint.value()));
    (before - entry.fingerprints.len()) as u64
}
