//! The wire formats: one room each, and nothing shared between them but what they ask through, `super::asker::Asker`.
//!
//! A format turns bytes into questions and answers into bytes, from the moment at which a connection was let in until it
//! ends. Who may ask, what is answered, recorded and counted is none of its business. So a further one (of another
//! product, say) is a room here, a name in [`super::Protocol`] and a line where connections are let in, `super::door`.
//!
//! | room | what |
//! |---|---|
//! | `frame` | hashward's own: length-prefixed frames, `docs/protocol.md` |
//! | `http` | JSON over HTTP/1.1, `/openapi.json` |

pub(super) mod frame;
pub(super) mod http;
