//! What is issued, shown to the verifier that nodes use.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, DnValue, IsCa, Issuer, KeyPair};
use rustls::crypto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::secret::Secret;
use super::*;
use crate::error::Chain;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether what was issued is accepted by who trusts the authority, at either end, some time from now.
fn verify(
    authority: &str,
    issued: &Issued,
    host: &str,
    after: Duration,
) -> Result<(), webpki::Error> {
    #[cfg(feature = "tls")]
    let provider = crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls"))]
    let provider = crypto::ring::default_provider();
    let trusted = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.certificate_pem().as_bytes())
        .collect::<Result<_, _>>()
        .expect("certificates");
    assert_eq!(&*chain[0], issued.certificate_der());
    let leaf = EndEntityCert::try_from(&chain[0])?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        leaf.verify_for_usage(
            provider.signature_verification_algorithms.all,
            &[anchor_from_trusted_cert(&trusted)?],
            &chain[1..],
            UnixTime::since_unix_epoch(
                UnixTime::now()
                    .as_secs()
                    .checked_add(after.as_secs())
                    .map(Duration::from_secs)
                    .expect("a time"),
            ),
            usage,
            None,
            None,
        )?;
    }
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(host).expect("a name"))
}

fn request() -> Request {
    Request::new("shop-1").host("shop-1.example").host("10.0.0.8").uri("spiffe://example/shop-1")
}

#[test]
fn what_an_authority_issues_is_accepted_for_its_names_and_its_time() {
    let authority = Authority::generate("shop").expect("an authority");
    let issued = authority.issue(&request()).expect("a certificate");
    let trusted = authority.certificate_pem();
    for host in ["shop-1.example", "10.0.0.8"] {
        assert_eq!(verify(&trusted, &issued, host, Duration::ZERO), Ok(()));
    }
    assert!(verify(&trusted, &issued, "shop-2.example", Duration::ZERO).is_err());
    assert_eq!(verify(&trusted, &issued, "10.0.0.8", 89 * DAY), Ok(()));
    let expired = verify(&trusted, &issued, "10.0.0.8", 91 * DAY);
    assert!(matches!(expired, Err(webpki::Error::CertExpired { .. })), "{expired:?}");
    let other = Authority::generate("shop").expect("an authority").certificate_pem();
    assert!(verify(&other, &issued, "10.0.0.8", Duration::ZERO).is_err());
}

#[test]
fn a_life_may_begin_later_or_have_ended() {
    let authority = Authority::generate("shop").expect("an authority");
    let check = |start| {
        let issued =
            authority.issue(&request().valid_from(start).life(DAY)).expect("a certificate");
        verify(&authority.certificate_pem(), &issued, "10.0.0.8", Duration::ZERO)
    };
    let later = check(SystemTime::now() + DAY);
    assert!(matches!(later, Err(webpki::Error::CertNotValidYet { .. })), "{later:?}");
    let ended = check(SystemTime::now() - 2 * DAY);
    assert!(matches!(ended, Err(webpki::Error::CertExpired { .. })), "{ended:?}");
}

#[test]
fn an_authority_goes_on_from_its_files() {
    let first = Authority::generate("shop").expect("an authority");
    let second = Authority::from_pem(&first.certificate_pem(), &first.key_pem()).expect("the same");
    assert_eq!(first.certificate_der(), second.certificate_der());
    let issued = second.issue(&request()).expect("a certificate");
    assert_eq!(verify(&first.certificate_pem(), &issued, "10.0.0.8", Duration::ZERO), Ok(()));
}

#[test]
fn an_intermediate_authority_of_others_issues_with_its_chain() {
    // As other tools make them: several types of text, none of ours, and no key identifier in the root.
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CountryName, DnValue::PrintableString("CH".try_into().expect("text")));
    params.distinguished_name.push(DnType::OrganizationName, "Ünïcode");
    params.distinguished_name.push(
        DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 25]),
        DnValue::Ia5String("example".try_into().expect("text")),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&root_key).expect("a certificate");
    let root_issuer = Issuer::new(params.clone(), root_key);
    params.distinguished_name.push(DnType::CommonName, "between");
    let key = KeyPair::generate().expect("a key");
    let between = params.signed_by(&key, &root_issuer).expect("a certificate");

    let authority =
        Authority::from_pem(&between.pem(), &key.serialize_pem()).expect("an authority");
    let issued = authority.issue(&request()).expect("a certificate");
    assert_eq!(verify(&root.pem(), &issued, "10.0.0.8", Duration::ZERO), Ok(()));
}

#[test]
fn what_is_no_authority_is_refused() {
    let authority = Authority::generate("shop").expect("an authority");
    let node = authority.issue(&request()).expect("a certificate");
    let refused = |certificate: &str, key: &str| {
        Authority::from_pem(certificate, key).map(drop).expect_err("no authority").to_string()
    };
    let (pem, key) = (authority.certificate_pem(), authority.key_pem());
    assert_eq!(refused(&pem, node.key_pem()), "the key is not that of the authority's certificate");
    assert!(
        refused(node.certificate_pem(), node.key_pem())
            .ends_with("it is a node's, which may not sign others")
    );
    assert!(refused("", &key).ends_with("there is no certificate in the PEM"));
    assert!(refused(&pem[..pem.len() / 2], &key).contains("no certificate of an authority"));
    assert!(refused(&pem, "").contains("openssl pkcs8"));
    let garbage = pem::encode(&pem::Pem::new("CERTIFICATE", [0x30, 0x82, 0xff]));
    assert!(refused(&garbage, &key).ends_with("it cannot be read"));
}

