//! How fast and how small search by distance is, held against the scan.
//!
//! `cargo bench --bench near` measures codes of 256 and of 64 bits, spread evenly, 1 and 10 million of each, and 100
//! million of 256 bits with `HASHWARD_BENCH_LARGE=1`; floods of nearly equal codes; the scan's kernels; and the tree of
//! the live layer beside the crate `bk-tree`. Beside each figure stand its ratio to the *floor*, the scan by
//! popcount of the same codes for one question in the same run, and a checksum of the answers, which is the same for
//! all structures. One question in eight has a match. Everything is on one core.
//!
//! The figures also go to `target/near.csv` (or to the file that `HASHWARD_NEAR_CSV` names), from which
//! `benches/peers/near_chart.py` draws `docs/near.svg`. `cargo test --bench near` runs the same with few codes, once.

mod random;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hashward::fingerprint::Radius;
use hashward::index::hamming::{BkTree, Flat, HammingIndex, Kernel, Mih, Near, mih};
use hashward::segment::Mapping;
use random::Random;
use rayon::slice::ParallelSliceMut;

/// One question in so many is near a code.
const HIT_EVERY: usize = 8;
/// Samples of each figure, of which the fastest counts: the machine's other work disturbed it least.
const SAMPLES: usize = 5;
/// What is timed at once, if it can be divided.
const PIECE_NS: u128 = 2_000_000;
/// Questions that one pass of the scan answers.
const BATCH: usize = 32;
/// Codes of the live layer.
const LIVE: usize = 1 << 16;

impl Random {
    fn code<const WIDTH: usize>(&mut self) -> [u8; WIDTH] {
        let mut code = [0; WIDTH];
        code.as_chunks_mut().0.iter_mut().for_each(|eight| *eight = self.next().to_le_bytes());
        code
    }

    /// The code with at most so many bits flipped.
    fn near<const WIDTH: usize>(&mut self, mut code: [u8; WIDTH], flips: usize) -> [u8; WIDTH] {
        for _ in 0..self.next() as usize % (flips + 1) {
            let bit = self.next() as usize % (WIDTH * 8);
            code[bit / 8] ^= 1 << (bit % 8);
        }
        code
    }
}

/// Codes and their section, in files and mapped as a segment would be.
struct Set {
    name: String,
    count: usize,
    width: usize,
    codes: Mapping,
    section: Mapping,
    build_seconds: f64,
}

impl Set {
    /// Sorts the codes and leaves out repeated ones.
    fn new<const WIDTH: usize>(name: &str, mut codes: Vec<[u8; WIDTH]>) -> Set {
        codes.par_sort_unstable();
        codes.dedup();
        let count = codes.len();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let codes = mapped(&folder.join("near.codes"), |out| out.write_all(codes.as_flattened()));
        let start = Instant::now();
        let section = mapped(&folder.join("near.mih"), |mut out| mih::build(WIDTH, &codes, &mut out));
        let build_seconds = start.elapsed().as_secs_f64();
        Set { name: name.to_owned(), count, width: WIDTH, codes, section, build_seconds }
    }

    fn flat(&self) -> Flat<'_> {
        Flat::new(self.width, &self.codes)
    }

    fn mih(&self) -> Mih<'_> {
        Mih::open(self.width, &self.codes, &self.section).unwrap_or_else(|flaw| panic!("what was just built: {flaw:?}"))
    }
}

/// What `fill` writes, as a mapping of a file that is gone already.
fn mapped(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>) -> Mapping {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).expect("our own folder");
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    fill(&mut out).and_then(|()| out.flush()).expect("our own file");
    drop(out);
    // As after a restart: what comes from the disk comes in huge pages, and what was written in small pieces does not.
    file.sync_all().expect("our own file");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("our own file");
    let map = Mapping::of(&file).expect("a file that is not empty");
    map.populate();
    std::fs::remove_file(path).expect("our own file");
    map
}

