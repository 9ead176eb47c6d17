//! What all frames share.
//!
//! ```text
//! offset  bytes
//!      0  4      length: how many bytes follow this field, 8 or more
//!      4  1      op
//!      5  1      reserved, 0
//!      6  2      protocol version of this frame
//!      8  4      request id
//!     12  …      payload, by op
//! ```

use super::PROTOCOL_VERSION;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 12;

/// Bytes of the length field, which does not count itself.
const LENGTH_BYTES: usize = 4;

/// The asker's number for a request, repeated in its answer. 0 is kept for what the daemon says unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

impl RequestId {
    /// The id of frames that answer nothing in particular: the refusal of a connection, a farewell.
    pub const NONE: RequestId = RequestId(0);
}

/// What a frame is. Requests have the high bit clear, answers have it set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// The first frame of a client.
    Hello = 0x01,
    /// How the daemon is.
    Status = 0x02,
    /// Values to look up.
    Lookup = 0x03,
    /// A command to the store, as JSON.
    Command = 0x04,
    /// A file's content, or a part of it, to be hashed and looked up.
    Content = 0x05,
    /// The answer to HELLO.
    Welcome = 0x81,
    /// The answer to STATUS and COMMAND: JSON text.
    Json = 0x82,
    /// The answer to LOOKUP and CONTENT.
    Answers = 0x83,
    /// The daemon has no room for this request now. Nothing was done.
    Busy = 0x84,
    /// The request failed.
    Error = 0x85,
}

impl Op {
    const ALL: [Op; 10] = [
        Op::Hello,
        Op::Status,
        Op::Lookup,
        Op::Command,
        Op::Content,
        Op::Welcome,
        Op::Json,
        Op::Answers,
        Op::Busy,
        Op::Error,
    ];

    /// The op with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Op> {
        Op::ALL.into_iter().find(|op| *op as u8 == code)
    }
}

/// A frame's first [`HEADER_BYTES`], with its length checked and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub payload_bytes: usize,
    /// The code of the op, which may be none of ours: see [`Op::from_code`].
    pub op: u8,
    /// The protocol version in which the frame is written.
    pub version: u16,
    /// The request this frame makes or answers.
    pub id: RequestId,
}

/// A length that no frame may have. What follows cannot be told apart any more, so the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than a header.
    #[error("frame length: expected 8 or more, found {0}; this is not hashward's frame protocol")]
    TooShort(u32),
    /// Longer than agreed.
    #[error("frame of {found} bytes: expected at most {limit}; send fewer rows a frame")]
    TooLong {
        /// The frame's size, its length field included, in bytes.
        found: u64,
        /// The most that is accepted, in bytes.
        limit: u32,
    },
}

impl Header {
    /// Reads a header, and checks that the whole frame keeps to `max_frame_bytes`.
    ///
    /// # Errors
    /// [`FrameError`], after which the stream cannot be followed.
    pub fn decode(bytes: &[u8; HEADER_BYTES], max_frame_bytes: u32) -> Result<Header, FrameError> {
        let [l0, l1, l2, l3, op, _reserved, v0, v1, i0, i1, i2, i3] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let frame_bytes = u64::from(length) + LENGTH_BYTES as u64;
        if frame_bytes < HEADER_BYTES as u64 {
            return Err(FrameError::TooShort(length));
        }
        if frame_bytes > u64::from(max_frame_bytes) {
            return Err(FrameError::TooLong { found: frame_bytes, limit: max_frame_bytes });
        }
        Ok(Header {
            payload_bytes: frame_bytes as usize - HEADER_BYTES,
            op,
            version: u16::from_le_bytes([v0, v1]),
            id: RequestId(u32::from_le_bytes([i0, i1, i2, i3])),
        })
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }
}

/// Appends a header for a payload of `payload_bytes`.
pub(super) fn encode_header(out: &mut Vec<u8>, op: Op, id: RequestId, payload_bytes: usize) {
    let length = u32::try_from(payload_bytes + HEADER_BYTES - LENGTH_BYTES).expect("callers keep frames below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[op as u8, 0]);
    out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    out.extend_from_slice(&id.0.to_le_bytes());
}

/// Appends a frame whose payload is at hand.
///
/// # Panics
/// When the payload reaches 4 GiB.
pub fn encode_frame(out: &mut Vec<u8>, op: Op, id: RequestId, payload: &[u8]) {
    encode_header(out, op, id, payload.len());
    out.extend_from_slice(payload);
}

/// Writes the true length into the header that stands at `start` of `out`, once the payload behind it is complete.
pub(super) fn finish_frame(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).expect("callers keep frames below 4 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_else() {
        let header = |length: u32| {
            let mut bytes = [0; HEADER_BYTES];
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            Header::decode(&bytes, 1_000)
        };
        assert_eq!(header(7), Err(FrameError::TooShort(7)));
        assert_eq!(header(8).unwrap().payload_bytes, 0);
        assert_eq!(header(996).unwrap().frame_bytes(), 1_000);
        assert_eq!(header(997), Err(FrameError::TooLong { found: 1_001, limit: 1_000 }));
        assert_eq!(header(u32::MAX), Err(FrameError::TooLong { found: 4_294_967_299, limit: 1_000 }));
    }

    #[test]
    fn ops_have_distinct_codes() {
        for op in Op::ALL {
            assert_eq!(Op::from_code(op as u8), Some(op));
        }
        assert_eq!(Op::from_code(0), None);
    }
}
