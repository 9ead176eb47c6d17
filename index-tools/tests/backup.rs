//! `backup` and `restore` as a user types them: with a daemon that answers meanwhile and without one, on a full disk, and
//! with backups that are damaged.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::matching::{Reason, Verdict};
use hashward::protocol::{Address, Client};
use program::{Ended, Folder, HASHWARD_INDEX, ask, hex_list, md5};
use serde_json::json;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a file list of the first half of 100 made-up files and an entry of one's own.
fn filled() -> Folder {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..50));
    folder.write("b.md5", hex_list(50..100));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    folder.run(&["add", "cases", &md5(200).to_string(), "--role", "illegal"]).done();
    folder
}

/// Which of the made-up files are ignorable.
fn held(folder: &Folder) -> Vec<u32> {
    let snapshot = folder.snapshot();
    (0..100).filter(|number| ask(&snapshot, &md5(*number)).0 == Verdict::Ignorable).collect()
}

#[test]
fn what_was_backed_up_comes_back() {
    let folder = filled();
    let report = folder.run(&["backup", "kept", "--report", "json"]).json();
    assert_eq!((&report["folder"], &report["files"]), (&json!("kept"), &json!(3)));
    folder.run(&["backup", "kept"]).refused(1, &["kept holds the backup of", "name another folder"]);
    folder.run(&["import", "debian", "b.md5"]).done();
    folder.run(&["withdraw", "cases", &md5(200).to_string()]).done();
    folder.run(&["restore", "kept"]).refused(2, &["holds 2 lists", "withdrawals, suppressions", "--yes"]);
    let text = folder.run(&["restore", "kept", "--dry-run"]).done();
    assert!(text.contains("is whole"), "{text}");
    assert_eq!(held(&folder), (50..100).collect::<Vec<_>>());

    let text = folder.run(&["restore", "kept", "--yes"]).done();
    assert!(text.contains("kept: restored; everything is as it was at"), "{text}");
    assert_eq!(held(&folder), (0..50).collect::<Vec<_>>());
    assert_eq!(ask(&folder.snapshot(), &md5(200)).0, Verdict::Known);
    assert!(folder.run(&["inspect", "debian"]).done().contains("restored as it was at"));
    assert_eq!((folder.leftovers(), folder.run(&["verify"]).code), (0, 0));

    // Somewhere else, where there is nothing, no word is needed.
    let report = folder.run(&["restore", "kept", "--data", "other", "--report", "json"]).json();
    assert_eq!((&report["files"], &report["restored"]["replaced_generation"]), (&json!(3), &json!(1)));
    assert!(folder.run(&["lists", "--data", "other"]).done().contains("debian"));
    // What cannot be opened any more takes one.
    fs::write(folder.data().join("catalogue.sqlite"), b"rubbish").unwrap();
    folder.run(&["lists"]).refused(1, &["catalogue.sqlite", "restore it from a backup"]);
    folder.run(&["restore", "kept"]).refused(2, &["cannot be opened", "--yes"]);
    folder.run(&["restore", "kept", "--yes"]).done();
    assert_eq!(held(&folder), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_cannot_take_a_backup_is_refused() {
    let folder = filled();
    folder.run(&["backup", "hashward-data/kept"]).refused(1, &["outside", "another disk"]);
    folder.run(&["backup", "absent/kept"]).refused(1, &["cannot make absent/kept"]);
    folder.run(&["backup", "a.md5"]).refused(1, &["cannot use a.md5"]);
    fs::create_dir(folder.path().join("used")).unwrap();
    folder.write("used/letter", "mine");
    folder.run(&["backup", "used"]).refused(1, &["empty or not there yet", "another folder"]);
    assert_eq!(fs::read(folder.path().join("used/letter")).unwrap(), b"mine");
    folder.run(&["backup", "kept", "--data", "nowhere"]).refused(1, &["no hashward data folder"]);
    assert!(!folder.path().join("kept").exists() && !folder.data().join("kept").exists());
    fs::create_dir(folder.path().join("kept")).unwrap();
    folder.run(&["backup", "kept"]).done();
    // As a backup that was killed leaves it.
    fs::remove_file(folder.path().join("kept/backup.json")).unwrap();
    folder.run(&["backup", "kept"]).refused(1, &["cut short", "remove it"]);
    folder.run(&["restore", "kept", "--yes"]).refused(1, &["no backup.json", "cut short"]);
    folder.run(&["restore", "used", "--yes"]).refused(1, &["no backup.json"]);
    assert_eq!((folder.leftovers(), held(&folder).len()), (0, 50));
}

#[test]
fn a_damaged_backup_is_refused_with_the_files_name() {
    let folder = filled();
    folder.run(&["backup", "kept"]).done();
    folder.run(&["import", "debian", "b.md5"]).done();
    let kept = folder.path().join("kept");
    let segment = fs::read_dir(kept.join("segments")).unwrap().next().unwrap().unwrap().path();
    for path in [kept.join("manifest"), kept.join("catalogue.sqlite"), segment] {
        let sound = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let middle = sound.len() / 2;
        let flipped = sound.iter().enumerate().map(|(at, byte)| if at == middle { byte ^ 1 } else { *byte });
        for damaged in [flipped.collect(), sound[..middle].to_vec(), [&sound[..], b"x"].concat()] {
            fs::write(&path, damaged).unwrap();
            for verb in ["--yes", "--dry-run"] {
                folder.run(&["restore", "kept", verb]).refused(1, &[name, "damaged", "nothing was changed"]);
            }
        }
        fs::remove_file(&path).unwrap();
        folder.run(&["restore", "kept", "--yes"]).refused(1, &[name]);
        fs::write(&path, sound).unwrap();
        assert_eq!((folder.leftovers(), held(&folder)), (0, (50..100).collect()), "{name}");
    }
    folder.run(&["restore", "kept", "--yes"]).done();
    assert_eq!(held(&folder), (0..50).collect::<Vec<_>>());
}

#[test]
fn on_a_full_disk_there_is_no_backup_and_nothing_is_restored() {
    let folder = filled();
    // No file may grow beyond so many blocks, and the attempt is an error, as on a full disk.
    let limited = |blocks: u32, command: &str| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {command}");
        let mut shell = Command::new("sh");
        Ended::of(shell.args(["-c", &script, HASHWARD_INDEX]).current_dir(folder.path()).output().expect("sh starts"))
    };
    let until_done = |command: &str, after: &dyn Fn()| {
        for (refused, blocks) in (0..).map(|step| step * 16).enumerate() {
            let ended = limited(blocks, command);
            if ended.code == 0 {
                return refused;
            }
            let told = ["os error", "disk I/O error", "disk is full"].iter().any(|cause| ended.stderr.contains(cause));
            assert!(told, "expected the cause, found: {}", ended.stderr);
            after();
            assert!(blocks < 100_000, "{command} never succeeds: {}", ended.stderr);
        }
        unreachable!("the loop ends by itself")
    };
    let kept = folder.path().join("kept");
    let refused = until_done("backup kept", &|| assert!(!kept.exists()));
    assert!(refused >= 2, "the disk was never full");
    folder.run(&["import", "debian", "b.md5"]).done();
    let refused = until_done("restore kept --yes", &|| assert_eq!(held(&folder), (50..100).collect::<Vec<_>>()));
    assert!(refused >= 2, "the disk was never full");
    assert_eq!((held(&folder), folder.run(&["verify"]).code), ((0..50).collect(), 0));
}

/// A daemon on a folder's default data folder, killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(folder: &Folder) -> Daemon {
        let program: PathBuf = Path::new(HASHWARD_INDEX).with_file_name("hashward");
        assert!(program.exists(), "expected {}; `cargo test --workspace` builds it", program.display());
        let mut serve = Command::new(&program);
        serve.arg("serve").current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon(serve.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display())));
        let started = Instant::now();
        loop {
            let ready = Client::connect(&address(folder)).ok().map(|mut client| verdicts(&mut client).0);
            if ready.is_some_and(|verdicts| !verdicts.contains(&Verdict::Undecided(Reason::Loading))) {
                return daemon;
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(folder: &Folder) -> Address {
    Address::Unix(folder.data().join("hashward.sock"))
}

/// The verdicts of the made-up files, and the generation that gave them.
fn verdicts(client: &mut Client) -> (Vec<Verdict>, u64) {
    let rows: Vec<u8> = (0..100).flat_map(|number| md5(number).value().to_vec()).collect();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    let verdicts = answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict)).collect();
    (verdicts, answers.generation)
}

