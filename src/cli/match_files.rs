//! `hashward match`: hash files by the kinds that the daemon has lists for, and ask about them.
//!
//! Pictures are decoded by this program's own workers; what is sent is hashes only. Files are asked about together with
//! others that have values of the same kinds, and answered in the order in which they were found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::connect::{Search, Socket, ask};
use super::files::{Hashed, Hashes, Kinds, Next, PassedOver, hash_files};
use super::output::{Format, Output, Subject, write_answer, write_error};
use super::status::DaemonStatus;
use super::{Exit, complain};
use crate::fingerprint::{Kind, Radii};
use crate::matching::{Answers, Verdict};
use crate::media::picture::HashRequest;
use crate::media::values::Values;
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
    #[command(flatten)]
    search: Search,
    /// Ask about pictures turned and mirrored in all eight ways, too
    #[arg(long)]
    dihedral: bool,
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
    let (mut kinds, others): (Vec<Kind>, Vec<Kind>) = held.iter().partition(|kind| is_computed(kind));
    for kind in others {
        eprintln!("hashward: lists hold {kind}, which cannot be computed from files here and is not asked");
    }
    if !kinds.iter().any(|kind| kind.is_exact()) {
        // The built-in lists may still know a file; every other answer is "undecided", and says why.
        kinds.extend(Kind::COMPUTED);
    }
    let kinds = Kinds::new(&kinds, arguments.dihedral)?;
    let mut asker = Asker {
        client,
        request: kinds.request.clone(),
        radii: arguments.search.radii(),
        files: Vec::new(),
        output: Output::new(),
        format: arguments.format,
        count: Count::default(),
    };
    match asker.ask_all(&arguments.paths, &kinds) {
        // Whatever else went wrong.
        Err(error) if asker.count.exit() == Exit::Known => {
            complain(&error);
            Ok(Exit::Known)
        }
        asked => asked.map(|()| asker.count.exit()),
    }
}

fn is_computed(kind: &Kind) -> bool {
    Kind::COMPUTED.contains(kind) || Kind::PERCEPTUAL.contains(kind)
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
    suppressed: u64,
    /// Harmless as far as asked, while a kind that applies could not be asked.
    ignorable_in_part: u64,
    /// Whether a kind came to apply that was not asked about.
    in_part: bool,
}

impl Count {
    fn add(&mut self, verdict: Verdict, stands: bool) {
        if verdict == Verdict::Ignorable && !stands {
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
        } else if self.in_part || self.undecided + self.unreadable + self.ignorable_in_part > 0 {
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
            (self.suppressed, "with suppressed matches"),
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

struct Asker {
    client: Client,
    request: HashRequest,
    radii: Radii,
    /// What has gathered: each path, and its values or why it has none.
    files: Vec<(PathBuf, Result<Values, String>)>,
    output: Output,
    format: Format,
    count: Count,
}

impl Asker {
    /// Asks about all files below `paths` by these kinds, and says what was passed over.
    fn ask_all(&mut self, paths: &[PathBuf], kinds: &Kinds) -> Result<()> {
        let passed_over = hash_files(paths, kinds, |next| match next {
            Next::File(hashed) => self.add(*hashed),
            Next::Waiting => self.ask(),
        })?;
        self.ask()?;
        self.count.summarise(passed_over);
        let now_held = DaemonStatus::of(&mut self.client)?.held_kinds;
        let asked = |kind: &Kind| kinds.exact.contains(kind) || kinds.request.kinds.contains(kind);
        let missed = now_held.iter().filter(|kind| is_computed(kind) && !asked(kind));
        let missed: Vec<&str> = missed.map(|kind| kind.name()).collect();
        if !missed.is_empty() {
            eprintln!(
                "hashward: lists came to hold {} meanwhile, which was not asked; run it again",
                missed.join(", ")
            );
            self.count.in_part = true;
        }
        Ok(())
    }

    fn add(&mut self, Hashed { path, hashes }: Hashed) -> Result<()> {
        let values = hashes.map(|Hashes { digests, picture }| {
            let mut values = Values::exact(&digests);
            picture.iter().for_each(|outcome| values.add_picture(&self.request, outcome));
            values
        });
        self.files.push((path, values));
        if self.files.len() >= BATCH_FILES { self.ask() } else { Ok(()) }
    }

    /// Asks about what has gathered, and writes the answers.
    fn ask(&mut self) -> Result<()> {
        let files = std::mem::take(&mut self.files);
        let mut groups: BTreeMap<Vec<Kind>, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
        for (number, values) in
            files.iter().enumerate().filter_map(|(number, (_, values))| Some((number, values.as_ref().ok()?)))
        {
            groups.entry(values.kinds()).or_default().push((number, values.rows()));
        }
        let mut answered: Vec<Option<Answers>> = files.iter().map(|_| None).collect();
        for (kinds, of_group) in groups {
            self.ask_group(&kinds, of_group, &mut answered)?;
        }
        for ((path, values), answers) in files.into_iter().zip(answered) {
            let subject = Subject::File(&path);
            match (values, answers) {
                (Err(error), _) => {
                    self.count.unreadable += 1;
                    write_error(&mut self.output, self.format, subject, &error)?;
                }
                (Ok(_), None) => anyhow::bail!("{} was not asked about", path.display()),
                (Ok(values), Some(mut answers)) => {
                    answers.lack(values.missing);
                    let answer = answers.iter().next().flatten();
                    let verdict = answer.map_or(answers.miss, |answer| answer.verdict);
                    self.count.add(verdict, answers.stands(verdict));
                    self.count.watched += u64::from(answer.is_some_and(|answer| answer.watched));
                    self.count.suppressed += u64::from(answer.is_some_and(|answer| answer.suppressed));
                    write_answer(&mut self.output, self.format, subject, &answers, answer)?;
                }
            }
        }
        self.output.flush()
    }

    /// Asks about files that have values of the same kinds, as many at a time as the daemon takes.
    fn ask_group(
        &mut self,
        kinds: &[Kind],
        files: Vec<(usize, Vec<u8>)>,
        answered: &mut [Option<Answers>],
    ) -> Result<()> {
        let row_bytes: usize = kinds.iter().map(|kind| kind.width()).sum();
        let rows_max = self.client.max_rows(kinds);
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let (mut rows, mut taken) = (Vec::new(), Vec::new());
            while let Some((number, of_file)) =
                files.next_if(|(_, next)| rows.is_empty() || (rows.len() + next.len()) / row_bytes <= rows_max)
            {
                taken.push((number, rows.len() / row_bytes..(rows.len() + of_file.len()) / row_bytes));
                rows.extend(of_file);
            }
            let answers = ask(&mut self.client, kinds, &self.radii, &rows)?;
            for (number, of_file) in taken {
                answered[number] = Some(answers.part(of_file.start as u32..of_file.end as u32).into_one());
            }
        }
        Ok(())
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
