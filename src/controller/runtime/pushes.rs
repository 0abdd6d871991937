//! Received pushes: each is checked against the Secret that its path names, and has the objects in
//! that Secret's namespace that read the repository take a new look at it.
//!
//! A Secret counts only if a label says so, and hooks are looked up in the watch of all Secrets:
//! one that does not exist costs no request to the API server. All that a tenant's token can cause
//! is work for objects of that tenant, no more often than the rates below.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use foreign_text::printable;
use git_mirrors::RepoUrl;
use patchset_api::common::LocalReference;
use patchset_api::referent::{ObjectKey, Referent};
use tokio::task::JoinSet;

use super::triggers::{ObservedChange, Triggers};
use crate::controller::context::{Context, panics};
use crate::controller::inputs::secrets::NamedSecret;
use crate::controller::state::dependents::Dependency;
use crate::controller::state::locking::lock;
use crate::controller::state::rates::{Rate, Rates};
use crate::ops::metrics::PushOutcome;
use crate::ops::push_server::{ReceivedPush, ReceivedPushes};
use crate::webhook::{BodyEncoding, HookEvent, HookKind, repositories};

/// How often requests for one hook are processed.
const OF_HOOK: Rate = Rate {
    burst: 30,
    every: Duration::from_secs(1),
};
/// The same for all hooks of a namespace.
const OF_NAMESPACE: Rate = Rate {
    burst: 120,
    every: Duration::from_millis(200),
};
/// How many pushes to a repository wake a namespace's objects at once. Beyond that, one does per
/// `--min-interval`.
const AT_ONCE: u32 = 3;
/// How many repositories may have a waiting push. Further ones wait for their objects' interval.
const WAITING: usize = 4096;
/// The longest part of an error that is logged, in characters.
const LONGEST_ERROR: usize = 200;

/// Checks pushes, and wakes the objects concerned.
struct PushReceiver {
    context: Arc<Context>,
    triggers: Triggers,
    /// Pushes to hooks whose Secrets have to be read first.
    unread: Rates<ObjectKey>,
    hooks: Rates<ObjectKey>,
    namespaces: Rates<String>,
    repositories: Rates<Repository>,
    /// The repositories with a push that waits for its turn.
    waiting: Mutex<HashSet<Repository>>,
}

/// A repository, as a namespace knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Repository {
    namespace: String,
    location: String,
}

/// Processes pushes until there are no more.
pub async fn receive(context: Arc<Context>, triggers: Triggers, mut pushes: ReceivedPushes) {
    let receiver = Arc::new(PushReceiver {
        unread: Rates::new(OF_HOOK),
        hooks: Rates::new(OF_HOOK),
        namespaces: Rates::new(OF_NAMESPACE),
        repositories: Rates::new(Rate {
            burst: AT_ONCE,
            every: context.options.min_interval,
        }),
        waiting: Mutex::default(),
        context,
        triggers,
    });
    // At most one for each request that is served, and those that wait.
    let mut tasks = JoinSet::new();
    while let Some(push) = pushes.recv().await {
        while tasks.try_join_next().is_some() {}
        let receiver = Arc::clone(&receiver);
        tasks.spawn(async move {
            // An interruption is logged; the next push is not affected.
            let _ = panics::caught(receiver.handle(push)).await;
        });
    }
}

impl PushReceiver {
    async fn handle(self: Arc<Self>, push: ReceivedPush) {
        let metrics = self.context.metrics.clone();
        let concerned = match self.check(&push).await {
            Ok(concerned) => concerned,
            Err(outcome) => return metrics.count_push(outcome),
        };
        let (
            ObjectKey {
                namespace,
                name: hook,
            },
            at,
        ) = (push.hook.clone(), push.at);
        // Drop the body before waiting for anything.
        drop(push);
        if concerned.is_empty() {
            tracing::info!(namespace, hook, "a push concerns no object");
            return metrics.count_push(PushOutcome::Unconcerned);
        }
        for repository in concerned {
            match self.repositories.take(repository.clone(), Instant::now()) {
                Ok(()) => self.wake(&hook, &repository, at),
                Err(wait) => Arc::clone(&self).wake_later(hook.clone(), repository, wait),
            }
        }
    }

