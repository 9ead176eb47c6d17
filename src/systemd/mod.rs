//! What systemd and the daemon tell each other: that it is ready, reloads, lives and stops; and sockets that systemd
//! opened. Without systemd nothing of it does anything.

mod notify;
mod sockets;

pub use notify::Notifier;
pub use sockets::{BadSocket, PassedListener, PassedSockets};
