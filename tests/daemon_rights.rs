//! Every operation × every right × every protocol: who lacks what an operation needs is refused, clearly, and nobody else is.
//!
//! The table says which rights each operation needs, once, for frames and for HTTP. It is held against what there is: a
//! frame's op, a command or a path that it does not name fails the test.

mod daemon_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::http::request;
use daemon_support::{Daemon, PATIENCE};
use hashward::access::{Right, Token};
use hashward::fingerprint::{Kind, KindRadius, Radii, hash_bytes};
use hashward::list::{Entry, ListId, ListState, Roles, SuppressionScope, VersionNumber};
use hashward::protocol::{Address, Client, ClientError, ContentOptions, ErrorCode, Op};
use hashward::store::Command;
use hashward::store::command::{FeedChanges, FeedNote, ImportCounts, Lifting, Publish};
use serde_json::{Value, json};

/// Which rights an operation needs.
#[derive(Clone, Copy, Debug)]
enum Needs {
    /// None: whether the daemon lives, and how it is asked.
    Nothing,
    /// Whichever.
    Any,
    /// These.
    All(&'static [Right]),
}

impl Needs {
    /// Which of them somebody with `rights` lacks; `any` where one would do and there is none.
    fn lacking(self, rights: &[Right]) -> Option<&'static str> {
        match self {
            Needs::Nothing => None,
            Needs::Any => rights.is_empty().then_some("any"),
            Needs::All(needed) => needed.iter().find(|right| !rights.contains(right)).map(|right| right.name()),
        }
    }
}

/// A way to ask for an operation.
#[derive(Clone, Debug)]
enum Way {
    /// A frame.
    Frame(Frame),
    /// A method, a path and a document; `{list}` and the like are filled in.
    Http(&'static str, &'static str, Value),
    /// The same with a body of another sort: its type, and its bytes.
    HttpBytes(&'static str, &'static str, &'static str, &'static [u8]),
}

#[derive(Clone, Debug)]
enum Frame {
    Status,
    Lookup(Radii),
    Content(Radii),
    /// Content in a file whose descriptor is passed.
    File(Radii),
    Command(Vec<u8>),
}

impl Frame {
    fn op(&self) -> Op {
        match self {
            Frame::Status => Op::Status,
            Frame::Lookup(_) => Op::Lookup,
            Frame::Content(_) | Frame::File(_) => Op::Content,
            Frame::Command(_) => Op::Command,
        }
    }
}

const LOOKUP: Needs = Needs::All(&[Right::Lookup]);
const CONTENT: Needs = Needs::All(&[Right::Content]);
const IMPORT: Needs = Needs::All(&[Right::Import]);
const SUPPRESS: Needs = Needs::All(&[Right::Suppress]);
const AUDIT: Needs = Needs::All(&[Right::Audit]);
const ADMIN: Needs = Needs::All(&[Right::Admin]);

