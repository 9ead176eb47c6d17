//! What users do to a daemon, of every sort, each so often: bounded by rate, so that other work goes on beside it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use hashward::fingerprint::{Kind, Radii};
use hashward::matching::Verdict;
use hashward::protocol::{Address, Client, ContentOptions};
use hashward::store::Command;
use serde_json::{Value, json};

use crate::changing::Changing;
use crate::load::{Faults, Over, Switch, ask_batch, ask_changing, ask_single, fixed};
use crate::pictures_support::{jpeg, photo};
use crate::reader::Reader;
use crate::web::Web;
use crate::world::{CODES, KNOWN_PICTURE, STRANGE_PICTURE, Setting, World, code, command, digest, unknown};

/// Codes of a question by distance.
const NEAR: u64 = 16;

/// Rows of a document, and lines.
const ROWS: u64 = 1_000;
const LINES: u64 = 200;

/// The load, with all that it needs.
pub(crate) struct Mixed<'a> {
    pub(crate) world: &'a World,
    pub(crate) changing: &'a Changing,
    pub(crate) faults: &'a Faults,
    /// How many things of all sorts were done.
    pub(crate) done: &'a AtomicU64,
    /// Changes and backups are so many times as frequent as over an hour.
    pub(crate) haste: u32,
}

/// Somebody who does one sort of thing.
type Doing<'a> = Box<dyn FnMut(u64) -> Result<(), String> + Send + 'a>;

impl Mixed<'_> {
    /// Puts the load on for a while, and does `watch` over and over meanwhile. Nothing is under way afterwards.
    pub(crate) fn put_on(&self, time: Duration, mut watch: impl FnMut()) {
        let switch = Switch::default();
        thread::scope(|scope| {
            let over = Over(&switch);
            switch.turn(true);
            for (name, every, mut act) in self.all() {
                let (switch, faults, done) = (&switch, self.faults, self.done);
                scope.spawn(move || {
                    let mut next = Instant::now();
                    switch.repeat(name, faults, done, |number| {
                        // Whoever is late does not catch up: that would be another load.
                        next = (next + every).max(Instant::now());
                        switch.sleep_until(next);
                        act(number)
                    });
                });
            }
            let start = Instant::now();
            while start.elapsed() < time && self.faults.count() == 0 {
                watch();
            }
            drop(over);
        });
        self.faults.note("the end", self.changing.settle(self.world, &Setting::default()));
    }

    fn all(&self) -> Vec<(&'static str, Duration, Doing<'_>)> {
        let (world, changing) = (self.world, self.changing);
        let ms = Duration::from_millis;
        let connect = || world.daemon.connect();
        let web = || Web::connect(&world.http_socket()).expect("the daemon listens");
        let (mut batch, mut single, mut changes, mut teller) = (connect(), connect(), connect(), connect());
        let (mut near, mut sender, mut keeper) = (connect(), connect(), connect());
        let (mut getter, mut poster, mut liner, mut uploader) = (web(), web(), web(), web());
        let visitor = Client::connect_with(&world.daemon.address, Some(&world.token));
        let mut visitor = visitor.expect("a token that the config knows");
        let mut reader = Reader::default();
        let rows = changing.rows();
        let pictures = [KNOWN_PICTURE, STRANGE_PICTURE].map(|seed| jpeg(&photo(seed), 90));
        let same_pictures = pictures.clone();
        vec![
            ("batches", ms(20), Box::new(move |number| ask_batch(&mut batch, world, number))),
            ("singles", ms(5), Box::new(move |number| ask_single(&mut single, world, number))),
            ("what changes", ms(20), Box::new(move |_| ask_changing(&mut changes, changing, &rows))),
            ("the visitor", ms(50), Box::new(move |number| changing.ask_as_visitor(&mut visitor, number))),
            ("distances", ms(250), Box::new(move |number| ask_near(&mut near, number))),
            ("content", ms(500), Box::new(move |number| send(&mut sender, &pictures, number))),
            ("uploads", ms(500), Box::new(move |number| upload(&mut uploader, &same_pictures, number))),
            ("GET", ms(20), Box::new(move |number| get(&mut getter, world, number))),
            ("documents", ms(200), Box::new(move |number| post(&mut poster, world, number))),
            ("lines", ms(500), Box::new(move |number| post_lines(&mut liner, world, number))),
            ("telling", ms(250), Box::new(move |number| tell(&mut teller, world, number))),
            ("events", ms(5), Box::new(move |number| reader.read(world, number))),
            ("breaking", ms(200), Box::new(move |number| break_off(world, number))),
            (
                "changes",
                Duration::from_secs(5) / self.haste,
                Box::new(move |number| change(&mut keeper, world, changing, number)),
            ),
        ]
    }
}

