//! What a server may do to a mail, and what becomes of it.

use std::time::Duration;

use anyhow::{ensure, Result};
use rig::smtp::{Authority, Banner, Encryption, End, Manners, Server};

use crate::pair::{bracket, failure, mails, python, said, Pair, TO};

#[test]
fn a_mail_arrives_once_with_both_parts_and_the_truth() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let outcome = pair.tool()?.stdin(failure()).run()?.expect(2)?;
    let received = pair.server.expect(1)?;
    ensure!(received[0].to == [TO] && received[0].from == "backup@example.com", "{received:?}");
    let (subject, text, html) = python(pair.dir.path(), &received[0].bytes)?;
    ensure!(subject.starts_with("CRITICAL FAILURE: PROD on dbprod01: "), "{subject}");
    ensure!(text.contains("ORA-01555") && html.contains("ORA-01555"), "{text}");
    ensure!(received[0].header("X-Orapipe-Verdict").as_deref() == Some("critical"), "{}", received[0].text());
    ensure!(received[0].header("Auto-Submitted").as_deref() == Some("auto-generated"), "no vacation message");
    ensure!(
        outcome.of("mail").len() == 1 && outcome.of("mail")[0].text("status") == Some("sent"),
        "{}",
        said(&outcome)
    );
    ensure!(
        outcome.of("mail")[0].text("message_id") == received[0].header("Message-ID").as_deref(),
        "another id"
    );
    ensure!(pair.waiting().is_empty() && pair.failed().is_empty(), "something is left");
    // What came in went out, byte for byte and first.
    ensure!(String::from_utf8_lossy(&outcome.stdout).contains(&failure()), "{}", said(&outcome));
    Ok(())
}

#[test]
fn starttls_and_smtps_need_a_certificate_of_an_authority_that_is_known() -> Result<()> {
    for (encryption, word) in [(Encryption::Starttls, "starttls"), (Encryption::Implicit, "implicit")] {
        let manners = Manners {
            encryption,
            login: Some(("oracle".to_owned(), "tiger-9f".to_owned())),
            ..Manners::default()
        };
        let pair = Pair::new(manners)?;
        let other = Authority::new(&pair.dir.path().join("other"))?;
        let tool = pair
            .tool()?
            .env("SMTP_TLS", word)
            .env("SMTP_USERNAME", "oracle")
            .env("SMTP_PASSWORD", "tiger-9f")
            .env("SMTP_CA_FILE", pair.authority.ca_file());
        // Another authority, and those of the system: nothing is sent, and no password.
        for wrong in
            [tool.clone().env("SMTP_CA_FILE", other.ca_file()), tool.clone().env_remove("SMTP_CA_FILE")]
        {
            let outcome = wrong.run()?.expect(1)?;
            ensure!(said(&outcome).contains("SMTP_CA_FILE"), "{}", said(&outcome));
            pair.server.expect(0)?;
            ensure!(!pair.server.said().iter().any(|l| l.starts_with("AUTH")), "{:?}", pair.server.said());
        }
        ensure!(pair.waiting().len() == 2, "both wait");
        let outcome = tool.run()?.expect(0)?;
        let received = pair.server.expect(3)?;
        ensure!(received.iter().all(|m| m.encrypted && m.user.as_deref() == Some("oracle")), "{received:?}");
        ensure!(outcome.count("sent") == 3 && pair.waiting().is_empty(), "{}", said(&outcome));
    }
    Ok(())
}

#[test]
fn a_server_without_starttls_gets_nothing_in_plain_text() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let outcome = pair.tool()?.env("SMTP_TLS", "starttls").run()?.expect(1)?;
    ensure!(said(&outcome).contains("offers no STARTTLS"), "{}", said(&outcome));
    ensure!(!pair.server.said().iter().any(|l| l.starts_with("MAIL")), "{:?}", pair.server.said());
    ensure!(pair.waiting().len() == 1, "it waits");
    Ok(())
}

#[test]
fn log_on_that_fails_is_told_apart_and_the_mail_waits() -> Result<()> {
    let login = Some(("oracle".to_owned(), "right".to_owned()));
    for (manners, user, what) in [
        (Manners::default(), Some("oracle"), "offers no log-on"),
        (Manners { login: login.clone(), ..Manners::default() }, Some("oracle"), "application password"),
        (Manners { login, ..Manners::default() }, None, "wants a log-on"),
    ] {
        let pair = Pair::new(manners)?;
        let mut tool = pair.tool()?;
        if let Some(user) = user {
            tool = tool.env("SMTP_USERNAME", user).env("SMTP_PASSWORD", "wrong-secret");
        }
        let outcome = tool.run()?.expect(1)?;
        ensure!(said(&outcome).contains(what), "{what}:\n{}", said(&outcome));
        ensure!(!said(&outcome).contains("wrong-secret"), "{}", said(&outcome));
        ensure!(pair.waiting().len() == 1 && pair.failed().is_empty(), "{what}: it does not wait");
        pair.server.expect(0)?;
    }
    Ok(())
}

