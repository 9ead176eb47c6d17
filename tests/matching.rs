//! All rules of verdicts, held against a plain model: random lists in random states and with random radii over segments of all locators,
//! the live layer, withdrawals and suppressions, asked in random questions of one or more kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashward::fingerprint::{DegenerateDigests, Fingerprint, FingerprintSet, Kind, Radii, Radius, hash_bytes};
use hashward::index::live::{LiveChange, LiveLayer};
use hashward::index::sealed::{LocatorKind, Segment, SegmentWriter, WriteOptions};
use hashward::index::snapshot::{KindState, ListView, SegmentView, Snapshot, SnapshotParts};
use hashward::list::{
    Category, CategoryRole, Flags, Label, ListId, ListShape, ListState, Role, Roles, Source, TEST_CONTENT,
    VersionNumber,
};
use hashward::matching::{Answer, Match, Neighbour, Question, Reason, Shadow, Verdict, answer, shadow};
use hashward::segment::LabelTable;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use roaring::RoaringBitmap;

/// Two exact kinds and a perceptual one.
const KINDS: [Kind; 3] = [Kind::Md5, Kind::Sha1, Kind::Phash64];
/// Values of each kind that lists and questions draw from.
const VALUES: u8 = 12;
const LISTS: [ListId; 3] = [ListId(16), ListId(17), ListId(18)];

/// Perceptual values of two numbers differ in as many bits as the numbers do.
fn value(kind: Kind, number: u8) -> Vec<u8> {
    if !kind.is_exact() {
        return (0xA5A5_5A5A_0F0F_3C3C ^ ((1u64 << number) - 1)).to_be_bytes().to_vec();
    }
    let seed = hash_bytes(Kind::Sha512, &[kind.code(), number]);
    seed.value()[..kind.width()].to_vec()
}

fn fingerprint(kind: usize, number: u8) -> Fingerprint {
    Fingerprint::new(KINDS[kind], &value(KINDS[kind], number)).unwrap()
}

fn name(list: ListId) -> String {
    format!("list-{}", list.0)
}

/// What one source says of one value, in one segment or in the live layer.
type Said = BTreeMap<(usize, u8, ListId, u32), BTreeSet<u8>>;

#[derive(Clone, Debug)]
struct World {
    lists: Vec<(ListState, u32, Roles, Radii)>,
    segments: Vec<Written>,
    live: Said,
    states: BTreeMap<usize, KindState>,
    suppressed: BTreeSet<(usize, u8)>,
}

/// A segment, and what was withdrawn from it since it was written.
#[derive(Clone, Debug)]
struct Written {
    kind: usize,
    locator: LocatorKind,
    said: Said,
    withdrawn: BTreeSet<(u8, ListId)>,
}

fn category(code: u8) -> Option<Category> {
    (code > 0).then(|| Category::new(Some("XX"), &code.to_string()))
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Illegal), Just(Role::Ignorable), Just(Role::Watch)]
}

fn said(kinds: std::ops::Range<usize>, versions: std::ops::Range<u32>) -> impl Strategy<Value = Said> {
    let key = (kinds, 0..VALUES, prop::sample::select(LISTS.to_vec()), versions);
    btree_map(key, btree_set(0u8..4, 1..3), 0..16)
}

fn segment() -> impl Strategy<Value = Written> {
    (0..KINDS.len(), any::<prop::sample::Index>()).prop_flat_map(|(kind, locator)| {
        let serving: Vec<_> = LocatorKind::ALL.into_iter().filter(|locator| locator.serves(KINDS[kind])).collect();
        let locator = *locator.get(&serving);
        let withdrawn = btree_set((0..VALUES, prop::sample::select(LISTS.to_vec())), 0..4);
        (said(kind..kind + 1, 1..3), withdrawn).prop_map(move |(said, withdrawn)| Written {
            kind,
            locator,
            said,
            withdrawn,
        })
    })
}

/// A radius of the perceptual kind, or none.
fn radii() -> impl Strategy<Value = Radii> {
    prop::option::of(0u16..8).prop_map(|radius| {
        let mut radii = Radii::none();
        radius.into_iter().for_each(|radius| radii.set(Kind::Phash64, Radius(radius)).unwrap());
        radii
    })
}

