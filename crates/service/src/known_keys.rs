//! The keys whose signatures come again and again, tenants' senders and validators, for a whole process: of each the
//! multiples are kept that make the next signature cheap. Verdicts do not depend on it.
//!
//! Limits: [`KEYS_MAX`] keys, the one longest unused goes first; about 34 MB when all are there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::identity::{self, Keys, SignatureError, Unknown, Verify};
use shared::ids::{PublicKey, Signature};

/// Keys that are known at once.
pub const KEYS_MAX: usize = 256;

static KEYS: Mutex<Keys> = Mutex::new(Keys::new(KEYS_MAX));

/// Verifies by what the process knows of keys. Threads share it, and compute outside its lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownKeys;

impl Verify for KnownKeys {
    fn verify_bytes(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let known = keys().find(key);
        if let Some(known) = known {
            return known.verify_bytes(message, signature);
        }
        identity::verify_bytes(key, message, signature)?;
        let unknown = keys().count(key);
        if let Some(known) = unknown.and_then(Unknown::learn) {
            keys().keep(known);
        }
        Ok(())
    }
}

fn keys() -> MutexGuard<'static, Keys> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}
