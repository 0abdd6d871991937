//! Which repositories a push names, by the addresses that forges write into it.
//!
//! A payload is hostile even when it is signed: only a handful of texts at fixed places are kept,
//! and everything else, however deep, is skipped without a stack.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The longest address, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoding {
    /// JSON.
    Json,
    /// A form whose field `payload` is JSON, as GitHub sends if configured to.
    Form,
}

/// A body is not such a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the JSON of a push: {0}")]
pub struct Unreadable(String);

/// The addresses of the repositories that a push names, at most a few dozen. A repository that can
/// be reached in several ways has several.
///
/// # Errors
///
/// If the body is not such JSON, or has something else in place of an address.
pub fn repositories(encoding: BodyEncoding, body: &[u8]) -> Result<Vec<String>, Unreadable> {
    let parsed = match encoding {
        BodyEncoding::Json => serde_json::from_slice::<Payload>(body),
        BodyEncoding::Form => {
            let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
            let (_, payload) = payload.ok_or_else(|| Unreadable("the form has no payload".to_owned()))?;
            serde_json::from_str(&payload)
        }
    };
    let Payload {
        repository,
        project,
        url,
    } = parsed.map_err(|error| Unreadable(error.to_string()))?;
    let named = [repository, project]
        .into_iter()
        .flatten()
        .flat_map(Addresses::into_all);
    let all = named.chain(url);
    Ok(all.filter(|address| address.len() <= LONGEST_ADDRESS).collect())
}

/// What is read of a push.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Payload {
    /// GitHub's, Gitea's and an older one of GitLab's; of a generic hook also the address itself.
    #[serde(default)]
    repository: Option<Addresses>,
    /// GitLab's.
    #[serde(default)]
    project: Option<Addresses>,
    /// A generic hook's.
    #[serde(default)]
    url: Option<String>,
}

/// The addresses of a repository: an object with some, or one text.
#[derive(Default)]
struct Addresses {
    text: Option<String>,
    fields: AddressFields,
}

#[derive(Default, Deserialize)]
struct AddressFields {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    git_url: Option<String>,
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    http_url: Option<String>,
    web_url: Option<String>,
    url: Option<String>,
}

impl Addresses {
    fn into_all(self) -> impl Iterator<Item = String> {
        let AddressFields {
            clone_url,
            ssh_url,
            html_url,
            git_url,
            git_http_url,
            git_ssh_url,
            http_url,
            web_url,
            url,
        } = self.fields;
        let fields = [
            clone_url,
            ssh_url,
            html_url,
            git_url,
            git_http_url,
            git_ssh_url,
            http_url,
            web_url,
            url,
        ];
        fields.into_iter().chain([self.text]).flatten()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressesVisitor)
    }
}

struct AddressesVisitor;

impl<'de> Visitor<'de> for AddressesVisitor {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a repository or its address")
    }

    fn visit_str<E>(self, text: &str) -> Result<Addresses, E> {
        Ok(Addresses {
            text: Some(text.to_owned()),
            ..Addresses::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Addresses, A::Error> {
        Ok(Addresses {
            fields: AddressFields::deserialize(MapAccessDeserializer::new(map))?,
            ..Addresses::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Vec<String> {
        repositories(BodyEncoding::Json, body.as_bytes()).unwrap()
    }

    #[test]
    fn the_payloads_of_forges_name_their_repositories() {
        // As in GitHub's, GitLab's and Gitea's documentation, without the fields that are not read.
        let github = r#"{"ref": "refs/heads/main", "repository": {"id": 1, "name": "Hello", "owner": {"url": "x"},
            "html_url": "https://github.com/o/Hello", "url": "https://github.com/o/Hello", "homepage": null,
            "git_url": "git://github.com/o/Hello.git", "ssh_url": "git@github.com:o/Hello.git",
            "clone_url": "https://github.com/o/Hello.git", "svn_url": "https://github.com/o/Hello"}}"#;
        assert_eq!(
            json(github),
            [
                "https://github.com/o/Hello.git",
                "git@github.com:o/Hello.git",
                "https://github.com/o/Hello",
                "git://github.com/o/Hello.git",
                "https://github.com/o/Hello"
            ]
        );
        let gitlab = r#"{"object_kind": "push", "project": {"web_url": "http://example.com/m/d",
            "git_ssh_url": "git@example.com:m/d.git", "git_http_url": "http://example.com/m/d.git"},
            "repository": {"name": "d", "url": "git@example.com:m/d.git"}, "commits": [{"url": "http://c"}]}"#;
        assert!(json(gitlab).contains(&"http://example.com/m/d".to_owned()));
        assert_eq!(json(gitlab).len(), 4);
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", github)
            .finish();
        assert_eq!(
            repositories(BodyEncoding::Form, form.as_bytes()).unwrap(),
            json(github)
        );
        for generic in [
            r#"{"url": "https://example.org/a.git"}"#,
            r#"{"repository": "https://example.org/a.git"}"#,
            r#"{"repository": {"url": "https://example.org/a.git"}}"#,
        ] {
            assert_eq!(json(generic), ["https://example.org/a.git"]);
        }
        assert!(json("{}").is_empty());
        assert!(json(r#"{"repository": null}"#).is_empty());
    }

    #[test]
    fn hostile_payloads_are_refused_or_passed_over_whatever_their_depth() {
        for wrong in [
            "",
            "null",
            "{",
            r#"{"url": 1}"#,
            r#"{"repository": []}"#,
            r#"{"repository": {"url": {}}}"#,
        ] {
            assert!(
                repositories(BodyEncoding::Json, wrong.as_bytes()).is_err(),
                "{wrong}"
            );
        }
        assert!(repositories(BodyEncoding::Form, b"a=b").is_err());
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert!(json(&format!(r#"{{"commits": {deep}}}"#)).is_empty());
        assert!(repositories(BodyEncoding::Json, deep.as_bytes()).is_err());
        assert!(
            repositories(
                BodyEncoding::Json,
                format!(r#"{{"repository": {deep}}}"#).as_bytes()
            )
            .is_err()
        );
        let long = "x".repeat(LONGEST_ADDRESS + 1);
        assert!(json(&format!(r#"{{"url": "{long}"}}"#)).is_empty());
    }
}
