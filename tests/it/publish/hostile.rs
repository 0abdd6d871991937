//! A registry that sends more than it may, or something else than it says.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Response, Uri};
use patchset::publish::{Credentials, Registry, RegistryConfig};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::github::listen;
use crate::support::hex;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What it sends for a manifest and for a configuration.
#[derive(Clone, Default)]
struct Sends {
    manifest: Option<Vec<u8>>,
    digest: Option<&'static str>,
    config: Option<Vec<u8>>,
}

/// A body without an end.
fn endless() -> Body {
    let chunk = Bytes::from(vec![b' '; 65_536]);
    Body::from_stream(futures::stream::repeat_with(move || {
        Ok::<_, std::io::Error>(chunk.clone())
    }))
}

async fn serve(sends: Sends) -> String {
    let (listener, address) = listen().await;
    let sends = Arc::new(sends);
    let app = axum::Router::new().fallback(move |uri: Uri| {
        let sends = Arc::clone(&sends);
        async move {
            let body = |given: &Option<Vec<u8>>| given.clone().map_or_else(endless, Body::from);
            let answer = Response::builder().header("content-type", MANIFEST);
            let answer = match (uri.path().contains("/manifests/"), sends.digest) {
                (true, Some(digest)) => answer.header("docker-content-digest", digest),
                _ => answer,
            };
            let body = match uri.path() {
                "/v2/" => Body::empty(),
                path if path.contains("/manifests/") => body(&sends.manifest),
                _ => body(&sends.config),
            };
            answer.body(body).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address.to_string()
}

async fn refusal(sends: Sends) -> String {
    let host = serve(sends).await;
    let config = RegistryConfig {
        plain_http: vec![host.clone()],
        ..RegistryConfig::default()
    };
    let registry = Registry::new(config, Credentials::default());
    let looked = registry.inspect(&format!("{host}/team/image:1")).await;
    looked.unwrap_err().to_string()
}

fn manifest_of(config: &[u8], size: usize) -> Vec<u8> {
    let digest = hex(&Sha256::digest(config));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{digest}"), "size": size },
    });
    manifest.to_string().into_bytes()
}

#[tokio::test]
async fn a_manifest_without_an_end_is_not_read() {
    let told = refusal(Sends::default()).await;
    assert!(told.contains("its manifest is too large"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_is_longer_than_it_says_is_not_read() {
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        ..Sends::default()
    };
    let told = refusal(sends).await;
    assert!(told.contains("its configuration is too large"), "{told}");
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        digest: Some("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        config: Some(b"{}".to_vec()),
    };
    let told = refusal(sends).await;
    assert!(told.contains("another than its digest says"), "{told}");
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        config: Some(b"{ }".to_vec()),
        ..Sends::default()
    };
    let told = refusal(sends).await;
    assert!(
        told.contains("its configuration is another than its digest says"),
        "{told}"
    );
}
