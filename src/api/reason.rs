//! The names of conditions and of their reasons: part of the API, so that dashboards may rely on them.

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
    /// The commits or tags that are to be signed are signed by one of the trusted keys. Absent where nothing asks for it.
    pub const SOURCE_VERIFIED: &str = "SourceVerified";
    /// All patches apply to the upstream's ref.
    pub const PATCHES_APPLICABLE: &str = "PatchesApplicable";
    /// The registry has the image that the patched source asks for.
    pub const IMAGE_BUILT: &str = "ImageBuilt";
    /// The image went where it should.
    pub const DELIVERED: &str = "Delivered";
    /// The overrides were merged into the upper constraints, and the merged file was written.
    pub const CONSTRAINTS_MERGED: &str = "ConstraintsMerged";
}

/// Ready=True, and steps that are done.
pub const SUCCEEDED: &str = "Succeeded";
/// Reconciling=True: the first attempt at this generation is under way.
pub const PROGRESSING: &str = "Progressing";
/// Reconciling=True: an attempt failed, and there will be another.
pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";

/// At least one patch does not apply.
pub const PATCH_CONFLICT: &str = "PatchConflict";
/// At least one patch cannot be read, and all others apply.
pub const PATCH_MALFORMED: &str = "PatchMalformed";
/// All patches that fail are in the upstream already.
pub const PATCH_MERGED: &str = "PatchMerged";
/// There are no patches, which is fine.
pub const NO_PATCHES: &str = "NoPatches";

/// The source is published, and the registry does not have the image yet.
pub const AWAITING_IMAGE: &str = "AwaitingImage";
/// An image waits for somebody to agree to its delivery.
pub const AWAITING_APPROVAL: &str = "AwaitingApproval";
/// An image is on a branch that somebody has to merge.
pub const AWAITING_MERGE: &str = "AwaitingMerge";
/// Somebody closed the pull request with an image, without merging it.
pub const PULL_REQUEST_CLOSED: &str = "PullRequestClosed";
/// No file has a marker of the object.
pub const MARKER_NOT_FOUND: &str = "MarkerNotFound";
/// A marker, or the file that has it, cannot be edited.
pub const INVALID_MARKER: &str = "InvalidMarker";
/// The server does not take the commit: a rule of the branch or a hook forbids it.
pub const PUSH_REJECTED: &str = "PushRejected";
/// A build is under way.
pub const BUILDING: &str = "Building";
/// A build of what is not wanted any more is being cancelled; this one follows.
pub const BUILD_CANCELLING: &str = "BuildCancelling";
/// As many builds are under way as may be; this one waits for its turn.
pub const BUILD_QUEUED: &str = "BuildQueued";
/// A build could not be cancelled when its object was deleted, and goes on.
pub const BUILD_NOT_CANCELLED: &str = "BuildNotCancelled";
/// A build failed.
pub const BUILD_FAILED: &str = "BuildFailed";
/// A library or the constraints that an image is built with are not ready.
pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
/// The tag has an image that was built from something else.
pub const TAG_TAKEN: &str = "TagTaken";
/// The image has the stock version of something that is built from patched source.
pub const STOCK_INSTALLED: &str = "StockInstalled";
/// The image's layers cannot be read.
pub const IMAGE_UNREADABLE: &str = "ImageUnreadable";
/// Something that is built from source would stay pinned to a version.
pub const STILL_PINNED: &str = "StillPinned";
/// Libraries need each other in a circle.
pub const DEPENDENCY_CYCLE: &str = "DependencyCycle";
/// The registry refuses what it is sent.
pub const REGISTRY_REFUSED: &str = "RegistryRefused";

/// The constraints are merged, and at least one override is redundant, outdated or absent; or the image is built, and
/// the document on its patches could not be attached.
pub const NEEDS_ATTENTION: &str = "NeedsAttention";
/// The overrides cannot be read, or contradict each other or the upper constraints.
pub const INVALID_OVERRIDES: &str = "InvalidOverrides";
/// The upper constraints cannot be read.
pub const INVALID_CONSTRAINTS: &str = "InvalidConstraints";
/// An object that the controller would own is there already and belongs to somebody else.
pub const NAME_TAKEN: &str = "NameTaken";
/// An object that the controller owns could not be written.
pub const WRITE_FAILED: &str = "WriteFailed";

/// The upstream or the patches' repository could not be reached in time.
pub const UNREACHABLE: &str = "Unreachable";
/// A server refused the credentials.
pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
/// The server answers, and has no such repository, or does not show it without other credentials.
pub const REPOSITORY_NOT_FOUND: &str = "RepositoryNotFound";
/// The ref does not exist.
pub const REF_NOT_FOUND: &str = "RefNotFound";
/// The file or folder does not exist at that ref.
pub const PATH_NOT_FOUND: &str = "PathNotFound";
/// A commit or tag that has to be signed is not.
pub const SIGNATURE_MISSING: &str = "SignatureMissing";
/// A commit or tag is signed by a key that is not among the trusted ones.
pub const UNKNOWN_SIGNER: &str = "UnknownSigner";
/// The signature of a commit or tag does not fit it, or is of a key that must not sign.
pub const INVALID_SIGNATURE: &str = "InvalidSignature";
/// A Secret, ConfigMap or source that the spec names does not exist.
pub const REFERENCE_NOT_FOUND: &str = "ReferenceNotFound";
/// A Secret, ConfigMap or file that the spec names has not the expected content.
pub const INVALID_REFERENCE: &str = "InvalidReference";
/// A Flux source has no artifact yet.
pub const ARTIFACT_NOT_READY: &str = "ArtifactNotReady";
/// An artifact could not be downloaded, or is not what its digest says.
pub const ARTIFACT_FAILED: &str = "ArtifactFailed";
/// The spec asks for what can never work.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// The spec asks for what this controller does not allow.
pub const ACCESS_DENIED: &str = "AccessDenied";
/// A server wants no request before a point in time.
pub const RATE_LIMITED: &str = "RateLimited";
/// An input is larger than the limits allow.
pub const TOO_LARGE: &str = "TooLarge";
/// The attempt took longer than `spec.timeout`.
pub const TIMED_OUT: &str = "TimedOut";
/// A defect of the controller interrupted the work.
pub const INTERNAL_ERROR: &str = "InternalError";
/// The object cannot be read: it fits another version of its definition.
pub const UNREADABLE: &str = "Unreadable";
/// The controller's own storage or the mirror failed.
pub const STORAGE_FAILED: &str = "StorageFailed";
