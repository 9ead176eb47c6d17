//! Files as they are given to an import, in whatever wrapping: unfolded within the limits, or refused.
#![no_main]

mod sink;

use std::io::{Read, Write};

use hashward_index::formats::{Limits, ParseOptions, open, parse_file};
use libfuzzer_sys::fuzz_target;
use sink::Promised;
use tempfile::NamedTempFile;

/// Little enough to be met by small inputs.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 200 };

fuzz_target!(|bytes: &[u8]| {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(mut input) = open(file.path(), &LIMITS) {
        let mut text = Vec::new();
        let _ = input.read_to_end(&mut text);
        // UTF-16 grows by half at most when it becomes UTF-8, and a plain file knows no limit.
        assert!(text.len() as u64 <= (LIMITS.max_bytes.max(bytes.len() as u64)) * 3 / 2);
    }
    let mut sink = Promised::default();
    let _ = parse_file(file.path(), None, &ParseOptions::default(), &LIMITS, &mut sink);
});
