//! How fast a feed's changes become durable and searchable, held against SQLite alone.
//!
//! `cargo bench --bench feeds` fills a feed list page by page through `Store::execute`, with entries of an MD5, a SHA-1
//! and a PDQ hash each, and the store's maintenance running as in the daemon; at each size it inserts, replaces and
//! deletes entries. Then it withdraws entries one at a time, while another thread asks: how long until no question
//! finds them, and how long a lookup takes meanwhile. Beside each rate stands its ratio to the *floor*: the same rows
//! put into, or taken out of, the same tables by SQLite with the same settings in the same run, in pages of the same
//! size, with no checksums, no history, no answers.
//!
//! `HASHWARD_FEEDS_HELD` names other sizes than `100000,1000000`, `HASHWARD_FEEDS_CHANGES` another number of changes
//! than 50,000. `cargo test --bench feeds` runs it all with few entries.

mod random;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::fingerprint::{Fingerprint, Kind, Radii};
use hashward::list::{Category, Entry, Role, Roles};
use hashward::matching::{Question, Verdict, answer};
use hashward::store::command::{Deleted, FeedChanges};
use hashward::store::{Command, Outcome, Store, StoreOptions};
use random::Random;
use rusqlite::{Connection, Transaction, params};

/// Entries of one command.
const PAGE: usize = 5_000;
/// Entries that are withdrawn one at a time.
const WITHDRAWALS: u64 = 50;
/// What an entry holds.
const KINDS: [Kind; 3] = [Kind::Md5, Kind::Sha1, Kind::Pdq];

/// How the catalogue sets SQLite up; see `src/catalogue/mod.rs`.
const SETTINGS: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;
     PRAGMA temp_store = MEMORY; PRAGMA cache_size = -131072;";

