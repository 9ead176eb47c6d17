//! TLS at a real daemon: the same answers as elsewhere, to the same principals, and nothing in the clear.

mod daemon_support;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};
use std::thread;
use std::time::{Duration, Instant};

use daemon_support::tls::{Authority, write_key};
use daemon_support::ways::hello;
use daemon_support::{Daemon, KNOWN_COUNT, PATIENCE, check_answers, free_port, known, read_frame, until, write_config};
use hashward::access::{Rights, Token};
use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{
    Address, Client, ClientError, ContentOptions, ErrorCode, Failure, Hello, Op, PROTOCOL_VERSION, Reply, RequestId,
    Welcome,
};
use hashward::store::Command;
use rustix::process::Signal;

const TLS: &str = "tls = { certificate = 'chain.pem', key = 'key.pem' }\n";

struct Secured {
    daemon: Daemon,
    authority: Authority,
    /// The authority's own certificate.
    ca: PathBuf,
    config: String,
    frames: u16,
    http: u16,
    token: Token,
}

impl Secured {
    /// A daemon with both protocols over TLS, and a principal who may look up there.
    fn start(more: &str) -> Secured {
        let (authority, folder, token) = (Authority::new(), tempfile::tempdir().unwrap(), Token::generate().unwrap());
        authority.issue(folder.path());
        let ca = authority.write_own(folder.path());
        let (frames, http) = (free_port(), free_port());
        let config = format!(
            "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
             [[listen]]\naddress = 'tcp:127.0.0.1:{frames}'\n{TLS}\
             [[listen]]\naddress = 'tcp:127.0.0.1:{http}'\nprotocol = 'http'\n{TLS}\
             [[principal]]\nname = 'scanner'\ntoken = '{}'\nrights = ['lookup']\n{more}",
            token.hash()
        );
        let daemon = Daemon::start_in(folder, &config);
        daemon.add("known", (0..KNOWN_COUNT).map(known));
        Secured { daemon, authority, ca, config, frames, http, token }
    }

    fn connect(&self, host: &str, token: Option<&Token>) -> Result<Client, ClientError> {
        Client::connect_trusting(&Address::Tls(host.to_owned(), self.frames), token, Some(&self.ca))
    }

    fn client(&self) -> Client {
        self.connect("127.0.0.1", Some(&self.token)).unwrap()
    }

    fn get(&self, path: &str, token: Option<&Token>) -> String {
        get(self.authority.connect(self.http, &["http/1.1"]).unwrap(), path, token)
    }
}

