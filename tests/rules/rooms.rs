//! The rules of `docs/architecture.md`: which room may use which, what pure rooms know, and that no
//! files use each other in a circle.

mod imports;

use std::collections::BTreeSet;
use std::path::Path;

use super::{code, root, sources};
use imports::Module;

/// A library below `crates/`. Cargo ensures that it uses nothing of the root.
struct Library {
    folder: &'static str,
    /// The folders of the libraries that it may use.
    uses: &'static [&'static str],
    kind: Kind,
}

impl Library {
    /// Its name in code.
    fn name(&self) -> String {
        self.folder.replace('-', "_")
    }

    /// The uses of it in code, each starting after its name: a path, or the end of an import of the
    /// whole library.
    fn uses<'c>(&self, code: &'c str) -> Vec<&'c str> {
        let (path, import) = (format!("{}::", self.name()), format!("use {}", self.name()));
        let whole = code.split(&import).skip(1);
        let whole = whole.filter(|behind| behind.starts_with([';', ' ']));
        code.split(&path).skip(1).chain(whole).collect()
    }
}

/// The libraries below `crates/`, by their folders' names.
const LIBRARIES: &[Library] = &[
    Library {
        folder: "foreign-text",
        uses: &[],
        kind: Kind::Pure,
    },
    Library {
        folder: "forge-rest",
        uses: &["foreign-text", "guarded-egress"],
        kind: Kind::Effects,
    },
    Library {
        folder: "forges",
        uses: &["forge-rest"],
        kind: Kind::Effects,
    },
    Library {
        folder: "git-apply-engine",
        uses: &["patch-headers"],
        kind: Kind::Pure,
    },
    Library {
        folder: "git-format-patch",
        uses: &["git-apply-engine", "patch-refresh"],
        kind: Kind::Pure,
    },
    Library {
        folder: "git-mirrors",
        uses: &[
            "foreign-text",
            "git-apply-engine",
            "git-format-patch",
            "guarded-egress",
            "upstream-history",
        ],
        kind: Kind::Effects,
    },
    Library {
        folder: "gitops-markers",
        uses: &["foreign-text"],
        kind: Kind::Pure,
    },
    Library {
        folder: "guarded-egress",
        uses: &["foreign-text"],
        kind: Kind::Effects,
    },
    Library {
        folder: "image-references",
        uses: &["foreign-text"],
        kind: Kind::Pure,
    },
    Library {
        folder: "patch-headers",
        uses: &[],
        kind: Kind::Pure,
    },
    Library {
        folder: "patch-refresh",
        uses: &["git-apply-engine"],
        kind: Kind::Pure,
    },
    Library {
        folder: "patchset-api",
        uses: &[
            "git-apply-engine",
            "image-references",
            "patch-refresh",
            "upper-constraints",
            "upstream-history",
        ],
        kind: Kind::Pure,
    },
    Library {
        folder: "source-images",
        uses: &[
            "foreign-text",
            "git-apply-engine",
            "guarded-egress",
            "image-references",
        ],
        kind: Kind::Effects,
    },
    Library {
        folder: "upper-constraints",
        uses: &[],
        kind: Kind::Pure,
    },
    Library {
        folder: "upstream-history",
        uses: &["git-apply-engine", "patch-headers"],
        kind: Kind::Pure,
    },
];

/// The libraries that every room may use.
const EVERYWHERE: &[&str] = &["foreign-text", "image-references"];

/// The most third-party crates that a pure library may depend on.
const MOST_DEPENDENCIES: usize = 10;

