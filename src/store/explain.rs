//! Everything behind a match, for the person who must justify it: each list that holds the hash, in whatever state, what
//! it says and since when, the records it says it in, withdrawals and suppressions, and the verdict that comes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Change, Explained, Holding, ListInfo, Record, Said, Statement, VerdictInfo, VersionInfo};
use super::state::State;
use super::tell::version_info;
use super::{Store, StoreError, now};
use crate::catalogue::{EntryRow, Reader};
use crate::fingerprint::{BadRadius, Fingerprint, Radii, Radius};
use crate::index::snapshot::{Snapshot, Stated};
use crate::list::{ListId, ListShape, Suppression};
use crate::matching::{Question, answer};

impl Store {
    pub(super) fn explain(&self, asked: Fingerprint, radius: Option<Radius>) -> Result<Explained, StoreError> {
        let kind = asked.kind();
        let mut radii = Radii::none();
        radius
            .map_or(Ok(()), |radius| radii.set(kind, radius))
            .map_err(|error: BadRadius| StoreError::Radius(error))?;
        let state = self.state();
        // Under the mutex nobody shows another one, so that it is of one moment with the catalogue.
        let snapshot = self.snapshot();
        let question = Question { kinds: &[kind], rows: asked.value(), radii: &radii };
        let answers = answer(&snapshot, &question).expect("one value of one kind is a question");
        let found = answers.iter().next().flatten();
        let verdict = found.map_or(answers.miss, |found| found.verdict);
        let lists = state.holdings(&snapshot, &asked, radius)?;
        let hashes = lists.iter().flat_map(|holding| &holding.statements).map(|statement| &statement.fingerprint);
        let hashes: BTreeSet<&Fingerprint> = hashes.chain([&asked]).collect();
        Ok(Explained {
            verdict: VerdictInfo {
                verdict: verdict.name().to_owned(),
                reason: verdict.reason().map(|reason| reason.name().to_owned()),
                watched: found.is_some_and(|found| found.watched),
                suppressed: found.is_some_and(|found| found.suppressed),
            },
            at: now(),
            generation: snapshot.generation(),
            seq: state.catalogue.head().seq,
            kind_state: state.describe(kind),
            suppressions: suppressions(&state.catalogue.read(), hashes)?,
            lists,
            radius,
            fingerprint: asked,
        })
    }
}

/// Those that cover one of these hashes, or were given for one, newest first.
fn suppressions<'f>(
    read: &Reader<'_>,
    hashes: impl IntoIterator<Item = &'f Fingerprint>,
) -> Result<Vec<Suppression>, StoreError> {
    let mut found = BTreeMap::new();
    for hash in hashes {
        let of_hash = read.suppressions_over(hash)?.into_iter().chain(read.suppressions_of(hash)?);
        found.extend(of_hash.map(|suppression| (suppression.id, suppression)));
    }
    Ok(found.into_values().rev().collect())
}

/// The entries of one list that are told, each once.
#[derive(Default)]
struct Records {
    told: Vec<Record>,
    more: u64,
}

impl Records {
    fn add(&mut self, record: Record) {
        if self.told.contains(&record) {
            return;
        }
        match self.told.len() < Holding::RECORDS_MAX {
            true => self.told.push(record),
            false => self.more += 1,
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
            let (versions, records, more_records) = self.records_behind(&list, asked, &statements)?;
            if statements.is_empty() && records.is_empty() {
                continue;
            }
            let more_statements = more.get(&list.id).copied().unwrap_or(0);
            holdings.push(Holding { list, statements, more_statements, versions, records, more_records });
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

    /// The versions that answer or are told of, the entries that hold the hash or one of those near to it, and how many
    /// more of these there are.
    fn records_behind(
        &self,
        list: &ListInfo,
        asked: &Fingerprint,
        statements: &[Statement],
    ) -> Result<(Vec<VersionInfo>, Vec<Record>, u64), StoreError> {
        let read = self.catalogue.read();
        let hashes: BTreeSet<&Fingerprint> = statements.iter().map(|s| &s.fingerprint).chain([asked]).collect();
        let mut records = Records::default();
        for hash in hashes {
            for EntryRow { seq, entry, .. } in read.entries_with(list.id, hash)? {
                let batch = change(&read, seq)?;
                records.add(Record { version: None, batch, entry });
            }
        }
        let versions = read.versions_of(list.id)?.into_iter().rev();
        let versions = versions.filter(|version| Some(version.number) == list.version);
        let versions = versions.map(|version| version_info(version, list.version, None)).collect();
        Ok((versions, records.told, records.more))
    }

    /// The batch that withdrew a hash from a list.
    fn withdrawn(&self, list: ListId, fingerprint: &Fingerprint) -> Result<Option<Change>, StoreError> {
        let read = self.catalogue.read();
        Ok(read.withdrawn_at(list, fingerprint)?.map(|seq| change(&read, seq)).transpose()?.flatten())
    }
}

fn change(read: &Reader<'_>, seq: u64) -> Result<Option<Change>, StoreError> {
    Ok(read.batch(seq)?.map(|batch| Change { seq: batch.seq, at: batch.at, action: batch.action }))
}
