//! Objects that are to be looked at now, because somebody found that what they read has changed.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// How many may wait. If more come at once, all objects of the kind are looked at.
const WAITING: usize = 4096;

/// Announces which objects to look at.
#[derive(Debug)]
pub struct Nudges(broadcast::Sender<Referent>);

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// An object.
    One(ObjectKey),
    /// All of the kind: more were named than could be kept.
    All,
}

impl Default for Nudges {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Nudges {
    /// Asks for a look at an object.
    pub fn wake(&self, object: Referent) {
        // No receiver is no error: the controllers may be gone already.
        let _ = self.0.send(object);
    }

    /// Which objects of a kind to look at, from now on.
    pub fn of_kind(&self, kind: ReferentKind) -> BoxStream<'static, Nudge> {
        nudges(self.0.subscribe(), kind).boxed()
    }
}

fn nudges(receiver: broadcast::Receiver<Referent>, kind: ReferentKind) -> impl Stream<Item = Nudge> + Send {
    BroadcastStream::new(receiver).filter_map(move |nudge| async move {
        match nudge {
            Ok(object) => (object.kind == kind).then_some(Nudge::One(object.key)),
            Err(_) => Some(Nudge::All),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn each_kind_hears_of_its_own_and_of_all_where_some_were_lost() {
        let nudges = Nudges::default();
        let mut heard = nudges.of_kind(ReferentKind::PatchSet);
        let object = |kind, name: &str| Referent {
            kind,
            key: ObjectKey::new("ours", name),
        };
        nudges.wake(object(ReferentKind::ConstraintOverride, "c"));
        nudges.wake(object(ReferentKind::PatchSet, "p"));
        assert_eq!(heard.next().await, Some(Nudge::One(ObjectKey::new("ours", "p"))));
        assert_eq!(heard.next().now_or_never(), None);
        for number in 0..=WAITING {
            nudges.wake(object(ReferentKind::PatchSet, &number.to_string()));
        }
        assert_eq!(heard.next().await, Some(Nudge::All));
    }
}
