//! Everything behind a match, for the person who must justify it: each list that holds the hash, in whatever state, what
//! it says and since when, the records it says it in, withdrawals and suppressions, and the verdict that comes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Change, Explained, Holding, ListInfo, Record, Said, Statement, VerdictInfo};
use super::state::State;
use super::{Store, StoreError, now};
use crate::catalogue::{EntryRow, Reader, VersionState};
use crate::fingerprint::{Fingerprint, Radii, Radius};
use crate::index::snapshot::{Snapshot, Stated};
use crate::list::{Entry, ListId, ListShape, Suppression};
use crate::matching::{Question, answer};
use crate::records::StoredRecord;

impl Store {
    pub(super) fn explain(&self, fingerprint: Fingerprint, radius: Option<Radius>) -> Result<Explained, StoreError> {
        let mut radii = Radii::none();
        if let Some(radius) = radius {
            radii.set(fingerprint.kind(), radius)?;
        }
        let mut explained = {
            let state = self.state();
            // Under the mutex nobody shows another one, so that it is of one moment with the catalogue.
            let snapshot = self.snapshot();
            let lists = state.holdings(&snapshot, &fingerprint, radius)?;
            Explained {
                verdict: verdict(&snapshot, &fingerprint, &radii),
                at: now(),
                generation: snapshot.generation(),
                seq: state.catalogue.head().seq,
                kind_state: state.describe(fingerprint.kind()),
                suppressions: suppressions(&state.catalogue.read(), &fingerprint, &lists)?,
                lists,
                radius,
                fingerprint,
            }
        };
        for holding in &mut explained.lists {
            self.add_records(&explained.fingerprint, holding)?;
        }
        explained.lists.retain(|holding| !holding.statements.is_empty() || !holding.records.is_empty());
        Ok(explained)
    }

    /// Adds the records of a list's versions that hold one of the hashes, and leaves these versions and the one that answers.
    /// Records are files, which are read without the mutex: those of a version that is removed meanwhile are not told.
    fn add_records(&self, asked: &Fingerprint, holding: &mut Holding) -> Result<(), StoreError> {
        let hashes = Vec::from_iter(holding.hashes(asked));
        for version in std::mem::take(&mut holding.versions) {
            let files = self.records_of(holding.list.id, version.version)?.files;
            let mut holds = version.current;
            for record in files.iter().flat_map(|file| file.find_any(&hashes)) {
                let StoredRecord { fingerprints, category, flags, attributes } = record?;
                let entry = Entry { fingerprints, category, flags, attributes, ..Entry::default() };
                holding.add_record(Record { version: Some(version.version), batch: None, entry });
                holds = true;
            }
            if holds {
                holding.versions.push(version);
            }
        }
        Ok(())
    }
}

/// What a question about this hash alone is answered.
fn verdict(snapshot: &Snapshot, asked: &Fingerprint, radii: &Radii) -> VerdictInfo {
    let question = Question { kinds: &[asked.kind()], rows: asked.value(), radii };
    let answers = answer(snapshot, &question).expect("one value of one kind is a question");
    let found = answers.iter().next().flatten();
    let verdict = found.map_or(answers.miss, |found| found.verdict);
    VerdictInfo {
        verdict: verdict.name().to_owned(),
        reason: verdict.reason().map(|reason| reason.name().to_owned()),
        watched: found.is_some_and(|found| found.watched),
        suppressed: found.is_some_and(|found| found.suppressed),
    }
}

/// Those that cover the hash or one that matched it, or were given for one of these, newest first.
fn suppressions(read: &Reader<'_>, asked: &Fingerprint, lists: &[Holding]) -> Result<Vec<Suppression>, StoreError> {
    let mut found = BTreeMap::new();
    let hashes: BTreeSet<_> = lists.iter().flat_map(|holding| holding.hashes(asked)).chain([asked.clone()]).collect();
    for hash in hashes {
        let of_hash = read.suppressions_over(&hash)?.into_iter().chain(read.suppressions_of(&hash)?);
        found.extend(of_hash.map(|suppression| (suppression.id, suppression)));
    }
    Ok(found.into_values().rev().collect())
}

impl Holding {
    /// The hash that was asked, and those that the list holds near to it.
    fn hashes(&self, asked: &Fingerprint) -> BTreeSet<Fingerprint> {
        self.statements.iter().map(|statement| &statement.fingerprint).chain([asked]).cloned().collect()
    }

