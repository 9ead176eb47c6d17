//! What the trail records: events, as they stand in its lines.

use serde::Serialize;

use super::Permit;
use crate::access::PrincipalName;
use crate::fingerprint::Kind;
use crate::matching::{Answers, Match, Verdict};

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The daemon started.
    Started {
        /// Its version.
        version: &'a str,
        /// BLAKE3 of the config that it runs with, in hex.
        config: &'a str,
    },
    /// The daemon ended in good order.
    Stopped,
    /// It read its config again.
    ConfigRead {
        /// BLAKE3 of the config that it runs with from now on, in hex.
        config: &'a str,
    },
    /// From here on this is allowed. After `started` there is one such record for each listener and principal, after
    /// `config_read` one for each that is new or another than before.
    Allowed(&'a Permit),
    /// This is no longer allowed as it stands here.
    Revoked(&'a Permit),
    /// A line of the trail that a crash had cut short was taken back when the trail was opened.
    Recovered {
        /// Its length.
        bytes: u64,
    },
    /// A question was answered.
    Asked {
        /// Who asked.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// `lookup` or `content`.
        what: &'static str,
        /// The kinds that were asked.
        kinds: &'a [Kind],
        /// Rows, or files.
        rows: u32,
        /// The generation that answered.
        generation: u64,
        /// How many rows have which verdict.
        verdicts: Tally,
        /// Everything that matched, or a part of it.
        matched: Vec<Matched<'a>>,
        /// Whether this goes on with the record before, of the same question.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continues: bool,
    },
    /// A command that changes something, or gives out hashes, is about to be carried out.
    Ordered {
        /// Who gave it.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// The command's name.
        command: &'static str,
        /// The list that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        list: Option<&'a str>,
    },
    /// What became of it.
    CarriedOut {
        /// The number of the record that says what was ordered.
        ordered: u64,
        /// The generation after it.
        generation: u64,
        /// The sort of refusal, if it was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<&'a str>,
    },
    /// Somebody was refused for want of a right, a token or a budget; at most one record a second and principal.
    Refused {
        /// Who asked.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// How often since the last such record.
        times: u64,
        /// Why, the last time.
        because: &'a str,
    },
    /// The trail was read.
    Read {
        /// Who read it.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// The record after which was read.
        after: u64,
        /// How many records were given.
        records: u64,
    },
}

/// How many rows have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Illegal.
    pub known: u32,
    /// Illegal and harmless.
    pub conflict: u32,
    /// Harmless.
    pub ignorable: u32,
    /// Asked in full, and in no list.
    pub unknown: u32,
    /// Not decided.
    pub undecided: u32,
}

impl Tally {
    /// That of all rows of a question.
    pub fn of(answers: &Answers) -> Tally {
        let mut tally = Tally::default();
        for (_, number) in &answers.hits {
            tally.add(answers.distinct[*number as usize].verdict, 1);
        }
        tally.add(answers.miss, answers.rows - answers.hits.len() as u32);
        tally
    }

    fn add(&mut self, verdict: Verdict, rows: u32) {
        let count = match verdict {
            Verdict::Known => &mut self.known,
            Verdict::Conflict => &mut self.conflict,
            Verdict::Ignorable => &mut self.ignorable,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Undecided(_) => &mut self.undecided,
        };
        *count += rows;
    }
}

/// What matched in a question, once for all rows of which the same is said.
#[derive(Clone, Debug, Serialize)]
pub struct Matched<'a> {
    /// The verdict.
    pub verdict: &'static str,
    /// What the rows asked about, in hex, in the order of the kinds; of a file, its fingerprints. At most
    /// [`Matched::ROWS_MAX`].
    pub rows: Vec<String>,
    /// Rows beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    pub further: u32,
    /// Which lists said what.
    pub lists: Vec<ListSaid<'a>>,
}

/// What one list said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListSaid<'a> {
    /// The list.
    pub list: &'a str,
    /// What a match in it means.
    pub role: &'static str,
    /// The raw category, with its scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The kind that matched.
    pub kind: Kind,
    /// Bits in which the two differ, of a perceptual kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<u16>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> Matched<'a> {
    /// Rows of one answer that are named one by one.
    pub const ROWS_MAX: usize = 1_000;

    /// Bytes of rows and lists in one record; a line holds four times as much.
    const BYTES_MAX: usize = 256 << 10;

    /// The same in parts, none of which is too long for a record; at least one.
    pub fn in_parts(answers: &'a Answers, values: &[u8], row_bytes: usize) -> Vec<Vec<Matched<'a>>> {
        let (mut parts, mut bytes) = (vec![Vec::new()], 0);
        for matched in Matched::all(answers, values, row_bytes) {
            let size = serde_json::to_vec(&matched).map_or(0, |json| json.len());
            if bytes > 0 && bytes + size > Matched::BYTES_MAX {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            parts.last_mut().expect("there is a part").push(matched);
        }
        parts
    }

    /// What matched in the answers to packed rows of `row_bytes` each. Rows of ignorable lists alone are only counted:
    /// an operating system's files are no news.
    fn all(answers: &'a Answers, values: &[u8], row_bytes: usize) -> Vec<Matched<'a>> {
        let mut all: Vec<Option<Matched<'a>>> = answers.distinct.iter().map(Matched::of).collect();
        for (row, number) in &answers.hits {
            let Some(matched) = &mut all[*number as usize] else { continue };
            if matched.rows.len() < Matched::ROWS_MAX {
                let row = values.chunks_exact(row_bytes.max(1)).nth(*row as usize).unwrap_or_default();
                matched.rows.push(data_encoding::HEXLOWER.encode(row));
            } else {
                matched.further += 1;
            }
        }
        all.into_iter().flatten().collect()
    }

    fn of(answer: &'a crate::matching::Answer) -> Option<Matched<'a>> {
        let is_news = answer.watched || matches!(answer.verdict, Verdict::Known | Verdict::Conflict);
        let said = |found: &'a Match| ListSaid {
            list: found.list.as_str(),
            role: found.role.name(),
            category: found.category.as_ref().map(ToString::to_string),
            kind: found.kind,
            distance: found.distance,
        };
        is_news.then(|| Matched {
            verdict: answer.verdict.name(),
            rows: Vec::new(),
            further: 0,
            lists: answer.matches.iter().map(said).collect(),
        })
    }
}
