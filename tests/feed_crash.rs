//! A sync that `kill -9` interrupts goes on where the checkpoint says: a child process reads windows of changes as `sync`
//! does, and after each kill the store holds what was acknowledged, and of the page that was cut short all or nothing.

mod store_support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, hash_bytes};
use hashward::store::{Command, Outcome, Store, StoreOptions};
use store_support::feed::{Change, FEED, FILES, Newest, WINDOW_MS, apply, changes, feed_state, files, temporary};
use store_support::model::{Model, check};

const KILLS: usize = 40;
const WINDOWS: usize = 400;
const PAGES: usize = 4;
/// The child's task: `folder,notes`.
const TASK: &str = "HASHWARD_FEED_CRASH_TASK";

/// The pages of a window: the same for parent and child, and whenever the window is read again.
fn pages(window: usize) -> Vec<Vec<Change>> {
    let draw = |page: usize, index: usize, salt: u64| {
        let bytes = [window as u64, page as u64, index as u64, salt].map(u64::to_le_bytes).concat();
        let hash = hash_bytes(Kind::Sha1, &bytes);
        u32::from_le_bytes(hash.value()[..4].try_into().unwrap())
    };
    let change = |page: usize, index: usize| Change {
        id: (draw(page, index, 0) % 12) as u8,
        at: window as i64 * WINDOW_MS + i64::from(draw(page, index, 1)) % WINDOW_MS,
        state: (!draw(page, index, 2).is_multiple_of(3))
            .then(|| (vec![draw(page, index, 3) % FILES, draw(page, index, 4) % FILES], (window % 250) as u8)),
    };
    (0..PAGES).map(|page| (0..6).map(|index| change(page, index)).collect()).collect()
}

/// Reads windows as `sync` does: from the checkpoint on, each to its end.
fn sync(store: &Store, mut done: impl FnMut(usize, usize)) {
    let first = feed_state(store).checkpoint.map_or(0, |checkpoint| checkpoint.parse().unwrap());
    for window in first..WINDOWS {
        for (index, page) in pages(window).iter().enumerate() {
            let checkpoint = (index + 1 == PAGES).then(|| (window + 1).to_string());
            apply(store, changes(page, checkpoint));
            done(window, index);
        }
    }
}

fn crash_options() -> StoreOptions {
    StoreOptions { create: true, seal_at: 6, ..StoreOptions::default() }
}

/// Not a test of its own: what the killed process does. Without a task it passes.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (folder, notes) = task.split_once(',').unwrap();
    let mut notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
    let store = Store::open(Path::new(folder), crash_options()).unwrap();
    store.load().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if !store.maintain().unwrap() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        // Lines must be whole: one `write` each, which `writeln!` does not promise.
        sync(&store, |window, page| notes.write_all(format!("{window} {page}\n").as_bytes()).unwrap());
        std::thread::sleep(Duration::from_secs(60));
    });
}

/// What may be true after a kill: all windows before the checkpoint's, and of that one the first `pages`.
fn after(checkpoint: usize, count: usize) -> Model {
    let mut newest = Newest::default();
    (0..checkpoint).flat_map(pages).flatten().for_each(|change| newest.take(&change));
    if checkpoint < WINDOWS {
        pages(checkpoint).into_iter().take(count).flatten().for_each(|change| newest.take(&change));
    }
    newest.model()
}

#[test]
fn a_sync_that_is_killed_goes_on_where_it_was() {
    let home = temporary();
    let (folder, notes) = (home.path().join("data"), home.path().join("notes"));
    let mut furthest = (0, 0);
    for kill in 0..KILLS {
        let mut process = Process::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(TASK, format!("{},{}", folder.display(), notes.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every fourth is killed while it starts, the others some pages on.
        let lines = || fs::read_to_string(&notes).unwrap_or_default().lines().count();
        let (before, until) = (lines(), Instant::now() + Duration::from_secs(10));
        while kill % 4 != 0 && lines() < before + kill % 7 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(3_001 * (kill as u64 % 7)));
        process.kill().unwrap();
        process.wait().unwrap();
        // Acknowledged is (window, pages of it).
        let noted = fs::read_to_string(&notes).unwrap_or_default();
        let noted = noted.lines().filter_map(|line| line.split_once(' '));
        let noted = noted.map(|(window, page)| (window.parse().unwrap(), page.parse::<usize>().unwrap() + 1));
        furthest = noted.max().unwrap_or((0, 0)).max(furthest);
        let store = Store::open(&folder, crash_options()).unwrap();
        store.load().unwrap();
        let state = feed_state(&store);
        let checkpoint: usize = state.checkpoint.map_or(0, |checkpoint| checkpoint.parse().unwrap());
        let least = if furthest.1 == PAGES { (furthest.0 + 1, 0) } else { furthest };
        assert!(checkpoint >= least.0, "kill {kill}: {furthest:?} was acknowledged, the checkpoint is {checkpoint}");
        let first = if checkpoint == least.0 { least.1 } else { 0 };
        // Before the first page there is no list.
        let exists = store.snapshot().lists().iter().any(|list| list.name.as_str() == FEED);
        let empty = checkpoint == 0 && least.1 == 0 && !exists;
        let differences: Vec<_> =
            (first..=PAGES).map_while(|count| check(&store, &after(checkpoint, count), &files()).err()).collect();
        assert!(empty || differences.len() <= PAGES - first, "kill {kill} at {furthest:?}: {differences:#?}");
        let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
        assert_eq!(damage, Vec::<String>::new(), "kill {kill}");
    }
    assert!(furthest > (0, 0), "no page was ever acknowledged");
    let store = Store::open(&folder, crash_options()).unwrap();
    store.load().unwrap();
    sync(&store, |_, _| {});
    assert_eq!(check(&store, &after(WINDOWS, 0), &files()), Ok(()));
}