/// A room, the rooms and libraries that it may use besides itself, and whether it is pure.
const ROOMS: &[(&str, &[&str], Kind)] = &[
    (
        "layout",
        &[
            "patchset-api",
            "upper-constraints",
            "git-format-patch",
            "git-apply-engine",
        ],
        Kind::Pure,
    ),
    (
        "plan",
        &[
            "patchset-api",
            "layout",
            "patch-headers",
            "upstream-history",
            "git-apply-engine",
            "upper-constraints",
            "patch-refresh",
        ],
        Kind::Pure,
    ),
    (
        "fleet",
        &["patchset-api", "layout", "plan", "source-images"],
        Kind::Pure,
    ),
    (
        "upkeep",
        &[
            "patchset-api",
            "patch-headers",
            "upstream-history",
            "layout",
            "git-apply-engine",
            "plan",
            "patch-refresh",
        ],
        Kind::Pure,
    ),
    (
        "page",
        &[
            "patchset-api",
            "upper-constraints",
            "patch-headers",
            "upstream-history",
            "git-apply-engine",
        ],
        Kind::Pure,
    ),
    ("build_request", &["patchset-api"], Kind::Pure),
    ("actions", &["guarded-egress", "forge-rest"], Kind::Effects),
    ("clouds", &["patchset-api", "forge-rest"], Kind::Effects),
    (
        "recipe",
        &[
            "patchset-api",
            "upper-constraints",
            "git-apply-engine",
            "plan",
            "source-images",
        ],
        Kind::Pure,
    ),
    (
        "rework",
        &["patch-headers", "git-apply-engine", "patch-refresh"],
        Kind::Pure,
    ),
    (
        "sbom",
        &[
            "patchset-api",
            "upper-constraints",
            "patch-headers",
            "git-apply-engine",
        ],
        Kind::Pure,
    ),
    (
        "status",
        &["patchset-api", "guarded-egress", "git-apply-engine", "plan"],
        Kind::Effects,
    ),
    ("ops", &["patchset-api"], Kind::Effects),
    ("web", &["patchset-api", "ops", "page"], Kind::Effects),
    (
        "controller",
        &[
            "patchset-api",
            "layout",
            "fleet",
            "upstream-history",
            "page",
            "git-apply-engine",
            "patch-refresh",
            "upkeep",
            "upper-constraints",
            "plan",
            "recipe",
            "guarded-egress",
            "git-mirrors",
            "source-images",
            "build_request",
            "forge-rest",
            "actions",
            "forges",
            "clouds",
            "gitops-markers",
            "sbom",
            "status",
            "webhook",
            "web",
            "ops",
        ],
        Kind::Effects,
    ),
    ("webhook", &[], Kind::Pure),
    (
        "cli",
        &[
            "git-format-patch",
            "patchset-api",
            "layout",
            "fleet",
            "patch-headers",
            "upstream-history",
            "page",
            "git-apply-engine",
            "patch-refresh",
            "upper-constraints",
            "plan",
            "recipe",
            "rework",
            "guarded-egress",
            "forge-rest",
            "git-mirrors",
            "source-images",
            "sbom",
        ],
        Kind::Effects,
    ),
];