/// The figures, printed as they come.
struct Report {
    csv: String,
    smoke: bool,
}

/// What one structure did with one set of questions.
struct Row<'a> {
    structure: &'a str,
    bits: usize,
    codes: usize,
    radius: u16,
    what: &'a str,
}

impl Report {
    fn new(smoke: bool) -> Report {
        println!("| structure | bits | codes | radius | what | time | × floor | answers |");
        println!("|---|---:|---:|---:|---|---:|---:|---|");
        Report { csv: "structure,bits,codes,radius,what,ns\n".to_owned(), smoke }
    }

    /// A row: nanoseconds, against the floor's.
    fn time(&mut self, row: &Row<'_>, ns: f64, floor_ns: f64, answers: u64) {
        let Row { structure, bits, codes, radius, what } = row;
        let time = match ns {
            ns if ns < 1e3 => format!("{ns:.2} ns"),
            ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
            ns => format!("{:.2} ms", ns / 1e6),
        };
        let ratio =
            if ns * 2.0 < floor_ns { format!("1/{:.0}", floor_ns / ns) } else { format!("{:.2}", ns / floor_ns) };
        println!("| {structure} | {bits} | {codes} | {radius} | {what} | {time} | {ratio} | {answers:08x} |");
        writeln!(self.csv, "{structure},{bits},{codes},{radius},\"{what}\",{ns:.1}").expect("a string takes all");
    }

    /// A row that is no time.
    fn figure(&self, set: &Set, what: &str, figure: f64) {
        println!("| {} | {} | {} | | {what} | {figure:.1} | | |", set.name, set.width * 8, set.count);
    }

    /// Nanoseconds a question, asked in batches, and a checksum of the answers.
    fn ask(&self, index: &dyn HammingIndex, width: usize, questions: &[u8], radius: u16, batch: usize) -> (f64, u64) {
        let mut found: Vec<Near> = Vec::new();
        let (mut total_ns, mut checksum) = (0.0, 0u64);
        // Timed in pieces, each as fast as its fastest sample: the machine's other work disturbs some of them.
        let mut pieces = questions.chunks(batch * width).enumerate().peekable();
        while let Some((_, first)) = pieces.peek() {
            let start = Instant::now();
            index.search(first, Radius(radius), &mut found);
            let rough_ns = start.elapsed().as_nanos().max(1);
            let piece: Vec<(usize, &[u8])> = pieces.by_ref().take((PIECE_NS / rough_ns).max(1) as usize).collect();
            let mut fastest_ns = f64::INFINITY;
            for sample in 0..if self.smoke { 1 } else { SAMPLES } {
                let start = Instant::now();
                for (part, questions) in &piece {
                    found.clear();
                    index.search(questions, Radius(radius), &mut found);
                    // Whatever the order, and the same for all batches.
                    for near in found.iter().filter(|_| sample == 0) {
                        let row = (part * batch) as u64 + u64::from(near.row);
                        let answer = row << 48 ^ u64::from(near.ordinal) << 16 ^ u64::from(near.distance);
                        checksum = checksum.wrapping_add(answer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
                    }
                }
                fastest_ns = fastest_ns.min(start.elapsed().as_nanos() as f64);
            }
            total_ns += fastest_ns;
        }
        let fastest = total_ns / (questions.len() / width) as f64;
        (fastest, checksum & u64::from(u32::MAX))
    }
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let large = std::env::var_os("HASHWARD_BENCH_LARGE").is_some();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--peer") {
        return peer(&arguments[at + 1..]);
    }
    let mut report = Report::new(smoke);
    let million = if smoke { 3_000 } else { 1_000_000 };

