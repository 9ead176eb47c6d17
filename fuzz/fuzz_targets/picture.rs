//! Pictures from strangers: hashed or refused, within the limits, without a panic. Run it with `-rss_limit_mb` as in
//! fuzz/README.md, so that memory beyond the limits is a finding.
#![no_main]

use hashward::fingerprint::Kind;
use hashward::media::picture::{DecodeLimits, HashRequest, hash_picture};
use libfuzzer_sys::fuzz_target;

const LIMITS: DecodeLimits = DecodeLimits { pixels_max: 1 << 20, memory_bytes_max: 64 << 20, input_bytes_max: 1 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let request = HashRequest { kinds: Kind::PERCEPTUAL.to_vec(), dihedral: true };
    if let Ok(hashes) = hash_picture(bytes, &request, &LIMITS) {
        assert!(hashes.pdq.is_some_and(|pdq| pdq.quality <= 100 && pdq.dihedral.is_some_and(|all| all[0] == pdq.hash)));
        assert_eq!(hashes.hashes64.len(), 3);
    }
});
