//! How fast pictures are hashed, in processor time on one core.
//!
//! `cargo bench --bench hashing` makes photo-like pictures (waves under noise, seeded), measures PDQ from their pixels,
//! from JPEG files, and the 64-bit kinds, and prints the answers' checksum beside each figure, so that two runs can be
//! compared. With `HASHWARD_BENCH_PICTURES=FOLDER` the pictures stay in that folder, where `peers/hashing.sh` has the
//! reference hash them in the same run.
//!
//! `cargo test --bench hashing` runs the same once each, on small pictures.

mod random;

use std::cell::RefCell;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::Criterion;
use hashward::fingerprint::Kind;
use hashward::media::picture::{Channels, DecodeLimits, HashRequest, Pdq, Pixels, hash_picture};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use random::Random;
use rustix::time::{ClockId, clock_gettime};

const JPEG_QUALITY: u8 = 90;

impl Random {
    /// Between `low` and `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (self.next() >> 40) as f32 / (1 << 24) as f32 * (high - low)
    }
}

/// Six waves a channel, from half a period to thirty across the picture, and a camera's noise.
fn photo(width: u32, height: u32) -> RgbImage {
    let mut random = Random(u64::from(width));
    let waves: Vec<[f32; 3]> = (0..18)
        .map(|_| [random.between(0.5, 30.0), random.between(0.5, 30.0), random.between(0.0, std::f32::consts::TAU)])
        .collect();
    let angle = |frequency: f32, at: u32, length: u32| frequency * std::f32::consts::TAU * at as f32 / length as f32;
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(std::array::from_fn(|channel| {
            let waves = &waves[channel * 6..channel * 6 + 6];
            let sum: f32 =
                waves.iter().map(|[fx, fy, at]| (angle(*fx, x, width) + angle(*fy, y, height) + at).sin()).sum();
            (128.0 + 20.0 * sum + random.between(-8.0, 8.0)) as u8
        }))
    })
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .expect("a picture can be encoded");
    bytes
}

/// Processor time of this thread, which the machine's other work disturbs less than time by the clock.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures, and prints one line a figure.
struct Bench(Criterion);

impl Bench {
    /// Prints the fastest processor time of `run`, in milliseconds, and a checksum of its answer.
    fn measure(&mut self, name: &str, run: impl Fn() -> Vec<u8>) {
        let samples = RefCell::new(vec![]);
        self.0.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = processor_time();
                (0..iterations).for_each(|_| drop(black_box(run())));
                let elapsed = processor_time() - start;
                samples.borrow_mut().push(elapsed.as_secs_f64() * 1e3 / iterations as f64);
                elapsed
            });
        });
        // Nothing was run if the command line filters it out.
        if let Some(fastest) = samples.into_inner().into_iter().reduce(f64::min) {
            let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            println!("= {name:<28} {fastest:>10.3} ms   answers {:016x}", run().iter().fold(0, fold));
        }
    }

    fn picture(&mut self, name: &str, width: u32, height: u32, folder: Option<&PathBuf>) {
        let picture = photo(width, height);
        let file = jpeg(&picture);
        if let Some(folder) = folder {
            std::fs::write(folder.join(format!("{name}.jpg")), &file).expect("the folder can be written");
            picture.save(folder.join(format!("{name}.bmp"))).expect("the folder can be written");
        }
        let pixels = Pixels::new(width, height, Channels::Rgb, picture.into_raw()).expect("all samples");
        let answer = |pdq: Pdq| [&pdq.hash.0[..], &[pdq.quality]].concat();
        self.measure(&format!("{name}/pixels/pdq"), || answer(Pdq::of(&pixels, false)));
        for kind in Kind::PERCEPTUAL {
            let request = HashRequest { kinds: vec![kind], dihedral: false };
            self.measure(&format!("{name}/jpeg/{kind}"), || {
                let hashes = hash_picture(&file, &request, &DecodeLimits::default()).expect("a picture");
                hashes.pdq.map(answer).unwrap_or_else(|| hashes.hashes64[0].1.to_vec())
            });
        }
    }
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    let mut bench = Bench(criterion);
    if smoke {
        bench.picture("small", 200, 150, None);
        return;
    }
    let folder = std::env::var_os("HASHWARD_BENCH_PICTURES").map(PathBuf::from);
    bench.picture("12MP", 4000, 3000, folder.as_ref());
    bench.picture("512x512", 512, 512, folder.as_ref());
}
