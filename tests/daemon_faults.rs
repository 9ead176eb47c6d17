//! Whatever one client does, the others get right answers.

mod daemon_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use daemon_support::ways::hello;
use daemon_support::{Daemon, PATIENCE, check_answers, frame, free_port, known, read_frame};
use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{
    Client, ClientError, ErrorCode, Failure, HEADER_BYTES, LookupFrame, Op, RequestId, decode_answers, encode_lookup,
};
use hashward::store::Command;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

/// A LOOKUP of `rows` unknown values.
fn lookup(id: u32, rows: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_lookup(&mut out, RequestId(id), &[Kind::Md5], &Radii::none(), &vec![0xA5; rows * 16]);
    out
}

#[test]
fn rubbish_ends_its_own_connection_only() {
    let daemon = Daemon::start("");
    let mut bystander = daemon.client();
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let zeroes = vec![0; 100];
    // A length that no frame may have, and one that no memory holds.
    let huge = [&u32::MAX.to_le_bytes()[..], &[0; 8]].concat();
    let status_first = frame(Op::Status, 1, &[]);
    let wrong_greeting = frame(Op::Hello, 1, b"hashwurd\x01\0\x01\0");
    for rubbish in [http, zeroes, huge, status_first, wrong_greeting] {
        let mut raw = daemon.raw();
        raw.write(&rubbish);
        raw.expect_farewell(ErrorCode::Malformed);
        check_answers(&mut bystander);
    }
    let mut raw = daemon.raw();
    raw.write(&frame(Op::Hello, 1, b"hashward\x03\0\x09\0"));
    raw.expect_farewell(ErrorCode::Unsupported);
    check_answers(&mut bystander);
}

