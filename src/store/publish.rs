//! Versions of file lists: reserved, published, rolled back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checked::{Verified, open_verified, verify};
use super::command::{Alarm, Changes, CurrentVersion, Held, HoldReason, ImportBegun, Outcome, Publish, Published};
use super::gate::{self, Findings, GateLimits, Opposition};
use super::incoming::INCOMING;
use super::manifest::{Manifest, ManifestSegment, sync_file, sync_folder};
use super::merge::{OpenVersion, SEGMENT_DIGESTS_MAX, compare, open_reader};
use super::records::verify_records;
use super::state::State;
use super::{SEGMENTS, Store, StoreError, alarm, now};
use crate::catalogue::{ListRow, RecordsFile, SegmentFile, VersionRow, VersionState};
use crate::fingerprint::{Kind, Radii};
use crate::index::sealed::Segment;
use crate::list::{ListName, ListShape, ListState, Roles, Source, VersionNumber};

impl Store {
    pub(super) fn begin_import(&self, list: &ListName) -> Result<ImportBegun, StoreError> {
        let mut state = self.state_to_change()?;
        match state.list(list) {
            Ok(ListRow { shape: shape @ ListShape::Feed, .. }) => {
                let remedy = "use another name, or add entries to it";
                return Err(StoreError::WrongShape { list: list.clone(), shape, tried: "imported into", remedy });
            }
            Ok(_) | Err(StoreError::NoSuchList(_)) => {}
            Err(error) => return Err(error),
        }
        let row = state.catalogue.read().list(list)?;
        let current = row.as_ref().map(|row| state.current_version(row)).transpose()?.flatten();
        let mut batch = state.catalogue.batch()?;
        let row = match row {
            Some(row) => row,
            None => ListRow {
                id: batch.new_list_id()?,
                name: list.clone(),
                shape: ListShape::File,
                state: ListState::Active,
                // Those of its versions count; `watch` is the one that decides nothing.
                roles: Roles::uniform(crate::list::Role::Watch),
                next_version: VersionNumber(1),
                current: VersionNumber::LIVE,
                created_at: now(),
            },
        };
        let version = row.next_version;
        let next = version.0.checked_add(1).map(VersionNumber);
        let next_version = next.ok_or_else(|| StoreError::Stale {
            list: list.clone(),
            found: "its version numbers are at their end".to_owned(),
        })?;
        batch.put_list(&ListRow { next_version, ..row.clone() })?;
        let head = batch.commit(now(), Some(row.id), &format!("reserved version {version}"))?;
        Ok(ImportBegun { list_id: row.id, version, applied_seq: head.seq, current })
    }

    pub(super) fn publish(&self, publish: &Publish) -> Result<Outcome, StoreError> {
        let incoming = incoming_folder(&self.folder, &publish.incoming)?;
        let mut built = None;
        loop {
            let base = match self.base(publish)? {
                Base::Differs(base) => base,
                Base::Same(outcome) => {
                    remove_incoming(&incoming);
                    return Ok(outcome);
                }
            };
            let built = match &built {
                Some(built) => built,
                None => built.insert(self.check_built(publish, &incoming)?),
            };
            let Differs { current, files, opposition } = base;
            let replaced = current.as_ref().map(|current| current.number);
            let findings = self.pass_gate(publish, built, files, replaced.is_some(), opposition)?;
            let mut state = self.state_to_change()?;
            let row = state.expect_base(publish)?;
            if state.current_version_row(&row)?.map(|current| current.number) != replaced {
                // Another version was published meanwhile, which is then what this one is compared with.
                continue;
            }
            let outcome = if findings.reasons.is_empty() {
                let dropped = state.held(row.id)?.map(|(version, _)| version.number);
                let alarm = removal(publish.version, &findings.changes, &self.options.gate);
                let generation = state.adopt(publish, &row, current.as_ref(), built, &incoming, alarm)?;
                let Findings { changes, overlap, .. } = findings;
                let version = publish.version;
                Outcome::Published(Published { version, replaced, generation, changes, overlap, dropped })
            } else {
                let held = state.hold(publish, &row, current.as_ref(), findings, built, &incoming)?;
                Outcome::Held(Box::new(held))
            };
            self.show_lists(&mut state)?;
            drop(state);
            remove_incoming(&incoming);
            return Ok(outcome);
        }
    }

