//! Flux's notification controller: the changes for which there are Kubernetes Events, in Flux's own
//! format (`Event` of `github.com/fluxcd/pkg/apis/event/v1beta1`, and the behaviour of its
//! `runtime/events` recorder).
//!
//! Nothing waits for it: events go into a bounded queue, and one task posts them, the namespaces
//! taking turns. What cannot be posted is counted and dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use guarded_egress::{Destinations, describe_with_causes};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::events::EventType;
use patchset_api::GROUP;
use reqwest::{Client, ClientBuilder, StatusCode, Url, header};
use serde::Serialize;

use super::events::{Note, pod_name};
use super::fair_queue::{FairQueue, QueueLimits};
use super::{Error, FIELD_MANAGER};
use crate::plan::conditions::shortened;

/// Annotations of an object with this prefix go with its events.
pub(crate) const FLUX_EVENT_GROUP: &str = "event.toolkit.fluxcd.io/";
/// The longest message, in characters (`MaxLength` of the type).
const LONGEST_MESSAGE: usize = 39_000;
/// How many annotations go with an event, and how long each may be, in bytes. Others are left out.
const MOST_ANNOTATIONS: usize = 32;
const LONGEST_ANNOTATION: usize = 4096;
/// How many events wait at most, and what they may take together.
const QUEUE: QueueLimits = QueueLimits {
    items: 1000,
    bytes: 16 << 20,
};
/// How long one request may take, as in Flux.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long an event is worth posting while the server cannot be reached.
const WORTH: Duration = Duration::from_secs(300);
/// How many times an event is posted to a server that answers with a fault of its own, as in Flux.
const ANSWERED: u32 = 5;
/// The least time between two log lines about dropped events.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Where events are posted; the empty text is nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address(Option<Url>);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let wanted = "write for instance http://notification-controller.flux-system.svc.cluster.local./";
        // The text is not repeated: it may hold what should not be seen.
        let url = Url::parse(text).map_err(|error| format!("{error}: {wanted}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("it is not an http or https address: {wanted}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("credentials do not belong in an address: {wanted}"));
        }
        Ok(Self(Some(url)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("", Url::as_str))
    }
}

/// An event as Flux's type has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    involved_object: ObjectReference,
    severity: &'static str,
    timestamp: Time,
    message: String,
    reason: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    reporting_controller: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporting_instance: Option<String>,
}

impl Event {
    /// The size of its texts, in bytes.
    fn size(&self) -> usize {
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + self.reason.len() + metadata.sum::<usize>()
    }
}

/// What is said of an object besides the note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventContext {
    /// Names that alerts show, with their values: `revision` and `originRevision` as Flux uses
    /// them, and others.
    pub facts: Vec<(&'static str, String)>,
    /// The object's annotations; those that Flux means for events go with them.
    pub annotations: BTreeMap<String, String>,
}

impl EventContext {
    fn metadata(self) -> BTreeMap<String, String> {
        let facts = self.facts.into_iter();
        let facts = facts.map(|(name, value)| (format!("{GROUP}/{name}"), value));
        let annotations = self.annotations.into_iter();
        annotations
            .filter(|(name, value)| name.starts_with(FLUX_EVENT_GROUP) && value.len() <= LONGEST_ANNOTATION)
            .take(MOST_ANNOTATIONS)
            .chain(facts)
            .collect()
    }
}

/// What became of the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Those that were accepted.
    pub delivered: u64,
    /// Those that the server had already.
    pub duplicates: u64,
    /// Those that were given up.
    pub dropped: u64,
}

/// Takes events for the notification controller.
#[derive(Clone, Debug)]
pub struct Notifier {
    queue: Arc<FairQueue<(Instant, Event)>>,
    counts: Arc<Counts>,
}

/// Counts, and when it was last said that events were dropped.
#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    duplicates: AtomicU64,
    dropped: AtomicU64,
    complained: Mutex<Option<Instant>>,
}

impl Counts {
    fn note_dropped(&self, event: &Event, reason: &str) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            *complained = Some(Instant::now());
            tracing::warn!(
                namespace = event.involved_object.namespace,
                name = event.involved_object.name,
                reason,
                dropped,
                "an event did not reach the notification controller"
            );
        }
    }
}

