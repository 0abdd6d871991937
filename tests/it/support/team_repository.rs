//! Repositories of patches in the shapes that teams use, and their upstreams.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::git_repo::GitRepo;

/// The file that each upstream has.
const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// The release of the patches.
pub const RELEASE: &str = "2025.2";

/// The shape of a repository: named after `LayoutKind` of the resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    ComponentRelease,
    ReleaseComponent,
    OrgComponent,
    SingleComponent,
    DebianPatches,
}

/// A repository of one shape.
///
/// `nova` has a `series` that reverses the order of names, strips nothing from the names of one
/// patch, and leaves one out. `glance` has only a `.diff`, and a link to a patch elsewhere in the
/// repository.
pub struct TeamRepository {
    pub shape: Shape,
    pub repository: GitRepo,
}

impl Shape {
    pub const ALL: [Self; 5] = [
        Self::ComponentRelease,
        Self::ReleaseComponent,
        Self::OrgComponent,
        Self::SingleComponent,
        Self::DebianPatches,
    ];

    /// Its name in the resources and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::ComponentRelease => "ComponentRelease",
            Self::ReleaseComponent => "ReleaseComponent",
            Self::OrgComponent => "OrgComponent",
            Self::SingleComponent => "SingleComponent",
            Self::DebianPatches => "DebianPatches",
        }
    }

    /// The components with patches.
    pub fn components(self) -> &'static [&'static str] {
        match self {
            Self::ComponentRelease | Self::ReleaseComponent | Self::OrgComponent => &["nova", "glance"],
            Self::SingleComponent | Self::DebianPatches => &["nova"],
        }
    }

    /// The folder with a component's patches.
    pub fn folder(self, component: &str) -> String {
        match self {
            Self::ComponentRelease => format!("patches/{component}/{RELEASE}"),
            Self::ReleaseComponent => format!("patches/{RELEASE}/{component}"),
            Self::OrgComponent => format!("patches/openstack/{component}"),
            Self::SingleComponent => "patches".to_owned(),
            Self::DebianPatches => "debian/patches".to_owned(),
        }
    }

    /// Its branch.
    pub fn branch(self) -> &'static str {
        match self {
            Self::ComponentRelease | Self::ReleaseComponent => "main",
            Self::OrgComponent | Self::SingleComponent | Self::DebianPatches => "stable/2025.2",
        }
    }
}

/// The names and states of a component's patches, in their order.
pub fn expected(component: &str) -> Vec<(String, String)> {
    let names: &[&str] = match component {
        "nova" => &["b-louder.patch", "sub/a-quiet.diff"],
        _ => &["0001-three.diff", "0002-seven.patch"],
    };
    names
        .iter()
        .map(|name| ((*name).to_owned(), "Clean".to_owned()))
        .collect()
}

/// Makes the upstreams `nova.git` and `glance.git` below a folder, with the branch `stable/2025.2`.
pub fn make_upstreams(root: &Path) -> Vec<GitRepo> {
    let names = ["nova", "glance"].into_iter();
    names
        .map(|name| {
            let upstream = GitRepo::create(root, name);
            upstream.commit(&[("file.txt", BASE), ("lib/file.txt", BASE)], "base");
            upstream.git(&["branch", "stable/2025.2"]);
            upstream
        })
        .collect()
}

/// A patch that turns a line of a file into another; `names` are those of its header.
pub fn patch(names: [&str; 2], line: &str, into: &str) -> String {
    let lines: Vec<&str> = BASE.lines().collect();
    let at = lines
        .iter()
        .position(|one| one.eq_ignore_ascii_case(line))
        .unwrap();
    format!(
        "Subject: [PATCH] Say {into}\n\n--- {}\n+++ {}\n@@ -{at},3 +{at},3 @@\n {}\n-{line}\n+{into}\n {}\n",
        names[0],
        names[1],
        lines[at - 1],
        lines[at + 1]
    )
}

impl TeamRepository {
    /// Makes the repository `team-SHAPE.git` below a folder.
    pub fn create(root: &Path, shape: Shape) -> Self {
        let name = format!("team-{}", shape.name().to_lowercase());
        let repository = GitRepo::create(root, &name);
        let work = repository.work().to_owned();
        let write = |path: String, text: &str| {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let nova = shape.folder("nova");
        let own = ["lib/file.txt", "lib/file.txt"];
        write(
            format!("{nova}/series"),
            "# in this order\nb-louder.patch\nsub/a-quiet.diff -p0 # by a tool that strips nothing\n",
        );
        write(
            format!("{nova}/b-louder.patch"),
            &patch(["a/lib/file.txt", "b/lib/file.txt"], "five", "FIVE"),
        );
        write(format!("{nova}/sub/a-quiet.diff"), &patch(own, "FIVE", "five"));
        write(format!("{nova}/left-out.patch"), "nothing\n");
        write(format!("{nova}/README"), "why\n");
        if shape.components().contains(&"glance") {
            let glance = shape.folder("glance");
            write(
                format!("{glance}/0001-three.diff"),
                &patch(["a/file.txt", "b/file.txt"], "three", "THREE"),
            );
            write(
                "shared/seven.patch".to_owned(),
                &patch(["a/file.txt", "b/file.txt"], "seven", "SEVEN"),
            );
            write(format!("{glance}/._0001-three.diff"), "left by a desktop\n");
            let up = "../".repeat(glance.split('/').count());
            std::os::unix::fs::symlink(
                format!("{up}shared/seven.patch"),
                work.join(&glance).join("0002-seven.patch"),
            )
            .unwrap();
        }
        repository.commit(&[], "patches");
        if shape.branch() != "main" {
            repository.git(&["branch", "--move", "main", shape.branch()]);
        }
        Self { shape, repository }
    }

    /// Checks out its branch below a folder.
    pub fn checkout(&self, root: &Path) -> PathBuf {
        let folder = root.join(self.shape.name());
        let cloned = Command::new("git")
            .args(["clone", "--quiet", "--branch", self.shape.branch()])
            .arg(&self.repository.dir)
            .arg(&folder)
            .status()
            .unwrap();
        assert!(cloned.success());
        folder
    }
}