/// The catalogue's tables of entries; see `src/catalogue/schema.rs`.
const TABLES: &str = "
CREATE TABLE feed_entries (
    list INTEGER NOT NULL, source_id TEXT NOT NULL, seq INTEGER NOT NULL, entry TEXT NOT NULL,
    PRIMARY KEY (list, source_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_entries_by_seq ON feed_entries (seq);
CREATE TABLE entry_fingerprints (
    kind INTEGER NOT NULL, value BLOB NOT NULL, list INTEGER NOT NULL, source_id TEXT NOT NULL,
    PRIMARY KEY (kind, value, list, source_id)
) STRICT, WITHOUT ROWID;
";

/// The entry of a number, in one of its states.
fn entry(number: u64, state: u64) -> Entry {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = [0; 32];
    let mut fingerprint = |kind: Kind| {
        bytes.as_chunks_mut().0.iter_mut().for_each(|eight| *eight = random.next().to_le_bytes());
        Fingerprint::new(kind, &bytes[..kind.width()]).expect("of the kind's width")
    };
    let fingerprints = KINDS.map(&mut fingerprint).to_vec();
    Entry {
        source_id: format!("{}:{:016x}", number % 97, random.next()),
        fingerprints,
        category: Some(Category::new(Some("ncmec"), ["A1", "A2", "B1", "B2"][((number + state) % 4) as usize])),
        changed_at: Some((1_700_000_000 + (number + state) as i64) * 1_000),
        ..Entry::default()
    }
}

/// SQLite alone.
struct Floor(Connection);

impl Floor {
    fn open(folder: &Path) -> Floor {
        let connection = Connection::open(folder.join("floor.sqlite")).expect("a new file");
        connection.execute_batch(SETTINGS).and_then(|()| connection.execute_batch(TABLES)).expect("a new file");
        Floor(connection)
    }

    fn page(&mut self, entries: &[Entry], change: impl Fn(&Transaction<'_>, &Entry) -> rusqlite::Result<()>) {
        let transaction = self.0.transaction().expect("our own file");
        entries.iter().try_for_each(|entry| change(&transaction, entry)).expect("our own rows");
        transaction.commit().expect("our own file");
    }

    fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let json = serde_json::to_string(entry).expect("plain data");
        let mut put = transaction.prepare_cached("INSERT INTO feed_entries VALUES (16, ?, 1, ?)")?;
        put.execute(params![entry.source_id, json])?;
        let mut put = transaction.prepare_cached("INSERT INTO entry_fingerprints VALUES (?, ?, 16, ?)")?;
        entry.fingerprints.iter().try_for_each(|fingerprint| {
            put.execute(params![fingerprint.kind().code(), fingerprint.value(), entry.source_id]).map(|_| ())
        })
    }

    fn replace(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let json = serde_json::to_string(entry).expect("plain data");
        let sql = "UPDATE feed_entries SET seq = 2, entry = ? WHERE list = 16 AND source_id = ?";
        transaction.prepare_cached(sql)?.execute(params![json, entry.source_id]).map(|_| ())
    }

    fn delete(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let sql = "DELETE FROM feed_entries WHERE list = 16 AND source_id = ?";
        transaction.prepare_cached(sql)?.execute([&entry.source_id])?;
        let sql = "DELETE FROM entry_fingerprints WHERE kind = ? AND value = ? AND list = 16 AND source_id = ?";
        let mut take = transaction.prepare_cached(sql)?;
        entry.fingerprints.iter().try_for_each(|fingerprint| {
            take.execute(params![fingerprint.kind().code(), fingerprint.value(), entry.source_id]).map(|_| ())
        })
    }
}

/// The store, maintained as the daemon does it.
struct Kept {
    store: Arc<Store>,
    stop: Arc<AtomicBool>,
    maintenance: thread::JoinHandle<()>,
}

impl Kept {
    fn open(folder: &Path) -> Kept {
        let options = StoreOptions { create: true, ..StoreOptions::default() };
        let store = Arc::new(Store::open(&folder.join("data"), options).expect("a new folder"));
        let (stop, maintained) = (Arc::new(AtomicBool::new(false)), Arc::clone(&store));
        let stopped = Arc::clone(&stop);
        let maintenance = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if !maintained.maintain().expect("a sound store") {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        });
        Kept { store, stop, maintenance }
    }

    /// Has a page applied: as entries, or as deletions of them.
    fn apply(&self, page: Vec<Entry>, delete: bool) {
        let mut changes = FeedChanges::of("network".parse().expect("a good name"));
        changes.roles = Some(Roles::uniform(Role::Illegal));
        let gone = |entry: &Entry| Deleted { source_id: entry.source_id.clone(), changed_at: entry.changed_at };
        if delete {
            changes.deleted = page.iter().map(gone).collect();
        } else {
            changes.entries = page;
        }
        match self.store.execute(Command::ApplyFeed(changes)) {
            Ok(Outcome::FeedApplied(applied)) => assert_eq!(applied.older + applied.unchanged, 0),
            other => panic!("{other:?}"),
        }
    }

    fn verdict(&self, entry: &Entry) -> Verdict {
        let md5 = &entry.fingerprints[0];
        let question = Question { kinds: &[md5.kind()], rows: md5.value(), radii: &Radii::none() };
        let answers = answer(&self.store.snapshot(), &question).expect("a good question");
        answers.distinct.first().map_or(answers.miss, |answer| answer.verdict)
    }

    fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.maintenance.join().expect("maintenance goes on");
    }
}

struct Bench {
    kept: Kept,
    floor: Floor,
    random: Random,
    /// Entries so far, and how many of them from the first on are gone.
    held: u64,
    gone: u64,
}

impl Bench {
    /// Runs all pages through `change` of the store, then of SQLite alone, and prints the rates.
    fn measure(&mut self, what: &str, entries: &[Entry], delete: bool, floor: FloorChange) {
        let started = Instant::now();
        entries.chunks(PAGE).for_each(|page| self.kept.apply(page.to_vec(), delete));
        let rate = entries.len() as f64 / started.elapsed().as_secs_f64();
        let started = Instant::now();
        entries.chunks(PAGE).for_each(|page| self.floor.page(page, floor));
        let floor_rate = entries.len() as f64 / started.elapsed().as_secs_f64();
        let held = self.held - self.gone;
        println!("| {what} | {held} | {rate:.0}/s | {floor_rate:.0}/s | {:.2} |", rate / floor_rate);
    }

