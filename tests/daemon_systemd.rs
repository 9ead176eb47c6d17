//! What the daemon tells systemd, and sockets that systemd passes: held against stand-ins for systemd's own end.

mod daemon_support;

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use daemon_support::{PATIENCE, until, write_config};
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::matching::Verdict;
use hashward::protocol::{Address, Client};
use rustix::process::{Pid, Signal, kill_process};

/// A daemon with systemd's end of its notifications.
struct Supervised {
    process: Child,
    messages: UnixDatagram,
}

impl Supervised {
    fn start(folder: &Path, set_up: impl FnOnce(&mut Process)) -> Supervised {
        let path = folder.join("notify");
        let messages = UnixDatagram::bind(&path).unwrap();
        messages.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        command.arg("serve").arg("--config").arg(folder.join("hashward.toml")).env("NOTIFY_SOCKET", &path);
        command.env("RUST_LOG", "warn").stdin(Stdio::null());
        set_up(&mut command);
        let process = command.spawn().unwrap();
        Supervised { process, messages }
    }

    /// The next message but those that only say that the daemon lives.
    fn message(&self) -> String {
        loop {
            let mut bytes = [0; 4096];
            let read = self.messages.recv(&mut bytes).unwrap();
            let message = String::from_utf8(bytes[..read].to_vec()).unwrap();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn expect(&self, parts: &[&str]) -> String {
        let message = self.message();
        assert!(parts.iter().all(|part| message.contains(part)), "{message:?}, expected {parts:?}");
        message
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn systemd_is_told_each_step_of_a_life() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    let mut daemon = Supervised::start(folder.path(), |_| {});
    daemon.expect(&["READY=1", "STATUS=loading"]);
    let socket = Address::Unix(folder.path().join("data/hashward.sock"));
    assert!(Client::connect(&socket).is_ok(), "ready means that it listens");
    daemon.expect(&["STATUS=ready, generation"]);

    let monotonic = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    };
    for config in ["[limits]\nidle_s = 7\n", "nonsense"] {
        write_config(folder.path(), config);
        let before = monotonic();
        daemon.signal(Signal::HUP);
        let message = daemon.expect(&["RELOADING=1"]);
        let at = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!((before..=monotonic()).contains(&at.parse().unwrap()), "{message}");
        // Also where the config cannot be used: it goes on with the one before.
        daemon.expect(&["READY=1", "STATUS=ready"]);
    }
    daemon.signal(Signal::TERM);
    daemon.expect(&["STOPPING=1"]);
    assert!(daemon.process.wait().unwrap().success());
}

#[test]
fn systemd_is_told_that_the_daemon_lives_as_often_as_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    let daemon = Supervised::start(folder.path(), |command| {
        command.env("WATCHDOG_USEC", "150000");
    });
    let mut lives = 0;
    while lives < 5 {
        let mut bytes = [0; 4096];
        let read = daemon.messages.recv(&mut bytes).unwrap();
        lives += u32::from(&bytes[..read] == b"WATCHDOG=1");
    }
    // A process that stands still says nothing.
    daemon.signal(Signal::STOP);
    daemon.messages.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while daemon.messages.recv(&mut [0; 4096]).is_ok_and(|_| lives < 50) {
        lives += 1;
    }
    assert!(lives < 50, "it goes on telling that it lives");
}

#[test]
fn a_watchdog_that_is_meant_for_another_process_is_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    let daemon = Supervised::start(folder.path(), |command| {
        command.env("WATCHDOG_USEC", "50000").env("WATCHDOG_PID", "1");
    });
    daemon.expect(&["READY=1"]);
    daemon.expect(&["STATUS=ready"]);
    daemon.messages.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(daemon.messages.recv(&mut [0; 4096]).is_err());
}

#[test]
fn nobody_who_reads_notifications_keeps_the_daemon_from_its_work() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    let mut daemon = Supervised::start(folder.path(), |command| {
        command.env("WATCHDOG_USEC", "150000");
        // As full as it becomes: whoever sends one more waits until one is read.
        let full = UnixDatagram::unbound().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.send_to(b"STATUS=old", folder.path().join("notify")).is_ok() {}
    });
    let socket = Address::Unix(folder.path().join("data/hashward.sock"));
    until(|| Client::connect(&socket).and_then(|mut client| client.status()).ok());
    for signal in [Signal::HUP, Signal::TERM] {
        daemon.signal(signal);
    }
    assert!(until(|| daemon.process.try_wait().unwrap()).success());
}

