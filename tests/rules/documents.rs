//! What the documents for developers and operators say about the code: each path exists, and each
//! reason is explained.

use std::fs;
use std::path::Path;

use patchset_api::reason::{self, Reason};

use super::root;

const DOCUMENTS: [&str; 3] = ["docs/architecture.md", "docs/internals.md", "CONTRIBUTING.md"];

/// The folders that paths in the documents start from.
const STARTS: [&str; 4] = ["", "src", "src/controller", "crates"];

/// Reasons that require no action.
const WITHOUT_ADVICE: [Reason; 4] = [
    reason::SUCCEEDED,
    reason::PROGRESSING,
    reason::PROGRESSING_WITH_RETRY,
    reason::NO_PATCHES,
];

/// The words in code font, outside of blocks, that look like a file or folder of code.
fn paths(document: &str) -> Vec<String> {
    let prose = document.split("```").step_by(2).collect::<String>();
    let code = prose.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        !word.contains(char::is_whitespace)
            && (Path::new(word).extension().is_some_and(|end| end == "rs")
                || ["src/", "crates/", "tests/", "hack/"]
                    .iter()
                    .any(|start| word.starts_with(start)))
    };
    code.filter(is_path).map(str::to_owned).collect()
}

fn is_there(path: &str) -> bool {
    let starts = STARTS.iter().any(|start| root().join(start).join(path).exists());
    starts || in_a_library(path)
}

/// Files of a library are also named relative to its `src`, or by their name alone.
fn in_a_library(path: &str) -> bool {
    let libraries = fs::read_dir(root().join("crates")).unwrap();
    let mut roots = libraries.map(|library| library.unwrap().path().join("src"));
    roots.any(|source| source.join(path).exists()) || is_file_name(path)
}

fn is_file_name(path: &str) -> bool {
    let mut files = Vec::new();
    super::sources(&root().join("src"), &mut files);
    Path::new(path).components().count() == 1 && files.iter().any(|file| file.ends_with(path))
}

#[test]
fn each_path_in_a_document_is_there() {
    let mut missing = Vec::new();
    for name in DOCUMENTS {
        let paths = paths(&fs::read_to_string(root().join(name)).unwrap());
        assert!(paths.len() > 5, "{name}: {paths:?}");
        missing.extend(
            paths
                .into_iter()
                .filter(|path| !is_there(path))
                .map(|path| format!("{name}: {path}")),
        );
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!is_there("controller/delivery/none.rs") && !is_there("none.rs"));
}

#[test]
fn each_reason_is_explained() {
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let table = document.split("## When something is not ready").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let unexplained: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|reason| !WITHOUT_ADVICE.contains(reason) && !table.contains(&format!("`{reason}`")))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}
