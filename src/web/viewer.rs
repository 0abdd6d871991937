//! Who looks at a page, as a trusted proxy's headers say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::IpNet;
use sha2::{Digest, Sha256};

/// Names and groups that only the API server itself may give.
const RESERVED: &str = "system:";

/// The most groups that are taken from a proxy's header.
const MOST_GROUPS: usize = 256;

/// The longest name that is taken from a proxy's header, in bytes.
const LONGEST_NAME: usize = 256;

/// Addresses of proxies whose headers say who looks: `10.0.0.0/8`, `192.0.2.7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let nets = parts.map(|part| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            address
                .or_else(|_| part.parse::<IpNet>())
                .map_err(|_| format!("{part:?} is neither an address nor a range such as 10.1.0.0/16"))
        });
        nets.collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether one of them has the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address.to_canonical()))
    }
}

/// How viewers are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerOptions {
    /// The proxies whose headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// The header in which they name the user.
    pub user_header: String,
    /// The header in which they name the groups.
    pub groups_header: String,
    /// The namespaces that anybody may look at.
    pub anonymous: BTreeSet<String>,
}

/// A user of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) extra: Vec<(String, Vec<String>)>,
}

impl User {
    /// Identifies the account, whichever of its tokens is used.
    pub(super) fn account(&self) -> [u8; 32] {
        Sha256::digest(format!("{:?}", (&self.name, &self.uid)).as_bytes()).into()
    }

    /// Identifies the user in what is remembered.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(format!("{self:?}").as_bytes()).into()
    }
}

impl ViewerOptions {
    /// The user that a trusted proxy names; `None` where it names nobody, or somebody that it may
    /// not.
    pub(super) fn user_of_proxy(&self, headers: &HeaderMap, peer: IpAddr) -> Option<User> {
        if !self.trusted_proxies.contains(peer) {
            return None;
        }
        let mut names = headers.get_all(&self.user_header).iter();
        let (Some(name), None) = (names.next(), names.next()) else {
            return None;
        };
        let is_name =
            |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with(RESERVED);
        let name = name.to_str().ok().map(str::trim).filter(|name| is_name(name))?;
        let groups = headers.get_all(&self.groups_header).iter();
        let groups = groups.filter_map(|value| value.to_str().ok());
        let groups = groups.flat_map(|value| value.split(',')).map(str::trim);
        let mut groups: Vec<String> = groups
            .filter(|group| is_name(group))
            .take(MOST_GROUPS)
            .map(ToOwned::to_owned)
            .collect();
        groups.push("system:authenticated".to_owned());
        Some(User {
            name: name.to_owned(),
            groups,
            ..User::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ViewerOptions {
        ViewerOptions {
            trusted_proxies: "10.1.0.0/16, 192.0.2.7,fd00::/8".parse().unwrap(),
            user_header: "X-Forwarded-User".to_owned(),
            groups_header: "X-Forwarded-Groups".to_owned(),
            anonymous: BTreeSet::new(),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_proxy_is_believed_by_its_address_alone() {
        let asked = headers(&[
            ("x-forwarded-user", "anna"),
            ("x-forwarded-groups", "a, b"),
            ("x-forwarded-groups", "c"),
        ]);
        let user = |peer: &str| options().user_of_proxy(&asked, peer.parse().unwrap());
        let anna = user("10.1.2.3").unwrap();
        assert_eq!(anna.groups, ["a", "b", "c", "system:authenticated"]);
        assert_eq!(user("192.0.2.7"), Some(anna.clone()));
        assert_eq!(user("::ffff:192.0.2.7"), Some(anna));
        for stranger in ["192.0.2.8", "127.0.0.1", "::1"] {
            assert_eq!(user(stranger), None, "{stranger}");
        }
        assert_eq!(
            ViewerOptions::default().user_of_proxy(&asked, "10.1.2.3".parse().unwrap()),
            None
        );
    }

    #[test]
    fn a_proxy_names_nobody_that_the_cluster_has_reserved_and_nobody_twice() {
        let user = |pairs: &[(&'static str, &'static str)]| {
            options().user_of_proxy(&headers(pairs), "10.1.2.3".parse().unwrap())
        };
        assert_eq!(user(&[("x-forwarded-user", "system:admin")]), None);
        assert_eq!(user(&[("x-forwarded-user", "")]), None);
        assert_eq!(
            user(&[("x-forwarded-user", "a"), ("x-forwarded-user", "b")]),
            None
        );
        let user = user(&[
            ("x-forwarded-user", "a"),
            ("x-forwarded-groups", "system:masters,x"),
        ])
        .unwrap();
        assert_eq!(user.groups, ["x", "system:authenticated"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
        assert!("proxy".parse::<TrustedProxies>().is_err());
        assert_eq!("".parse::<TrustedProxies>(), Ok(TrustedProxies::default()));
    }
}
