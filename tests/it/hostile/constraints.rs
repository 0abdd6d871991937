//! Constraints and overrides, by `patchset constraints`.

use std::fmt::Write;

use super::chance::Chance;
use super::offline::Offline;
use super::{Scale, table};

/// Constraints, and overrides of them.
pub struct Files {
    pub input: String,
    pub constraints: String,
    pub overrides: String,
}

impl Files {
    fn new(input: &str, constraints: String) -> Self {
        Self {
            input: format!("constraints: {input}"),
            constraints,
            overrides: "other===1.0\n".to_owned(),
        }
    }

    /// The command that merges them.
    pub fn offline(self) -> Offline {
        let root = tempfile::tempdir().unwrap();
        let (constraints, overrides) = (root.path().join("upper.txt"), root.path().join("overrides.txt"));
        std::fs::write(&constraints, self.constraints).unwrap();
        std::fs::write(&overrides, self.overrides).unwrap();
        Offline {
            input: self.input,
            command: "constraints",
            arguments: vec![
                "--upper-constraints".into(),
                constraints.into(),
                "--overrides".into(),
                overrides.into(),
                "--output=json".into(),
            ],
            home: root.path().to_owned(),
            codes: &[0, 1, 2],
            names: &[],
            ground: Box::new(root),
        }
    }
}

fn deep_marker(depth: usize) -> Files {
    let (open, close) = ("(".repeat(depth), ")".repeat(depth));
    Files::new(
        &format!("a marker {depth} brackets deep"),
        format!("other===1.0;{open}python_version=='3.12'{close}\n"),
    )
}

fn long_marker(terms: usize) -> Files {
    let words: Vec<String> = (0..terms)
        .map(|term| format!("python_version=='3.{}'", term % 40))
        .collect();
    let joined: Vec<String> = words
        .chunks(2)
        .map(|pair| format!("({})", pair.join(" or ")))
        .collect();
    Files::new(
        &format!("a marker of {terms} terms"),
        format!("other===1.0;{}\n", joined.join(" and ")),
    )
}

fn same_package(count: usize) -> Files {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "other===1.{number};python_version=='3.{number}'").unwrap();
    }
    Files::new(&format!("one package {count} times"), text)
}

fn many(count: usize) -> Files {
    let mut files = Files::new(&format!("{count} packages, all overridden"), String::new());
    files.overrides.clear();
    for number in 0..count {
        writeln!(files.constraints, "p{number}===1.0").unwrap();
        writeln!(files.overrides, "p{number}===1.1").unwrap();
    }
    files
}

fn long_line(mib: usize) -> Files {
    Files::new(
        &format!("a line of {mib} MiB"),
        format!("other==={}\n", "1".repeat(mib << 20)),
    )
}

fn continued(count: usize) -> Files {
    Files::new(
        &format!("a line continued {count} times"),
        format!("other===1.0{}\n", " \\\n".repeat(count)),
    )
}

fn long_version(parts: usize) -> Files {
    Files::new(
        &format!("a version of {parts} parts"),
        format!("other==1{}\n", ".1".repeat(parts)),
    )
}

fn extras(count: usize) -> Files {
    Files::new(
        &format!("a package with {count} extras"),
        format!("other[{}]===1.0\n", vec!["x"; count].join(",")),
    )
}

fn escapes() -> Files {
    Files::new(
        "a name with a terminal's commands",
        "oth\x1b[2Jer===1.0 \x1b]0;title\x07\n".to_owned(),
    )
}

/// The inputs that once were too much.
pub fn known(scale: Scale) -> Vec<Files> {
    vec![
        deep_marker(scale.pick(100_000, 1_000_000)),
        long_marker(scale.pick(200, 2_000)),
        same_package(scale.pick(1_000, 10_000)),
        many(scale.pick(20_000, 100_000)),
        long_line(scale.pick(8, 64)),
        continued(scale.pick(100_000, 1_000_000)),
        long_version(scale.pick(100_000, 1_000_000)),
        extras(scale.pick(100_000, 1_000_000)),
        escapes(),
    ]
}

/// A generated input of these kinds.
pub fn generated(chance: &mut Chance) -> Files {
    match chance.below(8) {
        0 => deep_marker(chance.up_to(2_000_000)),
        1 => long_marker(chance.up_to(20_000)),
        2 => same_package(chance.up_to(50_000)),
        3 => many(chance.up_to(200_000)),
        4 => long_line(chance.up_to(64)),
        5 => continued(chance.up_to(4_000_000)),
        6 => long_version(chance.up_to(4_000_000)),
        _ => extras(chance.up_to(4_000_000)),
    }
}

#[test]
fn are_merged_within_bounds() {
    let rows: Vec<_> = known(Scale::Short)
        .into_iter()
        .map(|files| files.offline().run())
        .collect();
    table::check(&rows);
}
