//! ANSWERS: aligned to the rows that were asked, at about a bit per miss.
//!
//! ```text
//! 8      generation
//! 4      number of rows
//! 1      number of kinds that were asked; 1 each their codes
//! 1      number of kinds that could not be asked; 2 each: code, reason
//! 2      verdict and reason of every row without a hit
//! 4      number of rows with a hit
//! 4      number of distinct answers
//! …      a bit a row, rounded up to bytes: row i is bit i mod 8 of byte i / 8, set where the row has a hit
//! …      for each row with a hit, in order, its place in the table; 1 byte each if the table has at most 256
//!        distinct answers, 2 up to 65,536
//! …      the table: the distinct answers
//! ```
//!
//! One distinct answer, and one match in it:
//!
//! ```text
//! 2  verdict, reason                       1  kind
//! 1  bit 0: watched, 1: suppressed         1  role: 1 illegal, 2 ignorable, 3 watch
//! 2  number of matches                     1  flags
//! …  the matches                           1  category: 0 none, 1 a code, 2 a scheme and a code
//! 1  number of nearest codes               2  least distance; 65535 for none
//! …  the nearest codes, nearest first:     1  length of the list's name; the name
//!      1  kind                             2  length of the scheme; the scheme   (category 2)
//!      2  distance                         2  length of the code; the code       (category 1, 2)
//!      …  the code
//! 4  how many more places hold a code
//! ```
//!
//! Verdicts: 1 known, 2 conflict, 3 ignorable, 4 unknown, 5 undecided. Reasons: 0 none (every verdict but undecided), or
//! the code of [`Reason`]. 0 is no verdict, so that a zeroed buffer never reads as one.

use super::MAX_VALUES;
use super::cursor::{Cursor, DecodeError, EncodeError};
use super::frame::{Op, RequestId, encode_header, finish_frame};
use super::question::decode_kinds;
use crate::fingerprint::{Fingerprint, Kind};
use crate::list::{Category, Flags, Role};
use crate::matching::{Answer, Answers, Match, NEAREST_MAX, Neighbour, Reason, Verdict};

/// Bytes of an answer without matches, the smallest there is.
const ANSWER_BYTES_MIN: usize = 10;

/// Bits of what an answer says beside its verdict.
const WATCHED: u8 = 1 << 0;
const SUPPRESSED: u8 = 1 << 1;

/// What stands where a match has no distance.
const NO_DISTANCE: u16 = u16::MAX;

// Their number is one byte.
const _: () = assert!(NEAREST_MAX <= u8::MAX as usize);

