//! What matched in a question, as the match events and the audit trail write it down: once for all rows of which the same
//! is said.

use std::borrow::Cow;
use std::collections::HashMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fingerprint::{Fingerprint, Kind};
use crate::index::snapshot::Snapshot;
use crate::list::{Category, Flags, ListShape, Role, VersionNumber};
use crate::matching::{Answer, Answers, Match, Reason, Shadow, Verdict};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched<'a> {
    /// The verdict.
    pub verdict: Cow<'a, str>,
    /// Of `undecided`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// Whether an active list of role `watch` matched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watched: bool,
    /// Whether something matched besides that the operator has suppressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suppressed: bool,
    /// What the rows asked about, in hex: the values of the question's kinds, one after the other; of a picture that was
    /// asked about in all its variants, all of them.
    pub rows: Vec<String>,
    /// Rows beyond those; only in the trail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub further: u32,
    /// Which lists said what.
    pub lists: Vec<ListSaid<'a>>,
    /// Their codes that matched by distance, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<NearCode>,
    /// Which lists in shadow would have said what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ListSaid<'a>>,
    /// Their codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_nearest: Vec<NearCode>,
}

/// What one list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListSaid<'a> {
    /// The list.
    #[schema(value_type = String)]
    pub list: Cow<'a, str>,
    /// Of a list that is replaced as a whole: the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// What a match in it means: `illegal`, `ignorable` or `watch`.
    pub role: Role,
    /// The raw category, with its scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// What else the issuer says.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// The kind that matched.
    pub kind: Kind,
    /// Bits in which the two differ, of a perceptual kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<u16>,
}

/// A code of a list that matched by distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NearCode {
    /// The code.
    pub fingerprint: Fingerprint,
    /// Bits in which the two differ.
    pub distance: u16,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> Matched<'a> {
    /// Codes that are named of one answer.
    const NEAREST_MAX: usize = 16;

    /// Bytes of rows and lists in one record; a line holds four times as much.
    const BYTES_MAX: usize = 256 << 10;

    /// What matched in the answers to packed `values`, the same number for each row. Rows of which ignorable lists alone
    /// know, be they active or in shadow, are left out: an operating system's files are no news. So is what only
    /// suppressed lists know: whoever suppressed it wants no word of it.
    pub fn all(
        snapshot: &'a Snapshot,
        values: &[u8],
        answers: &'a Answers,
        shadow: Option<&'a Shadow>,
    ) -> Vec<Matched<'a>> {
        let row_bytes = (values.len() / (answers.rows as usize).max(1)).max(1);
        let mut all =
            Grouped { snapshot, answers, shadow, matched: Vec::new(), places: Vec::new(), pairs: HashMap::new() };
        let mut hits = answers.hits.iter().peekable();
        let mut in_shadow = shadow.map(|Shadow(found)| &found.hits[..]).unwrap_or_default().iter().peekable();
        loop {
            let row = match (hits.peek(), in_shadow.peek()) {
                (None, None) => break,
                (Some((row, _)), None) | (None, Some((row, _))) => *row,
                (Some((row, _)), Some((other, _))) => *row.min(other),
            };
            let answer = hits.next_if(|(hit, _)| *hit == row).map(|(_, number)| *number);
            let shadowed = in_shadow.next_if(|(hit, _)| *hit == row).map(|(_, number)| *number);
            if let Some(matched) = all.place(answer, shadowed) {
                let value = values.chunks_exact(row_bytes).nth(row as usize).unwrap_or_default();
                matched.rows.push(HEXLOWER.encode(value));
            }
        }
        all.matched
    }

    /// The same in parts, none of which is too long for a record.
    pub fn in_parts(all: impl IntoIterator<Item = Matched<'a>>) -> Vec<Vec<Matched<'a>>> {
        let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        for mut matched in all {
            let rows = std::mem::take(&mut matched.rows);
            let head = serde_json::to_vec(&matched).map_or(0, |json| json.len());
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let mut taken = Vec::new();
                let mut with = bytes + head;
                while let Some(row) = rows.next_if(|row| taken.is_empty() || with + row.len() < Matched::BYTES_MAX) {
                    with += row.len() + 3;
                    taken.push(row);
                }
                if with > Matched::BYTES_MAX && bytes > 0 {
                    parts.push(std::mem::take(&mut part));
                    with -= bytes;
                }
                bytes = with;
                let further = if rows.peek().is_none() { matched.further } else { 0 };
                part.push(Matched { rows: taken, further, ..matched.clone() });
            }
        }
        if !part.is_empty() {
            parts.push(part);
        }
        parts
    }

    fn of(
        snapshot: &'a Snapshot,
        miss: Verdict,
        answer: Option<&'a Answer>,
        shadow: Option<&'a Answer>,
    ) -> Option<Self> {
        let is_news = |found: &Answer| found.watched || matches!(found.verdict, Verdict::Known | Verdict::Conflict);
        if !answer.is_some_and(is_news) && !shadow.is_some_and(is_news) {
            return None;
        }
        let said = |found: Option<&'a Answer>| {
            let matches = found.map(|found| &found.matches[..]).unwrap_or_default();
            matches.iter().map(|found| ListSaid::new(snapshot, found)).collect()
        };
        let verdict = answer.map_or(miss, |answer| answer.verdict);
        Some(Matched {
            verdict: verdict.name().into(),
            reason: verdict.reason().map(Reason::name).map(Cow::from),
            watched: answer.is_some_and(|answer| answer.watched),
            suppressed: answer.is_some_and(|answer| answer.suppressed),
            rows: Vec::new(),
            further: 0,
            lists: said(answer),
            nearest: NearCode::all(answer),
            shadow: said(shadow),
            shadow_nearest: NearCode::all(shadow),
        })
    }
}

