//! What RFC 9474 has the issuer do: the private operation on a blinded message.

use crypto_bigint::{
    NonZero, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::modulus::{Modulus, Residue, encrypt};

/// Two primes of `HALF` limbs, and what follows from them for a modulus of `FULL`.
pub(crate) struct PrivateKey<const HALF: usize, const FULL: usize> {
    pub(crate) modulus: Modulus<FULL>,
    pub(crate) p: Prime<HALF>,
    pub(crate) q: Prime<HALF>,
    /// The inverse of `q` modulo `p`.
    pub(crate) coefficient: Zeroizing<FixedMontyForm<HALF>>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Prime<const HALF: usize> {
    params: FixedMontyParams<HALF>,
    /// The private exponent modulo one less than the prime.
    pub(crate) exponent: Uint<HALF>,
}

/// A signature came out wrong: a fault of the machine, and one such signature would give the key away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

impl<const HALF: usize, const FULL: usize> PrivateKey<HALF, FULL> {
    /// Nothing if the two are no primes of a key with the exponent 65537 and twice as many bits.
    pub(crate) fn new(p: &Uint<HALF>, q: &Uint<HALF>) -> Option<Self> {
        let product = p.resize::<FULL>().wrapping_mul(q);
        let full = product.bit_width_vartime() == Uint::<FULL>::BITS;
        let modulus = Modulus::new(&product).filter(|_| full)?;
        let (p, q) = (Prime::new(p)?, Prime::new(q)?);
        let coefficient = p.residue(q.number()).invert().into_option().map(Zeroizing::new)?;
        Some(Self { modulus, p, q, coefficient })
    }

    /// Signs, under a blinding of its own, so that what the arithmetic sees is nobody's choice, and checks itself.
    pub(crate) fn sign(&self, message: &Residue<FULL>) -> Result<Residue<FULL>, Fault> {
        let blind = self.modulus.random();
        let inverse = blind.invert().into_option().map(Zeroizing::new).ok_or(Fault)?;
        let blinded = Zeroizing::new(message.mul(&encrypt(&blind)));
        let signature = self.decrypt(&blinded).mul(&inverse);
        if encrypt(&signature) == *message { Ok(signature) } else { Err(Fault) }
    }

    /// The bare private operation, by the Chinese remainder theorem.
    pub(crate) fn decrypt(&self, residue: &Residue<FULL>) -> Zeroizing<Residue<FULL>> {
        let number = Zeroizing::new(residue.retrieve());
        let (in_p, in_q) = (self.p.decrypt(&number), self.q.decrypt(&number));
        let in_q = Zeroizing::new(in_q.retrieve());
        let difference = Zeroizing::new(in_p.sub(&*Zeroizing::new(self.p.residue(&in_q))));
        let quotient = Zeroizing::new(Zeroizing::new(difference.mul(&self.coefficient)).retrieve());
        let above = Zeroizing::new(quotient.resize::<FULL>().wrapping_mul(self.q.number()));
        // Less than the modulus: at most (p - 1) times q, and less than q.
        let sum = Zeroizing::new(above.wrapping_add(&in_q.resize::<FULL>()));
        Zeroizing::new(self.modulus.reduced(&sum))
    }
}

impl<const HALF: usize> Prime<HALF> {
    fn new(prime: &Uint<HALF>) -> Option<Self> {
        let odd = prime.to_odd().into_option()?;
        let order = NonZero::new(prime.wrapping_sub(&Uint::ONE)).into_option()?;
        let exponent = Uint::from_u32(65537).invert_mod(&order).into_option()?;
        Some(Self { params: FixedMontyParams::new(odd), exponent })
    }

    pub(crate) fn number(&self) -> &Uint<HALF> {
        self.params.modulus().as_ref()
    }

    fn residue<const LIMBS: usize>(&self, number: &Uint<LIMBS>) -> FixedMontyForm<HALF> {
        FixedMontyForm::new(&number.rem(self.params.modulus().as_nz_ref()), &self.params)
    }

    fn decrypt<const FULL: usize>(&self, number: &Uint<FULL>) -> Zeroizing<FixedMontyForm<HALF>> {
        Zeroizing::new(Zeroizing::new(self.residue(number)).pow(&self.exponent))
    }
}
