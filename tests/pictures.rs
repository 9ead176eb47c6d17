//! Hashes of pictures against the reference: PyPI `pdqhash` on pixels decoded by Pillow.
//!
//! The pictures and the reference's answers are the shared test data. Where that folder is absent, these tests say so and
//! pass.
#![cfg(feature = "media")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use hashward::fingerprint::Kind;
use hashward::media::picture::{Channels, DecodeLimits, HashRequest, Pdq, PdqHash, PictureError, decode, hash_picture};

/// By how many bits a JPEG's hash may differ, for decoders differ by a grey level here and there.
const JPEG_BITS_MAX: u32 = 10;

fn shared_pictures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata/pdq");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

/// One row of a file of expected values.
struct Expected {
    file: String,
    quality: u8,
    strict: bool,
    dihedral: [PdqHash; 8],
}

fn hash_of(hex: &str) -> PdqHash {
    PdqHash(std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")))
}

fn expected(file: &Path) -> Vec<Expected> {
    let text = fs::read_to_string(file).expect("a readable file");
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| {
        let fields: HashMap<&str, &str> = columns.iter().copied().zip(line.split(',')).collect();
        Expected {
            file: fields["file"].to_owned(),
            quality: fields["quality"].parse().expect("a quality"),
            strict: fields.get("strict") == Some(&"yes"),
            dihedral: std::array::from_fn(|number| hash_of(fields[format!("dih{number}").as_str()])),
        }
    };
    lines.map(row).collect()
}

fn pdq(bytes: &[u8]) -> Pdq {
    let request = HashRequest { kinds: vec![Kind::Pdq], dihedral: true };
    hash_picture(bytes, &request, &DecodeLimits::default()).expect("a picture").pdq.expect("what was asked for")
}

#[test]
fn equal_pixels_have_the_hash_and_quality_of_the_reference() {
    let Some(folder) = shared_pictures() else { return };
    let folder = folder.join("lossless");
    for expected in expected(&folder.join("expected.csv")) {
        let found = pdq(&fs::read(folder.join(&expected.file)).expect("a picture"));
        assert_eq!(found.quality, expected.quality, "{}", expected.file);
        if expected.strict {
            assert_eq!(found.hash, expected.dihedral[0], "{}", expected.file);
            assert_eq!(found.dihedral, Some(expected.dihedral), "{}", expected.file);
        }
    }
}

#[test]
fn jpegs_are_within_ten_bits_of_the_reference() {
    let Some(folder) = shared_pictures() else { return };
    for expected in expected(&folder.join("expected.csv")) {
        let found = pdq(&fs::read(folder.join(&expected.file)).expect("a picture"));
        assert_eq!(found.quality, expected.quality, "{}", expected.file);
        for (found, expected_hash) in found.dihedral.expect("asked for").iter().zip(&expected.dihedral) {
            let bits = found.distance(expected_hash);
            assert!(bits <= JPEG_BITS_MAX, "{} differs by {bits} bits", expected.file);
        }
    }
}

/// CRC-32 as in zlib and PNG, of `bytes`.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// What a file of `tests/data/pictures` must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// The pixels and the hash that Pillow and pdqhash have.
    Equal,
    /// Lossy, so that decoders may differ by a grey level: a hash within ten bits.
    Near,
    /// Of 16-bit grey, Pillow makes white wherever it is above 255 of 65535; here the upper eight bits are kept.
    Grey16,
    /// Not supported by crate `tiff`.
    Unsupported,
}

fn rule(file: &str, crc: &str) -> Rule {
    match file {
        "grey16.png" | "grey16.tif" => Rule::Grey16,
        "palette.tif" => Rule::Unsupported,
        // Lossless, but the way from CMYK to RGB is rounded elsewhere.
        "cmyk.tif" => Rule::Near,
        _ if crc.is_empty() => Rule::Near,
        _ => Rule::Equal,
    }
}

/// The pictures of `tests/data/make_pictures.py`: every format and pixel layout, pixel by pixel where it is lossless.
#[test]
fn every_layout_is_decoded_as_pillow_decodes_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
    let text = fs::read_to_string(folder.join("expected.csv")).expect("a readable file");
    for line in text.lines().skip(1) {
        let [file, crc, hash, quality] = line.split(',').collect::<Vec<_>>()[..] else { panic!("four fields: {line}") };
        let bytes = fs::read(folder.join(file)).expect("a readable file");
        let rule = rule(file, crc);
        let pixels = match decode(&bytes, Channels::Rgb, &DecodeLimits::default()) {
            Err(PictureError::Unsupported { .. }) if rule == Rule::Unsupported => continue,
            pixels => pixels.unwrap_or_else(|error| panic!("{file}: {error}")),
        };
        let samples = pixels.samples().iter();
        let found_crc = match pixels.channels() {
            Channels::Luma => crc32(samples.flat_map(|sample| [*sample; 3])),
            Channels::Rgb => crc32(samples.copied()),
        };
        let found = pdq(&bytes);
        let bits = found.hash.distance(&hash_of(hash));
        let fits = match rule {
            Rule::Equal => format!("{found_crc:08x}") == crc && bits == 0 && found.quality.to_string() == quality,
            Rule::Near => bits <= JPEG_BITS_MAX,
            Rule::Grey16 => found.quality == 100,
            Rule::Unsupported => false,
        };
        assert!(fits, "{file}: {rule:?}, found pixels {found_crc:08x}, {bits} bits, quality {}", found.quality);
    }
}