/// Appends the frame. On an error `out` is as it was.
///
/// # Errors
/// A text or a count that its length field cannot hold.
///
/// # Panics
/// When a hit's row is not below `rows`, which no [`Answers`] of [`crate::matching`] has.
pub fn encode_answers(out: &mut Vec<u8>, id: RequestId, answers: &Answers) -> Result<(), EncodeError> {
    let start = out.len();
    encode_header(out, Op::Answers, id, 0);
    match encode_payload(out, answers) {
        Ok(()) => {
            finish_frame(out, start);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn encode_payload(out: &mut Vec<u8>, answers: &Answers) -> Result<(), EncodeError> {
    let too_long = |what, limit, found| EncodeError::TooLong { what, limit, found };
    if answers.rows > MAX_VALUES {
        return Err(too_long("rows", MAX_VALUES as usize, answers.rows as usize));
    }
    if answers.distinct.len() > answers.hits.len() {
        return Err(too_long("distinct answers", answers.hits.len(), answers.distinct.len()));
    }
    out.extend_from_slice(&answers.generation.to_le_bytes());
    out.extend_from_slice(&answers.rows.to_le_bytes());
    out.push(answers.checked.len() as u8);
    out.extend(answers.checked.iter().map(|kind| kind.code()));
    out.push(answers.incomplete.len() as u8);
    for (kind, reason) in &answers.incomplete {
        out.extend_from_slice(&[kind.code(), *reason as u8]);
    }
    out.extend_from_slice(&verdict_codes(answers.miss));
    out.extend_from_slice(&(answers.hits.len() as u32).to_le_bytes());
    out.extend_from_slice(&(answers.distinct.len() as u32).to_le_bytes());
    let bitmap_start = out.len();
    out.resize(bitmap_start + bitmap_bytes(answers.rows), 0);
    let bitmap = &mut out[bitmap_start..];
    for (row, _) in &answers.hits {
        bitmap[*row as usize / 8] |= 1 << (row % 8);
    }
    match IndexWidth::of(answers.distinct.len()) {
        IndexWidth::One => out.extend(answers.hits.iter().map(|(_, index)| *index as u8)),
        IndexWidth::Two => out.extend(answers.hits.iter().flat_map(|(_, index)| (*index as u16).to_le_bytes())),
    }
    answers.distinct.iter().try_for_each(|answer| encode_answer(out, answer))
}

fn encode_answer(out: &mut Vec<u8>, answer: &Answer) -> Result<(), EncodeError> {
    out.extend_from_slice(&verdict_codes(answer.verdict));
    let bit = |set: bool, bit| if set { bit } else { 0 };
    out.push(bit(answer.watched, WATCHED) | bit(answer.suppressed, SUPPRESSED));
    out.extend_from_slice(&fits_u16("matches of one answer", answer.matches.len())?.to_le_bytes());
    for one in &answer.matches {
        let category = match &one.category {
            None => 0,
            Some(Category { scheme: None, .. }) => 1,
            Some(Category { scheme: Some(_), .. }) => 2,
        };
        out.extend_from_slice(&[one.kind.code(), role_code(one.role), one.flags.0, category]);
        out.extend_from_slice(&one.distance.unwrap_or(NO_DISTANCE).to_le_bytes());
        // A list's name has at most 64 bytes by construction.
        out.push(one.list.as_str().len() as u8);
        out.extend_from_slice(one.list.as_str().as_bytes());
        if let Some(category) = &one.category {
            for text in category.scheme.iter().chain([&category.code]) {
                out.extend_from_slice(&fits_u16("bytes of a category", text.len())?.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    if answer.nearest.len() > NEAREST_MAX {
        let (what, limit, found) = ("nearest codes of one answer", NEAREST_MAX, answer.nearest.len());
        return Err(EncodeError::TooLong { what, limit, found });
    }
    out.push(answer.nearest.len() as u8);
    for Neighbour { distance, fingerprint } in &answer.nearest {
        out.push(fingerprint.kind().code());
        out.extend_from_slice(&distance.to_le_bytes());
        out.extend_from_slice(fingerprint.value());
    }
    out.extend_from_slice(&answer.further.to_le_bytes());
    Ok(())
}

fn fits_u16(what: &'static str, count: usize) -> Result<u16, EncodeError> {
    u16::try_from(count).map_err(|_| EncodeError::TooLong { what, limit: u16::MAX.into(), found: count })
}

/// Reads the payload.
///
/// # Errors
/// Anything that [`encode_answers`] does not write.
pub fn decode_answers(payload: &[u8]) -> Result<Answers, DecodeError> {
    let mut cursor = Cursor::new(payload);
    let generation = cursor.u64("generation")?;
    let rows = cursor.u32("number of rows")?;
    if rows > MAX_VALUES {
        return Err(out_of_range("number of rows", "at most 65536", rows));
    }
    let checked_count = cursor.u8("number of kinds")?;
    let checked = decode_kinds(cursor.bytes("kinds", checked_count.into())?)?;
    let incomplete_count = cursor.u8("number of incomplete kinds")?;
    let mut incomplete = Vec::new();
    for _ in 0..incomplete_count {
        let kind = decode_kind(&mut cursor)?;
        incomplete.push((kind, decode_reason(cursor.u8("reason")?)?));
    }
    let miss = decode_verdict(&mut cursor)?;
    let hits_count = cursor.u32("number of hits")?;
    let distinct_count = cursor.u32("number of distinct answers")?;
    if distinct_count > hits_count {
        return Err(out_of_range("number of distinct answers", "at most one for each hit", distinct_count));
    }
    let bitmap = cursor.bytes("bitmap", bitmap_bytes(rows))?;
    let hits = decode_hits(&mut cursor, bitmap, rows, hits_count, distinct_count)?;
    let mut distinct = Vec::with_capacity((distinct_count as usize).min(cursor.remaining() / ANSWER_BYTES_MIN));
    for _ in 0..distinct_count {
        distinct.push(decode_answer(&mut cursor)?);
    }
    cursor.end()?;
    Ok(Answers { generation, rows, checked, incomplete, miss, distinct, hits })
}

fn decode_hits(
    cursor: &mut Cursor<'_>,
    bitmap: &[u8],
    rows: u32,
    hits_count: u32,
    distinct_count: u32,
) -> Result<Vec<(u32, u32)>, DecodeError> {
    let set_count: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
    if set_count != hits_count {
        return Err(out_of_range("number of hits", "as many as bits are set", hits_count));
    }
    let width = IndexWidth::of(distinct_count as usize);
    let indexes = cursor.bytes("indexes", hits_count as usize * width.bytes())?;
    let mut hits = Vec::with_capacity(hits_count as usize);
    let mut indexes = indexes.chunks_exact(width.bytes());
    for (byte_index, byte) in bitmap.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        let mut bits = *byte;
        while bits != 0 {
            let row = byte_index as u32 * 8 + bits.trailing_zeros();
            bits &= bits - 1;
            if row >= rows {
                return Err(out_of_range("bitmap", "no bit beyond the last row", row));
            }
            let index = match indexes.next() {
                Some([low]) => u32::from(*low),
                Some([low, high]) => u32::from(u16::from_le_bytes([*low, *high])),
                _ => unreachable!("as many indexes as set bits, each of one or two bytes"),
            };
            if index >= distinct_count {
                return Err(out_of_range("index", "below the number of distinct answers", index));
            }
            hits.push((row, index));
        }
    }
    Ok(hits)
}

fn decode_answer(cursor: &mut Cursor<'_>) -> Result<Answer, DecodeError> {
    let verdict = decode_verdict(cursor)?;
    let bits = cursor.u8("watched and suppressed")?;
    if bits & !(WATCHED | SUPPRESSED) != 0 {
        return Err(out_of_range("watched and suppressed", "bits 0 and 1 at most", bits.into()));
    }
    let (watched, suppressed) = (bits & WATCHED != 0, bits & SUPPRESSED != 0);
    let matches_count = cursor.u16("number of matches")?;
    let mut matches = Vec::new();
    for _ in 0..matches_count {
        matches.push(decode_match(cursor)?);
    }
    let nearest_count = cursor.u8("number of nearest codes")?;
    if usize::from(nearest_count) > NEAREST_MAX {
        return Err(out_of_range("number of nearest codes", "at most 100", nearest_count.into()));
    }
    let nearest = (0..nearest_count).map(|_| decode_neighbour(cursor)).collect::<Result<_, _>>()?;
    Ok(Answer { verdict, watched, suppressed, matches, nearest, further: cursor.u32("number of further codes")? })
}

fn decode_kind(cursor: &mut Cursor<'_>) -> Result<Kind, DecodeError> {
    let code = cursor.u8("kind")?;
    Kind::from_code(code).ok_or_else(|| out_of_range("kind", "a known kind's code", code.into()))
}

fn decode_neighbour(cursor: &mut Cursor<'_>) -> Result<Neighbour, DecodeError> {
    let kind = decode_kind(cursor)?;
    let distance = cursor.u16("distance")?;
    let value = cursor.bytes("code", kind.width())?;
    let fingerprint = Fingerprint::new(kind, value).expect("as many bytes as its kind has");
    Ok(Neighbour { distance, fingerprint })
}

fn decode_match(cursor: &mut Cursor<'_>) -> Result<Match, DecodeError> {
    let kind = decode_kind(cursor)?;
    let role = decode_role(cursor.u8("role")?)?;
    let flags = Flags(cursor.u8("flags")?);
    let category = cursor.u8("category")?;
    let distance = Some(cursor.u16("distance")?).filter(|distance| *distance != NO_DISTANCE);
    let list_bytes = cursor.u8("length of a list's name")?;
    let list = cursor.text("list's name", list_bytes.into())?;
    let list = list.parse().map_err(|_| DecodeError::BadText("list's name"))?;
    let category = match category {
        0 => None,
        1 => Some(Category::new(None, short_text(cursor, "category")?)),
        2 => {
            let scheme = short_text(cursor, "scheme")?;
            Some(Category::new(Some(scheme), short_text(cursor, "category")?))
        }
        other => return Err(out_of_range("category", "0, 1 or 2", other.into())),
    };
    Ok(Match { kind, list, role, category, flags, distance })
}

fn short_text<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Result<&'a str, DecodeError> {
    let length = cursor.u16(what)?;
    cursor.text(what, length.into())
}

/// How wide the indexes into the table are.
#[derive(Clone, Copy)]
enum IndexWidth {
    One,
    Two,
}

// A table has at most an entry a row, so two bytes always do.
const _: () = assert!(MAX_VALUES <= 1 << 16);

impl IndexWidth {
    fn of(distinct_count: usize) -> IndexWidth {
        if distinct_count <= 256 { IndexWidth::One } else { IndexWidth::Two }
    }

    fn bytes(self) -> usize {
        match self {
            IndexWidth::One => 1,
            IndexWidth::Two => 2,
        }
    }
}

fn bitmap_bytes(rows: u32) -> usize {
    rows.div_ceil(8) as usize
}

fn out_of_range(what: &'static str, expected: &'static str, found: u32) -> DecodeError {
    DecodeError::OutOfRange { what, expected, found: found.into() }
}

fn verdict_codes(verdict: Verdict) -> [u8; 2] {
    match verdict {
        Verdict::Known => [1, 0],
        Verdict::Conflict => [2, 0],
        Verdict::Ignorable => [3, 0],
        Verdict::Unknown => [4, 0],
        Verdict::Undecided(reason) => [5, reason as u8],
    }
}

fn decode_verdict(cursor: &mut Cursor<'_>) -> Result<Verdict, DecodeError> {
    let (verdict, reason) = (cursor.u8("verdict")?, cursor.u8("reason")?);
    match (verdict, reason) {
        (1, 0) => Ok(Verdict::Known),
        (2, 0) => Ok(Verdict::Conflict),
        (3, 0) => Ok(Verdict::Ignorable),
        (4, 0) => Ok(Verdict::Unknown),
        (5, reason) => decode_reason(reason).map(Verdict::Undecided),
        (1..=4, reason) => Err(out_of_range("reason", "0 beside this verdict", reason.into())),
        (verdict, _) => Err(out_of_range("verdict", "1 to 5", verdict.into())),
    }
}

fn decode_reason(code: u8) -> Result<Reason, DecodeError> {
    Reason::from_code(code).ok_or_else(|| out_of_range("reason", "a known reason's code", code.into()))
}

fn role_code(role: Role) -> u8 {
    match role {
        Role::Illegal => 1,
        Role::Ignorable => 2,
        Role::Watch => 3,
    }
}

fn decode_role(code: u8) -> Result<Role, DecodeError> {
    match code {
        1 => Ok(Role::Illegal),
        2 => Ok(Role::Ignorable),
        3 => Ok(Role::Watch),
        other => Err(out_of_range("role", "1 to 3", other.into())),
    }
}
