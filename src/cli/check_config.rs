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
    for entry in &config.listen {
        if matches!(entry.address, Address::Tcp(_)) && entry.rights.contains(&Right::Admin) {
            eprintln!("hashward: {}: every user of this machine may change lists there", entry.address);
        }
    }
    let mut output = Output::new();
    output.line(toml::to_string(&config)?.trim_end())?;
    output.flush()?;
    Ok(Exit::Fine)
}
