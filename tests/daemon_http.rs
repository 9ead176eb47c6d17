//! HTTP against a real daemon: the same verdicts as the frame protocol, and no failure that could be read as one.

mod daemon_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use daemon_support::http::{Http, read_response, request};
use hashward::access::Token;
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::list::Entry;
use serde_json::{Value, json};

fn md5(text: &str) -> String {
    hash_bytes(Kind::Md5, text.as_bytes()).to_hex()
}

#[test]
fn http_and_frames_give_the_same_verdicts() {
    let http = Http::start("");
    http.daemon.add("own", ["one", "two"].map(|text| hash_bytes(Kind::Md5, text.as_bytes())));
    let texts = ["one", "nobody knows", "two", "", "HASHWARD-TEST"];
    let values: Vec<u8> =
        texts.iter().flat_map(|text| hash_bytes(Kind::Md5, text.as_bytes()).value().to_vec()).collect();
    let frames = http.daemon.client().lookup(&[Kind::Md5], &Radii::none(), &values).unwrap();
    let verdicts: Vec<&str> =
        frames.iter().map(|answer| answer.map_or(frames.miss, |answer| answer.verdict).name()).collect();
    assert_eq!(verdicts[..3], ["known", "unknown", "known"]);

    let rows: Vec<String> = texts.iter().map(|text| md5(text)).collect();
    let document = http.post("/v1/lookup", &json!({"kinds": ["md5"], "rows": rows}));
    assert_eq!(document.status, 200, "{document:?}");
    let document = document.json();
    assert_eq!((&document["generation"], &document["checked"]), (&json!(frames.generation), &json!(["md5"])));
    let said = |value: &Value| value["verdict"].as_str().unwrap().to_owned();
    assert_eq!(document["answers"].as_array().unwrap().iter().map(said).collect::<Vec<_>>(), verdicts);
    assert_eq!(
        document["answers"][0]["matches"],
        json!([{"list": "own", "role": "illegal", "category": null, "scheme": null, "flags": [], "kind": "md5"}])
    );
    // Rows of one kind may also be arrays.
    let arrays: Vec<[&String; 1]> = rows.iter().map(|row| [row]).collect();
    assert_eq!(http.post("/v1/lookup", &json!({"kinds": ["md5"], "rows": arrays})).json(), document);

    let lines: String = rows.iter().map(|row| format!("{{\"kind\":\"md5\",\"hash\":\"{row}\"}}\r\n")).collect();
    let streamed = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", lines.as_bytes());
    let lines: Vec<Value> =
        String::from_utf8(streamed.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(said).collect::<Vec<_>>(), verdicts);

    for (text, verdict) in texts.iter().zip(&verdicts) {
        let one = http.get(&format!("/v1/lookup/md5/{}", md5(text))).json();
        assert_eq!(said(&one), *verdict);
        let whole = http.request("POST", "/v1/match", "", text.as_bytes()).json();
        let frame = http.daemon.client().content(&Default::default(), text.as_bytes()).unwrap();
        let expected = frame.iter().next().unwrap().map_or(frame.miss, |answer| answer.verdict).name();
        assert_eq!(said(&whole), expected, "{text}");
    }
}

#[test]
fn an_empty_hashward_never_says_unknown() {
    let http = Http::start("");
    let one = http.get(&format!("/v1/lookup/sha1/{}", "00".repeat(20))).json();
    assert_eq!((&one["verdict"], &one["reason"]), (&json!("undecided"), &json!("no_list_for_kind")));
    assert_eq!(http.get("/health/live").status, 200);
    assert_eq!(http.get("/health/ready").status, 200);
}

