//! How many copies of known pictures are recognised, and how many strangers are taken for them.
//!
//! A thousand made-up pictures are hashed with `hashward hash`, become a list of each perceptual kind, and a daemon serves
//! them; then `hashward match` is run on folders of their copies, each changed in one way, and on as many strangers. A
//! copy is recognised by a kind if its own original is among the codes near to it, within the kind's default radius. It is
//! taken for another if another original is.
//!
//! Pictures and changes are the same in every run, so the checksum of all answers is, too.

#[path = "../tests/pictures_support/mod.rs"]
mod pictures_support;
mod programs;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hashward::fingerprint::Kind;
use hashward::protocol::Client;
use image::imageops;
use image::{DynamicImage, Rgb, RgbImage};
use pictures_support::{bmp, jpeg, leaves, mirrored, png, resized};
use programs::{Daemon, hashward, index_tool, is_smoke};
use rayon::prelude::*;
use serde_json::Value;

const PICTURES: u64 = 1_000;
const KINDS: [Kind; 4] = Kind::PERCEPTUAL;

/// The quality at which a copy is saved where the change is another.
const QUALITY: u8 = 85;

/// What is done to a picture before it is saved again.
struct Change {
    name: &'static str,
    copy: fn(&RgbImage) -> Vec<u8>,
    dihedral: bool,
}

const CHANGES: [Change; 16] = [
    Change::new("the same pixels as PNG", png),
    Change::new("JPEG of quality 90", |picture| jpeg(picture, 90)),
    Change::new("JPEG of quality 60", |picture| jpeg(picture, 60)),
    Change::new("JPEG of quality 30", |picture| jpeg(picture, 30)),
    Change::new("half size", |picture| saved(&resized(picture, 0.5))),
    Change::new("double size", |picture| saved(&resized(picture, 2.0))),
    Change::new("0.75 × and quality 60", |picture| jpeg(&resized(picture, 0.75), 60)),
    Change::new("cropped by 1 % at each side", |picture| saved(&cropped(picture, 100))),
    Change::new("cropped by 2 % at each side", |picture| saved(&cropped(picture, 50))),
    Change::new("brighter by 20 of 255", |picture| saved(&imageops::brighten(picture, 20))),
    Change::new("contrast + 20 %", |picture| saved(&imageops::contrast(picture, 20.0))),
    Change::new("greyscale", |picture| saved(&DynamicImage::from(picture.clone()).grayscale().into_rgb8())),
    Change::new("a logo in a corner, 2 % of the area", |picture| saved(&covered(picture, 10, 10, 48, 32))),
    Change::new("a caption bar, a tenth of the height", |picture| {
        saved(&covered(picture, 0, picture.height() * 9 / 10, picture.width(), picture.height() / 10))
    }),
    Change::new("mirrored", |picture| saved(&mirrored(picture))),
    Change { dihedral: true, ..Change::new("mirrored, `--dihedral`", |picture| saved(&mirrored(picture))) },
];

const STRANGERS: [Change; 2] =
    [Change::new("strangers", saved), Change { dihedral: true, ..Change::new("strangers, `--dihedral`", saved) }];

impl Change {
    const fn new(name: &'static str, copy: fn(&RgbImage) -> Vec<u8>) -> Change {
        Change { name, copy, dihedral: false }
    }
}

fn saved(picture: &RgbImage) -> Vec<u8> {
    jpeg(picture, QUALITY)
}

/// Without the outermost of `parts` parts at each side.
fn cropped(picture: &RgbImage, parts: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let (left, top) = (width / parts, height / parts);
    imageops::crop_imm(picture, left, top, width - 2 * left, height - 2 * top).to_image()
}

/// The picture behind a light bar with dark stripes, as letters would be.
fn covered(picture: &RgbImage, left: u32, top: u32, width: u32, height: u32) -> RgbImage {
    let mut covered = picture.clone();
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let is_dark = (height / 4..height * 3 / 4).contains(&y) && x % 7 < 3;
        covered.put_pixel(left + x, top + y, Rgb(if is_dark { [20, 20, 20] } else { [235, 235, 235] }));
    }
    covered
}

