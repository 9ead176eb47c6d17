//! Worker processes at their ordinary work: the same hashes as without them, in any number, from any format.

mod worker_support;

use hashward::fingerprint::Kind;
use hashward::media::picture::HashRequest;
use hashward::media::worker::{Job, WorkerConfig};
use image::ImageFormat;
use worker_support::*;

#[test]
fn a_worker_finds_what_its_parent_would() {
    let pool = pool(WorkerConfig::default());
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];
    let pictures: Vec<Vec<u8>> =
        formats.iter().zip(1..).map(|(format, number)| encoded(&picture(number, 200), *format)).collect();
    let found = outcomes(&pool, pictures.iter().map(|bytes| job(bytes)).collect());
    let wanted: Vec<_> = pictures.iter().map(|bytes| Ok(expected(bytes))).collect();
    assert_eq!(found, wanted);
    // Only what is asked for, and in the order of codes.
    let request = HashRequest { kinds: vec![Kind::Dhash64, Kind::Phash64, Kind::Dhash64], dihedral: false };
    let found = pool.hash(Job { bytes: pictures[0].clone(), request }).unwrap();
    let wanted = expected(&pictures[0]);
    assert_eq!((found.pdq, &found.hashes64[..]), (None, &wanted.hashes64[..2]));
    assert_eq!(pool.status().anomalies, 0);
    assert_eq!(pool.status().answered, 7);
}