fn world() -> impl Strategy<Value = World> {
    let state = prop_oneof![4 => Just(ListState::Active), 2 => Just(ListState::Shadow), 1 => Just(ListState::Disabled)];
    let roles = (role(), btree_map(1u8..4, role(), 0..3), any::<bool>()).prop_map(|(default, named, uniform)| {
        let named = named.into_iter().map(|(code, role)| CategoryRole { category: category(code).unwrap(), role });
        if uniform { Roles::uniform(default) } else { Roles::by_category(default, named) }
    });
    let kind_state = prop_oneof![Just(KindState::Loading), Just(KindState::Failed("a file".to_owned()))];
    let states = prop_oneof![3 => Just(BTreeMap::new()), 1 => btree_map(0..KINDS.len(), kind_state, 1..3)];
    let lists = vec((state, 1u32..3, roles, radii()), LISTS.len());
    let suppressed = prop_oneof![Just(BTreeSet::new()), btree_set((0..KINDS.len(), 0..VALUES), 0..8)];
    (lists, vec(segment(), 0..4), said(0..KINDS.len(), 1..2), states, suppressed)
        .prop_map(|(lists, segments, live, states, suppressed)| World { lists, segments, live, states, suppressed })
}

impl World {
    fn labels(said: &Said) -> BTreeMap<(usize, u8), Vec<Label>> {
        let mut labels: BTreeMap<(usize, u8), Vec<Label>> = BTreeMap::new();
        for ((kind, number, list, version), codes) in said {
            let source = Source { list: *list, version: VersionNumber(*version) };
            let of_value = labels.entry((*kind, *number)).or_default();
            of_value.extend(codes.iter().map(|code| Label { source, category: category(*code), flags: Flags(*code) }));
        }
        labels
    }

    fn snapshot(&self, folder: &std::path::Path) -> Snapshot {
        let lists = LISTS.iter().zip(&self.lists).map(|(id, (state, current, roles, radii))| ListView {
            id: *id,
            name: name(*id).parse().unwrap(),
            shape: ListShape::File,
            state: *state,
            roles: roles.clone(),
            radii: radii.clone(),
            current: VersionNumber(*current),
        });
        let segments = self.segments.iter().enumerate().map(|(number, Written { kind, locator, said, withdrawn })| {
            let path = folder.join(format!("{number}.seg"));
            let options = WriteOptions { locator: Some(*locator), applied_seq: 0 };
            let mut writer = SegmentWriter::create(&path, KINDS[*kind], options).unwrap();
            let mut table = LabelTable::new();
            let mut rows: Vec<_> = Self::labels(said)
                .into_iter()
                .map(|((kind, number), labels)| (value(KINDS[kind], number), labels))
                .collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            for (value, labels) in rows {
                let labels: Vec<u32> = labels.into_iter().map(|label| table.intern_label(label)).collect();
                writer.push(&value, table.intern_set(&labels)).unwrap();
            }
            writer.finish(&table).unwrap();
            let segment = Segment::open(&path).unwrap();
            segment.verify().unwrap();
            let mut bits: BTreeMap<ListId, RoaringBitmap> = BTreeMap::new();
            for (number, list) in withdrawn {
                if let Some((place, _)) = segment.find(&value(KINDS[*kind], *number)) {
                    bits.entry(*list).or_default().insert(place.0.try_into().unwrap());
                }
            }
            let withdrawn = bits.into_iter().map(|(list, bits)| (list, Arc::new(bits))).collect();
            SegmentView { segment: Arc::new(segment), withdrawn }
        });
        let mut changes: BTreeMap<(usize, u8, ListId), Vec<Label>> = BTreeMap::new();
        for ((kind, number), labels) in Self::labels(&self.live) {
            labels.into_iter().for_each(|label| {
                changes.entry((kind, number, label.source.list)).or_default().push(label);
            });
        }
        let changes = changes.into_iter().map(|((kind, number, list), labels)| LiveChange {
            fingerprint: fingerprint(kind, number),
            list,
            labels,
        });
        Snapshot::new(SnapshotParts {
            generation: 7,
            lists: lists.collect(),
            segments: segments.collect(),
            live: LiveLayer::empty().with(changes.collect()),
            states: self.states.iter().map(|(kind, state)| (KINDS[*kind], state.clone())).collect(),
            suppressed: Arc::new(self.suppressed.iter().map(|(kind, number)| fingerprint(*kind, *number)).collect()),
        })
    }

