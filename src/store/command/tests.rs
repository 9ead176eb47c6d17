//! Whatever is asked and answered survives JSON.

use super::*;
use crate::fingerprint::{KindRadius, Radii, hash_bytes};
use crate::list::{Category, ListId, Roles};
use crate::store::gate::Limit;

#[test]
fn a_field_that_a_command_does_not_have_is_not_passed_over() {
    for json in [
        r#"{"command":"rollback","list":"a","version":3}"#,
        r#"{"command":"explain","fingerprint":"md5:d41d8cd98f00b204e9800998ecf8427e","radii":40}"#,
        r#"{"command":"lift","of":{"id":7},"author":"a","reason":"x","scope":"hash"}"#,
    ] {
        let error = serde_json::from_str::<Command>(json).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
}

#[test]
fn commands_and_outcomes_survive_json() {
    let fingerprint = hash_bytes(Kind::Md5, b"abc");
    let list: ListName = "own-cases".parse().unwrap();
    let list_name = list.clone();
    let entry = Entry {
        source_id: Entry::hand_source_id(&fingerprint),
        fingerprints: vec![fingerprint.clone()],
        category: Some(Category::new(Some("US"), "1")),
        ..Entry::default()
    };
    let by_category = [(Category::new(None, "a:b"), 2)].into();
    let publish = Publish {
        list: list.clone(),
        list_id: ListId(16),
        version: VersionNumber(1),
        base: Some(VersionNumber::LIVE),
        incoming: "x".to_owned(),
        segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5.seg".to_owned() }],
        records: Some("records.rec".to_owned()),
        roles: Roles::uniform(Role::Watch),
        source: "s".to_owned(),
        adds: true,
        radii: ["pdq=40".parse::<KindRadius>().unwrap()].into_iter().collect(),
        counts: ImportCounts { by_category, ..ImportCounts::default() },
    };
    for command in [
        Command::Add { list: list.clone(), role: Some(Role::Illegal), entries: vec![entry] },
        Command::Publish(Publish { radii: Radii::none(), ..publish.clone() }),
        Command::Publish(publish),
        Command::SetRadius { list: list.clone(), kind: Kind::Pdq, radius: Some(Radius(40)) },
        Command::SetRadius { list: list.clone(), kind: Kind::Phash64, radius: None },
        Command::Accept { list: list.clone(), version: Some(VersionNumber(2)), reason: "seen".to_owned() },
        Command::Rollback { list: list.clone(), to: None },
        Command::Suppress {
            fingerprint: fingerprint.clone(),
            scope: SuppressionScope::Entry,
            author: "an operator".to_owned(),
            reason: "a stock photo".to_owned(),
        },
        Command::Lift { of: Lifting::Id(7), author: "an operator".to_owned(), reason: "x".to_owned() },
        Command::Lift { of: Lifting::Hash(fingerprint.clone()), author: "a".to_owned(), reason: "x".to_owned() },
        Command::Suppressions { before: None, lifted: true },
        Command::Explain { fingerprint: fingerprint.clone(), radius: None },
        Command::Contents { list: list.clone(), version: Some(VersionNumber(3)) },
        Command::Entries { list: list.clone(), after: Some("a".to_owned()) },
        Command::Withdrawals { list, version: VersionNumber(3), after: Some(fingerprint.clone()) },
        Command::Compact,
    ] {
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
    }
    let limit = Limit::new(0.1, 10);
    let entry = OverlapEntry {
        fingerprint: fingerprint.clone(),
        category: None,
        list: list_name.clone(),
        role: Role::Ignorable,
        list_category: Some(Category::new(None, "1")),
        distance: Some(3),
    };
    let with = OverlapWith { list: list_name, kind: Kind::Md5, role: Role::Ignorable, new: 1, total: 2 };
    let held = Held {
        version: VersionNumber(4),
        at: 5,
        already: true,
        in_force: Some(VersionNumber(2)),
        reasons: vec![
            HoldReason::Emptied { of: 3 },
            HoldReason::Shrunk { kind: Kind::Md5, removed: 1, of: 2, limit },
            HoldReason::Contradicts { role: Role::Illegal, new: 1, of: 2, limit },
            HoldReason::Unchecked { found: "x".to_owned() },
        ],
        changes: BTreeMap::new(),
        overlap: Overlap { new: 1, total: 2, lists: vec![with], entries: vec![entry] },
        dropped: Some(VersionNumber(3)),
    };
    let alarm = RaisedAlarm { seq: 1, at: 2, list: None, alarm: Alarm::Held { version: VersionNumber(4) } };
    let json = serde_json::to_string(&alarm).unwrap();
    assert_eq!(json, r#"{"seq":1,"at":2,"list":null,"alarm":"held","version":4}"#);
    assert_eq!(serde_json::from_str::<RaisedAlarm>(&json).unwrap(), alarm);
    for outcome in [
        Outcome::RadiusSet { previous: Some(Radius(0)), radius: None },
        Outcome::Withdrawn(Withdrawn { withdrawn: 0, not_held: vec![fingerprint.clone()] }),
        Outcome::Withdrawals(Page { items: vec![fingerprint], more: true }),
        Outcome::Published(Published {
            version: VersionNumber(2),
            replaced: None,
            generation: 3,
            changes: [(Kind::Sha1, Changes { added: 1, removed: 2, kept: 3 })].into(),
            overlap: Overlap::default(),
            dropped: None,
        }),
        Outcome::Held(Box::new(held)),
        Outcome::Acknowledged { alarms: 2 },
    ] {
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
    }
}
