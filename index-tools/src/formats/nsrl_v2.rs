//! NIST's NSRL Reference Data Set in its text form (RDS 2.x, and 1.x with its other order of columns).
//!
//! ```text
//! "SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"
//! ```
//!
//! Columns are found by the header, since versions order them differently and exports of later sets lack CRC32.
//! There is a row per file and product, so most fingerprints repeat. Names are Latin-1. A row never spans lines, so a
//! stray quote spoils one row only.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};

use super::error::{FormatError, Refused};
use super::report::{Problem, Report};
use super::table::{Fields, Quotes, Rows};
use super::values::Values;
use super::{Format, Parsed, Record};

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut rows = Rows::new(input, b',', Quotes::WithinLine);
    let columns = match rows.next()? {
        Some(row) => row.fields.ok().and_then(|fields| Columns::resolve(&fields)),
        None => None,
    };
    let columns = columns.ok_or_else(no_header)?;
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut unquoted = Vec::new();
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let line = Some(row.line);
        let read = row.fields.and_then(|fields| {
            let has_md4 = columns.read_values(&fields, &mut values, &mut unquoted)?;
            fields.read_attributes(&columns.attributes, &mut attributes, &mut unquoted);
            Ok(has_md4)
        });
        match read {
            Ok(has_md4) => {
                if has_md4 {
                    report.unsupported("md4");
                }
                if !values.is_empty() {
                    let record = Record { attributes: &attributes, ..Record::numbered(number, line) };
                    report.accept(&values, record)?;
                }
            }
            Err(problem) => report.reject(number, line, problem)?,
        }
    }
    report.finish()
}

/// Columns of attributes that a set may lack.
const ATTRIBUTES: [(Attribute, &[u8]); 3] = [
    (Attribute::Size, b"FileSize"),
    (Attribute::Product, b"ProductCode"),
    (Attribute::OperatingSystem, b"OpSystemCode"),
];

/// Which column holds what.
struct Columns {
    kinds: Vec<(Kind, usize)>,
    md4: Option<usize>,
    attributes: Vec<(Attribute, usize)>,
    count: usize,
}

impl Columns {
    fn resolve(fields: &Fields<'_>) -> Option<Columns> {
        let mut unquoted = Vec::new();
        let mut place = |header: &[u8]| {
            (0..fields.len()).find(|index| fields.get(*index, &mut unquoted).trim_ascii().eq_ignore_ascii_case(header))
        };
        let headers: [(Kind, &[u8]); 3] = [(Kind::Sha1, b"SHA-1"), (Kind::Md5, b"MD5"), (Kind::Sha256, b"SHA-256")];
        let kinds: Vec<_> = headers.into_iter().filter_map(|(kind, header)| Some((kind, place(header)?))).collect();
        let mut attributes = vec![(Attribute::Name, place(b"FileName")?)];
        attributes.extend(ATTRIBUTES.into_iter().filter_map(|(attribute, header)| Some((attribute, place(header)?))));
        let columns = Columns { kinds, md4: place(b"MD4"), attributes, count: fields.len() };
        (!columns.kinds.is_empty()).then_some(columns)
    }

    /// Reads the values; says whether there is an MD4 beside them.
    fn read_values(&self, fields: &Fields<'_>, values: &mut Values, unquoted: &mut Vec<u8>) -> Result<bool, Problem> {
        values.clear();
        if fields.len() != self.count {
            let detail = format!("expected {} columns as in the header, found {}", self.count, fields.len());
            return Err(Problem::new("wrong-columns", detail));
        }
        for (kind, place) in &self.kinds {
            let text = fields.get(*place, unquoted).trim_ascii();
            if !text.is_empty() {
                values.push_text(*kind, text)?;
            }
        }
        let has_md4 = self.md4.is_some_and(|place| is_md4(fields.get(place, unquoted)));
        if values.is_empty() && !has_md4 { Err(Problem::missing_hash("a SHA-1 or MD5")) } else { Ok(has_md4) }
    }
}

fn is_md4(text: &[u8]) -> bool {
    text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit)
}

fn no_header() -> Refused {
    Refused::not_a_list(
        Format::NsrlV2,
        "a header with \"SHA-1\" or \"MD5\" and \"FileName\"",
        "another first line (of the set's files only NSRLFile.txt holds digests)",
    )
}