impl Notifier {
    /// Makes a notifier and the future that posts its events; `None` if the address is empty.
    ///
    /// # Errors
    ///
    /// If no HTTP client can be made.
    pub fn new(address: &Address) -> Result<Option<(Self, impl Future<Output = ()> + Send + use<>)>, Error> {
        let Some(url) = address.0.clone() else {
            return Ok(None);
        };
        Destinations::NAMED.check(&url)?;
        guarded_egress::tls::ensure_provider();
        // A system without certificate authorities, such as a small image, needs none for plain
        // HTTP.
        let client = client_settings()
            .build()
            .or_else(|_| client_settings().tls_certs_only([]).build())?;
        let queue = Arc::new(FairQueue::new(QUEUE));
        let counts = Arc::<Counts>::default();
        let work = post_all(client, url, Arc::clone(&queue), Arc::clone(&counts));
        Ok(Some((Self { queue, counts }, work)))
    }

    /// Queues an event. Never waits: if the queue is full, the last event of the namespace that
    /// takes most is dropped.
    pub fn post(&self, regarding: ObjectReference, note: &Note, about: EventContext) {
        let now = jiff::Timestamp::now();
        let event = Event {
            involved_object: regarding,
            severity: match note.kind {
                EventType::Normal => "info",
                EventType::Warning => "error",
            },
            timestamp: Time(now),
            message: shortened(&note.message, LONGEST_MESSAGE),
            reason: note.reason.to_string(),
            metadata: about.metadata(),
            reporting_controller: FIELD_MANAGER,
            reporting_instance: pod_name(),
        };
        let namespace = event.involved_object.namespace.clone().unwrap_or_default();
        for (_, displaced) in self.queue.push(&namespace, event.size(), (Instant::now(), event)) {
            self.counts
                .note_dropped(&displaced, "too many events are already waiting");
        }
    }

    /// What became of the events so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let Counts {
            delivered,
            duplicates,
            dropped,
            complained: _,
        } = &*self.counts;
        Totals {
            delivered: delivered.load(Ordering::Relaxed),
            duplicates: duplicates.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
        }
    }
}

fn client_settings() -> ClientBuilder {
    Destinations::NAMED
        .guard(Client::builder())
        .timeout(TIMEOUT)
        .user_agent(crate::USER_AGENT)
}

/// How a server answered an event.
#[derive(Debug, PartialEq, Eq)]
enum Receipt {
    Taken,
    /// The notification controller received the same event a short while ago.
    Duplicate,
    /// It may be accepted when posted again.
    Fault(String),
    Refused(String),
}

impl Receipt {
    fn from_status(status: StatusCode) -> Self {
        match status {
            _ if status.is_success() => Self::Taken,
            StatusCode::TOO_MANY_REQUESTS => Self::Duplicate,
            StatusCode::NOT_IMPLEMENTED => Self::Refused(format!("it answered {status}")),
            _ if status.is_server_error() => Self::Fault(format!("it answered {status}")),
            _ => Self::Refused(format!("it answered {status}")),
        }
    }
}

async fn post_all(client: Client, url: Url, queue: Arc<FairQueue<(Instant, Event)>>, counts: Arc<Counts>) {
    loop {
        let (recorded, event) = queue.next().await;
        match post(&client, &url, recorded, &event).await {
            Ok(Receipt::Duplicate) => _ = counts.duplicates.fetch_add(1, Ordering::Relaxed),
            Ok(_) => _ = counts.delivered.fetch_add(1, Ordering::Relaxed),
            Err(reason) => counts.note_dropped(&event, &reason),
        }
    }
}

