//! One line of a journal: how it is written, linked, and read again.

use std::fmt;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Head, JournalError};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The longest line, its end included.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// What tells these links from other uses of BLAKE3.
const CONTEXT: &str = "hashward journal 1: link";

/// What comes of it, which is a third of the work for a line.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CONTEXT));

/// What stands between a line's body and its link.
const LINK_MARK: &[u8] = b",\"link\":\"";

/// A record's link: a digest of it and of all before it. Written in hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link(pub [u8; blake3::OUT_LEN]);

impl Link {
    /// What stands before the first record.
    pub const ROOT: Link = Link([0; blake3::OUT_LEN]);

    /// The link of the line whose body is `body`, after `self`.
    fn next(&self, body: &[u8]) -> Link {
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT_KEY);
        Link(*hasher.update(&self.0).update(body).finalize().as_bytes())
    }

    /// The link in hex.
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// Reads what [`Link::to_hex`] wrote.
    pub fn from_hex(hex: &[u8]) -> Option<Link> {
        Some(Link(data_encoding::HEXLOWER.decode(hex).ok()?.try_into().ok()?))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Link, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Link::from_hex(hex.as_bytes()).ok_or_else(|| serde::de::Error::custom("expected 64 hex digits"))
    }
}

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHead {
    pub(super) journal: String,
    pub(super) version: u32,
    pub(super) first: u64,
    pub(super) before: Link,
}

pub(super) fn parse_head(line: &[u8]) -> Result<FileHead, String> {
    serde_json::from_slice(line).map_err(|error| format!("expected the head of a file: {error}"))
}

/// One record as it stands in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// Its number.
    pub seq: u64,
    /// When it was written, in milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// What was recorded, as JSON.
    pub record: Box<str>,
    /// Its link.
    pub link: Link,
}

/// A line's body as JSON, closed again.
#[derive(Deserialize)]
struct Body<'a> {
    seq: u64,
    at: u64,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Appends the line of the record after `head` to `out`. Returns the head that it makes.
pub(super) fn write(out: &mut Vec<u8>, head: Head, at_ms: u64, record: &impl Serialize) -> Result<Head, JournalError> {
    let (start, seq) = (out.len(), head.seq + 1);
    out.extend_from_slice(format!("{{\"seq\":{seq},\"at\":{at_ms},\"record\":").as_bytes());
    serde_json::to_writer(&mut *out, record).expect("records are plain data with text keys");
    let link = head.link.next(&out[start..]);
    out.extend_from_slice(LINK_MARK);
    out.extend_from_slice(link.to_hex().as_bytes());
    out.extend_from_slice(b"\"}\n");
    let bytes = out.len() - start;
    if bytes > LINE_BYTES_MAX {
        out.truncate(start);
        return Err(JournalError::TooLong(bytes));
    }
    Ok(Head { seq, link })
}

/// Reads the line of the record after `head`, given without its end. The error says what was expected and found.
pub(super) fn read(line: &[u8], head: Head) -> Result<JournalLine, String> {
    let expected = head.seq + 1;
    let (body, link) = split(line).ok_or("expected a line that ends with its link")?;
    if head.link.next(body) != link {
        return Err("its link does not follow from it and the record before".to_owned());
    }
    let mut closed = body.to_vec();
    closed.push(b'}');
    let Body { seq, at, record } = serde_json::from_slice(&closed).map_err(|error| error.to_string())?;
    if seq != expected {
        return Err(format!("expected number {expected}, found {seq}"));
    }
    Ok(JournalLine { seq, at_ms: at, record: record.get().into(), link })
}

/// A line's body and its link.
fn split(line: &[u8]) -> Option<(&[u8], Link)> {
    let line = line.strip_suffix(b"\"}")?;
    let (rest, hex) = line.split_at_checked(line.len().checked_sub(2 * blake3::OUT_LEN)?)?;
    Some((rest.strip_suffix(LINK_MARK)?, Link::from_hex(hex)?))
}

/// Bytes of a line's end from the mark before its link on.
pub(super) const END_BYTES: usize = LINK_MARK.len() + 2 * blake3::OUT_LEN + b"\"}\n".len();

/// The link in the last [`END_BYTES`] of a line.
pub(super) fn link_in_end(end: &[u8]) -> Option<Link> {
    split(end.strip_suffix(b"\n")?).map(|(_, link)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_what_the_format_says() {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let link = hasher.update(&[7; blake3::OUT_LEN]).update(b"body").finalize();
        assert_eq!(Link([7; blake3::OUT_LEN]).next(b"body"), Link(*link.as_bytes()));
    }
}
