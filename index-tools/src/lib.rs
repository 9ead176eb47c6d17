//! The list keeper's library: parses hash lists, builds versions of them and publishes those.
//!
//! Lists are written by others, so everything here treats their bytes as hostile; the daemon never sees them.

pub mod formats;
