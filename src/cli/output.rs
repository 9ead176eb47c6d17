//! Answers as people and programs read them: one line each, in the order of the questions.

use std::borrow::Cow;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::fingerprint::{Encoding, Kind};
use crate::list::{Category, Flags, Role};
use crate::matching::{Answer, Answers, Match};
use crate::server::json::{IncompleteObject, MatchObject, NeighbourObject};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// Tab-separated columns
    Tsv,
    /// One JSON object a line
    Json,
}

/// Standard output was closed by whoever read it.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct Closed;

/// Standard output, buffered.
pub(super) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(super) fn new() -> Output {
        Output(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    pub(super) fn line(&mut self, line: &str) -> Result<()> {
        self.0.write_all(line.as_bytes()).and_then(|()| self.0.write_all(b"\n")).map_err(closed)
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Closed.into() } else { error.into() }
}

/// What was asked about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A hash as it was given; its kind where that is known.
    Query(&'a str, Option<Kind>),
    /// A file.
    File(&'a Path),
}

impl Subject<'_> {
    /// Printable on one line.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Subject::Query(query, _) => printable(Cow::Borrowed(*query)),
            Subject::File(path) => printable(path.to_string_lossy()),
        }
    }

    /// The columns of TSV before the verdict.
    fn columns(&self) -> String {
        match self {
            Subject::Query(_, kind) => format!("{}\t{}", self.text(), kind.map_or("", Kind::name)),
            Subject::File(_) => self.text().into_owned(),
        }
    }

    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Subject::Query(query, kind) => {
                map.serialize_entry("query", query)?;
                kind.map_or(Ok(()), |kind| map.serialize_entry("kind", &kind))
            }
            Subject::File(path) => serialize_path(map, path),
        }
    }
}

/// `"file"`, and for a name that is not UTF-8 its true bytes beside, as `"file_hex"`.
pub(super) fn serialize_path<M: SerializeMap>(map: &mut M, path: &Path) -> Result<(), M::Error> {
    map.serialize_entry("file", &path.to_string_lossy())?;
    match path.to_str() {
        Some(_) => Ok(()),
        None => map.serialize_entry("file_hex", &Encoding::Hex.encode(path.as_os_str().as_bytes())),
    }
}

/// Control characters and backslashes escaped, so that a name stays on its line and in its column.
pub(super) fn printable(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() || c == '\\') {
        return text;
    }
    let escaped = |c: char| if c.is_control() || c == '\\' { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Writes the answer to one row; `None` is a row without a hit.
pub(super) fn write_answer(
    output: &mut Output,
    format: Format,
    subject: Subject<'_>,
    answers: &Answers,
    answer: Option<&Answer>,
) -> Result<()> {
    let miss = Answer::of(Vec::new(), answers.miss);
    let answer = answer.unwrap_or(&miss);
    match format {
        Format::Json => output.json(&AnswerLine { subject, answers, answer }),
        Format::Tsv => output.line(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            subject.columns(),
            answer.verdict.name(),
            answer.verdict.reason().map_or("", |reason| reason.name()),
            besides(answer, ","),
            names(&answers.checked, ","),
            matches_text(&answer.matches),
        )),
        Format::Text => {
            let mut line = format!("{:<10} {}", answer.verdict.name(), subject.text());
            if let Some(reason) = answer.verdict.reason() {
                line += &format!("  ({})", reason.name());
            }
            if !answer.matches.is_empty() {
                line += &format!("  [{}]", matches_text(&answer.matches));
            }
            if answer.suppressed {
                line += "  (suppressed)";
            }
            if answer.verdict.reason().is_none() && !answers.incomplete.is_empty() && !answer.matches.is_empty() {
                let kinds: Vec<Kind> = answers.incomplete.iter().map(|(kind, _)| *kind).collect();
                line += &format!("  (not asked: {})", names(&kinds, ", "));
            }
            output.line(&line)
        }
    }
}

/// Writes why there is no answer, where the answer would stand.
pub(super) fn write_error(output: &mut Output, format: Format, subject: Subject<'_>, error: &str) -> Result<()> {
    let printed = printable(Cow::Borrowed(error));
    match format {
        Format::Json => output.json(&ErrorLine { subject, error }),
        Format::Tsv => output.line(&format!("{}\terror\t{printed}\t\t\t", subject.columns())),
        Format::Text => output.line(&format!("{:<10} {}  ({printed})", "error", subject.text())),
    }
}

/// What an answer says beside its verdict: whether it is watched, and whether something that matched is suppressed.
fn besides(answer: &Answer, separator: &str) -> String {
    let said = [(answer.watched, "watched"), (answer.suppressed, "suppressed")];
    said.into_iter().filter(|(said, _)| *said).map(|(_, word)| word).collect::<Vec<_>>().join(separator)
}

fn names(kinds: &[Kind], separator: &str) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(separator)
}

