//! What a repository of many components costs, in counts that hold on every machine.

use patchset_api::PatchRepository;
use serde_json::json;

use crate::controller::behaviour::asked;
use crate::controller::{GOOD, Stage};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

const COMPONENTS: usize = 10;
const RELEASES: [&str; 2] = ["2025.1", "2025.2"];

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_made_by_one_request_and_an_upstream_asked_once() {
    // Longer than the test, so there is no second look.
    let stage = Stage::with("fleet-many", &["--min-interval=1h"], GitServer::http).await;
    let components: Vec<String> = (0..COMPONENTS).map(|number| format!("c{number}")).collect();
    for component in &components {
        let link = stage.root.path().join(format!("{component}.git"));
        std::os::unix::fs::symlink("upstream.git", link).unwrap();
    }
    let mut files = Vec::new();
    for release in RELEASES {
        stage.upstream.commit(&[("release.txt", release)], release);
        stage.upstream.git(&["branch", &format!("stable/{release}")]);
        let refs = components.iter();
        let refs: Vec<String> = refs.map(|name| format!("{name}: stable/{release}\n")).collect();
        files.push((format!("releases/{release}/source-refs.yaml"), refs.concat()));
        for component in &components {
            let patch = format!("patches/{component}/{release}/0001-five.patch");
            files.push((patch, GOOD.to_owned()));
        }
    }
    let ours = GitRepo::create(stage.root.path(), "ours");
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    ours.commit(&files, "patches");
    let url = stage.server.url("ours");
    let spec = json!({
        "source": { "git": { "url": url, "ref": { "branch": "main" } } },
        "upstream": { "urlTemplate": url.replace("ours", "{component}") },
        "template": { "spec": { "interval": "1h" } },
        "interval": "1h"
    });
    let made = stage.try_apply_kind::<PatchRepository>("ours", &spec);
    made.await.unwrap();
    stage
        .ready_kind::<PatchRepository>("ours", "True", "Succeeded")
        .await;

    let objects = COMPONENTS * RELEASES.len();
    let requests = asked(&stage.controller.log());
    let of_objects = |method: &str| {
        let requests = requests.iter().filter(|request| request.starts_with(method));
        requests
            .filter(|request| request.contains("/patchsets/") && !request.contains("/status"))
            .count()
    };
    assert_eq!(of_objects("PATCH"), objects);
    assert_eq!(of_objects("GET"), 0, "objects are asked for one by one");
    let reconciled = stage.controller.reconciliations("PatchSet", "");
    assert_eq!(reconciled, u64::try_from(objects).unwrap());
    assert_eq!(stage.server.looks(), COMPONENTS + 1);
    // For each upstream: the trees of its first commit, the patched files there, and the next
    // commit with its files, which are few. For the patches' repository: one commit.
    let packs = stage.server.packs();
    assert!(packs <= 3 * COMPONENTS + 1, "{packs} packs");
}
