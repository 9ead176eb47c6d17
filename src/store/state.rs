//! What the store's mutex guards: the catalogue, the manifest, and what the next snapshot is made of.
//!
//! Nothing here takes long. Verification, merging and writing of segments happen outside, and come back with a result
//! that is checked against what has changed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::alarm::FeedDeletions;
use super::checked::open_verified;
use super::manifest::{CommitError, Manifest, ManifestSegment, NamedBatch, sync_folder};
use super::{SEGMENTS, StoreError, alarm, now};
use crate::catalogue::{BatchHead, Catalogue, EntryRow, ListRow, VersionRow, VersionState};
use crate::fingerprint::{Fingerprint, FingerprintSet, Kind, Radii};
use crate::index::live::{LiveChange, LiveLayer};
use crate::index::sealed::Segment;
use crate::index::snapshot::{KindState, ListView, SegmentView, Snapshot, SnapshotParts};
use crate::list::{Label, ListId, ListName, ListShape, Source, VersionNumber};

pub(super) struct State {
    pub(super) folder: PathBuf,
    pub(super) catalogue: Catalogue,
    pub(super) manifest: Manifest,
    /// The generation before; its files stay, so that it can be put back by hand.
    pub(super) previous: Option<Manifest>,
    /// What answers questions; `None` for a tool that only publishes.
    pub(super) served: Option<Served>,
    /// What suppressions cover.
    pub(super) suppressed: Arc<FingerprintSet>,
    /// Files of these numbers are being written and belong to nobody yet.
    building: BTreeSet<u64>,
    pub(super) next_file: u64,
    /// Versions of a list that are kept.
    keep_versions: usize,
    /// The catalogue may lag behind the manifest, or questions behind the catalogue: [`State::settle`] is due.
    pub(super) unsettled: bool,
    /// Of each feed: what its window has deleted so far.
    pub(super) feed_deletions: BTreeMap<ListId, FeedDeletions>,
    /// Why no change is taken any more.
    pub(super) unsure: Option<String>,
}

/// What questions are answered from.
#[derive(Default)]
pub(super) struct Served {
    /// By file name; those of the manifest.
    pub(super) slots: BTreeMap<String, Slot>,
    pub(super) live: LiveLayer,
    /// Changes since a seal froze the live layer, while it is being written.
    pub(super) since_freeze: Option<LiveLayer>,
    pub(super) lists: Vec<ListView>,
    /// Why these are perhaps not the lists that answer: the catalogue could not be read when they changed.
    pub(super) lists_unread: Option<String>,
}

/// A segment of the generation.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) condition: Condition,
}

/// Whether a segment answers.
#[derive(Clone)]
pub(super) enum Condition {
    /// Not verified yet.
    Loading(Arc<Segment>),
    /// Verified. Bits are places at which the list says nothing any more.
    Ready { segment: Arc<Segment>, withdrawn: Withdrawn },
    /// Damaged or gone.
    Failed(String),
}

/// Of each list: the places in a segment of which it no longer says what stands there.
pub(super) type Withdrawn = BTreeMap<ListId, Arc<RoaringBitmap>>;

impl State {
    pub(super) fn new(
        folder: &Path,
        catalogue: Catalogue,
        manifest: Manifest,
        previous: Option<Manifest>,
        keep_versions: usize,
    ) -> State {
        State {
            keep_versions,
            folder: folder.to_owned(),
            catalogue,
            next_file: manifest.next_file,
            manifest,
            previous,
            served: None,
            suppressed: Arc::default(),
            building: BTreeSet::new(),
            unsettled: true,
            feed_deletions: BTreeMap::new(),
            unsure: None,
        }
    }

    /// Must be called before every change.
    pub(super) fn ready_to_change(&mut self) -> Result<(), StoreError> {
        if let Some(cause) = &self.unsure {
            return Err(StoreError::Unsure { cause: cause.clone() });
        }
        if self.unsettled { self.settle() } else { Ok(()) }
    }

    /// The numbers of feed lists, whose labels have no version.
    pub(super) fn feeds(&self) -> Result<BTreeSet<ListId>, StoreError> {
        let lists = self.catalogue.read().lists()?;
        Ok(lists.into_iter().filter(|list| list.shape == ListShape::Feed).map(|list| list.id).collect())
    }

