//! Reads a list on a thread of its own, so that the disk, decompression and the digest of the list's bytes do not hold
//! up the parser.

use std::io::{self, BufRead, Read};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bytes that are passed on at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks on their way.
const BLOCKS_MAX: usize = 4;

/// A list's text, read ahead. [`ReadAhead::finish`] gives its digest.
pub struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    spent: Sender<Vec<u8>>,
    thread: JoinHandle<blake3::Hash>,
    block: Vec<u8>,
    at: usize,
}

impl ReadAhead {
    /// Starts to read `input`, telling `on_block` the length of each block.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(input: Box<dyn BufRead + Send>, on_block: impl Fn(usize) + Send + 'static) -> io::Result<ReadAhead> {
        let (full, blocks) = bounded(BLOCKS_MAX);
        let (spent, empty) = bounded(BLOCKS_MAX);
        let work = move || read_all(input, &full, &empty, &on_block);
        let thread = std::thread::Builder::new().name("reader".to_owned()).spawn(work)?;
        Ok(ReadAhead { blocks, spent, thread, block: Vec::new(), at: 0 })
    }

    /// The BLAKE3 of the whole text, what the parser left unread included.
    ///
    /// # Errors
    /// When the text cannot be read to its end, or the reading thread broke down, which the parser took for the end.
    pub fn finish(self) -> io::Result<blake3::Hash> {
        for block in &self.blocks {
            block?;
        }
        self.thread.join().map_err(|_| io::Error::other("the reading thread stopped without a result; this is a bug"))
    }
}

fn read_all(
    mut input: Box<dyn BufRead + Send>,
    full: &Sender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
    on_block: &dyn Fn(usize),
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut block = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK_BYTES));
        block.clear();
        let read = input.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block);
        hasher.update(&block);
        on_block(block.len());
        // The end is told by closing the channel. A receiver that is gone wants no more.
        let goes_on = match read {
            Ok(0) => false,
            Ok(_) => full.send(Ok(block)).is_ok(),
            Err(error) => {
                let _ = full.send(Err(error));
                false
            }
        };
        if !goes_on {
            return hasher.finalize();
        }
    }
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.block.len() {
            // A closed channel is the end.
            if let Ok(next) = self.blocks.recv() {
                let spent = std::mem::replace(&mut self.block, next?);
                self.at = 0;
                let _ = self.spent.try_send(spent);
            }
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for ReadAhead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let block = self.fill_buf()?;
        let bytes = block.len().min(into.len());
        into[..bytes].copy_from_slice(&block[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}
