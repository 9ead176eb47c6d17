//! What the trail records: events, as they stand in its lines.

use serde::Serialize;

use super::Permit;
use crate::access::PrincipalName;
use crate::events::Matched;
use crate::fingerprint::Kind;
use crate::matching::{Answers, Verdict};

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
        /// What is recorded.
        records: Recorded,
    },
    /// The daemon ended in good order.
    Stopped,
    /// It read its config again.
    ConfigRead {
        /// BLAKE3 of the config that it runs with from now on, in hex.
        config: &'a str,
        /// What is recorded from now on.
        records: Recorded,
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
    /// Since the record before, questions were answered that are not in the trail: it could not be written then.
    Missing {
        /// How many.
        questions: u64,
    },
    /// A question was answered.
    Asked {
        /// Who asked.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// `lookup` or `content`.
        what: &'static str,
        /// The kinds of a row's values, in their order.
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
        /// Why, one of the times.
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
    /// Match events were read.
    EventsRead {
        /// Who read them.
        by: &'a PrincipalName,
        /// From where.
        from: String,
        /// The event after which was read.
        after: u64,
        /// How many were given.
        events: u64,
    },
}

/// What a config has recorded: else whoever turns it off is not seen doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Whether questions are, in the trail.
    pub questions: bool,
    /// Whether matches are, as events.
    pub matches: bool,
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

/// Rows of one answer that the trail names one by one. The match events name all.
const ROWS_MAX: usize = 1_000;

/// What the trail says of what matched, in parts that each fit a record; at least one. Codes of lists are not in it.
pub fn told_in_parts(matched: Vec<Matched<'_>>) -> Vec<Vec<Matched<'_>>> {
    let told = matched.into_iter().map(|mut matched| {
        matched.further = matched.rows.len().saturating_sub(ROWS_MAX) as u32;
        matched.rows.truncate(ROWS_MAX);
        Matched { nearest: Vec::new(), shadow_nearest: Vec::new(), ..matched }
    });
    let parts = Matched::in_parts(told);
    if parts.is_empty() { vec![Vec::new()] } else { parts }
}
