//! YAML files kept by others: refs and packages of a release, by `patchset check`; manifests, by
//! `patchset build-plan`.

use std::fmt::Write;

use super::chance::Chance;
use super::offline::Offline;
use super::{Scale, table};
use crate::controller::{BASE, GOOD};
use crate::support::git_repo::GitRepo;

/// A YAML document.
pub struct Yaml {
    pub input: String,
    pub text: String,
}

/// Nested lists.
pub fn deep(depth: usize) -> Yaml {
    Yaml {
        input: format!("YAML: {depth} lists in each other"),
        text: format!("demo: {}{}\n", "[".repeat(depth), "]".repeat(depth)),
    }
}

/// Nested mappings, by indentation.
pub fn deep_block(depth: usize) -> Yaml {
    let lines: Vec<String> = (0..depth)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    Yaml {
        input: format!("YAML: {depth} mappings in each other"),
        text: lines.concat(),
    }
}

/// Lists of aliases of lists of aliases.
pub fn aliases(levels: usize) -> Yaml {
    let mut text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=levels {
        let below = vec![format!("*l{}", level - 1); 10].join(", ");
        writeln!(text, "l{level}: &l{level} [{below}]").unwrap();
    }
    text.push_str("demo: \"1.0.0\"\n");
    Yaml {
        input: format!("YAML: {levels} levels of ten aliases"),
        text,
    }
}

/// `count` entries.
pub fn entries(count: usize) -> Yaml {
    let lines: Vec<String> = (0..count)
        .map(|number| format!("c{number}: v{number}\n"))
        .collect();
    Yaml {
        input: format!("YAML: {count} entries"),
        text: lines.concat(),
    }
}

/// A single text of `mib` MiB.
pub fn long_text(mib: usize) -> Yaml {
    Yaml {
        input: format!("YAML: a text of {mib} MiB"),
        text: format!("demo: \"{}\"\n", "n".repeat(mib << 20)),
    }
}

/// The name of a ref with terminal escapes.
pub fn escapes() -> Yaml {
    Yaml {
        input: "YAML: a text with a terminal's commands".to_owned(),
        text: "demo: \"\\e[2J\\e]0;title\\a1.0\"\n".to_owned(),
    }
}

/// The inputs that once were too much.
pub fn known(scale: Scale) -> Vec<Yaml> {
    vec![
        deep(scale.pick(100_000, 1_000_000)),
        deep_block(scale.pick(1_000, 4_000)),
        aliases(9),
        entries(scale.pick(50_000, 1_000_000)),
        long_text(scale.pick(8, 64)),
        escapes(),
    ]
}

/// A generated input of these kinds.
pub fn generated(chance: &mut Chance) -> Yaml {
    match chance.below(5) {
        0 => deep(chance.up_to(4_000_000)),
        1 => deep_block(chance.up_to(8_000)),
        2 => aliases(chance.up_to(40)),
        3 => entries(chance.up_to(2_000_000)),
        _ => long_text(chance.up_to(64)),
    }
}

impl Yaml {
    /// As the refs of a release, and as the packages of one.
    pub fn check(self) -> Offline {
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "demo");
        upstream.commit(&[("file.txt", BASE)], "base");
        upstream.git(&["tag", "1.0.0"]);
        let ours = root.path().join("ours");
        for (path, text) in [
            ("patches/demo/2025.2/0001-five.patch", GOOD),
            ("releases/2025.2/source-refs.yaml", &self.text),
            ("releases/2025.2/extra-packages.yaml", &self.text),
        ] {
            let path = ours.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Offline {
            input: self.input,
            command: "check",
            arguments: vec![ours.into(), "--upstream".into(), root.path().into()],
            home: root.path().to_owned(),
            codes: &[0, 1, 2],
            names: &["source-refs.yaml", "demo"],
            ground: Box::new((root, upstream)),
        }
    }

    /// As a manifest.
    pub fn build_plan(self) -> Offline {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("manifest.yaml");
        std::fs::write(&file, &self.text).unwrap();
        Offline {
            input: self.input,
            command: "build-plan",
            arguments: vec!["--upstream".into(), root.path().into(), file.into()],
            home: root.path().to_owned(),
            codes: &[2],
            names: &["manifest"],
            ground: Box::new(root),
        }
    }
}

#[test]
fn files_of_a_release_are_read_within_bounds() {
    let rows: Vec<_> = known(Scale::Short)
        .into_iter()
        .map(|yaml| yaml.check().run())
        .collect();
    table::check(&rows);
}

#[test]
fn manifests_are_read_within_bounds() {
    let rows: Vec<_> = known(Scale::Short)
        .into_iter()
        .map(|yaml| yaml.build_plan().run())
        .collect();
    table::check(&rows);
}
