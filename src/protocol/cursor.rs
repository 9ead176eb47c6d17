//! Reading numbers and text off the front of a payload, with every length checked first.

/// Why bytes are not the frame they claim to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends inside a field.
    #[error("expected {expected} bytes of {what}, found only {found}")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Bytes that the field needs.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// The payload goes on after its last field.
    #[error("expected the end of the payload, found {0} more bytes")]
    Trailing(usize),
    /// A number outside its range.
    #[error("{what}: expected {expected}, found {found}")]
    OutOfRange {
        /// The field.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: u64,
    },
    /// Bytes that should be text and are not UTF-8, or not text of the right form.
    #[error("{0}: expected well-formed UTF-8 text of that field's form")]
    BadText(&'static str),
}

/// Why a value does not fit into a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A count or a text is longer than its length field can say.
    #[error("{what}: expected at most {limit}, found {found}")]
    TooLong {
        /// The field.
        what: &'static str,
        /// The most it can hold.
        limit: usize,
        /// What it should have held.
        found: usize,
    },
}

/// A payload being read from its front.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor(bytes)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let truncated = DecodeError::Truncated { what, expected: count, found: self.0.len() };
        let (taken, rest) = self.0.split_at_checked(count).ok_or(truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated { what, expected: N, found: self.0.len() };
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Text of `count` bytes.
    pub(super) fn text(&mut self, what: &'static str, count: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(what, count)?).map_err(|_| DecodeError::BadText(what))
    }

    /// Everything that is left, as text.
    pub(super) fn rest_as_text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        self.text(what, self.0.len())
    }

    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}
