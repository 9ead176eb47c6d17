//! Start, reload and end of a daemon, without a question being lost.

mod daemon_support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command as Process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daemon_support::{Daemon, check_answers, known, until, write_config};
use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{Address, Client, ErrorCode, Op, RequestId, decode_answers, encode_lookup};
use rustix::process::Signal;

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let mut daemon = Daemon::start("");
    let mut raw = daemon.greeted();
    let rows: Vec<u8> = (0..2_000).flat_map(|number| known(number).value().to_vec()).collect();
    let mut requests = Vec::new();
    for id in 2..=101 {
        encode_lookup(&mut requests, RequestId(id), &[Kind::Md5], &Radii::none(), &rows);
    }
    let mut hearing = daemon_support::Raw(raw.0.try_clone().unwrap());
    thread::scope(|scope| {
        let heard = scope.spawn(move || {
            for id in 2..=101 {
                let (op, found, payload) = hearing.frame().expect("every question is answered");
                assert_eq!((op, found), (Op::Answers, RequestId(id)));
                assert_eq!(decode_answers(&payload).unwrap().hits.len(), daemon_support::KNOWN_COUNT as usize);
            }
            hearing.expect_farewell(ErrorCode::ShuttingDown);
        });
        raw.write(&requests);
        daemon.signal(Signal::TERM);
        heard.join().unwrap();
    });
    assert!(daemon.wait().success());
    assert!(!daemon.socket().exists(), "the socket goes with the daemon");
}

#[test]
fn reloading_under_load_loses_nothing() {
    let daemon = Daemon::start("");
    let listen = |names: &[&str], connections: u32| {
        let entries: String = names.iter().map(|name| format!("[[listen]]\naddress = 'unix:data/{name}'\n")).collect();
        write_config(daemon.folder.path(), &format!("{entries}[limits]\nconnections = {connections}"));
        daemon.signal(Signal::HUP);
    };
    let address = |name: &str| Address::Unix(daemon.folder.path().join("data").join(name));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = daemon.client();
                while !stop.load(Ordering::Relaxed) {
                    check_answers(&mut client);
                }
            });
        }
        let reloads = thread::Builder::new().spawn_scoped(scope, || {
            for round in 0..10 {
                listen(&["hashward.sock", "second.sock"], 50 + round);
                let mut second = until(|| Client::connect(&address("second.sock")).ok());
                check_answers(&mut second);
                listen(&["hashward.sock"], 20);
                // The connection is drained, the listener gone.
                until(|| second.status().is_err().then_some(()));
                until(|| Client::connect(&address("second.sock")).is_err().then_some(()));
                // What cannot be read changes nothing.
                write_config(daemon.folder.path(), "[[listen]]\naddress = 'tcp:0.0.0.0:1'");
                daemon.signal(Signal::HUP);
                daemon.check_answers();
            }
        });
        let reloaded = reloads.unwrap().join();
        stop.store(true, Ordering::Relaxed);
        reloaded.unwrap();
    });
}

#[test]
fn a_living_socket_is_refused_and_a_dead_one_replaced() {
    let mut daemon = Daemon::start("");
    let mode = std::fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let socket = format!("unix:{}", daemon.socket().display());
    let other = tempfile::tempdir().unwrap();
    let serve = |listen: &str| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        command.args(["serve", "--listen", listen, "--data"]).arg(other.path().join("data"));
        command.output().unwrap()
    };
    let output = serve(&socket);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a daemon already listens there"));
    daemon.check_answers();

    let file = other.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let output = serve(&format!("unix:{}", file.display()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("found a file of another sort"));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    daemon.signal(Signal::KILL);
    daemon.wait();
    assert!(daemon.socket().exists(), "a killed daemon leaves its socket");
    let folder = std::mem::replace(&mut daemon.folder, tempfile::tempdir().unwrap());
    let again = Daemon::start_in(folder, "");
    again.check_answers();
}
