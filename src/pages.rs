//! Man pages and shell completions, made from a program's own description of its command line, so that they cannot say
//! anything else than it does. Both programs have a hidden verb `generate` for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, ValueEnum};
use clap_complete::Shell;

/// The arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// What to write
    what: What,
    /// The folder to write to; made if it is not there
    dir: PathBuf,
}

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A page of section 1 for the program and for each of its verbs
    Man,
    /// For bash, zsh and fish
    Completions,
}

impl Generate {
    /// Writes what was asked for, of the program that `command` describes.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn run(&self, command: Command) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        match self.what {
            What::Man => clap_mangen::generate_to(command, &self.dir),
            What::Completions => completions(command, &self.dir),
        }
    }
}

fn completions(mut command: Command, dir: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, &name, dir)?;
    }
    Ok(())
}
