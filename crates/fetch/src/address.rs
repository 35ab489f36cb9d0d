use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is a place on the open internet where a calendar may be.
///
/// Nothing in IANA's special-purpose registries is, not even where a registry calls a block reachable: relays and
/// anycast services hold no calendars. Of IPv6, only what IANA hands out as global unicast is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // IETF protocols, documentation, AS112, AMT, the former 6to4 relays, AS112 again.
            | [192, 0, 0 | 2, _]
            | [192, 31, 196, _]
            | [192, 52, 193, _]
            | [192, 88, 99, _]
            | [192, 175, 48, _]
            // Benchmarks, and two more blocks for documentation.
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // In no registry: where a machine at Azure reaches what manages it.
            | [168, 63, 129, 16]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // An IPv4 address as NAT64 writes it: the only form that an honest resolver makes up by itself, on a network
        // without IPv4. It leads to that IPv4 address and nowhere else.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // IETF protocols with Teredo among them and documentation, 6to4, AS112, documentation again.
        [0x2001, 0..0x200 | 0xdb8, ..]
        | [0x2002, ..]
        | [0x2620, 0x4f, 0x8000, ..]
        | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is not public, as the registries and the design write it.
    const BLOCKS: &[&str] = &[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001::/32",
        "2001:1::1/128",
        "2001:2::/48",
        "2001:3::/32",
        "2001:4:112::/48",
        "2001:10::/28",
        "2001:20::/28",
        "2001:30::/28",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        // The rest of what is not global unicast, 2000::/3.
        "::/3",
        "4000::/2",
        "8000::/1",
    ];

    fn bits(address: IpAddr) -> String {
        match address {
            IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
            IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
        }
    }

    fn from_bits(bits: &str) -> IpAddr {
        if bits.len() == 32 {
            Ipv4Addr::from_bits(u32::from_str_radix(bits, 2).unwrap()).into()
        } else {
            Ipv6Addr::from_bits(u128::from_str_radix(bits, 2).unwrap()).into()
        }
    }

    /// The bits that a block fixes, and how many it leaves free.
    fn split(block: &str) -> (String, usize) {
        let (address, length) = block.split_once('/').unwrap();
        let mut bits = bits(address.parse().unwrap());
        let free = bits.split_off(length.parse().unwrap()).len();
        (bits, free)
    }

    /// The slow and obvious answer: no block's bits begin the address's, of its own family.
    fn model(address: IpAddr) -> bool {
        let bits = bits(address);
        if let Some(inner) = bits.strip_prefix(&split("64:ff9b::/96").0) {
            return model(from_bits(inner));
        }
        !BLOCKS.iter().any(|block| {
            let (fixed, free) = split(block);
            bits.len() == fixed.len() + free && bits.starts_with(&fixed)
        })
    }

    #[track_caller]
    fn check(address: &str, expected: bool) {
        assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn every_block_is_closed_to_its_edges() {
        for block in BLOCKS {
            let (fixed, free) = split(block);
            for fill in ["0", "1"] {
                let address = from_bits(&format!("{fixed}{}", fill.repeat(free)));
                assert!(!is_public(address), "{address} of {block}");
            }
        }
    }

    #[test]
    fn the_open_internet_is_open() {
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.15",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "3fff:1000::",
            "64:ff9b::101:101",
        ] {
            check(address, true);
        }
    }

    #[test]
    fn an_inward_address_stays_inward_in_every_dress() {
        for address in [
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "fd00:ec2::254",
        ] {
            check(address, false);
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_the_list_of_blocks_does_for_ipv4(address: u32) {
            let address = Ipv4Addr::from_bits(address).into();
            prop_assert_eq!(is_public(address), model(address));
        }

        /// Chance alone would hardly meet a block: so an address begins as one does, with perhaps one bit turned.
        #[test]
        fn it_answers_as_the_list_of_blocks_does_near_every_block(
            block in prop::sample::select(BLOCKS),
            rest: u128,
            turned in prop::option::of(0..128_usize),
        ) {
            let (fixed, free) = split(block);
            let mut bits = format!("{fixed}{}", &format!("{rest:0128b}")[..free]);
            if let Some(turned) = turned.map(|turned| turned % bits.len()) {
                let bit = if bits[turned..].starts_with('0') { "1" } else { "0" };
                bits.replace_range(turned..=turned, bit);
            }
            let address = from_bits(&bits);
            prop_assert_eq!(is_public(address), model(address), "{}", address);
        }

        #[test]
        fn it_answers_as_the_list_of_blocks_does_behind_nat64(address: u32) {
            let address = Ipv6Addr::from_bits(0x64_ff9b_u128 << 96 | u128::from(address)).into();
            prop_assert_eq!(is_public(address), model(address));
        }
    }
}
