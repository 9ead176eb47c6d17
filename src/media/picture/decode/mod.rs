//! Picture bytes → pixels, within limits.

mod error;
mod gif;
mod jpeg;
mod other;

pub use error::PictureError;

use image::ImageFormat;

use super::pixels::{Channels, Pixels};
use super::sniff::{Format, sniff};

/// What a picture may cost. Held against what its header declares, before anything is allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width × height.
    pub pixels_max: u64,
    /// Memory for decoding, in bytes, beside the file itself. A pixel needs 1 to 11 of them, by format and depth; the
    /// 64-bit kinds then take one more.
    pub memory_bytes_max: u64,
    /// Size of the file.
    pub input_bytes_max: u64,
}

/// Room for any camera's pictures (a 100-megapixel JPEG needs 900 MB when it is progressive), and not for bombs.
impl Default for DecodeLimits {
    fn default() -> DecodeLimits {
        DecodeLimits { pixels_max: 100_000_000, memory_bytes_max: 1 << 30, input_bytes_max: 128 << 20 }
    }
}

impl DecodeLimits {
    /// Refuses a picture of too many pixels, or of none.
    fn check_size(&self, format: Format, width: u64, height: u64) -> Result<(), PictureError> {
        if width == 0 || height == 0 {
            return Err(PictureError::Malformed { format, detail: "the picture has no pixels".into() });
        }
        match width.checked_mul(height).is_some_and(|pixels| pixels <= self.pixels_max) {
            true => Ok(()),
            false => Err(PictureError::TooManyPixels { format, width, height, limit: self.pixels_max }),
        }
    }

    /// Refuses a picture that needs too much memory, and answers what is left beside it.
    fn check_memory(&self, format: Format, needed: u64) -> Result<u64, PictureError> {
        let limit = self.memory_bytes_max;
        limit.checked_sub(needed).ok_or(PictureError::Memory { format, needed, limit })
    }
}

/// Decodes a picture (of several in a file, the first) into pixels as Pillow's `convert("RGB")` makes them.
///
/// Grey pictures come as [`Channels::Luma`]. So do coloured JPEGs if `wanted` is that: the luma they store differs
/// from that of their red, green and blue by rounding, and by clipping in saturated places. All others come as
/// [`Channels::Rgb`].
///
/// # Errors
/// Why there are no pixels, as [`PictureError`].
pub fn decode(bytes: &[u8], wanted: Channels, limits: &DecodeLimits) -> Result<Pixels, PictureError> {
    let format = sniff(bytes).ok_or(PictureError::NotAPicture)?;
    let found = bytes.len() as u64;
    if found > limits.input_bytes_max {
        return Err(PictureError::TooManyBytes { format, found, limit: limits.input_bytes_max });
    }
    match format {
        Format::Jpeg => jpeg::decode(bytes, wanted, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Other => Err(PictureError::Unsupported { format, detail: "no decoder".into() }),
        Format::Png => other::decode(bytes, format, ImageFormat::Png, limits),
        Format::WebP => other::decode(bytes, format, ImageFormat::WebP, limits),
        Format::Bmp => other::decode(bytes, format, ImageFormat::Bmp, limits),
        Format::Tiff => other::decode(bytes, format, ImageFormat::Tiff, limits),
    }
}

#[cfg(test)]
mod tests;
