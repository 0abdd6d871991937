//! Kubernetes objects: deep, large, many, or made to keep a controller working forever.

use std::net::{Ipv4Addr, TcpListener};

use axum::Router;
use axum::body::Bytes;
use serde_json::{Value, json};

use super::Scale;
use super::cluster::{Cluster, Make, Tenant, data, make, patch_set, spec};
use super::git;
use super::registries::ODD;
use super::server::{Server, dripping};
use crate::controller::{GOOD, inline};

/// A link-local address, which must never be contacted: not that of any cloud's metadata, so that a
/// failing test does not contact that.
const METADATA: &str = "169.254.77.77";

fn nested(depth: usize) -> String {
    format!("{}1{}", "{\"f:a\":".repeat(depth), "}".repeat(depth))
}

/// A `PatchSet` whose pod template has mappings nested `depth` deep.
fn deep_template(cluster: &Cluster, depth: usize) -> Tenant {
    let mut spec = cluster.build_spec("deep");
    spec["build"]["engine"] = json!("Job");
    spec["build"]["dockerfile"] = json!({ "inline": "FROM scratch\n" });
    spec["build"]["job"] = json!({ "podTemplate": "DEEP" });
    let mut tenant = Tenant::with_spec(format!("object: a podTemplate {depth} levels deep"), &[], &spec);
    let deep = format!("{{\"metadata\":{{\"annotations\":{}}}}}", nested(depth));
    tenant.objects[0] = tenant.objects[0].replace("\"DEEP\"", &deep);
    tenant.restart = true;
    tenant
}

/// A Secret or ConfigMap whose managed fields have mappings nested `depth` deep.
fn deep_fields(kind: &str, depth: usize) -> Tenant {
    let fields = format!("{{\"f:data\":{}}}", nested(depth).replace(":1}", ":{}}"));
    let manifest = data(kind, "hostile", &json!({ "a": "b" }));
    let managed = format!(
        "\"metadata\":{{\"managedFields\":[{{\"manager\":\"x\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\
         \"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{fields}}}],"
    );
    Tenant {
        input: format!("object: managedFields of a {kind} {depth} levels deep"),
        objects: vec![manifest.replace("\"metadata\":{", &managed)],
        names: Vec::new(),
        layers: None,
        restart: true,
        prepare: None,
        ground: Box::new(()),
    }
}

/// `count` patches that fail, with long names and paths.
fn failing(cluster: &Cluster, count: usize) -> Tenant {
    let path = "p".repeat(90);
    let wrong = format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x\n+y\n");
    let patches: serde_json::Map<String, Value> = (0..count)
        .map(|number| (format!("{number:04}-{}.patch", "n".repeat(230)), json!(wrong)))
        .collect();
    let spec = spec(
        &cluster.upstream(),
        &json!({ "configMap": { "name": "patches" } }),
    );
    let input = format!("object: {count} patches that fail");
    let mut tenant = Tenant::with_spec(input, &["PatchConflict"], &spec);
    tenant
        .objects
        .insert(0, data("ConfigMap", "patches", &Value::Object(patches)));
    tenant
}

/// Annotations of `kib` KiB.
fn annotated(cluster: &Cluster, kib: usize) -> Tenant {
    let spec = spec(&cluster.upstream(), &inline(&[("0001-five.patch", GOOD)]));
    let mut tenant = Tenant::with_spec(
        format!("object: annotations of {kib} KiB"),
        &["Succeeded", "annotations"],
        &spec,
    );
    let annotation = format!(
        "\"metadata\":{{\"annotations\":{{\"a\":\"{}\"}},",
        "x".repeat(kib << 10)
    );
    tenant.objects[0] = tenant.objects[0].replace("\"metadata\":{", &annotation);
    tenant
}

/// `count` objects at a server that sends a byte a second, or nothing at all, with a timeout of a
/// year.
fn slow(input: &str, count: usize, host: &str, ground: Box<dyn std::any::Any + Send>) -> Tenant {
    let mut slow = spec(
        &format!("http://{host}/hostile.git"),
        &inline(&[("0001-five.patch", GOOD)]),
    );
    slow["interval"] = json!("1s");
    slow["timeout"] = json!("8760h");
    Tenant {
        input: format!("object: {count} at a server that {input}"),
        objects: (0..count)
            .map(|number| patch_set(&format!("hostile-{number}"), &slow))
            .collect(),
        names: Vec::new(),
        layers: None,
        restart: true,
        prepare: None,
        ground,
    }
}

fn dripping_server() -> Server {
    Server::start(Router::new().fallback(|| async {
        axum::http::Response::builder()
            .header("content-type", "application/x-git-upload-pack-advertisement")
            .body(dripping(
                Bytes::from_static(git::LONG_LINE),
                std::time::Duration::from_secs(5),
            ))
            .unwrap()
    }))
}

/// `count` objects that are looked at all the time.
fn many(cluster: &Cluster, count: usize) -> Tenant {
    let mut busy = spec(
        &cluster.upstream(),
        &inline(&[("0001-five.patch", &GOOD.replace("-five", "-six"))]),
    );
    busy["interval"] = json!("1ms");
    Tenant {
        input: format!("object: {count} with an interval of 1 ms"),
        objects: (0..count)
            .map(|number| patch_set(&format!("hostile-{number}"), &busy))
            .collect(),
        names: Vec::new(),
        layers: None,
        restart: false,
        prepare: None,
        ground: Box::new(()),
    }
}

