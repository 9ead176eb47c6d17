//! Feeds on time, with a shell script in the place of `hashward-index`: started, watched, ended.

mod daemon_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Process;
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::{Daemon, PATIENCE, write_config};
use hashward::list::{ListName, Role, Roles};
use hashward::store::command::{FeedChanges, FeedInfo, FeedNote};
use hashward::store::{Command, Outcome};
use rustix::process::Signal;
use serde_json::Value;

/// A feed that is read every second by the script `sync.sh` of the same folder.
fn feed(name: &str, more: &str) -> String {
    format!(
        "[[feed]]\nname = '{name}'\nsource = 'stopncii'\nurl = 'https://feed.example/'\ninterval_s = 1\n\
         role = 'illegal'\nall_categories = true\ntoken = {{ file = 'token' }}\n{more}\n"
    )
}

/// A folder with that script, which finds the feed's name in `$2`, and notes each start in `starts`.
fn folder(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.sh");
    let starts = folder.path().join("starts");
    fs::write(&path, format!("#!/bin/sh\necho \"$$ $@\" >> '{}'\n{script}\n", starts.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.path().join("token"), "very-secret\n").unwrap();
    folder
}

fn starts(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("starts")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started_at = Instant::now();
    loop {
        match attempt() {
            Some(done) => return done,
            None if started_at.elapsed() > PATIENCE => panic!("{what} never happens"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// What STATUS tells of the feeds.
fn board(daemon: &Daemon) -> Vec<Value> {
    let status: Value = serde_json::from_slice(&daemon.client().status().unwrap()).unwrap();
    status["feeds"].as_array().unwrap().clone()
}

fn execute(daemon: &Daemon, command: &Command) -> Outcome {
    serde_json::from_slice(&daemon.client().command_json(&serde_json::to_vec(command).unwrap()).unwrap()).unwrap()
}

const PROGRAM: &str = "index_program = 'sync.sh'\n";

#[test]
fn feeds_are_read_again_and_again_and_failures_are_told_without_secrets() {
    let folder = folder("[ $2 = good ] || { echo trying; echo 'refused: very-secret is wrong' >&2; exit 3; }");
    let daemon = Daemon::start_in(folder, &format!("{PROGRAM}{}{}", feed("good", ""), feed("bad", "")));
    let of = |name: &str| starts(daemon.folder.path()).iter().filter(|line| line.contains(name)).count();
    until("a second sync of each", || (of("sync good") > 1 && of("sync bad") > 1).then_some(()));
    let line = starts(daemon.folder.path()).remove(0);
    let path = |name: &str| daemon.folder.path().join(name).display().to_string();
    for expected in ["--config", &path("hashward.toml"), "--socket", &path("data/hashward.sock"), "--data"] {
        assert!(line.contains(expected), "{line}");
    }
    assert!(starts(daemon.folder.path()).iter().all(|line| !line.contains("very-secret")), "no secret is an argument");
    let fault = until("the failure's place in the status", || {
        let bad = board(&daemon).into_iter().find(|status| status["feed"] == "bad")?;
        (bad["failures"].as_u64()? > 1).then(|| bad["fault"].as_str().unwrap().to_owned())
    });
    assert_eq!(fault, "refused: … is wrong");
    let good = board(&daemon).into_iter().find(|status| status["feed"] == "good").unwrap();
    assert_eq!((&good["failures"], &good["fault"], &good["list"]), (&0.into(), &Value::Null, &"good".into()));

    let told = Process::new(env!("CARGO_BIN_EXE_hashward")).arg("status").arg("--socket").arg(daemon.socket()).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert!(told.contains("feed bad") && told.contains("refused: … is wrong"), "{told}");
}

#[test]
fn a_sync_is_ended_at_its_deadline_with_the_daemon_and_with_its_feed() {
    let folder = folder("exec sleep 1000");
    let mut daemon = Daemon::start_in(folder, &format!("{PROGRAM}{}", feed("slow", "deadline_s = 1")));
    let fault = until("the deadline", || board(&daemon)[0]["fault"].as_str().map(str::to_owned));
    assert!(fault.contains("longer than 1 s"), "{fault}");

    // Another feed in its place: what runs is ended, and the new one begins.
    write_config(daemon.folder.path(), &format!("{PROGRAM}{}", feed("other", "")));
    daemon.signal(Signal::HUP);
    until("the other feed", || starts(daemon.folder.path()).iter().any(|line| line.contains("other")).then_some(()));
    assert!(board(&daemon).iter().all(|status| status["feed"] == "other"));
    write_config(daemon.folder.path(), "");
    daemon.signal(Signal::HUP);
    until("no feed", || board(&daemon).is_empty().then_some(()));

    write_config(daemon.folder.path(), &format!("{PROGRAM}{}", feed("last", "")));
    daemon.signal(Signal::HUP);
    let last = until("the last feed", || starts(daemon.folder.path()).into_iter().find(|line| line.contains("last")));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    let process = Path::new("/proc").join(last.split(' ').next().unwrap());
    until("the end of the last feed's process", || (!process.exists()).then_some(()));
}

#[test]
fn without_its_program_the_daemon_answers_and_says_what_to_do() {
    let daemon = Daemon::start(&format!("index_program = 'nothing-here'\n{}", feed("network", "")));
    let fault = until("the fault", || board(&daemon)[0]["fault"].as_str().map(str::to_owned));
    assert!(fault.contains("nothing-here") && fault.contains("index_program"), "{fault}");
    daemon.check_answers();
}

#[test]
fn lists_tell_how_fresh_they_are() {
    let daemon = Daemon::start(&feed("network", "stale_after_s = 1000").replace("interval_s = 1\n", ""));
    let list: ListName = "network".parse().unwrap();
    let info = || match execute(&daemon, &Command::Lists) {
        Outcome::Lists { lists } => lists.into_iter().find(|found| found.name == list).unwrap().feed,
        other => panic!("{other:?}"),
    };
    let changes = FeedChanges { roles: Some(Roles::uniform(Role::Illegal)), ..FeedChanges::of(list.clone()) };
    execute(&daemon, &Command::ApplyFeed(changes));
    assert_eq!(info(), Some(FeedInfo { stale: true, ..FeedInfo::default() }));
    let told = Process::new(env!("CARGO_BIN_EXE_hashward")).arg("status").arg("--socket").arg(daemon.socket()).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert!(told.contains("never synced, stale"), "{told}");
    let note = |fault: Option<&str>| {
        let note = FeedNote { list: list.clone(), checkpoint: None, fault: fault.map(str::to_owned) };
        assert_eq!(execute(&daemon, &Command::NoteFeed(note)), Outcome::FeedNoted);
        info().unwrap()
    };
    let failed = note(Some("no answer"));
    assert_eq!((failed.stale, failed.synced_at, failed.fault.as_deref()), (true, None, Some("no answer")));
    let synced = note(None);
    assert!(!synced.stale && synced.fault.is_none() && synced.synced_at == synced.attempted_at);
    // A failure after it does not make the list stale at once.
    let failed = note(Some("no answer"));
    assert_eq!((failed.stale, failed.synced_at), (false, synced.synced_at));
    match execute(&daemon, &Command::Status) {
        Outcome::Status(status) => assert_eq!(status.feeds, [(list.clone(), failed)].into()),
        other => panic!("{other:?}"),
    }
}
