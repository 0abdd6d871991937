//! The names of conditions and their reasons. They are part of the API: dashboards may rely on
//! them.

use std::fmt;
use std::str::FromStr;

/// Types of conditions.
pub mod condition {
    /// The object is as its spec asks.
    pub const READY: &str = "Ready";
    /// The controller is at work, or will try again.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will change until a person changes something.
    pub const STALLED: &str = "Stalled";
    /// The upstream's ref was found, and the patches were read.
    pub const SOURCE_RESOLVED: &str = "SourceResolved";
    /// The commits or tags that must be signed are signed by one of the trusted keys. Absent if no
    /// signature is required.
    pub const SOURCE_VERIFIED: &str = "SourceVerified";
    /// The objects that a repository's folders ask for exist, as asked for.
    pub const OBJECTS_APPLIED: &str = "ObjectsApplied";
    /// All patches apply to the upstream's ref.
    pub const PATCHES_APPLICABLE: &str = "PatchesApplicable";
    /// The registry has the image that the patched source asks for.
    pub const IMAGE_BUILT: &str = "ImageBuilt";
    /// The tests of the image passed. Absent if there are none, and while there is no image to
    /// test.
    pub const IMAGE_TESTED: &str = "ImageTested";
    /// The image went where it should.
    pub const DELIVERED: &str = "Delivered";
    /// What is to be done for the patches is proposed in their repository. Absent if the spec does
    /// not ask for it.
    pub const UPKEEP_PROPOSED: &str = "UpkeepProposed";
    /// The overrides were merged into the upper constraints, and the merged file was written.
    pub const CONSTRAINTS_MERGED: &str = "ConstraintsMerged";
}

/// Why a condition has its status: one of the names in this file, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(&'static str);

/// A condition's reason that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a reason that this version knows")]
pub struct UnknownReason(String);

impl Reason {
    /// The name as conditions and events have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let found = Self::ALL.into_iter().find(|reason| reason.0 == text);
        found.ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// Defines the reasons, and [`Reason::ALL`].
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub const $name: Reason = Reason($text);)+

        impl Reason {
            /// All reasons.
            pub const ALL: [Self; [$($text),+].len()] = [$($name),+];
        }
    };
}

