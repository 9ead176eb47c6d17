//! `hashward check-config`: what a config comes to, before a daemon is told of it.

use std::path::PathBuf;

use anyhow::Result;

use super::Exit;
use super::output::Output;
use crate::access::Right;
use crate::config::Config;
use crate::protocol::Address;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The config; without it, the defaults are shown
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let config = Config::resolve(arguments.config.as_deref(), None, &[])?;
    for principal in config.principals.iter().filter(|principal| principal.anyone) {
        for right in principal.rights.iter().filter(|right| **right != Right::Lookup) {
            eprintln!("hashward: principal {}: whoever can connect has the right `{}`", principal.name, right.name());
        }
    }
    for entry in config.listen.iter().filter(|entry| matches!(entry.address, Address::Tcp(_))) {
        if !config.principals.iter().any(|principal| principal.token.is_some() || principal.anyone) {
            eprintln!("hashward: {}: nobody may ask there; see [[principal]] with a token", entry.address);
        }
    }
    for entry in &config.listen {
        entry.load_tls()?;
        if entry.is_readable_on_the_way() {
            eprintln!("hashward: {}: tokens, questions and answers can be read and changed on the way", entry.address);
        }
    }
    let mut output = Output::new();
    output.line(toml::to_string(&config)?.trim_end())?;
    output.flush()?;
    Ok(Exit::Fine)
}
