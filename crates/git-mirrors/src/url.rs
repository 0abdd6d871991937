//! Addresses of repositories: parsed, checked, and shown without user information.

use std::fmt;
use std::str::FromStr;

use super::Error;

const MAX_LENGTH: usize = 2048;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// Git over SSH, also written `user@host:path`.
    Ssh,
    /// HTTP in the clear.
    Http,
    /// The unauthenticated protocol of `git daemon`.
    Git,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::Http => "http",
            Self::Git => "git",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The set of schemes that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    /// No scheme at all.
    pub const NONE: Self = Self(0);

    /// https and ssh: what is on by default.
    pub const SECURE: Self = Self(Scheme::Https.bit() | Scheme::Ssh.bit());

    /// The set with this scheme added.
    #[must_use]
    pub const fn and(self, scheme: Scheme) -> Self {
        Self(self.0 | scheme.bit())
    }

    /// Whether the scheme may be used.
    #[must_use]
    pub const fn allow(self, scheme: Scheme) -> bool {
        self.0 & scheme.bit() != 0
    }

    pub(super) fn check(self, url: &RepoUrl) -> Result<(), Error> {
        if self.allow(url.scheme) {
            return Ok(());
        }
        Err(Error::Refused {
            url: url.to_string(),
            reason: format!(
                "{}:// is not encrypted and is off by default: use https:// or ssh://, or allow it with --allow-transport={}",
                url.scheme.name(),
                url.scheme.name()
            ),
        })
    }
}

impl Default for Transports {
    fn default() -> Self {
        Self::SECURE
    }
}

/// The address of a repository.
///
/// Neither `Display` nor `Debug` shows a user name, and there is never a password in it: an address
/// with one is refused when parsed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// As it is written: percent-encoded for HTTP, decoded for the others; relative in the short
    /// SSH form.
    path: String,
}

impl RepoUrl {
    /// How the repository is reached.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, without brackets for an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::Ssh => 22,
            Scheme::Git => 9418,
        })
    }

    pub(super) fn explicit_port(&self) -> Option<u16> {
        self.port
    }

    /// The path as it is sent.
    ///
    /// For SSH and git, one in a user's home folder (`/~user/repo`) loses its slash, as in git
    /// (`parse_connect_url` in connect.c): the program on the other side looks for a tilde at the
    /// start.
    pub(super) fn path(&self) -> &str {
        match self.scheme {
            Scheme::Ssh | Scheme::Git if self.path.starts_with("/~") => &self.path[1..],
            _ => &self.path,
        }
    }

    /// The SSH user; `git` where the address names none.
    pub(super) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("git")
    }

    /// Everything that tells two upstreams apart, the user included.
    pub(super) fn identity(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}",
            self.scheme.name(),
            self.user(),
            self.host,
            self.port(),
            self.path().trim_end_matches('/')
        )
    }

    /// Where the repository is, in a form that is the same however it is reached: without scheme,
    /// user, the scheme's own port, `.git` and slashes at the ends, in lower case.
    ///
    /// Forges distinguish repositories by neither case nor scheme. Two repositories may have the
    /// same form, and one that is also reached by another name on another port has several.
    #[must_use]
    pub fn location(&self) -> String {
        let path = self.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        let is_default = Self {
            port: None,
            ..self.clone()
        }
        .port()
            == self.port();
        let port = self.port.filter(|_| !is_default);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}/{path}", self.host.trim_end_matches('.')).to_lowercase()
    }

    fn parse_short(text: &str, authority: &str, path: &str) -> Result<Self, Error> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        // `user:password@host:path` is split at its first colon.
        if path.split('/').next().is_some_and(|start| start.contains('@')) {
            return Err(password_in(text));
        }
        // The host goes through the URL parser, so that both forms obey the same rules.
        let parsed = url::Url::parse(&format!("ssh://{host}/")).map_err(|error| invalid(text, error))?;
        let host = parsed
            .host_str()
            .ok_or_else(|| address(text, "names no host"))?
            .to_owned();
        check_words(text, user.as_deref(), &host, path)?;
        Ok(Self {
            scheme: Scheme::Ssh,
            user,
            host,
            port: None,
            path: path.to_owned(),
        })
    }
}

impl FromStr for RepoUrl {
    type Err = Error;

