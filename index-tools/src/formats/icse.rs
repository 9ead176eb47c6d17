//! The table in which INTERPOL's ICSE database exports hashes.
//!
//! ```text
//! MD5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified;Series name;…;Media Type;Baseline
//! 71bb…;4fea…;/hpl…;50000;Y;N;Y;;…;video;Y
//! ```
//!
//! Columns are found by the header. Rows are ragged: what a short one lacks is not said, and what a long one has
//! beyond the header is passed over, since values stand at the beginning. Flags are Y and N or true and false, and
//! change from export to export. `Baseline` says whether the medium is in the international baseline, and so is
//! the category: raw, with the column's name as scheme, for the importer to say what it means.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, Flag, Flags, PackedAttributes};

use super::error::{FormatError, Refused};
use super::report::{Problem, Report, excerpt};
use super::table::{Fields, Quotes, Rows};
use super::values::Values;
use super::{Format, Parsed, Record, text};

/// The column that holds the category, and the scheme of the categories it gives.
const BASELINE: &str = "Baseline";

/// Columns of attributes.
const ATTRIBUTES: [(&str, Attribute); 4] = [
    ("Image ID", Attribute::MediaId),
    ("Series name", Attribute::Series),
    ("Number of submissions", Attribute::Submissions),
    ("Media Type", Attribute::MediaType),
];

/// Columns that mean what a flag means.
const FLAGS: [(&str, Flag); 3] = [
    ("Is distributed", Flag::Distributed),
    ("Victim identified", Flag::VictimIdentified),
    ("Offender identified", Flag::OffenderIdentified),
];

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut rows = Rows::new(input, b';', Quotes::AcrossLines);
    let columns = match rows.next()? {
        Some(row) => {
            let fields = row.fields.map_err(|problem| no_header(problem.detail))?;
            Columns::resolve(&fields)?
        }
        None => return Err(no_header("an empty file").into()),
    };
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let (mut unquoted, mut category, mut decoded) = (Vec::new(), Vec::new(), String::new());
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let line = Some(row.line);
        let read = row.fields.and_then(|fields| {
            columns.read_values(&fields, &mut values, &mut unquoted)?;
            let flags = columns.read_flags(&fields, &mut unquoted)?;
            fields.read_attributes(&columns.attributes, &mut attributes, &mut unquoted);
            let code = columns.baseline.map_or(&b""[..], |place| fields.get(place, &mut category).trim_ascii());
            Ok((flags, text::code(BASELINE, code, &mut decoded)?))
        });
        match read {
            Ok((flags, category)) => {
                let (scheme, attributes) = (category.map(|_| BASELINE), &attributes);
                let record = Record { scheme, category, flags, attributes, ..Record::numbered(number, line) };
                report.accept(&values, record)?;
            }
            Err(problem) => report.reject(number, line, problem)?,
        }
    }
    report.finish()
}

/// Which column holds what.
struct Columns {
    kinds: Vec<(Kind, usize)>,
    flags: Vec<(&'static str, Flag, usize)>,
    baseline: Option<usize>,
    attributes: Vec<(Attribute, usize)>,
}

impl Columns {
    fn resolve(fields: &Fields<'_>) -> Result<Columns, Refused> {
        let mut columns = Columns { kinds: Vec::new(), flags: Vec::new(), baseline: None, attributes: Vec::new() };
        let mut unquoted = Vec::new();
        for place in 0..fields.len() {
            let header = fields.get(place, &mut unquoted).trim_ascii();
            let is = |name: &str| header.eq_ignore_ascii_case(name.as_bytes());
            // Of two columns for one thing, neither can be trusted.
            let is_new = if let Some(kind) = text::kind(header) {
                let is_new = columns.kinds.iter().all(|(other, _)| *other != kind);
                columns.kinds.push((kind, place));
                is_new
            } else if let Some((name, flag)) = FLAGS.into_iter().find(|(name, _)| is(name)) {
                let is_new = columns.flags.iter().all(|(_, other, _)| *other != flag);
                columns.flags.push((name, flag, place));
                is_new
            } else if is(BASELINE) {
                columns.baseline.replace(place).is_none()
            } else if let Some((_, attribute)) = ATTRIBUTES.into_iter().find(|(name, _)| is(name)) {
                // Nothing is decided by it.
                columns.attributes.push((attribute, place));
                true
            } else {
                true
            };
            if !is_new {
                return Err(no_header(format!("two columns `{}`", excerpt(header))));
            }
        }
        let says_more = !columns.flags.is_empty() || columns.baseline.is_some();
        if says_more && !columns.kinds.is_empty() { Ok(columns) } else { Err(no_header("another first line")) }
    }

    fn read_values(&self, fields: &Fields<'_>, values: &mut Values, unquoted: &mut Vec<u8>) -> Result<(), Problem> {
        values.clear();
        for (kind, place) in &self.kinds {
            let text = fields.get(*place, unquoted).trim_ascii();
            if !text.is_empty() {
                values.push_text(*kind, text)?;
            }
        }
        if values.is_empty() { Err(Problem::missing_hash("an MD5, SHA1 or PhotoDNA")) } else { Ok(()) }
    }

    fn read_flags(&self, fields: &Fields<'_>, unquoted: &mut Vec<u8>) -> Result<Flags, Problem> {
        let mut flags = Flags::NONE;
        for (name, flag, place) in &self.flags {
            let text = fields.get(*place, unquoted).trim_ascii();
            if is_one_of(text, &["y", "yes", "true", "1"]) {
                flags = flags.with(*flag, true);
            } else if !is_one_of(text, &["", "n", "no", "false", "0"]) {
                let detail = format!("expected Y, N, true or false for {name}, found `{}`", excerpt(text));
                return Err(Problem::new("bad-flag", detail));
            }
        }
        Ok(flags)
    }
}

/// Whether a table under `header` is such an export, for [`super::detect`]: semicolons alone say little.
pub(super) fn is_header(header: &[u8]) -> bool {
    let mut input = header;
    let mut rows = Rows::new(&mut input, b';', Quotes::WithinLine);
    let row = rows.next().ok().flatten();
    row.and_then(|row| row.fields.ok()).is_some_and(|fields| Columns::resolve(&fields).is_ok())
}

fn is_one_of(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

fn no_header(found: impl Into<String>) -> Refused {
    let expected = "a header `MD5;SHA1;PhotoDNA;Image ID;Is distributed;…;Baseline`, each column once";
    Refused::not_a_list(Format::Icse, expected, found)
}
