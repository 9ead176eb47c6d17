//! The decoded fingerprints of one record, in buffers that are used again for the next.

use hashward::fingerprint::{Encoding, Kind, ValueError};

use super::limits::MAX_VALUES;
use super::report::Problem;

/// The distinct fingerprints of the record at hand.
#[derive(Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    kinds: Vec<Kind>,
}

impl Values {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.kinds.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Decodes `text` as a value of `kind` and keeps it, unless it is here already.
    pub(crate) fn push_text(&mut self, kind: Kind, text: &[u8]) -> Result<(), Problem> {
        self.push_encoded(kind, encoding(kind, text), text)
    }

    /// The same where the format says how the value is written.
    pub(crate) fn push_encoded(&mut self, kind: Kind, encoding: Encoding, text: &[u8]) -> Result<(), Problem> {
        let at = self.bytes.len();
        self.bytes.resize(at + kind.width(), 0);
        if let Err(error) = encoding.decode_into(kind, text, &mut self.bytes[at..]) {
            self.bytes.truncate(at);
            return Err(Problem::from(error));
        }
        let (before, new) = self.bytes.split_at(at);
        if slices(&self.kinds, before).any(|(other, value)| other == kind && value == new) {
            self.bytes.truncate(at);
        } else if self.kinds.len() == MAX_VALUES {
            self.bytes.truncate(at);
            return Err(Problem::new(
                "too-many-values",
                format!("expected at most {MAX_VALUES} in one record, found more"),
            ));
        } else {
            self.kinds.push(kind);
        }
        Ok(())
    }

    /// Keeps a value of `kind` that is decoded already, for the only one of its record.
    pub(crate) fn set(&mut self, kind: Kind, value: &[u8]) {
        debug_assert_eq!(value.len(), kind.width());
        self.clear();
        self.bytes.extend_from_slice(value);
        self.kinds.push(kind);
    }

    /// Calls `use_them` with all values. The slice of pairs lives on the stack: no allocation per record.
    pub(crate) fn with<R>(&self, use_them: impl FnOnce(&[(Kind, &[u8])]) -> R) -> R {
        /// Pairs for which the stack has room cheaply; formats with more are rare.
        const FEW: usize = 8;
        if self.kinds.len() <= FEW {
            let mut pairs: [(Kind, &[u8]); FEW] = [(Kind::Md5, &[]); FEW];
            for (pair, value) in pairs.iter_mut().zip(slices(&self.kinds, &self.bytes)) {
                *pair = value;
            }
            use_them(&pairs[..self.kinds.len()])
        } else {
            use_them(&slices(&self.kinds, &self.bytes).collect::<Vec<_>>())
        }
    }
}

fn slices<'a>(kinds: &'a [Kind], mut bytes: &'a [u8]) -> impl Iterator<Item = (Kind, &'a [u8])> {
    kinds.iter().map(move |kind| {
        let (value, rest) = bytes.split_at(kind.width());
        bytes = rest;
        (*kind, value)
    })
}

/// PhotoDNA travels in base64, Tiger tree hashes in base32, and sometimes in hex, which differs in length. All other kinds
/// travel in hex.
fn encoding(kind: Kind, text: &[u8]) -> Encoding {
    match kind {
        Kind::PhotoDna if text.len() != 2 * kind.width() => Encoding::Base64,
        Kind::Tth if text.len() != 2 * kind.width() => Encoding::Base32,
        _ => Encoding::Hex,
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Problem {
        let reason = match error {
            ValueError::WrongLength { .. } => "wrong-length",
            ValueError::BadHex { .. } => "bad-hex",
            ValueError::BadBase32 { .. } => "bad-base32",
            ValueError::BadBase64 { .. } => "bad-base64",
            _ => "bad-value",
        };
        Problem::new(reason, error.to_string())
    }
}
