//! `/metrics` of a real daemon: it counts what happened, says so to those who may know, and is described whole.

mod daemon_support;
mod pictures_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::http::{Http, Response};
use daemon_support::{PATIENCE, frame, known, until, write_config};
use hashward::access::Token;
use hashward::fingerprint::{Fingerprint, Kind, Radii, hash_bytes};
use hashward::list::Role;
use hashward::matching::Verdict;
use hashward::protocol::{Client, ContentOptions, Op};
use hashward::store::Command;
use pictures_support::{pdq, photo, png};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Listeners for both protocols that grant more than looking up.
const LISTEN: &str = "[[listen]]\naddress = 'unix:data/hashward.sock'\nrights = ['lookup', 'content', 'detail']\n\
    [[listen]]\naddress = 'unix:http.sock'\nprotocol = 'http'\nrights = ['lookup', 'content', 'detail']\n";

/// What is scraped: series and their values.
struct Scrape {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(response: &Response) -> Scrape {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(response.body.clone()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}")));
        let series = pairs.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect();
        Scrape { text, series }
    }

    fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// The names of all metrics.
    fn names(&self) -> BTreeSet<&str> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split(' ').next().unwrap()).collect()
    }
}

fn scrape(http: &Http) -> Scrape {
    Scrape::of(&http.get("/metrics"))
}

/// Scrapes until `is_there`; what ends elsewhere is counted when it ends.
fn scrape_until(http: &Http, what: &str, is_there: impl Fn(&Scrape) -> bool) -> Scrape {
    let started_at = Instant::now();
    loop {
        let scraped = scrape(http);
        if is_there(&scraped) {
            return scraped;
        }
        assert!(started_at.elapsed() < PATIENCE, "{what} does not show in\n{}", scraped.text);
        thread::sleep(Duration::from_millis(20));
    }
}

