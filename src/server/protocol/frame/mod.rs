//! One connection of the frame protocol: frames in, answers out, bounded in every direction.
//!
//! What the frames ask is for [`Session`] to answer. A connection reads no further request while its answers are not taken,
//! so that a client that never reads holds up nobody but itself, until it is cut off.

mod session;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::access::Peer;
use crate::protocol::{ErrorCode, Failure, Op, RequestId};
use crate::server::carrier::Carrier;
use crate::server::content::Incoming;
use crate::server::inbox::{Front, Inbox};
use crate::server::limits::Limits;
use crate::server::metrics::Ended;
use crate::server::service::ROWS_PER_TURN;
use crate::server::stranger::Stranger;
use crate::server::{Granted, Phase, Shared};
use session::{End, Pending, Session, farewell};

/// How long a client that is told to go may take to read why, before the rest of what it sends is thrown away.
const LINGER: Duration = Duration::from_millis(100);

/// How long a connection without a request keeps buffers that have grown.
const RESTING: Duration = Duration::from_secs(1);

/// Every frame counts at least as so many rows, so that whoever sends many small ones lets others have their turn, too.
const ROWS_A_FRAME: usize = 64;

/// An output buffer above this many bytes is given back once written.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;

/// Serves one connection until it ends or `phase` says to end it. Returns how it ended.
pub(in crate::server) async fn serve<S: AsyncRead + AsyncWrite + Carrier + Unpin>(
    stream: S,
    peer: Peer,
    stranger: Arc<Stranger>,
    granted: Arc<Granted>,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
) -> Ended {
    let session = Session::new(peer, stranger, granted, shared);
    let mut connection = Connection { stream, inbox: Inbox::new(), session, phase, active_at: Instant::now() };
    let end = match connection.run().await {
        Err(end) => end,
        Ok(never) => match never {},
    };
    match end {
        End::Finished => {
            tracing::debug!(?peer, "connection finished");
            // Over TLS the client hears that it missed nothing.
            let _ = timeout(LINGER, connection.stream.shutdown()).await;
            Ended::Finished
        }
        End::Broken(error) => {
            tracing::debug!(?peer, %error, "connection broken");
            if error.kind() == io::ErrorKind::TimedOut { Ended::Unread } else { Ended::Broken }
        }
        End::Farewell(failure) => {
            tracing::debug!(?peer, %failure, "connection ended");
            connection.say_farewell(&failure).await;
            Ended::Farewell(failure.code)
        }
    }
}

struct Connection<S> {
    stream: S,
    inbox: Inbox,
    session: Session,
    phase: watch::Receiver<Phase>,
    /// When the last frame became complete, or the one now coming began.
    active_at: Instant,
}

/// What is due first while a connection waits.
enum Due {
    /// All of a file's content.
    Content,
    /// The rest of a frame.
    Frame,
    /// Giving back buffers that have grown.
    Rest,
    /// The next request.
    Request,
}

