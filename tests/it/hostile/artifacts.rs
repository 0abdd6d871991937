//! Artifacts of Flux sources: archives that unpack to more than is allowed.

use axum::Router;
use axum::body::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Scale;
use super::bombs::{Part, gzip};
use super::cluster::{Cluster, Make, Tenant, make, spec};
use super::server::Server;
use crate::controller::GOOD;
use crate::support::hex;

/// An entry's header in a tar archive.
pub fn header(kind: tar::EntryType, name: &str, size: u64) -> Part {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    Part::Bytes(header.as_bytes().to_vec())
}

/// An entry, padded to whole blocks.
pub fn entry(kind: tar::EntryType, name: &str, content: Vec<u8>) -> Vec<Part> {
    let size = content.len() as u64;
    vec![
        header(kind, name, size),
        Part::Bytes(content),
        Part::Repeat(0, size.next_multiple_of(512) - size),
    ]
}

/// An entry of `mib` MiB of one byte.
pub fn filled(kind: tar::EntryType, name: &str, byte: u8, mib: u64) -> Vec<Part> {
    vec![header(kind, name, mib << 20), Part::Repeat(byte, mib << 20)]
}

/// Two blocks of zeros end an archive.
pub fn end() -> Part {
    Part::Repeat(0, 1024)
}

fn archive(input: &str, cluster: &Cluster, mut parts: Vec<Part>) -> Tenant {
    parts.extend(entry(
        tar::EntryType::Regular,
        "patches/0001-five.patch",
        GOOD.into(),
    ));
    parts.push(end());
    let body = Bytes::from(gzip(&parts));
    let digest = hex(&Sha256::digest(&body));
    let server = Server::start(Router::new().fallback(move || {
        let body = body.clone();
        async move { body }
    }));
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": { "name": "hostile", "namespace": "NAMESPACE" }, "spec": {},
        "status": { "artifact": {
            "url": format!("http://{}/a.tar.gz", server.host()), "digest": format!("sha256:{digest}"),
            "revision": "main@sha1:one"
        } }
    });
    let reference = json!({ "sourceRef": { "kind": "GitRepository", "name": "hostile" }, "path": "patches" });
    let mut tenant = Tenant::with_spec(
        format!("artifact: {input}"),
        &["artifact", "Succeeded"],
        &spec(&cluster.upstream(), &reference),
    );
    tenant.objects.insert(0, source.to_string());
    tenant.ground = Box::new(server);
    tenant
}

fn empty_files(cluster: &Cluster, count: usize) -> Tenant {
    let entries = (0..count)
        .map(|number| header(tar::EntryType::Regular, &format!("e{number}"), 0))
        .collect();
    archive(&format!("{count} empty files"), cluster, entries)
}

/// The artifacts that once were too much.
pub fn known(scale: Scale) -> Vec<Make> {
    use tar::EntryType::{GNULongName, Regular, XHeader};
    let (mib, read) = (scale.pick(480, 500), scale.pick(32, 1024));
    let large = |input: String, kind, name: &'static str, mib| {
        make(move |cluster: &Cluster| archive(&input, cluster, filled(kind, name, b'1', mib)))
    };
    vec![
        large(format!("a name of {mib} MiB"), GNULongName, "././@LongLink", mib),
        large(format!("a pax header of {mib} MiB"), XHeader, "pax", mib),
        large(format!("a file of {read} MiB"), Regular, "other", read),
        large(
            format!("a patch of {mib} MiB"),
            Regular,
            "patches/0000-ones.patch",
            mib,
        ),
        make(move |cluster| empty_files(cluster, scale.pick(20_000, 190_000))),
    ]
}
