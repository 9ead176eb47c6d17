//! `sync` as users run it, against a server on loopback: every page that a service may send, and every way in which it
//! may fail.

mod feed_server;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use feed_server::{PATIENCE, Reply, Request, Server};
use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::ListName;
use hashward::matching::Verdict;
use hashward::store::command::FeedState;
use hashward::store::{Command, Outcome};
use program::daemon::Daemon;
use program::{Ended, Folder, HASHWARD_INDEX, ask, fingerprint, hex_list, md5};
use serde_json::Value;

const PASSWORD: &str = "correct horse/battery+staple";
const TOKEN: &str = "functions-key-0815 subscription-key-4711";

/// A folder with a config of one feed named `feed`, credentials in files.
fn folder(source: &str, url: &str, more: &str) -> Folder {
    let folder = Folder::new();
    let credentials = match source {
        "ncmec" => "user = 'lab'\npassword = { file = 'password' }\n",
        "files" => "",
        _ => "token = { file = 'token' }\n",
    };
    folder.write("password", format!("{PASSWORD}\n"));
    folder.write("token", format!("{TOKEN}\n"));
    folder.write(
        "hashward.toml",
        format!("[[feed]]\nname = 'feed'\nsource = '{source}'\nurl = '{url}'\n{credentials}{more}"),
    );
    folder
}

/// What makes the feed an illegal list, with a window that is January of 2024.
const ILLEGAL: &str = "role = 'illegal'\nall_categories = true\n";
const JANUARY: &str = "start = 2024-01-01T00:00:00Z\nwindow_s = 2678400\n";
const FEBRUARY: &str = "2024-02-01T00:00:00Z";

/// With a second as short as a test can bear, and as long as a busy machine may need to answer.
const SYNC: [&str; 8] = ["sync", "feed", "--config", "hashward.toml", "--report", "json", "--patience-ms", "50"];

fn sync(folder: &Folder) -> Ended {
    folder.run(&SYNC)
}

fn sync_until(folder: &Folder, until: &str) -> Ended {
    folder.run(&[&SYNC[..], &["--until", until]].concat())
}

/// The report of a run that failed.
fn failed(ended: &Ended) -> Value {
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).expect("a report");
    assert_eq!(report["complete"], false);
    report
}

fn list() -> ListName {
    "feed".parse().unwrap()
}

fn told(folder: &Folder, command: Command) -> Outcome {
    folder.store(false).execute(command).expect("an answer")
}

fn state(folder: &Folder) -> FeedState {
    match told(folder, Command::FeedState { list: list() }) {
        Outcome::FeedState(state) => state,
        other => panic!("{other:?}"),
    }
}

fn ids(folder: &Folder) -> Vec<String> {
    match told(folder, Command::SourceIds { list: list(), after: String::new(), limit: 10_000 }) {
        Outcome::SourceIds { source_ids } => source_ids,
        other => panic!("{other:?}"),
    }
}

fn faults(folder: &Folder) -> Vec<String> {
    state(folder).faults.into_iter().map(|fault| fault.item).collect()
}

/// An NCMEC page.
fn page(entries: &[String], next: Option<&str>) -> String {
    let next = next.map(|next| format!("<paging><next>{}</next></paging>", next.replace('&', "&amp;")));
    let entries = entries.concat();
    format!("<queryResult><images>{entries}</images>{}</queryResult>", next.unwrap_or_default())
}

/// An NCMEC entry that says a made-up file's MD5 at some minute of 2024-01-01.
fn image(id: u32, file: u32, minute: u32) -> String {
    image_of(id, &format!("<md5>{}</md5>", md5(file).to_hex()), minute)
}

fn image_of(id: u32, fingerprints: &str, minute: u32) -> String {
    format!(
        "<image><member id='1'>m</member><timestamp>2024-01-01T{:02}:{:02}:00Z</timestamp><id>{id}</id>\
         <classification>A1</classification><fingerprints>{fingerprints}</fingerprints></image>",
        minute / 60,
        minute % 60
    )
}

fn deleted(id: u32, minute: u32) -> String {
    format!(
        "<deletedImage><member id='1'>m</member><timestamp>2024-01-01T{:02}:{:02}:00Z</timestamp><id>{id}</id>\
         </deletedImage>",
        minute / 60,
        minute % 60
    )
}

/// A server of NCMEC pages that lead to each other.
fn pages(entries: Vec<Vec<String>>) -> Server {
    let count = entries.len();
    Server::start(move |request| {
        let at: usize = request.parameter("start").map_or(0, |start| start.parse().unwrap());
        let next = (at + 1 < count).then(|| format!("/v2/entries?from=a&to=b&start={}", at + 1));
        Reply::ok(page(&entries[at], next.as_deref()))
    })
}

/// The made-up files below `count` that are known.
fn known(folder: &Folder, count: u32) -> Vec<u32> {
    let snapshot = folder.snapshot();
    (0..count).filter(|number| ask(&snapshot, &md5(*number)).0 == Verdict::Known).collect()
}

// What the shared samples demand.

fn samples() -> Option<(std::path::PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists");
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        println!("skipped: ../shared/testdata is not here");
        return None;
    };
    Some((folder, serde_json::from_str(&text).expect("expected.json is JSON")))
}

