//! `hashward hash`: fingerprints of files, and nobody is asked.
//!
//! Text is what the BSD tools print and `hashward-index import` reads: `MD5 (file) = …`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::Exit;
use super::files::{Next, hash_files};
use super::output::{Format, Output, Subject, printable, serialize_path, write_error};
use crate::fingerprint::{Fingerprint, Hasher, Kind};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The kinds to compute, with commas between
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "md5,sha1,sha256,sha512,blake3")]
    kind: Vec<Kind>,
    /// How to write the fingerprints
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What to hash; folders are walked, and links inside them are counted, not followed
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    Hasher::new(&arguments.kind)?;
    let mut output = Output::new();
    let mut exit = Exit::Fine;
    let passed_over = hash_files(&arguments.paths, &arguments.kind, |next| match next {
        Next::Waiting => output.flush(),
        Next::File(hashed) => match hashed.fingerprints {
            Ok(fingerprints) => write(&mut output, arguments.format, &hashed.path, &fingerprints),
            Err(error) => {
                exit = Exit::Incomplete;
                if arguments.format == Format::Text {
                    // The lines of text are a list for others to read.
                    eprintln!("hashward: {}: {error}", hashed.path.display());
                    return Ok(());
                }
                write_error(&mut output, arguments.format, Subject::File(&hashed.path), &error)
            }
        },
    })?;
    output.flush()?;
    if passed_over.links + passed_over.special > 0 {
        let (links, special) = (passed_over.links, passed_over.special);
        eprintln!("hashward: {links} links not followed, {special} special files passed over");
    }
    Ok(exit)
}

fn write(output: &mut Output, format: Format, path: &Path, fingerprints: &[Fingerprint]) -> Result<()> {
    let name = printable(path.to_string_lossy());
    match format {
        Format::Json => output.json(&Line { path, fingerprints }),
        Format::Tsv => {
            let values: Vec<String> = fingerprints.iter().map(Fingerprint::to_hex).collect();
            output.line(&format!("{name}\t{}", values.join("\t")))
        }
        Format::Text => fingerprints.iter().try_for_each(|fingerprint| {
            let kind = fingerprint.kind().name().to_uppercase();
            output.line(&format!("{kind} ({name}) = {}", fingerprint.to_hex()))
        }),
    }
}

struct Line<'a> {
    path: &'a Path,
    fingerprints: &'a [Fingerprint],
}

impl Serialize for Line<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_path(&mut map, self.path)?;
        for fingerprint in self.fingerprints {
            map.serialize_entry(fingerprint.kind().name(), &fingerprint.to_hex())?;
        }
        map.end()
    }
}
