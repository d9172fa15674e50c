//! The array's certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Certificate;

/// Writes the certificate that a client has to trust to `ca_file`, and returns the other end.
///
/// # Errors
/// When a certificate cannot be made or written.
pub fn acceptor(kind: Certificate, ca_file: &Path) -> Result<TlsAcceptor> {
    let key = KeyPair::generate().context("make a key")?;
    let names = match kind {
        Certificate::WrongName => vec!["another-array.example.com".to_owned()],
        _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
    };
    let mut params = CertificateParams::new(names).context("name the certificate")?;
    params.distinguished_name.push(DnType::CommonName, "InfiniBox simulator");
    if kind == Certificate::Expired {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let (certificate, trusted) = if kind == Certificate::SelfSigned {
        let certificate = params.self_signed(&key).context("sign the certificate")?;
        let pem = certificate.pem();
        (certificate, pem)
    } else {
        let mut authority = CertificateParams::new(Vec::new()).context("name the authority")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "InfiniBox simulator's authority");
        let authority_key = KeyPair::generate().context("make the authority's key")?;
        let authority =
            CertifiedIssuer::self_signed(authority, authority_key).context("sign the authority")?;
        (params.signed_by(&key, &authority).context("sign the certificate")?, authority.pem())
    };
    std::fs::write(ca_file, trusted).with_context(|| format!("write {}", ca_file.display()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    serve(vec![certificate.der().clone()], key)
}

/// With a certificate of files, which is copied to `ca_file`.
///
/// # Errors
/// When a file cannot be read or written, or they do not belong together.
pub fn of_files(certificate: &Path, key: &Path, ca_file: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read {}", certificate.display()))?;
    std::fs::copy(certificate, ca_file).with_context(|| format!("write {}", ca_file.display()))?;
    serve(chain, PrivateKeyDer::from_pem_file(key).with_context(|| format!("read {}", key.display()))?)
}

fn serve(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("take the certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
