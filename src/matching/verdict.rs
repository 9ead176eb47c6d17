//! Verdicts and answers: what comes back to whoever asked.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::fingerprint::{Fingerprint, Kind};
use crate::list::{Category, Flags, ListName, Role};

/// What hashward says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// An active list says it is illegal.
    Known,
    /// One active list says illegal, another ignorable: a person must look.
    Conflict,
    /// Active lists say it is harmless, and none says illegal.
    Ignorable,
    /// All that applies was asked, and no list decides.
    Unknown,
    /// Something that applies could not be asked. Never to be read as [`Verdict::Unknown`].
    Undecided(Reason),
}

impl Verdict {
    /// The verdict's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Known => "known",
            Verdict::Conflict => "conflict",
            Verdict::Ignorable => "ignorable",
            Verdict::Unknown => "unknown",
            Verdict::Undecided(_) => "undecided",
        }
    }

    /// Why nothing could be decided.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Verdict::Undecided(reason) => Some(reason),
            _ => None,
        }
    }
}

/// `known`, or `undecided(loading)`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            None => f.pad(self.name()),
            Some(reason) => f.pad(&format!("{}({})", self.name(), reason.name())),
        }
    }
}

/// Why something could not be asked. The discriminant is the reason's code on the wire, and never changes; 4 was one of
/// an earlier version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    /// No active list of the operator's holds any kind that was asked.
    NoListForKind = 1,
    /// Its segments are still being verified.
    Loading = 2,
    /// Something of it cannot be read; the daemon's log and `status` name the file.
    Failed = 3,
    /// The picture has too little structure for its perceptual hash to mean anything.
    LowQuality = 5,
    /// The picture cannot be decoded: it is damaged, or of a form that its format does not explain.
    NotDecoded = 6,
    /// The file exceeds a limit of pixels, bytes or memory.
    TooLarge = 7,
    /// The process that decoded the picture crashed, or was killed for what it tried to do.
    WorkerFailed = 8,
    /// The picture was not decoded in the time that one may take.
    TimedOut = 9,
    /// There was no process to decode the picture now.
    NoWorker = 10,
}

impl Reason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Reason; 9] = [
        Reason::NoListForKind,
        Reason::Loading,
        Reason::Failed,
        Reason::LowQuality,
        Reason::NotDecoded,
        Reason::TooLarge,
        Reason::WorkerFailed,
        Reason::TimedOut,
        Reason::NoWorker,
    ];

    /// The reason with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| *reason as u8 == code)
    }

    /// The reason's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::NoListForKind => "no_list_for_kind",
            Reason::Loading => "loading",
            Reason::Failed => "failed",
            Reason::LowQuality => "low_quality",
            Reason::NotDecoded => "not_decoded",
            Reason::TooLarge => "too_large",
            Reason::WorkerFailed => "worker_failed",
            Reason::TimedOut => "timed_out",
            Reason::NoWorker => "no_worker",
        }
    }
}

/// What one list says, as an answer tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// The kind that matched.
    pub kind: Kind,
    /// The list.
    pub list: ListName,
    /// What the match means.
    pub role: Role,
    /// The issuer's raw category with its scheme.
    pub category: Option<Category>,
    /// What else the issuer says.
    pub flags: Flags,
    /// Of a perceptual kind, the least distance at which the list says it, in bits; `None` of an exact kind, and for
    /// those who may not see it.
    pub distance: Option<u16>,
}

/// The most codes that an answer names.
pub const NEAREST_MAX: usize = 100;

/// A code of a list that lies near to a row's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour {
    /// Bits in which they differ.
    pub distance: u16,
    /// The code.
    pub fingerprint: Fingerprint,
}

/// The answer to one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// By the rules of the module.
    pub verdict: Verdict,
    /// Whether a list of role `watch` matched.
    pub watched: bool,
    /// Whether something matched that the operator has suppressed. It stands in none of the fields below, and decided
    /// nothing.
    pub suppressed: bool,
    /// All matches in active lists, ascending, each once.
    pub matches: Vec<Match>,
    /// The codes that matched by distance, nearest first, at most [`NEAREST_MAX`].
    pub nearest: Vec<Neighbour>,
    /// How many more places of lists hold a code that matched by distance.
    pub further: u32,
}

impl Answer {
    /// The answer that `matches` make. Where none of them decides, `miss` is the verdict.
    pub fn of(matches: Vec<Match>, miss: Verdict) -> Answer {
        let any = |role| matches.iter().any(|found| found.role == role);
        let verdict = match (any(Role::Illegal), any(Role::Ignorable)) {
            (true, true) => Verdict::Conflict,
            (true, false) => Verdict::Known,
            (false, true) => Verdict::Ignorable,
            (false, false) => miss,
        };
        let watched = any(Role::Watch);
        Answer { verdict, watched, suppressed: false, matches, nearest: Vec::new(), further: 0 }
    }

    /// Whether anything stands in it that only those may see who may see details.
    fn has_detail(&self) -> bool {
        !self.nearest.is_empty() || self.further > 0 || self.matches.iter().any(|found| found.distance.is_some())
    }

    fn without_detail(mut self) -> Answer {
        self.matches.iter_mut().for_each(|found| found.distance = None);
        Answer { nearest: Vec::new(), further: 0, ..self }
    }