/// Every operation, the rights that it needs, and all ways to ask for it.
fn table() -> Vec<(Needs, Vec<Way>)> {
    let radii = || Radii::from_iter(["pdq=20".parse::<KindRadius>().unwrap()]);
    let (none, radius) = (Radii::none(), json!({"pdq": 20}));
    let rows = json!({"kinds": ["pdq"], "rows": ["00".repeat(32)]});
    let with_radii = json!({"kinds": ["pdq"], "rows": ["00".repeat(32)], "radii": radius});
    let get = |path| Way::Http("GET", path, Value::Null);
    let bytes = |path, sort| Way::HttpBytes("POST", path, sort, b"{\"kind\":\"md5\",\"hash\":\"00\"}\n");
    let mut table = vec![
        (Needs::Nothing, vec![get("/health/live"), get("/health/ready")]),
        (Needs::Any, vec![Way::Frame(Frame::Status), get("/v1/status"), get("/metrics")]),
        (
            LOOKUP,
            vec![
                Way::Frame(Frame::Lookup(none.clone())),
                Way::Http("POST", "/v1/lookup", rows),
                bytes("/v1/lookup", "application/x-ndjson"),
                get("/v1/lookup/{kind}/{hash}"),
            ],
        ),
        (
            Needs::All(&[Right::Lookup, Right::Detail]),
            vec![Way::Frame(Frame::Lookup(radii())), Way::Http("POST", "/v1/lookup", with_radii)],
        ),
        (
            CONTENT,
            vec![
                Way::Frame(Frame::Content(none.clone())),
                Way::Frame(Frame::File(none)),
                bytes("/v1/match", "application/octet-stream"),
            ],
        ),
        (
            Needs::All(&[Right::Content, Right::Detail]),
            vec![
                Way::Frame(Frame::Content(radii())),
                Way::Frame(Frame::File(radii())),
                bytes("/v1/match?radii=pdq=20", "application/octet-stream"),
            ],
        ),
    ];
    for (needs, command, path) in commands() {
        let document: Value = serde_json::from_slice(&command).unwrap();
        let mut ways = vec![Way::Frame(Frame::Command(command)), Way::Http("POST", "/v1/commands", document)];
        ways.extend(path);
        table.push((needs, ways));
    }
    table
}

/// Every command with the right that it needs, and its own path. They are about a list that there is not: whoever may
/// give them hears that.
fn commands() -> Vec<(Needs, Vec<u8>, Option<Way>)> {
    let list: hashward::list::ListName = "absent".parse().unwrap();
    let fingerprint = hash_bytes(Kind::Md5, b"x");
    let (author, reason) = ("an operator".to_owned(), "a test".to_owned());
    let publish = Publish {
        list: list.clone(),
        list_id: ListId(99),
        version: VersionNumber(1),
        base: None,
        incoming: "absent".to_owned(),
        segments: Vec::new(),
        records: None,
        roles: Roles::uniform(hashward::list::Role::Watch),
        source: "x".to_owned(),
        adds: false,
        radii: Radii::none(),
        counts: ImportCounts::default(),
    };
    let note = FeedNote { list: list.clone(), checkpoint: None, fault: None };
    let get = |path| Some(Way::Http("GET", path, Value::Null));
    let send = |method, path, document| Some(Way::Http(method, path, document));
    let store = [
        (LOOKUP, Command::Lists, get("/v1/lists")),
        (LOOKUP, Command::Inspect { list: list.clone() }, get("/v1/lists/{list}")),
        (LOOKUP, Command::Categories { list: list.clone() }, get("/v1/lists/{list}/categories")),
        (LOOKUP, Command::Status, None),
        (IMPORT, Command::BeginImport { list: list.clone() }, None),
        (IMPORT, Command::Publish(publish), None),
        (
            IMPORT,
            Command::Add { list: list.clone(), role: None, entries: Vec::new() },
            send("POST", "/v1/lists/{list}/entries", json!({"entries": []})),
        ),
        (
            IMPORT,
            Command::Withdraw { list: list.clone(), fingerprints: vec![fingerprint.clone()] },
            send("POST", "/v1/lists/{list}/withdrawals", json!({"fingerprints": [fingerprint.to_string()]})),
        ),
        (IMPORT, Command::ApplyFeed(FeedChanges::of(list.clone())), None),
        (IMPORT, Command::FeedState { list: list.clone() }, None),
        (IMPORT, Command::NoteFeed(note), None),
        (
            SUPPRESS,
            Command::Suppress {
                fingerprint: fingerprint.clone(),
                scope: SuppressionScope::Hash,
                author: author.clone(),
                reason: reason.clone(),
            },
            send(
                "POST",
                "/v1/suppressions",
                json!({"fingerprint": fingerprint.to_string(), "scope": "hash", "author": author, "reason": reason}),
            ),
        ),
        (
            SUPPRESS,
            Command::Lift { of: Lifting::Id(99), author: author.clone(), reason: reason.clone() },
            send("POST", "/v1/suppressions/lift", json!({"of": {"id": 99}, "author": author, "reason": reason})),
        ),
        (SUPPRESS, Command::Suppressions { before: None, lifted: true }, get("/v1/suppressions")),
        (
            ADMIN,
            Command::Accept { list: list.clone(), version: None, reason: reason.clone() },
            send("POST", "/v1/lists/{list}/accept", json!({"version": null, "reason": reason})),
        ),
        (ADMIN, Command::TellHeld { list: list.clone() }, get("/v1/lists/{list}/held")),
        (ADMIN, Command::Explain { fingerprint, radius: None }, get("/v1/explain/{kind}/{hash}")),
        (ADMIN, Command::Contents { list: list.clone(), version: None }, get("/v1/lists/{list}/contents")),
        (ADMIN, Command::Entries { list: list.clone(), after: None }, get("/v1/lists/{list}/entries")),
        (ADMIN, Command::SourceIds { list: list.clone(), after: String::new(), limit: 1 }, None),
        (
            ADMIN,
            Command::Withdrawals { list: list.clone(), version: VersionNumber(1), after: None },
            get("/v1/lists/{list}/withdrawals?version=1"),
        ),
        (ADMIN, Command::Backup, None),
        (ADMIN, Command::Restore { incoming: "absent".to_owned() }, None),
        (
            ADMIN,
            Command::SetState { list: list.clone(), state: ListState::Active },
            send("PUT", "/v1/lists/{list}/state", json!({"state": "active"})),
        ),
        (
            ADMIN,
            Command::SetRadius { list: list.clone(), kind: Kind::Pdq, radius: None },
            send("PUT", "/v1/lists/{list}/radii/{perceptual}", json!({"radius": null})),
        ),
        (ADMIN, Command::Remove { list: list.clone() }, send("DELETE", "/v1/lists/{list}", Value::Null)),
        (ADMIN, Command::Rollback { list, to: None }, send("POST", "/v1/lists/{list}/rollback", json!({"to": null}))),
        (ADMIN, Command::Compact, None),
        (ADMIN, Command::Verify, None),
    ];
    let trail = [
        (AUDIT, json!({"command": "audit_read", "after": 0, "limit": 1}), get("/v1/audit?limit=1")),
        (AUDIT, json!({"command": "audit_checkpoint"}), get("/v1/audit/checkpoint")),
        (AUDIT, json!({"command": "events_read", "after": null, "limit": 1}), get("/v1/events?limit=1")),
    ];
    let store = store.into_iter().map(|(needs, command, path)| (needs, serde_json::to_vec(&command).unwrap(), path));
    let trail = trail.into_iter().map(|(needs, command, path)| (needs, command.to_string().into_bytes(), path));
    store.chain(trail).collect()
}

