//! What a parser reports on its way: records, rejected records, and the decision that a file is no list at all.

use std::collections::HashSet;

use super::error::{FormatError, Refused};
use super::limits::{EXCERPT_CHARS, MAX_FOREIGN_KINDS, MAX_RECORD_BYTES, MAX_REJECTED_AT_START};
use super::values::Values;
use super::{Format, Parsed, Record, Rejected, Sink};

/// What is wrong with one record.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Problem {
        Problem { reason, detail: detail.into() }
    }

    pub(crate) fn missing_hash(expected: &str) -> Problem {
        Problem::new("missing-hash", format!("expected {expected}, found none"))
    }

    pub(crate) fn too_long() -> Problem {
        Problem::new("too-long", format!("expected at most {MAX_RECORD_BYTES} bytes in a record, found more"))
    }
}

/// Passes records on to the sink and keeps count.
pub(super) struct Report<'s> {
    sink: &'s mut dyn Sink,
    format: Format,
    parsed: Parsed,
    good: u64,
    first_problem: Option<(u64, String)>,
    foreign_kinds: HashSet<String>,
}

impl<'s> Report<'s> {
    pub(super) fn new(format: Format, sink: &'s mut dyn Sink) -> Report<'s> {
        Report { sink, format, parsed: Parsed::default(), good: 0, first_problem: None, foreign_kinds: HashSet::new() }
    }

    /// The format whose name messages give.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Passes on a well-formed record: `record` with `values` filled in.
    pub(super) fn accept(&mut self, values: &Values, record: Record<'_>) -> Result<(), FormatError> {
        self.parsed.records += 1;
        self.good += 1;
        Ok(values.with(|values| self.sink.record(&Record { values, ..record }))?)
    }

    /// Passes on a rejected record.
    pub(super) fn reject(&mut self, record: u64, line: Option<u64>, problem: Problem) -> Result<(), FormatError> {
        self.parsed.records += 1;
        self.parsed.rejected += 1;
        if self.good == 0 {
            if self.first_problem.is_none() {
                self.first_problem = Some((record, format!("{} ({})", problem.reason, problem.detail)));
            }
            if self.parsed.rejected == MAX_REJECTED_AT_START {
                return Err(self.nothing_good().into());
            }
        }
        Ok(self.sink.rejected(Rejected { record, line, reason: problem.reason, detail: problem.detail })?)
    }

    /// Passes on a well-formed fingerprint of a kind that hashward lacks. A hostile list invents such kinds without
    /// end, and the sink counts by name: beyond a limit they are all called `other`.
    pub(super) fn unsupported(&mut self, name: &str) {
        self.good += 1;
        let is_known = self.foreign_kinds.contains(name);
        if !is_known && self.foreign_kinds.len() < MAX_FOREIGN_KINDS {
            self.foreign_kinds.insert(name.to_owned());
        } else if !is_known {
            return self.sink.unsupported("other");
        }
        self.sink.unsupported(name);
    }

    /// The end of the file. One in which no record is well-formed is no list of this format.
    pub(super) fn finish(self) -> Result<Parsed, FormatError> {
        if self.good == 0 && self.parsed.rejected > 0 { Err(self.nothing_good().into()) } else { Ok(self.parsed) }
    }

    /// The same for formats without a header, where an empty file is no list either.
    pub(super) fn finish_headless(self) -> Result<Parsed, FormatError> {
        if self.parsed.records == 0 && self.good == 0 {
            return Err(Refused::not_a_list(self.format, self.format.shape(), "no record at all").into());
        }
        self.finish()
    }

    fn nothing_good(&self) -> Refused {
        let rejected = self.parsed.rejected;
        let found = match &self.first_problem {
            Some((record, problem)) => format!("no good record among the first {rejected}; record {record}: {problem}"),
            None => "no record at all".to_owned(),
        };
        Refused::not_a_list(self.format, self.format.shape(), found)
    }
}

/// The beginning of `bytes`, printable, for a message.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(4 * EXCERPT_CHARS)];
    let text = String::from_utf8_lossy(shown);
    let mut excerpt: String = text.chars().take(EXCERPT_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() || shown.len() < bytes.len() {
        excerpt.push('…');
    }
    excerpt
}
