//! Running the command, in a directory of its own; a node that speaks TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::native::{Handshake, Hello};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// No test waits longer for anything; none of them is expected to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory in which commands run, gone with the test.
pub(crate) struct Place(PathBuf);

/// What a command has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Runs `rakt` with these words as arguments.
    pub(crate) fn rakt(&self, line: &str) -> Done {
        self.rakt_with(line, "", None)
    }

    /// The same, with a standard input and the environment variable of the secret.
    pub(crate) fn rakt_with(&self, line: &str, input: &str, secret: Option<&str>) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rakt"));
        command.args(line.split_whitespace()).current_dir(&self.0).env_remove("RAKT_SECRET");
        if let Some(secret) = secret {
            command.env("RAKT_SECRET", secret);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        // One that does not read it has ended.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("its output");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("it was not killed");
        Done { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs `rakt`, which has to end well.
    pub(crate) fn ok(&self, line: &str) -> String {
        let done = self.rakt(line);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "rakt {line}");
        done.out
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a node that is checked asks for, and says.
pub(crate) struct Node<'a> {
    pub(crate) place: &'a Place,
    pub(crate) certificate: &'a str,
    /// The authority that clients have to come from, if they are asked for a certificate.
    pub(crate) clients: Option<&'a str>,
    pub(crate) protocol: Option<&'a [u8]>,
}

impl Node<'_> {
    /// Listens, and shakes hands with all who connect until the tests end.
    pub(crate) fn start(&self) -> SocketAddr {
        let read = |name: &str, kind: &str| self.place.read(&format!("{name}.{kind}"));
        let certificates = |pem: String| -> Vec<_> {
            CertificateDer::pem_slice_iter(pem.as_bytes()).map(|it| it.expect("PEM")).collect()
        };
        let key =
            PrivateKeyDer::from_pem_slice(read(self.certificate, "key").as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(read(authority, "pem")));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = certificates(read(self.certificate, "pem"));
        let mut config = builder.with_single_cert(chain, key).expect("a pair");
        config.alpn_protocols = self.protocol.map(<[u8]>::to_vec).into_iter().collect();
        let (config, listener) =
            (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address = listener.local_addr().expect("an address");
        // The system has the name that its certificate has.
        let system = self.certificate.rsplit('/').next().expect("a name");
        let mut hello = Hello::new(system, [1; 16]);
        hello.advertised = Some((address.ip().to_string(), address.port()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, hello) = (config.clone(), hello.clone());
                std::thread::spawn(move || serve(config, stream, hello));
            }
        });
        address
    }
}

fn serve(config: Arc<ServerConfig>, stream: TcpStream, hello: Hello) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let connection = ServerConnection::new(config).expect("a configuration");
    let mut stream = StreamOwned::new(connection, stream);
    // To the end of what the peer says: it is not to lose the alert because something of it was not read.
    let (mut handshake, mut read) = (Handshake::accept(hello), BytesMut::new());
    let mut some = [0; 1024];
    while let Ok(len @ 1..) = stream.read(&mut some) {
        read.extend_from_slice(&some[..len]);
        let greeted = handshake.handle_bytes(&mut read);
        if let Some(bytes) = handshake.poll_transmit() {
            let _ = stream.write_all(&bytes);
        }
        if !matches!(greeted, Ok(None)) {
            break;
        }
    }
    let _ = stream.flush();
    let _ = stream.sock.shutdown(std::net::Shutdown::Write);
    let _ = stream.sock.read_to_end(&mut Vec::new());
}
