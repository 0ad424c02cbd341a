//! One call on its way: the only thing that the layers share. They never import one another.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::ACCEPT_LANGUAGE;
use http::{HeaderValue, request::Parts};
use oaas_audit::draft::{self, Step};
use oaas_audit::record;
use oaas_catalog::{Application, MethodEntry, Plan, Snapshot};
use oaas_model::{CallId, Lang, Timestamp};
use parking_lot::Mutex;

use crate::bound::{Bound, BoundMethod};
use crate::degrade::AnswerKey;
use crate::edge::{Arrival, PeerInfo};
use crate::frames::FrameCounter;
use crate::header;
use crate::outcome::{Outcome, Traffic};
use crate::rejection::Rejection;
use crate::shared::Shared;
use crate::trace_context::TraceContext;

/// Longest path that a call is known by; a longer one is cut, and in no catalog.
const PATH_BYTES_MAX: usize = 512;

/// Decisions of a call that goes its whole way without a detour.
const STEPS_USUAL: usize = 8;
/// What a call that goes its whole way leaves for its end.
const HOOKS_USUAL: usize = 4;

/// What a layer wants done when the call is over; run exactly once.
pub type AtEnd = Box<dyn FnOnce(&Call, &Outcome) + Send>;

/// One call.
pub struct Call {
    /// Its id, made here.
    pub id: CallId,
    /// When its headers came.
    pub arrived: Timestamp,
    /// What all calls share.
    pub shared: Arc<Shared>,
    /// The one version of the catalog, and what is bound to it, that decides this call.
    pub bound: Arc<Bound>,
    /// Language of texts for people.
    pub lang: Lang,
    /// The caller's trace, if it sent one.
    pub trace: TraceContext,
    /// Digest of the caller's idempotency key.
    pub idempotency_key_digest: Option<[u8; 16]>,
    /// From where, and with which certificate; none for a call that no connection brought.
    pub peer: Option<Arc<PeerInfo>>,
    /// Where `bound` has the method.
    place: Option<usize>,
    /// The path, as asked for, of a call whose method is not in the catalog.
    unknown_path: Box<str>,
    // Set once on the way down, and read often: no lock, no clone.
    caller: OnceLock<Caller>,
    plan: OnceLock<Arc<Plan>>,
    deadline: OnceLock<Deadline>,
    aborted: OnceLock<Box<Rejection>>,
    degraded: OnceLock<&'static str>,
    state: Mutex<State>,
}

struct Caller {
    application: Arc<Application>,
    on_behalf_of: Option<String>,
}

#[derive(Default)]
struct State {
    trail: Vec<Step>,
    at_end: Vec<AtEnd>,
    rejection: Option<Box<Rejection>>,
    stakes: Vec<record::Stake>,
    request: Option<FrameCounter>,
    request_complete: bool,
    intent: Intent,
    /// Steps of the trail that the intent's record has.
    steps_recorded: usize,
    endpoint: Option<Arc<str>>,
    attempts: u32,
    capture: Option<Capture>,
    span: Option<Span>,
}

/// The span of a sampled call.
#[derive(Clone, Copy)]
struct Span {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

/// Whether the journal has the word that the call will be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// No: an end of the call is a refusal.
    #[default]
    None,
    /// Yes: an end of the call is an outcome.
    Written,
    /// The method is sampled and this call leaves no records.
    Sampled,
}

/// When a call must be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The moment.
    pub at: Timestamp,
    /// What the client asked for.
    pub client: Option<Duration>,
    /// What the catalog allows.
    pub catalog: Duration,
}

/// A good answer on its way into the last-good store.
pub struct Capture {
    /// The request that it answers.
    pub key: AnswerKey,
    /// Its compression.
    pub encoding: Option<HeaderValue>,
    /// Its frames so far; none when it grew too large.
    pub frames: Option<BytesMut>,
}