/// Posts one event until it is accepted, refused, or not worth posting any more.
async fn post(client: &Client, url: &Url, recorded: Instant, event: &Event) -> Result<Receipt, String> {
    let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .build();
    let mut answered = 0;
    let mut last = "it waited too long behind others".to_owned();
    while recorded.elapsed() < WORTH {
        let request = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone());
        last = match request.send().await {
            Ok(response) => match Receipt::from_status(response.status()) {
                Receipt::Fault(reason) => {
                    answered += 1;
                    if answered == ANSWERED {
                        return Err(reason);
                    }
                    reason
                }
                Receipt::Refused(reason) => return Err(reason),
                taken => return Ok(taken),
            },
            Err(error) => describe_with_causes(&error.without_url()),
        };
        tokio::time::sleep(waits.next().unwrap_or(TIMEOUT)).await;
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::reason;

    #[test]
    fn addresses() {
        let url = "http://notification-controller.flux-system.svc.cluster.local./";
        assert_eq!(url.parse::<Address>().unwrap().to_string(), url);
        assert_eq!("".parse(), Ok(Address(None)));
        for wrong in [
            "notification-controller",
            "ftp://host/",
            "http://",
            "http://ann:secret@host/",
        ] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(
                !error.contains("secret") && error.contains("write for instance"),
                "{error}"
            );
        }
    }

    #[test]
    fn only_a_fault_of_the_server_is_worth_another_try() {
        let of = |status: u16| Receipt::from_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(
            (of(200), of(202), of(429)),
            (Receipt::Taken, Receipt::Taken, Receipt::Duplicate)
        );
        assert!(matches!(
            (of(500), of(503)),
            (Receipt::Fault(_), Receipt::Fault(_))
        ));
        for refused in [301, 400, 401, 404, 501] {
            assert!(matches!(of(refused), Receipt::Refused(_)), "{refused}");
        }
    }

    #[test]
    fn what_flux_means_for_events_goes_with_them() {
        let about = EventContext {
            facts: vec![("revision", "main@sha1:1".into())],
            annotations: BTreeMap::from([
                ("event.toolkit.fluxcd.io/env".into(), "prod".into()),
                (
                    "kubectl.kubernetes.io/last-applied-configuration".into(),
                    "{}".into(),
                ),
            ]),
        };
        assert_eq!(
            about.metadata(),
            BTreeMap::from([
                ("event.toolkit.fluxcd.io/env".to_owned(), "prod".to_owned()),
                ("patching.c5c3.io/revision".to_owned(), "main@sha1:1".to_owned()),
            ])
        );
    }

    #[tokio::test]
    async fn what_waits_takes_no_more_memory_than_it_may() {
        let address: Address = "http://127.0.0.1:9/".parse().unwrap();
        let (notifier, _unposted) = Notifier::new(&address).unwrap().unwrap();
        let about = EventContext {
            facts: Vec::new(),
            annotations: (0..1000)
                .map(|number| (format!("{FLUX_EVENT_GROUP}{number}"), "x".repeat(256)))
                .chain([(format!("{FLUX_EVENT_GROUP}long"), "x".repeat(256 << 10))])
                .collect(),
        };
        let most = QUEUE.bytes / LONGEST_MESSAGE;
        for _ in 0..QUEUE.items {
            let note = Note {
                kind: EventType::Warning,
                reason: reason::PATCH_CONFLICT,
                message: "m".repeat(LONGEST_MESSAGE),
            };
            notifier.post(ObjectReference::default(), &note, about.clone());
        }
        let dropped = usize::try_from(notifier.totals().dropped).unwrap();
        assert!(
            dropped >= QUEUE.items - most && dropped < QUEUE.items,
            "{dropped}"
        );
        assert!(about.metadata().len() <= MOST_ANNOTATIONS);
    }

    #[tokio::test]
    async fn a_full_queue_holds_nobody_up() {
        let address: Address = "http://127.0.0.1:9/".parse().unwrap();
        let (notifier, _unposted) = Notifier::new(&address).unwrap().unwrap();
        for _ in 0..QUEUE.items + 3 {
            let note = Note {
                kind: EventType::Warning,
                reason: reason::PATCH_CONFLICT,
                message: "m".into(),
            };
            notifier.post(ObjectReference::default(), &note, EventContext::default());
        }
        let dropped = Totals {
            dropped: 3,
            ..Totals::default()
        };
        assert_eq!(notifier.totals(), dropped);
    }
}
