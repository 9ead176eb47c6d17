//! Changes that the catalogue alone makes durable: feed entries, withdrawals, states, radii, removal.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Added, Outcome, Withdrawn};
use super::state::{State, live_change};
use super::{DEGENERATE_DIGESTS, Store, StoreError, now};
use crate::catalogue::{EntryRow, ListRow};
use crate::fingerprint::{BadRadius, Fingerprint, Kind, Radii, Radius};
use crate::index::live::LiveChange;
use crate::list::{Entry, ListId, ListName, ListShape, ListState, Role, Roles, VersionNumber};

impl Store {
    pub(super) fn add(&self, list: &ListName, role: Option<Role>, entries: Vec<Entry>) -> Result<Added, StoreError> {
        let mut outcome = Added::default();
        let entries = self.normalise(entries, &mut outcome)?;
        let mut state = self.state();
        state.ready_to_change()?;
        let row = match state.list(list) {
            Ok(row) => Some(row),
            Err(StoreError::NoSuchList(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(ListRow { shape: shape @ ListShape::File, .. }) = row {
            let remedy = "import a file with --add, or put your own entries into a list of another name";
            return Err(StoreError::WrongShape { list: list.clone(), shape, tried: "changed entry by entry", remedy });
        }
        let existing = row.as_ref().map(|row| row.id);
        let reserved = state.catalogue.read().list(list)?.filter(|_| row.is_none());
        let mut batch = state.catalogue.batch()?;
        let id = match row {
            Some(row) => row.id,
            None => {
                let role = role.ok_or_else(|| StoreError::NoRole(list.clone()))?;
                // The name was given to an import that has published nothing; who comes first has it.
                if let Some(reserved) = reserved {
                    batch.remove_list(reserved.id)?;
                }
                let id = batch.new_list_id()?;
                batch.put_list(&ListRow {
                    id,
                    name: list.clone(),
                    shape: ListShape::Feed,
                    state: ListState::Active,
                    roles: Roles::uniform(role),
                    next_version: VersionNumber(1),
                    current: VersionNumber::LIVE,
                    created_at: now(),
                })?;
                outcome.created = true;
                id
            }
        };
        // Of each fingerprint that is touched: whether the list held it before, so that a segment may hold it.
        let mut touched: BTreeMap<Fingerprint, bool> = BTreeMap::new();
        for entry in entries {
            let old = batch.read().entry(id, &entry.source_id)?.map(|row| row.entry);
            match &old {
                Some(old) if *old == entry => {
                    outcome.unchanged += 1;
                    continue;
                }
                Some(_) => outcome.replaced += 1,
                None if entry.fingerprints.is_empty() => continue,
                None => outcome.added += 1,
            }
            for fingerprint in old.iter().flat_map(|old| &old.fingerprints).chain(&entry.fingerprints) {
                if !touched.contains_key(fingerprint) {
                    let held = existing.is_some() && batch.read().holds(id, fingerprint)?;
                    touched.insert(fingerprint.clone(), held);
                }
            }
            if entry.fingerprints.is_empty() {
                batch.remove_entry(id, &entry.source_id)?;
            } else {
                batch.put_entry(&EntryRow { list: id, seq: batch.seq(), entry })?;
            }
        }
        if touched.is_empty() && !outcome.created {
            return Ok(outcome);
        }
        let mut changes = Vec::with_capacity(touched.len());
        let mut withdrawn = Vec::new();
        for (fingerprint, held) in touched {
            if held {
                batch.withdraw(id, &fingerprint)?;
                withdrawn.push(fingerprint.clone());
            }
            changes.push(live_change(&batch.read().entries_with(id, &fingerprint)?, id, fingerprint));
        }
        let action = format!("added {} entries, replaced {}", outcome.added, outcome.replaced);
        let covered = batch.take_covered();
        batch.commit(now(), Some(id), &action)?;
        state.apply_withdrawals(id, &withdrawn);
        state.apply_live(changes);
        state.suppress_also(covered);
        if outcome.created {
            state.refresh_lists()?;
        }
        self.show(&state);
        Ok(outcome)
    }

    /// Entries as they are kept: the last of each source id, without degenerate fingerprints, each fingerprint once.
    fn normalise(&self, entries: Vec<Entry>, outcome: &mut Added) -> Result<Vec<Entry>, StoreError> {
        let mut last = BTreeMap::new();
        for mut entry in entries {
            if entry.fingerprints.is_empty() {
                return Err(StoreError::EmptyEntry { source_id: entry.source_id });
            }
            entry.fingerprints.sort();
            entry.fingerprints.dedup();
            let before = entry.fingerprints.len();
            entry
                .fingerprints
                .retain(|fingerprint| !DEGENERATE_DIGESTS.contains(fingerprint.kind(), fingerprint.value()));
            outcome.degenerate += (before - entry.fingerprints.len()) as u64;
            last.insert(entry.source_id.clone(), entry);
        }
        Ok(last.into_values().collect())
    }

    pub(super) fn withdraw(&self, list: &ListName, fingerprints: Vec<Fingerprint>) -> Result<Withdrawn, StoreError> {
        let fingerprints: BTreeSet<Fingerprint> = fingerprints.into_iter().collect();
        let mut state = self.state();
        state.ready_to_change()?;
        let row = state.list(list)?;
        let (gone, not_held) = match row.shape {
            ListShape::File => state.held_by_version(&row, fingerprints)?,
            _ => state.held_by_entries(row.id, fingerprints)?,
        };
        // A version that does not answer now may hold what the current one does not, and must not bring it back.
        let recorded: Vec<_> = match row.shape {
            ListShape::File => gone.iter().chain(&not_held).cloned().collect(),
            _ => gone.clone(),
        };
        let outcome = Withdrawn { withdrawn: gone.len() as u64, not_held };
        if recorded.is_empty() {
            return Ok(outcome);
        }
        let mut batch = state.catalogue.batch()?;
        for fingerprint in &recorded {
            if row.shape == ListShape::Feed {
                for EntryRow { seq, mut entry, .. } in batch.read().entries_with(row.id, fingerprint)? {
                    entry.fingerprints.retain(|held| held != fingerprint);
                    if entry.fingerprints.is_empty() {
                        batch.remove_entry(row.id, &entry.source_id)?;
                    } else {
                        // What the entry says of its other fingerprints has not changed, so neither does its `seq`.
                        batch.put_entry(&EntryRow { list: row.id, seq, entry })?;
                    }
                }
            }
            batch.withdraw(row.id, fingerprint)?;
        }
        batch.commit(now(), Some(row.id), &format!("withdrew {} fingerprints", outcome.withdrawn))?;
        state.apply_withdrawals(row.id, &recorded);
        if row.shape == ListShape::Feed {
            let nothing = |fingerprint| LiveChange { fingerprint, list: row.id, labels: Vec::new() };
            state.apply_live(recorded.into_iter().map(nothing).collect());
        }
        self.show(&state);
        Ok(outcome)
    }

    pub(super) fn set_state(&self, list: &ListName, new: ListState) -> Result<Outcome, StoreError> {
        let mut state = self.state();
        state.ready_to_change()?;
        let row = state.list(list)?;
        let previous = row.state;
        if previous != new {
            let mut batch = state.catalogue.batch()?;
            batch.put_list(&ListRow { state: new, ..row.clone() })?;
            batch.commit(now(), Some(row.id), &format!("set to {new}"))?;
            state.refresh_lists()?;
            self.show(&state);
        }
        Ok(Outcome::StateSet { previous, state: new })
    }

    pub(super) fn set_radius(
        &self,
        list: &ListName,
        kind: Kind,
        radius: Option<Radius>,
    ) -> Result<Outcome, StoreError> {
        // Also what is taken away must be of a kind that has one.
        let default = kind.radius_default().ok_or(BadRadius::ExactKind(kind))?;
        Radii::none().set(kind, radius.unwrap_or(default))?;
        let mut state = self.state();
        state.ready_to_change()?;
        let row = state.list(list)?;
        let previous = state.radii(&row)?.get(kind);
        if state.change_radii(&row, &[(kind, radius)])? {
            state.refresh_lists()?;
            self.show(&state);
        }
        Ok(Outcome::RadiusSet { previous, radius })
    }

    pub(super) fn remove(&self, list: &ListName) -> Result<Outcome, StoreError> {
        let mut state = self.state();
        state.ready_to_change()?;
        let row = state.list(list)?;
        let mut batch = state.catalogue.batch()?;
        let (versions, entries) = batch.remove_list(row.id)?;
        batch.commit(now(), Some(row.id), &format!("removed {list} with {versions} versions, {entries} entries"))?;
        let silenced = state.served.as_ref().map(|served| served.live.clone()).unwrap_or_default();
        let mut changes = Vec::new();
        for kind in silenced.kinds() {
            let of_list = silenced.iter_kind(kind).filter(|(_, said)| said.iter().any(|l| l.source.list == row.id));
            changes.extend(of_list.map(|(value, _)| LiveChange {
                fingerprint: Fingerprint::new(kind, value).expect("a layer's values have their kind's width"),
                list: row.id,
                labels: Vec::new(),
            }));
        }
        state.apply_live(changes);
        state.try_settle();
        state.refresh_lists()?;
        self.show(&state);
        Ok(Outcome::Removed { versions, entries })
    }
}

/// Fingerprints that a list names, and those that it does not.
type Held = (Vec<Fingerprint>, Vec<Fingerprint>);

impl State {
    /// Gives a list radii of its own, or takes them away, in one batch. Returns whether any of them is another now.
    pub(super) fn change_radii(&mut self, row: &ListRow, asked: &[(Kind, Option<Radius>)]) -> Result<bool, StoreError> {
        let before = self.radii(row)?;
        let mut batch = self.catalogue.batch()?;
        let mut done = Vec::new();
        for (kind, radius) in asked.iter().filter(|(kind, radius)| before.get(*kind) != *radius) {
            batch.set_radius(row.id, *kind, *radius)?;
            let bits = radius.map_or("default".to_owned(), |radius| radius.to_string());
            done.push(format!("{kind}={bits}"));
        }
        if done.is_empty() {
            return Ok(false);
        }
        batch.commit(now(), Some(row.id), &format!("set radius {}", done.join(",")))?;
        Ok(true)
    }

    fn held_by_entries(&self, list: ListId, fingerprints: BTreeSet<Fingerprint>) -> Result<Held, StoreError> {
        let (mut held, mut not_held) = Held::default();
        for fingerprint in fingerprints {
            let side = if self.catalogue.read().holds(list, &fingerprint)? { &mut held } else { &mut not_held };
            side.push(fingerprint);
        }
        Ok((held, not_held))
    }

    pub(super) fn held_by_version(
        &self,
        row: &ListRow,
        fingerprints: BTreeSet<Fingerprint>,
    ) -> Result<Held, StoreError> {
        let source = self.current_source(row);
        let (mut held, mut not_held) = Held::default();
        let mut segments = BTreeMap::new();
        for fingerprint in fingerprints {
            let kind = fingerprint.kind();
            let segment = match segments.entry(kind) {
                std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let entry = self.manifest.segment_of(kind, &source);
                    place.insert(entry.map(|entry| self.open_segment(entry)).transpose()?)
                }
            };
            let named = match segment {
                None => false,
                Some(segment) => {
                    let found = segment.find(fingerprint.value());
                    let says = |set| segment.labels().set(set).any(|label| label.source == source);
                    let withdrawn = self.catalogue.read().withdrawn_at(row.id, &fingerprint)?;
                    found.is_some_and(|(_, set)| says(set)) && withdrawn.is_none_or(|seq| seq <= segment.applied_seq())
                }
            };
            if named { held.push(fingerprint) } else { not_held.push(fingerprint) }
        }
        Ok((held, not_held))
    }
}
