//! What makes a new alias cost a moment, so that nobody makes them by the million.

use sha2::{Digest, Sha256};

/// The most bits that a device takes on: about a minute of a phone. No honest server asks for as many.
pub const MOST_BITS: u32 = 26;

/// Finds what makes SHA-256(challenge || nonce) begin with `bits` zero bits; `None` above [`MOST_BITS`].
///
/// It takes 2^bits attempts on average and keeps its thread busy meanwhile.
pub fn solve(challenge: &[u8], bits: u32) -> Option<[u8; 8]> {
    if bits > MOST_BITS {
        return None;
    }
    (0..=u64::MAX).map(u64::to_be_bytes).find(|nonce| verify(challenge, nonce, bits))
}

/// Whether SHA-256(challenge || nonce) begins with `bits` zero bits.
pub fn verify(challenge: &[u8], nonce: &[u8], bits: u32) -> bool {
    let digest = Sha256::new().chain_update(challenge).chain_update(nonce).finalize();
    let zeros: u32 = match digest.iter().position(|&byte| byte != 0) {
        Some(first) => digest[..=first].iter().map(|byte| byte.leading_zeros()).sum(),
        None => 256,
    };
    zeros >= bits
}

#[cfg(test)]
mod tests {
    use super::{MOST_BITS, solve, verify};

    /// Computed with Python's `hashlib`: the first number whose eight bytes after `challenge` give 12 zero bits.
    #[test]
    fn the_first_nonce_that_fits_is_found() {
        assert_eq!(solve(b"challenge", 12), Some(u64::to_be_bytes(2933)));
    }

    #[test]
    fn zero_bits_are_counted_exactly() {
        let nonce = solve(b"challenge", 12).unwrap();
        assert!(verify(b"challenge", &nonce, 12));
        assert!(!verify(b"challenge", &nonce, 256));
        assert!(!verify(b"another", &nonce, 12));
        assert!(verify(b"challenge", b"", 0));
    }

    #[test]
    fn a_server_cannot_keep_a_device_busy_for_ever() {
        assert_eq!(solve(b"challenge", MOST_BITS + 1), None);
    }
}
