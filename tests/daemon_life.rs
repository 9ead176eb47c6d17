//! Start, reload and end of a daemon, without a question being lost.

mod daemon_support;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::{Daemon, PATIENCE, check_answers, known, until, write_config};
use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{Address, Client, ClientError, ErrorCode, Op, RequestId, decode_answers, encode_lookup};
use rustix::process::{Pid, Signal, kill_process};

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
fn who_is_stopped_while_waiting_hears_the_answer_all_the_same() {
    let daemon = Daemon::start("");
    let between = daemon.folder.path().join("between.sock");
    let listener = UnixListener::bind(&between).unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.args(["lookup", "--socket", &format!("unix:{}", between.display()), &known(1).to_string()]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (asking, _) = listener.accept().unwrap();
    let state = |expected: &[char]| {
        until(|| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", client.id())).unwrap();
            let (_, after_name) = stat.rsplit_once(") ").unwrap();
            after_name.starts_with(expected).then_some(())
        });
    };
    let pid = Pid::from_child(&client);
    // It waits for a greeting; a wait with a deadline ends when it is stopped and goes on.
    state(&['S']);
    kill_process(pid, Signal::STOP).unwrap();
    state(&['T']);
    kill_process(pid, Signal::CONT).unwrap();
    state(&['S', 'Z']);
    let answering = UnixStream::connect(daemon.socket()).unwrap();
    let pass_on = |mut from: UnixStream, mut to: UnixStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    };
    thread::scope(|scope| {
        let (asked, answered) = (asking.try_clone().unwrap(), answering.try_clone().unwrap());
        scope.spawn(move || pass_on(asked, answered));
        scope.spawn(move || pass_on(answering, asking));
    });
    let output = client.wait_with_output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("known"), "{said}{error}");
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

#[test]
fn a_file_on_its_way_over_http_is_answered_before_the_end() {
    let listen = "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = 'unix:data/http.sock'\n\
                  protocol = 'http'\nrights = ['lookup', 'content']\n[limits]\ndrain_s = 20\n";
    let mut daemon = Daemon::start(listen);
    let mut stream = UnixStream::connect(daemon.folder.path().join("data/http.sock")).unwrap();
    stream.set_read_timeout(Some(daemon_support::PATIENCE)).unwrap();
    stream.write_all(b"POST /v1/match HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nfil").unwrap();
    thread::sleep(Duration::from_millis(100));
    daemon.signal(Signal::TERM);
    until(|| (!daemon.socket().exists()).then_some(()));
    stream.write_all(b"e 7").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""verdict":"known""#), "{answer}");
    assert!(daemon.wait().success());
}

#[test]
fn who_does_not_finish_is_cut_off_at_the_deadline_and_a_second_signal_waits_for_nobody() {
    let listen = |drain_s: u32| {
        format!(
            "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = 'unix:data/http.sock'\n\
             protocol = 'http'\nrights = ['lookup', 'content']\n[limits]\ndrain_s = {drain_s}\nframe_s = 3600\n"
        )
    };
    for (drain_s, signals) in [(1, 1), (3_600, 2)] {
        let mut daemon = Daemon::start(&listen(drain_s));
        let mut half = UnixStream::connect(daemon.folder.path().join("data/http.sock")).unwrap();
        half.write_all(b"POST /v1/match HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nfil").unwrap();
        let mut frame = daemon.greeted();
        frame.write(&[100, 0, 0]);
        thread::sleep(Duration::from_millis(100));
        for _ in 0..signals {
            daemon.signal(Signal::TERM);
            until(|| (!daemon.socket().exists()).then_some(()));
        }
        assert!(daemon.wait().success());
        let mut answer = String::new();
        half.set_read_timeout(Some(daemon_support::PATIENCE)).unwrap();
        let _ = half.read_to_string(&mut answer);
        assert!(!answer.contains("verdict"), "what did not come whole is not answered: {answer}");
    }
}

#[test]
fn a_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let daemon = Daemon::start_under("-S -n 64", "[limits]\nconnections = 150");
    let mut standing: Vec<_> = (0..100).map(|_| daemon.greeted()).collect();
    let mut question = Vec::new();
    encode_lookup(&mut question, RequestId(2), &[Kind::Md5], &Radii::none(), known(1).value());
    for raw in &mut standing {
        raw.write(&question);
        assert_eq!(raw.frame().unwrap().0, Op::Answers);
    }
}

#[test]
fn a_crowd_that_stands_costs_little_memory() {
    let daemon = Daemon::start("[limits]\nconnections = 400");
    let crowd = || (0..300).map(|_| daemon.greeted()).collect::<Vec<_>>();
    // The second crowd finds memory that the first has used.
    for _ in 0..2 {
        let before_kb = daemon.memory_kib();
        let standing = crowd();
        let each_kb = daemon.memory_kib().saturating_sub(before_kb) / standing.len() as u64;
        assert!(each_kb < 32, "{each_kb} kB for a connection that asks nothing");
        drop(standing);
        until(|| daemon.client().status().ok().filter(|status| connections(status) <= 2));
    }
}

/// How many stand, by a status.
fn connections(status: &[u8]) -> u64 {
    let status: serde_json::Value = serde_json::from_slice(status).unwrap();
    status["connections"].as_u64().unwrap()
}

#[test]
fn connections_beyond_the_hard_limit_on_descriptors_are_told_busy() {
    let daemon = Daemon::start_under("-n 280", "[limits]\nconnections = 1000");
    let started_at = Instant::now();
    let mut standing = Vec::new();
    loop {
        match Client::connect(&daemon.address()) {
            Ok(client) => standing.push(client),
            Err(ClientError::Busy(text)) => {
                assert!(text.contains("all 24 connections"), "{text}");
                // The connections of the start itself may take a moment to be gone.
                if standing.len() == 24 {
                    break;
                }
            }
            Err(error) => panic!("expected BUSY, found {error}"),
        }
        assert!(standing.len() <= 24 && started_at.elapsed() < PATIENCE);
    }
    // The daemon has descriptors left for its own work.
    write_config(
        daemon.folder.path(),
        "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = 'unix:data/second.sock'",
    );
    daemon.signal(Signal::HUP);
    let second = daemon.folder.path().join("data/second.sock");
    until(|| second.exists().then_some(()));
    standing[0].status().unwrap();
}
