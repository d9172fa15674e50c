//! TLS to the array. `ureq` has no setting for a certificate that is trusted by itself, and arrays make such: its TLS
//! connector is replaced, and nothing else of it.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::trust::{trusting, Remarks};

/// Puts TLS over the connection that it is chained to. Clones share sessions and remarks.
#[derive(Debug, Clone)]
pub(super) struct TlsConnector {
    config: Arc<ClientConfig>,
    remarks: Remarks,
}

impl TlsConnector {
    /// Trusts the certificates in `ca_file` (PEM), as CAs and as the array's own, or the CAs of this host.
    ///
    /// # Errors
    /// Status 64: no file, or no certificate in it.
    pub fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let (config, remarks) = trusting(ca_file)?;
        Ok(Self { config: Arc::new(config), remarks })
    }

    /// What was remarkable about the certificates that were accepted so far.
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.all()
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| ureq::Error::Tls("this host's name can stand in no certificate"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut below = TransportAdapter::new(Box::new(transport) as _, Arc::clone(&details.current_time));
        below.set_timeout(left(details));
        tls.complete_io(&mut below)?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(input, output);
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(tls, below) })))
    }
}

/// The limit counts from before the TCP connection was made.
fn left(details: &ConnectionDetails) -> NextTimeout {
    let mut left = details.timeout;
    if let (Duration::Exact(limit), Instant::Exact(from), Instant::Exact(now)) =
        (left.after, details.now, (details.current_time)())
    {
        left.after = Duration::Exact(limit.saturating_sub(now.saturating_duration_since(from)));
    }
    left
}

/// A connection with TLS over it.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
