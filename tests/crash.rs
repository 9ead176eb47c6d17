//! `kill -9` at random moments: a child process changes a store and notes what was acknowledged; after each kill the
//! store holds exactly that, and of the one command that was cut short either all or nothing.
//!
//! A kill does not lose what the kernel already has; that files are made durable in the right order is not shown here.

mod store_support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius};
use hashward::list::{ListShape, ListState, Role, VersionNumber};
use hashward::store::command::Published;
use hashward::store::{Command, GateLimits, Limit, Outcome, Store, StoreOptions};
use store_support::model::{Content, List, Model, Version, check};
use store_support::*;

const KILLS: u64 = 200;
const SEED: u64 = 0x5EED_0001;
/// Made-up files.
const FILES: u64 = 160;
const FILE_LISTS: [&str; 2] = ["debian", "vics"];
const FEED_LISTS: [&str; 2] = ["own", "network"];

/// The child's task: `folder,notes,first step`.
const TASK: &str = "HASHWARD_CRASH_TASK";

/// A small generator (SplitMix64), so that parent and child know the same steps.
struct Random(u64);

impl Random {
    fn of(step: u64) -> Random {
        Random(SEED ^ step.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

fn file(number: u64) -> Fingerprint {
    fingerprint(KINDS[(number % 2) as usize], number as u32)
}

#[derive(Clone, Debug)]
enum Step {
    /// Everything in it has the same category, so that two generations cannot be taken for one.
    Import {
        list: &'static str,
        said: Said,
        role: Role,
        radii: Radii,
    },
    Add {
        list: &'static str,
        entries: Vec<(String, Vec<Fingerprint>, u8)>,
    },
    Withdraw {
        list: &'static str,
        files: Vec<Fingerprint>,
    },
    SetState {
        list: &'static str,
        state: ListState,
    },
    SetRadius {
        list: &'static str,
        radius: Option<Radius>,
    },
    Remove {
        list: &'static str,
    },
    Rollback {
        list: &'static str,
    },
    Suppress {
        file: Fingerprint,
        with_entries: bool,
    },
    Lift {
        file: Fingerprint,
    },
    Compact,
}

fn step(number: u64) -> Step {
    let mut random = Random::of(number);
    let lists = [FILE_LISTS[0], FILE_LISTS[1], FEED_LISTS[0], FEED_LISTS[1]];
    let code = 1 + (number % 250) as u8;
    match random.next(21) {
        0..4 => {
            let said = (0..FILES).filter(|_| random.next(3) == 0).map(|number| (file(number), [code].into())).collect();
            let role = if random.next(2) == 0 { Role::Illegal } else { Role::Ignorable };
            let mut radii = Radii::none();
            if random.next(2) == 0 {
                radii.set(Kind::Pdq, Radius(random.next(64) as u16)).unwrap();
            }
            Step::Import { list: FILE_LISTS[random.next(2) as usize], said, role, radii }
        }
        4..9 => {
            let entries = (0..1 + random.next(12)).map(|_| {
                let files = (0..1 + random.next(3)).map(|_| file(random.next(FILES))).collect();
                (random.next(40).to_string(), files, code)
            });
            Step::Add { entries: entries.collect(), list: FEED_LISTS[random.next(2) as usize] }
        }
        9..12 => {
            let files = (0..1 + random.next(20)).map(|_| file(random.next(FILES))).collect();
            Step::Withdraw { files, list: lists[random.next(4) as usize] }
        }
        12 => {
            let state = if random.next(3) == 0 { ListState::Disabled } else { ListState::Active };
            Step::SetState { list: lists[random.next(4) as usize], state }
        }
        16 => {
            let radius = (random.next(3) > 0).then(|| Radius(random.next(64) as u16));
            Step::SetRadius { list: lists[random.next(4) as usize], radius }
        }
        13 if random.next(3) == 0 => Step::Remove { list: lists[random.next(4) as usize] },
        13 | 14 => Step::Rollback { list: FILE_LISTS[random.next(2) as usize] },
        // Of few, so that what is suppressed is also lifted.
        17..20 => Step::Suppress { file: file(random.next(8)), with_entries: random.next(3) > 0 },
        20 => Step::Lift { file: file(random.next(8)) },
        _ => Step::Compact,
    }
}

fn opened(folder: &Path) -> Store {
    // About half of the imports that follow another are held, and then accepted.
    let gate = GateLimits { growth: Limit::new(0.0, 18), ..GateLimits::NONE };
    let store =
        Store::open(folder, StoreOptions { create: true, seal_at: 30, gate, ..StoreOptions::default() }).unwrap();
    store.load().unwrap();
    store
}

/// What the child notes of a step.
#[derive(Clone, Debug, PartialEq)]
enum Note {
    Started(u64),
    /// With the version that answers, where the step decides one; 0 for none, and for a refusal.
    Done(u64, u32),
}

/// Not a test of its own: what the killed process does. Without a task it passes.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [folder, notes, first] = task.split(',').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let mut notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
    let store = opened(Path::new(folder));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if !store.maintain().unwrap() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        for number in first.parse::<u64>().unwrap().. {
            // Lines must be whole: one `write` each, which `writeln!` does not promise.
            notes.write_all(format!("started {number}\n").as_bytes()).unwrap();
            let version = do_step(&store, step(number));
            notes.write_all(format!("done {number} {version}\n").as_bytes()).unwrap();
        }
    });
}

