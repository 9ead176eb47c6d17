//! Links and names of peer-to-peer networks, one a line; what each names files by decides the kind.
//!
//! ```text
//! urn:sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ              base32, or hex
//! urn:bitprint:3I42H3S6…YJ.LWPNACQDB…LNQ                  SHA-1 and Tiger tree hash of one file
//! urn:tree:tiger:LWPNACQDB…LNQ                            also `tree:tiger/:` and `tree:tiger/1024:`
//! urn:btih:77db785fe7a3ba5cfc33d586749fd0165e8c5b1f       hex, or base32
//! ed2k://|file|two%20words.jpg|2891|191D132C…3C|/         an AICH hash, part hashes and sources may follow
//! magnet:?xt=urn:sha1:…&xt=urn:tree:tiger:…&dn=name       `xt.1`, `xt.2` in magnets of several files
//! ```
//!
//! Schemes and names of hashes are of either case. Blank lines and `#` comments are passed over. Links copied out of web
//! pages are read as they come: `%7C` for `|`, `&amp;` for `&`.

use std::io::BufRead;

use hashward::fingerprint::{Encoding, Kind};
use hashward::list::{Attribute, PackedAttributes};

use super::error::FormatError;
use super::limits::MAX_VALUES;
use super::lines::Lines;
use super::report::{Problem, Report, excerpt};
use super::values::Values;
use super::{Parsed, Record, text};

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut lines = Lines::new(input);
    let mut link = Link::default();
    let mut number = 0;
    while let Some(line) = lines.next()? {
        let text = line.text.map(<[u8]>::trim_ascii);
        if text.is_some_and(|text| text.is_empty() || text[0] == b'#') {
            continue;
        }
        number += 1;
        match text.ok_or_else(Problem::too_long).and_then(|text| link.read(text)) {
            Ok(()) => {
                link.foreign.iter().for_each(|kind| report.unsupported(kind));
                if !link.values.is_empty() {
                    let attributes = &link.attributes;
                    report
                        .accept(&link.values, Record { attributes, ..Record::numbered(number, Some(line.number)) })?;
                }
            }
            Err(problem) => report.reject(number, Some(line.number), problem)?,
        }
    }
    report.finish_headless()
}

/// Whether `line` starts as a link or name that is read here.
pub(super) fn is_link(line: &[u8]) -> bool {
    const STARTS: [&str; 10] = [
        "magnet:?",
        "ed2k://|",
        "ed2k://%7c",
        "urn:sha1:",
        "urn:bitprint:",
        "urn:tree:tiger",
        "urn:ttroot:",
        "urn:btih:",
        "urn:ed2k:",
        "urn:ed2khash:",
    ];
    STARTS.iter().any(|start| after(line, start).is_some())
}

/// What one line says, in buffers that are used again for the next.
#[derive(Default)]
struct Link {
    values: Values,
    /// Kinds that hashward lacks.
    foreign: Vec<String>,
    attributes: PackedAttributes,
    unescaped: Vec<u8>,
}

impl Link {
    fn read(&mut self, link: &[u8]) -> Result<(), Problem> {
        self.values.clear();
        self.foreign.clear();
        self.attributes.clear();
        if let Some(parameters) = after(link, "magnet:?") {
            self.read_magnet(parameters)
        } else if let Some(fields) = after(link, "ed2k://") {
            self.read_ed2k(fields)
        } else if after(link, "urn:").is_some() {
            self.read_urn(link)
        } else {
            Err(bad_link("`magnet:?…`, `ed2k://|file|…` or `urn:…`", link))
        }
    }

    fn read_magnet(&mut self, parameters: &[u8]) -> Result<(), Problem> {
        for parameter in parameters.split(|byte| *byte == b'&') {
            let parameter = parameter.strip_prefix(b"amp;").unwrap_or(parameter);
            let Some(equals) = memchr::memchr(b'=', parameter) else { continue };
            let (key, value) = (&parameter[..equals], &parameter[equals + 1..]);
            // Several of a sort may be numbered: `xt.1`.
            let key = &key[..memchr::memchr(b'.', key).unwrap_or(key.len())];
            if key.eq_ignore_ascii_case(b"xt") {
                let mut urn = std::mem::take(&mut self.unescaped);
                unescape(value, Plus::IsItself, &mut urn);
                let read = self.read_urn(&urn);
                self.unescaped = urn;
                read?;
            } else if key.eq_ignore_ascii_case(b"dn") {
                self.push_name(value, Plus::IsBlank);
            } else if key.eq_ignore_ascii_case(b"xl") {
                self.attributes.push(Attribute::Size, value);
            }
        }
        if self.values.is_empty() && self.foreign.is_empty() {
            return Err(Problem::missing_hash("an `xt=urn:…`"));
        }
        Ok(())
    }

