//! Images that a spec names as contexts of a build.

/// What a reference to an image as a context starts with.
const SCHEME: &str = "docker-image://";

/// An image that a spec names as a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base<'a> {
    /// By its digest.
    Pinned(String),
    /// By a tag, or by none; what that stands for has to be looked at.
    Tagged(&'a str),
}

/// Reads `docker-image://registry.example.org/base:1`, or the same with a digest.
#[must_use]
pub fn base(image: &str) -> Base<'_> {
    let reference = image.trim_start_matches(SCHEME);
    match reference.split_once('@') {
        Some((tagged, digest)) => Base::Pinned(pinned(tagged, digest)),
        None => Base::Tagged(reference),
    }
}

/// An image by its digest, given the tag that stands for it.
#[must_use]
pub fn pinned(tagged: &str, digest: &str) -> String {
    let repository = match tagged.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => tagged,
    };
    format!("{repository}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(
            base("docker-image://r:5000/base:1"),
            Base::Tagged("r:5000/base:1")
        );
        assert_eq!(
            base("docker-image://r:5000/base:1@sha256:0"),
            Base::Pinned("r:5000/base@sha256:0".into())
        );
        assert_eq!(pinned("r:5000/base:1", "sha256:0"), "r:5000/base@sha256:0");
        assert_eq!(pinned("r:5000/base", "sha256:0"), "r:5000/base@sha256:0");
    }
}
