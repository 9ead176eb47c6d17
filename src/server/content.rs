//! Files that are asked about by their content: hashed as they come, decoded by workers, then looked up.
//!
//! Exact digests are computed here and perceptual hashes in the workers' sandbox, so whatever a picture does to a
//! worker, what is known of the file by equality is still said.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use super::limits::{Limits, Taken};
use super::service::Answered;
use crate::fingerprint::Kind;
use crate::index::snapshot::Snapshot;
use crate::matching::Reason;
use crate::media::picture::HashRequest;
use crate::media::source::{Content, Intake, Source, SourceError, SourceLimits, read_checked};
use crate::media::values::Values;
use crate::media::worker::{Failed, Job};
use crate::protocol::{ContentOptions, ErrorCode, Failure, RequestId};

/// Content comes at so many bytes a second at least, or it is given up: a client that sends one byte now and then would keep
/// what is held for it for days.
const BYTES_PER_S_MIN: u64 = 16 << 10;

/// Content of which not everything has come.
pub(super) struct Incoming {
    pub(super) id: RequestId,
    options: ContentOptions,
    plan: Plan,
    began_at: Instant,
    total_bytes: u64,
    /// `None` only while a part is being hashed.
    intake: Option<Intake>,
    /// For what the intake keeps; `None` once it keeps nothing any more.
    memory: Option<Taken>,
}

/// What a question about content is asked of, fixed when it begins: a list that comes in meanwhile would else answer by
/// kinds that nobody computed.
struct Plan {
    snapshot: Arc<Snapshot>,
    /// Those that lists hold. While none does, all: the built-in lists may still know the file, and every other answer is
    /// "undecided", and says why.
    exact: Vec<Kind>,
    perceptual: Vec<Kind>,
    /// Those beside that lists in shadow hold: computed as well, and asked of these lists alone.
    in_shadow: Vec<Kind>,
}

impl Plan {
    fn new(shared: &Shared) -> Plan {
        let snapshot = shared.service.snapshot();
        let askable = snapshot.askable_kinds();
        let of = |kinds: &[Kind]| kinds.iter().copied().filter(|kind| askable.contains(kind)).collect::<Vec<_>>();
        let (exact, perceptual) = (of(&Kind::COMPUTED), of(&Kind::PERCEPTUAL));
        let exact = if exact.is_empty() { Kind::COMPUTED.to_vec() } else { exact };
        let mut in_shadow = snapshot.shadow_kinds();
        in_shadow.retain(|kind| !exact.contains(kind) && !perceptual.contains(kind));
        Plan { snapshot, exact, perceptual, in_shadow }
    }

    /// All of these kinds that are to be computed, those among `of`.
    fn computed(&self, kinds: &[Kind], of: &[Kind]) -> Vec<Kind> {
        kinds.iter().chain(self.in_shadow.iter().filter(|kind| of.contains(kind))).copied().collect()
    }

    fn digests(&self) -> Vec<Kind> {
        self.computed(&self.exact, &Kind::COMPUTED)
    }

    fn codes(&self) -> Vec<Kind> {
        self.computed(&self.perceptual, &Kind::PERCEPTUAL)
    }
}

/// What is said of a file.
pub(super) struct AnsweredFile {
    /// The kinds of which it has values.
    pub(super) kinds: Vec<Kind>,
    /// These, packed; of a picture that was asked about in all its variants, those of each.
    pub(super) values: Vec<u8>,
    pub(super) answered: Answered,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    Failed(Failure),
    /// There is no room for it now.
    Busy(&'static str),
}

const NO_ROOM: NoAnswer = NoAnswer::Busy("no room for more content now");

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> NoAnswer {
        NoAnswer::Failed(failure)
    }
}

impl Incoming {
    pub(super) fn new(id: RequestId, options: ContentOptions, shared: &Shared) -> Incoming {
        let plan = Plan::new(shared);
        let intake = Intake::new(&plan.digests(), shared.pictures.config().input_bytes);
        let intake = intake.expect("computed kinds can be computed");
        Incoming {
            id,
            options,
            plan,
            began_at: Instant::now(),
            total_bytes: 0,
            intake: Some(intake),
            memory: shared.content_memory.take(0, u64::MAX),
        }
    }

    /// How the file is asked about.
    pub(super) fn options(&self) -> &ContentOptions {
        &self.options
    }

    /// By when more must have come: a frame's time after the moment at which all that came would be there, were it slow.
    pub(super) fn due_at(&self, limits: &Limits) -> Instant {
        self.began_at + limits.frame() + Duration::from_secs(self.total_bytes / BYTES_PER_S_MIN)
    }

    /// What a client is told whose content did not come in time.
    pub(super) fn too_slow() -> Failure {
        let text = format!("the content came slower than {} KiB a second", BYTES_PER_S_MIN >> 10);
        Failure::new(ErrorCode::Timeout, text)
    }

