//! Jobs as objects: nothing here runs them.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use super::{PATIENCE, Stage, build};
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

/// Waits for a Job other than these, and gives its name.
async fn next_job(stage: &Stage, known: &[String]) -> String {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let jobs = stage.api::<Job>().list(&ListParams::default()).await.unwrap();
        let names = jobs.iter().map(ResourceExt::name_any);
        if let Some(name) = names.into_iter().find(|name| !known.contains(name)) {
            return name;
        }
        assert!(std::time::Instant::now() < end, "no Job but {known:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_gone_takes_no_place() {
    let registry = Registry::open();
    let plain_http = format!("--plain-http-registry={}", registry.host);
    let options = [plain_http.as_str(), "--max-builds-per-namespace=1"];
    let stage = Stage::with("places", &options, GitServer::http).await;
    let mut spec = build::spec(&stage, &registry);
    spec["build"]["engine"] = json!("Job");
    spec["build"]["dockerfile"] = json!({ "inline": "FROM scratch\n" });
    let mut known = Vec::new();
    for round in 0..3 {
        spec["build"]["args"] = json!({ "ROUND": round.to_string() });
        stage.apply("demo", &spec).await;
        let job = next_job(&stage, &known).await;
        // As when it is over and its time is up.
        stage
            .api::<Job>()
            .delete(&job, &DeleteParams::background())
            .await
            .unwrap();
        known.push(job);
    }
}
