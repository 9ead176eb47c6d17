//! What the trail promises beyond what every journal does.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;

use serde_json::{Value, json};

use super::*;
use crate::access::PrincipalName;
use crate::journal::ReadError;

/// Records that come after `after`.
fn read(trail: &Trail, after: u64) -> Result<Vec<Value>, ReadError> {
    let by = PrincipalName::try_from("auditor".to_owned()).unwrap();
    let (records, more) = trail.read(&by, "here".to_owned(), after, RECORDS_MAX)?;
    assert!(!more);
    Ok(records.into_iter().map(|record| record.record).collect())
}

#[test]
fn there_is_one_key_whoever_is_first_to_ask_for_a_checkpoint() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::open(folder.path(), &AuditConfig::default()).unwrap();
        let keys: BTreeSet<String> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| trail.checkpoint(1).unwrap().key)).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        assert_eq!(keys.len(), 1);
        let again = Trail::open(folder.path(), &AuditConfig::default()).unwrap();
        assert_eq!(Some(&again.checkpoint(1).unwrap().key), keys.first());
    }
}

#[test]
fn reading_goes_on_where_there_is_something_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), &AuditConfig { file_bytes: 1, ..AuditConfig::default() }).unwrap();
    (0..3).for_each(|_| assert!(trail.note(&Event::Stopped).is_ok()));
    assert_eq!(read(&trail, 3).unwrap(), [] as [Value; 0]);
    // That it was read is a record, too.
    assert_eq!(read(&trail, 4).unwrap(), [] as [Value; 0]);
    assert!(matches!(read(&trail, 6), Err(ReadError::Ahead { after: 6, last: 5 })));
    fs::remove_file(folder.path().join("audit/0000000000000001.ndjson")).unwrap();
    fs::remove_file(folder.path().join("audit/0000000000000002.ndjson")).unwrap();
    assert!(matches!(read(&trail, 1), Err(ReadError::Gone { after: 1, first: 3 })));
    assert_eq!(read(&trail, 2).unwrap().len(), 3);
    assert_eq!(read(&trail, 0).unwrap().len(), 4, "without a number, what there is");
}

#[test]
fn what_is_missing_is_told_once_by_the_next_record() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { file_bytes: 1, ..AuditConfig::default() };
    let trail = Trail::open(folder.path(), &config).unwrap();
    trail.note(&Event::Stopped).unwrap();
    let (audit, away) = (folder.path().join(FOLDER), folder.path().join("away"));
    fs::rename(&audit, &away).unwrap();
    assert!(trail.note_question(WhenUnwritable::Refuse, &[Event::Stopped]).is_err());
    (0..2).for_each(|_| trail.note_question(WhenUnwritable::Answer, &[Event::Stopped]).unwrap());
    assert!(trail.keep().is_err());
    assert_eq!(trail.journal().unsynced(), 0, "what was recorded before survives a loss of power meanwhile");
    fs::rename(&away, &audit).unwrap();
    trail.keep().unwrap();
    trail.note_question(WhenUnwritable::Answer, &[Event::Stopped]).unwrap();
    let missing = json!({"event": "missing", "questions": 2});
    assert_eq!(read(&trail, 1).unwrap(), [missing, json!({"event": "stopped"})]);
    assert_eq!((trail.journal().status().missing, trail.journal().status().failed), (2, 4));
}

#[test]
fn a_trail_that_cannot_say_what_a_crash_cut_short_opens_as_the_config_says() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), &AuditConfig::default()).unwrap();
    trail.note(&Event::Stopped).unwrap();
    drop(trail);
    let audit = folder.path().join(FOLDER);
    // The next record begins a file, which cannot be made.
    fs::create_dir(audit.join("0000000000000002.new")).unwrap();
    for (when_unwritable, opens) in [(WhenUnwritable::Refuse, false), (WhenUnwritable::Answer, true)] {
        let mut file = OpenOptions::new().append(true).open(audit.join("0000000000000001.ndjson")).unwrap();
        file.write_all(b"{\"seq\":2,\"at").unwrap();
        let config = AuditConfig { when_unwritable, file_bytes: 1, ..AuditConfig::default() };
        assert_eq!(Trail::open(folder.path(), &config).is_ok(), opens);
    }
}
