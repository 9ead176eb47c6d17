//! Files, walked in order and hashed in parallel, with bounded memory.
//!
//! One thread walks, several hash, the caller receives. A file's place in the output is fixed when it is found: the
//! caller gets the receiving end of a channel for it, in order, and whoever hashes it holds the other. So a large file
//! holds back what comes after it, but at most [`WINDOW`] files are under way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use walkdir::WalkDir;

use crate::fingerprint::{Fingerprint, Kind, hash_reader};

/// Files between being found and being received.
const WINDOW: usize = 4_096;

/// A file and its fingerprints, in the order of the kinds asked for, or why it has none.
pub(super) struct Hashed {
    pub(super) path: PathBuf,
    pub(super) fingerprints: Result<Vec<Fingerprint>, String>,
}

/// What the walk passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOver {
    /// Symbolic links inside walked folders.
    pub(super) links: u64,
    /// Sockets, pipes and devices inside walked folders.
    pub(super) special: u64,
}

/// What happens next.
pub(super) enum Next {
    /// The next file.
    File(Hashed),
    /// The next file will take a moment: a good time to work on those before it.
    Waiting,
}

/// A file to be hashed, and where to tell.
struct Task {
    path: PathBuf,
    hashed: Sender<Hashed>,
}

/// Hashes `roots`, files as they are and folders walked in the order of names, and gives each to `each`. Errors of
/// single files are theirs; an error of `each` ends everything.
pub(super) fn hash_files(
    roots: &[PathBuf],
    kinds: &[Kind],
    mut each: impl FnMut(Next) -> Result<()>,
) -> Result<PassedOver> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (task_sender, tasks) = bounded::<Task>(WINDOW);
    let (place_sender, places) = bounded::<Receiver<Hashed>>(WINDOW);
    thread::scope(|scope| {
        for _ in 0..threads {
            let tasks = tasks.clone();
            scope.spawn(move || hash_tasks(&tasks, kinds));
        }
        drop(tasks);
        let walker = scope.spawn(move || walk(roots, &task_sender, &place_sender));
        let received = receive(places, &mut each);
        let passed_over = walker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        received.map(|()| passed_over)
    })
}

/// Gives files to `each` in order. Takes `places`, so that the walker stops when this ends early.
fn receive(places: Receiver<Receiver<Hashed>>, each: &mut impl FnMut(Next) -> Result<()>) -> Result<()> {
    loop {
        let place = match places.try_recv() {
            Ok(place) => place,
            Err(_) => {
                each(Next::Waiting)?;
                let Ok(place) = places.recv() else { return Ok(()) };
                place
            }
        };
        let hashed = match place.try_recv() {
            Ok(hashed) => hashed,
            Err(_) => {
                each(Next::Waiting)?;
                place.recv()?
            }
        };
        each(Next::File(hashed))?;
    }
}

fn hash_tasks(tasks: &Receiver<Task>, kinds: &[Kind]) {
    for Task { path, hashed } in tasks {
        let fingerprints = File::open(&path)
            .and_then(|file| hash_reader(file, kinds))
            .map(|(fingerprints, _)| fingerprints)
            .map_err(|error| error.to_string());
        // Nobody waits for it any more if the caller has ended early.
        let _ = hashed.send(Hashed { path, fingerprints });
    }
}

/// Walks until the end, or until nobody wants more.
fn walk(roots: &[PathBuf], tasks: &Sender<Task>, places: &Sender<Receiver<Hashed>>) -> PassedOver {
    let mut passed_over = PassedOver::default();
    let found = |path: &Path| {
        let (hashed, place) = bounded(1);
        let wanted = places.send(place).is_ok();
        wanted && tasks.send(Task { path: path.to_owned(), hashed }).is_ok()
    };
    let failed = |path: &Path, error: String| {
        let (hashed, place) = bounded(1);
        let wanted = places.send(place).is_ok();
        wanted && hashed.send(Hashed { path: path.to_owned(), fingerprints: Err(error) }).is_ok()
    };
    for root in roots {
        // What is named is followed; what is only found is not.
        let is_folder = match fs::metadata(root) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if failed(root, error.to_string()) => continue,
            Err(_) => return passed_over,
        };
        if !is_folder {
            if !found(root) {
                return passed_over;
            }
            continue;
        }
        for entry in WalkDir::new(root).sort_by_file_name() {
            let wanted = match entry {
                Ok(entry) if entry.file_type().is_dir() => true,
                Ok(entry) if entry.file_type().is_file() => found(entry.path()),
                Ok(entry) if entry.depth() == 0 => true,
                Ok(entry) => {
                    let link = entry.file_type().is_symlink();
                    *(if link { &mut passed_over.links } else { &mut passed_over.special }) += 1;
                    true
                }
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    let text = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    failed(&path, text)
                }
            };
            if !wanted {
                return passed_over;
            }
        }
    }
    passed_over
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::hash_bytes;

    #[test]
    fn files_come_in_order_and_links_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("b")).unwrap();
        for (name, content) in [("a", "1"), ("b/c", "2"), ("b/d", "3"), ("e", "4")] {
            fs::write(root.join(name), content).unwrap();
        }
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.join("b/up")).unwrap();
        let roots = [root.to_owned(), root.join("link"), root.join("missing")];
        let mut seen = Vec::new();
        let passed_over = hash_files(&roots, &[Kind::Md5], |next| {
            if let Next::File(file) = next {
                let path = file.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                seen.push((path, file.fingerprints.ok().map(|mut all| all.remove(0))));
            }
            Ok(())
        })
        .unwrap();
        let md5 = |content: &str| Some(hash_bytes(Kind::Md5, content.as_bytes()));
        let expected = [
            ("a", md5("1")),
            ("b/c", md5("2")),
            ("b/d", md5("3")),
            ("e", md5("4")),
            ("link", md5("1")),
            ("missing", None),
        ];
        assert_eq!(seen, expected.map(|(path, digest)| (path.to_owned(), digest)));
        assert_eq!(passed_over, PassedOver { links: 2, special: 0 });
    }

    #[test]
    fn an_error_of_the_caller_ends_the_walk() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..200 {
            fs::write(folder.path().join(number.to_string()), "x").unwrap();
        }
        let result = hash_files(&[folder.path().to_owned()], &[Kind::Sha1], |next| match next {
            Next::File(_) => anyhow::bail!("enough"),
            Next::Waiting => Ok(()),
        });
        assert_eq!(result.unwrap_err().to_string(), "enough");
    }
}