/// A path with something in its places.
fn fill(path: &str) -> String {
    path.replace("{list}", "absent")
        .replace("{kind}", "md5")
        .replace("{perceptual}", "pdq")
        .replace("{hash}", &hash_bytes(Kind::Md5, b"x").to_hex())
}

/// Somebody who asks, and what they may do at the listeners where they ask.
struct Asker {
    rights: Vec<Right>,
    token: Token,
    frames: Address,
    http: HttpAt,
    /// What a refusal says before the right's name.
    says: String,
}

#[derive(Clone)]
enum HttpAt {
    Unix(PathBuf),
    Tcp(u16),
}

/// What came of asking: `Some` is why somebody was refused for want of a right.
fn ask(asker: &Asker, way: &Way) -> Option<String> {
    match way {
        Way::Frame(frame) => {
            let mut client = Client::connect_with(&asker.frames, Some(&asker.token)).unwrap();
            let options = |radii: &Radii| ContentOptions { radii: radii.clone(), ..ContentOptions::default() };
            let asked = match frame {
                Frame::Status => client.status().map(drop),
                Frame::Lookup(radii) => client.lookup(&[Kind::Pdq], radii, &[0; 32]).map(drop),
                Frame::Content(radii) => client.content(&options(radii), &b"text"[..]).map(drop),
                Frame::File(radii) => client.content_of(&options(radii), tempfile::tempfile().unwrap()).map(drop),
                Frame::Command(command) => client.command_json(command).map(drop),
            };
            match asked {
                Err(ClientError::Failed(failure)) => (failure.code == ErrorCode::Forbidden).then_some(failure.text),
                Err(error) => panic!("{way:?}: {error}"),
                Ok(()) => None,
            }
        }
        Way::Http(method, path, document) => {
            let body = if document.is_null() { String::new() } else { document.to_string() };
            ask_http(asker, method, path, "application/json", body.as_bytes())
        }
        Way::HttpBytes(method, path, sort, body) => ask_http(asker, method, path, sort, body),
    }
}

