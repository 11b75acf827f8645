//! Settings on the kernel's command line.
//!
//! # Formal definition
//! Words are separated by spaces. Those that begin with `tacit.` are settings, each at most once:
//! - `tacit.disk=BLOCKS:SALT:ROOT`: the disk `/dev/vda` has this many blocks of content (decimal) and then their hash tree; salt and root are
//!   64 lower-case hexadecimal digits each;
//! - `tacit.operator=MIB`: the disk `/dev/vdb` has what the operator gives, at most so many MiB of it (1 to 64);
//! - `tacit.address=ADDRESS/PREFIX` and `tacit.gateway=ADDRESS`: of IPv4, together or not at all.
//!
//! All else is the kernel's.

use std::net::Ipv4Addr;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// The disk with models.
    pub(crate) disk: Option<Disk>,
    /// How much the operator may give, in MiB; none where there is no such disk.
    pub(crate) operator_mib: Option<u32>,
    /// The address of the network card.
    pub(crate) address: Option<Address>,
}

/// A disk with a hash tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Blocks of content, of 4,096 bytes.
    pub(crate) blocks: u64,
    /// What every hash begins with, in hexadecimal.
    pub(crate) salt: String,
    /// Root of the tree, in hexadecimal.
    pub(crate) root: String,
}

/// How the network card is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// The machine's own address.
    pub(crate) own: Ipv4Addr,
    /// How many bits of it are the network's.
    pub(crate) prefix: u8,
    /// Who knows the way to everybody else.
    pub(crate) gateway: Ipv4Addr,
}

/// Why a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SettingError {
    /// No setting of this name.
    #[error("{0} is not known")]
    Unknown(String),
    /// The same twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// A value of another form.
    #[error("{0} has another form")]
    Form(&'static str),
    /// An address without a gateway, or a gateway without an address.
    #[error("tacit.address and tacit.gateway belong together")]
    Alone,
}

impl Settings {
    /// Reads them.
    pub(crate) fn parse(command_line: &str) -> Result<Self, SettingError> {
        let (mut disk, mut operator_mib, mut own, mut gateway) = (None, None, None, None);
        for word in command_line.split_ascii_whitespace() {
            let Some(setting) = word.strip_prefix("tacit.") else { continue };
            let (name, value) =
                setting.split_once('=').ok_or_else(|| SettingError::Unknown(word.to_owned()))?;
            let is_new = match name {
                "disk" => disk.replace(parse_disk(value).ok_or(SettingError::Form("tacit.disk"))?).is_none(),
                "operator" => {
                    let parsed = parse_mib(value).ok_or(SettingError::Form("tacit.operator"))?;
                    operator_mib.replace(parsed).is_none()
                }
                "address" => {
                    own.replace(parse_own(value).ok_or(SettingError::Form("tacit.address"))?).is_none()
                }
                "gateway" => {
                    let parsed = value.parse().map_err(|_| SettingError::Form("tacit.gateway"))?;
                    gateway.replace(parsed).is_none()
                }
                _ => return Err(SettingError::Unknown(word.to_owned())),
            };
            if !is_new {
                return Err(SettingError::Twice(format!("tacit.{name}")));
            }
        }
        let address = match (own, gateway) {
            (Some((own, prefix)), Some(gateway)) => Some(Address { own, prefix, gateway }),
            (None, None) => None,
            _ => return Err(SettingError::Alone),
        };
        Ok(Self { disk, operator_mib, address })
    }
}

fn parse_disk(value: &str) -> Option<Disk> {
    let mut parts = value.split(':');
    let (blocks, salt, root) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hash =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if parts.next().is_some()
        || !is_hash(salt)
        || !is_hash(root)
        || !blocks.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    // A count that Linux can turn into sectors.
    let blocks = blocks.parse().ok().filter(|blocks| (1..=1 << 50).contains(blocks))?;
    Some(Disk { blocks, salt: salt.to_owned(), root: root.to_owned() })
}

fn parse_mib(value: &str) -> Option<u32> {
    value.parse().ok().filter(|mib| (1..=OPERATOR_MIB_MAX).contains(mib) && !value.starts_with('+'))
}

fn parse_own(value: &str) -> Option<(Ipv4Addr, u8)> {
    let (own, prefix) = value.split_once('/')?;
    Some((own.parse().ok()?, prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix))?))
}

const OPERATOR_MIB_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    #[test]
    fn all_settings() {
        let line = format!(
            "console=ttyS0 tacit.disk=12:{}:{} tacit.operator=8 tacit.address=10.0.2.15/24 tacit.gateway=10.0.2.2 initrd=initrd\n",
            hash('a'),
            hash('0')
        );
        let settings = Settings::parse(&line).unwrap();
        assert_eq!(settings.disk, Some(Disk { blocks: 12, salt: hash('a'), root: hash('0') }));
        assert_eq!(settings.operator_mib, Some(8));
        let address = settings.address.unwrap();
        assert_eq!((address.own, address.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(address.gateway, Ipv4Addr::new(10, 0, 2, 2));
        assert_eq!(Settings::parse("quiet"), Ok(Settings::default()));
    }

    #[test]
    fn unknown_settings() {
        for word in ["tacit.shell=1", "tacit.disk", "tacit."] {
            assert_eq!(Settings::parse(word), Err(SettingError::Unknown(word.to_owned())));
        }
    }

    #[test]
    fn settings_twice() {
        let line = "tacit.gateway=10.0.2.2 tacit.gateway=10.0.2.2";
        assert_eq!(Settings::parse(line), Err(SettingError::Twice("tacit.gateway".to_owned())));
        let line = "tacit.operator=1 tacit.operator=1";
        assert_eq!(Settings::parse(line), Err(SettingError::Twice("tacit.operator".to_owned())));
    }

    #[test]
    fn settings_of_another_form() {
        let (a, b) = (hash('a'), hash('b'));
        for value in [
            String::new(),
            format!("1:{a}"),
            format!("1:{a}:{b}:"),
            format!("0:{a}:{b}"),
            format!("+1:{a}:{b}"),
            format!("{}:{a}:{b}", u64::MAX),
            format!("1:{a}:{}", b.to_uppercase()),
            format!("1:{a}:{}", &b[1..]),
        ] {
            let got = Settings::parse(&format!("tacit.disk={value}"));
            assert_eq!(got, Err(SettingError::Form("tacit.disk")), "{value}");
        }
        for value in ["10.0.2.15", "10.0.2.15/33", "10.0.2.15/0", "10.0.2/24", "::1/64"] {
            let got = Settings::parse(&format!("tacit.address={value}"));
            assert_eq!(got, Err(SettingError::Form("tacit.address")));
        }
        for value in ["", "0", "65", "+8", "-1", "8MiB", "/dev/vdb"] {
            let got = Settings::parse(&format!("tacit.operator={value}"));
            assert_eq!(got, Err(SettingError::Form("tacit.operator")), "{value}");
        }
        assert_eq!(Settings::parse("tacit.gateway=a"), Err(SettingError::Form("tacit.gateway")));
    }

    #[test]
    fn half_an_address() {
        assert_eq!(Settings::parse("tacit.gateway=10.0.2.2"), Err(SettingError::Alone));
        assert_eq!(Settings::parse("tacit.address=10.0.2.15/24"), Err(SettingError::Alone));
    }
}
