//! Match events of a real daemon: what is in them, that none is lost, and that no list in shadow changes an answer.

mod daemon_support;
mod pictures_support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::{Daemon, PATIENCE, write_config};
use hashward::access::Token;
use hashward::fingerprint::{Fingerprint, Kind, Radii, hash_bytes};
use hashward::list::TEST_CONTENT;
use hashward::protocol::{Client, ClientError, ContentOptions, ErrorCode};
use pictures_support::{jpeg, pdq, photo};
use rustix::process::Signal;
use serde_json::{Value, json};

const LISTEN: &str = "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
    [[listen]]\naddress = 'unix:http.sock'\nprotocol = 'http'\n";

/// A response whose body is read line by line, as it comes.
struct Stream {
    input: BufReader<Box<dyn Read>>,
    status: u16,
    chunk: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn get(folder: &Path, path: &str) -> Stream {
        let stream = UnixStream::connect(folder.join("http.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Stream::over(stream, path, "")
    }

    fn over(mut stream: impl Read + Write + 'static, path: &str, headers: &str) -> Stream {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut input = BufReader::new(Box::new(stream) as Box<dyn Read>);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(input.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut stream = Stream { input, status, chunk: Vec::new(), ended: false };
        if !head.contains("transfer-encoding: chunked") {
            stream.input.read_to_end(&mut stream.chunk).unwrap();
            stream.chunk.push(b'\n');
            stream.ended = true;
        }
        stream
    }

    /// The next line; `None` at the proper end of the body.
    fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
                let rest = self.chunk.split_off(end + 1);
                let line = std::mem::replace(&mut self.chunk, rest);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Some(serde_json::from_slice(&line).unwrap());
            }
            if self.ended {
                return None;
            }
            let size = self.chunk_bytes().expect("a chunk, or the proper end");
            let mut chunk = vec![0; size + 2];
            self.input.read_exact(&mut chunk).unwrap();
            self.chunk.extend_from_slice(&chunk[..size]);
            self.ended = size == 0;
        }
    }
}

impl Stream {
    /// The length of the next chunk, 0 for the proper end; `None` if the body breaks off.
    fn chunk_bytes(&mut self) -> Option<usize> {
        let mut size = String::new();
        self.input.read_line(&mut size).ok()?;
        usize::from_str_radix(size.trim_end(), 16).ok()
    }
}

/// All events after `after`.
fn events(daemon: &Daemon, after: u64) -> Vec<Value> {
    let mut stream = Stream::get(daemon.folder.path(), &format!("/v1/events?after={after}"));
    assert_eq!(stream.status, 200);
    std::iter::from_fn(|| stream.line()).collect()
}

fn md5(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, format!("a file {number}").as_bytes())
}

fn lookup(client: &mut Client, kind: Kind, values: &[Fingerprint]) -> Vec<&'static str> {
    let rows: Vec<u8> = values.iter().flat_map(|value| value.value().to_vec()).collect();
    let answers = client.lookup(&[kind], &Radii::none(), &rows).unwrap();
    answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict).name()).collect()
}

fn command(daemon: &Daemon, command: Value) {
    daemon.client().command_json(command.to_string().as_bytes()).unwrap();
}

/// Adds one entry, with a category, to a list of this role.
fn add(daemon: &Daemon, list: &str, role: &str, fingerprint: &Fingerprint) {
    let entry = json!({"source_id": fingerprint.to_string(), "fingerprints": [fingerprint], "category": "XX:1"});
    command(daemon, json!({"command": "add", "list": list, "role": role, "entries": [entry]}));
}