#[test]
fn what_is_wrong_is_a_problem_and_never_an_answer() {
    let http = Http::start("");
    let some = "00".repeat(16);
    for (body, expected) in [
        (json!({"kinds": [], "rows": []}), "at least one kind"),
        (json!({"kinds": ["md5"], "rows": ["00"]}), "wrong length"),
        (json!({"kinds": ["md5"], "rows": [some, "zz".repeat(16)]}), "bad hex"),
        (json!({"kinds": ["md5", "sha1"], "rows": [some]}), "an array of 2 hashes"),
        (json!({"kinds": ["md5", "sha1"], "rows": [[some]]}), "an array of 2 hashes"),
        (json!({"kinds": ["md5"], "rows": [[some, some]]}), "a hash"),
        (json!({"kinds": ["md5"], "rows": [7]}), "a hash"),
        (json!({"kinds": ["crc32"], "rows": []}), "crc32"),
        (json!({"kinds": ["md5"], "rows": [], "row": []}), "unknown field"),
        (json!({"kinds": ["md5"], "rows": vec![some.clone(); 65_537]}), "at most 65536 values"),
        (json!([]), "expected"),
    ] {
        let detail = http.post("/v1/lookup", &body).problem(400, "malformed");
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    http.get("/v1/lookup/md5/00").problem(400, "malformed");
    for (method, path) in [
        ("POST", "/v1/match?dihedral=x"),
        ("POST", "/v1/match?radius=1"),
        ("GET", "/v1/audit?limit=x"),
        ("GET", "/v1/lists/%ff"),
        ("GET", "/v1/lookup/md5/%ff"),
    ] {
        http.request(method, path, "", b"").problem(400, "malformed");
    }
    http.get("/v1/lookups").problem(404, "not-found");
    http.request("DELETE", "/v1/lookup", "", b"").problem(405, "method-not-allowed");
    http.post("/v1/commands", &json!({"command": "inspect", "list": "nobody"})).problem(422, "refused");
    http.post("/v1/commands", &json!({"command": "restore", "incoming": "nothing"})).problem(422, "refused");
    http.post("/v1/commands", &json!({"command": "destroy"})).problem(400, "malformed");
    let too_long = vec![b' '; 17 << 20];
    http.request("POST", "/v1/lookup", "", &too_long).problem(413, "too-large");
    // A bad line is said in its place, and the others are answered.
    let lines =
        format!("{{\"kind\":\"md5\",\"hash\":\"{some}\"}}\nrubbish\n\n{{\"kind\":\"md5\",\"hash\":\"{some}\"}}");
    let streamed = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", lines.as_bytes());
    let text = String::from_utf8(streamed.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]), (3, &lines[2]), "{text}");
    assert_eq!((&lines[0]["verdict"], &lines[1]["title"]), (&json!("unknown"), &json!("malformed")));
    // A hash that is none takes no place among the others of its kind.
    let bad = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", "zz".repeat(16));
    let known = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", md5("file 1"));
    let lines = [bad.as_str(), &known, &bad, &known, &known].concat();
    let streamed = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", lines.as_bytes());
    let text = String::from_utf8(streamed.body).unwrap();
    let said = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said: Vec<String> =
        said.map(|line| line["verdict"].as_str().or(line["title"].as_str()).unwrap().to_owned()).collect();
    assert_eq!(said, ["malformed", "known", "malformed", "known", "known"]);
}

#[test]
fn a_body_that_is_not_just_the_file_is_not_asked_about() {
    let http = Http::start("");
    let ask = |header: &str| http.request("POST", "/v1/match", &format!("{header}\r\n"), b"file 1");
    for header in [
        "content-encoding: gzip",
        "content-encoding: identity, br",
        "content-type: multipart/form-data; boundary=x",
        "content-type: Multipart/Form-Data",
        "content-range: bytes 0-5/100",
    ] {
        ask(header).problem(400, "unsupported");
    }
    for header in ["content-encoding: identity", "content-type: application/x-www-form-urlencoded", "x-y: z"] {
        assert_eq!(ask(header).json()["verdict"], "known", "{header}");
    }
    let coded = |coding: &str| {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        let head = format!("POST /v1/match HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {coding}\r\n\r\n");
        stream.write_all(format!("{head}6\r\nfile 1\r\n0\r\n\r\n").as_bytes()).unwrap();
        read_response(stream)
    };
    assert_eq!(coded("Chunked").json()["verdict"], "known");
    coded("gzip, chunked").problem(400, "unsupported");
}