    /// Accepts `https://`, `ssh://`, `http://`, `git://` and `user@host:path`.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] for what cannot be parsed, and for a user name or password that belongs
    /// in a Secret; [`Error::Refused`] for other schemes, `file://` among them.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LENGTH {
            return Err(address(
                "(too long to show)",
                &format!("is longer than {MAX_LENGTH} bytes"),
            ));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
        {
            return Err(address(
                text,
                "contains white space, a backslash or control characters: write them as %20 and the like",
            ));
        }
        if !text.contains("://") {
            return match text.split_once(':') {
                Some((authority, path)) if !authority.contains('/') && !path.is_empty() => {
                    Self::parse_short(text, authority, path)
                }
                _ => Err(address(
                    text,
                    "is not one: write https://host/path.git, ssh://git@host/path.git or git@host:path.git",
                )),
            };
        }
        let parsed = url::Url::parse(text).map_err(|error| invalid(text, error))?;
        let scheme = match parsed.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            "git" => Scheme::Git,
            other => {
                return Err(Error::Refused {
                    url: redact(text),
                    reason: format!("{other}:// is not supported: use https:// or ssh://"),
                });
            }
        };
        if parsed.password().is_some() {
            return Err(password_in(text));
        }
        if scheme != Scheme::Ssh && !parsed.username().is_empty() {
            return Err(address(
                text,
                "contains a user name: remove it, and put username and password into the Secret that secretRef names",
            ));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(address(
                text,
                "has a query or a fragment: write the repository's address only",
            ));
        }
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let decode = |part: &str| -> Result<String, Error> {
            percent_decode(part).ok_or_else(|| address(text, "is not UTF-8 after decoding"))
        };
        let user = match parsed.username() {
            "" => None,
            user => Some(decode(user)?),
        };
        let path = match scheme {
            Scheme::Https | Scheme::Http => parsed.path().to_owned(),
            Scheme::Ssh | Scheme::Git => decode(parsed.path())?,
        };
        check_words(text, user.as_deref(), &host, path.trim_start_matches('/'))?;
        Ok(Self {
            scheme,
            user,
            host,
            port: parsed.port(),
            path,
        })
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Ssh && !self.path.starts_with('/') {
            return write!(f, "{}:{}", self.host, self.path);
        }
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl fmt::Debug for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoUrl({self})")
    }
}

/// Checks host, user and path, which become words of a command line or lines of a protocol on the
/// other side.
fn check_words(text: &str, user: Option<&str>, host: &str, path: &str) -> Result<(), Error> {
    if host.is_empty() {
        return Err(address(text, "names no host"));
    }
    if path.is_empty() {
        return Err(address(text, "names no repository: the path is empty"));
    }
    let starts_like_option = |word: &str| word.starts_with('-');
    if starts_like_option(host) || user.is_some_and(starts_like_option) || starts_like_option(path) {
        return Err(address(text, "has a part that starts with '-'"));
    }
    if path
        .chars()
        .chain(user.unwrap_or_default().chars())
        .any(char::is_control)
    {
        return Err(address(text, "holds control characters"));
    }
    Ok(())
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = (byte == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = digits {
            out.push(value);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

/// Takes user information, query and fragment out of a text that may not even be an address.
pub(super) fn redact(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let shown: String = rest.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{scheme}{shown}")
}

fn address(text: &str, reason: &str) -> Error {
    Error::Address {
        url: redact(text),
        reason: reason.to_owned(),
    }
}

fn invalid(text: &str, error: url::ParseError) -> Error {
    address(text, &format!("cannot be read: {error}"))
}

fn password_in(text: &str) -> Error {
    address(
        text,
        "contains a password: remove it, change it, and put the new one into the Secret that secretRef names",
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ssh://example.org/~ann/a.git", "~ann/a.git")]
    #[case("ssh://example.org/%7e/a.git", "~/a.git")]
    #[case("ssh://example.org/a~/b.git", "/a~/b.git")]
    #[case("ssh://example.org//~ann/a.git", "//~ann/a.git")]
    #[case("git://example.org/~ann/a.git", "~ann/a.git")]
    #[case("git@example.org:~ann/a.git", "~ann/a.git")]
    #[case("git@example.org:/~ann/a.git", "~ann/a.git")]
    #[case("git@example.org:/srv/~ann/a.git", "/srv/~ann/a.git")]
    #[case("https://example.org/~ann/a.git", "/~ann/a.git")]
    fn a_home_folder_is_asked_for_without_a_slash(#[case] address: &str, #[case] path: &str) {
        let url: RepoUrl = address.parse().unwrap();
        assert_eq!(url.path(), path);
    }

    #[test]
    fn a_repository_is_in_one_place_however_it_is_reached() {
        let location = |address: &str| address.parse::<RepoUrl>().unwrap().location();
        for address in [
            "https://example.org/team/app",
            "https://EXAMPLE.org:443/team/app.git",
            "http://example.org/team/app/",
            "http://example.org:80/Team/App.git/",
            "ssh://git@example.org/team/app.git",
            "ssh://ann@example.org:22/team/app",
            "git@example.org:team/app.git",
            "example.org.:/team/app",
            "git://example.org//team/app.git",
        ] {
            assert_eq!(location(address), "example.org/team/app", "{address}");
        }
        for other in [
            "https://example.org:8443/team/app",
            "https://example.org/team/app2",
            "https://example.org/team",
            "https://git.example.org/team/app",
            "https://example.org/team/app.git/wiki",
        ] {
            assert_ne!(location(other), "example.org/team/app", "{other}");
        }
        assert_eq!(location("ssh://git@[::1]:2222/a.git"), "[::1]:2222/a");
    }

    #[test]
    fn a_home_folder_is_one_upstream_however_it_is_written() {
        let identity = |address: &str| address.parse::<RepoUrl>().unwrap().identity();
        assert_eq!(
            identity("ssh://git@example.org/~ann/a.git"),
            identity("git@example.org:~ann/a.git")
        );
    }
}