fn ask_http(asker: &Asker, method: &str, path: &str, sort: &str, body: &[u8]) -> Option<String> {
    let token = asker.token.reveal();
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: {sort}\r\n");
    let path = fill(path);
    let response = match &asker.http {
        HttpAt::Unix(socket) => request(UnixStream::connect(socket).unwrap(), method, &path, &headers, body),
        HttpAt::Tcp(port) => request(TcpStream::connect(("127.0.0.1", *port)).unwrap(), method, &path, &headers, body),
    };
    // What is asked is what the daemon understands, so that nothing but rights stands in its way.
    let status = response.status;
    assert!(![400, 401, 404, 405].contains(&status), "{method} {path}: {response:?}");
    (status == 403).then(|| response.problem(403, "forbidden"))
}

fn names(rights: &[Right]) -> String {
    format!("[{}]", rights.iter().map(|right| format!("'{}'", right.name())).collect::<Vec<_>>().join(", "))
}

/// All rights but this one.
fn all_but(right: Right) -> Vec<Right> {
    Right::ALL.into_iter().filter(|one| *one != right).collect()
}

/// A daemon with a principal for each set of rights, and listeners that grant each set.
struct Stage {
    daemon: Daemon,
    askers: Vec<Asker>,
}

fn stage() -> Stage {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = port();
    let all = names(&Right::ALL);
    let listener = |address: String, protocol: &str, rights: &str| {
        format!("[[listen]]\naddress = '{address}'\nprotocol = '{protocol}'\nrights = {rights}\n")
    };
    let mut config = listener("unix:data/hashward.sock".to_owned(), "frame", &all);
    config += &listener("unix:h.sock".to_owned(), "http", &all);
    config += &listener(format!("tcp:127.0.0.1:{tcp}"), "http", &all);
    let mut principals: Vec<(String, Vec<Right>, Token)> = Vec::new();
    let mut principal = |name: String, rights: Vec<Right>| {
        let token = Token::generate().unwrap();
        principals.push((name, rights, token));
        principals.len() - 1
    };
    principal("nobody".to_owned(), Vec::new());
    for right in Right::ALL {
        principal(format!("all-but-{}", right.name()), all_but(right));
        principal(format!("only-{}", right.name()), vec![right]);
    }
    for needs in table().into_iter().map(|(needs, _)| needs) {
        if let Needs::All(rights @ [_, _, ..]) = needs {
            principal(rights.iter().map(|right| right.name()).collect::<Vec<_>>().join("-"), rights.to_vec());
        }
    }
    let everything = principal("everything".to_owned(), Right::ALL.to_vec());
    for (name, rights, token) in &principals {
        config += &format!("[[principal]]\nname = '{name}'\ntoken = '{}'\nrights = {}\n", token.hash(), names(rights));
    }
    for right in Right::ALL {
        let rights = names(&all_but(right));
        config += &listener(format!("unix:f-{}.sock", right.name()), "frame", &rights);
        config += &listener(format!("unix:h-{}.sock", right.name()), "http", &rights);
    }
    let daemon = Daemon::start(&config);
    let at = |name: &str| daemon.folder.path().join(name);
    let mut askers = Vec::new();
    for (name, rights, token) in &principals {
        for http in [HttpAt::Unix(at("h.sock")), HttpAt::Tcp(tcp)] {
            let (rights, token, says) = (rights.clone(), token.clone(), format!("{name} lacks the right"));
            askers.push(Asker { rights, token, frames: daemon.address(), http, says });
        }
    }
    for right in Right::ALL {
        askers.push(Asker {
            rights: all_but(right),
            token: principals[everything].2.clone(),
            frames: Address::Unix(at(&format!("f-{}.sock", right.name()))),
            http: HttpAt::Unix(at(&format!("h-{}.sock", right.name()))),
            says: "this listener does not grant the right".to_owned(),
        });
    }
    Stage { daemon, askers }
}

