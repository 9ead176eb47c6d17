//! ERROR and BUSY: the two frames that say "no answer". A client cannot take either for "unknown".

use std::fmt;

use super::cursor::{Cursor, DecodeError};
use super::frame::{Op, RequestId, encode_header};

/// What kind of failure it is, for programs; the text beside it is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// The frame or its payload is not what the protocol says.
    Malformed = 1,
    /// An op, a kind or a protocol version that this daemon does not have.
    Unsupported = 2,
    /// A limit that WELCOME names is exceeded, or the answer would exceed it.
    TooLarge = 3,
    /// The connection lacks the right.
    Forbidden = 4,
    /// The store understood the command and refused it.
    Refused = 5,
    /// The daemon failed; its log says why.
    Internal = 6,
    /// The daemon is going away. What is unanswered has no answer; a command may still have been carried out.
    ShuttingDown = 7,
    /// Idle for too long, or a frame that did not become complete in time.
    Timeout = 8,
    /// Something else was changed meanwhile; trying the command again may help.
    Conflict = 9,
    /// The store is damaged.
    Damaged = 10,
    /// The principal has asked more than its budget allows.
    OverBudget = 11,
    /// A token that nobody has.
    Unauthenticated = 12,
    /// What was asked for was there once, and is no longer kept.
    Gone = 13,
}

impl ErrorCode {
    /// All codes, in the order of their numbers, which begin at 1.
    pub(crate) const ALL: [ErrorCode; 13] = [
        ErrorCode::Malformed,
        ErrorCode::Unsupported,
        ErrorCode::TooLarge,
        ErrorCode::Forbidden,
        ErrorCode::Refused,
        ErrorCode::Internal,
        ErrorCode::ShuttingDown,
        ErrorCode::Timeout,
        ErrorCode::Conflict,
        ErrorCode::Damaged,
        ErrorCode::OverBudget,
        ErrorCode::Unauthenticated,
        ErrorCode::Gone,
    ];

    /// The code with this number, if there is one.
    pub fn from_number(number: u16) -> Option<ErrorCode> {
        ErrorCode::ALL.into_iter().find(|code| *code as u16 == number)
    }

    /// The code's name in texts.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ErrorCode::Malformed => "malformed",
            ErrorCode::Unsupported => "unsupported",
            ErrorCode::TooLarge => "too large",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::Refused => "refused",
            ErrorCode::Internal => "internal error",
            ErrorCode::ShuttingDown => "shutting down",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Conflict => "conflict",
            ErrorCode::Damaged => "damaged",
            ErrorCode::OverBudget => "over budget",
            ErrorCode::Unauthenticated => "unauthenticated",
            ErrorCode::Gone => "gone",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The payload of an ERROR.
///
/// ```text
/// 2  code
/// …  what happened and what to do, UTF-8
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is. Codes of a later version read as [`ErrorCode::Internal`].
    pub code: ErrorCode,
    /// What happened and what to do.
    pub text: String,
    /// Of what may be asked again later: in how many milliseconds. A frame says so in the text alone.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure from its parts.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), retry_after_ms: None }
    }

    /// The same, which may be asked again in `retry_after_ms` milliseconds, if ever.
    pub fn until(self, retry_after_ms: Option<u64>) -> Failure {
        Failure { retry_after_ms, ..self }
    }

    /// Reads the payload of an ERROR.
    ///
    /// # Errors
    /// A payload without a code, or with text that is none.
    pub fn decode(payload: &[u8]) -> Result<Failure, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let code = ErrorCode::from_number(cursor.u16("error code")?).unwrap_or(ErrorCode::Internal);
        Ok(Failure::new(code, cursor.rest_as_text("error text")?))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

/// Appends an ERROR.
pub fn encode_error(out: &mut Vec<u8>, id: RequestId, failure: &Failure) {
    encode_header(out, Op::Error, id, 2 + failure.text.len());
    out.extend_from_slice(&(failure.code as u16).to_le_bytes());
    out.extend_from_slice(failure.text.as_bytes());
}

/// Appends a BUSY, whose payload says in words what there is no room for.
pub fn encode_busy(out: &mut Vec<u8>, id: RequestId, text: &str) {
    encode_header(out, Op::Busy, id, text.len());
    out.extend_from_slice(text.as_bytes());
}
