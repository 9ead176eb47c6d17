//! Ten thousand idle connections and a thousand that ask and never read: the others notice nothing.
//!
//! Four connections ask batches without pause. Their rate is taken while they are alone, beside the idle ones, while
//! those that never read push in what their sockets take, while these stand, and when all are gone. Meanwhile newcomers
//! connect, ask, and are answered. The idle ones are spread over both protocols, Unix and TCP; half of them have
//! greeted. Whoever never reads must be cut off when `write_s` has passed, and the daemon must have given back all
//! descriptors in the end.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::protocol::{Address, Client, ClientError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::{BATCH, Faults, Over, Switch, ask_batch, ask_single, micros, percentiles};
use crate::rude::{Rude, Wire};
use crate::watch::Sample;
use crate::world::{Setting, World, until};
use crate::{Scale, row};

const WRITE_S: u64 = 10;

/// How much later than `write_s` a cut may be seen, on a machine that does other things too.
const CUT_SLACK: Duration = Duration::from_secs(10);

/// Connections that the daemon takes beyond the idle ones and those that never read.
const SPARE: usize = 24;

/// Descriptors of this process, or of the daemon, that are no such connection.
const OTHER_DESCRIPTORS: usize = 400;

/// The soft limit on descriptors that the daemon starts with, and has to raise.
const SOFT_LIMIT: u32 = 1_024;

pub(crate) fn run(scale: Scale) {
    let (idle, rude, lines, time) = match scale {
        Scale::Smoke => (40, 8, 20_000, Duration::from_millis(100)),
        Scale::Full => (10_000, 1_000, 1_000_000, Duration::from_secs(5)),
    };
    let (idle, rude) = within_the_system(idle, rude);
    let ports: [TcpListener; 2] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [frame_tcp, http_tcp] = ports.map(|port| port.local_addr().expect("a bound port"));
    let setting = Setting {
        listen: format!(
            "[[listen]]\naddress = 'tcp:{frame_tcp}'\n[[listen]]\naddress = 'tcp:{http_tcp}'\nprotocol = 'http'\n"
        ),
        limits: format!("connections = {}\nwrite_s = {WRITE_S}\n", idle + rude + SPARE),
        ..Setting::default()
    };
    let world = World::new(lines, &setting, SOFT_LIMIT);
    let crowd = Crowd { world: &world, frame_tcp, http_tcp, faults: Faults::default(), switch: Switch::default() };
    crowd.run(idle, rude, time);
}

/// So many of both as this process and the daemon may have descriptors.
fn within_the_system(idle: usize, rude: usize) -> (usize, usize) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a soft limit may be raised");
    let room = maximum.map_or(usize::MAX, |maximum| maximum as usize).saturating_sub(OTHER_DESCRIPTORS);
    if idle + rude <= room {
        return (idle, rude);
    }
    let part = |count: usize| count * room / (idle + rude);
    eprintln!("the hard limit on descriptors is {maximum:?}: {} idle and {} rude ones instead", part(idle), part(rude));
    (part(idle), part(rude))
}

struct Crowd<'a> {
    world: &'a World,
    frame_tcp: std::net::SocketAddr,
    http_tcp: std::net::SocketAddr,
    faults: Faults,
    switch: Switch,
}

/// What is measured in one phase.
struct Phase {
    what: String,
    /// Digests a second, of all four connections.
    rate: u64,
    sample: Sample,
}