#[test]
fn who_lacks_a_right_is_refused_everywhere_and_nobody_else() {
    let Stage { daemon, askers } = stage();
    let table = table();
    let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
    for asker in &askers {
        for (needs, ways) in &table {
            for way in ways {
                // Frames are the same wherever else HTTP is asked.
                if matches!((way, &asker.http), (Way::Frame(_), HttpAt::Tcp(_))) {
                    continue;
                }
                let refused = ask(asker, way);
                let (who, lacking) = (&asker.says, needs.lacking(&asker.rights));
                let what = format!("{who} …, who may {:?}, asks {way:?}", asker.rights);
                match (lacking, refused) {
                    (None, None) => {}
                    (Some(right), Some(text)) => {
                        let has_none = asker.rights.is_empty() && text.contains("has no right at all");
                        let clear = format!("{} `{right}`", asker.says);
                        assert!(has_none || text.contains(&clear), "{what}: {text}");
                        *refusals.entry(if has_none { "any" } else { right }).or_default() += 1;
                    }
                    (None, Some(text)) => panic!("{what}, and is refused: {text}"),
                    (Some(right), None) => panic!("{what}, and is not refused for want of `{right}`"),
                }
            }
        }
    }
    assert_eq!(refusals.len(), Right::ALL.len() + 1, "{refusals:?}");
    each_refusal_is_counted_and_told(&daemon, &refusals);
}

