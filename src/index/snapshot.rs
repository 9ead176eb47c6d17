//! What one question sees from start to end: a generation, the live layer, and the lists' states and roles.
//!
//! A snapshot never changes. It decides once, for each label of each segment, whether that label counts; a change of
//! a list's state, role or version therefore makes a new snapshot and rewrites no file.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use roaring::RoaringBitmap;

use super::live::{LiveChange, LiveLayer};
use super::sealed::{FoundNear, Place, Segment};
use crate::fingerprint::{DegenerateDigests, Fingerprint, FingerprintSet, Kind, Radii, Radius};
use crate::list::{
    BUILT_IN, BuiltInList, DEGENERATE, Flags, Label, ListId, ListName, ListShape, ListState, Role, Roles, Source, TEST,
    VersionNumber, test_fingerprints,
};
use crate::segment::LabelSetId;

/// A list as a snapshot sees it.
#[derive(Clone, Debug)]
pub struct ListView {
    /// Its number.
    pub id: ListId,
    /// Its name.
    pub name: ListName,
    /// How it changes.
    pub shape: ListShape,
    /// Whether it takes part.
    pub state: ListState,
    /// What its labels mean.
    pub roles: Roles,
    /// Own radii; kinds not named have their kind's default.
    pub radii: Radii,
    /// The version that counts; [`VersionNumber::LIVE`] for feed lists.
    pub current: VersionNumber,
}

impl ListView {
    /// Whether labels of this version of the list are asked where lists in `state` are.
    fn counts(&self, state: ListState, version: VersionNumber) -> bool {
        self.state == state && self.current == version
    }

    /// The distance up to which labels of this list count for a question about `kind`. A radius of the list's own is the
    /// word of who knows the list: a question may narrow it and not widen it. Where the list has none, the question
    /// decides, and without its word the kind. Zero for exact kinds.
    pub(crate) fn radius(&self, kind: Kind, asked: Option<Radius>) -> Radius {
        match (self.radii.get(kind), asked) {
            (Some(own), Some(asked)) => own.min(asked),
            (Some(radius), None) | (None, Some(radius)) => radius,
            (None, None) => kind.radius_default().unwrap_or(Radius(0)),
        }
    }
}

/// Whether all that is held of a kind can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindState {
    /// It can.
    Ready,
    /// Segments are still being verified.
    Loading,
    /// Something of it cannot be read; the message names the file.
    Failed(String),
}

/// A segment in a snapshot, with what was withdrawn from it since it was written.
#[derive(Clone)]
pub struct SegmentView {
    /// The verified segment.
    pub segment: Arc<Segment>,
    /// Of each list: the places of which it no longer says what stands there.
    pub withdrawn: BTreeMap<ListId, Arc<RoaringBitmap>>,
}

/// What one list says of a hash, whether it counts or not.
pub(crate) struct Stated {
    pub(crate) label: Label,
    /// The hash as the list holds it.
    pub(crate) fingerprint: Fingerprint,
    /// Of a perceptual kind: in how many bits it differs from the one that was asked.
    pub(crate) distance: Option<u16>,
    /// Whether the list says it no more.
    pub(crate) withdrawn: bool,
}