fn rows(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(|number| known(number).value().to_vec()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_is_asked_is_counted() {
    let http = Http::start_at(LISTEN, "");
    let both: Fingerprint = known(0);
    http.daemon.add("second", [both]);
    let watch = Command::Add {
        list: "watched".parse().unwrap(),
        role: Some(Role::Watch),
        entries: vec![hashward::list::Entry {
            source_id: "1".into(),
            fingerprints: vec![hash_bytes(Kind::Md5, b"watched")],
            ..Default::default()
        }],
    };
    let mut client = http.daemon.client();
    client.command_json(&serde_json::to_vec(&watch).unwrap()).unwrap();
    let before = scrape(&http);

    // 60 rows over frames: 50 are in `known`, the first of them in `second` too.
    client.lookup(&[Kind::Md5], &Radii::none(), &rows(0..60)).unwrap();
    client.lookup(&[Kind::Md5], &Radii::none(), hash_bytes(Kind::Md5, b"watched").value()).unwrap();
    client.lookup(&[Kind::Sha512], &Radii::none(), &[7; 64 * 3]).unwrap();
    client.lookup(&[Kind::Pdq], &Radii::none(), &[7; 32]).unwrap();
    client.content(&ContentOptions::default(), &b"file 1"[..]).unwrap();
    client.status().unwrap();
    // Two over HTTP, one of which is known.
    let asked = [known(1), known(1_000)].map(|one| one.to_hex());
    http.post("/v1/lookup", &json!({"kinds": ["md5"], "rows": asked}));
    let now = scrape(&http);

    let more = |series: &str| now.get(series) - before.series.get(series).copied().unwrap_or(0.0);
    for (protocol, operation, requests, asked) in [
        ("frame", "exact", 3.0, 64.0),
        ("frame", "near", 1.0, 1.0),
        ("frame", "content", 1.0, 1.0),
        ("http", "exact", 1.0, 2.0),
        ("http", "content", 0.0, 0.0),
    ] {
        let labels = format!("{{protocol=\"{protocol}\",operation=\"{operation}\"}}");
        assert_eq!(more(&format!("hashward_request_duration_seconds_count{labels}")), requests, "{labels}");
        assert_eq!(more(&format!("hashward_rows_total{labels}")), asked, "{labels}");
        let all = format!("hashward_request_duration_seconds_bucket{}", labels.replace('}', ",le=\"+Inf\"}"));
        assert_eq!(more(&all), requests, "{labels}");
        assert!(requests == 0.0 || more(&format!("hashward_request_duration_seconds_sum{labels}")) > 0.0, "{labels}");
    }
    let status = "hashward_request_duration_seconds_count{protocol=\"frame\",operation=\"status\"}";
    assert_eq!(more(status), 1.0);
    for (series, rows) in [
        // 50 rows, one file and one hash over HTTP are known; 10 rows, the watched one and one over HTTP are not.
        ("hashward_verdicts_total{verdict=\"known\"}", 52.0),
        ("hashward_verdicts_total{verdict=\"unknown\"}", 12.0),
        ("hashward_verdicts_total{verdict=\"undecided\"}", 4.0),
        ("hashward_verdicts_total{verdict=\"ignorable\"}", 0.0),
        ("hashward_undecided_total{reason=\"no_list_for_kind\"}", 4.0),
        ("hashward_undecided_total{reason=\"loading\"}", 0.0),
        ("hashward_watched_total", 1.0),
        ("hashward_suppressed_total", 0.0),
        ("hashward_hits_total{list=\"known\"}", 52.0),
        ("hashward_hits_total{list=\"second\"}", 1.0),
        ("hashward_hits_total{list=\"watched\"}", 1.0),
        ("hashward_audit_records_total", 6.0),
    ] {
        assert_eq!(more(series), rows, "{series}");
    }
    assert_eq!(now.get("hashward_live_fingerprints"), 51.0);
    assert_eq!(now.get("hashward_kind_ready{kind=\"md5\"}"), 1.0);
    assert_eq!(now.get("hashward_store_responding"), 1.0);
    assert!(now.get("process_resident_memory_bytes") > 1e6 && now.get("process_open_fds") > 5.0);

    // A hit that is suppressed is counted as such. A list that is gone leaves no series behind.
    let suppress = json!({"command": "suppress", "fingerprint": known(2).to_string(), "scope": "hash",
        "author": "a", "reason": "b"});
    client.command_json(suppress.to_string().as_bytes()).unwrap();
    client.lookup(&[Kind::Md5], &Radii::none(), known(2).value()).unwrap();
    client.command_json(br#"{"command":"remove","list":"second"}"#).unwrap();
    let after = scrape(&http);
    assert_eq!(after.get("hashward_suppressed_total"), 1.0);
    assert_eq!(after.get("hashward_suppressed_fingerprints"), 1.0);
    assert!(!after.text.contains("list=\"second\""), "{}", after.text);
    // Whatever was asked and held: nothing that could be a hash.
    let is_long_hex = |word: &str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(!after.text.split(|c: char| !c.is_alphanumeric()).any(is_long_hex), "{}", after.text);
}

#[test]
fn files_about_which_lists_in_shadow_could_not_be_asked_are_counted() {
    let mut http = Http::start_at(LISTEN, "");
    for command in [json!({"command": "set_state", "list": "known", "state": "shadow"}), json!({"command": "compact"})]
    {
        http.daemon.client().command_json(command.to_string().as_bytes()).unwrap();
    }
    let ask = |http: &Http| http.daemon.client().lookup(&[Kind::Md5], &Radii::none(), &rows(0..3)).unwrap();
    ask(&http);
    assert_eq!(scrape(&http).get("hashward_shadow_unasked_total"), 0.0);
    http.daemon.signal(rustix::process::Signal::TERM);
    http.daemon.wait();
    let segments = fs::read_dir(http.daemon.folder.path().join("data/segments")).unwrap();
    let segments =
        segments.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "seg"));
    for path in segments {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }
    http.daemon.start_again(LISTEN);
    assert_eq!(ask(&http).miss.name(), "undecided");
    assert_eq!(scrape(&http).get("hashward_shadow_unasked_total"), 3.0);
}

#[test]
fn what_is_refused_is_counted() {
    let (poor, greedy) = (Token::generate().unwrap(), Token::generate().unwrap());
    let principals = format!(
        "[[principal]]\nname = 'poor'\ntoken = '{}'\nrights = ['detail']\n\
         [[principal]]\nname = 'greedy'\ntoken = '{}'\nrights = ['lookup', 'content']\nbudget = {{ content_per_day = 2 }}\n",
        poor.hash(),
        greedy.hash()
    );
    let http = Http::start_at(LISTEN, &principals);
    let bearer = |token: &Token| format!("authorization: Bearer {}\r\n", token.reveal());
    let as_poor = |method: &str, path: &str| http.request(method, path, &bearer(&poor), b"");
    for _ in 0..3 {
        as_poor("GET", "/v1/lists").problem(403, "forbidden");
    }
    assert_eq!(http.request("POST", "/v1/match", &bearer(&greedy), b"a").status, 200);
    let mut client = Client::connect_with(&http.daemon.address(), Some(&greedy)).unwrap();
    client.content(&ContentOptions::default(), &b"b"[..]).unwrap();
    client.content(&ContentOptions::default(), &b"c"[..]).unwrap_err();
    http.request("POST", "/v1/match", &bearer(&greedy), b"d").problem(429, "over-budget");
    let unknown = Token::generate().unwrap();
    http.request("GET", "/v1/lists", &bearer(&unknown), b"").problem(401, "unauthenticated");
    http.request("GET", "/v1/lists", "authorization: Bearer x\r\n", b"").problem(401, "unauthenticated");
    http.get("/no/such/path").problem(404, "not-found");
    let lines = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", b"rubbish\n");
    assert!(String::from_utf8(lines.body).unwrap().contains("malformed"));

    // Rubbish in frames ends the connection.
    let mut raw = http.daemon.raw();
    raw.write(&frame(Op::Status, 1, b""));
    raw.expect_farewell(hashward::protocol::ErrorCode::Malformed);
    let mut rude = UnixStream::connect(&http.socket).unwrap();
    rude.write_all(b"rubbish\r\n\r\n").unwrap();

    // Whoever may scrape needs no right that lets them ask.
    let broke = |protocol| format!("hashward_connections_ended_total{{protocol=\"{protocol}\",reason=\"malformed\"}}");
    let both = ["frame", "http"].map(broke);
    scrape_until(&http, "rubbish", |scraped| both.iter().all(|series| scraped.get(series) == 1.0));
    let scraped = Scrape::of(&as_poor("GET", "/metrics"));
    for (series, count) in [
        ("hashward_lacking_right_total{right=\"lookup\"}", 3.0),
        ("hashward_lacking_right_total{right=\"any\"}", 0.0),
        ("hashward_over_budget_total{principal=\"greedy\",budget=\"content_per_day\"}", 2.0),
        ("hashward_budget_used{principal=\"greedy\",budget=\"content_per_day\"}", 2.0),
        ("hashward_budget_limit{principal=\"greedy\",budget=\"content_per_day\"}", 2.0),
        ("hashward_requests_failed_total{protocol=\"http\",code=\"forbidden\"}", 3.0),
        ("hashward_requests_failed_total{protocol=\"http\",code=\"unauthenticated\"}", 2.0),
        ("hashward_requests_failed_total{protocol=\"http\",code=\"over_budget\"}", 1.0),
        ("hashward_requests_failed_total{protocol=\"frame\",code=\"over_budget\"}", 1.0),
        // The path, and the line.
        ("hashward_requests_failed_total{protocol=\"http\",code=\"malformed\"}", 2.0),
        ("hashward_requests_failed_total{protocol=\"frame\",code=\"malformed\"}", 1.0),
        // The client that is over its budget.
        ("hashward_connections{protocol=\"frame\"}", 1.0),
    ] {
        assert_eq!(scraped.get(series), count, "{series}");
    }
    assert!(!scraped.text.contains("\"poor\""), "who has no budget has no series");
    drop(client);
    let finished = "hashward_connections{protocol=\"frame\"}";
    scrape_until(&http, "the end of a connection", |scraped| scraped.get(finished) == 0.0);
}

#[test]
fn who_has_no_right_reads_no_metrics() {
    let nobody = "[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = 'unix:http.sock'\n\
        protocol = 'http'\nrights = ['lookup']\n[[principal]]\nname = 'nobody'\n";
    let token = Token::generate().unwrap();
    let http = Http::start_at(nobody, &format!("token = '{}'\nrights = ['content']\n", token.hash()));
    let bearer = format!("authorization: Bearer {}\r\n", token.reveal());
    let detail = http.request("GET", "/metrics", &bearer, b"").problem(403, "forbidden");
    assert!(detail.contains("nobody has no right at all at this listener"), "{detail}");
    assert_eq!(scrape(&http).get("hashward_lacking_right_total{right=\"any\"}"), 1.0);
}

/// The section of the manual.
fn manual() -> String {
    let manual = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    manual.split("\n## ").find(|section| section.starts_with("Monitoring\n")).unwrap().to_owned()
}

/// What stands in the first column of the section's tables.
fn described(manual: &str) -> impl Iterator<Item = &str> {
    manual.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next())
}

