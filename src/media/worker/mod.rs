//! Worker processes: where untrusted pictures are decoded.
//!
//! A picture is decoded by code that has had holes, and will have. So it happens in a process that has nothing to lose:
//! it is given a picture's bytes and what to compute, and gives back hashes. It is in a [sandbox](SandboxReport) before
//! it reads the first byte; it has a deadline; and its parent believes nothing it says. Whatever a picture does there
//! costs that picture its hashes, for a reason that is told ([`Failed`]), and costs nothing else: exact digests are
//! computed outside, so a bad worker never hides an exact match.
//!
//! ```text
//! daemon │ WorkerPool ── a thread a worker: requests ─────▶ │ child: hash_picture │ hashward worker
//!        │                                  ◀───── answers  │      in its sandbox │
//! ```
//!
//! | file | what |
//! |---|---|
//! | `wire` | what parent and worker say to each other, byte by byte |
//! | `pool` | jobs, queue, deadlines, workers replaced |
//! | `process` | one worker from its parent's side |
//! | `child` | the worker itself |
//! | `sandbox`, `filter`, `inherited` | what it takes from itself |
//! | `attempt` | trying to break out, as a test that the sandbox holds |

mod attempt;
mod child;
mod config;
mod failed;
mod filter;
mod inherited;
mod pool;
mod process;
mod sandbox;
pub mod wire;

pub use attempt::{Attempt, Fate, Layers, UnknownName, attempt, attempt_apart};
pub use child::{ChildError, run};
pub use config::{BadWorkerConfig, WorkerConfig};
pub use failed::Failed;
pub use pool::{Busy, Job, Outcome, PoolStatus, WorkerPool};
pub use process::{Anomaly, Program, StartError};
pub use sandbox::{ProcessLimits, SandboxError, SandboxReport};
