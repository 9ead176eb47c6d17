//! What a real daemon records, and what it does when it cannot.

mod daemon_support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use daemon_support::{Daemon, write_config};
use hashward::access::{Token, TokenHash};
use hashward::audit::NAME;
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::journal::verify;
use hashward::protocol::{Address, Client, ClientError, ContentOptions, ErrorCode};
use serde_json::{Value, json};

const LISTEN: &str = "[[listen]]\naddress = 'unix:data/hashward.sock'\n";

fn trail_folder(daemon: &Daemon) -> PathBuf {
    daemon.folder.path().join("data/audit")
}

fn audit(daemon: &Daemon, arguments: &[&str]) -> (bool, String) {
    let data = daemon.folder.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashward"));
    let output = command.arg("audit").args(arguments).arg("--data").arg(data).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The records of the trail, as `show` prints them.
fn records(daemon: &Daemon) -> Vec<Value> {
    let (done, text) = audit(daemon, &["show"]);
    assert!(done, "{text}");
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].clone()).collect()
}

fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}

#[test]
fn the_trail_says_who_asked_what_matched_and_who_changed_what() {
    let token = Token::generate().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let daemon = Daemon::start(&format!(
        "{LISTEN}[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\n[[principal]]\nname = 'scanner'\n\
         token = '{}'\nrights = ['lookup']\n",
        token.hash()
    ));
    let (known, unknown) = (hash_bytes(Kind::Md5, b"known"), hash_bytes(Kind::Md5, b"nobody knows"));
    daemon.add("own", [known.clone()]);
    let mut client = Client::connect_with(&Address::Tcp(([127, 0, 0, 1], port).into()), Some(&token)).unwrap();
    let rows = [known.value(), unknown.value(), known.value()].concat();
    let generation = client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap().generation;
    assert!(client.content(&ContentOptions::default(), &b"text"[..]).is_err());
    daemon.client().content(&ContentOptions::default(), &b"known"[..]).unwrap();

    let records = records(&daemon);
    assert_eq!(records[0]["event"], "started");
    let ordered = of(&records, "ordered");
    assert_eq!(
        (&ordered[1]["command"], &ordered[1]["list"], &ordered[1]["by"]),
        (&json!("add"), &json!("own"), &json!("daemon"))
    );
    assert_eq!(of(&records, "carried_out").len(), 2);
    let asked = of(&records, "asked");
    let lookup = asked.iter().find(|asked| asked["what"] == "lookup").unwrap();
    assert_eq!(
        (&lookup["by"], &lookup["rows"], &lookup["generation"]),
        (&json!("scanner"), &json!(3), &json!(generation))
    );
    assert_eq!((&lookup["verdicts"]["known"], &lookup["verdicts"]["unknown"]), (&json!(2), &json!(1)));
    let hex = known.to_hex();
    assert_eq!(lookup["matched"][0]["rows"], json!([hex, hex]));
    assert_eq!(lookup["matched"][0]["lists"], json!([{"list": "own", "role": "illegal", "kind": "md5"}]));
    assert!(asked.iter().any(|asked| asked["what"] == "content" && asked["verdicts"]["known"] == 1));
    assert!(of(&records, "refused").iter().any(|refused| refused["by"] == "scanner"));

    let text = fs::read_dir(trail_folder(&daemon)).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let text = String::from_utf8_lossy(&text.collect::<Vec<_>>().concat()).into_owned();
    assert!(!text.contains(&unknown.to_hex()), "hashes that nobody knows are not kept");
    assert!(!text.contains(token.reveal()) && !text.contains(&token.hash().to_string()));

    // Reading it is recorded, too.
    let again = self::records(&daemon);
    assert_eq!(of(&again, "read").len(), 1);
}

