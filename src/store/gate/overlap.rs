//! What a new version says is illegal and other lists say is ignorable, or the other way round.
//!
//! The new version's values are looked up in a snapshot that holds the lists which could contradict it, so that they match
//! just as a question about them would. Two things differ: lists in shadow count as if they were active, for they may
//! be so tomorrow; and where the new version's own radius is wider than the other list's, that is the one that counts,
//! for a code of the other list asked about lies within it. Each value costs a lookup, and nothing is merged: the larger
//! the other lists, the more that saves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalogue::{ListRow, SegmentFile, VersionRow};
use crate::fingerprint::{Fingerprint, Kind, Radii};
use crate::index::live::LiveLayer;
use crate::index::sealed::{Segment, SegmentReader};
use crate::index::snapshot::{ListView, SegmentView, Snapshot, SnapshotParts};
use crate::list::{Category, ListName, ListState, Role, Roles, Source};
use crate::matching::{Match, Question, answer};
use crate::segment::LabelSetId;
use crate::store::checked::open_segment;
use crate::store::command::{Overlap, OverlapEntry, OverlapWith, Publish};
use crate::store::state::{Condition, State};
use crate::store::{DEGENERATE_DIGESTS, StoreError};

/// Values that are looked up at once.
const ROWS_AT_ONCE: usize = 4_096;

/// The role that contradicts this one.
fn opposite(role: Role) -> Option<Role> {
    match role {
        Role::Illegal => Some(Role::Ignorable),
        Role::Ignorable => Some(Role::Illegal),
        Role::Watch => None,
    }
}

/// What stands against a new version: taken under the mutex, used outside.
pub(in crate::store) struct Opposition {
    lists: Vec<ListView>,
    segments: Vec<OpposingSegment>,
    live: LiveLayer,
    in_force: Option<InForce>,
    /// Why something of it cannot be asked.
    unchecked: Vec<String>,
}

struct OpposingSegment {
    view: SegmentView,
    verified: bool,
}

/// The version that the new one is to replace.
struct InForce {
    roles: Roles,
    files: BTreeMap<Kind, FileInForce>,
}

/// The version's own file of a kind, and what was withdrawn from it.
type FileInForce = (Segment, BTreeSet<Box<[u8]>>);

impl InForce {
    /// Whether it gives a value this role.
    fn says(&self, role: Role, kind: Kind, value: &[u8]) -> bool {
        let Some((segment, withdrawn)) = self.files.get(&kind) else { return false };
        let Some((_, set)) = segment.find(value).filter(|_| !withdrawn.contains(value)) else { return false };
        segment.labels().set(set).any(|label| self.roles.of(label.category.as_ref()) == role)
    }
}

impl State {
    /// What stands against a version that is to be published into the list of this row.
    pub(in crate::store) fn opposition(
        &self,
        publish: &Publish,
        row: &ListRow,
        current: Option<&VersionRow>,
    ) -> Result<Opposition, StoreError> {
        let against: Vec<Role> = publish.roles.all().filter_map(opposite).collect();
        let mut own = self.radii(row)?;
        own.merge(publish.radii.clone());
        let lists = self.list_views()?.into_iter().filter(|view| {
            let opposes = against.iter().any(|role| view.roles.all().any(|other| other == *role));
            view.id != row.id && view.state != ListState::Disabled && opposes
        });
        let lists: Vec<ListView> =
            lists.map(|view| ListView { state: ListState::Active, radii: widest(&view, &own), ..view }).collect();
        let mut opposition = Opposition {
            segments: Vec::new(),
            live: match &self.served {
                Some(served) => served.live.clone(),
                None => self.replay()?,
            },
            in_force: current.map(|current| self.in_force(current)).transpose()?,
            unchecked: Vec::new(),
            lists,
        };
        let counts =
            |source: &Source| opposition.lists.iter().any(|l| (l.id, l.current) == (source.list, source.version));
        let of_kinds = |kind: Kind| publish.segments.iter().any(|segment| segment.kind == kind);
        let entries = self.manifest.segments.iter();
        let entries: Vec<_> =
            entries.filter(|entry| of_kinds(entry.kind) && entry.sources.iter().any(counts)).collect();
        for entry in entries {
            match self.opposing_segment(&entry.file)? {
                Ok(segment) => opposition.segments.push(segment),
                Err(found) => opposition.unchecked.push(found),
            }
        }
        Ok(opposition)
    }

