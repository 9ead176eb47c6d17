//! Hashes as people type them: `kind:hex`, or bare hex under `--kind`, as arguments or, for `-`, one a line on
//! standard input.

use std::io::BufRead;

use anyhow::Context;
use hashward::fingerprint::{Encoding, Fingerprint, Kind};

use super::Usage;

/// Reads all of them, in order.
pub(super) fn read(arguments: &[String], kind: Option<Kind>) -> anyhow::Result<Vec<Fingerprint>> {
    let mut fingerprints = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        if argument == "-" {
            for (line, text) in std::io::stdin().lock().lines().enumerate() {
                let text = text.context("cannot read standard input")?;
                if !text.trim().is_empty() {
                    let place = || format!("standard input, line {}", line + 1);
                    fingerprints.push(parse(text.trim(), kind).with_context(place)?);
                }
            }
        } else {
            fingerprints.push(parse(argument, kind).with_context(|| format!("hash {}", at + 1))?);
        }
    }
    if fingerprints.is_empty() {
        return Err(Usage("expected at least one hash, found none".to_owned()).into());
    }
    Ok(fingerprints)
}

/// Reads one, as a mistake of usage if it is none.
pub(super) fn parse(text: &str, kind: Option<Kind>) -> anyhow::Result<Fingerprint> {
    let parsed = match (kind, text.contains(':')) {
        (Some(kind), false) => Fingerprint::parse(kind, text, Encoding::Hex).map_err(anyhow::Error::new),
        (None, false) => Err(anyhow::anyhow!(
            "expected KIND:HEX (as md5:…), found no kind; write it in front, or name it with --kind"
        )),
        (_, true) => text.parse::<Fingerprint>().map_err(anyhow::Error::new),
    };
    parsed.map_err(|error| Usage(format!("{text:?}: {error}")).into())
}
