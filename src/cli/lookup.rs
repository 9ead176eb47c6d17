//! `hashward lookup`: hashes in, one line a verdict out, in the same order.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result};

use super::Exit;
use super::connect::{Search, Socket, ask};
use super::output::{Format, Output, Subject, write_answer, write_error};
use crate::fingerprint::{Encoding, Fingerprint, Kind, Radii};
use crate::protocol::Client;

/// Rows that are asked at a time.
const BATCH_ROWS: usize = 4_096;

/// Bytes that are read ahead from standard input.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// A line longer than this is no hash, and is not read into memory.
const LINE_BYTES_MAX: u64 = 4_096;

#[derive(clap::Args)]
#[command(
    after_help = "Exit code: 0 every hash was answered; 2 a hash was bad, or could not be decided or asked in full."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// The kind of hashes that do not name theirs (md5, sha1, sha256, sha512, blake3, pdq, …)
    #[arg(long, value_name = "K")]
    kind: Option<Kind>,
    #[command(flatten)]
    search: Search,
    /// How to write the answers
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// HEX or KIND:HEX; `-` or nothing: one a line from standard input
    #[arg(value_name = "HASH")]
    hashes: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let client = arguments.socket.connect()?;
    let batch = Batch { kind: None, values: Vec::new(), queries: Vec::new() };
    let (output, format, radii) = (Output::new(), arguments.format, arguments.search.radii());
    let mut asker = Asker { client, radii, batch, output, format, incomplete: false };
    if arguments.hashes.is_empty() || arguments.hashes == ["-"] {
        let mut lines = BufReader::with_capacity(READ_AHEAD_BYTES, std::io::stdin().lock());
        while let Some(line) = read_line(&mut lines)? {
            asker.add(line, arguments.kind)?;
            // Whoever types, or pipes one line at a time, gets the answer at once.
            if lines.buffer().is_empty() {
                asker.ask()?;
            }
        }
    } else {
        arguments.hashes.iter().try_for_each(|hash| asker.add(hash.clone(), arguments.kind))?;
    }
    asker.ask()?;
    Ok(if asker.incomplete { Exit::Incomplete } else { Exit::Fine })
}

/// The next line without its end; `None` at the end of input. Of a line that is too long only the beginning is kept.
fn read_line(lines: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).context("cannot read standard input")? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        lines.skip_until(b'\n').context("cannot read standard input")?;
    }
    Ok(Some(String::from_utf8_lossy(line.trim_ascii()).into_owned()))
}

/// Hashes of one kind that are asked together, with the bad ones between them.
struct Batch {
    kind: Option<Kind>,
    values: Vec<u8>,
    queries: Vec<(String, Result<Kind, String>)>,
}

struct Asker {
    client: Client,
    radii: Radii,
    batch: Batch,
    output: Output,
    format: Format,
    incomplete: bool,
}

impl Asker {
    fn add(&mut self, query: String, kind: Option<Kind>) -> Result<()> {
        match parse(&query, kind) {
            Ok(fingerprint) => {
                if self.batch.kind.is_some_and(|kind| kind != fingerprint.kind()) {
                    self.ask()?;
                }
                self.batch.kind = Some(fingerprint.kind());
                self.batch.values.extend_from_slice(fingerprint.value());
                self.batch.queries.push((query, Ok(fingerprint.kind())));
            }
            Err(error) => self.batch.queries.push((query, Err(error))),
        }
        let most = self.batch.kind.map_or(BATCH_ROWS, |kind| self.client.max_rows(&[kind]).min(BATCH_ROWS));
        if self.batch.queries.len() >= most { self.ask() } else { Ok(()) }
    }

    /// Asks what has gathered, and writes the answers.
    fn ask(&mut self) -> Result<()> {
        let answers = match self.batch.kind.take() {
            Some(kind) => Some(ask(&mut self.client, &[kind], &self.radii, &self.batch.values)?),
            None => None,
        };
        let mut rows = answers.iter().flat_map(|answers| answers.iter().map(move |answer| (answers, answer)));
        for (query, parsed) in self.batch.queries.drain(..) {
            match parsed {
                Ok(kind) => {
                    let (answers, answer) = rows.next().context("the daemon answered too few rows")?;
                    let verdict = answer.map_or(answers.miss, |answer| answer.verdict);
                    self.incomplete |= !answers.stands(verdict);
                    let subject = Subject::Query(&query, Some(kind));
                    write_answer(&mut self.output, self.format, subject, answers, answer)?;
                }
                Err(error) => {
                    self.incomplete = true;
                    write_error(&mut self.output, self.format, Subject::Query(&query, None), &error)?;
                }
            }
        }
        self.batch.values.clear();
        self.output.flush()
    }
}

/// Reads `HEX` or `KIND:HEX`.
fn parse(query: &str, kind: Option<Kind>) -> Result<Fingerprint, String> {
    if query.contains(':') {
        return query.parse().map_err(|error: crate::fingerprint::ParseFingerprintError| error.to_string());
    }
    let kind = kind.ok_or("expected KIND:HEX, found no kind; name it so, or for all with --kind")?;
    Fingerprint::parse(kind, query, Encoding::Hex).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_and_never_guessed() {
        let hex = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(parse(hex, Some(Kind::Md5)).unwrap().to_hex(), hex);
        assert_eq!(parse(&format!("md5:{hex}"), None).unwrap().to_hex(), hex);
        assert!(parse(hex, None).unwrap_err().contains("--kind"));
        assert!(parse(hex, Some(Kind::Sha1)).unwrap_err().contains("expected 40 hex digits"));
        assert!(parse("", Some(Kind::Md5)).unwrap_err().contains("found 0"));
        assert!(parse(&format!("md4:{hex}"), None).unwrap_err().contains("unknown kind"));
    }

    #[test]
    fn lines_are_bounded() {
        let long = "f".repeat(3 * LINE_BYTES_MAX as usize);
        let text = format!(" a \r\n\n{long}\nb");
        let mut lines = text.as_bytes();
        let mut next = || read_line(&mut lines).unwrap();
        assert_eq!(next().as_deref(), Some("a"));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().map(|line| line.len()), Some(LINE_BYTES_MAX as usize));
        assert_eq!(next().as_deref(), Some("b"));
        assert_eq!(next(), None);
    }
}
