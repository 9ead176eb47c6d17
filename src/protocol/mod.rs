//! How programs talk to the daemon: the frame codec and the blocking client.
//!
//! The codec turns bytes into values and back. It does no I/O and knows no clock, so both ends, the tests and a
//! fuzzer share it. It promises that any bytes at all decode to a value or to a [`DecodeError`], and that nothing is
//! allocated on the word of a length field that the bytes at hand do not bear out.
//!
//! `docs/protocol.md` specifies the frames for those who write a client in another language; a test reads the
//! examples in that page and holds this code to them.
//!
//! | file | frames |
//! |---|---|
//! | `frame` | what all frames share: length, op, request id |
//! | `hello` | HELLO, WELCOME: versions, limits, rights |
//! | `question` | LOOKUP |
//! | `content` | CONTENT |
//! | `answers` | ANSWERS |
//! | `failure` | ERROR, BUSY |
//! | `address` | where a daemon listens |
//! | `client` | the blocking client |
//! | `stream` | what carries its bytes |
//! | `tls` | TLS, for the client |

mod address;
mod answers;
mod client;
mod content;
mod cursor;
mod failure;
mod frame;
mod hello;
mod question;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use address::{Address, BadAddress, DEFAULT_DATA, SOCKET_NAME};
pub use answers::{decode_answers, encode_answers};
pub use client::{Client, ClientError, Receiver, Reply, Sender};
pub use content::{ContentFrame, ContentOptions, encode_content};
pub use cursor::{DecodeError, EncodeError};
pub use failure::{ErrorCode, Failure, encode_busy, encode_error};
pub use frame::{FrameError, HEADER_BYTES, Header, Op, RequestId, encode_frame};
pub use hello::{Hello, Welcome};
pub use question::{LookupFrame, encode_lookup, encode_lookup_head};

/// The protocol version that this code speaks.
pub const PROTOCOL_VERSION: u16 = 2;

/// The most values (rows × kinds) that one LOOKUP may carry.
pub const MAX_VALUES: u32 = 65_536;

/// The size, in bytes, that every frame must keep to unless WELCOME says otherwise: enough for [`MAX_VALUES`] of the
/// widest kind.
pub const DEFAULT_MAX_FRAME_BYTES: u32 = 16 << 20;

const _: () = assert!(MAX_VALUES as usize * crate::fingerprint::Kind::MAX_WIDTH < DEFAULT_MAX_FRAME_BYTES as usize);
