//! Question → verdict, on one snapshot. Pure: no I/O, no clock.
//!
//! Only labels of active lists decide. One with role illegal: `known`; illegal and ignorable: `conflict`; ignorable
//! only: `ignorable`. Otherwise `unknown`, unless something applicable could not be asked: then `undecided`. `watch`
//! never changes a verdict. Nothing that failed is ever read as "unknown": see [`Answers::miss`].
//!
//! What a list holds and the operator has suppressed counts as if the list did not hold it, except that the answer says
//! so. That goes fingerprint by fingerprint: if a file's SHA-1 is known and its MD5 is suppressed, the SHA-1 decides. By
//! distance it is the code that the list holds which is suppressed, not the one that was asked.
//!
//! Exact kinds match by equality. A perceptual kind matches within a radius, and a label counts if its list's radius
//! reaches as far as the code that carries it.
//!
//! What lists in shadow would say is found by the same rules, as if they were active and no other list were, and kept
//! apart from the answers: see [`Shadow`].

mod verdict;

pub use verdict::{Answer, Answers, Match, NEAREST_MAX, Neighbour, Reason, Shadow, Verdict};

use std::collections::{BTreeMap, HashMap};

use crate::fingerprint::{Fingerprint, Kind, Radii, Radius};
use crate::index::sealed::{Found, FoundNear, Place};
use crate::index::snapshot::{EffectiveSegment, KindIndex, KindState, Snapshot};
use crate::list::{Label, ListShape, ListState};
use crate::segment::LabelSetId;

/// Files to ask about: each row holds one value of each kind, concatenated in the order of `kinds`.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The kinds of a row's values, each at most once.
    pub kinds: &'a [Kind],
    /// Packed rows of [`Question::row_width`] bytes.
    pub rows: &'a [u8],
    /// Radii for this question. A list that has a radius of its own is asked within the smaller of both.
    pub radii: &'a Radii,
}

impl Question<'_> {
    /// Bytes of one row.
    pub fn row_width(&self) -> usize {
        self.kinds.iter().map(|kind| kind.width()).sum()
    }
}

/// A question that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// No kind, so nothing could be asked.
    #[error("a question names no kind; expected at least one")]
    NoKind,
    /// A kind stands twice.
    #[error("a question names {0} twice; expected each kind at most once")]
    RepeatedKind(Kind),
    /// The rows do not fit the kinds.
    #[error("a question's rows have {found} bytes; expected a multiple of {row_width}")]
    RaggedRows {
        /// Bytes of one row of these kinds.
        row_width: usize,
        /// Bytes that came.
        found: usize,
    },
    /// More rows than an answer can number.
    #[error("a question has {0} rows; expected at most {max}", max = u32::MAX)]
    TooManyRows(usize),
}

/// Answers every row of `question` from `snapshot`.
///
/// # Errors
/// [`QuestionError`] where the question has no meaning. What could not be asked is no error here: it is in the
/// answer, as [`Answers::miss`] and [`Answers::incomplete`].
pub fn answer(snapshot: &Snapshot, question: &Question<'_>) -> Result<Answers, QuestionError> {
    let rows = check(question)?;
    let (checked, incomplete) = asked(snapshot, question.kinds);
    let miss = match incomplete.first() {
        Some((_, reason)) => Verdict::Undecided(*reason),
        None if checked.is_empty() => Verdict::Undecided(Reason::NoListForKind),
        None => Verdict::Unknown,
    };
    let (distinct, hits) = said_by(snapshot, ListState::Active, question, miss);
    Ok(Answers { generation: snapshot.generation(), rows, checked, incomplete, miss, distinct, hits })
}

