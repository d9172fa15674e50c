//! Whom to believe that he is the array: with `--ca-file` a CA, or the very certificate that the array shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::args::usage;

/// What a person should know of certificates that were accepted, each said once. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Remarks(Arc<Mutex<BTreeSet<String>>>);

impl Remarks {
    fn add(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Trusts the certificates in `ca_file` (PEM), as CAs and as the array's own, or the CAs of this host.
///
/// # Errors
/// Status 64: no file, or no certificate in it.
pub(super) fn trusting(ca_file: Option<&Path>) -> anyhow::Result<(ClientConfig, Remarks)> {
    let (trusted, given) = match ca_file {
        Some(path) => {
            let trusted = read(path)?;
            (trusted.clone(), trusted)
        }
        None => (of_the_host()?, Vec::new()),
    };
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(trusted).0 == 0 {
        return Err(usage(
            "none of the certificates to trust can be understood",
            "--ca-file names a file with X.509 certificates in PEM form",
        )
        .into());
    }
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let usual =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let remarks = Remarks::default();
    let verifier = Verifier { usual, given, algorithms, remarks: remarks.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, remarks))
}

fn of_the_host() -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(usage(
            "this host has no certificates of any CA",
            "name the array's certificate, or its CA's, with --ca-file",
        )
        .into());
    }
    Ok(found.certs)
}

fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let hint = "--ca-file names a readable file with certificates in PEM form";
    let pem = std::fs::read(path)
        .map_err(|e| usage(&format!("read the certificates in {}: {e}", path.display()), hint))?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| usage(&format!("the certificates in {}: {e}", path.display()), hint))?;
    if found.is_empty() {
        return Err(usage(&format!("there is no certificate in {}", path.display()), hint).into());
    }
    Ok(found)
}

/// The usual rules, or byte for byte a certificate that the operator gave. In both cases the other side has to prove that
/// it has the key.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    remarks: Remarks,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let error = match self.usual.verify_server_cert(certificate, others, name, ocsp, now) {
            Err(error) if self.given.iter().any(|given| given == certificate) => error,
            other => return other,
        };
        // webpki looks at the dates before it looks at anything else. They say nothing about who has the key, and snapshots
        // that stop on that day, or go on over plain HTTP, would be worse.
        let dates = match error {
            Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
                Some(format!("expired on {}", day(not_after)))
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
                Some(format!("is not valid before {} by this host's clock", day(not_before)))
            }
            _ => None,
        };
        if let Some(dates) = dates {
            let text = format!(
                "the certificate of {} {dates}; it is trusted because --ca-file has this very certificate; renew it",
                name.to_str()
            );
            self.remarks.add(text);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| "an odd day".to_owned(), |t| t.format("%F").to_string())
}