    fn in_force(&self, current: &VersionRow) -> Result<InForce, StoreError> {
        let open = |(kind, file): (&Kind, &SegmentFile)| {
            let segment = open_segment(&self.path_of(&file.file), file)?;
            Ok((*kind, (segment, self.withdrawn_from(current, *kind, file)?)))
        };
        let files = current.segments.iter().map(open).collect::<Result<_, StoreError>>()?;
        Ok(InForce { roles: current.roles.clone(), files })
    }

    /// A segment of the generation with what was withdrawn from it, or why it cannot be asked.
    fn opposing_segment(&self, file: &SegmentFile) -> Result<Result<OpposingSegment, String>, StoreError> {
        let condition = self.served.as_ref().and_then(|served| served.slots.get(&file.file));
        let segment = match condition.map(|slot| slot.condition.clone()) {
            Some(Condition::Ready { segment, withdrawn }) => {
                return Ok(Ok(OpposingSegment { view: SegmentView { segment, withdrawn }, verified: true }));
            }
            Some(Condition::Failed(found)) => return Ok(Err(found)),
            Some(Condition::Loading(segment)) => segment,
            None => match open_segment(&self.path_of(&file.file), file) {
                Ok(segment) => segment.into(),
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        let withdrawn = self.withdrawn_places(&segment)?;
        Ok(Ok(OpposingSegment { view: SegmentView { segment, withdrawn }, verified: false }))
    }
}

/// The radii of a list, or those of the new version where they are wider.
fn widest(view: &ListView, own: &Radii) -> Radii {
    let mut radii = Radii::none();
    for kind in Kind::PERCEPTUAL {
        let of_version = own.get(kind).or(kind.radius_default());
        let widest = of_version.into_iter().fold(view.radius(kind, None), Ord::max);
        radii.set(kind, widest).expect("the wider of two radii that the kind allows");
    }
    radii
}

/// What a version says, held against other lists.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) overlap: Overlap,
    /// How many fingerprints have this role in the version.
    pub(super) said: BTreeMap<Role, u64>,
    /// How many of those other lists give the opposite role, leaving out what the version in force said already.
    pub(super) contradicted: BTreeMap<Role, u64>,
    /// Degenerate fingerprints that stand in the version all the same.
    pub(super) degenerate: u64,
    /// Why something could not be asked.
    pub(super) unchecked: Vec<String>,
}

/// Looks up what the files of a new version hold.
pub(super) fn examine(
    opposition: Opposition,
    roles: &Roles,
    files: impl IntoIterator<Item = SegmentReader>,
) -> Result<Examined, StoreError> {
    let Opposition { lists, segments, live, in_force, mut unchecked } = opposition;
    // What an operator suppressed is still what the lists say.
    let (states, suppressed) = (BTreeMap::new(), Arc::default());
    let mut parts = SnapshotParts { generation: 0, lists, segments: Vec::new(), live, states, suppressed };
    for OpposingSegment { view, verified } in segments {
        match if verified { Ok(()) } else { view.segment.verify() } {
            Ok(()) => parts.segments.push(view),
            Err(error) => unchecked.push(error.to_string()),
        }
    }
    let snapshot = Snapshot::new(parts);
    let examined = Examined { unchecked, ..Examined::default() };
    let mut search = Search { snapshot, in_force, examined, with: BTreeMap::new() };
    files.into_iter().try_for_each(|file| search.read(file, roles))?;
    Ok(search.finish())
}

struct Search {
    snapshot: Snapshot,
    in_force: Option<InForce>,
    examined: Examined,
    with: BTreeMap<(ListName, Kind, Role), (u64, u64)>,
}

/// What the label sets of a file say: the roles that can be contradicted, with a category that gives them.
type Said = Vec<BTreeMap<Role, Option<Category>>>;

impl Search {
    fn read(&mut self, mut file: SegmentReader, roles: &Roles) -> Result<(), StoreError> {
        let kind = file.kind();
        let said: Said = (0..file.labels().set_count() as u32).map(|set| said(&file, LabelSetId(set), roles)).collect();
        let mut counts = vec![0; said.len()];
        let (mut rows, mut sets) = (Vec::new(), Vec::new());
        while let Some((value, _, set)) = file.next()? {
            self.examined.degenerate += u64::from(DEGENERATE_DIGESTS.contains(kind, value));
            let set = set.0 as usize;
            counts[set] += 1;
            if !said[set].is_empty() {
                rows.extend_from_slice(value);
                sets.push(set);
            }
            if sets.len() == ROWS_AT_ONCE {
                self.ask(kind, &rows, &sets, &said);
                rows.clear();
                sets.clear();
            }
        }
        self.ask(kind, &rows, &sets, &said);
        for (roles, count) in said.iter().zip(counts) {
            roles.keys().for_each(|role| *self.examined.said.entry(*role).or_default() += count);
        }
        Ok(())
    }