/// What the lists in shadow would say of every row of `question`; `None` if none of them holds any of its kinds. It
/// changes nothing that [`answer`] says. Where something of a kind is loading or cannot be read, nobody knows whether they
/// hold it: it is in [`Answers::incomplete`] then.
///
/// # Errors
/// As [`answer`].
pub fn shadow(snapshot: &Snapshot, question: &Question<'_>) -> Result<Option<Shadow>, QuestionError> {
    let rows = check(question)?;
    let incomplete = match snapshot.has_shadow() {
        true => asked(snapshot, question.kinds).1,
        false => Vec::new(),
    };
    if incomplete.is_empty() && !question.kinds.iter().any(|kind| snapshot.of_kind(*kind).shadowed) {
        return Ok(None);
    }
    let (generation, miss) = (snapshot.generation(), Verdict::Unknown);
    let (distinct, hits) = said_by(snapshot, ListState::Shadow, question, miss);
    Ok(Some(Shadow(Answers { generation, rows, checked: Vec::new(), incomplete, miss, distinct, hits })))
}

/// What the lists in `state` say: each distinct answer, and the rows that have it.
fn said_by(
    snapshot: &Snapshot,
    state: ListState,
    question: &Question<'_>,
    miss: Verdict,
) -> (Vec<Answer>, Vec<(u32, u32)>) {
    let mut answers = AnswerTable::new(snapshot, state, question.radii, miss);
    let mut hits = Vec::new();
    let row_width = question.row_width();
    let group_rows = group_rows(snapshot, question.kinds);
    for (group, first_row) in question.rows.chunks(group_rows.saturating_mul(row_width)).zip((0..).step_by(group_rows))
    {
        let group = Question { rows: group, ..*question };
        let mut found = find(snapshot, state, &group, group.rows.len() / row_width);
        if question.kinds.len() > 1 || found.windows(2).any(|pair| pair[0].row > pair[1].row) {
            found.sort_by_key(|hit| hit.row);
        }
        let of_rows = found.chunk_by(|a, b| a.row == b.row);
        hits.extend(of_rows.filter_map(|of_row| Some((first_row + of_row[0].row, answers.of_hits(of_row)?))));
    }
    (answers.distinct, hits)
}

/// Codes that a group of rows may meet in all, unless a single row meets more: what is found near to them is held in
/// memory at once.
const MET_MAX: u64 = 1 << 20;

/// Rows that are looked up together: all of them where only equality is asked for, since each meets few places; where
/// distance is, so many that even a flood of codes near to each of them stays within memory.
fn group_rows(snapshot: &Snapshot, kinds: &[Kind]) -> usize {
    let codes = |kind: Kind| -> u64 {
        let live = snapshot.live().of_kind(kind).map_or(0, |live| live.len() as u64);
        live + snapshot.of_kind(kind).segments.iter().map(|s| s.view.segment.len()).sum::<u64>()
    };
    match kinds.iter().filter(|kind| !kind.is_exact()).map(|kind| codes(*kind)).max() {
        None => u32::MAX as usize,
        Some(codes) => (MET_MAX / codes.max(1)).clamp(1, 64) as usize,
    }
}

fn check(question: &Question<'_>) -> Result<u32, QuestionError> {
    let kinds = question.kinds;
    if kinds.is_empty() {
        return Err(QuestionError::NoKind);
    }
    if let Some(repeated) = kinds.iter().enumerate().find(|(index, kind)| kinds[..*index].contains(kind)) {
        return Err(QuestionError::RepeatedKind(*repeated.1));
    }
    let row_width = question.row_width();
    if !question.rows.len().is_multiple_of(row_width) {
        return Err(QuestionError::RaggedRows { row_width, found: question.rows.len() });
    }
    let rows = question.rows.len() / row_width;
    u32::try_from(rows).map_err(|_| QuestionError::TooManyRows(rows))
}

/// The kinds that were asked in full, and those that apply and were not. A kind that no list holds does not apply.
fn asked(snapshot: &Snapshot, kinds: &[Kind]) -> (Vec<Kind>, Vec<(Kind, Reason)>) {
    let (mut checked, mut incomplete) = (Vec::new(), Vec::new());
    for kind in kinds {
        let index = snapshot.of_kind(*kind);
        match index.state {
            KindState::Loading => incomplete.push((*kind, Reason::Loading)),
            KindState::Failed(_) => incomplete.push((*kind, Reason::Failed)),
            KindState::Ready if !index.held => {}
            KindState::Ready => checked.push(*kind),
        }
    }
    (checked, incomplete)
}