/// Checks the end state after a sync against what the samples' `expected.json` says of all pages of a service.
fn check(folder: &Folder, report: &Value, expected: &Value) {
    let live = expected["live"].as_array().unwrap();
    assert_eq!(
        report["checkpoint"].to_string().trim_matches('"'),
        expected["checkpoint"].to_string().trim_matches('"')
    );
    assert_eq!(state(folder).checkpoint.unwrap(), expected["checkpoint"].to_string().trim_matches('"'));
    assert_eq!(folder.lists()["feed"]["fingerprints"], expected["accepted"]);
    assert_eq!(report["dropped"], expected["dropped_empty"]);
    let pages = expected["pages"].as_array().unwrap();
    let rejected: Vec<Value> = report["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| {
            let page = &pages[rejected["page"].as_u64().unwrap() as usize - 1];
            serde_json::json!({"page": page, "record": rejected["record"], "reason": rejected["reason"]})
        })
        .collect();
    assert_eq!(Value::from(rejected), expected["rejected"]);
    assert_eq!(faults(folder).len(), expected["rejected"].as_array().unwrap().len());
    // An entry of which nothing is left is not held.
    let held = live.iter().filter(|entry| !entry["fingerprints"].as_object().unwrap().is_empty());
    let held: BTreeSet<&str> = held.map(|entry| entry["id"].as_str().unwrap()).collect();
    let ids = ids(folder);
    assert_eq!(ids.iter().map(String::as_str).collect::<BTreeSet<_>>(), held);
    let snapshot = folder.snapshot();
    let found = |value: &Value, kind: &str| {
        let value = serde_json::json!({"kind": kind, "value": value});
        ask(&snapshot, &fingerprint(&value)).1
    };
    for entry in live {
        let scheme =
            entry["classification"].as_str().map(|code| format!("{}:{code}", expected["format"].as_str().unwrap()));
        for (kind, value) in entry["fingerprints"].as_object().unwrap() {
            let answer = found(value, kind).unwrap_or_else(|| panic!("{entry} is not found"));
            let categories: Vec<_> =
                answer.matches.iter().map(|found| found.category.as_ref().map(ToString::to_string)).collect();
            assert!(categories.contains(&scheme), "{entry}: {categories:?}");
        }
    }
    for sample in expected["samples"].as_array().unwrap() {
        assert!(found(&sample["value"], sample["kind"].as_str().unwrap()).is_some(), "{sample}");
    }
    for absent in expected["absent"].as_array().unwrap() {
        assert!(found(&absent["value"], absent["kind"].as_str().unwrap()).is_none(), "{absent}");
    }
}

#[test]
fn ncmec_samples_end_as_expected() {
    let Some((samples, all)) = samples() else { return };
    let expected = &all["ncmec/"];
    let server = Server::start(move |request| {
        let page = match request.parameter("start") {
            None => "page1.xml",
            Some("1001") => "page2.xml",
            Some("2001") => "page3.xml",
            _ => "page4.xml",
        };
        Reply::ok(std::fs::read(samples.join("ncmec").join(page)).unwrap())
    });
    let folder = folder("ncmec", &format!("{}/npo", server.url()), &format!("{ILLEGAL}{JANUARY}"));
    let report = sync_until(&folder, FEBRUARY).json();
    check(&folder, &report, expected);
    // The report counts what was read, whether it was deleted by a later page or not.
    let mut unsupported: BTreeMap<&str, u64> = BTreeMap::new();
    for page in expected["pages"].as_array().unwrap() {
        for (name, count) in all[page.as_str().unwrap()]["unsupported"].as_object().into_iter().flatten() {
            *unsupported.entry(name).or_default() += count.as_u64().unwrap();
        }
    }
    assert_eq!(report["unsupported"], serde_json::json!(unsupported));
    let first = &server.asked()[0];
    assert_eq!(first.target, "/npo/v2/entries?from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z");
    assert!(
        server.asked().iter().all(|request| request.header("authorization").is_some_and(|it| it.starts_with("Basic ")))
    );
    // Read again up to the same moment, there is nothing to ask.
    assert_eq!(sync_until(&folder, FEBRUARY).json()["requests"], 0);
}

#[test]
fn stopncii_samples_end_as_expected() {
    let Some((samples, all)) = samples() else { return };
    let server = Server::start(move |request| {
        let page = match request.parameter("nextPageToken") {
            None => "page1.json",
            Some("page-2") => "page2.json",
            _ => "page3.json",
        };
        Reply::ok(std::fs::read(samples.join("stopncii").join(page)).unwrap())
    });
    let folder = folder("stopncii", &server.url(), ILLEGAL);
    let report = sync(&folder).json();
    check(&folder, &report, &all["stopncii/"]);
    assert_eq!(report["unsupported"], all["stopncii/"]["unsupported"]);
    let asked = server.asked();
    assert_eq!(asked[1].target, "/v1/FetchHashes?startTimestamp=0&pageSize=1000&nextPageToken=page-2");
    assert_eq!(asked[0].header("x-functions-key"), Some("functions-key-0815"));
    assert_eq!(asked[0].header("ocp-apim-subscription-key"), Some("subscription-key-4711"));
    sync(&folder).json();
    assert_eq!(server.asked()[3].parameter("startTimestamp"), Some("1700007200"));
}