#[test]
fn an_event_says_what_a_report_needs() {
    let daemon = Daemon::start(LISTEN);
    let (known, both, harmless) = (md5(1), md5(2), md5(3));
    add(&daemon, "own", "illegal", &known);
    add(&daemon, "own", "illegal", &both);
    add(&daemon, "os", "ignorable", &both);
    add(&daemon, "os", "ignorable", &harmless);
    let code = hash_bytes(Kind::Sha256, b"a picture");
    let mut bits: Vec<u8> = code.value().to_vec();
    let code = Fingerprint::new(Kind::Pdq, &bits).unwrap();
    bits[7] ^= 4;
    let near = Fingerprint::new(Kind::Pdq, &bits).unwrap();
    add(&daemon, "pictures", "illegal", &code);
    let mut client = daemon.client();
    let verdicts = lookup(&mut client, Kind::Md5, &[known.clone(), md5(9), both.clone(), harmless]);
    assert_eq!(verdicts, ["known", "unknown", "conflict", "ignorable"]);
    assert_eq!(lookup(&mut client, Kind::Pdq, std::slice::from_ref(&near)), ["known"]);
    client.content(&ContentOptions::default(), TEST_CONTENT.as_bytes()).unwrap();

    let events = events(&daemon, 0);
    let of = |field: &str| events.iter().map(|event| event[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("seq"), [1, 2, 3, 4].map(Value::from));
    assert_eq!(of("verdict"), ["known", "conflict", "known", "unknown"]);
    assert_eq!(of("file")[..3], [json!([known]), json!([both]), json!([near])]);
    let said = json!({"list": "own", "role": "illegal", "category": "XX:1", "kind": "md5"});
    assert_eq!(events[0]["matches"], json!([said]));
    assert_eq!(events[1]["matches"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&events[2]["matches"][0]["distance"], &events[2]["nearest"]),
        (&json!(1), &json!([{"fingerprint": code, "distance": 1}]))
    );
    assert_eq!((&events[3]["what"], &events[3]["watched"]), (&json!("content"), &json!(true)));
    assert_eq!(events[3]["matches"][0]["list"], "hashward-test");
    assert!(events[3]["file"].as_array().unwrap().contains(&json!(hash_bytes(Kind::Md5, TEST_CONTENT.as_bytes()))));
    assert!(events.iter().all(|event| event["by"] == "daemon" && event["at"].as_u64() > Some(1 << 40)));
    assert!(events.iter().all(|event| event["generation"].is_u64()));

    // The entry behind one is found by the file's hash, as docs/operations.md says.
    let explain = json!({"command": "explain", "fingerprint": events[0]["file"][0]}).to_string();
    let explained: Value = serde_json::from_slice(&client.command_json(explain.as_bytes()).unwrap()).unwrap();
    let holding = explained["lists"].as_array().unwrap().iter().find(|of| of["list"]["name"] == "own").unwrap();
    assert_eq!(holding["records"][0]["entry"]["source_id"], json!(known));

    // Reading them is in the trail.
    let trail = client.command_json(br#"{"command":"audit_read","after":0,"limit":1000}"#).unwrap();
    let trail: Value = serde_json::from_slice(&trail).unwrap();
    let read = trail["records"].as_array().unwrap().iter().filter(|line| line["record"]["event"] == "events_read");
    let read: Vec<_> = read.map(|line| (&line["record"]["after"], &line["record"]["events"])).collect();
    assert_eq!(read, [(&json!(0), &json!(4))]);
}

#[test]
fn a_list_in_shadow_changes_no_answer_and_adds_an_event() {
    let daemon = Daemon::start(LISTEN);
    let (tried, both, watched) = (md5(1), md5(2), md5(3));
    add(&daemon, "own", "illegal", &both);
    add(&daemon, "trial", "illegal", &tried);
    add(&daemon, "trial", "illegal", &both);
    add(&daemon, "trial-watch", "watch", &watched);
    add(&daemon, "trial-os", "ignorable", &md5(4));
    let mut client = daemon.client();
    let values = [md5(0), tried.clone(), both.clone(), watched.clone(), md5(4)];
    for list in ["trial", "trial-watch", "trial-os"] {
        command(&daemon, json!({"command": "set_state", "list": list, "state": "shadow"}));
    }
    let rows: Vec<u8> = values.iter().flat_map(|value| value.value().to_vec()).collect();
    let in_shadow = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    let events = events(&daemon, 0);
    let of = |field: &str| events.iter().map(|event| event[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("file"), [json!([tried]), json!([both]), json!([watched])], "what is harmless in shadow is no news");
    assert_eq!(of("verdict"), ["unknown", "known", "unknown"]);
    assert_eq!((&events[0]["matches"], &events[0]["shadow"][0]["list"]), (&json!([]), &json!("trial")));
    assert_eq!(events[1]["matches"][0]["list"], "own");
    assert_eq!(
        (&events[1]["shadow"][0]["list"], &events[1]["shadow"][0]["role"]),
        (&json!("trial"), &json!("illegal"))
    );
    for list in ["trial", "trial-watch", "trial-os"] {
        command(&daemon, json!({"command": "set_state", "list": list, "state": "disabled"}));
    }
    let mut without = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    without.generation = in_shadow.generation;
    assert_eq!(in_shadow, without);
}

#[test]
fn a_long_question_is_asked_of_lists_in_shadow_to_its_end() {
    let daemon = Daemon::start(LISTEN);
    let code =
        |number: u32| Fingerprint::new(Kind::Pdq, hash_bytes(Kind::Sha256, &number.to_le_bytes()).value()).unwrap();
    daemon.add("trial", (0..20).flat_map(|number| [md5(number), code(number)]));
    command(&daemon, json!({"command": "set_state", "list": "trial", "state": "shadow"}));
    // Both are answered in parts; every hundredth row, and every tenth, is held in shadow.
    let exact: Vec<Fingerprint> =
        (0..10_000).map(|row| md5(if row % 100 == 0 { row / 100 % 20 } else { 1_000 + row })).collect();
    let near: Vec<Fingerprint> = (0..200).map(|row| code(if row % 10 == 0 { row / 10 } else { 1_000 + row })).collect();
    let mut client = daemon.client();
    assert!(lookup(&mut client, Kind::Md5, &exact).iter().all(|verdict| *verdict == "unknown"));
    assert!(
        lookup(&mut client, Kind::Pdq, &near).iter().all(|verdict| *verdict == "undecided"),
        "no list but in shadow"
    );
    let found: Vec<Value> = events(&daemon, 0).iter().map(|event| event["file"][0].clone()).collect();
    let expected = exact.iter().step_by(100).chain(near.iter().step_by(10));
    // Rows of the same answer stand together in the record of a question.
    assert_eq!(found, expected.map(|hash| json!(hash)).collect::<Vec<_>>());
}

#[test]
fn a_file_is_asked_of_lists_in_shadow_by_their_own_kinds() {
    let daemon = Daemon::start(LISTEN);
    let (copy, exact) = (jpeg(&photo(1), 60), hash_bytes(Kind::Sha256, b"by digest"));
    let ask = |content: &[u8], dihedral| {
        let options = ContentOptions { dihedral, radii: Radii::none() };
        let answers = daemon.client().content(&options, content).unwrap();
        (answers.checked, answers.incomplete, answers.miss, answers.hits)
    };
    let contents = [(&copy[..], false), (&copy, true), (b"by digest", false), (b"\x89PNG\r\n\x1a\n no picture", false)];
    let before = contents.map(|(content, dihedral)| ask(content, dihedral));
    add(&daemon, "trial", "illegal", &pdq(&photo(1)));
    add(&daemon, "trial", "illegal", &exact);
    command(&daemon, json!({"command": "set_state", "list": "trial", "state": "shadow"}));
    assert_eq!(contents.map(|(content, dihedral)| ask(content, dihedral)), before);
    let events = events(&daemon, 0);
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!((&event["verdict"], &event["matches"]), (&json!("unknown"), &json!([])));
        assert_eq!(event["shadow"][0]["list"], "trial");
    }
    let said = |event: &Value, field: &str| event["shadow"][0][field].clone();
    assert_eq!(events[..2].iter().map(|event| said(event, "kind")).collect::<Vec<_>>(), ["pdq", "pdq"]);
    assert!(events[..2].iter().all(|event| said(event, "distance").as_u64() <= Some(31)));
    assert!(events.iter().all(|event| {
        event["file"]
            .as_array()
            .unwrap()
            .iter()
            .any(|hash| hash.as_str().unwrap().starts_with(said(event, "kind").as_str().unwrap()))
    }));
    let codes = |event: &Value| {
        event["file"].as_array().unwrap().iter().filter(|hash| hash.as_str().unwrap().starts_with("pdq:")).count()
    };
    assert_eq!((codes(&events[0]), codes(&events[1])), (1, 8));
    assert_eq!(events[2]["shadow"][0]["kind"], "sha256");
}

#[test]
fn reading_goes_on_where_it_was_across_starts_of_the_daemon() {
    let mut daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..40).map(md5));
    let mut seen = Vec::new();
    for round in 0..4u32 {
        let mut client = daemon.client();
        (0..10).for_each(|number| {
            assert_eq!(lookup(&mut client, Kind::Md5, &[md5(10 * round + number)]), ["known"]);
        });
        // Not all are read before the daemon goes.
        let after = seen.len();
        let mut stream = Stream::get(daemon.folder.path(), &format!("/v1/events?after={after}&limit=7"));
        seen.extend(std::iter::from_fn(|| stream.line()));
        assert_eq!(seen.len(), after + 7);
        daemon.signal(if round % 2 == 0 { Signal::TERM } else { Signal::KILL });
        daemon.wait();
        daemon.start_again(LISTEN);
    }
    seen.extend(events(&daemon, seen.len() as u64));
    let files: Vec<Value> = seen.iter().map(|event| event["file"][0].clone()).collect();
    assert_eq!(files, (0..40).map(|number| json!(md5(number))).collect::<Vec<_>>());

    let ahead = Stream::get(daemon.folder.path(), "/v1/events?after=41").line().unwrap();
    assert_eq!(ahead["status"], 422, "{ahead}");
    assert!(ahead["detail"].as_str().unwrap().contains("the last one is 40"), "{ahead}");
}