    fn read_ed2k(&mut self, fields: &[u8]) -> Result<(), Problem> {
        let bar: &[u8] = if after(fields, "%7c").is_some() { &fields[..3] } else { b"|" };
        let mut rest = fields;
        let mut next = || {
            let end = memchr::memmem::find(rest, bar);
            let field = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(b"", |end| &rest[end + bar.len()..]);
            field
        };
        let (before, what, name, size, hash) = (next(), next(), next(), next(), next());
        if !before.is_empty() || !what.eq_ignore_ascii_case(b"file") {
            return Err(bad_link("`ed2k://|file|NAME|SIZE|HASH|/`", fields));
        }
        // A name that holds a bar moves all that follows, so that something else stands where the hash should.
        if size.is_empty() || !size.iter().all(u8::is_ascii_digit) {
            return Err(bad_link("a size in bytes after the name", size));
        }
        self.push_name(name, Plus::IsItself);
        self.attributes.push(Attribute::Size, size);
        self.push(Kind::Ed2k, hash)
    }

    fn push_name(&mut self, escaped: &[u8], plus: Plus) {
        unescape(escaped, plus, &mut self.unescaped);
        self.attributes.push(Attribute::Name, &self.unescaped);
    }

    fn read_urn(&mut self, urn: &[u8]) -> Result<(), Problem> {
        let malformed = || bad_link("`urn:NAME:VALUE`", urn);
        let rest = after(urn, "urn:").ok_or_else(malformed)?;
        let colon = memchr::memchr(b':', rest).ok_or_else(malformed)?;
        let (name, value) = (&rest[..colon], &rest[colon + 1..]);
        if name.eq_ignore_ascii_case(b"bitprint") {
            let dot = memchr::memchr(b'.', value)
                .ok_or_else(|| Problem::missing_hash("a SHA-1, a dot and a Tiger tree hash"))?;
            self.push(Kind::Sha1, &value[..dot])?;
            self.push(Kind::Tth, &value[dot + 1..])
        } else if let Some(value) = tiger_tree(name, value) {
            self.push(Kind::Tth, value)
        } else if name.eq_ignore_ascii_case(b"ed2khash") {
            self.push(Kind::Ed2k, value)
        } else if let Some(kind) = text::kind(name) {
            self.push(kind, value)
        } else {
            self.push_foreign(name, value)
        }
    }

    fn push(&mut self, kind: Kind, value: &[u8]) -> Result<(), Problem> {
        if value.is_empty() {
            return Err(Problem::missing_hash("a digest"));
        }
        // The two differ in length. What is neither is measured by what is usual.
        let is_base32_usual = matches!(kind, Kind::Sha1 | Kind::Tth | Kind::Btih);
        let is_hex = value.len() == 2 * kind.width();
        let is_base32 = value.len() == (8 * kind.width()).div_ceil(5);
        let encoding = if !is_hex && (is_base32 || is_base32_usual) { Encoding::Base32 } else { Encoding::Hex };
        self.values.push_encoded(kind, encoding, value)
    }

    /// Keeps the name of a kind that hashward lacks, if name and value look the part (RFC 8141).
    fn push_foreign(&mut self, name: &[u8], value: &[u8]) -> Result<(), Problem> {
        const MAX_NAME_BYTES: usize = 32;
        let is_name = (2..=MAX_NAME_BYTES).contains(&name.len())
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if !is_name || value.is_empty() || !value.iter().all(u8::is_ascii_graphic) {
            return Err(bad_link("the name of a hash and its value in a URN", name));
        }
        if self.foreign.len() == MAX_VALUES {
            let detail = format!("expected at most {MAX_VALUES} in one link, found more");
            return Err(Problem::new("too-many-values", detail));
        }
        self.foreign.push(String::from_utf8_lossy(name).to_ascii_lowercase());
        Ok(())
    }
}

/// The root in `urn:tree:tiger:…` and its spellings. Trees with other leaves have other roots.
fn tiger_tree<'a>(name: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    if name.eq_ignore_ascii_case(b"ttroot") {
        return Some(value);
    }
    let tree = if name.eq_ignore_ascii_case(b"tree") { after(value, "tiger")? } else { return None };
    ["/1024:", "/:", ":"].iter().find_map(|leaves| after(tree, leaves))
}

/// What follows `start`, which is in lower case and may stand in either.
fn after<'a>(text: &'a [u8], start: &str) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start.as_bytes()).then_some(rest)
}

fn bad_link(expected: &str, found: &[u8]) -> Problem {
    Problem::new("bad-link", format!("expected {expected}, found `{}`", excerpt(found)))
}

/// What `+` means: magnets are written as forms are, with blanks as `+`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsBlank,
    IsItself,
}

/// Undoes percent escapes into `unescaped`. A `%` without two hex digits stands for itself.
fn unescape(text: &[u8], plus: Plus, unescaped: &mut Vec<u8>) {
    unescaped.clear();
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut at = 0;
    while at < text.len() {
        let (byte, used) = match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) if plus == Plus::IsBlank => (b' ', 1),
            (byte, ..) => (byte, 1),
        };
        unescaped.push(byte);
        at += used;
    }
}