fn main() {
    let pictures = if is_smoke() { 12 } else { PICTURES };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stage = Stage { folder: folder.path().to_owned(), pictures };
    let originals = stage.originals();
    let is_ready =
        |client: &mut Client| client.status().is_ok_and(|status| said(&status).contains(r#""state":"ready""#));
    let daemon = Daemon::start(&stage.data(), is_ready);
    let mut table = Table::new();
    for change in &CHANGES {
        table.row(change.name, &stage.tried(&daemon, change, 0, &originals));
    }
    for change in &STRANGERS {
        table.row(change.name, &stage.tried(&daemon, change, pictures, &originals));
    }
    println!("\nchecksum of all answers: {}", table.checksum.finalize().to_hex());
}

/// Of each kind: which originals have this code.
type Originals = HashMap<(Kind, String), Vec<u64>>;

struct Stage {
    folder: PathBuf,
    pictures: u64,
}

/// What became of a folder of copies.
struct Tried {
    files: usize,
    of_kinds: [Recognised; KINDS.len()],
    undecided: usize,
    taken: Duration,
    answers: String,
}

#[derive(Clone, Copy, Default)]
struct Recognised {
    /// Copies that matched their own original.
    own: usize,
    /// Files that matched the original of another.
    other: usize,
}

impl Stage {
    fn data(&self) -> PathBuf {
        self.folder.join("hashward-data")
    }

    /// Writes pictures from number `first` on, changed.
    fn write(&self, folder: &Path, first: u64, copy: fn(&RgbImage) -> Vec<u8>) {
        fs::create_dir(folder).expect("a folder");
        (0..self.pictures).into_par_iter().for_each(|number| {
            let number = first + number;
            fs::write(folder.join(number.to_string()), copy(&leaves(number))).expect("a picture");
        });
    }

    /// Makes the originals, and a list of each kind from what `hashward hash` says of them.
    fn originals(&self) -> Originals {
        let folder = self.folder.join("originals");
        self.write(&folder, 0, bmp);
        let kinds = KINDS.map(Kind::name).join(",");
        let start = Instant::now();
        let output = hashward().args(["hash", "--kind", &kinds]).arg(&folder).output().expect("hashward runs");
        eprintln!("{} originals hashed by four kinds in {:.1} s", self.pictures, start.elapsed().as_secs_f64());
        assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("lines of text");
        let mut originals = Originals::new();
        for kind in KINDS {
            let tag = format!("{} (", kind.name().to_uppercase());
            let mut list = String::new();
            for line in text.lines().filter(|line| line.starts_with(&tag)) {
                writeln!(list, "{line}").expect("a string takes it");
                let (name, code) = line.rsplit_once(") = ").expect("KIND (name) = code");
                originals.entry((kind, code.to_owned())).or_default().push(number_of(name));
            }
            assert_eq!(list.lines().count() as u64, self.pictures, "values of {kind}");
            let file = self.folder.join(format!("{kind}.txt"));
            fs::write(&file, list).expect("a list");
            let mut import = Command::new(index_tool());
            import.args(["import", kind.name()]).arg(file).args(["--role", "illegal", "--data"]).arg(self.data());
            let output = import.output().expect("hashward-index runs");
            assert!(output.status.success(), "{}", said(&output.stderr));
        }
        originals
    }

    /// Matches a folder of pictures from number `first` on, changed.
    fn tried(&self, daemon: &Daemon, change: &Change, first: u64, originals: &Originals) -> Tried {
        let folder = self.folder.join("copies");
        self.write(&folder, first, change.copy);
        let mut command = hashward();
        command.args(["match", "--format", "json", "--socket"]).arg(daemon.address.to_string());
        command.args(change.dihedral.then_some("--dihedral")).arg(&folder);
        let start = Instant::now();
        let output = command.output().expect("hashward runs");
        let taken = start.elapsed();
        let answers = String::from_utf8(output.stdout).expect("lines of JSON");
        fs::remove_dir_all(folder).expect("the copies go");

        let (mut of_kinds, mut undecided, mut checked) = ([Recognised::default(); KINDS.len()], 0, String::new());
        for line in answers.lines() {
            let mut answer: Value = serde_json::from_str(line).expect("a JSON object");
            let number = number_of(answer["file"].as_str().expect("a file"));
            undecided += usize::from(answer["verdict"] == "undecided" || !answer["incomplete"].is_null());
            let nearest = answer["nearest"].as_array().cloned().unwrap_or_default();
            assert!(answer["further"].as_u64().unwrap_or(0) == 0, "not all that matched is told: {line}");
            for (kind, recognised) in KINDS.iter().zip(&mut of_kinds) {
                let of_kind = nearest.iter().filter(|near| near["kind"] == kind.name());
                let code = |near: &Value| near["hash"].as_str().expect("a code").to_owned();
                let numbers: Vec<u64> = of_kind.flat_map(|near| &originals[&(*kind, code(near))]).copied().collect();
                recognised.own += usize::from(numbers.contains(&number));
                recognised.other += usize::from(numbers.iter().any(|other| *other != number));
            }
            // Where the folder lies differs from run to run.
            answer["file"] = number.into();
            writeln!(checked, "{answer}").expect("a string takes it");
        }
        let files = answers.lines().count();
        assert_eq!(files as u64, self.pictures, "answers to all files");
        Tried { files, of_kinds, undecided, taken, answers: checked }
    }
}

/// A picture's number, from the end of its path.
fn number_of(path: &str) -> u64 {
    path.rsplit('/').next().and_then(|name| name.parse().ok()).expect("a picture's number")
}

struct Table {
    checksum: blake3::Hasher,
}

impl Table {
    fn new() -> Table {
        let kinds: String =
            KINDS.map(|kind| format!(" {kind}, r = {} | false |", kind.radius_default().expect("a radius"))).concat();
        println!("| change |{kinds} undecided | pictures/s |\n|---|{}---:|---:|", "---:|---:|".repeat(KINDS.len()));
        Table { checksum: blake3::Hasher::new() }
    }

    fn row(&mut self, name: &str, tried: &Tried) {
        self.checksum.update(name.as_bytes()).update(tried.answers.as_bytes());
        let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / tried.files as f64);
        let is_stranger = name.starts_with("strangers");
        let of_kind = |found: &Recognised| {
            let own = if is_stranger { "–".to_owned() } else { share(found.own) };
            format!(" {own} | {} |", found.other)
        };
        let kinds: String = tried.of_kinds.iter().map(of_kind).collect();
        let rate = tried.files as f64 / tried.taken.as_secs_f64();
        println!("| {name} |{kinds} {} | {rate:.0} |", tried.undecided);
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