#[test]
fn nothing_outlives_its_authority() {
    let authority = Authority::generate("shop").expect("an authority");
    let error = authority.issue(&request().life(11 * 365 * DAY)).expect_err("too long");
    assert!(error.to_string().contains("ask for a shorter life"), "{error}");
}

#[test]
fn keys_are_not_in_debug_texts() {
    let secret = Secret::generate();
    let authority = secret.authority().expect("an authority");
    let issued = authority.issue(&request()).expect("a certificate");
    let wrong =
        Authority::from_pem(&authority.certificate_pem(), &issued.key_pem().replace('M', "N"));
    let texts = format!("{secret:?} {authority:?} {issued:?} {:?}", wrong.map(drop));
    let key = issued.key_pem().lines().nth(1).expect("a line");
    for hidden in [&secret.reveal()[4..12], &key[20..40]] {
        assert!(!texts.contains(hidden), "{texts}");
    }
    assert_eq!(format!("{secret:?}"), "Secret(..)");
}

#[test]
fn a_variable_without_a_secret_is_named_and_not_shown() {
    let error = Secret::from_env("RAKT_NO_SUCH_VARIABLE").expect_err("it is not set").to_string();
    assert!(error.contains("variable RAKT_NO_SUCH_VARIABLE is not set"), "{error}");
    // One that is there, and no secret.
    let error = Secret::from_env("CARGO_MANIFEST_DIR").expect_err("a path");
    let error = Chain(&error).to_string();
    assert!(error.contains("variable CARGO_MANIFEST_DIR cannot be used: this is not"), "{error}");
    assert!(!error.contains(env!("CARGO_MANIFEST_DIR")), "{error}");
}

#[test]
fn a_secret_gives_each_node_the_same_authority() {
    // The secret is 30 bytes of 7.
    let secret = "rk1-a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyhqogl".parse::<Secret>();
    let secret = secret.expect("a secret");
    let authority = secret.authority().expect("an authority");
    assert_eq!(hex(authority.certificate_der()), GOLDEN);
    assert_eq!(secret.identity().expect("an authority"), "secret:35b322dc");
}

/// Nodes of all versions have to agree on it, whatever their provider is. OpenSSL takes it for a certificate that has
/// signed itself, and derives the same key.
const GOLDEN: &str = "\
    308201213081d4a003020102020101300506032b657030163114301206035504030c0b72616b742073656372\
    65743020170d3230303130313030303030305a180f39393939313233313233353935395a3016311430120603\
    5504030c0b72616b7420736563726574302a300506032b6570032100b3959ae78e11748abc1e2bb11d5a0d5d\
    36c64cf80cd70b94b27b079132559dbea3453043301d0603551d0e041604149eb317bbe8dfd848a229ae4a18\
    9c3ed8330ecd1830120603551d130101ff040830060101ff020100300e0603551d0f0101ff04040302010630\
    0506032b6570034100d41b845c24b4fed25a9c4c89fab9ee1f4e4f74673227b3134cf32e47cf8c7be8609ced\
    2013d015c8bd50e7b59dc17b54629a951a93dc994962660ac88b829202";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn holders_of_a_secret_trust_each_other_and_nobody_else() {
    let text = Secret::generate().reveal();
    let authority = || text.parse::<Secret>().expect("a secret").authority().expect("an authority");
    let issued = authority().issue(&request().life(DAY)).expect("a certificate");
    assert_eq!(verify(&authority().certificate_pem(), &issued, "10.0.0.8", Duration::ZERO), Ok(()));
    let other = Secret::generate().authority().expect("an authority");
    assert!(verify(&other.certificate_pem(), &issued, "10.0.0.8", Duration::ZERO).is_err());
}

#[test]
fn what_was_not_generated_is_no_secret() {
    for text in ["", "rk1-", "password", "rk1-correct-horse-battery-staple", "rk2-", "RK1-"] {
        assert!(text.parse::<Secret>().is_err(), "{text}");
    }
    for digit in "abcdefghijklmnopqrstuvwxyz234567".chars() {
        let row = format!("rk1-{}", String::from(digit).repeat(52));
        assert!(row.parse::<Secret>().is_err(), "{row}");
    }
    let error = "hunter2".parse::<Secret>().expect_err("a password").to_string();
    assert!(error.contains("rakt secret new") && !error.contains("hunter2"), "{error}");
}

proptest! {
    #[test]
    fn any_change_of_one_character_is_found(at in 0_usize..56, other in any::<char>()) {
        let text = Secret::generate().reveal();
        prop_assert_eq!(text.len(), 56);
        prop_assert!(text.parse::<Secret>().is_ok());
        let changed: String = text.chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect();
        prop_assert_eq!(changed == text, changed.parse::<Secret>().is_ok());
    }

    #[test]
    fn any_change_of_four_characters_side_by_side_is_found(at in 4_usize..53, other in "[a-z2-7]{4}") {
        let text = Secret::generate().reveal();
        let changed = format!("{}{other}{}", &text[..at], &text[at + 4..]);
        prop_assert_eq!(changed == text, changed.parse::<Secret>().is_ok());
        let in_a_file = format!(" {text}\n");
        prop_assert!(in_a_file.parse::<Secret>().is_ok());
    }

    #[test]
    fn no_bytes_stop_the_reader(at in 0_usize..400, byte in any::<u8>(), len in 0_usize..500) {
        let authority = Authority::generate("shop").expect("an authority");
        let mut der = authority.certificate_der().to_vec();
        if let Some(there) = der.get_mut(at) {
            *there = byte;
        }
        der.truncate(len);
        let read = read::Certificate::read(&der);
        let _ = read.map(|read| (read.subject(), read.is_self_issued()));
    }
}
