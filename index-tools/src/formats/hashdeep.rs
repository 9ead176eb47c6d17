//! hashdeep's text format.
//!
//! ```text
//! %%%% HASHDEEP-1.0
//! %%%% size,md5,sha256,filename
//! ## Invoked from: /home/user
//! ##
//! 112,ee4c…,38c8…,/samples/a, b.txt
//! ```
//!
//! Nothing is quoted: the file name comes last, and surplus commas belong to it. Outputs of several runs are often
//! put behind one another, so a header may come again, with other columns.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};

use super::error::{FormatError, Refused};
use super::lines::Lines;
use super::report::{Problem, Report, excerpt};
use super::values::Values;
use super::{Format, Parsed, Record};

const HEADER: &[u8] = b"%%%% ";
const MAGIC: &[u8] = b"HASHDEEP-1.0";

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut lines = Lines::new(input);
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut has_magic = false;
    let mut columns: Option<Vec<Column>> = None;
    let mut number = 0;
    while let Some(line) = lines.next()? {
        if let Some(header) = line.text.and_then(|text| text.strip_prefix(HEADER)) {
            let header = header.trim_ascii();
            if header == MAGIC {
                has_magic = true;
                columns = None;
                continue;
            }
            if has_magic {
                columns = Some(read_columns(header)?);
                continue;
            }
        }
        if line.text.is_some_and(|text| text.is_empty() || text.starts_with(b"##")) {
            continue;
        }
        let Some(columns) = &columns else {
            let found = format!("line {}: `{}`", line.number, excerpt(line.text.unwrap_or_default()));
            return Err(Refused::not_a_list(Format::Hashdeep, Format::Hashdeep.shape(), found).into());
        };
        number += 1;
        let line_number = Some(line.number);
        let text = line.text.ok_or_else(Problem::too_long);
        let mut foreign = Vec::new();
        match text.and_then(|text| read_row(columns, text, &mut values, &mut attributes, &mut foreign)) {
            Ok(()) => {
                foreign.iter().for_each(|kind| report.unsupported(kind));
                if !values.is_empty() {
                    let record = Record { attributes: &attributes, ..Record::numbered(number, line_number) };
                    report.accept(&values, record)?;
                }
            }
            Err(problem) => report.reject(number, line_number, problem)?,
        }
    }
    if columns.is_none() {
        let found = "the end of the file before its header is complete";
        return Err(Refused::not_a_list(Format::Hashdeep, Format::Hashdeep.shape(), found).into());
    }
    report.finish()
}

/// What a column before the file name holds.
enum Column {
    Size,
    Kind(Kind),
    /// A kind that hashward lacks.
    Foreign(String),
}

fn read_columns(header: &[u8]) -> Result<Vec<Column>, Refused> {
    let refuse = || {
        let expected = "columns such as `size,md5,sha256,filename`, with at least one kind, the file name last";
        Refused::not_a_list(Format::Hashdeep, expected, format!("`{}`", excerpt(header)))
    };
    let text = std::str::from_utf8(header).map_err(|_| refuse())?;
    let kinds = text.strip_suffix(",filename").ok_or_else(refuse)?;
    let column = |name: &str| match (name, name.parse()) {
        ("size", _) => Column::Size,
        (_, Ok(kind)) => Column::Kind(kind),
        (foreign, Err(_)) => Column::Foreign(foreign.to_owned()),
    };
    let columns: Vec<_> = kinds.split(',').map(column).collect();
    if columns.iter().all(|column| matches!(column, Column::Size)) { Err(refuse()) } else { Ok(columns) }
}

/// Reads a row's values and attributes, and the names of kinds that hashward lacks into `foreign`.
fn read_row<'c>(
    columns: &'c [Column],
    text: &[u8],
    values: &mut Values,
    attributes: &mut PackedAttributes,
    foreign: &mut Vec<&'c str>,
) -> Result<(), Problem> {
    values.clear();
    attributes.clear();
    let mut rest = text;
    for (read, column) in columns.iter().enumerate() {
        let comma = memchr::memchr(b',', rest).ok_or_else(|| {
            let detail = format!("expected {} commas before the file name, found {read}", columns.len());
            Problem::new("wrong-columns", detail)
        })?;
        let field = &rest[..comma];
        rest = &rest[comma + 1..];
        match column {
            Column::Kind(kind) if !field.is_empty() => values.push_text(*kind, field)?,
            Column::Foreign(kind) if !field.is_empty() => foreign.push(kind),
            Column::Size => attributes.push(Attribute::Size, field),
            Column::Kind(_) | Column::Foreign(_) => {}
        }
    }
    attributes.push(Attribute::Name, rest);
    if values.is_empty() && foreign.is_empty() { Err(Problem::missing_hash("a digest")) } else { Ok(()) }
}