    for count in [million / 100, million / 10, million, 10 * million] {
        even::<32>(&mut report, count, &[0, 7, 15, 23, 31, 39, 47, 63]);
        even::<8>(&mut report, count, &[0, 2, 4, 6, 8, 12, 16]);
    }
    if large {
        even::<32>(&mut report, 100 * million, &[0, 15, 31, 47]);
    }
    floods(&mut report, million);
    kernels::<32>(&mut report, million, 31);
    kernels::<8>(&mut report, million, 8);
    let live = if smoke { 5_000 } else { LIVE };
    tree::<32>(&mut report, live, &[7, 15, 31]);
    tree::<8>(&mut report, live, &[2, 4, 8]);
    for count in [million / 100, million / 10, million] {
        crate_bk_tree::<8>(&mut report, count, &[2, 4, 8]);
    }
    for count in [million / 100, million / 10] {
        crate_bk_tree::<32>(&mut report, count, &[31]);
    }

    let path = std::env::var_os("HASHWARD_NEAR_CSV").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder").join("near.csv"),
        PathBuf::from,
    );
    if !smoke {
        std::fs::write(&path, &report.csv).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}

/// Codes that are spread evenly, and questions of which some are near one.
fn even_codes<const WIDTH: usize>(count: usize, radius: u16) -> (Vec<[u8; WIDTH]>, Vec<[u8; WIDTH]>) {
    let mut random = Random(1);
    let codes: Vec<[u8; WIDTH]> = (0..count).map(|_| random.code()).collect();
    let questions = (0..1024).map(|row| match row % HIT_EVERY {
        0 => {
            let code = codes[random.next() as usize % count];
            random.near(code, radius.into())
        }
        _ => random.code(),
    });
    let questions = questions.collect();
    (codes, questions)
}

fn even<const WIDTH: usize>(report: &mut Report, count: usize, radii: &[u16]) {
    let (codes, questions) = even_codes::<WIDTH>(count, radii[radii.len() / 2]);
    // The tree is for the live layer, but how it grows is of interest.
    let tree = (count <= 1_000_000).then(|| {
        let mut tree = BkTree::new(WIDTH);
        codes.iter().for_each(|code| {
            tree.insert(code);
        });
        tree
    });
    let set = Set::new("mih", codes);
    let bytes = (set.codes.len() + set.section.len()) as f64 / set.count as f64;
    report.figure(&set, "bytes a code", bytes);
    report.figure(&set, "built, seconds", set.build_seconds);
    let start = Instant::now();
    set.mih().verify().expect("what was just built");
    report.figure(&set, "verified, seconds", start.elapsed().as_secs_f64());

    let scanned = &questions[..(16_000_000 / count).clamp(1, 64)];
    let row = |structure, radius, what| Row { structure, bits: WIDTH * 8, codes: count, radius, what };
    for radius in radii {
        let (floor, answers) = report.ask(&set.flat(), WIDTH, scanned.as_flattened(), *radius, 1);
        report.time(&row("flat", *radius, "one question"), floor, floor, answers);
        let (_, of_mih) = report.ask(&set.mih(), WIDTH, scanned.as_flattened(), *radius, 1);
        assert_eq!(of_mih, answers, "the same answers from both");
        // Fewer of them where one takes long.
        let (estimate, _) = report.ask(&set.mih(), WIDTH, questions[..1].as_flattened(), *radius, 1);
        let asked = &questions[..((5e8 / estimate) as usize).clamp(4, questions.len())];
        for (batch, what) in [(1, "one question"), (BATCH, "a question of 32")] {
            let (ns, answers) = report.ask(&set.mih(), WIDTH, asked.as_flattened(), *radius, batch);
            report.time(&row("mih", *radius, what), ns, floor, answers);
        }
        if let Some(tree) = &tree {
            let (ns, answers) = report.ask(tree, WIDTH, scanned.as_flattened(), *radius, 1);
            report.time(&row("bk_tree", *radius, "one question"), ns, floor, answers);
        }
    }
}