    /// Adds an entry that was not met yet.
    fn add_record(&mut self, record: Record) {
        match self.records.len() < Holding::RECORDS_MAX {
            _ if self.records.contains(&record) => {}
            true => self.records.push(record),
            false => self.more_records += 1,
        }
    }
}

impl State {
    fn holdings(
        &self,
        snapshot: &Snapshot,
        asked: &Fingerprint,
        radius: Option<Radius>,
    ) -> Result<Vec<Holding>, StoreError> {
        let mut stated: BTreeMap<ListId, Vec<Stated>> = BTreeMap::new();
        let mut more: BTreeMap<ListId, u64> = BTreeMap::new();
        snapshot.stated(asked, radius, |said| {
            let of_list = stated.entry(said.label.source.list).or_default();
            if of_list.len() < Holding::STATEMENTS_MAX {
                of_list.push(said);
            } else {
                *more.entry(said.label.source.list).or_default() += 1;
            }
        });
        let mut holdings = Vec::new();
        for list in self.list_infos()? {
            let mut statements = Vec::new();
            for said in stated.remove(&list.id).unwrap_or_default() {
                self.add_statement(snapshot, &list, said, &mut statements)?;
            }
            let is_stated = statements.iter().any(|statement| statement.fingerprint == *asked);
            if !is_stated && let Some(withdrawn) = self.withdrawn(list.id, asked)? {
                let distance = (!asked.kind().is_exact()).then_some(0);
                let withdrawn = Some(withdrawn);
                let (fingerprint, said) = (asked.clone(), Vec::new());
                statements.push(Statement { fingerprint, distance, said, withdrawn, suppressed: false });
            }
            let more_statements = more.get(&list.id).copied().unwrap_or(0);
            let versions = self.version_infos(&list, |version| version.state == VersionState::Published)?;
            let (records, more_records) = (Vec::new(), 0);
            let mut holding = Holding { list, statements, more_statements, versions, records, more_records };
            self.add_entries(asked, &mut holding)?;
            holdings.push(holding);
        }
        Ok(holdings)
    }

    /// Adds what one label says to what the list says of the same hash.
    fn add_statement(
        &self,
        snapshot: &Snapshot,
        list: &ListInfo,
        Stated { label, fingerprint, distance, withdrawn }: Stated,
        statements: &mut Vec<Statement>,
    ) -> Result<(), StoreError> {
        let role = list.roles.of(label.category.as_ref());
        let said = Said { category: label.category, flags: label.flags, role };
        let of_same = |one: &&mut Statement| one.fingerprint == fingerprint && one.withdrawn.is_some() == withdrawn;
        match statements.iter_mut().find(of_same) {
            Some(statement) if !statement.said.contains(&said) => statement.said.push(said),
            Some(_) => {}
            None => statements.push(Statement {
                withdrawn: match withdrawn {
                    true => Some(self.withdrawn(list.id, &fingerprint)?.unwrap_or_default()),
                    false => None,
                },
                suppressed: list.shape != ListShape::BuiltIn
                    && snapshot.suppressed().contains(fingerprint.kind(), fingerprint.value()),
                said: vec![said],
                fingerprint,
                distance,
            }),
        }
        Ok(())
    }

    /// Adds the entries of a feed list that hold the hash or one of those near to it.
    fn add_entries(&self, asked: &Fingerprint, holding: &mut Holding) -> Result<(), StoreError> {
        let read = self.catalogue.read();
        for hash in holding.hashes(asked) {
            for EntryRow { seq, entry, .. } in read.entries_with(holding.list.id, &hash)? {
                let batch = change(&read, seq)?;
                holding.add_record(Record { version: None, batch, entry });
            }
        }
        Ok(())
    }

    /// The batch that withdrew a hash from a list.
    fn withdrawn(&self, list: ListId, fingerprint: &Fingerprint) -> Result<Option<Change>, StoreError> {
        let read = self.catalogue.read();
        Ok(read.withdrawn_at(list, fingerprint)?.map(|seq| change(&read, seq)).transpose()?.flatten())
    }
}

fn change(read: &Reader<'_>, seq: u64) -> Result<Option<Change>, StoreError> {
    Ok(read.batch(seq)?.map(Change::from))
}
