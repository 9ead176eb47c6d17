//! Picture bytes → perceptual hashes.
//!
//! The bytes come from strangers, and the same bytes must give the same hashes everywhere: on the list keeper's
//! machine, at a platform, in another implementation. So decoding follows the pipeline that most PDQ hashes in the world
//! come from, Pillow's `Image.open(file).convert("RGB")` and then Meta's hasher, quirks included: transparency is
//! dropped and not blended, orientation tags count in TIFF only, of many pictures the first counts.
//!
//! Two things differ, for Pillow's way would lose the picture: 16-bit grey keeps its upper eight bits, where Pillow makes
//! white of all but the darkest, and a picture that ends early is an error wherever the decoder notices.
//!
//! Nothing here is a sandbox. Every limit is checked before anything is allocated for the picture, and no bytes are known
//! to make it panic, but the decoders are others' work: strangers' pictures are hashed in worker processes only.

mod decode;
mod hash64;
mod pdq;
mod pixels;
mod sniff;

pub use decode::{DecodeLimits, PictureError, decode};
pub use hash64::hash64;
pub use pdq::{Dihedral, PDQ_QUALITY_MIN, Pdq, PdqHash};
pub use pixels::{Channels, Pixels};
pub use sniff::{Format, SNIFF_BYTES, sniff};

use crate::fingerprint::Kind;

/// Which hashes of a picture are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashRequest {
    /// Kinds, each of [`Kind::PERCEPTUAL`].
    pub kinds: Vec<Kind>,
    /// Whether PDQ is also wanted of the picture turned and mirrored.
    pub dihedral: bool,
}

/// The hashes of one picture, those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureHashes {
    /// PDQ with its quality.
    pub pdq: Option<Pdq>,
    /// The 64-bit kinds, in the order of the request.
    pub hashes64: Vec<(Kind, [u8; 8])>,
}

/// Decodes `bytes` and computes what `request` asks for.
///
/// # Errors
/// Why there is no hash, as [`PictureError`]; kinds that are not computed from pictures are refused.
pub fn hash_picture(bytes: &[u8], request: &HashRequest, limits: &DecodeLimits) -> Result<PictureHashes, PictureError> {
    if let Some(kind) = request.kinds.iter().find(|kind| !Kind::PERCEPTUAL.contains(kind)) {
        return Err(PictureError::NotPerceptual { kind: *kind });
    }
    // PDQ needs luma only, which a JPEG hands out directly; its answer must not depend on what else is asked.
    let pdq = match request.kinds.contains(&Kind::Pdq) {
        true => Some(Pdq::of(&decode(bytes, Channels::Luma, limits)?, request.dihedral)),
        false => None,
    };
    let kinds64: Vec<Kind> = request.kinds.iter().copied().filter(|kind| *kind != Kind::Pdq).collect();
    let hashes64 = match kinds64.is_empty() {
        true => vec![],
        false => hash64(decode(bytes, Channels::Rgb, limits)?, &kinds64),
    };
    Ok(PictureHashes { pdq, hashes64 })
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgb, RgbImage};

    use super::*;
    use crate::fingerprint::is_degenerate_code;

    #[test]
    fn codes_of_flat_pictures_are_degenerate() {
        for grey in 0..=255 {
            let pixels = |width, height| {
                Pixels::try_from(DynamicImage::from(RgbImage::from_pixel(width, height, Rgb([grey; 3])))).unwrap()
            };
            for (width, height) in [(8, 8), (64, 64), (100, 37), (160, 120)] {
                let hash = Pdq::of(&pixels(width, height), false).hash;
                assert!(is_degenerate_code(Kind::Pdq, &hash.0), "{grey}, {width}×{height}: {hash}");
            }
            // In the middle of the scale `blockhash64` rounds either way, and where a side is no multiple of 8 too.
            let kinds = [Kind::Phash64, Kind::Dhash64, Kind::Blockhash64];
            for (kind, hash) in hash64(pixels(64, 64), &kinds) {
                assert!(is_degenerate_code(kind, &hash), "{grey}: {kind} {hash:02x?}");
            }
        }
    }
}
