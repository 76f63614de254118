//! Clear passwords become hashes before any file sees them.

use anyhow::{Context, Result, ensure};
use sha_crypt::{PasswordHasher, ShaCrypt};

/// Bytes of a salt; in the hash they are 16 letters, the most that crypt(5) takes.
const SALT_BYTES: usize = 12;

/// Hashes a clear password for shadow(5) with SHA-512 crypt (`$6$`, 5000 rounds).
///
/// `salt_source` fills a buffer with random bytes; see [`system_random`].
///
/// # Errors
///
/// If the source fails, or nobody could type the password: it is empty or holds a line break or NUL.
pub fn hash_password(
    clear: &str,
    salt_source: &mut dyn FnMut(&mut [u8]) -> std::io::Result<()>,
) -> Result<String> {
    ensure!(!clear.is_empty(), "the password is empty");
    ensure!(
        !clear.contains(['\n', '\0']),
        "the password holds a line break or NUL"
    );
    let mut salt = [0; SALT_BYTES];
    salt_source(&mut salt).context("reading random bytes")?;
    let hash = ShaCrypt::SHA512
        .hash_password_with_salt(clear.as_bytes(), &salt)
        .map_err(|error| anyhow::anyhow!("hashing a password: {error}"))?;
    Ok(hash.as_str().to_owned())
}

/// Random bytes of the kernel.
///
/// # Errors
///
/// If `/dev/urandom` cannot be read.
pub fn system_random(bytes: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a salt source")]
    fn fixed(bytes: &mut [u8]) -> std::io::Result<()> {
        bytes.fill(0);
        Ok(())
    }

    #[test]
    fn a_password_becomes_the_hash_that_crypt_makes() {
        // As openssl passwd -6 -salt ................ 'pass word'
        assert_eq!(
            hash_password("pass word", &mut fixed).unwrap(),
            "$6$rounds=5000$................$h2LpoBz.vwHuBNhmjpiPZj1FKGBpJtDAklAc1.ZWZ8wOhbGEatBAjcfwuezCBFa2TPN3p0Sqcs6.69bRgS7B60"
        );
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let hash = || hash_password("secret", &mut system_random).unwrap();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn what_nobody_can_type_is_refused_and_not_repeated_in_the_error() {
        for clear in ["", "hidden\nhidden", "hidden\0"] {
            let error = hash_password(clear, &mut fixed).unwrap_err();
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
