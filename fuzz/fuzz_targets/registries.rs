//! Any answers of a registry and of its token server: an image is found or none, without a panic
//! and without hanging.

#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use image_references::ImageReference;
use libfuzzer_sys::fuzz_target;
use source_images::{Credentials, Registry, RegistryConfig};

#[path = "../server.rs"]
mod server;

struct Stage {
    registry: Registry,
    server: server::Server,
    runtime: tokio::runtime::Runtime,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let server = server::Server::start();
        let config = RegistryConfig {
            plain_http: vec![server.address.to_string()],
            timeout: Duration::from_secs(2),
            retries: 0,
            ..RegistryConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Stage { registry: Registry::new(config, Credentials::default()), server, runtime }
    })
}

fuzz_target!(|data: &[u8]| {
    let stage = stage();
    let host = stage.server.address.to_string();
    // The byte 0xFF, which no UTF-8 has, separates answers; `@` in a header is this server.
    let answers = data.split(|byte| *byte == 0xFF).map(|answer| match String::from_utf8(answer.to_vec()) {
        Ok(text) => text.replace('@', &format!("http://{host}")).into_bytes(),
        Err(_) => answer.to_vec(),
    });
    stage.server.set(answers.take(8).collect());
    let image: ImageReference = format!("{host}/team/image:1").parse().expect("an image");
    let looked = stage.runtime.block_on(stage.registry.inspect(&image));
    if let Err(error) = looked {
        let text = error.to_string();
        assert!(text.len() < 16 << 10, "{} bytes are told", text.len());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
});
