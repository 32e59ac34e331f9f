//! The code that uses the files, to be copied.

use std::path::Path;

use rakt::remote::certificate::Files;

/// The two lines of a node of rakt. Its system has the name that its certificate has.
pub(super) fn rust(name: &str, files: &Files) -> String {
    let Files { certificate, key, authority, .. } = files;
    format!(
        "{name}: {} and {}\n\n    \
         let remoting = Config::new(\"127.0.0.1\", 3321).tls(Tls::from_files({certificate:?}, {key:?}, {authority:?}));\n    \
         let system = ActorSystem::builder({name:?}).remoting(remoting).start().await?;\n\n",
        certificate.display(),
        key.display(),
    )
}

/// What a node of GoAkt has to be told. Go's defaults ask clients for no certificate, and a client of GoAkt has one
/// `ServerName` for all nodes.
pub(super) fn go(directory: &Path, name: &str, server_name: &str) -> String {
    let file = |kind| directory.join(format!("{name}.{kind}"));
    let (certificate, key, authority) = (file("pem"), file("key"), directory.join("ca.pem"));
    format!(
        "a GoAkt node as {name} (gtls is \"github.com/tochemey/goakt/v3/tls\"):\n\n    \
         certificate, err := tls.LoadX509KeyPair({certificate:?}, {key:?})\n    \
         // ...\n    \
         authority, err := os.ReadFile({authority:?})\n    \
         // ...\n    \
         trusted := x509.NewCertPool()\n    \
         trusted.AppendCertsFromPEM(authority)\n    \
         config := &tls.Config{{\n        \
             Certificates: []tls.Certificate{{certificate}},\n        \
             RootCAs:      trusted,\n        \
             ClientCAs:    trusted,\n        \
             ClientAuth:   tls.RequireAndVerifyClientCert,\n        \
             ServerName:   {server_name:?}, // in the certificates of all nodes\n        \
             MinVersion:   tls.VersionTLS13,\n    \
         }}\n    \
         actor.WithTLS(&gtls.Info{{ServerConfig: config, ClientConfig: config}})\n"
    )
}
