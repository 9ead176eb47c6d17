//! The operator's veto: suppressed, lifted, and kept up with what lists bring later.
//!
//! A suppression of an entry covers every fingerprint of the entries that hold its hash. What it covers is written down,
//! so that it stays covered whatever becomes of those entries; and whatever brings another entry with that hash covers
//! its fingerprints in the same step, so that no question sees them in between. Feed entries are covered by the batch
//! that brings them ([`crate::catalogue::Batch::change_entry`]), a version's records by the step that makes it the current one.
//! A list whose records were not kept has entries of one fingerprint each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use super::checked::open_segment;
use super::command::{Command, Lifting, Outcome, Suppressed};
use super::manifest::Manifest;
use super::records::open_records;
use super::state::State;
use super::{DEGENERATE_DIGESTS, SEGMENTS, Store, StoreError, now};
use crate::catalogue::{ListRow, Reader, RecordsFile, VersionState};
use crate::fingerprint::{Fingerprint, FingerprintSet, Kind};
use crate::index::sealed::Segment;
use crate::list::{
    DEGENERATE, Lifted, ListId, ListName, ListShape, Suppression, SuppressionScope, TEST, VersionNumber,
    test_fingerprints,
};

/// The most characters of an author's name.
const AUTHOR_CHARS_MAX: usize = 100;
/// The most characters of a reason.
const REASON_CHARS_MAX: usize = 2_000;

impl Store {
    pub(super) fn suppress(
        &self,
        fingerprint: Fingerprint,
        scope: SuppressionScope,
        author: String,
        reason: String,
    ) -> Result<Suppressed, StoreError> {
        check_signed(&author, &reason)?;
        if let Some(list) = built_in_holder(&fingerprint) {
            return Err(StoreError::BuiltInHash { fingerprint, list });
        }
        let (mut state, entries) = self.entries_with(&fingerprint, scope)?;
        let same = state.catalogue.read().suppressions_of(&fingerprint)?.into_iter();
        if let Some(same) = same.into_iter().find(|same| same.lifted.is_none() && same.scope == scope) {
            return Err(StoreError::Suppressed(Box::new(same)));
        }
        let holders = state.holders(&fingerprint)?;
        let held_by = holders.iter().map(|row| row.name.clone()).collect();
        let without_records = match scope {
            SuppressionScope::Entry => state.without_records(holders)?,
            SuppressionScope::Hash => Vec::new(),
        };
        let mut batch = state.catalogue.batch()?;
        let suppression = Suppression { id: batch.seq(), fingerprint, scope, author, reason, at: now(), lifted: None };
        batch.suppress(&suppression)?;
        entries.iter().try_for_each(|together| batch.cover(together))?;
        let (covers, covered) = batch.read().covered_by(suppression.id, Suppressed::COVERED_MAX)?;
        let Suppression { id, fingerprint, author, reason, .. } = &suppression;
        let what = format!("suppressed {fingerprint} ({}, {covers} fingerprints)", scope.name());
        let newly = batch.take_covered();
        batch.commit(suppression.at, None, &format!("{what} by {author}: {reason}"))?;
        state.suppress_also(newly);
        self.show(&state);
        Ok(Suppressed { id: *id, covers, covered, held_by, without_records })
    }

    /// What a suppression covers beside its hash: the fingerprints of each entry that holds it, in any list. And the state
    /// in which that is so. Records are files, which are searched without the mutex; if others are kept by then, once more.
    fn entries_with(
        &self,
        hash: &Fingerprint,
        scope: SuppressionScope,
    ) -> Result<(MutexGuard<'_, State>, BTreeSet<Vec<Fingerprint>>), StoreError> {
        loop {
            let kept = self.state().kept_records_files()?;
            let found = match scope {
                SuppressionScope::Entry => self.records_with(hash, &kept),
                SuppressionScope::Hash => Ok(BTreeSet::new()),
            };
            let state = self.state_to_change()?;
            if state.kept_records_files()? == kept {
                let mut entries = found?;
                if scope == SuppressionScope::Entry {
                    let of_feeds = state.catalogue.read().entries_holding(hash)?;
                    entries.extend(of_feeds.into_iter().map(|row| row.entry.fingerprints));
                }
                return Ok((state, entries));
            }
        }
    }

    fn records_with(
        &self,
        hash: &Fingerprint,
        files: &BTreeMap<String, RecordsFile>,
    ) -> Result<BTreeSet<Vec<Fingerprint>>, StoreError> {
        let mut entries = BTreeSet::new();
        for file in files.values() {
            let path = self.folder.join(SEGMENTS).join(&file.file);
            for record in open_records(&path, file)?.find(hash) {
                entries.insert(record?.fingerprints);
            }
        }
        Ok(entries)
    }

