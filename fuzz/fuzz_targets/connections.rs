//! Whatever a client may send over a connection: frames, or HTTP, to a server that runs in this process, with all rights
//! over a small store. It answers in its protocol or hangs up, and nobody else notices. The first byte of the input
//! chooses the protocol.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hashward::access::{Access, Right, UserId};
use hashward::audit::{AuditConfig, Trail};
use hashward::events::{Events, EventsConfig};
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::list::{Entry, Role};
use hashward::matching::Verdict;
use hashward::media::worker::{Program, WorkerConfig, WorkerPool};
use hashward::protocol::{Address, Client, HEADER_BYTES, Header, Op};
use hashward::server::{Limits, Listen, Protocol, Server, Service};
use hashward::store::{Command, Store, StoreOptions};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const FRAME_BYTES: u32 = 64 << 10;

/// A server, and what must live as long.
struct Running {
    folder: TempDir,
    _server: Server,
    _runtime: Runtime,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let (audit, events) = (
        AuditConfig { questions: false, ..AuditConfig::default() },
        EventsConfig { enabled: false, ..EventsConfig::default() },
    );
    let store = Arc::new(Store::open(folder.path(), StoreOptions { create: true, ..StoreOptions::default() }).unwrap());
    let fingerprint = hash_bytes(Kind::Md5, b"known");
    let entry = Entry { source_id: "1".to_owned(), fingerprints: vec![fingerprint], ..Entry::default() };
    let add = Command::Add { list: "own".parse().unwrap(), role: Some(Role::Illegal), entries: vec![entry] };
    store.execute(add).unwrap();
    store.load().unwrap();
    let service = Arc::new(Service::loading());
    let trail = Arc::new(Trail::open(folder.path(), &audit).unwrap());
    let kept = Arc::new(Events::open(folder.path(), &events).unwrap());
    service.opened(store, trail, kept);
    // Whatever is no worker: pictures have a target of their own.
    let pictures = WorkerConfig { workers: 0, ..WorkerConfig::default() };
    let pictures = WorkerPool::start(pictures, Program::At(PathBuf::from("/bin/false"))).unwrap();
    // What has begun and never ends is given up at once.
    let limits = Limits { frame_bytes: FRAME_BYTES, frame_s: 1, ..Limits::default() };
    let access = || Access::new(UserId(rustix::process::getuid().as_raw()), &[]).unwrap();
    let mut server = Server::new(service, limits.clone(), access(), pictures, 1).unwrap();
    let listen = [("frames", Protocol::Frame), ("http", Protocol::Http)].map(|(name, protocol)| {
        let address = Address::Unix(folder.path().join(name));
        Listen { protocol, rights: vec![Right::Lookup, Right::Content], ..Listen::at(address) }
    });
    server.reconfigure(&listen, access(), audit, events, limits).unwrap();
    Running { folder, _server: server, _runtime: runtime }
});

/// What comes back for `bytes`, all of it.
fn answer(socket: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(RUNNING.folder.path().join(socket)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // It may hang up before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no end after {} bytes", answer.len()),
        _ => answer,
    }
}

fn check_frames(mut rest: &[u8]) {
    while !rest.is_empty() {
        let header = rest.first_chunk::<HEADER_BYTES>().expect("whole frames");
        let header = Header::decode(header, FRAME_BYTES).expect("frames within the limit");
        assert!(Op::from_code(header.op).is_some_and(|op| op as u8 >= 0x80), "an answer");
        rest = &rest[header.frame_bytes()..];
    }
}

static ROUNDS: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|bytes: &[u8]| {
    let [what, bytes @ ..] = bytes else { return };
    if what % 2 == 0 {
        check_frames(&answer("frames", bytes));
    } else {
        let answer = answer("http", bytes);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    }
    if ROUNDS.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
        let mut client = Client::connect(&Address::Unix(RUNNING.folder.path().join("frames"))).unwrap();
        let values = [&b"known"[..], b"unknown"].map(|text| hash_bytes(Kind::Md5, text).value().to_vec()).concat();
        let answers = client.lookup(&[Kind::Md5], &Radii::none(), &values).unwrap();
        assert_eq!((answers.rows, answers.miss), (2, Verdict::Unknown));
    }
});
