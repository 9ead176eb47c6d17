//! What a list keeper waits for: large lists, from files to searchable versions, and how much memory that takes.
//!
//! Runs `hashward-index` as a user would, on made-up lists in a temporary folder (at least 40 GB with
//! `HASHWARD_BENCH_LARGE=1`, which makes the lists ten times as long). The floor of an import is reading and hashing its
//! file on one core in the same run. What was imported is counted: another number ends the run.

mod made_lists;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hashward_index::formats::Format;

fn main() {
    // `cargo test --benches` only asks whether it runs at all.
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let scale = match (smoke, std::env::var_os("HASHWARD_BENCH_LARGE")) {
        (true, _) => 1,
        (false, None) => 1_000,
        (false, Some(_)) => 10_000,
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench { folder: folder.path().to_path_buf() };
    println!("| what | records | figure | floor of this run | ratio | peak memory |\n|---|---:|---:|---:|---:|---:|");
    bench.nsrl(10_000 * scale);
    bench.json(1_400 * scale);
    bench.gate(500 * scale, 5_000 * scale);
}

struct Bench {
    folder: PathBuf,
}

/// What an import took.
struct Import {
    time: Duration,
    peak_bytes: u64,
}

impl Bench {
    fn list(&self, name: &str, format: Format, records: u64, seed: u64) -> PathBuf {
        let path = self.folder.join(name);
        let mut out = BufWriter::new(File::create(&path).expect("a list file"));
        made_lists::write_list(format, records, seed, &mut out).expect("room for the list");
        out.flush().expect("room for the list");
        path
    }

    /// Imports `file`, of `records` records, into the data folder `data`.
    fn import(&self, data: &str, list: &str, file: &Path, records: u64, options: &[&str]) -> Import {
        let report = self.folder.join("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hashward-index"));
        command.args(["import", list]).arg(file).arg("--data").arg(self.folder.join(data));
        command.args(["--report", "json"]).args(options).stderr(Stdio::null());
        command.stdout(File::create(&report).expect("a report"));
        let start = Instant::now();
        let peak_bytes = wait_and_watch(&mut command.spawn().expect("hashward-index starts"));
        let time = start.elapsed();
        let report = fs::read_to_string(report).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("a report in JSON");
        assert_eq!(report["records"], records, "{report}");
        Import { time, peak_bytes }
    }

    /// Rows of NSRL v2, md5 and sha1, names kept.
    fn nsrl(&self, rows: u64) {
        let file = self.list("NSRLFile.txt", Format::NsrlV2, rows, 1);
        let floor = read_and_hash(&file);
        let import = self.import("nsrl", "nsrl", &file, rows, &["--role", "ignorable", "--memory", "1G"]);
        row("import of NSRL v2, `--memory 1G`", rows, &import, floor);
        self.remove(&["NSRLFile.txt", "nsrl"]);
    }

    /// All of VICS JSON in one line.
    fn json(&self, media: u64) {
        let file = self.list("media.json", Format::Vics, media, 1);
        let floor = read_and_hash(&file);
        let options = ["--role", "illegal", "--all-categories", "--memory", "256M"];
        let import = self.import("vics", "vics", &file, media, &options);
        let bytes = fs::metadata(&file).expect("the list").len();
        let what = format!("import of VICS, {:.1} GB in one line, `--memory 256M`", bytes as f64 / 1e9);
        row(&what, media, &import, floor);
        self.remove(&["media.json", "vics"]);
    }

    /// A list that is held against a long ignorable one, beside the same import where there is none.
    fn gate(&self, entries: u64, ignorable: u64) {
        let known = self.list("known.txt", Format::Hex, ignorable, 1);
        let new = self.list("new.txt", Format::Hex, entries, 2);
        let illegal = ["--role", "illegal", "--kind", "md5"];
        let alone = self.import("empty", "new", &new, entries, &illegal);
        self.import("gate", "known", &known, ignorable, &["--role", "ignorable", "--kind", "md5"]);
        let beside = self.import("gate", "new", &new, entries, &illegal);
        let what = format!("import of a list beside an ignorable one of {ignorable}; the floor: into an empty store");
        row(&what, entries, &beside, alone.time);
        self.remove(&["known.txt", "new.txt", "empty", "gate"]);
    }

    fn remove(&self, names: &[&str]) {
        for path in names.iter().map(|name| self.folder.join(name)) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("what was made goes");
        }
    }
}

fn read_and_hash(file: &Path) -> Duration {
    let start = Instant::now();
    blake3::Hasher::new().update_reader(File::open(file).expect("the list")).expect("the list");
    start.elapsed()
}

/// Waits until the import has succeeded; returns the most memory that it took.
fn wait_and_watch(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kb = peak_kb.max(mark.unwrap_or(0u64));
        if let Some(status) = child.try_wait().expect("the import is ours") {
            assert!(status.success(), "the import failed");
            return peak_kb * 1024;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn row(what: &str, records: u64, import: &Import, floor: Duration) {
    let seconds = import.time.as_secs_f64();
    println!(
        "| {what} | {records} | {seconds:.1} s, {:.2} M records/s | {:.1} s | {:.1} × | {:.2} GB |",
        records as f64 / seconds / 1e6,
        floor.as_secs_f64(),
        seconds / floor.as_secs_f64(),
        import.peak_bytes as f64 / 1e9,
    );
}
