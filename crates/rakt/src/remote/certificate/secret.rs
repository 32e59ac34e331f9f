//! One string on each node in place of certificates and keys in files.
//!
//! Everything is derived from the string, byte by byte the same on each node: the key of an authority by HKDF, and
//! the authority's certificate from that. Each node then issues itself a certificate with a key of its own.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "tls")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "tls"))]
use ring as crypto;

use crypto::{digest, hkdf};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::authority::Authority;
use super::error::CertificateError;
use crate::error::Cause;

const PREFIX: &str = "rk1-";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 240 bits. 256 would leave too little room for the checksum: one of four bits in the 52nd character cannot find
/// each change of a character of five.
const RANDOM_LEN: usize = 30;
const DIGITS: usize = 52;
const CHECKSUM_BITS: u32 = 20;
/// x²⁰ + x³ + 1. A change within 20 bits that follow each other is always found: any character, and any two
/// neighbours that change places.
const POLYNOMIAL: u32 = 0b1001;

/// A secret that all nodes of a cluster share: `rk1-` and 52 characters.
///
/// Nodes with the same secret trust each other, and nobody else. They speak TLS as with certificates, each with a key
/// of its own, so that who learns the secret later cannot read what was said before. All nodes that hold it are equal:
/// each of them can claim to be any other. Roles for single nodes need certificates.
///
/// ```
/// use rakt::remote::Secret;
///
/// let secret = Secret::generate();
/// // What is put into the configuration of each node. It is the secret itself.
/// let text = secret.reveal();
/// assert_eq!(text.parse::<Secret>()?, secret);
/// # Ok::<_, rakt::remote::SecretError>(())
/// ```
///
/// Only what was generated is accepted: somebody who connects can try guesses at the secret on a computer of their own.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; RANDOM_LEN]>);

/// A text is no secret that was generated.
///
/// It does not say what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a secret made by \"rakt secret new\": one that was mistyped \
         or cut off is none, nor is a password, which can be guessed from outside"
)]
#[non_exhaustive]
pub struct SecretError;

/// There is no secret in an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretVariableError {
    /// There is no such variable.
    #[error(
        "the environment variable {variable} is not set: it is to hold what \"rakt secret new\" has made"
    )]
    NotSet {
        /// Its name.
        variable: String,
    },
    /// Its text is no secret.
    #[error("the environment variable {variable} cannot be used")]
    Invalid {
        /// Its name.
        variable: String,
        /// Why not.
        source: SecretError,
    },
}

impl Secret {
    /// The host that the certificates of all holders have in common, beside their own: `rakt.internal`. A client of
    /// GoAkt knows one name for all nodes.
    pub const SERVER_NAME: &str = "rakt.internal";

    /// A new secret of 240 random bits. `rakt secret new` prints one.
    ///
    /// # Panics
    ///
    /// The operating system has no randomness.
    pub fn generate() -> Self {
        let mut random = Zeroizing::new([0; RANDOM_LEN]);
        getrandom::fill(&mut *random).expect("the operating system has randomness");
        Self(random)
    }

    /// The secret in an environment variable, such as `RAKT_SECRET`.
    ///
    /// ```no_run
    /// use rakt::remote::{Config, Secret, Tls};
    ///
    /// let tls = Tls::from_secret(Secret::from_env("RAKT_SECRET")?);
    /// let config = Config::new("0.0.0.0", 3321).tls(tls);
    /// # Ok::<_, rakt::remote::SecretVariableError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The variable is not set, or its text is no secret. The error names it, and does not say what the text is.
    pub fn from_env(variable: &str) -> Result<Self, SecretVariableError> {
        let name = || variable.to_owned();
        let text = std::env::var_os(variable);
        let text = text.ok_or_else(|| SecretVariableError::NotSet { variable: name() })?;
        let parsed = text.to_str().ok_or(SecretError).and_then(str::parse);
        parsed.map_err(|source| SecretVariableError::Invalid { variable: name(), source })
    }