    /// The list of this name, if the operator sees one: a file list whose first version is still being built is none.
    pub(super) fn find_list(&self, name: &ListName) -> Result<Option<ListRow>, StoreError> {
        match self.catalogue.read().list(name)? {
            Some(row) if self.is_visible(&row)? => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    /// Like [`State::find_list`], where there must be one.
    pub(super) fn list(&self, name: &ListName) -> Result<ListRow, StoreError> {
        if crate::list::BUILT_IN.iter().any(|list| list.name == name.as_str()) {
            return Err(StoreError::BuiltIn(name.clone()));
        }
        self.find_list(name)?.ok_or_else(|| StoreError::NoSuchList(name.clone()))
    }

    /// Whether the operator sees the list: it answers, or a version of it waits for a word.
    pub(super) fn is_visible(&self, row: &ListRow) -> Result<bool, StoreError> {
        Ok(self.answers(row) || self.catalogue.read().hold(row.id)?.is_some())
    }

    /// Whether anything of the list can answer.
    fn answers(&self, row: &ListRow) -> bool {
        row.shape == ListShape::Feed || self.manifest.current.contains_key(&row.id)
    }

    /// The source whose labels of this list decide.
    pub(super) fn current_source(&self, row: &ListRow) -> Source {
        let version = self.manifest.current.get(&row.id).copied().unwrap_or(VersionNumber::LIVE);
        Source { list: row.id, version }
    }

    /// The list's own radii. Those staged with a version count from the moment that the manifest names it, whether the
    /// catalogue has been brought in line since or not.
    pub(super) fn radii(&self, row: &ListRow) -> Result<Radii, StoreError> {
        let read = self.catalogue.read();
        let mut radii = read.radii(row.id)?;
        radii.merge(read.staged_radii(row.id, self.current_source(row).version)?);
        Ok(radii)
    }

    /// Brings the catalogue in line with the manifest, which decides: versions that it names were published, other
    /// staged ones were not, and held ones wait on until a later version is published. The radii that an import gives its
    /// list wait beside its version, and are applied or dropped in the same batch, and so is what suppressions cover because
    /// of it. And the manifest in line with the catalogue, which decides which lists there are.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        let (lists, versions) = (self.catalogue.read().lists()?, self.catalogue.read().versions()?);
        for row in lists {
            let current = self.manifest.current.get(&row.id).copied().unwrap_or(VersionNumber::LIVE);
            if row.shape != ListShape::File || row.current == current {
                continue;
            }
            let surplus = self.surplus(&versions, row.id);
            let mut batch = self.catalogue.batch()?;
            let mut action = format!("returned to version {current}");
            if let Some(version) = versions.iter().find(|version| (version.list, version.number) == (row.id, current))
                && version.state != VersionState::Published
            {
                batch.put_version(&VersionRow { state: VersionState::Published, ..version.clone() })?;
                action = format!("published version {current}");
                if version.state == VersionState::Held {
                    batch.remove_hold(row.id, current)?;
                    batch.remove_alarms(row.id)?;
                }
                let radii = batch.apply_staged_radii(row.id, current)?;
                if !radii.is_empty() {
                    action.push_str(&format!(" with radius {radii}"));
                }
                for number in surplus {
                    batch.remove_version(row.id, number)?;
                }
                let held = versions.iter().filter(|version| version.list == row.id && version.number < current);
                for version in held.filter(|version| version.state == VersionState::Held) {
                    alarm::drop_version(&mut batch, row.id, version.number)?;
                    action.push_str(&format!(", dropped version {}, which was held", version.number));
                }
            }
            batch.apply_staged_cover(row.id, current)?;
            batch.put_list(&ListRow { current, ..row.clone() })?;
            batch.commit(now(), Some(row.id), &action)?;
        }
        for version in self.catalogue.read().versions()? {
            if version.state == VersionState::Staged {
                let mut batch = self.catalogue.batch()?;
                alarm::drop_version(&mut batch, version.list, version.number)?;
                batch.commit(now(), Some(version.list), &format!("dropped unpublished version {}", version.number))?;
            }
        }
        let (lists, feeds) = (self.catalogue.read().lists()?, self.feeds()?);
        let mut manifest = self.manifest.clone();
        manifest.current.retain(|id, _| lists.iter().any(|list| list.id == *id));
        manifest.drop_dead(&feeds);
        if manifest != self.manifest {
            self.commit_manifest(manifest)?;
        }
        self.refresh_lists()?;
        self.unsettled = false;
        self.sweep_segments()
    }

    /// The oldest versions of a list beyond those that are kept; what a manifest names is kept in any case, and what is
    /// held does not count.
    fn surplus(&self, versions: &[VersionRow], list: ListId) -> Vec<VersionNumber> {
        let manifests = [Some(&self.manifest), self.previous.as_ref()];
        let named = |number: &VersionNumber| {
            manifests.iter().flatten().any(|manifest| manifest.current.get(&list) == Some(number))
        };
        let counts = |row: &&VersionRow| row.list == list && (row.state != VersionState::Held || named(&row.number));
        let numbers: Vec<_> = versions.iter().filter(counts).map(|row| row.number).collect();
        let count = numbers.len().saturating_sub(self.keep_versions.max(1));
        numbers.into_iter().take(count).filter(|number| !named(number)).collect()
    }

    /// After the commit point: what is left to do may also be done later.
    pub(super) fn try_settle(&mut self) {
        self.unsettled = true;
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "the change is published; tidying up after it will be tried again");
        }
    }

    /// Puts a manifest into force: the commit point.
    pub(super) fn commit_manifest(&mut self, mut manifest: Manifest) -> Result<(), StoreError> {
        manifest.generation = self.manifest.generation + 1;
        manifest.next_file = self.next_file;
        manifest.batch = named(self.catalogue.head());
        match manifest.commit(&self.folder, Some(&self.manifest)) {
            Ok(()) => {}
            Err(CommitError::Before(error)) => return Err(error),
            Err(CommitError::After(error)) => {
                self.unsure = Some(error.to_string());
                return Err(error);
            }
        }
        self.previous = Some(std::mem::replace(&mut self.manifest, manifest));
        let files: BTreeSet<&str> = self.manifest.segments.iter().map(|segment| segment.file.file.as_str()).collect();
        if let Some(served) = &mut self.served {
            served.slots.retain(|file, _| files.contains(file.as_str()));
        }
        Ok(())
    }

    /// A name for a new segment file. [`State::built`] must follow.
    pub(super) fn new_file(&mut self) -> (u64, String) {
        self.new_file_of("seg")
    }

    /// The same for a records file.
    pub(super) fn new_records_file(&mut self) -> (u64, String) {
        self.new_file_of("rec")
    }

    fn new_file_of(&mut self, extension: &str) -> (u64, String) {
        let number = self.next_file;
        self.next_file += 1;
        self.building.insert(number);
        (number, file_name(number, extension))
    }

    /// From now on the files of these numbers stay only if somebody names them.
    pub(super) fn built(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| {
            self.building.remove(&number);
        });
    }

    pub(super) fn path_of(&self, file: &str) -> PathBuf {
        self.folder.join(SEGMENTS).join(file)
    }

    /// Removes files in `segments/` that neither this manifest, the one before nor the catalogue names.
    pub(super) fn sweep_segments(&mut self) -> Result<(), StoreError> {
        let (versions, records) = (self.catalogue.read().versions()?, self.catalogue.read().records_files()?);
        let of_versions = versions.iter().flat_map(|version| version.segments.values()).map(|file| &file.file);
        let of_versions = of_versions.chain(records.iter().map(|file| &file.file));
        let manifests = [Some(&self.manifest), self.previous.as_ref()];
        let of_manifests = manifests.into_iter().flatten().flat_map(|manifest| &manifest.segments);
        let named: BTreeSet<&str> =
            of_versions.chain(of_manifests.map(|segment| &segment.file.file)).map(String::as_str).collect();
        let segments = self.folder.join(SEGMENTS);
        let mut removed = false;
        for entry in fs::read_dir(&segments).map_err(StoreError::io("list", &segments))? {
            let path = entry.map_err(StoreError::io("list", &segments))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let building = file_number(name).is_some_and(|number| self.building.contains(&number));
            if !named.contains(name) && !building {
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                removed = true;
            }
        }
        if removed { sync_folder(&segments) } else { Ok(()) }
    }

    /// The first number that no file ever had.
    pub(super) fn number_files_above(&mut self, used: impl IntoIterator<Item = u64>) {
        self.next_file = used.into_iter().map(|number| number.saturating_add(1)).fold(self.next_file, u64::max);
    }

    /// What the feed list says of a fingerprint.
    pub(super) fn live_change(&self, list: ListId, fingerprint: Fingerprint) -> Result<LiveChange, StoreError> {
        let entries = self.catalogue.read().entries_with(list, &fingerprint)?;
        Ok(LiveChange { fingerprint, list, labels: label_set(entries.iter().map(label).collect()) })
    }

    /// The live layer, as the catalogue has it.
    pub(super) fn replay(&self) -> Result<LiveLayer, StoreError> {
        let pairs = self.catalogue.read().pairs_after(self.manifest.sealed_seq)?;
        let changes = pairs.into_iter().map(|(list, fingerprint)| self.live_change(list, fingerprint));
        Ok(LiveLayer::empty().with(changes.collect::<Result<_, _>>()?))
    }

    /// Puts changes that are durable into the live layer.
    pub(super) fn apply_live(&mut self, changes: Vec<LiveChange>) {
        let Some(served) = &mut self.served else { return };
        if let Some(since) = &served.since_freeze {
            served.since_freeze = Some(since.with(changes.clone()));
        }
        served.live = served.live.with(changes);
    }

    /// Marks withdrawals that are durable in all segments that answer.
    pub(super) fn apply_withdrawals(&mut self, list: ListId, fingerprints: &[Fingerprint]) {
        let Some(served) = &mut self.served else { return };
        for slot in served.slots.values_mut() {
            let Condition::Ready { segment, withdrawn } = &mut slot.condition else { continue };
            let of_kind = fingerprints.iter().filter(|fingerprint| fingerprint.kind() == segment.kind());
            let values: Vec<u8> = of_kind.flat_map(|fingerprint| fingerprint.value()).copied().collect();
            mark(segment, withdrawn, list, &values);
        }
    }

    /// A segment that was verified, with what was withdrawn from it.
    pub(super) fn ready(&self, segment: Arc<Segment>) -> Result<Slot, StoreError> {
        let withdrawn = self.withdrawn_places(&segment)?;
        Ok(Slot { kind: segment.kind(), condition: Condition::Ready { segment, withdrawn } })
    }

    /// Of each list: the places of a segment of which it no longer says what stands there.
    pub(super) fn withdrawn_places(&self, segment: &Segment) -> Result<Withdrawn, StoreError> {
        let lists: BTreeSet<ListId> = segment.sources().iter().map(|source| source.list).collect();
        let mut withdrawn = BTreeMap::new();
        for list in lists {
            let later = self.catalogue.read().withdrawals_after(list, segment.kind(), segment.applied_seq())?;
            let values: Vec<u8> = later.iter().flat_map(|row| row.fingerprint.value()).copied().collect();
            mark(segment, &mut withdrawn, list, &values);
        }
        Ok(withdrawn)
    }

    /// Shows questions the lists as they are. Where they cannot be read, what those of before do not know is undecided until
    /// they can be: a version that answers already would else be passed over.
    pub(super) fn refresh_lists(&mut self) -> Result<(), StoreError> {
        if self.served.is_none() {
            return Ok(());
        }
        let views = self.list_views();
        self.unsettled |= views.is_err();
        if let Some(served) = &mut self.served {
            served.lists_unread = views.as_ref().err().map(ToString::to_string);
            served.lists = views?;
        }
        Ok(())
    }

    /// The lists that answer, as a snapshot sees them.
    pub(super) fn list_views(&self) -> Result<Vec<ListView>, StoreError> {
        let mut views = Vec::new();
        for row in self.catalogue.read().lists()? {
            if !self.answers(&row) {
                continue;
            }
            let current = self.current_source(&row).version;
            let version = self.catalogue.read().version(row.id, current)?;
            // With the roles of the list alone, which are those of its entries, what the version says would go for `watch`.
            if row.shape == ListShape::File && version.is_none() {
                let found = format!("the manifest names version {current} of list {}, which is not kept", row.id.0);
                return Err(StoreError::Disagreement { folder: self.folder.clone(), found });
            }
            let radii = self.radii(&row)?;
            let ListRow { id, name, shape, state, roles, .. } = row;
            let roles = version.map_or(roles, |version| version.roles);
            views.push(ListView { id, name, shape, state, roles, current, radii });
        }
        Ok(views)
    }

    /// What a question that comes now shall see.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut parts = SnapshotParts {
            generation: self.manifest.generation,
            lists: Vec::new(),
            segments: Vec::new(),
            live: LiveLayer::empty(),
            states: BTreeMap::new(),
            suppressed: self.suppressed.clone(),
        };
        match &self.served {
            None => parts.states = Kind::ALL.map(|kind| (kind, KindState::Loading)).into(),
            Some(served) => {
                parts.lists.clone_from(&served.lists);
                parts.live = served.live.clone();
                for slot in served.slots.values() {
                    match &slot.condition {
                        Condition::Ready { segment, withdrawn } => {
                            parts.segments.push(SegmentView { segment: segment.clone(), withdrawn: withdrawn.clone() })
                        }
                        // A failure is told, even beside segments that are still loading.
                        Condition::Loading(_) => {
                            parts.states.entry(slot.kind).or_insert(KindState::Loading);
                        }
                        Condition::Failed(message) => {
                            parts.states.insert(slot.kind, KindState::Failed(message.clone()));
                        }
                    }
                }
                if let Some(cause) = &served.lists_unread {
                    parts.states = Kind::ALL.map(|kind| (kind, KindState::Failed(cause.clone()))).into();
                }
            }
        }
        Snapshot::new(parts)
    }

    /// The segment that holds a version's fingerprints of a kind, with its entry in the manifest.
    pub(super) fn open_segment(&self, entry: &ManifestSegment) -> Result<Arc<Segment>, StoreError> {
        let slot = self.served.as_ref().and_then(|served| served.slots.get(&entry.file.file));
        match slot.map(|slot| &slot.condition) {
            Some(Condition::Ready { segment, .. }) => Ok(segment.clone()),
            _ => Ok(Arc::new(open_verified(&self.path_of(&entry.file.file), &entry.file)?)),
        }
    }
}

