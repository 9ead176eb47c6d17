//! What stands in a segment and finds things in it, and what one question sees of all segments together.

pub mod exact;
pub mod hamming;
pub mod live;
pub mod sealed;
pub mod snapshot;
