//! Resolves names, and connects only to the addresses that are allowed.

use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::ClientBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::address::{Reach, RefusedAddress, reach};

/// Where a connection may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// The closest network.
    closest: Reach,
}

impl Destinations {
    /// What a spec, a Secret or an option names: everything but link-local addresses.
    pub const NAMED: Self = Self {
        closest: Reach::Loopback,
    };

    /// Where a server that was reached at this address may lead: no network closer than its own. A
    /// server with an unknown address counts as public.
    #[must_use]
    pub fn beyond(server: Option<SocketAddr>) -> Self {
        let closest = server.map_or(Reach::Public, |server| reach(server.ip()));
        Self {
            closest: closest.max(Reach::Loopback),
        }
    }

    /// The stricter of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            closest: self.closest.max(other.closest),
        }
    }

    fn allow(self, address: IpAddr) -> Result<(), Reach> {
        let reach = reach(address);
        if reach < self.closest { Err(reach) } else { Ok(()) }
    }

    /// Checks an address in digits. A host's name is checked when it is resolved.
    ///
    /// A client has to call this for each address that it requests, because digits do not go
    /// through a resolver.
    ///
    /// # Errors
    ///
    /// [`RefusedAddress`].
    pub fn check(self, url: &Url) -> Result<(), RefusedAddress> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            // With schemes that the URL standard does not know, digits stay a name.
            Some(Host::Domain(name)) => match name.parse() {
                Ok(address) => address,
                Err(_) => return Ok(()),
            },
            None => return Ok(()),
        };
        self.allow(address).map_err(|reach| RefusedAddress {
            host: address.to_string(),
            reach,
        })
    }

    /// Makes a client resolve names by this rule and follow no redirect by itself.
    pub fn guard(self, builder: ClientBuilder) -> ClientBuilder {
        builder
            .dns_resolver(self)
            .redirect(reqwest::redirect::Policy::none())
    }

    /// Resolves a host, and returns those of its addresses that may be connected to.
    ///
    /// # Errors
    ///
    /// Where the name is not known, and [`RefusedAddress`] as the inner error where none of its
    /// addresses may be connected to.
    pub async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in tokio::net::lookup_host((host, port)).await? {
            match self.allow(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(reach) => refused = Some((address.ip(), reach)),
            }
        }
        match refused {
            Some((address, reach)) if allowed.is_empty() => {
                let address = address.to_string();
                let host = if address == host {
                    address
                } else {
                    format!("{host} ({address})")
                };
                Err(io::Error::other(RefusedAddress { host, reach }))
            }
            _ => Ok(allowed),
        }
    }
}

impl Resolve for Destinations {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = *self;
        Box::pin(async move {
            // reqwest puts in the port.
            let addresses = rule.resolve(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Connects to a host that a spec names.
///
/// # Errors
///
/// As for [`Destinations::resolve`], and where no address answers: the last one's error.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in Destinations::NAMED.resolve(host, port).await? {
        match TcpStream::connect(address).await {
            // A request that is written in pieces would wait for the server's delayed
            // acknowledgement of the first, 40 ms and more.
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_leads_to_no_closer_network() {
        let beyond = |server: &str| Destinations::beyond(Some(server.parse().unwrap()));
        let public = beyond("140.82.121.4:443");
        let private = beyond("10.0.0.1:443");
        let loopback = beyond("127.0.0.1:443");
        let allows = |rule: Destinations, to: &str| rule.check(&to.parse().unwrap()).is_ok();
        for (rule, allowed) in [
            (public, [true, false, false, false]),
            (private, [true, true, false, false]),
            (loopback, [true, true, true, false]),
            (Destinations::NAMED, [true, true, true, false]),
            (Destinations::beyond(None), [true, false, false, false]),
            (loopback.and(private), [true, true, false, false]),
        ] {
            let to = [
                "https://1.1.1.1/",
                "https://192.168.1.1/",
                "https://[::1]/",
                "http://169.254.169.254/latest",
            ];
            assert_eq!(to.map(|to| allows(rule, to)), allowed, "{rule:?}");
        }
        // All ways of writing it.
        for hidden in [
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://[::ffff:a9fe:a9fe]/",
        ] {
            assert!(!allows(Destinations::NAMED, hidden), "{hidden}");
        }
    }

    #[tokio::test]
    async fn digits_and_names_are_resolved_by_the_same_rule() {
        let rule = Destinations::beyond(Some("8.8.8.8:1".parse().unwrap()));
        let refused = rule.resolve("localhost", 80).await.unwrap_err().to_string();
        assert!(
            refused.starts_with("localhost (") && refused.contains("is a loopback address"),
            "{refused}"
        );
        // As the C library reads it.
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166"] {
            let refused = connect(host, 80).await.unwrap_err().to_string();
            assert!(refused.contains("link-local"), "{host}: {refused}");
        }
    }
}
