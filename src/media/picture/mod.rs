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