#[test]
fn threatexchange_samples_end_as_expected() {
    let Some((samples, all)) = samples() else { return };
    let server = Server::start(move |_| Reply::ok(std::fs::read(samples.join("threatexchange/page1.json")).unwrap()));
    let folder = folder("threatexchange", &server.url(), "role = 'watch'\nall_categories = true\n");
    let report = sync(&folder).json();
    check(&folder, &report, &all["threatexchange/"]);
    assert_eq!(report["unsupported"], all["threatexchange/"]["unsupported"]);
    let asked = server.asked();
    assert_eq!((asked[0].path(), asked[0].parameter("start_time")), ("/threat_updates", None));
    assert!(!asked[0].target.contains("0815"), "the token is in a header only");
    sync(&folder).json();
    assert_eq!(server.asked()[1].parameter("start_time"), Some("1700000036"));
}

// How a service may fail.

#[test]
fn credentials_are_told_nowhere() {
    // The server repeats all that it was shown, and what it would expect.
    let server = Server::start(|request| {
        let shown = request.header("authorization").unwrap_or_default().to_owned();
        Reply::status(401, format!("bad login {shown}; expected lab:{PASSWORD} or {PASSWORD}"))
    });
    let folder = folder("ncmec", &server.url(), ILLEGAL);
    let shown = |ended: &Ended| format!("{}{}", ended.stdout, ended.stderr);
    let ended = sync(&folder);
    let report = failed(&ended);
    assert!(report["fault"].as_str().unwrap().contains("answers 401; check the feed's user and password"));
    assert!(report["fault"].as_str().unwrap().contains("bad login Basic [secret]; expected"), "{report}");
    let text = shown(&folder.run(&["sync", "feed", "--config", "hashward.toml", "--patience-ms", "1"]));
    let base64 = "bGFiOmNvcnJlY3QgaG9yc2UvYmF0dGVyeStzdGFwbGU=";
    assert_eq!(server.asked()[0].header("authorization"), Some(&*format!("Basic {base64}")));
    for text in [shown(&ended), text] {
        assert!(!text.contains(PASSWORD) && !text.contains(base64) && !text.contains("horse"), "{text}");
    }
    assert_eq!(server.asked().len(), 2, "a refusal is not asked again");
}

#[test]
fn a_page_that_repeats_a_token_is_kept_without_it() {
    let server = Server::start(|_| {
        Reply::ok(format!("{{\"data\": [{{\"type\": \"{TOKEN}\", \"indicator\": 1}}, {{\"type\": {TOKEN}}}"))
    });
    let folder = folder("threatexchange", &server.url(), "role = 'watch'\nall_categories = true\n");
    let ended = sync(&folder);
    let report = failed(&ended);
    let kept = std::fs::read_to_string(folder.path().join(report["kept_page"].as_str().unwrap())).unwrap();
    assert_eq!(kept, "{\"data\": [{\"type\": \"[secret]\", \"indicator\": 1}, {\"type\": [secret]}");
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains("0815") && !text.contains("4711"), "{text}");
    }
}

