//! `hashward demo`: the whole job on made-up, harmless files, in a temporary folder that is gone afterwards.
//!
//! It runs the two programs as a user would and prints what they answer, so nothing in it is staged: lists are parsed
//! by `hashward-index`, a daemon serves them, `hashward match` asks. If an answer is not the one the story needs, the
//! demo fails.

use std::fmt::Display;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::Exit;
use crate::fingerprint::{Kind, hash_bytes};
use crate::list::TEST_CONTENT;
use crate::protocol::{DEFAULT_DATA, SOCKET_NAME};

/// Digests of the list that the last chapter asks about.
const MANY: u64 = 1_000_000;

/// How long the daemon may take to start.
const START_MAX: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(Arguments {}: &Arguments) -> Result<Exit> {
    let folder = tempfile::Builder::new().prefix("hashward-demo-").tempdir().context("no temporary folder")?;
    let stage = Stage {
        hashward: std::env::current_exe().context("where is this program?")?,
        index: index_tool()?,
        files: folder.path().join("seized-disk"),
        data: folder.path().join(DEFAULT_DATA),
        folder: folder.path().to_owned(),
        style: Style(std::io::stdout().is_terminal()),
    };
    stage.files()?;
    let own = stage.lists()?;
    let daemon = stage.serve()?;
    stage.ask()?;
    stage.change(&own)?;
    stage.copies()?;
    stage.speed()?;
    daemon.stop()?;
    let place = folder.path().display().to_string();
    folder.close().with_context(|| format!("cannot remove {place}"))?;
    println!("\nThe daemon has stopped and {place} is gone. The README goes on from here.");
    Ok(Exit::Fine)
}

/// A made-up file: a small grey picture whose pattern depends on `number`.
fn picture(number: u32) -> Vec<u8> {
    let pixel = |at: u32| ((at % 32) * number + (at / 32) * (7 + number)) as u8;
    b"P5 32 32 255\n".iter().copied().chain((0..32 * 32).map(pixel)).collect()
}

/// A made-up picture as a camera would take it: eight discs, which the digest of `number` places, before a sky.
fn drawn(number: u32) -> RgbImage {
    let discs = hash_bytes(Kind::Sha256, &number.to_le_bytes());
    RgbImage::from_fn(512, 384, |x, y| {
        let is_inside = |disc: &&[u8]| {
            let (across, down) = (x.abs_diff(2 * u32::from(disc[0])), y.abs_diff(3 * u32::from(disc[1]) / 2));
            across * across + down * down < (30 + u32::from(disc[2]) / 4).pow(2)
        };
        let shade = discs.value().chunks_exact(4).find(is_inside).map_or((y / 2) as u8, |disc| disc[3]);
        Rgb([shade, shade / 2 + 60, 255 - shade])
    })
}

/// Where everything happens.
struct Stage {
    hashward: PathBuf,
    index: PathBuf,
    folder: PathBuf,
    files: PathBuf,
    data: PathBuf,
    style: Style,
}

impl Stage {
    fn title(&self, number: u32, title: &str) {
        println!("\n{} {}", self.style.dim(number), self.style.bold(title));
    }

    fn files(&self) -> Result<()> {
        fs::create_dir(&self.files)?;
        for number in 1..=9 {
            fs::write(self.files.join(format!("picture-{number}.pgm")), picture(number))?;
        }
        fs::write(self.files.join("empty.txt"), "")?;
        fs::write(self.files.join("test.txt"), TEST_CONTENT)?;
        self.title(1, "Eleven files, as they might lie on a disk. All are made up and harmless.");
        println!("  nine small pictures, an empty file, and hashward's test sentence, in {}", self.files.display());
        Ok(())
    }

    /// Imports three lists; gives the digest of the one's own case.
    fn lists(&self) -> Result<String> {
        self.title(2, "Three lists come in, each in its own format.");
        let sums: String = [4, 5, 6]
            .map(|number| format!("{}  picture-{number}.pgm\n", hash_bytes(Kind::Md5, &picture(number)).to_hex()))
            .concat();
        let sums_file = self.folder.join("system-files.md5");
        fs::write(&sums_file, sums)?;
        self.import("system-files", &sums_file, &["--role", "ignorable"], "md5sum text; known to be harmless")?;

        let media = |(id, number, category): (u32, u32, u32)| {
            let hex = |kind| hash_bytes(kind, &picture(number)).to_hex().to_uppercase();
            json!({"MediaID": id, "Category": category, "MD5": hex(Kind::Md5), "SHA1": hex(Kind::Sha1),
                   "IsDistributed": "true", "VictimIdentified": "false"})
        };
        let media = [(1, 1, 1), (2, 2, 2), (3, 3, 5), (4, 4, 1)].map(media);
        let vics = json!({
            "@odata.context": "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/XX/$metadata#Media",
            "value": media,
        });
        let vics_file = self.folder.join("partner.json");
        fs::write(&vics_file, vics.to_string())?;
        let roles = ["--role", "illegal", "--roles", "XX:1=illegal,XX:2=illegal"];
        self.import("partner", &vics_file, &roles, "VICS JSON; its codes 1 and 2 mean illegal, 5 is left to watch")?;

        let own = hash_bytes(Kind::Md5, &picture(7)).to_string();
        self.keep(&["add", "own-cases", &own, "--role", "illegal"])?;
        println!("  own-cases     one entry added by hand, from a case already worked on");
        Ok(own)
    }

