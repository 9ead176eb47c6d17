//! GIF's first picture, through crate `gif`: Pillow fills what the picture leaves bare of the screen from the palette,
//! and only here the palette can be had.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use super::super::pixels::{Channels, Pixels};
use super::super::sniff::Format;
use super::{DecodeLimits, PictureError};

const FORMAT: Format = Format::Gif;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Pixels, PictureError> {
    let malformed = |detail: &str| PictureError::Malformed { format: FORMAT, detail: detail.to_owned() };
    let failed = |error: gif::DecodingError| malformed(&error.to_string());
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Unlimited); // Checked below, before anything of the picture's size is made.
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(failed)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(failed)?.ok_or_else(|| malformed("there is no picture"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let (bare, palette) = (frame.transparent.unwrap_or(0), frame.palette.clone());
    let (width, height) = (screen.0.max(left + frame_width), screen.1.max(top + frame_height));
    limits.check_size(FORMAT, width as u64, height as u64)?;
    limits.check_memory(FORMAT, (frame_width * frame_height + 3 * width * height) as u64)?;

    let palette = palette.or_else(|| decoder.global_palette().map(<[u8]>::to_vec));
    let colour = |index: u8| match &palette {
        Some(palette) => palette.as_chunks::<3>().0.get(usize::from(index)).copied().unwrap_or_default(),
        None => [index; 3],
    };
    let colours: [[u8; 3]; 256] = std::array::from_fn(|index| colour(index as u8));
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(failed)?;
    if indices.len() != frame_width * frame_height || indices.is_empty() {
        return Err(malformed("the picture has no pixels"));
    }
    let mut samples = colours[usize::from(bare)].repeat(width * height);
    for (row, indices) in indices.chunks_exact(frame_width).enumerate() {
        let start = ((top + row) * width + left) * 3;
        let pixels = samples[start..start + frame_width * 3].as_chunks_mut().0;
        pixels.iter_mut().zip(indices).for_each(|(pixel, index)| *pixel = colours[usize::from(*index)]);
    }
    Pixels::new(width as u32, height as u32, Channels::Rgb, samples).ok_or_else(|| malformed("samples are missing"))
}
