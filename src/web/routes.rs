//! The addresses of the site, and what answers them.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, http};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use kube::Client;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::{ViewerAccess, Visible};
use super::changes::{ChangedObject, Changes};
use super::compression;
use super::reviews::NoAnswer;
use super::session::{COOKIE, LASTS, Sessions, sent_cookie};
use super::stores::{self, ShownKind, Stores};
use super::texts::HeldTexts;
use super::viewer::{User, ViewerOptions};
use crate::ops::bounded_server::{self, Connection, ConnectionBounds};
use crate::page::resources::{
    ComparedImages, ConstraintOverridePage, LoginPage, MatrixFilter, MatrixPage, MergedText, OverridesPage,
    PatchSetPage, RepositoriesPage, RepositoryPage, SearchPage, series_of,
};
use crate::page::{Frame, HighlightBudget, RenderError, SCRIPT, STYLE, Section};

/// How long an open page receives changes before it has to ask again.
const STREAMS_WITHIN: Duration = Duration::from_secs(600);
/// What connections may take.
const BOUNDS: ConnectionBounds = ConnectionBounds {
    name: "the page",
    connections: 256,
    headers_within: Duration::from_secs(5),
    headers: 32 << 10,
    within: Duration::from_secs(60),
    long_within: STREAMS_WITHIN,
};
/// The longest body of a request, in bytes.
const LONGEST_BODY: usize = 32 << 10;
/// How many open pages receive changes.
const STREAMS: usize = 128;
/// How many of them one viewer may have; all viewers who are not logged in count as one.
const STREAMS_OF_ONE: usize = 16;
/// How many pages are made at the same time.
const PAGES_AT_ONCE: usize = 4;
/// How many bytes of diffs one page colours by language, and for how long.
const COLOURED_BYTES: usize = 256 << 10;
const COLOURS_WITHIN: Duration = Duration::from_secs(1);
/// How long changes are gathered before they are sent.
const GATHERS_FOR: Duration = Duration::from_millis(300);
/// How long the identity of a viewer with an open page is taken for granted.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// What a page may load: its own style and script.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the site is made of.
pub struct Site {
    stores: Stores,
    changes: Box<Changes>,
    texts: Arc<HeldTexts>,
    access: ViewerAccess,
    options: ViewerOptions,
    sessions: Sessions,
    pages: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    streams_of_viewers: Arc<Mutex<HashMap<[u8; 32], usize>>>,
}

impl Site {
    /// A site over what the controller knows.
    #[must_use]
    pub fn new(
        client: Client,
        stores: Stores,
        changes: Box<Changes>,
        texts: Arc<HeldTexts>,
        options: ViewerOptions,
    ) -> Self {
        Self {
            stores,
            changes,
            texts,
            access: ViewerAccess::new(client),
            options,
            sessions: Sessions::default(),
            pages: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            streams_of_viewers: Arc::default(),
        }
    }

