//! What images in a real registry have installed.

use serde_json::json;
use source_images::installed::Origin;
use source_images::{Credentials, Error, Installed, Layers, Registry as Client, RegistryConfig};

use super::image_reference;
use crate::support::crafted::{INDEX, MANIFEST, Repository, distribution, gzip, layer};
use crate::support::registry::Registry;

fn client(registry: &Registry) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = RegistryConfig {
        plain_http: vec![registry.host.clone()],
        retries: 0,
        ..RegistryConfig::default()
    };
    Client::new(config, Credentials::default())
}

fn told(installed: &Installed) -> Vec<(String, Origin)> {
    let all = installed.distributions.iter();
    all.map(|one| (one.name.clone(), one.origin)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_lie_over_each_other_and_are_read_once() {
    let registry = Registry::open();
    let repository = Repository::new(&registry, "image");
    let base = gzip(&distribution("os_traits", "3.4.0", false));
    let whiteout = layer(&[("usr/lib/python3/site-packages/.wh.os_traits-3.4.0.dist-info", "")]);
    let upper = zstd::encode_all(distribution("os_traits", "3.5.0", true).as_slice(), 3).unwrap();
    let patched = repository
        .image(None, "x", vec![base.clone(), whiteout, upper])
        .await;
    let (client, layers) = (client(&registry), Layers::default());
    let reference = format!("{}/image@{patched}", registry.host);
    let found = client
        .installed_distributions(&image_reference(&reference), &layers)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].platform, None);
    assert_eq!(told(&found[0]), [("os_traits".to_owned(), Origin::Source)]);

    // Another image on the same base reads only its own layer; the same image none.
    let blobs = || registry.log().matches("\"GET /v2/image/blobs/").count();
    let before = blobs();
    assert_eq!(before, 3);
    let other = repository.image(None, "y", vec![base]).await;
    let other = format!("{}/image@{other}", registry.host);
    let stock = client
        .installed_distributions(&image_reference(&other), &layers)
        .await
        .unwrap();
    assert_eq!(told(&stock[0]), [("os_traits".to_owned(), Origin::Index)]);
    assert_eq!(
        client
            .installed_distributions(&image_reference(&reference), &layers)
            .await
            .unwrap(),
        found
    );
    assert_eq!(blobs(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_platform_that_is_there_is_read() {
    let registry = Registry::open();
    let repository = Repository::new(&registry, "index");
    let mut entries = Vec::new();
    for (architecture, from_source) in [("amd64", true), ("arm64", false), ("riscv64", true)] {
        let layers = vec![distribution("os_traits", "3.5.0", from_source)];
        let digest = repository.image(None, architecture, layers).await;
        entries.push(json!({
            "mediaType": MANIFEST, "digest": digest, "size": 1,
            "platform": { "os": "linux", "architecture": architecture }
        }));
    }
    let attestation = repository
        .image(None, "z", vec![b"this is no layer".to_vec()])
        .await;
    entries.push(json!({
        "mediaType": MANIFEST, "digest": attestation, "size": 1,
        "platform": { "os": "unknown", "architecture": "unknown" }
    }));
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let digest = repository.manifest(Some("all"), INDEX, &index).await;
    repository.delete(entries[2]["digest"].as_str().unwrap()).await;
    let reference = format!("{}/index@{digest}", registry.host);
    let found = client(&registry)
        .installed_distributions(&image_reference(&reference), &Layers::default())
        .await
        .unwrap();
    let all: Vec<(Option<&str>, Origin)> = found
        .iter()
        .map(|one| (one.platform.as_deref(), one.distributions[0].origin))
        .collect();
    assert_eq!(
        all,
        [
            (Some("linux/amd64"), Origin::Source),
            (Some("linux/arm64"), Origin::Index)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_ends() {
    let registry = Registry::open();
    let repository = Repository::new(&registry, "hostile");
    let whole = gzip(&distribution("os_traits", "3.5.0", true));
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    // A header that announces a name of 2 GiB, followed by as many zeros.
    let mut bomb = tar::Header::new_gnu();
    bomb.set_entry_type(tar::EntryType::GNULongName);
    bomb.set_size(2 << 30);
    bomb.set_cksum();
    let zeros = gzip(&vec![0; 64 << 20]);
    let mut packed = gzip(bomb.as_bytes());
    for _ in 0..32 {
        packed.extend_from_slice(&zeros);
    }
    let client = client(&registry);
    for (layer, part) in [
        (b"this is no layer".repeat(100), "layer sha256:"),
        (broken, "layer sha256:"),
        (whole[..whole.len() / 2].to_vec(), "layer sha256:"),
        (packed, "larger than what is read"),
    ] {
        let digest = repository.image(None, "x", vec![layer]).await;
        let reference = format!("{}/hostile@{digest}", registry.host);
        let refused = client
            .installed_distributions(&image_reference(&reference), &Layers::default())
            .await;
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("cannot be read"), "{text}");
    }
    let missing = format!("{}/hostile@sha256:{}", registry.host, "0".repeat(64));
    let error = client
        .installed_distributions(&image_reference(&missing), &Layers::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not have it"), "{error}");
}
