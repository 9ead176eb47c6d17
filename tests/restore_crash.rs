//! `kill -9` during backups and restores: a child process restores two backups in turn; after each kill one of the two
//! answers, whole, and the one that was acknowledged if none was begun since.
//!
//! A kill does not lose what the kernel already has; that files are made durable in the right order is not shown here.

mod store_support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::{ListShape, Role};
use hashward::matching::Verdict;
use hashward::store::{Command, Outcome, Store};
use store_support::backup::{back_up, restore, restore_closed};
use store_support::*;

fn said(numbers: impl IntoIterator<Item = u32>) -> Said {
    numbers.into_iter().map(|number| (fingerprint(Kind::Md5, number), [1].into())).collect()
}

fn add(store: &Store, numbers: impl IntoIterator<Item = u32>) {
    let entries = numbers.into_iter().map(|n| entry(&n.to_string(), vec![fingerprint(Kind::Md5, n)], 1)).collect();
    store.execute(Command::Add { list: name("own"), role: Some(Role::Illegal), entries }).unwrap();
}

fn verdicts(store: &Store) -> Vec<Verdict> {
    let asked: Vec<Fingerprint> = (0..100).map(|number| fingerprint(Kind::Md5, number)).collect();
    ask(&store.snapshot(), Kind::Md5, &asked).into_iter().map(|(verdict, _)| verdict).collect()
}

const KILLS: u64 = 100;

/// The child's task: `folder,backups,notes`.
const TASK: &str = "HASHWARD_RESTORE_TASK";

/// The lists of the two backups that the child restores in turn: which files they name.
const SIDES: [std::ops::Range<u32>; 2] = [0..50, 50..100];

/// Not a test of its own: what the killed process does. Without a task it passes.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [folder, backups, notes] = task.split(',').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let (folder, backups) = (Path::new(folder), Path::new(backups));
    let mut notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
    for round in 0.. {
        let store = open(folder, true);
        for side in [0, 1, 0, 1] {
            notes.write_all(format!("started {side}\n").as_bytes()).unwrap();
            restore(&store, &backups.join(side.to_string())).unwrap();
            notes.write_all(format!("done {side}\n").as_bytes()).unwrap();
            let aside = backups.join(format!("aside-{}-{round}-{side}", std::process::id()));
            fs::create_dir(&aside).unwrap();
            back_up(&store, &aside);
            fs::remove_dir_all(&aside).unwrap();
        }
        drop(store);
        notes.write_all(b"started 0\n").unwrap();
        restore_closed(folder, &backups.join("0")).unwrap();
        notes.write_all(b"done 0\n").unwrap();
    }
}

#[test]
fn a_restore_that_is_killed_is_whole_or_was_not() {
    // In memory where that can be had: syncing to a disk takes time here and shows nothing.
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() };
    let [folder, backups, notes] = ["data", "backups", "notes"].map(|name| home.path().join(name));
    for (side, numbers) in SIDES.into_iter().enumerate() {
        let made = tempfile::tempdir().unwrap();
        let store = open(made.path(), true);
        import(&store, &name("debian"), &said(numbers.clone().step_by(2)), Role::Illegal, "a", false).unwrap();
        add(&store, numbers.skip(1).step_by(2));
        fs::create_dir_all(backups.join(side.to_string())).unwrap();
        back_up(&store, &backups.join(side.to_string()));
    }
    fs::create_dir_all(&folder).unwrap();
    restore_closed(&folder, &backups.join("0")).unwrap();
    let (mut expected, mut generation) = (vec![0], 0);
    let (mut done, mut cut_short) = (0, 0);
    for kill in 0..KILLS {
        let _ = fs::remove_file(&notes);
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(TASK, format!("{},{},{}", folder.display(), backups.display(), notes.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some while they start, the others some way into their restores.
        let until = Instant::now() + Duration::from_secs(5);
        while fs::read_to_string(&notes).unwrap_or_default().lines().count() < (kill % 8) as usize
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(kill * 2_011 % 20_000));
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself at kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
        for note in fs::read_to_string(&notes).unwrap_or_default().lines() {
            let (what, side) = note.split_once(' ').unwrap();
            let side: usize = side.parse().unwrap();
            if what == "done" {
                expected = vec![side];
                done += 1;
            } else {
                expected.push(side);
            }
        }
        cut_short += usize::from(expected.len() > 1);
        let store = open(&folder, true);
        let known: Vec<bool> = verdicts(&store).iter().map(|verdict| *verdict == Verdict::Known).collect();
        let side = SIDES.iter().position(|side| (0..100).all(|n| known[n as usize] == side.contains(&n)));
        let side = side.unwrap_or_else(|| panic!("kill {kill}: neither backup answers: {known:?}"));
        assert!(expected.contains(&side), "kill {kill}: expected one of {expected:?}, found {side}");
        expected = vec![side];
        assert!(store.snapshot().generation() >= generation, "kill {kill}: the generation went back");
        generation = store.snapshot().generation();
        let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
        assert_eq!(damage, Vec::<String>::new(), "kill {kill}");
        let Ok(Outcome::Lists { lists }) = store.execute(Command::Lists) else { panic!() };
        assert_eq!(lists.iter().filter(|list| list.shape != ListShape::BuiltIn).count(), 2);
    }
    println!("{KILLS} kills, {done} restores acknowledged, {cut_short} cut short");
    assert!(done > KILLS / 4 && cut_short > 10, "{done} acknowledged, {cut_short} cut short");
}
