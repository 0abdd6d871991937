//! The promises of `docs/security.md`: each names what holds it, and that is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The last cells of the document's tables, without their heads.
fn held_by(document: &str) -> Vec<&str> {
    document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .filter_map(|line| line.trim_end_matches([' ', '|']).rsplit(" | ").next())
        .filter(|cell| cell.starts_with('`') || cell.starts_with("unit tests"))
        .collect()
}

/// The words in code font.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether something of that name is there: a script, a file of unit tests, a fuzz target, a module of tests, or a test.
fn is_there(name: &str) -> bool {
    let root = root();
    if name.contains('/') {
        let unit_tests = || {
            fs::read_to_string(root.join("src").join(name)).is_ok_and(|code| code.contains("#[cfg(test)]"))
        };
        return root.join(name).exists() || unit_tests();
    }
    let tests = root.join("tests/it");
    let module = name.replace("::", "/");
    if ["", ".rs", "/mod.rs"]
        .iter()
        .any(|end| tests.join(format!("{module}{end}")).exists())
    {
        return true;
    }
    if root.join(format!("fuzz/fuzz_targets/{name}.rs")).exists() {
        return true;
    }
    let Some((module, test)) = name.rsplit_once("::") else {
        return false;
    };
    let module = module.replace("::", "/");
    [format!("{module}.rs"), format!("{module}/mod.rs")]
        .iter()
        .any(|file| {
            let code = fs::read_to_string(tests.join(file)).unwrap_or_default();
            code.contains(&format!("fn {test}("))
        })
}

#[test]
fn each_promise_names_a_test_that_is_there() {
    let document = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let cells = held_by(&document);
    assert!(cells.len() > 60, "{} rows were read", cells.len());
    let missing: Vec<&str> = cells
        .iter()
        .flat_map(|cell| code(cell))
        .filter(|name| !is_there(name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
    // What cannot be missed proves nothing.
    assert!(
        !is_there("source::trust::no_such_test") && !is_there("no_such_module") && !is_there("hack/none.sh")
    );
}
