//! The page of a cluster: who sees what, and how an open page keeps up to date.

use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use patchset_api::PatchSet;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::pictures;
use crate::controller::{BASE, GOOD, PATIENCE, Stage, condition};
use crate::support::api_server::ApiServer;
use crate::support::browser::{Browser, Theme, WIDTHS};
use crate::support::git_server::{GitServer, free_port};

/// A controller that serves the page, and watches only the objects of this test.
pub(super) struct Served {
    pub(super) stage: Stage,
    /// The address of the page.
    pub(super) web: String,
    pub(super) label: String,
}

impl Served {
    pub(super) async fn new(name: &str, options: &[&str]) -> Self {
        let port = free_port();
        let (web, label) = (
            format!("127.0.0.1:{port}"),
            format!("page-{}-{port}", std::process::id()),
        );
        let address = format!("--web-addr={web}");
        let selector = format!("--watch-label-selector=shard={label}");
        let mut all = vec![address.as_str(), selector.as_str(), "--watch-all-namespaces=true"];
        all.extend(options);
        let stage = Stage::with(name, &all, GitServer::http).await;
        Self { stage, web, label }
    }

    /// Applies a `PatchSet` in a namespace, and waits until it was looked at.
    pub(super) async fn patch_set(&self, namespace: &str, name: &str, spec: &Value) -> PatchSet {
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": name, "namespace": namespace, "labels": { "shard": self.label } },
            "spec": spec
        });
        let api: Api<PatchSet> = Api::namespaced(self.stage.client.clone(), namespace);
        let parameters = PatchParams::apply("test").force();
        api.patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let object = api.get(name).await.unwrap();
            if condition(&object, "Ready").is_some_and(|ready| ready.status != "Unknown") {
                return object;
            }
            assert!(Instant::now() < end, "{name} was not looked at");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A spec of a component whose one patch is on line 5.
    fn spec(&self, component: &str, release: &str) -> Value {
        let content = GOOD.replacen("louder\n\n", "louder\n\nCVE: CVE-2026-21877\n\n", 1);
        let patches = json!({ "inline": [{ "name": "0001-louder.patch", "content": content }] });
        let mut spec = self.stage.spec_with(&patches);
        spec["component"] = json!(component);
        spec["release"] = json!(release);
        spec
    }

    /// The page for the holder of a token, once it has a text.
    pub(super) async fn page_with(&self, path: &str, token: &str, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, page) = self.get(path, &[("authorization", token)]).await;
            assert_eq!(status, StatusCode::OK);
            if page.contains(text) {
                return page;
            }
            assert!(Instant::now() < end, "{text} is not in {page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Gets a page; waits for the server to listen.
    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let end = Instant::now() + PATIENCE;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        loop {
            let mut request = client.get(format!("http://{}{path}", self.web));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            match request.send().await {
                Ok(answer) => {
                    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
                    assert!(policy.starts_with("default-src 'none'"), "{policy}");
                    assert!(!policy.contains("unsafe"), "{policy}");
                    return (answer.status(), answer.text().await.unwrap());
                }
                Err(error) if error.is_connect() && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A service account that may list PatchSets in its namespace, and its token.
pub(super) async fn viewer(client: &Client, namespace: &str, name: &str) -> String {
    let parameters = PatchParams::apply("test").force();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts
        .patch(name, &parameters, &Patch::Apply(&account))
        .await
        .unwrap();
    allow(
        client,
        namespace,
        &json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace }),
    )
    .await;
    accounts
        .create_token_request(name, &PostParams::default(), &TokenRequest::default())
        .await
        .unwrap()
        .status
        .unwrap()
        .token
}

/// Allows a subject to list PatchSets in a namespace.
async fn allow(client: &Client, namespace: &str, subject: &Value) {
    let rule = json!({ "apiGroups": ["patching.c5c3.io"], "resources": ["patchsets"], "verbs": ["list"] });
    allow_what(client, namespace, subject, &[rule]).await;
}

/// Allows a subject what these rules say in a namespace, and nothing else.
pub(super) async fn allow_what(client: &Client, namespace: &str, subject: &Value, rules: &[Value]) {
    let name = format!("view-{}", subject["name"].as_str().unwrap());
    let parameters = PatchParams::apply("test").force();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name },
        "rules": rules
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [subject]
    });
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    roles
        .patch(&name, &parameters, &Patch::Apply(&role))
        .await
        .unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings
        .patch(&name, &parameters, &Patch::Apply(&binding))
        .await
        .unwrap();
}

