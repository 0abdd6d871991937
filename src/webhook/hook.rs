//! The kinds of hooks: which header holds the signature and which the event, and what makes a
//! signature good.

use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Who sends a push, as the label of the Secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// GitHub, and what signs as it does: `X-Hub-Signature-256`.
    GitHub,
    /// GitLab, which sends the token itself: `X-Gitlab-Token`.
    GitLab,
    /// Gitea and Forgejo: `X-Gitea-Signature`.
    Gitea,
    /// Anything else that can sign: `X-Signature: sha256=…`.
    Generic,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A ref may have moved.
    Push,
    /// Something else: a ping, a comment.
    Other,
}

/// A text names no kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write github, gitlab, gitea or generic")]
pub struct HookKindError;

impl FromStr for HookKind {
    type Err = HookKindError;

    fn from_str(text: &str) -> Result<Self, HookKindError> {
        match text {
            "github" => Ok(Self::GitHub),
            "gitlab" => Ok(Self::GitLab),
            "gitea" => Ok(Self::Gitea),
            "generic" => Ok(Self::Generic),
            _ => Err(HookKindError),
        }
    }
}

impl HookKind {
    /// The header with the signature.
    #[must_use]
    pub fn signature_header(self) -> &'static str {
        match self {
            Self::GitHub => "x-hub-signature-256",
            Self::GitLab => "x-gitlab-token",
            Self::Gitea => "x-gitea-signature",
            Self::Generic => "x-signature",
        }
    }

    /// The header with the event's name; `None` if a request is always a push.
    #[must_use]
    pub fn event_header(self) -> Option<&'static str> {
        match self {
            Self::GitHub => Some("x-github-event"),
            Self::GitLab => Some("x-gitlab-event"),
            Self::Gitea => Some("x-gitea-event"),
            Self::Generic => None,
        }
    }

    /// What an event's name means. It is not signed: it saves looks, and nothing relies on it.
    #[must_use]
    pub fn event(self, name: Option<&str>) -> HookEvent {
        let moves_refs = match (self, name) {
            (Self::Generic, _) | (_, None) => true,
            (Self::GitHub | Self::Gitea, Some(name)) => ["push", "create"].contains(&name),
            (Self::GitLab, Some(name)) => ["Push Hook", "Tag Push Hook", "System Hook"].contains(&name),
        };
        if moves_refs {
            HookEvent::Push
        } else {
            HookEvent::Other
        }
    }

    /// Whether a signature is that of the token over the body. An empty token signs nothing. Takes
    /// the same time whatever is wrong with a signature of the right form.
    #[must_use]
    pub fn is_signed(self, token: &[u8], signature: &[u8], body: &[u8]) -> bool {
        if token.is_empty() {
            return false;
        }
        match self {
            Self::GitHub | Self::Generic => signature
                .strip_prefix(b"sha256=")
                .is_some_and(|code| is_code(token, code, body)),
            Self::Gitea => is_code(token, signature, body),
            // Their codes are compared: that takes the same time for all tokens, whatever their
            // length.
            Self::GitLab => {
                code(b"token", token)
                    .zip(code(b"token", signature))
                    .is_some_and(|(expected, given)| {
                        expected.verify_slice(&given.finalize().into_bytes()).is_ok()
                    })
            }
        }
    }
}

/// Whether a hexadecimal code is the HMAC-SHA256 of a body.
fn is_code(token: &[u8], hexadecimal: &[u8], body: &[u8]) -> bool {
    let mut given = [0; 32];
    hex::decode_to_slice(hexadecimal, &mut given).is_ok()
        && code(token, body).is_some_and(|expected| expected.verify_slice(&given).is_ok())
}

fn code(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).ok()?;
    code.update(text);
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    const TOKEN: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const CODE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn signatures_are_checked_as_forges_make_them() {
        let prefixed = format!("sha256={CODE}");
        for (kind, signature) in [
            (HookKind::GitHub, prefixed.as_str()),
            (HookKind::Generic, &prefixed),
            (HookKind::Gitea, CODE),
            (HookKind::GitLab, "It's a Secret to Everybody"),
        ] {
            let is_signed = |token: &[u8], signature: &str, body: &[u8]| {
                kind.is_signed(token, signature.as_bytes(), body)
            };
            assert!(is_signed(TOKEN, signature, BODY), "{kind:?}");
            assert!(!is_signed(b"another", signature, BODY), "{kind:?}");
            assert!(!is_signed(b"", signature, BODY), "{kind:?}");
            assert!(!is_signed(TOKEN, "", BODY), "{kind:?}");
            assert!(
                !is_signed(TOKEN, &signature[..signature.len() - 1], BODY),
                "{kind:?}"
            );
            assert!(!is_signed(TOKEN, &format!("{signature}0"), BODY), "{kind:?}");
            assert!(
                !is_signed(TOKEN, &signature.replace("04", "05").replace("Ev", "ev"), BODY),
                "{kind:?}"
            );
            if kind != HookKind::GitLab {
                assert!(!is_signed(TOKEN, signature, b"Hello, World?"), "{kind:?}");
            }
        }
        assert!(!HookKind::GitHub.is_signed(TOKEN, CODE.as_bytes(), BODY));
        assert!(!HookKind::GitHub.is_signed(TOKEN, format!("sha1={CODE}").as_bytes(), BODY));
        assert!(!HookKind::Gitea.is_signed(TOKEN, prefixed.as_bytes(), BODY));
        // Without a token one cannot sign with an empty one.
        let empty = hex::encode(code(b"", BODY).unwrap().finalize().into_bytes());
        assert!(!HookKind::Gitea.is_signed(b"", empty.as_bytes(), BODY));
        assert!(!HookKind::GitLab.is_signed(b"", b"", BODY));
    }

    #[test]
    fn what_moves_no_ref_is_no_push() {
        for (kind, name, event) in [
            (HookKind::GitHub, Some("push"), HookEvent::Push),
            (HookKind::GitHub, Some("ping"), HookEvent::Other),
            (HookKind::GitHub, Some("issue_comment"), HookEvent::Other),
            (HookKind::GitLab, Some("Tag Push Hook"), HookEvent::Push),
            (HookKind::GitLab, Some("Note Hook"), HookEvent::Other),
            (HookKind::Gitea, Some("create"), HookEvent::Push),
            (HookKind::Gitea, None, HookEvent::Push),
            (HookKind::Generic, Some("anything"), HookEvent::Push),
        ] {
            assert_eq!(kind.event(name), event, "{kind:?} {name:?}");
        }
        for name in ["github", "gitlab", "gitea", "generic"] {
            assert!(name.parse::<HookKind>().is_ok());
        }
        assert_eq!("GitHub".parse::<HookKind>(), Err(HookKindError));
    }
}
