//! What journals promise: what was appended is read again, and what was changed is noticed.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const NAME: &str = "test";

fn options(file_bytes: u64) -> JournalOptions {
    JournalOptions { file_bytes, files_kept: None }
}

fn filled(folder: &Path, records: u64, file_bytes: u64) -> Journal {
    let journal = Journal::open(folder, NAME, options(file_bytes)).unwrap();
    for number in journal.last_seq()..records {
        assert_eq!(journal.append(&json!({"number": number, "text": "a\"\\\n,\"link\":\"é"})).unwrap(), number + 1);
    }
    journal
}

fn numbers(folder: &Path, after: u64) -> Vec<(u64, u64)> {
    let mut reader = JournalReader::open(folder, NAME, after).unwrap();
    let mut found = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        let record: serde_json::Value = serde_json::from_str(&line.record).unwrap();
        found.push((line.seq, record["number"].as_u64().unwrap()));
    }
    found
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(read::file_name(first))
}

fn whole(last: Head) -> Verified {
    Verified { last, rest_bytes: 0 }
}

/// The line of the record after `head`.
fn line_after(head: Head, number: u64) -> Vec<u8> {
    let mut line = Vec::new();
    line::write(&mut line, head, 0, &json!({ "number": number })).unwrap();
    line
}

#[test]
fn records_are_read_from_anywhere_across_files_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 7, 400));
    let journal = filled(folder.path(), 20, 400);
    assert!(read::files(folder.path()).unwrap().len() > 3);
    for after in 0..=20 {
        let expected: Vec<_> = (after..20).map(|number| (number + 1, number)).collect();
        assert_eq!(numbers(folder.path(), after), expected, "after {after}");
    }
    assert_eq!(numbers(folder.path(), 99), []);
    assert_eq!(verify(folder.path(), NAME, &[journal.head()]).unwrap(), whole(journal.head()));
    assert_eq!(journal.unsynced(), 13);
    journal.sync().unwrap();
    assert_eq!(journal.unsynced(), 0);
}

#[test]
fn a_reader_follows_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NAME, options(300)).unwrap();
    let mut reader = JournalReader::open(folder.path(), NAME, 0).unwrap();
    for number in 0..30 {
        assert_eq!(reader.next_line().unwrap(), None);
        journal.append_all(&[json!(number), json!("second")]).unwrap();
        let lines = [(); 2].map(|()| reader.next_line().unwrap().unwrap());
        assert_eq!((lines[0].seq, &*lines[0].record), (2 * number + 1, &*number.to_string()));
        assert_eq!((lines[1].seq, &*lines[1].record), (2 * number + 2, "\"second\""));
    }
}

#[test]
fn old_files_are_put_away() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NAME, JournalOptions { file_bytes: 300, files_kept: Some(2) }).unwrap();
    for number in 0..40 {
        journal.append(&json!({ "number": number })).unwrap();
    }
    assert_eq!(read::files(folder.path()).unwrap().len(), 2);
    let kept = numbers(folder.path(), 3);
    assert_eq!(kept.last(), Some(&(40, 39)));
    assert!(kept.len() < 10 && kept.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    assert_eq!(verify(folder.path(), NAME, &[]).unwrap(), whole(journal.head()));
}

#[test]
fn a_line_that_a_crash_cut_short_is_taken_back_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 3, 1 << 20).head();
    let path = path_of(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    for torn in [&b"{\"seq\":4,\"at\":1,\"rec"[..], &[0; 100], b"{"] {
        fs::write(&path, [&whole[..], torn].concat()).unwrap();
        assert_eq!(verify(folder.path(), NAME, &[]).unwrap(), Verified { last: head, rest_bytes: torn.len() });
        let journal = Journal::open(folder.path(), NAME, options(1 << 20)).unwrap();
        assert_eq!((journal.recovered_bytes(), journal.head()), (torn.len() as u64, head));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for not_torn in [&b"{\"seq\":4}\n"[..], &[b'x'; LINE_BYTES_MAX + 5]] {
        let bytes = [&whole[..], not_torn].concat();
        fs::write(&path, &bytes).unwrap();
        let opened = Journal::open(folder.path(), NAME, options(1 << 20)).map(drop);
        assert!(matches!(opened, Err(JournalError::Broken { seq: 4, .. })), "{opened:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_write_that_failed_leaves_the_journal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path(), 2, 1 << 20);
    let too_long = "x".repeat(LINE_BYTES_MAX);
    assert!(matches!(journal.append(&too_long), Err(JournalError::TooLong(_))));
    assert!(matches!(journal.append_all(&["good", &too_long]), Err(JournalError::TooLong(_))));
    {
        // A descriptor that cannot be written stands for a full disk; what was written in part stays in the file.
        let mut writer = journal.writer();
        let read_only = File::open(&writer.path).unwrap();
        let writable = std::mem::replace(&mut writer.file, read_only);
        assert!(writer.append(0, &[json!(1)]).is_err());
        writer.file = writable;
        writer.file.write_all(b"{\"seq\":3,\"half").unwrap();
        assert!(writer.dirty);
    }
    assert_eq!(journal.append(&json!({"number": 2})).unwrap(), 3);
    assert_eq!(numbers(folder.path(), 0), [(1, 0), (2, 1), (3, 2)]);
}

#[test]
fn a_file_that_was_changed_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 3, 1 << 20));
    let path = path_of(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len() - 1).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let opened = Journal::open(folder.path(), NAME, options(1 << 20)).map(drop);
        assert!(matches!(opened, Err(JournalError::Broken { .. })), "byte {at}: {opened:?}");
        assert_eq!(fs::read(&path).unwrap(), changed, "it is left as it was found");
    }
}