#[test]
fn events_that_were_put_away_are_told_with_410() {
    let daemon = Daemon::start(&format!("{LISTEN}[events]\nfile_bytes = 1\nfiles_kept = 3\n"));
    daemon.add("own", [md5(1)]);
    let mut client = daemon.client();
    (0..10).for_each(|_| drop(lookup(&mut client, Kind::Md5, &[md5(1)])));
    let gone = Stream::get(daemon.folder.path(), "/v1/events?after=5").line().unwrap();
    assert_eq!((&gone["status"], &gone["type"]), (&json!(410), &json!("urn:hashward:problem:gone")));
    assert!(gone["detail"].as_str().unwrap().contains("after=7"), "{gone}");
    assert_eq!(events(&daemon, 7).len(), 3);
    let read = json!({"command": "events_read", "after": 5, "limit": 1}).to_string();
    match client.command_json(read.as_bytes()) {
        Err(ClientError::Failed(failure)) => assert_eq!(failure.code, ErrorCode::Gone),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_follows_hears_of_each_match_at_once_until_the_daemon_ends() {
    let mut daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..3).map(md5));
    let mut client = daemon.client();
    let mut stream = Stream::get(daemon.folder.path(), "/v1/events?follow=true");
    for number in 0..3 {
        let asked_at = Instant::now();
        lookup(&mut client, Kind::Md5, &[md5(number)]);
        assert_eq!(stream.line().unwrap()["file"], json!([md5(number)]));
        assert!(asked_at.elapsed() < Duration::from_secs(10), "sooner than an empty line");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(stream.line(), None, "the stream ends in good order");
    assert!(daemon.wait().success());
}

#[test]
fn whoever_loses_the_right_hears_of_no_further_match() {
    let token = Token::generate().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen =
        format!("{LISTEN}[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\nprotocol = 'http'\nrights = ['audit']\n");
    let reporter =
        |rights| format!("{listen}[[principal]]\nname = 'reporter'\ntoken = '{}'\nrights = {rights}\n", token.hash());
    let daemon = Daemon::start(&reporter("['audit']"));
    daemon.add("own", [md5(1)]);
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", token.reveal());
    let mut stream = Stream::over(stream, "/v1/events?follow=true", &bearer);
    lookup(&mut daemon.client(), Kind::Md5, &[md5(1)]);
    assert_eq!(stream.line().unwrap()["seq"], 1);
    let config = || {
        let status: Value = serde_json::from_slice(&daemon.client().status().unwrap()).unwrap();
        status["config"].clone()
    };
    let before = config();
    write_config(daemon.folder.path(), &reporter("[]"));
    daemon.signal(Signal::HUP);
    let started_at = Instant::now();
    while config() == before {
        assert!(started_at.elapsed() < PATIENCE, "the config is not read");
        thread::sleep(Duration::from_millis(10));
    }
    lookup(&mut daemon.client(), Kind::Md5, &[md5(1)]);
    let last = stream.line().unwrap();
    assert_eq!((&last["status"], &last["seq"]), (&json!(403), &Value::Null), "{last}");
    assert_eq!(stream.chunk_bytes(), None, "the body breaks off");
}

#[test]
fn a_kill_loses_no_event_of_an_answer() {
    let mut daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..200).map(md5));
    let mut answered = BTreeSet::new();
    for round in 0..4 {
        let address = daemon.address();
        let asking = (0..2).map(|asker| {
            let address = address.clone();
            thread::spawn(move || {
                let mut told = Vec::new();
                let Ok(mut client) = Client::connect(&address) else { return told };
                for number in (asker..200).step_by(2).cycle() {
                    let rows = [md5(number).value(), md5(1_000).value()].concat();
                    let Ok(answers) = client.lookup(&[Kind::Md5], &Radii::none(), &rows) else { return told };
                    assert_eq!(answers.hits.len(), 1);
                    told.push(number);
                }
                told
            })
        });
        let asking: Vec<_> = asking.collect();
        thread::sleep(Duration::from_millis(40 + 30 * round));
        daemon.signal(Signal::KILL);
        daemon.wait();
        let told: Vec<u32> = asking.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
        assert!(!told.is_empty());
        let before = answered.len() as u64;
        answered.extend(told.into_iter().map(|number| md5(number).to_string()));
        daemon.start_again(LISTEN);
        let events = events(&daemon, 0);
        let recorded: BTreeSet<String> =
            events.iter().map(|event| event["file"][0].as_str().unwrap().to_owned()).collect();
        assert!(answered.is_subset(&recorded), "{:?}", answered.difference(&recorded));
        let numbers = events.iter().map(|event| event["seq"].as_u64().unwrap());
        assert!(numbers.eq(1..=events.len() as u64) && events.len() as u64 > before);
    }
}

