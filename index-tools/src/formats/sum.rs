//! Checksum text: what `md5sum`, `sha256sum` and their like print, and the BSD form of the same.
//!
//! ```text
//! d41d8cd98f00b204e9800998ecf8427e  name        GNU: the user names the kind
//! d41d8cd98f00b204e9800998ecf8427e *name        GNU, binary mode
//! \d41d8cd98f00b204e9800998ecf8427e  na\nme     a backslash in front: \\, \n and \r in the name are escapes
//! MD5 (name) = d41d8cd98f00b204e9800998ecf8427e BSD: the tag names the kind
//! ```
//!
//! Blank lines and lines starting with `#` are passed over, as `md5sum -c` does.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};
use memchr::memmem;

use super::error::FormatError;
use super::hex::kind_missing;
use super::lines::Lines;
use super::report::{Problem, Report, excerpt};
use super::values::Values;
use super::{Parsed, Record, text};

pub(super) fn parse(
    input: &mut dyn BufRead,
    kind: Option<Kind>,
    mut report: Report<'_>,
) -> Result<Parsed, FormatError> {
    let mut lines = Lines::new(input);
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut unescaped = Vec::new();
    let mut number = 0;
    while let Some(line) = lines.next()? {
        if line.text.is_some_and(|text| text.is_empty() || text[0] == b'#' || text.trim_ascii().is_empty()) {
            continue;
        }
        number += 1;
        values.clear();
        let Some(line_text) = line.text else {
            report.reject(number, Some(line.number), Problem::too_long())?;
            continue;
        };
        let (escaped, line_text) = match line_text.split_first() {
            Some((b'\\', rest)) => (true, rest),
            _ => (false, line_text),
        };
        let parts = split(line_text);
        let value_kind = match parts.tag {
            None => kind.ok_or_else(|| kind_missing(&format!("line {} without a tag", line.number)))?,
            Some(tag) => match text::kind(tag) {
                Some(kind) => kind,
                None => {
                    match foreign_tag(tag, parts.value) {
                        Ok(tag) => report.unsupported(&tag),
                        Err(problem) => report.reject(number, Some(line.number), problem)?,
                    }
                    continue;
                }
            },
        };
        if let Err(problem) = push(&mut values, value_kind, parts.value) {
            report.reject(number, Some(line.number), problem)?;
            continue;
        }
        let name = if escaped { unescape(parts.name, &mut unescaped) } else { parts.name };
        let attributes = attributes.set(&[(Attribute::Name, name)]);
        report.accept(&values, Record { attributes, ..Record::numbered(number, Some(line.number)) })?;
    }
    report.finish_headless()
}

fn push(values: &mut Values, kind: Kind, text: &[u8]) -> Result<(), Problem> {
    if text.is_empty() { Err(Problem::missing_hash("a digest")) } else { values.push_text(kind, text) }
}

/// A line's parts; all but the name are trimmed.
struct Parts<'a> {
    tag: Option<&'a [u8]>,
    value: &'a [u8],
    name: &'a [u8],
}

/// Digits in the shortest digest that anyone lists (CRC-32). What is shorter, or no hex, may be a tag.
const SHORTEST_DIGEST: usize = 8;

fn split(text: &[u8]) -> Parts<'_> {
    let token = memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len());
    let (value, rest) = text.split_at(token);
    if rest.starts_with(b" (") && !(token >= SHORTEST_DIGEST && value.iter().all(u8::is_ascii_hexdigit)) {
        let rest = &rest[2..];
        // The last `) = `, since names may hold one. Editors cut trailing blanks, so it may end the line.
        if let Some(close) = memmem::rfind(rest, b") = ") {
            return Parts { tag: Some(value), value: rest[close + 4..].trim_ascii(), name: &rest[..close] };
        }
        if let Some(name) = rest.strip_suffix(b") =") {
            return Parts { tag: Some(value), value: b"", name };
        }
    }
    // Two characters part digest and name: a blank, then a blank or `*`. Some tools write a single blank.
    let name = match rest {
        [_, b' ' | b'*', name @ ..] => name,
        [_, name @ ..] => name,
        [] => rest,
    };
    Parts { tag: None, value, name }
}

/// A tag of a kind that hashward lacks, in lower case, if tag and value look the part.
fn foreign_tag(tag: &[u8], value: &[u8]) -> Result<String, Problem> {
    /// The longest that tools print is `SHAKE256-512`-like.
    const MAX_TAG_BYTES: usize = 24;
    let is_tag = (1..=MAX_TAG_BYTES).contains(&tag.len())
        && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-/_".contains(byte));
    if !is_tag {
        return Err(Problem::new("unknown-kind", format!("expected a tag such as MD5, found `{}`", excerpt(tag))));
    }
    if value.is_empty() {
        return Err(Problem::missing_hash("a digest"));
    }
    if !value.iter().all(u8::is_ascii_hexdigit) {
        return Err(Problem::new("bad-hex", format!("expected only 0-9 and a-f, found `{}`", excerpt(value))));
    }
    Ok(String::from_utf8_lossy(tag).to_ascii_lowercase())
}

/// Undoes the escapes of a name: `\\`, `\n`, `\r`. Any other backslash stands for itself.
fn unescape<'a>(name: &[u8], unescaped: &'a mut Vec<u8>) -> &'a [u8] {
    unescaped.clear();
    let mut rest = name;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        unescaped.extend_from_slice(&rest[..at]);
        let (byte, used) = match rest.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'\\') => (b'\\', 2),
            _ => (b'\\', 1),
        };
        unescaped.push(byte);
        rest = &rest[at + used..];
    }
    unescaped.extend_from_slice(rest);
    unescaped
}
