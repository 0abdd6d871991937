//! Finds out how a repository arranges its patches.

use std::collections::BTreeSet;

use patchset_api::LayoutKind;

use super::fault::{LayoutError, some_of};
use super::files::FileKind;
use super::links::{FolderWalk, FoundAt};
use super::ref_template::release_of_branch;
use super::series::{folders_in, is_patch_name};
use super::series_file::LISTS;

/// Folders that hold the projects of OpenStack and its neighbours on their servers.
const ORGANISATIONS: [&str; 7] = [
    "airship",
    "openinfra",
    "openstack",
    "starlingx",
    "x",
    "zuul",
    "openstack-k8s-operators",
];

/// Names of releases without a number, and of branches that stand for the newest.
const RELEASE_NAMES: [&str; 22] = [
    "antelope",
    "bobcat",
    "caracal",
    "dalmatian",
    "devel",
    "epoxy",
    "flamingo",
    "gazpacho",
    "latest",
    "main",
    "master",
    "queens",
    "rocky",
    "stein",
    "train",
    "trunk",
    "ussuri",
    "victoria",
    "wallaby",
    "xena",
    "yoga",
    "zed",
];

/// What is below `patches`.
#[derive(Default)]
struct PatchesShape {
    /// It has patches itself.
    is_folder_of_patches: bool,
    /// Its folders that have patches themselves.
    with_patches: BTreeSet<String>,
    /// Its folders that have folders.
    outer: BTreeSet<String>,
    /// The folders in those.
    inner: BTreeSet<String>,
}

/// The kind of layout that the folders show.
pub(super) fn find_kind(walk: &FolderWalk<'_>, branch: Option<&str>) -> Result<LayoutKind, LayoutError> {
    let mut saw = Vec::new();
    let mut candidates = Vec::new();
    let has_releases = ["releases", "overrides"]
        .into_iter()
        .map(|name| is_folder(walk, name))
        .collect::<Result<Vec<bool>, _>>()?
        .contains(&true);
    if is_folder(walk, "debian/patches")? {
        saw.push("there is debian/patches".to_owned());
        candidates.push(LayoutKind::DebianPatches);
    }
    if is_folder(walk, "patches")? {
        let shape = PatchesShape::from_walk(walk)?;
        let kinds = if shape.outer.is_empty() && !shape.has_patches() {
            // Empty so far, or with other files of a release.
            if candidates.is_empty() {
                vec![LayoutKind::ComponentRelease]
            } else {
                Vec::new()
            }
        } else if shape.outer.is_empty() {
            vec![LayoutKind::SingleComponent]
        } else {
            shape.kinds(&release_names(walk)?, branch)
        };
        saw.extend((!kinds.is_empty()).then(|| shape.in_words()));
        candidates.extend(kinds);
    } else if has_releases {
        saw.push("there are releases or overrides".to_owned());
        candidates.push(LayoutKind::ComponentRelease);
    } else if candidates.is_empty() && has_patches(walk, "")? {
        candidates.push(LayoutKind::SingleComponent);
    }
    match candidates.as_slice() {
        [kind] => Ok(*kind),
        [] => Err(LayoutError::NoLayout(
            "there is no folder patches, overrides or releases in it, no debian/patches and no patch"
                .to_owned(),
        )),
        _ => Err(LayoutError::Undecided {
            saw: saw.join(", and "),
            candidates,
        }),
    }
}

fn is_folder(walk: &FolderWalk<'_>, path: &str) -> Result<bool, LayoutError> {
    Ok(matches!(walk.locate(path)?, FoundAt::Folder(_)))
}

/// Whether a folder has patches, or a file that lists them.
pub(super) fn has_patches(walk: &FolderWalk<'_>, path: &str) -> Result<bool, LayoutError> {
    let FoundAt::Folder(folder) = walk.locate(path)? else {
        return Ok(false);
    };
    let entries = walk.entries(&folder)?;
    Ok(entries.iter().flat_map(|entries| entries.iter()).any(|entry| {
        let is_list = LISTS.iter().any(|(list, _)| *list == entry.name);
        entry.kind != FileKind::Folder && (is_list || is_patch_name(&entry.name))
    }))
}

/// The releases that have other folders.
fn release_names(walk: &FolderWalk<'_>) -> Result<BTreeSet<String>, LayoutError> {
    let mut names = folders_in(walk, "releases")?;
    names.extend(folders_in(walk, "overrides")?);
    Ok(names.into_iter().collect())
}

/// Whether a name is that of a release by itself: 2025.2, main, antelope.
fn is_release_like(name: &str) -> bool {
    let number = name.strip_prefix('v').unwrap_or(name);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = number.contains('.') && number.split('.').take(2).all(digits);
    let is_year = number.len() == 4 && digits(number);
    let is_branch = release_of_branch(name) != name || name.starts_with("stable-");
    is_version || is_year || is_branch || RELEASE_NAMES.contains(&name)
}

impl PatchesShape {
    fn from_walk(walk: &FolderWalk<'_>) -> Result<Self, LayoutError> {
        let mut shape = Self {
            is_folder_of_patches: has_patches(walk, "patches")?,
            ..Self::default()
        };
        for outer in folders_in(walk, "patches")? {
            let path = format!("patches/{outer}");
            let inner = folders_in(walk, &path)?;
            if has_patches(walk, &path)? {
                shape.with_patches.insert(outer.clone());
            }
            if !inner.is_empty() {
                shape.outer.insert(outer);
                shape.inner.extend(inner);
            }
        }
        Ok(shape)
    }

    fn has_patches(&self) -> bool {
        self.is_folder_of_patches || !self.with_patches.is_empty()
    }

    /// The kinds that folders in folders may be. `releases` have folders of their own.
    fn kinds(&self, releases: &BTreeSet<String>, branch: Option<&str>) -> Vec<LayoutKind> {
        let by_known = |name: &String| releases.contains(name);
        let by_name = |name: &String| releases.contains(name) || is_release_like(name);
        let [known, named] = [
            [self.outer.iter().any(by_known), self.inner.iter().any(by_known)],
            [self.outer.iter().any(by_name), self.inner.iter().any(by_name)],
        ];
        for [outer, inner] in [known, named] {
            match (outer, inner) {
                (false, true) => return vec![LayoutKind::ComponentRelease],
                (true, false) => return vec![LayoutKind::ReleaseComponent],
                (true, true) => {
                    return vec![LayoutKind::ComponentRelease, LayoutKind::ReleaseComponent];
                }
                (false, false) => {}
            }
        }
        if !releases.is_empty() {
            return vec![LayoutKind::ComponentRelease];
        }
        let is_organisation = |name: &String| ORGANISATIONS.contains(&name.as_str());
        let is_for_release = branch.is_some_and(|branch| is_release_like(&release_of_branch(branch)));
        if self.outer.iter().any(is_organisation) || (is_for_release && !self.has_patches()) {
            return vec![LayoutKind::OrgComponent];
        }
        let mut kinds = vec![LayoutKind::ComponentRelease, LayoutKind::OrgComponent];
        kinds.extend(self.has_patches().then_some(LayoutKind::SingleComponent));
        kinds
    }

    fn in_words(&self) -> String {
        let some = |names: &BTreeSet<String>| some_of(names.iter().map(String::as_str));
        if self.outer.is_empty() {
            return "patches has patches for one component".to_owned();
        }
        format!(
            "patches has the folders {} and in them {}, and it is not clear which of them are releases",
            some(&self.outer),
            some(&self.inner)
        )
    }
}