/// The name of the file of this number in [`SEGMENTS`].
pub(super) fn file_name(number: u64, extension: &str) -> String {
    format!("{number:08}.{extension}")
}

/// The number in such a name.
pub(super) fn file_number(name: &str) -> Option<u64> {
    name.split('.').next()?.parse().ok()
}

/// What an entry says of its fingerprints.
pub(super) fn label(row: &EntryRow) -> Label {
    let source = Source { list: row.list, version: VersionNumber::LIVE };
    Label { source, category: row.entry.category.clone(), flags: row.entry.flags }
}

/// Labels as a set: ascending, each once.
pub(super) fn label_set(mut labels: Vec<Label>) -> Vec<Label> {
    labels.sort();
    labels.dedup();
    labels
}

/// Sets the bits of `values`, packed, at which `list` stands in the label set.
fn mark(segment: &Segment, withdrawn: &mut Withdrawn, list: ListId, values: &[u8]) {
    let mut found = Vec::new();
    segment.find_batch(values, &mut found);
    for hit in found {
        if segment.labels().set(hit.set).any(|label| label.source.list == list) {
            let bits = Arc::make_mut(withdrawn.entry(list).or_default());
            bits.insert(u32::try_from(hit.place.0).expect("`checked` refuses a segment with more places"));
        }
    }
}

/// A batch as the manifest names it.
pub(super) fn named(head: BatchHead) -> NamedBatch {
    NamedBatch { seq: head.seq, checksum: head.link.to_hex() }
}
