//! The messages of `sd_notify(3)`: datagrams to the socket that `NOTIFY_SOCKET` names.
//!
//! That a message cannot be sent ends nothing: answers matter more than who is told.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often within the time that systemd waits it is told that the daemon lives.
const PER_WATCHDOG: u32 = 3;

/// How long a message may wait for room. Whoever should read them and does not would else hold up whoever sends, and the
/// daemon's end with it.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the daemon tells how it is.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one whom the environment names, if anyone.
    pub fn from_env() -> Notifier {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let bytes = name.as_encoded_bytes();
            let address = match bytes.strip_prefix(b"@") {
                Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
                None => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_write_timeout(Some(SEND_TIMEOUT)).ok()?;
            Some((socket, address.ok()?))
        });
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_meant && *usec > 0).map(Duration::from_micros);
        Notifier { socket, watchdog }
    }

    /// It listens, and is as `status` says.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// How it is now.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// It reads its config again, until it says that it is ready.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reading the config again"));
    }

    /// It is ending.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=finishing what was asked");
    }

    /// Tells that the daemon lives, for as long as `works` says so and this is polled.
    pub async fn keep_alive(&self, works: impl Fn() -> bool) {
        let Some(watchdog) = self.watchdog else { return };
        let mut pause = tokio::time::interval(watchdog / PER_WATCHDOG);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            match works() {
                true => self.send("WATCHDOG=1"),
                false => tracing::error!("a lookup of what is always known is answered otherwise; systemd is not told"),
            }
        }
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        let sent = loop {
            match socket.send_to_addr(message.as_bytes(), address) {
                // By a signal to the daemon, while it waits for room.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "systemd cannot be told how the daemon is");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_does_not_work_is_not_said_to_live_until_it_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = tokio::net::UnixDatagram::bind(&path).unwrap();
        let socket = Some((UnixDatagram::unbound().unwrap(), SocketAddr::from_pathname(&path).unwrap()));
        let notifier = Notifier { socket, watchdog: Some(Duration::from_millis(30)) };
        let (works, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(tokio::sync::Semaphore::new(0)));
        let (does, asking) = (Arc::clone(&works), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let works = || {
                asking.add_permits(1);
                does.load(Ordering::SeqCst)
            };
            notifier.keep_alive(works).await;
        });
        let mut message = [0; 100];
        for is_working in [true, false, true] {
            works.store(is_working, Ordering::SeqCst);
            // What was sent before.
            while systemd.try_recv(&mut message).is_ok() {}
            asked.forget_permits(usize::MAX);
            asked.acquire_many(3).await.unwrap().forget();
            match is_working {
                true => assert_eq!(systemd.recv(&mut message).await.unwrap(), "WATCHDOG=1".len()),
                false => assert!(systemd.try_recv(&mut message).is_err(), "{message:?}"),
            }
        }
        task.abort();
    }
}