/// What pure rooms may use of libraries with effects: files that are pure themselves.
const PURE_FILES: &[(&str, &str)] = &[
    ("source-images", "image"),
    ("source-images", "layer"),
    ("source-images", "python"),
    ("source-images", "source_image"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Values in, values out.
    Pure,
    /// Reads or writes the world.
    Effects,
}

/// The wings of the controller, each with those that it may use besides itself.
const WINGS: &[(&str, &[&str])] = &[
    (
        "runtime",
        &[
            "pipeline", "build", "delivery", "upkeep", "inputs", "context", "state",
        ],
    ),
    (
        "pipeline",
        &["build", "delivery", "upkeep", "inputs", "context", "state"],
    ),
    ("build", &["inputs", "context", "state"]),
    ("delivery", &["inputs", "context", "state"]),
    ("upkeep", &["inputs", "context", "state"]),
    ("inputs", &["context", "state"]),
    ("context", &["state"]),
    ("state", &[]),
];

/// The remaining circles, by the files of a room that form them. Remove from this list what is
/// mended; nothing is added.
const CIRCLES: &[(&str, &[&str])] = &[];

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

#[test]
fn each_room_uses_only_what_it_may() {
    let root = root().join("src");
    let found = folders(&root);
    let mut known: Vec<&str> = ROOMS.iter().map(|(name, ..)| *name).collect();
    known.sort_unstable();
    assert_eq!(found, known, "a room is not in this test");

    let uses = imports::uses(&root);
    let mut wrong = Vec::new();
    for (room, allowed, kind) in ROOMS {
        for (module, used) in uses
            .iter()
            .filter(|(module, _)| module.first().is_some_and(|first| first == room))
        {
            let others: BTreeSet<&String> = used.iter().filter_map(|used| used.first()).collect();
            let others = others.into_iter().filter(|other| known.contains(&other.as_str()));
            let others = others.filter(|other| other != room && !allowed.contains(&other.as_str()));
            wrong.extend(others.map(|other| format!("{} uses {other}", module.join("::"))));
        }
        let mut files = Vec::new();
        sources(&root.join(room), &mut files);
        for file in files {
            let code = code(&file);
            let of_others = LIBRARIES.iter().filter(|library| {
                !EVERYWHERE.contains(&library.folder) && !allowed.contains(&library.folder)
            });
            let used = of_others.filter(|library| !library.uses(&code).is_empty());
            wrong.extend(used.map(|library| format!("{} uses {}", file.display(), library.folder)));
            if *kind == Kind::Pure {
                let named = EFFECTS.iter().filter(|effect| code.contains(*effect));
                wrong.extend(named.map(|effect| format!("{} names {effect}", file.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// So that no Secret is read whose absence is reported in another way, and each is watched
/// (`patchset_api::references`).
#[test]
fn secrets_are_read_by_one_door() {
    let root = root().join("src/controller");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let doors: Vec<_> = files
        .iter()
        .filter(|file| code(file).contains(".secret("))
        .map(|file| file.strip_prefix(&root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(doors, ["inputs/secrets.rs"]);
}

#[test]
fn pure_rooms_use_only_pure_files_of_the_others() {
    let root = root();
    let mut files = Vec::new();
    for (room, ..) in ROOMS.iter().filter(|(.., kind)| *kind == Kind::Pure) {
        sources(&root.join("src").join(room), &mut files);
    }
    let with_effects = || LIBRARIES.iter().filter(|library| library.kind == Kind::Effects);
    let mut wrong = Vec::new();
    for file in files {
        let code = code(&file);
        for library in with_effects() {
            for used in library.uses(&code) {
                let file_of = used.split("::").next().unwrap_or_default();
                // An error is a value.
                if !PURE_FILES.contains(&(library.folder, file_of)) && !used.starts_with("Error") {
                    let line = used.lines().next().unwrap_or_default();
                    wrong.push(format!("{} uses {}::{line}", file.display(), library.folder));
                }
            }
        }
    }
    for (name, file) in PURE_FILES {
        assert!(with_effects().any(|library| library.folder == *name));
        let folder = root.join("crates").join(name).join("src");
        let code = code(&folder.join(file).with_extension("rs"));
        let named = EFFECTS.iter().filter(|effect| code.contains(*effect));
        wrong.extend(named.map(|effect| format!("{name}::{file} names {effect}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_library_uses_only_what_it_may() {
    let root = root().join("crates");
    let known: Vec<&str> = LIBRARIES.iter().map(|library| library.folder).collect();
    assert_eq!(folders(&root), known, "a library is not in this test");
    let mut wrong = Vec::new();
    for library in LIBRARIES {
        let folder = library.folder;
        let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let none = toml::Table::new();
        let dependencies = manifest
            .get("dependencies")
            .map_or(&none, |found| found.as_table().unwrap());
        let (inside, of_others): (Vec<_>, Vec<_>) = dependencies
            .iter()
            .partition(|(_, how)| how.get("path").is_some());
        let inside = inside.into_iter().map(|(name, _)| name);
        let inside = inside.filter(|name| !library.uses.contains(&name.as_str()));
        wrong.extend(inside.map(|name| format!("{folder} uses {name}")));
        if library.kind == Kind::Effects {
            continue;
        }
        if of_others.len() > MOST_DEPENDENCIES {
            wrong.push(format!(
                "{folder} depends on {} crates of others",
                of_others.len()
            ));
        }
        let mut files = Vec::new();
        sources(&root.join(folder).join("src"), &mut files);
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

#[test]
fn each_wing_of_the_controller_uses_only_those_below_it() {
    let uses = imports::uses(&root().join("src"));
    let wing = |module: &Module| match module.as_slice() {
        [room, wing, ..] if room == "controller" => Some(wing.clone()),
        _ => None,
    };
    let found: BTreeSet<String> = uses.keys().filter_map(wing).collect();
    let known: BTreeSet<String> = WINGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known, "a wing is not in this test");
    let mut wrong = Vec::new();
    for (module, used) in &uses {
        let Some((name, allowed)) = wing(module).and_then(|own| WINGS.iter().find(|(name, _)| *name == own))
        else {
            continue;
        };
        let of_others = used.iter().filter_map(|used| Some((used, wing(used)?)));
        let of_others = of_others.filter(|(_, other)| other != name && !allowed.contains(&other.as_str()));
        wrong.extend(of_others.map(|(used, _)| format!("{} uses {}", module.join("::"), used.join("::"))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// By the rule of [`imports`].
#[test]
fn no_files_of_a_room_use_each_other_in_a_circle() {
    let root = root();
    let rooms = imports::uses(&root.join("src"));
    let inside = |room: &str| -> imports::Uses {
        let is_inside = |module: &Module| module.first().is_some_and(|first| first == room);
        let own = rooms.iter().filter(|(module, _)| is_inside(module));
        own.map(|(module, used)| {
            let used = used.iter().filter(|one| is_inside(one));
            (module[1..].to_vec(), used.map(|one| one[1..].to_vec()).collect())
        })
        .collect()
    };
    let rooms = ROOMS.iter().map(|(room, ..)| (*room, inside(room)));
    let crates = root.join("crates");
    let libraries = LIBRARIES.iter().map(|library| {
        (
            library.folder,
            imports::uses(&crates.join(library.folder).join("src")),
        )
    });
    let (mut wrong, mut left) = (Vec::new(), BTreeSet::new());
    for (room, uses) in rooms.chain(libraries) {
        for circle in imports::circles(&uses) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            let allowed = CIRCLES.iter().position(|(of, files)| {
                *of == room && names.iter().all(|name| files.contains(&name.as_str()))
            });
            match allowed {
                Some(at) => drop(left.insert(at)),
                None => wrong.push((room, names)),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these files use each other in a circle: {wrong:#?}"
    );
    let mended: Vec<_> = (0..CIRCLES.len())
        .filter(|at| !left.contains(at))
        .map(|at| CIRCLES[at])
        .collect();
    assert!(
        mended.is_empty(),
        "these circles are gone: take them out of the list: {mended:#?}"
    );
}
