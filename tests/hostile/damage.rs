//! Good pictures gone bad: cut off, bits flipped, and called what they are not.

use image::ImageFormat;

use super::{End, Hostile, hostile};
use crate::worker_support::{encoded, picture};

/// How often each picture is cut, and how often its bits are flipped.
const CUTS: usize = 12;
const FLIPS: usize = 16;

/// Bytes that say what a file is, in all formats.
const MAGIC_BYTES: usize = 12;

/// A generator of numbers that look random and are the same every time (Vigna's splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next_below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

pub(super) fn damaged() -> Vec<Hostile> {
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];
    let good: Vec<(ImageFormat, Vec<u8>)> =
        formats.iter().map(|format| (*format, encoded(&picture(3, 48), *format))).collect();
    let mut numbers = Numbers(1);
    let mut damaged = Vec::new();
    for (format, bytes) in &good {
        for cut in 0..CUTS {
            let length = MAGIC_BYTES + (bytes.len() - MAGIC_BYTES) * cut / CUTS;
            damaged.push(hostile(format!("{format:?} cut at {length}"), bytes[..length].to_vec(), End::Ends));
        }
        for flip in 0..FLIPS {
            let mut flipped = bytes.clone();
            // Early on stands what decides most.
            let reach = if flip % 2 == 0 { flipped.len() } else { flipped.len().min(100) };
            for _ in 0..1 + flip / 4 {
                let at = MAGIC_BYTES + numbers.next_below(reach - MAGIC_BYTES);
                flipped[at] ^= 1 << numbers.next_below(8);
            }
            damaged.push(hostile(format!("{format:?} with bits flipped, {flip}"), flipped, End::Ends));
        }
        for (other, body) in &good {
            let mislabelled = [&bytes[..MAGIC_BYTES], &body[MAGIC_BYTES..]].concat();
            damaged.push(hostile(format!("{other:?} that begins like {format:?}"), mislabelled, End::Ends));
        }
        let random: Vec<u8> = (0..5_000).map(|_| numbers.next_below(256) as u8).collect();
        damaged.push(hostile(
            format!("noise that begins like {format:?}"),
            [&bytes[..MAGIC_BYTES], &random].concat(),
            End::Ends,
        ));
    }
    damaged
}