/// `count` objects that wait for an image.
fn waiting(cluster: &Cluster, count: usize) -> Tenant {
    let spec = cluster.build_spec("waiting");
    Tenant {
        input: format!("object: {count} that wait for an image"),
        objects: (0..count)
            .map(|number| patch_set(&format!("hostile-{number}"), &spec))
            .collect(),
        names: Vec::new(),
        layers: None,
        restart: false,
        prepare: None,
        ground: Box::new(()),
    }
}

/// An object with an address that must never be contacted.
fn link_local(what: &str, change: impl FnOnce(&Cluster, &mut Value) + 'static) -> Make {
    let input = format!("address: {what} at a link-local address");
    make(move |cluster| {
        let mut spec = cluster.build_spec("link");
        change(cluster, &mut spec);
        let mut tenant = Tenant::with_spec(input, &["link-local"], &spec);
        let proxy = json!({ "address": format!("http://{METADATA}") });
        tenant.objects.push(data("Secret", "proxy", &proxy));
        tenant
    })
}

fn link_local_upstream(what: &str, url: &str) -> Make {
    let url = url.to_owned();
    link_local(what, move |_, spec| spec["upstream"]["url"] = json!(url))
}

/// Each field that can hold an address.
fn addresses() -> Vec<Make> {
    vec![
        link_local_upstream("an upstream", &format!("http://{METADATA}/latest.git")),
        link_local_upstream(
            "an upstream, mapped into IPv6,",
            "http://[::ffff:169.254.77.77]/latest.git",
        ),
        link_local_upstream("an upstream, in decimal,", "http://2852015437/latest.git"),
        link_local_upstream("an upstream over git://", &format!("git://{METADATA}/latest.git")),
        link_local("patches", |_, spec| {
            spec["patches"] = json!({ "git": { "url": format!("http://{METADATA}/p.git"), "path": "p" } });
        }),
        link_local("a proxy", |_, spec| {
            spec["upstream"]["proxySecretRef"] = json!({ "name": "proxy" });
        }),
        link_local("a registry", |_, spec| {
            spec["build"]["source"]["repository"] = json!(format!("{METADATA}/source"));
        }),
    ]
}

/// A build whose source goes to a registry that answers wrongly.
fn registry(cluster: &Cluster, number: usize) -> Tenant {
    let (_, input, codes) = ODD[number];
    let mut spec = cluster.build_spec("odd");
    spec["build"]["source"]["repository"] = json!(format!("{}/source", cluster.odd[number].host()));
    let right: &[&'static str] = if codes.contains(&0) {
        &["AwaitingImage"]
    } else {
        &["127.0.0.1", "publishing the source"]
    };
    Tenant::with_spec(format!("registry: {input}"), right, &spec)
}

/// Constraints with one package `count` times.
fn constraints(count: usize) -> Tenant {
    let lines: Vec<String> = (0..count)
        .map(|number| format!("other===1.{number};python_version=='3.{number}'\n"))
        .collect();
    let object = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "ConstraintOverride",
        "metadata": { "name": "hostile", "namespace": "NAMESPACE" },
        "spec": {
            "release": "2025.2", "interval": "10s", "upperConstraints": { "inline": lines.concat() },
            "overrides": { "entries": [{ "name": "other", "version": "9.9" }] }
        }
    });
    Tenant {
        input: format!("object: constraints with one package {count} times"),
        objects: vec![object.to_string()],
        names: Vec::new(),
        layers: None,
        restart: false,
        prepare: None,
        ground: Box::new(()),
    }
}

/// `count` objects at a server that sends a byte from time to time.
fn dripped(count: usize) -> Tenant {
    let server = dripping_server();
    slow("sends a byte each 5 s", count, &server.host(), Box::new(server))
}

/// `count` objects at a server that never answers.
fn unanswered(count: usize) -> Tenant {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    slow("says nothing", count, &host, Box::new(listener))
}

/// The objects that once were too much.
pub fn known(scale: Scale) -> Vec<Make> {
    vec![
        make(|cluster| deep_template(cluster, 130)),
        make(|cluster| deep_template(cluster, 3_000)),
        make(|_| deep_fields("Secret", 130)),
        make(|_| deep_fields("ConfigMap", 3_000)),
        make(|cluster| failing(cluster, 1_900)),
        make(|cluster| annotated(cluster, 250)),
        make(move |_| dripped(scale.pick(8, 64))),
        make(move |_| unanswered(scale.pick(8, 64))),
        make(move |cluster| many(cluster, scale.pick(50, 500))),
        make(move |cluster| waiting(cluster, scale.pick(50, 300))),
        make(move |_| constraints(scale.pick(2_000, 10_000))),
    ]
}

/// Servers that must never be contacted, or that answer wrongly.
pub fn servers() -> Vec<Make> {
    let odd = (0..ODD.len()).map(|number| make(move |cluster| registry(cluster, number)));
    addresses().into_iter().chain(odd).collect()
}