#[test]
fn greylisting_is_waited_out_by_the_next_run_and_older_mails_go_first() -> Result<()> {
    let pair = Pair::new(Manners { greylist: 1, ..Manners::default() })?;
    let first = pair.tool()?.stdin(failure()).run()?.expect(2)?;
    ensure!(first.of("mail")[0].text("status") == Some("spooled"), "{}", said(&first));
    ensure!(said(&first).contains("Greylisted"), "{}", said(&first));
    pair.server.expect(0)?;
    let second = pair.tool()?.run()?.expect(0)?;
    let received = pair.server.expect(2)?;
    let verdicts: Vec<_> = received.iter().filter_map(|m| m.header("X-Orapipe-Verdict")).collect();
    ensure!(verdicts == ["critical", "success"], "{verdicts:?}");
    ensure!(second.count("sent") == 2, "{}", said(&second));
    // Nothing is left to be sent again.
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    pair.server.expect(2)?;
    Ok(())
}

#[test]
fn a_recipient_that_does_not_exist_is_not_tried_for_ever_and_the_others_get_the_mail() -> Result<()> {
    let answers = [("gone@example.com", "550 5.1.1 no such user"), ("later@example.com", "450 4.2.0 busy")];
    let recipients = answers.map(|(who, what)| (who.to_owned(), what.to_owned())).to_vec();
    let pair = Pair::new(Manners { recipients, ..Manners::default() })?;
    let all = "gone@example.com,dba@example.com,later@example.com";
    let outcome = pair.tool()?.env("EMAIL_TO", all).run()?.expect(1)?;
    ensure!(pair.server.expect(1)?[0].to == ["dba@example.com"], "{}", said(&outcome));
    ensure!(
        (outcome.count("sent"), outcome.count("refused"), outcome.count("spooled")) == (1, 1, 1),
        "{}",
        said(&outcome)
    );
    let failed = std::fs::read_to_string(&pair.failed()[0])?;
    ensure!(failed.contains("\"to\":[\"gone@example.com\"]") && failed.contains("550 5.1.1"), "{failed}");
    pair.server.change(Manners::default());
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    let received = pair.server.expect(2)?;
    ensure!(received[1].to == ["later@example.com"], "{received:?}");
    ensure!(received[0].header("Message-ID") == received[1].header("Message-ID"), "one mail has two ids");
    ensure!(pair.waiting().is_empty() && pair.failed().len() == 1, "{:?}", pair.waiting());
    Ok(())
}

#[test]
fn a_mail_that_a_server_refuses_for_good_is_kept_with_the_reason() -> Result<()> {
    for (manners, what) in [
        (Manners { end: End::Answer("554 5.7.1 looks like spam".to_owned()), ..Manners::default() }, "spam"),
        (
            Manners {
                recipients: vec![(TO.to_owned(), "554 5.7.1 Relay access denied".to_owned())],
                ..Manners::default()
            },
            "relays only for those that it knows",
        ),
    ] {
        let pair = Pair::new(manners)?;
        let outcome = pair.tool()?.run()?.expect(1)?;
        ensure!(said(&outcome).contains(what), "{}", said(&outcome));
        ensure!(pair.waiting().is_empty() && pair.failed().len() == 1, "{what}");
        let before = pair.server.connections();
        pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
        ensure!(pair.server.connections() == before, "it was tried again");
        // Mended: moved back by hand.
        pair.server.change(Manners::default());
        let failed = &pair.failed()[0];
        std::fs::rename(failed, pair.spool().join(failed.file_name().unwrap_or_default()))?;
        pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
        pair.server.expect(1)?;
    }
    Ok(())
}

#[test]
fn a_server_that_hangs_costs_a_limited_time_and_no_mail() -> Result<()> {
    let pair = Pair::new(Manners { hang_after_data: true, ..Manners::default() })?;
    let outcome = pair.tool()?.run()?.expect(1)?;
    ensure!(outcome.elapsed < Duration::from_secs(20), "{:?}", outcome.elapsed);
    ensure!(said(&outcome).contains("DATA was not accepted: no answer within"), "{}", said(&outcome));
    pair.server.change(Manners { end: End::Hang, ..Manners::default() });
    let outcome = pair.tool()?.stdin("").arg("--flush").run()?.expect(1)?;
    ensure!(said(&outcome).contains("the server may have taken it"), "{}", said(&outcome));
    pair.server.change(Manners::default());
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    pair.server.expect(1)?;
    Ok(())
}

