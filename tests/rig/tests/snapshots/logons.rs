//! Who may not, who is not who he says, and where nobody is.

use anyhow::{ensure, Result};
use ibsim::{Array, Certificate, Config};
use rig::tool::Tool;

use crate::bench::{Bench, Place};
use crate::case::Shape;
use crate::secrets;
use crate::stage::{said, snap};

/// A call that must end with this status and these words before anything was touched.
fn refused(bench: &Bench, place: &Place, tool: Tool, what: &str, status: i32, words: &str) -> Result<()> {
    let begins = bench.statements("BEGIN BACKUP")?;
    let before = place.array.objects();
    let outcome = tool.run()?;
    ensure!(
        outcome.status == Some(status),
        "{what}: {:?} instead of {status}\n{}",
        outcome.status,
        said(&outcome)
    );
    ensure!(said(&outcome).contains(words), "{what}: it does not say {words:?}\n{}", said(&outcome));
    ensure!(outcome.stderr.contains("hint: "), "{what}: no hint\n{}", outcome.stderr);
    ensure!(bench.statements("BEGIN BACKUP")? == begins, "{what}: the database was touched");
    ensure!(place.array.objects() == before, "{what}: the array was changed");
    ensure!(outcome.of("snapshot").is_empty(), "{what}: {}", said(&outcome));
    place.without_keeper()?;
    secrets::none_below(&place.dir)
}

#[test]
fn logons_and_certificates() -> Result<()> {
    secrets::watch();
    let bench = Bench::new()?;
    let shape = Shape::whole();
    let place = bench.place(Config::default())?;
    let plain = || snap(&bench, &place, &shape);
    let check =
        |tool: Tool, what: &str, status, words: &str| refused(&bench, &place, tool, what, status, words);
    check(plain()?.env("SOURCE_INFINIBOX_PASSWORD", "wrong"), "wrong password", 64, "401")?;
    check(plain()?.env("SOURCE_INFINIBOX_USER", "nobody"), "unknown user", 64, "401")?;
    check(plain()?.env("SOURCE_INFINIBOX_USER", "monitor"), "a user who may only read", 4, "only read")?;
    check(plain()?.env("SOURCE_INFINIBOX", "127.0.0.1:9"), "nobody listens", 75, "127.0.0.1:9")?;
    check(plain()?.env("SOURCE_INFINIBOX", "box.invalid"), "no such host", 75, "box.invalid")?;
    check(plain()?.env("SOURCE_INFINIBOX", ""), "no array", 64, "SOURCE_INFINIBOX")?;
    check(plain()?.env("SOURCE_INFINIBOX_PASSWORD", ""), "no password", 64, "password")?;
    let argument = plain()?.arg(format!("--infinibox-password={}", "another"));
    check(argument, "a password as an argument", 64, "command line")?;
    let argument =
        plain()?.env_remove("SQLPLUS_CONNECTION_STRING").args(["--connect", "sys/x@prod as sysdba"]);
    check(argument, "a password of the database as an argument", 64, "password")?;
    let file = place.dir.join("scratch/pw");
    std::fs::write(&file, "x\n")?;
    let open = plain()?.env_remove("SOURCE_INFINIBOX_PASSWORD").env("SOURCE_INFINIBOX_PASSWORD_FILE", &file);
    check(open, "a password file for everybody", 4, "pw")?;

    let secure = |array: &Array, ca: Option<&std::path::Path>| -> Result<Tool> {
        let tool =
            bench.call("ib-snap", &place)?.env("SOURCE_INFINIBOX", array.tls_host(0)).args(shape.args());
        Ok(match ca {
            Some(ca) => tool.arg("--ca-file").arg(ca),
            None => tool,
        })
    };
    let array = &place.array;
    check(secure(array, None)?, "a certificate of an unknown CA", 64, "certificate")?;
    for (certificate, what) in [
        (Certificate::Expired, "an expired certificate"),
        (Certificate::WrongName, "the certificate of another host"),
    ] {
        let other = Array::start(Config { certificate, ..Config::default() })?;
        check(secure(&other, Some(other.ca_file()))?, what, 64, "certificate")?;
    }
    let other = Array::start(Config::default())?;
    check(secure(array, Some(other.ca_file()))?, "another array's CA", 64, "certificate")?;

    // And with the right one all is well.
    let good = secure(array, Some(array.ca_file()))?.run()?.expect(0)?;
    ensure!(array.log().iter().all(|r| !r.done() || r.method == "GET" || r.tls), "a write without TLS");
    ensure!(good.of("snapshot").len() == 4, "{}", said(&good));
    let own = bench.place(Config { certificate: Certificate::SelfSigned, ..Config::default() })?;
    let tool = bench.call("ib-snap", &own)?.env("SOURCE_INFINIBOX", own.array.tls_host(0));
    let ca = own.array.ca_file().to_owned();
    let good = tool.env("SOURCE_INFINIBOX_CA_FILE", ca).args(shape.args()).run()?.expect(0)?;
    ensure!(good.of("snapshot").len() == 4, "{}", said(&good));
    Ok(())
}
