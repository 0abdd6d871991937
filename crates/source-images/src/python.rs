//! Version files for Python packages that take their version from Git.
//!
//! A source image has no `.git`. pbr and setuptools-scm then look for a `PKG-INFO` beside
//! `setup.cfg` or `pyproject.toml`, as found in every sdist: pbr takes its version if the name is
//! the package's own (`pbr.packaging._get_version_from_pkg_metadata`), setuptools-scm takes it
//! unconditionally (`parse_pkginfo`).
//!
//! Both also ask Git which files belong to the package, and silently leave most of them out without
//! it. setuptools then takes those listed in `NAME.egg-info/SOURCES.txt`, which is in every sdist
//! too.

use std::str::FromStr;

use configparser::ini::Ini;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};
use pep440_rs::Version;

use super::Error;
use super::layer::{DEEPEST, File, MOST_ENTRIES, too_large};

const PKG_INFO: &str = "PKG-INFO";
const EGG_INFO: &str = ".egg-info";

/// The most bytes of listed paths in total.
const LARGEST_LIST: usize = 64 << 20;

/// The largest `setup.cfg` or `pyproject.toml` that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What to do about a tree's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionFile {
    /// Nothing: the tree has its own `PKG-INFO`, or is not a Python package that states a name.
    NotNeeded,
    /// Add these files to the tree.
    Add(Vec<File>),
    /// The package needs one, and no version is known.
    Unknown {
        /// The package's name.
        package: String,
    },
}

/// Returns the name of the Python distribution that a tree is the source of, if the tree states it:
/// in `pyproject.toml`, `setup.cfg` or `PKG-INFO`.
///
/// # Errors
///
/// Where the tree cannot be read.
pub fn distribution_name(objects: &dyn Objects, tree: Oid) -> Result<Option<String>, Error> {
    let root = objects.tree(tree)?;
    let name = declared_name(objects, &root)?;
    if name.is_some() {
        return Ok(name);
    }
    let has = |name: &str| root.iter().find(|entry| entry.name == name.as_bytes());
    Ok(
        match read_text(objects, has("pyproject.toml"))?.and_then(|text| name_for_poetry(&text)) {
            Some(name) => Some(name),
            None => read_text(objects, has(PKG_INFO))?.and_then(|text| name_in_pkg_info(&text)),
        },
    )
}

/// The name that a package's own configuration gives it.
fn declared_name(objects: &dyn Objects, root: &[TreeEntry]) -> Result<Option<String>, ObjectError> {
    let has = |name: &str| root.iter().find(|entry| entry.name == name.as_bytes());
    Ok(
        match read_text(objects, has("pyproject.toml"))?.and_then(|text| name_in_pyproject(&text)) {
            Some(name) => Some(name),
            None => read_text(objects, has("setup.cfg"))?.and_then(|text| name_in_setup_cfg(&text)),
        },
    )
}

/// Decides whether a tree needs a version file.
///
/// # Errors
///
/// Where the tree cannot be read.
pub fn version_file(
    objects: &dyn Objects,
    tree: Oid,
    version: Option<&Version>,
) -> Result<VersionFile, Error> {
    let root = objects.tree(tree)?;
    if root.iter().any(|entry| entry.name == PKG_INFO.as_bytes()) {
        return Ok(VersionFile::NotNeeded);
    }
    Ok(match (declared_name(objects, &root)?, version) {
        (None, _) => VersionFile::NotNeeded,
        (Some(package), None) => VersionFile::Unknown { package },
        (Some(package), Some(version)) => {
            let mut files = vec![File {
                name: PKG_INFO.to_owned(),
                content: format!("Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n").into_bytes(),
            }];
            if asks_git(objects, &root)?
                && !root.iter().any(|entry| entry.name.ends_with(EGG_INFO.as_bytes()))
            {
                let mut list = FileList {
                    objects,
                    lines: Vec::new(),
                    entries: 0,
                };
                list.add(tree, &mut Vec::new(), 0)?;
                files.push(File {
                    name: format!("{}{EGG_INFO}/SOURCES.txt", folder_name(&package)),
                    content: list.lines,
                });
            }
            VersionFile::Add(files)
        }
    })
}

