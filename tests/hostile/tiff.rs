//! TIFFs whose directories run in circles or count what is not there.

use super::{End, Hostile, NOTHING_THERE, TOO_LARGE, hostile};

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A field: tag, type, count, value or offset.
type Field = (u16, u16, u32, u32);

/// A TIFF of one directory at offset 8, whose successor is at `next`, and then `body`.
fn tiff(fields: &[Field], next: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend_from_slice(&(fields.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in fields {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&next.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Where the body of a TIFF of [`grey`] begins.
const BODY_AT: u32 = 8 + 2 + 9 * 12 + 4;

/// The fields of a grey picture of 8 bits, uncompressed, in one strip.
fn grey(width: u32, height: u32) -> [Field; 9] {
    [
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, 1, 8),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 1),
        (273, LONG, 1, BODY_AT),
        (277, SHORT, 1, 1),
        (278, LONG, 1, height),
        (279, LONG, 1, width.wrapping_mul(height)),
    ]
}

/// The fields of `grey`, with the one of the same tag replaced.
fn with(width: u32, height: u32, field: Field) -> [Field; 9] {
    grey(width, height).map(|known| if known.0 == field.0 { field } else { known })
}

pub(super) fn loops_and_lies() -> Vec<Hostile> {
    let pixels: Vec<u8> = (0..64 * 64u32).map(|place| (place * 7) as u8).collect();
    let big = [b"II+\0\x08\0\0\0", &16u64.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &[0; 64]].concat();
    vec![
        hostile("tiff as it should be", tiff(&grey(64, 64), 0, &pixels), End::Hashes),
        hostile("tiff that follows itself", tiff(&grey(64, 64), 8, &pixels), NOTHING_THERE),
        hostile("tiff of nothing that follows itself", tiff(&[], 8, &[]), NOTHING_THERE),
        hostile("tiff whose first directory is beyond the end", b"II*\0\xFF\xFF\xFF\xFF".to_vec(), NOTHING_THERE),
        hostile("tiff 100000×100000", tiff(&grey(100_000, 100_000), 0, &[]), TOO_LARGE),
        hostile("tiff of 2³²-1 squared", tiff(&grey(u32::MAX, u32::MAX), 0, &[]), NOTHING_THERE),
        hostile("tiff of 2³²-1 strips", tiff(&with(64, 64, (273, LONG, u32::MAX, BODY_AT)), 0, &pixels), NOTHING_THERE),
        hostile(
            "tiff of 2³²-1 lengths",
            tiff(&with(64, 64, (279, LONG, u32::MAX, BODY_AT)), 0, &pixels),
            NOTHING_THERE,
        ),
        hostile("tiff of a strip of 4 GiB", tiff(&with(64, 64, (279, LONG, 1, u32::MAX)), 0, &pixels), End::Ends),
        hostile(
            "tiff whose strip is beyond the end",
            tiff(&with(64, 64, (273, LONG, 1, u32::MAX)), 0, &pixels),
            NOTHING_THERE,
        ),
        hostile("tiff of no rows a strip", tiff(&with(64, 64, (278, LONG, 1, 0)), 0, &pixels), End::Ends),
        hostile("tiff 9000×9000 without data", tiff(&grey(9_000, 9_000), 0, &[]), NOTHING_THERE),
        hostile(
            "tiff of 65,535 samples a pixel",
            tiff(&with(64, 64, (277, SHORT, 1, 65_535)), 0, &pixels),
            NOTHING_THERE,
        ),
        hostile("tiff of 2⁶⁴-1 fields", big, NOTHING_THERE),
    ]
}
