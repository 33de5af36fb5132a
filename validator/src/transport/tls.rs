//! TLS 1.3 where the validators' own Ed25519 keys are the only authority.
//!
//! A certificate's names, dates and signature mean nothing here: what counts is the key in it, that its holder signs the
//! handshake with it, and that it is in the set.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig,
    SignatureScheme,
};
use shared::ids::PublicKey;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Why a link is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The key or certificate cannot be used.
    #[error("the validator's certificate: {0}")]
    Certificate(String),
    /// The other end shows no key.
    #[error("the other end shows no validator key")]
    NoKey,
}

/// A validator's end of all its links.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    secret: Arc<PrivateKeyDer<'static>>,
    provider: Arc<CryptoProvider>,
    members: Members,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The keys that may link.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<RwLock<BTreeSet<PublicKey>>>);

impl Members {
    /// These keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let members = Self::default();
        members.set(keys);
        members
    }

    /// From now on these keys.
    pub fn set(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *members = keys.into_iter().collect();
    }

    fn has(&self, key: &PublicKey) -> bool {
        let members = self.0.read().unwrap_or_else(PoisonError::into_inner);
        members.contains(key)
    }
}

impl Tls {
    /// The end of the validator whose secret key has this seed.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn new(seed: &[u8; 32], members: Members) -> Result<Self, TlsError> {
        let wrong = |error: &dyn std::fmt::Display| TlsError::Certificate(error.to_string());
        let secret = pkcs8(seed);
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(secret.clone()),
            &rcgen::PKCS_ED25519,
        )
        .map_err(|error| wrong(&error))?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()])
            .and_then(|params| params.self_signed(&pair))
            .map_err(|error| wrong(&error))?
            .der()
            .clone();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(secret));
        let provider = Arc::new(ring::default_provider());
        let pinned = Arc::new(Pinned {
            provider: Arc::clone(&provider),
            members: members.clone(),
            expected: None,
        });
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(pinned)
                    .with_single_cert(vec![certificate.clone()], secret.clone_key())
            })
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            server: Arc::new(server),
            certificate,
            secret: Arc::new(secret),
            provider,
            members,
        })
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// [`TlsError`] when the other end does not prove a key of the set.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<server::TlsStream<TcpStream>, TlsError> {
        stream.set_nodelay(true)?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        Ok(acceptor.accept(stream).await?)
    }

    /// Greets the validator with this key.
    ///
    /// # Errors
    /// [`TlsError`] when the other end does not prove that key.
    pub async fn connect(
        &self,
        stream: TcpStream,
        expected: PublicKey,
    ) -> Result<client::TlsStream<TcpStream>, TlsError> {
        stream.set_nodelay(true)?;
        let wrong = |error: rustls::Error| TlsError::Certificate(error.to_string());
        let pinned = Arc::new(Pinned {
            provider: Arc::clone(&self.provider),
            members: self.members.clone(),
            expected: Some(expected),
        });
        let client = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(pinned)
                    .with_client_auth_cert(vec![self.certificate.clone()], self.secret.clone_key())
            })
            .map_err(wrong)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(client));
        Ok(connector.connect(name, stream).await?)
    }
}

/// The key that the other end has proved.
///
/// # Errors
/// [`TlsError::NoKey`].
pub fn peer_key(certificates: Option<&[CertificateDer<'_>]>) -> Result<PublicKey, TlsError> {
    let certificate = certificates.and_then(<[_]>::first).ok_or(TlsError::NoKey)?;
    key_of(certificate).ok_or(TlsError::NoKey)
}

/// The name in all certificates, which means nothing.
const NAME: &str = "validator";

/// RFC 8410: an Ed25519 public key begins with this.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// RFC 8410: an Ed25519 private key begins with this.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    [PKCS8_PREFIX.as_slice(), seed].concat()
}

fn key_of(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let info = certificate.subject_public_key_info();
    let key = info.strip_prefix(&SPKI_PREFIX)?;
    Some(PublicKey(key.try_into().ok()?))
}

/// Takes certificates by the key in them.
#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    members: Members,
    expected: Option<PublicKey>,
}

impl Pinned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let key = key_of(certificate).ok_or(CertificateError::BadEncoding)?;
        let is_expected = self.expected.is_none_or(|expected| expected == key);
        if is_expected && self.members.has(&key) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

const TLS12: rustls::Error =
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::identity::Identity;
    use tokio::net::TcpListener;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    /// Links the holder of one key to the holder of another; each end says whom it found.
    async fn link(
        (server, server_members): (u8, &[u8]),
        (client, client_members): (u8, &[u8]),
        expected: u8,
    ) -> (Option<PublicKey>, Option<PublicKey>) {
        let end = |seed: u8, members: &[u8]| {
            let keys: Vec<PublicKey> = members.iter().map(|seed| key(*seed)).collect();
            Tls::new(&[seed; 32], Members::new(keys)).unwrap()
        };
        let (server, client) = (end(server, server_members), end(client, client_members));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = server.accept(stream).await.ok()?;
            peer_key(stream.get_ref().1.peer_certificates()).ok()
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let found = match client.connect(stream, key(expected)).await {
            Ok(stream) => peer_key(stream.get_ref().1.peer_certificates()).ok(),
            Err(_) => None,
        };
        (accepted.await.unwrap(), found)
    }

    #[tokio::test]
    async fn members_prove_their_keys_to_each_other() {
        let both = [1, 2];
        let found = link((1, &both), (2, &both), 1).await;
        assert_eq!(found, (Some(key(2)), Some(key(1))));
    }

    #[tokio::test]
    async fn strangers_and_members_in_anothers_place_are_refused() {
        let (stranger, _) = link((1, &[1, 2]), (3, &[1, 2, 3]), 1).await;
        assert_eq!(stranger, None, "the server knows no key 3");
        let (_, impostor) = link((2, &[1, 2, 3]), (3, &[1, 2, 3]), 1).await;
        assert_eq!(impostor, None, "the client asked for key 1");
        let (_, stranger) = link((4, &[1, 4]), (1, &[1, 2]), 4).await;
        assert_eq!(stranger, None, "the client knows no key 4");
    }
}
