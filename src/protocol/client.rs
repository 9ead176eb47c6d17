//! The blocking client: what the programs of this workspace ask the daemon with, and a model for others.
//!
//! [`Client`] asks one thing at a time. [`Client::split`] gives the two halves of a connection to two threads, so that
//! many requests are under way at once. Whatever goes wrong is a [`ClientError`], and never reads as an answer.

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::answers::decode_answers;
use super::content::{ContentFrame, ContentOptions, encode_content};
use super::cursor::DecodeError;
use super::failure::Failure;
use super::frame::{FrameError, HEADER_BYTES, Header, Op, RequestId, encode_frame};
use super::hello::{Hello, Welcome};
use super::question::encode_lookup_head;
use super::stream::Stream;
use super::{Address, DEFAULT_MAX_FRAME_BYTES, MAX_VALUES, PROTOCOL_VERSION};
use crate::access::Token;
use crate::fingerprint::{Kind, Radii};
use crate::matching::Answers;

/// How long a daemon may take to greet, to take what is sent, to answer a lookup or content, and to tell its status.
/// Commands may take as long as they need: publishing verifies whole segments.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of content in one frame: below what a connection holds without asking for more memory.
const CONTENT_PART_BYTES: usize = 128 << 10;

/// Bytes read ahead: a few hundred small answers a system call.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens at the address, or not for us.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// Whoever is on the way could read the token, and use it.
    #[error("a token is not sent in the clear to another machine, as to {0}; ask by tls:HOST:PORT")]
    TokenInTheClear(Address),
    /// The connection failed.
    #[error("the connection to the daemon failed: {0}")]
    Io(io::Error),
    /// The daemon took too long.
    #[error("the daemon did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// The daemon ended the connection.
    #[error("the daemon closed the connection before it answered")]
    Closed,
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What came is a frame with a wrong payload.
    #[error("the daemon's answer cannot be read: {0}; are daemon and client of the same version?")]
    Decode(#[from] DecodeError),
    /// An answer, but not to what was asked.
    #[error("expected {expected}, found {found}; are daemon and client of the same version?")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// The daemon has no room now; nothing was done.
    #[error("the daemon is busy: {0}")]
    Busy(String),
    /// The daemon says why not.
    #[error("the daemon refused: {0}")]
    Failed(Failure),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout,
            // Before the end of a frame: the daemon is gone.
            io::ErrorKind::UnexpectedEof => ClientError::Closed,
            _ => ClientError::Io(error),
        }
    }
}

/// One answer of the daemon, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To HELLO.
    Welcome(Welcome),
    /// To STATUS and COMMAND: JSON text.
    Json(Vec<u8>),
    /// To LOOKUP and CONTENT.
    Answers(Answers),
    /// No room now; nothing was done.
    Busy(String),
    /// It failed.
    Error(Failure),
}

impl Reply {
    fn into_answers(self) -> Result<Answers, ClientError> {
        match self {
            Reply::Answers(answers) => Ok(answers),
            other => Err(other.into_error("answers")),
        }
    }

    fn into_json(self) -> Result<Vec<u8>, ClientError> {
        match self {
            Reply::Json(json) => Ok(json),
            other => Err(other.into_error("JSON")),
        }
    }

    fn into_error(self, expected: &'static str) -> ClientError {
        match self {
            Reply::Busy(text) => ClientError::Busy(text),
            Reply::Error(failure) => ClientError::Failed(failure),
            Reply::Welcome(_) => ClientError::Unexpected { expected, found: "a greeting".to_owned() },
            Reply::Json(_) => ClientError::Unexpected { expected, found: "JSON".to_owned() },
            Reply::Answers(_) => ClientError::Unexpected { expected, found: "answers".to_owned() },
        }
    }
}

/// A connection to the daemon that asks one thing at a time.
pub struct Client {
    sender: Sender,
    receiver: Receiver,
    welcome: Welcome,
    last_id: u32,
}

