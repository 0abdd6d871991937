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
    /// A network that is not reached from outside: RFC 1918, RFC 6598, RFC 4193, and all others
    /// that IANA lists as not globally reachable, or does not assign.
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

/// Returns how far an address reaches. An IPv6 address that holds an IPv4 address (mapped,
/// compatible, translated, NAT64, 6to4, Teredo) reaches as far as that.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let octets = address.octets();
    if address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
    {
        Reach::LinkLocal
    // 0.0.0.0 connects to this machine.
    } else if address.is_loopback() || octets[0] == 0 {
        Reach::Loopback
    } else if address.is_private()
        || matches!(
            octets,
            [100, 64..=127, ..]
                | [192, 0, 0, 0..=8 | 11..=255]
                // Documentation, and what were the relays of 6to4.
                | [192, 0, 2, _]
                | [198, 51, 100, _]
                | [203, 0, 113, _]
                | [192, 88, 99, _]
                | [198, 18 | 19, ..]
                | [240..=255, ..]
        )
    {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Loopback,
        // Mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4
        // (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => reach_v4(joined(high, low)),
        // A network's own NAT64, of which only that network knows where the IPv4 address is.
        [0x64, 0xff9b, 1, _, _, _, high, low] => reach_v4(joined(high, low)).min(Reach::Private),
        // Teredo (RFC 4380): the server, and the inverted client.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            reach_v4(joined(server_high, server_low)).min(reach_v4(joined(!high, !low)))
        }
        // Multicast and link-local, what AWS has for its own services (metadata, credentials, DNS,
        // time), and Google's metadata service.
        [0xff00..=0xffff | 0xfe80..=0xfebf, ..]
        | [0xfd00, 0xec2, ..]
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Reach::LinkLocal,
        // The protocol assignments that are reached from everywhere.
        [0x2001, 1, 0, 0, 0, 0, 0, 1..=3] | [0x2001, 3 | 0x20..=0x3f, ..] | [0x2001, 4, 0x112, ..] => {
            Reach::Public
        }
        // The other assignments, and documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Private,
        // All global unicast addresses are of this range.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Private,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_reaches_as_far_as_its_registry_says() {
        for (expected, texts) in [
            (
                Reach::LinkLocal,
                "169.254.169.254 168.63.129.16 100.100.100.200 224.0.0.1 255.255.255.255 \
                 192.0.0.192 \
                 fe80::1 ff02::1 fd00:ec2::254 fd00:ec2::23 fd00:ec2::123 fd00:ec2:ffff::1 \
                 fd20:ce::254 ::ffff:169.254.169.254 ::ffff:0:169.254.169.254 \
                 64:ff9b:1::a9fe:a9fe 64:ff9b:1:2::a9fe:a9fe 2001:0:102:304::5601:5601 \
                 2001:0:a9fe:a9fe::f5ff:fffe ::a9fe:a9fe 64:ff9b::a9fe:a9fe \
                 2002:a9fe:a9fe::1",
            ),
            (
                Reach::Loopback,
                "127.0.0.1 127.255.0.3 0.0.0.0 \
                 ::1 :: ::ffff:127.0.0.1 ::ffff:0:127.0.0.1",
            ),
            (
                Reach::Private,
                "10.1.2.3 172.31.0.1 192.168.0.1 100.64.0.1 198.19.0.1 192.0.0.1 192.0.0.8 \
                 192.0.0.11 192.0.0.255 192.0.2.1 192.88.99.1 198.51.100.1 203.0.113.1 \
                 240.0.0.1 255.255.255.254 \
                 fd12::1 fec0::1 ::ffff:10.0.0.1 ::ffff:0:10.0.0.1 \
                 2001:0:102:304::f5ff:fffe 64:ff9b:1:2::8c52:7904 100::1 100:0:0:1::1 \
                 2001:1::4 2001:2::1 2001:10::1 2001:1ff::1 2001:db8::1 3fff:fff::1 5f00::1 \
                 fd20:ce::1",
            ),
            (
                Reach::Public,
                "172.32.0.1 100.128.0.1 140.82.121.4 192.0.0.9 192.0.0.10 192.0.1.1 \
                 192.31.196.1 192.52.193.1 192.175.48.1 198.20.0.1 \
                 2001:1::1 2001:1::3 2001:3::1 2001:4:112::1 2001:20::1 2001:3f::1 \
                 2001:200::1 2001:0:102:304::737d:86fb 2620:4f:8000::1 3fff:1000::1 \
                 ::ffff:0:140.82.121.4 64:ff9b:1::8c52:7904 2606:50c0:8000::153 \
                 64:ff9b::8c52:7904",
            ),
        ] {
            for text in texts.split(' ') {
                assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
            }
        }
    }
}
