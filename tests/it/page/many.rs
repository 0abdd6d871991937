//! The matrix of 500 cells: what it costs a browser.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Api;
use kube::api::{Patch, PatchParams};
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::web::{Served, bearer, viewer};
use crate::controller::PATIENCE;
use crate::support::browser::{Browser, Theme};

const COMPONENTS: usize = 25;
const RELEASES: usize = 20;

/// The status of a cell: every tenth has a conflict, every seventh a patch that upstream has.
fn status(number: usize) -> Value {
    let state = |at: usize| match (at, number % 10, number % 7) {
        (1, 0, _) => "Conflict",
        (2, _, 0) => "Merged",
        (3, ..) => "Offset",
        _ => "Clean",
    };
    let patches: Vec<Value> = (0..4)
        .map(|at| {
            json!({
                "name": format!("000{at}-what-patch-{at}-of-{number}-does.patch"), "state": state(at),
                "subject": format!("What patch {at} of {number} does"), "author": "Miriam Okafor <miriam@example.org>"
            })
        })
        .collect();
    let ready = if number.is_multiple_of(10) {
        "False"
    } else {
        "True"
    };
    json!({ "status": {
        "observedGeneration": 1, "patches": patches,
        "conditions": [{ "type": "Ready", "status": ready, "reason": "Told", "message": "as it is told", "lastTransitionTime": "2026-11-01T10:00:00Z" }]
    } })
}

async fn create(served: &Served) {
    let api: Api<PatchSet> = Api::namespaced(served.stage.client.clone(), &served.stage.namespace);
    let parameters = PatchParams::apply("test").force();
    futures::stream::iter(0..COMPONENTS * RELEASES)
        .for_each_concurrent(8, |number| {
            let (api, parameters) = (&api, &parameters);
            async move {
                let (component, release) = (number / RELEASES, number % RELEASES);
                let name = format!("cell-{number}");
                let mut spec = served.stage.spec();
                spec["component"] = json!(format!("component-{component:02}"));
                spec["release"] = json!(format!("20{}.{}", 20 + release / 2, 1 + release % 2));
                // Its status stays as given.
                spec["suspend"] = json!(true);
                let object = json!({
                    "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
                    "metadata": { "name": name, "labels": { "shard": served.label } }, "spec": spec
                });
                api.patch(&name, parameters, &Patch::Apply(&object))
                    .await
                    .unwrap();
                let status = Patch::Merge(status(number));
                api.patch_status(&name, &PatchParams::default(), &status)
                    .await
                    .unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_cells_cost_a_browser_little() {
    let served = Served::new("page-many", &[]).await;
    create(&served).await;
    let token = bearer(&viewer(&served.stage.client, &served.stage.namespace, "looker").await);
    let cells = COMPONENTS * RELEASES;
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, text) = served.get("/", &[("authorization", &token)]).await;
        let is_whole = text.matches("class=\"cell ").count() == cells
            && text.matches(">1 conflict").count() == cells / 10;
        if is_whole {
            break;
        }
        assert!(
            Instant::now() < end,
            "{} cells",
            text.matches("class=\"cell ").count()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let browser = Browser::start(Theme::Light, true).await;
    browser.send_header("Authorization", &token).await;
    browser.resize(1440, 1000).await;
    let address = format!("http://{}/", served.web);
    let mut paints = Vec::new();
    let (mut told, mut spent) = (Value::Null, BTreeMap::new());
    for _ in 0..5 {
        browser.open("about:blank").await;
        let before = browser.performance().await;
        browser.open(&address).await;
        browser
            .wait_until("performance.getEntriesByName('first-contentful-paint').length === 1")
            .await;
        let after = browser.performance().await;
        spent = after
            .iter()
            .map(|(name, value)| (name.clone(), value - before.get(name).unwrap_or(&0.0)))
            .collect();
        told = browser
            .evaluate(
                "(() => { const page = performance.getEntriesByType('navigation')[0];
                return { paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
                  answered: page.responseEnd, nodes: document.querySelectorAll('*').length,
                  cells: document.querySelectorAll('.cell').length, sent: page.encodedBodySize, whole: page.decodedBodySize };
                })()",
            )
            .await;
        paints.push(told["paint"].as_f64().unwrap());
    }
    paints.sort_by(f64::total_cmp);
    let frames = browser.client.execute_async(FRAMES, Vec::new()).await.unwrap();
    println!(
        "{cells} cells: first paint {:.0} ms (median of {paints:.0?}), answered after {:.0} ms; {} elements; {} KiB, sent as {} KiB; \
         style {:.0} ms, layout {:.0} ms, script {:.0} ms; scrolling: {frames}",
        paints[paints.len() / 2],
        told["answered"].as_f64().unwrap(),
        told["nodes"],
        told["whole"].as_u64().unwrap() >> 10,
        told["sent"].as_u64().unwrap() >> 10,
        spent["RecalcStyleDuration"] * 1000.0,
        spent["LayoutDuration"] * 1000.0,
        spent["ScriptDuration"] * 1000.0,
    );
    assert_eq!(told["cells"], cells);
    assert!(told["nodes"].as_u64().unwrap() < 6500, "{told}");
    assert!(told["sent"].as_u64().unwrap() < 64 << 10, "{told}");
    // A second on a machine of its own; this only shows that it is not far worse.
    assert!(paints[0] < 20_000.0, "{paints:?}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

/// Scrolls to the end, and returns how long the frames took.
const FRAMES: &str = "const done = arguments[0];
    const times = [];
    let last = performance.now();
    const step = (now) => {
        times.push(now - last);
        last = now;
        if (times.length > 60) {
            times.sort((a, b) => a - b);
            done(`median frame ${times[30].toFixed(0)} ms, longest ${times[60].toFixed(0)} ms`);
            return;
        }
        scrollBy(0, 120);
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);";
