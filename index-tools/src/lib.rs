//! The list keeper's library: parses hash lists, builds versions of them and publishes those.
//!
//! ```text
//! files ─▶ formats ─▶ records ─▶ build (sort, merge) ─▶ a version in incoming/ ─▶ keeper ─▶ daemon or store
//! feeds ─▶ pages ─▶ changes ──────────────────────────────────────────────────────┘
//! ```
//!
//! Lists are written by others, so everything here treats their bytes as hostile; the daemon never sees them.

pub mod build;
pub mod feeds;
pub mod formats;
pub mod keeper;
pub mod verbs;
