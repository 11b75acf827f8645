//! Which machines a relay connects to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first address of `origin` (`http://host:port`) that a relay may connect to. What was checked is what is connected to: the name is not looked up again.
pub(crate) async fn reachable(origin: &str, private: bool) -> Option<SocketAddr> {
    let place = origin.strip_prefix("http://")?;
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { place.to_owned() } else { format!("{place}:80") };
    tokio::net::lookup_host(place).await.ok()?.find(|address| private || is_public(address.ip()))
}

/// Whether an address is one of the open network's, by the special-purpose registries of RFC 6890 as far as they are about unicast.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (18..20).contains(&b);
    let reserved = a == 0 || a >= 224;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || protocols
        || benchmarks
        || reserved)
}

/// Global unicast is `2000::/3`; of that, not what leads back to other addresses (6to4, Teredo, documentation).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let special = first == 0x2002 || (first == 0x2001 && (second < 0x200 || second == 0xdb8));
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in
            ["1.1.1.1", "100.63.0.1", "198.20.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_on_this_machine_is_for_private_networks() {
        assert_eq!(reachable("http://127.0.0.1:8546", false).await, None);
        let found = reachable("http://127.0.0.1:8546", true).await;
        assert_eq!(found, Some("127.0.0.1:8546".parse().unwrap()));
        assert_eq!(reachable("http://127.0.0.1", true).await, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(reachable("http://[::1]:9", true).await, Some("[::1]:9".parse().unwrap()));
        assert_eq!(reachable("ftp://127.0.0.1:1", true).await, None);
    }
}
