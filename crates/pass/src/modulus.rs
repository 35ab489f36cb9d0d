//! Numbers modulo a public RSA key, of whatever size: keys of passes have 2048 bits, the RFC's vectors 4096.

use crypto_bigint::{
    Odd, RandomMod, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use getrandom::SysRng;
use zeroize::Zeroizing;

/// A number modulo a key, in Montgomery form. What is not named `vartime` takes the same time for all numbers.
pub(crate) type Residue<const LIMBS: usize> = FixedMontyForm<LIMBS>;

pub(crate) struct Modulus<const LIMBS: usize>(FixedMontyParams<LIMBS>);

impl<const LIMBS: usize> Modulus<LIMBS> {
    /// Nothing if it is even.
    pub(crate) fn new(modulus: &Uint<LIMBS>) -> Option<Self> {
        let modulus: Odd<_> = modulus.to_odd().into_option()?;
        Some(Self(FixedMontyParams::new_vartime(modulus)))
    }

    /// Nothing if `bytes` are not a number below the modulus, in the modulus's length.
    pub(crate) fn residue(&self, bytes: &[u8]) -> Option<Residue<LIMBS>> {
        let number = number(bytes)?;
        // Whether a stranger's number is in range is no secret.
        (number < *self.0.modulus().as_ref()).then(|| self.reduced(&number))
    }

    /// The modulus itself, as [`to_be_bytes`] writes a residue.
    #[cfg(feature = "issuer")]
    pub(crate) fn to_be_bytes<const N: usize>(&self) -> [u8; N] {
        be_bytes(self.0.modulus().as_ref())
    }

    /// Of a number that is known to be below the modulus.
    pub(crate) fn reduced(&self, number: &Uint<LIMBS>) -> Residue<LIMBS> {
        Residue::new(number, &self.0)
    }

    /// A random residue, which is invertible but for a chance that nobody meets.
    pub(crate) fn random(&self) -> Zeroizing<Residue<LIMBS>> {
        let number = Uint::try_random_mod_vartime(&mut SysRng, self.0.modulus().as_nz_ref())
            .expect("the operating system has randomness to give");
        Zeroizing::new(self.reduced(&number))
    }
}

/// The public operation, with the exponent 65537 that every key here has.
pub(crate) fn encrypt<const LIMBS: usize>(residue: &Residue<LIMBS>) -> Residue<LIMBS> {
    residue.square_repeat_vartime(16).mul(residue)
}

/// Big-endian, with leading zeros, in the modulus's length.
pub(crate) fn to_be_bytes<const N: usize, const LIMBS: usize>(residue: &Residue<LIMBS>) -> [u8; N] {
    be_bytes(&Zeroizing::new(residue.retrieve()))
}

fn be_bytes<const N: usize, const LIMBS: usize>(number: &Uint<LIMBS>) -> [u8; N] {
    let bytes = Zeroizing::new(number.to_be_bytes());
    bytes.as_slice().try_into().expect("callers ask for the modulus's length")
}

fn number<const LIMBS: usize>(bytes: &[u8]) -> Option<Uint<LIMBS>> {
    (bytes.len() == Uint::<LIMBS>::BYTES).then(|| Uint::from_be_slice(bytes))
}
