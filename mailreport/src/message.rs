//! The mail itself: MIME with a text and an HTML part, below 100 KB.

use anyhow::Context;
use chrono::{DateTime, Utc};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::Message;

use crate::view::{Limits, View};

/// A mail is smaller than this, in bytes as it is sent: Gmail cuts what is above 102 KB.
pub const MOST: usize = 100_000;

/// Everything of a mail but its text.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    pub from: &'a Mailbox,
    pub to: &'a [Mailbox],
    /// With its angle brackets.
    pub message_id: String,
    pub verdict: &'static str,
    pub at: DateTime<Utc>,
}

/// A finished mail.
#[derive(Debug, Clone)]
pub struct Made {
    pub subject: String,
    pub message_id: String,
    pub bytes: Vec<u8>,
    pub html: String,
}

/// A Message-ID that no other run makes.
pub fn id(run: &str, at: DateTime<Utc>, host: &str) -> String {
    let ok = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let run: String = run.chars().filter(ok).take(80).collect();
    let host: String = host.chars().filter(ok).take(100).collect();
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    format!("<{run}.{:x}@{host}>", at.timestamp_nanos_opt().unwrap_or_default())
}

/// Makes the mail with as much as fits.
pub fn make(head: &Head<'_>, view: impl Fn(Limits) -> View) -> anyhow::Result<Made> {
    let mut last = None;
    for limits in Limits::STEPS {
        let made = build(head, &view(limits))?;
        if made.bytes.len() < MOST {
            return Ok(made);
        }
        last = Some(made.bytes.len());
    }
    anyhow::bail!("the shortest mail has {} bytes", last.unwrap_or_default())
}

fn build(head: &Head<'_>, view: &View) -> anyhow::Result<Made> {
    let mut builder = Message::builder()
        .from(head.from.clone())
        .subject(view.subject.clone())
        .date(head.at.into())
        .message_id(Some(head.message_id.clone()));
    for to in head.to {
        builder = builder.to(to.clone());
    }
    // RFC 3834: no vacation message shall answer it.
    let headers = [
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Orapipe-Verdict", head.verdict.to_owned()),
        ("X-Mailer", format!("orapipe mailreport {}", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in headers {
        let name = HeaderName::new_from_ascii(name.to_owned()).context("a header name")?;
        builder = builder.raw_header(HeaderValue::new(name, value));
    }
    let html = view.html().context("make the HTML part")?;
    let text = view.text().context("make the text part")?;
    let message =
        builder.multipart(MultiPart::alternative_plain_html(text, html.clone())).context("make the mail")?;
    let bytes = message.formatted();
    Ok(Made { subject: view.subject.clone(), message_id: head.message_id.clone(), bytes, html })
}