#[test]
fn a_daemon_answers_and_takes_changes_all_the_while() {
    let folder = filled();
    let daemon = Daemon::start(&folder);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = Client::connect(&address(&folder)).unwrap();
            let (mut asked, mut newest) = (0u64, 0);
            while !stop.load(Ordering::Relaxed) {
                let (verdicts, generation) = verdicts(&mut client);
                let known = |half: &[Verdict]| half.iter().filter(|verdict| **verdict == Verdict::Ignorable).count();
                let halves = (known(&verdicts[..50]), known(&verdicts[50..]));
                assert!(halves == (50, 0) || halves == (0, 50), "a mixed answer: {halves:?}");
                assert!(generation >= newest, "generation {generation} after {newest}");
                newest = generation;
                asked += 1;
            }
            asked
        });
        for round in 0..3 {
            let kept = format!("kept{round}");
            folder.run(&["backup", &kept]).done();
            folder.run(&["import", "debian", "b.md5"]).done();
            folder.run(&["withdraw", "cases", &md5(200).to_string()]).done();
            folder.run(&["restore", &kept]).refused(2, &["--yes"]);
            folder.run(&["restore", &kept, "--yes"]).done();
            let (verdicts, _) = verdicts(&mut Client::connect(&address(&folder)).unwrap());
            assert_eq!(verdicts[..50], [Verdict::Ignorable; 50]);
            assert!(folder.run(&["verify"]).done().starts_with("all is well"));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
    assert_eq!(folder.leftovers(), 0);
    drop(daemon);
    assert_eq!(held(&folder), (0..50).collect::<Vec<_>>());
    assert_eq!(ask(&folder.snapshot(), &md5(200)).0, Verdict::Known);
}
