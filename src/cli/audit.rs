//! `hashward audit`: the trail shown, verified, and its last record signed.
//!
//! The daemon is asked, if one answers at the data folder's socket; else the trail is opened here, under the store's lock,
//! so that in either case reading it is recorded in it. `verify` reads the files alone, and can do so anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Exit;
use super::output::Output;
use crate::access::PrincipalName;
use crate::audit::{AuditConfig, Checkpoint, FOLDER, NAME, RECORDS_MAX, Record, Trail, TrailCommand, TrailOutcome};
use crate::journal::{Head, Verified, now_ms, verify};
use crate::protocol::{Address, Client, DEFAULT_DATA, SOCKET_NAME};
use crate::store::{Store, StoreOptions};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Print the records, one JSON object a line
    Show(ShowArguments),
    /// Check that nothing in the trail was changed, cut or written anew
    Verify(VerifyArguments),
    /// Print the last record's checkpoint, signed, to be kept elsewhere
    Checkpoint(Data),
}

#[derive(clap::Args)]
struct Data {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

#[derive(clap::Args)]
struct ShowArguments {
    #[command(flatten)]
    data: Data,
    /// Begin with the record after this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Print so many records at most
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
}

#[derive(clap::Args)]
struct VerifyArguments {
    #[command(flatten)]
    data: Data,
    /// Files with checkpoints, one a line, as `checkpoint` prints them
    #[arg(long, value_name = "F")]
    checkpoint: Vec<PathBuf>,
    /// The public key that must have signed them, in hex
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.verb {
        Verb::Show(arguments) => show(arguments),
        Verb::Verify(arguments) => verify_trail(arguments),
        Verb::Checkpoint(data) => checkpoint(&data.data),
    }
}

/// Where the trail is asked.
enum Keeper {
    Daemon(Box<Client>),
    /// The store is held for its lock alone.
    Here {
        trail: Box<Trail>,
        _store: Box<Store>,
    },
}

impl Keeper {
    fn find(data: &Path) -> Result<Keeper> {
        let socket = data.join(SOCKET_NAME);
        if let Ok(client) = Client::connect(&Address::Unix(socket)) {
            return Ok(Keeper::Daemon(Box::new(client)));
        }
        let store = Store::open(data, StoreOptions { serve: false, ..StoreOptions::default() })?;
        let trail = Trail::open(data, &AuditConfig::default())?;
        Ok(Keeper::Here { trail: Box::new(trail), _store: Box::new(store) })
    }

    fn execute(&mut self, command: TrailCommand) -> Result<TrailOutcome> {
        match (self, command) {
            (Keeper::Daemon(client), command) => {
                let answer = client.command_json(&serde_json::to_vec(&command)?)?;
                Ok(serde_json::from_slice(&answer)?)
            }
            (Keeper::Here { trail, .. }, TrailCommand::AuditRead { after, limit }) => {
                let user = format!("uid-{}", rustix::process::geteuid().as_raw());
                let by = PrincipalName::try_from(user)?;
                let (records, more) = trail.read(&by, "this machine".to_owned(), after, limit)?;
                Ok(TrailOutcome::AuditRecords { records, more })
            }
            (Keeper::Here { trail, .. }, TrailCommand::AuditCheckpoint) => {
                Ok(TrailOutcome::AuditCheckpoint(trail.checkpoint(now_ms())?))
            }
        }
    }
}

fn show(arguments: &ShowArguments) -> Result<Exit> {
    let mut keeper = Keeper::find(&arguments.data.data)?;
    let mut output = Output::new();
    let (mut after, mut left) = (arguments.after, arguments.limit);
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(u32::MAX).min(RECORDS_MAX);
        let (records, more) = match keeper.execute(TrailCommand::AuditRead { after, limit })? {
            TrailOutcome::AuditRecords { records, more } => (records, more),
            other => anyhow::bail!("expected records, found {other:?}; is the daemon a hashward of this version?"),
        };
        records.iter().try_for_each(|record| output.json(record))?;
        let Some(Record { seq, .. }) = records.last() else {
            anyhow::ensure!(!more, "record {} is missing; see `hashward audit verify`", after + 1);
            break;
        };
        (after, left) = (*seq, left - records.len() as u64);
        if !more {
            break;
        }
    }
    output.flush()?;
    Ok(Exit::Fine)
}

fn checkpoint(data: &Path) -> Result<Exit> {
    let checkpoint = match Keeper::find(data)?.execute(TrailCommand::AuditCheckpoint)? {
        TrailOutcome::AuditCheckpoint(checkpoint) => checkpoint,
        other => anyhow::bail!("expected a checkpoint, found {other:?}; is the daemon a hashward of this version?"),
    };
    let mut output = Output::new();
    output.json(&checkpoint)?;
    output.flush()?;
    Ok(Exit::Fine)
}

fn verify_trail(arguments: &VerifyArguments) -> Result<Exit> {
    let mut noted = Vec::new();
    for path in &arguments.checkpoint {
        let read = read_checkpoints(path, arguments.key.as_deref()).with_context(|| path.display().to_string())?;
        // Nothing to hold the trail against would else read as agreement.
        anyhow::ensure!(!read.is_empty(), "{}: expected checkpoints, found none", path.display());
        noted.extend(read);
    }
    let Verified { last, rest_bytes } = verify(&arguments.data.data.join(FOLDER), NAME, &noted)?;
    let mut output = Output::new();
    output.line(&format!(
        "the trail is whole up to record {}, link {}; {} checkpoints agree",
        last.seq,
        last.link.to_hex(),
        noted.len()
    ))?;
    if rest_bytes > 0 {
        output
            .line(&format!("{rest_bytes} bytes behind it are of a record that is being written, or was cut short"))?;
    }
    output.flush()?;
    Ok(Exit::Fine)
}

fn read_checkpoints(path: &Path, key: Option<&str>) -> Result<Vec<Head>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| Ok(serde_json::from_str::<Checkpoint>(line)?.check(key)?)).collect()
}
