//! The program `hashward`: see [`hashward::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hashward::cli::main()
}
