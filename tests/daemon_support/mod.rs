//! A daemon to test: the real program on a folder of its own, and raw connections to misuse it with.

#![allow(dead_code)] // each test binary uses its part

pub(crate) mod http;
pub(crate) mod tls;
pub(crate) mod ways;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::fingerprint::{Fingerprint, Kind, Radii, hash_bytes};
use hashward::list::{Entry, Role};
use hashward::matching::Verdict;
use hashward::protocol::{
    Address, Client, ErrorCode, Failure, HEADER_BYTES, Header, Hello, Op, PROTOCOL_VERSION, RequestId, encode_frame,
};
use hashward::store::Command;
use tempfile::TempDir;

/// Nothing in these tests takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon, killed when dropped.
pub(crate) struct Daemon {
    pub(crate) folder: TempDir,
    process: Child,
}

impl Daemon {
    /// Starts a daemon with the default socket, these lines of config before it, and one list of [`known`] values.
    pub(crate) fn start(config: &str) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start_in(folder, config);
        daemon.add("known", (0..KNOWN_COUNT).map(known));
        daemon
    }

    /// Adds an entry for each fingerprint to a list of role `illegal`.
    pub(crate) fn add(&self, list: &str, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        let entry = |fingerprint: Fingerprint| {
            let source_id = Entry::hand_source_id(&fingerprint);
            Entry { source_id, fingerprints: vec![fingerprint], ..Entry::default() }
        };
        let entries = fingerprints.into_iter().map(entry).collect();
        let add = Command::Add { list: list.parse().unwrap(), role: Some(Role::Illegal), entries };
        self.client().command_json(&serde_json::to_vec(&add).unwrap()).unwrap();
    }

    /// Starts a daemon on what stands in `folder`.
    pub(crate) fn start_in(folder: TempDir, config: &str) -> Daemon {
        let process = spawn(hashward(), folder.path(), config);
        let daemon = Daemon { folder, process };
        daemon.wait_until_ready();
        daemon
    }

    /// Starts a daemon with no list, under limits on descriptors as the shell's `ulimit` takes them.
    pub(crate) fn start_under(ulimit: &str, config: &str) -> Daemon {
        let mut command = Process::new("sh");
        command.args(["-c", &format!(r#"ulimit {ulimit} && exec "$0" "$@""#), env!("CARGO_BIN_EXE_hashward")]);
        let folder = tempfile::tempdir().unwrap();
        let process = spawn(command, folder.path(), config);
        let daemon = Daemon { folder, process };
        daemon.wait_until_ready();
        daemon
    }

    /// Starts another one on the folder of this one, which has ended.
    pub(crate) fn start_again(&mut self, config: &str) {
        self.process = spawn(hashward(), self.folder.path(), config);
        self.wait_until_ready();
    }

    /// The same, and keeps it loading until it is [let go on](Loading::go_on).
    pub(crate) fn start_loading(&mut self, config: &str) -> Loading {
        let previous = self.folder.path().join("data/manifest.previous");
        let bytes = fs::read(&previous).unwrap();
        fs::remove_file(&previous).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &previous, rustix::fs::Mode::RWXU).unwrap();
        self.process = spawn(hashward(), self.folder.path(), config);
        until(|| Client::connect(&self.address()).ok());
        Loading { previous, bytes }
    }

    pub(crate) fn wait_until_ready(&self) {
        let started_at = Instant::now();
        loop {
            match Client::connect(&self.address()).and_then(|mut client| client.status()) {
                Ok(status) if String::from_utf8_lossy(&status).contains(r#""state":"ready""#) => return,
                Err(error) if started_at.elapsed() > PATIENCE => panic!("the daemon does not answer: {error}"),
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("data/hashward.sock")
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.socket())
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address()).unwrap()
    }

    /// A connection without greetings.
    pub(crate) fn raw(&self) -> Raw {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    /// A connection after the greetings.
    pub(crate) fn greeted(&self) -> Raw {
        let mut raw = self.raw();
        let mut hello = Vec::new();
        Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token: None }.encode(&mut hello, RequestId(1));
        raw.0.write_all(&hello).unwrap();
        assert_eq!(raw.frame().unwrap().0, Op::Welcome);
        raw
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.process)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// The memory that is the process's own, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started_at = Instant::now();
        loop {
            match self.process.try_wait().unwrap() {
                Some(status) => return status,
                None if started_at.elapsed() > PATIENCE => panic!("the daemon does not end"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Asks from a new connection, and checks every answer.
    pub(crate) fn check_answers(&self) {
        check_answers(&mut self.client());
    }
}

/// A daemon that loads: to open its store it reads a pipe to which nobody writes.
pub(crate) struct Loading {
    previous: PathBuf,
    bytes: Vec<u8>,
}

impl Loading {
    /// Writes what the daemon waits for.
    pub(crate) fn go_on(self) {
        fs::write(self.previous, self.bytes).unwrap();
    }
}

fn hashward() -> Process {
    Process::new(env!("CARGO_BIN_EXE_hashward"))
}

fn spawn(mut command: Process, folder: &Path, config: &str) -> Child {
    fs::create_dir_all(folder.join("data")).unwrap();
    write_config(folder, config);
    command.arg("serve").arg("--config").arg(folder.join("hashward.toml"));
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn().unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tries until there is a result.
pub(crate) fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let started_at = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(started_at.elapsed() < PATIENCE, "it never happened");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Writes the config: `lines`, with the default data folder and socket.
pub(crate) fn write_config(folder: &Path, lines: &str) {
    let text = format!("data = 'data'\n{lines}\n");
    // In one step: the daemon may be reading the one before.
    fs::write(folder.join("hashward.toml.new"), text).unwrap();
    fs::rename(folder.join("hashward.toml.new"), folder.join("hashward.toml")).unwrap();
}

/// How many values the daemon's list holds.
pub(crate) const KNOWN_COUNT: u32 = 50;

/// A value that the daemon's list holds, for numbers below [`KNOWN_COUNT`]; one that it does not, for others.
pub(crate) fn known(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, format!("file {number}").as_bytes())
}

/// Asks about known and unknown values, and checks every answer.
pub(crate) fn check_answers(client: &mut Client) {
    let numbers = 0..3 * KNOWN_COUNT;
    let rows: Vec<u8> = numbers.clone().flat_map(|number| known(number).value().to_vec()).collect();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    let verdicts: Vec<Verdict> =
        answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict)).collect();
    let expected = numbers.map(|number| if number < KNOWN_COUNT { Verdict::Known } else { Verdict::Unknown });
    assert_eq!(verdicts, expected.collect::<Vec<_>>());
}

/// A connection that says what it likes.
pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<(Op, RequestId, Vec<u8>)> {
        read_frame(&mut self.0)
    }

    /// Expects an ERROR with id 0, and then the end of the stream.
    pub(crate) fn expect_farewell(&mut self, expected: ErrorCode) {
        let (op, id, payload) = self.frame().expect("a farewell before the end");
        assert_eq!((op, id), (Op::Error, RequestId::NONE));
        let failure = Failure::decode(&payload).unwrap();
        assert_eq!(failure.code, expected, "{failure}");
        assert!(self.frame().is_none(), "nothing comes after the farewell");
    }
}

/// The next frame of a stream, or `None` at its end.
pub(crate) fn read_frame(stream: &mut (impl Read + ?Sized)) -> Option<(Op, RequestId, Vec<u8>)> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).ok()?;
    let header = Header::decode(&header, u32::MAX).unwrap();
    let mut payload = vec![0; header.payload_bytes];
    stream.read_exact(&mut payload).unwrap();
    Some((Op::from_code(header.op).unwrap(), header.id, payload))
}

/// A port that was free a moment ago, and is none of those that the kernel gives to whoever connects.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (number % 20_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A frame with any op, for those that the codec would not write.
pub(crate) fn frame(op: Op, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, op, RequestId(id), payload);
    out
}
