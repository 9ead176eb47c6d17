//! The command line of `hashward`: arguments → what to do → exit code. One file a verb.
//!
//! Exit codes: 0 all is well, 1 (`match` only) something is known or in conflict, 2 something could not be done or
//! decided. Answers go to standard output, everything else to standard error. Nothing reads standard output any more:
//! the program ends without a word.

mod audit;
mod bench;
mod check_config;
mod connect;
mod demo;
mod events;
mod files;
mod hash;
mod lookup;
mod match_files;
mod output;
mod serve;
mod status;
mod token;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::pages::Generate;

/// Answers whether a file is known, by which list and in which category.
#[derive(Parser)]
#[command(name = "hashward", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// See the whole job done on made-up, harmless files
    Demo(demo::Arguments),
    /// Run the daemon
    Serve(serve::Arguments),
    /// Ask about hashes: one line a hash out
    Lookup(lookup::Arguments),
    /// Hash files and ask about them: one line a file out
    #[command(after_help = match_files::EXIT_CODES)]
    Match(match_files::Arguments),
    /// Compute fingerprints of files, and ask nobody
    Hash(hash::Arguments),
    /// Put load on a daemon and measure it
    Bench(bench::Arguments),
    /// Tell how the daemon is
    Status(status::Arguments),
    /// Check a config, and show what it comes to
    CheckConfig(check_config::Arguments),
    /// Read and verify the audit trail
    Audit(audit::Arguments),
    /// Read the match events: one line a file of which something is known
    Events(events::Arguments),
    /// Make a token for somebody who shall ask over the network
    Token(token::Arguments),
    /// Write man pages or shell completions of this program
    #[command(hide = true)]
    Generate(Generate),
    /// Decode pictures for a parent, in a sandbox
    #[command(hide = true)]
    Worker(worker::Arguments),
}

/// What a verb came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well; of `match`: nothing is known.
    Fine = 0,
    /// Of `match`: something is known or in conflict.
    Known = 1,
    /// Something could not be done or decided.
    Incomplete = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Lookup(arguments) => lookup::run(&arguments),
        Verb::Match(arguments) => match_files::run(&arguments),
        Verb::Hash(arguments) => hash::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::CheckConfig(arguments) => check_config::run(&arguments),
        Verb::Audit(arguments) => audit::run(&arguments),
        Verb::Events(arguments) => events::run(&arguments),
        Verb::Token(arguments) => token::run(&arguments),
        Verb::Generate(arguments) => {
            arguments.run(Arguments::command()).map(|()| Exit::Fine).map_err(anyhow::Error::from)
        }
        Verb::Worker(arguments) => worker::run(&arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            complain(&error);
            Exit::Incomplete.into()
        }
    }
}

/// Says what went wrong, unless that is only that nobody reads standard output any more.
fn complain(error: &anyhow::Error) {
    if !error.is::<output::Closed>() {
        eprintln!("hashward: {}", in_one_line(error));
    }
}

/// The error with its causes, without those that its words hold already.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut line, cause| {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line += if line.is_empty() { "" } else { ": " };
            line += &cause;
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("inner").context("outer: inner").context("first");
        assert_eq!(super::in_one_line(&error), "first: outer: inner");
    }
}
