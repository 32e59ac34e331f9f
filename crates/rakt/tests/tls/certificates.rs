//! Certificates as tests need them: good ones, and those that nobody should accept.

use std::time::{Duration, SystemTime};

use rakt::remote::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A CA that signs whatever it is given.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its chain, and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = Self::params(name);
        let pem = params.self_signed(&key).expect("a CA").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One that this one has signed, with the chain down to it.
    #[allow(dead_code, reason = "for tables of chains")]
    pub(crate) fn below(&self, name: &str) -> (Self, String) {
        let key = KeyPair::generate().expect("a key");
        let params = Self::params(name);
        let pem = params.signed_by(&key, &self.issuer).expect("a CA").pem();
        (Self { issuer: Issuer::new(params, key), pem: pem.clone() }, pem)
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// A node of that name on loopback.
    pub(crate) fn node(&self, name: &str) -> Issued {
        self.issue(name, |_| {})
    }

    /// The same with something changed.
    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = leaf(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// What a node of that name is given.
    pub(crate) fn tls(&self, name: &str) -> Tls {
        self.node(name).tls(&self.pem)
    }
}

impl Issued {
    pub(crate) fn tls(&self, roots: &str) -> Tls {
        Tls::from_pem(&self.certificate, &self.key, roots)
    }
}

/// That of a good one.
fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.subject_alt_names.push(uri(&format!("rakt://tests/{name}")));
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(86_400)).into();
    params
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("a URI"))
}
