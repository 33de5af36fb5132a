//! Certificates for localhost, and who trusts them.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

pub(crate) struct Files {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) certificate: CertificateDer<'static>,
}

/// A certificate for localhost, as PEM files.
pub(crate) fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_into(folder.path());
    Files {
        folder,
        certificate,
    }
}

/// Writes a new certificate and its key over what is there.
pub(crate) fn write_into(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

pub(crate) fn connector(trusted: &CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
