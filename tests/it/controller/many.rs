//! What many objects cost, in counts that hold on every machine.

use std::time::{Duration, Instant};

use serde_json::json;

use super::behaviour::asked;
use super::{GOOD, PATIENCE, Stage, get, inline};
use crate::support::git_server::{Fault, GitServer};

const OBJECTS: usize = 60;
const UPSTREAMS: usize = 3;

/// What the controller logs after a second look.
const LOOKED_ONCE_MORE: &str = "an upstream was looked at once more";

/// A metric, summed over all lines that begin like this.
fn metric(stage: &Stage, line: &str) -> usize {
    let (_, metrics) = tokio::task::block_in_place(|| get(&stage.controller.metrics, "/metrics"));
    let lines = metrics.lines().filter(|found| found.starts_with(line));
    lines
        .filter_map(|found| found.rsplit(' ').next()?.parse::<usize>().ok())
        .sum()
}

/// Gives the upstream further addresses, each of which is a separate upstream to the controller.
fn further_upstreams(stage: &Stage, count: usize) -> Vec<String> {
    let names = (0..count).map(|number| format!("upstream-{number}"));
    let add = |name: String| {
        let link = stage.root.path().join(format!("{name}.git"));
        std::os::unix::fs::symlink("upstream.git", link).unwrap();
        name
    };
    names.map(add).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_costs_one_write_and_a_restart_none() {
    let mut stage = Stage::with("many-writes", &["--min-interval=10s"], GitServer::http).await;
    let upstreams = further_upstreams(&stage, UPSTREAMS);
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    for number in 0..OBJECTS {
        spec["upstream"]["url"] = json!(stage.server.url(&upstreams[number % UPSTREAMS]));
        stage.apply(&format!("p{number}"), &spec).await;
    }
    let objects = u64::try_from(OBJECTS).unwrap();
    stage
        .controller
        .until_reconciled("PatchSet", "Changed", objects)
        .await;
    // Most were answered by a look older than they are: one more look follows for all of them, and
    // causes no work if it shows nothing new.
    let end = Instant::now() + PATIENCE;
    while stage.controller.log().matches(LOOKED_ONCE_MORE).count() < UPSTREAMS {
        assert!(Instant::now() < end, "{}", stage.controller.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    spec["upstream"]["url"] = json!(stage.server.url(&upstreams[0]));
    stage.apply("last", &spec).await;
    stage.ready("last", "True", "Succeeded").await;
    let objects = objects + 1;
    stage
        .controller
        .until_reconciled("PatchSet", "Changed", objects)
        .await;
    let requests = asked(&stage.controller.log());
    let count = |start: &str, part: &str| {
        let requests = requests.iter();
        requests
            .filter(|request| request.starts_with(start) && request.contains(part))
            .count()
    };
    // What takes longer than a second may report that it has begun; the bound used is the next
    // lower bucket's.
    let all = metric(&stage, "patchset_reconcile_duration_seconds_count");
    let quick = "patchset_reconcile_duration_seconds_bucket{le=\"0.256\"";
    let slow = all - metric(&stage, quick);
    let writes = count("PATCH", "/status");
    assert!(
        (OBJECTS + 1..=OBJECTS + 1 + slow).contains(&writes),
        "{writes} writes, {slow} slow of {all}"
    );
    assert_eq!(count("POST", "/events"), 0);
    assert_eq!(count("GET", "/patchsets/"), 0, "an object was read");
    assert_eq!(stage.controller.reconciliations("PatchSet", ""), objects);
    // One for commit and trees, and one for the file; all objects on an upstream share both.
    assert!(stage.server.packs() <= 2 * UPSTREAMS);

    stage.controller.kill();
    let looks = stage.server.looks();
    let before = asked(&stage.controller.log()).len();
    stage.controller.restart();
    stage
        .controller
        .until_reconciled("PatchSet", "Unchanged", objects)
        .await;
    let requests = asked(&stage.controller.log());
    let written: Vec<&String> = requests[before..]
        .iter()
        .filter(|request| !request.starts_with("GET"))
        .collect();
    assert!(written.is_empty(), "{written:?}");
    assert_eq!(
        stage.server.looks(),
        looks,
        "an upstream was asked for what is fresh"
    );
}

/// A place waits for its server without a core.
#[tokio::test(flavor = "multi_thread")]
async fn places_beyond_the_cores_are_of_use_where_servers_are_slow() {
    const SLOW: usize = 20;
    let stage = Stage::with("many-places", &["--concurrent=24"], GitServer::http).await;
    let slow = GitServer::http(stage.root.path()).start();
    slow.fail(Fault::StallPack(20));
    let mut spec = stage.spec();
    spec["timeout"] = json!("10m");
    for name in further_upstreams(&stage, SLOW) {
        spec["upstream"]["url"] = json!(slow.url(&name));
        stage.apply(&name, &spec).await;
    }
    let end = Instant::now() + PATIENCE;
    while metric(&stage, "patchset_reconciliations_active{kind=\"PatchSet\"}") < SLOW {
        assert!(Instant::now() < end, "not all wait for their server at once");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    stage.apply("quick", &spec).await;
    stage.ready("quick", "True", "Succeeded").await;
}