#[test]
fn a_service_in_trouble_is_asked_again() {
    let good = page(&[image(1, 1, 0)], None);
    let size = good.len();
    let server = Server::start(move |request| match request.number {
        0 => Reply::status(429, "slow down").with("Retry-After", "0"),
        1 => Reply::status(503, "out for lunch"),
        2 => Reply::ok(good.clone()).cut_after(size / 2),
        3 => Reply::ok(good.clone()).cut_after(0),
        _ => Reply::ok(good.clone()),
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let report = sync_until(&folder, FEBRUARY).json();
    assert_eq!((&report["requests"], &report["retries"], &report["added"]), (&5.into(), &4.into(), &1.into()));
    assert_eq!(known(&folder, 3), [1]);
}

#[test]
fn patience_has_an_end() {
    type Case = (&'static str, fn(&Request) -> Reply, usize);
    let cases: [Case; 4] = [
        ("answers 500: `broken`", |_| Reply::status(500, "broken"), 6),
        // A server that asks for longer than anyone would wait is believed, and left alone.
        ("answers 429; it asks to be left alone", |_| Reply::status(429, "").with("Retry-After", "86400"), 1),
        ("broke off after 3 bytes", |_| Reply::ok("<?xml").cut_after(3), 6),
        ("broke off after 3 bytes", |_| Reply::ok("<?xml").silent_after(3), 6),
    ];
    for (expected, reply, tries) in cases {
        let server = Server::start(reply);
        let folder = folder("ncmec", &server.url(), ILLEGAL);
        let report = failed(&folder.run(&[&SYNC[..7], &["5"]].concat()));
        assert!(report["fault"].as_str().unwrap().contains(expected), "{report}");
        assert_eq!(server.asked().len(), tries, "{expected}");
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..65 {
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    let server = Server::start(move |_| Reply::ok(packed.clone()).with("Content-Encoding", "gzip"));
    let folder = folder("ncmec", &server.url(), ILLEGAL);
    let report = failed(&sync(&folder));
    assert!(report["fault"].as_str().unwrap().contains("expected at most 67108864 bytes, found more"), "{report}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn compressed_pages_are_read() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(page(&[image(1, 1, 0)], None).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let server = Server::start(move |_| Reply::ok(packed.clone()).with("Content-Encoding", "gzip"));
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    sync_until(&folder, FEBRUARY).done();
    assert_eq!(known(&folder, 3), [1]);
}

#[test]
fn credentials_go_to_no_other_origin() {
    let other = Arc::new(Server::start(|_| Reply::ok(page(&[image(1, 1, 0)], None))));
    let elsewhere = other.url();
    let by_link = {
        let elsewhere = elsewhere.clone();
        Server::start(move |_| Reply::ok(page(&[image(2, 2, 0)], Some(&format!("{elsewhere}/v2/entries?start=2")))))
    };
    let by_redirect = {
        let elsewhere = elsewhere.clone();
        Server::start(move |_| Reply::status(302, "").with("Location", format!("{elsewhere}/v2/entries")))
    };
    for server in [by_link, by_redirect] {
        let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
        let report = failed(&sync_until(&folder, FEBRUARY));
        assert!(report["fault"].as_str().unwrap().contains("credentials go nowhere else"), "{report}");
    }
    assert!(other.asked().is_empty());
}

#[test]
fn redirects_within_the_origin_are_followed_but_not_for_ever() {
    let server = Server::start(|request| match request.path() {
        "/v2/entries" => Reply::status(307, "").with("Location", "/moved?x=1"),
        _ => Reply::ok(page(&[image(1, 1, 0)], None)),
    });
    let folder_of = |server: &Server| folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let folder = folder_of(&server);
    sync_until(&folder, FEBRUARY).done();
    assert_eq!(known(&folder, 3), [1]);
    let circle = Server::start(|_| Reply::status(301, "").with("Location", "/v2/entries"));
    let report = failed(&sync_until(&folder_of(&circle), FEBRUARY));
    assert!(report["fault"].as_str().unwrap().contains("found only redirects"), "{report}");
}

#[test]
fn pages_that_lead_in_a_circle_are_noticed() {
    let server = Server::start(|request| {
        let next = if request.parameter("start") == Some("2") { 1 } else { 2 };
        Reply::ok(page(&[image(next, next, 0)], Some(&format!("/v2/entries?start={next}"))))
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let report = failed(&sync_until(&folder, FEBRUARY));
    assert!(report["fault"].as_str().unwrap().contains("a page that was read already"), "{report}");
    assert_eq!((state(&folder).checkpoint, known(&folder, 4)), (None, vec![1, 2]));
}

// Bad records and bad pages.

#[test]
fn a_broken_page_ends_the_sync_and_the_next_one_mends_it() {
    let mended = Arc::new(Mutex::new(false));
    let is_mended = Arc::clone(&mended);
    let server = Server::start(move |request| match request.parameter("start") {
        None => Reply::ok(page(&[image(1, 1, 5), image(3, 3, 5)], Some("/v2/entries?start=2"))),
        Some("2") if *is_mended.lock().unwrap() => {
            Reply::ok(page(&[deleted(3, 9), image(2, 2, 5)], Some("/v2/entries?start=3")))
        }
        Some("2") => Reply::ok(page(&[deleted(3, 9), "<image><id>2</ident>".to_owned()], None)),
        _ => Reply::ok(page(&[image(4, 4, 5)], None)),
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let report = failed(&sync_until(&folder, FEBRUARY));
    assert!(report["fault"].as_str().unwrap().contains("page 2 of the window 2024-01-01T00:00:00Z to"), "{report}");
    assert_eq!((&report["windows"], &report["pages"]), (&0.into(), &2.into()));
    // What precedes was applied, the deletion on the broken page too.
    assert_eq!(known(&folder, 6), [1]);
    let told = state(&folder);
    assert_eq!((told.checkpoint, told.synced_at), (None, None));
    assert!(told.fault.unwrap().contains("page 2"));
    let kept = std::fs::read_to_string(folder.path().join(report["kept_page"].as_str().unwrap())).unwrap();
    assert!(kept.contains("<id>2</ident>"));

    *mended.lock().unwrap() = true;
    let report = sync_until(&folder, FEBRUARY).json();
    assert_eq!((&report["added"], &report["older"], &report["complete"]), (&2.into(), &1.into(), &true.into()));
    assert_eq!(known(&folder, 6), [1, 2, 4]);
    let told = state(&folder);
    assert_eq!((told.checkpoint.as_deref(), told.fault), (Some(FEBRUARY), None));
    assert!(told.synced_at.is_some());
}

#[test]
fn a_bad_record_is_a_fault_until_it_can_be_read() {
    let bad = "<image><member id='1'/><timestamp>2024-01-01T01:00:00Z</timestamp><fingerprints/></image>".to_owned();
    let broken = Arc::new(Mutex::new(true));
    let is_broken = Arc::clone(&broken);
    let server = Server::start(move |_| {
        let entries = if *is_broken.lock().unwrap() {
            vec![image(1, 1, 5), image_of(2, "<md5>xyz</md5>", 6), bad.clone(), image(3, 3, 5)]
        } else {
            vec![image(2, 2, 7)]
        };
        Reply::ok(page(&entries, None))
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let report = sync_until(&folder, FEBRUARY).json();
    assert_eq!(report["rejected_total"], 2);
    assert_eq!(report["rejected"][0]["source_id"], "1/2");
    assert_eq!(
        (&report["rejected"][0]["reason"], &report["rejected"][1]["reason"]),
        (&"wrong-length".into(), &"missing-id".into())
    );
    assert_eq!(known(&folder, 6), [1, 3]);
    let place = "window 2024-01-01T00:00:00Z to 2024-02-01T00:00:00Z, page 1, record 3";
    assert_eq!(faults(&folder), ["1/2", place]);
    *broken.lock().unwrap() = false;
    sync_until(&folder, "2024-02-02T00:00:00Z").done();
    assert_eq!((faults(&folder), known(&folder, 6)), (vec![place.to_owned()], vec![1, 2, 3]));
}

#[test]
fn an_entry_that_is_gone_is_no_fault_any_more_whatever_else_a_page_holds() {
    let later = Arc::new(Mutex::new(false));
    let is_later = Arc::clone(&later);
    let server = Server::start(move |request| {
        if request.path() == "/v2/linked" {
            return Reply::ok(md5(4).to_hex());
        }
        let linked = image_of(4, "<md5 href='/v2/linked'/>", 7);
        let entries =
            if *is_later.lock().unwrap() { vec![deleted(2, 7), linked] } else { vec![image_of(2, "<md5>x</md5>", 6)] };
        Reply::ok(page(&entries, None))
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    sync_until(&folder, FEBRUARY).done();
    assert_eq!(faults(&folder), ["1/2"]);
    *later.lock().unwrap() = true;
    sync_until(&folder, "2024-02-02T00:00:00Z").done();
    assert_eq!((faults(&folder), known(&folder, 6)), (Vec::new(), vec![4]));
}

#[test]
fn what_the_daemon_logs_of_a_sync_holds_no_hash() {
    let value = md5(1).to_hex();
    let record = format!("{{\"signalType\": \"VideoMD5\", \"hashValue\": \"{value}\", \"lastModtimestamp\": 1}}");
    let server =
        Server::start(move |_| Reply::ok(format!("{{\"hashRecords\": [{record}], \"hasMoreRecords\": false}}")));
    let folder = folder("stopncii", &server.url(), ILLEGAL);
    let text = folder.run(&["sync", "feed", "--config", "hashward.toml"]).done();
    assert!(text.contains("page 1, record 1: bad-status: expected"), "{text}");
    assert!(!text.contains(&md5(1).to_hex()), "{text}");
    assert_eq!(sync(&folder).json()["rejected"][0]["source_id"], format!("VideoMD5:{}", md5(1).to_hex()));
}

#[test]
fn fingerprints_at_links_are_fetched() {
    let link = |name: &str| format!("<md5 rel='self' href='/v2/entries/1/{name}/MD5'/>");
    let server = Server::start(move |request| match request.path() {
        "/npo/v2/entries" => Reply::ok(page(
            &[
                image_of(1, &link("text"), 1),
                image_of(2, &link("xml"), 1),
                image_of(3, &format!("{}<sha1>{}</sha1>", link("none"), "ab".repeat(20)), 1),
                image_of(4, "<tmk-pdqf rel='self' href='/v2/entries/1/video/TMK'/>", 1),
                deleted(5, 1),
                image_of(6, &format!("{}<md5>{}</md5>", link("broken"), md5(6).to_hex()), 1),
                image_of(7, "<md5 rel='self' href='https://127.0.0.1:1/v2'/>", 1),
            ],
            None,
        )),
        "/npo/v2/entries/1/text/MD5" => Reply::ok(md5(1).to_hex()),
        "/npo/v2/entries/1/xml/MD5" => Reply::ok(format!("<?xml version='1.0'?><md5>{}</md5>", md5(2).to_hex())),
        "/npo/v2/entries/1/broken/MD5" => Reply::status(500, "broken"),
        _ => Reply::status(404, "no such thing"),
    });
    let folder = folder("ncmec", &format!("{}/npo", server.url()), &format!("{ILLEGAL}{JANUARY}"));
    let report = sync_until(&folder, FEBRUARY).json();
    assert_eq!(known(&folder, 8), [1, 2, 6]);
    let sha1 = Fingerprint::new(Kind::Sha1, &[0xab; 20]).unwrap();
    assert_eq!(ask(&folder.snapshot(), &sha1).0, Verdict::Known, "what can be had is not missed");
    assert_eq!(
        (&report["rejected_total"], faults(&folder)),
        (&3.into(), ["1/3", "1/6", "1/7"].map(str::to_owned).to_vec())
    );
    assert_eq!(report["unsupported"], serde_json::json!({"tmk-pdqf": 1}));
    assert!(server.asked().iter().all(|request| !request.path().contains("video")), "unknown kinds are not fetched");
}

#[test]
fn an_illegal_feed_needs_a_word_on_its_categories() {
    let server = pages(vec![vec![image(1, 1, 1), image_of(2, &format!("<md5>{}</md5>", md5(2).to_hex()), 1)]]);
    let folder_with = |more: &str| folder("ncmec", &server.url(), &format!("{more}{JANUARY}"));
    let none = folder_with("");
    assert!(
        failed(&sync_until(&none, FEBRUARY))["fault"]
            .as_str()
            .unwrap()
            .contains("feed is a new list: say in the config")
    );
    sync(&folder_with("role = 'illegal'\n")).refused(1, &["expected roles of categories, or all_categories = true"]);
    let named = folder_with("role = 'illegal'\nroles = ['ncmec:B1=illegal']\n");
    let report = sync_until(&named, FEBRUARY).json();
    assert_eq!(report["categories"], serde_json::json!({"ncmec:A1": {"count": 2, "role": "watch"}}));
    assert_eq!(known(&named, 4), Vec::<u32>::new());
    // What the config says goes before what the list has.
    let text = std::fs::read_to_string(named.path().join("hashward.toml")).unwrap().replace("B1", "A1");
    named.write("hashward.toml", text);
    sync_until(&named, "2024-02-02T00:00:00Z").done();
    assert_eq!(known(&named, 4), [1, 2]);
}

// Beside a daemon.

#[test]
fn a_daemon_answers_from_each_page_and_knows_no_credentials() {
    let (asked, was_asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::start(move |request| match request.parameter("start") {
        None => Reply::ok(page(&[image(1, 1, 1), image(2, 2, 1)], Some("/v2/entries?start=1"))),
        Some("1") => Reply::ok(page(&[deleted(1, 2), image(3, 3, 2)], Some("/v2/entries?start=2"))),
        _ => {
            asked.lock().unwrap().send(()).unwrap();
            Reply::status(500, format!("expected {PASSWORD}")).with("Retry-After", "86400")
        }
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let daemon = Daemon::start(&folder);
    let ended = sync_until(&folder, FEBRUARY);
    was_asked.recv_timeout(PATIENCE).expect("it asks for the third page");
    assert!(failed(&ended)["fault"].as_str().unwrap().contains("expected [secret]"));
    let (known, unknown) = (Verdict::Known, Verdict::Unknown);
    assert_eq!(daemon.verdicts(0..5), [unknown, unknown, known, known, unknown]);
    let inspected = folder.run(&["inspect", "feed"]).done();
    let log = std::fs::read_to_string(folder.path().join("daemon.log")).unwrap();
    assert!(log.contains("listening"), "{log}");
    for text in [inspected, log, ended.stdout, ended.stderr] {
        assert!(!text.contains("horse") && !text.contains("bGFiOmNvcnJlY3"), "{text}");
    }
}

// Interruptions.

#[test]
fn a_sync_that_is_killed_goes_on_without_loss() {
    let entries = || {
        vec![
            vec![image(1, 1, 1), image(2, 2, 1), image(3, 3, 1)],
            vec![deleted(2, 9), image(3, 4, 5)],
            // Older than what precedes.
            vec![image(2, 2, 2), image(3, 3, 2), image(5, 5, 2)],
            vec![deleted(1, 9)],
        ]
    };
    let applied: [&[u32]; 4] = [&[], &[1, 2, 3], &[1, 4], &[1, 4, 5]];
    for (stop, expected) in applied.into_iter().enumerate() {
        let (asked, was_asked) = mpsc::channel();
        let asked = Mutex::new(asked);
        let all = entries();
        // The page at which it is killed never comes.
        let server = Server::start(move |request| {
            let at: usize = request.parameter("start").map_or(0, |start| start.parse().unwrap());
            let next = (at + 1 < all.len()).then(|| format!("/v2/entries?start={}", at + 1));
            let reply = Reply::ok(page(&all[at], next.as_deref()));
            let is_first_time = at == stop && request.number == stop;
            if is_first_time {
                asked.lock().unwrap().send(()).unwrap();
            }
            if is_first_time { reply.silent_after(0) } else { reply }
        });
        let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
        let mut process = Process::new(HASHWARD_INDEX)
            .args(["sync", "feed", "--config", "hashward.toml", "--until", FEBRUARY])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        was_asked.recv_timeout(PATIENCE).expect("it asks for the page");
        process.kill().unwrap();
        process.wait().unwrap();
        if stop > 0 {
            assert_eq!(known(&folder, 8), expected, "killed at page {stop}");
            assert_eq!(state(&folder).checkpoint, None);
        }
        let report = sync_until(&folder, FEBRUARY).json();
        assert_eq!(known(&folder, 8), [4, 5], "killed at page {stop}");
        assert_eq!((ids(&folder), &report["windows"]), (vec!["1/3".to_owned(), "1/5".to_owned()], &1.into()));
    }
}

#[test]
fn a_feed_is_read_by_one_process_at_a_time() {
    let (asked, was_asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::start(move |_| {
        asked.lock().unwrap().send(()).unwrap();
        Reply::ok(page(&[], None)).silent_after(0)
    });
    let folder = folder("ncmec", &server.url(), &format!("{ILLEGAL}{JANUARY}"));
    let mut process = Process::new(HASHWARD_INDEX)
        .args(["sync", "feed", "--config", "hashward.toml"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    was_asked.recv_timeout(PATIENCE).expect("it asks");
    sync(&folder).refused(1, &["another sync of feed runs"]);
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn several_windows_lead_up_to_now() {
    let server = Server::start(|request| {
        let from = request.parameter("from").unwrap().to_owned();
        let day: u32 = from[8..10].parse().unwrap();
        Reply::ok(page(&[image(day, day, 0)], None))
    });
    let more = format!("{ILLEGAL}start = 2024-01-01T00:00:00Z\nwindow_s = 86400\n");
    let folder = folder("ncmec", &server.url(), &more);
    let report = sync_until(&folder, "2024-01-03T12:00:00Z").json();
    assert_eq!((&report["windows"], &report["checkpoint"]), (&3.into(), &"2024-01-03T12:00:00Z".into()));
    assert_eq!(known(&folder, 6), [1, 2, 3]);
    let to: Vec<_> = server.asked().iter().map(|request| request.parameter("to").unwrap().to_owned()).collect();
    assert_eq!(to, ["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-03T12:00:00Z"]);
    sync_until(&folder, "2024-01-04T00:00:00Z").done();
    assert_eq!(server.asked()[3].parameter("from"), Some("2024-01-03T12:00:00Z"));
}

// Services that forget.

/// The number of a file whose hash the service writes wrong.
const UNREADABLE: u32 = 77;

fn update(file: u32, at: u32) -> String {
    let value = if file == UNREADABLE { "?".to_owned() } else { md5(file).to_hex() };
    format!(
        "{{\"indicator\": \"{value}\", \"type\": \"HASH_MD5\", \"last_updated\": {at}, \
         \"descriptors\": {{\"data\": [{{\"status\": \"MALICIOUS\"}}]}}}}"
    )
}

#[test]
fn a_feed_that_was_left_alone_too_long_starts_again() {
    let data = Arc::new(Mutex::new(vec![1, 2, 3, 4]));
    let now = Arc::clone(&data);
    let server = Server::start(move |_| {
        let updates: Vec<_> = now.lock().unwrap().iter().map(|file| update(*file, 1_700_000_000 + file)).collect();
        Reply::ok(format!("{{\"data\": [{}]}}", updates.join(",")))
    });
    let folder = folder("threatexchange", &server.url(), ILLEGAL);
    sync(&folder).done();
    // One's own entry in the same list is not the feed's to remove.
    folder.run(&["add", "feed", &format!("md5:{}", md5(9).to_hex())]).done();
    *data.lock().unwrap() = vec![1, 2, 3];
    sync(&folder).done();
    assert_eq!(known(&folder, 10), [1, 2, 3, 4, 9], "deletions are told, so what is not named stays");

    let later = ["2099-01-01T00:00:00Z", "2099-12-01T00:00:00Z"];
    let report = sync_until(&folder, later[0]).json();
    assert_eq!((&report["started_again"], &report["deleted"]), (&true.into(), &1.into()));
    assert_eq!(server.asked()[2].parameter("start_time"), None);
    assert_eq!(known(&folder, 10), [1, 2, 3, 9]);

    // Whose key cannot be read may be any entry: none is gone then.
    *data.lock().unwrap() = vec![1, 2, UNREADABLE];
    let report = sync_until(&folder, "2099-06-01T00:00:00Z").json();
    assert_eq!(
        (&report["started_again"], &report["deleted"], &report["rejected_total"]),
        (&true.into(), &0.into(), &1.into())
    );
    assert_eq!(known(&folder, 10), [1, 2, 3, 9]);

    // A service that suddenly names next to nothing is not believed.
    *data.lock().unwrap() = vec![1];
    let report = failed(&sync_until(&folder, later[1]));
    assert!(report["fault"].as_str().unwrap().contains("of 3 entries 2 are not named"), "{report}");
    assert_eq!(known(&folder, 10), [1, 2, 3, 9]);
}

#[test]
fn starting_again_may_be_interrupted() {
    let broken = Arc::new(Mutex::new(false));
    let is_broken = Arc::clone(&broken);
    let server = Server::start(move |request| {
        let again = request.number > 0;
        let page =
            |updates: &[String], next: &str| format!("{{\"data\": [{}], \"paging\": {{{next}}}}}", updates.join(","));
        match request.parameter("after") {
            None if again => Reply::ok(page(&[update(1, 1), update(2, 2)], "\"next\": \"/threat_updates?after=x\"")),
            None => Reply::ok(page(&[update(1, 1), update(2, 2), update(3, 3), update(4, 4)], "")),
            _ if *is_broken.lock().unwrap() => Reply::ok("{\"data\": [}"),
            _ => Reply::ok(page(&[update(3, 3)], "")),
        }
    });
    let folder = folder("threatexchange", &server.url(), ILLEGAL);
    sync(&folder).done();
    *broken.lock().unwrap() = true;
    failed(&sync_until(&folder, "2099-01-01T00:00:00Z"));
    assert_eq!(known(&folder, 6), [1, 2, 3, 4], "nothing is gone before all is read");
    *broken.lock().unwrap() = false;
    let report = sync_until(&folder, "2099-01-01T00:00:00Z").json();
    assert_eq!((&report["started_again"], known(&folder, 6)), (&true.into(), vec![1, 2, 3]));
}

// Files.

#[test]
fn a_file_is_fetched_and_imported_when_it_changes() {
    let list = Arc::new(Mutex::new((1, hex_list(1..4))));
    let now = Arc::clone(&list);
    let server = Server::start(move |request| {
        let (version, text) = now.lock().unwrap().clone();
        let etag = format!("\"{version}\"");
        match request.header("if-none-match") {
            Some(known) if known == etag => Reply::status(304, ""),
            _ => Reply::ok(text).with("ETag", etag).with("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        }
    });
    let more = "role = 'illegal'\nall_categories = true\n";
    let folder = folder("files", &format!("{}/lists/own.md5?x=1", server.url()), more);
    let report = sync(&folder).json();
    assert_eq!((&report["import"]["version"], &report["import"]["records"]), (&1.into(), &3.into()));
    assert_eq!(known(&folder, 8), [1, 2, 3]);
    let report = sync(&folder).json();
    assert_eq!((&report["complete"], report.get("import")), (&true.into(), None));
    assert_eq!(server.asked()[1].header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    *list.lock().unwrap() = (2, hex_list(3..6));
    sync(&folder).done();
    assert_eq!(known(&folder, 8), [3, 4, 5]);
    // A file that is no list leaves things as they are, and is fetched again next time.
    *list.lock().unwrap() = (3, "nothing of that kind\n".to_owned());
    failed(&sync(&folder));
    assert_eq!(known(&folder, 8), [3, 4, 5]);
    assert!(state(&folder).fault.is_some());
    *list.lock().unwrap() = (3, hex_list(6..7));
    sync(&folder).done();
    assert_eq!((known(&folder, 8), state(&folder).fault), (vec![6], None));
    assert!(!folder.data().join("feeds/feed/fetched").exists(), "nothing is left behind");
    assert_eq!(folder.leftovers(), 0);
}

#[test]
fn a_folder_of_files_is_imported_when_it_changes() {
    let folder = folder("files", "lists", "role = 'illegal'\nall_categories = true\n");
    failed(&sync(&folder));
    std::fs::create_dir(folder.path().join("lists")).unwrap();
    assert!(failed(&sync(&folder))["fault"].as_str().unwrap().contains("expected list files, found none"));
    folder.write("lists/a.md5", hex_list(1..3));
    folder.write("lists/.hidden.md5", hex_list(6..7));
    folder.write("lists/b.md5", hex_list(3..4));
    sync(&folder).done();
    assert_eq!(known(&folder, 8), [1, 2, 3]);
    assert_eq!(sync(&folder).json().get("import"), None);
    folder.write("lists/b.md5", hex_list(4..6));
    sync(&folder).done();
    assert_eq!(known(&folder, 8), [1, 2, 4, 5]);

    // More files than are read would be some that are not matched.
    let many = folder.path().join("many");
    std::fs::create_dir(&many).unwrap();
    (0..10_001).for_each(|number| drop(std::fs::File::create(many.join(number.to_string())).unwrap()));
    std::fs::rename(folder.path().join("lists"), folder.path().join("aside")).unwrap();
    std::fs::rename(&many, folder.path().join("lists")).unwrap();
    assert!(failed(&sync(&folder))["fault"].as_str().unwrap().contains("at most 10000 list files, found more"));
    std::fs::rename(folder.path().join("lists"), &many).unwrap();
    std::fs::rename(folder.path().join("aside"), folder.path().join("lists")).unwrap();
    sync(&folder).done();
    assert_eq!(known(&folder, 8), [1, 2, 4, 5]);

    // When it was synced stands in the table, in that for programs always; so does that it fails since.
    let shown = |expected: &str| {
        let text = folder.run(&["lists"]).done();
        assert!(text.lines().next().unwrap().trim_end().ends_with("  synced"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("feed ") && line.trim_end().ends_with(expected)), "{text}");
    };
    shown(" ago");
    std::fs::remove_dir_all(folder.path().join("lists")).unwrap();
    failed(&sync(&folder));
    shown(" ago (fails)");
    let text = folder.run(&["inspect", "feed"]).done();
    assert!(text.contains("  synced  ") && text.contains("  feed fails  "), "{text}");
    let tsv = folder.run(&["lists", "--format", "tsv"]).done();
    let row = tsv.lines().find(|line| line.starts_with("feed\t")).unwrap();
    let at = row.rsplit('\t').next().unwrap();
    assert!(tsv.lines().next().unwrap().ends_with("\tsynced") && at.starts_with("20") && at.len() == 19, "{tsv}");
}

#[test]
fn mistakes_in_words_are_refused() {
    let folder = folder("ncmec", "https://127.0.0.1:1", ILLEGAL);
    folder.run(&["sync", "other", "--config", "hashward.toml"]).refused(2, &["expected one of the feeds of", "(feed)"]);
    folder.run(&["sync", "feed", "--config", "none.toml"]).refused(1, &["cannot read the config none.toml"]);
    folder.run(&["sync", "feed", "--config", "hashward.toml", "--until", "now"]).refused(2, &["2024-01-31T00:00:00Z"]);
    std::fs::remove_file(folder.path().join("password")).unwrap();
    sync(&folder).refused(1, &["cannot read the secret from", "password"]);
}
