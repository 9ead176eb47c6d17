//! What the store tells of itself: lists, one list, status; and the check of everything on disk.

use std::collections::BTreeMap;

use super::checked::verify;
use super::command::{
    Change, ImportCounts, Inspected, KeptRecords, KindStatus, ListInfo, Outcome, StoreStatus, VersionInfo,
};
use super::manifest::{MANIFEST, Manifest};
use super::state::{Condition, State};
use super::{DEGENERATE_DIGESTS, Store, StoreError};
use crate::catalogue::{CatalogueError, ListRow, SegmentFile, VersionRow};
use crate::fingerprint::{Kind, Radii};
use crate::list::{BUILT_IN, DEGENERATE, ListName, ListShape, ListState, Roles, VersionNumber, test_fingerprints};

impl Store {
    pub(super) fn tell_lists(&self) -> Result<Vec<ListInfo>, StoreError> {
        let mut lists = self.state().list_infos()?;
        lists.extend(BUILT_IN.iter().map(|list| {
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
                fingerprints,
                entries: 0,
                withdrawn: 0,
                created_at: 0,
                changed_at: 0,
            }
        }));
        lists.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lists)
    }

    pub(super) fn inspect(&self, name: &ListName) -> Result<Inspected, StoreError> {
        let found = self.tell_lists()?.into_iter().find(|list| list.name == *name);
        let list = found.ok_or_else(|| StoreError::NoSuchList(name.clone()))?;
        let state = self.state();
        let read = state.catalogue.read();
        let versions = read.versions_of(list.id)?.into_iter().rev();
        let versions = versions.map(|version| {
            let records = state.kept_records(version.list, version.number)?;
            Ok(version_info(version, list.version, records))
        });
        let versions = versions.collect::<Result<_, StoreError>>()?;
        let history = read.history(list.id, Inspected::HISTORY_MAX)?.into_iter();
        let history = history.map(|batch| Change { seq: batch.seq, at: batch.at, action: batch.action }).collect();
        Ok(Inspected { list, versions, history })
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
        let lists = state.catalogue.read().lists()?;
        Ok(StoreStatus {
            generation: state.manifest.generation,
            seq: state.catalogue.head().seq,
            sealed_seq: state.manifest.sealed_seq,
            lists: lists.iter().filter(|list| state.is_visible(list)).count() as u64,
            kinds,
            live_fingerprints: state.served.as_ref().map(|served| served.live.len() as u64),
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
            (rows, state.named_files()?)
        };
        let (records, mut bytes) = self.verify_records(&mut damage)?;
        let mut segments = 0;
        for file in files {
            let path = self.state().path_of(&file.file);
            let found = match verify(&path, false) {
                Ok(verified) if verified.file.blake3 == file.blake3 => {
                    segments += 1;
                    bytes += verified.file.bytes;
                    continue;
                }
                Ok(verified) => {
                    let (expected, found) = (&file.blake3, &verified.file.blake3);
                    format!("{}: expected the segment with BLAKE3 {expected}, found {found}", path.display())
                }
                Err(error) => error.to_string(),
            };
            let mut state = self.state();
            // Somebody may have published meanwhile, and the file be gone by right.
            if state.named_files()?.contains(&file) {
                state.fail(&file.file, &found);
                self.show(&state);
                damage.push(found);
            }
        }
        Ok(Outcome::Verified { segments, records, bytes, rows, damage })
    }
}

fn version_info(version: VersionRow, current: Option<VersionNumber>, records: Option<KeptRecords>) -> VersionInfo {
    VersionInfo {
        version: version.number,
        current: current == Some(version.number),
        roles: version.roles,
        sources: version.sources,
        created_at: version.created_at,
        fingerprints: version.segments.iter().map(|(kind, file)| (*kind, file.digests)).collect(),
        // Counts are told and never computed with: an unreadable one is told as nothing.
        counts: serde_json::from_str::<ImportCounts>(&version.counts).unwrap_or_default(),
        records,
    }
}

impl State {
    fn list_infos(&self) -> Result<Vec<ListInfo>, StoreError> {
        let read = self.catalogue.read();
        let (fingerprints, entries) = (read.fingerprint_counts()?, read.entry_counts()?);
        let changes = read.last_changes()?;
        let mut infos = Vec::new();
        for row in read.lists()?.into_iter().filter(|row| self.is_visible(row)) {
            let version = read.version(row.id, self.current_source(&row).version)?;
            let radii = self.radii(&row)?;
            let withdrawn = version.as_ref().map_or(Ok(0), |version| self.count_withdrawn(version))?;
            let of_list = fingerprints.iter().filter(|((list, _), _)| *list == row.id);
            let of_entries = of_list.map(|((_, kind), count)| (*kind, *count)).collect();
            let of_version =
                |version: &VersionRow| version.segments.iter().map(|(kind, f)| (*kind, f.digests)).collect();
            let records = version.as_ref().map(|version| self.kept_records(row.id, version.number)).transpose()?;
            let records = records.flatten().map(|kept| kept.records);
            let ListRow { id, name, shape, state, roles, created_at, .. } = row;
            infos.push(ListInfo {
                id,
                name,
                shape,
                state,
                version: version.as_ref().map(|version| version.number),
                fingerprints: version.as_ref().map_or(of_entries, of_version),
                roles: version.map_or(roles, |version| version.roles),
                radii,
                entries: records.or(entries.get(&id).copied()).unwrap_or(0),
                withdrawn,
                created_at,
                changed_at: changes.get(&id).copied().unwrap_or(created_at),
            });
        }
        Ok(infos)
    }

    pub(super) fn count_withdrawn(&self, version: &VersionRow) -> Result<u64, StoreError> {
        let mut count = 0;
        for (kind, file) in &version.segments {
            let rows = self.catalogue.read().withdrawals(version.list, *kind)?;
            count += rows.iter().filter(|row| row.seq > file.applied_seq).count() as u64;
        }
        Ok(count)
    }

    fn describe(&self, kind: Kind) -> String {
        let Some(served) = &self.served else { return "not served".to_owned() };
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

    /// The files of this generation and of all versions that are kept, each once.
    fn named_files(&self) -> Result<Vec<SegmentFile>, StoreError> {
        let versions = self.catalogue.read().versions()?;
        let of_versions = versions.into_iter().flat_map(|version| version.segments.into_values());
        let of_manifest = self.manifest.segments.iter().map(|segment| segment.file.clone());
        let files: BTreeMap<_, _> = of_versions.chain(of_manifest).map(|file| (file.file.clone(), file)).collect();
        Ok(files.into_values().collect())
    }

    /// A segment that was found damaged answers no more.
    fn fail(&mut self, file: &str, found: &str) {
        if let Some(slot) = self.served.as_mut().and_then(|served| served.slots.get_mut(file)) {
            slot.condition = Condition::Failed(found.to_owned());
        }
    }
}