impl<'a> ListSaid<'a> {
    fn new(snapshot: &Snapshot, found: &'a Match) -> ListSaid<'a> {
        let list = snapshot.lists().iter().find(|list| list.name == found.list);
        ListSaid {
            list: found.list.as_str().into(),
            version: list.filter(|list| list.shape == ListShape::File).map(|list| list.current),
            role: found.role,
            category: found.category.clone(),
            flags: found.flags,
            kind: found.kind,
            distance: found.distance,
        }
    }
}

impl NearCode {
    fn all(answer: Option<&Answer>) -> Vec<NearCode> {
        let nearest = answer.map(|answer| &answer.nearest[..]).unwrap_or_default().iter().take(Matched::NEAREST_MAX);
        nearest.map(|near| NearCode { fingerprint: near.fingerprint.clone(), distance: near.distance }).collect()
    }
}

/// What matched so far, and where the next row of the same belongs.
struct Grouped<'a> {
    snapshot: &'a Snapshot,
    answers: &'a Answers,
    shadow: Option<&'a Shadow>,
    matched: Vec<Matched<'a>>,
    /// By the number of the answer, of rows that nothing in shadow matched.
    places: Vec<Option<Place>>,
    /// By the numbers of both.
    pairs: HashMap<(Option<u32>, u32), Place>,
}

/// Where what matched stands; `None` if it is no news.
type Place = Option<usize>;

impl<'a> Grouped<'a> {
    /// Where a row of these answers belongs, if that is news.
    fn place(&mut self, answer: Option<u32>, shadowed: Option<u32>) -> Option<&mut Matched<'a>> {
        let known = match (answer, shadowed) {
            (_, Some(shadowed)) => self.pairs.get(&(answer, shadowed)).copied(),
            (Some(answer), None) => self.places.get(answer as usize).copied().flatten(),
            (None, None) => Some(None),
        };
        let place = known.unwrap_or_else(|| self.make(answer, shadowed));
        place.map(|place| &mut self.matched[place])
    }

    fn make(&mut self, answer: Option<u32>, shadowed: Option<u32>) -> Place {
        let of = |answers: &'a Answers, number: u32| &answers.distinct[number as usize];
        let said = answer.map(|number| of(self.answers, number));
        let in_shadow = self.shadow.zip(shadowed).map(|(Shadow(found), number)| of(found, number));
        let matched = Matched::of(self.snapshot, self.answers.miss, said, in_shadow);
        let place = matched.map(|matched| {
            self.matched.push(matched);
            self.matched.len() - 1
        });
        match (answer, shadowed) {
            (_, Some(shadowed)) => drop(self.pairs.insert((answer, shadowed), place)),
            (Some(answer), None) => {
                self.places.resize(self.answers.distinct.len(), None);
                self.places[answer as usize] = Some(place);
            }
            (None, None) => {}
        }
        place
    }
}
