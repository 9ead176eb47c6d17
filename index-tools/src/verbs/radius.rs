//! `radius`: within how many bits a list's perceptual hashes match. No file is rewritten.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use hashward::fingerprint::{BadRadius, Kind, KindRadius, Radius};
use hashward::list::ListName;
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

/// What stands for the kind's own radius.
const DEFAULT: &str = "default";

#[derive(Debug, Args)]
pub(super) struct RadiusArgs {
    /// The list
    list: ListName,
    /// The kind and its radius in bits, as pdq=40; `KIND=default` for the kind's own
    #[arg(value_name = "KIND=BITS")]
    setting: Setting,
    #[command(flatten)]
    place: Place,
}

/// A perceptual kind and its radius, or none of the list's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    kind: Kind,
    radius: Option<Radius>,
}

impl FromStr for Setting {
    type Err = BadRadius;

    fn from_str(text: &str) -> Result<Setting, BadRadius> {
        match text.split_once('=') {
            Some((name, DEFAULT)) => {
                let kind: Kind = name.parse()?;
                kind.radius_default().map(|_| Setting { kind, radius: None }).ok_or(BadRadius::ExactKind(kind))
            }
            _ => {
                let given: KindRadius = text.parse()?;
                Ok(Setting { kind: given.kind(), radius: Some(given.radius()) })
            }
        }
    }
}

pub(super) fn run(args: RadiusArgs) -> anyhow::Result<ExitCode> {
    let Setting { kind, radius } = args.setting;
    let (list, told) = (&args.list, |radius| told(kind, radius));
    match args.place.keeper()?.execute(Command::SetRadius { list: list.clone(), kind, radius })? {
        Outcome::RadiusSet { previous, radius } if previous == radius => {
            print::out(&format!("{list}: radius of {kind} was {} already\n", told(radius)))?;
        }
        Outcome::RadiusSet { previous, radius } => {
            print::out(&format!("{list}: radius of {kind} {}, was {}\n", told(radius), told(previous)))?;
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}

fn told(kind: Kind, radius: Option<Radius>) -> String {
    match (radius, kind.radius_default()) {
        (None, Some(default)) => format!("{default} ({DEFAULT})"),
        (radius, _) => radius.map_or_else(String::new, |radius| radius.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_radius_or_the_default() {
        assert_eq!("pdq=40".parse(), Ok(Setting { kind: Kind::Pdq, radius: Some(Radius(40)) }));
        assert_eq!("pHash64=default".parse(), Ok(Setting { kind: Kind::Phash64, radius: None }));
        for bad in ["pdq", "default", "pdq=", "pdq=64", "md5=default", "pdq=DEFAULT", "nothing=default"] {
            assert!(bad.parse::<Setting>().is_err(), "{bad}");
        }
    }
}