/// A patch that adds code.
const CODE: &str = "From: Ann Author <ann@example.org>\nSubject: [PATCH] Add code\n\n---\n\
diff --git a/api.py b/api.py\nnew file mode 100644\n--- /dev/null\n+++ b/api.py\n@@ -0,0 +1,6 @@\n\
+# Requests.\n+class Sender:\n+    def send(self, url, timeout=30):\n+        \"\"\"Send one.\"\"\"\n\
+        return str(url)\n+\n";

pub(super) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_sees_what_they_may_list_and_nothing_else() {
    let served = Served::new("page-a", &[]).await;
    let api_server = ApiServer::get().await;
    let (own, other) = (
        served.stage.namespace.clone(),
        api_server.namespace("page-b").await,
    );
    served
        .patch_set(&own, "glance", &served.spec("glance", "2025.2"))
        .await;
    served
        .patch_set(&other, "nova", &served.spec("nova-of-others", "2026.1"))
        .await;
    let client = &served.stage.client;
    let token = bearer(&viewer(client, &own, "looker").await);
    let theirs = bearer(&viewer(client, &other, "looker").await);
    let as_own = [("authorization", token.as_str())];

    for path in [
        "/",
        "/overrides",
        "/repositories",
        "/search?q=CVE-2026-21877",
        "/events",
        &format!("/patchsets/{own}/glance"),
    ] {
        let (status, text) = served.get(path, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!text.contains("glance"), "{text}");
        let (status, _) = served.get(path, &[("authorization", "Bearer wrong")]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in [
        "/",
        "/?q=louder",
        "/search?q=cve-2026-21877",
        &format!("/?namespace={other}"),
    ] {
        let (status, text) = served.get(path, &as_own).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let is_filtered = path.contains("namespace");
        assert_eq!(text.contains("glance 2025.2"), !is_filtered, "{path}: {text}");
        assert!(
            !text.contains("nova-of-others") && !text.contains("2026.1"),
            "{path}: {text}"
        );
    }
    let (_, text) = served.get("/", &[("authorization", &theirs)]).await;
    assert!(
        text.contains("nova-of-others") && !text.contains("glance"),
        "{text}"
    );

    // Another tenant's object answers like a missing one; so does a kind that one may not list.
    let (status, absent) = served.get(&format!("/patchsets/{own}/none"), &as_own).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for path in [
        format!("/patchsets/{other}/nova"),
        format!("/patchsets/{other}/none"),
        format!("/constraintoverrides/{own}/x"),
        format!("/patchrepositories/{own}/x"),
        "/none".to_owned(),
    ] {
        let answer = served.get(&path, &as_own).await;
        assert_eq!(answer, (StatusCode::NOT_FOUND, absent.clone()), "{path}");
    }
    let (status, text) = served.get(&format!("/patchsets/{own}/glance"), &as_own).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("Say five louder") && text.contains("+FIVE") && text.contains("1 of 1 applied"),
        "{text}"
    );

    // A header that a proxy would send is not trusted here.
    let (status, _) = served
        .get(
            "/",
            &[
                ("x-forwarded-user", "admin"),
                ("x-forwarded-groups", "system:masters"),
            ],
        )
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_and_anybody_see_what_is_theirs() {
    let api_server = ApiServer::get().await;
    api_server.crds().await;
    let open = api_server.namespace("page-open").await;
    let anonymous = format!("--web-anonymous={open}");
    let served = Served::new("page-proxy", &["--web-trusted-proxy=127.0.0.2", &anonymous]).await;
    let own = served.stage.namespace.clone();
    served
        .patch_set(&own, "glance", &served.spec("glance", "2025.2"))
        .await;
    served
        .patch_set(&open, "nova", &served.spec("nova", "2026.1"))
        .await;
    allow(
        &served.stage.client,
        &own,
        &json!({ "kind": "Group", "name": "patchers", "apiGroup": "rbac.authorization.k8s.io" }),
    )
    .await;
    let (status, text) = served.get("/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("nova") && !text.contains("glance"), "{text}");
    let (status, _) = served.get(&format!("/patchsets/{own}/glance"), &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let by_proxy = |groups: &'static str, from: &'static str| {
        let web = served.web.clone();
        async move {
            let proxy = reqwest::Client::builder()
                .local_address(from.parse::<std::net::IpAddr>().unwrap())
                .build()
                .unwrap();
            let request = proxy.get(format!("http://{web}/"));
            let request = request
                .header("x-forwarded-user", "anna")
                .header("x-forwarded-groups", groups);
            request.send().await.unwrap().text().await.unwrap()
        }
    };
    let text = by_proxy("a,patchers", "127.0.0.2").await;
    assert!(
        text.contains("nova") && text.contains("glance") && text.contains("You are anna"),
        "{text}"
    );
    let text = by_proxy("a", "127.0.0.2").await;
    assert!(text.contains("nova") && !text.contains("glance"), "{text}");
    let text = by_proxy("a,system:masters", "127.0.0.2").await;
    assert!(
        !text.contains("glance"),
        "groups of the cluster's own are not a proxy's to give: {text}"
    );
    let text = by_proxy("a,patchers", "127.0.0.3").await;
    assert!(!text.contains("glance") && !text.contains("anna"), "{text}");
}

/// The events sent to a viewer, as far as they have arrived.
async fn stream(served: &Served, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let mut stream = socket.connect(served.web.parse().unwrap()).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"),
        "{head}"
    );
    stream
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let deadline = Instant::now() + PATIENCE;
    while !text.contains(end) {
        assert!(Instant::now() < deadline, "{text}");
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(read, 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_something_of_others_changed() {
    let served = Served::new("page-events", &[]).await;
    let api_server = ApiServer::get().await;
    let (own, other) = (
        served.stage.namespace.clone(),
        api_server.namespace("page-events-b").await,
    );
    let client = &served.stage.client;
    let token = bearer(&viewer(client, &own, "looker").await);
    let theirs = bearer(&viewer(client, &other, "looker").await);
    served.get("/", &[("authorization", &token)]).await;
    let mut streams = (stream(&served, &token).await, stream(&served, &theirs).await);
    served
        .patch_set(&other, "nova", &served.spec("nova", "2026.1"))
        .await;
    read_until(&mut streams.1, "event: changed").await;
    // Any notification of the other viewer has been sent before this: the first that this one gets
    // is for an object of their own.
    let mut buffer = [0; 4096];
    let heard = streams.0.try_read(&mut buffer);
    let heard = heard
        .map(|read| String::from_utf8_lossy(&buffer[..read]).into_owned())
        .unwrap_or_default();
    assert!(!heard.contains("changed"), "{heard}");
    served
        .patch_set(&own, "glance", &served.spec("glance", "2025.2"))
        .await;
    read_until(&mut streams.0, "event: changed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_pages_and_long_requests_are_bounded() {
    let served = Served::new("page-bounds", &[]).await;
    let token = bearer(&viewer(&served.stage.client, &served.stage.namespace, "looker").await);
    served.get("/", &[("authorization", &token)]).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(stream(&served, &token).await);
    }
    let (status, _) = served.get("/events", &[("authorization", &token)]).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    drop(streams);
    let end = Instant::now() + PATIENCE;
    loop {
        let socket = TcpStream::connect(&served.web).await.unwrap();
        let mut socket = socket;
        let request = format!("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        if read_until(&mut socket, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
        {
            break;
        }
        assert!(
            Instant::now() < end,
            "places of pages that were closed are not given back"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let client = reqwest::Client::new();
    let long = "x".repeat(64 << 10);
    let sent = client
        .get(format!("http://{}/?q={long}", served.web))
        .send()
        .await;
    assert!(sent.is_err() || sent.unwrap().status().is_client_error());
    let form = |token: &str| {
        let request = client.post(format!("http://{}/login", served.web));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(format!("token={token}"))
    };
    let sent = form(&long).send().await;
    assert!(sent.unwrap().status().is_client_error());
    // A form from another site is refused, whatever it contains.
    let answer = form("x")
        .header("sec-fetch-site", "cross-site")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.headers().get("set-cookie").is_none());
}

/// Applies three components at two releases; glance at 2025.2 follows a branch, the others a tag.
async fn apply_six_series(served: &Served) {
    let namespace = &served.stage.namespace;
    for (component, release) in [
        ("glance", "2025.2"),
        ("glance", "2026.1"),
        ("keystone", "2025.2"),
        ("keystone", "2026.1"),
        ("nova", "2025.2"),
        ("nova", "2026.1"),
    ] {
        let name = format!("{component}-{}", release.replace('.', "-"));
        let mut spec = served.spec(component, release);
        if name != "glance-2025-2" {
            spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
        }
        served.patch_set(namespace, &name, &spec).await;
    }
}

/// Logs in with a token, and waits for the matrix of six series.
async fn log_in(browser: &Browser, address: &str, token: &str) {
    browser.open(&format!("{address}/login")).await;
    let field = browser
        .client
        .find(fantoccini::Locator::Css("input[name=token]"))
        .await
        .unwrap();
    field.send_keys(token).await.unwrap();
    let button = browser
        .client
        .find(fantoccini::Locator::Css("main form button"))
        .await
        .unwrap();
    button.click().await.unwrap();
    browser
        .wait_until("location.pathname === '/' && document.querySelectorAll('.cell').length === 6")
        .await;
}

/// Applies a second patch that adds code to nova at 2026.1, and suspends keystone at 2025.2.
async fn apply_code_and_suspend(served: &Served) {
    let namespace = &served.stage.namespace;
    let mut spec = served.spec("nova", "2026.1");
    spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
    let code = json!({ "name": "0002-code.patch", "content": CODE });
    spec["patches"]["inline"].as_array_mut().unwrap().push(code);
    served.patch_set(namespace, "nova-2026-1", &spec).await;
    let mut spec = served.spec("keystone", "2025.2");
    spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
    spec["suspend"] = json!(true);
    served.patch_set(namespace, "keystone-2025-2", &spec).await;
}

/// The history of two images that differ in a changed, an added and a removed patch.
fn history_of_two_images() -> Value {
    let image = |digit: &str, patches: Value| {
        json!({
            "inputsDigest": format!("sha256:{}", digit.repeat(64)), "attempts": 1, "reasons": ["Patches"],
            "revision": format!("main@sha1:{}", digit.repeat(40)), "foundAt": "2026-01-01T00:00:00Z",
            "reference": format!("registry.example.org/keystone:1@sha256:{}", digit.repeat(64)),
            "patches": patches
        })
    };
    json!([
        image(
            "b",
            json!([{ "name": "0001-louder.patch", "blob": "1" }, { "name": "0003-new.patch", "blob": "2" }])
        ),
        image(
            "a",
            json!([{ "name": "0001-louder.patch", "blob": "0" }, { "name": "0002-old.patch", "blob": "3" }])
        ),
    ])
}

/// Gives keystone at 2025.2 a history, and checks the page that compares its images.
async fn assert_images_are_compared(served: &Served, path: &str, token: &str) {
    let api = served.stage.api::<PatchSet>();
    let status = json!({ "status": { "history": history_of_two_images() } });
    let end = Instant::now() + PATIENCE;
    let text = loop {
        // A reconciliation that began before the object was suspended writes its own status.
        api.patch_status("keystone-2025-2", &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
        let (_, text) = served.get(path, &[("authorization", token)]).await;
        if text.contains("What changed between two images") && text.contains("0003-new.patch") {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for part in [
        "</span> changed",
        "</span> added",
        "</span> removed",
        "main@aaaaaaa",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Checks pages in both themes and three widths, and takes the requested pictures.
async fn assert_pages_are_readable(address: &str, token: &str, pages: &[(&str, String)]) {
    for theme in Theme::ALL {
        let browser = Browser::start(theme, true).await;
        browser.send_header("Authorization", token).await;
        for (name, path) in pages {
            for width in WIDTHS {
                browser.resize(width, 1000).await;
                browser.open(&format!("{address}{path}")).await;
                browser
                    .assert_readable(&format!("{path} {width} {}", theme.name()))
                    .await;
                if let Some(pictures) = pictures() {
                    let file = format!("web-{name}-{}-{width}.png", theme.name());
                    browser.screenshot(&pictures.join(file)).await;
                }
            }
        }
        assert_eq!(browser.complaints().await, Vec::<String>::new());
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_moves_and_the_cell_changes_without_a_reload() {
    let served = Served::new("page-live", &[]).await;
    let namespace = served.stage.namespace.clone();
    apply_six_series(&served).await;
    let token = viewer(&served.stage.client, &namespace, "looker").await;
    let browser = Browser::start(Theme::Light, true).await;
    let address = format!("http://{}", served.web);
    served.get("/login", &[]).await;
    log_in(&browser, &address, &token).await;
    let cookie = browser.evaluate("document.cookie").await;
    assert_eq!(cookie, "", "no script reads the session");
    browser
        .evaluate("(window.before = document.getElementById('main')) && true")
        .await;
    let label = format!(
        "document.getElementById('cell-{namespace}_glance-2025-2').textContent.replace(/\\s+/g, ' ')"
    );
    let cell = browser.evaluate(&label).await;
    let cell = cell.as_str().unwrap();
    assert!(
        cell.starts_with("glance 2025.2: good, ✓ 1/1 applied, since"),
        "{cell}"
    );

    let broken = BASE.replace("five", "funf");
    served
        .stage
        .upstream
        .commit(&[("file.txt", &broken)], "Say five in German");
    browser
        .wait_until(&format!(
            "{label}.startsWith('glance 2025.2: needs a person, ✗ 0/1 applied, 1 conflict')"
        ))
        .await;
    assert_eq!(
        browser
            .evaluate("document.getElementById('main') === window.before")
            .await,
        true,
        "the page was loaded anew"
    );
    browser
        .wait_until("document.getElementById('needs-part').innerText.includes('Say five in German')")
        .await;
    browser
        .wait_until("document.querySelector('h1').innerText === '1 of 6 series needs a person.'")
        .await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    // Syntax colours, and two images in the history of a suspended object.
    apply_code_and_suspend(&served).await;
    let token = bearer(&token);
    let compared = format!("/patchsets/{namespace}/keystone-2025-2?compare=aaaaaaaaaaaa..bbbbbbbbbbbb");
    assert_images_are_compared(&served, &compared, &token).await;

    let coloured = format!("/patchsets/{namespace}/nova-2026-1");
    let keyword = "<i class=\"kw\">class</i>";
    served.page_with(&coloured, &token, keyword).await;

    // Every page, in both themes and three widths.
    let pages = [
        ("coloured", format!("{coloured}#p2")),
        ("compared", compared),
        ("matrix", "/".to_owned()),
        ("filtered", "/?release=2025.2&state=person".to_owned()),
        ("patchset", format!("/patchsets/{namespace}/glance-2025-2")),
        ("search", "/search?q=CVE-2026-21877".to_owned()),
        ("overrides", "/overrides".to_owned()),
        ("repositories", "/repositories".to_owned()),
        ("login", "/login".to_owned()),
    ];
    browser.close().await;
    assert_pages_are_readable(&address, &token, &pages).await;
}
