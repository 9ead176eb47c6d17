//! Bare hex: one digest a line, blank lines and `#` comments between them. The user names the kind.

use std::io::BufRead;

use hashward::fingerprint::Kind;

use super::error::{FormatError, Refusal, Refused};
use super::lines::Lines;
use super::report::{Problem, Report};
use super::values::Values;
use super::{Parsed, Record};

pub(super) fn parse(
    input: &mut dyn BufRead,
    kind: Option<Kind>,
    mut report: Report<'_>,
) -> Result<Parsed, FormatError> {
    let kind = kind.ok_or_else(|| kind_missing("a list of bare digests"))?;
    let mut lines = Lines::new(input);
    let mut values = Values::default();
    let mut number = 0;
    while let Some(line) = lines.next()? {
        let text = line.text.map(<[u8]>::trim_ascii);
        if text.is_some_and(|text| text.is_empty() || text[0] == b'#') {
            continue;
        }
        number += 1;
        values.clear();
        match text.ok_or_else(Problem::too_long).and_then(|text| values.push_text(kind, text)) {
            Ok(()) => report.accept(&values, Record::numbered(number, Some(line.number)))?,
            Err(problem) => report.reject(number, Some(line.number), problem)?,
        }
    }
    report.finish_headless()
}

/// The refusal of a list whose values are of no declared kind. A length would not tell: 32 digits may be MD5, MD4
/// or ed2k.
pub(super) fn kind_missing(what: &str) -> Refused {
    Refused::new(
        Refusal::KindMissing,
        "the kind of the values to be declared",
        what,
        format!("say which with --kind ({})", Kind::ALL.map(Kind::name).join(", ")),
    )
}
