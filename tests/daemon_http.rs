//! HTTP against a real daemon: the same verdicts as the frame protocol, and no failure that could be read as one.

mod daemon_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use daemon_support::http::{Http, Response, read_response, request};
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

/// The response to a request that is sent just so.
fn raw(http: &Http, request: &str) -> Response {
    let mut stream = UnixStream::connect(&http.socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_response(stream)
}

#[test]
fn a_body_that_is_not_simply_the_file_is_refused_and_never_hashed() {
    let http = Http::start("");
    let verdict = |headers: &str| http.request("POST", "/v1/match", headers, b"file 1").json()["verdict"].clone();
    let plain = ["", "content-encoding: identity\r\n", "content-type: application/x-www-form-urlencoded\r\n"];
    for headers in plain {
        assert_eq!(verdict(headers), json!("known"), "{headers}");
    }
    for headers in [
        "content-encoding: gzip\r\n",
        "content-encoding: identity, br\r\n",
        "content-encoding: identity\r\ncontent-encoding: x\r\n",
        "content-type: Multipart/Form-Data; boundary=b\r\n",
        "content-type: multipart/form-data; boundary=é\r\n",
    ] {
        http.request("POST", "/v1/match", headers, b"file 1").problem(415, "unsupported-media-type");
    }
    let chunks = "6\r\nfile 1\r\n0\r\n\r\n";
    let chunked = |codings: &str| raw(&http, &format!("POST /v1/match HTTP/1.1\r\nhost: x\r\n{codings}\r\n{chunks}"));
    assert_eq!(chunked("transfer-encoding: chunked\r\n").json()["verdict"], json!("known"));
    for codings in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        chunked(codings).problem(400, "malformed");
    }
    // Without a length HTTP takes a body for an empty one, and an empty file is ignorable. What is in it is no request.
    for path in ["/v1/match", "/v1/lookup"] {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let head = format!("POST {path} {version}\r\nhost: x\r\n");
            let file = "DELETE /v1/lists/known HTTP/1.1\r\nhost: x\r\n\r\n";
            raw(&http, &format!("{head}\r\n{file}")).problem(411, "length-required");
            raw(&http, &format!("{head}authorization: x\r\n\r\n{file}")).problem(401, "unauthenticated");
        }
    }
    assert_eq!(verdict(""), json!("known"));
}

#[test]
fn what_would_not_be_heeded_is_refused() {
    let http = Http::start("");
    let one = format!("/v1/lookup/md5/{}", md5("file 1"));
    let all = json!({"kinds": ["pdq"], "rows": ["00".repeat(32)]}).to_string();
    for (method, path, body) in [
        ("GET", format!("/v1/lookup/pdq/{}?radius=40", "00".repeat(32)), ""),
        ("POST", "/v1/lookup?radius=40".to_owned(), all.as_str()),
        ("POST", "/v1/lookup?radii=pdq=40".to_owned(), &all),
        ("DELETE", "/v1/lists/known?version=1".to_owned(), ""),
        ("GET", "/v1/lists?after=x".to_owned(), ""),
    ] {
        http.request(method, &path, "", body.as_bytes()).problem(400, "malformed");
    }
    assert_eq!(http.get(&format!("{one}?")).json()["verdict"], json!("known"));
}

