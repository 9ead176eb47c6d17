//! Somebody who reads the match events as they come, and deals with each once.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;

use crate::web::Web;
use crate::world::World;

/// Chunks that are read before the reader leaves, and comes back to where it was.
const CHUNKS_A_VISIT: u64 = 1_000;

/// How long the reader waits where nothing matches.
const PATIENCE: Duration = Duration::from_millis(500);

/// The reader.
#[derive(Default)]
pub(crate) struct Reader {
    stream: Option<Web>,
    /// The last event that was dealt with; of the first, it does not matter which it is.
    last: Option<u64>,
}

impl Reader {
    /// Reads what comes next. Each event must follow the one before.
    pub(crate) fn read(&mut self, world: &World, number: u64) -> Result<(), String> {
        if number.is_multiple_of(CHUNKS_A_VISIT) {
            self.stream = None;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let web = Web::connect(&world.http_socket()).map_err(|error| error.to_string())?;
                let after = self.last.map(|last| format!("&after={last}")).unwrap_or_default();
                let path = format!("/v1/events?follow=true{after}");
                none.insert(web.stream(&path, PATIENCE)?)
            }
        };
        let chunk = match stream.chunk() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.stream = None;
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        for event in serde_json::Deserializer::from_slice(&chunk).into_iter::<Value>() {
            let event = event.map_err(|error| error.to_string())?;
            let seq = event["seq"].as_u64();
            let is_next = self.last.is_none_or(|last| seq == Some(last + 1));
            let says_all = event["file"][0].is_string() && event["matches"][0].is_object();
            if !is_next || !says_all {
                return Err(format!("expected the event after {:?}, found {event}", self.last));
            }
            self.last = seq;
        }
        Ok(())
    }
}
