//! Made-up pictures that are as rich as photos, and copies of them.

#![allow(dead_code)] // each test binary uses its part

use std::io::Cursor;

use hashward::fingerprint::{Fingerprint, Kind};
use hashward::media::picture::{DecodeLimits, HashRequest, PDQ_QUALITY_MIN, hash_picture};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

/// A good number from 0 to 1 at each call, the same for each seed: SplitMix64 (Steele, Lea and Flood, 2014).
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 11) as f32 / (1u64 << 53) as f32
    }
}

/// A picture of 320 × 240 pixels: waves of many lengths and directions, another sum of them for each seed.
pub(crate) fn photo(seed: u64) -> RgbImage {
    let mut next = random(seed);
    let waves: Vec<[f32; 5]> = (1..20)
        .map(|number| {
            let frequency = number as f32 * 0.008;
            [
                (next() - 0.5) * frequency,
                (next() - 0.5) * frequency,
                next() * 6.3,
                next() / (number as f32).sqrt(),
                next(),
            ]
        })
        .collect();
    // sin(α + β) = sin α cos β + cos α sin β: sines of each column and of each row and colour, instead of each pixel.
    let angles = |count: u32, angle: &dyn Fn(u32, &[f32; 5]) -> f32| -> Vec<Vec<(f32, f32)>> {
        (0..count).map(|at| waves.iter().map(|wave| angle(at, wave).sin_cos()).collect()).collect()
    };
    let columns = angles(320, &|x, [across, ..]| x as f32 * across * 6.3);
    let rows = [0.0, 0.5, 1.0]
        .map(|colour| angles(240, &|y, [_, down, phase, _, tint]| y as f32 * down * 6.3 + phase + colour * tint));
    RgbImage::from_fn(320, 240, |x, y| {
        let column = &columns[x as usize];
        Rgb([0, 1, 2].map(|colour: usize| {
            let row = &rows[colour][y as usize];
            let of_wave = |at: usize| {
                let ((sin_x, cos_x), (sin_y, cos_y)) = (column[at], row[at]);
                waves[at][3] * (sin_x * cos_y + cos_x * sin_y)
            };
            let sum: f32 = (0..waves.len()).map(of_wave).sum();
            (128.0 + sum * 45.0).clamp(0.0, 255.0) as u8
        }))
    })
}

/// A picture of 320 × 240 pixels, of discs that lie on each other like dead leaves, large and small as things are in
/// photos: that gives edges and a spectrum as theirs (Lee, Mumford and Huang, 2001).
pub(crate) fn leaves(seed: u64) -> RgbImage {
    let mut next = random(seed);
    let mut picture = RgbImage::new(320, 240);
    for _ in 0..1_000 {
        // From 8 pixels up; how many there are falls with the cube of the radius.
        let radius = (8.0 / next().max(1e-4).sqrt()).min(160.0);
        let (across, down) = (next() * 320.0, next() * 240.0);
        // Mostly of one brightness in all three colours, as most things are.
        let shade = next();
        let colour = Rgb([next(), next(), next()].map(|tint| (20.0 + 150.0 * shade + 60.0 * tint) as u8));
        let around =
            |middle: f32, end: u32| ((middle - radius).max(0.0) as u32)..((middle + radius) as u32 + 1).min(end);
        for (x, y) in around(down, 240).flat_map(|y| around(across, 320).map(move |x| (x, y))) {
            if (x as f32 - across).powi(2) + (y as f32 - down).powi(2) < radius * radius {
                picture.put_pixel(x, y, colour);
            }
        }
    }
    picture
}

pub(crate) fn resized(picture: &RgbImage, scale: f32) -> RgbImage {
    let side = |side: u32| (side as f32 * scale) as u32;
    imageops::resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

pub(crate) fn mirrored(picture: &RgbImage) -> RgbImage {
    imageops::flip_horizontal(picture)
}

pub(crate) fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

pub(crate) fn bmp(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Bmp).unwrap();
    bytes
}

pub(crate) fn jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).unwrap();
    bytes
}

/// The PDQ of a picture that is good enough to have one.
pub(crate) fn pdq(picture: &RgbImage) -> Fingerprint {
    let request = HashRequest { kinds: vec![Kind::Pdq], dihedral: false };
    let hashes = hash_picture(&png(picture), &request, &DecodeLimits::default()).unwrap();
    let pdq = hashes.pdq.unwrap();
    assert!(pdq.quality >= PDQ_QUALITY_MIN, "a picture of quality {}", pdq.quality);
    Fingerprint::new(Kind::Pdq, &pdq.hash.0).unwrap()
}
