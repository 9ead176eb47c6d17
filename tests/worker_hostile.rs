//! Hostile pictures: each ends with its reason, in time, and the next good picture is hashed as if nothing had been.

mod hostile;
mod worker_support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashward::media::worker::{Failed, WorkerConfig};
use hostile::{End, corpus, deep_gif};
use worker_support::*;

#[test]
fn every_hostile_picture_ends_and_costs_nothing_but_itself() {
    let config = WorkerConfig { workers: 1, deadline_s: 4, ..WorkerConfig::default() };
    let deadline = Duration::from_secs(config.deadline_s);
    let pool = pool(config);
    check_works(&pool);
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for hostile in corpus() {
        let started_at = Instant::now();
        let outcome = pool.hash(job(&hostile.bytes));
        let took = started_at.elapsed();
        *ends.entry(outcome.as_ref().map_or_else(|failed| failed.to_string(), |_| "hashed".to_owned())).or_default() +=
            1;
        let is_right = match (&outcome, hostile.end) {
            (Ok(_), end) => matches!(end, End::Ends | End::Hashes),
            (Err(_), End::Hashes) => false,
            (Err(failed), End::Fails(expected)) => expected.contains(failed),
            (Err(failed), End::Ends) => *failed != Failed::Unavailable,
        };
        if took > Duration::from_millis(300) {
            println!("{}: {:?} after {took:?}", hostile.name, outcome.as_ref().err());
        }
        if !is_right || took > deadline + Duration::from_secs(2) {
            wrong.push(format!("{}: {:?} after {took:?}, expected {:?}", hostile.name, outcome.err(), hostile.end));
        }
        check_works(&pool);
    }
    println!("{ends:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of many frames the first counts, and the others cost nothing.
#[test]
fn a_deep_gif_is_its_first_frame() {
    let pool = pool(WorkerConfig { workers: 1, ..WorkerConfig::default() });
    let wanted = expected(&deep_gif(1));
    let started_at = Instant::now();
    assert_eq!(pool.hash(job(&deep_gif(20_000))), Ok(wanted));
    assert!(started_at.elapsed() < Duration::from_secs(5));
}
