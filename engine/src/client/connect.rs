// SPDX-License-Identifier: MIT
//! From a URL to a connection. The addresses are judged after they have been looked up and right
//! before they are connected to, so no name can lead around the judgement.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::io::TokioIo;

use super::tls;

/// What one answer's head may take.
const MAX_HEAD: usize = 128 << 10;

/// Where a request goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub secure: bool,
    /// As in the URL, without the brackets of IPv6.
    pub host: String,
    pub port: u16,
}

impl Place {
    /// None: the URL is not one of http or https, or brings a user along.
    pub fn of(uri: &Uri) -> Option<Place> {
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        Some(Place {
            secure,
            host: bare.unwrap_or(host).to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
        })
    }
}

/// This machine, its link, a private network (RFC 1918, RFC 6598), or nobody in particular.
fn is_local_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_link_local()
        || ip.is_private()
        || a == 0
        || a == 100 && b & 0xc0 == 64
        || (a, b, c) == (192, 0, 0)
        || a == 198 && b & 0xfe == 18
        || a >= 224
}

/// The address of IPv4 that one of IPv6 stands for: mapped, compatible, 6to4, NAT64.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0x2002, high, low, ..] => pair(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => pair(high, low),
        _ => ip.to_ipv4(),
    }
}

/// Not the open internet: what answers there often trusts whoever asks from inside.
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_local_v4(ip),
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || ip.is_unique_local()
                || ip.is_multicast()
                || ip.segments()[..3] == [0x64, 0xff9b, 1]
                || embedded_v4(ip).is_some_and(is_local_v4)
        }
    }
}

#[derive(Debug)]
pub enum ConnectError {
    /// The name leads to nothing.
    Unknown(io::Error),
    /// Only to addresses that are not allowed.
    Forbidden,
    Refused(io::Error),
    Tls(io::Error),
    Http(hyper::Error),
}

/// A connection, plain or secured.
pub enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Plain($inner) => $body,
            Stream::Secured($inner) => $body,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

async fn open(place: &Place, may: impl Fn(IpAddr) -> bool) -> Result<TcpStream, ConnectError> {
    let found = tokio::net::lookup_host((&*place.host, place.port)).await;
    let found: Vec<SocketAddr> = found.map_err(ConnectError::Unknown)?.collect();
    let mut last = None;
    for address in found.into_iter().filter(|address| may(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(ConnectError::Forbidden, ConnectError::Refused))
}

async fn connect(place: &Place, may: impl Fn(IpAddr) -> bool) -> Result<Stream, ConnectError> {
    let stream = open(place, may).await?;
    if !place.secure {
        return Ok(Stream::Plain(stream));
    }
    let secured = tls::secure(&place.host, stream).await;
    Ok(Stream::Secured(Box::new(
        secured.map_err(ConnectError::Tls)?,
    )))
}

/// What moves the bytes of a connection; dropping it closes it.
pub type Driver = AbortOnDropJoinHandle<Result<(), hyper::Error>>;

/// A connection for one request.
pub async fn reach<B>(
    place: &Place,
    may: impl Fn(IpAddr) -> bool,
) -> Result<(SendRequest<B>, Driver), ConnectError>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = connect(place, may).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(ConnectError::Http)?;
    Ok((sender, wasmtime_wasi::runtime::spawn(connection)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_known_in_every_disguise() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.1.1",
            "::ffff:0.0.0.0",
            "::127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
        ] {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in [
            "192.0.2.1",
            "11.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "2002:c000:201::1",
            "64:ff9b::c000:201",
            "::ffff:192.0.2.1",
        ] {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn places_are_read_from_urls() {
        let place = |text: &str| Place::of(&text.parse().unwrap());
        let told = |text: &str| place(text).map(|p| (p.secure, p.host, p.port));
        assert_eq!(told("http://a/b"), Some((false, "a".to_owned(), 80)));
        assert_eq!(told("https://[::1]/"), Some((true, "::1".to_owned(), 443)));
        assert_eq!(told("http://a:8080"), Some((false, "a".to_owned(), 8080)));
        assert!(place("ftp://a/").is_none());
        assert!(place("http://me:secret@a/").is_none());
        assert!(place("/path").is_none());
    }
}