    fn at(&mut self, held: u64, changes: u64) {
        let fill: Vec<Entry> = (self.held..held.max(self.held)).map(|number| entry(number, 0)).collect();
        self.measure("fill", &fill, false, Floor::insert);
        self.held = self.held.max(held);
        let new: Vec<Entry> = (self.held..self.held + changes).map(|number| entry(number, 0)).collect();
        self.measure("insert", &new, false, Floor::insert);
        self.held += changes;
        let mut chosen: Vec<u64> =
            (0..changes).map(|_| self.gone + self.random.next() % (self.held - self.gone)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let changed: Vec<Entry> = chosen.iter().map(|number| entry(*number, 1 + self.gone)).collect();
        self.measure("replace", &changed, false, Floor::replace);
        let gone: Vec<Entry> = (self.gone..self.gone + changes).map(|number| entry(number, 1_000_000)).collect();
        self.measure("delete", &gone, true, Floor::delete);
        self.gone += changes;
    }

    /// Withdrawals one at a time, beside a thread that asks.
    fn withdraw(&mut self) {
        let asking = AtomicBool::new(true);
        let (kept, first, count) = (&self.kept, self.gone, self.held - self.gone);
        let (mut effects, mut lookups) = thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let (mut random, mut times) = (Random(7), Vec::new());
                while asking.load(Ordering::Relaxed) {
                    let entry = entry(first + random.next() % count, 0);
                    let started = Instant::now();
                    kept.verdict(&entry);
                    times.push(started.elapsed());
                }
                times
            });
            let effects: Vec<Duration> = (0..WITHDRAWALS.min(count))
                .map(|index| {
                    let entry = entry(first + index, 1_000_000);
                    assert_eq!(kept.verdict(&entry), Verdict::Known);
                    let started = Instant::now();
                    kept.apply(vec![entry.clone()], true);
                    assert_eq!(kept.verdict(&entry), Verdict::Unknown);
                    started.elapsed()
                })
                .collect();
            asking.store(false, Ordering::Relaxed);
            (effects, asked.join().expect("questions are answered"))
        });
        self.gone += effects.len() as u64;
        let at = |times: &mut Vec<Duration>, part: f64| {
            times.sort_unstable();
            times[((times.len() - 1) as f64 * part) as usize]
        };
        println!("| withdrawal to effect, median | {} | {:?} | | |", self.held - self.gone, at(&mut effects, 0.5));
        println!("| withdrawal to effect, longest | {} | {:?} | | |", self.held - self.gone, at(&mut effects, 1.0));
        println!("| lookups meanwhile, p99 | {} | {:?} | | |", self.held - self.gone, at(&mut lookups, 0.99));
    }
}

type FloorChange = fn(&Transaction<'_>, &Entry) -> rusqlite::Result<()>;

fn main() {
    // `cargo test --benches` only asks whether it runs at all.
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let setting = |name: &str, whole: &str, smoked: &str| {
        std::env::var(name).unwrap_or_else(|_| if smoke { smoked } else { whole }.to_owned())
    };
    let number = |text: &str| text.parse::<u64>().expect("HASHWARD_FEEDS_… are numbers");
    let changes = number(&setting("HASHWARD_FEEDS_CHANGES", "50000", "50"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let (kept, floor) = (Kept::open(folder.path()), Floor::open(folder.path()));
    let mut bench = Bench { kept, floor, random: Random(1), held: 0, gone: 0 };
    println!("| what | entries held | hashward | floor of this run | ratio |\n|---|---:|---:|---:|---:|");
    for held in setting("HASHWARD_FEEDS_HELD", "100000,1000000", "200").split(',') {
        bench.at(number(held), changes);
        bench.withdraw();
    }
    bench.kept.close();
}