/// Where something is said of a hash.
enum StatedAt<'a> {
    Segment(&'a EffectiveSegment, Place, LabelSetId),
    Live(&'a [Label]),
}

/// What [`Snapshot::new`] is made from.
pub struct SnapshotParts {
    /// The generation's number.
    pub generation: u64,
    /// The operator's lists. The snapshot adds the built-in ones.
    pub lists: Vec<ListView>,
    /// The generation's segments.
    pub segments: Vec<SegmentView>,
    /// Changes since the last seal.
    pub live: LiveLayer,
    /// Kinds that are not [`KindState::Ready`].
    pub states: BTreeMap<Kind, KindState>,
    /// Of which no list's word counts, except that of the built-in ones.
    pub suppressed: Arc<FingerprintSet>,
}

/// See the module's documentation.
pub struct Snapshot {
    generation: u64,
    lists: Vec<ListView>,
    by_id: HashMap<ListId, usize>,
    kinds: BTreeMap<Kind, KindIndex>,
    live: LiveLayer,
    suppressed: Arc<FingerprintSet>,
    has_shadow: bool,
}

/// All that a snapshot holds of one kind.
pub(crate) struct KindIndex {
    pub(crate) state: KindState,
    pub(crate) segments: Vec<EffectiveSegment>,
    /// Whether an active list of the operator's holds the kind.
    pub(crate) held: bool,
    /// Whether a shadow list does.
    pub(crate) shadowed: bool,
}

/// A segment with the labels that count in this snapshot.
pub(crate) struct EffectiveSegment {
    pub(crate) view: SegmentView,
    /// Indexed as the segment's labels are: the state of the label's list, if its version is the current one.
    states: Vec<Option<ListState>>,
    /// Whether any label is of an active list, and whether any is of a shadow list.
    active: bool,
    shadowed: bool,
}

impl Snapshot {
    /// A snapshot of these parts.
    pub fn new(parts: SnapshotParts) -> Snapshot {
        let lists: Vec<ListView> = BUILT_IN.iter().map(built_in_view).chain(parts.lists).collect();
        let by_id: HashMap<ListId, usize> = lists.iter().enumerate().map(|(index, list)| (list.id, index)).collect();
        let state_of = |source: Source| {
            let list = &lists[*by_id.get(&source.list)?];
            (list.current == source.version).then_some(list.state)
        };
        let has_shadow = lists.iter().any(|list| list.state == ListState::Shadow);
        let mut kinds: BTreeMap<Kind, KindIndex> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let state = parts.states.get(&kind).cloned().unwrap_or(KindState::Ready);
                let lives = |wanted: ListState| {
                    let is_wanted = |label: &Label| state_of(label.source) == Some(wanted);
                    parts.live.iter_kind(kind).any(|(_, labels)| labels.iter().any(is_wanted))
                };
                let (held, shadowed) = (lives(ListState::Active), has_shadow && lives(ListState::Shadow));
                (kind, KindIndex { state, segments: Vec::new(), held, shadowed })
            })
            .collect();
        for view in parts.segments {
            let labels = view.segment.labels().labels().iter();
            let states: Vec<Option<ListState>> = labels.map(|label| state_of(label.source)).collect();
            let active = states.contains(&Some(ListState::Active));
            let shadowed = states.contains(&Some(ListState::Shadow));
            let index = kinds.get_mut(&view.segment.kind()).expect("every kind has an index");
            index.held |= active;
            index.shadowed |= shadowed;
            index.segments.push(EffectiveSegment { view, states, active, shadowed });
        }
        let live = parts.live.with(BUILT_IN_CHANGES.clone());
        Snapshot { generation: parts.generation, lists, by_id, kinds, live, suppressed: parts.suppressed, has_shadow }
    }

    /// The generation's number.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All lists, built-in ones first.
    pub fn lists(&self) -> &[ListView] {
        &self.lists
    }

    /// The kinds worth asking about: those that an active list of the operator's holds, and those of which nobody can say,
    /// since something of them is loading or cannot be read. Leaving one of these out would make "unknown" of what is
    /// undecided.
    pub fn askable_kinds(&self) -> Vec<Kind> {
        let askable = self.kinds.iter().filter(|(_, index)| index.held || index.state != KindState::Ready);
        askable.map(|(kind, _)| *kind).collect()
    }

    /// Whether all that is held of `kind` can be asked.
    pub fn kind_state(&self, kind: Kind) -> &KindState {
        &self.of_kind(kind).state
    }

    /// Whether there is any list in shadow.
    pub(crate) fn has_shadow(&self) -> bool {
        self.has_shadow
    }

    /// The kinds that shadow lists hold.
    pub fn shadow_kinds(&self) -> Vec<Kind> {
        self.kinds.iter().filter(|(_, index)| index.shadowed).map(|(kind, _)| *kind).collect()
    }

    /// The distance within which to search, so that no label that counts is missed: the widest of the lists in `state`.
    pub(crate) fn search_radius(&self, state: ListState, kind: Kind, asked: Option<Radius>) -> Radius {
        let asked_lists = self.lists.iter().filter(|list| list.state == state && list.shape != ListShape::BuiltIn);
        asked_lists.map(|list| list.radius(kind, asked)).max().unwrap_or(Radius(0))
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> &KindIndex {
        &self.kinds[&kind]
    }

    pub(crate) fn live(&self) -> &LiveLayer {
        &self.live
    }

    /// The fingerprints that are suppressed.
    pub(crate) fn suppressed(&self) -> &FingerprintSet {
        &self.suppressed
    }

    /// Tells all that the current versions of lists in any state say of a hash, and of those that lie as near to it as a
    /// list's radius reaches: the nearest first.
    pub(crate) fn stated(&self, asked: &Fingerprint, radius: Option<Radius>, mut tell: impl FnMut(Stated)) {
        let kind = asked.kind();
        for (distance, value, place) in self.places(asked, radius) {
            let mut say = |label: &Label, withdrawn| {
                let Some(list) = self.by_id.get(&label.source.list).map(|index| &self.lists[*index]) else { return };
                if list.current == label.source.version && Radius(distance) <= list.radius(kind, radius) {
                    let fingerprint = Fingerprint::new(kind, value).expect("what is held has its kind's width");
                    let distance = (!kind.is_exact()).then_some(distance);
                    tell(Stated { label: label.clone(), fingerprint, distance, withdrawn });
                }
            };
            match place {
                StatedAt::Live(labels) => labels.iter().for_each(|label| say(label, false)),
                StatedAt::Segment(segment, place, set) => {
                    let labels = segment.view.segment.labels().set(set);
                    labels.for_each(|label| say(label, segment.is_withdrawn(label.source.list, place)));
                }
            }
        }
    }

    /// Where the hash stands, or one within the widest radius of any list: distance, the value there, and the place.
    fn places<'a>(&'a self, asked: &'a Fingerprint, radius: Option<Radius>) -> Vec<(u16, &'a [u8], StatedAt<'a>)> {
        let (kind, value) = (asked.kind(), asked.value());
        let widest = self.lists.iter().map(|list| list.radius(kind, radius)).max().unwrap_or(Radius(0));
        let mut places = Vec::new();
        for effective in &self.of_kind(kind).segments {
            let segment = &effective.view.segment;
            if kind.is_exact() {
                let at = |(place, set)| (0, value, StatedAt::Segment(effective, place, set));
                places.extend(segment.find(value).map(at));
            } else {
                let mut near = Vec::new();
                segment.find_near(value, widest, &mut near);
                let at = |FoundNear { distance, place, set, .. }| {
                    (distance, segment.code_at(place), StatedAt::Segment(effective, place, set))
                };
                places.extend(near.into_iter().map(at));
            }
        }
        if let Some(live) = self.live.of_kind(kind) {
            match kind.is_exact() {
                true => places.extend(live.find(value).map(|(value, labels)| (0, value, StatedAt::Live(labels)))),
                false => {
                    let near = live.find_near(value, widest).into_iter();
                    places.extend(near.map(|near| (near.distance, near.value, StatedAt::Live(near.labels))));
                }
            }
        }
        places.sort_by_key(|(distance, value, _)| (*distance, *value));
        places
    }

    /// The list and role of a label, if its list is in `state` and it comes from the list's current version.
    pub(crate) fn resolve(&self, state: ListState, label: &Label) -> Option<(&ListView, Role)> {
        let list = &self.lists[*self.by_id.get(&label.source.list)?];
        list.counts(state, label.source.version).then(|| (list, list.roles.of(label.category.as_ref())))
    }
}