#[test]
fn a_last_file_that_follows_upon_another_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 10, 450).head();
    drop(begin(folder.path(), NAME, Head { seq: 10, link: Link([9; 32]) }).unwrap());
    let opened = Journal::open(folder.path(), NAME, options(450)).map(drop);
    assert!(matches!(opened, Err(JournalError::Broken { seq: 11, .. })), "{opened:?}");
    drop(begin(folder.path(), NAME, head).unwrap());
    assert_eq!(Journal::open(folder.path(), NAME, options(450)).unwrap().head(), head);
    // The end of the one before was cut.
    let path = path_of(folder.path(), read::files(folder.path()).unwrap().iter().nth_back(1).unwrap().0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    let opened = Journal::open(folder.path(), NAME, options(450)).map(drop);
    assert!(matches!(opened, Err(JournalError::Broken { seq: 11, .. })), "{opened:?}");
}

#[test]
fn another_journals_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2, 1 << 20));
    assert!(matches!(Journal::open(folder.path(), "other", options(1)), Err(JournalError::Broken { seq: 1, .. })));
}

/// What somebody may do to a journal of ten records in files of about three.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    DropLine(prop::sample::Index),
    SwapLines(prop::sample::Index),
    CutLines(prop::sample::Index),
    DropFile,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        any::<prop::sample::Index>().prop_map(Change::DropLine),
        any::<prop::sample::Index>().prop_map(Change::SwapLines),
        any::<prop::sample::Index>().prop_map(Change::CutLines),
        Just(Change::DropFile),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_is_changed_is_noticed(change in change(), file in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let head = filled(folder.path(), 10, 450).head();
        let files = read::files(folder.path()).unwrap();
        prop_assert!(files.len() > 2);
        let (_, path) = file.get(&files);
        let bytes = fs::read(path).unwrap();
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        match change {
            Change::Flip(at, bit) => {
                let mut bytes = bytes.clone();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                fs::write(path, bytes).unwrap();
            }
            Change::DropLine(at) => {
                lines.remove(at.index(lines.len()));
                fs::write(path, lines.concat()).unwrap();
            }
            Change::SwapLines(at) => {
                let at = at.index(lines.len() - 1);
                lines.swap(at, at + 1);
                fs::write(path, lines.concat()).unwrap();
            }
            Change::CutLines(at) => {
                lines.truncate(at.index(lines.len()));
                fs::write(path, lines.concat()).unwrap();
            }
            // The oldest ones may be put away.
            Change::DropFile if *path == files[0].1 => return Ok(()),
            Change::DropFile => fs::remove_file(path).unwrap(),
        }
        let verified = verify(folder.path(), NAME, &[head]);
        prop_assert!(matches!(verified, Err(JournalError::Broken { .. })), "{verified:?}");
    }
}

#[test]
fn every_bit_of_a_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 10, 450).head();
    let files = read::files(folder.path()).unwrap();
    let (_, path) = &files[1];
    let bytes = fs::read(path).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, flipped).unwrap();
        let verified = verify(folder.path(), NAME, &[head]);
        assert!(matches!(verified, Err(JournalError::Broken { .. })), "bit {bit}: {verified:?}");
    }
}

#[test]
fn a_journal_written_anew_is_held_against_what_was_noted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let noted = filled(folder.path(), 5, 1 << 20).head();
    let journal = Journal::open(other.path(), NAME, options(1 << 20)).unwrap();
    for number in 0..9 {
        journal.append(&json!({ "number": number })).unwrap();
    }
    assert!(verify(other.path(), NAME, &[]).is_ok());
    assert!(matches!(verify(other.path(), NAME, &[noted]), Err(JournalError::Broken { seq: 5, .. })));
}

