//! TLS of a service's own: a certificate chain and its key from PEM files, read again on request.
//!
//! TLS 1.3 only, and HTTP/1.1 within. A reload that fails keeps what was read before; open connections keep theirs.
//! What it does not do: obtain certificates, or ask clients for any.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing, may not be read, or is no PEM of that kind.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        source: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key is of no known kind, or not that of the certificate.
    #[error("the certificate and the key do not serve: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate with its key, and where both came from; clones share them.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Arc<Files>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads a certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError`], naming the file where one is at fault.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = read(certificate, key, &provider)?;
        let files = Arc::new(Files {
            certificate: certificate.into(),
            key: key.into(),
            provider: Arc::clone(&provider),
            current: RwLock::new(Arc::new(current)),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Files>::clone(&files));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            files,
            config: Arc::new(config),
        })
    }

    /// Reads both files again; new connections get what they hold now.
    ///
    /// # Errors
    /// [`TlsError`]; what was read before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = &self.files;
        let fresh = read(&files.certificate, &files.key, &files.provider)?;
        *files
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Reloads at each SIGHUP; never returns. Where there is no such signal, it waits for ever.
    pub async fn reload_on_hangup(self) {
        loop {
            if let Err(error) = hangup().await {
                tracing::error!(%error, "cannot listen for SIGHUP: the certificate is not reloaded");
                return std::future::pending().await;
            }
            self.reload_and_say().await;
        }
    }

    async fn reload_and_say(&self) {
        let reader = self.clone();
        let reloaded = tokio::task::spawn_blocking(move || reader.reload()).await;
        let reloaded = reloaded.map_err(|error| error.to_string());
        let failure = match reloaded.map(|result| result.map_err(|error| error.to_string())) {
            Ok(Ok(())) => return tracing::info!("the certificate was read again"),
            Ok(Err(error)) | Err(error) => error,
        };
        tracing::error!(failure, "the certificate stays as it was");
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed(certificate))?;
    if chain.is_empty() {
        let path = certificate.to_owned();
        return Err(TlsError::Empty { path });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[cfg(unix)]
async fn hangup() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::hangup())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn hangup() -> io::Result<()> {
    std::future::pending().await
}