/// What a list says, as text.
pub(super) struct SaidText<'a> {
    pub(super) list: &'a str,
    pub(super) role: Role,
    pub(super) category: Option<&'a Category>,
    pub(super) flags: Flags,
    pub(super) kind: Kind,
    pub(super) distance: Option<u16>,
}

/// `list=role(SCHEME:CODE)`, its flags, and `kind~bits` of a match by distance, one after the other.
pub(super) fn said_text<'a>(said: impl IntoIterator<Item = SaidText<'a>>) -> String {
    let one = |SaidText { list, role, category, flags, kind, distance }: SaidText<'_>| {
        let mut text = format!("{list}={role}");
        if let Some(category) = category {
            text += &format!("({})", printable(Cow::Owned(category.to_string())));
        }
        flags.names().iter().for_each(|flag| text += &format!("+{flag}"));
        if let Some(distance) = distance {
            text += &format!(" {kind}~{distance}");
        }
        text
    };
    let mut all: Vec<String> = said.into_iter().map(one).collect();
    // One list often matches by several kinds alike.
    all.sort();
    all.dedup();
    all.join("; ")
}

fn matches_text(matches: &[Match]) -> String {
    said_text(matches.iter().map(|found| SaidText {
        list: found.list.as_str(),
        role: found.role,
        category: found.category.as_ref(),
        flags: found.flags,
        kind: found.kind,
        distance: found.distance,
    }))
}

struct AnswerLine<'a> {
    subject: Subject<'a>,
    answers: &'a Answers,
    answer: &'a Answer,
}

impl Serialize for AnswerLine<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.subject.serialize_into(&mut map)?;
        map.serialize_entry("verdict", self.answer.verdict.name())?;
        if let Some(reason) = self.answer.verdict.reason() {
            map.serialize_entry("reason", &reason)?;
        }
        if self.answer.watched {
            map.serialize_entry("watched", &true)?;
        }
        if self.answer.suppressed {
            map.serialize_entry("suppressed", &true)?;
        }
        map.serialize_entry("checked", &self.answers.checked)?;
        if !self.answers.incomplete.is_empty() {
            map.serialize_entry("incomplete", &IncompleteObject::all(self.answers))?;
        }
        map.serialize_entry("matches", &self.answer.matches.iter().map(MatchObject::new).collect::<Vec<_>>())?;
        if !self.answer.nearest.is_empty() {
            let nearest = self.answer.nearest.iter().map(NeighbourObject::new);
            map.serialize_entry("nearest", &nearest.collect::<Vec<_>>())?;
            map.serialize_entry("further", &self.answer.further)?;
        }
        map.serialize_entry("generation", &self.answers.generation)?;
        map.end()
    }
}

struct ErrorLine<'a> {
    subject: Subject<'a>,
    error: &'a str,
}

impl Serialize for ErrorLine<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.subject.serialize_into(&mut map)?;
        map.serialize_entry("error", self.error)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Category, Flag, Flags, Role};
    use crate::matching::{Reason, Verdict};

    #[test]
    fn an_answer_has_the_documented_shape() {
        let found = Match {
            kind: Kind::Md5,
            list: "own".parse().unwrap(),
            role: Role::Illegal,
            category: Some(Category::new(Some("US"), "1")),
            flags: Flags::NONE.with(Flag::Distributed, true),
            distance: None,
        };
        let answer = Answer { watched: true, suppressed: true, ..Answer::of(vec![found], Verdict::Unknown) };
        let answers = Answers {
            generation: 3,
            rows: 1,
            checked: vec![Kind::Md5],
            incomplete: vec![(Kind::Sha1, Reason::Failed)],
            miss: Verdict::Unknown,
            distinct: vec![],
            hits: vec![],
        };
        let line = AnswerLine { subject: Subject::Query("00", Some(Kind::Md5)), answers: &answers, answer: &answer };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"query":"00","kind":"md5","verdict":"known","watched":true,"suppressed":true,"checked":["md5"],"incomplete":[{"kind":"sha1","reason":"failed"}],"matches":[{"list":"own","role":"illegal","category":"1","scheme":"US","flags":["distributed"],"kind":"md5"}],"generation":3}"#
        );
        assert_eq!(matches_text(&answer.matches), "own=illegal(US:1)+distributed");
        assert_eq!(besides(&answer, ","), "watched,suppressed");
    }

    #[test]
    fn names_stay_on_their_line() {
        assert_eq!(printable("a\tb\n\\ü".into()), "a\\tb\\n\\\\ü");
        let path = Path::new(std::ffi::OsStr::from_bytes(b"x\xFF"));
        let line = serde_json::to_string(&ErrorLine { subject: Subject::File(path), error: "e" }).unwrap();
        assert_eq!(line, "{\"file\":\"x\u{FFFD}\",\"file_hex\":\"78ff\",\"error\":\"e\"}");
    }
}
