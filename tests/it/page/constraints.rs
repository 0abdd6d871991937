//! The page of a `ConstraintOverride`, with the merged file.

use std::fmt::Write as _;
use std::slice;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{Patch, PatchParams};
use patchset_api::ConstraintOverride;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::pictures;
use super::web::{Served, allow_what, bearer, viewer};
use crate::controller::{PATIENCE, condition};
use crate::support::browser::{Browser, Theme, WIDTHS};

/// What an upstream pins: as many packages as a release of OpenStack, and text that a page must not
/// show.
fn upper_constraints() -> String {
    let mut text =
        String::from("# The constraints of 2026.1\n--index-url https://reader:hunter2@example.org/simple\n");
    for number in 1..=640 {
        let name = match number {
            40 => "requests",
            41 => "urllib3",
            300 => "horizon",
            301 => "<b>bold</b> # no",
            500 => "oslo.messaging",
            _ => "",
        };
        if name.starts_with('<') {
            writeln!(text, "# {name}").unwrap();
        } else if name.is_empty() {
            writeln!(text, "package-{number}==={}.{}.0", number % 7, number % 13).unwrap();
        } else {
            writeln!(text, "{name}===2.5.{}", number % 10).unwrap();
        }
    }
    text
}

const OVERRIDES: &str =
    "requests===2.32.5\nurllib3===2.5.1\n-horizon\noslo.messaging===2.4.9\nlhafile===0.3.1\n-not-there\n";

impl Served {
    /// Applies a `ConstraintOverride`, and waits until it is merged.
    async fn constraint_override(&self, name: &str) {
        let namespace = &self.stage.namespace;
        self.stage
            .upstream
            .commit(&[("upper-constraints.txt", &upper_constraints())], "Constraints");
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "ConstraintOverride",
            "metadata": { "name": name, "namespace": namespace, "labels": { "shard": self.label } },
            "spec": {
                "release": "2026.1", "interval": "1s",
                "upperConstraints": { "git": { "url": self.stage.server.url("upstream"), "path": "upper-constraints.txt" } },
                "overrides": { "inline": OVERRIDES }
            }
        });
        let api: Api<ConstraintOverride> = Api::namespaced(self.stage.client.clone(), namespace);
        let parameters = PatchParams::apply("test").force();
        api.patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let object = api.get(name).await.unwrap();
            if condition(&object, "Ready").is_some_and(|ready| ready.status == "True") {
                return;
            }
            assert!(Instant::now() < end, "{name} was not merged: {:?}", object.status);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Creates a user with these rules in the namespace; returns the user's token.
async fn token_with(served: &Served, name: &str, rules: &[Value]) -> String {
    let (client, namespace) = (&served.stage.client, &served.stage.namespace);
    let token = viewer(client, namespace, name).await;
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    allow_what(client, namespace, &subject, rules).await;
    bearer(&token)
}

/// Checks the page at each width, and takes the requested pictures.
async fn assert_readable_at_all_widths(browser: &Browser, theme: Theme, address: &str) {
    for width in WIDTHS {
        browser.resize(width, 1000).await;
        browser.open(address).await;
        browser
            .assert_readable(&format!("{width} {}", theme.name()))
            .await;
        if let Some(pictures) = pictures() {
            let file = format!("web-override-{}-{width}.png", theme.name());
            browser.screenshot(&pictures.join(file)).await;
            browser
                .evaluate("document.getElementById('merged').scrollIntoView() ?? true")
                .await;
            let file = format!("merged-{}-{width}.png", theme.name());
            browser.screenshot(&pictures.join(file)).await;
        }
    }
}

/// Checks that each override leads to its line, which is shown without a script or a click.
async fn assert_overrides_lead_to_their_lines(browser: &Browser) {
    let seen = "[...document.querySelectorAll('table.list a')].map((link) => {
            const line = document.getElementById(link.hash.slice(1));
            return link.textContent + ' ' + line.textContent.trim() + ' ' + line.checkVisibility();
        }).join('\\n')";
    let seen = browser.evaluate(seen).await;
    assert_eq!(
        seen.as_str().unwrap().lines().collect::<Vec<_>>(),
        [
            "requests − requests 2.5.0 true",
            "urllib3 43 = urllib3===2.5.1 Redundant true",
            "horizon − horizon 2.5.0 Removed true",
            "oslo.messaging − oslo.messaging 2.5.0 true",
            "lhafile 642 + lhafile===0.3.1 Added true",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merged_file_is_shown_with_what_overrides_did_to_who_may_read_it() {
    let served = Served::new("page-merged", &[]).await;
    let namespace = served.stage.namespace.clone();
    served.constraint_override("upper").await;
    let list = |group: &str, resource: &str| json!({ "apiGroups": [group], "resources": [resource], "verbs": ["list"] });
    let own = list("patching.c5c3.io", "constraintoverrides");
    let config_maps = list("", "configmaps");
    let objects = token_with(&served, "objects", slice::from_ref(&own)).await;
    let others = token_with(&served, "others", slice::from_ref(&config_maps)).await;
    let files = token_with(&served, "files", &[own, config_maps]).await;
    let path = format!("/constraintoverrides/{namespace}/upper");

    let (status, _) = served.get(&path, &[("authorization", &others)]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // The watch of the file may show it a moment after the status.
    let text = served
        .page_with(&path, &files, "lines as upstream has them")
        .await;
    for part in [
        "642 lines",
        " 42 + requests===2.32.5",
        "    − requests 2.5.0",
        " 43 = urllib3===2.5.1",
        "    − horizon 2.5.0",
        "501 + oslo.messaging===2.4.9",
        "642 + lhafile===0.3.1",
        "  2   --index-url https://…",
        "# &#60;b&#62;bold&#60;/b&#62;",
        "package-640===3.3.0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["hunter2", "<b>", "It is shown to those who"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    let (status, text) = served.get(&path, &[("authorization", &objects)]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("2.5.0 → 2.32.5"), "{text}");
    assert!(
        !text.contains("package-640") && text.contains("It is shown to those who may list ConfigMaps"),
        "{text}"
    );

    let address = format!("http://{}{path}", served.web);
    for theme in Theme::ALL {
        let browser = Browser::start(theme, true).await;
        browser.send_header("Authorization", &files).await;
        assert_readable_at_all_widths(&browser, theme, &address).await;
        assert_overrides_lead_to_their_lines(&browser).await;
        assert_eq!(browser.complaints().await, Vec::<String>::new());
        browser.close().await;
    }
}