    fn ask(&mut self, kind: Kind, rows: &[u8], sets: &[usize], said: &Said) {
        let question = Question { kinds: &[kind], rows, radii: &Radii::none() };
        let answers = answer(&self.snapshot, &question).expect("one kind, and whole values of it");
        for (row, index) in &answers.hits {
            let value = &rows[*row as usize * kind.width()..][..kind.width()];
            self.take(kind, value, &said[sets[*row as usize]], &answers.distinct[*index as usize].matches);
        }
    }

    /// Notes what others say of a value that the version gives these roles.
    fn take(&mut self, kind: Kind, value: &[u8], said: &BTreeMap<Role, Option<Category>>, matches: &[Match]) {
        let mut others: BTreeMap<&ListName, (&Match, Role)> = BTreeMap::new();
        for found in matches {
            if let Some(role) = opposite(found.role).filter(|role| said.contains_key(role)) {
                others.entry(&found.list).or_insert((found, role));
            }
        }
        let contradicted: BTreeSet<Role> = others.values().map(|(_, role)| *role).collect();
        let is_new = |role: &Role| self.in_force.as_ref().is_none_or(|version| !version.says(*role, kind, value));
        let new: BTreeSet<Role> = contradicted.iter().copied().filter(is_new).collect();
        self.examined.overlap.total += u64::from(!contradicted.is_empty());
        self.examined.overlap.new += u64::from(!new.is_empty());
        new.iter().for_each(|role| *self.examined.contradicted.entry(*role).or_default() += 1);
        for (list, (found, role)) in others {
            let (of_new, total) = self.with.entry((list.clone(), kind, found.role)).or_default();
            *total += 1;
            if !new.contains(&role) {
                continue;
            }
            *of_new += 1;
            if self.examined.overlap.entries.len() < Overlap::ENTRIES_MAX {
                self.examined.overlap.entries.push(OverlapEntry {
                    fingerprint: Fingerprint::new(kind, value).expect("a segment's values have their kind's width"),
                    category: said[&role].clone(),
                    list: list.clone(),
                    role: found.role,
                    list_category: found.category.clone(),
                    distance: found.distance,
                });
            }
        }
    }

    fn finish(self) -> Examined {
        let with = self.with.into_iter();
        let lists =
            with.map(|((list, kind, role), (new, total))| OverlapWith { list, kind, role, new, total }).collect();
        Examined { overlap: Overlap { lists, ..self.examined.overlap }, ..self.examined }
    }
}

fn said(file: &SegmentReader, set: LabelSetId, roles: &Roles) -> BTreeMap<Role, Option<Category>> {
    let mut said = BTreeMap::new();
    for label in file.labels().set(set) {
        let role = roles.of(label.category.as_ref());
        if opposite(role).is_some() {
            said.entry(role).or_insert_with(|| label.category.clone());
        }
    }
    said
}