/// What `benches/peers/near.py` runs beside its peers: `FOLDER WIDTH RADIUS`, with the files `codes` and `questions`
/// in the folder. Prints a line for each structure: its name, nanoseconds a question, and how many answers.
fn peer(arguments: &[String]) {
    let [folder, width, radius, ..] = arguments else { panic!("expected FOLDER WIDTH RADIUS") };
    let (width, radius): (usize, u16) = (width.parse().expect("bytes"), radius.parse().expect("bits"));
    let file = |name: &str| File::open(Path::new(folder).join(name)).expect("a file of the peers' script");
    let (codes, questions) =
        (Mapping::of(&file("codes")).expect("codes"), Mapping::of(&file("questions")).expect("some"));
    codes.populate();
    let section_path = Path::new(folder).join("near.mih");
    let start = Instant::now();
    let section = mapped(&section_path, |mut out| mih::build(width, &codes, &mut out));
    let build_seconds = start.elapsed().as_secs_f64();
    let bytes = (codes.len() + section.len()) as f64 / (codes.len() / width) as f64;
    let index = Mih::open(width, &codes, &section).unwrap_or_else(|flaw| panic!("what was just built: {flaw:?}"));
    let report = Report { csv: String::new(), smoke: false };
    let tell = |name: &str, index: &dyn HammingIndex, questions: &[u8], batch, seconds: f64, bytes: f64| {
        let (ns, _) = report.ask(index, width, questions, radius, batch);
        let mut found = vec![];
        index.search(questions, Radius(radius), &mut found);
        println!("{name}\t{ns}\t{}\t{}\t{seconds}\t{bytes}", questions.len() / width, found.len());
    };
    let few = &questions[..questions.len().min(64 * width)];
    tell("hashward mih, one by one", &index, &questions, 1, build_seconds, bytes);
    tell("hashward mih, batches of 32", &index, &questions, BATCH, build_seconds, bytes);
    tell("hashward flat, one by one", &Flat::new(width, &codes), few, 1, 0.0, width as f64);
    tell("hashward flat, batches of 32", &Flat::new(width, &codes), few, BATCH, 0.0, width as f64);
}

/// A million codes that are nearly equal: what would cost a directory most.
fn floods(report: &mut Report, count: usize) {
    let mut random = Random(2);
    let centre: [u8; 32] = random.code();
    let around = |random: &mut Random, centre| (0..count).map(|_| random.near(centre, 15)).collect::<Vec<_>>();
    // Those with the fewest ones, zero first.
    let fewest = (0..256usize).flat_map(|a| (0..=a).flat_map(move |b| (0..=b).map(move |c| [a, b, c])));
    let fewest = fewest.take(count).map(|bits| {
        bits.iter().fold([0u8; 32], |mut code, bit| {
            code[bit / 8] |= 1 << (bit % 8);
            code
        })
    });
    let floods = [
        ("within 31 bits of each other", around(&mut random, centre), centre),
        ("within 3 bits of zero", fewest.collect(), [0; 32]),
    ];
    for (name, codes, centre) in floods {
        let set = Set::new(name, codes);
        let questions: Vec<[u8; 32]> = (0..8).map(|_| random.near(centre, 3)).collect();
        // Near enough to find them all as candidates, and too far to match most.
        let edge: Vec<[u8; 32]> = questions
            .iter()
            .map(|question| std::array::from_fn(|at| if at < 24 { question[at] ^ 2 } else { question[at] }))
            .collect();
        for (what, questions) in [("in it", &questions), ("at its edge", &edge)] {
            let what = format!("{name}, {what}");
            let row = |structure| Row { structure, bits: 256, codes: set.count, radius: 31, what: &what };
            let (floor, answers) = report.ask(&set.flat(), 32, questions.as_flattened(), 31, 1);
            report.time(&row("flat"), floor, floor, answers);
            let (ns, answers) = report.ask(&set.mih(), 32, questions.as_flattened(), 31, 1);
            report.time(&row("mih"), ns, floor, answers);
        }
    }
}