#[test]
fn how_far_to_search_is_not_passed_over_where_it_cannot_be_said() {
    let http = Http::start("");
    let some = "00".repeat(32);
    let body = json!({"kinds": ["pdq"], "rows": [some]});
    for query in ["radii=pdq=40", "radius=40"] {
        http.get(&format!("/v1/lookup/pdq/{some}?{query}")).problem(400, "malformed");
        http.post(&format!("/v1/lookup?{query}"), &body).problem(400, "malformed");
    }
    assert_eq!(http.post("/v1/lookup?", &body).status, 200);
}

#[test]
fn one_connection_too_many_is_a_problem_too() {
    let http = Http::start("[limits]\nconnections = 2\n");
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 2, "more connections than there may be");
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut answer = Vec::new();
        // Whoever is not refused is told nothing before they ask.
        let _ = stream.read_to_end(&mut answer);
        if !answer.is_empty() {
            break answer;
        }
        held.push(stream);
    };
    let refused = read_response(&refused[..]);
    assert!(refused.problem(503, "busy").contains("all 2 connections are taken"), "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "1");
}

#[test]
fn large_bodies_share_the_memory_for_large_frames() {
    let http = Http::start("[limits]\nframe_bytes = 600000\nlarge_frame_bytes = 600000\n");
    let rows = |count: usize| json!({"kinds": ["md5"], "rows": vec!["00".repeat(16); count]});
    let (small, large) = (rows(1_000), rows(10_000));
    let try_until = |status: u16| {
        let mut tries = std::iter::repeat_with(|| http.post("/v1/lookup", &large)).take(1_000);
        tries.find(|response| response.status == status).expect("it never happened")
    };
    assert_eq!(http.post("/v1/lookup", &large).status, 200);
    let mut slow = UnixStream::connect(&http.socket).unwrap();
    let body = large.to_string();
    let head = format!("POST /v1/lookup HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.write_all(format!("{head}{}", &body[1..]).as_bytes()).unwrap();
    let refused = try_until(503);
    assert!(refused.problem(503, "busy").contains("no memory for a body of this size"), "{refused:?}");
    assert_eq!(http.post("/v1/lookup", &small).status, 200, "small ones need no such memory");
    drop(slow);
    try_until(200);
    // What has been answered keeps nothing.
    for _ in 0..10 {
        assert_eq!(http.post("/v1/lookup", &large).status, 200);
    }
    // Without a length in the head, it is counted as it comes.
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        let head = "POST /v1/lookup HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{chunk}").as_bytes()).unwrap();
        assert_eq!(read_response(stream).status, 200);
    }
}

/// All that comes over a connection until it ends, after this part of a request in lines.
fn raw_lines(http: &Http, headers: &str, chunk: &str, is_last: bool) -> String {
    let mut stream = UnixStream::connect(&http.socket).unwrap();
    let length = chunk.len() + usize::from(!is_last);
    let head = format!("POST /v1/lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n{headers}");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{chunk}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Nothing but the end of a whole body would leave the connection open here.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn answers_in_lines_that_are_cut_short_break_off() {
    let token = Token::generate().unwrap();
    let http = Http::start(&format!(
        "[limits]\nframe_s = 1\n[[principal]]\nname = 'scanner'\ntoken = '{}'\nrights = ['lookup']\n\
         budget = {{ questions_per_s = 10 }}\n",
        token.hash()
    ));
    let line = |kind: &str, bytes: usize| format!("{{\"kind\":\"{kind}\",\"hash\":\"{}\"}}\n", "00".repeat(bytes));
    let authorization = format!("authorization: Bearer {}\r\n", token.reveal());
    // The first question takes more than there is, so that there is nothing for the second.
    let lines = line("md5", 16).repeat(100) + &line("sha1", 20).repeat(100);
    for (headers, lines, is_last, answers, sort) in [
        (authorization.as_str(), lines.clone(), true, 100, "over-budget"),
        ("", line("md5", 16) + "{\"kind\":", false, 1, "timeout"),
        ("", line("md5", 16) + &"x".repeat(70_000), false, 1, "malformed"),
    ] {
        let answer = raw_lines(&http, headers, &lines, is_last);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("transfer-encoding: chunked"), "{answer}");
        assert_eq!(answer.matches("\"verdict\":\"unknown\"").count(), answers, "{answer}");
        let problem = answer.lines().rfind(|line| line.starts_with('{')).unwrap();
        let problem: Value = serde_json::from_str(problem).unwrap();
        assert_eq!(problem["type"], format!("urn:hashward:problem:{sort}"), "{answer}");
        assert!(!answer.ends_with("\r\n0\r\n\r\n"), "a body that was cut short ends as a whole one: {answer}");
    }
    // A whole one does have that end.
    let whole = raw_lines(&http, "connection: close\r\n", &lines, true);
    assert!(whole.ends_with("\r\n0\r\n\r\n") && !whole.contains("urn:hashward:problem"), "{whole}");
}

