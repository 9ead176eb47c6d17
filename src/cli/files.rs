//! Files, walked in order and hashed in parallel, with bounded memory.
//!
//! One thread walks, several hash, the caller receives. A file's place in the output is fixed when it is found: the
//! caller gets the receiving end of a channel for it, in order, and whoever hashes it holds the other. So a large file
//! holds back what comes after it, but at most [`WINDOW`] files are under way. A picture is read here, digested, and given
//! to a worker process, which tells its perceptual hashes when it is done; the thread goes on with the next file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use walkdir::WalkDir;

use crate::fingerprint::{Fingerprint, Hasher, Kind, NotComputed, hash_reader};
use crate::media::picture::HashRequest;
use crate::media::source::{Content, Intake};
use crate::media::worker::{Failed, Job, Outcome, Program, WorkerConfig, WorkerPool};

/// Files between being found and being received.
const WINDOW: usize = 4_096;

/// Bytes of a possible picture that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What is computed of each file.
pub(super) struct Kinds {
    pub(super) exact: Vec<Kind>,
    /// Of pictures.
    pub(super) request: HashRequest,
    /// Where pictures are decoded; `None` if no perceptual kind is asked for.
    pool: Option<WorkerPool>,
    input_bytes_max: u64,
}

impl Kinds {
    /// Starts the workers that `kinds` need, each as `hashward worker`.
    ///
    /// # Errors
    /// A kind that is not computed from files; no thread for the workers.
    pub(super) fn new(kinds: &[Kind], dihedral: bool) -> Result<Kinds> {
        let (perceptual, exact): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| !kind.is_exact());
        Hasher::new(&exact)?;
        let config = WorkerConfig::default();
        let input_bytes_max = config.input_bytes;
        let pool = match perceptual.is_empty() {
            true => None,
            false => Some(WorkerPool::start(config, Program::Itself)?),
        };
        Ok(Kinds { exact, request: HashRequest { kinds: perceptual, dihedral }, pool, input_bytes_max })
    }
}

/// What a file came to.
pub(super) struct Hashed {
    pub(super) path: PathBuf,
    pub(super) hashes: Result<Hashes, String>,
}

/// A file's fingerprints.
pub(super) struct Hashes {
    /// In the order of [`Kinds::exact`].
    pub(super) digests: Vec<Fingerprint>,
    /// Of a picture, if any perceptual kind is asked for.
    pub(super) picture: Option<Outcome>,
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
    File(Box<Hashed>),
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
    kinds: &Kinds,
    mut each: impl FnMut(Next) -> Result<()>,
) -> Result<PassedOver> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (task_sender, tasks) = bounded::<Task>(WINDOW);
    let (place_sender, places) = bounded::<Receiver<Hashed>>(WINDOW);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (tasks, is_over) = (tasks.clone(), &is_over);
            scope.spawn(move || hash_tasks(&tasks, kinds, is_over));
        }
        drop(tasks);
        let walker = scope.spawn(move || walk(roots, &task_sender, &place_sender));
        let received = receive(places, &mut each);
        // After an error of the caller nobody wants the files that were found and not yet hashed.
        is_over.store(received.is_err(), Ordering::Relaxed);
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
        each(Next::File(Box::new(hashed)))?;
    }
}

fn hash_tasks(tasks: &Receiver<Task>, kinds: &Kinds, is_over: &AtomicBool) {
    for Task { path, hashed } in tasks.iter().take_while(|_| !is_over.load(Ordering::Relaxed)) {
        // Nobody waits for it any more if the caller has ended early.
        let tell = move |path, hashes| drop(hashed.send(Hashed { path, hashes }));
        let Some(pool) = &kinds.pool else {
            let digests = File::open(&path).and_then(|file| hash_reader(file, &kinds.exact));
            let hashes = digests.map(|(digests, _)| Hashes { digests, picture: None });
            tell(path, hashes.map_err(|error| error.to_string()));
            continue;
        };
        match take_in(&path, kinds) {
            Err(error) => tell(path, Err(error.to_string())),
            Ok((digests, Content::NotAPicture)) => tell(path, Ok(Hashes { digests, picture: None })),
            Ok((digests, Content::TooLarge)) => {
                tell(path, Ok(Hashes { digests, picture: Some(Err(Failed::TooLarge)) }));
            }
            Ok((digests, Content::Picture(bytes))) => {
                let job = Job { bytes, request: kinds.request.clone() };
                pool.submit_waiting(job, move |outcome| tell(path, Ok(Hashes { digests, picture: Some(outcome) })));
            }
        }
    }
}

/// Digests a file, and keeps it if it is a picture.
fn take_in(path: &Path, kinds: &Kinds) -> io::Result<(Vec<Fingerprint>, Content)> {
    let unsupported = |error: NotComputed| io::Error::new(io::ErrorKind::Unsupported, error);
    let mut intake = Intake::new(&kinds.exact, kinds.input_bytes_max).map_err(unsupported)?;
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => intake.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let source = intake.finish();
    Ok((source.fingerprints, source.content))
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
        wanted && hashed.send(Hashed { path: path.to_owned(), hashes: Err(error) }).is_ok()
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
        let passed_over = hash_files(&roots, &Kinds::new(&[Kind::Md5], false).unwrap(), |next| {
            if let Next::File(file) = next {
                let path = file.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                seen.push((path, file.hashes.ok().map(|mut all| all.digests.remove(0))));
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
        let result =
            hash_files(&[folder.path().to_owned()], &Kinds::new(&[Kind::Sha1], false).unwrap(), |next| match next {
                Next::File(_) => anyhow::bail!("enough"),
                Next::Waiting => Ok(()),
            });
        assert_eq!(result.unwrap_err().to_string(), "enough");
    }
}
