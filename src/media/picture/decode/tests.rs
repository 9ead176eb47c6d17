//! Pictures that are damaged, cut, mislabelled or declare more than they hold.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::fingerprint::Kind;
use crate::media::picture::{HashRequest, SNIFF_BYTES, hash_picture};

const FORMATS: [(Format, ImageFormat); 6] = [
    (Format::Jpeg, ImageFormat::Jpeg),
    (Format::Png, ImageFormat::Png),
    (Format::Gif, ImageFormat::Gif),
    (Format::WebP, ImageFormat::WebP),
    (Format::Bmp, ImageFormat::Bmp),
    (Format::Tiff, ImageFormat::Tiff),
];

const LIMITS: DecodeLimits = DecodeLimits { pixels_max: 100_000, memory_bytes_max: 4 << 20, input_bytes_max: 1 << 20 };

fn picture(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let pixel = |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, (x * y) as u8]);
    let mut file = Cursor::new(vec![]);
    DynamicImage::from(RgbImage::from_fn(width, height, pixel)).write_to(&mut file, format).expect("a picture");
    file.into_inner()
}

fn hash(bytes: &[u8]) -> Result<(), PictureError> {
    let request = HashRequest { kinds: Kind::PERCEPTUAL.to_vec(), dihedral: true };
    hash_picture(bytes, &request, &LIMITS).map(|hashes| {
        assert!(hashes.pdq.is_some_and(|pdq| pdq.quality <= 100));
        assert_eq!(hashes.hashes64.len(), 3);
    })
}

#[test]
fn half_a_picture_has_no_hash() {
    for (format, image_format) in FORMATS {
        let whole = picture(image_format, 64, 48);
        assert_eq!(hash(&whole), Ok(()), "{format}");
        let error = hash(&whole[..whole.len() / 2]).expect_err("half a picture");
        assert!(matches!(error, PictureError::Malformed { format: found, .. } if found == format), "{error:?}");
        assert!(matches!(hash(&whole[..SNIFF_BYTES]), Err(PictureError::Malformed { .. })), "{format}");
    }
}

/// Sides of one pixel, and others that no block of a hasher or decoder divides.
#[test]
fn small_pictures_have_hashes() {
    for (_, image_format) in FORMATS {
        for (width, height) in [(1, 1), (1, 100), (100, 1), (4, 5), (5, 5), (7, 9), (17, 33)] {
            assert_eq!(hash(&picture(image_format, width, height)), Ok(()), "{image_format:?} {width}×{height}");
        }
    }
}

#[test]
fn limits_hold_in_every_format() {
    for (format, image_format) in FORMATS {
        let whole = picture(image_format, 64, 48);
        let decode = |limits: DecodeLimits| super::decode(&whole, Channels::Rgb, &limits).expect_err("a limit");
        let error = decode(DecodeLimits { pixels_max: 64 * 48 - 1, ..LIMITS });
        assert_eq!(error, PictureError::TooManyPixels { format, width: 64, height: 48, limit: 64 * 48 - 1 });
        let error = decode(DecodeLimits { memory_bytes_max: 64 * 48 * 3 - 1, ..LIMITS });
        assert!(matches!(error, PictureError::Memory { .. }), "{error:?}");
        let error = decode(DecodeLimits { input_bytes_max: whole.len() as u64 - 1, ..LIMITS });
        assert!(matches!(error, PictureError::TooManyBytes { .. }), "{error:?}");
    }
}

/// Each declares 30,000 × 30,000 pixels in a few bytes.
#[test]
fn a_huge_declared_size_is_refused_before_it_is_believed() {
    let huge = 30_000u32;
    let patched = |format: ImageFormat, at: usize, size: &[u8]| {
        let mut file = picture(format, 16, 16);
        file[at..at + size.len()].copy_from_slice(size);
        file
    };
    let frame_header = picture(ImageFormat::Jpeg, 16, 16).windows(2).position(|two| two == [0xFF, 0xC0]).expect("one");
    let short = huge as u16;
    let files = [
        patched(ImageFormat::Jpeg, frame_header + 5, &[short.to_be_bytes(), short.to_be_bytes()].concat()),
        patched(ImageFormat::Gif, 6, &[short.to_le_bytes(), short.to_le_bytes()].concat()),
        patched(ImageFormat::Bmp, 18, &[huge.to_le_bytes(), huge.to_le_bytes()].concat()),
    ];
    for file in files {
        let error = super::decode(&file, Channels::Luma, &DecodeLimits::default()).expect_err("900 megapixels");
        assert!(matches!(error, PictureError::TooManyPixels { width: 30_000, height: 30_000, .. }), "{error:?}");
    }
}

#[test]
fn other_kinds_and_other_files_are_refused() {
    let request = HashRequest { kinds: vec![Kind::Md5], dihedral: false };
    assert_eq!(hash_picture(b"", &request, &LIMITS), Err(PictureError::NotPerceptual { kind: Kind::Md5 }));
    assert_eq!(hash(b"no picture at all"), Err(PictureError::NotAPicture));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happened to the bytes, there is an answer.
    #[test]
    fn damage_never_panics(
        (format, of) in (0..FORMATS.len(), 0..FORMATS.len()),
        keep in 0.0..=1.0f64,
        flips in prop::collection::vec((0.0..1.0f64, 0..8), 0..12),
    ) {
        let mut file = picture(FORMATS[format].1, 40, 30);
        file.truncate((file.len() as f64 * keep).ceil() as usize);
        let length = file.len();
        if length > 0 {
            for (place, bit) in flips {
                file[(length as f64 * place) as usize] ^= 1u8 << bit;
            }
        }
        let _ = hash(&file);
        // Mislabelled: one format's magic number on another's body.
        let head = picture(FORMATS[of].1, 40, 30);
        let at = SNIFF_BYTES.min(length);
        file[..at].copy_from_slice(&head[..at]);
        let _ = hash(&file);
    }
}
