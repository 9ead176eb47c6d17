//! The one owner of a data folder: lists, versions, entries, segments, and the snapshot that answers.

pub mod command;
mod incoming;

pub use command::{Command, Outcome, Publish};
pub use incoming::Incoming;