impl<S: AsyncRead + AsyncWrite + Carrier + Unpin> Connection<S> {
    /// Runs until the connection ends, which is always an [`End`].
    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let mut input_ended = false;
        loop {
            let limits = self.session.asker.shared.limits.load_full();
            let partial = self.work(&limits).await?;
            self.flush(&limits).await?;
            if input_ended && self.session.commands.is_empty() {
                return Err(End::Finished);
            }
            self.wait(&limits, partial, &mut input_ended).await?;
        }
    }

    /// Works through all whole frames. Returns whether a frame, or the content that frames bring, is not complete.
    async fn work(&mut self, limits: &Limits) -> Result<bool, End> {
        loop {
            let front = self.inbox.front(limits, &self.session.asker.shared.large_frames);
            match front.map_err(|error| farewell(ErrorCode::Malformed, error.to_string()))? {
                Front::Empty if self.stream.take_descriptor().is_some() => {
                    return Err(farewell(ErrorCode::Malformed, "a descriptor came with no frame that says so"));
                }
                Front::Empty => return Ok(matches!(self.session.content, Pending::Incoming(_))),
                Front::Partial => return Ok(true),
                Front::NoRoom(header) if Op::from_code(header.op) == Some(Op::Content) => {
                    // Whether more of it follows stands in what is thrown away.
                    let text = "no memory for a frame of this size now; send content in parts of up to 128 KiB";
                    return Err(farewell(ErrorCode::TooLarge, text));
                }
                Front::NoRoom(header) => {
                    self.session.put_busy(header.id, "no memory for a frame of this size now");
                }
                Front::Whole(header) => {
                    let payload = self.inbox.payload(&header);
                    let handled = self.session.handle(limits, &header, payload, &mut self.stream).await;
                    self.inbox.consume(&header);
                    handled?;
                    self.session.rows_in_turn += ROWS_A_FRAME;
                    self.active_at = Instant::now();
                }
            }
            if self.session.output.len() >= limits.unwritten_bytes {
                self.flush(limits).await?;
            }
            if self.session.rows_in_turn >= ROWS_PER_TURN {
                self.session.rows_in_turn = 0;
                tokio::task::yield_now().await;
            }
            if *self.phase.borrow() == Phase::Closing {
                return Err(farewell(ErrorCode::ShuttingDown, "the daemon is going away"));
            }
        }
    }

    /// Waits for bytes, for a command that is done, for the daemon's end, or for the time to be up.
    async fn wait(&mut self, limits: &Limits, partial: bool, input_ended: &mut bool) -> Result<(), End> {
        let phase = *self.phase.borrow_and_update();
        if phase == Phase::Closing {
            return Err(farewell(ErrorCode::ShuttingDown, "the daemon is going away"));
        }
        let waiting_for_commands = !self.session.commands.is_empty();
        if phase == Phase::Draining && !partial && !waiting_for_commands && !self.stream.has_unread() {
            return Err(farewell(ErrorCode::ShuttingDown, "the daemon is going away"));
        }
        let holds_memory = self.inbox.may_shrink() || self.session.output.capacity() > 0;
        let whole_frame_by = self.active_at + limits.frame();
        let (deadline, due) = if let Pending::Incoming(incoming) = &self.session.content
            && incoming.due_at(limits) < whole_frame_by
        {
            (incoming.due_at(limits), Due::Content)
        } else if partial {
            (whole_frame_by, Due::Frame)
        } else if holds_memory {
            (self.active_at + RESTING.min(limits.idle()), Due::Rest)
        } else {
            (self.active_at + limits.idle(), Due::Request)
        };
        tokio::select! {
            // Commands first: a client that never stops asking still hears of them.
            biased;
            Some(done) = self.session.commands.join_next() => {
                self.session.finish_command(limits, done);
                self.active_at = Instant::now();
            }
            read = self.stream.read(self.inbox.space()), if !*input_ended => match read? {
                0 if partial => return Err(farewell(ErrorCode::Malformed, "the stream ended within a frame")),
                0 => *input_ended = true,
                count => {
                    if !partial {
                        self.active_at = Instant::now();
                    }
                    self.inbox.filled(count);
                }
            },
            _ = self.phase.changed() => {}
            () = sleep_until(deadline), if partial || !waiting_for_commands => {
                let text = match due {
                    Due::Rest => {
                        self.inbox.shrink();
                        self.session.output = Vec::new();
                        return Ok(());
                    }
                    Due::Content => return Err(End::Farewell(Incoming::too_slow())),
                    Due::Frame => format!("a frame was not complete within {} s", limits.frame_s),
                    Due::Request => format!("no request within {} s", limits.idle_s),
                };
                return Err(farewell(ErrorCode::Timeout, text));
            }
        }
        Ok(())
    }

    /// Writes all answers that wait.
    async fn flush(&mut self, limits: &Limits) -> Result<(), End> {
        let output = &mut self.session.output;
        if output.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(output).await?;
            // TLS may keep the last of it back.
            self.stream.flush().await
        };
        match timeout(limits.write(), written).await {
            Ok(written) => written?,
            Err(_) => {
                let text = format!("the client took no answers for {} s", limits.write_s);
                return Err(End::Broken(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
        }
        output.clear();
        if output.capacity() > OUTPUT_KEPT_BYTES {
            *output = Vec::new();
        }
        Ok(())
    }

    /// Tells the client why the connection ends, with the answers that still wait before it. A client that does not
    /// listen is not waited for.
    async fn say_farewell(&mut self, failure: &Failure) {
        let limits = self.session.asker.shared.limits.load_full();
        self.session.put_error(RequestId::NONE, failure);
        if self.flush(&limits).await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        // Closing with unread bytes would reset the connection, and the farewell might be lost with it.
        let waste = self.inbox.space();
        let drained = async { while self.stream.read(waste).await.is_ok_and(|count| count > 0) {} };
        let _ = timeout(LINGER, drained).await;
    }
}
