//! `hashward match`: hash files by the kinds that the daemon has lists for, and ask about them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Exit;
use super::connect::{Socket, ask};
use super::files::{Hashed, Next, PassedOver, hash_files};
use super::output::{Format, Output, Subject, write_answer, write_error};
use super::status::DaemonStatus;
use crate::fingerprint::Kind;
use crate::matching::Verdict;
use crate::protocol::Client;

/// Files that are asked about at a time.
const BATCH_FILES: usize = 1_024;

pub(super) const EXIT_CODES: &str = "\
Exit code: 1 something is known or in conflict, whatever else could not be decided: no other answer can change that;
2 nothing is known so far, but something could not be read, decided or asked in full; 0 everything was decided and nothing is known.";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// How to write the answers
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What to ask about; folders are walked, and links inside them are counted, not followed
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut client = arguments.socket.connect()?;
    let held = DaemonStatus::of(&mut client)?.held_kinds;
    let (mut kinds, others): (Vec<Kind>, Vec<Kind>) = held.iter().partition(|kind| Kind::COMPUTED.contains(kind));
    for kind in others {
        eprintln!("hashward: lists hold {kind}, which cannot be computed from files here and is not asked");
    }
    if kinds.is_empty() {
        // The built-in lists may still know a file; every other answer is "undecided", and says why.
        kinds = Kind::COMPUTED.to_vec();
    }
    let (files, values) = (Vec::new(), Vec::new());
    let output = Output::new();
    let mut asker =
        Asker { client, kinds: &kinds, files, values, output, format: arguments.format, count: Count::default() };
    let passed_over = hash_files(&arguments.paths, &kinds, |next| match next {
        Next::File(hashed) => asker.add(hashed),
        Next::Waiting => asker.ask(),
    })?;
    asker.ask()?;
    asker.count.summarise(passed_over);
    Ok(asker.count.exit())
}

/// Files of each sort of answer.
#[derive(Default)]
struct Count {
    known: u64,
    conflict: u64,
    ignorable: u64,
    unknown: u64,
    undecided: u64,
    unreadable: u64,
    watched: u64,
    /// Harmless as far as asked, while a kind that applies could not be asked.
    ignorable_in_part: u64,
}

impl Count {
    fn add(&mut self, verdict: Verdict, in_full: bool) {
        if verdict == Verdict::Ignorable && !in_full {
            self.ignorable_in_part += 1;
        }
        *match verdict {
            Verdict::Known => &mut self.known,
            Verdict::Conflict => &mut self.conflict,
            Verdict::Ignorable => &mut self.ignorable,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Undecided(_) => &mut self.undecided,
        } += 1;
    }

    /// See [`EXIT_CODES`].
    fn exit(&self) -> Exit {
        if self.known + self.conflict > 0 {
            Exit::Known
        } else if self.undecided + self.unreadable + self.ignorable_in_part > 0 {
            Exit::Incomplete
        } else {
            Exit::Fine
        }
    }

    fn summarise(&self, passed_over: PassedOver) {
        let files = self.known + self.conflict + self.ignorable + self.unknown + self.undecided + self.unreadable;
        let mut line = format!("hashward: {files} files");
        for (count, what) in [
            (self.known, "known"),
            (self.conflict, "conflict"),
            (self.ignorable, "ignorable"),
            (self.ignorable_in_part, "of them asked in part"),
            (self.unknown, "unknown"),
            (self.undecided, "undecided"),
            (self.unreadable, "unreadable"),
            (self.watched, "watched"),
            (passed_over.links, "links not followed"),
            (passed_over.special, "special files passed over"),
        ] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        eprintln!("{line}");
    }
}

struct Asker<'a> {
    client: Client,
    kinds: &'a [Kind],
    /// What has gathered: each path, and whether its values are in `values` or why not.
    files: Vec<(PathBuf, Option<String>)>,
    values: Vec<u8>,
    output: Output,
    format: Format,
    count: Count,
}

impl Asker<'_> {
    fn add(&mut self, Hashed { path, fingerprints }: Hashed) -> Result<()> {
        let error = match fingerprints {
            Ok(fingerprints) => {
                fingerprints.iter().for_each(|fingerprint| self.values.extend_from_slice(fingerprint.value()));
                None
            }
            Err(error) => Some(error),
        };
        self.files.push((path, error));
        if self.files.len() >= BATCH_FILES { self.ask() } else { Ok(()) }
    }

    /// Asks about what has gathered, and writes the answers.
    fn ask(&mut self) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let answers = ask(&mut self.client, self.kinds, &self.values)?;
        let mut rows = answers.iter();
        for (path, error) in self.files.drain(..) {
            let subject = Subject::File(&path);
            if let Some(error) = error {
                self.count.unreadable += 1;
                write_error(&mut self.output, self.format, subject, &error)?;
                continue;
            }
            let answer = rows.next().context("the daemon answered too few rows")?;
            self.count.add(answer.map_or(answers.miss, |answer| answer.verdict), answers.incomplete.is_empty());
            self.count.watched += u64::from(answer.is_some_and(|answer| answer.watched));
            write_answer(&mut self.output, self.format, subject, &answers, answer)?;
        }
        self.values.clear();
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::Reason;

    #[test]
    fn what_is_known_outweighs_what_is_undecided() {
        let exit = |verdicts: &[Verdict]| {
            let mut count = Count::default();
            verdicts.iter().for_each(|verdict| count.add(*verdict, true));
            count.exit()
        };
        let undecided = Verdict::Undecided(Reason::Failed);
        assert_eq!(exit(&[Verdict::Ignorable, Verdict::Unknown]), Exit::Fine);
        assert_eq!(exit(&[Verdict::Unknown, undecided]), Exit::Incomplete);
        assert_eq!(exit(&[undecided, Verdict::Conflict]), Exit::Known);
        assert_eq!(exit(&[Verdict::Known, undecided]), Exit::Known);
        assert_eq!(exit(&[]), Exit::Fine);
    }

    #[test]
    fn harmless_in_part_is_not_decided() {
        let mut count = Count::default();
        count.add(Verdict::Ignorable, false);
        assert_eq!(count.exit(), Exit::Incomplete);
    }
}
