//! How far an IP address reaches (IANA's special-purpose address registries, RFC 6890).

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cause::find_cause;

/// How far an address reaches, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// One link, a cloud's metadata service, or many hosts at once: never a Git server or a
    /// registry.
    LinkLocal,
    /// This machine.
    Loopback,
    /// A network that is not reached from outside: RFC 1918, RFC 6598, RFC 4193.
    Private,
    /// Everywhere.
    Public,
}

/// An address that is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {}, to which no connection is made: {}", describe_reach(*.reach), reason(*.reach))]
pub struct RefusedAddress {
    /// The host as it was named, with its address if that is another text.
    pub host: String,
    /// How far it reaches.
    pub reach: Reach,
}

impl RefusedAddress {
    /// Finds the refusal in a client's error, below everything that wraps it.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_cause(error)
    }
}

fn describe_reach(reach: Reach) -> &'static str {
    match reach {
        Reach::LinkLocal => "a link-local, metadata or multicast address",
        Reach::Loopback => "a loopback address",
        Reach::Private => "a private address",
        Reach::Public => "a public address",
    }
}

fn reason(reach: Reach) -> &'static str {
    match reach {
        Reach::LinkLocal => "no server that may be named has one",
        _ => "a server leads there from a network that is further away",
    }
}

/// Metadata services that are not at a link-local address: Azure's wire server, Alibaba's and
/// Oracle's older one.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Metadata services with unique local addresses: of AWS and of Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Returns how far an address reaches. An IPv6 address that holds an IPv4 address (mapped,
/// compatible, NAT64, 6to4) reaches as far as that.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [first, second, ..] = address.octets();
    if address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
    {
        Reach::LinkLocal
    // 0.0.0.0 connects to this machine.
    } else if address.is_loopback() || first == 0 {
        Reach::Loopback
    } else if address.is_private()
        || (first == 100 && second & 0xc0 == 0x40)
        || (first == 198 && second & 0xfe == 18)
    {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(embedded) = embedded_v4(address) {
        return reach_v4(embedded);
    }
    let first = address.segments()[0];
    if first & 0xffc0 == 0xfe80 || address.is_multicast() || METADATA_V6.contains(&address) {
        Reach::LinkLocal
    } else if address.is_loopback() || address.is_unspecified() {
        Reach::Loopback
    // fec0::/10 was the site-local range (RFC 3879).
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// The IPv4 address that packets to an IPv6 address end up at: RFC 4291 (mapped, compatible), RFC
/// 6052 and RFC 8215 (NAT64), RFC 3056 (6to4).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_reaches_as_far_as_its_registry_says() {
        for (text, expected) in [
            ("169.254.169.254", Reach::LinkLocal),
            ("168.63.129.16", Reach::LinkLocal),
            ("100.100.100.200", Reach::LinkLocal),
            ("224.0.0.1", Reach::LinkLocal),
            ("255.255.255.255", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("ff02::1", Reach::LinkLocal),
            ("fd00:ec2::254", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("::a9fe:a9fe", Reach::LinkLocal),
            ("64:ff9b::a9fe:a9fe", Reach::LinkLocal),
            ("2002:a9fe:a9fe::1", Reach::LinkLocal),
            ("127.0.0.1", Reach::Loopback),
            ("127.255.0.3", Reach::Loopback),
            ("0.0.0.0", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("10.1.2.3", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("192.168.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("198.19.0.1", Reach::Private),
            ("fd12::1", Reach::Private),
            ("fec0::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("100.128.0.1", Reach::Public),
            ("140.82.121.4", Reach::Public),
            ("2606:50c0:8000::153", Reach::Public),
            ("64:ff9b::8c52:7904", Reach::Public),
        ] {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }
}
