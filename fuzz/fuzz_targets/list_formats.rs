//! Lists in every format that is a stream: read or refused, and records as promised. The format is the one that is
//! recognised, and the one that the last byte names, so that samples are good seeds as they are.
#![no_main]

mod sink;

use hashward::fingerprint::Kind;
use hashward_index::formats::{Format, ParseOptions, detect};
use libfuzzer_sys::fuzz_target;
use sink::Promised;

fuzz_target!(|bytes: &[u8]| {
    let named = bytes.last().map(|last| Format::ALL[usize::from(*last) % Format::ALL.len()]);
    let options = ParseOptions {
        kind: Some(Kind::Md5),
        columns: vec![("sha1".to_owned(), "a".to_owned()), ("category".to_owned(), "b".to_owned())],
        ..ParseOptions::default()
    };
    // Databases are written to a file first, and have a target of their own.
    for format in detect(bytes).into_iter().chain(named).filter(|format| *format != Format::NsrlV3) {
        let mut sink = Promised::default();
        if let Ok(parsed) = format.parse(&mut &bytes[..], &options, &mut sink) {
            assert_eq!(parsed.rejected, sink.rejected, "{format}");
            assert_eq!(parsed.records, sink.records + sink.rejected, "{format}");
        }
    }
});