    /// Who asks, according to a proxy, a token, or a session; `None` if anonymous.
    async fn user(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Option<User>, NoAnswer> {
        if let Some(user) = self.options.user_of_proxy(headers, peer) {
            return Ok(Some(user));
        }
        let bearer = headers.get(header::AUTHORIZATION);
        let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = match bearer {
            Some(token) => Some(SecretString::from(token.trim())),
            None => sent_cookie(headers).and_then(|id| self.sessions.token(id)),
        };
        match token {
            Some(token) => self.access.user_of_token(&token).await,
            None => Ok(None),
        }
    }

    fn frame(viewer: &Viewer, section: Section, title: &str) -> Frame {
        Frame {
            title: title.to_owned(),
            section,
            viewer: viewer.user.as_ref().map(|user| user.name.clone()),
            is_live: section != Section::Other,
            note: None,
        }
    }

    /// The frame around the page of an object, given its namespace and name, for a viewer who may
    /// list its kind there.
    async fn frame_of_object(
        &self,
        viewer: &Viewer,
        kind: ShownKind,
        (namespace, name): (&str, &str),
    ) -> Result<Frame, Refusal> {
        if !self.may_see(viewer.user.as_ref(), kind, namespace).await {
            return Err(Refusal::NotFound);
        }
        Ok(Frame {
            is_live: true,
            ..Self::frame(viewer, Section::Other, &format!("{namespace}/{name}"))
        })
    }

    async fn visible(&self, viewer: &Viewer, kind: ShownKind) -> Visible {
        let namespaces = match kind {
            ShownKind::PatchSets => stores::namespaces(&self.stores.patch_sets),
            ShownKind::ConstraintOverrides => stores::namespaces(&self.stores.constraint_overrides),
            ShownKind::PatchRepositories => stores::namespaces(&self.stores.repositories),
            // They are not listed: they are shown within what is.
            ShownKind::ConfigMaps => BTreeSet::new(),
        };
        let anonymous = &self.options.anonymous;
        self.access
            .visible(viewer.user.as_ref(), kind, anonymous, namespaces)
            .await
    }

    /// Whether a viewer may list a kind in a namespace.
    async fn may_see(&self, user: Option<&User>, kind: ShownKind, namespace: &str) -> bool {
        if self.options.anonymous.contains(namespace) {
            return true;
        }
        let Some(user) = user else {
            return false;
        };
        self.access.may_list(user, kind, None).await
            || self.access.may_list(user, kind, Some(namespace)).await
    }

    /// Makes a page, after a wait if too many are being made.
    async fn page(
        &self,
        make: impl FnOnce() -> Result<String, RenderError> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let pages = Arc::clone(&self.pages);
        let place = pages.acquire_owned().await.map_err(|_| Refusal::Failed)?;
        // The place is taken until the page is made, even if nobody waits for it any more.
        let make = move || {
            let made = make();
            drop(place);
            made
        };
        let made = tokio::task::spawn_blocking(make).await;
        match made {
            Ok(Ok(text)) => Ok(Html(text).into_response()),
            Ok(Err(error)) => {
                tracing::error!(%error, "a page could not be made");
                Err(Refusal::Failed)
            }
            Err(_) => Err(Refusal::Failed),
        }
    }
}

/// Who looks.
#[derive(Clone, Debug)]
struct Viewer {
    user: Option<User>,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is not known who asks.
    NotLoggedIn,
    /// It does not exist, or the viewer may not see it.
    NotFound,
    /// The API server does not answer.
    Unavailable,
    /// A form was sent from another site.
    FromElsewhere,
    /// Too many pages are open.
    TooMany,
    /// It could not be made.
    Failed,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::FromElsewhere => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::NotLoggedIn => "Log in: nothing here is public.",
            Self::NotFound => "There is no such page, or you may not list what it shows.",
            Self::Unavailable => {
                "The API server does not say who you are and what you may see. Try again in a moment."
            }
            Self::FromElsewhere => "This form was sent from another site, so nothing was done.",
            Self::TooMany => "Too many pages are open. Close some.",
            Self::Failed => "The page could not be made. The server's log says why.",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let form = match self {
            Self::NotLoggedIn => LoginForm::Offered,
            _ => LoginForm::Absent,
        };
        login_page(None, self.status(), Some(self.message()), form)
    }
}

/// Whether a page has the form for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoginForm {
    Offered,
    Absent,
}

