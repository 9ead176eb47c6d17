//! HashKeeper's two files, the one that says what sets mean before the one with the hashes, parted by a zero byte: read or
//! refused, and no record has a category that the first does not give.
#![no_main]

mod sink;

use hashward_index::formats::{Format, NotableFlags, ParseOptions};
use libfuzzer_sys::fuzz_target;
use sink::Promised;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (sets, mut hashes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(notable) = NotableFlags::read(&mut &sets[..]) else { return };
    let options = ParseOptions { notable, ..ParseOptions::default() };
    let mut sink = Promised::default();
    if let Ok(parsed) = Format::Hashkeeper.parse(&mut hashes, &options, &mut sink) {
        assert_eq!((parsed.records, parsed.rejected), (sink.records + sink.rejected, sink.rejected));
    }
});