impl EffectiveSegment {
    /// Whether it says anything that counts where lists in `state` are asked.
    pub(crate) fn holds(&self, state: ListState) -> bool {
        match state {
            ListState::Active => self.active,
            ListState::Shadow => self.shadowed,
            ListState::Disabled => false,
        }
    }

    /// The labels at `place` that count where lists in `state` are asked, and were not withdrawn, given the place's label
    /// set.
    pub(crate) fn labels_at(
        &self,
        state: ListState,
        place: Place,
        set: LabelSetId,
    ) -> impl Iterator<Item = &Label> + '_ {
        let table = self.view.segment.labels();
        table.set_indexes(set).iter().filter_map(move |index| {
            let label = &table.labels()[*index as usize];
            let counts = self.states[*index as usize] == Some(state) && !self.is_withdrawn(label.source.list, place);
            counts.then_some(label)
        })
    }

    fn is_withdrawn(&self, list: ListId, place: Place) -> bool {
        self.view
            .withdrawn
            .get(&list)
            .is_some_and(|places| u32::try_from(place.0).is_ok_and(|place| places.contains(place)))
    }
}

fn built_in_view(list: &BuiltInList) -> ListView {
    ListView {
        id: list.id,
        name: list.name.parse().expect("built-in names are good names"),
        shape: ListShape::BuiltIn,
        state: ListState::Active,
        roles: Roles::uniform(list.role),
        radii: Radii::none(),
        current: VersionNumber::LIVE,
    }
}

/// What the built-in lists say: the bottom of every live layer, never sealed.
static BUILT_IN_CHANGES: LazyLock<Vec<LiveChange>> = LazyLock::new(|| {
    let say = |list: &BuiltInList, fingerprint: Fingerprint| {
        let source = Source { list: list.id, version: VersionNumber::LIVE };
        LiveChange { fingerprint, list: list.id, labels: vec![Label { source, category: None, flags: Flags::NONE }] }
    };
    let degenerate = DegenerateDigests::compute();
    let degenerate = degenerate
        .iter()
        .map(|(kind, value)| say(&DEGENERATE, Fingerprint::new(kind, value).expect("digests have their kind's width")));
    degenerate.chain(test_fingerprints().into_iter().map(|fingerprint| say(&TEST, fingerprint))).collect()
});
