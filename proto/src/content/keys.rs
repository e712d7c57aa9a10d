//! The user's secret, and the keys made from it.

use crate::crypto::{derive_secret, keyed_hash};
use crate::labels::{CHUNK_ID, GEAR_SEED, JOURNAL};
use crate::secret::Secret;
use rand_core::CryptoRng;

/// A user's secret, random and made on first use. Equal content under an equal secret becomes equal shards, so that
/// publishing again is idempotent; without it nobody can confirm that a known file is stored.
#[derive(Debug, PartialEq, Eq)]
pub struct ConvergenceSecret(Secret);

impl ConvergenceSecret {
    /// Takes over what [`ConvergenceSecret::random`] made earlier.
    pub fn new(secret: Secret) -> ConvergenceSecret {
        ConvergenceSecret(secret)
    }

    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> ConvergenceSecret {
        ConvergenceSecret(Secret::random(rng))
    }

    /// The secret itself, to be stored where only its user reads.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> ConvergenceSecret {
        ConvergenceSecret(self.0.duplicate())
    }

    /// The seed of FastCDC's gear table: chunk boundaries are the user's own.
    pub fn gear_seed(&self) -> u64 {
        let seed = derive_secret(GEAR_SEED, self.0.expose());
        seed.expose().iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// The name of an entry in the journal of a publish: tells nothing to who finds the journal.
    pub fn journal_tag(&self, entry: &[u8]) -> [u8; 32] {
        keyed_hash(JOURNAL, &self.0, entry)
    }

    /// The name of a chunk while its file is being published. Half of a keyed hash: nobody without the secret can look
    /// for collisions.
    pub(super) fn chunk_id(&self, chunk: &[u8]) -> [u8; 16] {
        let hash = keyed_hash(CHUNK_ID, &self.0, chunk);
        std::array::from_fn(|i| hash[i])
    }
}

/// The key that a stripe's segments are sealed with.
#[derive(Debug, PartialEq, Eq)]
pub struct StripeKey(Secret);

impl StripeKey {
    /// Takes over the bytes of a key.
    pub fn new(secret: Secret) -> StripeKey {
        StripeKey(secret)
    }

    /// The secret itself.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> StripeKey {
        StripeKey(self.0.duplicate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_the_users_own() {
        let (a, b) = (ConvergenceSecret::new(Secret::new([1; 32])), ConvergenceSecret::new(Secret::new([2; 32])));
        assert_eq!(a.gear_seed(), a.duplicate().gear_seed());
        assert_ne!(a.gear_seed(), b.gear_seed());
        assert_ne!(a.journal_tag(b"entry"), b.journal_tag(b"entry"));
        assert_ne!(a.chunk_id(b"chunk"), b.chunk_id(b"chunk"));
        assert_eq!(format!("{a:?}"), "ConvergenceSecret([secret])");
    }
}
