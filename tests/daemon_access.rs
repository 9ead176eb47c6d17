//! Who may ask a real daemon what, and how much.

mod daemon_support;

use daemon_support::http::{Http, read_response};
use daemon_support::{Daemon, until, write_config};
use hashward::access::{Right, Rights, Token};
use hashward::fingerprint::{Kind, Radii, hash_bytes};
use hashward::matching::Verdict;
use hashward::protocol::{Address, Client, ClientError, ContentOptions, ErrorCode, Failure};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that also listens at a port of this machine, with this beside it in its config.
fn daemon(rights: &str, principals: &str) -> (Daemon, Address) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:{port}'\nrights = [{rights}]\n{principals}"
    );
    let daemon = Daemon::start(&config);
    (daemon, Address::Tcp(([127, 0, 0, 1], port).into()))
}

fn principal(name: &str, token: &Token, rights: &str, budget: &str) -> String {
    let hash = token.hash();
    format!("[[principal]]\nname = '{name}'\ntoken = '{hash}'\nrights = [{rights}]\nbudget = {{ {budget} }}\n")
}

fn refused<T: std::fmt::Debug>(answered: Result<T, ClientError>) -> Failure {
    match answered {
        Err(ClientError::Failed(failure)) => failure,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn ask(client: &mut Client, rows: usize) -> Result<Verdict, ClientError> {
    let value = hash_bytes(Kind::Md5, b"nobody knows this");
    client.lookup(&[Kind::Md5], &Radii::none(), &value.value().repeat(rows)).map(|answers| answers.miss)
}

#[test]
fn over_tcp_a_token_says_who_asks() {
    let (scanner, stranger) = (Token::generate().unwrap(), Token::generate().unwrap());
    let (daemon, tcp) = daemon("'lookup', 'content'", &principal("scanner", &scanner, "'lookup', 'detail'", ""));
    let mut client = Client::connect_with(&tcp, Some(&scanner)).unwrap();
    assert_eq!(client.welcome().rights, Rights::LOOKUP);
    assert_eq!(ask(&mut client, 1).unwrap(), Verdict::Unknown);
    let failure = refused(client.content(&ContentOptions::default(), &b"text"[..]));
    assert_eq!(failure.code, ErrorCode::Forbidden);
    assert!(failure.text.contains("scanner lacks the right `content`"), "{failure}");

    let mut nobody = Client::connect(&tcp).unwrap();
    assert_eq!(nobody.welcome().rights, Rights::NONE);
    assert_eq!(refused(ask(&mut nobody, 1)).code, ErrorCode::Forbidden);
    let unknown = Client::connect_with(&tcp, Some(&stranger)).map(drop);
    assert_eq!(refused(unknown).code, ErrorCode::Unauthenticated);

    // A token goes before what the kernel says, also where that would be everything.
    let mut own = Client::connect_with(&daemon.address(), Some(&scanner)).unwrap();
    assert_eq!(own.welcome().rights, Rights::LOOKUP);
    assert!(ask(&mut own, 1).is_ok());
}

#[test]
fn a_reload_takes_effect_on_connections_that_stand() {
    let scanner = Token::generate().unwrap();
    let (daemon, tcp) = daemon("'lookup'", &principal("scanner", &scanner, "'lookup'", ""));
    let mut client = Client::connect_with(&tcp, Some(&scanner)).unwrap();
    ask(&mut client, 1).unwrap();
    write_config(
        daemon.folder.path(),
        &format!("[[listen]]\naddress = 'unix:data/hashward.sock'\n[[listen]]\naddress = '{tcp}'\n"),
    );
    daemon.signal(rustix::process::Signal::HUP);
    let started_at = Instant::now();
    loop {
        match ask(&mut client, 1) {
            Ok(_) => assert!(started_at.elapsed() < PATIENCE),
            Err(error) => {
                assert_eq!(refused::<()>(Err(error)).code, ErrorCode::Unauthenticated);
                // Not once, but from now on, whatever is asked.
                for _ in 0..3 {
                    assert_eq!(refused(ask(&mut client, 1)).code, ErrorCode::Unauthenticated);
                    let long = format!("{{\"command\":\"inspect\",\"list\":\"{}\"}}", "x".repeat(8_000));
                    assert_eq!(refused(client.command_json(long.as_bytes())).code, ErrorCode::Unauthenticated);
                    assert_eq!(refused(client.status()).code, ErrorCode::Unauthenticated);
                }
                break;
            }
        }
    }
}

#[test]
fn who_asks_too_much_is_told_so_and_the_others_are_answered() {
    let (greedy, modest) = (Token::generate().unwrap(), Token::generate().unwrap());
    let principals = principal("greedy", &greedy, "'lookup', 'content'", "questions_per_s = 100, content_per_day = 1")
        + &principal("modest", &modest, "'lookup'", "");
    let (_daemon, tcp) = daemon("'lookup', 'content'", &principals);
    let mut first = Client::connect_with(&tcp, Some(&greedy)).unwrap();
    ask(&mut first, 60_000).unwrap();
    // The budget is the principal's, not the connection's.
    let mut second = Client::connect_with(&tcp, Some(&greedy)).unwrap();
    let failure = refused(ask(&mut second, 1));
    assert_eq!(failure.code, ErrorCode::OverBudget);
    assert!(failure.text.contains("at most 100 questions a second; ask again in"), "{failure}");
    let mut other = Client::connect_with(&tcp, Some(&modest)).unwrap();
    ask(&mut other, 60_000).unwrap();
    ask(&mut other, 60_000).unwrap();
}

#[test]
fn nobody_is_granted_what_only_the_listener_grants() {
    let all = Right::ALL.map(|right| format!("'{}'", right.name())).join(", ");
    let (_daemon, tcp) = daemon(&all, "");
    let mut stranger = Client::connect(&tcp).unwrap();
    assert_eq!(stranger.welcome().rights, Rights::NONE);
    let failure = refused(stranger.status());
    assert_eq!(failure.code, ErrorCode::Forbidden);
    assert!(failure.text.contains("stranger has no right at all"), "{failure}");
}

#[test]
fn a_new_start_gives_nobody_a_second_day() {
    let [first, second, third] = [(); 3].map(|()| Token::generate().unwrap());
    let config = ["first", "second", "third"]
        .into_iter()
        .zip([&first, &second, &third])
        .fold("[[listen]]\naddress = 'unix:data/hashward.sock'\n".to_owned(), |config, (name, token)| {
            config + &principal(name, token, "'lookup'", "near_per_day = 2")
        });
    let near = |daemon: &Daemon, token: &Token| {
        let mut client = Client::connect_with(&daemon.address(), Some(token)).unwrap();
        client.lookup(&[Kind::Pdq], &Radii::none(), &[0; 32]).map(drop)
    };
    let spend = |daemon: &Daemon, token: &Token| {
        (0..2).for_each(|_| near(daemon, token).unwrap());
        assert_eq!(refused(near(daemon, token)).code, ErrorCode::OverBudget);
    };
    let again = |daemon: &mut Daemon, signal| {
        daemon.signal(signal);
        daemon.wait();
        daemon.start_again(&config);
    };
    let mut daemon = Daemon::start(&config);
    let file = daemon.folder.path().join("data/budgets");

    // One that ended in good order.
    spend(&daemon, &first);
    again(&mut daemon, Signal::TERM);
    assert_eq!(refused(near(&daemon, &first)).code, ErrorCode::OverBudget);

    // One that was killed, a second later.
    spend(&daemon, &second);
    until(|| fs::read_to_string(&file).is_ok_and(|text| text.contains("second")).then_some(()));
    again(&mut daemon, Signal::KILL);
    assert_eq!(refused(near(&daemon, &second)).code, ErrorCode::OverBudget);
    assert_eq!(refused(near(&daemon, &first)).code, ErrorCode::OverBudget);

    // One that cannot tell what was used: nobody gets a second day, and what no daily budget bounds is answered.
    daemon.signal(Signal::TERM);
    daemon.wait();
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, kept.replace("\"near\":2", "\"near\":0")).unwrap();
    daemon.start_again(&config);
    for token in [&first, &second, &third] {
        assert_eq!(refused(near(&daemon, token)).code, ErrorCode::OverBudget);
        ask(&mut Client::connect_with(&daemon.address(), Some(token)).unwrap(), 1).unwrap();
    }
    daemon.signal(Signal::TERM);
    daemon.wait();
    fs::remove_file(&file).unwrap();
    daemon.start_again(&config);
    spend(&daemon, &third);
}

#[test]
fn a_right_that_is_taken_away_while_a_file_comes_is_gone_when_it_has_come() {
    let scanner = Token::generate().unwrap();
    let config = |rights: &str| {
        let principal = principal("scanner", &scanner, "'lookup', 'content'", "content_per_day = 9");
        format!(
            "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
             [[listen]]\naddress = 'unix:http.sock'\nprotocol = 'http'\nrights = [{rights}]\n{principal}"
        )
    };
    let http = Http::start_at(&config("'lookup', 'content'"), "");
    let bearer = format!("authorization: Bearer {}\r\n", scanner.reveal());
    let mut stream = UnixStream::connect(&http.socket).unwrap();
    let head = format!("POST /v1/match HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{bearer}content-length: 8\r\n\r\n");
    stream.write_all(format!("{head}hash").as_bytes()).unwrap();
    // It has begun when it is charged.
    let begun = "hashward_budget_used{principal=\"scanner\",budget=\"content_per_day\"} 1\n";
    until(|| String::from_utf8(http.get("/metrics").body).unwrap().contains(begun).then_some(()));
    write_config(http.daemon.folder.path(), &config("'lookup'"));
    http.daemon.signal(Signal::HUP);
    until(|| (http.request("POST", "/v1/match", &bearer, b"").status == 403).then_some(()));
    stream.write_all(b"ward").unwrap();
    read_response(stream).problem(403, "forbidden");
}