    /// Holds a verified version against the one in force, if there is one, and against other lists.
    fn pass_gate(
        &self,
        publish: &Publish,
        built: &BuiltVersion,
        in_force: OpenVersion,
        replaces: bool,
        opposition: Opposition,
    ) -> Result<Findings, StoreError> {
        let open = |(kind, built): (&Kind, &Built)| Ok((*kind, (open_reader(&built.path)?, BTreeSet::new())));
        let new = built.segments.iter().map(open).collect::<Result<OpenVersion, StoreError>>()?;
        let changes = compare(new, in_force)?;
        let files = built.segments.values().map(|built| open_reader(&built.path)).collect::<Result<_, _>>()?;
        gate::check(&self.options.gate, publish, files, changes, replaces, opposition, self.options.serve)
    }

    /// What the version is compared with. If the current one says just this, the list gets the radii that were named; if
    /// the one that is held does, they wait with it.
    fn base(&self, publish: &Publish) -> Result<Base, StoreError> {
        let mut state = self.state_to_change()?;
        let row = state.expect_base(publish)?;
        let current = state.current_version_row(&row)?;
        if let Some(current) = current.as_ref().filter(|current| is_same(publish, current)) {
            let radii: Vec<_> = publish.radii.iter().map(|(kind, radius)| (kind, Some(radius))).collect();
            if state.change_radii(&row, &radii)? {
                self.show_lists(&mut state)?;
            }
            return Ok(Base::Same(Outcome::Unchanged { version: current.number }));
        }
        let sources = publish.sources(current.as_ref());
        let stays = |(version, held): &(VersionRow, Held)| {
            // What could not be asked then may answer now.
            let was_checked = !held.reasons.iter().any(|reason| matches!(reason, HoldReason::Unchecked { .. }));
            was_checked && version.roles == publish.roles && version.sources == sources
        };
        if let Some((version, held)) = state.held(row.id)?.filter(stays) {
            state.stage_more_radii(&version, &publish.radii)?;
            return Ok(Base::Same(Outcome::Held(Box::new(Held { already: true, dropped: None, ..held }))));
        }
        let files = current.as_ref().map(|current| state.open_version(current)).transpose()?.unwrap_or_default();
        let opposition = state.opposition(publish, &row, current.as_ref())?;
        Ok(Base::Differs(Differs { current, files, opposition }))
    }

    /// Verifies what a tool built: every byte of it, and that it is what it says.
    pub(super) fn check_built(&self, publish: &Publish, incoming: &Path) -> Result<BuiltVersion, StoreError> {
        let source = Source { list: publish.list_id, version: publish.version };
        let last_seq = self.state().catalogue.head().seq;
        let mut segments = BTreeMap::new();
        for segment in &publish.segments {
            let path = incoming.join(plain_name(&segment.file, incoming)?);
            let refuse = |found: String| StoreError::BadVersion { path: path.clone(), found };
            let verified = verify(&path, self.options.serve)?;
            sync_file(&path)?;
            if verified.kind != segment.kind {
                return Err(refuse(format!("expected kind {}, found {}", segment.kind, verified.kind)));
            }
            if let Some(other) = verified.sources.iter().find(|other| **other != source) {
                return Err(refuse(format!("expected labels of {source:?} alone, found {other:?}")));
            }
            let SegmentFile { applied_seq, digests, .. } = verified.file;
            if applied_seq > last_seq {
                return Err(refuse(format!("expected an applied_seq up to {last_seq}, found {applied_seq}")));
            }
            if digests > SEGMENT_DIGESTS_MAX {
                return Err(refuse(format!("expected at most {SEGMENT_DIGESTS_MAX} digests, found {digests}")));
            }
            if segments.insert(segment.kind, Built { path: path.clone(), verified }).is_some() {
                return Err(refuse(format!("expected one file of kind {}, found two", segment.kind)));
            }
        }
        let records = publish.records.as_ref().map(|name| check_records(name, incoming)).transpose()?;
        Ok(BuiltVersion { segments, records })
    }

