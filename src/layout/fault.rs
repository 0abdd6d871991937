//! What is wrong with a repository's folders.

use std::collections::BTreeSet;

use super::files::FilesError;

/// How many names a message lists.
pub(super) const MOST_NAMED: usize = 20;

/// What is wrong with the folders, besides patches that do not apply and overrides that need
/// attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum FaultKind {
    /// A file or folder where none belongs: nothing reads it.
    StrayFile,
    /// Patches or packages for a component that the release does not build.
    UnknownComponent,
    /// Patches for a release without `source-refs.yaml`.
    ReleaseWithoutRefs,
    /// A `source-refs.yaml` that cannot be read, or a ref in it.
    InvalidRefs,
    /// An `extra-packages.yaml` that cannot be read.
    InvalidExtraPackages,
    /// A component's repository cannot be used, or lacks the ref.
    UpstreamUnavailable,
    /// Overrides for a release without `upper-constraints.txt`.
    OverridesWithoutConstraints,
    /// An `upper-constraints.txt` that cannot be read.
    InvalidConstraints,
    /// Overrides that cannot be read or merged.
    InvalidOverrides,
    /// A component is built from source, and the merged constraints pin it: pip and uv refuse that.
    StillPinned,
    /// The merged constraints have an entry that pip accepts and that makes uv refuse the file.
    RefusedByUv,
    /// A file that lists the patches names one that is not there.
    MissingPatch,
    /// A file that lists the patches cannot be followed.
    InvalidSeries,
    /// A link that leads out of the repository, in a circle or to nothing.
    RefusedLink,
    /// A patch that the file that lists the patches does not name.
    NotInSeries,
    /// A folder for patches that has other things, and no patch.
    NoPatches,
    /// Two folders have the patches of one component at one release.
    DuplicateSeries,
}

impl FaultKind {
    /// Those that need attention, and fail nothing.
    pub const FOR_ATTENTION: [Self; 4] = [
        Self::StillPinned,
        Self::RefusedByUv,
        Self::NotInSeries,
        Self::NoPatches,
    ];

    /// Its name, as reports and statuses have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StrayFile => "StrayFile",
            Self::UnknownComponent => "UnknownComponent",
            Self::ReleaseWithoutRefs => "ReleaseWithoutRefs",
            Self::InvalidRefs => "InvalidRefs",
            Self::InvalidExtraPackages => "InvalidExtraPackages",
            Self::UpstreamUnavailable => "UpstreamUnavailable",
            Self::OverridesWithoutConstraints => "OverridesWithoutConstraints",
            Self::InvalidConstraints => "InvalidConstraints",
            Self::InvalidOverrides => "InvalidOverrides",
            Self::StillPinned => "StillPinned",
            Self::RefusedByUv => "RefusedByUv",
            Self::MissingPatch => "MissingPatch",
            Self::InvalidSeries => "InvalidSeries",
            Self::RefusedLink => "RefusedLink",
            Self::NotInSeries => "NotInSeries",
            Self::NoPatches => "NoPatches",
            Self::DuplicateSeries => "DuplicateSeries",
        }
    }

    /// Whether it fails a check; the others need attention.
    #[must_use]
    pub fn fails(self) -> bool {
        !Self::FOR_ATTENTION.contains(&self)
    }

    /// Whether it makes the patches of its folder unknown, so that none may be applied.
    #[must_use]
    pub fn hides_patches(self) -> bool {
        matches!(self, Self::MissingPatch | Self::InvalidSeries | Self::RefusedLink)
    }
}

/// Something that is wrong with the folders.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LayoutFault {
    /// What kind of thing.
    pub kind: FaultKind,
    /// The file or folder, relative to the root.
    pub path: String,
    /// The line, where one line is to blame.
    pub line: Option<usize>,
    /// A sentence.
    pub message: String,
}

impl LayoutFault {
    /// What is wrong with a file or folder as a whole.
    pub fn new(kind: FaultKind, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.into(),
            line: None,
            message: message.into(),
        }
    }

    /// The fault, with the line that is to blame.
    #[must_use]
    pub fn at_line(self, line: usize) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }
}

impl std::fmt::Display for LayoutFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = match self.path.as_str() {
            "" => "the root",
            path => path,
        };
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Why folders could not be read as what they should be.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The files cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// More than is read.
    #[error("{what}: more than the {limit} that are read")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// How much is read.
        limit: usize,
    },
    /// A path that names no folder.
    #[error("{path} {reason}")]
    NoFolder {
        /// The path.
        path: String,
        /// Why it is none.
        reason: String,
    },
    /// The folders are of no known kind.
    #[error("{0}")]
    NoLayout(String),
    /// The folders may be of several kinds.
    #[error("{saw}: set the layout (--layout, spec.layout) to {}", either(candidates))]
    Undecided {
        /// What there is, in words.
        saw: String,
        /// The kinds that it may be.
        candidates: Vec<patchset_api::LayoutKind>,
    },
    /// Something that the kind of layout does not say by itself is missing.
    #[error("{0}")]
    MissingOption(String),
    /// Something was asked for that is not there.
    #[error("{option} {name}: no such name; {}", known_names(name, known))]
    NotThere {
        /// The option that asks for it.
        option: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: BTreeSet<String>,
    },
    /// The patches of a folder are not known.
    #[error("{0}")]
    Faulty(LayoutFault),
}

fn either(candidates: &[patchset_api::LayoutKind]) -> String {
    let names: Vec<&str> = candidates.iter().map(|kind| kind.as_str()).collect();
    names.join(" or ")
}

/// The known names, the similar ones first.
fn known_names(name: &str, known: &BTreeSet<String>) -> String {
    let mut similar: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known.as_str()))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let similar: Vec<&str> = similar.into_iter().map(|(_, name)| name).take(3).collect();
    let there_is = format!("there is {}", some_of(known.iter().map(String::as_str)));
    match similar.as_slice() {
        [] => there_is,
        names => format!("did you mean {}? {there_is}", names.join(" or ")),
    }
}

/// The first names of many, with commas between them.
pub(super) fn some_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut some: Vec<&str> = names.by_ref().take(MOST_NAMED).collect();
    if some.is_empty() {
        return "none".to_owned();
    }
    if names.next().is_some() {
        some.push("…");
    }
    some.join(", ")
}