fn login_page(user: Option<&User>, status: StatusCode, message: Option<&str>, form: LoginForm) -> Response {
    let has_form = form == LoginForm::Offered;
    let page = LoginPage {
        frame: Frame {
            title: if has_form { "Log in" } else { "Not shown" }.to_owned(),
            section: Section::Other,
            viewer: user.map(|user| user.name.clone()),
            is_live: false,
            note: None,
        },
        message: message.map(ToOwned::to_owned),
        has_form,
    };
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Serves the site until the task is dropped.
pub async fn serve(listener: TcpListener, site: Site) {
    let site = Arc::new(site);
    let asset = |kind: &'static str, text: &'static str| {
        move || {
            std::future::ready((
                [
                    (header::CONTENT_TYPE, kind),
                    (header::CACHE_CONTROL, "max-age=300"),
                ],
                text,
            ))
        }
    };
    let known = Router::new()
        .route("/", get(matrix))
        .route("/patchsets/{namespace}/{name}", get(patch_set))
        .route("/overrides", get(overrides))
        .route(
            "/constraintoverrides/{namespace}/{name}",
            get(constraint_override),
        )
        .route("/repositories", get(repositories))
        .route("/patchrepositories/{namespace}/{name}", get(repository))
        .route("/search", get(search))
        .route("/events", get(events))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&site), with_viewer));
    let router = known
        .route("/login", get(login).post(log_in))
        .route("/logout", post(log_out))
        .route("/assets/page.css", get(asset("text/css; charset=utf-8", STYLE)))
        .route(
            "/assets/page.js",
            get(asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .fallback(|| std::future::ready(Refusal::NotFound))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn(compression::compress))
        .layer(middleware::map_response(guarded))
        .with_state(site);
    bounded_server::serve(listener, router, BOUNDS).await;
}

/// Adds to every answer the headers that restrict what browsers do with it.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Finds out who asks. Unless some namespace is open to everybody, anonymous requests end here.
async fn with_viewer(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    let user = match site.user(request.headers(), connection.peer).await {
        Ok(user) => user,
        Err(NoAnswer) => return Refusal::Unavailable.into_response(),
    };
    if user.is_none() && site.options.anonymous.is_empty() {
        return Refusal::NotLoggedIn.into_response();
    }
    request.extensions_mut().insert(Viewer { user });
    next.run(request).await
}

type Pairs = Query<Vec<(String, String)>>;
type Answer = Result<Response, Refusal>;

fn note(visible: &Visible) -> Option<String> {
    visible.is_cut.then(|| {
        "There are more namespaces than one page asks about: what is in the others is not shown.".to_owned()
    })
}

async fn matrix(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Query(pairs): Pairs,
) -> Answer {
    let visible = site.visible(&viewer, ShownKind::PatchSets).await;
    let frame = Frame {
        note: note(&visible),
        ..Site::frame(&viewer, Section::Matrix, "Components")
    };
    let filter = MatrixFilter::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let store = site.stores.patch_sets.clone();
    site.page(move || {
        MatrixPage {
            frame,
            filter,
            series: stores::visible(&store, &visible.namespaces, series_of),
        }
        .render()
    })
    .await
}

async fn search(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Query(pairs): Pairs,
) -> Answer {
    let visible = site.visible(&viewer, ShownKind::PatchSets).await;
    let frame = Frame {
        note: note(&visible),
        ..Site::frame(&viewer, Section::Search, "Search")
    };
    let q = pairs.into_iter().find(|(name, _)| name == "q");
    let q: String = q
        .map(|(_, value)| value.chars().take(200).collect())
        .unwrap_or_default();
    let store = site.stores.patch_sets.clone();
    site.page(move || {
        SearchPage {
            frame,
            q,
            series: stores::visible(&store, &visible.namespaces, series_of),
        }
        .render()
    })
    .await
}

async fn patch_set(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Path((namespace, name)): Path<(String, String)>,
    Query(pairs): Pairs,
) -> Answer {
    let frame = site
        .frame_of_object(&viewer, ShownKind::PatchSets, (&namespace, &name))
        .await?;
    let object = stores::find(&site.stores.patch_sets, &namespace, &name, Clone::clone);
    let object = object.ok_or(Refusal::NotFound)?;
    let texts = Arc::clone(&site.texts);
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let compared = ComparedImages::read(pairs);
    let frame = Frame {
        title: format!("{} {}", object.spec.component.0, object.spec.release.0),
        ..frame
    };
    site.page(move || {
        let texts = texts(&object);
        let end = Instant::now() + COLOURS_WITHIN;
        let goes_on = || Instant::now() < end;
        let budget = HighlightBudget::new(COLOURED_BYTES, &goes_on);
        PatchSetPage::new(frame, &object, &texts, &budget, compared.as_ref()).render()
    })
    .await
}