#[test]
fn rubbish_within_frames_is_an_error_and_the_connection_goes_on() {
    let daemon = Daemon::start("");
    let mut raw = daemon.greeted();
    let mut wrong_version = frame(Op::Status, 9, &[]);
    wrong_version[6] = 1;
    let requests = [
        (frame(Op::Lookup, 2, &[1, 1, 0, 255, 255, 255, 255]), ErrorCode::Malformed),
        (frame(Op::Lookup, 3, &[]), ErrorCode::Malformed),
        (frame(Op::Command, 4, b"{}"), ErrorCode::Malformed),
        (frame(Op::Command, 5, br#"{"command":"inspect","list":"nobody"}"#), ErrorCode::Refused),
        (frame(Op::Answers, 6, &[]), ErrorCode::Unsupported),
        (frame(Op::Hello, 7, &[]), ErrorCode::Malformed),
        (wrong_version, ErrorCode::Unsupported),
    ];
    for (request, expected) in requests {
        raw.write(&request);
        let (op, id, payload) = raw.frame().unwrap();
        assert_eq!((op, id.0), (Op::Error, u32::from(request[8])));
        assert_eq!(Failure::decode(&payload).unwrap().code, expected, "{id:?}");
    }
    raw.write(&lookup(10, 3));
    let (op, id, payload) = raw.frame().unwrap();
    assert_eq!((op, id), (Op::Answers, RequestId(10)));
    assert_eq!(decode_answers(&payload).unwrap().rows, 3);
}

#[test]
fn half_a_frame_has_its_time_and_no_more() {
    let daemon = Daemon::start("[limits]\nframe_s = 1");
    let mut bystander = daemon.client();
    let whole = lookup(2, 100);
    let mut silent = daemon.greeted();
    silent.write(&whole[..HEADER_BYTES - 1]);
    let mut slow = daemon.greeted();
    // A byte now and then does not buy more time.
    let started_at = Instant::now();
    for byte in whole.chunks(1) {
        if slow.0.write_all(byte).is_err() || started_at.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    silent.expect_farewell(ErrorCode::Timeout);
    slow.expect_farewell(ErrorCode::Timeout);
    check_answers(&mut bystander);
    let mut cut = daemon.greeted();
    cut.write(&whole[..whole.len() - 1]);
    cut.0.shutdown(std::net::Shutdown::Write).unwrap();
    cut.expect_farewell(ErrorCode::Malformed);
}

#[test]
fn who_says_nothing_is_let_go() {
    let daemon = Daemon::start("[limits]\nidle_s = 1");
    let mut never_greeted = daemon.raw();
    let mut greeted = daemon.greeted();
    never_greeted.expect_farewell(ErrorCode::Timeout);
    greeted.expect_farewell(ErrorCode::Timeout);
    daemon.check_answers();
}

#[test]
fn who_never_reads_is_cut_off() {
    let daemon = Daemon::start("[limits]\nwrite_s = 1");
    let mut bystander = daemon.client();
    let mut raw = daemon.greeted();
    let request = lookup(2, 8 * 4_096);
    let started_at = Instant::now();
    // Ends with a broken pipe when the daemon has lost patience; a daemon that buffered without bound would not.
    while raw.0.write_all(&request).is_ok() {
        assert!(started_at.elapsed() < PATIENCE, "the daemon takes requests for ever");
        check_answers(&mut bystander);
    }
    check_answers(&mut bystander);
}

#[test]
fn little_is_kept_for_who_never_reads_over_tcp() {
    let port = free_port();
    let _daemon = Daemon::start(&format!(
        "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\n\
         [[principal]]\nname = 'public'\nanyone = true\nrights = ['lookup']\n[limits]\nwrite_s = 60"
    ));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&hello()).unwrap();
    assert_eq!(read_frame(&mut stream).unwrap().0, Op::Welcome);
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = frame(Op::Status, 2, &[]).repeat(1_000);
    while stream.write_all(&requests).is_ok() {}
    // The daemon's end, as the kernel tells of it: both ports, and what waits to be taken by the other end.
    let (ours, theirs) = (stream.local_addr().unwrap().port(), format!(":{port:04X}"));
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = sockets.find(|fields| fields[1].ends_with(&theirs) && fields[2].ends_with(&format!(":{ours:04X}")));
    let kept = u64::from_str_radix(socket.unwrap()[4].split(':').next().unwrap(), 16).unwrap();
    assert!((1..1 << 20).contains(&kept), "{kept} bytes of answers are kept");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let daemon = Daemon::start("[limits]\nconnections = 3");
    let mut held: Vec<Client> = Vec::new();
    let started_at = Instant::now();
    // The connections of the start itself may take a moment to be gone.
    while held.len() < 3 {
        match Client::connect(&daemon.address()) {
            Ok(client) => held.push(client),
            Err(ClientError::Busy(_)) if started_at.elapsed() < PATIENCE => {}
            Err(error) => panic!("{error}"),
        }
    }
    for _ in 0..10 {
        match Client::connect(&daemon.address()) {
            Err(ClientError::Busy(text)) => assert!(text.contains("all 3 connections"), "{text}"),
            other => panic!("expected BUSY, found {:?}", other.err()),
        }
    }
    held.iter_mut().for_each(check_answers);
    held.pop();
    while let Err(error) = Client::connect(&daemon.address()) {
        assert!(matches!(error, ClientError::Busy(_)) && started_at.elapsed() < PATIENCE, "{error}");
    }
}

#[test]
fn who_comes_while_no_descriptor_is_left_is_answered_once_there_is() {
    let daemon = Daemon::start("");
    let mut bystander = daemon.client();
    let set = |limit| prlimit(Some(daemon.pid()), Resource::Nofile, limit).unwrap();
    let before = set(Rlimit { current: Some(0), maximum: getrlimit(Resource::Nofile).maximum });
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| daemon.check_answers());
        for _ in 0..20 {
            check_answers(&mut bystander);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!newcomer.is_finished(), "there is no descriptor for it");
        set(before);
        newcomer.join().unwrap();
    });
}

#[test]
fn a_large_frame_without_memory_is_busy_and_the_connection_goes_on() {
    let daemon = Daemon::start("[limits]\nframe_bytes = 1048576\nlarge_frame_bytes = 1048576");
    let request = lookup(2, 60_000);
    let mut holder = daemon.greeted();
    holder.write(&request[..request.len() - 1]);
    let mut other = daemon.greeted();
    let started_at = Instant::now();
    loop {
        other.write(&request);
        other.write(&lookup(3, 10));
        let (first, id, _) = other.frame().unwrap();
        assert_eq!(id, RequestId(2));
        let (second, id, payload) = other.frame().unwrap();
        assert_eq!((second, id), (Op::Answers, RequestId(3)));
        assert_eq!(decode_answers(&payload).unwrap().rows, 10);
        match first {
            Op::Busy => break,
            // The holder's frame may not have arrived yet.
            Op::Answers => assert!(started_at.elapsed() < PATIENCE),
            _ => panic!("expected BUSY, found {first:?}"),
        }
    }
    holder.write(&request[request.len() - 1..]);
    let (op, _, payload) = holder.frame().unwrap();
    assert_eq!(op, Op::Answers);
    assert_eq!(decode_answers(&payload).unwrap().rows, 60_000);
}

