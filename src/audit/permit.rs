//! What the trail says of permissions: so that years later it can be told who was allowed what when something was asked.

use serde::Serialize;

use crate::access::{Budget, PrincipalConfig, PrincipalName, Right};

/// What one section of the config allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Permit {
    /// The most that anyone may do at an address.
    Listener {
        /// The address.
        listener: String,
        /// What is spoken there.
        protocol: &'static str,
        /// Whether within TLS.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        tls: bool,
        /// What it grants.
        rights: Vec<Right>,
    },
    /// What a principal may do where the listener grants it, too.
    Principal {
        /// Its name.
        principal: PrincipalName,
        /// By what it is recognised: `uid 7`, `gid 7`, `anyone`, or `token` and the beginning of the token's digest, which tells
        /// one token from another and not what it is.
        known_by: String,
        /// Its rights.
        rights: Vec<Right>,
        /// How much it may ask.
        budget: Budget,
    },
}

impl From<&PrincipalConfig> for Permit {
    fn from(config: &PrincipalConfig) -> Permit {
        let PrincipalConfig { name, uid, gid, token, anyone: _, rights, budget } = config;
        let known_by = match (uid, gid, token) {
            (Some(uid), _, _) => format!("uid {uid}"),
            (_, Some(gid), _) => format!("gid {gid}"),
            (_, _, Some(token)) => format!("token {}", token.beginning()),
            (None, None, None) => "anyone".to_owned(),
        };
        Permit::Principal { principal: name.clone(), known_by, rights: rights.clone(), budget: *budget }
    }
}
