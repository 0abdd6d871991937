//! The addresses that Git has for repositories.

use reqwest::Url;

use super::error::{Error, invalid_input};

/// What they are called in messages.
pub(super) const GIT_ADDRESS: &str = "address of a repository";
const EXAMPLE: &str =
    "write https://host/owner/name.git, ssh://git@host/owner/name.git or git@host:owner/name.git";

/// Returns the site that an address is at, and the path there.
pub(super) fn split_git_url(text: &str) -> Result<(Url, String), Error> {
    // An unreadable address may still hold a login, and is not shown.
    let unreadable = || invalid_input(GIT_ADDRESS, "the address", EXAMPLE);
    if text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(unreadable());
    }
    let (address, path) = if text.contains("://") {
        let url = Url::parse(text).map_err(|_| unreadable())?;
        if url.password().is_some() {
            return Err(invalid_input(
                GIT_ADDRESS,
                url.host_str().unwrap_or_default(),
                "it contains a password, which belongs in the Secret",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid_input(
                GIT_ADDRESS,
                url.host_str().unwrap_or_default(),
                "it has a query or a fragment",
            ));
        }
        let path = url.path().to_owned();
        (url, path)
    } else {
        let (authority, path) = text.split_once(':').ok_or_else(unreadable)?;
        // `user:password@host:path` is split at its first colon.
        if authority.contains('/') || path.split('/').next().is_some_and(|part| part.contains('@')) {
            return Err(unreadable());
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let url = Url::parse(&format!("ssh://{host}/")).map_err(|_| unreadable())?;
        (url, path.to_owned())
    };
    let host = address.host_str().unwrap_or_default();
    let site = match address.scheme() {
        "https" | "http" => {
            let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}/", address.scheme())
        }
        // The port of SSH is not that of the site, and some sites have a separate host for it.
        "ssh" | "git+ssh" | "ssh+git" => {
            let host = match host {
                "ssh.github.com" => "github.com",
                "altssh.gitlab.com" => "gitlab.com",
                host => host,
            };
            format!("https://{host}/")
        }
        _ => return Err(unreadable()),
    };
    let site = Url::parse(&site).map_err(|_| unreadable())?;
    Ok((site, path))
}
