//! The formats that crate `image` decodes whole: PNG, WebP, BMP and TIFF.

use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::super::pixels::{Channels, Pixels};
use super::super::sniff::Format;
use super::{DecodeLimits, PictureError};

/// `format` is that of `bytes`, and `image_format` what crate `image` calls it.
pub(super) fn decode(
    bytes: &[u8],
    format: Format,
    image_format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<Pixels, PictureError> {
    let failed = |error: ImageError| match error {
        ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => {
            PictureError::Memory { format, needed: limits.memory_bytes_max, limit: limits.memory_bytes_max }
        }
        ImageError::Unsupported(error) => PictureError::Unsupported { format, detail: error.to_string() },
        error => PictureError::Malformed { format, detail: error.to_string() },
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image_format);
    let mut decoder_limits = Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.memory_bytes_max);
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check_size(format, width.into(), height.into())?;
    let color = decoder.color_type();
    let needed = decoder.total_bytes();
    decoder_limits.max_alloc = Some(limits.check_memory(format, needed)?);
    decoder.set_limits(decoder_limits).map_err(failed)?;
    // Pillow turns a TIFF as its orientation tag says, and no other format.
    let orientation = match format {
        Format::Tiff => decoder.orientation().map_err(failed)?,
        _ => Orientation::NoTransforms,
    };
    let mut samples = vec![0; needed as usize];
    decoder.read_image(&mut samples).map_err(failed)?;
    let channels = convert(color, &mut samples)
        .ok_or_else(|| PictureError::Unsupported { format, detail: format!("{color:?}") })?;
    let pixels = Pixels::new(width, height, channels, samples);
    let pixels = pixels.ok_or_else(|| PictureError::Malformed { format, detail: "samples are missing".into() })?;
    if orientation == Orientation::NoTransforms {
        return Ok(pixels);
    }
    limits.check_memory(format, 2 * needed)?;
    let mut picture = DynamicImage::from(pixels);
    picture.apply_orientation(orientation);
    Pixels::try_from(picture).map_err(|_| PictureError::Malformed { format, detail: "samples are missing".into() })
}

/// Turns samples into bytes of luma or RGB, in place; `None` for floats. Alpha is dropped and of 16 bits the upper
/// eight are kept, as Pillow does.
fn convert(color: ColorType, samples: &mut Vec<u8>) -> Option<Channels> {
    let high = if cfg!(target_endian = "little") { 1 } else { 0 };
    let (channels, step, places): (_, _, &[usize]) = match color {
        ColorType::L8 => return Some(Channels::Luma),
        ColorType::Rgb8 => return Some(Channels::Rgb),
        ColorType::La8 => (Channels::Luma, 2, &[0]),
        ColorType::Rgba8 => (Channels::Rgb, 4, &[0, 1, 2]),
        ColorType::L16 => (Channels::Luma, 2, &[high]),
        ColorType::La16 => (Channels::Luma, 4, &[high]),
        ColorType::Rgb16 => (Channels::Rgb, 6, &[high, 2 + high, 4 + high]),
        ColorType::Rgba16 => (Channels::Rgb, 8, &[high, 2 + high, 4 + high]),
        _ => return None,
    };
    let pixels = samples.len() / step;
    for pixel in 0..pixels {
        for (channel, place) in places.iter().enumerate() {
            samples[pixel * places.len() + channel] = samples[pixel * step + place];
        }
    }
    samples.truncate(pixels * places.len());
    Some(channels)
}
