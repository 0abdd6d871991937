//! The promises of `docs/security.md`: each names what enforces it, and that exists.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

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

/// The folders of a name below each library, such as `crates/git-apply-engine/tests`.
fn of_libraries(name: &str) -> Vec<PathBuf> {
    let libraries = fs::read_dir(root().join("crates")).unwrap();
    libraries
        .map(|library| library.unwrap().path().join(name))
        .filter(|path| path.is_dir())
        .collect()
}

/// Whether something of that name exists: a script, a file of unit tests, a fuzz target, a module
/// of tests, or a test.
fn is_there(name: &str) -> bool {
    let root = root();
    if name.contains('/') {
        let mut sources = of_libraries("src");
        sources.push(root.join("src"));
        let unit_tests = |folder: &PathBuf| {
            fs::read_to_string(folder.join(name)).is_ok_and(|code| code.contains("#[cfg(test)]"))
        };
        return root.join(name).exists() || sources.iter().any(unit_tests);
    }
    if root.join(format!("fuzz/fuzz_targets/{name}.rs")).exists() {
        return true;
    }
    let mut tests = of_libraries("tests");
    tests.extend(["it", "rules"].map(|folder| root.join("tests").join(folder)));
    tests.iter().any(|folder| is_test(folder, name))
}

/// Whether a folder has a module of tests, or a test, of that name.
fn is_test(folder: &Path, name: &str) -> bool {
    let module = name.replace("::", "/");
    if ["", ".rs", "/mod.rs"]
        .iter()
        .any(|end| folder.join(format!("{module}{end}")).exists())
    {
        return true;
    }
    let Some((module, test)) = name.rsplit_once("::") else {
        return false;
    };
    let module = module.replace("::", "/");
    [format!("{module}.rs"), format!("{module}/mod.rs")]
        .iter()
        .any(|file| {
            let code = fs::read_to_string(folder.join(file)).unwrap_or_default();
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
    // A check that can find nothing missing proves nothing.
    assert!(
        !is_there("git_mirrors::trust::no_such_test")
            && !is_there("no_such_module")
            && !is_there("hack/none.sh")
    );
}
