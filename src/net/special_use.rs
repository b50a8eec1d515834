//! Which addresses nobody outside may send us to: the special-purpose registries of IANA (RFC 6890 and successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const IPV4: [Ipv4Net; 18] = [
    v4(0, 0, 0, 0, 8),        // this network (RFC 791)
    v4(10, 0, 0, 0, 8),       // private (RFC 1918)
    v4(100, 64, 0, 0, 10),    // carrier-grade NAT (RFC 6598), and one cloud's metadata service
    v4(127, 0, 0, 0, 8),      // loopback (RFC 1122)
    v4(168, 63, 129, 16, 32), // Azure's host agent: a public address that is local on every machine there
    v4(169, 254, 0, 0, 16),   // link-local (RFC 3927): the metadata service of most clouds
    v4(172, 16, 0, 0, 12),    // private (RFC 1918)
    v4(192, 0, 0, 0, 24),     // protocol assignments (RFC 6890)
    v4(192, 0, 2, 0, 24),     // documentation (RFC 5737)
    v4(192, 31, 196, 0, 24),  // AS112 (RFC 7535)
    v4(192, 52, 193, 0, 24),  // automatic multicast tunnelling (RFC 7450)
    v4(192, 88, 99, 0, 24),   // 6to4 relays (RFC 7526)
    v4(192, 168, 0, 0, 16),   // private (RFC 1918)
    v4(192, 175, 48, 0, 24),  // AS112 (RFC 7534)
    v4(198, 18, 0, 0, 15),    // benchmarking (RFC 2544)
    v4(198, 51, 100, 0, 24),  // documentation (RFC 5737)
    v4(203, 0, 113, 0, 24),   // documentation (RFC 5737)
    v4(224, 0, 0, 0, 3),      // multicast (RFC 5771), reserved and broadcast (RFC 1112)
];

/// Global unicast. All else in IPv6 is local, embeds an IPv4 address (mapped, compatible, `64:ff9b::/96`,
/// `64:ff9b:1::/48`), is multicast or has no meaning yet.
const IPV6_GLOBAL: Ipv6Net = v6(0x2000, 0, 0, 3);

/// The exceptions within global unicast.
const IPV6: [Ipv6Net; 6] = [
    v6(0x2001, 0, 0, 23), // protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID and others
    v6(0x2001, 0xdb8, 0, 32), // documentation (RFC 3849)
    v6(0x2002, 0, 0, 16), // 6to4, which embeds an IPv4 address (RFC 3056)
    v6(0x2620, 0x4f, 0x8000, 48), // AS112 (RFC 7534)
    v6(0x3ffe, 0, 0, 16), // the former 6bone (RFC 3701)
    v6(0x3fff, 0, 0, 20), // documentation (RFC 9637)
];

/// Whether an address has a special purpose (RFC 6890): it may lie inside somebody's network or on this machine, so no
/// stranger may have us contact it.
pub fn is_special_use(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => IPV4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            !IPV6_GLOBAL.contains(&address) || IPV6.iter().any(|net| net.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// First and last address of each block.
    #[rstest]
    #[case("0.0.0.0", "0.255.255.255")]
    #[case("10.0.0.0", "10.255.255.255")]
    #[case("100.64.0.0", "100.127.255.255")]
    #[case("127.0.0.0", "127.255.255.255")]
    #[case("168.63.129.16", "168.63.129.16")]
    #[case("169.254.0.0", "169.254.255.255")]
    #[case("169.254.169.254", "169.254.170.2")]
    #[case("172.16.0.0", "172.31.255.255")]
    #[case("192.0.0.0", "192.0.0.255")]
    #[case("192.0.2.0", "192.0.2.255")]
    #[case("192.31.196.0", "192.31.196.255")]
    #[case("192.52.193.0", "192.52.193.255")]
    #[case("192.88.99.0", "192.88.99.255")]
    #[case("192.168.0.0", "192.168.255.255")]
    #[case("192.175.48.0", "192.175.48.255")]
    #[case("198.18.0.0", "198.19.255.255")]
    #[case("198.51.100.0", "198.51.100.255")]
    #[case("203.0.113.0", "203.0.113.255")]
    #[case("224.0.0.0", "239.255.255.255")]
    #[case("240.0.0.0", "255.255.255.255")]
    #[case("::", "::1")]
    #[case("::127.0.0.1", "::8.8.8.8")]
    #[case("::ffff:0:0", "::ffff:255.255.255.255")]
    #[case("::ffff:8.8.8.8", "::ffff:0:8.8.8.8")]
    #[case("64:ff9b::", "64:ff9b::255.255.255.255")]
    #[case("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff")]
    #[case("100::", "100::ffff:ffff:ffff:ffff")]
    #[case("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff")]
    #[case("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:1::1", "2001:1::3")]
    #[case("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff")]
    #[case("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    #[case("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    fn special(#[case] first: IpAddr, #[case] last: IpAddr) {
        assert!(is_special_use(first), "{first}");
        assert!(is_special_use(last), "{last}");
    }

    /// The neighbours of the blocks, and some addresses of well-known services.
    #[rstest]
    #[case("1.0.0.0", "9.255.255.255")]
    #[case("11.0.0.0", "100.63.255.255")]
    #[case("100.128.0.0", "126.255.255.255")]
    #[case("128.0.0.0", "169.253.255.255")]
    #[case("168.63.129.15", "168.63.129.17")]
    #[case("169.255.0.0", "172.15.255.255")]
    #[case("172.32.0.0", "191.255.255.255")]
    #[case("192.0.1.0", "192.0.3.0")]
    #[case("192.167.255.255", "192.169.0.0")]
    #[case("198.17.255.255", "198.20.0.0")]
    #[case("198.51.99.255", "198.51.101.0")]
    #[case("203.0.112.255", "203.0.114.0")]
    #[case("223.255.255.255", "8.8.8.8")]
    #[case("2001:200::", "2001:db7:ffff::")]
    #[case("2001:db9::", "2003::")]
    #[case("2606:4700::1111", "2a00:1450:4001::1")]
    #[case("2620:4f:7fff::", "2620:4f:8001::")]
    #[case("3fff:1000::", "3ffd::1")]
    fn public(#[case] first: IpAddr, #[case] last: IpAddr) {
        assert!(!is_special_use(first), "{first}");
        assert!(!is_special_use(last), "{last}");
    }

    proptest! {
        /// The standard library's own notions, where they are stable, never disagree in the dangerous direction.
        #[test]
        fn what_std_calls_local_is_special(bits: u32) {
            let address = Ipv4Addr::from(bits);
            if address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified() {
                prop_assert!(is_special_use(address.into()));
            }
        }

        #[test]
        fn an_embedded_ipv4_address_is_always_special(bits: u32) {
            let address = Ipv4Addr::from(bits);
            prop_assert!(is_special_use(address.to_ipv6_mapped().into()));
            prop_assert!(is_special_use(address.to_ipv6_compatible().into()));
        }
    }
}