/// Metrics count each refusal, and the trail tells of each, as many at once as came within a second.
fn each_refusal_is_counted_and_told(daemon: &Daemon, refusals: &BTreeMap<&str, u64>) {
    let page = request(UnixStream::connect(daemon.folder.path().join("h.sock")).unwrap(), "GET", "/metrics", "", b"");
    let page = String::from_utf8(page.body).unwrap();
    for (right, count) in refusals {
        let series = format!("hashward_lacking_right_total{{right=\"{right}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&series));
        assert_eq!(line, Some(count.to_string().as_str()), "{right}");
    }
    // The last are told a second later.
    let (all, started_at) = (refusals.values().sum::<u64>(), Instant::now());
    loop {
        let told: u64 = trail(daemon).iter().filter_map(|record| record["times"].as_u64()).sum();
        if told == all {
            return;
        }
        assert!(told < all && started_at.elapsed() < PATIENCE, "{told} of {all} are in the trail");
        thread::sleep(Duration::from_millis(100));
    }
}

/// All records of the trail.
fn trail(daemon: &Daemon) -> Vec<Value> {
    let (mut client, mut records, mut after) = (daemon.client(), Vec::new(), 0);
    loop {
        let read = json!({"command": "audit_read", "after": after, "limit": 1_000});
        let page: Value = serde_json::from_slice(&client.command_json(read.to_string().as_bytes()).unwrap()).unwrap();
        for record in page["records"].as_array().unwrap() {
            after = record["seq"].as_u64().unwrap();
            records.push(record["record"].clone());
        }
        if page["more"] != json!(true) {
            return records;
        }
    }
}

#[test]
fn the_table_names_every_operation() {
    let table = table();
    let ways = || table.iter().flat_map(|(_, ways)| ways);
    // Ops: all that a client may send after its HELLO, which needs no right.
    let is_answer = |op: &Op| matches!(op, Op::Welcome | Op::Json | Op::Answers | Op::Busy | Op::Error);
    let ops: BTreeSet<u8> = (0..=u8::MAX)
        .filter(|code| Op::from_code(*code).is_some_and(|op| !is_answer(&op) && op != Op::Hello))
        .collect();
    let frames = || ways().filter_map(|way| if let Way::Frame(frame) = way { Some(frame) } else { None });
    assert_eq!(frames().map(|frame| frame.op() as u8).collect::<BTreeSet<_>>(), ops);

    let daemon = Daemon::start(
        "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
        [[listen]]\naddress = 'unix:h.sock'\nprotocol = 'http'\n",
    );
    let socket = daemon.folder.path().join("h.sock");
    let description = request(UnixStream::connect(socket).unwrap(), "GET", "/openapi.json", "", b"").json();

    // Paths, by their methods.
    let mut paths = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        paths.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let template = |path: &str| path.split('?').next().unwrap().replace("{perceptual}", "{kind}");
    let named = ways().filter_map(|way| match way {
        Way::Frame(_) => None,
        Way::Http(method, path, _) | Way::HttpBytes(method, path, ..) => Some((method.to_string(), template(path))),
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), paths);
    // The description names all but the path where it stands itself: there is no other way to make one.
    let http = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/protocol/http");
    let sources = std::fs::read_dir(http).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let makers = [".route(", ".route_service(", ".nest(", ".merge("];
    let beside: usize = sources.flat_map(|text| makers.map(|maker| text.matches(maker).count())).sum();
    assert_eq!(beside, 1, "a path that is not in the description is in no table");

    // Commands, as the description names them.
    let mut described = BTreeSet::new();
    for schema in ["Command", "TrailCommand", "EventsCommand"] {
        tags(&description["components"]["schemas"][schema], &mut described);
    }
    let commands = frames().filter_map(|frame| match frame {
        Frame::Command(command) => Some(serde_json::from_slice::<Value>(command).unwrap()["command"].clone()),
        _ => None,
    });
    let commands: BTreeSet<String> = commands.map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(commands, described);
    assert!(described.len() > 20, "{described:?}");
}

/// The values that `command` may have in a schema.
fn tags(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(names) = fields.get("command").and_then(|command| command["enum"].as_array()) {
                found.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
            }
            fields.values().for_each(|field| tags(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| tags(item, found)),
        _ => {}
    }
}

#[test]
fn who_may_only_suppress_sees_no_hashes_of_lists() {
    let vetoer = Token::generate().unwrap();
    let config = format!(
        "[[listen]]\naddress = 'unix:data/hashward.sock'\nrights = ['suppress']\n\
         [[principal]]\nname = 'vetoer'\ntoken = '{}'\nrights = ['suppress']\n",
        vetoer.hash()
    );
    let daemon = Daemon::start(&config);
    let file = |number: u8| [Kind::Md5, Kind::Sha1].map(|kind| hash_bytes(kind, format!("a file {number}").as_bytes()));
    let entry =
        |number: u8| Entry { source_id: number.to_string(), fingerprints: file(number).into(), ..Entry::default() };
    let add = Command::Add {
        list: "of-two-kinds".parse().unwrap(),
        role: Some(hashward::list::Role::Illegal),
        entries: vec![entry(1), entry(2)],
    };
    daemon.client().command_json(&serde_json::to_vec(&add).unwrap()).unwrap();
    let suppress = |client: &mut Client, number| {
        let [known, other] = file(number);
        let command = Command::Suppress {
            fingerprint: known,
            scope: SuppressionScope::Entry,
            author: "an operator".to_owned(),
            reason: "a test".to_owned(),
        };
        let told = client.command_json(&serde_json::to_vec(&command).unwrap()).unwrap();
        let (told, other) = (String::from_utf8(told).unwrap(), other.to_hex());
        assert!(told.contains("\"covers\":2"), "{told}");
        told.contains(&other)
    };
    let mut client = Client::connect_with(&daemon.address(), Some(&vetoer)).unwrap();
    assert!(!suppress(&mut client, 1), "what else the entry holds");
    assert!(suppress(&mut daemon.client(), 2));
}
