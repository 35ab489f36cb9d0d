use std::fmt;

use zeroize::Zeroizing;

use crate::{
    keyring::derive,
    padding::{Padding, unpad},
    sealed::{KeyId, OpenError, Place, SealingKey, random},
};

/// The key under which everything of one alias is sealed, or what therapists say in confidence.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A fresh random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    /// Seals `plaintext` for one column, named `table.column`, of the row `row`.
    ///
    /// The result opens there and nowhere else, and its length tells only
    /// which step of `padding` the plaintext falls into.
    #[must_use]
    pub fn seal(&self, column: &'static str, row: [u8; 16], plaintext: &[u8], padding: Padding) -> Vec<u8> {
        self.sealing_key().seal(Place { column, row }, &padding.pad(plaintext))
    }

    /// Opens what [`seal`](Self::seal) made for the same column and row.
    pub fn open(
        &self,
        column: &'static str,
        row: [u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let padded = self.sealing_key().open(Place { column, row }, sealed)?;
        let plaintext = unpad(&padded).ok_or(OpenError::Shape)?;
        Ok(Zeroizing::new(plaintext.to_vec()))
    }

    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(secret)
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.0
    }

    fn sealing_key(&self) -> SealingKey<'_> {
        SealingKey { id: self.id(), secret: &self.0 }
    }

    pub(crate) fn id(&self) -> KeyId {
        *derive(&self.0, "respite/data-key-id/v1")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::DataKey;
    use crate::{Keyring, OpenError, Padding, Purpose};
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    const EMAIL: &str = "contact.email";
    const ROW: [u8; 16] = [7; 16];

    fn sealed(key: &DataKey, plaintext: &[u8]) -> Vec<u8> {
        key.seal(EMAIL, ROW, plaintext, Padding::to(128))
    }

    #[test]
    fn a_ciphertext_moved_to_another_column_row_or_alias_is_refused() {
        let key = DataKey::generate();
        let sealed = sealed(&key, b"heron@example.com");
        assert_eq!(key.open("contact.phone", ROW, &sealed), Err(OpenError::Forged));
        assert_eq!(key.open(EMAIL, [8; 16], &sealed), Err(OpenError::Forged));
        assert!(matches!(DataKey::generate().open(EMAIL, ROW, &sealed), Err(OpenError::WrongKey { .. })));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = DataKey::generate();
        let sealed = sealed(&key, b"heron@example.com");
        for byte in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[byte] ^= 1 << bit;
                let error = key.open(EMAIL, ROW, &changed).unwrap_err();
                match byte {
                    0 => assert!(matches!(error, OpenError::Version { .. })),
                    1..5 => assert!(matches!(error, OpenError::WrongKey { .. })),
                    _ => assert_eq!(error, OpenError::Forged),
                }
            }
        }
    }

    #[test]
    fn every_shortened_or_lengthened_ciphertext_is_refused() {
        let key = DataKey::generate();
        let mut sealed = sealed(&key, b"heron@example.com");
        for length in 0..sealed.len() {
            let error = key.open(EMAIL, ROW, &sealed[..length]).unwrap_err();
            if length < 45 {
                assert_eq!(error, OpenError::TooShort { length });
            } else {
                assert_eq!(error, OpenError::Forged);
            }
        }
        sealed.push(0);
        assert_eq!(key.open(EMAIL, ROW, &sealed), Err(OpenError::Forged));
    }

    #[test]
    fn the_length_of_an_address_stays_hidden() {
        let key = DataKey::generate();
        for length in 1..=120 {
            assert_eq!(sealed(&key, &vec![b'a'; length]).len(), 45 + 128, "{length}");
        }
        assert_eq!(sealed(&key, &[b'a'; 121]).len(), 45 + 256);
    }

    #[test]
    fn the_same_plaintext_never_looks_the_same() {
        let key = DataKey::generate();
        assert_ne!(sealed(&key, b"heron@example.com"), sealed(&key, b"heron@example.com"));
    }

    /// Made by another implementation from the description of the format alone.
    #[test]
    fn what_is_on_disk_today_opens_tomorrow() {
        let secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let keyring = Keyring::parse(&format!("respite-key-1 34ba109d {secret}")).unwrap();
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let wrapped = hex("\
             0134ba109d000102030405060708090a0b0c0d0e0f10111213141516170b1c05b146e698249da227\
             123ade574cae7cd778cb0e3858732ff810157bc320d0169faff3043b064d9e79d684df7bc6");
        let sealed = hex("\
             0130265eee32333435363738393a3b3c3d3e3f404142434445464748499d8aeb925cd90ae4f1a16f\
             e8396a50fcdf6194eb903384d45955463c2772cfd07f4a726fc507b9d9363514264fac02cf28be6b\
             177bac820595637daec12107e79372b0ec02df2f969008526a51230ab5264f372a5a89bdadaf94d3\
             789efe1f0703c1211c38c62b9454cbe5249f9b3f1f90f54ffd9de4e1378f67163cd11f23439b8740\
             f451b697f700ba2a2867f63ec8");
        let key = keyring.unwrap(&wrapped, ROW).unwrap();
        assert_eq!(&key.open(EMAIL, ROW, &sealed).unwrap()[..], b"heron@example.com");
        let tag = keyring.mac(Purpose::Challenge, &[b"ab", b"c"]);
        assert_eq!(HEXLOWER.encode(&tag), "6c0215b8b4fc3c601932fa02c4a55850dfa5c85f2489d38569243304e6d29a6b");
    }

    #[test]
    fn debug_shows_no_byte_of_the_key() {
        assert_eq!(format!("{:?}", DataKey::generate()), "DataKey(..)");
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plaintext: Vec<u8>, row: [u8; 16], bucket in 1_usize..5000) {
            let key = DataKey::generate();
            let sealed = key.seal(EMAIL, row, &plaintext, Padding::to(bucket));
            prop_assert_eq!(&key.open(EMAIL, row, &sealed).unwrap()[..], &plaintext[..]);
        }

        #[test]
        fn anything_else_is_refused(bytes: Vec<u8>) {
            prop_assert!(DataKey::generate().open(EMAIL, ROW, &bytes).is_err());
        }
    }
}