fn get(mut stream: impl Read + Write, path: &str, token: Option<&Token>) -> String {
    let authorization = token.map(|token| format!("authorization: Bearer {}\r\n", token.reveal()));
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", authorization.unwrap_or_default());
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn code(connected: Result<Client, ClientError>) -> ErrorCode {
    match connected.map(drop) {
        Err(ClientError::Failed(failure)) => failure.code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn frames_over_tls_are_answered_as_elsewhere() {
    let secured = Secured::start("");
    for host in ["127.0.0.1", "localhost"] {
        let mut client = secured.connect(host, Some(&secured.token)).unwrap();
        assert_eq!(client.welcome().rights, Rights::LOOKUP);
        check_answers(&mut client);
    }
    // Who comes without a token may nothing, and who comes with a wrong one is told so.
    let mut stranger = secured.connect("localhost", None).unwrap();
    assert_eq!(stranger.welcome().rights, Rights::NONE);
    match stranger.lookup(&[Kind::Md5], &Radii::none(), known(1).value()) {
        Err(ClientError::Failed(Failure { code: ErrorCode::Forbidden, .. })) => {}
        other => panic!("expected a refusal, found {other:?}"),
    }
    let unknown = Token::generate().unwrap();
    assert_eq!(code(secured.connect("localhost", Some(&unknown))), ErrorCode::Unauthenticated);
}

#[test]
fn many_large_questions_at_once_come_through_tls() {
    let secured = Secured::start("");
    let (mut sender, mut receiver) = secured.client().split();
    let rows: Vec<u8> = (0..65_536).flat_map(|number| known(number).value().to_vec()).collect();
    let ids = 100..140;
    thread::scope(|scope| {
        // A megabyte each: far more than is buffered anywhere while nobody reads answers.
        let sent = scope.spawn(|| {
            for id in ids.clone() {
                sender.lookup(RequestId(id), &[Kind::Md5], &Radii::none(), &rows).unwrap();
            }
            sender.finish().unwrap();
        });
        for id in ids.clone() {
            let (found, reply) = receiver.receive().unwrap();
            let Reply::Answers(answers) = reply else { panic!("expected answers, found {reply:?}") };
            assert_eq!((found.0, answers.rows, answers.hits.len()), (id, 65_536, KNOWN_COUNT as usize));
        }
        sent.join().unwrap();
        assert!(matches!(receiver.receive(), Err(ClientError::Closed)));
    });
}

#[test]
fn who_has_finished_over_tls_is_told_that_nothing_more_comes() {
    let secured = Secured::start("");
    let mut tls = secured.authority.connect(secured.frames, &[]).unwrap();
    tls.write_all(&hello()).unwrap();
    tls.session.send_close_notify();
    tls.flush().unwrap();
    assert_eq!(read_frame(&mut tls).unwrap().0, Op::Welcome);
    // A connection that was cut is an error here.
    assert_eq!(tls.read(&mut [0; 100]).unwrap(), 0);
}

#[test]
fn http_over_tls_is_answered_as_elsewhere() {
    let secured = Secured::start("");
    let path = format!("/v1/lookup/md5/{}", known(1).to_hex());
    let answer = secured.get(&path, Some(&secured.token));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""known""#), "{answer}");
    assert!(secured.get(&path, None).starts_with("HTTP/1.1 403"));
    assert!(secured.get(&path, Some(&Token::generate().unwrap())).starts_with("HTTP/1.1 401"));
    let session = secured.authority.connect(secured.http, &["h2", "http/1.1"]).unwrap();
    assert_eq!(session.session.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(secured.authority.connect(secured.http, &["h2"]).is_err());
}

#[test]
fn a_daemon_that_cannot_prove_who_it_is_gets_no_token() {
    let secured = Secured::start("");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::new().write_own(elsewhere.path());
    let address = Address::Tls("localhost".to_owned(), secured.frames);
    let refused = [
        (Client::connect_trusting(&address, Some(&secured.token), Some(&other)), "invalid peer certificate"),
        (Client::connect_trusting(&address, Some(&secured.token), Some(Path::new("/dev/null"))), "found none"),
    ];
    for (connected, expected) in refused {
        let error = connected.map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    secured.authority.issue_for(&["elsewhere.example"], secured.daemon.folder.path(), None);
    secured.daemon.signal(Signal::HUP);
    let started_at = Instant::now();
    let error = loop {
        match secured.connect("localhost", Some(&secured.token)) {
            Ok(_) => assert!(started_at.elapsed() < PATIENCE, "the other name never comes"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("not valid for name"), "{error}");
    // And none is sent in the clear.
    let plain = Address::Tcp(([192, 0, 2, 1], 1).into());
    let error = Client::connect_with(&plain, Some(&secured.token)).map(drop).unwrap_err();
    assert!(matches!(error, ClientError::TokenInTheClear(_)), "{error}");
}

#[test]
fn a_reload_reads_certificates_again_and_keeps_connections() {
    let secured = Secured::start("");
    let (folder, mut standing) = (secured.daemon.folder.path(), secured.client());
    let presented = || {
        let session = secured.authority.connect(secured.http, &[]).unwrap();
        session.session.peer_certificates().unwrap()[0].to_vec()
    };
    let first = presented();
    let reload = || secured.daemon.signal(Signal::HUP);

    // A key that does not belong to the certificate changes nothing, and neither does what comes with it.
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let good = std::fs::read_to_string(folder.join("key.pem")).unwrap();
    write_key(&folder.join("key.pem"), &other, 0o600);
    write_config(folder, &secured.config.replace("'lookup'", "'content'"));
    reload();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(presented(), first);
    assert_eq!(secured.client().welcome().rights, Rights::LOOKUP);
    write_key(&folder.join("key.pem"), &good, 0o600);
    write_config(folder, &secured.config);

    secured.authority.issue(folder);
    reload();
    let started_at = Instant::now();
    while presented() == first {
        assert!(started_at.elapsed() < PATIENCE, "the new certificate never comes");
    }
    check_answers(&mut standing);
    check_answers(&mut secured.client());
}

#[test]
fn what_was_asked_over_tls_before_the_end_is_answered() {
    let mut secured = Secured::start("");
    let (mut sender, mut receiver) = secured.client().split();
    let rows: Vec<u8> = (0..2_000).flat_map(|number| known(number).value().to_vec()).collect();
    for id in 2..=101 {
        sender.lookup(RequestId(id), &[Kind::Md5], &Radii::none(), &rows).unwrap();
    }
    secured.daemon.signal(Signal::TERM);
    for id in 2..=101 {
        let (found, reply) = receiver.receive().unwrap();
        let Reply::Answers(answers) = reply else { panic!("expected answers, found {reply:?}") };
        assert_eq!((found.0, answers.hits.len()), (id, KNOWN_COUNT as usize));
    }
    match receiver.receive() {
        Ok((RequestId::NONE, Reply::Error(failure))) => assert_eq!(failure.code, ErrorCode::ShuttingDown),
        other => panic!("expected a farewell, found {other:?}"),
    }
    assert!(secured.daemon.wait().success());
}

fn check_config(folder: &Path, lines: &str) -> Output {
    write_config(folder, lines);
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.arg("check-config").arg("--config").arg(folder.join("hashward.toml")).output().unwrap()
}

#[test]
fn a_certificate_or_key_that_cannot_be_used_is_refused_with_the_remedy() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let config = format!("[[listen]]\naddress = 'tcp:0.0.0.0:1'\n{TLS}");
    let refused = |expected: &str| {
        let output = check_config(folder, &config);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
    };
    refused("cannot read");
    authority.issue(folder);
    assert!(check_config(folder, &config).status.success());
    let good = std::fs::read_to_string(folder.join("key.pem")).unwrap();
    write_key(&folder.join("key.pem"), &good, 0o644);
    refused("mode 0644; chmod o= it");
    write_key(&folder.join("key.pem"), &rcgen::KeyPair::generate().unwrap().serialize_pem(), 0o600);
    refused("is not the one of the certificate");
    write_key(&folder.join("key.pem"), "no key", 0o600);
    refused("expected a private key in PEM, found none");
    write_key(&folder.join("key.pem"), &good, 0o600);
    std::fs::write(folder.join("chain.pem"), "no certificate").unwrap();
    refused("expected a certificate in PEM, found none");
    std::fs::write(folder.join("chain.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    refused("cannot be used for TLS");
}

#[test]
fn plaintext_beyond_this_machine_must_be_said_twice_and_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (here, above) = ("plaintext = true", "plaintext_beyond_loopback = true");
    for (above, here, accepted) in [("", "", false), ("", here, false), (above, "", false), (above, here, true)] {
        let output = check_config(folder.path(), &format!("{above}\n[[listen]]\naddress = 'tcp:0.0.0.0:1'\n{here}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), accepted, "{error}");
        let expected = if accepted { "can be read and changed on the way" } else { "say so twice" };
        assert!(error.contains(expected), "{error}");
    }
    let mut serve = Process::new(env!("CARGO_BIN_EXE_hashward"));
    let output = serve.args(["serve", "--listen", "tcp:0.0.0.0:1", "--data"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("say so twice"));
}

/// This machine's own address by which others would reach it, if it has one.
fn beyond_loopback() -> Option<IpAddr> {
    // A datagram socket that is connected has chosen its way, and sent nothing.
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

#[test]
fn listeners_beyond_loopback_must_be_meant_and_give_nothing_to_strangers() {
    let Some(own) = beyond_loopback() else {
        return eprintln!("skipped: this machine has no address beyond loopback");
    };
    let (authority, folder, token) = (Authority::new(), tempfile::tempdir().unwrap(), Token::generate().unwrap());
    authority.issue_for(&[&own.to_string()], folder.path(), None);
    let ca = authority.write_own(folder.path());
    let [frames, http, tls] = [(); 3].map(|()| free_port());
    let all = "rights = ['lookup', 'content', 'detail', 'import', 'suppress', 'audit', 'admin']\n";
    let config = |above: &str, here: &str| {
        format!(
            "{above}\n[[listen]]\naddress = 'unix:data/hashward.sock'\n\
             [[listen]]\naddress = 'tcp:0.0.0.0:{frames}'\n{all}{here}\n\
             [[listen]]\naddress = 'tcp:{own}:{http}'\nprotocol = 'http'\n{all}{here}\n\
             [[listen]]\naddress = 'tcp:{own}:{tls}'\n{all}{TLS}\
             [[principal]]\nname = 'scanner'\ntoken = '{}'\nrights = ['lookup']\n",
            token.hash()
        )
    };
    let (here, above) = ("plaintext = true", "plaintext_beyond_loopback = true");
    for (above, here) in [("", ""), ("", here), (above, "")] {
        write_config(folder.path(), &config(above, here));
        let mut serve = Process::new(env!("CARGO_BIN_EXE_hashward"));
        let output = serve.arg("serve").arg("--config").arg(folder.path().join("hashward.toml")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{above} {here}");
    }
    let daemon = Daemon::start_in(folder, &config(above, here));
    daemon.add("known", (0..KNOWN_COUNT).map(known));

    let forbidden = |answered: Result<(), ClientError>| match answered {
        Err(ClientError::Failed(Failure { code: ErrorCode::Forbidden, .. })) => {}
        other => panic!("expected a refusal, found {other:?}"),
    };
    let plain = Address::Tcp((own, frames).into());
    let secured = Address::Tls(own.to_string(), tls);
    for address in [&plain, &secured] {
        let mut stranger = Client::connect_trusting(address, None, Some(&ca)).unwrap();
        assert_eq!(stranger.welcome().rights, Rights::NONE);
        forbidden(stranger.lookup(&[Kind::Md5], &Radii::none(), known(1).value()).map(drop));
        forbidden(stranger.content(&ContentOptions::default(), &b"file 1"[..]).map(drop));
        forbidden(stranger.status().map(drop));
        for command in [Command::Lists, Command::Verify, Command::Remove { list: "known".parse().unwrap() }] {
            forbidden(stranger.command_json(&serde_json::to_vec(&command).unwrap()).map(drop));
        }
    }
    let request = |path: &str, token: Option<&Token>| {
        let mut stream = TcpStream::connect((own, http)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        get(&mut stream, path, token)
    };
    let path = format!("/v1/lookup/md5/{}", known(1).to_hex());
    for path in [&path, "/v1/status", "/v1/lists", "/metrics"] {
        let answer = request(path, None);
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }

    // Whoever has a token may what it grants, and no more for the sake of the listener.
    let answer = request(&path, Some(&token));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""known""#), "{answer}");
    check_answers(&mut Client::connect_trusting(&secured, Some(&token), Some(&ca)).unwrap());
    let mut raw = TcpStream::connect((own, frames)).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = Vec::new();
    let token = Some(token.reveal().to_owned());
    Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token }.encode(&mut hello, RequestId(1));
    raw.write_all(&hello).unwrap();
    let (op, _, welcome) = read_frame(&mut raw).unwrap();
    assert_eq!((op, Welcome::decode(&welcome).unwrap().rights), (Op::Welcome, Rights::LOOKUP));

    // Once is too little for a reload, too: all stays as it was.
    write_config(daemon.folder.path(), &config("", here));
    daemon.signal(Signal::HUP);
    until(|| {
        String::from_utf8(daemon.client().status().unwrap()).unwrap().contains(r#""config_refused":true"#).then_some(())
    });
    assert_eq!(Client::connect(&plain).unwrap().welcome().rights, Rights::NONE);
}

#[test]
fn the_end_of_a_certificate_is_told_before_it_comes() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let config = format!("[[listen]]\naddress = 'tcp:127.0.0.1:1'\n{TLS}");
    let in_days = |days: i64| {
        let date = hashward::moment::iso(hashward::moment::now() as i64 + days * 86_400);
        let part = |range: std::ops::Range<usize>| date[range].parse::<u16>().unwrap();
        (i32::from(part(0..4)), part(5..7) as u8, part(8..10) as u8)
    };
    for (end, expected) in [
        ((2020, 2, 29), Some("the certificate ended at 2020-02-29T00:00:00Z")),
        (in_days(5), Some("the certificate ends at ")),
        (in_days(20), None),
    ] {
        authority.issue_for(&["localhost"], folder.path(), Some(end));
        let output = check_config(folder.path(), &config);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("the certificate "), expected.is_some(), "{end:?}: {said}");
        assert!(said.contains(expected.unwrap_or_default()), "{end:?}: {said}");
    }
    let secured = Secured::start("");
    let status: serde_json::Value = serde_json::from_slice(&secured.daemon.client().status().unwrap()).unwrap();
    let ends = status["certificates"].as_array().unwrap();
    let at = |at: usize| ends[at]["ends_at"].as_i64().map(hashward::moment::iso);
    assert_eq!((ends.len(), at(0), at(1)), (2, Some("2100-12-31T00:00:00Z".to_owned()), at(0)));
    let told = secured.get("/metrics", Some(&secured.token));
    let series = format!("hashward_certificate_end_timestamp_seconds{{listener=\"tcp:127.0.0.1:{}\"}}", secured.http);
    assert!(told.contains(&format!("{series} 4133894400")), "{told}");
}

#[test]
fn the_programs_ask_over_tls() {
    let secured = Secured::start("");
    let folder = secured.daemon.folder.path();
    std::fs::write(folder.join("token"), secured.token.reveal()).unwrap();
    std::fs::write(folder.join("file"), "file 1").unwrap();
    let run = |verb: &str, place: &str, rest: &[&str]| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        command.current_dir(folder).arg(verb).arg("--socket").arg(format!("tls:{place}:{}", secured.frames));
        command.args(["--ca", "authority.pem", "--token-file", "token"]).args(rest).output().unwrap()
    };
    let hash = format!("md5:{}", known(1).to_hex());
    for (verb, rest, expected, code) in [
        ("lookup", &[hash.as_str()][..], "known", 0),
        ("match", &["file"][..], "known", 1),
        ("status", &[][..], "certificate   of tcp:127.0.0.1:", 0),
    ] {
        let output = run(verb, "localhost", rest);
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{verb}: {said}{error}");
        assert!(said.contains(expected), "{verb}: {said}{error}");
    }
    secured.authority.issue_for(&["elsewhere.example"], folder, None);
    secured.daemon.signal(Signal::HUP);
    let started_at = Instant::now();
    let refused = loop {
        let output = run("status", "localhost", &[]);
        if !output.status.success() {
            break String::from_utf8_lossy(&output.stderr).into_owned();
        }
        assert!(started_at.elapsed() < PATIENCE, "the other name never comes");
    };
    assert!(refused.contains("the name in the address must be one in the daemon's certificate"), "{refused}");
}