reasons! {
    /// Ready=True, and steps that are done.
    SUCCEEDED = "Succeeded";
    /// Reconciling=True: the first attempt at this generation is under way.
    PROGRESSING = "Progressing";
    /// Reconciling=True: an attempt failed, and there will be another.
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry";

    /// At least one patch does not apply.
    PATCH_CONFLICT = "PatchConflict";
    /// At least one patch cannot be read, and all others apply.
    PATCH_MALFORMED = "PatchMalformed";
    /// All patches that fail are in the upstream already.
    PATCH_MERGED = "PatchMerged";
    /// There are no patches, which is fine.
    NO_PATCHES = "NoPatches";

    /// The source is published, and the registry does not have the image yet.
    AWAITING_IMAGE = "AwaitingImage";
    /// An image is waiting for approval of its delivery.
    AWAITING_APPROVAL = "AwaitingApproval";
    /// An image is on a branch that has to be merged.
    AWAITING_MERGE = "AwaitingMerge";
    /// The pull request with an image was closed without being merged.
    PULL_REQUEST_CLOSED = "PullRequestClosed";
    /// No file has a marker of the object.
    MARKER_NOT_FOUND = "MarkerNotFound";
    /// A marker, or the file that contains it, cannot be edited.
    INVALID_MARKER = "InvalidMarker";
    /// The server rejects the commit: a branch rule or a hook forbids it.
    PUSH_REJECTED = "PushRejected";
    /// There is nothing to do for the patches.
    NOTHING_TO_PROPOSE = "NothingToPropose";
    /// A change to the patches will be proposed: it has not been due for long enough, or pull
    /// requests would come too fast.
    UPKEEP_WAITS = "UpkeepWaits";
    /// A person took over the pull request that maintains the patches.
    HANDS_OFF = "HandsOff";
    /// Something is to be done for the patches, but all of it is left alone, for the reasons
    /// reported.
    LEFT_ALONE = "LeftAlone";
    /// A build is under way.
    BUILDING = "Building";
    /// An obsolete build is being cancelled; this one follows.
    BUILD_CANCELLING = "BuildCancelling";
    /// The maximum number of builds is under way; this one waits for its turn.
    BUILD_QUEUED = "BuildQueued";
    /// A build could not be cancelled when its object was deleted, and goes on.
    BUILD_NOT_CANCELLED = "BuildNotCancelled";
    /// A build failed.
    BUILD_FAILED = "BuildFailed";
    /// A test of an image runs, or waits for its turn.
    TESTING = "Testing";
    /// A test of an image failed.
    TEST_FAILED = "TestFailed";
    /// A library or the constraints that an image is built with are not ready.
    DEPENDENCY_NOT_READY = "DependencyNotReady";
    /// The tag is on an image that was built from something else.
    TAG_TAKEN = "TagTaken";
    /// The image has the stock version of something that is built from patched source.
    STOCK_INSTALLED = "StockInstalled";
    /// The image's layers cannot be read.
    IMAGE_UNREADABLE = "ImageUnreadable";
    /// Something that is built from source would stay pinned to a version.
    STILL_PINNED = "StillPinned";
    /// Libraries depend on each other in a cycle.
    DEPENDENCY_CYCLE = "DependencyCycle";
    /// The registry refuses what it is sent.
    REGISTRY_REFUSED = "RegistryRefused";

    /// The constraints are merged, and at least one override is redundant, outdated or absent; or
    /// the image is built, and a test that does not block failed, or the document on its patches
    /// could not be attached.
    NEEDS_ATTENTION = "NeedsAttention";
    /// The overrides cannot be read, or contradict each other or the upper constraints.
    INVALID_OVERRIDES = "InvalidOverrides";
    /// The upper constraints cannot be read.
    INVALID_CONSTRAINTS = "InvalidConstraints";
    /// An object that the controller would own already exists and belongs to someone else.
    NAME_TAKEN = "NameTaken";
    /// An object that the controller owns could not be written.
    WRITE_FAILED = "WriteFailed";

    /// The folders of a repository do not fit the layout, or a file that says what is built cannot
    /// be read.
    LAYOUT_INVALID = "LayoutInvalid";
    /// An object stays although no folder asks for it.
    NOT_PRUNED = "NotPruned";
    /// What a template and a folder result in is refused.
    TEMPLATE_INVALID = "TemplateInvalid";

    /// The upstream or the patches' repository could not be reached in time.
    UNREACHABLE = "Unreachable";
    /// A server refused the credentials.
    AUTHENTICATION_FAILED = "AuthenticationFailed";
    /// The server answers, but has no such repository or does not show it to these credentials.
    REPOSITORY_NOT_FOUND = "RepositoryNotFound";
    /// The ref does not exist.
    REF_NOT_FOUND = "RefNotFound";
    /// The commits of a branch are not a series of patches: one is a merge, or the branch shares no
    /// history with the upstream.
    INVALID_BRANCH = "InvalidBranch";
    /// The file or folder does not exist at that ref.
    PATH_NOT_FOUND = "PathNotFound";
    /// A commit or tag that must be signed is not.
    SIGNATURE_MISSING = "SignatureMissing";
    /// A commit or tag is signed by a key that is not among the trusted ones.
    UNKNOWN_SIGNER = "UnknownSigner";
    /// The signature of a commit or tag does not match it, or is by a key that must not sign.
    INVALID_SIGNATURE = "InvalidSignature";
    /// A Secret, ConfigMap or source that the spec names does not exist.
    REFERENCE_NOT_FOUND = "ReferenceNotFound";
    /// A Secret, ConfigMap or file that the spec names does not have the expected content.
    INVALID_REFERENCE = "InvalidReference";
    /// A Flux source has no artifact yet.
    ARTIFACT_NOT_READY = "ArtifactNotReady";
    /// The spec asks for something that can never work.
    INVALID_SPEC = "InvalidSpec";
    /// The spec asks for something that this controller does not allow.
    ACCESS_DENIED = "AccessDenied";
    /// A server accepts no request before a certain time.
    RATE_LIMITED = "RateLimited";
    /// An input is larger than the limits allow.
    TOO_LARGE = "TooLarge";
    /// The attempt took longer than `spec.timeout`.
    TIMED_OUT = "TimedOut";
    /// A defect of the controller interrupted the work.
    INTERNAL_ERROR = "InternalError";
    /// The object cannot be read: it fits another version of its definition.
    UNREADABLE = "Unreadable";
    /// The controller's own storage or the mirror failed.
    STORAGE_FAILED = "StorageFailed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_as_its_reason_and_no_other_is() {
        for reason in Reason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        assert!("succeeded".parse::<Reason>().is_err());
    }
}
