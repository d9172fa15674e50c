//! A request that tells a watchman: the backup was made, or it was not. Silence is what the watchman rings for.

use std::time::Duration;

use anyhow::Context;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For the whole request.
const LIMIT: Duration = Duration::from_secs(10);

/// The URL for an outcome: `/fail` goes before a query.
pub fn target(url: &str, success: bool) -> String {
    if success {
        return url.to_owned();
    }
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url, String::new()),
    };
    format!("{}/fail{query}", path.trim_end_matches('/'))
}

/// Requests the URL.
///
/// # Errors
/// No answer within ten seconds, or one that is not 2xx.
pub fn send(url: &str, success: bool) -> anyhow::Result<()> {
    let target = target(url, success);
    let mut config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).max_redirects(3);
    if target.starts_with("https:") {
        // Those of the system: a watchman inside the company has a certificate of the company's CA.
        let certificates = system_certificates()?;
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build();
        config = config.tls_config(tls);
    }
    let agent: ureq::Agent = config.build().into();
    agent.get(&target).call().with_context(|| format!("ping {}", host(&target)))?;
    Ok(())
}

fn system_certificates() -> anyhow::Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    anyhow::ensure!(!found.certs.is_empty(), "this host has no certificates of any CA");
    Ok(found.certs.iter().map(|c| Certificate::from_der(c.as_ref()).to_owned()).collect())
}

/// The host alone: the path is as good as a password.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_goes_before_the_query() {
        assert_eq!(target("https://hc/ping/uuid", true), "https://hc/ping/uuid");
        assert_eq!(target("https://hc/ping/uuid/", false), "https://hc/ping/uuid/fail");
        assert_eq!(target("https://hc/ping?k=v", false), "https://hc/ping/fail?k=v");
        assert_eq!(host("https://hc:8000/secret?x"), "hc:8000");
    }
}