impl Client {
    /// Connects and exchanges greetings.
    ///
    /// # Errors
    /// No daemon there, no room for one more connection, or no common protocol version.
    pub fn connect(address: &Address) -> Result<Client, ClientError> {
        Client::connect_with(address, None)
    }

    /// The same as the bearer of `token`.
    ///
    /// # Errors
    /// As [`Client::connect`]; also when the daemon knows nobody with this token.
    pub fn connect_with(address: &Address, token: Option<&Token>) -> Result<Client, ClientError> {
        Client::connect_trusting(address, token, None)
    }

    /// The same, where over TLS only the authorities whose certificates stand in the PEM file `authorities` are trusted,
    /// instead of those that the system trusts.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; also when the daemon's certificate does not prove that it is who it should be.
    pub fn connect_trusting(
        address: &Address,
        token: Option<&Token>,
        authorities: Option<&Path>,
    ) -> Result<Client, ClientError> {
        if token.is_some() && matches!(address, Address::Tcp(socket) if !socket.ip().is_loopback()) {
            return Err(ClientError::TokenInTheClear(address.clone()));
        }
        let connect = |source| ClientError::Connect { address: address.clone(), source };
        let stream = Stream::connect(address, authorities, ANSWER_TIMEOUT).map_err(connect)?;
        let mut sender = Sender { stream: stream.try_clone()?, frame: Vec::new(), has_failed: false };
        let mut receiver = Receiver {
            stream: BufReader::with_capacity(READ_AHEAD_BYTES, stream),
            payload: Vec::new(),
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            has_failed: false,
        };
        let id = RequestId(1);
        // A daemon that has no room says so and hangs up, perhaps before it reads this. What it said is worth more
        // than the broken pipe.
        let greeted = sender.hello(id, token);
        let welcome = match receiver.receive() {
            Ok((_, Reply::Welcome(welcome))) => welcome,
            Ok((_, other)) => return Err(other.into_error("a greeting")),
            Err(error) => return Err(greeted.err().unwrap_or(error)),
        };
        if welcome.version != PROTOCOL_VERSION {
            let found = format!("version {}", welcome.version);
            return Err(ClientError::Unexpected { expected: "this client's protocol version", found });
        }
        receiver.max_frame_bytes = welcome.max_frame_bytes;
        Ok(Client { sender, receiver, welcome, last_id: id.0 })
    }

    /// What the daemon said about itself and this client's rights.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The most rows of `kinds` that one [`Client::lookup`] may ask.
    pub fn max_rows(&self, kinds: &[Kind]) -> usize {
        let row_bytes: usize = kinds.iter().map(|kind| kind.width()).sum();
        let by_values = self.welcome.max_values.min(MAX_VALUES) as usize / kinds.len().max(1);
        let by_bytes = (self.welcome.max_frame_bytes as usize).saturating_sub(128) / row_bytes.max(1);
        let near = kinds.iter().filter(|kind| !kind.is_exact()).count();
        let by_near = (self.welcome.max_near_values as usize).checked_div(near).unwrap_or(usize::MAX);
        by_values.min(by_bytes).min(by_near)
    }

    /// Asks about `values`: rows of one value of each kind, packed, at most [`Client::max_rows`] of them. Perceptual kinds
    /// are searched within `radii`, and as their lists say where there is none.
    ///
    /// # Errors
    /// [`ClientError`]; none of the rows is answered then.
    ///
    /// # Panics
    /// When `values` are not whole rows, or more than [`MAX_VALUES`].
    pub fn lookup(&mut self, kinds: &[Kind], radii: &Radii, values: &[u8]) -> Result<Answers, ClientError> {
        let row_bytes: usize = kinds.iter().map(|kind| kind.width()).sum();
        let id = self.next_id();
        self.sender.lookup(id, kinds, radii, values)?;
        self.answers_to(id, values.len() / row_bytes)
    }