    pub(super) fn rollback(&self, list: &ListName, to: Option<VersionNumber>) -> Result<Outcome, StoreError> {
        let choose = |state: &State, row: &ListRow| state.rollback_target(row, to);
        let InForce { from, to, changes, .. } = self.put_into_force(list, choose, None)?;
        Ok(Outcome::RolledBack { from, to, changes })
    }

    /// Lets another version of a file list answer, which is there already: the one that `choose` names. With a `note`,
    /// the history tells that first.
    pub(super) fn put_into_force(
        &self,
        list: &ListName,
        choose: impl Fn(&State, &ListRow) -> Result<VersionRow, StoreError>,
        note: Option<&str>,
    ) -> Result<InForce, StoreError> {
        loop {
            let (from, target, old, new, missing) = {
                let state = self.state_to_change()?;
                let row = state.list(list)?;
                if row.shape != ListShape::File {
                    let remedy = "it has no versions; withdraw or add entries instead";
                    let (list, shape, tried) = (list.clone(), row.shape, "returned to a version, or put at one");
                    return Err(StoreError::WrongShape { list, shape, tried, remedy });
                }
                let from = state.current_source(&row).version;
                let target = choose(&state, &row)?;
                let current = state.current_version_row(&row)?;
                let old = current.map(|current| state.open_version(&current)).transpose()?.unwrap_or_default();
                let new = state.open_version(&target)?;
                let missing = state.missing_segments(&state.manifest, &target);
                let missing: Vec<_> =
                    missing.into_iter().map(|entry| (state.path_of(&entry.file.file), entry)).collect();
                (from, target, old, new, missing)
            };
            let mut slots = Vec::new();
            for (path, entry) in &missing {
                let segment = self.options.serve.then(|| open_verified(path, &entry.file)).transpose()?;
                slots.push((entry.clone(), segment.map(Arc::new)));
            }
            let changes = compare(new, old)?;
            let mut state = self.state_to_change()?;
            let row = state.list(list)?;
            let still = state.current_source(&row).version == from
                && state.catalogue.read().version(row.id, target.number)?.as_ref() == Some(&target)
                && row.id == target.list
                && state.missing_segments(&state.manifest, &target).len() == missing.len();
            if !still {
                continue;
            }
            if let Some(note) = note {
                state.catalogue.batch()?.commit(now(), Some(row.id), note)?;
            }
            let mut manifest = state.manifest.clone();
            manifest.current.insert(row.id, target.number);
            state.activate(manifest, slots)?;
            state.try_settle();
            self.show_lists(&mut state)?;
            return Ok(InForce { from, to: target.number, generation: state.manifest.generation, changes });
        }
    }
}

/// A version that was let answer in place of another.
pub(super) struct InForce {
    /// [`VersionNumber::LIVE`] if none answered.
    pub(super) from: VersionNumber,
    pub(super) to: VersionNumber,
    pub(super) generation: u64,
    pub(super) changes: BTreeMap<Kind, Changes>,
}

/// The alarm about what a version takes away, if that is much.
fn removal(version: VersionNumber, changes: &BTreeMap<Kind, Changes>, limits: &GateLimits) -> Option<Alarm> {
    let removed = changes.values().map(|changes| changes.removed).sum();
    let held_before = changes.values().map(|changes| changes.removed + changes.kept).sum();
    alarm::mass_deletion(Some(version), held_before, removed, limits)
}

/// What a new version is compared with.
enum Base {
    /// The version that answers, or the one that is held, was made from the same source and has the same roles. What is
    /// then to be said.
    Same(Outcome),
    Differs(Differs),
}

/// Another version, or none.
struct Differs {
    current: Option<VersionRow>,
    /// Open, so that they may be removed meanwhile.
    files: OpenVersion,
    /// What other lists say.
    opposition: Opposition,
}

