//! Rows of hashes as JSON has them, read into packed values without anything between.

use serde::de::{DeserializeSeed, SeqAccess, Visitor};

use crate::fingerprint::{Encoding, Kind, ValueError};
use crate::protocol::MAX_VALUES;

/// Reads the rows of a question into packed values, without anything between.
pub(super) struct Rows<'a> {
    pub(super) kinds: &'a [Kind],
    pub(super) values: &'a mut Vec<u8>,
}

/// Appends a value in hex to packed ones. What is none appends nothing.
pub(super) fn push_hex(values: &mut Vec<u8>, kind: Kind, hash: &str) -> Result<(), ValueError> {
    let start = values.len();
    values.resize(start + kind.width(), 0);
    let decoded = Encoding::Hex.decode_into(kind, hash.as_bytes(), &mut values[start..]);
    decoded.inspect_err(|_| values.truncate(start))
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = u32;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows of hashes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<u32, A::Error> {
        let mut count = 0;
        while rows.next_element_seed(OneRow(&mut self))?.is_some() {
            count += 1;
            if count as usize * self.kinds.len() > MAX_VALUES as usize {
                let text = format!("expected at most {MAX_VALUES} values (rows times kinds), found more; ask in parts");
                return Err(serde::de::Error::custom(text));
            }
        }
        Ok(count)
    }
}

struct OneRow<'a, 'b>(&'a mut Rows<'b>);

impl<'de> DeserializeSeed<'de> for OneRow<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.kinds {
            [_] => f.write_str("a hash"),
            kinds => write!(f, "an array of {} hashes", kinds.len()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, hash: &str) -> Result<(), E> {
        match self.0.kinds {
            [kind] => push_hex(self.0.values, *kind, hash).map_err(E::custom),
            _ => Err(E::invalid_type(serde::de::Unexpected::Str(hash), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut hashes: A) -> Result<(), A::Error> {
        let kinds = self.0.kinds;
        for (at, kind) in kinds.iter().enumerate() {
            let hash: std::borrow::Cow<'de, str> =
                hashes.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(at, &self))?;
            push_hex(self.0.values, *kind, &hash).map_err(serde::de::Error::custom)?;
        }
        match hashes.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(serde::de::Error::invalid_length(kinds.len() + 1, &self)),
        }
    }
}
