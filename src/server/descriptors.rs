//! A Unix stream that keeps the descriptors which come with its bytes.
//!
//! Read in the ordinary way, a socket throws them away. They are kept in the order in which they came, for the frames
//! that say they brought one; a client that passes more than it says is cut off.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

use super::carrier::{Carrier, kernel_holds_bytes};

/// Descriptors that may wait for their frames. One goes with one frame, and each read brings those of one send.
const WAITING_MAX: usize = 4;

/// See the module's documentation.
pub(super) struct PassingStream {
    stream: UnixStream,
    waiting: VecDeque<OwnedFd>,
    waiting_max: usize,
}

impl PassingStream {
    /// A stream whose protocol has a use for descriptors, or cuts off whoever passes one.
    pub(super) fn new(stream: UnixStream, passes_descriptors: bool) -> PassingStream {
        let waiting_max = if passes_descriptors { WAITING_MAX } else { 0 };
        PassingStream { stream, waiting: VecDeque::new(), waiting_max }
    }

    /// One read, with what came beside the bytes.
    fn receive(
        stream: &UnixStream,
        waiting: &mut VecDeque<OwnedFd>,
        waiting_max: usize,
        bytes: &mut [u8],
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(WAITING_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                waiting.extend(descriptors);
            }
        }
        // The kernel has closed what found no room.
        if waiting.len() > waiting_max || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors than frames that bring one"));
        }
        Ok(received.bytes)
    }
}

impl Carrier for PassingStream {
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.waiting.pop_front()
    }

    fn has_unread(&mut self) -> bool {
        kernel_holds_bytes(&self.stream)
    }
}

impl AsyncRead for PassingStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let PassingStream { stream, waiting, waiting_max } = self.get_mut();
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let space = buffer.initialize_unfilled();
            match stream.try_io(Interest::READABLE, || PassingStream::receive(stream, waiting, *waiting_max, space)) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PassingStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
