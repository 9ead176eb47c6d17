//! CONTENT: a file's bytes, to be hashed by the daemon and looked up.
//!
//! ```text
//! 1      flags: bit 0 more follows, bit 1 the content is the file whose descriptor comes with this frame,
//!        bit 2 ask about all eight turned and mirrored variants of a picture
//! 1      number of radii
//! 3 each a perceptual kind's code, and within how many bits to search for it (2); no kind twice
//! …      bytes of the content; none with bit 1
//! ```
//!
//! Content that is longer than a frame comes in several of the same request id, each but the last with bit 0 set. What is
//! asked stands in the first, and is not read in the others. A BUSY or an ERROR to one part ends the content: parts that
//! are under way are thrown away, and no other content may begin before the last part of the one before.

use super::cursor::{Cursor, DecodeError};
use super::frame::{Op, RequestId, encode_header};
use super::question::{decode_radii, encode_radii};
use crate::fingerprint::Radii;

const MORE: u8 = 1 << 0;
const DESCRIPTOR: u8 = 1 << 1;
const DIHEDRAL: u8 = 1 << 2;

/// How content is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentOptions {
    /// Whether all eight turned and mirrored variants of a picture are looked up.
    pub dihedral: bool,
    /// Radii for this question; kinds not among them are searched as their lists say.
    pub radii: Radii,
}

/// A CONTENT as it stands in the receiver's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFrame<'a> {
    /// How it is asked about.
    pub options: ContentOptions,
    /// Whether more frames of this content follow.
    pub more: bool,
    /// Whether the content is a file whose descriptor came with the frame.
    pub descriptor: bool,
    /// The next bytes of the content.
    pub bytes: &'a [u8],
}

impl<'a> ContentFrame<'a> {
    /// Whether a payload says that a descriptor comes with it, and whether more of its content follows; also of one that
    /// cannot be read beyond that.
    pub fn announces(payload: &[u8]) -> (bool, bool) {
        let flags = payload.first().copied().unwrap_or(0);
        (flags & DESCRIPTOR != 0, flags & MORE != 0)
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// Flags without a meaning, a radius that its kind cannot have, bytes or a continuation beside a descriptor, a part
    /// without bytes that is not the last.
    pub fn decode(payload: &'a [u8]) -> Result<ContentFrame<'a>, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let flags = cursor.u8("flags")?;
        let has = |flag: u8| flags & flag != 0;
        let range = |expected, found: u64| DecodeError::OutOfRange { what: "flags", expected, found };
        if flags & !(MORE | DESCRIPTOR | DIHEDRAL) != 0 {
            return Err(range("bits 0 to 2 only", flags.into()));
        }
        let options = ContentOptions { dihedral: has(DIHEDRAL), radii: decode_radii(&mut cursor)? };
        let bytes = cursor.bytes("content", cursor.remaining())?;
        if has(DESCRIPTOR) && (has(MORE) || !bytes.is_empty()) {
            return Err(range("neither bytes nor more to follow beside a descriptor", flags.into()));
        }
        if has(MORE) && bytes.is_empty() {
            return Err(range("bytes in every part but the last", flags.into()));
        }
        Ok(ContentFrame { options, more: has(MORE), descriptor: has(DESCRIPTOR), bytes })
    }
}

/// Appends a CONTENT.
///
/// # Panics
/// When there are bytes or more to follow beside a descriptor.
pub fn encode_content(out: &mut Vec<u8>, id: RequestId, frame: &ContentFrame<'_>) {
    let ContentFrame { options, more, descriptor, bytes } = frame;
    assert!(!descriptor || (!more && bytes.is_empty()), "a descriptor stands for all of the content");
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let mut head = vec![flag(*more, MORE) | flag(*descriptor, DESCRIPTOR) | flag(options.dihedral, DIHEDRAL)];
    encode_radii(&mut head, &options.radii);
    encode_header(out, Op::Content, id, head.len() + bytes.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(bytes);
}
