//! What the commands share that change feed lists entry by entry.

use std::collections::{BTreeMap, HashSet};

use super::state::{State, label, label_set};
use super::{DEGENERATE_DIGESTS, StoreError, now};
use crate::catalogue::{Batch, EntryRow, ListRow, StoredEntry};
use crate::fingerprint::Fingerprint;
use crate::index::live::LiveChange;
use crate::list::{Entry, Label, ListId, ListName, ListShape, ListState, Roles, VersionNumber};

/// Changes of a feed list's entries within one batch.
pub(super) struct Edit {
    list: ListId,
    /// Whether the list began with this batch, so that nothing of it is held anywhere.
    is_new: bool,
    /// The source ids of the entries that are changed.
    changed: HashSet<String>,
    /// Ascending, so that the catalogue's pages are visited in turn.
    touched: BTreeMap<Fingerprint, Touched>,
}

/// What the entries that are changed say of one fingerprint.
#[derive(Default)]
struct Touched {
    before: Vec<Label>,
    after: Vec<Label>,
    /// The entries that hold it now, and did not before.
    joined: Vec<String>,
    /// The entries that held it before, and do not now.
    left: Vec<String>,
}

/// What is left to do once the batch is durable.
pub(super) struct Edited {
    list: ListId,
    withdrawn: Vec<Fingerprint>,
    changes: Vec<LiveChange>,
    /// What suppressions cover because of it.
    covered: Vec<Fingerprint>,
}

impl Edit {
    /// No changes yet.
    pub(super) fn of(list: ListId, is_new: bool) -> Edit {
        Edit { list, is_new, changed: HashSet::new(), touched: BTreeMap::new() }
    }

    /// Puts `entry` in the place of `old`, which is what stands in the catalogue under `source_id`; without one, it is
    /// removed. Each entry is changed once in a batch.
    pub(super) fn replace(
        &mut self,
        batch: &mut Batch<'_>,
        source_id: String,
        old: Option<&StoredEntry>,
        entry: Option<Entry>,
    ) -> Result<(), StoreError> {
        let new = entry.map(|entry| EntryRow { list: self.list, seq: batch.seq(), entry });
        batch.change_entry(old, new.as_ref())?;
        if let Some(old) = old {
            for fingerprint in &old.row.entry.fingerprints {
                let touched = self.touched.entry(fingerprint.clone()).or_default();
                touched.before.push(label(&old.row));
                touched.left.push(source_id.clone());
            }
        }
        if let Some(new) = &new {
            for fingerprint in &new.entry.fingerprints {
                let touched = self.touched.entry(fingerprint.clone()).or_default();
                touched.after.push(label(new));
                match touched.left.last() == Some(&source_id) {
                    true => drop(touched.left.pop()),
                    false => touched.joined.push(source_id.clone()),
                }
            }
        }
        self.changed.insert(source_id);
        Ok(())
    }

    /// Whether nothing was changed.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Brings fingerprints and withdrawals in line, and tells what the list says now of what was touched.
    pub(super) fn finish(self, batch: &mut Batch<'_>) -> Result<Edited, StoreError> {
        let Edit { list, is_new, changed, touched } = self;
        let (changes, covered) = (Vec::with_capacity(touched.len()), batch.take_covered());
        let mut edited = Edited { list, withdrawn: Vec::new(), changes, covered };
        for (fingerprint, Touched { mut before, mut after, joined, left }) in touched {
            let holders = if is_new { Vec::new() } else { batch.read().holders(list, &fingerprint)? };
            for other in holders.iter().filter(|holder| !changed.contains(*holder)) {
                if let Some(stored) = batch.entry(list, other)? {
                    before.push(label(&stored.row));
                    after.push(label(&stored.row));
                }
            }
            left.iter().try_for_each(|source_id| batch.remove_holder(list, &fingerprint, source_id))?;
            joined.iter().try_for_each(|source_id| batch.add_holder(list, &fingerprint, source_id))?;
            let (before, after) = (label_set(before), label_set(after));
            if before == after {
                continue;
            }
            if !holders.is_empty() {
                // A segment may hold what the list said before.
                batch.withdraw(list, &fingerprint)?;
                edited.withdrawn.push(fingerprint.clone());
            }
            edited.changes.push(LiveChange { fingerprint, list, labels: after });
        }
        Ok(edited)
    }
}

impl State {
    /// Shows what is durable to the questions that come from now on.
    pub(super) fn apply(&mut self, edited: Edited) {
        self.apply_withdrawals(edited.list, &edited.withdrawn);
        self.apply_live(edited.changes);
        self.suppress_also(edited.covered);
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
