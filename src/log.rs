//! The daemon's log: lines on standard error, for people, for the journal, or for programs.
//!
//! Lines that go to systemd's journal have no time of their own, since it gives them one, and begin with their level as
//! `sd-daemon(3)` describes, so that `journalctl -p warning` finds them. JSON lines always tell their time.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// The environment variable that goes before `filter`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// `[log]` of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// How lines are written.
    pub format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, also by module, as in `warn,hashward::server=debug`.
    /// `RUST_LOG` goes before it.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{of}: expected a level (error, warn, info, debug, trace), or `MODULE=LEVEL` with commas between, found {found:?}"
)]
pub struct BadFilter {
    of: &'static str,
    found: String,
}

impl LogConfig {
    /// Checks the filter.
    ///
    /// # Errors
    /// [`BadFilter`].
    pub fn check(&self) -> Result<(), BadFilter> {
        parse("log.filter", &self.filter).map(drop)
    }

    /// From now on this process logs so.
    ///
    /// # Errors
    /// [`BadFilter`], of the environment too.
    pub fn start(&self) -> Result<(), BadFilter> {
        let filter = match env::var(FILTER_VARIABLE) {
            Ok(text) if !text.is_empty() => parse(FILTER_VARIABLE, &text)?,
            _ => parse("log.filter", &self.filter)?,
        };
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        match self.format {
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
            LogFormat::Text if goes_to_journal() => {
                lines
                    .with_ansi(false)
                    .event_format(ForJournal(format::format().with_ansi(false).without_time()))
                    .init();
            }
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        }
        Ok(())
    }
}

fn parse(of: &'static str, text: &str) -> Result<EnvFilter, BadFilter> {
    EnvFilter::builder().parse(text).map_err(|_| BadFilter { of, found: text.to_owned() })
}

/// Whether standard error is a stream to the journal: systemd says which one it is, by device and inode.
fn goes_to_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines that begin with their level.
struct ForJournal(format::Format<format::Full, ()>);

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The level as syslog counts them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_by_module() {
        for good in ["info", "warn,hashward::server=debug", "off"] {
            assert_eq!(LogConfig { filter: good.to_owned(), ..LogConfig::default() }.check(), Ok(()), "{good}");
        }
        for bad in ["hashward=loud", "a=b=c", "info,=,"] {
            let error = LogConfig { filter: bad.to_owned(), ..LogConfig::default() }.check().unwrap_err();
            assert!(error.to_string().starts_with("log.filter: expected a level"), "{bad}: {error}");
        }
    }
}
