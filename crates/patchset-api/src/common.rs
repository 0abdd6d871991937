//! Newtypes for the names that both resources use.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule for addresses of repositories, and the message if it is broken.
pub(super) const ADDRESS: (&str, &str) = (
    "self.matches('^[a-z][a-z0-9+.-]*://[^/]') || self.matches('^[^/:@\\\\s]+@[^/:\\\\s]+:[^:]')",
    "write an address such as https://host/path.git, ssh://git@host/path.git or git@host:path.git",
);

/// The same for what an address must not contain.
pub(super) const NO_PASSWORD: (&str, &str) = (
    "!self.matches('^[a-z][a-z0-9+.-]*://[^/@]*:[^/@]*@')",
    "a password must not be part of the address: put it into a Secret and name that in secretRef",
);

/// The pattern for the name of a branch, a tag or another ref.
pub(super) const REF_NAME: &str = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$";

/// A rule for the name of a branch, and the message if it is broken.
pub(super) const BRANCH_ALONE: (&str, &str) = (
    "!self.startsWith('refs/')",
    "write the branch without refs/heads/",
);

/// A rule for paths, and the message if a path in a repository breaks it.
pub(super) const RELATIVE_PATH: (&str, &str) = (
    "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
    "write a path relative to the repository's root, without '..'",
);

/// A component: the name of the software that is patched, as `releases/*/source-refs.yaml` spells
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Component(
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub String,
);

/// A release series, for instance `2025.2`: the folder below `releases/` that a deployment builds
/// from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Release(
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub String,
);

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest over everything that a result follows from: `sha256:` and 64 hexadecimal digits.
///
/// What others wrote in its place (into a label, or a status by hand) is kept verbatim, and equals
/// no digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct InputsDigest(String);

impl InputsDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn from_sha256(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(bytes)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first hexadecimal digits, for names.
    #[must_use]
    pub fn digits(&self, count: usize) -> String {
        let digits = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        digits.chars().take(count).collect()
    }
}

impl From<&str> for InputsDigest {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for InputsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a Secret or ConfigMap in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the referent.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A service account in the namespace of the object that names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ServiceAccountName(
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub String,
);

/// A ref of a Git repository; exactly one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit), has(self.semver)].filter(x, x).size() == 1")
        .message("set exactly one of branch, tag, commit and semver")
)]
pub struct GitRef {
    /// A branch, without `refs/heads/`. It is followed as it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    pub branch: Option<String>,
    /// A tag, without `refs/tags/`; an annotated tag stands for its commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    pub tag: Option<String>,
    /// A commit: its SHA-1 in full (40 digits), or abbreviated (7 or more) if the server allows it
    /// to be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{7,40}$"))]
    pub commit: Option<String>,
    /// A range over the tags that are semantic versions, for instance `>=31.0.0, <32`; the highest
    /// wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub semver: Option<String>,
}

/// Which object of a repository must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerificationMode {
    /// The commit that the ref stands for.
    #[default]
    HEAD,
    /// The annotated tag that the ref names.
    Tag,
    /// Both.
    TagAndHEAD,
}

impl VerificationMode {
    /// The mode as the spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HEAD => "HEAD",
            Self::Tag => "Tag",
            Self::TagAndHEAD => "TagAndHEAD",
        }
    }
}

/// Who must have signed a repository's commit or tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What must be signed: `HEAD` (the commit that the ref stands for), `Tag` (the annotated tag
    /// that it names) or `TagAndHEAD`. Defaults to `HEAD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<VerificationMode>,
    /// Secret whose values are the public keys, under any names: armored OpenPGP keys, SSH keys, or
    /// lines of an `allowed_signers` file.
    pub secret_ref: LocalReference,
}

/// A rule for what has a ref and a verification, and the message if it is broken.
pub(super) const TAG_IS_NAMED: (&str, &str) = (
    "!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD' || (has(self.ref) && (has(self.ref.tag) || has(self.ref.semver)))",
    "verify.mode Tag and TagAndHEAD ask for a signed tag: set ref.tag or ref.semver, or use HEAD",
);

/// A file or folder in a Git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(TAG_IS_NAMED.0).message(TAG_IS_NAMED.1))]
pub struct GitPath {
    /// The repository's address: https, ssh, or http where the controller allows it. Credentials go
    /// into `secretRef`, never into the address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: String,
    /// What to read. Defaults to the repository's default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<GitRef>,
    /// The folder or file in the repository, relative to its root.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub path: String,
    /// Who must have signed the commit or tag before anything in it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Secret with credentials: `username` and `password`, `bearerToken`, `identity` and
    /// `known_hosts`, or a GitHub App's keys; `ca.crt`, `tls.crt` and `tls.key` as needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

/// One key of a ConfigMap in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that holds the file.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
