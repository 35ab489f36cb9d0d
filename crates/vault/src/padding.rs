use zeroize::Zeroizing;

/// The step to which the length of a plaintext is rounded up, since a length identifies.
///
/// A padded plaintext is its length as eight big-endian bytes, the plaintext,
/// and zeros up to the next multiple of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding(usize);

const PREFIX: usize = size_of::<u64>();

impl Padding {
    /// Rosters: a month of shifts fits one or two pages.
    pub const ROSTER: Self = Self::to(4096);

    /// Rounds up to multiples of `bucket` bytes.
    ///
    /// # Panics
    /// At compile time where used for a constant, if `bucket` is zero.
    #[must_use]
    pub const fn to(bucket: usize) -> Self {
        assert!(bucket > 0, "a bucket holds something");
        Self(bucket)
    }

    pub(crate) fn pad(self, plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
        let length = (PREFIX + plaintext.len()).next_multiple_of(self.0);
        let mut padded = Zeroizing::new(Vec::with_capacity(length));
        padded.extend_from_slice(&(plaintext.len() as u64).to_be_bytes());
        padded.extend_from_slice(plaintext);
        padded.resize(length, 0);
        padded
    }
}

/// The plaintext in `padded`, or nothing if no padding produces it.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = padded.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u64::from_be_bytes(*prefix)).ok()?;
    let (plaintext, zeros) = rest.split_at_checked(length)?;
    zeros.iter().all(|&byte| byte == 0).then_some(plaintext)
}

#[cfg(test)]
mod tests {
    use super::{Padding, unpad};
    use proptest::prelude::*;

    #[test]
    fn what_no_padding_produces_is_refused() {
        for padded in [
            &b""[..],
            b"\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\x02a",
            b"\xff\xff\xff\xff\xff\xff\xff\xffa",
            b"\0\0\0\0\0\0\0\x01ab",
        ] {
            assert_eq!(unpad(padded), None, "{padded:?}");
        }
    }

    proptest! {
        #[test]
        fn padding_is_undone(plaintext: Vec<u8>, bucket in 1_usize..300) {
            let padded = Padding::to(bucket).pad(&plaintext);
            prop_assert_eq!(padded.len() % bucket, 0);
            prop_assert_eq!(unpad(&padded), Some(&plaintext[..]));
        }
    }
}
