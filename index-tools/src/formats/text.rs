//! Words of lists: kinds by their names, and codes in text of unknown encoding, which is UTF-8 where it can be and
//! Latin-1 otherwise, since every byte is that.

use hashward::fingerprint::Kind;

use super::limits::MAX_CATEGORY_BYTES;
use super::report::Problem;

/// `bytes` as text. Old lists are Latin-1; `decoded` holds the text then.
pub(crate) fn read<'a>(bytes: &'a [u8], decoded: &'a mut String) -> &'a str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => {
            decoded.clear();
            decoded.extend(bytes.iter().map(|byte| char::from(*byte)));
            decoded
        }
    }
}

/// `bytes` as a category code or a scheme; `None` if empty.
pub(crate) fn code<'a>(what: &str, bytes: &'a [u8], decoded: &'a mut String) -> Result<Option<&'a str>, Problem> {
    if bytes.len() > MAX_CATEGORY_BYTES {
        let detail = format!("expected a {what} of at most {MAX_CATEGORY_BYTES} bytes, found {}", bytes.len());
        return Err(Problem::new("too-long", detail));
    }
    Ok((!bytes.is_empty()).then(|| read(bytes, decoded)))
}

/// The kind that a list calls `name`, in any case, with or without the dash that people write. As
/// [`Kind::from_str`](std::str::FromStr::from_str), without its allocations.
pub(crate) fn kind(name: &[u8]) -> Option<Kind> {
    let is = |known: &str| {
        let mut rest = name.iter().filter(|byte| **byte != b'-');
        known.bytes().all(|byte| rest.next().is_some_and(|found| found.eq_ignore_ascii_case(&byte)))
            && rest.next().is_none()
    };
    Kind::ALL.into_iter().find(|kind| is(kind.name()))
}
