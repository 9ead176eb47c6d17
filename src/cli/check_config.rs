//! `hashward check-config`: what is wrong with a config, and what it comes to, before a daemon is told of it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Exit;
use super::output::Output;
use crate::config::Config;
use crate::settings::{FOLDER, Settings};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The config; without it, the defaults are shown
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// Only say what is wrong or weak
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let file = arguments.config.as_deref();
    let config = Config::resolve(file, None, &[])?;
    let settings = file.map(Settings::read).transpose()?;
    let files: Vec<&Path> = settings.iter().flat_map(Settings::paths).collect();
    let passed_over = settings.iter().flat_map(Settings::passed_over);
    let passed_over = passed_over.map(|path| format!("{}: not read; in {FOLDER} names end in .toml", path.display()));
    for warning in passed_over.chain(config.weaknesses(files.iter().copied())) {
        eprintln!("hashward: warning: {warning}");
    }
    for warning in config.check_certificates(settings.as_ref())? {
        eprintln!("hashward: warning: {warning}");
    }
    if arguments.quiet {
        return Ok(Exit::Fine);
    }
    let mut output = Output::new();
    output.line(&format!("# digest {}", config.digest()))?;
    files.iter().try_for_each(|path| output.line(&format!("# read from {}", path.display())))?;
    output.line(toml::to_string(&config)?.trim_end())?;
    output.flush()?;
    Ok(Exit::Fine)
}
