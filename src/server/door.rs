//! Who is let in at a listener: connections are accepted, counted, turned away, and served until they end.
//!
//! Over TLS a connection is a stranger's until somebody who may do something asks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::carrier::Carrier;
use super::descriptors::PassingStream;
use super::listen::{Accepted, Protocol, Socket};
use super::metrics::{Ended, Standing};
use super::protocol::{frame, http};
use super::stranger::Stranger;
use super::tls::Identity;
use super::{Granted, Phase, Shared};
use crate::access::{Counted, Peer};
use crate::journal::now_ms;
use crate::protocol::{RequestId, encode_busy};

/// The pause after the kernel refused to accept, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long one connection too many has to take its BUSY.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What each connection of a listener gets.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) protocol: Protocol,
    pub(super) granted: Arc<Granted>,
    pub(super) shared: Arc<Shared>,
    pub(super) phase: watch::Receiver<Phase>,
    /// A reload brings another; connections that stand keep theirs.
    pub(super) tls: Arc<ArcSwapOption<Identity>>,
}

/// Accepts until the listener drains, and then waits for its connections. Dropping the future aborts them.
pub(super) async fn accept(socket: Socket, mut door: Door) {
    let mut connections = JoinSet::new();
    while *door.phase.borrow_and_update() == Phase::Serving {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok(Accepted::Unix(stream, peer)) => {
                    let passes_descriptors = door.protocol == Protocol::Frame;
                    door.admit(PassingStream::new(stream, passes_descriptors), peer, &mut connections);
                }
                Ok(Accepted::Tcp(stream, peer)) => match door.tls.load_full() {
                    None => door.admit(stream, peer, &mut connections),
                    Some(identity) => door.admit_tls(stream, peer, &identity, &mut connections),
                },
                // It was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(address = %socket.address(), %error, "cannot accept a connection");
                    door.shared.metrics.accept_failed();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = door.phase.changed() => {}
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

impl Door {
    fn admit<S>(&self, mut stream: S, peer: Peer, connections: &mut JoinSet<()>)
    where
        S: AsyncRead + AsyncWrite + Carrier + Unpin + Send + 'static,
    {
        let limit = self.shared.limits.load().connections;
        match self.shared.connections.take(1, limit) {
            Some(taken) => {
                let standing = Standing::new(&self.shared, self.protocol);
                let talk = self.talk(stream, peer, Arc::default());
                connections.spawn(async move {
                    standing.end(talk.await);
                    drop(taken);
                });
            }
            None => {
                self.turn_away(peer, "one connection too many; told busy");
                let busy = busy(self.protocol, &format!("all {limit} connections are taken"));
                connections.spawn(async move {
                    let told = async { stream.write_all(&busy).await.and(stream.shutdown().await) };
                    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
                });
            }
        }
    }

    /// The same after the two have shaken hands. One connection too many is closed without a word, since whatever could be
    /// told costs a handshake; a client takes that for what it is, a connection that failed.
    fn admit_tls(&self, stream: TcpStream, peer: Peer, identity: &Identity, connections: &mut JoinSet<()>) {
        let limits = self.shared.limits.load_full();
        let Some(taken) = self.shared.connections.take(1, limits.connections) else {
            return self.turn_away(peer, "one connection too many; closed");
        };
        let Some(place) = self.shared.strangers.take(1, limits.strangers) else {
            return self.turn_away(peer, "one stranger too many; closed");
        };
        let standing = Standing::new(&self.shared, self.protocol);
        let (door, stranger, config) = (self.clone(), Stranger::new(place), Arc::clone(&identity.config));
        connections.spawn(async move {
            let mut phase = door.phase.clone();
            let served = async {
                let shaken = tokio::select! {
                    shaken = TlsAcceptor::from(config).accept(stream) => shaken,
                    _ = phase.wait_for(|phase| *phase != Phase::Serving) => return Ended::CutOff,
                };
                match shaken {
                    Ok(stream) => door.talk(stream, peer, Arc::clone(&stranger)).await,
                    Err(error) => {
                        tracing::debug!(?peer, %error, "no TLS handshake");
                        Ended::NoHandshake
                    }
                }
            };
            let ended = tokio::select! {
                ended = served => ended,
                () = stranger.overstays(limits.stranger()) => {
                    tracing::debug!(?peer, "nobody who may do anything asked in time");
                    Ended::Stranger
                }
            };
            standing.end(ended);
            drop(taken);
        });
    }

    /// Says so in the log, but not as often as clients like.
    fn turn_away(&self, peer: Peer, because: &str) {
        self.shared.metrics.connection_refused(self.protocol);
        if let Counted::Told(times) = self.shared.turned_away.count(now_ms()) {
            tracing::warn!(?peer, times, because, "turned away");
        }
    }

    /// All that is said over one connection.
    fn talk<S>(&self, stream: S, peer: Peer, stranger: Arc<Stranger>) -> impl Future<Output = Ended> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Carrier + Unpin + Send + 'static,
    {
        let Door { protocol, granted, shared, phase, .. } = self.clone();
        async move {
            match protocol {
                Protocol::Frame => frame::serve(stream, peer, stranger, granted, shared, phase).await,
                // Apart: it is twice as large, and those of frames would be, too.
                Protocol::Http => Box::pin(http::serve(stream, peer, stranger, granted, shared, phase)).await,
            }
        }
    }
}

/// What one connection too many is told.
fn busy(protocol: Protocol, text: &str) -> Vec<u8> {
    match protocol {
        Protocol::Frame => {
            let mut busy = Vec::new();
            encode_busy(&mut busy, RequestId::NONE, text);
            busy
        }
        Protocol::Http => http::busy_response(text),
    }
}