/// Whether pbr or setuptools-scm finds a package's files by asking Git.
fn asks_git(objects: &dyn Objects, root: &[TreeEntry]) -> Result<bool, ObjectError> {
    for name in ["pyproject.toml", "setup.cfg", "setup.py"] {
        let entry = root.iter().find(|entry| entry.name == name.as_bytes());
        if let Some(text) = read_text(objects, entry)?
            && ["pbr", "setuptools_scm", "setuptools-scm"]
                .iter()
                .any(|tool| text.contains(tool))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of a package as setuptools writes it in the names of folders (`safe_name`,
/// `to_filename`).
fn folder_name(package: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '.';
    package
        .chars()
        .map(|c| if is_kept(c) { c } else { '_' })
        .collect()
}

/// The paths of all files of a tree, one per line.
struct FileList<'a> {
    objects: &'a dyn Objects,
    lines: Vec<u8>,
    entries: usize,
}

impl FileList<'_> {
    /// Adds the files below a folder.
    fn add(&mut self, tree: Oid, path: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(too_large("the depth of folders", &DEEPEST));
        }
        for entry in self.objects.tree(tree)? {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(too_large("the number of files", &MOST_ENTRIES));
            }
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            match entry.mode {
                EntryMode::Tree => self.add(entry.id, path, depth + 1)?,
                EntryMode::Regular | EntryMode::Executable if !path.contains(&b'\n') => {
                    self.lines.extend_from_slice(path);
                    self.lines.push(b'\n');
                }
                _ => {}
            }
            path.truncate(length);
            if self.lines.len() > LARGEST_LIST {
                return Err(too_large("the list of files in bytes", &LARGEST_LIST));
            }
        }
        Ok(())
    }
}

/// Returns the version of a component: the given one (PEP 440), else the one that its tag names. A
/// branch is not a version, though `stable/2025.2` looks like one.
///
/// # Errors
///
/// The given version, if it is not one.
pub fn component_version<'a>(
    given_version: Option<&'a str>,
    tag: Option<&str>,
) -> Result<Option<Version>, &'a str> {
    match given_version {
        Some(text) => text.parse().map(Some).map_err(|_| text),
        None => Ok(tag.and_then(version_of_tag)),
    }
}

/// The version that a tag names: PEP 440, with or without a `v` in front.
#[must_use]
pub fn version_of_tag(tag: &str) -> Option<Version> {
    let tag = tag.rsplit('/').next().unwrap_or(tag);
    Version::from_str(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

fn read_text(objects: &dyn Objects, entry: Option<&TreeEntry>) -> Result<Option<String>, ObjectError> {
    let Some(entry) = entry.filter(|entry| matches!(entry.mode, EntryMode::Regular | EntryMode::Executable))
    else {
        return Ok(None);
    };
    if objects.blob_size(entry.id)? > LARGEST {
        return Ok(None);
    }
    Ok(String::from_utf8(objects.blob(entry.id)?.to_vec()).ok())
}

/// `[project] name` (PEP 621).
fn name_in_pyproject(text: &str) -> Option<String> {
    let document: toml::Table = text.parse().ok()?;
    header_safe_name(document.get("project")?.get("name")?.as_str()?)
}

/// `[tool.poetry] name`, which Poetry used before PEP 621.
fn name_for_poetry(text: &str) -> Option<String> {
    let document: toml::Table = text.parse().ok()?;
    header_safe_name(document.get("tool")?.get("poetry")?.get("name")?.as_str()?)
}

/// The `Name` header of core metadata, which ends at the first empty line.
fn name_in_pkg_info(text: &str) -> Option<String> {
    let mut headers = text.lines().take_while(|line| !line.is_empty());
    header_safe_name(headers.find_map(|line| line.strip_prefix("Name:"))?)
}

/// `[metadata] name`.
fn name_in_setup_cfg(text: &str) -> Option<String> {
    let mut document = Ini::new();
    document.set_multiline(true);
    document.read(text.to_owned()).ok()?;
    header_safe_name(&document.get("metadata", "name")?)
}

/// Returns a name if it can stand in a header.
fn header_safe_name(name: &str) -> Option<String> {
    let name = name.trim();
    pep508_rs::PackageName::from_str(name).ok()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages() {
        let setup = "[metadata]\nname = oslo.messaging\nsummary = x\nclassifier =\n    A :: B\n    C :: D\n\n[files]\npackages =\n    oslo_messaging\n";
        assert_eq!(name_in_setup_cfg(setup).as_deref(), Some("oslo.messaging"));
        assert_eq!(name_in_setup_cfg("[metadata]\nname = a\tb\n"), None);
        let project =
            "[build-system]\nrequires = [\"pbr\"]\n[project]\nname = \"glance\"\ndynamic = [\"version\"]\n";
        assert_eq!(name_in_pyproject(project).as_deref(), Some("glance"));
        assert_eq!(name_in_pyproject("[build-system]\n"), None);
        let poetry = "[tool.poetry]\nname = \"Some-Tool\"\n";
        assert_eq!(name_for_poetry(poetry).as_deref(), Some("Some-Tool"));
        let info = "Metadata-Version: 2.1\nName: openstack-placement\nVersion: 14.0.0\n\nName: other\n";
        assert_eq!(name_in_pkg_info(info).as_deref(), Some("openstack-placement"));
        assert_eq!(name_in_pkg_info("Version: 1\n\nName: late\n"), None);
    }

    #[test]
    fn versions_of_tags() {
        for (tag, version) in [
            ("31.0.0", "31.0.0"),
            ("v1.2", "1.2"),
            ("release/2.0rc1", "2.0rc1"),
        ] {
            assert_eq!(version_of_tag(tag).unwrap().to_string(), version);
        }
        assert_eq!(version_of_tag("stable/2025.2-eol"), None);
        assert_eq!(version_of_tag("main"), None);
    }
}