    fn active(&self, list: ListId, version: u32) -> Option<(&Roles, &Radii)> {
        let (state, current, roles, radii) = &self.lists[(list.0 - LISTS[0].0) as usize];
        (*state == ListState::Active && *current == version).then_some((roles, radii))
    }

    /// All matches of one value, straight from what was said: each with its list's number and the number that it is of.
    fn said(&self, kind: usize, number: u8, asked: &Radii) -> Vec<(Match, u8)> {
        let in_segments = self.segments.iter().flat_map(|Written { said, withdrawn, .. }| {
            said.iter().filter(|((_, number, list, _), _)| !withdrawn.contains(&(*number, *list)))
        });
        let is_exact = KINDS[kind].is_exact();
        in_segments
            .chain(&self.live)
            .filter(|((of_kind, ..), _)| *of_kind == kind)
            .filter_map(|((_, of_number, list, version), codes)| {
                let (roles, radii) = self.active(*list, *version)?;
                let own = radii.get(KINDS[kind]);
                let reach = match (own, asked.get(KINDS[kind])) {
                    _ if is_exact => 0,
                    (Some(own), Some(asked)) => own.0.min(asked.0),
                    (Some(radius), None) | (None, Some(radius)) => radius.0,
                    (None, None) => 4,
                };
                let distance = u16::from(number.abs_diff(*of_number));
                (distance <= reach).then_some((list, roles, codes, *of_number, distance))
            })
            .flat_map(|(list, roles, codes, of_number, distance)| {
                codes.iter().map(move |code| {
                    let said = Match {
                        kind: KINDS[kind],
                        list: name(*list).parse().unwrap(),
                        role: roles.of(category(*code).as_ref()),
                        category: category(*code),
                        flags: Flags(*code),
                        distance: (!is_exact).then_some(distance),
                    };
                    (said, of_number)
                })
            })
            .collect()
    }

    /// The answer to a row of these kinds and numbers; the count of further places is not modelled, for there are never
    /// so many.
    fn answer(&self, kinds: &[usize], row: &[u8], asked: &Radii, miss: Verdict) -> Option<Answer> {
        let is_suppressed = |(found, number): &(Match, u8)| {
            self.suppressed.iter().any(|(kind, of)| (KINDS[*kind], of) == (found.kind, number))
        };
        let said = kinds.iter().zip(row).flat_map(|(kind, number)| self.said(*kind, *number, asked));
        let (vetoed, said): (Vec<_>, Vec<_>) = said.partition(is_suppressed);
        let suppressed = !vetoed.is_empty();
        let mut matches: BTreeMap<Match, Option<u16>> = BTreeMap::new();
        for (found, _) in &said {
            let key = Match { distance: None, ..found.clone() };
            let least = matches.entry(key).or_insert(found.distance);
            *least = (*least).min(found.distance);
        }
        let nearest: BTreeSet<Neighbour> = said
            .iter()
            .filter_map(|(found, number)| {
                let fingerprint = Fingerprint::new(found.kind, &value(found.kind, *number)).unwrap();
                Some(Neighbour { distance: found.distance?, fingerprint })
            })
            .collect();
        let any = |role| matches.keys().any(|one| one.role == role);
        let verdict = match (any(Role::Illegal), any(Role::Ignorable)) {
            (true, true) => Verdict::Conflict,
            (true, false) => Verdict::Known,
            (false, true) => Verdict::Ignorable,
            (false, false) => miss,
        };
        let watched = any(Role::Watch);
        let matches: Vec<_> = matches.into_iter().map(|(found, distance)| Match { distance, ..found }).collect();
        let nearest = nearest.into_iter().collect();
        let is_hit = suppressed || !matches.is_empty();
        is_hit.then_some(Answer { verdict, watched, suppressed, matches, nearest, further: 0 })
    }

