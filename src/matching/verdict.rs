//! Verdicts and answers: what comes back to whoever asked.

use std::fmt;

use serde::Serialize;

use crate::fingerprint::Kind;
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

/// Why something could not be asked. The discriminant is the reason's code on the wire, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    /// No active list of the operator's holds any kind that was asked.
    NoListForKind = 1,
    /// Its segments are still being verified.
    Loading = 2,
    /// Something of it cannot be read; the daemon's log and `status` name the file.
    Failed = 3,
    /// It is compared by distance, which this version cannot do.
    NotSearchable = 4,
}

impl Reason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Reason; 4] = [Reason::NoListForKind, Reason::Loading, Reason::Failed, Reason::NotSearchable];

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
            Reason::NotSearchable => "not_searchable",
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
}

/// The answer to one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// By the rules of the module.
    pub verdict: Verdict,
    /// Whether a list of role `watch` matched.
    pub watched: bool,
    /// All matches in active lists, ascending, each once.
    pub matches: Vec<Match>,
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
        Answer { verdict, watched: any(Role::Watch), matches }
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

impl Answers {
    /// The answer of each row in turn; `None` stands for [`Answers::miss`] without a match.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Answer>> {
        let mut hits = self.hits.iter().peekable();
        (0..self.rows).map(move |row| {
            let (_, number) = hits.next_if(|(hit, _)| *hit == row)?;
            Some(&self.distinct[*number as usize])
        })
    }
}