impl Call {
    /// Opens the call that these headers begin.
    pub fn open(parts: &Parts, arrival: Option<Arrival>, shared: Arc<Shared>) -> Arc<Self> {
        let (arrived, peer) = match arrival {
            Some(Arrival { peer, at }) => (at, Some(peer)),
            None => (shared.clock.now(), None),
        };
        let bound = shared.bound.load_full();
        let path = parts.uri.path();
        let place = bound.place(path);
        let unknown_path = match place {
            Some(_) => Box::default(),
            None => path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or_default().into(),
        };
        Arc::new(Self {
            id: CallId::fresh(),
            arrived,
            lang: parts
                .headers
                .get(ACCEPT_LANGUAGE)
                .and_then(|value| value.to_str().ok())
                .map_or(Lang::En, Lang::preferred),
            trace: TraceContext::from_headers(&parts.headers),
            idempotency_key_digest: parts.headers.get(header::IDEMPOTENCY_KEY).map(|key| {
                let mut digest = [0; 16];
                blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut digest);
                digest
            }),
            peer,
            shared,
            bound,
            place,
            unknown_path,
            caller: OnceLock::new(),
            plan: OnceLock::new(),
            deadline: OnceLock::new(),
            aborted: OnceLock::new(),
            degraded: OnceLock::new(),
            state: Mutex::default(),
        })
    }

    /// The id as a header's value. Each is another one, so compressing it against those before is no use:
    /// HPACK is told not to index it (RFC 7541 §6.2.3), which saves both ends a place in their tables.
    #[must_use]
    pub fn id_header(&self) -> HeaderValue {
        let text = HeaderValue::from_str(self.id.encode(&mut [0; 36]));
        let mut value = text.unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// The version of the catalog that decides.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.bound.snapshot
    }

    /// The method, with what is bound to it; none when the catalog has no such path.
    #[must_use]
    pub fn method(&self) -> Option<&BoundMethod> {
        self.bound.at(self.place?)
    }

    /// The catalog's entry of the method.
    #[must_use]
    pub fn entry(&self) -> Option<&Arc<MethodEntry>> {
        self.method().map(|method| &method.entry)
    }

    /// The path, as asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        self.method().map_or(&self.unknown_path, |method| &method.entry.path)
    }

    /// The service part of the path, as asked for.
    #[must_use]
    pub fn service_name(&self) -> &str {
        match self.method() {
            Some(method) => &method.service.name,
            None => self.unknown_path.trim_start_matches('/').split('/').next().unwrap_or_default(),
        }
    }

    /// The URIs of the client's certificate.
    #[must_use]
    pub fn san_uris(&self) -> &[String] {
        self.peer.as_ref().map_or(&[], |peer| &peer.san_uris)
    }

    /// Notes what a stage decided.
    pub fn decided<const N: usize>(
        &self,
        stage: &'static str,
        verdict: &'static str,
        numbers: &[(&'static str, f64); N],
    ) {
        let mut state = self.state.lock();
        if state.trail.is_empty() {
            state.trail.reserve_exact(STEPS_USUAL);
        }
        state.trail.push(Step::new(stage, verdict, numbers));
    }

    /// Has `hook` run when the call is over.
    pub fn at_end(&self, hook: impl FnOnce(&Call, &Outcome) + Send + 'static) {
        let mut state = self.state.lock();
        if state.at_end.is_empty() {
            state.at_end.reserve_exact(HOOKS_USUAL);
        }
        state.at_end.push(Box::new(hook));
    }

    /// Runs what the layers left for the end, last layer first.
    pub fn run_at_end(&self, outcome: &Outcome) {
        let hooks = std::mem::take(&mut self.state.lock().at_end);
        for hook in hooks.into_iter().rev() {
            hook(self, outcome);
        }
    }

    /// Who calls; said once.
    pub fn authenticated(&self, application: Arc<Application>, on_behalf_of: Option<String>) {
        let _ = self.caller.set(Caller { application, on_behalf_of });
    }

    /// Who calls, once it is known.
    #[must_use]
    pub fn application(&self) -> Option<&Arc<Application>> {
        self.caller.get().map(|caller| &caller.application)
    }

    /// On whose behalf the application calls.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&str> {
        self.caller.get()?.on_behalf_of.as_deref()
    }

    /// Under which plan the call is admitted; said once.
    pub fn admitted(&self, plan: Arc<Plan>) {
        let _ = self.plan.set(plan);
    }

    /// The plan of the subscription.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.get()
    }

    /// Sets when the call must be over; said once.
    pub fn set_deadline(&self, deadline: Deadline) {
        let _ = self.deadline.set(deadline);
    }

    /// When the call must be over.
    #[must_use]
    pub fn deadline(&self) -> Option<&Deadline> {
        self.deadline.get()
    }

    /// Notes why the gateway made this call's status.
    pub fn rejected(&self, rejection: impl Into<Box<Rejection>>) {
        self.state.lock().rejection = Some(rejection.into());
    }

    /// Why the gateway made this call's status, if it did.
    #[must_use]
    pub fn rejection(&self) -> Option<Box<Rejection>> {
        self.state.lock().rejection.clone()
    }

    /// Ends the call from the request's side (a message too large): the answer becomes this rejection, the
    /// first one.
    pub fn abort(&self, rejection: impl Into<Box<Rejection>>) {
        let _ = self.aborted.set(rejection.into());
    }

    /// Why the call was ended from the request's side.
    #[must_use]
    pub fn aborted(&self) -> Option<&Rejection> {
        self.aborted.get().map(|rejection| &**rejection)
    }

    /// Money that the request puts at stake.
    pub fn staked(&self, stake: record::Stake) {
        self.state.lock().stakes.push(stake);
    }

    /// All money at stake.
    #[must_use]
    pub fn stakes(&self) -> Vec<record::Stake> {
        self.state.lock().stakes.clone()
    }

    /// Begins to count the request's messages.
    pub fn count_request(&self, entry: &MethodEntry) {
        let counter = FrameCounter::new(entry.request_bytes_max, entry.is_streaming());
        self.state.lock().request = Some(counter);
    }

    /// Counts a part of the request.
    ///
    /// # Errors
    /// When a message's prefix is bad.
    pub fn feed_request(&self, data: &Bytes) -> Result<(), crate::frames::BadFrame> {
        self.state.lock().request.as_mut().map_or(Ok(()), |counter| counter.feed(data))
    }

    /// Notes that the whole request has come.
    pub fn request_ended(&self) {
        self.state.lock().request_complete = true;
    }

    /// Whether the whole request has come.
    #[must_use]
    pub fn request_complete(&self) -> bool {
        self.state.lock().request_complete
    }

    /// What the client sent so far.
    #[must_use]
    pub fn request_traffic(&self) -> Traffic {
        self.state.lock().request.as_ref().map(FrameCounter::traffic).unwrap_or_default()
    }

    /// How many messages the client sent so far.
    #[must_use]
    pub fn request_messages(&self) -> u64 {
        self.state.lock().request.as_ref().map_or(0, FrameCounter::messages)
    }

    /// Notes whether the journal has the word, and with it the trail so far.
    pub fn set_intent(&self, intent: Intent) {
        let mut state = self.state.lock();
        state.intent = intent;
        state.steps_recorded = if intent == Intent::Written { state.trail.len() } else { 0 };
    }

    /// Whether the journal has the word.
    #[must_use]
    pub fn intent(&self) -> Intent {
        self.state.lock().intent
    }

    /// Notes where the call went.
    pub fn sent_to(&self, endpoint: Arc<str>, attempts: u32) {
        let mut state = self.state.lock();
        state.endpoint = Some(endpoint);
        state.attempts = attempts;
    }

    /// Where the call went, in how many attempts.
    #[must_use]
    pub fn endpoint(&self) -> (Option<Arc<str>>, u32) {
        let state = self.state.lock();
        (state.endpoint.clone(), state.attempts)
    }

    /// Notes that the answer is a degraded one, and of which kind.
    pub fn set_degraded(&self, kind: &'static str) {
        let _ = self.degraded.set(kind);
    }

    /// The kind of degraded answer, if it is one.
    #[must_use]
    pub fn degraded(&self) -> Option<&'static str> {
        self.degraded.get().copied()
    }

    /// Keeps the answer, should it be good.
    pub fn capture(&self, key: AnswerKey) {
        self.state.lock().capture = Some(Capture { key, encoding: None, frames: Some(BytesMut::new()) });
    }

    /// Notes the compression of an answer that is kept.
    pub fn capture_encoding(&self, encoding: Option<&HeaderValue>) {
        if let Some(capture) = self.state.lock().capture.as_mut() {
            capture.encoding = encoding.cloned();
        }
    }

    /// Adds a part of the answer to what is kept; `bytes_max` bounds the whole.
    pub fn capture_part(&self, data: &Bytes, bytes_max: usize) {
        if let Some(capture) = self.state.lock().capture.as_mut()
            && let Some(frames) = capture.frames.as_mut()
        {
            if frames.len().saturating_add(data.len()) > bytes_max {
                capture.frames = None;
            } else {
                frames.extend_from_slice(data);
            }
        }
    }

    /// What was kept of the answer.
    #[must_use]
    pub fn take_capture(&self) -> Option<Capture> {
        self.state.lock().capture.take()
    }

    /// Notes the span that was opened for this call.
    pub fn set_span(&self, trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
        self.state.lock().span = Some(Span { trace_id, span_id, sampled });
    }

    /// The trace, the parent's span and whether it is sampled, for the upstream: our span where there is
    /// one, else the caller's, passed on.
    #[must_use]
    pub fn trace_parent(&self) -> Option<([u8; 16], [u8; 8], bool)> {
        match self.state.lock().span {
            Some(Span { trace_id, span_id, sampled }) => Some((trace_id, span_id, sampled)),
            None => Some((self.trace.trace_id()?, self.trace.span_id()?, self.trace.sampled())),
        }
    }

    /// Has `write` make a record of the head and the decisions that no record has yet.
    pub fn record<T>(&self, write: impl FnOnce(draft::Head<'_>, &[Step]) -> T) -> T {
        let head = draft::Head {
            call_id: *self.id.as_bytes(),
            application: self.application().map_or("", |application| &application.id),
            on_behalf_of: self.on_behalf_of().unwrap_or_default(),
            method: self.path(),
            catalog_version: &self.bound.snapshot.version,
            plan: self.plan().map_or("", |plan| &plan.name),
            peer: self.peer.as_ref().map_or("", |peer| &peer.shown),
            trace_id: self.trace.trace_id(),
            idempotency_key_digest: self.idempotency_key_digest,
        };
        let state = self.state.lock();
        write(head, state.trail.get(state.steps_recorded..).unwrap_or_default())
    }
}
