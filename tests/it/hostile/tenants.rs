//! What a tenant may put into a cluster, next to the controller's other tenants.

use serde_json::json;

use super::cluster::{Cluster, Make, Tenant, make, spec};
use super::patches::{self, Patch};
use super::upstreams::{self, Upstream};
use super::{Scale, artifacts, images, keys, objects, table};

/// Patches from a repository of the tenant's own.
pub fn patch(cluster: &Cluster, number: usize, patch: Patch) -> Tenant {
    let name = format!("patched-{number}");
    let repo = patch.upstream(cluster.root.path(), &name);
    std::fs::create_dir(repo.work().join("patches")).unwrap();
    std::fs::write(repo.work().join("patches/0001-hostile.patch"), &patch.text).unwrap();
    repo.commit(&[], "patches");
    let url = cluster.git.url(&name);
    let patches = json!({ "git": { "url": url, "path": "patches" } });
    let mut tenant = Tenant::with_spec(
        patch.input,
        &["0001-hostile.patch", "Succeeded", "spec.timeout"],
        &spec(&url, &patches),
    );
    tenant.ground = Box::new(repo);
    tenant
}

/// A server of the tenant's own as its upstream, from which an image is made.
pub fn upstream(cluster: &Cluster, upstream: Upstream) -> Tenant {
    let server = Cluster::serve_git(upstream.repository);
    let mut object = cluster.build_spec("upstream");
    object["upstream"]["url"] = json!(format!("http://{}/hostile.git", server.host()));
    let mut tenant = Tenant::with_spec(
        upstream.input,
        &["127.0.0.1", "AwaitingImage", "TooLarge", "spec.timeout"],
        &object,
    );
    tenant.ground = Box::new(server);
    tenant
}

/// Patches from repositories that once were too much.
fn known_patches(scale: Scale) -> Vec<Make> {
    let hostile = match scale {
        Scale::Long => patches::known(scale),
        Scale::Short => vec![
            patches::deep_path(12_000),
            patches::spaces(80_000),
            patches::hunks(20_000, 1_000_000),
            patches::inflating(2, 255),
            patches::line_feeds(100),
        ],
    };
    let numbered = hostile.into_iter().enumerate();
    numbered
        .map(|(number, hostile)| make(move |cluster| patch(cluster, number, hostile)))
        .collect()
}

/// Git servers that once were too much.
fn known_upstreams(scale: Scale) -> Vec<Make> {
    let hostile: Vec<fn(Scale) -> Upstream> = vec![
        |scale| upstreams::many_refs(scale.pick(1_000_000, 2_000_000)),
        |_| upstreams::complaint(60_000),
        |scale| upstreams::delta_bomb(scale.pick(40, 240)),
        |scale| upstreams::large_file(scale.pick(320, 1024)),
        |scale| upstreams::deep_tree(scale.pick(5_000, 20_000)),
        |_| upstreams::broad_tree(9),
        |_| upstreams::false_count(58_842),
    ];
    hostile
        .into_iter()
        .map(|hostile| make(move |cluster| upstream(cluster, hostile(scale))))
        .collect()
}

/// The known inputs of a kind.
type Known = fn(Scale) -> Vec<Make>;

/// All known inputs by kind; `PATCHSET_HOSTILE_ONLY` restricts them to one kind.
pub fn known(scale: Scale) -> Vec<Make> {
    let kinds: [(&str, Known); 8] = [
        ("objects", objects::known),
        ("servers", |_| objects::servers()),
        ("keys", keys::known),
        ("artifacts", artifacts::known),
        ("layers", images::layers),
        ("deliveries", images::deliveries),
        ("patches", known_patches),
        ("upstreams", known_upstreams),
    ];
    kinds
        .into_iter()
        .filter(|(kind, _)| is_wanted(kind))
        .flat_map(|(_, known)| known(scale))
        .collect()
}

/// Whether a kind of inputs is selected.
pub fn is_wanted(kind: &str) -> bool {
    std::env::var("PATCHSET_HOSTILE_ONLY").map_or(true, |only| only == kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_of_one_stops_the_others() {
    let mut cluster = Cluster::start().await;
    let mut rows = Vec::new();
    cluster.honest().await.unwrap();
    for tenant in known(Scale::Short) {
        let tenant = tenant(&cluster);
        rows.push(cluster.run(tenant).await);
        table::show(&rows);
    }
    table::check(&rows);
}