#[test]
fn the_trail_says_which_config_was_read_and_that_the_daemon_stopped() {
    let mut daemon = Daemon::start(LISTEN);
    let at_start = of(&records(&daemon), "started")[0].clone();
    assert_eq!(at_start["records"], json!({"questions": true, "matches": true}));
    let quiet = "[limits]\nconnections = 7\n[audit]\nfile_bytes = 1\nquestions = false\n[events]\nenabled = false\n";
    write_config(daemon.folder.path(), &format!("{LISTEN}{quiet}"));
    daemon.signal(rustix::process::Signal::HUP);
    let read = std::iter::repeat_with(|| of(&records(&daemon), "config_read").first().map(|read| Value::clone(read)))
        .take(1_000)
        .find_map(|read| read);
    let read = read.expect("the config is read again");
    assert!(read["config"].is_string() && read["config"] != at_start["config"]);
    assert_eq!(read["records"], json!({"questions": false, "matches": false}), "turning it off is seen");
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
    assert_eq!(records(&daemon).last().unwrap()["event"], "stopped");
}

#[test]
fn the_trail_says_who_may_do_what_and_what_a_reload_changes() {
    let (token, other) = (Token::generate().unwrap().hash(), Token::generate().unwrap().hash());
    let scanner =
        |token| format!("[[principal]]\nname = 'scanner'\ntoken = '{token}'\nrights = ['lookup', 'content']\n");
    let lab = "[[principal]]\nname = 'lab'\ngid = 70\nrights = ['lookup']\nbudget = { near_per_day = 5 }\n";
    let mut daemon = Daemon::start(&format!("{LISTEN}{}{lab}", scanner(token)));
    let (known_by, renewed) = (|hash: TokenHash| json!(format!("token {}", hash.beginning())), other);
    let at_start = records(&daemon);
    let allowed = of(&at_start, "allowed");
    assert_eq!(allowed.len(), 3);
    assert_eq!((&allowed[0]["protocol"], &allowed[0]["rights"]), (&json!("frame"), &json!(["lookup"])));
    assert_eq!((&allowed[1]["principal"], &allowed[1]["known_by"]), (&json!("scanner"), &known_by(token)));
    assert_eq!((&allowed[2]["known_by"], &allowed[2]["budget"]["near_per_day"]), (&json!("gid 70"), &json!(5)));

    write_config(daemon.folder.path(), &format!("{LISTEN}{}", scanner(renewed)));
    daemon.signal(rustix::process::Signal::HUP);
    let later = std::iter::repeat_with(|| records(&daemon)).take(1_000).find(|now| !of(now, "config_read").is_empty());
    let later = later.expect("the config is read again");
    let revoked: Vec<_> = of(&later, "revoked").iter().map(|gone| gone["principal"].clone()).collect();
    assert_eq!(revoked, [json!("scanner"), json!("lab")]);
    let allowed = of(&later, "allowed");
    assert_eq!((allowed.len(), &allowed[3]["known_by"]), (4, &known_by(renewed)));

    // A config that cannot be put in force leaves the trail saying what is.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    write_config(daemon.folder.path(), &format!("{LISTEN}[[listen]]\naddress = 'tcp:{address}'\n{}", scanner(renewed)));
    daemon.signal(rustix::process::Signal::HUP);
    let reads = |records: &[Value]| of(records, "config_read").iter().map(|r| r["config"].clone()).collect::<Vec<_>>();
    let last = std::iter::repeat_with(|| reads(&records(&daemon))).take(1_000).find(|reads| reads.len() == 3);
    let last = last.expect("the config is taken back");
    assert_eq!(last[0], last[2]);
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
}

#[test]
fn questions_are_not_recorded_where_the_config_says_so_and_changes_are() {
    let daemon = Daemon::start(&format!("{LISTEN}[audit]\nquestions = false\n"));
    daemon.check_answers();
    daemon.client().content(&ContentOptions::default(), &b"text"[..]).unwrap();
    let records = records(&daemon);
    assert_eq!((of(&records, "asked").len(), of(&records, "ordered").len()), (0, 1), "{records:?}");
}

