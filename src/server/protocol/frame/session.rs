//! What a connection is asked and answers, frame by frame, whatever carries the bytes.
//!
//! Exact lookups are answered here and now, since handing them to another thread would cost more than they do; a long one
//! lets other tasks run between its parts. Questions by distance and about content are waited for, one after the other,
//! while others work on them. Commands run on threads of their own and answer when they are done.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::access::{Peer, Rights, Token};
use crate::matching::Answers;
use crate::protocol::{
    ContentFrame, DecodeError, ErrorCode, Failure, Header, Hello, LookupFrame, MAX_VALUES, Op, PROTOCOL_VERSION,
    RequestId, Welcome, encode_answers, encode_busy, encode_error, encode_frame,
};
use crate::server::asker::{Asker, HashQuestion};
use crate::server::carrier::Carrier;
use crate::server::content::{Incoming, NoAnswer};
use crate::server::limits::Limits;
use crate::server::metrics::Told;
use crate::server::stranger::Stranger;
use crate::server::{Granted, Shared};

/// Why a connection ends.
pub(super) enum End {
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

pub(super) fn farewell(code: ErrorCode, text: impl Into<String>) -> End {
    End::Farewell(Failure::new(code, text))
}

/// What a connection knows beside its bytes.
pub(super) struct Session {
    stranger: Arc<Stranger>,
    pub(super) asker: Asker,
    greeted: bool,
    /// Answers that wait to be written.
    pub(super) output: Vec<u8>,
    pub(super) commands: JoinSet<(RequestId, Result<Vec<u8>, Failure>)>,
    pub(super) content: Pending,
    pub(super) rows_in_turn: usize,
}

/// Content of which more is to come.
pub(super) enum Pending {
    None,
    /// It is taken in.
    Incoming(Box<Incoming>),
    /// It was refused, and what still comes of it is thrown away.
    Refused(RequestId),
}

impl Session {
    pub(super) fn new(peer: Peer, stranger: Arc<Stranger>, granted: Arc<Granted>, shared: Arc<Shared>) -> Session {
        Session {
            stranger,
            asker: Asker::new(peer, granted, shared),
            greeted: false,
            output: Vec::new(),
            commands: JoinSet::new(),
            content: Pending::None,
            rows_in_turn: 0,
        }
    }

    /// Answers one frame, or starts the command in it. Only a client that does not speak the protocol ends here.
    pub(super) async fn handle(
        &mut self,
        limits: &Limits,
        header: &Header,
        payload: &[u8],
        carrier: &mut impl Carrier,
    ) -> Result<(), End> {
        let id = header.id;
        let op = Op::from_code(header.op);
        // Before anything is refused: the next frame's descriptor must not be taken for this one's.
        let brings_descriptor = op == Some(Op::Content) && ContentFrame::announces(payload).0;
        let descriptor = brings_descriptor.then(|| carrier.take_descriptor()).flatten();
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
            self.put_error(id, &failure);
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
        if let Some(token) = hello.token {
            self.asker.authenticate(Token::parse(&token)).map_err(End::Farewell)?;
        }
        self.greeted = true;
        let rights = self.asker.rights();
        if rights != Rights::NONE {
            self.stranger.introduce();
        }
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            rights,
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
        let LookupFrame { kinds, radii, rows, values } =
            LookupFrame::decode(payload).map_err(|error| malformed(&error))?;
        let question = HashQuestion { kinds: &kinds, radii: &radii, rows, values };
        let answers = self.asker.lookup(limits, &question).await?;
        self.rows_in_turn += rows as usize;
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
            NoAnswer::Failed(failure) => self.put_error(id, &failure),
            NoAnswer::Busy(text) => self.put_busy(id, text),
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
        let frame = ContentFrame::decode(payload).map_err(|error| malformed(&error))?;
        let mut incoming = match pending {
            Some(_) if frame.descriptor => {
                let text = "expected more of the content, found a descriptor";
                return Err(Failure::new(ErrorCode::Malformed, text).into());
            }
            Some(incoming) => incoming,
            None => {
                if frame.descriptor {
                    let text = "expected a descriptor with this frame, found none";
                    let descriptor = descriptor.ok_or_else(|| Failure::new(ErrorCode::Malformed, text))?;
                    let answers = self.asker.content_of(limits, descriptor, &frame.options).await?;
                    self.put_answers(limits, id, answers)?;
                    return Ok(None);
                }
                Box::new(self.asker.begin_content(limits, id, frame.options)?)
            }
        };
        incoming.take(frame.bytes, limits, &self.asker.shared).await?;
        if frame.more {
            return Ok(Some(incoming));
        }
        let answers = self.asker.answer_content(limits, *incoming).await?;
        self.put_answers(limits, id, answers)?;
        Ok(None)
    }

    /// Writes why there is no answer.
    pub(super) fn put_error(&mut self, id: RequestId, failure: &Failure) {
        self.asker.told(Told::Failure(failure.code));
        encode_error(&mut self.output, id, failure);
    }

    /// Writes that there is no room now.
    pub(super) fn put_busy(&mut self, id: RequestId, text: &str) {
        self.asker.told(Told::Busy);
        encode_busy(&mut self.output, id, text);
    }

    /// Writes answers.
    fn put_answers(&mut self, limits: &Limits, id: RequestId, answers: Answers) -> Result<(), Failure> {
        let start = self.output.len();
        encode_answers(&mut self.output, id, &answers)
            .map_err(|error| Failure::new(ErrorCode::TooLarge, error.to_string()))?;
        self.keep_to_frame_limit(limits, start)
    }

    fn status(&mut self, id: RequestId) -> Result<(), Failure> {
        let json = serde_json::to_vec(&self.asker.status()?)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        encode_frame(&mut self.output, Op::Json, id, &json);
        Ok(())
    }

    /// Starts a command on a thread of its own, if there is room.
    fn command(&mut self, limits: &Limits, id: RequestId, payload: &[u8]) -> Result<(), Failure> {
        if self.commands.len() >= limits.commands_per_connection as usize {
            self.put_busy(id, "too many commands under way on this connection");
            return Ok(());
        }
        match self.asker.command_json(limits, payload) {
            Ok(run) => drop(self.commands.spawn_blocking(move || (id, run()))),
            Err(NoAnswer::Busy(text)) => self.put_busy(id, text),
            Err(NoAnswer::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }

    pub(super) fn finish_command(
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
            self.put_error(id, &failure);
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
}

fn malformed(error: &DecodeError) -> Failure {
    Failure::new(ErrorCode::Malformed, error.to_string())
}

fn wrong_version(found: u16) -> Failure {
    let text = format!("expected protocol version {PROTOCOL_VERSION}, found {found}");
    Failure::new(ErrorCode::Unsupported, text)
}
