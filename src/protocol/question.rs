//! LOOKUP: packed values of one or more kinds.
//!
//! ```text
//! 1      number of kinds
//! 1 each their codes, no kind twice
//! 1      number of radii
//! 3 each a perceptual kind's code, and within how many bits to search for it (2); no kind twice
//! 4      number of rows
//! …      the rows; each is one value of each kind, in the order of the kinds, nothing between
//! ```

use super::MAX_VALUES;
use super::cursor::{Cursor, DecodeError};
use super::frame::{HEADER_BYTES, Op, RequestId, encode_header};
use crate::fingerprint::{Kind, Radii, Radius};

/// A LOOKUP as it stands in the receiver's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupFrame<'a> {
    /// The kinds of each row's values, no kind twice.
    pub kinds: Vec<Kind>,
    /// Radii for this question; kinds not among them are searched as their lists say.
    pub radii: Radii,
    /// How many rows.
    pub rows: u32,
    /// `rows` × the kinds' widths, packed.
    pub values: &'a [u8],
}

impl<'a> LookupFrame<'a> {
    /// Reads the payload.
    ///
    /// # Errors
    /// No kind, an unknown kind, a kind twice, a radius that its kind cannot have, more than [`MAX_VALUES`], or
    /// values that are not as many as said.
    pub fn decode(payload: &'a [u8]) -> Result<LookupFrame<'a>, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let count = cursor.u8("number of kinds")?;
        let codes = cursor.bytes("kinds", count.into())?;
        let kinds = decode_kinds(codes)?;
        if kinds.is_empty() {
            return Err(DecodeError::OutOfRange { what: "number of kinds", expected: "at least 1", found: 0 });
        }
        let radii = decode_radii(&mut cursor)?;
        let rows = cursor.u32("number of rows")?;
        let values_count = u64::from(rows) * kinds.len() as u64;
        if values_count > u64::from(MAX_VALUES) {
            return Err(DecodeError::OutOfRange {
                what: "rows × kinds",
                expected: "at most 65536",
                found: values_count,
            });
        }
        let values = cursor.bytes("values", rows as usize * row_bytes(&kinds))?;
        cursor.end()?;
        Ok(LookupFrame { kinds, radii, rows, values })
    }
}

/// Bytes of one row.
fn row_bytes(kinds: &[Kind]) -> usize {
    kinds.iter().map(|kind| kind.width()).sum()
}

/// Kinds from their codes, each known and none twice.
pub(super) fn decode_kinds(codes: &[u8]) -> Result<Vec<Kind>, DecodeError> {
    let mut kinds = Vec::with_capacity(codes.len().min(Kind::ALL.len()));
    for code in codes {
        let unknown = DecodeError::OutOfRange { what: "kind", expected: "a known kind's code", found: (*code).into() };
        let kind = Kind::from_code(*code).ok_or(unknown)?;
        if kinds.contains(&kind) {
            return Err(DecodeError::OutOfRange { what: "kind", expected: "each once", found: (*code).into() });
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Radii, each of another kind and possible for it.
pub(super) fn decode_radii(cursor: &mut Cursor<'_>) -> Result<Radii, DecodeError> {
    let mut radii = Radii::none();
    for _ in 0..cursor.u8("number of radii")? {
        let code = cursor.u8("kind of a radius")?;
        let radius = Radius(cursor.u16("radius")?);
        let [kind] = decode_kinds(&[code])?[..] else { unreachable!("one code is one kind") };
        if radii.get(kind).is_some() {
            return Err(DecodeError::OutOfRange { what: "radius", expected: "one a kind", found: code.into() });
        }
        radii.set(kind, radius).map_err(|_| DecodeError::OutOfRange {
            what: "radius",
            expected: "a perceptual kind, and at most its largest radius",
            found: radius.0.into(),
        })?;
    }
    Ok(radii)
}

/// Appends radii.
pub(super) fn encode_radii(out: &mut Vec<u8>, radii: &Radii) {
    out.push(radii.iter().count() as u8);
    for (kind, radius) in radii.iter() {
        out.push(kind.code());
        out.extend_from_slice(&radius.0.to_le_bytes());
    }
}

/// Appends a LOOKUP up to where its values begin; the caller sends `values` right behind it, without copying them.
///
/// # Panics
/// When `values` are not whole rows of `kinds`, or more than [`MAX_VALUES`].
pub fn encode_lookup_head(out: &mut Vec<u8>, id: RequestId, kinds: &[Kind], radii: &Radii, values: &[u8]) {
    let row_bytes = row_bytes(kinds);
    assert!(row_bytes > 0 && values.len().is_multiple_of(row_bytes), "values are whole rows of one kind or more");
    let rows = values.len() / row_bytes;
    assert!(rows * kinds.len() <= MAX_VALUES as usize, "a LOOKUP holds at most {MAX_VALUES} values");
    let mut head = Vec::with_capacity(HEADER_BYTES + 3 * Kind::ALL.len());
    head.push(kinds.len() as u8);
    head.extend(kinds.iter().map(|kind| kind.code()));
    encode_radii(&mut head, radii);
    head.extend_from_slice(&(rows as u32).to_le_bytes());
    encode_header(out, Op::Lookup, id, head.len() + values.len());
    out.extend_from_slice(&head);
}

/// Appends a whole LOOKUP.
///
/// # Panics
/// As [`encode_lookup_head`].
pub fn encode_lookup(out: &mut Vec<u8>, id: RequestId, kinds: &[Kind], radii: &Radii, values: &[u8]) {
    encode_lookup_head(out, id, kinds, radii, values);
    out.extend_from_slice(values);
}
