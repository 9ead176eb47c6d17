//! Hashes of pictures against the reference: PyPI `pdqhash` on pixels decoded by Pillow.
//!
//! The pictures and the reference's answers are the shared test data. Where that folder is absent, these tests say so and
//! pass.
#![cfg(feature = "media")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use hashward::fingerprint::Kind;
use hashward::media::picture::{DecodeLimits, HashRequest, Pdq, PdqHash, hash_picture};

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
            println!("{} differs by {bits} bits", expected.file);
            assert!(bits <= JPEG_BITS_MAX, "{} differs by {bits} bits", expected.file);
        }
    }
}
