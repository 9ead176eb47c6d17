//! Hostile clients, in both protocols, over Unix sockets, TCP and TLS. Each is ended within its bound and counted, others
//! get right answers all along, and nothing of it stays behind.

mod daemon_support;

use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::http::read_response;
use daemon_support::ways::{Exposed, Way, expect_count, hello, last_response, trickle, until_end};
use daemon_support::{PATIENCE, frame, known, read_frame};
use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{
    ContentFrame, ContentOptions, ErrorCode, Failure, HEADER_BYTES, Op, RequestId, encode_content, encode_lookup,
};
use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The length field of the longest frame that the daemon takes.
const LONGEST: u32 = (1 << 20) - 4;

/// Offends in several ways at once.
fn at_once(ways: &[Way], offend: impl Fn(Way) + Sync) {
    let offend = &offend;
    thread::scope(|scope| ways.iter().for_each(|way| drop(scope.spawn(move || offend(*way)))));
}

/// The failure in the last frame that the daemon sent.
fn farewell(mut frames: &[u8]) -> Failure {
    let mut last = None;
    while let Some(frame) = read_frame(&mut frames) {
        last = Some(frame);
    }
    let (op, id, payload) = last.expect("a farewell");
    assert_eq!((op, id), (Op::Error, RequestId::NONE));
    Failure::decode(&payload).unwrap()
}

fn lookup(rows: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_lookup(&mut out, RequestId(2), &[Kind::Md5], &Radii::none(), &known(0).value().repeat(rows));
    out
}

fn content(more: bool, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = ContentFrame { options: ContentOptions::default(), more, descriptor: false, bytes };
    encode_content(&mut out, RequestId(2), &frame);
    out
}

/// The status of each response; none of the bodies here holds such a word.
fn statuses(responses: &str) -> Vec<&str> {
    responses.split("HTTP/1.1 ").skip(1).map(|response| &response[..3]).collect()
}