impl Switch {
    fn sleep_until(&self, at: Instant) {
        while !self.is_over() && Instant::now() < at {
            thread::sleep(at.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ask_near(client: &mut Client, number: u64) -> Result<(), String> {
    let one = |i: u64| if i.is_multiple_of(2) { code(i % CODES) } else { code((1 << 40) + i) };
    let rows: Vec<u8> = (number * NEAR..(number + 1) * NEAR).flat_map(one).collect();
    let answers = client.lookup(&[Kind::Pdq], &Radii::none(), &rows).map_err(text)?;
    let is_right = answers.hits.len() as u64 == NEAR / 2 && answers.miss == Verdict::Unknown;
    if is_right { Ok(()) } else { Err(format!("{} of {NEAR} codes are known", answers.hits.len())) }
}

/// The known picture and the other by turns.
fn send(client: &mut Client, pictures: &[Vec<u8>; 2], number: u64) -> Result<(), String> {
    let which = (number % 2) as usize;
    let answers = client.content(&ContentOptions::default(), &pictures[which][..]).map_err(text)?;
    let verdict = answers.iter().next().flatten().map_or(answers.miss, |answer| answer.verdict);
    let expected = [Verdict::Known, Verdict::Unknown][which];
    let is_right = verdict == expected && answers.checked.contains(&Kind::Pdq);
    if is_right { Ok(()) } else { Err(format!("expected {expected:?} of a picture, found {answers:?}")) }
}

fn upload(web: &mut Web, pictures: &[Vec<u8>; 2], number: u64) -> Result<(), String> {
    let which = (number % 2) as usize;
    let (status, body) = web.ask("POST", "/v1/match", "image/jpeg", &pictures[which]).map_err(text)?;
    let answer: Value = serde_json::from_slice(&body).map_err(text)?;
    let is_right = status == 200 && answer["verdict"] == ["known", "unknown"][which];
    if is_right { Ok(()) } else { Err(format!("status {status}: {answer}")) }
}

/// Digest number `i` of a question in hex, and its verdict.
fn of_question(world: &World, i: u64) -> (String, &'static str) {
    match i % 10 {
        0 => (HEXLOWER.encode(&fixed(world, i)), "known"),
        _ => (HEXLOWER.encode(&unknown(i)), "unknown"),
    }
}

fn get(web: &mut Web, world: &World, number: u64) -> Result<(), String> {
    let (hash, expected) = of_question(world, number);
    let answer = web.get(&format!("/v1/lookup/md5/{hash}"))?;
    if answer["verdict"] == expected { Ok(()) } else { Err(format!("expected {expected}, found {answer}")) }
}

fn post(web: &mut Web, world: &World, number: u64) -> Result<(), String> {
    let questions = (number * ROWS..(number + 1) * ROWS).map(|i| of_question(world, i));
    let (rows, expected): (Vec<String>, Vec<&str>) = questions.unzip();
    let answer = web.post("/v1/lookup", &json!({ "kinds": ["md5"], "rows": rows }))?;
    let verdicts = answer["answers"].as_array().ok_or("expected answers")?.iter().map(|answer| &answer["verdict"]);
    if verdicts.eq(expected.iter()) { Ok(()) } else { Err("a wrong answer to a document".to_owned()) }
}

fn post_lines(web: &mut Web, world: &World, number: u64) -> Result<(), String> {
    let questions = (number * LINES..(number + 1) * LINES).map(|i| of_question(world, i));
    let (hashes, expected): (Vec<String>, Vec<&str>) = questions.unzip();
    let lines: String = hashes.iter().map(|hash| format!("{}\n", json!({ "kind": "md5", "hash": hash }))).collect();
    let (status, body) = web.ask("POST", "/v1/lookup", "application/x-ndjson", lines.as_bytes()).map_err(text)?;
    let answers = serde_json::Deserializer::from_slice(&body).into_iter::<Value>();
    let answers: Vec<Value> = answers.collect::<Result<_, _>>().map_err(text)?;
    let is_right = status == 200 && answers.iter().map(|answer| &answer["verdict"]).eq(expected.iter());
    if is_right { Ok(()) } else { Err(format!("status {status}, a wrong answer to lines")) }
}

/// Asks for what is told about the daemon, the store and the trail, one thing at a time.
fn tell(client: &mut Client, world: &World, number: u64) -> Result<(), String> {
    let list = || "fixed".parse().expect("a good name");
    let explain = || {
        let fingerprint = hashward::fingerprint::Fingerprint::new(Kind::Md5, &digest(0)).expect("16 bytes");
        Command::Explain { fingerprint, radius: None }
    };
    match number % 8 {
        0 => client.status().map_err(text).map(drop),
        1 => command(client, &Command::Lists).map(drop),
        2 => command(client, &Command::Inspect { list: list() }).map(drop),
        3 => command(client, &explain()).map(drop),
        4 => command(client, &Command::Categories { list: list() }).map(drop),
        5 => command(client, &Command::Status).map(drop),
        // From here on over a connection of its own.
        6 => {
            let mut web = Web::connect(&world.http_socket()).map_err(text)?;
            let records = web.get("/v1/status")?["audit"]["records"].as_u64().ok_or("expected the trail's length")?;
            web.get(&format!("/v1/audit?after={}&limit=100", records.saturating_sub(100))).map(drop)
        }
        _ => {
            let mut web = Web::connect(&world.http_socket()).map_err(text)?;
            web.get("/health/ready")?;
            web.get("/openapi.json")?;
            let (status, metrics) = web.ask("GET", "/metrics", "text/plain", b"").map_err(text)?;
            let is_right = status == 200 && metrics.starts_with(b"# ");
            if is_right { Ok(()) } else { Err(format!("status {status}, and no metrics")) }
        }
    }
}

/// Connects, and breaks off in the middle of something.
fn break_off(world: &World, number: u64) -> Result<(), String> {
    let Address::Unix(frame) = &world.daemon.address else { return Err("expected a Unix socket".to_owned()) };
    let socket = if number.is_multiple_of(2) { frame.clone() } else { world.http_socket() };
    let mut stream = UnixStream::connect(socket).map_err(text)?;
    let hello = b"\x14\0\0\0\x01\0\x02\0\x01\0\0\0hashward\x02\0\x02\0";
    // The daemon may have hung up already on what is none.
    let _ = match number % 8 {
        0 => Ok(()),
        // The head of a LOOKUP, of a long one, and of content.
        2 => stream.write_all(&[&hello[..], b"\x2f\0\0\0\x03\0\x02\0"].concat()),
        4 => stream.write_all(&[&hello[..], b"\0\0\x0f\0\x03\0\x02\0\x02\0\0\0\x01\x01"].concat()),
        6 => stream.write_all(&[&hello[..], b"\x0e\0\0\0\x05\0\x02\0\x02\0\0\0\x01\0\xff\xd8\xff\xe0"].concat()),
        1 => stream.write_all(b"GET /v1/lookup/md5/00"),
        3 => stream.write_all(b"POST /v1/lookup HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{\"kinds\""),
        5 => stream.write_all(b"POST /v1/match HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n\xff\xd8\xff\xe0"),
        _ => stream.write_all(b"\xff\xfe rubbish\r\n\r\n"),
    };
    Ok(())
}

/// One change after the other; the costly ones seldom.
fn change(keeper: &mut Client, world: &World, changing: &Changing, number: u64) -> Result<(), String> {
    changing.add_or_withdraw(keeper)?;
    if number % 4 == 1 {
        changing.suppress_or_lift(keeper)?;
    }
    if number % 6 == 2 {
        changing.reload(world, &Setting::default())?;
    }
    if number % 24 == 3 {
        changing.import(world)?;
        changing.roll_back(keeper)?;
        changing.import(world)?;
    }
    if number % 36 == 4 {
        command(keeper, &Command::Compact)?;
    }
    if number % 120 == 5 {
        let backup = world.path("backup");
        world.tool(&["backup", backup.to_str().ok_or("a path of text")?])?;
        std::fs::remove_dir_all(backup).map_err(text)?;
    }
    Ok(())
}

/// Whether anything is left of what tools built.
pub(crate) fn leftovers(world: &World) -> Result<(), String> {
    let left = std::fs::read_dir(world.data().join("incoming")).map_err(text)?.count();
    if left == 0 { Ok(()) } else { Err(format!("{left} folders are left in incoming/")) }
}
