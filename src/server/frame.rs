//! One connection of the frame protocol: frames in, answers out, bounded in every direction.
//!
//! Exact lookups are answered here and now, since handing them to another thread would cost more than they do; a long one
//! lets other tasks run between its parts. Questions by distance and about content are waited for, one after the other,
//! while others work on them. Commands run on threads of their own and answer when they are done. A
//! connection reads no further request while its answers are not taken, so that a client that never reads holds up
//! nobody but itself, until it is cut off.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::content::{self, Incoming, NoAnswer};
use super::descriptors::Descriptors;
use super::inbox::{Front, Inbox};
use super::limits::{Limits, Taken};
use super::service::ROWS_PER_TURN;
use super::{Granted, Phase, Shared};
use crate::access::{Peer, Right, Rights, rights};
use crate::fingerprint::Radii;
use crate::matching::Answers;
use crate::protocol::{
    ContentFrame, DecodeError, ErrorCode, Failure, Header, Hello, LookupFrame, MAX_VALUES, Op, PROTOCOL_VERSION,
    RequestId, Welcome, encode_answers, encode_busy, encode_error, encode_frame,
};
use crate::store::command::Command;

/// How long a client that is told to go may take to read why, before the rest of what it sends is thrown away.
const LINGER: Duration = Duration::from_millis(100);

/// Commands that only read name a list at most, so none is longer.
const READING_COMMAND_BYTES_MAX: usize = 4 << 10;

/// Parsing a longer command would hold up the lookups of others on this thread.
const LONG_COMMAND_BYTES: usize = 64 << 10;

/// An output buffer above this many bytes is given back once written.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;

