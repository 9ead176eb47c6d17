//! Sample lists through the program, from file to verdict, held against their `expected.json`: those of the project,
//! and the shared ones where they are.

mod program;

use std::collections::BTreeMap;
use std::path::Path;

use hashward::list::Category;

use program::{Ended, Folder, ask, fingerprint};
use serde_json::{Value, json};

/// Formats that can be imported.
const FORMATS: [(&str, &str); 18] = [
    ("sum", "sum"),
    ("hex", "hex"),
    ("hashdeep", "hashdeep"),
    ("csv", "csv"),
    ("tsv", "tsv"),
    ("nsrl-v2", "nsrl-v2"),
    ("nsrl-v3", "nsrl-v3"),
    ("nsrl-v3-delta", "nsrl-v3-delta"),
    ("vics", "vics"),
    ("clamav", "clamav"),
    ("hashkeeper", "hashkeeper"),
    ("encase", "encase"),
    ("icse", "icse"),
    ("dfxml", "dfxml"),
    ("caid", "caid"),
    ("stix", "stix"),
    ("misp", "misp"),
    ("p2p", "p2p"),
];

#[test]
fn own_samples_are_imported_as_expected() {
    let checked = check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert!(checked >= Some(15), "{checked:?} samples");
}

#[test]
fn shared_samples_are_imported_as_expected() {
    match check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists")) {
        Some(checked) => assert!(checked >= 25, "only {checked} samples"),
        None => println!("skipped: ../shared/testdata is not here"),
    }
}

/// Imports every sample of `folder` into one store, each as a list of its own. `None` if there is none.
fn check_all(folder: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(folder.join("expected.json")).ok()?;
    let samples: BTreeMap<String, Value> = serde_json::from_str(&text).expect("expected.json is an object by path");
    let keeper = Folder::new();
    let mut imported = Vec::new();
    let mut checked = 0;
    for (number, (path, expected)) in samples.iter().enumerate() {
        let format = FORMATS.iter().find(|(name, _)| expected["format"] == *name);
        let Some((_, format)) = format.filter(|_| expected.get("companion_of").is_none()) else { continue };
        let list = format!("sample-{number}");
        let ended = import(&keeper, &list, folder, path, format, expected);
        checked += 1;
        let accepted = expected.get("accepted").and_then(Value::as_object).is_some_and(|kinds| !kinds.is_empty());
        if expected.get("fatal").is_some() || !accepted {
            assert_eq!(ended.code, 1, "{path}: {}{}", ended.stdout, ended.stderr);
            let report: Value = serde_json::from_str(&ended.stdout).expect("a report of the refusal");
            let words = expected["fatal"].as_str().unwrap_or("found none");
            assert!(report["refused"].as_str().unwrap().contains(words), "{path}: {report}");
        } else {
            check_report(path, &ended.json(), expected);
            imported.push((list, path, expected));
        }
    }
    let snapshot = keeper.snapshot();
    let lists: Vec<_> = snapshot.lists().iter().map(|list| list.name.to_string()).collect();
    for (list, path, expected) in &imported {
        assert!(lists.contains(list), "{path}");
        for sample in expected["samples"].as_array().into_iter().flatten() {
            let value = fingerprint(sample);
            let (_, answer) = ask(&snapshot, &value);
            let matches = answer.map(|answer| answer.matches).unwrap_or_default();
            let category = sample["category"].as_str().map(|code| Category::new(sample["scheme"].as_str(), code));
            // The expectation may leave out what it does not care about.
            let agrees = |found: &Option<Category>| match &category {
                None => true,
                Some(expected) if sample["scheme"].is_null() => found.as_ref().is_some_and(|c| c.code == expected.code),
                Some(expected) => found.as_ref() == Some(expected),
            };
            let found = matches.iter().any(|found| found.list.as_str() == list && agrees(&found.category));
            assert!(found, "{path}: expected {sample}, found {matches:?}");
        }
        for absent in expected["absent"].as_array().into_iter().flatten() {
            let (_, answer) = ask(&snapshot, &fingerprint(absent));
            let matches = answer.map(|answer| answer.matches).unwrap_or_default();
            assert!(matches.iter().all(|found| found.list.as_str() != list), "{path}: {absent}");
        }
    }
    assert_eq!(keeper.leftovers(), 0);
    Some(checked)
}

fn import(keeper: &Folder, list: &str, folder: &Path, path: &str, format: &str, expected: &Value) -> Ended {
    let file = folder.join(path);
    let base = expected["base"].as_str().map(|base| folder.join(base));
    let mut arguments = vec!["import", list, file.to_str().unwrap(), "--report", "json", "--all-categories"];
    // The samples have few records, so that a few bad ones are many.
    arguments.extend(["--max-bad", "100000", "--role", expected["role"].as_str().unwrap_or("watch")]);
    if let Some(kind) = expected["kind"].as_str() {
        arguments.extend(["--kind", kind]);
    }
    if let Some(base) = &base {
        arguments.extend(["--base", base.to_str().unwrap()]);
    }
    // The table of generic values has the same name with both delimiters.
    let format = if file.extension().is_some_and(|end| end == "tsv") { "tsv" } else { format };
    let columns = expected["columns"].as_object().into_iter().flatten();
    let columns: Vec<_> = columns.map(|(field, header)| format!("{field}={}", header.as_str().unwrap())).collect();
    columns.iter().for_each(|column| arguments.extend(["--column", column]));
    // Mapped columns have names that nothing is recognised by; everything else is.
    if !columns.is_empty() || expected.get("fatal").is_some() {
        arguments.extend(["--format", format]);
    }
    keeper.run(&arguments)
}

fn check_report(path: &str, report: &Value, expected: &Value) {
    assert_eq!(report["accepted"], expected["accepted"], "{path}: accepted");
    // Of a delta, `added` is beside its base; here the list is new.
    assert_eq!(report["added"], expected["accepted"], "{path}: added");
    assert_eq!(report["removed"], json!({}), "{path}: removed");
    assert_eq!(report["duplicates"], expected["duplicates"], "{path}: duplicates");
    assert_eq!(report["dropped"], expected["dropped_empty"], "{path}: dropped");
    assert_eq!(report["unsupported"], *expected.get("unsupported").unwrap_or(&json!({})), "{path}: unsupported");
    let told = report["rejected"].as_array().expect("a list of rejected records");
    let rejected = |record: &Value| match &record["line"] {
        Value::Null => json!({"record": record["record"], "reason": record["reason"]}),
        line => json!({"record": record["record"], "line": line, "reason": record["reason"]}),
    };
    assert_eq!(Value::from(told.iter().map(rejected).collect::<Vec<_>>()), expected["rejected"], "{path}: rejected");
    assert_eq!(report["rejected_total"], told.len(), "{path}: rejected");
    assert!(told.iter().all(|record| record["detail"].as_str().unwrap().starts_with("expected")), "{path}: {told:?}");
    assert_eq!((&report["version"], &report["unchanged"]), (&json!(1), &json!(false)), "{path}");
}
