//! The first exchange: which protocol both speak, what the daemon accepts, what the client may do.

use std::fmt;

use super::cursor::{Cursor, DecodeError};
use super::frame::{Op, RequestId, encode_frame};
use crate::access::Rights;

/// The first payload bytes of a connection, so that a stray client of another protocol is told apart at once.
const MAGIC: [u8; 8] = *b"hashward";

/// What the client says first.
///
/// ```text
/// 8  the text `hashward`
/// 2  lowest protocol version that the client speaks
/// 2  highest
/// …  the client's token, if it has one
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The lowest protocol version that the client speaks.
    pub lowest: u16,
    /// The highest.
    pub highest: u16,
    /// The text of the client's bearer token.
    pub token: Option<String>,
}

/// The longest token that is read.
const TOKEN_BYTES_MAX: usize = 256;

/// Without the token.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hello { lowest, highest, token } = self;
        write!(f, "Hello({lowest}..={highest}, token: {})", token.is_some())
    }
}

impl Hello {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>, id: RequestId) {
        let mut payload = Vec::with_capacity(12);
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.lowest.to_le_bytes());
        payload.extend_from_slice(&self.highest.to_le_bytes());
        payload.extend_from_slice(self.token.as_deref().unwrap_or_default().as_bytes());
        encode_frame(out, Op::Hello, id, &payload);
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// Anything but a greeting.
    pub fn decode(payload: &[u8]) -> Result<Hello, DecodeError> {
        let mut cursor = Cursor::new(payload);
        if cursor.bytes("the greeting", MAGIC.len())? != MAGIC {
            return Err(DecodeError::BadText("the greeting `hashward`"));
        }
        let (lowest, highest) = (cursor.u16("lowest version")?, cursor.u16("highest version")?);
        let token = cursor.rest_as_text("the token")?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(DecodeError::BadText("a token of at most 256 bytes"));
        }
        let hello = Hello { lowest, highest, token: (!token.is_empty()).then(|| token.to_owned()) };
        if hello.lowest > hello.highest {
            return Err(DecodeError::OutOfRange {
                what: "lowest version",
                expected: "at most the highest",
                found: hello.lowest.into(),
            });
        }
        Ok(hello)
    }

    /// Whether the client speaks `version`.
    pub fn speaks(&self, version: u16) -> bool {
        (self.lowest..=self.highest).contains(&version)
    }
}

/// What the daemon answers.
///
/// ```text
/// 2  protocol version of everything that follows
/// 1  rights: bit 0 look up, 1 administer, 2 ask about content, 3 see details, 4 import, 5 suppress, 6 audit
/// 1  reserved, 0
/// 4  the most bytes a frame may have, length field included
/// 4  the most values (rows × kinds) a LOOKUP may have
/// 4  the most commands that may be under way on a connection
/// 4  the most values of perceptual kinds that a LOOKUP may have
/// 8  the most bytes of a file's content
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version of everything that follows.
    pub version: u16,
    /// What this client may do.
    pub rights: Rights,
    /// The most bytes a frame may have, its length field included.
    pub max_frame_bytes: u32,
    /// The most values (rows × kinds) a LOOKUP may have.
    pub max_values: u32,
    /// The most commands that may be under way on one connection.
    pub max_commands: u32,
    /// The most values of perceptual kinds that a LOOKUP may have.
    pub max_near_values: u32,
    /// The most bytes of a file's content.
    pub max_content_bytes: u64,
}

impl Welcome {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>, id: RequestId) {
        let mut payload = Vec::with_capacity(28);
        payload.extend_from_slice(&self.version.to_le_bytes());
        payload.extend_from_slice(&[self.rights.bits(), 0]);
        payload.extend_from_slice(&self.max_frame_bytes.to_le_bytes());
        payload.extend_from_slice(&self.max_values.to_le_bytes());
        payload.extend_from_slice(&self.max_commands.to_le_bytes());
        payload.extend_from_slice(&self.max_near_values.to_le_bytes());
        payload.extend_from_slice(&self.max_content_bytes.to_le_bytes());
        encode_frame(out, Op::Welcome, id, &payload);
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// A payload of another size. Rights that this version does not know are ignored.
    pub fn decode(payload: &[u8]) -> Result<Welcome, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let version = cursor.u16("version")?;
        let rights = Rights::from_bits(cursor.u8("rights")?);
        let _reserved = cursor.u8("reserved")?;
        let max_frame_bytes = cursor.u32("frame limit")?;
        let max_values = cursor.u32("values limit")?;
        let max_commands = cursor.u32("commands limit")?;
        let max_near_values = cursor.u32("limit of values of perceptual kinds")?;
        let max_content_bytes = cursor.u64("content limit")?;
        cursor.end()?;
        Ok(Welcome { version, rights, max_frame_bytes, max_values, max_commands, max_near_values, max_content_bytes })
    }
}