    /// Sends a file's content to be hashed and looked up.
    ///
    /// # Errors
    /// [`ClientError::Io`] with the reader's error, after which the connection is of no more use; else [`ClientError`].
    pub fn content(&mut self, options: &ContentOptions, mut content: impl Read) -> Result<Answers, ClientError> {
        let id = self.next_id();
        let mut part = vec![0; CONTENT_PART_BYTES.min(self.welcome.max_frame_bytes as usize / 2)];
        let mut filled = read_full(&mut content, &mut part)?;
        let mut next = vec![0; part.len()];
        loop {
            // Only an empty read tells the end, so one part is always read ahead.
            let ahead = if filled == part.len() { read_full(&mut content, &mut next)? } else { 0 };
            let bytes = &part[..filled];
            let frame = ContentFrame { options: options.clone(), more: ahead > 0, descriptor: false, bytes };
            self.sender.content(id, &frame)?;
            if ahead == 0 {
                return self.answers_to(id, 1);
            }
            std::mem::swap(&mut part, &mut next);
            filled = ahead;
        }
    }

    /// Passes a regular file, or sealed memory, to be read, hashed and looked up; over a Unix socket only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn content_of(&mut self, options: &ContentOptions, file: impl AsFd) -> Result<Answers, ClientError> {
        let id = self.next_id();
        self.sender.content_of(id, options, file.as_fd())?;
        self.answers_to(id, 1)
    }

    fn answers_to(&mut self, id: RequestId, rows: usize) -> Result<Answers, ClientError> {
        let answers = self.answer_to(id)?.into_answers()?;
        if answers.rows as usize != rows {
            let found = format!("answers to {} rows, having asked {rows}", answers.rows);
            return Err(ClientError::Unexpected { expected: "an answer to every row", found });
        }
        Ok(answers)
    }

    /// Has the store execute a command, given and answered as JSON.
    ///
    /// # Errors
    /// [`ClientError::Failed`] with the store's reason, or a failure on the way.
    pub fn command_json(&mut self, command: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.receiver.stream.get_ref().set_read_timeout(None)?;
        let answer = self.short_command_json(command);
        self.receiver.stream.get_ref().set_read_timeout(Some(ANSWER_TIMEOUT))?;
        answer
    }

    /// The same for a command that only tells, and so is answered soon: who does not answer is taken to be gone.
    ///
    /// # Errors
    /// As [`Client::command_json`], and [`ClientError::Timeout`].
    pub fn short_command_json(&mut self, command: &[u8]) -> Result<Vec<u8>, ClientError> {
        let id = self.next_id();
        self.sender.command(id, command)?;
        self.answer_to(id)?.into_json()
    }

    /// The daemon's status, as JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&mut self) -> Result<Vec<u8>, ClientError> {
        let id = self.next_id();
        self.sender.status(id)?;
        self.answer_to(id)?.into_json()
    }

    /// The two halves, for two threads. Ids are the caller's from here on.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    fn next_id(&mut self) -> RequestId {
        // 0 is what the daemon says unasked.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        RequestId(self.last_id)
    }

    fn answer_to(&mut self, id: RequestId) -> Result<Reply, ClientError> {
        let (found, reply) = self.receiver.receive()?;
        if found == id {
            return Ok(reply);
        }
        match reply {
            // Said unasked: why the connection ends.
            Reply::Busy(_) | Reply::Error(_) if found == RequestId::NONE => Err(reply.into_error("an answer")),
            _ => {
                let found = format!("one to request {}, having asked {}", found.0, id.0);
                Err(ClientError::Unexpected { expected: "an answer to this request", found })
            }
        }
    }
}

/// The half that asks.
pub struct Sender {
    stream: Stream,
    frame: Vec<u8>,
    /// Something could not be sent whole.
    has_failed: bool,
}

