//! Passwords and certificates.

use rakt::cluster::Register;
use rakt::error::Chain;
use rakt_etcd::{Etcd, EtcdError};

use crate::server::Servers;
use crate::{NOTHING, cause, unknown};

/// `/rakt/shop/view` in base64.
const KEY: &str = "L3Jha3Qvc2hvcC92aWV3";

/// Sets up the user `shop`, who may read and write the view of the cluster of that name, and nothing else.
fn with_users(servers: &Servers) {
    let steps = [
        ("user/add", r#"{"name":"root","password":"root"}"#.to_owned()),
        ("role/add", r#"{"name":"root"}"#.to_owned()),
        ("user/grant", r#"{"user":"root","role":"root"}"#.to_owned()),
        ("user/add", r#"{"name":"shop","password":"sesame"}"#.to_owned()),
        ("role/add", r#"{"name":"shop"}"#.to_owned()),
        (
            "role/grant",
            format!(r#"{{"name":"shop","perm":{{"permType":"READWRITE","key":"{KEY}"}}}}"#),
        ),
        ("user/grant", r#"{"user":"shop","role":"shop"}"#.to_owned()),
        ("enable", "{}".to_owned()),
    ];
    for (path, body) in steps {
        servers.post(0, &format!("/v3/auth/{path}"), &body, "");
    }
}

/// Has all tokens of the user `shop` count no more.
fn without_tokens(servers: &Servers) {
    let root = r#"{"name":"root","password":"root"}"#;
    let answer = servers.post(0, "/v3/auth/authenticate", root, "");
    let (_, token) = answer.split_once("\"token\":\"").expect("it is in there");
    let (token, _) = token.split_once('"').expect("it ends");
    let same = r#"{"name":"shop","password":"sesame"}"#;
    servers.post(0, "/v3/auth/user/changepw", same, token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn a_user_comes_in_with_its_password() -> rakt::Result {
    let servers = Servers::start(1);
    let register = servers.register().cluster("shop").user("shop", "sesame");
    // As long as it asks nobody it takes all.
    let mut newest = register.swap(NOTHING, "before".into()).await?;
    with_users(&servers);
    newest = register.swap(newest, "with a token".into()).await?;
    // Tokens end; new ones are had for them, and a swap is none the worse for it.
    for round in 0..3 {
        without_tokens(&servers);
        newest = register.swap(newest, format!("round {round}").into()).await?;
        without_tokens(&servers);
        assert!(register.confirm(newest).await?);
    }

    let refused = [
        (servers.register().cluster("shop"), "it wants a user"),
        (
            servers.register().cluster("shop").user("shop", "wrong"),
            "check the name and the password",
        ),
        (servers.register().cluster("shop").user("nobody", "x"), "check the name and the password"),
        (servers.register().cluster("other").user("shop", "sesame"), "may read and write the key"),
    ];
    for (register, hint) in refused {
        // At once: no waiting mends that.
        let error = register.connect().await.expect_err("it may not");
        let text = Chain(&error).to_string();
        assert!(matches!(error, EtcdError::Refused { .. }), "{hint}: {text}");
        assert!(text.contains(hint) && text.contains(&servers.endpoints()[0]), "{hint}: {text}");
        let error = unknown(register.swap(newest, "never".into()).await);
        assert!(matches!(error, EtcdError::Refused { .. }), "{hint}: {error:?}");
    }
    assert!(register.confirm(newest).await?);
    Ok(())
}

#[cfg(any(feature = "tls", feature = "tls-ring"))]
mod tls {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair,
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        CertifiedIssuer::self_signed(params, key).expect("it is valid")
    }

    /// A certificate for that name, and its key.
    fn issued(authority: &Authority, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params.signed_by(&key, authority).expect("it is valid");
        (certificate.pem(), key.serialize_pem())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "starts etcd: .ci/run etcd"]
    async fn a_client_comes_in_with_its_certificate() -> rakt::Result {
        let (ours, others) = (authority("ours"), authority("others"));
        let server = issued(&ours, "127.0.0.1");
        let servers = Servers::start_with(1, "https", |dir| {
            let files =
                [("ca.pem", ours.pem()), ("server.pem", server.0), ("server.key", server.1)];
            let path = |name: &str| dir.join(name).display().to_string();
            for (name, text) in &files {
                std::fs::write(dir.join(name), text).expect("there is room");
            }
            [
                ("--trusted-ca-file", path("ca.pem")),
                ("--cert-file", path("server.pem")),
                ("--key-file", path("server.key")),
                ("--client-cert-auth", "true".into()),
            ]
            .map(|(option, value)| format!("{option}={value}"))
            .into()
        });
        let (certificate, key) = issued(&ours, "node.example");
        let at = || Etcd::at(servers.endpoints()).start_timeout(crate::MS);
        let register = at().ca(ours.pem()).certificate(&*certificate, &*key);
        // It takes connections already, and may have no leader yet.
        let patient = Etcd::at(servers.endpoints()).ca(ours.pem());
        patient.certificate(&*certificate, &*key).connect().await?;
        let version = register.swap(NOTHING, "sealed".into()).await?;
        assert!(register.confirm(version).await?);
        let other = at().ca(ours.pem()).certificate(&*certificate, &*key);
        rakt::testkit::within(other.changed(NOTHING)).await;

        // An etcd of somebody else, and clients that it does not know.
        let error = at().ca(others.pem()).certificate(&*certificate, &*key).connect().await;
        let text = Chain(&error.expect_err("it is not ours")).to_string();
        assert!(
            text.contains("UnknownIssuer") && text.contains("do the certificates fit"),
            "{text}"
        );
        let error = at().ca(ours.pem()).connect().await.expect_err("it has no certificate");
        assert!(error.to_string().contains(&servers.endpoints()[0]), "{error}");
        let (certificate, key) = issued(&others, "node.example");
        let stranger = at().ca(ours.pem()).certificate(certificate, key);
        let error = stranger.read().await.expect_err("it is a stranger");
        assert!(
            matches!(cause(&error), EtcdError::NotReached { .. } | EtcdError::Lost { .. }),
            "{error:?}"
        );
        // Its own name is what the endpoint says.
        let elsewhere = servers.endpoints()[0].replace("127.0.0.1", "localhost");
        let error = Etcd::at([elsewhere]).ca(ours.pem()).read().await.expect_err("another name");
        assert!(matches!(cause(&error), EtcdError::NotReached { .. }), "{error:?}");
        Ok(())
    }
}
