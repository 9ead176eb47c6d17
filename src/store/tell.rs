//! What the store tells of itself: lists, one list, status; and the check of everything on disk.

use std::collections::BTreeMap;

use super::checked::{NamedFile, named_files};
use super::command::{Change, Held, ImportCounts, Inspected, KindStatus, ListInfo, Outcome, StoreStatus, VersionInfo};
use super::manifest::{MANIFEST, Manifest};
use super::state::{Condition, State};
use super::{DEGENERATE_DIGESTS, SEGMENTS, Store, StoreError};
use crate::catalogue::{BatchRow, CatalogueError, ListRow, VersionRow, VersionState};
use crate::fingerprint::{Kind, Radii};
use crate::list::{BUILT_IN, BuiltInList, DEGENERATE, ListName, ListShape, ListState, Roles, test_fingerprints};

impl Store {
    pub(super) fn tell_lists(&self) -> Result<Vec<ListInfo>, StoreError> {
        self.state().list_infos()
    }

    pub(super) fn inspect(&self, name: &ListName) -> Result<Inspected, StoreError> {
        let state = self.state();
        let found = state.list_infos()?.into_iter().find(|list| list.name == *name);
        let list = found.ok_or_else(|| StoreError::NoSuchList(name.clone()))?;
        let versions = state.version_infos(&list, |_| true)?;
        let history = state.catalogue.read().history(list.id, Inspected::HISTORY_MAX)?;
        let history = history.into_iter().map(Change::from).collect();
        let held = state.held(list.id)?.map(|(_, held)| Held { overlap: held.overlap.without_entries(), ..held });
        let alarms = state.alarms(Some(list.id))?;
        Ok(Inspected { list, held, alarms, versions, history })
    }

    pub(super) fn status(&self) -> Result<StoreStatus, StoreError> {
        let state = self.state();
        let mut kinds: BTreeMap<Kind, KindStatus> = BTreeMap::new();
        for segment in &state.manifest.segments {
            let status = kinds.entry(segment.kind).or_default();
            status.segments += 1;
            status.digests += segment.file.digests;
            status.bytes += segment.file.bytes;
        }
        for (kind, status) in &mut kinds {
            status.state = state.describe(*kind);
        }
        let (mut visible, mut held, mut feeds) = (0, BTreeMap::new(), BTreeMap::new());
        for list in state.catalogue.read().lists()? {
            visible += u64::from(state.is_visible(&list)?);
            held.extend(state.catalogue.read().hold(list.id)?.map(|hold| (list.name.clone(), hold.version)));
            feeds.extend(state.feed_info(list.id)?.map(|feed| (list.name.clone(), feed)));
        }
        Ok(StoreStatus {
            generation: state.manifest.generation,
            generation_at: Manifest::written_at(&self.folder),
            seq: state.catalogue.head().seq,
            sealed_seq: state.manifest.sealed_seq,
            lists: visible,
            kinds,
            held,
            feeds,
            live_fingerprints: state.served.as_ref().map(|served| served.live.len() as u64),
            alarms: state.alarms(None)?,
        })
    }

