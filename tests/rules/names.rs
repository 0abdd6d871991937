//! Names say what they answer: no two types of a crate share a name, and no function is called
//! `of`. The limits on signatures and functions (`clippy.toml`) are raised nowhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{code, root, sources};

/// The source folders of the crates.
fn crates() -> Vec<PathBuf> {
    let libraries = std::fs::read_dir(root().join("crates")).unwrap();
    let libraries = libraries.map(|library| library.unwrap().path().join("src"));
    let mut all: Vec<PathBuf> = libraries.filter(|folder| folder.is_dir()).collect();
    all.push(root().join("src"));
    all
}

/// The names that a keyword introduces in code, such as those of functions for `fn`.
fn given<'a>(code: &'a str, keyword: &str) -> Vec<&'a str> {
    let mut words = code.split_whitespace();
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        if word == keyword {
            let name = words.next().unwrap_or_default();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            names.push(&name[..end.unwrap_or(name.len())]);
        }
    }
    names
}

#[test]
fn no_type_of_a_crate_has_the_name_of_another() {
    let mut wrong = Vec::new();
    for folder in crates() {
        let mut files = Vec::new();
        sources(&folder, &mut files);
        let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for file in files {
            let code = code(&file);
            for name in ["struct", "enum", "trait"]
                .map(|keyword| given(&code, keyword))
                .concat()
            {
                places.entry(name.to_owned()).or_default().push(file.clone());
            }
        }
        // Each room has its own error.
        wrong.extend(
            places
                .into_iter()
                .filter(|(name, files)| files.len() > 1 && name != "Error"),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_function_is_called_of() {
    let mut files = Vec::new();
    for folder in crates() {
        sources(&folder, &mut files);
    }
    assert!(files.len() > 200, "{} files were read", files.len());
    files.retain(|file| given(&code(file), "fn").contains(&"of"));
    assert!(files.is_empty(), "{files:#?}");
}

#[test]
fn no_signature_and_no_function_is_allowed_to_be_longer() {
    let mut files = Vec::new();
    for folder in ["src", "crates", "tests", "benches"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 600, "{} files were read", files.len());
    let lints =
        ["too_many_arguments", "too_many_lines", "type_complexity"].map(|lint| format!("clippy::{lint}"));
    files.retain(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        lints.iter().any(|lint| text.contains(lint))
    });
    assert!(files.is_empty(), "{files:#?}");
}

#[test]
fn names_are_found() {
    let code = "pub struct A<T>(T);\nenum B { X }\npub(crate) trait C: Sized {}\nfn of<'a>() {}\nfn other(of: u8) {}\n";
    assert_eq!(given(code, "struct"), ["A"]);
    assert_eq!(given(code, "enum"), ["B"]);
    assert_eq!(given(code, "trait"), ["C"]);
    assert_eq!(given(code, "fn"), ["of", "other"]);
}