#[test]
fn what_was_answered_survives_a_kill_and_a_checkpoint_tells_a_cut() {
    let mut daemon = Daemon::start(LISTEN);
    for _ in 0..20 {
        daemon.client().lookup(&[Kind::Md5], &Radii::none(), &[7; 16]).unwrap();
    }
    let (done, checkpoint) = audit(&daemon, &["checkpoint"]);
    assert!(done, "{checkpoint}");
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    let kept = daemon.folder.path().join("checkpoint.json");
    fs::write(&kept, &checkpoint).unwrap();
    assert_eq!(of(&records(&daemon), "asked").len(), 20);
    let kept = kept.to_str().unwrap();
    let empty = daemon.folder.path().join("empty.json");
    fs::write(&empty, "\n").unwrap();
    let (whole, said) = audit(&daemon, &["verify", "--checkpoint", empty.to_str().unwrap()]);
    assert!(!whole && said.contains("expected checkpoints, found none"), "{said}");
    let (whole, said) = audit(&daemon, &["verify", "--checkpoint", kept]);
    assert!(whole && said.contains("1 checkpoints agree"), "{said}");

    let mut files = fs::read_dir(trail_folder(&daemon)).unwrap().map(|file| file.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|end| end == "ndjson")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() - 1]).unwrap();
    let (whole, said) = audit(&daemon, &["verify"]);
    assert!(whole && said.contains("a record that is being written, or was cut short"), "{said}");
    let cut: String = text.lines().take(10).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &cut).unwrap();
    assert!(verify(&trail_folder(&daemon), NAME, &[]).is_ok(), "a cut end alone leaves a whole trail");
    let (whole, said) = audit(&daemon, &["verify", "--checkpoint", kept]);
    assert!(!whole && said.contains("record 10"), "{said}");
    let edited = text.replacen("\"rows\":1", "\"rows\":2", 1);
    fs::write(&file, edited).unwrap();
    let (whole, said) = audit(&daemon, &["verify"]);
    assert!(!whole && said.contains("record 5 is not what was written"), "{said}");
    let (key_is_wrong, said) = audit(&daemon, &["verify", "--checkpoint", kept, "--key", "00"]);
    assert!(!key_is_wrong && said.contains("expected the key 00"), "{said}");
}

#[test]
fn what_cannot_be_recorded_is_not_answered_unless_the_config_says_so() {
    for (setting, is_answered) in [("refuse", false), ("answer", true)] {
        // Every record begins a file, so that a folder which is gone is noticed at once.
        let audit = format!("[audit]\nfile_bytes = 1\nwhen_unwritable = '{setting}'\n");
        let daemon = Daemon::start(&format!("{LISTEN}{audit}"));
        daemon.add("own", [hash_bytes(Kind::Md5, b"known")]);
        let (folder, away) = (trail_folder(&daemon), daemon.folder.path().join("away"));
        let mut client = daemon.client();
        let mut ask = || client.lookup(&[Kind::Md5], &Radii::none(), &[7; 16]).map(|answers| answers.miss.name());
        assert_eq!(ask().unwrap(), "unknown");
        fs::rename(&folder, &away).unwrap();
        match ask() {
            Ok(verdict) => assert_eq!((verdict, is_answered), ("unknown", true)),
            Err(ClientError::Failed(failure)) => {
                assert_eq!((failure.code, is_answered), (ErrorCode::Internal, false));
                assert!(failure.text.contains("the audit trail cannot be written"), "{failure}");
            }
            Err(other) => panic!("{other}"),
        }
        // Changes are refused in any case, and not made.
        let withdraw = json!({"command": "remove", "list": "own"}).to_string();
        assert!(daemon.client().command_json(withdraw.as_bytes()).is_err());
        fs::rename(&away, &folder).unwrap();
        assert_eq!(ask().unwrap(), "unknown");
        assert!(daemon.client().command_json(withdraw.as_bytes()).is_ok());
        let status: Value = serde_json::from_slice(&daemon.client().status().unwrap()).unwrap();
        assert_eq!(status["audit"]["missing"], json!(u8::from(is_answered)));
        let records = records(&daemon);
        let missing: Vec<_> = of(&records, "missing").iter().map(|missing| missing["questions"].clone()).collect();
        assert_eq!(missing, vec![json!(1); is_answered.into()], "the trail itself says that it has a gap");
    }
}
