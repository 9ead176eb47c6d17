//! `hashward-index`: the list keeper's tool.

use std::process::ExitCode;

use clap::Parser;
use hashward_index::verbs::{Cli, run};

fn main() -> ExitCode {
    hashward::store::keep_to_the_owner();
    run(Cli::parse())
}