    /// The same lists, those in `from` in the state `to`.
    fn with_lists(&self, from: ListState, to: ListState) -> World {
        let mut changed = self.clone();
        changed.lists.iter_mut().filter(|(state, ..)| *state == from).for_each(|(state, ..)| *state = to);
        changed
    }

    /// The same lists, those in shadow active and all others disabled.
    fn of_shadow(&self) -> World {
        self.with_lists(ListState::Active, ListState::Disabled).with_lists(ListState::Shadow, ListState::Active)
    }

    fn held(&self, kind: usize) -> bool {
        let said = self.segments.iter().flat_map(|segment| &segment.said).chain(&self.live);
        said.into_iter()
            .any(|((of_kind, _, list, version), _)| *of_kind == kind && self.active(*list, *version).is_some())
    }

    /// Why a kind could not be asked in full, if it applies.
    fn reason(&self, kind: usize) -> Option<Reason> {
        match self.states.get(&kind) {
            Some(KindState::Loading) => Some(Reason::Loading),
            Some(KindState::Failed(_)) => Some(Reason::Failed),
            _ => None,
        }
    }
}

fn check(world: &World, kinds: &[usize], rows: &[Vec<u8>], radii: &Radii) {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = world.snapshot(folder.path());
    let packed: Vec<u8> = rows
        .iter()
        .flat_map(|row| kinds.iter().zip(row).flat_map(|(kind, number)| value(KINDS[*kind], *number)))
        .collect();
    let asked: Vec<Kind> = kinds.iter().map(|kind| KINDS[*kind]).collect();
    let answers = answer(&snapshot, &Question { kinds: &asked, rows: &packed, radii }).unwrap();

    let incomplete: Vec<_> = kinds.iter().filter_map(|kind| Some((KINDS[*kind], world.reason(*kind)?))).collect();
    let checked: Vec<_> = kinds
        .iter()
        .filter(|kind| world.held(**kind) && world.reason(**kind).is_none())
        .map(|kind| KINDS[*kind])
        .collect();
    let miss = match (incomplete.first(), checked.is_empty()) {
        (Some((_, reason)), _) => Verdict::Undecided(*reason),
        (None, true) => Verdict::Undecided(Reason::NoListForKind),
        (None, false) => Verdict::Unknown,
    };
    assert_eq!((answers.generation, answers.rows as usize), (7, rows.len()));
    for (kind, of) in KINDS.into_iter().enumerate() {
        let askable = world.held(kind) || world.states.contains_key(&kind);
        assert_eq!(snapshot.askable_kinds().contains(&of), askable, "{of}");
    }
    assert_eq!((&answers.incomplete, &answers.checked, answers.miss), (&incomplete, &checked, miss));
    for (row, found) in rows.iter().zip(answers.iter()) {
        let expected = world.answer(kinds, row, radii, miss);
        let expected = expected.map(|expected| Answer { further: found.map_or(0, |found| found.further), ..expected });
        assert_eq!(found, expected.as_ref());
    }
    let distinct: BTreeSet<_> = answers.distinct.iter().map(|answer| format!("{answer:?}")).collect();
    assert_eq!(distinct.len(), answers.distinct.len(), "each answer stands once");

    let question = Question { kinds: &asked, rows: &packed, radii };
    let other_folder = tempfile::tempdir().unwrap();
    let without_shadow = world.with_lists(ListState::Shadow, ListState::Disabled).snapshot(other_folder.path());
    assert_eq!(answer(&without_shadow, &question).unwrap(), answers, "a shadow list changes no answer");
    check_shadow(world, &snapshot, kinds, rows, &question);
}

