//! Which local addresses callers may use, and what they are told instead of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use roomkit_core::error::ConfigError;
use rtc::shared::ifaces::ifaces;

use crate::config::WebRtcTransportConfig;

/// A public address, and the port there if it is another one than here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    ip: IpAddr,
    port: Option<u16>,
}

impl Announced {
    /// What callers are told for `local`; nothing, if that is of another family.
    pub(crate) fn instead_of(self, local: SocketAddr) -> Option<SocketAddr> {
        let same_family = self.ip.is_ipv4() == local.is_ipv4();
        same_family.then(|| SocketAddr::new(self.ip, self.port.unwrap_or(local.port())))
    }
}

impl FromStr for Announced {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let announced = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => Self { ip, port: None },
            (_, Ok(address)) => Self {
                ip: address.ip(),
                port: Some(address.port()),
            },
            _ => return Err("write an IP address, or `IP:PORT`"),
        };
        if announced.ip.is_unspecified() || announced.port == Some(0) {
            return Err("callers cannot send to it; write the address they can");
        }
        Ok(announced)
    }
}

/// The addresses of this machine that the configuration allows, at least one.
pub(crate) fn local_addresses(config: &WebRtcTransportConfig) -> Result<Vec<IpAddr>, ConfigError> {
    let interfaces = ifaces().map_err(|error| {
        let problem = format!("the interfaces of this machine cannot be listed: {error}");
        ConfigError::field("interfaces", problem)
    })?;
    let there: Vec<(String, IpAddr)> = interfaces
        .into_iter()
        .filter_map(|interface| Some((interface.name, interface.addr?.ip())))
        .collect();
    chosen(config, &there)
}

fn chosen(
    config: &WebRtcTransportConfig,
    there: &[(String, IpAddr)],
) -> Result<Vec<IpAddr>, ConfigError> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (name, address) in there {
        let wanted = if config.interfaces.is_empty() {
            is_reachable(*address) && (address.is_ipv4() || config.ipv6)
        } else {
            // A link-local address means nothing without the interface it belongs to.
            config.allows(name, *address) && !is_link_local(*address)
        };
        if wanted && !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    if config.interfaces.is_empty() {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    let names: Vec<String> = there
        .iter()
        .map(|(name, address)| format!("{address} ({name})"))
        .collect();
    Err(ConfigError::field(
        "interfaces",
        format!(
            "none of `{}` is here; this machine has {}",
            config.interfaces.join("`, `"),
            names.join(", ")
        ),
    ))
}

/// Whether others may reach this machine by it.
fn is_reachable(address: IpAddr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || is_link_local(address))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<(String, IpAddr)> {
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "192.0.2.2"),
            ("eth0", "2001:db8::2"),
            ("eth0", "fe80::1"),
            ("docker0", "172.17.0.1"),
        ]
        .map(|(name, address)| (name.to_owned(), address.parse().unwrap()))
        .into()
    }

    fn addresses(config: &WebRtcTransportConfig) -> Vec<String> {
        let chosen = chosen(config, &machine()).unwrap();
        chosen.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn c3_host_candidates_are_chosen_by_interface() {
        let mut config = WebRtcTransportConfig::default();
        assert_eq!(
            addresses(&config),
            ["192.0.2.2", "2001:db8::2", "172.17.0.1"]
        );
        config.ipv6 = false;
        assert_eq!(addresses(&config), ["192.0.2.2", "172.17.0.1"]);
        config.interfaces = vec!["eth0".into()];
        assert_eq!(addresses(&config), ["192.0.2.2"]);
        config.interfaces = vec!["127.0.0.1".into()];
        assert_eq!(addresses(&config), ["127.0.0.1"]);
        config.interfaces = vec!["wlan0".into()];
        let error = chosen(&config, &machine()).unwrap_err().to_string();
        assert!(error.starts_with("interfaces: "), "{error}");
        assert!(error.contains("192.0.2.2 (eth0)"), "{error}");
    }

    #[test]
    fn a_machine_without_a_network_has_loopback() {
        let config = WebRtcTransportConfig::default();
        assert_eq!(
            chosen(&config, &machine()[..2]).unwrap(),
            [IpAddr::from(Ipv4Addr::LOCALHOST)]
        );
    }

    #[test]
    fn c3_public_addresses_stand_for_local_ones_of_their_family() {
        let local: SocketAddr = "10.0.0.5:4000".parse().unwrap();
        for (announced, expected) in [
            ("203.0.113.7", Some("203.0.113.7:4000")),
            ("203.0.113.7:50000", Some("203.0.113.7:50000")),
            ("2001:db8::7", None),
            ("[2001:db8::7]:50000", None),
        ] {
            let announced: Announced = announced.parse().unwrap();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(announced.instead_of(local), expected);
        }
        for wrong in ["", "example.com", "0.0.0.0", "1.2.3.4:0", "1.2.3.4:99999"] {
            assert!(wrong.parse::<Announced>().is_err(), "{wrong}");
        }
    }
}
