//! Images that a test makes by hand and pushes with the registry's own API.

use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::registry::Registry;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A document attached to an image.
#[derive(Debug)]
pub struct Attached {
    /// The digest of its artifact.
    pub digest: String,
    /// The type of its artifact.
    pub kind: String,
    pub document: Value,
}

/// A layer of files.
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer with a distribution, installed from a folder if `from_source`, otherwise as from an
/// index.
pub fn distribution(name: &str, version: &str, from_source: bool) -> Vec<u8> {
    let folder = format!("usr/lib/python3/site-packages/{name}-{version}.dist-info");
    let (metadata, url) = (format!("{folder}/METADATA"), format!("{folder}/direct_url.json"));
    let told = r#"{"url": "file:///tmp/source", "dir_info": {}}"#;
    if from_source {
        layer(&[(&metadata, "x"), (&url, told)])
    } else {
        layer(&[(&metadata, "x")])
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("sha256:{hex}")
}

/// A repository to push images to.
pub struct Repository<'a> {
    registry: &'a Registry,
    name: &'a str,
    client: reqwest::Client,
}

impl<'a> Repository<'a> {
    pub fn new(registry: &'a Registry, name: &'a str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            registry,
            name,
            client: reqwest::Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{}/{path}", self.registry.host, self.name)
    }

    /// Pushes a blob; returns its descriptor.
    async fn blob(&self, media_type: &str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (digest(&bytes), bytes.len());
        let begun = self.client.post(self.url("blobs/uploads/")).send().await.unwrap();
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let put = self
            .client
            .put(format!("{location}&digest={digest}"))
            .header("Content-Type", "application/octet-stream")
            .body(bytes)
            .send()
            .await
            .unwrap();
        assert!(put.status().is_success(), "{}", put.text().await.unwrap());
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    /// Pushes a manifest under a tag or its digest; returns the digest.
    pub async fn manifest(&self, reference: Option<&str>, media_type: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = digest(&bytes);
        let put = self
            .client
            .put(self.url(&format!("manifests/{}", reference.unwrap_or(&digest))))
            .header("Content-Type", media_type)
            .body(bytes)
            .send()
            .await
            .unwrap();
        assert!(put.status().is_success(), "{}", put.text().await.unwrap());
        digest
    }

    /// Pushes an image with a label; returns its digest.
    pub async fn image(&self, tag: Option<&str>, inputs: &str, layers: Vec<Vec<u8>>) -> String {
        let config = json!({
            "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
            "config": { "Labels": { "patching.c5c3.io/inputs": inputs } }
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config = self
            .blob("application/vnd.oci.image.config.v1+json", config)
            .await;
        let mut described = Vec::new();
        for layer in layers {
            described.push(self.blob("application/vnd.oci.image.layer.v1.tar", layer).await);
        }
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described });
        self.manifest(tag, MANIFEST, &manifest).await
    }

    /// Deletes an image.
    pub async fn delete(&self, digest: &str) {
        let url = self.url(&format!("manifests/{digest}"));
        let answer = self.client.delete(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A manifest, if it exists.
    pub async fn get(&self, reference: &str) -> Option<Value> {
        let answer = self
            .client
            .get(self.url(&format!("manifests/{reference}")))
            .header("Accept", format!("{MANIFEST}, {INDEX}"))
            .send()
            .await
            .unwrap();
        if answer.status() == 404 {
            return None;
        }
        let body = answer.error_for_status().ok()?.bytes().await.unwrap();
        Some(serde_json::from_slice(&body).unwrap())
    }

    /// A blob, parsed as JSON.
    pub async fn json(&self, digest: &str) -> Value {
        let answer = self
            .client
            .get(self.url(&format!("blobs/{digest}")))
            .send()
            .await
            .unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().await.unwrap()).unwrap()
    }

    /// The only document that is attached to an image, by the tag schema of the distribution-spec.
    pub async fn attached(&self, image: &str) -> Option<(String, Value)> {
        let mut all = self.all_attached(image).await;
        assert!(all.len() <= 1, "{all:?}");
        all.pop().map(|attached| (attached.digest, attached.document))
    }

    /// Everything attached to an image.
    pub async fn all_attached(&self, image: &str) -> Vec<Attached> {
        let Some(index) = self.get(&image.replace(':', "-")).await else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for entry in index["manifests"].as_array().unwrap() {
            let digest = entry["digest"].as_str().unwrap().to_owned();
            let artifact = self.get(&digest).await.unwrap();
            assert_eq!(artifact["subject"]["digest"], image);
            assert_eq!(artifact["artifactType"], entry["artifactType"]);
            all.push(Attached {
                digest,
                kind: artifact["artifactType"].as_str().unwrap().to_owned(),
                document: self.json(artifact["layers"][0]["digest"].as_str().unwrap()).await,
            });
        }
        all
    }
}
