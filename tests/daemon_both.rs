//! Frames and HTTP: the same operations, and the same verdicts.

mod daemon_support;

use std::collections::BTreeSet;

use daemon_support::http::{Http, LISTEN};
use daemon_support::{known, until};
use hashward::audit::TrailCommand;
use hashward::events::EventsCommand;
use hashward::fingerprint::{Kind, Radii, Radius, hash_bytes};
use hashward::list::{ListState, SuppressionScope, VersionNumber};
use hashward::matching::{Reason, Verdict};
use hashward::protocol::{ClientError, Op};
use hashward::store::Command;
use hashward::store::command::Lifting;
use serde_json::{Value, json};

/// What carries out an operation over HTTP.
type Path = (&'static str, &'static str);

/// Where any command is taken.
const ANY: Path = ("post", "/v1/commands");

/// The path of an operation of frames; `None` of what HTTP does in its own way.
fn path_of_op(op: Op) -> Option<Path> {
    match op {
        Op::Lookup => Some(("post", "/v1/lookup")),
        Op::Content => Some(("post", "/v1/match")),
        Op::Status => Some(("get", "/v1/status")),
        Op::Command => Some(ANY),
        // The head of each request brings the token; /openapi.json and the status tell the limits.
        Op::Hello | Op::Welcome => None,
        // Answers.
        Op::Json | Op::Answers | Op::Busy | Op::Error => None,
    }
}

/// The path of a command of its own; that of all commands for steps of tools, which make sense with the data folder only.
fn path_of(command: &Command) -> Path {
    match command {
        Command::Lists => ("get", "/v1/lists"),
        Command::Inspect { .. } => ("get", "/v1/lists/{list}"),
        Command::Remove { .. } => ("delete", "/v1/lists/{list}"),
        Command::Categories { .. } => ("get", "/v1/lists/{list}/categories"),
        Command::SetState { .. } => ("put", "/v1/lists/{list}/state"),
        Command::SetRadius { .. } => ("put", "/v1/lists/{list}/radii/{kind}"),
        Command::Rollback { .. } => ("post", "/v1/lists/{list}/rollback"),
        Command::TellHeld { .. } => ("get", "/v1/lists/{list}/held"),
        Command::Accept { .. } => ("post", "/v1/lists/{list}/accept"),
        Command::Add { .. } => ("post", "/v1/lists/{list}/entries"),
        Command::Entries { .. } => ("get", "/v1/lists/{list}/entries"),
        Command::Withdraw { .. } => ("post", "/v1/lists/{list}/withdrawals"),
        Command::Withdrawals { .. } => ("get", "/v1/lists/{list}/withdrawals"),
        Command::Contents { .. } => ("get", "/v1/lists/{list}/contents"),
        Command::Explain { .. } => ("get", "/v1/explain/{kind}/{hash}"),
        Command::Suppressions { .. } => ("get", "/v1/suppressions"),
        Command::Suppress { .. } => ("post", "/v1/suppressions"),
        Command::Lift { .. } => ("post", "/v1/suppressions/lift"),
        Command::BeginImport { .. }
        | Command::Publish(_)
        | Command::ApplyFeed(_)
        | Command::FeedState { .. }
        | Command::SourceIds { .. }
        | Command::NoteFeed(_)
        | Command::Compact
        | Command::Backup
        | Command::Restore { .. }
        | Command::Verify
        | Command::Status => ANY,
    }
}

fn path_of_trail(command: &TrailCommand) -> Path {
    match command {
        TrailCommand::AuditRead { .. } => ("get", "/v1/audit"),
        TrailCommand::AuditCheckpoint => ("get", "/v1/audit/checkpoint"),
    }
}

fn path_of_events(command: &EventsCommand) -> Path {
    match command {
        EventsCommand::EventsRead { .. } => ("get", "/v1/events"),
    }
}

