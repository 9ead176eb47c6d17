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

#[cfg(test)]
mod tests {
    use super::*;
    use hashward::moment::parse_iso_ms;

    fn service(source: &str) -> Box<dyn Service> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        std::fs::write(&path, format!("[[feed]]\nname = 'f'\nsource = '{source}'\nurl = 'https://h/npo/'\n")).unwrap();
        let feeds = FeedConfig::read_all(&path).unwrap();
        service_of(&feeds.feeds[0], "https://h/npo/").unwrap()
    }

    fn seconds_of(text: &str) -> i64 {
        parse_iso_ms(text).unwrap() / 1_000
    }

    /// The checkpoint after pages that say that they reach so far.
    fn after(source: &str, checkpoint: Option<&str>, reached: &[Option<i64>]) -> String {
        let service = service(source);
        let mut window = service.window(checkpoint, 0).unwrap().unwrap();
        for reached in reached {
            service.advance(&mut window, &Page { reached: *reached, ..Page::default() });
        }
        service.checkpoint(&window)
    }

    #[test]
    fn windows_of_ncmec_join_without_gaps_up_to_now() {
        let service = service("ncmec");
        let until_s = seconds_of("2010-02-15T00:00:00Z");
        let mut checkpoint = None;
        let mut windows = Vec::new();
        while let Some(window) = service.window(checkpoint.as_deref(), until_s).unwrap() {
            windows.push((window.name.clone(), window.is_last));
            checkpoint = Some(service.checkpoint(&window));
        }
        let expected = [
            ("1970-01-01T00:00:00Z to 2010-01-01T00:00:00Z", false),
            ("2010-01-01T00:00:00Z to 2010-01-31T00:00:00Z", false),
            ("2010-01-31T00:00:00Z to 2010-02-15T00:00:00Z", true),
        ];
        assert_eq!(windows, expected.map(|(name, is_last)| (name.to_owned(), is_last)));
        assert!(matches!(service.window(Some("1700000000"), until_s), Err(SyncError::Checkpoint { .. })));
    }

    #[test]
    fn stopncii_says_on_its_last_page_where_to_go_on() {
        assert_eq!(after("stopncii", None, &[Some(30), Some(10), Some(20)]), "20");
        assert_eq!(after("stopncii", Some("25"), &[Some(30), Some(20)]), "25", "a checkpoint never goes back");
        assert_eq!(after("stopncii", Some("25"), &[Some(30), None]), "25", "what is not said is read again");
    }

    #[test]
    fn threatexchange_goes_on_from_the_latest_update() {
        assert_eq!(after("threatexchange", None, &[Some(30), Some(10), None]), "30");
        assert_eq!(after("threatexchange", Some("40"), &[Some(30)]), "40");
        assert_eq!(after("threatexchange", Some("40"), &[]), "40");
    }

    #[test]
    fn links_are_of_the_service() {
        let window = |service: &dyn Service| service.window(None, 1).unwrap().unwrap();
        let ncmec = service("ncmec");
        assert_eq!(ncmec.address(&window(&*ncmec), "/v2/entries?start=1"), "https://h/npo/v2/entries?start=1");
        let stopncii = service("stopncii");
        let address = stopncii.address(&window(&*stopncii), "a&b");
        assert_eq!(address, "https://h/npo/v1/FetchHashes?startTimestamp=0&pageSize=1000&nextPageToken=a%26b");
        let threatexchange = service("threatexchange");
        let link = "https://h/npo/threat_updates?after=x";
        assert_eq!(threatexchange.address(&window(&*threatexchange), link), link);
    }
}