    pub(super) fn verify(&self) -> Result<Outcome, StoreError> {
        let mut damage = Vec::new();
        let (rows, files) = {
            let state = self.state();
            let rows = match state.catalogue.audit() {
                Ok(head) => head.rows,
                Err(error @ CatalogueError::Sqlite { .. }) => return Err(error.into()),
                Err(error) => {
                    damage.push(error.to_string());
                    state.catalogue.head().rows
                }
            };
            match Manifest::read(&self.folder.join(MANIFEST)) {
                Ok(Some(manifest)) if manifest == state.manifest => {}
                Ok(_) => damage.push("the manifest on disk is not the one in force".to_owned()),
                Err(error) => damage.push(error.to_string()),
            }
            (rows, named_files(&state.catalogue.read(), &state.manifest)?)
        };
        let (mut segments, mut records, mut bytes) = (0, 0, 0);
        for file in files {
            let path = self.folder.join(SEGMENTS).join(file.name());
            let found = match file.verify(&path, false) {
                Ok(_) => {
                    bytes += file.bytes();
                    match file {
                        NamedFile::Segment(_) => segments += 1,
                        NamedFile::Records(_) => records += 1,
                    }
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let mut state = self.state();
            // Somebody may have published meanwhile, and the file be gone by right.
            if named_files(&state.catalogue.read(), &state.manifest)?.contains(&file) {
                state.fail(file.name(), &found);
                self.show(&state);
                damage.push(found);
            }
        }
        Ok(Outcome::Verified { segments, records, bytes, rows, damage })
    }
}

fn built_in_info(list: &BuiltInList) -> ListInfo {
    let mut fingerprints: BTreeMap<Kind, u64> = BTreeMap::new();
    let kinds: Vec<Kind> = match list.id == DEGENERATE.id {
        true => DEGENERATE_DIGESTS.iter().map(|(kind, _)| kind).collect(),
        false => test_fingerprints().iter().map(|fingerprint| fingerprint.kind()).collect(),
    };
    kinds.into_iter().for_each(|kind| *fingerprints.entry(kind).or_default() += 1);
    ListInfo {
        id: list.id,
        name: list.name.parse().expect("built-in names are good names"),
        shape: ListShape::BuiltIn,
        state: ListState::Active,
        roles: Roles::uniform(list.role),
        radii: Radii::none(),
        version: None,
        held: None,
        fingerprints,
        entries: 0,
        withdrawn: 0,
        created_at: 0,
        changed_at: 0,
        feed: None,
    }
}

impl From<BatchRow> for Change {
    fn from(BatchRow { seq, at, action }: BatchRow) -> Change {
        Change { seq, at, action }
    }
}

/// What an import counted. It is told and never computed with: what cannot be read is told as nothing.
pub(super) fn import_counts(version: &VersionRow) -> ImportCounts {
    serde_json::from_str(&version.counts).unwrap_or_default()
}

impl State {
    /// The versions of a list that are to be told, newest first.
    pub(super) fn version_infos(
        &self,
        list: &ListInfo,
        is_told: impl Fn(&VersionRow) -> bool,
    ) -> Result<Vec<VersionInfo>, StoreError> {
        let versions = self.catalogue.read().versions_of(list.id)?.into_iter().rev();
        let told = versions.filter(is_told).map(|version| {
            Ok(VersionInfo {
                version: version.number,
                current: list.version == Some(version.number),
                held: version.state == VersionState::Held,
                fingerprints: version.fingerprints(),
                counts: import_counts(&version),
                records: self.kept_records(version.list, version.number)?,
                roles: version.roles,
                sources: version.sources,
                created_at: version.created_at,
            })
        });
        told.collect()
    }

    /// All lists, built-in ones among them, in the order of their names.
    pub(super) fn list_infos(&self) -> Result<Vec<ListInfo>, StoreError> {
        let read = self.catalogue.read();
        let (fingerprints, entries) = (read.fingerprint_counts()?, read.entry_counts()?);
        let changes = read.last_changes()?;
        let mut infos: Vec<ListInfo> = BUILT_IN.iter().map(built_in_info).collect();
        for row in read.lists()? {
            if !self.is_visible(&row)? {
                continue;
            }
            let held = read.hold(row.id)?.map(|hold| hold.version);
            let version = read.version(row.id, self.current_source(&row).version)?;
            let radii = self.radii(&row)?;
            let withdrawn = version.as_ref().map_or(Ok(0), |version| self.count_withdrawn(version))?;
            let of_list = fingerprints.iter().filter(|((list, _), _)| *list == row.id);
            let of_entries = of_list.map(|((_, kind), count)| (*kind, *count)).collect();
            let records = version.as_ref().map(|version| self.kept_records(row.id, version.number)).transpose()?;
            let records = records.flatten().map(|kept| kept.records);
            let ListRow { id, name, shape, state, roles, created_at, .. } = row;
            infos.push(ListInfo {
                id,
                name,
                shape,
                state,
                version: version.as_ref().map(|version| version.number),
                held,
                fingerprints: version.as_ref().map_or(of_entries, VersionRow::fingerprints),
                roles: version.map_or(roles, |version| version.roles),
                radii,
                entries: records.or(entries.get(&id).copied()).unwrap_or(0),
                withdrawn,
                created_at,
                changed_at: changes.get(&id).copied().unwrap_or(created_at),
                feed: self.feed_info(id)?,
            });
        }
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(infos)
    }

    pub(super) fn count_withdrawn(&self, version: &VersionRow) -> Result<u64, StoreError> {
        let mut count = 0;
        for (kind, file) in &version.segments {
            count += self.catalogue.read().withdrawals_after(version.list, *kind, file.applied_seq)?.len() as u64;
        }
        Ok(count)
    }

    pub(super) fn describe(&self, kind: Kind) -> String {
        let Some(served) = &self.served else { return "not served".to_owned() };
        if let Some(cause) = &served.lists_unread {
            return format!("failed: {cause}");
        }
        let mut described = "ready".to_owned();
        for slot in served.slots.values().filter(|slot| slot.kind == kind) {
            match &slot.condition {
                Condition::Ready { .. } => {}
                Condition::Loading(_) => described = "loading".to_owned(),
                Condition::Failed(message) => return format!("failed: {message}"),
            }
        }
        described
    }

    /// A segment that was found damaged answers no more.
    fn fail(&mut self, file: &str, found: &str) {
        if let Some(slot) = self.served.as_mut().and_then(|served| served.slots.get_mut(file)) {
            slot.condition = Condition::Failed(found.to_owned());
        }
    }
}
