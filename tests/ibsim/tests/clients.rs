//! Clients that nobody here wrote, against the simulator: see `clients/`.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::process::Command;

use ibsim::{Array, Config, Version, PASSWORD};

/// The virtual environment that `scripts/setup.sh` makes of `clients/requirements.txt`.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|d| !d.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let root = cache.join("orapipe/venv-infinidat");
    let clients = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients");
    let wanted = std::fs::read(clients.join("requirements.txt")).unwrap();
    let built = std::fs::read(root.join("requirements.txt")).unwrap_or_default();
    assert!(built == wanted, "Infinidat's clients are not in {}: run scripts/setup.sh", root.display());
    root.join("bin/python3")
}

fn run(version: Version, script: &str) {
    let array = Array::start(Config { version, addresses: 2, door: true, ..Config::default() }).unwrap();
    let python = python();
    let mut command = Command::new(&python);
    command.arg("-B").arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(script));
    if script == "cinder_driver.py" {
        let library = python.parent().unwrap().parent().unwrap().join("lib");
        let versions = std::fs::read_dir(library).unwrap().map(|e| e.unwrap().path());
        let file = versions
            .map(|v| v.join("site-packages/cinder/volume/drivers/infinidat.py"))
            .find(|f| f.exists())
            .expect("the wheel of cinder has the driver");
        command.arg(file);
    }
    let out = command
        .env("IBSIM_HTTP", array.host(0))
        .env("IBSIM_HTTPS", array.tls_host(0))
        .env("IBSIM_CA_FILE", array.ca_file())
        .env("IBSIM_PASSWORD", PASSWORD)
        .env("IBSIM_RELEASE", version.to_string())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.matches("ok ").count() >= 6, "{text}");
}

fn each(script: &str) {
    std::thread::scope(|scope| {
        for version in Version::ALL {
            scope.spawn(move || run(version, script));
        }
    });
}

#[test]
fn infinidats_sdk_works_with_every_version() {
    each("sdk.py");
}

#[test]
fn infinidats_openstack_driver_without_the_sdk_works_with_every_version() {
    each("cinder_driver.py");
}