    /// The text that [`parse`](str::parse) takes: whoever reads it can be any node.
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(PREFIX.len() + DIGITS);
        text.push_str(PREFIX);
        let bits = self.0.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
        let checksum = checksum(&self.0);
        let bits = bits.chain((0..CHECKSUM_BITS).rev().map(|at| (checksum >> at & 1) as u8));
        let mut digit = 0;
        for (at, bit) in (1..).zip(bits) {
            digit = digit << 1 | bit;
            if at % 5 == 0 {
                text.push(char::from(ALPHABET[usize::from(digit)]));
                digit = 0;
            }
        }
        text
    }

    /// The authority that all holders of the secret have: what it issues, all of them trust.
    ///
    /// # Errors
    ///
    /// The library for cryptography has failed.
    pub fn authority(&self) -> Result<Authority, CertificateError> {
        let key =
            self.key().map_err(|error| CertificateError::Failed { source: Cause::new(error) })?;
        let certificate = certificate(&key)
            .map_err(|error| CertificateError::Failed { source: Cause::new(error) })?;
        Authority::new(vec![CertificateDer::from(certificate)], key)
    }

    /// How peers that hold this secret are known to policies: `secret:` and eight hexadecimal digits, which tell
    /// nothing of it.
    ///
    /// # Errors
    ///
    /// The library for cryptography has failed.
    pub fn identity(&self) -> Result<String, CertificateError> {
        let digest = digest::digest(&digest::SHA256, self.authority()?.certificate_der());
        let hex = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}"));
        Ok(format!("secret:{}", hex.collect::<String>()))
    }

    /// The Ed25519 key of the authority. Its signatures have nothing random, so its certificate is always the same.
    fn key(&self) -> Result<KeyPair, rcgen::Error> {
        let mut pkcs8 = Zeroizing::new([PKCS8_ED25519, &[0; 32]].concat());
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rakt secret 1").extract(&*self.0);
        let expanded = extracted.expand(&[b"authority ed25519"], hkdf::HKDF_SHA256);
        let filled = expanded.and_then(|key| key.fill(&mut pkcs8[PKCS8_ED25519.len()..]));
        filled.expect("HKDF gives 32 bytes at least");
        KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(&**pkcs8),
            &rcgen::PKCS_ED25519,
        )
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Takes what [`Secret::reveal`] gives, with white space around it, as a file ends with it.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let digits = text.trim_ascii().strip_prefix(PREFIX).ok_or(SecretError)?;
        if digits.len() != DIGITS {
            return Err(SecretError);
        }
        let (mut random, mut found) = (Zeroizing::new([0; RANDOM_LEN]), 0);
        let mut bits = 0;
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|it| *it == digit).ok_or(SecretError)?;
            for at in (0..5).rev() {
                let bit = value >> at & 1;
                match random.get_mut(bits / 8) {
                    Some(byte) => *byte = *byte << 1 | bit as u8,
                    None => found = found << 1 | bit as u32,
                }
                bits += 1;
            }
        }
        if found == checksum(&random) { Ok(Self(random)) } else { Err(SecretError) }
    }
}

/// In constant time, though nobody else's text is ever compared.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
    }
}

impl Eq for Secret {}

/// Always the same.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The remainder of a division of polynomials. It begins with ones, so that a row of one character is no secret.
fn checksum(random: &[u8; RANDOM_LEN]) -> u32 {
    const MASK: u32 = (1 << CHECKSUM_BITS) - 1;
    random.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).fold(
        MASK,
        |sum, bit| {
            let out = sum >> (CHECKSUM_BITS - 1) ^ u32::from(bit);
            (sum << 1 & MASK) ^ if out == 1 { POLYNOMIAL } else { 0 }
        },
    )
}

/// What stands before the 32 bytes of a key.
const PKCS8_ED25519: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The certificate of the authority. It is written out here, since it may never change by a bit: nodes of all
/// versions have to agree on it.
fn certificate(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    const EXTENSION_SUBJECT_KEY: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0e];
    // Critical: an authority, for nodes alone.
    const BASIC_CONSTRAINTS: &[u8] = &[
        0x30, 0x12, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x08, 0x30, 0x06, 0x01,
        0x01, 0xff, 0x02, 0x01, 0x00,
    ];
    // Critical: it signs certificates and lists of those that are revoked.
    const KEY_USAGE: &[u8] = &[
        0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x01,
        0x06,
    ];
    let public_key = key.subject_public_key_info();
    let identifier = digest::digest(&digest::SHA256, key.der_bytes());
    let identifier = element(0x04, &[&element(0x04, &[&identifier.as_ref()[..20]])]);
    let common_name =
        element(0x30, &[&[0x06, 0x03, 0x55, 0x04, 0x03], &element(0x0c, &[b"rakt secret"])]);
    let name = element(0x30, &[&element(0x31, &[&common_name])]);
    // The latter date means that it has no end.
    let validity = [element(0x17, &[b"200101000000Z"]), element(0x18, &[b"99991231235959Z"])];
    let extensions = element(
        0x30,
        &[&element(0x30, &[EXTENSION_SUBJECT_KEY, &identifier]), BASIC_CONSTRAINTS, KEY_USAGE],
    );
    let signed = element(
        0x30,
        &[
            // Version 3, number 1.
            &[0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01],
            ED25519,
            &name,
            &element(0x30, &[&validity[0], &validity[1]]),
            &name,
            &public_key,
            &element(0xa3, &[&extensions]),
        ],
    );
    let signature = key.sign(&signed)?;
    Ok(element(0x30, &[&signed, ED25519, &element(0x03, &[&[0], &signature])]))
}

/// A value of DER, of parts that follow each other.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let mut der = match len {
        ..0x80 => vec![tag, len as u8],
        0x80..0x100 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    der.extend(content);
    der
}
