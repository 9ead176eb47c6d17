//! What match events promise: each is read, once and in order from any number on, or its loss is told.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::access::PrincipalName;
use crate::fingerprint::{Kind, hash_bytes};
use crate::journal::ReadError;
use crate::list::{Category, Flags, Role, VersionNumber};

fn config(file_bytes: u64, files_kept: usize) -> EventsConfig {
    EventsConfig { file_bytes, files_kept, ..EventsConfig::default() }
}

fn hash(number: u64) -> String {
    hash_bytes(Kind::Md5, &number.to_le_bytes()).to_hex()
}

/// What matched in a question of which `rows` files, numbered from `first` on, are known.
fn matched(first: u64, rows: u64) -> Matched<'static> {
    let said = ListSaid {
        list: "own".into(),
        version: Some(VersionNumber(3)),
        role: Role::Illegal,
        category: Some(Category::new(Some("XX"), "1")),
        flags: Flags::NONE,
        kind: Kind::Md5,
        distance: None,
    };
    let code = NearCode { fingerprint: hash_bytes(Kind::Md5, b"code"), distance: 2 };
    Matched {
        verdict: "known".into(),
        reason: None,
        watched: false,
        suppressed: false,
        rows: (first..first + rows).map(hash).collect(),
        further: 0,
        lists: vec![said.clone()],
        nearest: vec![code.clone()],
        shadow: vec![said],
        shadow_nearest: vec![code],
    }
}

/// Records questions, each of groups with so many files; the files are numbered as the events are.
fn note(events: &Events, questions: &[Vec<u64>]) {
    let by = PrincipalName::try_from("scanner".to_owned()).unwrap();
    let asked = Asked { by: &by, what: "lookup", kinds: &[Kind::Md5], generation: 5 };
    for groups in questions {
        let mut next = events.last() + 1;
        let all = groups.iter().map(|rows| {
            let group = matched(next, *rows);
            next += rows;
            group
        });
        let all: Vec<_> = all.collect();
        assert_eq!(events.note(WhenUnwritable::Refuse, &asked, all).unwrap(), Some(next - 1));
    }
}

/// All events after `after`, in pages of `limit`, each checked.
fn read(events: &Arc<Events>, after: Option<u64>, limit: u32) -> Result<Vec<u64>, ReadError> {
    let mut reader = EventReader::open(events, after)?;
    let mut numbers = Vec::new();
    loop {
        let page = reader.next_page(limit, true)?;
        assert!(page.events.len() <= limit as usize);
        for event in &page.events {
            let event: MatchEvent<'_> = serde_json::from_str(event.get()).unwrap();
            assert_eq!(event.file, [hash_bytes(Kind::Md5, &event.seq.to_le_bytes())]);
            assert_eq!((&*event.by, &*event.verdict, event.generation), ("scanner", "known", 5));
            assert_eq!((event.matches.len(), event.shadow.len(), event.nearest.len()), (1, 1, 1));
            numbers.push(event.seq);
        }
        assert_eq!(page.more, page.after < events.last());
        if page.events.is_empty() {
            return Ok(numbers);
        }
        assert_eq!(numbers.last(), Some(&page.after));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn events_are_read_from_anywhere_across_files_and_starts(
        starts in prop::collection::vec(prop::collection::vec(prop::collection::vec(1u64..6, 1..4), 1..8), 1..4),
        limit in 1u32..9,
        file_bytes in 300u64..4_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut last = 0;
        for questions in &starts {
            let events = Arc::new(Events::open(folder.path(), &config(file_bytes, 1_000)).unwrap());
            prop_assert_eq!(events.last(), last);
            note(&events, questions);
            last += questions.iter().flatten().sum::<u64>();
            for after in 0..=last {
                let expected: Vec<u64> = (after + 1..=last).collect();
                prop_assert_eq!(read(&events, Some(after), limit).unwrap(), expected);
            }
            let first_of_all = read(&events, None, limit).unwrap();
            prop_assert_eq!(first_of_all, (1..=last).collect::<Vec<_>>());
            let ahead = EventReader::open(&events, Some(last + 1)).map(drop);
            let is_told = matches!(ahead, Err(ReadError::Ahead { last: of, .. }) if of == last);
            prop_assert!(is_told, "{:?}", ahead);
        }
    }
}

#[test]
fn what_is_no_longer_kept_is_told_and_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1, 3)).unwrap());
    note(&events, &[vec![2], vec![2]]);
    let mut slow = EventReader::open(&events, Some(1)).unwrap();
    assert_eq!(slow.next_page(1, true).unwrap().after, 2);
    let slower = EventReader::open(&events, Some(1)).unwrap();
    // Every question begins a file, so that all but the last three are put away.
    note(&events, &vec![vec![2]; 10]);
    let kept = read(&events, None, 10).unwrap();
    assert_eq!(kept, (19..=24).collect::<Vec<_>>());
    for after in 0..18 {
        let opened = EventReader::open(&events, Some(after)).map(drop);
        assert!(matches!(opened, Err(ReadError::Gone { first: 19, .. })), "{after}: {opened:?}");
    }
    assert_eq!(read(&events, Some(18), 10).unwrap(), kept);
    // Whoever was reading a file that was put away reads it to its end, and is told then.
    for (mut reader, limit, mut given) in [(slow, 1, 2), (slower, 9, 1)] {
        let pages = std::iter::repeat_with(|| reader.next_page(limit, true).map(|page| given = page.after));
        let told = pages.take(9).find_map(Result::err);
        assert!(matches!(told, Some(ReadError::Gone { after: 2, first: 19 })), "{told:?}");
        assert_eq!(given, 2, "all that it could still read");
    }
}

