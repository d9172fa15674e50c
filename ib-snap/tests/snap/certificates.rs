//! Which certificates an array may have, and what `--ca-file` makes of them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::infinibox::{ApiError, ArrayArgs, Kind, NewSnapshot};
use ibsim::{Array, Config, PASSWORD};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::lab::{run, Lab};

/// A certificate and its key.
#[derive(Clone)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

fn openssl(dir: &Path, args: &[&str]) {
    let out = Command::new("openssl").args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn pair(dir: &Path, file: &str) -> Pair {
    Pair { certificate: dir.join(format!("{file}.pem")), key: dir.join(format!("{file}.key")) }
}

/// `openssl req -x509`; `extensions` are lines of its configuration.
fn self_signed(dir: &Path, file: &str, cn: &str, extensions: &str) -> Pair {
    let config = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN={cn}\n[v3]\n{extensions}\n"
    );
    std::fs::write(dir.join(format!("{file}.cnf")), config).unwrap();
    let (cnf, key, pem) = (format!("{file}.cnf"), format!("{file}.key"), format!("{file}.pem"));
    let fixed = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"];
    let named = ["-config", cnf.as_str(), "-keyout", key.as_str(), "-out", pem.as_str()];
    openssl(dir, &[&fixed[..], &named[..]].concat());
    pair(dir, file)
}

/// Signed by the CA of the files `ca.pem` and `ca.key`.
fn leaf(dir: &Path, file: &str, names: &str) -> Pair {
    std::fs::write(dir.join("leaf.ext"), format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n"))
        .unwrap();
    let (key, csr, pem) = (format!("{file}.key"), format!("{file}.csr"), format!("{file}.pem"));
    let request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=box1", "-config", "ca.cnf"];
    openssl(dir, &[&request[..], &["-keyout", key.as_str(), "-out", csr.as_str()]].concat());
    let sign = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
    openssl(dir, &[&sign[..], &["-extfile", "leaf.ext", "-in", csr.as_str(), "-out", pem.as_str()]].concat());
    pair(dir, file)
}

fn array(pair: &Pair) -> Array {
    let certificate_files = Some((pair.certificate.clone(), pair.key.clone()));
    Array::start(Config { certificate_files, ..Config::default() }).unwrap()
}

fn client(address: String, ca_file: Option<&Path>) -> common::infinibox::Array {
    let args = ArrayArgs {
        infinibox: vec![address],
        infinibox_user: Some("pool_admin".to_owned()),
        infinibox_password: Some(PASSWORD.to_owned()),
        infinibox_password_file: None,
        ca_file: ca_file.map(Path::to_owned),
        insecure_http: false,
        array_connect_timeout: Duration::from_secs(10),
        array_timeout: Duration::from_secs(10),
    };
    args.open("test").unwrap()
}

#[track_caller]
fn trusted(array: &Array, ca_file: &Path) {
    let client = client(array.tls_host(0), Some(ca_file));
    client.system().map_err(|e| e.to_string()).unwrap();
    // A write takes a connection of its own.
    let snapshot =
        NewSnapshot { parent_id: 4711, name: "x".to_owned(), write_protected: true, lock_expires_at: None };
    assert_eq!(client.snapshot(&snapshot).unwrap_err().kind, Kind::NotFound);
    assert_eq!(client.warnings(), [""; 0]);
}

#[track_caller]
fn refused(address: String, ca_file: Option<&Path>) -> ApiError {
    let error = client(address, ca_file).system().unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error}");
    assert!(error.message.contains("certificate"), "{error}");
    assert!(!error.maybe_executed());
    let failure = error.clone().failure();
    assert_eq!(failure.exit, common::exit::Exit::Usage);
    assert!(failure.hint.unwrap().contains("--ca-file"));
    error
}

#[test]
fn the_very_certificate_of_the_array_is_trusted_whatever_stands_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let factory = self_signed(dir.path(), "factory", "box1", "basicConstraints=critical,CA:TRUE");
    let elsewhere = self_signed(
        dir.path(),
        "elsewhere",
        "old-name",
        "basicConstraints=CA:TRUE\nsubjectAltName=DNS:old-name.example.com",
    );
    let plain = self_signed(dir.path(), "plain", "box1", "basicConstraints=CA:FALSE");
    let client_only = self_signed(dir.path(), "client", "box1", "extendedKeyUsage=clientAuth");
    for pair in [&factory, &elsewhere, &plain, &client_only] {
        trusted(&array(pair), &pair.certificate);
    }
    // Several arrays can be in one file, and text between them.
    let both = dir.path().join("both.pem");
    let text = |p: &Pair| std::fs::read_to_string(&p.certificate).unwrap();
    std::fs::write(&both, format!("box1\n{}\nbox2\n{}", text(&plain), text(&factory))).unwrap();
    trusted(&array(&factory), &both);
}

#[test]
fn another_certificate_of_the_same_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let extensions = "basicConstraints=critical,CA:TRUE\nsubjectAltName=IP:127.0.0.1";
    let known = self_signed(dir.path(), "known", "box1", extensions);
    let other = self_signed(dir.path(), "other", "box1", extensions);
    refused(array(&other).tls_host(0), Some(&known.certificate));
    let array = array(&known);
    refused(array.tls_host(0), None);
    assert!(array.log().is_empty(), "the password was sent");
}