#[test]
fn every_metric_is_described_and_every_description_is_of_one() {
    let http = Http::start_at(LISTEN, "");
    let (scraped, manual) = (scrape(&http), manual());
    let metrics = described(&manual).filter(|name| !name.starts_with("Hashward"));
    assert_eq!(metrics.collect::<BTreeSet<_>>(), scraped.names());
}

#[test]
fn every_alert_is_explained_and_is_about_metrics_that_there_are() {
    let http = Http::start_at(LISTEN, "");
    let (scraped, manual) = (scrape(&http), manual());
    let rules = fs::read_to_string(root().join("packaging/prometheus/hashward.rules.yml")).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let explained = described(&manual).filter(|name| name.starts_with("Hashward"));
    assert_eq!(alerts.collect::<BTreeSet<_>>(), explained.collect::<BTreeSet<_>>());
    let is_metric = |word: &&str| word.starts_with("hashward_") || word.starts_with("process_");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rules: Vec<&str> =
        rules.lines().filter(|line| !["#", "summary:"].iter().any(|out| line.trim_start().starts_with(out))).collect();
    // What they pick out by a label is there to be picked out, else they would never fire. The job is the scraper's.
    let mut picked = 0;
    for (before, after) in rules.iter().flat_map(|line| line.match_indices('{').map(|(at, _)| line.split_at(at))) {
        let metric = before.rsplit(|c| !is_word(c)).next().unwrap();
        let (label, values) = after[1..].split('}').next().unwrap().split_once('=').unwrap();
        for value in values.trim_matches(['~', '"']).split('|').filter(|_| label != "job") {
            let (metric, label) = (format!("{metric}{{"), format!("{label}=\"{value}\""));
            let is_picked = |series: &String| series.starts_with(&metric) && series.contains(&label);
            assert!(scraped.series.keys().any(is_picked), "no {metric}{label}}}");
            picked += 1;
        }
    }
    assert!(picked > 5, "{picked}");
    let rules = rules.into_iter();
    let named: BTreeSet<&str> = rules.flat_map(|line| line.split(|c| !is_word(c))).filter(is_metric).collect();
    let unknown: Vec<_> = named.difference(&scraped.names()).copied().collect();
    assert!(named.len() > 20 && unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_config_that_was_refused_is_told() {
    let http = Http::start_at(LISTEN, "");
    let successful = "hashward_config_last_reload_successful";
    assert_eq!(scrape(&http).get(successful), 1.0);
    let reload = |lines: &str| {
        write_config(http.daemon.folder.path(), lines);
        http.daemon.signal(rustix::process::Signal::HUP);
    };
    reload("[limits]\nconnections = 0\n");
    scrape_until(&http, "the refusal", |scraped| scraped.get(successful) == 0.0);
    let status = String::from_utf8(http.daemon.client().status().unwrap()).unwrap();
    assert!(status.contains("\"config_refused\":true"), "{status}");
    reload(LISTEN);
    scrape_until(&http, "the config", |scraped| scraped.get(successful) == 1.0);
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Stopped {
        kill_process(pid, Signal::STOP).unwrap();
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn queues_rise_while_work_waits_and_fall_when_it_is_done() {
    let http = Http::start_at(LISTEN, "[pictures]\nworkers = 1\nqueue = 4\ndeadline_s = 600\n");
    http.daemon.add("seized", [pdq(&photo(1))]);
    let worker = until(|| {
        let status: Value = serde_json::from_slice(&http.daemon.client().status().unwrap()).unwrap();
        Pid::from_raw(status["pictures"]["processes"][0].as_i64()? as i32)
    });
    let held = Stopped::new(worker);
    let asked: Vec<_> = (0..3)
        .map(|number| {
            let (mut client, picture) = (http.daemon.client(), png(&photo(number)));
            thread::spawn(move || client.content(&ContentOptions::default(), &picture[..]).unwrap())
        })
        .collect();
    let readers = UnixStream::connect(&http.socket).unwrap();
    (&readers).write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let gauges = ["hashward_picture_queue_length", "hashward_content_memory_bytes", "hashward_event_readers"];
    // One is with the worker.
    let full = scrape_until(&http, "what waits", |scraped| {
        scraped.get(gauges[0]) == 2.0 && scraped.get(gauges[1]) > 1_000.0 && scraped.get(gauges[2]) == 1.0
    });
    assert_eq!((full.get("hashward_picture_queue_limit"), full.get("hashward_workers")), (4.0, 1.0));
    drop((held, readers));
    let verdicts = asked.into_iter().map(|asked| {
        let answers = asked.join().unwrap();
        answers.iter().next().unwrap().map_or(answers.miss, |answer| answer.verdict)
    });
    assert_eq!(verdicts.collect::<Vec<_>>(), [Verdict::Unknown, Verdict::Known, Verdict::Unknown]);
    let empty = scrape_until(&http, "the end", |scraped| gauges.iter().all(|gauge| scraped.get(gauge) == 0.0));
    assert_eq!(empty.get("hashward_pictures_answered_total"), 3.0);
}
