//! Recognises a format by the start of a file, as [`super::open`] gives it.

use super::Format;

/// The format that `head`, the first kilobytes of a list, speaks of; `None` if it is not clear.
pub fn detect(head: &[u8]) -> Option<Format> {
    let mut lines = head.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii_end);
    let line = lines.find(|line| !line.is_empty() && line[0] != b'#')?;
    if is_hex(line) {
        return Some(Format::Hex);
    }
    is_sum(line).then_some(Format::Sum)
}

/// Digits of the digests that lists carry: CRC-32 is too short to tell from a number.
fn is_hex(text: &[u8]) -> bool {
    (32..=288).contains(&text.len()) && text.len().is_multiple_of(8) && text.iter().all(u8::is_ascii_hexdigit)
}

fn is_sum(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\\").unwrap_or(line);
    let Some(blank) = memchr::memchr(b' ', line) else { return false };
    let (token, rest) = line.split_at(blank);
    if is_hex(token) {
        return true;
    }
    let Some(close) = memchr::memmem::rfind(rest, b") = ") else { return false };
    rest.starts_with(b" (") && is_hex(&rest[close + 4..])
}