    /// Checks that a push comes from its hook's owner; returns the repositories that it concerns.
    async fn check(&self, push: &ReceivedPush) -> Result<BTreeSet<Repository>, PushOutcome> {
        let ObjectKey { namespace, name } = &push.hook;
        let Some(label) = self.context.referents.webhook_label(&push.hook) else {
            return Err(PushOutcome::UnknownHook);
        };
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(namespace, hook = name, %why, "a push is refused");
            PushOutcome::Refused
        };
        let kind: HookKind = label
            .parse()
            .map_err(|error| refused(&format!("the Secret's label is not a kind of hook: {error}")))?;
        let now = Instant::now();
        let limited = || {
            tracing::debug!(namespace, hook = name, "there are too many pushes");
            PushOutcome::Limited
        };
        if self.context.referents.kept_secret(&push.hook).is_none() {
            let admitted = self.unread.take(push.hook.clone(), now);
            admitted.map_err(|_| limited())?;
        }
        let reference = LocalReference { name: name.clone() };
        let secret = NamedSecret::read(&self.context.referents, namespace, &reference).await;
        let secret = secret.map_err(|failure| refused(&failure.message))?;
        let token = secret.data().get("token").map(Vec::as_slice).unwrap_or_default();
        if token.is_empty() {
            return Err(refused(&"the Secret has no key token, or it is empty"));
        }
        let signature = push.headers.get(kind.signature_header());
        let signature =
            signature.ok_or_else(|| refused(&format!("it has no {}", kind.signature_header())))?;
        if !kind.is_signed(token, signature.as_bytes(), &push.body) {
            return Err(refused(&"it is not signed with the Secret's token"));
        }
        // Only what the owner sends counts: anybody may send to a hook.
        let admitted = self.hooks.take(push.hook.clone(), now);
        let admitted = admitted.and_then(|()| self.namespaces.take(namespace.clone(), now));
        admitted.map_err(|_| limited())?;
        let event = kind
            .event_header()
            .and_then(|name| push.headers.get(name)?.to_str().ok());
        if kind.event(event) == HookEvent::Other {
            tracing::info!(
                namespace,
                hook = name,
                "a hook reported something other than a push"
            );
            return Err(PushOutcome::NoPush);
        }
        let addresses = repositories(encoding(&push.headers), &push.body).map_err(|error| {
            let why = printable(&error.to_string(), LONGEST_ERROR);
            tracing::warn!(namespace, hook = name, %why, "a push cannot be read");
            PushOutcome::Unreadable
        })?;
        let parsed = addresses
            .iter()
            .filter_map(|address| address.parse::<RepoUrl>().ok());
        let named = parsed.map(|address| Repository {
            namespace: namespace.clone(),
            location: address.location(),
        });
        Ok(named.filter(|named| !self.readers(named).is_empty()).collect())
    }

    /// The objects of a namespace that read a repository.
    fn readers(&self, repository: &Repository) -> Vec<Referent> {
        let Repository { namespace, location } = repository.clone();
        self.context
            .dependents
            .on(&Dependency::Repository { namespace, location })
    }

    /// Has all readers of a repository look at it again, by one look that begins after the push.
    fn wake(&self, hook: &str, repository: &Repository, at: Instant) {
        let Repository { namespace, location } = repository;
        let readers = self.readers(repository);
        for reader in &readers {
            self.context.look_requests.note_push(reader, at);
        }
        let objects = readers.len();
        tracing::info!(
            namespace,
            hook,
            repository = location,
            objects,
            "a push wakes objects"
        );
        self.context.metrics.count_push(PushOutcome::Woke);
        self.triggers.send(ObservedChange::Repository {
            readers: readers.into(),
        });
    }

    /// The same after a wait, for all pushes to the repository in that time.
    fn wake_later(self: Arc<Self>, hook: String, repository: Repository, wait: Duration) {
        self.context.metrics.count_push(PushOutcome::Deferred);
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= WAITING || !waiting.insert(repository.clone()) {
                return;
            }
        }
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            lock(&self.waiting).remove(&repository);
            // Its turn has come, whatever else there was meanwhile.
            let _ = self.repositories.take(repository.clone(), Instant::now());
            self.wake(&hook, &repository, Instant::now());
        });
    }
}

/// How a body is encoded, according to its sender.
fn encoding(headers: &HeaderMap) -> BodyEncoding {
    let form = b"application/x-www-form-urlencoded";
    match headers.get(header::CONTENT_TYPE) {
        Some(name) if name.as_bytes().starts_with(form) => BodyEncoding::Form,
        _ => BodyEncoding::Json,
    }
}