#[test]
fn a_server_that_closes_after_the_dot_gets_the_same_mail_again_and_not_for_ever() -> Result<()> {
    // It had taken it: the second copy is the same to the byte, with the same Message-ID.
    let pair = Pair::new(Manners { end: End::TakeAndClose, ..Manners::default() })?;
    let outcome = pair.tool()?.run()?.expect(1)?;
    ensure!(said(&outcome).contains("same Message-ID"), "{}", said(&outcome));
    pair.server.change(Manners::default());
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    let received = pair.server.expect(2)?;
    ensure!(received[0].bytes == received[1].bytes, "the copies differ");

    // It had not: nothing is lost.
    let pair = Pair::new(Manners { end: End::Close, ..Manners::default() })?;
    pair.tool()?.run()?.expect(1)?;
    pair.server.change(Manners::default());
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    pair.server.expect(1)?;

    // It does so always: three copies at most, then a person has to look.
    let pair = Pair::new(Manners { end: End::TakeAndClose, ..Manners::default() })?;
    pair.tool()?.run()?.expect(1)?;
    for _ in 0..4 {
        pair.tool()?.stdin("").arg("--flush").run()?;
    }
    pair.server.expect(3)?;
    ensure!(pair.waiting().is_empty() && pair.failed().len() == 1, "{:?}", pair.waiting());
    let kept = std::fs::read_to_string(&pair.failed()[0])?;
    ensure!(kept.contains("it may have arrived"), "{kept}");
    Ok(())
}

#[test]
fn odd_servers_are_understood_or_left() -> Result<()> {
    let drip = Manners { drip: Some(Duration::from_millis(2)), ..Manners::default() };
    let pair = Pair::new(drip)?;
    pair.tool()?.run()?.expect(0)?;
    pair.server.expect(1)?;
    for (banner, status) in [
        (Banner::Lines(50), 0),
        (Banner::Long(1_000_000), 1),
        (Banner::Endless, 1),
        (Banner::Answer("554 no mail here".to_owned()), 1),
        (Banner::Answer("SSH-2.0-OpenSSH_9.2".to_owned()), 1),
    ] {
        let pair = Pair::new(Manners { banner: banner.clone(), ..Manners::default() })?;
        let outcome = pair.tool()?.run()?;
        ensure!(outcome.status == Some(status), "{banner:?}: {:?}\n{}", outcome.status, said(&outcome));
        ensure!(outcome.max_rss < 200 << 20, "{banner:?}: {} bytes", outcome.max_rss);
        ensure!(pair.waiting().len() == status as usize, "{banner:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_away_for_a_night_gets_every_mail_once_and_in_order() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let port = {
        let gone = Server::start(&pair.authority, Manners::default())?;
        gone.port()
    };
    for night in 0..4 {
        let stdin = bracket("dp-export", "success", 0, &[]);
        let outcome = pair
            .tool()?
            .env("SMTP_PORT", port.to_string())
            .arg("--subject-prefix")
            .arg(format!("[night {night}]"))
            .stdin(stdin)
            .run()?
            .expect(1)?;
        ensure!(said(&outcome).contains("nothing listens there"), "{}", said(&outcome));
    }
    ensure!(pair.waiting().len() == 4, "{:?}", pair.waiting());
    let outcome = pair.tool()?.arg("--subject-prefix").arg("[night 4]").run()?.expect(0)?;
    ensure!(outcome.count("sent") == 5, "{}", said(&outcome));
    let nights: Vec<_> = pair.server.expect(5)?.iter().filter_map(|m| m.header("Subject")).collect();
    for (night, subject) in nights.iter().enumerate() {
        ensure!(subject.starts_with(&format!("[night {night}] SUCCESS")), "{nights:?}");
    }
    Ok(())
}

#[test]
fn sendmail_gets_the_mail_on_its_input_and_no_password() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let program = pair.dir.path().join("sendmail");
    let log = pair.dir.path().join("called");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {log}; env | grep -c SMTP_PASSWORD >> {log}; cat > {mail}; exit $(cat {code})\n",
        log = log.display(),
        mail = pair.dir.path().join("mail").display(),
        code = pair.dir.path().join("code").display()
    );
    rig::host::write_program(&program, &script)?;
    let tool = pair
        .tool()?
        .env_remove("SMTP_SERVER")
        .arg("--sendmail")
        .arg(&program)
        .env("SMTP_PASSWORD", "tiger-9f");
    for (code, status, waiting, failed) in [(75, 1, 1, 0), (0, 0, 0, 0), (67, 1, 0, 1)] {
        std::fs::write(pair.dir.path().join("code"), code.to_string())?;
        let outcome = tool.run()?.expect(status)?;
        ensure!(
            mails(&pair.spool()).len() == waiting && pair.failed().len() == failed,
            "{code}: {}",
            said(&outcome)
        );
    }
    let called = std::fs::read_to_string(&log)?;
    ensure!(called.lines().all(|l| l == "-t -i -f backup@example.com" || l == "0"), "{called}");
    let mail = std::fs::read(pair.dir.path().join("mail"))?;
    ensure!(!mail.contains(&b'\r'), "lines end as this host's do");
    python(pair.dir.path(), &mail)?;
    Ok(())
}