    pub(super) fn lift(&self, of: &Lifting, author: String, reason: String) -> Result<Outcome, StoreError> {
        check_signed(&author, &reason)?;
        let mut state = self.state_to_change()?;
        let state = &mut *state;
        let in_force = state.suppressions_in_force(of)?;
        let mut batch = state.catalogue.batch()?;
        let end = Lifted { seq: batch.seq(), author, reason, at: now() };
        let lifted: Vec<_> = in_force.into_iter().map(|s| Suppression { lifted: Some(end.clone()), ..s }).collect();
        lifted.iter().try_for_each(|suppression| batch.lift(suppression))?;
        // All of one hash, if there are several.
        let of_hash = lifted.first().map(|lifted| batch.read().suppressions_over(&lifted.fingerprint));
        let still = of_hash.transpose()?.unwrap_or_default();
        let what = lifted.iter().map(|s| format!("{} of {}", s.id, s.fingerprint)).collect::<Vec<_>>().join(", ");
        let action = format!("lifted suppression {what} by {}: {}", end.author, end.reason);
        let covered = covered(&batch.read(), &state.manifest)?;
        batch.commit(end.at, None, &action)?;
        state.suppressed = Arc::new(covered);
        self.show(state);
        Ok(Outcome::Lifted { lifted, still })
    }

    pub(super) fn suppressions(&self, before: Option<u64>, lifted: bool) -> Result<Outcome, StoreError> {
        let state = self.state();
        let read = state.catalogue.read();
        let (found, counts) = (read.suppressions(before, lifted, Command::SUPPRESSIONS_MAX)?, read.covered_counts()?);
        let with_count = |found: Suppression| {
            let covers = counts.get(&found.id).copied().unwrap_or(0);
            (found, covers)
        };
        let suppressions = found.into_iter().map(with_count);
        Ok(Outcome::Suppressions { suppressions: suppressions.collect() })
    }
}

/// What suppressions cover, as questions must see it: what waits for a version counts from the moment that the manifest
/// names it, whether the catalogue has been brought in line since or not.
fn covered(read: &Reader<'_>, manifest: &Manifest) -> Result<FingerprintSet, StoreError> {
    let counts = |(list, version)| manifest.current.get(&list) == Some(&version);
    let rows = read.covered()?.into_iter();
    Ok(rows.filter(|(_, waits_for)| waits_for.is_none_or(counts)).map(|(fingerprint, _)| fingerprint).collect())
}

fn check_signed(author: &str, reason: &str) -> Result<(), StoreError> {
    check_line("author", author, AUTHOR_CHARS_MAX)?;
    check_line("reason", reason, REASON_CHARS_MAX)
}

fn check_line(what: &'static str, text: &str, max: usize) -> Result<(), StoreError> {
    let found = match text.chars().count() {
        _ if text.trim().is_empty() => "nothing".to_owned(),
        count if count > max => format!("{count}"),
        _ if text.contains(char::is_control) => "a line break or another control character".to_owned(),
        _ => return Ok(()),
    };
    Err(StoreError::NotALine { what, max, found })
}

/// The built-in list that holds a fingerprint.
fn built_in_holder(fingerprint: &Fingerprint) -> Option<&'static str> {
    let kind = fingerprint.kind();
    if kind.is_exact() && DEGENERATE_DIGESTS.contains(kind, fingerprint.value()) {
        return Some(DEGENERATE.name);
    }
    test_fingerprints().contains(fingerprint).then_some(TEST.name)
}

impl State {
    /// What suppressions cover, as questions must see it.
    pub(super) fn covered(&self) -> Result<FingerprintSet, StoreError> {
        covered(&self.catalogue.read(), &self.manifest)
    }

    /// Lets questions that come now know what suppressions cover besides.
    pub(super) fn suppress_also(&mut self, covered: Vec<Fingerprint>) {
        if !covered.is_empty() {
            Arc::make_mut(&mut self.suppressed).extend(covered);
        }
    }

