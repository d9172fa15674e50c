//! What another compiler has made of the C code inside: TLS and deflate, in the programs as they are packed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rig::bench::Dump;
use rig::smtp::Authority;
use rig::tool::clean_environment;
use rustls::{ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::stage::{done, said, scratch, Packages};

/// The programs, unpacked.
fn unpacked() -> TempDir {
    let dir = scratch("programs");
    done(Command::new("dpkg-deb").arg("-x").arg(Packages::made().deb()).arg(dir.path()));
    dir
}

fn tool(dir: &Path, name: &str) -> Command {
    let mut command = Command::new(dir.join("usr/bin").join(name));
    command
        .env_clear()
        .envs(clean_environment())
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .env("HOME", dir)
        .env("STATE_DIR", dir.join("state"))
        .env("LOG_DIR", dir.join("log"))
        .env("ORACLE_SID", "PROD");
    command
}

/// An S3 server that lets nobody in. That it could say so took the hand-shake of aws-lc, and a certificate that was checked.
#[test]
fn s3_put_speaks_tls() {
    let dir = unpacked();
    let authority = Authority::new(&dir.path().join("tls")).unwrap();
    let config = authority.server_config().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let body = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>nobody comes in</Message></Error>";
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close";
            let _gone = write!(stream.get_mut(), "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _gone = stream.get_mut().flush();
        }
    });
    let file = dir.path().join("piece.bkp");
    std::fs::write(&file, "a backup piece").unwrap();
    let run = |trust: &Path| {
        let mut command = tool(dir.path(), "s3-put");
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "sa-east-1")
            .env("S3_BUCKET_NAME", "backups")
            .env("AWS_ENDPOINT_URL_S3", format!("https://localhost:{port}"))
            .env("SSL_CERT_FILE", trust)
            .args(["--retry-for", "2s"])
            .arg(&file);
        said(&mut command)
    };
    let (status, text) = run(&authority.ca_file());
    assert_ne!(status, 0, "{text}");
    assert!(text.contains("AccessDenied") || text.contains("nobody comes in"), "{text}");
    // And one that was signed by nobody whom it trusts is not believed.
    let other = Authority::new(&dir.path().join("other")).unwrap();
    let (status, text) = run(&other.ca_file());
    assert_ne!(status, 0, "{text}");
    assert!(!text.contains("nobody comes in") && !text.contains("AccessDenied"), "{text}");
}

#[test]
fn zip_rotate_makes_an_archive_that_others_open() {
    let dir = unpacked();
    let (dump, archives) = (dir.path().join("GOLD.DMP"), dir.path().join("archives"));
    std::fs::create_dir(&archives).unwrap();
    let mut file = std::fs::File::create(&dump).unwrap();
    Dump::new(7).write(3_000_000, &mut file).unwrap();
    done(tool(dir.path(), "zip-rotate").env("DB_FOLDER", &archives).arg(&dump));
    let archive = std::fs::read_dir(&archives).unwrap().next().unwrap().unwrap().path();
    assert!(archive.metadata().unwrap().len() < 2_900_000);
    let out = Command::new("unzip").args(["-p"]).arg(&archive).arg("GOLD.DMP").output().unwrap();
    assert!(out.stdout == std::fs::read(&dump).unwrap());
}