async fn overrides(State(site): State<Arc<Site>>, Extension(viewer): Extension<Viewer>) -> Answer {
    let visible = site.visible(&viewer, ShownKind::ConstraintOverrides).await;
    let frame = Frame {
        note: note(&visible),
        ..Site::frame(&viewer, Section::Overrides, "Overrides of constraints")
    };
    let store = site.stores.constraint_overrides.clone();
    site.page(move || {
        let objects = stores::visible(&store, &visible.namespaces, Clone::clone);
        OverridesPage::new(frame, objects.iter()).render()
    })
    .await
}

async fn constraint_override(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    let frame = site
        .frame_of_object(&viewer, ShownKind::ConstraintOverrides, (&namespace, &name))
        .await?;
    let object = stores::find(&site.stores.constraint_overrides, &namespace, &name, Clone::clone);
    let object = object.ok_or(Refusal::NotFound)?;
    // It is in a ConfigMap, which not everybody who may list the object may read.
    let is_shown = site
        .may_see(viewer.user.as_ref(), ShownKind::ConfigMaps, &namespace)
        .await;
    let held = Arc::clone(&site.stores.merged_file);
    site.page(move || {
        let merged = match (is_shown, is_shown.then(|| held(&object)).flatten()) {
            (_, Some(text)) => MergedText::Held(text),
            (true, None) => MergedText::NotHeld,
            (false, None) => MergedText::NotAllowed,
        };
        ConstraintOverridePage::new(frame, &object, &merged).render()
    })
    .await
}

async fn repositories(State(site): State<Arc<Site>>, Extension(viewer): Extension<Viewer>) -> Answer {
    let visible = site.visible(&viewer, ShownKind::PatchRepositories).await;
    let frame = Frame {
        note: note(&visible),
        ..Site::frame(&viewer, Section::Repositories, "Repositories of patches")
    };
    let store = site.stores.repositories.clone();
    site.page(move || {
        let objects = stores::visible(&store, &visible.namespaces, Clone::clone);
        RepositoriesPage::new(frame, objects.iter()).render()
    })
    .await
}

async fn repository(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    let frame = site
        .frame_of_object(&viewer, ShownKind::PatchRepositories, (&namespace, &name))
        .await?;
    let page = stores::find(&site.stores.repositories, &namespace, &name, |object| {
        RepositoryPage::new(frame.clone(), object)
    });
    let page = page.ok_or(Refusal::NotFound)?;
    site.page(move || page.render()).await
}

async fn login(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    let user = site.user(&headers, connection.peer).await.ok().flatten();
    login_page(user.as_ref(), StatusCode::OK, None, LoginForm::Offered)
}

/// Whether a form was sent from a page of this site, as far as the browser says.
fn is_own_form(headers: &HeaderMap) -> bool {
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    matches!(site, None | Some("same-origin" | "none"))
}

#[derive(serde::Deserialize)]
struct GivenToken {
    token: String,
}

fn cookie(value: &str, seconds: u64) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict")
}

