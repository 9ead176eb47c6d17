//! The log: neither a hash nor a credential in it, however much is logged; for people, for journald and for programs.

mod daemon_support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use daemon_support::{frame, known, until, write_config};
use hashward::access::Token;
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::list::{Entry, Role};
use hashward::protocol::{Address, Client, Hello, Op, PROTOCOL_VERSION, RequestId};
use hashward::store::Command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A daemon whose standard error goes to a file.
struct Logging {
    process: Child,
    log: std::path::PathBuf,
}

impl Logging {
    fn start(folder: &Path, config: &str, set_up: impl FnOnce(&mut Process)) -> Logging {
        write_config(folder, config);
        let log = folder.join("log");
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        command.arg("serve").arg("--config").arg(folder.join("hashward.toml")).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        set_up(&mut command);
        Logging { process: command.spawn().unwrap(), log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
        self.text()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request as it stands, and reads until the end.
fn http(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(daemon_support::PATIENCE)).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_hash_and_no_credential_is_logged_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let [good, narrow, nobodys] = [0; 3].map(|_| Token::generate().unwrap());
    let config = format!(
        "[[listen]]\naddress = 'unix:data/hashward.sock'\nrights = ['lookup', 'import', 'content', 'admin']\n\
         [[listen]]\naddress = 'unix:data/http.sock'\nprotocol = 'http'\nrights = ['lookup', 'content', 'admin']\n\
         [[principal]]\nname = 'good'\ntoken = '{}'\nrights = ['lookup', 'content', 'admin']\n\
         [[principal]]\nname = 'narrow'\ntoken = '{}'\nrights = ['detail']\nbudget = {{ questions_per_s = 1 }}\n\
         [[feed]]\nname = 'in'\nsource = 'files'\nurl = 'in'\nrole = 'illegal'\nall_categories = true\n\
         format = 'sum'\nkind = 'md5'\ninterval_s = 1\nstale_after_s = 60\n",
        good.hash(),
        narrow.hash()
    );
    fs::create_dir(folder.path().join("in")).unwrap();
    let of_feed = hash_bytes(Kind::Md5, b"of the feed").to_hex();
    // A record that cannot be read, beside one that can.
    fs::write(folder.path().join("in/list.md5"), format!("{of_feed}  a\n{}zz  b\n", &of_feed[..28])).unwrap();
    let daemon = Logging::start(folder.path(), &config, |command| {
        command.env("RUST_LOG", "trace");
    });
    let (socket, http_socket) = (folder.path().join("data/hashward.sock"), folder.path().join("data/http.sock"));
    let mut client = until(|| Client::connect(&Address::Unix(socket.clone())).ok());
    until(|| String::from_utf8_lossy(&client.status().ok()?).contains(r#""state":"ready""#).then_some(()));

    // Changes, and one that is refused.
    let command = |client: &mut Client, command: &Command| client.command_json(&serde_json::to_vec(command).unwrap());
    let entry = |number| Entry {
        source_id: Entry::hand_source_id(&known(number)),
        fingerprints: vec![known(number)],
        ..Entry::default()
    };
    let add = |list: &str, role| Command::Add { list: list.parse().unwrap(), role, entries: vec![entry(1), entry(2)] };
    command(&mut client, &add("own", Some(Role::Illegal))).unwrap();
    assert!(command(&mut client, &add("none", None)).is_err());
    assert!(client.command_json(format!("{{\"command\":\"{}\"}}", known(3).to_hex()).as_bytes()).is_err());
    // Questions: a hit and a miss.
    let rows: Vec<u8> = [known(1), known(9)].iter().flat_map(|row| row.value().to_vec()).collect();
    client.lookup(&[Kind::Md5], &Radii::none(), &rows).unwrap();
    // Tokens that nobody has, and frames that are none.
    for (op, payload) in [(Op::Lookup, &rows[..]), (Op::Command, known(4).to_hex().as_bytes())] {
        let mut raw = UnixStream::connect(&socket).unwrap();
        raw.set_read_timeout(Some(daemon_support::PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        let token = (op == Op::Lookup).then(|| nobodys.reveal().to_owned());
        let greeting = Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token };
        greeting.encode(&mut bytes, RequestId(1));
        bytes.extend(frame(op, 2, payload));
        bytes.extend(known(5).to_hex().as_bytes());
        let _ = raw.write_all(&bytes);
        let _ = raw.shutdown(std::net::Shutdown::Write);
        let _ = raw.read_to_end(&mut Vec::new());
    }
    let hex = |number| known(number).to_hex();
    let head = |token: &Token| format!("host: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n", token.reveal());
    for (request, status) in [
        (format!("GET /v1/lookup/md5/{} HTTP/1.1\r\n{}\r\n", hex(1), head(&good)), 200),
        (format!("GET /v1/lookup/md5/{} HTTP/1.1\r\n{}\r\n", hex(1), head(&nobodys)), 401),
        (format!("GET /v1/lookup/md5/{} HTTP/1.1\r\n{}\r\n", hex(1), head(&narrow)), 403),
        (format!("GET /v1/lookup/md5/{}0 HTTP/1.1\r\n{}\r\n", hex(6), head(&good)), 400),
        (format!("GET /v1/nothing/{} HTTP/1.1\r\n{}\r\n", hex(6), head(&good)), 404),
        (format!("{} rubbish\r\n\r\n", hex(6)), 400),
    ] {
        let answer = http(&http_socket, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    let document = format!("{{\"kinds\":[\"md5\"],\"rows\":[\"{}\",\"{}x\"]}}", hex(7), hex(8));
    let post = |document: &str| {
        let length = document.len();
        format!("POST /v1/lookup HTTP/1.1\r\n{}content-length: {length}\r\n\r\n{document}", head(&good))
    };
    assert!(http(&http_socket, &post(&document)).starts_with("HTTP/1.1 400"));
    let cut = post(&document);
    UnixStream::connect(&http_socket).unwrap().write_all(&cut.as_bytes()[..cut.len() - 20]).unwrap();
    // A config that has a token where its digest belongs.
    let wrong = config.replace(&good.hash().to_string(), nobodys.reveal());
    write_config(folder.path(), &wrong);
    kill_process(Pid::from_child(&daemon.process), Signal::HUP).unwrap();
    until(|| daemon.text().contains("the config stays as it was").then_some(()));
    // The feed was read, and what of it cannot be.
    until(|| daemon.text().contains("hashward::server::feeds").then_some(()));

    let text = daemon.end().to_lowercase();
    assert!(text.contains("trace") || text.contains("debug"), "much is logged");
    for token in [&good, &narrow, &nobodys] {
        assert!(!text.contains(&token.reveal().to_lowercase()), "a token is logged");
        assert!(!text.contains(&token.hash().to_string()), "a token's digest is logged");
    }
    // Of a hash not even a good part.
    let hashes = (1..10).map(|number| known(number).to_hex()).chain([of_feed]);
    for hash in hashes {
        assert!(!text.contains(&hash[..16]) && !text.contains(&hash[16..]), "{hash} is logged");
    }
}

#[test]
fn lines_are_json_objects_where_the_config_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[log]\nformat = 'json'\nfilter = 'info,hashward::server=error'\n";
    let daemon = Logging::start(folder.path(), config, |_| {});
    until(|| daemon.text().contains(r#""message":"ready""#).then_some(()));
    let text = daemon.end();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    let ready = lines.iter().find(|line| line["message"] == "ready").unwrap();
    assert_eq!((&ready["level"], &ready["target"]), (&"INFO".into(), &"hashward::cli::serve".into()));
    assert!(!text.contains("\"listening\""), "the filter holds");
}

#[test]
fn lines_for_the_journal_begin_with_their_level_and_have_no_time_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Logging::start(folder.path(), "", |command| {
        let log = fs::metadata(folder.path().join("log")).unwrap();
        use std::os::unix::fs::MetadataExt;
        command.env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
    });
    until(|| daemon.text().contains(": ready").then_some(()));
    let is_good = |line: &str| line.starts_with("<6> INFO hashward::") || line.starts_with("<4> WARN");
    assert!(daemon.text().lines().all(is_good), "{}", daemon.text());
    // Each mistake of a config that is refused, too.
    write_config(folder.path(), "[limits]\nconections = 1\n[log]\ncolour = 1\n");
    kill_process(Pid::from_child(&daemon.process), Signal::HUP).unwrap();
    until(|| (daemon.text().matches("the config stays as it was").count() == 2).then_some(()));
    let text = daemon.end();
    let refused =
        text.lines().filter(|line| line.starts_with("<3>ERROR hashward::") && line.contains("hashward.toml:"));
    assert_eq!(refused.count(), 2, "{text}");
    assert!(text.lines().all(|line| is_good(line) || line.starts_with("<3>ERROR")), "{text}");
}

#[test]
fn what_ends_a_start_is_logged_like_everything_else() {
    for (format, filter) in [("json", "info"), ("json", "off")] {
        let folder = tempfile::tempdir().unwrap();
        // No socket can be made where a file stands.
        let config = format!("[[listen]]\naddress = 'unix:log'\n[log]\nformat = '{format}'\nfilter = '{filter}'\n");
        let mut daemon = Logging::start(folder.path(), &config, |_| {});
        assert_eq!(daemon.process.wait().unwrap().code(), Some(2));
        let text = daemon.text();
        match filter {
            // Where nothing is logged it is said all the same.
            "off" => assert!(text.starts_with("hashward: ") && text.contains("found a file of another sort"), "{text}"),
            _ => {
                let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
                assert_eq!(last["level"], "ERROR");
                let message = last["message"].as_str().unwrap();
                assert!(message.contains("found a file of another sort"), "{message}");
            }
        }
    }
}

#[test]
fn a_filter_that_is_none_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "[log]\nfilter = 'hashward=loud'\n");
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.arg("serve").arg("--config").arg(folder.path().join("hashward.toml"));
    let output = command.env_remove("RUST_LOG").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("hashward.toml:3:1: log.filter: expected a level"), "{errors}");
}