/// One command of each path.
fn commands() -> Vec<Command> {
    let (list, fingerprint) = ("own".parse::<hashward::list::ListName>().unwrap(), hash_bytes(Kind::Md5, b"x"));
    let (author, reason) = ("an operator".to_owned(), "a test".to_owned());
    vec![
        Command::Lists,
        Command::Inspect { list: list.clone() },
        Command::Categories { list: list.clone() },
        Command::SetState { list: list.clone(), state: ListState::Active },
        Command::SetRadius { list: list.clone(), kind: Kind::Pdq, radius: Some(Radius(20)) },
        Command::Rollback { list: list.clone(), to: None },
        Command::TellHeld { list: list.clone() },
        Command::Accept { list: list.clone(), version: None, reason: reason.clone() },
        Command::Add { list: list.clone(), role: None, entries: Vec::new() },
        Command::Entries { list: list.clone(), after: None },
        Command::Withdraw { list: list.clone(), fingerprints: vec![fingerprint.clone()] },
        Command::Withdrawals { list: list.clone(), version: VersionNumber(1), after: None },
        Command::Contents { list: list.clone(), version: None },
        Command::Explain { fingerprint: fingerprint.clone(), radius: None },
        Command::Suppress {
            fingerprint: fingerprint.clone(),
            scope: SuppressionScope::Hash,
            author: author.clone(),
            reason: reason.clone(),
        },
        Command::Suppressions { before: None, lifted: true },
        Command::Lift { of: Lifting::Hash(fingerprint), author, reason },
        Command::Status,
        Command::Remove { list },
    ]
}

/// The request of a command by its path: the path filled in, what stands behind it, and the document.
fn request_of(command: &Command) -> (&'static str, String, Option<Value>) {
    let Value::Object(mut rest) = serde_json::to_value(command).unwrap() else { unreachable!() };
    let (method, template) = path_of(command);
    if (method, template) == ANY {
        return (method, template.to_owned(), Some(Value::Object(rest)));
    }
    rest.remove("command");
    let mut path = template.to_owned();
    if let (true, Some(Value::String(asked))) = (path.contains("{hash}"), rest.get("fingerprint").cloned()) {
        let (kind, hash) = asked.split_once(':').unwrap();
        path = path.replace("{kind}", kind).replace("{hash}", hash);
        rest.remove("fingerprint");
    }
    for name in ["list", "kind"] {
        let place = format!("{{{name}}}");
        if path.contains(&place) {
            path = path.replace(&place, rest.remove(name).unwrap().as_str().unwrap());
        }
    }
    if method == "post" || method == "put" {
        return (method, path, Some(Value::Object(rest)));
    }
    let asked: Vec<String> = rest
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')))
        .collect();
    (method, if asked.is_empty() { path } else { format!("{path}?{}", asked.join("&")) }, None)
}

#[test]
fn every_operation_of_frames_is_described_for_http() {
    let http = Http::start("");
    let description = http.get("/openapi.json").json();
    let is_described = |(method, path): Path| description["paths"][path][method].is_object();
    for code in 0..=u8::MAX {
        if let Some(path) = Op::from_code(code).and_then(path_of_op) {
            assert!(is_described(path), "{path:?}");
        }
    }
    for command in commands() {
        assert!(is_described(path_of(&command)), "{command:?}");
    }
    for command in [TrailCommand::AuditCheckpoint, TrailCommand::AuditRead { after: 0, limit: 1 }] {
        assert!(is_described(path_of_trail(&command)), "{command:?}");
    }
    assert!(is_described(path_of_events(&EventsCommand::EventsRead { after: None, limit: 1, wait: false })));
    // A path that no operation has is one that frames lack.
    let own: BTreeSet<&str> = commands().iter().map(|command| path_of(command).1).collect();
    for path in description["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/v1/lists")) {
        assert!(own.contains(path.as_str()), "{path}");
    }
}

#[test]
fn a_command_by_its_path_does_what_it_does_in_a_frame() {
    // Two daemons that are told the same, one by frames and one by paths.
    let (frames, http) = (Http::start(""), Http::start(""));
    for server in [&frames, &http] {
        server.daemon.add("own", (0..3).map(|number| hash_bytes(Kind::Md5, format!("own {number}").as_bytes())));
    }
    let mut client = frames.daemon.client();
    for command in commands() {
        let told = client.command_json(&serde_json::to_vec(&command).unwrap());
        let (method, path, body) = request_of(&command);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = http.request(&method.to_uppercase(), &path, "", body.as_bytes());
        match told {
            Ok(told) => {
                let told = serde_json::from_slice::<Value>(&told).unwrap();
                assert_eq!(answer.status, 200, "{command:?}: {answer:?}");
                assert_eq!(without_times(answer.json()), without_times(told), "{command:?}");
            }
            Err(refused) => {
                let detail = answer.problem(422, "refused");
                assert!(refused.to_string().contains(&detail), "{command:?}: {refused} or {detail}");
            }
        }
    }
}

