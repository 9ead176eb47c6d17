//! The start of a file: a format or none, and for texts the same with either end of lines.
#![no_main]

use hashward_index::formats::{Format, detect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let with_cr: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| [&b"\r"[..], &[]][usize::from(*byte != b'\n')].iter().chain([byte]))
        .copied()
        .collect();
    let (one, other) = (detect(bytes), detect(&with_cr));
    // The start of EnCase's binary files holds a line end.
    if ![one, other].contains(&Some(Format::Encase)) {
        assert_eq!(one, other);
    }
});
