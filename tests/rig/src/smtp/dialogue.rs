//! One connection, from the banner to QUIT.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Banner, Encryption, End, Manners, Received, Shared, Step};

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    /// While it is upgraded.
    Between,
}

struct Connection<'a> {
    stream: Stream,
    shared: &'a Shared,
    manners: Manners,
}

impl Connection<'_> {
    fn read_byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        let n = match &mut self.stream {
            Stream::Plain(s) => s.read(&mut byte)?,
            Stream::Tls(s) => s.read(&mut byte)?,
            Stream::Between => 0,
        };
        anyhow::ensure!(n == 1, "the client has gone");
        Ok(byte[0])
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.read_byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        Ok(text)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Plain(s) => s.write_all(bytes).and_then(|()| s.flush())?,
            Stream::Tls(s) => s.write_all(bytes).and_then(|()| s.flush())?,
            Stream::Between => {}
        }
        Ok(())
    }

    fn answer(&mut self, text: &str) -> Result<()> {
        let text = format!("{text}\r\n");
        match self.manners.drip {
            None => self.write(text.as_bytes()),
            Some(pause) => {
                for byte in text.as_bytes() {
                    self.write(&[*byte])?;
                    std::thread::sleep(pause);
                }
                Ok(())
            }
        }
    }

    fn encrypt(&mut self, config: &Arc<ServerConfig>) -> Result<()> {
        if let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Between) {
            let session = ServerConnection::new(Arc::clone(config))?;
            self.stream = Stream::Tls(Box::new(StreamOwned::new(session, tcp)));
        }
        Ok(())
    }

    fn encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Says nothing until the client has gone or the server is stopped.
    fn hang(&mut self) -> Result<()> {
        while !self.shared.stopped() {
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("stopped")
    }

    fn greet(&mut self) -> Result<()> {
        match self.manners.banner.clone() {
            Banner::Plain => self.answer("220 test.example ESMTP"),
            Banner::Long(bytes) => self.answer(&format!("220 {}", "x".repeat(bytes))),
            Banner::Lines(n) => {
                for i in 0..n {
                    self.answer(&format!("220-line {i} of a long welcome"))?;
                }
                self.answer("220 test.example ESMTP")
            }
            Banner::Endless => {
                let block = vec![b'x'; 64 * 1024];
                while !self.shared.stopped() {
                    self.write(&block)?;
                }
                bail!("stopped")
            }
            Banner::Answer(text) => self.answer(&text),
        }
    }

    fn extensions(&mut self) -> Result<()> {
        let mut lines = vec!["test.example".to_owned(), "PIPELINING".to_owned(), "8BITMIME".to_owned()];
        if self.manners.encryption == Encryption::Starttls && !self.encrypted() {
            lines.push("STARTTLS".to_owned());
        } else if self.manners.login.is_some() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        let last = lines.pop().unwrap_or_default();
        for line in lines {
            self.answer(&format!("250-{line}"))?;
        }
        self.answer(&format!("250 {last}"))
    }

    /// AUTH PLAIN with its initial response.
    fn log_on(&mut self, rest: &str) -> Result<Option<String>> {
        let expected = self.manners.login.clone().context("nobody can log on")?;
        let plain = format!("\0{}\0{}", expected.0, expected.1);
        if rest.trim() == format!("PLAIN {}", base64(plain.as_bytes())) {
            self.answer("235 2.7.0 welcome")?;
            return Ok(Some(expected.0));
        }
        self.answer("535 5.7.8 Error: authentication failed")?;
        Ok(None)
    }

    /// The mail up to its dot.
    fn body(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            bytes.push(self.read_byte()?);
            if bytes.len() == 2000 {
                self.shared.at(Step::Body);
            }
            if bytes.ends_with(b"\r\n.\r\n") {
                bytes.truncate(bytes.len() - 3);
                let text = String::from_utf8_lossy(&bytes).replace("\r\n..", "\r\n.");
                return Ok(text.into_bytes());
            }
        }
    }
}

pub(super) fn serve(stream: TcpStream, shared: &Shared, config: &Arc<ServerConfig>) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let manners = shared.manners();
    let mut c = Connection { stream: Stream::Plain(stream), shared, manners };
    if c.manners.encryption == Encryption::Implicit {
        c.encrypt(config)?;
    }
    shared.at(Step::Banner);
    c.greet()?;
    let (mut user, mut from, mut to) = (None, String::new(), Vec::new());
    loop {
        let line = c.line()?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                shared.at(Step::Ehlo);
                c.extensions()?;
            }
            "STARTTLS" => {
                c.answer("220 go ahead")?;
                c.encrypt(config)?;
            }
            "AUTH" => user = c.log_on(rest)?,
            "MAIL" => {
                shared.at(Step::Mail);
                if c.manners.login.is_some() && user.is_none() {
                    c.answer("530 5.7.0 Authentication required")?;
                    continue;
                }
                from = address(rest);
                to.clear();
                c.answer("250 2.1.0 Ok")?;
            }
            "RCPT" => {
                shared.at(Step::Rcpt);
                let recipient = address(rest);
                let told = c.manners.recipients.iter().find(|(who, _)| *who == recipient);
                let answer = match told {
                    Some((_, answer)) => answer.clone(),
                    None if shared.greylisted.load(Ordering::SeqCst) < c.manners.greylist => {
                        shared.greylisted.fetch_add(1, Ordering::SeqCst);
                        "450 4.2.0 Greylisted, see you later".to_owned()
                    }
                    None => "250 2.1.5 Ok".to_owned(),
                };
                if answer.starts_with("250") {
                    to.push(recipient);
                }
                c.answer(&answer)?;
            }
            "DATA" => {
                shared.at(Step::Data);
                if c.manners.hang_after_data {
                    c.hang()?;
                }
                c.answer("354 go on")?;
                let bytes = c.body()?;
                shared.at(Step::Dot);
                finish(&mut c, (&from, &to), bytes, user.clone())?;
            }
            "QUIT" => return c.answer("221 bye"),
            "RSET" | "NOOP" => c.answer("250 Ok")?,
            _ => c.answer("502 what?")?,
        }
    }
}

fn finish(
    c: &mut Connection<'_>,
    (from, to): (&str, &[String]),
    bytes: Vec<u8>,
    user: Option<String>,
) -> Result<()> {
    let mail = Received { from: from.to_owned(), to: to.to_vec(), bytes, encrypted: c.encrypted(), user };
    let store = |shared: &Shared| shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
    match c.manners.end.clone() {
        End::Take => {
            store(c.shared);
            c.shared.at(Step::Stored);
            c.answer("250 2.0.0 queued")?;
            c.shared.at(Step::Answered);
            Ok(())
        }
        End::TakeAndClose => {
            store(c.shared);
            bail!("closed")
        }
        End::Close => bail!("closed"),
        End::Hang => c.hang(),
        End::Answer(text) => c.answer(&text),
    }
}

fn address(rest: &str) -> String {
    let inside = rest.split_once('<').and_then(|(_, r)| r.split_once('>'));
    inside.map_or_else(|| rest.to_owned(), |(a, _)| a.to_owned())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().enumerate().fold(0u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let letter = LETTERS[(n >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