impl Sender {
    fn hello(&mut self, id: RequestId, token: Option<&Token>) -> Result<(), ClientError> {
        self.frame.clear();
        let token = token.map(|token| token.reveal().to_owned());
        Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token }.encode(&mut self.frame, id);
        self.send(&[])
    }

    /// Sends the frame, of which `values` are the end.
    fn send(&mut self, values: &[u8]) -> Result<(), ClientError> {
        begin(&mut self.has_failed)?;
        let mut slices = [IoSlice::new(&self.frame), IoSlice::new(values)];
        let mut slices = &mut slices[..];
        // Without those that are empty, of which nothing would be written.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.stream.write_vectored(slices) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.has_failed = false;
        Ok(())
    }

    /// Sends a LOOKUP; `values` are not copied.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    ///
    /// # Panics
    /// As [`Client::lookup`].
    pub fn lookup(&mut self, id: RequestId, kinds: &[Kind], radii: &Radii, values: &[u8]) -> Result<(), ClientError> {
        self.frame.clear();
        encode_lookup_head(&mut self.frame, id, kinds, radii, values);
        self.send(values)
    }

    /// Sends a CONTENT.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn content(&mut self, id: RequestId, frame: &ContentFrame<'_>) -> Result<(), ClientError> {
        self.frame.clear();
        encode_content(&mut self.frame, id, frame);
        self.send(&[])
    }

    /// Sends a CONTENT that is the file with this descriptor.
    ///
    /// # Errors
    /// [`ClientError::Io`]; also where the connection is no Unix socket, which alone passes descriptors.
    pub fn content_of(
        &mut self,
        id: RequestId,
        options: &ContentOptions,
        file: BorrowedFd<'_>,
    ) -> Result<(), ClientError> {
        let Stream::Unix(stream) = &self.stream else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a descriptor passes only a Unix socket").into());
        };
        self.frame.clear();
        let frame = ContentFrame { options: options.clone(), more: false, descriptor: true, bytes: &[] };
        encode_content(&mut self.frame, id, &frame);
        begin(&mut self.has_failed)?;
        let descriptors = [file];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = loop {
            match sendmsg(stream, &[IoSlice::new(&self.frame)], &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                sent => break sent.map_err(io::Error::from)?,
            }
        };
        // The descriptor went with the first byte.
        self.stream.write_all(&self.frame[sent..])?;
        self.has_failed = false;
        Ok(())
    }

    /// Sends a STATUS.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn status(&mut self, id: RequestId) -> Result<(), ClientError> {
        self.frame.clear();
        encode_frame(&mut self.frame, Op::Status, id, &[]);
        self.send(&[])
    }

    /// Sends a COMMAND.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn command(&mut self, id: RequestId, json: &[u8]) -> Result<(), ClientError> {
        self.frame.clear();
        encode_frame(&mut self.frame, Op::Command, id, json);
        self.send(&[])
    }

    /// Says that nothing more will be asked; answers under way still come.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn finish(mut self) -> Result<(), ClientError> {
        Ok(self.stream.shutdown_write()?)
    }
}

/// Begins what has failed until it is done. After what failed nothing is begun: a frame that went or came in part only
/// has a rest, for which the other side, or this one, would take the next.
fn begin(has_failed: &mut bool) -> Result<(), ClientError> {
    if std::mem::replace(has_failed, true) { Err(ClientError::Closed) } else { Ok(()) }
}

/// Fills `buffer` as far as there is something to read. Returns how far.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The half that hears.
pub struct Receiver {
    stream: BufReader<Stream>,
    payload: Vec<u8>,
    max_frame_bytes: u32,
    /// Something could not be read.
    has_failed: bool,
}

impl Receiver {
    /// Waits for the next answer. Answers may come in another order than the requests.
    ///
    /// # Errors
    /// [`ClientError::Closed`] at the end of the stream, or why what came cannot be read; after that, nothing more is.
    pub fn receive(&mut self) -> Result<(RequestId, Reply), ClientError> {
        begin(&mut self.has_failed)?;
        let received = self.receive_frame()?;
        self.has_failed = false;
        Ok(received)
    }

