//! An authority, certificates it signed, and a TLS server that says who asked.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, HandshakeKind, StreamOwned, SupportedProtocolVersion,
};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::client::{Client, Response};

/// An authority of our own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) serial: u64,
}

/// How a client shakes hands.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Name that it sends and checks.
    pub(crate) name: &'a str,
    /// Who must have signed the server's certificate.
    pub(crate) authority: &'a Authority,
    /// What it shows.
    pub(crate) identity: Option<&'a Signed>,
}

/// A stream in TLS.
pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

impl<'a> Ask<'a> {
    /// An anonymous client.
    pub(crate) fn new(name: &'a str, authority: &'a Authority) -> Self {
        Self { name, authority, identity: None }
    }

    /// One that shows a certificate.
    pub(crate) fn with(self, identity: &'a Signed) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// What rustls works with.
    pub(crate) fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        match self.identity {
            None => builder.with_no_client_auth(),
            Some(Signed { certificate, key, .. }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        }
    }

    /// Shakes hands, to its end.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Client<Secure>> {
        self.connect_by(&Arc::new(self.config(ALL_VERSIONS)), address)
    }

    /// Shakes hands as this configuration says.
    pub(crate) fn connect_by(&self, config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<Client<Secure>> {
        self.over_by(config, TcpStream::connect(address)?)
    }

    /// Shakes hands on a connection that is there.
    pub(crate) fn over(&self, stream: TcpStream) -> io::Result<Client<Secure>> {
        self.over_by(&Arc::new(self.config(ALL_VERSIONS)), stream)
    }

    fn over_by(&self, config: &Arc<ClientConfig>, mut stream: TcpStream) -> io::Result<Client<Secure>> {
        stream.set_read_timeout(Some(super::PATIENCE))?;
        let name = self.name.to_owned().try_into().unwrap();
        let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Client::over(StreamOwned::new(connection, stream)))
    }

    /// What it says first.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let name = self.name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(self.config(ALL_VERSIONS)), name).unwrap();
        let mut out = Vec::new();
        client.write_tls(&mut out).unwrap();
        out
    }

    /// Shakes hands and asks for a path; a server may refuse only after its side is done.
    pub(crate) fn get(&self, address: SocketAddr, path: &str) -> io::Result<Response> {
        let mut client = self.connect(address)?;
        client.write(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.name).as_bytes());
        client.response()
    }
}

impl Client<Secure> {
    /// The certificate that the server showed (DER).
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.stream().conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Whether the handshake went on where another had ended.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let suite = tokio_rustls::rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    suite.common.hash_provider.hash(bytes).as_ref().iter().map(|it| format!("{it:02x}")).collect()
}

impl Signed {
    /// The certificate (DER).
    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        // Told apart by name, or clients take what it signs for signed by itself.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its own certificate, in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its own certificate and key.
    pub(crate) fn signed(&self) -> Signed {
        Signed { certificate: self.pem(), key: self.issuer.key().serialize_pem(), serial: 0 }
    }

    /// A certificate for a name.
    pub(crate) fn sign(&self, name: &str) -> Signed {
        self.sign_until(name, 2050)
    }

    /// A certificate for a name that ends with this year's beginning; a name with `://` is a URI.
    pub(crate) fn sign_until(&self, name: &str, year: i32) -> Signed {
        let key = KeyPair::generate().unwrap();
        static SERIAL: AtomicU64 = AtomicU64::new(1000);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut params = if name.contains("://") {
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            params.subject_alt_names.push(SanType::URI(name.try_into().unwrap()));
            params
        } else {
            CertificateParams::new(vec![name.to_owned()]).unwrap()
        };
        params.not_after = date_time_ymd(year, 1, 1);
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem(), serial }
    }

    /// A certificate for a name with an RSA key of 1024 bits, made by openssl since nothing else makes such a thing any more.
    pub(crate) fn weak(&self, name: &str) -> Signed {
        let folder = super::Folder::new();
        let [key, chain] = ["key.pem", "chain.pem"].map(|it| folder.path().join(it));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "3650", "-subj", "/CN=weak"])
            .args(["-addext", &format!("subjectAltName=DNS:{name}"), "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&chain)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let [key, certificate] = [key, chain].map(|it| std::fs::read_to_string(it).unwrap());
        Signed { certificate, key, serial: 0 }
    }

    /// A list that revokes a certificate, in PEM.
    pub(crate) fn revoke(&self, signed: &Signed) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(signed.serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2050, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Answers every request with the SNI and whether a client certificate came; demands one of `clients` if given.
pub(crate) fn server(own: &Signed, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let facts = stream.get_ref().1;
                    let (sni, certificates) = (
                        facts.server_name().unwrap_or_default().to_owned(),
                        facts.peer_certificates().map_or(0, <[_]>::len),
                    );
                    let mut request = vec![0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|it| it > 0) {
                        let body = format!("tls\nsni: {sni}\ncertificates: {certificates}\n");
                        let answer = super::upstream::response(200, &body);
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    address
}
