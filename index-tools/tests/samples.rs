//! The parsers against samples, own and shared, and what the `expected.json` beside them demands.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Collector, Said};
use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::Flag;
use hashward_index::formats::{Format, Limits, ParseOptions, detect, open, parse_file};
use serde_json::Value;

/// Formats whose parsers exist.
const FORMATS: [(&str, Format); 18] = [
    ("sum", Format::Sum),
    ("hex", Format::Hex),
    ("hashdeep", Format::Hashdeep),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("nsrl-v2", Format::NsrlV2),
    ("nsrl-v3", Format::NsrlV3),
    ("nsrl-v3-delta", Format::NsrlV3Delta),
    ("vics", Format::Vics),
    ("clamav", Format::Clamav),
    ("hashkeeper", Format::Hashkeeper),
    ("encase", Format::Encase),
    ("icse", Format::Icse),
    ("dfxml", Format::Dfxml),
    ("caid", Format::Caid),
    ("stix", Format::Stix),
    ("misp", Format::Misp),
    ("p2p", Format::P2p),
];

#[test]
fn own_samples_come_out_as_expected() {
    let checked = check_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert!(checked.is_some_and(|checked| checked >= 27), "{checked:?} samples");
}

#[test]
fn shared_samples_come_out_as_expected() {
    match check_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists")) {
        Some(checked) => assert!(checked >= 25, "only {checked} samples"),
        None => println!("skipped: ../shared/testdata is not here"),
    }
}

/// Checks every sample of a folder whose format is known; `None` if the folder is not there.
fn check_folder(folder: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(folder.join("expected.json")).ok()?;
    let expected: Value = serde_json::from_str(&text).expect("expected.json is JSON");
    let mut checked = 0;
    for (path, expected) in expected.as_object().expect("an object by path") {
        let format = expected["format"].as_str().and_then(|name| FORMATS.iter().find(|(known, _)| *known == name));
        if let Some((_, format)) = format {
            // The shared table has the format `csv` with either delimiter.
            let format = if path.ends_with(".tsv") { Format::Tsv } else { *format };
            check(folder, path, format, expected);
            checked += 1;
        } else if let Ok(mut input) = open(&folder.join(path), &Limits::default()) {
            let detected = detect(input.fill_buf().unwrap());
            assert_eq!(detected, None, "{path} is in a format that is not read");
        }
    }
    Some(checked)
}

fn check(folder: &Path, path: &str, format: Format, expected: &Value) {
    let file = &folder.join(path);
    let options = ParseOptions {
        kind: expected["kind"].as_str().map(|kind| kind.parse().unwrap()),
        columns: columns(expected),
        base: expected["base"].as_str().map(|base| folder.join(base)),
        ..ParseOptions::default()
    };
    let mut sink = Collector::new();
    let parsed = parse_file(file, Some(format), &options, &Limits::default(), &mut sink);
    if let Some(fatal) = expected["fatal"].as_str() {
        let error = parsed.expect_err("a file to refuse");
        assert_eq!(error.refusal().map(|why| why.name()), Some(fatal), "{path}: {error}");
        return;
    }
    if expected.get("companion_of").is_some() {
        assert!(parsed.is_err(), "{path} is no list");
        return;
    }
    let (_, parsed) = parsed.unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(serde_json::to_value(accepted(&sink)).unwrap(), expected["accepted"], "{path}: accepted");
    assert_eq!(sink.duplicates, expected["duplicates"], "{path}: duplicates");
    assert_eq!(sink.dropped, expected["dropped_empty"], "{path}: dropped");
    let rejected: Vec<Value> = sink
        .rejected
        .iter()
        .map(|rejected| match rejected.line {
            Some(line) => serde_json::json!({"record": rejected.record, "line": line, "reason": rejected.reason}),
            None => serde_json::json!({"record": rejected.record, "reason": rejected.reason}),
        })
        .collect();
    assert_eq!(Value::from(rejected), expected["rejected"], "{path}: rejected");
    assert_eq!(parsed.rejected, sink.rejected.len() as u64, "{path}");
    if let Some(unsupported) = expected.get("unsupported") {
        assert_eq!(&serde_json::to_value(&sink.unsupported).unwrap(), unsupported, "{path}: unsupported");
    } else {
        assert!(sink.unsupported.is_empty(), "{path}: {:?}", sink.unsupported);
    }
    for sample in expected["samples"].as_array().unwrap() {
        check_sample(file, sample, &sink);
    }
    for absent in expected["absent"].as_array().into_iter().flatten() {
        let absent = value(absent);
        assert!(!sink.distinct.contains(&absent), "{path}: {absent} must not be found");
    }
    let head = open(file, &Limits::default()).unwrap().fill_buf().unwrap().to_vec();
    // A table whose headers mean nothing to us cannot be recognised.
    let is_mapped = expected.get("columns").is_some();
    assert!(detect(&head) == Some(format) || is_mapped, "{path}: {:?} detected", detect(&head));
}

