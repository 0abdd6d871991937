//! The rules of `docs/architecture.md`: which room may use which, and what pure rooms know.

use std::path::{Path, PathBuf};

/// The libraries below `crates/`, and the name by which the rooms know them. Cargo holds what they may use of the rest:
/// nothing.
const LIBRARIES: &[(&str, &str)] = &[
    ("git-apply-engine", "patch"),
    ("upper-constraints", "constraints"),
];

/// A room, the rooms and libraries that it may use besides itself, and whether it is pure.
const ROOMS: &[(&str, &[&str], Kind)] = &[
    ("api", &["patch", "constraints"], Kind::Pure),
    ("egress", &[], Kind::Effects),
    ("plan", &["api", "patch", "constraints"], Kind::Pure),
    ("source", &["api", "egress", "patch", "plan"], Kind::Effects),
    ("publish", &["egress", "patch"], Kind::Effects),
    ("build", &["api"], Kind::Pure),
    ("rest", &["egress"], Kind::Effects),
    ("actions", &["egress", "rest"], Kind::Effects),
    ("forge", &["rest"], Kind::Effects),
    ("clouds", &["api", "rest"], Kind::Effects),
    ("deliver", &["api"], Kind::Pure),
    ("sbom", &["api", "constraints", "patch"], Kind::Pure),
    ("status", &["api", "egress", "patch", "plan"], Kind::Effects),
    ("ops", &["api"], Kind::Effects),
    (
        "controller",
        &[
            "api",
            "patch",
            "constraints",
            "plan",
            "egress",
            "source",
            "publish",
            "build",
            "rest",
            "actions",
            "forge",
            "clouds",
            "deliver",
            "sbom",
            "status",
            "ops",
        ],
        Kind::Effects,
    ),
    (
        "cli",
        &[
            "api",
            "patch",
            "constraints",
            "plan",
            "egress",
            "source",
            "publish",
            "sbom",
        ],
        Kind::Effects,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Values in, values out.
    Pure,
    /// Reads or writes the world.
    Effects,
}

/// What a pure room must not name.
const EFFECTS: &[&str] = &[
    "tokio::",
    "git2::",
    "kube::Client",
    "kube::Api",
    "kube::api::Api",
    "kube::runtime",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "reqwest::",
    "tracing::",
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The names of the folders in a folder, in order.
fn folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn each_room_uses_only_what_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = folders(&root);
    let mut known: Vec<&str> = ROOMS.iter().map(|(name, ..)| *name).collect();
    known.sort_unstable();
    assert_eq!(found, known, "a room is not in this test");

    let mut wrong = Vec::new();
    for (room, allowed, kind) in ROOMS {
        let mut files = Vec::new();
        sources(&root.join(room), &mut files);
        for file in files {
            let code = code(&file);
            let others = ROOMS.iter().map(|(name, ..)| *name);
            for other in others.chain(LIBRARIES.iter().map(|(_, name)| *name)) {
                let used =
                    code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
                if used && other != *room && !allowed.contains(&other) {
                    wrong.push(format!("{} uses {other}", file.display()));
                }
            }
            if *kind == Kind::Pure {
                let named = EFFECTS.iter().filter(|effect| code.contains(*effect));
                wrong.extend(named.map(|effect| format!("{} names {effect}", file.display())));
            }
            if *room != "source" && code.contains("git2::") {
                wrong.push(format!("{} uses git2, which is for source alone", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_library_is_pure_and_stands_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let known: Vec<&str> = LIBRARIES.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(folders(&root), known, "a library is not in this test");
    let mut wrong = Vec::new();
    for (library, _) in LIBRARIES {
        let manifest = std::fs::read_to_string(root.join(library).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        if dependencies.len() > 10 {
            wrong.push(format!("{library} has {} dependencies", dependencies.len()));
        }
        let inside = dependencies.iter().filter(|(_, how)| how.get("path").is_some());
        wrong.extend(inside.map(|(name, _)| format!("{library} uses {name}")));
        let mut files = Vec::new();
        sources(&root.join(library).join("src"), &mut files);
        for file in files {
            let code = code(&file);
            let named = EFFECTS.iter().filter(|effect| code.contains(*effect));
            // Ids of other libraries are values.
            let named = named.filter(|effect| **effect != "git2::" || !file.ends_with("ids.rs"));
            wrong.extend(named.map(|effect| format!("{} names {effect}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