fn do_step(store: &Store, step: Step) -> u32 {
    let command = match step {
        Step::Import { list, said, role, radii } => {
            let outcome = import_with(store, &name(list), &said, role, &format!("{said:?}"), false, radii).unwrap();
            let version = match outcome {
                Outcome::Published(Published { version, .. }) | Outcome::Unchanged { version } => return version.0,
                Outcome::Held(held) => held.version,
                outcome => panic!("{outcome:?}"),
            };
            let accept = Command::Accept { list: name(list), version: Some(version), reason: "seen".to_owned() };
            let Outcome::Accepted(accepted) = store.execute(accept).unwrap() else { panic!() };
            return accepted.version.0;
        }
        Step::Add { list, entries } => {
            let entries = entries.into_iter().map(|(id, files, code)| entry(&id, files, code)).collect();
            Command::Add { list: name(list), role: Some(Role::Illegal), entries }
        }
        Step::Withdraw { list, files } => Command::Withdraw { list: name(list), fingerprints: files },
        Step::SetState { list, state } => Command::SetState { list: name(list), state },
        Step::SetRadius { list, radius } => Command::SetRadius { list: name(list), kind: Kind::Pdq, radius },
        Step::Remove { list } => Command::Remove { list: name(list) },
        Step::Suppress { file, with_entries } => suppress(&file, with_entries),
        Step::Lift { file } => lift(&file),
        Step::Rollback { list } => Command::Rollback { list: name(list), to: None },
        Step::Compact => Command::Compact,
    };
    match store.execute(command) {
        Ok(Outcome::RolledBack { to: VersionNumber(to), .. }) => to,
        // A list that is not there is refused, which changes nothing.
        _ => 0,
    }
}

fn read_notes(path: &Path) -> Vec<Note> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let note = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["started", number] => Note::Started(number.parse().unwrap()),
            ["done", number, version] => Note::Done(number.parse().unwrap(), version.parse().unwrap()),
            _ => panic!("{line}"),
        }
    };
    text.lines().map(note).collect()
}

/// Stands for the number of a version whose import was cut short, until the store tells it.
const UNTOLD: u32 = u32::MAX;

/// Whether the store has the model's lists in their states, with as many entries and at the same versions.
fn has_lists(store: &Store, model: &mut Model) -> bool {
    let Ok(Outcome::Lists { lists }) = store.execute(Command::Lists) else { panic!() };
    let lists: Vec<_> = lists.into_iter().filter(|list| list.shape != ListShape::BuiltIn).collect();
    lists.len() == model.0.len()
        && lists.into_iter().all(|info| {
            let Some(list) = model.0.get_mut(info.name.as_str()) else { return false };
            let same = match &mut list.content {
                Content::Feed { entries, .. } => info.entries == entries.len() as u64,
                Content::File { versions, current } => {
                    let Ok(Outcome::Inspected(found)) = store.execute(Command::Inspect { list: info.name }) else {
                        panic!()
                    };
                    let told: Vec<u32> = versions.iter().map(|version| version.number).collect();
                    let untold = found.versions.iter().map(|v| v.version.0).filter(|number| !told.contains(number));
                    // Newest first, on both sides.
                    let open = versions.iter_mut().rev().filter(|version| version.number == UNTOLD);
                    let newest = untold.zip(open).map(|(number, version)| {
                        version.number = number;
                        number
                    });
                    let newest = newest.reduce(|newest, _| newest);
                    if *current == UNTOLD {
                        *current = newest.unwrap_or(UNTOLD);
                    }
                    info.version == Some(VersionNumber(*current))
                }
            };
            same && info.state == list.state && info.radii == list.radii
        })
}

