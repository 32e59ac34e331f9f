//! Certificates as tests need them: good ones, and those that nobody should accept.

use std::time::{Duration, SystemTime};

use rakt::remote::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber,
};

/// A CA that signs whatever it is given.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    /// What those show that it has issued, besides their own: nothing if it is trusted itself.
    chain: String,
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
        Self { issuer: Issuer::new(params, key), pem, chain: String::new() }
    }

    /// One that this one has signed, with the chain down to it.
    pub(crate) fn below(&self, name: &str) -> Self {
        self.below_with(name, |_| {})
    }

    /// The same with something changed.
    pub(crate) fn below_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = Self::params(name);
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer).expect("a CA").pem();
        let chain = format!("{pem}{}", self.chain);
        Self { issuer: Issuer::new(params, key), pem, chain }
    }

    /// Its own certificate with something changed, for what shows that of a CA as its own.
    pub(crate) fn as_leaf(&self) -> Issued {
        Issued { certificate: self.pem.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// A list of those that it has revoked, good until then.
    pub(crate) fn revokes(&self, serials: &[&[u8]], until: SystemTime) -> String {
        let revoked = |serial: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: SystemTime::UNIX_EPOCH.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: SystemTime::UNIX_EPOCH.into(),
            next_update: until.into(),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("a list in PEM")
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
        self.issue_to(&key, &key, name, change)
    }

    /// The same for any public key, whoever has its private one.
    pub(crate) fn issue_to(
        &self,
        public: &impl PublicKeyData,
        key: &KeyPair,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = leaf(name);
        change(&mut params);
        let certificate = params.signed_by(public, &self.issuer).expect("a certificate").pem();
        let certificate = format!("{certificate}{}", self.chain);
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

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().expect("ASCII"))
}