/// What is found in shadow is what the lists in shadow would say if they were active, and alone.
fn check_shadow(world: &World, snapshot: &Snapshot, kinds: &[usize], rows: &[Vec<u8>], question: &Question<'_>) {
    let found = shadow(snapshot, question).unwrap();
    let as_active = world.of_shadow();
    // Where something is loading or cannot be read, nobody knows whether a list in shadow holds it.
    let has_shadow = world.lists.iter().any(|(state, ..)| *state == ListState::Shadow);
    let unasked = kinds.iter().filter_map(|kind| Some((KINDS[*kind], world.reason(*kind)?)));
    let unasked: Vec<_> = unasked.filter(|_| has_shadow).collect();
    assert_eq!(found.is_some(), kinds.iter().any(|kind| as_active.held(*kind)) || !unasked.is_empty());
    let Some(Shadow(found)) = found else { return };
    assert_eq!(found.incomplete, unasked);
    for (row, found) in rows.iter().zip(found.iter()) {
        // The built-in lists, which are active, hold none of these values.
        let expected = as_active.answer(kinds, row, question.radii, Verdict::Unknown);
        let expected = expected.map(|expected| Answer { further: found.map_or(0, |found| found.further), ..expected });
        assert_eq!(found, expected.as_ref());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn verdicts_are_those_of_a_plain_model(
        world in world(),
        kinds in Just(vec![0usize, 1, 2]).prop_shuffle(),
        asked in 1usize..4,
        rows in vec(vec(0..VALUES, KINDS.len()), 0..24),
        radii in radii(),
    ) {
        check(&world, &kinds[..asked], &rows, &radii);
    }
}

fn empty() -> Snapshot {
    with_suppressed(FingerprintSet::default())
}

fn with_suppressed(suppressed: FingerprintSet) -> Snapshot {
    Snapshot::new(SnapshotParts {
        generation: 0,
        lists: Vec::new(),
        segments: Vec::new(),
        live: LiveLayer::empty(),
        states: BTreeMap::new(),
        suppressed: Arc::new(suppressed),
    })
}

#[test]
fn an_empty_hashward_never_says_unknown() {
    let snapshot = empty();
    for kind in Kind::ALL {
        let row = vec![0x5A; kind.width()];
        let answers = answer(&snapshot, &Question { kinds: &[kind], rows: &row, radii: &Radii::none() }).unwrap();
        assert_eq!(answers.miss, Verdict::Undecided(Reason::NoListForKind));
        assert!(answers.hits.is_empty() && answers.checked.is_empty());
    }
    assert!(snapshot.askable_kinds().is_empty());
}

#[test]
fn built_in_lists_answer_without_any_other() {
    let snapshot = empty();
    let degenerate = DegenerateDigests::compute();
    for (kind, value) in degenerate.iter() {
        let answers = answer(&snapshot, &Question { kinds: &[kind], rows: value, radii: &Radii::none() }).unwrap();
        assert_eq!(answers.iter().next().unwrap().map(|answer| answer.verdict), Some(Verdict::Ignorable));
    }
    for kind in Kind::COMPUTED {
        let test = hash_bytes(kind, TEST_CONTENT.as_bytes());
        let answers =
            answer(&snapshot, &Question { kinds: &[kind], rows: test.value(), radii: &Radii::none() }).unwrap();
        let found = answers.iter().next().unwrap().expect("the test list knows its content");
        assert!(found.watched);
        assert_eq!(found.verdict, Verdict::Undecided(Reason::NoListForKind));
    }
}

#[test]
fn nobody_can_silence_the_built_in_lists() {
    let snapshot =
        with_suppressed(Kind::COMPUTED.map(|kind| hash_bytes(kind, TEST_CONTENT.as_bytes())).into_iter().collect());
    for kind in Kind::COMPUTED {
        let test = hash_bytes(kind, TEST_CONTENT.as_bytes());
        let answers =
            answer(&snapshot, &Question { kinds: &[kind], rows: test.value(), radii: &Radii::none() }).unwrap();
        let found = answers.iter().next().unwrap().expect("the test list knows its content");
        assert!(found.watched && !found.suppressed);
    }
}

#[test]
fn a_question_without_meaning_is_refused() {
    let snapshot = empty();
    for (kinds, bytes) in
        [(&[][..], 0), (&[Kind::Md5, Kind::Md5], 32), (&[Kind::Md5], 17), (&[Kind::Md5, Kind::Sha1], 35)]
    {
        assert!(answer(&snapshot, &Question { kinds, rows: &vec![0; bytes], radii: &Radii::none() }).is_err());
    }
}
