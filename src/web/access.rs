//! What viewers may see, remembered for a minute.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use lru::LruCache;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::reviews::{self, NoAnswer};
use super::stores::ShownKind;
use super::viewer::User;

/// How long an answer of the API server stays valid.
const COUNTS_FOR: Duration = Duration::from_secs(60);
/// How many tokens are remembered.
const TOKENS: NonZero<usize> = NonZero::new(1024).unwrap();
/// How many answers on what a viewer may list are remembered.
const ANSWERS: NonZero<usize> = NonZero::new(16 << 10).unwrap();
/// How many questions are asked at the same time, for all viewers.
const AT_ONCE: usize = 8;
/// How many namespaces one page asks about, where the viewer may not list all.
const MOST_NAMESPACES: usize = 500;
/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// Who wants to list what, and where.
type Question = ([u8; 32], ShownKind, Option<String>);

/// Recent answers, and when they were given.
type Remembered<K, V> = Mutex<LruCache<K, (Instant, V)>>;

/// What viewers may see.
pub(super) struct ViewerAccess {
    client: Client,
    places: Semaphore,
    tokens: Remembered<[u8; 32], Option<User>>,
    answers: Remembered<Question, bool>,
}

/// The namespaces of a list that a viewer may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) namespaces: BTreeSet<String>,
    /// Whether there are more namespaces than are asked about.
    pub(super) is_cut: bool,
}

fn remembered<K: std::hash::Hash + Eq, V: Clone>(cache: &Remembered<K, V>, key: &K) -> Option<V> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, value) = cache.get(key)?;
    (at.elapsed() < COUNTS_FOR).then(|| value.clone())
}

fn remember<K: std::hash::Hash + Eq, V>(cache: &Remembered<K, V>, key: K, value: V) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.put(key, (Instant::now(), value));
}

impl ViewerAccess {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            places: Semaphore::new(AT_ONCE),
            tokens: Mutex::new(LruCache::new(TOKENS)),
            answers: Mutex::new(LruCache::new(ANSWERS)),
        }
    }

    /// The user whose token it is; `None` if it is nobody's.
    pub(super) async fn user_of_token(&self, token: &SecretString) -> Result<Option<User>, NoAnswer> {
        let text = token.expose_secret();
        if text.is_empty() || text.len() > LONGEST_TOKEN {
            return Ok(None);
        }
        let key: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(user) = remembered(&self.tokens, &key) {
            return Ok(user);
        }
        let _place = self.places.acquire().await.map_err(|_| NoAnswer)?;
        let user = reviews::review_token(&self.client, token).await?;
        remember(&self.tokens, key, user.clone());
        Ok(user)
    }

    /// Whether a user may list a kind, in a namespace or in all. No answer from the API server
    /// counts as no.
    pub(super) async fn may_list(&self, user: &User, kind: ShownKind, namespace: Option<&str>) -> bool {
        let key = (user.fingerprint(), kind, namespace.map(ToOwned::to_owned));
        if let Some(answer) = remembered(&self.answers, &key) {
            return answer;
        }
        let Ok(_place) = self.places.acquire().await else {
            return false;
        };
        match reviews::may_list(&self.client, user, kind, namespace).await {
            Ok(answer) => {
                remember(&self.answers, key, answer);
                answer
            }
            Err(NoAnswer) => false,
        }
    }

    /// Of some namespaces, those whose objects of a kind a viewer may list, and those that anybody
    /// may look at.
    pub(super) async fn visible(
        &self,
        user: Option<&User>,
        kind: ShownKind,
        anonymous: &BTreeSet<String>,
        namespaces: BTreeSet<String>,
    ) -> Visible {
        let (mut open, closed): (BTreeSet<String>, BTreeSet<String>) =
            namespaces.into_iter().partition(|one| anonymous.contains(one));
        let Some(user) = user else {
            return Visible {
                namespaces: open,
                is_cut: false,
            };
        };
        if closed.is_empty() {
            return Visible {
                namespaces: open,
                is_cut: false,
            };
        }
        if self.may_list(user, kind, None).await {
            open.extend(closed);
            return Visible {
                namespaces: open,
                is_cut: false,
            };
        }
        let is_cut = closed.len() > MOST_NAMESPACES;
        let asked = futures::stream::iter(closed.into_iter().take(MOST_NAMESPACES)).map(|one| async {
            let is_visible = self.may_list(user, kind, Some(&one)).await;
            is_visible.then_some(one)
        });
        let visible: Vec<Option<String>> = asked.buffer_unordered(AT_ONCE).collect().await;
        open.extend(visible.into_iter().flatten());
        Visible {
            namespaces: open,
            is_cut,
        }
    }
}
