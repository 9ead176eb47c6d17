//! How a service is asked: what the driver in [`super::sync`] must know of each.

use std::collections::BTreeMap;

use hashward::feed::{FeedConfig, FeedSource};

use super::error::SyncError;
use super::ncmec::Ncmec;
use super::page::Page;
use super::stopncii::StopNcii;
use super::threatexchange::ThreatExchange;
use crate::formats::FormatError;

/// A window of changes, from its first page to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeWindow {
    /// Its name in messages.
    pub(super) name: String,
    /// The address of its first page.
    pub(super) first: String,
    /// Where it begins, in the service's unit.
    pub(super) begin: i64,
    /// Where it ends, where that is known from the start.
    pub(super) end: Option<i64>,
    /// [`Page::reached`] of its pages so far.
    pub(super) reached: Option<i64>,
    /// Whether it reaches up to now.
    pub(super) is_last: bool,
}

/// A service that serves changes page by page.
pub(super) trait Service {
    /// The window that begins at `checkpoint`, or at the beginning; none if all is read until `until_s`, in seconds
    /// since 1970-01-01 UTC.
    ///
    /// # Errors
    /// A checkpoint that this service cannot have written.
    fn window(&self, checkpoint: Option<&str>, until_s: i64) -> Result<Option<ChangeWindow>, SyncError>;

    /// The address that a link or a token in a page stands for.
    fn address(&self, window: &ChangeWindow, link: &str) -> String;

    /// Adds what the bytes of a page say to `page`.
    ///
    /// # Errors
    /// As of the page parsers.
    fn read_page(&self, bytes: &[u8], page: &mut Page) -> Result<(), FormatError>;

    /// Takes in how far a page reaches.
    fn advance(&self, window: &mut ChangeWindow, page: &Page);

    /// The checkpoint once all pages of `window` are durable.
    fn checkpoint(&self, window: &ChangeWindow) -> String;

    /// Seconds for which the service tells of deletions, and what its keys begin with; none if it always does.
    fn forgets(&self) -> Option<(i64, &'static str)> {
        None
    }
}

/// The service of a feed at `base`; none if the feed is of files.
pub(super) fn service_of(feed: &FeedConfig, base: &str) -> Option<Box<dyn Service>> {
    Some(match feed.source {
        FeedSource::Ncmec => Box::new(Ncmec::new(feed, base)),
        FeedSource::StopNcii => Box::new(StopNcii::new(feed, base)),
        FeedSource::ThreatExchange => Box::new(ThreatExchange::new(feed, base)),
        FeedSource::Files => return None,
    })
}

/// The parameters that the config adds to each request.
pub(super) fn added(query: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// A checkpoint that is a number of seconds.
///
/// # Errors
/// It is none.
pub(super) fn seconds(checkpoint: &str) -> Result<i64, SyncError> {
    checkpoint.parse().map_err(|_| SyncError::Checkpoint { checkpoint: checkpoint.to_owned() })
}
