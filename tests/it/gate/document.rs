//! `docs/gate.md`, exactly as written.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::printed;

fn document() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/gate.md")).unwrap()
}

/// The code blocks of a language.
fn blocks(document: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let parts = document.split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn its_commands_print_what_it_shows() {
    let document = document();
    let folder = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_patchset"))
        .parent()
        .unwrap()
        .to_owned();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &blocks(&document, "sh").concat()])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("XDG_CACHE_HOME", folder.path())
        .output()
        .unwrap();
    let said = printed(&output, 0);
    let commit = regex::Regex::new("[0-9a-f]{7} '").unwrap();
    let date = regex::Regex::new(r"\(\d{1,2} \w{3} \d{4}\)").unwrap();
    let said = date.replace_all(&said, "(DATE)");
    assert_eq!(
        commit.replace_all(&said, "COMMIT '"),
        blocks(&document, "text").concat()
    );
}

#[test]
fn its_configurations_can_be_read() {
    let document = document();
    let yaml = blocks(&document, "yaml");
    assert!(yaml.len() >= 4);
    let action: Value = serde_saphyr::from_str(
        &fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/action.yml")).unwrap(),
    )
    .unwrap();
    for text in yaml {
        let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let steps = value["jobs"]["check"]["steps"].as_array().into_iter().flatten();
        for step in steps.filter(|step| step["uses"].as_str().unwrap().contains("/patchset@")) {
            for (input, _) in step["with"].as_object().unwrap() {
                assert!(action["inputs"].get(input).is_some(), "{input}");
            }
        }
    }
    for text in blocks(&document, "json") {
        serde_json::from_str::<Value>(&text).unwrap();
    }
}
