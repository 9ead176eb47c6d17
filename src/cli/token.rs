//! `hashward token`: a new bearer token, and what the config holds of it.

use anyhow::{Context, Result};

use super::Exit;
use super::output::Output;
use crate::access::Token;

#[derive(clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Result<Exit> {
    let token = Token::generate().context("the system gives no random numbers")?;
    // The token alone, so that it can go into a file of its own; the rest is for whoever sees the terminal.
    eprintln!("hashward: keep the token to whoever shall ask with it; the config needs its digest only:");
    eprintln!("\n[[principal]]\nname = \"…\"\ntoken = \"{}\"\nrights = [\"lookup\"]\n", token.hash());
    let mut output = Output::new();
    output.line(token.reveal())?;
    output.flush()?;
    Ok(Exit::Fine)
}
