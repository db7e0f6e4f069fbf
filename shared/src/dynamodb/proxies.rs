//! The proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, read as curl reads them.

use std::net::IpAddr;

use aws_smithy_types::body::SdkBody;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::endpoint::Endpoint;
use crate::error::{BoxError, ConfigError};

/// The variables that name a proxy.
const VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

pub(super) struct Proxies(Matcher);

pub(super) struct Proxy(Intercept);

impl Proxies {
    /// None where the environment names no proxy.
    ///
    /// # Errors
    /// A variable names no proxy: it would count as unset, and the traffic would go past the proxy.
    pub(super) fn from_env() -> Result<Option<Self>, ConfigError> {
        let mut is_set = false;
        for variable in VARIABLES {
            let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else { continue };
            if !value.to_str().is_some_and(is_proxy) {
                return Err(ConfigError {
                    variable: variable.into(),
                    accepted: "the URL of a proxy, such as http://proxy.example.com:3128".into(),
                    given: "another text".into(), // it may hold a password
                });
            }
            is_set = true;
        }
        Ok(is_set.then(|| Self(Matcher::from_env())))
    }

    /// The proxy for an endpoint. This machine, its metadata and the credentials of its container are reached without one.
    pub(super) fn of(&self, Endpoint { scheme, authority }: &Endpoint) -> Option<Proxy> {
        let host = authority.host().trim_matches(['[', ']']);
        let is_here = host.parse().map_or(host == "localhost", |address: IpAddr| match address {
            IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
        });
        if is_here {
            return None;
        }
        let uri = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/");
        self.0.intercept(&uri.build().ok()?).map(Proxy)
    }
}

/// Whether the matcher sends anything to a proxy of this URL.
fn is_proxy(url: &str) -> bool {
    let matcher = Matcher::builder().all(url).build();
    let proxy = matcher.intercept(&Uri::from_static("http://dynamodb.invalid/"));
    let authority = proxy.as_ref().and_then(|proxy| proxy.uri().authority());
    authority
        .is_some_and(|authority| authority.as_str() == authority.host() || authority.port_u16().is_some())
}

impl Proxy {
    /// Where the proxy listens.
    ///
    /// # Errors
    /// It is no HTTP proxy.
    pub(super) fn endpoint(&self) -> Result<Endpoint, BoxError> {
        let scheme = self.0.uri().scheme().cloned().unwrap_or(Scheme::HTTP);
        match self.0.uri().authority() {
            Some(authority) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => {
                Ok(Endpoint { scheme, authority: authority.clone() })
            }
            _ => Err(format!("the proxy's URL must begin with http or https, not {scheme}").into()),
        }
    }

    /// Makes a request without TLS one for a proxy (RFC 9112, section 3.2.2).
    pub(super) fn to_absolute_form(
        &self,
        request: &mut Request<SdkBody>,
        endpoint: &Endpoint,
    ) -> Result<(), BoxError> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        (uri.scheme, uri.authority) = (Some(endpoint.scheme.clone()), Some(endpoint.authority.clone()));
        *request.uri_mut() = uri.try_into()?;
        if let Some(authorization) = self.0.basic_auth() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(())
    }

    /// A connection through the proxy to a host and port (RFC 9110, section 9.3.6).
    ///
    /// # Errors
    /// The proxy refuses, or the connection fails.
    pub(super) async fn tunnel(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: &Authority,
        port: u16,
    ) -> Result<TokioIo<Upgraded>, BoxError> {
        let to = format!("{}:{port}", authority.host());
        let mut request = Request::builder().method(Method::CONNECT).uri(&to).header(HOST, &to);
        if let Some(authorization) = self.0.basic_auth() {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request.body(SdkBody::empty())?).await?;
        if !response.status().is_success() {
            let proxy = self.0.uri().authority().map_or("", Authority::as_str);
            return Err(format!("the proxy {proxy} answers {} to CONNECT {to}", response.status()).into());
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }
}