/// A version that was built and verified.
pub(super) struct BuiltVersion {
    segments: BTreeMap<Kind, Built>,
    records: Option<(PathBuf, RecordsFile)>,
}

/// A segment of it.
struct Built {
    path: PathBuf,
    verified: Verified,
}

fn check_records(name: &str, incoming: &Path) -> Result<(PathBuf, RecordsFile), StoreError> {
    let path = incoming.join(plain_name(name, incoming)?);
    let file = verify_records(&path)?;
    sync_file(&path)?;
    Ok((path, file))
}

/// Numbers that files were given, and the files themselves.
type TakenOver = (Vec<u64>, Result<NewFiles, StoreError>);

/// The files of a version that was taken over.
#[derive(Default)]
pub(super) struct NewFiles {
    /// Each with where it is mapped.
    segments: Vec<(ManifestSegment, Option<Arc<Segment>>)>,
    /// Those of its base among them.
    pub(super) records: Vec<RecordsFile>,
}

impl Publish {
    /// What the version is made from, oldest first.
    fn sources(&self, replaced: Option<&VersionRow>) -> Vec<String> {
        let base = replaced.filter(|_| self.adds).map(|replaced| replaced.sources.clone()).unwrap_or_default();
        base.into_iter().chain([self.source.clone()]).collect()
    }

    /// The version's row, with these files.
    pub(super) fn version_row(
        &self,
        row: &ListRow,
        replaced: Option<&VersionRow>,
        state: VersionState,
        files: &NewFiles,
    ) -> VersionRow {
        VersionRow {
            list: row.id,
            number: self.version,
            state,
            roles: self.roles.clone(),
            sources: self.sources(replaced),
            counts: serde_json::to_string(&self.counts).expect("counts are plain data with text keys"),
            segments: files.segments.iter().map(|(entry, _)| (entry.kind, entry.file.clone())).collect(),
            created_at: now(),
        }
    }
}

fn is_same(publish: &Publish, current: &VersionRow) -> bool {
    let same_source = match publish.adds {
        true => current.sources.contains(&publish.source),
        false => current.sources == [publish.source.as_str()],
    };
    same_source && publish.roles == current.roles
}

/// A name without a path in it, as tools give them.
pub(super) fn plain_name<'n>(name: &'n str, folder: &Path) -> Result<&'n str, StoreError> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let refused = || StoreError::BadVersion {
        path: folder.to_owned(),
        found: format!("expected a plain file name, found {name:?}"),
    };
    if plain { Ok(name) } else { Err(refused()) }
}

pub(super) fn incoming_folder(folder: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let incoming = folder.join(INCOMING);
    let path = incoming.join(plain_name(name, &incoming)?);
    let found = match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => return Ok(path),
        Ok(_) => "something else",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "nothing",
        Err(error) => return Err(StoreError::io("find", &path)(error)),
    };
    Err(StoreError::BadVersion { path, found: format!("expected a folder, found {found}") })
}

/// The version is published, or was there already; what is left of the folder would be swept some day anyway.
fn remove_incoming(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "what was published stays in incoming/ for now");
    }
}

impl State {
    /// The list that a version is published into, if it is still as the import found it.
    fn expect_base(&self, publish: &Publish) -> Result<ListRow, StoreError> {
        let stale = |found: String| StoreError::Stale { list: publish.list.clone(), found };
        let row = self.catalogue.read().list(&publish.list)?;
        let row = row.filter(|row| row.id == publish.list_id && row.shape == ListShape::File);
        let row = row.ok_or_else(|| stale("it was removed, or its name was given to another".to_owned()))?;
        if publish.version == VersionNumber::LIVE || publish.version >= row.next_version {
            return Err(stale(format!("version {} was not reserved", publish.version)));
        }
        let newest = self.catalogue.read().versions_of(row.id)?.last().map(|version| version.number);
        if let Some(newest) = newest.filter(|newest| *newest >= publish.version) {
            return Err(StoreError::Overtaken { list: publish.list.clone(), version: publish.version, newest });
        }
        let current = self.current_source(&row).version;
        match publish.base {
            Some(base) if base != current => {
                Err(stale(format!("expected version {base} to be the current one, found {current}")))
            }
            _ => Ok(row),
        }
    }

