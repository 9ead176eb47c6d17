//! Values as text: hex everywhere, base32 and base64 where a format says so.

use data_encoding::{BASE32, BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::Kind;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal (RFC 4648 §8); either case is read, lower case is printed.
    Hex,
    /// Base32 (RFC 4648 §6); either case and absent padding are read, upper case without padding is printed.
    Base32,
    /// Base64 (RFC 4648 §4), padded.
    Base64,
}

/// What is wrong with a value, in the words that import reports use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Too short or too long for its kind.
    #[error("wrong length: expected {expected} {unit} for {kind}, found {found}")]
    WrongLength {
        /// The kind that was declared.
        kind: Kind,
        /// The length that kind needs, in `unit`s.
        expected: usize,
        /// The length that was found, in `unit`s.
        found: usize,
        /// What is counted: `bytes`, `hex digits`, `base32 characters` or `base64 characters`.
        unit: &'static str,
    },
    /// A character that is no hex digit.
    #[error("bad hex: expected only 0-9 and a-f, found another character at position {position}")]
    BadHex {
        /// Its place, from 0.
        position: usize,
    },
    /// Not base32.
    #[error("bad base32: expected only A-Z and 2-7, found another character at position {position}")]
    BadBase32 {
        /// The place of the first wrong character, from 0.
        position: usize,
    },
    /// Not base64.
    #[error("bad base64: expected only A-Z, a-z, 0-9, + and /, found another character at position {position}")]
    BadBase64 {
        /// The place of the first wrong character, from 0.
        position: usize,
    },
}

impl Encoding {
    /// Prints `value`.
    pub fn encode(self, value: &[u8]) -> String {
        match self {
            Encoding::Hex => HEXLOWER.encode(value),
            Encoding::Base32 => BASE32.encode(value).trim_end_matches('=').to_owned(),
            Encoding::Base64 => BASE64.encode(value),
        }
    }

    /// Reads `text` as a value of `kind` into `value`, which has the kind's width.
    ///
    /// # Errors
    /// [`ValueError`]; `value` is then unspecified.
    ///
    /// # Panics
    /// When `value` has not [`Kind::width`] bytes.
    pub fn decode_into(self, kind: Kind, text: &[u8], value: &mut [u8]) -> Result<(), ValueError> {
        assert_eq!(value.len(), kind.width(), "the buffer has the kind's width");
        match self {
            Encoding::Hex => {
                check_length(kind, text.len(), 2 * kind.width(), "hex digits")?;
                HEXLOWER_PERMISSIVE
                    .decode_mut(text, value)
                    .map_err(|partial| ValueError::BadHex { position: partial.error.position })?;
            }
            Encoding::Base32 => {
                let digits = &text[..text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1)];
                check_length(kind, digits.len(), (kind.width() * 8).div_ceil(5), "base32 characters")?;
                // On the stack: lists of links have a value or two a line.
                let mut padded = [b'='; (Kind::MAX_WIDTH * 8).div_ceil(5).next_multiple_of(8)];
                padded[..digits.len()].copy_from_slice(digits);
                padded[..digits.len()].make_ascii_uppercase();
                let padded = &padded[..digits.len().next_multiple_of(8)];
                let mut decoded = [0; Kind::MAX_WIDTH + 4];
                let decoded = &mut decoded[..padded.len() / 8 * 5];
                let length = BASE32
                    .decode_mut(padded, decoded)
                    .map_err(|partial| ValueError::BadBase32 { position: partial.error.position })?;
                value.copy_from_slice(&decoded[..length]);
            }
            Encoding::Base64 => {
                check_length(kind, text.len(), kind.width().div_ceil(3) * 4, "base64 characters")?;
                // Decoding writes up to two bytes beyond the value, where the padding stands.
                let mut decoded = [0; Kind::MAX_WIDTH + 2];
                let decoded = &mut decoded[..text.len() / 4 * 3];
                let length = BASE64
                    .decode_mut(text, decoded)
                    .map_err(|partial| ValueError::BadBase64 { position: partial.error.position })?;
                check_length(kind, length, kind.width(), "bytes")?;
                value.copy_from_slice(&decoded[..length]);
            }
        }
        Ok(())
    }
}

fn check_length(kind: Kind, found: usize, expected: usize, unit: &'static str) -> Result<(), ValueError> {
    if found == expected { Ok(()) } else { Err(ValueError::WrongLength { kind, expected, found, unit }) }
}

#[cfg(test)]
mod tests {
    use super::super::Fingerprint;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_say_what_was_expected_and_found() {
        let parse = |text| Fingerprint::parse(Kind::Md5, text, Encoding::Hex);
        assert_eq!(
            parse("7e9407a03a1a4ed31a201ccaddd1bc6").unwrap_err().to_string(),
            "wrong length: expected 32 hex digits for md5, found 31"
        );
        assert_eq!(parse("7e9407a03a1a4ed31a201ccaddd1bc6g"), Err(ValueError::BadHex { position: 31 }));
    }

    proptest! {
        #[test]
        fn every_encoding_reads_what_it_prints(value in proptest::collection::vec(any::<u8>(), 144), kind in 0..Kind::ALL.len()) {
            let kind = Kind::ALL[kind];
            let value = &value[..kind.width()];
            for encoding in [Encoding::Hex, Encoding::Base32, Encoding::Base64] {
                let text = encoding.encode(value);
                let read = Fingerprint::parse(kind, &text, encoding).unwrap();
                prop_assert_eq!(read.value(), value);
            }
            let upper = Encoding::Hex.encode(value).to_uppercase();
            let read = Fingerprint::parse(kind, &upper, Encoding::Hex).unwrap();
            prop_assert_eq!(read.value(), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", kind in 0..Kind::ALL.len()) {
            for encoding in [Encoding::Hex, Encoding::Base32, Encoding::Base64] {
                let _ = Fingerprint::parse(Kind::ALL[kind], &text, encoding);
            }
        }
    }
}
