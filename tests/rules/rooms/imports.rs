//! Which file of `src` uses which, by its imports and by paths in its code.
//!
//! A path counts as a use of the file that it leads to. `use crate::{a, b::{c}}`, `super::`,
//! `self::` and paths in code, also from a module that the file itself declares, are followed
//! segment by segment as far as there are files; a name that a `mod.rs` re-exports leads to the
//! file that has it. A file that declares its children and re-exports their items does not thereby
//! use them. Tests inside files, comments and strings do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below the crate, for instance `["build_request", "test_results", "junit"]`.
pub type Module = Vec<String>;

/// What each file uses.
pub type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// What one file contains.
#[derive(Default)]
struct Said {
    /// Absolute paths of imports and of code, but not of re-exports of its own children.
    paths: Vec<Module>,
    /// The names that it re-exports, with what they lead to.
    exported: BTreeMap<String, Module>,
}

/// Code with `pub(in path)` as `pub`: visibility is no use of the path.
fn without_visibility(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("pub");
        text.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    text
}

/// Reads all files below a folder.
pub fn uses(src: &Path) -> Uses {
    let mut files = Vec::new();
    crate::sources(src, &mut files);
    let codes: BTreeMap<Module, String> = files
        .iter()
        .map(|file| (module(src, file), without_visibility(&crate::code(file))))
        .collect();
    let modules: BTreeSet<Module> = codes.keys().cloned().collect();
    let said: BTreeMap<&Module, Said> = codes
        .iter()
        .map(|(module, code)| (module, said(module, &tokens(code), &modules)))
        .collect();
    let mut uses = Uses::new();
    for (module, found) in &said {
        let used = found.paths.iter().map(|path| file_of(path, &said, &modules));
        let used = used.filter(|used| used != *module && !used.is_empty()).collect();
        uses.insert((*module).clone(), used);
    }
    uses
}

/// The groups of files that use each other in a circle.
pub fn circles(uses: &Uses) -> Vec<BTreeSet<Module>> {
    let reaches: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|start| (start, reachable(start, uses))).collect();
    let mut circles: Vec<BTreeSet<Module>> = Vec::new();
    for (module, reached) in &reaches {
        let is_mutual = |other: &&&Module| reaches.get(**other).is_some_and(|back| back.contains(*module));
        let circle: BTreeSet<Module> = reached
            .iter()
            .filter(is_mutual)
            .map(|other| (*other).clone())
            .collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable<'a>(start: &'a Module, uses: &'a Uses) -> BTreeSet<&'a Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(module) = open.pop() {
        for next in uses.get(module).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn module(src: &Path, file: &Path) -> Module {
    let below = file.strip_prefix(src).unwrap().with_extension("");
    let mut names: Module = below
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if names.last().is_some_and(|last| last == "mod" || last == "lib") {
        names.pop();
    }
    names
}

/// Identifiers, `::`, and single characters of everything else, without the contents of strings.
fn tokens(code: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), code);
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") || rest.starts_with("//") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        rest = match token {
            "//" => after.find('\n').map_or("", |end| &after[end..]),
            "\"" => string_end(after),
            // A quote as a character literal starts no string.
            "'" if after.starts_with("\"'") => &after[2..],
            _ => after,
        };
        if !token.trim().is_empty() && token != "//" {
            tokens.push(token.to_owned());
        }
    }
    tokens
}

fn string_end(rest: &str) -> &str {
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => return &rest[at + 1..],
            _ => {}
        }
    }
    ""
}

fn said(module: &Module, tokens: &[String], modules: &BTreeSet<Module>) -> Said {
    let mut said = Said::default();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| next != "<");
        if is_use {
            let is_exported = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
            let (paths, next) = import(tokens, at + 1);
            for mut path in paths
                .into_iter()
                .filter_map(|path| absolute(module, &path, modules))
            {
                if path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                let is_child = path.starts_with(module);
                if is_exported {
                    said.exported
                        .extend(path.last().cloned().map(|name| (name, path.clone())));
                }
                if !(is_exported && is_child) {
                    said.paths.push(path);
                }
            }
            at = next;
            continue;
        }
        let is_start = at == 0 || tokens[at - 1] != "::";
        if is_start && is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next == "::") {
            let mut path = vec![tokens[at].clone()];
            while tokens.get(at + 1).is_some_and(|next| next == "::")
                && tokens.get(at + 2).is_some_and(|n| is_word(n))
            {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            said.paths.extend(absolute(module, &path, modules));
        }
        at += 1;
    }
    said
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The paths of an import from a token on, and the index of the token after it.
fn import(tokens: &[String], mut at: usize) -> (Vec<Module>, usize) {
    let mut path = Module::new();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                let mut paths = Vec::new();
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let (inner, next) = import(tokens, at);
                    paths.extend(inner.into_iter().map(|inner| [path.clone(), inner].concat()));
                    at = next + usize::from(tokens.get(next).is_some_and(|token| token == ","));
                }
                return (paths, at + 1);
            }
            "," | "}" | ";" => break,
            "as" => at += 2,
            "::" => at += 1,
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    (vec![path], at)
}

/// A path from the crate on; nothing if it leads outside.
fn absolute(module: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let base = module.get(..module.len().checked_sub(ups)?)?;
            Some([base, &path[ups..]].concat())
        }
        name => {
            let child = [module.as_slice(), &[name.to_owned()]].concat();
            modules.contains(&child).then(|| [module, path].concat())
        }
    }
}

/// The file that a path leads to.
fn file_of(path: &[String], said: &BTreeMap<&Module, Said>, modules: &BTreeSet<Module>) -> Module {
    let mut path = path.to_vec();
    // Names may be re-exported more than once.
    for _ in 0..10 {
        let length = (0..=path.len())
            .rev()
            .find(|length| modules.contains(&path[..*length]));
        let length = length.unwrap_or_default();
        let (file, rest) = path.split_at(length);
        let exported = rest
            .first()
            .and_then(|name| said.get(&file.to_vec())?.exported.get(name));
        match exported {
            Some(target) if *target != path => path = [target.as_slice(), &rest[1..]].concat(),
            _ => return file.to_vec(),
        }
    }
    path
}

#[test]
fn paths_lead_to_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code) in [
        ("lib.rs", "pub mod a;\npub mod b;\n"),
        (
            "a/mod.rs",
            "mod deep;\nmod side;\npub use deep::Thing;\npub fn own() {}\n",
        ),
        (
            "a/deep.rs",
            "use crate::{b::{self, helper}, other};\npub struct Thing;\n",
        ),
        (
            "a/side.rs",
            "// use crate::b;\nfn f() -> impl Sized + use<> { super::own(); \"crate::b::x\"; 1 }\n",
        ),
        (
            "b.rs",
            "fn g() { crate::a::Thing; }\n#[cfg(test)]\nmod tests { use crate::a::side; }\n",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, code).unwrap();
    }
    let uses = uses(folder.path());
    let of = |name: &str| -> Vec<String> {
        let module: Module = name.split("::").map(ToOwned::to_owned).collect();
        uses[&module].iter().map(|used| used.join("::")).collect()
    };
    assert_eq!(of("a"), [""; 0]);
    assert_eq!(of("a::deep"), ["b"]);
    assert_eq!(of("a::side"), ["a"]);
    assert_eq!(of("b"), ["a::deep"]);
    let circles = circles(&uses);
    let names: Vec<String> = circles.iter().flatten().map(|module| module.join("::")).collect();
    assert_eq!(names, ["a::deep", "b"]);
}