#[test]
fn what_is_missing_stands_among_them_with_a_number_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1, 99)).unwrap());
    note(&events, &[vec![2]]);
    let mut reader = EventReader::open(&events, Some(2)).unwrap();
    let (inside, away) = (folder.path().join(FOLDER), folder.path().join("away"));
    let by = PrincipalName::try_from("scanner".to_owned()).unwrap();
    let asked = Asked { by: &by, what: "lookup", kinds: &[Kind::Md5], generation: 5 };
    fs::rename(&inside, &away).unwrap();
    for _ in 0..3 {
        assert_eq!(events.note(WhenUnwritable::Answer, &asked, vec![matched(3, 1)]).unwrap(), None);
    }
    assert!(events.note(WhenUnwritable::Refuse, &asked, vec![matched(3, 1)]).is_err(), "that one is not answered");
    assert!(events.keep().is_err());
    assert_eq!(events.journal().unsynced(), 0, "those recorded before survive a loss of power meanwhile");
    fs::rename(&away, &inside).unwrap();
    // With the next event, or without one.
    assert_eq!(events.note(WhenUnwritable::Answer, &asked, vec![matched(4, 2)]).unwrap(), Some(5));
    events.keep().unwrap();
    let page = reader.next_page(9, true).unwrap();
    let lines: Vec<EventLine<'_>> = page.events.iter().map(|line| serde_json::from_str(line.get()).unwrap()).collect();
    let [EventLine::Missing(MissingMatches { seq: 3, missing: 3, .. }), EventLine::Match(four), EventLine::Match(five)] =
        &lines[..]
    else {
        panic!("{lines:?}")
    };
    assert_eq!((four.seq, five.seq, page.after), (4, 5, 5));
    assert_eq!(read(&events, Some(3), 9).unwrap(), [4, 5], "who has dealt with it is not told again");
    drop((reader, events));
    assert_eq!(Events::open(folder.path(), &config(1, 99)).unwrap().last(), 5);
}

#[test]
fn a_reader_whose_file_was_cut_is_told_and_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1 << 20, 2)).unwrap());
    note(&events, &[vec![1]]);
    let mut reader = EventReader::open(&events, None).unwrap();
    assert_eq!(reader.next_page(9, true).unwrap().after, 1);
    let path = folder.path().join(FOLDER).join("0000000000000001.ndjson");
    let whole = fs::read(&path).unwrap();
    note(&events, &[vec![1]]);
    fs::write(&path, whole).unwrap();
    assert!(matches!(reader.next_page(9, true), Err(ReadError::Journal(JournalError::Broken { .. }))));
}

#[test]
fn a_reader_follows_and_goes_on_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1 << 20, 2)).unwrap());
    let mut reader = EventReader::open(&events, None).unwrap();
    for round in 0..5 {
        assert!(reader.next_page(9, true).unwrap().events.is_empty());
        note(&events, &[vec![1, 2]]);
        assert_eq!(events.status().journal.unsynced, 1);
        let page = reader.next_page(9, false).unwrap();
        assert_eq!(events.status().journal.unsynced, 0, "what is given survives a loss of power");
        assert_eq!((page.before, page.after, page.more), (3 * round, 3 * round + 3, false));
        let event: MatchEvent<'_> = serde_json::from_str(page.events[0].get()).unwrap();
        assert!(event.nearest.is_empty() && event.shadow_nearest.is_empty(), "codes need `detail`");
    }
    drop((reader, events));
    let path = folder.path().join(FOLDER).join("0000000000000001.ndjson");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"seq\":6,\"at\":1,\"rec"].concat()).unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1 << 20, 2)).unwrap());
    note(&events, &[vec![1]]);
    assert_eq!(read(&events, Some(14), 9).unwrap(), [15, 16]);
}

#[test]
fn a_question_with_many_matches_is_in_parts_that_fit() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(folder.path(), &config(1 << 20, 99)).unwrap());
    note(&events, &[vec![1, 40_000, 1, 1], vec![3]]);
    assert!(events.journal().last_seq() > 4, "not all in one record");
    assert_eq!(read(&events, Some(39_000), EVENTS_MAX).unwrap(), (39_001..=40_006).collect::<Vec<_>>());
}
