//! Databases of the NSRL RDS, damaged or made up: read or refused, and never changed.
#![no_main]

mod sink;

use std::io::Write;

use hashward_index::formats::{Format, Limits, ParseOptions, parse_file};
use libfuzzer_sys::fuzz_target;
use sink::Promised;
use tempfile::NamedTempFile;

fuzz_target!(|bytes: &[u8]| {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut sink = Promised::default();
    let options = ParseOptions::default();
    let parsed = parse_file(file.path(), Some(Format::NsrlV3), &options, &Limits::default(), &mut sink);
    if let Ok((_, parsed)) = parsed {
        assert_eq!((parsed.records, parsed.rejected), (sink.records + sink.rejected, sink.rejected));
    }
    assert_eq!(std::fs::read(file.path()).unwrap(), bytes);
});
