//! Who may ask what, and how much.
//!
//! ```text
//! peer (uid, gid, address), token ─▶ Access: which principal ─▶ its rights ∩ the listener's ─▶ allowed or refused
//!                                                             └▶ its budget ─▶ within or over
//! ```
//!
//! A listener's rights are a ceiling for whoever connects there. A principal is somebody whom the config names: a user or
//! a group of this machine, for whom the kernel vouches, or the bearer of a token. The daemon's own user and root have
//! all rights at a Unix socket, since they could change the data folder anyway. Any other user of this machine who can
//! open the socket may look up, unless the config says otherwise; whoever comes over TCP without a token may nothing,
//! unless the config says so.
//!
//! All rules are pure functions, checked as tables. What was used of daily budgets is kept in a file: see [`KeptBudgets`].

mod budget;
mod kept;
mod principal;
mod rights;
mod token;

pub use budget::{Bound, Budget, Clocks, Cost, Counted, Meter, OverBudget, Refusals, Spent, UsedDay};
pub use kept::{BadKept, KeptBudgets};
pub use principal::{
    Access, BadAccess, BadPrincipal, Identity, Principal, PrincipalConfig, PrincipalName, UnknownToken,
};
pub use rights::{Right, Rights};
pub use token::{BadTokenHash, Token, TokenHash};

use std::net::SocketAddr;

/// A user's number, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(pub u32);

/// A group's number, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(pub u32);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, by the user and the group whom the kernel vouches for.
    Unix(UserId, GroupId),
    /// Anyone who can reach the address.
    Tcp(SocketAddr),
}
