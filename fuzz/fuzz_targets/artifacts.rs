//! Any bytes as an artifact of a Flux source, or as the tar archive inside one: it is read or
//! refused, and what is read stays within the folder and the bounds.

#![no_main]

use std::io::Write;
use std::time::{Duration, Instant};

use git_mirrors::{Artifact, ArtifactLimits, FileLimits};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

#[path = "../stage.rs"]
mod stage;

use stage::{server, stage};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let body = if first % 4 == 0 {
        rest.to_vec()
    } else {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(rest).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    };
    let stage = stage();
    stage.server.set(vec![server::ok("application/gzip", &body)]);
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let artifact = Artifact {
        url: format!("http://{}/a.tar.gz", stage.server.address).parse().expect("a URL"),
        digest: format!("sha256:{digest}"),
        path: if first % 2 == 0 { String::new() } else { "p".to_owned() },
        suffix: ".patch".to_owned(),
    };
    let limits = ArtifactLimits {
        files: FileLimits { file: 4096, total: 8192, count: 8 },
        unpacked: 1 << 20,
        entries: 64,
        ..ArtifactLimits::default()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let Ok(files) = stage.mirrors.fetch_artifact(&artifact, &limits, deadline) else { return };
    assert!(files.len() <= 8 && files.iter().map(|file| file.content.len()).sum::<usize>() <= 8192);
    for file in files {
        assert!(file.name.ends_with(".patch") && !file.name.contains('/'), "{:?}", file.name);
    }
});