    pub(super) fn current_version_row(&self, row: &ListRow) -> Result<Option<VersionRow>, StoreError> {
        Ok(self.catalogue.read().version(row.id, self.current_source(row).version)?)
    }

    /// What an import must know of the version that answers now.
    fn current_version(&self, row: &ListRow) -> Result<Option<CurrentVersion>, StoreError> {
        let Some(version) = self.current_version_row(row)? else { return Ok(None) };
        let path = |file: &SegmentFile| format!("{SEGMENTS}/{}", file.file);
        Ok(Some(CurrentVersion {
            version: version.number,
            roles: version.roles,
            segments: version.segments.iter().map(|(kind, file)| (*kind, path(file))).collect(),
            sources: version.sources,
        }))
    }

    pub(super) fn withdrawn_from(
        &self,
        version: &VersionRow,
        kind: Kind,
        file: &SegmentFile,
    ) -> Result<BTreeSet<Box<[u8]>>, StoreError> {
        let later = self.catalogue.read().withdrawals_after(version.list, kind, file.applied_seq)?;
        Ok(later.into_iter().map(|row| row.fingerprint.value().into()).collect())
    }

    fn open_version(&self, version: &VersionRow) -> Result<OpenVersion, StoreError> {
        let open = |(kind, file): (&Kind, &SegmentFile)| {
            let reader = open_reader(&self.path_of(&file.file))?;
            Ok((*kind, (reader, self.withdrawn_from(version, *kind, file)?)))
        };
        version.segments.iter().map(open).collect()
    }

    /// Those of a version's own files of whose kind no segment of the generation holds the version.
    pub(super) fn missing_segments(&self, manifest: &Manifest, version: &VersionRow) -> Vec<ManifestSegment> {
        let source = Source { list: version.list, version: version.number };
        let missing = version.segments.iter().filter(|(kind, _)| manifest.segment_of(**kind, &source).is_none());
        missing.map(|(kind, file)| ManifestSegment { kind: *kind, file: file.clone(), sources: vec![source] }).collect()
    }

    /// The version to return to. One that is held never answered, so nothing returns to it.
    fn rollback_target(&self, row: &ListRow, to: Option<VersionNumber>) -> Result<VersionRow, StoreError> {
        let from = self.current_source(row).version;
        let mut versions = self.catalogue.read().versions_of(row.id)?;
        versions.retain(|version| version.state == VersionState::Published);
        let target = match to {
            Some(to) => versions.iter().find(|version| version.number == to && to != from),
            None => versions.iter().rev().find(|version| version.number < from),
        };
        target.cloned().ok_or_else(|| {
            let kept: Vec<_> = versions.iter().map(|version| version.number.to_string()).collect();
            StoreError::NoSuchVersion {
                list: row.name.clone(),
                wanted: to.map_or(format!("before {from}"), |to| to.to_string()),
                kept: format!("{} (now {from})", kept.join(", ")),
            }
        })
    }

    /// Moves a verified version's files among the segments. Until a batch names them they belong to nobody, and
    /// [`State::built`] must follow for their numbers in any case.
    pub(super) fn take_over(
        &mut self,
        publish: &Publish,
        row: &ListRow,
        replaced: Option<&VersionRow>,
        built: &BuiltVersion,
        incoming: &Path,
    ) -> TakenOver {
        let source = Source { list: row.id, version: publish.version };
        let mut numbers = Vec::new();
        let mut segments = Vec::new();
        let mut own_records = None;
        let moved = built.segments.iter().try_for_each(|(kind, built)| {
            let (number, file) = self.new_file();
            numbers.push(number);
            self.move_in(&built.path, &file)?;
            let file = SegmentFile { file, ..built.verified.file.clone() };
            let entry = ManifestSegment { kind: *kind, file, sources: vec![source] };
            segments.push((entry, built.verified.mapped.clone()));
            Ok(())
        });
        let moved = moved.and_then(|()| {
            let Some((path, records)) = &built.records else { return Ok(()) };
            let (number, file) = self.new_records_file();
            numbers.push(number);
            self.move_in(path, &file)?;
            own_records = Some(RecordsFile { file, ..records.clone() });
            Ok(())
        });
        let files = moved.and_then(|()| {
            sync_folder(&self.folder.join(SEGMENTS))?;
            sync_folder(incoming)?;
            let base = replaced.filter(|_| publish.adds);
            Ok(NewFiles { segments, records: self.records_with(base, own_records)? })
        });
        (numbers, files)
    }