#[test]
fn a_match_that_cannot_be_recorded_is_not_answered_unless_the_config_says_so() {
    for (setting, is_answered) in [("refuse", false), ("answer", true)] {
        // Every record begins a file, so that a folder which is gone is noticed at once.
        let lines = format!("[events]\nfile_bytes = 1\nwhen_unwritable = '{setting}'\n");
        let daemon = Daemon::start(&format!("{LISTEN}{lines}"));
        daemon.add("own", [md5(1)]);
        let (folder, away) = (daemon.folder.path().join("data/events"), daemon.folder.path().join("away"));
        let mut client = daemon.client();
        let mut ask = |number| {
            let answered = client.lookup(&[Kind::Md5], &Radii::none(), md5(number).value());
            answered.map(|answers| answers.hits.len())
        };
        assert_eq!(ask(1).unwrap(), 1);
        fs::rename(&folder, &away).unwrap();
        match ask(1) {
            Ok(hits) => assert_eq!((hits, is_answered), (1, true)),
            Err(ClientError::Failed(failure)) => {
                assert_eq!((failure.code, is_answered), (ErrorCode::Internal, false));
                assert!(failure.text.contains("the match events cannot be written"), "{failure}");
            }
            Err(other) => panic!("{other}"),
        }
        assert_eq!(ask(2).unwrap(), 0, "where nothing matched, nothing is to be recorded");
        fs::rename(&away, &folder).unwrap();
        assert_eq!(ask(1).unwrap(), 1);
        let events = events(&daemon, 0);
        let missing = events.iter().filter_map(|event| event.get("missing")).cloned().collect::<Vec<_>>();
        assert_eq!(missing, vec![json!(1); is_answered.into()], "whoever reads them learns that some are missing");
        assert_eq!(events.len(), 2 + missing.len());
        let status: Value = serde_json::from_slice(&daemon.client().status().unwrap()).unwrap();
        assert_eq!(status["events"]["missing"], json!(u8::from(is_answered)));
    }
}