    /// Takes in what another row says of the same file: another variant of its picture.
    fn join(&mut self, other: Answer, miss: Verdict) {
        let same = |one: &Match, other: &Match| {
            (one.kind, &one.list, one.role, &one.category, one.flags)
                == (other.kind, &other.list, other.role, &other.category, other.flags)
        };
        let mut matches = std::mem::take(&mut self.matches);
        matches.extend(other.matches);
        matches.sort();
        // The distance is what a match is sorted by last, so that the least stays.
        matches.dedup_by(|later, earlier| same(later, earlier));
        let mut nearest = std::mem::take(&mut self.nearest);
        nearest.extend(other.nearest);
        nearest.sort();
        let mut seen = HashSet::new();
        nearest.retain(|near| seen.insert(near.fingerprint.clone()));
        let beyond = nearest.len().saturating_sub(NEAREST_MAX) as u32;
        let further = self.further.saturating_add(other.further).saturating_add(beyond);
        nearest.truncate(NEAREST_MAX);
        let suppressed = self.suppressed || other.suppressed;
        *self = Answer { suppressed, nearest, further, ..Answer::of(matches, miss) };
    }
}

/// The answers to all rows of one question, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The generation that answered.
    pub generation: u64,
    /// How many rows were asked.
    pub rows: u32,
    /// The kinds that were asked in full.
    pub checked: Vec<Kind>,
    /// The kinds that apply and could not be asked in full, and why.
    pub incomplete: Vec<(Kind, Reason)>,
    /// The verdict of every row that is not in `hits`.
    pub miss: Verdict,
    /// Each answer that some row has, once.
    pub distinct: Vec<Answer>,
    /// (row, its place in `distinct`), ascending by row.
    pub hits: Vec<(u32, u32)>,
}

/// What the lists in shadow would say of the rows of a question, were they active and no other list. It is a type of its
/// own so that nothing which encodes answers can take it for one: it is recorded, and never told to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow(pub Answers);

impl Answers {
    /// Notes that kinds which apply to every row could not be asked: what is not decided otherwise is undecided.
    pub fn lack(&mut self, kinds: impl IntoIterator<Item = (Kind, Reason)>) {
        let miss_before = self.miss;
        for (kind, reason) in kinds {
            self.incomplete.push((kind, reason));
            if matches!(self.miss, Verdict::Unknown | Verdict::Undecided(Reason::NoListForKind)) {
                self.miss = Verdict::Undecided(reason);
            }
        }
        let undecided = self.distinct.iter_mut().filter(|answer| answer.verdict == miss_before);
        undecided.for_each(|answer| answer.verdict = self.miss);
    }

    /// Whether this verdict on a row stands, whatever would have come of what could not be asked: what is known stays so,
    /// while harmless is only what was asked in full.
    pub fn stands(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Known | Verdict::Conflict => true,
            Verdict::Ignorable | Verdict::Unknown => self.incomplete.is_empty(),
            Verdict::Undecided(_) => false,
        }
    }

    /// The answers to some of the rows, numbered from 0.
    pub fn part(&self, rows: Range<u32>) -> Answers {
        let start = self.hits.partition_point(|(row, _)| *row < rows.start);
        let end = self.hits.partition_point(|(row, _)| *row < rows.end);
        let (mut distinct, mut hits) = (Vec::new(), Vec::new());
        let mut places: HashMap<u32, u32> = HashMap::new();
        for (row, number) in &self.hits[start..end] {
            let place = *places.entry(*number).or_insert_with(|| {
                distinct.push(self.distinct[*number as usize].clone());
                distinct.len() as u32 - 1
            });
            hits.push((row - rows.start, place));
        }
        let Answers { generation, miss, checked, incomplete, .. } = self;
        let (generation, miss) = (*generation, *miss);
        let (checked, incomplete) = (checked.clone(), incomplete.clone());
        Answers { generation, rows: rows.end - rows.start, checked, incomplete, miss, distinct, hits }
    }

    /// Makes one row of all: they are variants of one file, and what any of them matches, the file does.
    pub fn into_one(mut self) -> Answers {
        let mut numbers: Vec<u32> = self.hits.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut said = numbers.into_iter().map(|number| self.distinct[number as usize].clone());
        let one = said.next().map(|first| {
            said.fold(first, |mut one, other| {
                one.join(other, self.miss);
                one
            })
        });
        self.hits = one.iter().map(|_| (0, 0)).collect();
        self.distinct = one.into_iter().collect();
        self.rows = self.rows.min(1);
        self
    }

    /// Takes out what only those may see who may see details: distances, and the codes of lists. Answers that differ in
    /// these alone become one: who sees which rows share an answer would see which lie as far from a code as others.
    pub fn without_detail(mut self) -> Answers {
        if !self.distinct.iter().any(Answer::has_detail) {
            return self;
        }
        let mut numbers: HashMap<Answer, u32> = HashMap::new();
        let mut distinct = Vec::new();
        let mut places = Vec::with_capacity(self.distinct.len());
        for answer in std::mem::take(&mut self.distinct) {
            let answer = answer.without_detail();
            let next = distinct.len() as u32;
            let place = *numbers.entry(answer.clone()).or_insert(next);
            if place == next {
                distinct.push(answer);
            }
            places.push(place);
        }
        self.hits.iter_mut().for_each(|(_, number)| *number = places[*number as usize]);
        Answers { distinct, ..self }
    }

    /// The answer of each row in turn; `None` stands for [`Answers::miss`] without a match.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Answer>> {
        let mut hits = self.hits.iter().peekable();
        (0..self.rows).map(move |row| {
            let (_, number) = hits.next_if(|(hit, _)| *hit == row)?;
            Some(&self.distinct[*number as usize])
        })
    }
}
