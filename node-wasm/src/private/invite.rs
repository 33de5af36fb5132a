//! The invite to a private network: the version (1), the network key (32) and the genesis bytes, in base64url.
//!
//! It goes behind the `#` of a link, which browsers never send to a server. Who has it is a member, and it never expires: a leaked
//! one is answered by a successor network.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::genesis::Genesis;
use shared::limits::GENESIS_BYTES_MAX;
use shared::private::NetworkKey;

use super::fits;

const VERSION: u8 = 1;
const TEXT_BYTES_MAX: usize = (1 + 32 + GENESIS_BYTES_MAX) * 4 / 3 + 4;

/// A network key and the genesis that it belongs to.
#[derive(Clone, Debug)]
pub struct Invite {
    key: NetworkKey,
    genesis: Genesis,
}

impl Invite {
    /// An invite to the network with these genesis bytes.
    ///
    /// # Errors
    /// They are no genesis, or not one of this key.
    pub fn new(key: NetworkKey, genesis: &[u8]) -> Result<Self, String> {
        let genesis = Genesis::decode(genesis).map_err(|error| format!("the genesis: {error}"))?;
        if !fits(&key, &genesis) {
            return Err("the key and the network of the invite do not belong together".into());
        }
        Ok(Self { key, genesis })
    }

    /// Reads the text of an invite; white space is skipped.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let compact: String = text.split_whitespace().collect();
        if compact.len() > TEXT_BYTES_MAX {
            let found = compact.len();
            return Err(format!(
                "the invite has {found} characters, {TEXT_BYTES_MAX} are allowed"
            ));
        }
        let damaged = || String::from("the invite is damaged: it is cut off or changed");
        let bytes = URL_SAFE_NO_PAD.decode(compact).map_err(|_| damaged())?;
        let (version, rest) = bytes.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(format!(
                "the invite is of version {version}, this page knows {VERSION}"
            ));
        }
        let (key, genesis) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        Self::new(NetworkKey::from_bytes(*key), genesis).map_err(|_| damaged())
    }

    /// The invite's text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = [&[VERSION][..], self.key.as_bytes(), &self.genesis.encode()].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The network key.
    #[must_use]
    pub const fn key(&self) -> &NetworkKey {
        &self.key
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }
}

#[cfg(test)]
pub(super) mod tests {
    use shared::genesis::{Access, Rules};
    use shared::identity::Identity;
    use shared::ids::{NetworkId, TimestampMs};
    use shared::pow::Target;

    use super::*;

    pub(in crate::private) fn genesis(key: &NetworkKey) -> Genesis {
        let owner = Identity::from_seed([1; 32]).public_key();
        Genesis {
            network_id: NetworkId::parse("club").unwrap(),
            rules: Rules::open_default(Target::for_hashes(1_000).to_compact()),
            created_at: TimestampMs(1),
            owner,
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Private {
                join_key: key.keys().join_key(),
                reporters: vec![owner],
            },
        }
    }

    #[test]
    fn an_invite_is_what_it_was_and_no_changed_character_is_taken() {
        let key = NetworkKey::from_bytes([7; 32]);
        let invite = Invite::new(key.clone(), &genesis(&key).encode()).unwrap();
        let text = invite.text();
        let read = Invite::read(&format!(" {text}\n")).unwrap();
        assert_eq!((read.key(), read.genesis()), (&key, &genesis(&key)));
        for cut in 0..text.len() {
            assert!(Invite::read(&text[..cut]).is_err(), "cut at {cut}");
        }
        // Every character of the key; those of the genesis would give another chain id, which nobody else is in.
        for at in 0..44 {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Invite::read(&changed).is_err(), "changed at {at}");
        }
        assert!(Invite::read(&"A".repeat(TEXT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_key_of_another_network_makes_no_invite() {
        let key = NetworkKey::from_bytes([7; 32]);
        let other = NetworkKey::from_bytes([8; 32]);
        assert!(Invite::new(other, &genesis(&key).encode()).is_err());
    }
}
