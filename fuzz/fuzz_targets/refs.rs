//! Any list of refs of a Git server (gitprotocol-v2), and any ref or range that is looked up in
//! it: one is found or none, and no error has a character that a terminal would obey.

#![no_main]

use std::time::{Duration, Instant};

use git_mirrors::{Freshness, RefSpec, Upstream};
use libfuzzer_sys::fuzz_target;

#[path = "../stage.rs"]
mod stage;

use stage::{server, stage};

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fuzz_target!(|input: (u8, String, Vec<(u8, String)>, Vec<u8>)| {
    let (kind, wanted, refs, raw) = input;
    // Names in a spec are short.
    let wanted: String = wanted.chars().take(255).collect();
    let mut greeting = line("# service=git-upload-pack\n") + "0000";
    for capability in ["version 2\n", "ls-refs\n", "fetch=shallow\n", "object-format=sha1\n"] {
        greeting += &line(capability);
    }
    greeting += "0000";
    // Well-formed lines, or any bytes.
    let list = if kind % 4 == 0 {
        raw
    } else {
        let lines = refs.iter().take(64).map(|(object, name)| {
            let name: String = name.chars().take(200).collect();
            line(&format!("{} refs/{name}\n", format!("{object:02x}").repeat(20)))
        });
        (lines.collect::<String>() + "0000").into_bytes()
    };
    let stage = stage();
    stage.server.set(vec![
        server::ok("application/x-git-upload-pack-advertisement", greeting.as_bytes()),
        server::ok("application/x-git-upload-pack-result", &list),
    ]);
    let want = match kind / 4 % 5 {
        0 => RefSpec::Branch(wanted),
        1 => RefSpec::Tag(wanted),
        2 => RefSpec::Any(wanted),
        3 => RefSpec::Commit(wanted),
        _ => match wanted.parse() {
            Ok(range) => RefSpec::Semver(range),
            Err(_) => RefSpec::Default,
        },
    };
    let url = format!("http://{}/demo.git", stage.server.address).parse().expect("a URL");
    let deadline = Instant::now() + Duration::from_secs(10);
    match stage.mirrors.resolve(&Upstream::anonymous(url), &want, Freshness::Now, deadline) {
        Ok(found) => assert!(found.revision().to_string().contains("sha1:")),
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 16 << 10 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
});