    /// The suppressions in force that are meant.
    fn suppressions_in_force(&self, of: &Lifting) -> Result<Vec<Suppression>, StoreError> {
        let read = self.catalogue.read();
        let not_suppressed = |wanted, hint| Err(StoreError::NotSuppressed { wanted, hint });
        match of {
            Lifting::Id(id) => match read.suppression(*id)? {
                Some(found) if found.lifted.is_none() => Ok(vec![found]),
                Some(found) => not_suppressed(found.fingerprint.to_string(), format!(": {id} was lifted")),
                None => not_suppressed(format!("number {id}"), String::new()),
            },
            Lifting::Hash(hash) => {
                let mut found = read.suppressions_of(hash)?;
                found.retain(|suppression| suppression.lifted.is_none());
                if !found.is_empty() {
                    return Ok(found);
                }
                let over = read.suppressions_over(hash)?.into_iter();
                let over: Vec<_> = over.map(|s| format!("{} of {}", s.id, s.fingerprint)).collect();
                let hint =
                    if over.is_empty() { String::new() } else { format!(", but covered by {}", over.join(", ")) };
                not_suppressed(hash.to_string(), hint)
            }
        }
    }

    /// The lists, in whatever state, that hold a fingerprint now.
    fn holders(&self, fingerprint: &Fingerprint) -> Result<Vec<ListRow>, StoreError> {
        let mut holders = Vec::new();
        for row in self.catalogue.read().lists()? {
            if !self.is_visible(&row)? {
                continue;
            }
            let held = match row.shape {
                ListShape::File => !self.held_by_version(&row, [fingerprint.clone()].into())?.0.is_empty(),
                _ => self.catalogue.read().holds(row.id, fingerprint)?,
            };
            if held {
                holders.push(row);
            }
        }
        Ok(holders)
    }

    /// Those of file lists that answer from a version not all of whose records were kept.
    fn without_records(&self, mut lists: Vec<ListRow>) -> Result<Vec<ListName>, StoreError> {
        lists.retain(|row| row.shape == ListShape::File);
        let mut names = Vec::new();
        for row in lists {
            if self.kept_records(row.id, self.current_source(&row).version)?.is_none() {
                names.push(row.name);
            }
        }
        Ok(names)
    }

    /// The records files of all versions that were published and are kept, by name.
    fn kept_records_files(&self) -> Result<BTreeMap<String, RecordsFile>, StoreError> {
        let mut files = BTreeMap::new();
        for version in self.catalogue.read().versions()? {
            if version.state == VersionState::Published {
                let of_version = self.catalogue.read().records_files_of(version.list, version.number)?;
                files.extend(of_version.into_iter().map(|file| (file.file.clone(), file)));
            }
        }
        Ok(files)
    }

    /// Notes what suppressions cover as soon as this manifest is in force, because of the versions that it brings. Returns
    /// all that they bring under cover, also what an attempt staged before that failed later. Noted after the commit point
    /// it might be lost, and questions would see a version without it; noted before, it comes into force with the version,
    /// or never.
    pub(super) fn stage_cover(&mut self, manifest: &Manifest) -> Result<Vec<Fingerprint>, StoreError> {
        let mut covered = Vec::new();
        for (list, number) in &manifest.current {
            if self.manifest.current.get(list) == Some(number) {
                continue;
            }
            let entries = self.suppressed_entries(*list, *number)?;
            if entries.is_empty() {
                continue;
            }
            let mut batch = self.catalogue.batch()?;
            entries.iter().try_for_each(|together| batch.stage_cover(together, *list, *number))?;
            let newly = batch.take_covered();
            if !newly.is_empty() {
                let action = format!("suppressions cover {} more fingerprints of version {number}", newly.len());
                batch.commit(now(), Some(*list), &action)?;
            }
            covered.extend(entries.into_iter().flatten());
        }
        Ok(covered)
    }

    /// The fingerprints of each record of a version that holds the hash of a suppression of entries.
    fn suppressed_entries(&self, list: ListId, number: VersionNumber) -> Result<Vec<Vec<Fingerprint>>, StoreError> {
        let read = self.catalogue.read();
        let (roots, version) = (read.entry_roots()?, read.version(list, number)?);
        let Some(version) = version.filter(|_| !roots.is_empty()) else { return Ok(Vec::new()) };
        // Nearly no version holds such a hash, and a segment says so sooner than the records do.
        let segments =
            version.segments.iter().map(|(kind, file)| Ok((*kind, open_segment(&self.path_of(&file.file), file)?)));
        let segments = segments.collect::<Result<BTreeMap<Kind, Segment>, StoreError>>()?;
        let holds = |root: &&Fingerprint| {
            segments.get(&root.kind()).is_some_and(|segment| segment.find(root.value()).is_some())
        };
        let held: Vec<_> = roots.iter().filter(holds).cloned().collect();
        let mut entries = BTreeSet::new();
        for file in read.records_files_of(list, number)?.iter().filter(|_| !held.is_empty()) {
            let records = open_records(&self.path_of(&file.file), file)?;
            for record in records.find_any(&held) {
                entries.insert(record?.fingerprints);
            }
        }
        Ok(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
