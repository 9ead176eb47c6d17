//! `hashward events`: the match events, from any number on, and as they come.
//!
//! Whoever follows goes on following where the daemon goes away and comes back: it is asked after the last event that was
//! printed, so that none is lost between. What the daemon refuses ends it: that events are no longer kept, above all.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Exit;
use super::connect::Socket;
use super::output::{Format, Output, SaidText, said_text};
use crate::events::{EVENTS_MAX, EventLine, EventsCommand, EventsOutcome, ListSaid, MatchEvent, MissingMatches};
use crate::moment;
use crate::protocol::{Client, ClientError, ErrorCode, Failure};

/// The first pause before the daemon is tried again, and the longest: each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(15);

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// Begin after this event, the last one that was dealt with; without it, with the oldest that is kept
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Print so many events at most
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Wait for new events where those that there are end, also while the daemon starts again
    #[arg(long)]
    follow: bool,
    /// How to write them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    // Nobody waits for a daemon that was never there.
    let mut source = Source { socket: &arguments.socket, client: arguments.socket.connect()? };
    let mut output = Output::new();
    let (mut after, mut left) = (arguments.after, arguments.limit);
    while left > 0 {
        let limit = left.min(EVENTS_MAX.into()) as u32;
        let command = EventsCommand::EventsRead { after, limit, wait: arguments.follow };
        let answer = source.ask(&serde_json::to_vec(&command)?, arguments.follow)?;
        let outcome = serde_json::from_slice(&answer);
        let EventsOutcome::Events { events, after: last, more } =
            outcome.context("expected match events; is the daemon a hashward of this version?")?;
        for event in &events {
            match arguments.format {
                Format::Json => output.json(event)?,
                Format::Tsv => output.line(&columns(event))?,
                Format::Text => output.line(&text(event))?,
            }
        }
        output.flush()?;
        (after, left) = (Some(last), left - events.len() as u64);
        if !more && !arguments.follow {
            break;
        }
    }
    Ok(Exit::Fine)
}

/// The daemon, and how to find it again.
struct Source<'a> {
    socket: &'a Socket,
    client: Client,
}

impl Source<'_> {
    /// The answer to a command; where the daemon has gone away and `patiently` is true, that of the one that comes back.
    fn ask(&mut self, command: &[u8], patiently: bool) -> Result<Vec<u8>> {
        let (mut pause, mut told) = (PAUSE_FIRST, String::new());
        loop {
            let error = match self.client.short_command_json(command) {
                Err(error) if patiently && is_passing(&error) => error,
                answered => return answered.context("match events cannot be read"),
            };
            let mut tell = |error: &ClientError| {
                let text = error.to_string();
                if text != told {
                    eprintln!("hashward: {text}; trying again until it answers, to go on after the last event");
                    told = text;
                }
            };
            tell(&error);
            loop {
                thread::sleep(pause);
                pause = (2 * pause).min(PAUSE_LONGEST);
                match self.socket.try_connect()? {
                    Ok(client) => break self.client = client,
                    Err(error) if is_passing(&error) => tell(&error),
                    Err(error) => return Err(error).context("match events cannot be read any further"),
                }
            }
        }
    }
}

/// Whether the daemon may answer later what it did not answer now.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. } | ClientError::Io(_) | ClientError::Timeout | ClientError::Closed => true,
        ClientError::Busy(_) => true,
        ClientError::Failed(Failure { code, .. }) => matches!(code, ErrorCode::ShuttingDown | ErrorCode::Timeout),
        _ => false,
    }
}

/// `1041  2026-11-24T19:05:23Z  known  md5:…  [own=illegal(XX:1)]  (in shadow: …)`
fn text(event: &EventLine<'_>) -> String {
    let time = |at: u64| moment::iso(i64::try_from(at / 1_000).unwrap_or(i64::MAX));
    let event = match event {
        EventLine::Match(event) => event,
        EventLine::Missing(MissingMatches { seq, at, missing }) => {
            let what = "questions with matches were answered, and their events could not be recorded";
            return format!("{seq}  {}  {:<10} {missing} {what}", time(*at), "MISSING");
        }
    };
    let mut line = format!("{}  {}  {:<10} {}", event.seq, time(event.at), event.verdict, file(event, " "));
    if !event.matches.is_empty() {
        line += &format!("  [{}]", said(&event.matches));
    }
    if !event.shadow.is_empty() {
        line += &format!("  (in shadow: {})", said(&event.shadow));
    }
    if event.suppressed {
        line += "  (suppressed)";
    }
    line
}

/// Number, milliseconds since 1970, verdict, fingerprints, generation, who asked, what lists say, what those in shadow do.
/// Where matches are missing: `missing` for a verdict, and how many questions for the fingerprints.
fn columns(event: &EventLine<'_>) -> String {
    let event = match event {
        EventLine::Match(event) => event,
        EventLine::Missing(MissingMatches { seq, at, missing }) => {
            return format!("{seq}\t{at}\tmissing\t{missing}\t\t\t\t");
        }
    };
    let MatchEvent { seq, at, verdict, generation, by, .. } = event;
    let (file, said, shadow) = (file(event, ","), said(&event.matches), said(&event.shadow));
    format!("{seq}\t{at}\t{verdict}\t{file}\t{generation}\t{by}\t{said}\t{shadow}")
}

fn file(event: &MatchEvent<'_>, separator: &str) -> String {
    event.file.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

fn said(lists: &[ListSaid<'_>]) -> String {
    said_text(lists.iter().map(|said| SaidText {
        list: &said.list,
        role: said.role,
        category: said.category.as_ref(),
        flags: said.flags,
        kind: said.kind,
        distance: said.distance,
    }))
}
