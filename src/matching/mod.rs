//! Question → verdict, on one snapshot. Pure: no I/O, no clock.
//!
//! Only labels of active lists decide. One with role illegal: `known`; illegal and ignorable: `conflict`; ignorable
//! only: `ignorable`. Otherwise `unknown`, unless something applicable could not be asked: then `undecided`. `watch`
//! never changes a verdict. Nothing that failed is ever read as "unknown": see [`Answers::miss`].

mod verdict;

pub use verdict::{Answer, Answers, Match, Reason, Verdict};

use std::collections::HashMap;

use crate::fingerprint::Kind;
use crate::index::sealed::{Found, Place};
use crate::index::snapshot::{KindIndex, KindState, Snapshot};
use crate::list::{Label, Role};
use crate::segment::LabelSetId;

/// Files to ask about: each row holds one value of each kind, concatenated in the order of `kinds`.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The kinds of a row's values, each at most once.
    pub kinds: &'a [Kind],
    /// Packed rows of [`Question::row_width`] bytes.
    pub rows: &'a [u8],
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
    let mut hits = find(snapshot, question, rows as usize);
    if question.kinds.len() > 1 || hits.windows(2).any(|pair| pair[0].row > pair[1].row) {
        hits.sort_by_key(|hit| hit.row);
    }
    let mut answers = AnswerTable::new(snapshot, miss);
    let hits = hits
        .chunk_by(|a, b| a.row == b.row)
        .filter_map(|of_row| Some((of_row[0].row, answers.of_hits(of_row)?)))
        .collect();
    Ok(Answers { generation: snapshot.generation(), rows, checked, incomplete, miss, distinct: answers.distinct, hits })
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
            KindState::Ready if !kind.is_exact() => incomplete.push((*kind, Reason::NotSearchable)),
            KindState::Ready => checked.push(*kind),
        }
    }
    (checked, incomplete)
}

/// One place where something is said of a row's value.
struct Hit<'a> {
    row: u32,
    kind: Kind,
    place: HitPlace<'a>,
}

enum HitPlace<'a> {
    Segment { index: usize, place: Place, set: LabelSetId },
    Live(&'a [Label]),
}

/// All hits of all kinds. What can be searched of a kind that failed or is loading is searched too: a hit decides.
fn find<'a>(snapshot: &'a Snapshot, question: &Question<'_>, rows: usize) -> Vec<Hit<'a>> {
    let (mut hits, mut found, mut column) = (Vec::new(), Vec::new(), Vec::new());
    let row_width = question.row_width();
    let mut offset = 0;
    for kind in question.kinds.iter().copied() {
        let width = kind.width();
        let values = if question.kinds.len() == 1 {
            question.rows
        } else {
            column.clear();
            column.reserve(rows * width);
            question
                .rows
                .chunks_exact(row_width)
                .for_each(|row| column.extend_from_slice(&row[offset..offset + width]));
            &column[..]
        };
        for (index, segment) in snapshot.of_kind(kind).segments.iter().enumerate() {
            found.clear();
            segment.view.segment.find_batch(values, &mut found);
            let hit = |Found { row, place, set }: &Found| Hit {
                row: *row,
                kind,
                place: HitPlace::Segment { index, place: *place, set: *set },
            };
            hits.extend(found.iter().map(hit));
        }
        if let Some(live) = snapshot.live().of_kind(kind) {
            let said = values.chunks_exact(width).zip(0..).filter_map(|(value, row)| Some((row, live.find(value)?)));
            hits.extend(said.map(|(row, labels)| Hit { row, kind, place: HitPlace::Live(labels) }));
        }
        offset += width;
    }
    hits
}

/// The distinct answers of one question, each built once.
struct AnswerTable<'a> {
    snapshot: &'a Snapshot,
    miss: Verdict,
    distinct: Vec<Answer>,
    numbers: HashMap<Answer, u32>,
    /// Answers of rows with a single hit in a segment that nothing was withdrawn from: nearly all hits there are.
    of_sets: HashMap<(Kind, usize, LabelSetId), Option<u32>>,
}

impl<'a> AnswerTable<'a> {
    fn new(snapshot: &'a Snapshot, miss: Verdict) -> AnswerTable<'a> {
        AnswerTable { snapshot, miss, distinct: Vec::new(), numbers: HashMap::new(), of_sets: HashMap::new() }
    }

    /// The number of the answer to a row with these hits; `None` if nothing they say counts.
    fn of_hits(&mut self, hits: &[Hit<'_>]) -> Option<u32> {
        if let [Hit { kind, place: HitPlace::Segment { index, set, .. }, .. }] = hits {
            let key = (*kind, *index, *set);
            if self.kind(*kind).segments[*index].view.withdrawn.is_empty() {
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
        let mut matches: Vec<Match> = Vec::new();
        for hit in hits {
            match &hit.place {
                HitPlace::Live(labels) => matches.extend(labels.iter().filter_map(|label| self.one(hit.kind, label))),
                HitPlace::Segment { index, place, set } => {
                    let labels = self.kind(hit.kind).segments[*index].labels_at(*place, *set);
                    matches.extend(labels.filter_map(|label| self.one(hit.kind, label)));
                }
            }
        }
        if matches.is_empty() {
            return None;
        }
        matches.sort();
        matches.dedup();
        let answer = Answer::of(matches, self.miss);
        if let Some(number) = self.numbers.get(&answer) {
            return Some(*number);
        }
        let number = u32::try_from(self.distinct.len()).expect("there are no more answers than rows");
        self.distinct.push(answer.clone());
        self.numbers.insert(answer, number);
        Some(number)
    }

    fn one(&self, kind: Kind, label: &Label) -> Option<Match> {
        let (list, role): (_, Role) = self.snapshot.resolve(label)?;
        Some(Match { kind, list: list.name.clone(), role, category: label.category.clone(), flags: label.flags })
    }

    fn kind(&self, kind: Kind) -> &'a KindIndex {
        self.snapshot.of_kind(kind)
    }
}