/// The model after a step. `version`: what the child noted; unknown of a step that was cut short.
fn after(model: &Model, number: u64, version: Option<u32>) -> Vec<Model> {
    let mut next = model.clone();
    match step(number) {
        Step::Import { list, said, role, radii } => {
            let content = Content::File { versions: Vec::new(), current: 0 };
            let list = next.0.entry(list.to_owned()).or_insert(List::new(content));
            list.radii.merge(radii);
            let Content::File { versions, current } = &mut list.content else { panic!() };
            let number = version.unwrap_or(UNTOLD);
            versions.push(Version { number, role, sources: Vec::new(), said });
            // As many as the store keeps at most, those that manifests name among them.
            let oldest = versions.len().saturating_sub(6);
            let before = *current;
            let mut index = 0;
            versions.retain(|version| {
                index += 1;
                index > oldest || version.number == before
            });
            *current = number;
        }
        Step::Add { list, entries } => {
            // Of two of the same source id the last counts.
            let entries: BTreeMap<_, _> = entries.into_iter().map(|(id, files, code)| (id, (files, code))).collect();
            entries.values().for_each(|(files, _)| next.cover(&files.iter().cloned().collect()));
            let content = Content::Feed { role: Role::Illegal, entries: Default::default() };
            let list = next.0.entry(list.to_owned()).or_insert(List::new(content));
            let Content::Feed { entries: into, .. } = &mut list.content else { panic!() };
            into.extend(entries.into_iter().map(|(id, (files, code))| (id, (files.into_iter().collect(), code))));
        }
        Step::Withdraw { list, files } => {
            next.0.get_mut(list).into_iter().for_each(|list| list.withdraw(&files.iter().cloned().collect()))
        }
        Step::Suppress { file, with_entries } => {
            if !next.1.contains_key(&(file.clone(), with_entries)) {
                next.suppress(file, with_entries);
            }
        }
        Step::Lift { file } => drop(next.lift(&file)),
        Step::SetState { list, state } => next.0.get_mut(list).into_iter().for_each(|list| list.state = state),
        Step::SetRadius { list, radius } => next.0.get_mut(list).into_iter().for_each(|list| match radius {
            Some(radius) => list.radii.set(Kind::Pdq, radius).unwrap(),
            None => list.radii.unset(Kind::Pdq),
        }),
        Step::Remove { list } => drop(next.0.remove(list)),
        Step::Rollback { list } => {
            let Some(List { content: Content::File { versions, current }, .. }) = next.0.get_mut(list) else {
                return vec![next];
            };
            match version {
                Some(0) => {}
                Some(version) => *current = version,
                None => {
                    // The one before in the order of their imports, whatever its number.
                    let at = versions.iter().position(|version| version.number == *current).unwrap();
                    let before = versions[..at].last().map(|version| version.number);
                    let back = |to: u32| {
                        let mut next = model.clone();
                        let Some(List { content: Content::File { current, .. }, .. }) = next.0.get_mut(list) else {
                            panic!()
                        };
                        *current = to;
                        next
                    };
                    return before.into_iter().map(back).collect();
                }
            }
        }
        Step::Compact => {}
    }
    vec![next]
}

/// What may be true, each once: two may differ only until a version that one of them lacks is gone.
fn distinct(models: impl Iterator<Item = Model>) -> Vec<Model> {
    let mut distinct = Vec::new();
    for model in models {
        if !distinct.contains(&model) {
            distinct.push(model);
        }
    }
    distinct
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    // In memory where that can be had: syncing to a disk takes time here and shows nothing.
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() };
    let (folder, notes) = (home.path().join("data"), home.path().join("notes"));
    let files: Vec<_> = (0..FILES).map(file).collect();
    let mut random = Random(SEED);
    // What may be true: a command that was cut short happened, or it did not.
    let mut models = vec![Model::default()];
    let (mut next_step, mut acknowledged, mut cut_short) = (0, 0, 0);
    for kill in 0..KILLS {
        let _ = fs::remove_file(&notes);
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(TASK, format!("{},{},{next_step}", folder.display(), notes.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every fourth is killed while it starts, the others some way into their steps.
        if kill % 4 != 0 {
            let lines = random.next(8) as usize;
            let until = Instant::now() + Duration::from_secs(5);
            while fs::read_to_string(&notes).unwrap_or_default().lines().count() < lines && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_micros(random.next(20_000)));
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself at kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
        let noted = read_notes(&notes);
        for (index, note) in noted.iter().enumerate() {
            match note {
                Note::Done(number, version) => {
                    models = distinct(models.iter().flat_map(|model| after(model, *number, Some(*version))));
                    acknowledged += 1;
                }
                Note::Started(number) => {
                    next_step = number + 1;
                    if index + 1 == noted.len() {
                        let happened: Vec<_> = models.iter().flat_map(|model| after(model, *number, None)).collect();
                        models = distinct(models.into_iter().chain(happened));
                        cut_short += 1;
                    }
                }
            }
        }
        // Now and then the next child starts on what this one left, so that a repair is killed, too.
        if kill % 4 == 3 && kill + 1 < KILLS {
            continue;
        }
        let store = opened(&folder);
        let mut differences = Vec::new();
        models.retain_mut(|model| {
            let lists = if has_lists(&store, model) { Ok(()) } else { Err("other lists".to_owned()) };
            let difference = lists.and_then(|()| check(&store, model, &files)).err();
            differences.extend(difference.clone());
            difference.is_none()
        });
        assert!(!models.is_empty(), "kill {kill}, after {noted:?}: {differences:#?}");
        let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
        assert_eq!(damage, Vec::<String>::new(), "kill {kill}");
    }
    println!("{KILLS} kills, {acknowledged} commands acknowledged, {cut_short} cut short, {} left open", models.len());
    assert!(acknowledged > KILLS / 2 && cut_short > KILLS / 4, "{acknowledged} acknowledged, {cut_short} cut short");
}