#[test]
fn what_no_writer_acknowledged_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path(), 2, 1 << 20);
    let mut follows = JournalReader::open(folder.path(), NAME, 0).unwrap();
    assert_eq!(follows.next_of(&journal).unwrap().unwrap().seq, 1);
    // A write of several records that failed has left a whole one of them, and a part of the next.
    {
        let mut writer = journal.writer();
        let lines = [line_after(writer.head, 77), b"{\"seq\":4,\"ha".to_vec()].concat();
        writer.file.write_all(&lines).unwrap();
        writer.dirty = true;
    }
    let mut comes_late = JournalReader::open(folder.path(), NAME, 0).unwrap();
    let numbers = |reader: &mut JournalReader| {
        let lines = std::iter::from_fn(|| reader.next_of(&journal).unwrap());
        lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.record).unwrap()["number"].clone()).collect()
    };
    let read: [Vec<_>; 2] = [numbers(&mut follows), numbers(&mut comes_late)];
    assert_eq!(read, [vec![json!(1)], vec![json!(0), json!(1)]]);
    assert_eq!(journal.append_all(&[json!({"number": 2}), json!({"number": 3})]).unwrap(), 4);
    let read: [Vec<_>; 2] = [numbers(&mut follows), numbers(&mut comes_late)];
    assert_eq!(read, [[json!(2), json!(3)], [json!(2), json!(3)]]);
}

#[test]
fn a_file_without_a_record_is_not_begun_again_under_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path(), 1, 1);
    let mut reader = JournalReader::open(folder.path(), NAME, 1).unwrap();
    assert!(journal.append(&"x".repeat(LINE_BYTES_MAX)).is_err());
    assert!(path_of(folder.path(), 2).exists());
    assert_eq!(reader.next_line().unwrap(), None);
    assert_eq!(journal.append(&json!(2)).unwrap(), 2);
    assert_eq!(reader.next_line().unwrap().map(|line| line.seq), Some(2));
}

#[test]
fn an_old_file_that_stays_keeps_no_record_from_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NAME, JournalOptions { file_bytes: 1, files_kept: Some(2) }).unwrap();
    (0..4).for_each(|number| assert_eq!(journal.append(&number).unwrap(), number + 1));
    // A folder is not removed as a file is.
    fs::create_dir(path_of(folder.path(), 1)).unwrap();
    assert_eq!(journal.append(&4).unwrap(), 5);
    assert_eq!(journal.status().failed, 1);
    fs::remove_dir(path_of(folder.path(), 1)).unwrap();
    assert_eq!(journal.append(&5).unwrap(), 6);
    assert_eq!(first_records(folder.path()).unwrap(), [5, 6]);
}

#[test]
fn a_second_file_of_the_same_records_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 10, 1 << 20).head();
    let forge = |first: u64| {
        let forged = Head { seq: first - 1, link: Link([9; 32]) };
        begin(folder.path(), NAME, forged).unwrap().append(0, &[json!("forged")]).unwrap();
        path_of(folder.path(), first)
    };
    for first in 2..=11 {
        let path = forge(first);
        let verified = verify(folder.path(), NAME, &[head]);
        let is_named =
            matches!(&verified, Err(JournalError::Broken { path: of, seq, .. }) if (of, *seq) == (&path, first));
        assert!(is_named, "{verified:?}");
        fs::remove_file(path).unwrap();
    }
    // Under another name for the same number the true one is not read instead of one that was edited.
    let path = path_of(folder.path(), 1);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"number\":4", "\"number\":5", 1)).unwrap();
    for name in ["1", "+0000000000000001", "00000000000000001"] {
        let other = folder.path().join(format!("{name}{SUFFIX}"));
        fs::write(&other, &text).unwrap();
        let verified = verify(folder.path(), NAME, &[head]);
        assert!(matches!(verified, Err(JournalError::Broken { seq: 5, .. })), "{name}: {verified:?}");
        fs::remove_file(other).unwrap();
    }
}

#[test]
fn bytes_behind_the_records_of_a_file_that_was_gone_on_from_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 10, 450).head();
    let files = read::files(folder.path()).unwrap();
    let (next, path) = (files[1].0, &files[0].1);
    let whole = fs::read(path).unwrap();
    fs::write(path, [&whole[..], b"{"].concat()).unwrap();
    let verified = verify(folder.path(), NAME, &[head]);
    assert!(matches!(verified, Err(JournalError::Broken { seq, .. }) if seq == next), "{verified:?}");
}

#[test]
fn a_folder_without_files_is_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(verify(folder.path(), NAME, &[]), Err(JournalError::Broken { seq: 1, .. })));
    drop(filled(folder.path(), 0, 1 << 20));
    assert_eq!(verify(folder.path(), NAME, &[]).unwrap().last.seq, 0);
}