    /// Takes the next part in.
    pub(super) async fn take(&mut self, part: &[u8], limits: &Limits, shared: &Shared) -> Result<(), NoAnswer> {
        self.total_bytes += part.len() as u64;
        if self.total_bytes > limits.content_bytes {
            let text = format!("expected content of at most {} bytes, found more", limits.content_bytes);
            return Err(Failure::new(ErrorCode::TooLarge, text).into());
        }
        if let Some(memory) = &mut self.memory
            && !memory.grow(part.len() as u64, limits.content_memory_bytes)
        {
            return Err(NO_ROOM);
        }
        let mut intake = self.intake.take().expect("parts come one after the other");
        let part = part.to_vec();
        let taken_in = shared.workshop.run(move || {
            intake.update(&part);
            intake
        });
        let intake = taken_in.await.ok_or_else(panicked)?;
        if intake.kept_bytes() == 0 && self.total_bytes > 0 {
            self.memory = None;
        }
        self.intake = Some(intake);
        Ok(())
    }

    /// All has come: hashes the picture in it, and asks. Returns what is said of the file.
    pub(super) async fn answer(self, shared: &Arc<Shared>) -> Result<AnsweredFile, NoAnswer> {
        let source = self.intake.expect("no part is under way").finish();
        ask(shared, self.plan, &self.options, source).await
    }
}

/// Answers a question about the file with this descriptor.
pub(super) async fn answer_descriptor(
    descriptor: OwnedFd,
    options: &ContentOptions,
    limits: &Limits,
    shared: &Arc<Shared>,
) -> Result<AnsweredFile, NoAnswer> {
    let source_limits = SourceLimits {
        file_bytes_max: limits.content_bytes,
        picture_bytes_max: shared.pictures.config().input_bytes,
        deadline: Duration::from_secs(limits.content_s),
    };
    // A file that has become longer by the time it is read is refused.
    let length = rustix::fs::fstat(&descriptor).map_or(0, |stat| stat.st_size.max(0) as u64);
    let kept_max = length.min(source_limits.picture_bytes_max);
    let memory = shared.content_memory.take(kept_max, limits.content_memory_bytes);
    let _memory = memory.ok_or(NO_ROOM)?;
    let plan = Plan::new(shared);
    let kinds = plan.digests();
    let read = shared.workshop.run_apart(move || read_checked(descriptor, &source_limits, &kinds));
    match read.await.ok_or_else(panicked)? {
        Ok(source) => ask(shared, plan, options, source).await,
        Err(SourceError::Busy) => Err(NO_ROOM),
        Err(error) => Err(Failure::new(ErrorCode::Refused, error.to_string()).into()),
    }
}

async fn ask(
    shared: &Arc<Shared>,
    plan: Plan,
    options: &ContentOptions,
    source: Source,
) -> Result<AnsweredFile, NoAnswer> {
    let request = HashRequest { kinds: plan.codes(), dihedral: options.dihedral };
    let mut values = Values::exact(&source.fingerprints);
    match source.content {
        _ if request.kinds.is_empty() => {}
        Content::NotAPicture => {}
        Content::TooLarge => values.lack(&request.kinds, Reason::TooLarge),
        Content::Picture(bytes) => {
            let (done, outcome) = oneshot::channel();
            let taken = shared.pictures.submit(Job { bytes, request: request.clone() }, move |outcome| {
                // Nobody waits any more if the connection was closed by force.
                let _ = done.send(outcome);
            });
            let outcome = match taken {
                Ok(()) => outcome.await.unwrap_or(Err(Failed::Unavailable)),
                Err(_) => Err(Failed::Unavailable),
            };
            values.add_picture(&request, &outcome);
        }
    }
    let Plan { snapshot, in_shadow, .. } = plan;
    let asked = values.clone().without(&in_shadow);
    let answer = |values: &Values| {
        let (kinds, rows, snapshot) = (values.kinds(), values.rows(), Arc::clone(&snapshot));
        async move {
            let Shared { service, workshop, .. } = &**shared;
            let answered = service.answer(snapshot, workshop, &kinds, &options.radii, &rows).await?.into_one();
            Ok::<_, Failure>(AnsweredFile { kinds, values: rows, answered })
        }
    };
    let mut file = answer(&asked).await?;
    if !in_shadow.is_empty() {
        // More kinds than were asked: of this only what lists in shadow say counts.
        let with_more = answer(&values).await?;
        let answered = Answered { answers: file.answered.answers, ..with_more.answered };
        file = AnsweredFile { answered, ..with_more };
    }
    file.answered.answers.lack(asked.missing);
    Ok(file)
}

fn panicked() -> Failure {
    Failure::new(ErrorCode::Internal, "hashing the content panicked")
}
