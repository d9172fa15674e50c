//! The same with Debian's postfix.

use anyhow::{ensure, Context, Result};
use rig::smtp::{Authority, Postfix};
use rig::tool::Tool;

use crate::pair::{mails, patient, python, said, TO};

struct Office {
    dir: tempfile::TempDir,
    authority: Authority,
    postfix: Postfix,
}

impl Office {
    fn open() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new(&dir.path().join("tls"))?;
        let postfix = Postfix::start(&authority)?;
        Ok(Self { dir, authority, postfix })
    }

    fn tool(&self, port: u16, tls: &str) -> Result<Tool> {
        Ok(patient(self.dir.path(), "10s")?
            .env("SMTP_SERVER", "localhost")
            .env("SMTP_PORT", port.to_string())
            .env("SMTP_TLS", tls))
    }

    fn failed(&self) -> usize {
        mails(&self.dir.path().join("state/spool/failed")).len()
    }

    fn waiting(&self) -> usize {
        mails(&self.dir.path().join("state/spool")).len()
    }
}

#[test]
fn postfix_takes_mails_by_starttls_by_smtps_and_in_plain_text() -> Result<()> {
    let office = Office::open()?;
    let (port, tls_port) = (office.postfix.port, office.postfix.tls_port);
    let private = |tool: Tool| tool.env("SMTP_CA_FILE", office.authority.ca_file());
    private(office.tool(port, "starttls")?).run()?.expect(0)?;
    private(office.tool(tls_port, "implicit")?).run()?.expect(0)?;
    office.tool(port, "none")?.run()?.expect(0)?;
    let mailbox = office.postfix.mailbox(3)?;
    ensure!(mailbox.matches("X-Orapipe-Verdict: success").count() == 3, "{mailbox}");
    // Two of them came encrypted, by postfix's own account.
    ensure!(mailbox.matches("with ESMTPS").count() == 2, "{mailbox}\n{}", office.postfix.log());
    let (_, first) = mailbox.split_once('\n').context("an mbox begins with a From line")?;
    let first = first.split("\nFrom ").next().context("no mail")?;
    let (subject, text, html) = python(office.dir.path(), first.as_bytes())?;
    ensure!(subject.starts_with("SUCCESS: PROD on dbprod01"), "{subject}");
    ensure!(text.contains("1.0 GiB") && html.contains("1.0 GiB"), "{text}");

    // A certificate of an authority that is not known.
    let outcome = office.tool(port, "starttls")?.run()?.expect(1)?;
    ensure!(said(&outcome).contains("SMTP_CA_FILE"), "{}", said(&outcome));
    ensure!(office.waiting() == 1, "it waits");
    // TLS at once where postfix wants STARTTLS.
    let outcome = private(office.tool(port, "implicit")?).run()?.expect(1)?;
    ensure!(said(&outcome).contains("SMTP_TLS=starttls"), "{}", said(&outcome));
    private(office.tool(port, "starttls")?).stdin("").arg("--flush").run()?.expect(0)?;
    office.postfix.mailbox(5)?;
    Ok(())
}

#[test]
fn postfix_refuses_log_on_relaying_and_unknown_users_and_greylists() -> Result<()> {
    let office = Office::open()?;
    let plain = office.tool(office.postfix.port, "none")?;
    let outcome =
        plain.clone().env("SMTP_USERNAME", "oracle").env("SMTP_PASSWORD", "tiger-9f").run()?.expect(1)?;
    ensure!(said(&outcome).contains("offers no log-on"), "{}", said(&outcome));
    ensure!(office.waiting() == 1, "the settings are wrong, the mail is good");
    plain.clone().stdin("").arg("--flush").run()?.expect(0)?;

    let outcome = plain.clone().env("EMAIL_TO", "dba@elsewhere.example").run()?.expect(1)?;
    ensure!(said(&outcome).contains("relays only for those that it knows"), "{}", said(&outcome));
    ensure!((office.waiting(), office.failed()) == (0, 1), "{}", said(&outcome));

    let outcome = plain.clone().env("EMAIL_TO", format!("gone@example.com,{TO}")).run()?.expect(1)?;
    ensure!(said(&outcome).contains("550 5.1.1"), "{}", said(&outcome));
    ensure!((office.waiting(), office.failed()) == (0, 2), "{}", said(&outcome));

    let outcome = plain.env("EMAIL_TO", "grey@example.com").run()?.expect(1)?;
    ensure!(said(&outcome).contains("450 4.2.0"), "{}", said(&outcome));
    ensure!((office.waiting(), office.failed()) == (1, 2), "{}", said(&outcome));
    office.postfix.mailbox(2)?;
    Ok(())
}
