//! EnCase's hash sets: `.hash` files, binary, little-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0x000 | 8 | `HASH\r\n\xFF\0`; text transfers that touch line ends spoil it, and show |
//! | 0x010 | 4 | how many records follow |
//! | 0x408 | 80 | the set's name, UTF-16, padded with zeros |
//! | 0x458 | 40 | the set's category, likewise |
//! | 0x480 | 18 each | an MD5, and two bytes |
//!
//! The category is one for the whole set. A file whose size is not what its count says is refused: digests would be
//! missing, or be of something else.

use std::io::BufRead;

use hashward::fingerprint::Kind;

use super::error::{FormatError, Refusal, Refused};
use super::report::{Report, excerpt};
use super::values::Values;
use super::window::Window;
use super::{Parsed, Record};

/// What every file starts with.
const MAGIC: &[u8] = b"HASH\r\n\xFF\0";

const COUNT_AT: usize = 0x10;
const NAME_AT: usize = 0x408;
const CATEGORY_AT: usize = NAME_AT + 80;
const HEADER_BYTES: usize = CATEGORY_AT + 40;
const DIGEST_BYTES: usize = 16;
const RECORD_BYTES: usize = DIGEST_BYTES + 2;

const _: () = assert!(HEADER_BYTES == 0x480 && DIGEST_BYTES == Kind::Md5.width());

/// Whether `head` is the start of such a file, or of one that a transfer has spoiled: it is refused for what it is.
pub(super) fn is_start(head: &[u8]) -> bool {
    head.starts_with(b"HASH") && head[..head.len().min(COUNT_AT)].contains(&0)
}

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut window = Window::new(input);
    has(&mut window, MAGIC.len())?;
    let start = &window.bytes()[..window.bytes().len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) || start.is_empty() {
        let found = format!("`{}`", excerpt(start));
        let remedy = "check that this is the right file, and that no transfer as text has changed its line ends";
        return Err(Refused::new(Refusal::WrongMagic, "`HASH\\r\\n\\xFF\\0` at its start", found, remedy).into());
    }
    if !has(&mut window, HEADER_BYTES)? {
        let found = format!("the end of the file after {}", window.bytes().len());
        return Err(Refused::truncated(format!("a header of {HEADER_BYTES} bytes"), found).into());
    }
    let header = &window.bytes()[..HEADER_BYTES];
    let count = header[COUNT_AT..].first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
    let category = read_text(&header[CATEGORY_AT..HEADER_BYTES]);
    let category = (!category.is_empty()).then_some(&*category);
    window.consume(HEADER_BYTES);
    let mut values = Values::default();
    for number in 1..=u64::from(count) {
        if !has(&mut window, RECORD_BYTES)? {
            let found = format!("the end of the file in number {number}");
            return Err(Refused::truncated(format!("{count} records, as its header says"), found).into());
        }
        values.set(Kind::Md5, &window.bytes()[..DIGEST_BYTES]);
        report.accept(&values, Record { category, ..Record::numbered(number, None) })?;
        window.consume(RECORD_BYTES);
    }
    if has(&mut window, 1)? {
        let expected = format!("the end of the file after {count} records, as its header says");
        let remedy = "get the file again, or export the set again: what follows would not be matched";
        return Err(Refused::new(Refusal::Corrupt, expected, "more bytes", remedy).into());
    }
    report.finish()
}

/// Waits until `count` bytes have arrived; `false` if the file ends before.
fn has(window: &mut Window<'_>, count: usize) -> Result<bool, FormatError> {
    while window.bytes().len() < count {
        if !window.more()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// UTF-16 up to the first zero. Half a surrogate pair becomes U+FFFD.
fn read_text(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.trim().to_owned()
}
