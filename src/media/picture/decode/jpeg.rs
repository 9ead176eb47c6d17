//! JPEG, through `zune-jpeg`. Directly, because PDQ needs only the luma that a JPEG stores, and without the other
//! components' transforms, upsampling and the way to RGB and back, that costs little more than half.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::super::pixels::{Channels, Pixels};
use super::super::sniff::Format;
use super::{DecodeLimits, PictureError};

const FORMAT: Format = Format::Jpeg;

pub(super) fn decode(bytes: &[u8], wanted: Channels, limits: &DecodeLimits) -> Result<Pixels, PictureError> {
    let malformed = |detail: String| PictureError::Malformed { format: FORMAT, detail };
    // Not strict: so many pictures break a rule in passing that the reference is lenient too. Those that end early are
    // another matter, for half a picture has another hash.
    if !is_complete(bytes) {
        return Err(malformed("the picture ends early".into()));
    }
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| malformed(error.to_string()))?;
    let (Some((width, height)), Some(stored), Some(info)) =
        (decoder.dimensions(), decoder.input_colorspace(), decoder.info())
    else {
        return Err(malformed("no frame header".into()));
    };
    limits.check_size(FORMAT, width as u64, height as u64)?;
    let (channels, space) = match (stored, wanted) {
        (ColorSpace::Luma, _) | (ColorSpace::YCbCr, Channels::Luma) => (Channels::Luma, ColorSpace::Luma),
        _ => (Channels::Rgb, ColorSpace::RGB),
    };
    // Beside the pixels, a picture of several scans has all its coefficients kept until the last: two bytes each.
    // Which pictures have several is known too late, so all are held against it.
    let pixels = width as u64 * height as u64;
    limits.check_memory(FORMAT, pixels * (channels.count() as u64 + 2 * u64::from(info.components)))?;
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut samples = vec![0; width * height * channels.count()];
    decoder.decode_into(&mut samples).map_err(|error| malformed(error.to_string()))?;
    Pixels::new(width as u32, height as u32, channels, samples).ok_or_else(|| malformed("samples are missing".into()))
}

/// Whether an end-of-image marker follows the first scan's header. Markers cannot occur within a scan's data, and those
/// of a thumbnail stand in a segment before it. A picture that was cut and ends with the marker all the same is decoded
/// as far as it goes, here as in the reference.
fn is_complete(bytes: &[u8]) -> bool {
    const SCAN: u8 = 0xDA;
    const END: [u8; 2] = [0xFF, 0xD9];
    let mut at = 2;
    loop {
        match bytes.get(at..at + 2) {
            Some([0xFF, SCAN]) => return bytes[at..].windows(2).rev().any(|two| two == END),
            Some([0xFF, 0x02..=0xCF | 0xD8..=0xFE]) => {
                let Some([high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
            }
            // A marker without a segment, or stray bytes before the next marker.
            Some(_) => at += 1,
            None => return false,
        }
    }
}
