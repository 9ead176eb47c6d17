//! What a worker reads from its parent: whatever is taken for a request is written as the bytes it was read from.
#![no_main]

use hashward::media::worker::wire::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(header) = bytes.first_chunk() else { return };
    if let Ok(request) = Request::decode(header) {
        assert_eq!(request.encode(), *header);
    }
});