    fn import(&self, list: &str, file: &Path, options: &[&str], what: &str) -> Result<Value> {
        let path = file.to_str().context("the temporary folder's name is no UTF-8")?;
        let report = self.keep(&[&["import", list, path, "--report", "json"], options].concat())?;
        let report: Value = serde_json::from_str(&report).context("the import's report")?;
        let accepted = report["accepted"].as_object().context("the import's report counts what it accepted")?;
        let accepted: Vec<String> = accepted.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("  {list:<13} {what}: {}", accepted.join(", "));
        Ok(report)
    }

    fn serve(&self) -> Result<Daemon> {
        self.title(3, "A daemon loads them, and is asked about the folder.");
        let mut command = Command::new(&self.hashward);
        let child = command.arg("serve").arg("--data").arg(&self.data).stderr(Stdio::null()).spawn()?;
        let mut daemon = Daemon(child);
        let started_at = Instant::now();
        while !self.is_ready()? {
            ensure!(daemon.0.try_wait()?.is_none(), "the daemon ended before it was ready");
            ensure!(started_at.elapsed() < START_MAX, "the daemon is not ready after {START_MAX:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    fn is_ready(&self) -> Result<bool> {
        let mut command = Command::new(&self.hashward);
        let output = command.args(["status", "--format", "json", "--socket"]).arg(self.socket()).output()?;
        let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        Ok(status.is_some_and(|status| status["state"] == "ready"))
    }

    fn socket(&self) -> PathBuf {
        self.data.join(SOCKET_NAME)
    }

    fn ask(&self) -> Result<()> {
        let answers = self.answers(&self.files)?;
        let mut count = std::collections::BTreeMap::<String, u32>::new();
        for answer in &answers {
            self.print_answer(answer);
            *count.entry(verdict(answer).to_owned()).or_default() += 1;
        }
        let of = |verdict: &str| count.get(verdict).copied().unwrap_or_default();
        let expected = [("known", 3), ("conflict", 1), ("ignorable", 3), ("unknown", 4)];
        for (verdict, files) in expected {
            ensure!(of(verdict) == files, "expected {files} files to be {verdict}, found {}", of(verdict));
        }
        println!(
            "\n  Of {} files, {} need no eyes again and {} are harmless. The {} unknown ones come first,\n  \
             and the conflict, where two lists disagree, needs a person to decide.",
            answers.len(),
            of("known"),
            of("ignorable"),
            of("unknown"),
        );
        Ok(())
    }

    fn change(&self, own: &str) -> Result<()> {
        self.title(4, "Lists change while the daemon answers.");
        self.keep(&["withdraw", "own-cases", own])?;
        self.expect(7, "unknown", "own-cases takes its entry back")?;
        self.keep(&["disable", "partner"])?;
        self.expect(4, "ignorable", "partner is disabled: the conflict is gone")?;
        self.keep(&["enable", "partner"])?;
        self.expect(4, "conflict", "and enabled again")
    }

    fn expect(&self, number: u32, expected: &str, why: &str) -> Result<()> {
        let answers = self.answers(&self.files.join(format!("picture-{number}.pgm")))?;
        let [answer] = &answers[..] else { bail!("expected one answer, found {answers:?}") };
        ensure!(verdict(answer) == expected, "{why}: expected {expected}, found {answer}");
        println!("  {why}");
        self.print_answer(answer);
        Ok(())
    }

    fn copies(&self) -> Result<()> {
        self.title(5, "A copy of a known picture is recognised.");
        let original = self.folder.join("original.png");
        drawn(1).save(&original)?;
        let output = Command::new(&self.hashward).args(["hash", "--kind", "pdq"]).arg(&original).output()?;
        ensure!(output.status.success(), "hash: {}", String::from_utf8_lossy(&output.stderr));
        let hashes = self.folder.join("seen.txt");
        fs::write(&hashes, output.stdout)?;
        self.import("seen", &hashes, &["--role", "illegal"], "the perceptual hash of a picture, by `hashward hash`")?;

        let folder = self.folder.join("copies");
        fs::create_dir(&folder)?;
        let half = imageops::resize(&drawn(1), 256, 192, FilterType::Triangle);
        half.write_with_encoder(JpegEncoder::new_with_quality(fs::File::create(folder.join("half-size.jpg"))?, 60))?;
        drawn(2).save(folder.join("another.png"))?;
        RgbImage::from_pixel(512, 384, Rgb([128, 128, 128])).save(folder.join("flat-grey.png"))?;
        println!("  the same picture at half its size, saved as JPEG; another one; and one that shows nothing:");
        let answers = self.answers(&folder)?;
        answers.iter().for_each(|answer| self.print_answer(answer));
        let verdicts: Vec<&str> = answers.iter().map(verdict).collect();
        ensure!(verdicts == ["unknown", "undecided", "known"], "expected another verdict, found {answers:?}");
        let found = &answers[2]["matches"][0];
        ensure!(found["kind"] == "pdq" && found["distance"].is_u64(), "expected a match by distance, found {found}");
        ensure!(answers[1]["reason"] == "low_quality", "expected low_quality, found {}", answers[1]);
        Ok(())
    }

    fn speed(&self) -> Result<()> {
        self.title(6, "How fast, on this machine.");
        let file = self.folder.join("many.txt");
        let line = |number: u64| hash_bytes(Kind::Md5, &number.to_le_bytes()).to_hex() + "\n";
        fs::write(&file, (0..MANY).map(line).collect::<String>())?;
        let report =
            self.import("many", &file, &["--kind", "md5", "--role", "watch"], "a list of a million made-up digests")?;
        let mut bench = Command::new(&self.hashward);
        let bench = bench.args(["bench", "--seconds", "1", "--format", "json", "--socket"]).arg(self.socket());
        let output = bench.arg("--sample").arg(&file).output()?;
        ensure!(output.status.success(), "bench: {}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&output.stdout).context("the bench's figures")?;
        let (Some(import), Some(lookups)) = (report["seconds"].as_f64(), figures["lookups_per_s"].as_f64()) else {
            bail!("expected seconds and lookups_per_s, found {report} and {figures}");
        };
        println!("  imported in {import:.2} s, then {:.1} million lookups a second over the socket", lookups / 1e6);
        Ok(())
    }

    /// One JSON object for each file.
    fn answers(&self, path: &Path) -> Result<Vec<Value>> {
        let mut command = Command::new(&self.hashward);
        let output = command.args(["match", "--format", "json", "--socket"]).arg(self.socket()).arg(path).output()?;
        let lines = String::from_utf8(output.stdout).context("the answers")?;
        let mut answers: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(!answers.is_empty(), "match answered nothing: {}", String::from_utf8_lossy(&output.stderr));
        answers.sort_by_key(|answer| answer["file"].as_str().map(str::to_owned));
        Ok(answers)
    }

    fn print_answer(&self, answer: &Value) {
        let file = Path::new(answer["file"].as_str().unwrap_or_default());
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut by: Vec<String> = answer["matches"].as_array().into_iter().flatten().map(said).collect();
        // One list often matches by several kinds alike.
        by.sort();
        by.dedup();
        by.extend(answer["reason"].as_str().map(|reason| format!("({reason})")));
        let verdict = verdict(answer);
        println!("    {} {name:<14} {}", self.style.verdict(verdict), by.join("; "));
    }

    /// Runs `hashward-index`, which must succeed, and gives what it printed.
    fn keep(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.index).args(arguments).arg("--data").arg(&self.data).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "hashward-index {}: {error}", arguments.join(" "));
        String::from_utf8(output.stdout).context("what hashward-index printed")
    }
}

fn verdict(answer: &Value) -> &str {
    answer["verdict"].as_str().unwrap_or("error")
}

fn said(found: &Value) -> String {
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    let mut said = format!("{} says {}", text("list"), text("role"));
    if !found["category"].is_null() {
        said += &format!(" ({}:{})", text("scheme"), text("category"));
    }
    if let Some(distance) = found["distance"].as_u64() {
        said += &format!(", its {} {distance} bits away", text("kind"));
    }
    said
}

/// Emphasis, on terminals only.
struct Style(bool);

impl Style {
    fn ansi(&self, code: &str, text: impl Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn bold(&self, text: &str) -> String {
        self.ansi("1", text)
    }

    fn dim(&self, text: impl Display) -> String {
        self.ansi("2", text)
    }

    fn verdict(&self, verdict: &str) -> String {
        let code = match verdict {
            "known" => "31",
            "conflict" => "35",
            "ignorable" => "32",
            _ => "33",
        };
        self.ansi(code, format!("{verdict:<10}"))
    }
}

/// The daemon, which goes with the demo however it ends.
struct Daemon(Child);

impl Daemon {
    /// Has it drain and end.
    fn stop(mut self) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `hashward-index`, which stands beside this program. `cargo run` builds this program only: then it is built here.
fn index_tool() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let tool = program.with_file_name("hashward-index");
    if let (Some(cargo), Some(profile)) = (std::env::var_os("CARGO"), program.parent().and_then(Path::file_name)) {
        let profile = if profile == "debug" { "dev".into() } else { profile.to_owned() };
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "hashward-index", "--profile"]).arg(profile);
        ensure!(build.status()?.success(), "hashward-index does not build");
    }
    ensure!(tool.exists(), "expected hashward-index beside {}; install both programs", program.display());
    Ok(tool)
}