#[test]
fn every_command_is_answered_or_told_busy() {
    let daemon = Daemon::start("[limits]\ncommands_per_connection = 1");
    let mut raw = daemon.greeted();
    let verify = serde_json::to_vec(&Command::Verify).unwrap();
    let requests: Vec<u8> = (2..22).flat_map(|id| frame(Op::Command, id, &verify)).chain(lookup(22, 5)).collect();
    raw.write(&requests);
    let mut answered: Vec<(u32, Op)> = (2..=22)
        .map(|_| {
            let (op, id, _) = raw.frame().unwrap();
            (id.0, op)
        })
        .collect();
    answered.sort_by_key(|(id, _)| *id);
    assert_eq!(answered.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (2..=22).collect::<Vec<_>>());
    assert_eq!((answered[0].1, answered[20].1), (Op::Json, Op::Answers));
    assert!(answered[1..20].iter().all(|(_, op)| matches!(op, Op::Json | Op::Busy)));
    assert!(answered.iter().any(|(_, op)| *op == Op::Busy));
}

#[test]
fn tcp_may_look_up_and_change_nothing() {
    let daemon = Daemon::start("");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp:127.0.0.1:{port}");
    let socket = daemon.address();
    daemon_support::write_config(
        daemon.folder.path(),
        &format!(
            "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = '{address}'\n\
             [[principal]]\nname = 'public'\nanyone = true\nrights = ['lookup', 'import', 'admin']"
        ),
    );
    daemon.signal(rustix::process::Signal::HUP);
    let address = address.parse().unwrap();
    let started_at = Instant::now();
    let mut client = loop {
        match Client::connect(&address) {
            Ok(client) => break client,
            Err(error) => assert!(started_at.elapsed() < PATIENCE, "{error}"),
        }
    };
    check_answers(&mut client);
    assert_ne!(client.welcome().rights, Client::connect(&socket).unwrap().welcome().rights);
    let remove = Command::Remove { list: "known".parse().unwrap() };
    // What only tells, and gives out hashes of lists, is no less than a change.
    let explain = Command::Explain { fingerprint: known(1), radius: None };
    for command in [remove, explain, Command::Suppressions { before: None, lifted: false }] {
        match client.command_json(&serde_json::to_vec(&command).unwrap()) {
            Err(ClientError::Failed(Failure { code: ErrorCode::Forbidden, .. })) => {}
            other => panic!("expected FORBIDDEN, found {other:?}"),
        }
    }
    client.command_json(&serde_json::to_vec(&Command::Lists).unwrap()).unwrap();
    check_answers(&mut client);
}

#[test]
fn a_long_question_is_answered_in_one_piece() {
    let daemon = Daemon::start("");
    let mut client = daemon.client();
    // Known values at places of several parts of the question.
    let number = |row: u32| if row.is_multiple_of(1_000) { row / 1_000 % 60 } else { 1_000 + row };
    let rows: Vec<u8> = (0..65_536).flat_map(|row| known(number(row)).value().to_vec()).collect();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    let hits: Vec<u32> = answers.hits.iter().map(|(row, _)| *row).collect();
    let expected: Vec<u32> = (0..65_536).filter(|row| number(*row) < daemon_support::KNOWN_COUNT).collect();
    assert_eq!(hits, expected);
    assert_eq!(answers.distinct.len(), 1);

    let mut raw = daemon.greeted();
    raw.write(&lookup(2, 65_536));
    assert_eq!(raw.frame().unwrap().0, Op::Answers);
    let too_many = [&[1, Kind::Md5.code()][..], &65_537u32.to_le_bytes(), &vec![0; 65_537 * 16]].concat();
    assert!(LookupFrame::decode(&too_many).is_err());
    raw.write(&frame(Op::Lookup, 3, &too_many));
    let (op, _, payload) = raw.frame().unwrap();
    assert_eq!((op, Failure::decode(&payload).unwrap().code), (Op::Error, ErrorCode::Malformed));
    let mut rest = Vec::new();
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    raw.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "a client that has finished is let go without a word");
}
