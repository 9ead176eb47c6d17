//! Changes that the catalogue alone makes durable: feed entries, withdrawals, states, radii, removal.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Added, Outcome, Withdrawn};
use super::entries::{Edit, create_list, normalise};
use super::state::State;
use super::{Store, StoreError, alarm, now};
use crate::catalogue::ListRow;
use crate::fingerprint::{BadRadius, Fingerprint, Kind, Radii, Radius};
use crate::index::live::LiveChange;
use crate::list::{Entry, ListId, ListName, ListShape, ListState, Role, Roles};

impl Store {
    pub(super) fn add(&self, list: &ListName, role: Option<Role>, entries: Vec<Entry>) -> Result<Added, StoreError> {
        let mut outcome = Added::default();
        // Of each source id the last one counts.
        let mut last = BTreeMap::new();
        for mut entry in entries {
            if entry.fingerprints.is_empty() {
                return Err(StoreError::EmptyEntry { source_id: entry.source_id });
            }
            outcome.degenerate += normalise(&mut entry);
            last.insert(entry.source_id.clone(), entry);
        }
        let mut state = self.state_to_change()?;
        let existing = state.feed_list(list)?;
        let mut batch = state.catalogue.batch()?;
        let id = match &existing {
            Some(row) => row.id,
            None => {
                let role = role.ok_or_else(|| StoreError::NoRole(list.clone()))?;
                outcome.created = true;
                create_list(&mut batch, list, Roles::uniform(role))?
            }
        };
        let mut edit = Edit::of(id, outcome.created);
        for (source_id, entry) in last {
            let old = batch.entry(id, &source_id)?;
            match &old {
                Some(old) if old.row.entry == entry => {
                    outcome.unchanged += 1;
                    continue;
                }
                Some(_) => outcome.replaced += 1,
                None if entry.fingerprints.is_empty() => continue,
                None => outcome.added += 1,
            }
            let entry = Some(entry).filter(|entry| !entry.fingerprints.is_empty());
            edit.replace(&mut batch, source_id, old.as_ref(), entry)?;
        }
        if edit.is_empty() && !outcome.created {
            return Ok(outcome);
        }
        let edited = edit.finish(&mut batch)?;
        let action = format!("added {} entries, replaced {}", outcome.added, outcome.replaced);
        batch.commit(now(), Some(id), &action)?;
        state.apply(edited);
        match outcome.created {
            true => self.show_lists(&mut state)?,
            false => self.show(&state),
        }
        Ok(outcome)
    }

    pub(super) fn withdraw(&self, list: &ListName, fingerprints: Vec<Fingerprint>) -> Result<Withdrawn, StoreError> {
        let fingerprints: BTreeSet<Fingerprint> = fingerprints.into_iter().collect();
        let mut state = self.state_to_change()?;
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
        let alarm = match self.options.gate.deletion.entries < outcome.withdrawn {
            true => alarm::mass_deletion(None, state.count_held(&row)?, outcome.withdrawn, &self.options.gate),
            // Counting takes a pass over the entries, and could not change the answer.
            false => None,
        };
        let mut batch = state.catalogue.batch()?;
        for fingerprint in &recorded {
            let holders = batch.read().holders(row.id, fingerprint)?;
            for source_id in holders {
                batch.remove_holder(row.id, fingerprint, &source_id)?;
                let Some(old) = batch.entry(row.id, &source_id)? else { continue };
                // What the entry says of its other fingerprints has not changed, so neither does its `seq`.
                let mut left = old.row.clone();
                left.entry.fingerprints.retain(|held| held != fingerprint);
                let left = Some(&left).filter(|left| !left.entry.fingerprints.is_empty());
                batch.change_entry(Some(&old), left)?;
            }
            batch.withdraw(row.id, fingerprint)?;
        }
        if let Some(alarm) = alarm {
            alarm::raise(&mut batch, row.id, &row.name, &alarm)?;
        }
        let covered = batch.take_covered();
        batch.commit(now(), Some(row.id), &format!("withdrew {} fingerprints", outcome.withdrawn))?;
        state.apply_withdrawals(row.id, &recorded);
        state.suppress_also(covered);
        if row.shape == ListShape::Feed {
            let nothing = |fingerprint| LiveChange { fingerprint, list: row.id, labels: Vec::new() };
            state.apply_live(recorded.into_iter().map(nothing).collect());
        }
        self.show(&state);
        Ok(outcome)
    }

    pub(super) fn set_state(&self, list: &ListName, new: ListState) -> Result<Outcome, StoreError> {
        let mut state = self.state_to_change()?;
        let row = state.list(list)?;
        let previous = row.state;
        if previous != new {
            let mut batch = state.catalogue.batch()?;
            batch.put_list(&ListRow { state: new, ..row.clone() })?;
            batch.commit(now(), Some(row.id), &format!("set to {new}"))?;
            self.show_lists(&mut state)?;
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
        let mut state = self.state_to_change()?;
        let row = state.list(list)?;
        let previous = state.radii(&row)?.get(kind);
        if state.change_radii(&row, &[(kind, radius)])? {
            self.show_lists(&mut state)?;
        }
        Ok(Outcome::RadiusSet { previous, radius })
    }

    pub(super) fn remove(&self, list: &ListName) -> Result<Outcome, StoreError> {
        let mut state = self.state_to_change()?;
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
        self.show_lists(&mut state)?;
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

    /// How many fingerprints the list holds.
    fn count_held(&self, row: &ListRow) -> Result<u64, StoreError> {
        match self.current_version_row(row)? {
            Some(version) => {
                let digests: u64 = version.segments.values().map(|file| file.digests).sum();
                Ok(digests.saturating_sub(self.count_withdrawn(&version)?))
            }
            None => Ok(self.catalogue.read().fingerprint_counts_of(row.id)?.into_values().sum()),
        }
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