impl Crowd<'_> {
    fn run(&self, idle: usize, rude: usize, time: Duration) {
        let (batches, newcomers) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut arrivals = Vec::new();
        let phases = thread::scope(|scope| {
            let _over = Over(&self.switch);
            for number in 0..4 {
                let address = self.frame_address(number);
                let mut client = Client::connect(&address).expect("room for the others");
                let (world, switch, faults, batches) = (self.world, &self.switch, &self.faults, &batches);
                let ask = move |round: u64| ask_batch(&mut client, world, round * 4 + number);
                scope.spawn(move || switch.repeat("the others", faults, batches, ask));
            }
            let arrivals = &mut arrivals;
            scope.spawn(|| {
                let mut arrive = |number| self.arrive(number, arrivals);
                self.switch.repeat("newcomers", &self.faults, &newcomers, &mut arrive);
            });
            self.switch.turn(true);
            self.phases(idle, rude, time, &batches)
        });
        self.faults.note("the log", self.world.check_log());
        self.faults.end();
        self.report(idle, rude, &phases, &mut arrivals);
    }

    fn phases(&self, idle: usize, rude: usize, time: Duration, batches: &AtomicU64) -> Vec<Phase> {
        let mut phases = Vec::new();
        let mut measure = |what: &str| {
            let (start, before) = (Instant::now(), batches.load(Ordering::Relaxed));
            thread::sleep(time);
            let rate = (batches.load(Ordering::Relaxed) - before) * BATCH * 1_000 / start.elapsed().as_millis() as u64;
            phases.push(Phase { what: what.to_owned(), rate, sample: Sample::of(self.world.daemon.pid()) });
        };
        thread::sleep(time);
        measure("alone, before");
        let at_rest = Sample::of(self.world.daemon.pid()).descriptors;
        let standing: Vec<Wire> = (0..idle).map(|number| self.idle(number)).collect();
        measure(&format!("{idle} idle"));
        measure(&format!("{idle} idle, again"));

        let pushing = Rude::begin((0..rude).map(|number| self.connect(number, true)));
        measure(&format!("{idle} idle, and {rude} that never read begin"));
        until("whoever never reads is stuck", || (pushing.stuck() + pushing.cut() == rude).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {} of {rude}", pushing.stuck()));
        measure(&format!("{idle} idle, and {rude} that never read stand"));
        until("whoever never reads is cut off", || (pushing.cut() == rude).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {} of {rude}", pushing.cut()));
        let longest = pushing.end();
        eprintln!("the last of {rude} was cut off {:.1} s after it got stuck", longest.as_secs_f64());
        if longest > Duration::from_secs(WRITE_S) + CUT_SLACK {
            self.faults.note("who never reads", Err(format!("one was cut off after {longest:?}")));
        }
        measure(&format!("{idle} idle, and the others cut off"));

        let let_go = still_there(&standing);
        self.faults.note("the idle", let_go.as_ref().map(|_| ()).map_err(String::clone));
        let filling: Vec<Wire> = (0..rude + let_go.unwrap_or(0)).map(|number| self.connect(number, false)).collect();
        // Newcomers would be told so as well.
        self.switch.turn(false);
        self.faults.note("the limit", self.busy_at_the_limit());
        self.switch.turn(true);
        drop((standing, filling));
        let given_back = || Sample::of(self.world.daemon.pid()).descriptors <= at_rest + 2;
        until("the daemon gives descriptors back", || given_back().then_some(()))
            .unwrap_or_else(|error| panic!("{error}: at first {at_rest}, {:?}", Sample::of(self.world.daemon.pid())));
        measure("alone, after");
        phases
    }

    fn frame_address(&self, number: u64) -> Address {
        if number.is_multiple_of(2) { self.world.daemon.address.clone() } else { Address::Tcp(self.frame_tcp) }
    }

    /// Somebody new connects, asks one thing, and is answered.
    fn arrive(&self, number: u64, arrivals: &mut Vec<u64>) -> Result<(), String> {
        let start = Instant::now();
        let mut client = Client::connect(&self.frame_address(number)).map_err(|error| format!("arriving: {error}"))?;
        ask_single(&mut client, self.world, number)?;
        arrivals.push(start.elapsed().as_nanos() as u64);
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    /// A connection of one of the four sorts.
    fn connect(&self, number: usize, never_reads: bool) -> Wire {
        let unix = |path| UnixStream::connect(path).map(OwnedFd::from);
        let tcp = |address| TcpStream::connect(address).map(OwnedFd::from);
        let Address::Unix(frame_unix) = &self.world.daemon.address else { unreachable!("the default socket") };
        let connected = match number % 4 {
            0 => unix(frame_unix.clone()),
            1 => tcp(self.frame_tcp),
            2 => unix(self.world.http_socket()),
            _ => tcp(self.http_tcp),
        };
        let wire = Wire::new(connected.expect("the daemon accepts"), number % 4 >= 2);
        if never_reads {
            wire.keep_little();
        }
        wire
    }

    /// One that stands; every other four have said something before.
    fn idle(&self, number: usize) -> Wire {
        let mut wire = self.connect(number, false);
        if number % 8 < 4 {
            self.faults.note("greeting", wire.greet());
        }
        wire
    }

    /// While no more have room, who comes is told so, and whoever is there is answered.
    fn busy_at_the_limit(&self) -> Result<(), String> {
        let mut held = Vec::new();
        loop {
            match Client::connect(&self.frame_address(held.len() as u64)) {
                Ok(client) if held.len() < SPARE => held.push(client),
                Err(ClientError::Busy(text)) if text.contains("connections are taken") => break,
                Ok(_) => return Err("more connections than limits.connections".to_owned()),
                Err(error) => return Err(format!("expected BUSY, found {error}")),
            }
        }
        held.iter_mut().zip(0..).try_for_each(|(client, number)| ask_single(client, self.world, number))
    }

    fn report(&self, idle: usize, rude: usize, phases: &[Phase], arrivals: &mut [u64]) {
        println!("\n{idle} idle connections and {rude} that never read, all answers right");
        println!("| phase | rate of four, M rows/s | to alone | `RssAnon` | descriptors |\n|---|---:|---:|---:|---:|");
        let (first, last) = (phases.first().expect("the first phase"), phases.last().expect("the last phase"));
        let alone = (first.rate + last.rate) as f64 / 2.0;
        for Phase { what, rate, sample } in phases {
            let cells = [
                format!("{:.2}", *rate as f64 / 1e6),
                format!("{:.2} ×", *rate as f64 / alone),
                format!("{:.1} MB", sample.anon_kb as f64 / 1e3),
                sample.descriptors.to_string(),
            ];
            row(what, &cells);
        }
        let grown = phases[2].sample.anon_kb.saturating_sub(first.sample.anon_kb);
        println!("\n| what | figure |\n|---|---:|");
        row("memory of an idle connection", &[format!("{:.1} kB", grown as f64 / idle as f64)]);
        let [p50, p99, _] = percentiles(arrivals);
        row("a newcomer connects, asks and is answered: p50, p99", &[format!("{}, {}", micros(p50), micros(p99))]);
    }
}

/// None of those that stand was ended, but for some of HTTP, which lets go who asks nothing for a minute: how many.
fn still_there(standing: &[Wire]) -> Result<usize, String> {
    let mut ended = [0; 2];
    for part in standing.chunks(1_000) {
        let mut polled: Vec<PollFd<'_>> =
            part.iter().map(|wire| PollFd::new(wire.descriptor(), PollFlags::RDHUP)).collect();
        loop {
            match poll(&mut polled, Some(&Timespec::default())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
                Ok(_) => break,
            }
        }
        for (wire, polled) in part.iter().zip(&polled) {
            let is_over = polled.revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR);
            ended[usize::from(wire.is_http())] += usize::from(is_over);
        }
    }
    eprintln!("of those that stood, {} of frames and {} of HTTP were ended", ended[0], ended[1]);
    if ended[0] == 0 { Ok(ended[1]) } else { Err(format!("{} idle connections were ended", ended[0])) }
}