/// One place where something is said of a row's value, or of a code near to it.
struct Hit<'a> {
    row: u32,
    kind: Kind,
    place: HitPlace<'a>,
    /// Of a perceptual kind.
    distance: Option<u16>,
    /// Whether what is held there is suppressed.
    suppressed: bool,
}

enum HitPlace<'a> {
    Segment { index: usize, place: Place, set: LabelSetId },
    Live { value: &'a [u8], labels: &'a [Label] },
}

/// All hits of all kinds. What can be searched of a kind that failed or is loading is searched too: a hit decides.
fn find<'a>(snapshot: &'a Snapshot, state: ListState, question: &Question<'a>, rows: usize) -> Vec<Hit<'a>> {
    let mut hits = Vec::new();
    let row_width = question.row_width();
    let mut offset = 0;
    for kind in question.kinds.iter().copied() {
        let width = kind.width();
        let mut column = Vec::new();
        let values = if question.kinds.len() == 1 {
            question.rows
        } else {
            column.reserve(rows * width);
            question
                .rows
                .chunks_exact(row_width)
                .for_each(|row| column.extend_from_slice(&row[offset..offset + width]));
            &column[..]
        };
        match kind.is_exact() {
            true => find_equal(snapshot, state, kind, values, &mut hits),
            false => {
                let radius = snapshot.search_radius(state, kind, question.radii.get(kind));
                find_near(snapshot, state, kind, values, radius, &mut hits);
            }
        }
        offset += width;
    }
    hits
}

/// Where a segment says nothing of lists in the state that is asked, it is not looked into.
fn segments_that_hold(
    snapshot: &Snapshot,
    state: ListState,
    kind: Kind,
) -> impl Iterator<Item = (usize, &EffectiveSegment)> {
    snapshot.of_kind(kind).segments.iter().enumerate().filter(move |(_, segment)| segment.holds(state))
}

fn find_equal<'a>(snapshot: &'a Snapshot, state: ListState, kind: Kind, values: &[u8], hits: &mut Vec<Hit<'a>>) {
    let mut found = Vec::new();
    let (suppressed, width) = (snapshot.suppressed(), kind.width());
    for (index, segment) in segments_that_hold(snapshot, state, kind) {
        found.clear();
        segment.view.segment.find_batch(values, &mut found);
        hits.extend(found.iter().map(|Found { row, place, set }| Hit {
            row: *row,
            kind,
            place: HitPlace::Segment { index, place: *place, set: *set },
            distance: None,
            suppressed: suppressed.contains(kind, &values[*row as usize * width..][..width]),
        }));
    }
    if let Some(live) = snapshot.live().of_kind(kind) {
        let said = values.chunks_exact(width).zip(0..);
        hits.extend(said.filter_map(|(value, row)| {
            let (value, labels) = live.find(value)?;
            let suppressed = suppressed.contains(kind, value);
            Some(Hit { row, kind, place: HitPlace::Live { value, labels }, distance: None, suppressed })
        }));
    }
}

fn find_near<'a>(
    snapshot: &'a Snapshot,
    state: ListState,
    kind: Kind,
    codes: &[u8],
    radius: Radius,
    hits: &mut Vec<Hit<'a>>,
) {
    let mut found = Vec::new();
    let suppressed = snapshot.suppressed();
    for (index, segment) in segments_that_hold(snapshot, state, kind) {
        found.clear();
        segment.view.segment.find_near(codes, radius, &mut found);
        hits.extend(found.iter().map(|FoundNear { row, place, set, distance }| Hit {
            row: *row,
            kind,
            place: HitPlace::Segment { index, place: *place, set: *set },
            distance: Some(*distance),
            suppressed: !suppressed.is_empty() && suppressed.contains(kind, segment.view.segment.code_at(*place)),
        }));
    }
    if let Some(live) = snapshot.live().of_kind(kind) {
        hits.extend(live.find_near(codes, radius).into_iter().map(|near| Hit {
            row: near.row,
            kind,
            place: HitPlace::Live { value: near.value, labels: near.labels },
            distance: Some(near.distance),
            suppressed: suppressed.contains(kind, near.value),
        }));
    }
}