#[test]
fn the_watchdog_is_told_nothing_while_the_daemon_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    let (mut log, stderr) = std::io::pipe().unwrap();
    let daemon = Supervised::start(folder.path(), |command| {
        command.env("WATCHDOG_USEC", "150000").env("RUST_LOG", "debug").stderr(stderr);
    });
    daemon.expect(&["READY=1"]);
    daemon.expect(&["STATUS=ready"]);
    // A log that nobody reads: every thread that has something to say waits, until none is left that does not.
    let socket = folder.path().join("data/hashward.sock");
    daemon.messages.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let lives = || daemon.messages.recv(&mut [0; 4_096]).is_ok();
    until(|| {
        (0..100).for_each(|_| drop(UnixStream::connect(&socket)));
        (!lives()).then_some(())
    });
    assert!(!lives(), "a daemon that answers nobody says that it lives");
    // Read again, it works again, and says so.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    daemon.messages.set_read_timeout(Some(PATIENCE)).unwrap();
    (0..3).for_each(|_| assert!(lives()));
    assert!(Client::connect(&Address::Unix(socket)).unwrap().status().is_ok());
}

/// Has the program started with this socket as descriptor 3 and, if there is one, that one as 4, as systemd passes them.
fn pass(command: &mut Process, first: OwnedFd, second: Option<OwnedFd>) {
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let envs: Vec<_> = command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    // A shell moves them from where a child can be given them, and becomes the program, of the same process number.
    let moves = if second.is_some() { "3<&0 4<&1" } else { "3<&0" };
    let script = format!("exec {moves} </dev/null >&2; export LISTEN_PID=$$; exec \"$0\" \"$@\"");
    *command = Process::new("bash");
    command.arg("-c").arg(script).arg(program).args(arguments).envs(envs);
    command.env("LISTEN_FDS", if second.is_some() { "2" } else { "1" }).stdin(first);
    second.into_iter().for_each(|second| {
        command.stdout(second);
    });
}

#[test]
fn sockets_that_systemd_passes_are_listened_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passed.sock");
    let (unix, tcp) = (UnixListener::bind(&path).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = tcp.local_addr().unwrap();
    let listen = format!(
        "[[listen]]\naddress = 'unix:{}'\n[[listen]]\naddress = 'tcp:{port}'\n\
         [[principal]]\nname = 'all'\nanyone = true\nrights = ['lookup']\n",
        path.display()
    );
    write_config(folder.path(), &listen);
    // Systemd accepts nothing itself: who comes early waits.
    let early = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut daemon =
        Supervised::start(folder.path(), |command| pass(command, OwnedFd::from(unix), Some(OwnedFd::from(tcp))));
    daemon.expect(&["READY=1"]);
    drop(early);
    let ask = |address: &Address| {
        let mut client = Client::connect(address).unwrap();
        let empty = hash_bytes(Kind::Md5, b"");
        let answers = client.lookup(&[Kind::Md5], &Radii::none(), empty.value()).unwrap();
        assert_eq!(answers.iter().next().unwrap().unwrap().verdict, Verdict::Ignorable);
    };
    let addresses = [Address::Unix(path.clone()), Address::Tcp(port)];
    addresses.iter().for_each(ask);
    daemon.expect(&["STATUS=ready"]);

    // A reload that would leave one of them without anybody who answers is refused.
    write_config(folder.path(), &listen.replace(&format!("'tcp:{port}'"), "'unix:other.sock'"));
    daemon.signal(Signal::HUP);
    daemon.expect(&["RELOADING=1"]);
    daemon.expect(&["READY=1"]);
    addresses.iter().for_each(ask);
    assert!(!folder.path().join("other.sock").exists());

    daemon.signal(Signal::TERM);
    assert!(daemon.process.wait().unwrap().success());
    assert!(path.exists(), "the socket is systemd's to remove");
}

/// Starts the daemon with these sockets, expects that it ends at once, and returns why.
fn refused(folder: &Path, config: &str, first: OwnedFd, second: Option<OwnedFd>) -> String {
    write_config(folder, config);
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.arg("serve").arg("--config").arg(folder.join("hashward.toml"));
    pass(&mut command, first, second);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_nobody_would_answer_at_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passed.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let errors = refused(folder.path(), "", OwnedFd::from(unix), None);
    assert!(errors.contains(&format!("systemd passes a socket at unix:{}", path.display())), "{errors}");
}

#[test]
fn a_passed_socket_that_does_not_listen_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    // One that is connected is what `Accept=yes` passes; at its own end it has the listener's address.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _other = TcpStream::connect(address).unwrap();
    let (connected, _) = listener.accept().unwrap();
    drop(listener);
    let config = format!("[[listen]]\naddress = 'tcp:{address}'\n");
    let errors = refused(folder.path(), &config, OwnedFd::from(connected), None);
    assert!(errors.contains("found one that does not listen"), "{errors}");
}

#[test]
fn two_sockets_passed_for_one_address_end_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!("[[listen]]\naddress = 'tcp:{address}'\n");
    let again = OwnedFd::from(listener.try_clone().unwrap());
    let errors = refused(folder.path(), &config, OwnedFd::from(listener), Some(again));
    assert!(errors.contains("socket 1 passed by systemd: expected"), "{errors}");
    assert!(errors.contains(&format!("found a second at tcp:{address}")), "{errors}");
}
