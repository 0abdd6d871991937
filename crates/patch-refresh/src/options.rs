//! What is known besides the tree, and how much is accepted.

use git_apply_engine::{ObjectError, Oid, Options};

/// Finds blobs by the beginnings of their ids, as `index` lines name them.
pub trait FindBlob {
    /// Returns the only blob whose id begins with these hexadecimal digits; `None` if there is
    /// none, or if there are several.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError>;
}

/// What is known of a series besides the tree. The default is that nothing is.
#[derive(Clone, Copy, Default)]
pub struct RefreshHints<'a> {
    /// Finds the blobs that `index` lines name.
    pub blobs: Option<&'a dyn FindBlob>,
    /// What is known of each patch, in the order of the series; it may end early.
    pub patches: &'a [PatchHint],
}

/// What is known of a patch besides the tree. The default is that nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchHint {
    /// The upstream's tree, without any patch, on which the series last applied up to and including
    /// this patch.
    pub last_applied: Option<Oid>,
    /// Whether it is in the tree.
    pub presence: Presence,
}

/// Whether a tree has what a patch does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It is not known, and is decided by whether the patch applies in reverse.
    #[default]
    Unknown,
    /// It has, maybe in another form, according to upstream's history. This counts only if the
    /// patch does not apply as it is.
    Merged,
}

/// How patches are refreshed. The defaults are those of `git apply` and GNU patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshOptions {
    /// How patches are read and applied, and the bounds on that. `reverse` and `results` are
    /// ignored.
    pub engine: Options,
    /// How many lines of context at each end of a hunk may differ.
    pub fuzz: usize,
    /// Bounds on what refreshing them may cost.
    pub limits: RefreshLimits,
}

impl Default for RefreshOptions {
    fn default() -> Self {
        Self {
            engine: Options::default(),
            fuzz: 2,
            limits: RefreshLimits::default(),
        }
    }
}

/// Bounds on what refreshing a series may cost. A patch beyond them is
/// [`Impossible`](super::RefreshOutcome::Impossible), and the series goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshLimits {
    /// Bytes of a file that is compared or merged, and of a patch that is refreshed.
    pub file_bytes: u64,
    /// Lines of a file that is compared or merged.
    pub file_lines: usize,
    /// Bytes of the files and patches that a series makes, and that are held until it ends.
    pub memory_bytes: u64,
    /// Bytes and lines that a series may compare, merge and look through, in units of about one
    /// byte.
    pub effort: u64,
}

impl Default for RefreshLimits {
    fn default() -> Self {
        Self {
            file_bytes: 8 << 20,
            file_lines: 200_000,
            memory_bytes: 96 << 20,
            effort: 1 << 30,
        }
    }
}
