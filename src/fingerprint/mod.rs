//! Kinds of fingerprints, their values, and how both are read and printed.
//!
//! A kind is always declared, by a list format's own field or by the user, and never guessed from a value's
//! length: 32 hex digits may be MD5, MD4 or ed2k. Values of a kind all have the same width, so that everything
//! below this module works on packed bytes.

mod degenerate;
mod hasher;
mod radius;
mod set;
mod text;

pub use degenerate::{DegenerateDigests, degenerate_contents, is_degenerate_code};
pub use hasher::{Hasher, NotComputed, hash_bytes, hash_reader};
pub use radius::{BadRadius, KindRadius, Radii, Radius};
pub use set::FingerprintSet;
pub use text::{Encoding, ValueError};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A sort of fingerprint. The discriminant is the kind's code in segments and on the wire, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// MD5 (RFC 1321), 16 bytes.
    Md5 = 1,
    /// SHA-1 (FIPS 180-4), 20 bytes.
    Sha1 = 2,
    /// SHA-256 (FIPS 180-4), 32 bytes.
    Sha256 = 3,
    /// SHA-512 (FIPS 180-4), 64 bytes.
    Sha512 = 4,
    /// BLAKE3 with its default output, 32 bytes.
    Blake3 = 5,
    /// PDQ (Meta, 2019), a perceptual hash of 256 bits.
    Pdq = 6,
    /// PhotoDNA, 144 bytes, supplied by others and never computed here. Stored and matched by equality.
    PhotoDna = 7,
    /// Which of the 8×8 lowest DCT coefficients of the picture at 16×16, the constant one among them, reach their
    /// median, 64 bits, as crate `image_hasher` computes it (`Median` with DCT).
    Phash64 = 8,
    /// Where the picture at 9×8 gets brighter from left to right, 64 bits, as crate `image_hasher` computes it (`Gradient`).
    Dhash64 = 9,
    /// Which of 8×8 blocks are brighter than the median of their half of the picture, 64 bits, as crate `image_hasher`
    /// computes it (`Blockhash`, after Yang, Gu and Niu, 2006).
    Blockhash64 = 10,
    /// The file hash of the eDonkey network, 16 bytes: MD4s (RFC 1320) of parts of 9,728,000 bytes, hashed again. Of the
    /// two variants it is eMule's that [`Hasher`] computes; `hasher/ed2k.rs` says where they differ.
    Ed2k = 11,
    /// The Tiger tree hash (THEX) with leaves of 1024 bytes, 24 bytes.
    Tth = 12,
    /// The info-hash of a BitTorrent (BEP 3), 20 bytes: the SHA-1 of a torrent's description of its files, names and
    /// piece size among it. It is no hash of a file, and the same file has another in every torrent.
    Btih = 13,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Kind; 13] = [
        Kind::Md5,
        Kind::Sha1,
        Kind::Sha256,
        Kind::Sha512,
        Kind::Blake3,
        Kind::Pdq,
        Kind::PhotoDna,
        Kind::Phash64,
        Kind::Dhash64,
        Kind::Blockhash64,
        Kind::Ed2k,
        Kind::Tth,
        Kind::Btih,
    ];

    /// The kinds that [`Hasher`] computes from a file's bytes.
    pub const COMPUTED: [Kind; 7] =
        [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512, Kind::Blake3, Kind::Ed2k, Kind::Tth];

    /// The kinds that are computed from a picture and compared by distance.
    pub const PERCEPTUAL: [Kind; 4] = [Kind::Pdq, Kind::Phash64, Kind::Dhash64, Kind::Blockhash64];

    /// The widest value of any kind, in bytes.
    pub const MAX_WIDTH: usize = 144;

    /// Bytes of one value.
    pub const fn width(self) -> usize {
        match self {
            Kind::Md5 | Kind::Ed2k => 16,
            Kind::Sha1 | Kind::Btih => 20,
            Kind::Tth => 24,
            Kind::Sha256 | Kind::Blake3 | Kind::Pdq => 32,
            Kind::Sha512 => 64,
            Kind::PhotoDna => 144,
            Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => 8,
        }
    }

    /// The code in segments and on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The kind's name in lists, config, answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Md5 => "md5",
            Kind::Sha1 => "sha1",
            Kind::Sha256 => "sha256",
            Kind::Sha512 => "sha512",
            Kind::Blake3 => "blake3",
            Kind::Pdq => "pdq",
            Kind::PhotoDna => "photodna",
            Kind::Phash64 => "phash64",
            Kind::Dhash64 => "dhash64",
            Kind::Blockhash64 => "blockhash64",
            Kind::Ed2k => "ed2k",
            Kind::Tth => "tth",
            Kind::Btih => "btih",
        }
    }

    /// Whether equality answers a question of this kind. A perceptual hash needs a search by distance; asking for
    /// equality alone would miss near copies and call them unknown.
    pub const fn is_exact(self) -> bool {
        self.radius_default().is_none()
    }

    /// The distance up to which two values of a perceptual kind match unless a list or a question says otherwise;
    /// `None` for exact kinds.
    ///
    /// 31 of 256 bits is what PDQ's authors recommend. For the 64-bit kinds the chance that two unrelated codes, if
    /// all bits were fair coins, lie within r of each other is 2⁻⁶⁴ · Σ C(64, i): 4·10⁻¹⁴ at r = 4, 3·10⁻¹⁰ at r = 8. So a
    /// list of ten million yields an accidental match once in 2.7 million questions at 4, and once in 350 at 8.
    pub const fn radius_default(self) -> Option<Radius> {
        match self {
            Kind::Pdq => Some(Radius(31)),
            Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => Some(Radius(4)),
            _ => None,
        }
    }

    /// The largest radius that a list or a question may ask for; `None` for exact kinds.
    pub const fn radius_max(self) -> Option<Radius> {
        match self {
            Kind::Pdq => Some(Radius(63)),
            Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => Some(Radius(16)),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no kind of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind `{0}`; expected one of {names}", names = Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads a kind's name in any case, with or without the dash that people write (`SHA-1`, `sha1`).
    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        let folded: String = name.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        Kind::ALL.into_iter().find(|kind| kind.name() == folded).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// One value with its kind. Bulk paths work on packed values instead and never build these.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    kind: Kind,
    value: Box<[u8]>,
}

impl Fingerprint {
    /// A fingerprint from raw bytes.
    ///
    /// # Errors
    /// [`ValueError::WrongLength`] unless `value` has the kind's width.
    pub fn new(kind: Kind, value: &[u8]) -> Result<Fingerprint, ValueError> {
        if value.len() != kind.width() {
            return Err(ValueError::WrongLength { kind, expected: kind.width(), found: value.len(), unit: "bytes" });
        }
        Ok(Fingerprint { kind, value: value.into() })
    }

    /// Reads a value printed in `encoding`.
    ///
    /// # Errors
    /// What is wrong with the text, as [`ValueError`].
    pub fn parse(kind: Kind, text: &str, encoding: Encoding) -> Result<Fingerprint, ValueError> {
        let mut value = vec![0; kind.width()];
        encoding.decode_into(kind, text.as_bytes(), &mut value)?;
        Ok(Fingerprint { kind, value: value.into() })
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The raw bytes, [`Kind::width`] of them.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value in lower-case hex.
    pub fn to_hex(&self) -> String {
        Encoding::Hex.encode(&self.value)
    }
}

/// `kind:hex`, the form in which people and logs of the list keeper name a fingerprint.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Reads `kind:hex`.
    fn from_str(text: &str) -> Result<Fingerprint, ParseFingerprintError> {
        let (kind, value) = text.split_once(':').ok_or(ParseFingerprintError::NoKind)?;
        Ok(Fingerprint::parse(kind.parse()?, value, Encoding::Hex)?)
    }
}

/// What is wrong with a printed fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFingerprintError {
    /// No `kind:` in front.
    #[error("expected KIND:HEX, found no colon; name the kind (`md5:…`)")]
    NoKind,
    /// The name before the colon is no kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// The value does not fit its kind.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_one_to_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
            assert_eq!(kind.name().parse::<Kind>(), Ok(kind));
            assert!(kind.width() <= Kind::MAX_WIDTH);
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!("SHA-256".parse::<Kind>(), Ok(Kind::Sha256));
        assert!("md4".parse::<Kind>().is_err());
    }

    #[test]
    fn a_printed_fingerprint_reads_back() {
        let fingerprint = hash_bytes(Kind::Md5, b"hashward");
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
        assert_eq!("d41d8cd9".parse::<Fingerprint>(), Err(ParseFingerprintError::NoKind));
    }
}
