//! Where an answer may lead: redirects, and addresses in `Location` headers.

use url::Url;

/// Whether an answer may lead to an origin other than the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossOriginPolicy {
    /// It stays at the origin: scheme, host and port.
    Refused,
    /// Over https, for what is fetched without a login: blobs, uploads and logs are often kept at
    /// another host.
    OverHttps,
    /// Over https, or without encryption where the request had none: a repository's address, as git
    /// follows it.
    NotLessEncrypted,
}

/// A redirect that is not followed. Its text names the host alone: what follows it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server leads to {to}, {reason}")]
pub struct RefusedRedirect {
    to: String,
    reason: &'static str,
}

/// Reads the address that an answer leads to, which may be relative, and checks it. The IP address
/// to connect to is checked by [`crate::Destinations`].
///
/// # Errors
///
/// [`RefusedRedirect`] if it is not an address, holds a login, is not encrypted although the
/// request was, or is at another origin where that is refused.
pub fn check_redirect(
    from: &Url,
    location: &str,
    elsewhere: CrossOriginPolicy,
) -> Result<Url, RefusedRedirect> {
    let refused = |to: &str, reason| RefusedRedirect {
        to: foreign_text::printable(to, 200),
        reason,
    };
    let to = from
        .join(location)
        .map_err(|_| refused("something", "which is not an address"))?;
    let shown = format!("{}://{}", to.scheme(), to.host_str().unwrap_or_default());
    if !to.username().is_empty() || to.password().is_some() {
        return Err(refused(
            &shown,
            "with a login in the address, which is not followed",
        ));
    }
    if to.origin() == from.origin() {
        return Ok(to);
    }
    match elsewhere {
        CrossOriginPolicy::Refused => Err(refused(
            &shown,
            "another server, which is not followed here: name that one",
        )),
        CrossOriginPolicy::OverHttps | CrossOriginPolicy::NotLessEncrypted
            if to.scheme() == "https" && to.host().is_some() =>
        {
            Ok(to)
        }
        CrossOriginPolicy::NotLessEncrypted if from.scheme() == "http" && to.scheme() == "http" => Ok(to),
        CrossOriginPolicy::OverHttps | CrossOriginPolicy::NotLessEncrypted => {
            Err(refused(&shown, "which is not encrypted and is not followed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leads_to_its_origin_or_over_https() {
        let from: Url = "https://r.example/v2/a/blobs/uploads/".parse().unwrap();
        let check = |location: &str, elsewhere| check_redirect(&from, location, elsewhere).map(String::from);
        assert_eq!(
            check("/v2/a/1?state=x", CrossOriginPolicy::Refused),
            Ok("https://r.example/v2/a/1?state=x".to_owned())
        );
        assert_eq!(
            check("https://blobs.example/1", CrossOriginPolicy::OverHttps),
            Ok("https://blobs.example/1".to_owned())
        );
        for (location, elsewhere, part) in [
            (
                "https://blobs.example/1",
                CrossOriginPolicy::Refused,
                "another server",
            ),
            (
                "https://r.example:444/1",
                CrossOriginPolicy::Refused,
                "another server",
            ),
            (
                "http://r.example/1",
                CrossOriginPolicy::OverHttps,
                "not encrypted",
            ),
            (
                "http://blobs.example/1",
                CrossOriginPolicy::NotLessEncrypted,
                "not encrypted",
            ),
            (
                "http://internal/secret",
                CrossOriginPolicy::OverHttps,
                "http://internal, which is not encrypted",
            ),
            (
                "file:///etc/passwd",
                CrossOriginPolicy::OverHttps,
                "not encrypted",
            ),
            (
                "https://ann:pw@r.example/1",
                CrossOriginPolicy::Refused,
                "a login",
            ),
            ("https://", CrossOriginPolicy::OverHttps, "not an address"),
        ] {
            let error = check(location, elsewhere).unwrap_err().to_string();
            assert!(
                error.contains(part) && !error.contains("pw") && !error.contains("secret"),
                "{location}: {error}"
            );
        }
        let plain: Url = "http://r.example/a".parse().unwrap();
        assert!(
            check_redirect(
                &plain,
                "http://other.example/a",
                CrossOriginPolicy::NotLessEncrypted
            )
            .is_ok()
        );
    }
}