#[test]
fn entries_go_in_and_out() {
    let http = Http::start("");
    let value = hash_bytes(Kind::Md5, b"case 17");
    let entry = Entry { source_id: "17".to_owned(), fingerprints: vec![value.clone()], ..Entry::default() };
    let added = http.post("/v1/lists/own/entries", &json!({"role": "illegal", "entries": [entry]}));
    assert_eq!(added.json()["added"], json!(1), "{added:?}");
    let path = format!("/v1/lookup/md5/{}", value.to_hex());
    assert_eq!(http.get(&path).json()["verdict"], json!("known"));
    assert_eq!(http.get("/v1/lists/own").json()["list"]["entries"], json!(1));
    assert!(http.get("/v1/lists").json()["lists"].as_array().unwrap().iter().any(|list| list["name"] == "own"));
    let withdrawn = http.post("/v1/lists/own/withdrawals", &json!({"fingerprints": [value]}));
    assert_eq!(withdrawn.json()["withdrawn"], json!(1), "{withdrawn:?}");
    assert_eq!(http.get(&path).json()["verdict"], json!("unknown"));
    // Many at once, by both ways.
    let many: Vec<Entry> = (0..1_000)
        .map(|number| hash_bytes(Kind::Sha512, format!("case {number}").as_bytes()))
        .map(|value| Entry { source_id: value.to_hex(), fingerprints: vec![value], ..Entry::default() })
        .collect();
    let (first, second) = many.split_at(500);
    let added = http.post("/v1/lists/own/entries", &json!({"entries": first}));
    assert_eq!(added.json()["added"], json!(500), "{added:?}");
    let added = http.post("/v1/commands", &json!({"command": "add", "list": "own", "role": null, "entries": second}));
    assert_eq!(added.json()["added"], json!(500), "{added:?}");
}