/// A comparison in each way that the CPU knows.
fn kernels<const WIDTH: usize>(report: &mut Report, count: usize, radius: u16) {
    let (codes, questions) = even_codes::<WIDTH>(count, radius);
    let questions = &questions[..BATCH];
    let mut floor = None;
    for kernel in Kernel::available() {
        for batch in [1, BATCH] {
            let flat = Flat::with_kernel(WIDTH, codes.as_flattened(), kernel);
            let (ns, answers) = report.ask(&flat, WIDTH, questions.as_flattened(), radius, batch);
            let what = format!("a comparison, {}, batches of {batch}", kernel.name());
            let row = Row { structure: "flat", bits: WIDTH * 8, codes: count, radius, what: &what };
            let ns = ns / count as f64;
            report.time(&row, ns, *floor.get_or_insert(ns), answers);
        }
    }
}

/// The tree of the live layer.
fn tree<const WIDTH: usize>(report: &mut Report, count: usize, radii: &[u16]) {
    let (codes, questions) = even_codes::<WIDTH>(count, radii[radii.len() / 2]);
    let row = |structure, radius, what| Row { structure, bits: WIDTH * 8, codes: count, radius, what };
    let mut tree = BkTree::new(WIDTH);
    let start = Instant::now();
    codes.iter().for_each(|code| {
        tree.insert(code);
    });
    let insertion = start.elapsed().as_nanos() as f64 / count as f64;
    report.time(&row("bk_tree", 0, "insertion"), insertion, insertion, tree.len().into());
    let mut random = Random(5);
    let start = Instant::now();
    let mut versions = tree.clone();
    (0..100).for_each(|_| {
        let code: [u8; WIDTH] = random.code();
        versions = versions.clone();
        versions.insert(&code);
    });
    let ns = start.elapsed().as_nanos() as f64 / 100.0;
    report.time(&row("bk_tree", 0, "a new version for each insertion"), ns, insertion, versions.len().into());
    for radius in radii {
        let flat = Flat::new(WIDTH, codes.as_flattened());
        let (floor, answers) = report.ask(&flat, WIDTH, questions.as_flattened(), *radius, 1);
        report.time(&row("flat", *radius, "one question, live layer"), floor, floor, answers);
        let (ns, answers) = report.ask(&tree, WIDTH, questions.as_flattened(), *radius, 1);
        report.time(&row("bk_tree", *radius, "one question, live layer"), ns, floor, answers);
    }
}

/// The crate's tree, a code in each node.
fn crate_bk_tree<const WIDTH: usize>(report: &mut Report, count: usize, radii: &[u16]) {
    struct Bits;
    impl<const WIDTH: usize> bk_tree::Metric<[u8; WIDTH]> for Bits {
        fn distance(&self, one: &[u8; WIDTH], other: &[u8; WIDTH]) -> u32 {
            let words = one.as_chunks().0.iter().zip(other.as_chunks().0);
            words.map(|(one, other)| (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)).count_ones()).sum()
        }

        fn threshold_distance(&self, one: &[u8; WIDTH], other: &[u8; WIDTH], _: u32) -> Option<u32> {
            Some(self.distance(one, other))
        }
    }
    let (codes, questions) = even_codes::<WIDTH>(count, radii[radii.len() / 2]);
    let questions = &questions[..32];
    let mut tree = bk_tree::BKTree::new(Bits);
    codes.iter().for_each(|code| tree.add(*code));
    for radius in radii {
        let flat = Flat::new(WIDTH, codes.as_flattened());
        let (floor, answers) = report.ask(&flat, WIDTH, questions.as_flattened(), *radius, 1);
        let start = Instant::now();
        let found: usize = questions.iter().map(|question| tree.find(question, (*radius).into()).count()).sum();
        let ns = start.elapsed().as_nanos() as f64 / questions.len() as f64;
        let mut expected = vec![];
        flat.search(questions.as_flattened(), Radius(*radius), &mut expected);
        assert_eq!(found, expected.len(), "the same answers from both");
        let row =
            Row { structure: "crate bk-tree", bits: WIDTH * 8, codes: count, radius: *radius, what: "one question" };
        report.time(&row, ns, floor, answers);
    }
}
