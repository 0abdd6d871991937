//! What a registry asks for: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http::header::{HeaderMap, WWW_AUTHENTICATE};

/// How much of the header is read, in bytes.
const LONGEST: usize = 16 << 10;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The login itself (RFC 7617).
    Basic,
    /// A token (RFC 6750), which another server gives: distribution's "Token Authentication
    /// Specification".
    Bearer {
        /// The token server's address.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
    },
}

/// Returns what an answer asks for: a token if it accepts one, else the login; `None` if it asks
/// for nothing known.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut asked = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        if let Ok(text) = value.to_str() {
            read_challenges(text.get(..LONGEST).unwrap_or(text), &mut asked);
        }
    }
    let find = |scheme| asked.iter().find(|offered| offered.scheme == scheme);
    let bearer = find(Scheme::Bearer).and_then(|offered| {
        Some(Challenge::Bearer {
            realm: offered.parameter("realm")?.to_owned(),
            service: offered.parameter("service").map(ToOwned::to_owned),
        })
    });
    bearer.or_else(|| find(Scheme::Basic).map(|_| Challenge::Basic))
}

/// An authentication scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer,
    Other,
}

impl From<&str> for Scheme {
    fn from(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "basic" => Self::Basic,
            "bearer" => Self::Bearer,
            _ => Self::Other,
        }
    }
}

struct OfferedScheme<'a> {
    scheme: Scheme,
    parameters: Vec<(&'a str, String)>,
}

impl OfferedScheme<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self
            .parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads a list of challenges. Each is a scheme with parameters; commas separate both parameters
/// and challenges.
fn read_challenges<'a>(text: &'a str, into: &mut Vec<OfferedScheme<'a>>) {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
        let is_end = |c: char| matches!(c, ' ' | '\t' | ',' | '=' | '"');
        let (token, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        if rest.is_empty() {
            return;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, into.last_mut()) {
            (Some(value), Some(last)) => {
                let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
                last.parameters.push((token, value));
                rest = after;
            }
            _ if token.is_empty() => rest = after.get(1..).unwrap_or_default(),
            _ => {
                into.push(OfferedScheme {
                    scheme: token.into(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, after) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (token.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[&str]) -> Option<Challenge> {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge(&map)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn what_registries_ask_for_is_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#;
        assert_eq!(
            asked(&[hub]),
            Some(bearer("https://auth.docker.io/token", Some("registry.docker.io")))
        );
        assert_eq!(asked(&[r#"Basic realm="Registry""#]), Some(Challenge::Basic));
        assert_eq!(asked(&["basic"]), Some(Challenge::Basic));
        // Several at once, in one header or more, in any order.
        for headers in [
            [
                r#"Basic realm="x""#,
                r#"BEARER Realm = "https://t/\"q" , service=s"#,
            ]
            .as_slice(),
            [r#"Negotiate YWJj==, Basic realm="x", bearer service="s", realm="https://t/\"q""#].as_slice(),
        ] {
            assert_eq!(
                asked(headers),
                Some(bearer(r#"https://t/"q"#, Some("s"))),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn what_asks_for_nothing_that_is_known_is_passed_over() {
        for header in [
            "",
            "Negotiate",
            "Bearer service=x",
            "=",
            "\"",
            ",,, =\"",
            "Bearer realm",
        ] {
            assert_eq!(asked(&[header]), None, "{header}");
        }
        assert_eq!(asked(&[r#"Bearer realm="open"#]), Some(bearer("open", None)));
        assert_eq!(asked(&[&"a=,".repeat(100_000)]), None);
    }
}