/// The distinct answers of one question, each built once.
struct AnswerTable<'a> {
    snapshot: &'a Snapshot,
    /// The state of the lists that are asked.
    state: ListState,
    radii: &'a Radii,
    miss: Verdict,
    distinct: Vec<Answer>,
    numbers: HashMap<Answer, u32>,
    /// Answers of rows with a single hit by equality in a segment that nothing was withdrawn from: nearly all hits there
    /// are.
    of_sets: HashMap<(Kind, usize, LabelSetId), Option<u32>>,
}

impl<'a> AnswerTable<'a> {
    fn new(snapshot: &'a Snapshot, state: ListState, radii: &'a Radii, miss: Verdict) -> AnswerTable<'a> {
        let (numbers, of_sets) = (HashMap::new(), HashMap::new());
        AnswerTable { snapshot, state, radii, miss, distinct: Vec::new(), numbers, of_sets }
    }

    /// The number of the answer to a row with these hits; `None` if nothing they say counts.
    fn of_hits(&mut self, hits: &[Hit<'_>]) -> Option<u32> {
        if let [Hit { kind, place: HitPlace::Segment { index, set, .. }, distance: None, suppressed: false, .. }] = hits
        {
            let key = (*kind, *index, *set);
            if self.is_whole(*kind, *index) {
                if let Some(number) = self.of_sets.get(&key) {
                    return *number;
                }
                let number = self.number(hits);
                self.of_sets.insert(key, number);
                return number;
            }
        }
        self.number(hits)
    }

    fn number(&mut self, hits: &[Hit<'_>]) -> Option<u32> {
        let mut matches = Matches::default();
        let mut near: Vec<(u16, &Hit<'_>)> = Vec::new();
        // Of each label set that was met at some distance: how far its labels reach, and the least distance.
        let mut met: HashMap<(Kind, usize, LabelSetId), (Option<Radius>, u16)> = HashMap::new();
        for hit in hits {
            match (hit.distance, &hit.place) {
                (Some(distance), HitPlace::Segment { index, set, .. })
                    if !hit.suppressed && self.is_whole(hit.kind, *index) =>
                {
                    let reach = || self.reach(hit.kind, self.labels(hit.kind, &hit.place));
                    let (reach, least) = met.entry((hit.kind, *index, *set)).or_insert_with(|| (reach(), u16::MAX));
                    if reach.is_some_and(|reach| Radius(distance) <= reach) {
                        *least = (*least).min(distance);
                        near.push((distance, hit));
                    }
                }
                (distance, place) => {
                    let labels = self.labels(hit.kind, place);
                    let counts = self.take(hit.kind, distance, labels, hit.suppressed, &mut matches);
                    near.extend(distance.filter(|_| counts).map(|distance| (distance, hit)));
                }
            }
        }
        for ((kind, index, set), (_, least)) in met {
            // Nothing was withdrawn, so any place of the set says what all say.
            let place = HitPlace::Segment { index, place: Place(0), set };
            self.take(kind, Some(least), self.labels(kind, &place), false, &mut matches);
        }
        if matches.said.is_empty() && !matches.suppressed {
            return None;
        }
        let suppressed = matches.suppressed;
        let matches = matches.said.into_iter().map(|(said, distance)| Match { distance, ..said }).collect();
        let (nearest, further) = self.nearest(near);
        let answer = Answer { suppressed, nearest, further, ..Answer::of(matches, self.miss) };
        if let Some(number) = self.numbers.get(&answer) {
            return Some(*number);
        }
        let number = u32::try_from(self.distinct.len()).expect("there are no more answers than rows");
        self.distinct.push(answer.clone());
        self.numbers.insert(answer, number);
        Some(number)
    }

    /// Whether nothing was withdrawn from a segment.
    fn is_whole(&self, kind: Kind, index: usize) -> bool {
        self.kind(kind).segments[index].view.withdrawn.is_empty()
    }

    /// The labels of a place.
    fn labels<'l>(&self, kind: Kind, place: &HitPlace<'l>) -> Box<dyn Iterator<Item = &'l Label> + 'l>
    where
        'a: 'l,
    {
        match place {
            HitPlace::Live { labels, .. } => Box::new(labels.iter()),
            HitPlace::Segment { index, place, set } => {
                Box::new(self.kind(kind).segments[*index].labels_at(self.state, *place, *set))
            }
        }
    }

    /// The largest distance at which one of these labels counts; `None` if none does at any.
    fn reach<'l>(&self, kind: Kind, labels: impl Iterator<Item = &'l Label>) -> Option<Radius> {
        let asked = self.radii.get(kind);
        labels.filter_map(|label| Some(self.snapshot.resolve(self.state, label)?.0.radius(kind, asked))).max()
    }

    /// Adds the labels that count at a distance. Returns whether any does. Of what is suppressed only the built-in lists'
    /// do: nobody can make them silent.
    fn take<'l>(
        &self,
        kind: Kind,
        distance: Option<u16>,
        labels: impl Iterator<Item = &'l Label>,
        suppressed: bool,
        matches: &mut Matches,
    ) -> bool {
        let mut counts = false;
        for label in labels {
            let Some((list, role)) = self.snapshot.resolve(self.state, label) else { continue };
            let reach = list.radius(kind, self.radii.get(kind));
            if distance.is_some_and(|distance| Radius(distance) > reach) {
                continue;
            }
            if suppressed && list.shape != ListShape::BuiltIn {
                matches.suppressed = true;
                continue;
            }
            counts = true;
            let (list, category, flags) = (list.name.clone(), label.category.clone(), label.flags);
            matches.add(Match { kind, list, role, category, flags, distance: None }, distance);
        }
        counts
    }

    /// The nearest codes of a row, each once, and how many more places there are.
    fn nearest(&self, mut near: Vec<(u16, &Hit<'_>)>) -> (Vec<Neighbour>, u32) {
        // A code may stand in every segment of its kind and in the live layer: so many places hold the nearest for sure.
        let most_places = near.iter().map(|(_, hit)| self.kind(hit.kind).segments.len() + 1).max().unwrap_or(0);
        let looked_at = near.len().min(NEAREST_MAX * most_places);
        if looked_at < near.len() {
            near.select_nth_unstable_by(looked_at, |(one, hit), (other, other_hit)| {
                one.cmp(other).then_with(|| self.value(hit).cmp(self.value(other_hit)))
            });
        }
        let mut nearest: Vec<Neighbour> = near[..looked_at]
            .iter()
            .map(|(distance, hit)| Neighbour {
                distance: *distance,
                fingerprint: Fingerprint::new(hit.kind, self.value(hit)).expect("what is held has its kind's width"),
            })
            .collect();
        nearest.sort();
        nearest.dedup();
        let distinct = nearest.len();
        nearest.truncate(NEAREST_MAX);
        let further = near.len() - looked_at + distinct - nearest.len();
        (nearest, u32::try_from(further).unwrap_or(u32::MAX))
    }

    /// The code that was hit.
    fn value<'h>(&self, hit: &Hit<'h>) -> &'h [u8]
    where
        'a: 'h,
    {
        match &hit.place {
            HitPlace::Live { value, .. } => value,
            HitPlace::Segment { index, place, .. } => self.kind(hit.kind).segments[*index].view.segment.code_at(*place),
        }
    }

    fn kind(&self, kind: Kind) -> &'a KindIndex {
        self.snapshot.of_kind(kind)
    }
}

#[derive(Default)]
struct Matches {
    /// What lists say of a row, each once, with the least distance at which they say it.
    said: BTreeMap<Match, Option<u16>>,
    /// Whether they would say more, were it not suppressed.
    suppressed: bool,
}

impl Matches {
    fn add(&mut self, said: Match, distance: Option<u16>) {
        self.said.entry(said).and_modify(|least| *least = (*least).min(distance)).or_insert(distance);
    }
}