#[test]
fn every_file_of_a_large_question_has_its_event() {
    let daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..5).map(md5));
    let count = 65_536u32;
    let rows: Vec<u8> = (0..count).flat_map(|number| md5(number % 5).value().to_vec()).collect();
    let answers = daemon.client().lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    assert_eq!(answers.hits.len(), count as usize);
    let events = events(&daemon, 0);
    assert_eq!(events.len(), count as usize);
    let mut by_file = events.iter().map(|event| event["file"][0].as_str().unwrap()).fold(
        std::collections::BTreeMap::<_, usize>::new(),
        |mut counts, file| {
            *counts.entry(file).or_default() += 1;
            counts
        },
    );
    for number in 0..5 {
        let expected = (0..count).filter(|row| row % 5 == number).count();
        assert_eq!(by_file.remove(md5(number).to_string().as_str()), Some(expected));
    }
    assert!(by_file.is_empty());
}

#[test]
fn the_command_line_reads_them() {
    let daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..3).map(md5));
    lookup(&mut daemon.client(), Kind::Md5, &[md5(0), md5(1), md5(2)]);
    let run = |arguments: &[&str]| {
        let socket = daemon.address().to_string();
        let mut process = Command::new(env!("CARGO_BIN_EXE_hashward"));
        let output = process.args(["events", "--socket", &socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let json = run(&["--format", "json", "--after", "1"]);
    assert_eq!(json.iter().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>(), events(&daemon, 1));
    assert!(run(&["--limit", "1", "--follow"])[0].ends_with(&format!("known      {}  [own=illegal]", md5(0))));
    let columns: Vec<_> = run(&["--format", "tsv"])[2].split('\t').map(str::to_owned).collect();
    assert_eq!((&*columns[0], &*columns[2], &*columns[3], columns.len()), ("3", "known", &*md5(2).to_string(), 8));
}

#[test]
fn the_command_line_follows_across_starts_of_the_daemon() {
    let mut daemon = Daemon::start(LISTEN);
    daemon.add("own", (0..30).map(md5));
    let socket = daemon.address().to_string();
    let mut following = Command::new(env!("CARGO_BIN_EXE_hashward"))
        .args(["events", "--socket", &socket, "--follow", "--format", "json", "--limit", "30"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    for round in 0..3u32 {
        let mut client = daemon.client();
        for number in 10 * round..10 * (round + 1) {
            assert_eq!(lookup(&mut client, Kind::Md5, &[md5(number)]), ["known"]);
        }
        if round < 2 {
            let told: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert!(told["seq"].as_u64() > Some(0));
            daemon.signal(if round == 0 { Signal::KILL } else { Signal::TERM });
            daemon.wait();
            daemon.start_again(LISTEN);
        }
    }
    let rest = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["seq"].as_u64().unwrap());
    assert!(rest.eq(3..=30), "each once and in order");
    let output = following.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("trying again until it answers"), "{said}");
}

#[test]
fn whoever_follows_where_events_are_gone_is_told_and_not_led_past_them() {
    let daemon = Daemon::start(&format!("{LISTEN}[events]\nfile_bytes = 1\nfiles_kept = 3\n"));
    daemon.add("own", [md5(1)]);
    (0..10).for_each(|_| drop(lookup(&mut daemon.client(), Kind::Md5, &[md5(1)])));
    let mut process = Command::new(env!("CARGO_BIN_EXE_hashward"));
    let socket = daemon.address().to_string();
    let output = process.args(["events", "--socket", &socket, "--follow", "--after", "5"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && said.contains("go on with after=7"), "{said}");
}

#[test]
fn only_who_may_audit_reads_them_and_so_many_at_once() {
    let limits = "[limits]\nevent_readers = 1\n";
    let daemon = Daemon::start(&format!("{LISTEN}{limits}"));
    let _reading = Stream::get(daemon.folder.path(), "/v1/events?follow=true");
    let busy = Stream::get(daemon.folder.path(), "/v1/events").line().unwrap();
    assert_eq!(busy["status"], 503, "{busy}");
    drop(_reading);
    let started_at = Instant::now();
    while Stream::get(daemon.folder.path(), "/v1/events").status != 200 {
        assert!(started_at.elapsed() < PATIENCE, "a reader that is gone gives its place back");
        thread::sleep(Duration::from_millis(20));
    }
}