#[test]
fn no_answer_is_kept_by_anybody_in_between() {
    let http = Http::start("");
    for (method, path, body) in [
        ("GET", format!("/v1/lookup/md5/{}", md5("file 1")), ""),
        ("HEAD", format!("/v1/lookup/md5/{}", md5("file 1")), ""),
        ("POST", "/v1/match".to_owned(), "file 1"),
        ("POST", "/v1/lookup".to_owned(), "rubbish"),
        ("OPTIONS", "/v1/lookup".to_owned(), ""),
        ("GET", "/v1/lookups".to_owned(), ""),
        ("GET", "/health/ready".to_owned(), ""),
    ] {
        let response = http.request(method, &path, "", body.as_bytes());
        assert_eq!(response.headers["cache-control"], "no-store", "{method} {path}");
    }
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
    assert_eq!((&*refused.headers["retry-after"], &*refused.headers["cache-control"]), ("1", "no-store"));
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
fn where_an_answer_cannot_break_off_it_does_not_come_in_lines() {
    let http = Http::start("");
    let line = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", md5("file 1"));
    let headers = format!("content-type: application/x-ndjson\r\ncontent-length: {}\r\n", line.len());
    let lines = |version: &str| raw(&http, &format!("POST /v1/lookup {version}\r\nhost: x\r\n{headers}\r\n{line}"));
    lines("HTTP/1.0").problem(505, "http-version-not-supported");
    raw(&http, "GET /v1/events HTTP/1.0\r\n\r\n").problem(505, "http-version-not-supported");
    // A whole document says how long it is.
    let one = raw(&http, &format!("GET /v1/lookup/md5/{} HTTP/1.0\r\n\r\n", md5("file 1")));
    assert_eq!(one.json()["verdict"], json!("known"));
}

#[test]
fn answers_that_cannot_be_recorded_are_none() {
    // Every record begins a file, so that a folder which is gone is noticed at once.
    let http = Http::start("[audit]\nfile_bytes = 1\n");
    let [folder, away] = ["data/audit", "away"].map(|name| http.daemon.folder.path().join(name));
    let line = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", md5("file 1"));
    let document = json!({"kinds": ["md5"], "rows": [md5("file 1")]});
    let mut stream = UnixStream::connect(&http.socket).unwrap();
    let head = "POST /v1/lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{line}", 2 * line.len()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    std::fs::rename(&folder, &away).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("\"verdict\":\"known\"").count(), 1, "{answer}");
    assert!(answer.contains("urn:hashward:problem:internal-error") && !answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    http.get(&format!("/v1/lookup/md5/{}", md5("file 1"))).problem(500, "internal-error");
    http.post("/v1/lookup", &document).problem(500, "internal-error");
    http.request("POST", "/v1/match", "", b"file 1").problem(500, "internal-error");
    http.request("DELETE", "/v1/lists/known", "", b"").problem(500, "internal-error");
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(http.post("/v1/lookup", &document).json()["answers"][0]["verdict"], json!("known"));
}

#[test]
fn who_goes_away_while_they_ask_has_asked_nothing() {
    let http = Http::start("");
    let content = |stream: &mut UnixStream, headers: &str, body: &str| {
        write!(stream, "POST /v1/match HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}").unwrap();
    };
    // What came until then is a known file.
    for (headers, body) in [
        ("content-length: 7\r\n", "file 1"),
        ("transfer-encoding: chunked\r\n", "6\r\nfile 1\r\n"),
        ("transfer-encoding: chunked\r\n", "6\r\nfile 1\r\n0\r\n"),
    ] {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        content(&mut stream, headers, body);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(http.get("/v1/events").body.is_empty());
    let asked = || String::from_utf8(http.get("/v1/audit").body).unwrap().matches("\"what\":\"content\"").count();
    assert_eq!(asked(), 0);
    assert_eq!(http.request("POST", "/v1/match", "", b"file 1").status, 200);
    assert_eq!(asked(), 1);
    assert_eq!(http.get("/v1/events").body.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told() {
    let http = Http::start("");
    let line = format!("{{\"kind\":\"md5\",\"hash\":\"{}\"}}\n", md5("file 1"));
    let document = json!({"kinds": ["md5"], "rows": [md5("file 1")]}).to_string();
    for (path, sort, body) in [
        ("/v1/match", "application/octet-stream", "file 1"),
        ("/v1/lookup", "application/json", &document),
        ("/v1/lookup", "APPLICATION/x-ndjson; charset=utf-8", &line),
    ] {
        let mut stream = UnixStream::connect(&http.socket).unwrap();
        stream.set_read_timeout(Some(daemon_support::PATIENCE)).unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: {sort}\r\n");
        write!(stream, "{head}connection: close\r\ncontent-length: {length}\r\n\r\n").unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(String::from_utf8_lossy(&go_on), "HTTP/1.1 100 Continue\r\n\r\n", "{path} {sort}");
        stream.write_all(body.as_bytes()).unwrap();
        let answer = String::from_utf8(read_response(stream).body).unwrap();
        assert!(answer.contains("\"verdict\":\"known\""), "{path} {sort}: {answer}");
    }
    // Who is refused need not send anything.
    let head = "POST /v1/match HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-encoding: gzip\r\n";
    raw(&http, &format!("{head}content-length: 6\r\n\r\n")).problem(415, "unsupported-media-type");
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