    /// Takes a verified version's files over and makes it the current one. Returns the generation.
    fn adopt(
        &mut self,
        publish: &Publish,
        row: &ListRow,
        replaced: Option<&VersionRow>,
        built: &BuiltVersion,
        incoming: &Path,
        alarm: Option<Alarm>,
    ) -> Result<u64, StoreError> {
        let (numbers, files) = self.take_over(publish, row, replaced, built, incoming);
        let adopted = files.and_then(|files| {
            let version = publish.version_row(row, replaced, VersionState::Staged, &files);
            self.stage(row, &version, &files.records, &publish.radii, alarm)?;
            let mut manifest = self.manifest.clone();
            manifest.current.insert(row.id, publish.version);
            self.activate(manifest, files.segments)
        });
        self.built(numbers);
        // If it failed, this drops what was staged; files that nobody names go in either case.
        self.try_settle();
        adopted.map(|()| self.manifest.generation)
    }

    /// Moves a file that a tool built to its place under this name.
    fn move_in(&self, built: &Path, name: &str) -> Result<(), StoreError> {
        fs::rename(built, self.path_of(name)).map_err(StoreError::io("move", built))
    }

    /// Notes a version whose files are in place, and which the manifest does not name yet, and beside it the radii that
    /// the list gets once the manifest does. Were they set in this batch, a crash before the commit point would leave
    /// them to the version that answers now; were they set after it, a crash in between would lose them. An alarm goes
    /// again with a version that is not published.
    pub(super) fn stage(
        &mut self,
        row: &ListRow,
        version: &VersionRow,
        records: &[RecordsFile],
        radii: &Radii,
        alarm: Option<Alarm>,
    ) -> Result<(), StoreError> {
        let mut batch = self.catalogue.batch()?;
        batch.put_version(version)?;
        batch.put_records(version.list, version.number, records)?;
        batch.stage_radii(version.list, version.number, radii)?;
        if let Some(alarm) = alarm {
            alarm::raise(&mut batch, row.id, &row.name, &alarm)?;
        }
        batch.commit(now(), Some(version.list), &format!("staged version {}", version.number))?;
        Ok(())
    }

    /// Further radii that wait with a held version.
    fn stage_more_radii(&mut self, held: &VersionRow, radii: &Radii) -> Result<(), StoreError> {
        if radii.is_empty() {
            return Ok(());
        }
        let mut batch = self.catalogue.batch()?;
        batch.stage_radii(held.list, held.number, radii)?;
        let action = format!("version {}, which is held, would set radius {radii}", held.number);
        batch.commit(now(), Some(held.list), &action)?;
        Ok(())
    }

    /// Puts a manifest into force that has these segments beside those that still count.
    pub(super) fn activate(
        &mut self,
        mut manifest: Manifest,
        added: Vec<(ManifestSegment, Option<Arc<Segment>>)>,
    ) -> Result<(), StoreError> {
        let mut slots = Vec::new();
        for (entry, mapped) in added {
            if let Some(segment) = mapped {
                slots.push((entry.file.file.clone(), self.ready(segment)?));
            }
            manifest.segments.push(entry);
        }
        manifest.drop_dead(&self.feeds()?);
        let covered = self.stage_cover(&manifest)?;
        self.commit_manifest(manifest)?;
        self.suppress_also(covered);
        if let Some(served) = &mut self.served {
            served.slots.extend(
                slots
                    .into_iter()
                    .filter(|(file, _)| self.manifest.segments.iter().any(|segment| segment.file.file == *file)),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