#[test]
fn a_ca_signs_for_the_names_in_the_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    let ca = self_signed(dir.path(), "ca", "CA of the house", "basicConstraints=critical,CA:TRUE");
    let good = array(&leaf(dir.path(), "good", "IP:127.0.0.1,DNS:localhost"));
    trusted(&good, &ca.certificate);
    let port = good.tls_host(0).rsplit_once(':').unwrap().1.to_owned();
    client(format!("localhost:{port}"), Some(&ca.certificate)).system().unwrap();
    refused(good.tls_host(0), None);

    let wrong = leaf(dir.path(), "wrong", "DNS:another-array.example.com");
    let named = refused(array(&wrong).tls_host(0), Some(&ca.certificate));
    assert!(named.message.contains("another-array.example.com"), "{named}");
    // Unless it is given by itself.
    trusted(&array(&wrong), &wrong.certificate);
    // A certificate that is trusted by itself signs nothing for others.
    refused(good.tls_host(0), Some(&wrong.certificate));
}

/// Ends TLS with the certificate of one pair and the key of another, and answers every request with nothing.
fn impostor(
    certificate: &Path,
    key: &Path,
    version: &'static SupportedProtocolVersion,
) -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let signer = ring::sign::any_supported_type(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, signer))));
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let server = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(server, stream.unwrap());
            if matches!(stream.read(&mut [0; 4096]), Ok(n) if n > 0) {
                let _closed = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .and_then(|()| stream.flush());
            }
        }
    });
    address
}

#[test]
fn who_shows_the_certificate_must_have_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let known = self_signed(dir.path(), "known", "box1", "basicConstraints=critical,CA:TRUE");
    let thief = self_signed(dir.path(), "thief", "box1", "basicConstraints=critical,CA:TRUE");
    for version in [&TLS12, &TLS13] {
        let ca_file = Some(known.certificate.as_path());
        let stolen = impostor(&known.certificate, &thief.key, version);
        refused(stolen.to_string(), ca_file);
        let honest = impostor(&known.certificate, &known.key, version);
        let error = client(honest.to_string(), ca_file).system().unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::NotApi, "an empty answer"));
    }
}

/// Out of date since 2020, or not valid before 2090.
fn dated(dir: &Path, file: &str, from: i32, to: i32) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "box1");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
    let certificate = params.self_signed(&key).unwrap();
    let pair = pair(dir, file);
    std::fs::write(&pair.certificate, certificate.pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    pair
}

#[test]
fn the_arrays_own_certificate_out_of_date_is_a_warning_and_no_night_without_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let expired = dated(dir.path(), "expired", 2019, 2020);
    let early = dated(dir.path(), "early", 2090, 2091);
    for (pair, words) in [(&expired, "expired on 2020-01-01"), (&early, "not valid before 2090-01-01")] {
        let array = array(pair);
        let client = client(array.tls_host(0), Some(&pair.certificate));
        client.system().unwrap();
        client.system().unwrap();
        let warnings = client.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}");
    }
    // Nobody but the operator can say that the date does not matter.
    refused(array(&expired).tls_host(0), None);
    refused(array(&expired).tls_host(0), Some(&early.certificate));

    let certificate_files = Some((expired.certificate.clone(), expired.key.clone()));
    let lab = Lab::new(Config { certificate_files, ..Config::default() });
    let ran = lab.run(&[]).exits(0);
    lab.assert_clean();
    let warned: Vec<_> = ran.of("log").into_iter().filter(|l| l["level"] == "warning").collect();
    assert!(
        warned.iter().any(|l| l["message"].as_str().unwrap().contains("expired on 2020-01-01")),
        "{warned:?}"
    );
    assert!(lab.written().contains("expired on 2020-01-01"));
    assert_eq!(lab.array.snapshots().len(), 4);

    // A CA that the host trusts was not given as the array's own.
    let tool = lab.tool();
    let mut command = Command::new(tool.get_program());
    command
        .env_clear()
        .envs(tool.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .args(tool.get_args().take(2));
    let ran = run(command.env("SSL_CERT_FILE", &expired.certificate)).exits(64);
    assert!(ran.says("certificate") && ran.says("--ca-file"), "{}", ran.stderr);
}

#[test]
fn a_file_without_a_certificate_is_told_apart_before_anything_is_sent() {
    let lab = Lab::small();
    let file = lab.array.ca_file();
    for (bytes, says) in [
        (&b""[..], "there is no certificate in"),
        (b"-----BEGIN CERTIFICATE-----\nx", "the certificates in"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can be understood"),
    ] {
        std::fs::write(file, bytes).unwrap();
        let ran = lab.run(&[]).exits(64);
        assert!(ran.says(says) && ran.says("--ca-file"), "{}", ran.stderr);
    }
    std::fs::remove_file(file).unwrap();
    let ran = lab.run(&[]).exits(64);
    assert!(ran.says(&file.to_string_lossy()), "{}", ran.stderr);
    assert!(lab.array.log().is_empty());
}