/// A document without what differs from daemon to daemon.
fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["at", "created_at", "changed_at", "generation_at"] {
                if let Some(time) = fields.get_mut(name) {
                    *time = json!("some time");
                }
            }
            fields.values_mut().for_each(|field| *field = without_times(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_times(item.take())),
        _ => {}
    }
    value
}

/// What is said of a file that a list knows, of one that none does and of the empty one, in every way to ask over HTTP.
fn verdicts(http: &Http) -> [[Value; 3]; 4] {
    let files = ["file 1", "nobody knows", ""];
    let hashes = files.map(|file| hash_bytes(Kind::Md5, file.as_bytes()).to_hex());
    let said = |answer: &Value| json!([answer["verdict"], answer["reason"]]);
    let document = http.post("/v1/lookup", &json!({"kinds": ["md5"], "rows": hashes})).json();
    let lines = hashes.each_ref().map(|hash| format!("{{\"kind\":\"md5\",\"hash\":\"{hash}\"}}\n")).concat();
    let lines = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", lines.as_bytes());
    let lines: Vec<Value> =
        lines.body.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!((document["answers"].as_array().unwrap().len(), lines.len()), (files.len(), files.len()));
    [
        std::array::from_fn(|row| said(&document["answers"][row])),
        std::array::from_fn(|row| said(&lines[row])),
        hashes.map(|hash| said(&http.get(&format!("/v1/lookup/md5/{hash}")).json())),
        files.map(|file| said(&http.request("POST", "/v1/match", "", file.as_bytes()).json())),
    ]
}

#[test]
fn while_the_store_loads_nothing_is_unknown() {
    let mut http = Http::start("");
    http.daemon.client().command_json(&serde_json::to_vec(&Command::Compact).unwrap()).unwrap();
    http.daemon.signal(rustix::process::Signal::TERM);
    http.daemon.wait();
    let loading = http.daemon.start_loading(LISTEN);
    until(|| std::os::unix::net::UnixStream::connect(&http.socket).ok());

    // It lives, and is not ready.
    assert_eq!(http.get("/health/live").status, 200);
    let ready = http.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["because"]), (503, &json!("still loading")));
    assert_eq!(http.get("/v1/status").json()["state"], json!("loading"));
    assert_eq!(http.get("/metrics").status, 200);

    // Only what is built in is answered; of all else it is said, of each row, that it cannot be asked yet.
    let undecided = json!(["undecided", "loading"]);
    let expected = [undecided.clone(), undecided, json!(["ignorable", null])];
    for found in verdicts(&http) {
        assert_eq!(found, expected);
    }
    let document = http.post("/v1/lookup", &json!({"kinds": ["md5", "pdq"], "rows": []})).json();
    let incomplete = ["md5", "pdq"].map(|kind| json!({"kind": kind, "reason": "loading"}));
    assert_eq!((&document["checked"], &document["incomplete"]), (&json!([]), &json!(incomplete)));
    let mut client = http.daemon.client();
    let frame = client.lookup(&[Kind::Md5], &Radii::none(), known(1).value()).unwrap();
    assert_eq!((frame.miss, frame.hits.len()), (Verdict::Undecided(Reason::Loading), 0));

    // Whatever needs the store is told to come back.
    for command in commands() {
        let (method, path, body) = request_of(&command);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let told = http.request(&method.to_uppercase(), &path, "", body.as_bytes());
        assert!(told.problem(503, "busy").contains("the store is still loading"), "{command:?}");
        assert_eq!(told.headers["retry-after"], "1");
        let told = client.command_json(&serde_json::to_vec(&command).unwrap());
        assert!(matches!(told, Err(ClientError::Busy(_))), "{command:?}");
    }
    for path in ["/v1/audit", "/v1/audit/checkpoint", "/v1/events", "/v1/events?follow=true"] {
        assert!(http.get(path).problem(503, "busy").contains("the store is still loading"), "{path}");
    }

    // From here on nothing is unknown before it is ready, and what is known is at no time anything else.
    loading.go_on();
    let is_ready = || http.get("/health/ready").status == 200;
    while !is_ready() {
        for [known, unknown, ..] in verdicts(&http) {
            assert!(known != json!(["unknown", null]), "{known}");
            assert!(unknown != json!(["unknown", null]) || is_ready(), "{unknown}");
        }
    }
    let expected = [json!(["known", null]), json!(["unknown", null]), json!(["ignorable", null])];
    for found in verdicts(&http) {
        assert_eq!(found, expected);
    }
}
