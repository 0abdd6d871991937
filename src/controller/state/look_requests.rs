//! Who waits for a new look at the upstreams, and since when: a look that began later answers all
//! of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use patchset_api::referent::Referent;

use super::locking::lock;

/// The objects that need a new look.
#[derive(Debug, Default)]
pub struct LookRequests(Mutex<HashMap<Referent, LookRequest>>);

/// What was asked for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LookRequest {
    /// The `requestedAt` that it had last, and when that was first seen.
    asked: Option<(String, Instant)>,
    /// The generation of its spec that no status covers yet, and when that was first seen.
    new_spec: Option<(i64, Instant)>,
    /// When a push to one of its repositories was received.
    pushed: Option<Instant>,
    /// Whether it was answered by a look that may be older than what triggered the reconciliation.
    second_look: bool,
}

impl LookRequests {
    /// Notes an annotation `requestedAt`. One that was seen before keeps its time.
    pub fn note_asked(&self, object: &Referent, requested_at: &str, now: Instant) {
        let mut requests = lock(&self.0);
        let request = requests.entry(object.clone()).or_default();
        if request
            .asked
            .as_ref()
            .is_none_or(|(known, _)| known != requested_at)
        {
            request.asked = Some((requested_at.to_owned(), now));
        }
    }

    /// When an annotation `requestedAt` was first seen.
    #[must_use]
    pub fn asked_since(&self, object: &Referent, requested_at: &str) -> Option<Instant> {
        let requests = lock(&self.0);
        let (known, since) = requests.get(object)?.asked.as_ref()?;
        (known == requested_at).then_some(*since)
    }

    /// Notes a spec that no status covers. One that was seen before keeps its time.
    pub fn note_new_spec(&self, object: &Referent, generation: i64, now: Instant) {
        let mut requests = lock(&self.0);
        let request = requests.entry(object.clone()).or_default();
        if request.new_spec.is_none_or(|(known, _)| known != generation) {
            request.new_spec = Some((generation, now));
        }
    }

    /// When a spec was first seen.
    #[must_use]
    pub fn new_spec_since(&self, object: &Referent, generation: i64) -> Option<Instant> {
        let (known, since) = lock(&self.0).get(object)?.new_spec?;
        (known == generation).then_some(since)
    }

    /// Notes that a status covers a spec. A later one stays.
    pub fn answer_spec(&self, object: &Referent, generation: i64) {
        if let Some(request) = lock(&self.0).get_mut(object)
            && request.new_spec.is_some_and(|(known, _)| known <= generation)
        {
            request.new_spec = None;
        }
    }

    /// Notes a push to a repository that the object reads.
    pub fn note_push(&self, object: &Referent, now: Instant) {
        lock(&self.0).entry(object.clone()).or_default().pushed = Some(now);
    }

    /// When the last push that was not answered yet was received.
    #[must_use]
    pub fn pushed_since(&self, object: &Referent) -> Option<Instant> {
        lock(&self.0).get(object)?.pushed
    }

    /// Notes that a look which began after a push answered it. A later push stays.
    pub fn answer_push(&self, object: &Referent, since: Instant) {
        if let Some(request) = lock(&self.0).get_mut(object)
            && request.pushed.is_some_and(|pushed| pushed <= since)
        {
            request.pushed = None;
        }
    }

    /// Notes that the object needs a second look, as new as the rule allows.
    pub fn note_second_look(&self, object: &Referent) {
        lock(&self.0).entry(object.clone()).or_default().second_look = true;
    }

    /// Whether that was noted; clears the note.
    #[must_use]
    pub fn take_second_look(&self, object: &Referent) -> bool {
        let mut requests = lock(&self.0);
        requests
            .get_mut(object)
            .is_some_and(|request| std::mem::take(&mut request.second_look))
    }

    /// Forgets what is answered, and objects that are gone.
    pub fn retain(&self, exists: impl Fn(&Referent) -> bool) {
        lock(&self.0).retain(|object, request| *request != LookRequest::default() && exists(object));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use patchset_api::referent::{ObjectKey, ReferentKind};

    #[test]
    fn a_request_counts_from_when_it_was_first_seen_and_until_it_is_answered() {
        let requests = LookRequests::default();
        let object = Referent {
            kind: ReferentKind::PatchSet,
            key: ObjectKey::new("ns", "a"),
        };
        let begin = Instant::now();
        let second = |second| begin + Duration::from_secs(second);
        requests.note_asked(&object, "x", second(0));
        requests.note_asked(&object, "x", second(5));
        assert_eq!(requests.asked_since(&object, "x"), Some(second(0)));
        assert_eq!(requests.asked_since(&object, "y"), None);

        requests.note_push(&object, second(1));
        requests.note_push(&object, second(3));
        requests.answer_push(&object, second(1));
        assert_eq!(requests.pushed_since(&object), Some(second(3)));
        requests.answer_push(&object, second(3));
        assert_eq!(requests.pushed_since(&object), None);

        requests.note_new_spec(&object, 2, second(0));
        requests.note_new_spec(&object, 2, second(5));
        assert_eq!(requests.new_spec_since(&object, 2), Some(second(0)));
        assert_eq!(requests.new_spec_since(&object, 3), None);
        requests.note_new_spec(&object, 3, second(6));
        requests.answer_spec(&object, 2);
        assert_eq!(requests.new_spec_since(&object, 3), Some(second(6)));
        requests.answer_spec(&object, 3);
        assert_eq!(requests.new_spec_since(&object, 3), None);

        assert!(!requests.take_second_look(&object));
        requests.note_second_look(&object);
        assert!(requests.take_second_look(&object) && !requests.take_second_look(&object));

        requests.retain(|_| true);
        assert_eq!(requests.asked_since(&object, "x"), Some(second(0)));
        requests.retain(|_| false);
        assert!(lock(&requests.0).is_empty());
    }
}
