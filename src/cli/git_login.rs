//! Logins for servers, from where git keeps them.
//!
//! A server is asked without a login first. If it refuses that, git's credential helpers are asked
//! (`git credential fill`, gitcredentials), and then `~/.netrc`. For ssh, the keys are those that
//! ssh tries by default, as far as they have no passphrase, and the hosts are those of
//! `~/.ssh/known_hosts`. The user is never prompted; agents and `~/.ssh/config` are not asked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use git_mirrors::{Error, RepoUrl, Scheme, SecretData, Upstream};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::input;

/// How long git's helpers may take.
const HELPERS_TIME: Duration = Duration::from_secs(20);

/// The most bytes that helpers may answer, and that files of logins may have.
const LARGEST: u64 = 1 << 20;

/// The keys that ssh tries by default (`ssh_config`, `IdentityFile`), without those of hardware.
const SSH_KEYS: [&str; 3] = ["id_rsa", "id_ecdsa", "id_ed25519"];

/// A name and a password.
#[derive(Clone, Debug)]
struct Login {
    username: String,
    password: SecretString,
}

/// The logins that servers were found to need.
#[derive(Debug, Default)]
pub(super) struct GitLogins {
    /// By the addresses of servers: `None` where there is no login for one.
    known: Mutex<HashMap<String, Option<Login>>>,
}

