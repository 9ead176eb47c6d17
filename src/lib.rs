//! hashward answers one question: *is this file already known, by which list, in which category?*
//!
//! ```text
//! list files ─▶ hashward-index: formats ─▶ entries ─▶ sort, merge ─▶ a version: a segment per kind ─┐
//!                                                                                                   ├─▶ publish ─▶ generation
//! own entries, feeds ─▶ command ─▶ catalogue (durable) ─▶ live layer ─▶ seal ───────────────────────┘        │
//!                                                       └──────────────────────────┬─────────────────────────┘
//! files ─┬▶ digests ─────────────────────────┬▶ question ─▶ matching (on one snapshot) ─▶ verdict ─▶ server: protocol ─▶ clients
//!        └▶ worker: pixels ─▶ perceptual hash ┘
//! ```
//!
//! `ARCHITECTURE.md` maps the code and says what is deliberately absent.

pub mod access;
#[cfg(feature = "server")]
pub mod audit;
pub mod catalogue;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
mod durable;
#[cfg(feature = "server")]
pub mod events;
pub mod feed;
pub mod fingerprint;
pub mod index;
pub mod journal;
pub mod list;
#[cfg(feature = "server")]
pub mod log;
pub mod matching;
#[cfg(feature = "media")]
pub mod media;
pub mod moment;
#[cfg(feature = "pages")]
pub mod pages;
pub mod protocol;
pub mod records;
pub mod segment;
#[cfg(feature = "server")]
pub mod server;
pub mod settings;
pub mod store;
#[cfg(feature = "server")]
pub mod systemd;