#[test]
fn a_refusal_is_read_though_the_body_was_still_to_come() {
    let token = Token::generate().unwrap();
    let http = Http::start(&format!("[[principal]]\nname = 'poor'\ntoken = '{}'\nrights = ['lookup']\n", token.hash()));
    let bearer = format!("authorization: Bearer {}\r\n", token.reveal());
    for pause_ms in [0, 1, 20] {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        write!(stream, "POST /v1/match HTTP/1.1\r\nhost: x\r\n{bearer}content-length: 100000\r\n\r\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        stream.write_all(&[7; 100_000]).unwrap();
        read_response(stream).problem(403, "forbidden");
    }
}

#[test]
fn over_tcp_who_asks_needs_a_token() {
    let token = Token::generate().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!(
        "[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\nprotocol = 'http'\nrights = ['lookup', 'content', 'import']\n\
         [[principal]]\nname = 'scanner'\ntoken = '{}'\nrights = ['lookup']\n\
         budget = {{ questions_per_s = 10 }}\n",
        token.hash()
    );
    let http = Http::start(&listen);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let path = format!("/v1/lookup/md5/{}", "00".repeat(16));
    let authorization = format!("authorization: Bearer {}\r\n", token.reveal());
    let detail = request(connect(), "GET", &path, "", b"").problem(403, "forbidden");
    assert!(detail.contains("stranger lacks the right `lookup`"), "{detail}");
    for wrong in ["authorization: Bearer hashward_x\r\n", "authorization: Basic eDp5\r\n", "authorization: x\r\n"] {
        let refused = request(connect(), "GET", &path, wrong, b"");
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(request(connect(), "GET", &path, &authorization, b"").status, 200);
    request(connect(), "POST", "/v1/match", &authorization, b"text").problem(403, "forbidden");
    let add = json!({"role": "illegal", "entries": []}).to_string();
    request(connect(), "POST", "/v1/lists/own/entries", &authorization, add.as_bytes()).problem(403, "forbidden");
    // A command of a length that only changes have is not even parsed for whoever may not change anything.
    for long in [format!("{{\"command\":\"inspect\",\"list\":\"{}\"}}", "x".repeat(8_000)), "x".repeat(8_000)] {
        let refused = request(connect(), "POST", "/v1/commands", &authorization, long.as_bytes());
        assert!(refused.problem(403, "forbidden").contains("scanner lacks the right `import`"), "{refused:?}");
    }
    let checkpoint = json!({"command": "audit_checkpoint"}).to_string();
    let refused = request(connect(), "POST", "/v1/commands", &authorization, checkpoint.as_bytes());
    assert!(refused.problem(403, "forbidden").contains("scanner lacks the right `audit`"), "{refused:?}");
    assert_eq!(http.post("/v1/commands", &json!({"command": "audit_checkpoint"})).status, 200);
    let many = json!({"kinds": ["md5"], "rows": vec!["00".repeat(16); 100]}).to_string();
    assert_eq!(request(connect(), "POST", "/v1/lookup", &authorization, many.as_bytes()).status, 200);
    let over = request(connect(), "POST", "/v1/lookup", &authorization, many.as_bytes());
    let detail = over.problem(429, "over-budget");
    // The hundred are worked off in ten seconds, one of which was idle before.
    let seconds: u64 = over.headers["retry-after"].parse().unwrap();
    let said: u64 = detail.split(' ').rev().nth(1).unwrap().parse().unwrap();
    assert!((5..=10).contains(&seconds) && said.div_ceil(1_000) == seconds, "{seconds} s: {detail}");
    // Whoever is over budget does not keep the others.
    assert_eq!(http.get(&path).status, 200);
}

#[test]
fn rubbish_ends_its_own_connection_only() {
    let http = Http::start("");
    for rubbish in [&b"\0\0\0\0\xFF"[..], b"GET\r\n\r\n", &[b'x'; 100_000], b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        let _ = stream.write_all(rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
        assert_eq!(http.get("/health/live").status, 200);
    }
}

#[test]
fn the_description_names_every_path() {
    let http = Http::start("");
    let description = http.get("/openapi.json").json();
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    for path in ["/v1/lookup", "/v1/match", "/v1/lists/{list}/entries", "/v1/explain/{kind}/{hash}", "/health/ready"] {
        assert!(paths.iter().any(|known| *known == path), "{path} in {paths:?}");
    }
    assert_eq!(description["openapi"].as_str().unwrap().split('.').next(), Some("3"));
}

#[test]
fn who_reads_no_answers_is_read_no_more_and_loses_none() {
    let http = Http::start("");
    let line = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", md5("file 1"));
    let lines = 150_000;
    let mut stream = UnixStream::connect(&http.socket).unwrap();
    let head = "POST /v1/lookup HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n", lines * line.len()).as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let body = line.repeat(lines).into_bytes();
    stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    let stopped = loop {
        match stream.write(&body[sent..]) {
            Ok(more) if sent + more < body.len() => sent += more,
            ended => break ended,
        }
    };
    assert_eq!(stopped.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "after {sent} bytes");
    assert!(sent < body.len() / 4, "{sent} bytes were taken of one who reads nothing");
    stream.set_write_timeout(None).unwrap();
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| read_response(&mut reader));
        stream.write_all(&body[sent..]).unwrap();
        answer.join().unwrap()
    });
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!((text.lines().count(), text.matches("\"verdict\":\"known\"").count()), (lines, lines));
}
