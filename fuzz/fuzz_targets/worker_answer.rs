//! What a parent reads from a worker that may lie: HELLO, and the answer to any request. The first two bytes of the input
//! choose the request.
#![no_main]

use hashward::fingerprint::Kind;
use hashward::media::picture::{DecodeLimits, HashRequest};
use hashward::media::worker::wire::{
    ANSWER_BYTES_MAX, Answer, JobNumber, Request, answer_bytes, decode_hello, encode_hello,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = decode_hello(bytes) {
        assert_eq!(encode_hello(&report), *bytes);
    }
    let [kinds, job, answer @ ..] = bytes else { return };
    let is_wanted = |place: usize| kinds & 1 << place != 0;
    let wanted = Kind::PERCEPTUAL.into_iter().enumerate().filter(|(place, _)| is_wanted(*place));
    let hashes = HashRequest { kinds: wanted.map(|(_, kind)| kind).collect(), dihedral: is_wanted(7) };
    let job = JobNumber((*job).into());
    let request = Request { job, hashes, limits: DecodeLimits::default(), picture_bytes: 0 };
    if let Ok(read) = Answer::decode(answer, &request) {
        assert_eq!(read.encode(), answer);
        assert_eq!(answer_bytes(answer), Ok(Some(answer.len())));
        assert!(answer.len() <= ANSWER_BYTES_MAX);
    }
});
