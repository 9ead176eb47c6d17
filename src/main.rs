//! The program `hashward`: see [`hashward::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hashward::store::keep_to_the_owner();
    hashward::cli::main()
}