    fn receive_frame(&mut self) -> Result<(RequestId, Reply), ClientError> {
        let is_at_end = loop {
            match self.stream.fill_buf() {
                // Who was stopped and goes on waits on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                filled => break filled?.is_empty(),
            }
        };
        if is_at_end {
            return Err(ClientError::Closed);
        }
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let header = Header::decode(&header, self.max_frame_bytes)?;
        self.payload.clear();
        self.stream.by_ref().take(header.payload_bytes as u64).read_to_end(&mut self.payload)?;
        if self.payload.len() < header.payload_bytes {
            return Err(ClientError::Closed);
        }
        let reply = match Op::from_code(header.op) {
            Some(Op::Answers) => Reply::Answers(decode_answers(&self.payload)?),
            Some(Op::Json) => Reply::Json(std::mem::take(&mut self.payload)),
            Some(Op::Busy) => Reply::Busy(String::from_utf8_lossy(&self.payload).into_owned()),
            Some(Op::Error) => Reply::Error(Failure::decode(&self.payload)?),
            Some(Op::Welcome) => Reply::Welcome(Welcome::decode(&self.payload)?),
            _ => {
                let found = format!("op 0x{:02x}", header.op);
                return Err(ClientError::Unexpected { expected: "an answer", found });
            }
        };
        Ok((header.id, reply))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::access::Rights;
    use crate::matching::Verdict;
    use crate::protocol::encode_answers;

    fn answers(id: u32, miss: Verdict) -> Vec<u8> {
        let (checked, incomplete) = (vec![Kind::Md5], Vec::new());
        let answers =
            Answers { generation: 1, rows: 1, checked, incomplete, miss, distinct: Vec::new(), hits: Vec::new() };
        let mut out = Vec::new();
        encode_answers(&mut out, RequestId(id), &answers).unwrap();
        out
    }

    #[test]
    fn the_rest_of_an_answer_that_came_too_late_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let welcome = Welcome {
                    version: PROTOCOL_VERSION,
                    rights: Rights::LOOKUP,
                    max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
                    max_values: MAX_VALUES,
                    max_commands: 1,
                    max_near_values: 1,
                    max_content_bytes: 1,
                };
                let mut out = Vec::new();
                welcome.encode(&mut out, RequestId(1));
                // Half of a frame, whose other half is a frame in itself.
                let inner = answers(3, Verdict::Unknown);
                let mut outer = Vec::new();
                encode_frame(&mut outer, Op::Json, RequestId(2), &inner);
                out.extend_from_slice(&outer[..HEADER_BYTES]);
                stream.write_all(&out).unwrap();
                (stream, inner)
            });
            let mut client = Client::connect(&Address::Unix(path)).unwrap();
            let (mut stream, rest) = daemon.join().unwrap();
            client.receiver.stream.get_ref().set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            let late = client.lookup(&[Kind::Md5], &Radii::none(), &[0; 16]);
            assert!(matches!(late, Err(ClientError::Timeout)), "{late:?}");
            stream.write_all(&rest).unwrap();
            let next = client.lookup(&[Kind::Md5], &Radii::none(), &[0; 16]);
            assert!(matches!(next, Err(ClientError::Closed)), "{next:?}");
        });
    }

    #[test]
    fn after_a_question_that_went_in_part_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _takes_nothing = UnixListener::bind(&path).unwrap();
        let stream = Stream::connect(&Address::Unix(path), None, Duration::from_millis(10)).unwrap();
        let mut sender = Sender { stream, frame: Vec::new(), has_failed: false };
        let more_than_is_kept = vec![0; 1 << 20];
        let lookup = sender.lookup(RequestId(1), &[Kind::Md5], &Radii::none(), &more_than_is_kept);
        assert!(matches!(lookup, Err(ClientError::Timeout)), "{lookup:?}");
        let status = sender.status(RequestId(2));
        assert!(matches!(status, Err(ClientError::Closed)), "{status:?}");
    }
}