impl GitLogins {
    /// Runs something on a repository: without a login and, if the server refuses that, with the
    /// one that git has for it. Returns the upstream that it ran on.
    ///
    /// # Errors
    ///
    /// Those of what is run.
    pub(super) fn with_upstream<T>(
        &self,
        url: &RepoUrl,
        run: impl Fn(&Upstream) -> Result<T, Error>,
    ) -> Result<(Upstream, T), Error> {
        if url.scheme() == Scheme::Ssh {
            return with_ssh_keys(url, run);
        }
        let server = server(url);
        let known = self.lock().get(&server).cloned();
        if let Some(Some(login)) = known {
            let upstream = with_login(url, &login)?;
            return run(&upstream).map(|done| (upstream, done));
        }
        let anonymous = Upstream::anonymous(url.clone());
        match run(&anonymous) {
            Err(refused @ Error::Authentication { .. }) if url.scheme() != Scheme::Git => {
                // Others refused at the same time wait here, so that helpers are asked once.
                let mut known = self.lock();
                let login = known.entry(server).or_insert_with(|| login_for(url)).clone();
                drop(known);
                let Some(login) = login else {
                    return Err(without_login(refused, url));
                };
                let upstream = with_login(url, &login)?;
                run(&upstream).map(|done| (upstream, done))
            }
            done => done.map(|done| (anonymous, done)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Login>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds where a login was looked for in vain.
fn without_login(refused: Error, address: &RepoUrl) -> Error {
    match refused {
        Error::Authentication { url, reason } => Error::Authentication {
            url,
            reason: format!(
                "{reason}; neither git's credential helpers nor ~/.netrc have a login for {}",
                address.host()
            ),
        },
        other => other,
    }
}

/// The scheme, host and port.
fn server(url: &RepoUrl) -> String {
    let text = url.to_string();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

fn with_login(url: &RepoUrl, login: &Login) -> Result<Upstream, Error> {
    let data = SecretData::from([
        ("username".to_owned(), login.username.clone().into_bytes()),
        (
            "password".to_owned(),
            login.password.expose_secret().as_bytes().to_vec(),
        ),
    ]);
    Upstream::new(url.clone(), Some(&data), None)
}

fn login_for(url: &RepoUrl) -> Option<Login> {
    from_helpers(url).or_else(|| {
        let path = match std::env::var_os("NETRC") {
            Some(path) => PathBuf::from(path),
            None => home()?.join(".netrc"),
        };
        let bytes: SecretSlice<u8> = input::read(&path, LARGEST).ok()?.into();
        from_netrc(std::str::from_utf8(bytes.expose_secret()).ok()?, url.host())
    })
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
}

/// Asks git's credential helpers. If git is missing, or takes too long, there is no login.
fn from_helpers(url: &RepoUrl) -> Option<Login> {
    let text = url.to_string();
    let (scheme, rest) = text.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    if [scheme, host, path]
        .iter()
        .any(|part| part.contains(['\n', '\0']))
    {
        return None;
    }
    let mut child = Command::new("git")
        // An empty program, so that the user is not prompted.
        .args(["-c", "core.askPass=", "-c", "credential.interactive=false"])
        .args(["credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "")
        .env("SSH_ASKPASS", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let asked = child
        .stdin
        .take()
        .map(|mut stdin| write!(stdin, "protocol={scheme}\nhost={host}\npath={path}\n\n"));
    let stdout = child.stdout.take();
    let (send, answer) = mpsc::channel();
    // The thread outlives this function if a helper never ends.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map(|stdout| stdout.take(LARGEST).read_to_end(&mut bytes));
        if matches!(read, Some(Ok(_))) {
            let _ = send.send(SecretSlice::<u8>::from(bytes));
        }
    });
    let answer = answer.recv_timeout(HELPERS_TIME);
    if answer.is_err() {
        let _ = child.kill();
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    if !succeeded || !matches!(asked, Some(Ok(()))) {
        return None;
    }
    let answer = answer.ok()?;
    let answer = std::str::from_utf8(answer.expose_secret()).ok()?;
    let value = |key: &str| {
        let mut lines = answer.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    Some(Login {
        username: value("username")?.to_owned(),
        password: value("password")?.to_owned().into(),
    })
}

/// The login of a host in a `.netrc` file, as ftp and curl read it.
fn from_netrc(text: &str, host: &str) -> Option<Login> {
    let mut tokens = netrc_tokens(text).into_iter();
    let (mut is_meant, mut username, mut password) = (false, None, None);
    let login = |username: &Option<String>, password: &Option<String>| {
        Some(Login {
            username: username.clone()?,
            password: password.clone()?.into(),
        })
    };
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "machine" | "default" => {
                if is_meant && let Some(found) = login(&username, &password) {
                    return Some(found);
                }
                (username, password) = (None, None);
                is_meant = token == "default" || tokens.next().is_some_and(|name| name == host);
            }
            "login" => username = tokens.next(),
            "password" => password = tokens.next(),
            "account" => drop(tokens.next()),
            _ => {}
        }
    }
    is_meant.then(|| login(&username, &password)).flatten()
}

/// The words of a file of logins; without comments, and without macros, which end at an empty
/// line.
fn netrc_tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut is_macro = false;
    for line in text.lines() {
        let line = line.trim();
        if is_macro || line.starts_with('#') {
            is_macro = is_macro && !line.is_empty();
            continue;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let (token, behind) = netrc_token(rest);
            rest = behind.trim_start();
            if token == "macdef" {
                is_macro = true;
                break;
            }
            tokens.push(token);
        }
    }
    tokens
}

/// The first word, and the rest. In double quotes, a backslash escapes the next character.
fn netrc_token(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (token, behind) = text.split_at(end);
        return (token.to_owned(), behind);
    };
    let mut token = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (token, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => token.extend(characters.next().map(|(_, c)| c)),
            c => token.push(c),
        }
    }
    (token, "")
}

/// Runs something on a repository over ssh, with each key in turn that the server may accept.
fn with_ssh_keys<T>(
    url: &RepoUrl,
    run: impl Fn(&Upstream) -> Result<T, Error>,
) -> Result<(Upstream, T), Error> {
    let refused = |reason: String| Error::Authentication {
        url: url.to_string(),
        reason,
    };
    let folder = home().map(|home| home.join(".ssh")).unwrap_or_default();
    let file = |name: &str| read_if_there(&folder.join(name));
    let mut last = None;
    for name in SSH_KEYS {
        let Some(identity) = file(name) else { continue };
        let Some(known_hosts) = file("known_hosts") else {
            return Err(refused(
                "there is no ~/.ssh/known_hosts, which says what key the server has: connect once by ssh"
                    .to_owned(),
            ));
        };
        let data = SecretData::from([
            ("identity".to_owned(), identity),
            ("known_hosts".to_owned(), known_hosts),
        ]);
        let upstream = Upstream::new(url.clone(), Some(&data), None);
        match upstream.and_then(|upstream| run(&upstream).map(|done| (upstream, done))) {
            Err(error @ Error::Authentication { .. }) => last = Some(error),
            Err(Error::Secret(_)) => {
                last = Some(refused(format!(
                    "~/.ssh/{name} cannot be used: it is not a private key, or has a passphrase"
                )));
            }
            done => return done,
        }
    }
    Err(last.unwrap_or_else(|| {
        refused(format!(
            "there is no key {} in ~/.ssh; agents and ~/.ssh/config are not used",
            SSH_KEYS.join(", ")
        ))
    }))
}

fn read_if_there(path: &Path) -> Option<Vec<u8>> {
    input::read(path, LARGEST).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<(String, String)> {
        let login = from_netrc(text, host)?;
        Some((login.username, login.password.expose_secret().to_owned()))
    }

    #[test]
    fn netrc_is_read_as_curl_does() {
        let text = "# comment machine a\nmachine a\n  login u\n  account x password \"p \\\"q\"\n\
                    macdef init\nmachine b login no password no\n\nmachine c login only\n\
                    machine d password s login t\ndefault login anyone password else\n";
        let login = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(found(text, "a"), login("u", "p \"q"));
        assert_eq!(found(text, "b"), login("anyone", "else"));
        assert_eq!(found(text, "d"), login("t", "s"));
        assert_eq!(found("machine a login u password p", "b"), None);
        assert_eq!(found("machine a", "a"), None);
        assert_eq!(found("machine", "a"), None);
    }

    #[test]
    fn a_login_is_not_shown() {
        let login = from_netrc("machine a login u password secret", "a").unwrap();
        assert!(!format!("{login:?}").contains("secret"));
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let url: RepoUrl = "https://example.org:8443/a/b.git".parse().unwrap();
        assert_eq!(server(&url), "https://example.org:8443");
    }
}