/// The head of a request with a body.
fn post(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

#[test]
fn frames_that_trickle_in_are_not_waited_for() {
    let exposed = Exposed::start("");
    let before = exposed.ended("frame", "timeout");
    exposed.attack(|| {
        thread::scope(|scope| {
            for way in Way::FRAME {
                let exposed = &exposed;
                scope.spawn(move || {
                    let mut wire = exposed.greeted(way);
                    trickle(&mut *wire, &lookup(1_000));
                    let failure = farewell(&until_end(&mut *wire));
                    assert!(failure.text.contains("a frame was not complete within 1 s"), "{way:?}: {failure}");
                });
                // Whole frames, and so little in each that it would last for ever.
                scope.spawn(move || {
                    let mut wire = exposed.greeted(way);
                    let started_at = Instant::now();
                    while wire.write_all(&content(true, b"x")).and_then(|()| wire.flush()).is_ok() {
                        assert!(started_at.elapsed() < PATIENCE, "{way:?}: the daemon takes a trickle for ever");
                        thread::sleep(Duration::from_millis(100));
                    }
                    let failure = farewell(&until_end(&mut *wire));
                    assert!(failure.text.contains("slower than 16 KiB a second"), "{way:?}: {failure}");
                });
            }
        });
    });
    expect_count(|| exposed.ended("frame", "timeout") - before, 6.0);
}

#[test]
fn requests_that_trickle_in_are_not_waited_for() {
    let exposed = Exposed::start("");
    let timeouts =
        |exposed: &Exposed| exposed.metric("hashward_requests_failed_total{protocol=\"http\",code=\"timeout\"}");
    let before = timeouts(&exposed);
    let ended_before = exposed.ended("http", "timeout");
    exposed.attack(|| {
        thread::scope(|scope| {
            for way in Way::HTTP {
                let exposed = &exposed;
                scope.spawn(move || {
                    let mut wire = exposed.connect(way);
                    let mut head = b"GET /health/live HTTP/1.1\r\nhost: x\r\n".to_vec();
                    head.extend_from_slice(&b"x-more: x\r\n".repeat(1_000));
                    trickle(&mut *wire, &head);
                });
                for (path, headers, part) in [
                    ("/v1/lookup", "content-type: application/json\r\ncontent-length: 100000\r\n", " ".repeat(9_999)),
                    ("/v1/match", "content-length: 100000\r\n", "x".repeat(9_999)),
                    (
                        "/v1/lookup",
                        "content-type: application/x-ndjson\r\ncontent-length: 100000\r\n",
                        "x".repeat(3_000),
                    ),
                ] {
                    scope.spawn(move || {
                        let mut wire = exposed.connect(way);
                        wire.write_all(&post(path, headers)).unwrap();
                        trickle(&mut *wire, part.as_bytes());
                        let text = String::from_utf8(until_end(&mut *wire)).unwrap();
                        // Where the answer had begun, the problem is its last line.
                        assert!(text.contains("timeout") && !text.contains("verdict"), "{way:?} {path}: {text}");
                    });
                }
            }
        });
    });
    // Over TLS, a head that is not complete is a stranger's.
    expect_count(|| (exposed.ended("http", "timeout") - ended_before, exposed.ended("http", "stranger")), (2.0, 1.0));
    expect_count(|| timeouts(&exposed) - before, 9.0);
}

#[test]
fn who_connects_and_vanishes_holds_nothing_for_long() {
    let exposed = Exposed::start("");
    let ended = |reason: &str| ["frame", "http"].map(|protocol| exposed.ended(protocol, reason));
    let before = ended("timeout");
    exposed.attack(|| {
        // They stay open on this side: nothing ever tells the daemon that they are gone.
        let silent = [Way::FRAME, Way::HTTP].concat().into_iter().flat_map(|way| (0..10).map(move |_| way));
        let mut silent: Vec<_> = silent.map(|way| exposed.connect(way)).collect();
        for wire in &mut silent {
            until_end(&mut **wire);
        }
        // The same in the middle of something.
        let mut halves: Vec<_> = Way::FRAME.map(|way| exposed.greeted(way)).into_iter().collect();
        for wire in &mut halves {
            wire.write_all(&lookup(100)[..HEADER_BYTES + 7]).unwrap();
            wire.flush().unwrap();
        }
        for wire in &mut halves {
            assert_eq!(farewell(&until_end(&mut **wire)).code, ErrorCode::Timeout);
        }
    });
    // Over TLS nobody who may do anything had asked; elsewhere nobody had asked anything.
    expect_count(|| ended("stranger"), [10.0; 2]);
    expect_count(|| ended("timeout"), [before[0] + 23.0, before[1] + 20.0]);
}

#[test]
fn lengths_that_are_forged_cost_nothing() {
    let exposed = Exposed::start("");
    exposed.attack(|| {
        at_once(&Way::FRAME, |way| {
            for length in [0, 7, LONGEST, LONGEST + 1, u32::MAX] {
                let mut wire = exposed.greeted(way);
                wire.write_all(&[&length.to_le_bytes()[..], &[0; 60]].concat()).unwrap();
                wire.flush().unwrap();
                let expected = if length == LONGEST { ErrorCode::Timeout } else { ErrorCode::Malformed };
                assert_eq!(farewell(&until_end(&mut *wire)).code, expected, "{way:?} {length}");
            }
            // Counts within frames, which the frame does not bear out.
            let mut wire = exposed.greeted(way);
            for payload in [&[1, 1, 0, 255, 255, 255, 255][..], &[255; 40], &[200], &[1, 1, 255, 0, 0, 0, 0]] {
                wire.write_all(&frame(Op::Lookup, 9, payload)).unwrap();
                wire.flush().unwrap();
                let (op, _, failure) = read_frame(&mut wire).unwrap();
                let failure = Failure::decode(&failure).unwrap();
                assert_eq!((op, failure.code), (Op::Error, ErrorCode::Malformed), "{payload:?}");
            }
        });
        // More of the largest frames than there is memory for; none of it is taken before it comes.
        let mut all: Vec<_> = (0..100).map(|_| exposed.greeted(Way::UnixFrame)).collect();
        for wire in &mut all {
            wire.write_all(&[&LONGEST.to_le_bytes()[..], &[0; 60]].concat()).unwrap();
        }
        for wire in &mut all {
            until_end(&mut **wire);
        }
        at_once(&Way::HTTP, |way| {
            let json = "content-type: application/json\r\n";
            for (headers, body, expected) in [
                ("content-length: 9223372036854775807\r\n", "{", 408),
                ("content-length: 18446744073709551615\r\n", "{", 431),
                ("content-length: 99999999999999999999999\r\n", "{", 400),
                ("content-length: -1\r\n", "{", 400),
                ("content-length: 0x10\r\n", "{", 400),
                ("content-length: 1\r\ncontent-length: 2\r\n", "{}", 400),
                ("content-length: 1000\r\n", "{", 408),
                ("transfer-encoding: chunked\r\n", "ffffffffffffffff\r\n{", 408),
                ("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n{", 400),
                ("transfer-encoding: chunked\r\n", "-1\r\n{", 400),
                ("transfer-encoding: chunked\r\n", "7fffffff\r\n{", 408),
                ("transfer-encoding: chunked\r\n", "1\r\n{zz\r\n", 400),
            ] {
                let mut wire = exposed.connect(way);
                wire.write_all(&post("/v1/lookup", &format!("{json}{headers}"))).unwrap();
                wire.write_all(body.as_bytes()).unwrap();
                wire.flush().unwrap();
                let all = until_end(&mut *wire);
                assert_eq!(read_response(&all[..]).status, expected, "{way:?} {headers:?} {body:?}");
            }
        });
    });
    assert!(exposed.ended("frame", "malformed") >= 12.0);
    assert!(exposed.ended("http", "malformed") >= 15.0);
}

#[test]
fn what_is_too_large_is_refused_and_not_kept() {
    let exposed = Exposed::start("");
    exposed.attack(|| {
        at_once(&Way::HTTP, |way| {
            let long = "x".repeat(100_000);
            let many = "x: y\r\n".repeat(200);
            let heads = [
                (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414..=431),
                (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"), 431..=431),
                (format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431..=431),
            ];
            for (head, expected) in heads {
                let mut wire = exposed.connect(way);
                // The daemon may have lost patience before all is sent.
                let _ = wire.write_all(head.as_bytes()).and_then(|()| wire.flush());
                let all = until_end(&mut *wire);
                let status = if all.is_empty() { 431 } else { read_response(&all[..]).status };
                assert!(expected.contains(&status), "{way:?} {status}");
            }
            for (headers, body) in [
                ("content-length: 2000000\r\n", " ".repeat(2_000_000)),
                ("transfer-encoding: chunked\r\n", format!("{:x}\r\n{}\r\n", 2_000_000, " ".repeat(2_000_000))),
            ] {
                let mut wire = exposed.connect(way);
                let head = post("/v1/lookup", &format!("content-type: application/json\r\n{headers}"));
                wire.write_all(&head).unwrap();
                let _ = wire.write_all(body.as_bytes()).and_then(|()| wire.flush());
                assert_eq!(last_response(&mut *wire).status, 413, "{way:?} {headers:?}");
            }
        });
    });
    assert!(exposed.metric("hashward_requests_failed_total{protocol=\"http\",code=\"too_large\"}") >= 6.0);
}

/// A request that two readers would take for different ones is refused, or answered as HTTP/1.1 says and as the last of its
/// connection, so that what one of them takes for its body is never another's request.
#[test]
fn no_request_is_smuggled_in_anothers_body() {
    let exposed = Exposed::start("");
    let smuggled = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let question = r#"{"kinds":["md5"],"rows":["5d41402abc4b2a76b9719d911017c592"]}"#;
    let chunked = format!("{:x}\r\n{question}\r\n0\r\n\r\n{smuggled}", question.len());
    let length = chunked.len();
    exposed.attack(|| {
        at_once(&Way::HTTP, |way| {
            for (headers, expected) in [
                (format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"), "200"),
                (format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), "200"),
                ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(), "400"),
                (format!("transfer-encoding : chunked\r\ncontent-length: {length}\r\n"), "400"),
                (format!("transfer-encoding: xchunked\r\ncontent-length: {length}\r\n"), "400"),
                (format!("x: y\r\n transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), "400"),
                (format!("x: y\rtransfer-encoding: chunked\r\ncontent-length: {length}\r\n"), "400"),
            ] {
                let mut wire = exposed.connect(way);
                wire.write_all(&post("/v1/lookup", &format!("content-type: application/json\r\n{headers}"))).unwrap();
                wire.write_all(chunked.as_bytes()).unwrap();
                wire.flush().unwrap();
                let all = String::from_utf8(until_end(&mut *wire)).unwrap();
                let statuses = statuses(&all);
                assert_eq!(statuses.len(), 1, "{way:?} {headers:?}: {statuses:?}");
                assert_eq!(statuses[0], expected, "{way:?} {headers:?}: {statuses:?}");
            }
            let mut old = exposed.connect(way);
            let head =
                "POST /v1/lookup HTTP/1.0\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            old.write_all(format!("{head}{chunked}").as_bytes()).unwrap();
            old.flush().unwrap();
            assert_eq!(last_response(&mut *old).status, 400);
        });
    });
}

#[test]
fn rubbish_after_good_requests_is_not_answered() {
    let exposed = Exposed::start("");
    let good = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    exposed.attack(|| {
        at_once(&Way::HTTP, |way| {
            for rubbish in [&b"\0\x01\x02rubbish\r\n\r\n"[..], b"GET\r\n\r\n", &[0xff; 100], b"\x16\x03\x01\x02\0\x01"]
            {
                let mut wire = exposed.connect(way);
                wire.write_all(&[good.repeat(50).as_bytes(), rubbish].concat()).unwrap();
                wire.flush().unwrap();
                let all = String::from_utf8(until_end(&mut *wire)).unwrap();
                let statuses = statuses(&all);
                assert!(statuses.len() <= 51 && statuses[..50].iter().all(|status| *status == "200"), "{statuses:?}");
                assert!(statuses[50..].iter().all(|status| *status == "400"), "{statuses:?}");
            }
            // One who asks and asks, and reads nothing. It is no stranger, who would not have the time for it.
            let mut wire = exposed.connect(way);
            let question = format!("GET /v1/lookup/md5/{} HTTP/1.1\r\nhost: x\r\n\r\n", known(0).to_hex());
            let started_at = Instant::now();
            while wire.write_all(question.repeat(1_000).as_bytes()).and_then(|()| wire.flush()).is_ok() {
                assert!(started_at.elapsed() < PATIENCE, "{way:?}: the daemon takes requests for ever");
            }
        });
        // Frames of all sorts that say nothing.
        let mut random = 7u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as u32
        };
        for way in Way::FRAME {
            let mut wire = exposed.greeted(way);
            for _ in 0..300 {
                let payload: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
                let ops = [Op::Lookup, Op::Command, Op::Status, Op::Answers, Op::Hello, Op::Error];
                wire.write_all(&frame(ops[next() as usize % ops.len()], 9, &payload)).unwrap();
                wire.flush().unwrap();
                let (op, id, _) = read_frame(&mut wire).unwrap();
                assert!(matches!(op, Op::Error | Op::Json) && id == RequestId(9), "{op:?}");
            }
        }
    });
    expect_count(|| exposed.ended("http", "unread"), 3.0);
}

fn pass(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}

#[test]
fn descriptors_are_taken_one_by_one_or_not_at_all() {
    let exposed = Exposed::start("");
    let folder = exposed.daemon.folder.path();
    let path = folder.join("file");
    std::fs::write(&path, b"text").unwrap();
    let file = File::open(&path).unwrap();
    let status = frame(Op::Status, 9, b"");
    exposed.attack(|| {
        // As many as the kernel passes at once, and a few with each of many sends.
        let greeted = exposed.daemon.greeted();
        pass(&greeted.0, &status, &[file.as_fd(); 253]).unwrap();
        until_end(&mut &greeted.0);
        let greeted = exposed.daemon.greeted();
        let started_at = Instant::now();
        while pass(&greeted.0, &status, &[file.as_fd(); 4]).is_ok() {
            assert!(started_at.elapsed() < PATIENCE, "the daemon takes descriptors for ever");
        }
        // Before the greetings, and beside half a frame.
        for (bytes, reason) in [(hello(), ErrorCode::Malformed), (status[..5].to_vec(), ErrorCode::Timeout)] {
            let raw = exposed.daemon.raw();
            pass(&raw.0, &bytes, &[file.as_fd()]).unwrap();
            assert_eq!(farewell(&until_end(&mut &raw.0)).code, reason);
        }
        // HTTP has no use for any.
        let stream = exposed.http_socket();
        let _ = pass(&stream, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n", &[file.as_fd()]);
        assert!(until_end(&mut &stream).is_empty());
    });
    // What is no file, or one that never ends, is refused; the connection goes on.
    let fifo = folder.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let open = |path: &str, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let ours = path.to_str().unwrap();
    let passed: Vec<(&str, OwnedFd, &str)> = vec![
        ("a fifo", open(fifo.to_str().unwrap(), OFlags::RDWR), "found a pipe"),
        ("a socket", socket.into(), "found a socket"),
        ("zeroes", open("/dev/zero", OFlags::RDONLY), "found a device"),
        ("random bytes", open("/dev/urandom", OFlags::RDONLY), "found a device"),
        ("a folder", open("/", OFlags::RDONLY), "found a folder"),
        ("a path", open(ours, OFlags::PATH), "open for reading"),
        ("for writing", open(ours, OFlags::WRONLY), "open for reading"),
        ("of the kernel", open("/proc/self/status", OFlags::RDONLY), "the kernel makes up"),
    ];
    exposed.attack(|| {
        let mut client = exposed.client(Way::UnixFrame);
        for _ in 0..5 {
            for (what, descriptor, expected) in &passed {
                let error = client.content_of(&ContentOptions::default(), descriptor).unwrap_err().to_string();
                assert!(error.contains(expected), "{what}: {error}");
            }
        }
        // A file that grows while it is read is read as long as it was, and refused.
        let large = folder.join("large");
        File::create(&large).unwrap().set_len(200 << 20).unwrap();
        let mut growing = File::options().append(true).open(&large).unwrap();
        let opened = File::open(&large).unwrap();
        thread::scope(|scope| {
            let grown = scope.spawn(|| {
                let started_at = Instant::now();
                let mut error = String::new();
                while error.is_empty() {
                    assert!(started_at.elapsed() < PATIENCE, "a file that changes is answered");
                    error = client
                        .content_of(&ContentOptions::default(), &opened)
                        .err()
                        .map_or_else(String::new, |e| e.to_string());
                }
                error
            });
            while !grown.is_finished() {
                growing.write_all(b"more").unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            let error = grown.join().unwrap();
            assert!(error.contains("changed while it was read") || error.contains("in time"), "{error}");
        });
    });
}

#[test]
fn what_is_no_tls_at_a_port_of_tls_is_ended() {
    let exposed = Exposed::start("");
    let none = |exposed: &Exposed| {
        ["frame", "http"].map(|protocol| {
            exposed.ended(protocol, "no_handshake")
                + exposed.ended(protocol, "stranger")
                + exposed.ended(protocol, "broken")
        })
    };
    let random: Vec<u8> = (0..2_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let client_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 100]].concat();
    let rubbish: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP in the clear", b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("frames in the clear", hello()),
        ("random bytes", random),
        ("zeroes", vec![0; 5_000]),
        ("half of a ClientHello", client_hello),
        ("a record that is too long", [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 65_535]].concat()),
        ("a handshake that is too long", [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[3; 16_380]].concat()),
        ("data before the handshake", [&[0x17, 3, 3, 0, 32][..], &[5; 32]].concat()),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40]),
        ("records of nothing", [0x16, 3, 1, 0, 0].repeat(2_000)),
    ];
    let before = none(&exposed);
    exposed.attack(|| {
        at_once(&[Way::TlsFrame, Way::TlsHttp], |way| {
            for (what, bytes) in &rubbish {
                let mut stream = exposed.tcp(way);
                let _ = stream.write_all(bytes);
                let answered = until_end(&mut stream);
                // At most an alert of TLS.
                assert!(answered.is_empty() || answered[0] == 0x15, "{way:?} {what}: {answered:?}");
            }
            // Rubbish within TLS's own records, and an end that nobody announced.
            let mut tls = exposed.authority.connect(exposed.port(way), &[]).unwrap();
            tls.stream.write_all(&[&[0x17, 3, 3, 0, 40][..], &[9; 40]].concat()).unwrap();
            until_end(&mut tls.stream);
            let tls = exposed.authority.connect(exposed.port(way), &[]).unwrap();
            tls.stream.shutdown(Shutdown::Both).unwrap();
        });
    });
    // Between two requests of HTTP, an end is an end.
    expect_count(|| none(&exposed), [before[0] + 12.0, before[1] + 11.0]);
}

#[test]
fn strangers_do_not_take_the_places_of_others() {
    let exposed = Exposed::start("strangers = 4");
    let refused = || exposed.metric("hashward_connections_refused_total{protocol=\"frame\"}");
    let before = refused();
    exposed.attack(|| {
        // Some that never shake hands, and some that never greet.
        let mut stalled: Vec<_> = (0..2).map(|_| exposed.tcp(Way::TlsFrame)).collect();
        let mut silent: Vec<_> =
            (0..2).map(|_| exposed.authority.connect(exposed.port(Way::TlsFrame), &[]).unwrap()).collect();
        expect_count(|| exposed.metric("hashward_strangers"), 4.0);
        for _ in 0..10 {
            assert!(
                exposed.authority.connect(exposed.port(Way::TlsFrame), &[]).is_err(),
                "there is no place for one more"
            );
        }
        exposed.check(Way::TcpFrame);
        exposed.check(Way::UnixHttp);
        for stream in &mut stalled {
            until_end(stream);
        }
        for stream in &mut silent {
            until_end(stream);
        }
    });
    expect_count(|| refused() - before, 10.0);
}
