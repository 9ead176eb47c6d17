//! Why a file has no perceptual hash.

use super::super::sniff::{Format, SNIFF_BYTES};
use crate::fingerprint::Kind;

/// Why a file has no perceptual hash. Except for [`PictureError::NotAPicture`] the caller answers `undecided`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file does not begin like any format that is decoded.
    #[error(
        "expected JPEG, PNG, GIF, WebP, BMP or TIFF, found none of their magic numbers in the first {SNIFF_BYTES} \
         bytes; ask about this file by exact kinds"
    )]
    NotAPicture,
    /// The format's variant is not decoded here.
    #[error("{format}: {detail} is not supported; convert the picture, or look at it")]
    Unsupported {
        /// The format by its magic number.
        format: Format,
        /// The variant.
        detail: String,
    },
    /// The bytes break the format's rules or end early.
    #[error("{format} cannot be decoded: {detail}; the file is damaged or mislabelled")]
    Malformed {
        /// The format by its magic number.
        format: Format,
        /// What the decoder found.
        detail: String,
    },
    /// More bytes than the limit.
    #[error("{format} of {found} bytes; expected at most {limit}; raise the limit on bytes, or look at the picture")]
    TooManyBytes {
        /// The format by its magic number.
        format: Format,
        /// The file's size in bytes.
        found: u64,
        /// [`super::DecodeLimits::input_bytes_max`].
        limit: u64,
    },
    /// More pixels than the limit.
    #[error(
        "{format} of {width} × {height} pixels; expected at most {limit} in all; raise the limit on pixels, or look at \
         the picture"
    )]
    TooManyPixels {
        /// The format by its magic number.
        format: Format,
        /// Pixels in a row.
        width: u64,
        /// Rows.
        height: u64,
        /// [`super::DecodeLimits::pixels_max`].
        limit: u64,
    },
    /// More memory than the limit.
    #[error("{format} needs {needed} bytes of memory; expected at most {limit}; raise the limit on memory")]
    Memory {
        /// The format by its magic number.
        format: Format,
        /// Bytes that decoding would take, at least.
        needed: u64,
        /// [`super::DecodeLimits::memory_bytes_max`].
        limit: u64,
    },
    /// A kind that is not computed from pictures.
    #[error("`{kind}` is not computed from pictures; expected one of {names}",
            names = Kind::PERCEPTUAL.map(Kind::name).join(", "))]
    NotPerceptual {
        /// The kind that was asked for.
        kind: Kind,
    },
}
