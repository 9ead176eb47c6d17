//! What it costs that a service can be trusted: batches of md5 over the Unix socket by a principal with a token, a right and
//! a budget, recorded in the audit trail (and as match events), while a scraper reads the metrics once a second; against the
//! same batches by the daemon's own user, who is asked for no right and has no budget, while nothing is recorded and nobody
//! scrapes.
//!
//! Metrics are counted in both, since there is no switch for them: off means that nobody reads them. Every hundredth row
//! is in a list of role `illegal`, so that it is recorded one by one. The daemons take turns on one data folder, so that
//! what else the machine does falls on all. Every answer is counted and checked: a wrong one ends the run.

mod programs;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hashward::access::Token;
use hashward::fingerprint::{Kind, Radii};
use hashward::matching::Verdict;
use hashward::protocol::Client;
use programs::{Daemon, digest, hashward, index_tool, is_smoke, median, rows_per_second, write_list};

const BATCH: u64 = 4_096;
const BATCHES: u64 = 64;
const DEPTH: usize = 8;
/// One row in so many is known.
const KNOWN_EVERY: u64 = 100;
const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(3);
const SCRAPE_PAUSE: Duration = Duration::from_secs(1);

/// What is on in a daemon.
#[derive(Clone, Copy, PartialEq)]
enum Trust {
    /// Nothing.
    Off,
    /// Rights, a budget, the audit trail, a scraper.
    On,
    /// Match events besides.
    WithEvents,
}

fn main() {
    let smoke = is_smoke();
    let (lines, rounds, time) =
        if smoke { (20_000, 1, Duration::from_millis(300)) } else { (10_000_000, ROUNDS, TIME) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench { folder: folder.path().to_path_buf(), lines, time, token: Token::generate().expect("a token") };
    bench.import();
    let all = [Trust::Off, Trust::On, Trust::WithEvents];
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (rates, trust) in rates.iter_mut().zip(all) {
            rates.push(bench.round(trust));
        }
    }
    let [off, on, with_events] = rates.map(median);
    println!("| batches of {BATCH}, {lines} md5, 1 % hits in an illegal list | rate | of the rate without |");
    println!("|---|---:|---:|");
    let row = |what: &str, rate: f64| println!("| {what} | {:.1} M/s | {:.1} % |", rate / 1e6, 100.0 * rate / off);
    row("nothing recorded, no budget, no scraper", off);
    row("a principal with a budget, every question in the trail, a scrape a second", on);
    row("and a match event for each hit", with_events);
}

struct Bench {
    folder: PathBuf,
    lines: u64,
    time: Duration,
    token: Token,
}

impl Bench {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn import(&self) {
        let file = write_list(&self.folder, "list.txt", (0..self.lines).map(digest));
        let mut import = std::process::Command::new(index_tool());
        import.args(["import", "bench"]).arg(&file).args(["--role", "illegal", "--kind", "md5", "--data"]);
        let imported = import.arg(self.data()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(imported.expect("hashward-index starts").success(), "the import failed");
        fs::remove_file(file).expect("the list goes");
    }

    /// Rows in a second, of a daemon of its own.
    fn round(&self, trust: Trust) -> f64 {
        let (batches, expected): (Vec<_>, Vec<_>) = (0..BATCHES).map(|number| self.batch(number)).unzip();
        let daemon = self.serve(trust);
        if trust == Trust::Off {
            return rows_per_second(daemon.connect(), &batches, &expected, DEPTH, self.time);
        }
        let client = Client::connect_with(&daemon.address, Some(&self.token)).expect("the principal is known");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    scrape(&self.folder.join("http.sock"));
                    thread::sleep(SCRAPE_PAUSE.min(self.time / 3));
                }
            });
            let rate = rows_per_second(client, &batches, &expected, DEPTH, self.time);
            over.store(true, Ordering::Relaxed);
            rate
        })
    }

    /// A batch, and how many of its rows are known.
    fn batch(&self, number: u64) -> (Vec<u8>, usize) {
        let is_known = |i: &u64| i.is_multiple_of(KNOWN_EVERY);
        let rows = number * BATCH..(number + 1) * BATCH;
        let one = |i: u64| if is_known(&i) { digest(i * 7919 % self.lines) } else { digest((1 << 41) + i) };
        (rows.clone().flat_map(one).collect(), rows.filter(is_known).count())
    }

    fn serve(&self, trust: Trust) -> Daemon {
        let (data, http) = (self.data(), self.folder.join("http.sock"));
        let (questions, events) = (trust != Trust::Off, trust == Trust::WithEvents);
        let mut config = format!(
            "data = '{}'\n[[listen]]\naddress = 'unix:{}'\n[[listen]]\naddress = 'unix:{}'\nprotocol = 'http'\n\
             [audit]\nquestions = {questions}\n[events]\nenabled = {events}\n",
            data.display(),
            data.join(hashward::protocol::SOCKET_NAME).display(),
            http.display()
        );
        if trust != Trust::Off {
            config += &format!(
                "[[principal]]\nname = 'platform'\ntoken = '{}'\nrights = ['lookup']\n\
                 budget = {{ questions_per_s = 1000000000, near_per_day = 1000, content_per_day = 1000 }}\n",
                self.token.hash()
            );
        }
        let file = self.folder.join("hashward.toml");
        fs::write(&file, config).expect("the config");
        let mut command = hashward();
        command.arg("serve").arg("--config").arg(file).stderr(Stdio::null());
        Daemon::run(command, &data, |client| {
            let answers = client.lookup(&[Kind::Md5], &Radii::none(), &digest(u64::MAX)).expect("an answer");
            answers.miss == Verdict::Unknown
        })
    }
}

/// Reads the metrics as a scraper does.
fn scrape(socket: &Path) {
    let mut stream = UnixStream::connect(socket).expect("the listener for HTTP");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("an answer");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("hashward_verdicts_total"), "{page}");
}