async fn log_in(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Form(given): Form<GivenToken>,
) -> Result<Response, Refusal> {
    if !is_own_form(&headers) {
        return Err(Refusal::FromElsewhere);
    }
    let token = SecretString::from(given.token);
    match site.access.user_of_token(&token).await {
        Ok(Some(user)) => {
            let id = site.sessions.begin(&user.name, token);
            let set = [
                (header::SET_COOKIE, cookie(&id, LASTS.as_secs())),
                (header::LOCATION, "/".to_owned()),
            ];
            Ok((StatusCode::SEE_OTHER, set).into_response())
        }
        Ok(None) => {
            let message = "The API server does not know this token.";
            let status = StatusCode::UNAUTHORIZED;
            Ok(login_page(None, status, Some(message), LoginForm::Offered))
        }
        Err(NoAnswer) => Err(Refusal::Unavailable),
    }
}

async fn log_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Refusal> {
    if !is_own_form(&headers) {
        return Err(Refusal::FromElsewhere);
    }
    if let Some(id) = sent_cookie(&headers) {
        site.sessions.end(id);
    }
    let set = [
        (header::SET_COOKIE, cookie("", 0)),
        (header::LOCATION, "/login".to_owned()),
    ];
    Ok((StatusCode::SEE_OTHER, set).into_response())
}

/// A place among the pages that are told of changes.
struct StreamPlace {
    viewer: [u8; 32],
    counts: Arc<Mutex<HashMap<[u8; 32], usize>>>,
    _place: OwnedSemaphorePermit,
}

impl StreamPlace {
    fn take(site: &Site, user: Option<&User>) -> Option<Self> {
        let place = Arc::clone(&site.streams).try_acquire_owned().ok()?;
        let viewer = user.map(User::account).unwrap_or_default();
        let counts = Arc::clone(&site.streams_of_viewers);
        let mut locked = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = locked.entry(viewer).or_default();
        if *count >= STREAMS_OF_ONE {
            return None;
        }
        *count += 1;
        drop(locked);
        Some(Self {
            viewer,
            counts,
            _place: place,
        })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.viewer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.viewer);
            }
        }
    }
}

/// An open page.
struct OpenPage {
    site: Arc<Site>,
    headers: HeaderMap,
    peer: IpAddr,
    user: Option<User>,
    known_at: tokio::time::Instant,
    changes: BoxStream<'static, ChangedObject>,
    _place: StreamPlace,
}

impl OpenPage {
    /// Waits until something changed that the viewer may see; `None` if they are not the same user
    /// any more.
    async fn next_change(&mut self) -> Option<()> {
        loop {
            let first = self.changes.next().await?;
            tokio::time::sleep(GATHERS_FOR).await;
            let mut changed = vec![first];
            while let Some(Some(more)) = self.changes.next().now_or_never() {
                if !changed.contains(&more) {
                    changed.push(more);
                }
            }
            if self.known_at.elapsed() >= KNOWN_FOR {
                let user = self.site.user(&self.headers, self.peer).await.ok()?;
                if user != self.user {
                    return None;
                }
                self.known_at = tokio::time::Instant::now();
            }
            for one in changed {
                let is_seen = match one.place() {
                    Some((kind, namespace)) => self.site.may_see(self.user.as_ref(), kind, namespace).await,
                    None => true,
                };
                if is_seen {
                    return Some(());
                }
            }
        }
    }
}

async fn events(
    State(site): State<Arc<Site>>,
    Extension(viewer): Extension<Viewer>,
    Extension(connection): Extension<Connection>,
    headers: http::HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, std::convert::Infallible>>>, Refusal> {
    let place = StreamPlace::take(&site, viewer.user.as_ref()).ok_or(Refusal::TooMany)?;
    connection.allow_long_answer();
    let page = OpenPage {
        changes: (site.changes)(),
        site,
        headers,
        peer: connection.peer,
        user: viewer.user,
        known_at: tokio::time::Instant::now(),
        _place: place,
    };
    // Browsers ignore an event without data.
    let stream = futures::stream::unfold(page, |mut page| async move {
        page.next_change().await?;
        Some((Ok(Event::default().event("changed").data("something")), page))
    });
    let stream = stream.take_until(tokio::time::sleep(STREAMS_WITHIN));
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
