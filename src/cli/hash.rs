//! `hashward hash`: fingerprints of files, and nobody is asked.
//!
//! Text is what the BSD tools print and `hashward-index import` reads: `MD5 (file) = …`. A perceptual kind has a value only
//! of pictures; one of low quality is printed, and said to be of no use.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::Exit;
use super::files::{Hashes, Kinds, Next, hash_files};
use super::output::{Format, Output, Subject, printable, serialize_path, write_error};
use crate::fingerprint::{Encoding, Kind};
use crate::media::picture::{PDQ_QUALITY_MIN, Pdq};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The kinds to compute, with commas between; pdq, phash64, dhash64 and blockhash64 of pictures
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
    let kinds = Kinds::new(&arguments.kind, false)?;
    let mut output = Output::new();
    let mut exit = Exit::Fine;
    let passed_over = hash_files(&arguments.paths, &kinds, |next| match next {
        Next::Waiting => output.flush(),
        Next::File(hashed) => match hashed.hashes {
            Ok(hashes) => {
                let line = Line { path: &hashed.path, kinds: &arguments.kind, hashes: &hashes };
                if let Some(quality) = line.pdq().map(|pdq| pdq.quality).filter(|quality| *quality < PDQ_QUALITY_MIN) {
                    let name = hashed.path.display();
                    eprintln!(
                        "hashward: {name}: pdq of quality {quality}, expected {PDQ_QUALITY_MIN} or more; of no use"
                    );
                }
                if let Some(Err(failed)) = &hashes.picture {
                    exit = Exit::Incomplete;
                    eprintln!("hashward: {}: {failed}", hashed.path.display());
                }
                write(&mut output, arguments.format, &line)
            }
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

fn write(output: &mut Output, format: Format, line: &Line<'_>) -> Result<()> {
    let name = printable(line.path.to_string_lossy());
    match format {
        Format::Json => output.json(line),
        Format::Tsv => {
            let values: Vec<String> = line.kinds.iter().map(|kind| line.value(*kind).unwrap_or_default()).collect();
            output.line(&format!("{name}\t{}", values.join("\t")))
        }
        Format::Text => {
            line.kinds.iter().filter_map(|kind| Some((kind, line.value(*kind)?))).try_for_each(|(kind, value)| {
                output.line(&format!("{} ({name}) = {value}", kind.name().to_uppercase()))
            })
        }
    }
}

struct Line<'a> {
    path: &'a Path,
    kinds: &'a [Kind],
    hashes: &'a Hashes,
}

impl Line<'_> {
    fn pdq(&self) -> Option<&Pdq> {
        self.hashes.picture.as_ref()?.as_ref().ok()?.pdq.as_ref()
    }

    /// The value of a kind in hex, if the file has one.
    fn value(&self, kind: Kind) -> Option<String> {
        if let Some(digest) = self.hashes.digests.iter().find(|digest| digest.kind() == kind) {
            return Some(digest.to_hex());
        }
        let hashes = self.hashes.picture.as_ref()?.as_ref().ok()?;
        match kind {
            Kind::Pdq => hashes.pdq.as_ref().map(|pdq| Encoding::Hex.encode(&pdq.hash.0)),
            _ => hashes.hashes64.iter().find(|(of, _)| *of == kind).map(|(_, hash)| Encoding::Hex.encode(hash)),
        }
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_path(&mut map, self.path)?;
        for kind in self.kinds {
            map.serialize_entry(kind.name(), &self.value(*kind))?;
        }
        if let Some(pdq) = self.pdq() {
            map.serialize_entry("pdq_quality", &pdq.quality)?;
        }
        if let Some(Err(failed)) = &self.hashes.picture {
            map.serialize_entry("error", &failed.to_string())?;
        }
        map.end()
    }
}
