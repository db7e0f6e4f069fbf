//! Where a connection leads to.

use http::uri::{Authority, Scheme};
use tokio::net::TcpStream;

use crate::error::BoxError;

#[derive(Clone, PartialEq)]
pub(super) struct Endpoint {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

impl Endpoint {
    pub(super) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Without the brackets around an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, BoxError> {
        let stream = TcpStream::connect((self.host(), self.port())).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
