//! The 64-bit kinds, by crate `image_hasher` on the decoded picture at full size.
//!
//! Handing it the picture reduced would save most of the time (its Lanczos filter takes some 90 ms for 12 megapixels), and
//! would give other values than everybody else's `image_hasher` does. The first bit is the lowest of the first byte.

use image::DynamicImage;
use image_hasher::{HashAlg, HasherConfig};

use super::pixels::Pixels;
use crate::fingerprint::Kind;

/// The hashes of `pixels` of those `kinds` that have 64 bits, in their order.
pub fn hash64(pixels: Pixels, kinds: &[Kind]) -> Vec<(Kind, [u8; 8])> {
    let picture = DynamicImage::from(pixels);
    let hash = |kind: Kind| {
        let config = HasherConfig::with_bytes_type::<[u8; 8]>().hash_size(8, 8);
        let config = match kind {
            Kind::Phash64 => config.hash_alg(HashAlg::Median).preproc_dct(),
            Kind::Dhash64 => config.hash_alg(HashAlg::Gradient),
            Kind::Blockhash64 => config.hash_alg(HashAlg::Blockhash),
            _ => return None,
        };
        let hash = config.to_hasher().hash_image(&picture);
        Some((kind, hash.as_bytes().try_into().expect("8 × 8 bits")))
    };
    kinds.iter().filter_map(|kind| hash(*kind)).collect()
}
