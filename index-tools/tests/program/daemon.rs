//! A real daemon on a folder's default data folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::matching::{Reason, Verdict};
use hashward::protocol::{Address, Client};

use super::{Folder, HASHWARD_INDEX, md5};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon, killed when dropped. What it says is in the folder's `daemon.log`.
pub(crate) struct Daemon {
    process: Child,
    pub(crate) address: Address,
}

impl Daemon {
    pub(crate) fn start(folder: &Folder) -> Daemon {
        Daemon::start_with(folder, "")
    }

    /// With this config.
    pub(crate) fn start_with(folder: &Folder, config: &str) -> Daemon {
        let program = daemon_program();
        let log = File::create(folder.path().join("daemon.log")).expect("a writable folder");
        let process = Command::new(&program)
            .args(["serve", "--data", "hashward-data", "--config"])
            .arg(folder.write("daemon.toml", config))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let daemon = Daemon { process, address: Address::Unix(folder.data().join("hashward.sock")) };
        let started = Instant::now();
        while let Err(error) = Client::connect(&daemon.address) {
            assert!(started.elapsed() < PATIENCE, "the daemon does not answer: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    /// The verdicts of made-up files, in order, once all is loaded.
    pub(crate) fn verdicts(&self, numbers: std::ops::Range<u32>) -> Vec<Verdict> {
        let started = Instant::now();
        loop {
            let verdicts = verdicts(&mut Client::connect(&self.address).unwrap(), numbers.clone());
            if !verdicts.contains(&Verdict::Undecided(Reason::Loading)) {
                return verdicts;
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The daemon's program is built into the same folder as ours.
fn daemon_program() -> PathBuf {
    let program = Path::new(HASHWARD_INDEX).with_file_name("hashward");
    assert!(program.exists(), "expected {}, found nothing; `cargo test --workspace` builds it", program.display());
    program
}

/// The verdicts of made-up files, in order.
pub(crate) fn verdicts(client: &mut Client, numbers: std::ops::Range<u32>) -> Vec<Verdict> {
    let rows: Vec<u8> = numbers.flat_map(|number| md5(number).value().to_vec()).collect();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict)).collect()
}