fn columns(expected: &Value) -> Vec<(String, String)> {
    let columns = expected["columns"].as_object().into_iter().flatten();
    columns.map(|(field, header)| (field.clone(), header.as_str().unwrap().to_owned())).collect()
}

/// Distinct fingerprints by kind.
fn accepted(sink: &Collector) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for fingerprint in &sink.distinct {
        *counts.entry(fingerprint.kind().name()).or_default() += 1;
    }
    counts
}

/// What all records say of a fingerprint.
fn said_of<'a>(sink: &'a Collector, fingerprint: &'a Fingerprint) -> impl Iterator<Item = &'a Said> {
    sink.said.iter().filter(move |(other, _)| other == fingerprint).map(|(_, said)| said)
}

fn value(sample: &Value) -> Fingerprint {
    let kind: Kind = sample["kind"].as_str().unwrap().parse().unwrap();
    let encoding = if kind == Kind::PhotoDna { Encoding::Base64 } else { Encoding::Hex };
    Fingerprint::parse(kind, sample["value"].as_str().unwrap(), encoding).unwrap()
}

/// One record that holds the sample's fingerprint says all that the sample says.
fn check_sample(file: &Path, sample: &Value, sink: &Collector) {
    // As VICS names them, and as ICSE does.
    let flags = [
        ("IsPrecategorized", Flag::Precategorized),
        ("VictimIdentified", Flag::VictimIdentified),
        ("OffenderIdentified", Flag::OffenderIdentified),
        ("IsDistributed", Flag::Distributed),
        ("Victim identified", Flag::VictimIdentified),
        ("Offender identified", Flag::OffenderIdentified),
        ("Is distributed", Flag::Distributed),
    ];
    let fingerprint = value(sample);
    let agrees = |field: &str, found: Option<&str>| sample[field].as_str().is_none_or(|text| found == Some(text));
    let fits = said_of(sink, &fingerprint).any(|said| {
        let name = said.name.as_deref().map(|name| match std::str::from_utf8(name) {
            Ok(name) => name.to_owned(),
            Err(_) => name.iter().map(|byte| char::from(*byte)).collect(),
        });
        agrees("category", said.category.as_deref())
            && agrees("scheme", said.scheme.as_deref())
            && agrees("name", name.as_deref())
            && sample["flags"]["notable_flag"].as_bool().is_none_or(|expected| {
                let code = if expected { "1" } else { "0" };
                (said.scheme.as_deref(), said.category.as_deref()) == (Some("notable_flag"), Some(code))
            })
            && flags.iter().all(|(name, flag)| {
                sample["flags"][name].as_bool().is_none_or(|expected| said.flags.has(*flag) == expected)
            })
    });
    let said: Vec<_> = said_of(sink, &fingerprint).collect();
    assert!(fits, "{}: expected {sample}, found {said:?}", file.display());
}
