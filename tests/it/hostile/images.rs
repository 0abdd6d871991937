//! Layers of images that are inspected, and YAML files that images are delivered to.

use serde_json::json;

use super::Scale;
use super::artifacts::{end, entry, filled, header};
use super::bombs::{Part, gzip};
use super::cluster::{Cluster, Make, Tenant, make};
use super::releases::{self, Yaml};
use crate::support::crafted;
use crate::support::git_repo::GitRepo;

const PACKAGES: &str = "usr/lib/python3/site-packages";

/// A valid layer.
pub fn good_layer() -> Vec<u8> {
    crafted::distribution("demo", "1.0.0", true)
}

fn inspected(cluster: &Cluster, input: &str, layer: Vec<u8>) -> Tenant {
    let name: String = input.chars().filter(char::is_ascii_alphanumeric).collect();
    let spec = cluster.build_spec(&name.to_lowercase());
    let mut tenant = Tenant::with_spec(
        format!("layer: {input}"),
        &["layer", "Succeeded", "ImageUnreadable"],
        &spec,
    );
    tenant.layers = Some(vec![good_layer(), layer]);
    tenant
}

fn packed(parts: Vec<Part>) -> Vec<u8> {
    gzip(&[parts, vec![end()]].concat())
}

fn distributions(cluster: &Cluster, count: usize) -> Tenant {
    let headers = (0..count)
        .map(|number| {
            let name = format!("{PACKAGES}/d{number}-1.dist-info/METADATA");
            header(tar::EntryType::Regular, &name, 0)
        })
        .collect();
    inspected(cluster, &format!("{count} distributions"), packed(headers))
}

/// The layers that once were too much.
pub fn layers(scale: Scale) -> Vec<Make> {
    use tar::EntryType::{self, GNULongName, Regular, XHeader};
    let metadata = format!("{PACKAGES}/other-1.0.dist-info/METADATA");
    let url = format!("{PACKAGES}/other-1.0.dist-info/direct_url.json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = |what: &'static str, kind: EntryType, name: String, mib| {
        let input = format!("{what} of {mib} MiB");
        make(move |cluster: &Cluster| inspected(cluster, &input, packed(filled(kind, &name, b'1', mib))))
    };
    let read = scale.pick(32, 1024);
    vec![
        large("a name", GNULongName, "././@LongLink".to_owned(), 480),
        large("a pax header", XHeader, "pax".to_owned(), 480),
        large("a file", Regular, "other".to_owned(), read),
        large("METADATA", Regular, metadata, read),
        make(move |cluster| {
            let layer = packed(entry(Regular, &url, deep.into()));
            inspected(cluster, "direct_url.json of 100,000 lists", layer)
        }),
        make(move |cluster| distributions(cluster, scale.pick(20_000, 200_000))),
        make(|cluster| {
            // A frame of Zstandard (RFC 8878) with a window of 2 GiB, and a block of 128 KiB of one
            // byte.
            let frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x03, 0x00, 0x10, b'x'];
            inspected(cluster, "a window of 2 GiB", frame)
        }),
        make(|cluster| inspected(cluster, "what is no archive", vec![0x5a; 1 << 20])),
    ]
}

fn delivered(cluster: &Cluster, number: usize, yaml: &Yaml) -> Tenant {
    let name = format!("gitops-{number}");
    let repo = GitRepo::create(cluster.root.path(), &name);
    repo.git(&["config", "http.receivepack", "true"]);
    // A file without a marker is not read.
    let text = format!(
        "image: x:1 # {{\"$patchset\": \"NAMESPACE:hostile\"}}\n{}",
        yaml.text
    );
    let mut spec = cluster.build_spec(&name);
    spec["delivery"] = json!({ "git": { "url": cluster.git.url(&name), "paths": ["apps"] } });
    let mut tenant = Tenant::with_spec(
        format!("delivery: {}", yaml.input),
        &["hostile.yaml", "Succeeded", "(of at most"],
        &spec,
    );
    tenant.layers = Some(vec![good_layer()]);
    tenant.prepare = Some(Box::new(move |namespace| {
        repo.commit(
            &[("apps/hostile.yaml", &text.replace("NAMESPACE", namespace))],
            "base",
        );
    }));
    tenant
}

/// A file with `count` markers.
fn markers(count: usize) -> Yaml {
    Yaml {
        input: format!("{count} markers"),
        text: "image: x:1 # {\"$patchset\": \"NAMESPACE:hostile\"}\n---\n".repeat(count),
    }
}

/// The files that once were too much.
pub fn deliveries(scale: Scale) -> Vec<Make> {
    let mut files = releases::known(scale);
    files.push(markers(scale.pick(5_000, 20_000)));
    let numbered = files.into_iter().enumerate();
    numbered
        .map(|(number, yaml)| make(move |cluster| delivered(cluster, number, &yaml)))
        .collect()
}