/// Why a connection ends.
enum End {
    /// The client said that it has no more requests, and has its answers.
    Finished,
    /// The client is told why.
    Farewell(Failure),
    /// The client is gone, or took too long to take its answers.
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

/// Serves one connection until it ends or `phase` says to end it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + AsFd + Descriptors + Unpin>(
    stream: S,
    peer: Peer,
    granted: Arc<Granted>,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
) {
    let session = Session {
        shared,
        peer,
        granted,
        greeted: false,
        output: Vec::new(),
        commands: JoinSet::new(),
        content: Pending::None,
        rows_in_turn: 0,
    };
    let mut connection = Connection { stream, inbox: Inbox::new(), session, phase, active_at: Instant::now() };
    let end = match connection.run().await {
        Err(end) => end,
        Ok(never) => match never {},
    };
    match end {
        End::Finished => tracing::debug!(?peer, "connection finished"),
        End::Broken(error) => tracing::debug!(?peer, %error, "connection broken"),
        End::Farewell(failure) => {
            tracing::debug!(?peer, %failure, "connection ended");
            connection.say_farewell(&failure).await;
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

impl<S: AsyncRead + AsyncWrite + AsFd + Descriptors + Unpin> Connection<S> {
    /// Runs until the connection ends, which is always an [`End`].
    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let mut input_ended = false;
        loop {
            let limits = self.session.shared.limits.load_full();
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
            let front = self.inbox.front(limits, &self.session.shared.large_frames);
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
                    encode_busy(&mut self.session.output, header.id, "no memory for a frame of this size now");
                }
                Front::Whole(header) => {
                    let payload = self.inbox.payload(&header);
                    let handled = self.session.handle(limits, &header, payload, &mut self.stream).await;
                    self.inbox.consume(&header);
                    handled?;
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
        if phase == Phase::Draining && !partial && !waiting_for_commands && !self.has_unread() {
            return Err(farewell(ErrorCode::ShuttingDown, "the daemon is going away"));
        }
        let (deadline, ending) = if partial {
            let text = format!("a frame was not complete within {} s", limits.frame_s);
            (self.active_at + limits.frame(), Failure::new(ErrorCode::Timeout, text))
        } else {
            let text = format!("no request within {} s", limits.idle_s);
            (self.active_at + limits.idle(), Failure::new(ErrorCode::Timeout, text))
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
            () = sleep_until(deadline), if partial || !waiting_for_commands => return Err(End::Farewell(ending)),
        }
        Ok(())
    }

    /// Whether the kernel holds bytes that the client has sent.
    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.stream).is_ok_and(|unread_bytes| unread_bytes > 0)
    }

    /// Writes all answers that wait.
    async fn flush(&mut self, limits: &Limits) -> Result<(), End> {
        let output = &mut self.session.output;
        if output.is_empty() {
            return Ok(());
        }
        match timeout(limits.write(), self.stream.write_all(output)).await {
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
        let limits = self.session.shared.limits.load_full();
        encode_error(&mut self.session.output, RequestId::NONE, failure);
        if self.flush(&limits).await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        // Closing with unread bytes would reset the connection, and the farewell might be lost with it.
        let mut waste = [0; 4_096];
        let drained = async { while self.stream.read(&mut waste).await.is_ok_and(|count| count > 0) {} };
        let _ = timeout(LINGER, drained).await;
    }
}

fn farewell(code: ErrorCode, text: impl Into<String>) -> End {
    End::Farewell(Failure::new(code, text))
}

/// What a connection knows beside its bytes.
struct Session {
    shared: Arc<Shared>,
    peer: Peer,
    granted: Arc<Granted>,
    greeted: bool,
    /// Answers that wait to be written.
    output: Vec<u8>,
    commands: JoinSet<(RequestId, Result<Vec<u8>, Failure>)>,
    content: Pending,
    rows_in_turn: usize,
}

/// Content of which more is to come.
enum Pending {
    None,
    /// It is taken in.
    Incoming(Box<Incoming>),
    /// It was refused, and what still comes of it is thrown away.
    Refused(RequestId),
}

impl Session {
    /// What the client may do now; a reload may change it.
    fn rights(&self) -> Rights {
        rights(self.peer, self.shared.user, self.granted.get())
    }

    /// Answers one frame, or starts the command in it. Only a client that does not speak the protocol ends here.
    async fn handle(
        &mut self,
        limits: &Limits,
        header: &Header,
        payload: &[u8],
        descriptors: &mut impl Descriptors,
    ) -> Result<(), End> {
        let id = header.id;
        let op = Op::from_code(header.op);
        // Before anything is refused: the next frame's descriptor must not be taken for this one's.
        let brings_descriptor = op == Some(Op::Content) && ContentFrame::announces(payload).0;
        let descriptor = brings_descriptor.then(|| descriptors.take_descriptor()).flatten();
        if !self.greeted {
            return self.greet(limits, header, payload);
        }
        let answered = match op {
            _ if header.version != PROTOCOL_VERSION => Err(wrong_version(header.version)),
            Some(Op::Lookup) => self.lookup(limits, id, payload).await,
            Some(Op::Status) => self.status(id),
            Some(Op::Command) => self.command(limits, id, payload),
            Some(Op::Content) => return self.content(limits, id, payload, descriptor).await,
            Some(Op::Hello) => Err(Failure::new(ErrorCode::Malformed, "HELLO comes first, and once")),
            _ => {
                let text = format!("expected HELLO, STATUS, LOOKUP, COMMAND or CONTENT, found op 0x{:02x}", header.op);
                Err(Failure::new(ErrorCode::Unsupported, text))
            }
        };
        if let Err(failure) = answered {
            encode_error(&mut self.output, id, &failure);
        }
        Ok(())
    }

    fn greet(&mut self, limits: &Limits, header: &Header, payload: &[u8]) -> Result<(), End> {
        if Op::from_code(header.op) != Some(Op::Hello) {
            return Err(farewell(ErrorCode::Malformed, "expected HELLO as the first frame"));
        }
        let hello = Hello::decode(payload).map_err(|error| End::Farewell(malformed(&error)))?;
        if !hello.speaks(PROTOCOL_VERSION) {
            return Err(End::Farewell(wrong_version(hello.highest)));
        }
        self.greeted = true;
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            rights: self.rights(),
            max_frame_bytes: limits.frame_bytes,
            max_values: MAX_VALUES,
            max_commands: limits.commands_per_connection,
            max_near_values: limits.near_values,
            max_content_bytes: limits.content_bytes,
        };
        welcome.encode(&mut self.output, header.id);
        Ok(())
    }

    async fn lookup(&mut self, limits: &Limits, id: RequestId, payload: &[u8]) -> Result<(), Failure> {
        self.need(Right::Lookup)?;
        let lookup = LookupFrame::decode(payload).map_err(|error| malformed(&error))?;
        self.check_radii(limits, &lookup.radii)?;
        let near_values = u64::from(lookup.rows) * lookup.kinds.iter().filter(|kind| !kind.is_exact()).count() as u64;
        if near_values > limits.near_values.into() {
            let text = format!("{near_values} values of perceptual kinds: expected at most {}", limits.near_values);
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        let Shared { service, workshop, .. } = &*self.shared;
        let snapshot = service.snapshot();
        let answers = service.answer(snapshot, workshop, &lookup.kinds, &lookup.radii, lookup.values).await?;
        self.rows_in_turn += lookup.rows as usize;
        self.put_answers(limits, id, answers)
    }

    /// Takes a part of a file's content in; with the last, answers what is asked about it. Whatever refuses a part refuses
    /// the whole: what still comes of it is thrown away, so that no answer is about less than all of a file.
    async fn content(
        &mut self,
        limits: &Limits,
        id: RequestId,
        payload: &[u8],
        descriptor: Option<OwnedFd>,
    ) -> Result<(), End> {
        let (_, more) = ContentFrame::announces(payload);
        let pending = match std::mem::replace(&mut self.content, Pending::None) {
            Pending::Incoming(incoming) if incoming.id != id => {
                return Err(farewell(ErrorCode::Malformed, "other content began before the one before was complete"));
            }
            Pending::Incoming(incoming) => Some(incoming),
            Pending::Refused(refused) if refused == id => {
                self.content = if more { Pending::Refused(id) } else { Pending::None };
                return Ok(());
            }
            Pending::Refused(_) | Pending::None => None,
        };
        let answered = match self.take_part(limits, id, payload, descriptor, pending).await {
            Ok(Some(incoming)) => {
                self.content = Pending::Incoming(incoming);
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(refused) => refused,
        };
        self.content = if more { Pending::Refused(id) } else { Pending::None };
        match answered {
            NoAnswer::Failed(failure) => encode_error(&mut self.output, id, &failure),
            NoAnswer::Busy => encode_busy(&mut self.output, id, "no room for more content now"),
        }
        Ok(())
    }

    /// One part: returns the content if more of it is to come, and answers otherwise.
    async fn take_part(
        &mut self,
        limits: &Limits,
        id: RequestId,
        payload: &[u8],
        descriptor: Option<OwnedFd>,
        pending: Option<Box<Incoming>>,
    ) -> Result<Option<Box<Incoming>>, NoAnswer> {
        self.need(Right::Content)?;
        let frame = ContentFrame::decode(payload).map_err(|error| malformed(&error))?;
        let mut incoming = match pending {
            Some(_) if frame.descriptor => {
                let text = "expected more of the content, found a descriptor";
                return Err(Failure::new(ErrorCode::Malformed, text).into());
            }
            Some(incoming) => incoming,
            None => {
                self.check_radii(limits, &frame.options.radii)?;
                if frame.descriptor {
                    let text = "expected a descriptor with this frame, found none";
                    let descriptor = descriptor.ok_or_else(|| Failure::new(ErrorCode::Malformed, text))?;
                    let answers = content::answer_descriptor(descriptor, &frame.options, limits, &self.shared).await?;
                    self.put_answers(limits, id, answers)?;
                    return Ok(None);
                }
                Box::new(Incoming::new(id, frame.options, &self.shared))
            }
        };
        incoming.take(frame.bytes, limits, &self.shared).await?;
        if frame.more {
            return Ok(Some(incoming));
        }
        let answers = incoming.answer(&self.shared).await?;
        self.put_answers(limits, id, answers)?;
        Ok(None)
    }

    /// Refuses radii that are wider than the config allows, and all radii of those who may not see details: by narrowing
    /// the radius one could read a distance off the answers.
    fn check_radii(&self, limits: &Limits, radii: &Radii) -> Result<(), Failure> {
        if !radii.is_empty() {
            self.need(Right::Detail)?;
        }
        for (kind, radius) in radii.iter() {
            let max = limits.radius(kind);
            if radius > max {
                let text = format!("a radius of {radius} for {kind}: expected at most {max}, which limits.radii sets");
                return Err(Failure::new(ErrorCode::TooLarge, text));
            }
        }
        Ok(())
    }

    /// Writes answers, as far as the client may see them.
    fn put_answers(&mut self, limits: &Limits, id: RequestId, answers: Answers) -> Result<(), Failure> {
        let answers = if self.rights().has(Right::Detail) { answers } else { answers.without_detail() };
        let start = self.output.len();
        encode_answers(&mut self.output, id, &answers)
            .map_err(|error| Failure::new(ErrorCode::TooLarge, error.to_string()))?;
        self.keep_to_frame_limit(limits, start)
    }

    fn status(&mut self, id: RequestId) -> Result<(), Failure> {
        if self.rights() == Rights::NONE {
            return Err(Failure::new(ErrorCode::Forbidden, "this connection has no right at all"));
        }
        let json = serde_json::to_vec(&self.shared.status())
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        encode_frame(&mut self.output, Op::Json, id, &json);
        Ok(())
    }

    /// Starts a command on a thread of its own, if there is room.
    fn command(&mut self, limits: &Limits, id: RequestId, payload: &[u8]) -> Result<(), Failure> {
        if payload.len() > READING_COMMAND_BYTES_MAX {
            // Whoever may only read has no use for a command of this size, and is not worth parsing it.
            self.need(Right::Admin)?;
        }
        let command = parse_command(payload)?;
        self.need(if command.needs_admin() { Right::Admin } else { Right::Lookup })?;
        if !self.shared.service.is_open() {
            encode_busy(&mut self.output, id, "the store is still loading");
            return Ok(());
        }
        if self.commands.len() >= limits.commands_per_connection as usize {
            encode_busy(&mut self.output, id, "too many commands under way on this connection");
            return Ok(());
        }
        let Some(taken) = self.shared.commands.take(1, limits.commands) else {
            encode_busy(&mut self.output, id, "too many commands under way");
            return Ok(());
        };
        if command.needs_admin() {
            tracing::info!(peer = ?self.peer, command = command_name(payload), "command");
        }
        let shared = Arc::clone(&self.shared);
        self.commands.spawn_blocking(move || {
            let _taken: Taken = taken;
            let executed = catch_unwind(AssertUnwindSafe(|| shared.service.execute(command)));
            (id, executed.unwrap_or_else(|_| Err(Failure::new(ErrorCode::Internal, "the command panicked"))))
        });
        Ok(())
    }

    fn finish_command(
        &mut self,
        limits: &Limits,
        done: Result<(RequestId, Result<Vec<u8>, Failure>), tokio::task::JoinError>,
    ) {
        let (id, answered) = match done {
            Ok(done) => done,
            // Only when the runtime goes away under it, and then so does the connection.
            Err(error) => return tracing::error!(%error, "a command was given up"),
        };
        let start = self.output.len();
        let answered = answered.and_then(|json| {
            encode_frame(&mut self.output, Op::Json, id, &json);
            self.keep_to_frame_limit(limits, start)
        });
        if let Err(failure) = answered {
            encode_error(&mut self.output, id, &failure);
        }
    }

    /// Takes the frame that starts at `start` back if it is longer than the client accepts.
    fn keep_to_frame_limit(&mut self, limits: &Limits, start: usize) -> Result<(), Failure> {
        let frame_bytes = self.output.len() - start;
        if frame_bytes <= limits.frame_bytes as usize {
            return Ok(());
        }
        self.output.truncate(start);
        let text = format!("the answer has {frame_bytes} bytes, expected at most {}; ask less", limits.frame_bytes);
        Err(Failure::new(ErrorCode::TooLarge, text))
    }

    fn need(&self, right: Right) -> Result<(), Failure> {
        if self.rights().has(right) {
            return Ok(());
        }
        let text = match right {
            Right::Lookup => "this listener grants no lookups",
            Right::Admin => "only the daemon's own user and root may change lists here",
            Right::Content => "this listener grants no questions about content; send hashes, or ask for the right",
            Right::Detail => "this listener grants no details, and radii of one's own would tell them",
        };
        Err(Failure::new(ErrorCode::Forbidden, text))
    }
}

fn malformed(error: &DecodeError) -> Failure {
    Failure::new(ErrorCode::Malformed, error.to_string())
}

fn wrong_version(found: u16) -> Failure {
    let text = format!("expected protocol version {PROTOCOL_VERSION}, found {found}");
    Failure::new(ErrorCode::Unsupported, text)
}

fn parse_command(json: &[u8]) -> Result<Command, Failure> {
    let parse = || serde_json::from_slice(json);
    let parsed = if json.len() > LONG_COMMAND_BYTES { tokio::task::block_in_place(parse) } else { parse() };
    parsed.map_err(|error| Failure::new(ErrorCode::Malformed, format!("expected a command as JSON: {error}")))
}

/// The command's name for the log. The rest of a command may hold fingerprints, which no log holds.
fn command_name(json: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        command: String,
    }
    serde_json::from_slice::<Named>(json).map(|named| named.command).unwrap_or_default()
}
