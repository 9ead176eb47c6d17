//! Answers as JSON objects: the same over HTTP and on the command line.

use serde::Serialize;
use utoipa::ToSchema;

use crate::fingerprint::Kind;
use crate::list::Flags;
use crate::matching::{Answer, Answers, Match, Neighbour, Reason};

/// What is said of one row.
#[derive(Serialize, ToSchema)]
#[schema(as = Answer)]
pub(crate) struct AnswerObject<'a> {
    #[schema(value_type = VerdictName)]
    verdict: &'static str,
    /// Of `undecided`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Whether a list of role `watch` matched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    watched: bool,
    /// Whether something matched that the operator has suppressed; it decided nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suppressed: bool,
    /// What matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matches: Vec<MatchObject<'a>>,
    /// The codes that matched by distance, nearest first; with the right `detail`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest: Vec<NeighbourObject>,
    /// How many more places of lists hold a code that matched by distance.
    #[serde(skip_serializing_if = "is_zero")]
    further: u32,
}

/// What a question comes to. Nothing but `unknown` means that nobody knows the file.
#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the names of verdicts")]
enum VerdictName {
    Known,
    Conflict,
    Ignorable,
    Unknown,
    Undecided,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> AnswerObject<'a> {
    /// The answer to one row; `None` is one without a match.
    pub(crate) fn new(answers: &Answers, answer: Option<&'a Answer>) -> AnswerObject<'a> {
        let verdict = answer.map_or(answers.miss, |answer| answer.verdict);
        let matches = answer.map(|answer| answer.matches.iter().map(MatchObject::new).collect());
        let nearest = answer.map(|answer| answer.nearest.iter().map(NeighbourObject::new).collect());
        AnswerObject {
            verdict: verdict.name(),
            reason: verdict.reason(),
            watched: answer.is_some_and(|answer| answer.watched),
            suppressed: answer.is_some_and(|answer| answer.suppressed),
            matches: matches.unwrap_or_default(),
            nearest: nearest.unwrap_or_default(),
            further: answer.map_or(0, |answer| answer.further),
        }
    }
}

/// What one list says.
#[derive(Serialize, ToSchema)]
#[schema(as = Match)]
pub(crate) struct MatchObject<'a> {
    /// The list's name.
    list: &'a str,
    /// What the match means.
    #[schema(value_type = crate::list::Role)]
    role: &'static str,
    /// The issuer's raw category code.
    category: Option<&'a str>,
    /// Whose code it is.
    scheme: Option<&'a str>,
    /// What else the issuer says.
    flags: Flags,
    /// The kind of fingerprint that matched.
    kind: Kind,
    /// Of a perceptual kind, in bits; with the right `detail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<u16>,
}

impl MatchObject<'_> {
    pub(crate) fn new(found: &Match) -> MatchObject<'_> {
        MatchObject {
            list: found.list.as_str(),
            role: found.role.name(),
            category: found.category.as_ref().map(|category| &*category.code),
            scheme: found.category.as_ref().and_then(|category| category.scheme.as_deref()),
            flags: found.flags,
            kind: found.kind,
            distance: found.distance,
        }
    }
}

/// A code of a list near to the one asked about.
#[derive(Serialize, ToSchema)]
#[schema(as = Neighbour)]
pub(crate) struct NeighbourObject {
    /// The kind.
    kind: Kind,
    /// The code, in hex.
    hash: String,
    /// Bits in which they differ.
    distance: u16,
}

impl NeighbourObject {
    pub(crate) fn new(near: &Neighbour) -> NeighbourObject {
        NeighbourObject { kind: near.fingerprint.kind(), hash: near.fingerprint.to_hex(), distance: near.distance }
    }
}

/// A kind that applies and could not be asked in full.
#[derive(Serialize, ToSchema)]
#[schema(as = Incomplete)]
pub(crate) struct IncompleteObject {
    /// The kind.
    kind: Kind,
    /// Why.
    reason: Reason,
}

impl IncompleteObject {
    /// All of a question.
    pub(crate) fn all(answers: &Answers) -> Vec<IncompleteObject> {
        let one = |(kind, reason): &(Kind, Reason)| IncompleteObject { kind: *kind, reason: *reason };
        answers.incomplete.iter().map(one).collect()
    }
}
