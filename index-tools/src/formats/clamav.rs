//! ClamAV's databases of file hashes: `.hdb` and `.hsb`, and `.hdu`, `.hsu`, `.fp`, `.sfp`, which are written alike.
//!
//! ```text
//! 44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature
//! 3395856ce81f2b7382dee72602f798b642f14140:*:Eicar-Test-Signature:73
//! ```
//!
//! `hash:size:name[:min[:max]]`, where min and max are levels of the engine, and the size may be `*`. ClamAV takes the
//! kind from the hash's length: there, and only there, does the length declare it. In `.mdb` and `.msb` files the size
//! comes first, and the hashes are of sections of programs; nothing of them is read.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};

use super::error::FormatError;
use super::lines::Lines;
use super::report::{Problem, Report, excerpt};
use super::values::Values;
use super::{Parsed, Record};

/// Fields of a line: hash, size and name are a must, the engine's levels are not.
const FIELDS: std::ops::RangeInclusive<usize> = 3..=5;

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut lines = Lines::new(input);
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut number = 0;
    while let Some(line) = lines.next()? {
        let text = line.text.map(<[u8]>::trim_ascii);
        if text.is_some_and(|text| text.is_empty() || text.starts_with(b"#")) {
            continue;
        }
        number += 1;
        let line_number = Some(line.number);
        match text.ok_or_else(Problem::too_long).and_then(|text| read_line(text, &mut values)) {
            Ok((name, size)) => {
                let attributes = attributes.set(&[(Attribute::Name, name), (Attribute::Size, size)]);
                report.accept(&values, Record { attributes, ..Record::numbered(number, line_number) })?;
            }
            Err(problem) => report.reject(number, line_number, problem)?,
        }
    }
    report.finish_headless()
}

/// Whether `line` is a well-formed record.
pub(super) fn is_record(line: &[u8]) -> bool {
    read_line(line.trim_ascii(), &mut Values::default()).is_ok()
}

/// Reads a line's value; returns the signature's name, and the size, empty where any will do.
fn read_line<'a>(line: &'a [u8], values: &mut Values) -> Result<(&'a [u8], &'a [u8]), Problem> {
    values.clear();
    let mut fields = line.split(|byte| *byte == b':');
    let mut field = || fields.next().unwrap_or_default();
    let (hash, size, name, min, max) = (field(), field(), field(), field(), field());
    let count = memchr::memchr_iter(b':', line).count() + 1;
    if !FIELDS.contains(&count) {
        let detail = format!("expected hash:size:name[:min[:max]], found {count} fields in `{}`", excerpt(line));
        return Err(Problem::new("wrong-columns", detail));
    }
    let kind = match hash.len() {
        0 => return Err(Problem::missing_hash("a hash before the first colon")),
        32 => Kind::Md5,
        40 => Kind::Sha1,
        64 => Kind::Sha256,
        length => {
            let detail = format!("expected 32, 40 or 64 hex digits (MD5, SHA-1 or SHA-256), found {length} bytes");
            return Err(Problem::new("wrong-length", detail));
        }
    };
    values.push_text(kind, hash)?;
    if size != b"*" && !is_number(size) {
        return Err(Problem::new("bad-size", format!("expected a size or *, found `{}`", excerpt(size))));
    }
    if name.is_empty() {
        return Err(Problem::new("missing-name", "expected a name behind the size, found none"));
    }
    // `::51` leaves the lower level open.
    for level in [min, max] {
        if !level.is_empty() && !is_number(level) {
            let detail = format!("expected a number as the engine's level, found `{}`", excerpt(level));
            return Err(Problem::new("bad-level", detail));
        }
    }
    Ok((name, size.strip_prefix(b"*").unwrap_or(size)))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
