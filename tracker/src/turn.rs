//! Credentials for a TURN server that end by themselves, as coturn's `use-auth-secret` checks them.
//!
//! The user is `<unix time of the end>:<peer id>`, the password the base64 of HMAC-SHA1 of that under a secret that the
//! tracker and the TURN server share. The secret never leaves the tracker; SHA-1 is what the servers speak, and as an
//! HMAC it is not known to be broken.

use std::fmt;
use std::path::Path;

use api::ws::IceServer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use shared::ids::{PeerId, TimestampMs};

use crate::limits;

/// The secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The file cannot be read.
    #[error("cannot read the TURN secret: {0}")]
    Io(#[from] std::io::Error),
    /// It holds nothing, or far too much.
    #[error(
        "the TURN secret has {found} bytes, allowed are 1 to {}",
        limits::TURN_SECRET_BYTES_MAX
    )]
    Length {
        /// How many there are.
        found: usize,
    },
}

/// Makes credentials for one set of TURN servers.
#[derive(Clone)]
pub struct Turn {
    urls: Vec<String>,
    secret: Vec<u8>,
    lifetime_seconds: u64,
}

impl fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Turn")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

impl Turn {
    /// Reads the secret, of which the white space around it is no part.
    ///
    /// # Errors
    /// The file cannot be read or holds no secret.
    pub fn open(
        urls: Vec<String>,
        secret: &Path,
        lifetime_seconds: u64,
    ) -> Result<Self, TurnError> {
        let text = std::fs::read(secret)?;
        let secret = text.trim_ascii().to_vec();
        let found = secret.len();
        if found == 0 || found > limits::TURN_SECRET_BYTES_MAX {
            return Err(TurnError::Length { found });
        }
        Ok(Self {
            urls,
            secret,
            lifetime_seconds,
        })
    }

    /// The servers with a credential of `peer` from `now` on.
    #[must_use]
    pub fn credential(&self, now: TimestampMs, peer: PeerId) -> IceServer {
        let ends = (now.0 / 1_000).saturating_add(self.lifetime_seconds);
        let username = format!("{ends}:{peer}");
        let credential = BASE64.encode(authentication_code(&self.secret, username.as_bytes()));
        IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential: Some(credential),
        }
    }

    /// How long after one credential the next is due, in ms: half its life.
    pub(crate) fn renewal_ms(&self) -> u64 {
        let half = self.lifetime_seconds.saturating_mul(500);
        half.max(limits::TURN_RENEWAL_MS_MIN)
    }

    /// When a credential ends, in seconds since 1970, as a TURN server with the secret reads it; none if it is no such one.
    #[cfg(test)]
    pub(crate) fn end_of(&self, server: &IceServer) -> Option<u64> {
        let username = server.username.as_ref()?;
        let password = BASE64.decode(server.credential.as_ref()?).ok()?;
        let is_ours = password == authentication_code(&self.secret, username.as_bytes());
        let (end, _) = username.split_once(':')?;
        end.parse().ok().filter(|_| is_ours)
    }
}

/// HMAC-SHA1 (RFC 2104).
fn authentication_code(secret: &[u8], text: &[u8]) -> [u8; 20] {
    let mut code = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    code.update(text);
    code.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::hash::Hash;

    #[test]
    fn hmac_sha1_gives_the_answers_of_rfc_2202() {
        let code = |key: &[u8], text: &[u8]| hex::encode(authentication_code(key, text));
        assert_eq!(
            code(&[0x0b; 20], b"Hi There"),
            "b617318655057264e28bc0b6fb378c8ef146be00"
        );
        assert_eq!(
            code(b"Jefe", b"what do ya want for nothing?"),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            code(
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            ),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
    }

    #[test]
    fn a_credential_says_when_it_ends_and_whose_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Jefe\n").unwrap();
        let turn = Turn::open(vec!["turn:t.example".into()], file.path(), 60).unwrap();
        let peer = PeerId(Hash([7; 32]));
        let server = turn.credential(TimestampMs(1_000_999), peer);
        let username = server.username.unwrap();
        assert_eq!(username, format!("1060:{peer}"));
        let expected = BASE64.encode(authentication_code(b"Jefe", username.as_bytes()));
        assert_eq!(server.credential.unwrap(), expected);
        assert!(!format!("{turn:?}").contains("Jefe"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(Turn::open(Vec::new(), file.path(), 60).is_err());
    }
}
