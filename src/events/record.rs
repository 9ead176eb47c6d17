//! A record of the journal, which holds the events of one question or of a part of it, and the events that it becomes.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ListSaid, Matched, NearCode};
use crate::access::PrincipalName;
use crate::fingerprint::{Fingerprint, Kind};
use crate::journal::{JournalError, JournalLine};

/// A question in which something matched.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asked.
    pub by: &'a PrincipalName,
    /// `lookup` or `content`.
    pub what: &'static str,
    /// The kinds of a row's values, in their order.
    pub kinds: &'a [Kind],
    /// The generation that answered.
    pub generation: u64,
}

/// See the module's documentation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Record<'a> {
    Question(Question<'a>),
    Missing(Missing),
}

/// The events of a question, or of a part of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question<'a> {
    /// The number of the first event; the others follow.
    first: u64,
    by: Cow<'a, str>,
    what: Cow<'a, str>,
    kinds: Cow<'a, [Kind]>,
    generation: u64,
    matched: Vec<Matched<'a>>,
}

/// That the events of questions are missing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Missing {
    /// The number of what stands in their place.
    first: u64,
    /// How many questions.
    missing: u64,
}

/// What one number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "nearly all are matches")]
pub enum EventLine<'a> {
    /// A match.
    #[serde(borrow)]
    Match(MatchEvent<'a>),
    /// Matches of which no more is known.
    Missing(MissingMatches),
}

/// Since the event before, questions with matches were answered whose events could not be recorded, as the config allows.
/// It stands in their place, with a number of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingMatches {
    /// Its number.
    pub seq: u64,
    /// When events could be recorded again, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// How many questions; each had at least one match.
    pub missing: u64,
}

/// A file of which something is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatchEvent<'a> {
    /// Its number: where to go on reading after it has been dealt with.
    pub seq: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// Who asked.
    #[schema(value_type = String)]
    pub by: Cow<'a, str>,
    /// `lookup` if hashes were sent, `content` if the file was.
    #[schema(value_type = String)]
    pub what: Cow<'a, str>,
    /// The generation that answered.
    pub generation: u64,
    /// The file's verdict: `known` and `conflict` are matches, any other comes with `watched` or `shadow`.
    #[schema(value_type = String)]
    pub verdict: Cow<'a, str>,
    /// Of `undecided`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<Cow<'a, str>>,
    /// Whether a list of role `watch` matched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watched: bool,
    /// Whether something matched besides that the operator has suppressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suppressed: bool,
    /// The file: all fingerprints that were asked, as `md5:00…`.
    pub file: Vec<Fingerprint>,
    /// Which lists said what.
    #[schema(value_type = Vec<ListSaid>)]
    pub matches: Cow<'a, [ListSaid<'a>]>,
    /// Their codes that matched by distance, nearest first; with the right `detail`.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schema(value_type = Vec<NearCode>)]
    pub nearest: Cow<'a, [NearCode]>,
    /// Which lists in shadow would have said what. It decided nothing.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schema(value_type = Vec<ListSaid>)]
    pub shadow: Cow<'a, [ListSaid<'a>]>,
    /// Their codes that matched by distance, nearest first; with the right `detail`.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schema(value_type = Vec<NearCode>)]
    pub shadow_nearest: Cow<'a, [NearCode]>,
}

fn is_empty<T: Clone>(of: &[T]) -> bool {
    of.is_empty()
}

impl<'a> Record<'a> {
    pub(super) fn new(first: u64, asked: &Asked<'a>, matched: Vec<Matched<'a>>) -> Record<'a> {
        let Asked { by, what, kinds, generation } = *asked;
        let (by, what, kinds) = (Cow::from(by.as_str()), Cow::from(what), Cow::from(kinds));
        Record::Question(Question { first, by, what, kinds, generation, matched })
    }

    /// That the events of so many questions are missing.
    pub(super) fn missing(first: u64, missing: u64) -> Record<'a> {
        Record::Missing(Missing { first, missing })
    }

    /// The number of the first event.
    pub(super) fn first(&self) -> u64 {
        match self {
            Record::Question(question) => question.first,
            Record::Missing(missing) => missing.first,
        }
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> u64 {
        match self {
            Record::Question(question) => {
                let events: usize = question.matched.iter().map(|matched| matched.rows.len()).sum();
                question.first.saturating_add(events as u64).saturating_sub(1)
            }
            Record::Missing(missing) => missing.first,
        }
    }

    /// The record in a line of the journal in `folder`.
    pub(super) fn parse(line: &JournalLine, folder: &Path) -> Result<Record<'static>, JournalError> {
        let question = serde_json::from_str(&line.record).map(Record::Question);
        let record = question.or_else(|error| match serde_json::from_str(&line.record) {
            Ok(missing) => Ok(Record::Missing(missing)),
            Err(_) => Err(error),
        });
        record.map_err(|error| {
            let found = format!("expected the events of a question, found {error}");
            JournalError::Broken { path: folder.to_owned(), seq: line.seq, found }
        })
    }

    /// The event with this number, at the time `at_ms`; without the codes of lists, where `detail` is false.
    pub(super) fn event(&self, seq: u64, at_ms: u64, detail: bool) -> Option<EventLine<'_>> {
        match self {
            Record::Question(question) => question.event(seq, at_ms, detail).map(EventLine::Match),
            Record::Missing(Missing { first, missing }) => {
                let missing = MissingMatches { seq, at: at_ms, missing: *missing };
                (seq == *first).then_some(EventLine::Missing(missing))
            }
        }
    }
}

impl Question<'_> {
    fn event(&self, seq: u64, at_ms: u64, detail: bool) -> Option<MatchEvent<'_>> {
        let mut row = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let matched = self.matched.iter().find(|matched| {
            let is_here = row < matched.rows.len();
            row -= if is_here { 0 } else { matched.rows.len() };
            is_here
        })?;
        Some(MatchEvent {
            seq,
            at: at_ms,
            by: (&*self.by).into(),
            what: (&*self.what).into(),
            generation: self.generation,
            verdict: (&*matched.verdict).into(),
            reason: matched.reason.as_deref().map(Cow::from),
            watched: matched.watched,
            suppressed: matched.suppressed,
            file: fingerprints(&self.kinds, &matched.rows[row]),
            matches: (&matched.lists).into(),
            nearest: if detail { (&matched.nearest).into() } else { Cow::default() },
            shadow: (&matched.shadow).into(),
            shadow_nearest: if detail { (&matched.shadow_nearest).into() } else { Cow::default() },
        })
    }
}

/// The fingerprints in a row of a record, each once.
fn fingerprints(kinds: &[Kind], row: &str) -> Vec<Fingerprint> {
    let values = data_encoding::HEXLOWER.decode(row.as_bytes()).unwrap_or_default();
    let mut rest = &values[..];
    let mut found: Vec<Fingerprint> = Vec::new();
    for kind in kinds.iter().cycle() {
        let Some((value, after)) = rest.split_at_checked(kind.width()).filter(|_| !rest.is_empty()) else { break };
        let fingerprint = Fingerprint::new(*kind, value).expect("cut to the kind's width");
        if !found.contains(&fingerprint) {
            found.push(fingerprint);
        }
        rest = after;
    }
    found
}
