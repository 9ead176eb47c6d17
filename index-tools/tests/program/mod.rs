//! Runs the program as a user does, in a folder of its own, and asks the store what came of it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod daemon;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Encoding, Fingerprint, Kind, Radii, hash_bytes};
use hashward::index::snapshot::Snapshot;
use hashward::matching::{Answer, Question, Verdict, answer};
use hashward::store::{Store, StoreError, StoreOptions};
use serde_json::Value;

/// The program under test.
pub(crate) const HASHWARD_INDEX: &str = env!("CARGO_BIN_EXE_hashward-index");

/// Nobody holds a store longer, unless it hangs.
const LOCKED_MAX: Duration = Duration::from_secs(30);

/// A working folder with the default data folder in it.
pub(crate) struct Folder(tempfile::TempDir);

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code().expect("the program ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("it prints UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("it prints UTF-8"),
        }
    }

    /// Requires success and gives what was printed.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Requires success and gives the object that was printed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).expect("one JSON object")
    }

    /// Requires this exit code and all of these words on standard error.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "expected `{word}` in: {}", self.stderr);
        }
    }
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("hashward-data")
    }

    /// Runs the program here.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(Command::new(HASHWARD_INDEX).args(arguments).current_dir(self.path()).output().expect("it starts"))
    }

    /// Writes a file here and gives its name.
    pub(crate) fn write<'n>(&self, name: &'n str, content: impl AsRef<[u8]>) -> &'n str {
        std::fs::write(self.path().join(name), content).expect("a writable folder");
        name
    }

    /// What lists there are, as JSON by name.
    pub(crate) fn lists(&self) -> BTreeMap<String, Value> {
        let text = self.run(&["lists", "--format", "json"]).done();
        let lists = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object a line"));
        lists.map(|list| (list["name"].as_str().expect("a name").to_owned(), list)).collect()
    }

    /// What a daemon would answer from.
    pub(crate) fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        let store = self.store(true);
        store.load().expect("its segments are sound");
        store.snapshot()
    }

    /// The store. A process that another test is just starting has this one's open files until it runs its own program,
    /// a lock that was given back among them: it is tried again.
    pub(crate) fn store(&self, serve: bool) -> Store {
        let started = Instant::now();
        loop {
            match Store::open(&self.data(), StoreOptions { serve, ..StoreOptions::default() }) {
                Err(StoreError::Locked { .. }) if started.elapsed() < LOCKED_MAX => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                store => return store.expect("a store"),
            }
        }
    }

    /// Files in `incoming/`.
    pub(crate) fn leftovers(&self) -> usize {
        std::fs::read_dir(self.data().join("incoming")).map_or(0, Iterator::count)
    }
}

/// The answer about one fingerprint.
pub(crate) fn ask(snapshot: &Snapshot, fingerprint: &Fingerprint) -> (Verdict, Option<Answer>) {
    let kinds = [fingerprint.kind()];
    let answers = answer(snapshot, &Question { kinds: &kinds, rows: fingerprint.value(), radii: &Radii::none() })
        .expect("a good question");
    let found = answers.iter().next().flatten().cloned();
    (found.as_ref().map_or(answers.miss, |answer| answer.verdict), found)
}

/// The MD5 of a made-up file.
pub(crate) fn md5(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, format!("made-up file {number}").as_bytes())
}

/// A list of such MD5s in bare hex.
pub(crate) fn hex_list(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| md5(number).to_hex() + "\n").collect()
}

/// A fingerprint as samples write it: hex, or base64 for PhotoDNA.
pub(crate) fn fingerprint(sample: &Value) -> Fingerprint {
    let kind: Kind = sample["kind"].as_str().expect("a kind").parse().expect("a known kind");
    let encoding = if kind == Kind::PhotoDna { Encoding::Base64 } else { Encoding::Hex };
    Fingerprint::parse(kind, sample["value"].as_str().expect("a value"), encoding).expect("a good value")
}
