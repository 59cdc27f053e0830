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
    /// None: the URL is not one of http or https, brings a user along, or names a port that there is
    /// none of.
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
        let port = match authority.as_str().strip_prefix(host)? {
            "" | ":" if secure => 443,
            "" | ":" => 80,
            _ => authority.port_u16()?,
        };
        Some(Place {
            secure,
            host: bare.unwrap_or(host).to_owned(),
            port,
        })
    }
}

/// All of IPv4 that is not the open internet: what IANA's registry of special-purpose addresses
/// (RFC 6890 and its updates) does not call globally reachable, and everything from multicast up.
fn is_local_v4(ip: Ipv4Addr) -> bool {
    matches!(
        ip.octets(),
        [0, ..]                                  // this network, RFC 791
            | [127, ..]                          // this machine, RFC 1122
            | [169, 254, ..]                     // its link, RFC 3927
            | [10, ..]                           // private, RFC 1918
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]                // behind a provider's NAT, RFC 6598
            | [192, 0, 0, _]                     // for protocols, RFC 6890
            | [192, 0, 2, _]                     // documentation, RFC 5737
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [192, 88, 99, _]                   // relays of 6to4, given up by RFC 7526
            | [198, 18..=19, ..]                 // benchmarks, RFC 2544
            | [224..=255, ..] // multicast (RFC 5771), reserved (RFC 1112), broadcast (RFC 919)
    )
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// The addresses of IPv4 that one of IPv6 leads to, by the known ways from one to the other.
fn embedded_v4(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    match ip.segments() {
        // mapped and compatible, RFC 4291; translated, RFC 2765
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            [Some(v4(high, low)), None]
        }
        // NAT64 under its own prefix, RFC 6052; under an operator's it looks like any other address
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [Some(v4(high, low)), None],
        // 6to4, RFC 3056
        [0x2002, high, low, ..] => [Some(v4(high, low)), None],
        // Teredo, RFC 4380: its server, and the other end with all bits turned
        [0x2001, 0, high, low, _, _, turned_high, turned_low] => {
            [Some(v4(high, low)), Some(v4(!turned_high, !turned_low))]
        }
        // ISATAP under any prefix, RFC 5214
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [Some(v4(high, low)), None],
        _ => [None, None],
    }
}

/// All of IPv6 that is not the open internet whatever it embeds: everything outside of 2000::/3,
/// which is all that IANA's registry of IPv6 address space gives out, but for the ways to IPv4 above;
/// that is unique local (RFC 4193), link-local and site-local (RFC 4291, RFC 3879), multicast,
/// loopback, discard-only (RFC 6666), segment identifiers (RFC 9602) and local NAT64 (RFC 8215).
/// Inside of it, what the registry of special-purpose addresses sets apart.
fn is_local_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0, ..] => false,          // Teredo: as what it embeds
        [0x2001, 0x1..=0x1ff, ..] => true, // for protocols (RFC 2928), ORCHID (RFC 7343)
        [0x2001, 0xdb8, ..] => true,       // documentation, RFC 3849
        [0x3fff, 0..=0xfff, ..] => true,   // documentation, RFC 9637
        [0x2000..=0x3fff, ..] => false,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => false, // NAT64: as what it embeds
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => false,
        [0, 0, 0, 0, 0, 0, ..] => false, // as 0.0.0.0 and 0.0.0.1, this one and loopback are local
        _ => true,
    }
}

/// Not the open internet: what answers there often trusts whoever asks from inside.
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_local_v4(ip),
        IpAddr::V6(ip) => is_local_v6(ip) || embedded_v4(ip).into_iter().flatten().any(is_local_v4),
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

    /// The first and the last address of each range of the registries.
    const LOCAL: &[(&str, &[&str])] = &[
        ("this network", &["0.0.0.0", "0.255.255.255", "::"]),
        ("loopback", &["127.0.0.1", "127.255.255.255", "::1"]),
        (
            "link",
            &["169.254.0.0", "169.254.169.254", "169.254.255.255"],
        ),
        ("link, v6", &["fe80::", "fe80::1", "febf:ffff::1"]),
        ("site, v6", &["fec0::", "fec0::1", "feff:ffff::1"]),
        (
            "private",
            &[
                "10.0.0.0",
                "10.255.255.255",
                "192.168.0.0",
                "192.168.255.255",
            ],
        ),
        ("private", &["172.16.0.0", "172.31.255.255"]),
        ("unique local", &["fc00::", "fd00::1", "fdff:ffff::1"]),
        ("shared", &["100.64.0.0", "100.127.255.255"]),
        ("protocols", &["192.0.0.0", "192.0.0.8", "192.0.0.255"]),
        (
            "protocols, v6",
            &["2001:1::1", "2001:4:112::1", "2001:1ff:ffff::1"],
        ),
        ("benchmarks", &["198.18.0.0", "198.19.255.255", "2001:2::1"]),
        (
            "orchid",
            &["2001:10::1", "2001:1f::1", "2001:20::1", "2001:2f:ffff::1"],
        ),
        (
            "documentation",
            &["192.0.2.1", "198.51.100.1", "203.0.113.255"],
        ),
        (
            "documentation, v6",
            &["2001:db8::1", "2001:db8:ffff::1", "3fff::1", "3fff:fff::1"],
        ),
        ("relays", &["192.88.99.1"]),
        (
            "multicast",
            &[
                "224.0.0.0",
                "239.255.255.255",
                "ff00::",
                "ff02::1",
                "ffff::1",
            ],
        ),
        (
            "reserved",
            &["240.0.0.0", "255.255.255.254", "255.255.255.255"],
        ),
        ("discard", &["100::", "100::1", "100:0:0:1::1"]),
        ("segments", &["5f00::1"]),
        (
            "given to nobody",
            &["1::1", "4000::1", "1fff:ffff::1", "fbff::1"],
        ),
        ("local nat64", &["64:ff9b:1::", "64:ff9b:1:ffff::808:808"]),
        (
            "mapped",
            &[
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:169.254.1.1",
                "::ffff:0.0.0.0",
            ],
        ),
        ("compatible", &["::127.0.0.1", "::192.168.1.1", "::2"]),
        ("translated", &["::ffff:0:127.0.0.1", "::ffff:0:172.16.0.1"]),
        (
            "nat64",
            &["64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b::6440:1"],
        ),
        (
            "nat64, longer",
            &["64:ff9b::1:808:808", "64:ff9b:0:1::808:808"],
        ),
        (
            "6to4",
            &[
                "2002:a00:1::1",
                "2002:7f00:1::",
                "2002:c612:1::1",
                "2002:e000:1::",
            ],
        ),
        // server 8.8.8.8, other end 10.0.0.1; then the other way round
        (
            "teredo",
            &["2001:0:808:808::f5ff:fffe", "2001:0:a00:1::f7f7:f7f7"],
        ),
        (
            "isatap",
            &["2a00::5efe:a00:1", "2a00:1:2:3:200:5efe:c0a8:101"],
        ),
    ];

    /// The neighbours of those ranges, and what stands for an open address.
    const OPEN: &[(&str, &[&str])] = &[
        (
            "v4",
            &[
                "1.0.0.0",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
            ],
        ),
        (
            "v4",
            &[
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
            ],
        ),
        (
            "v4",
            &[
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.0.3.0",
            ],
        ),
        (
            "v4",
            &[
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
            ],
        ),
        (
            "v4",
            &[
                "198.51.101.0",
                "203.0.112.255",
                "192.88.98.255",
                "223.255.255.255",
            ],
        ),
        (
            "v6",
            &[
                "2000::1",
                "2001:200::1",
                "2001:db7::1",
                "2001:db9::1",
                "2001:4860:4860::8888",
            ],
        ),
        (
            "v6",
            &["2606:4700::1111", "2a00:1450::1", "3ffe::1", "3fff:1000::1"],
        ),
        ("mapped", &["::ffff:8.8.8.8"]),
        ("compatible", &["::8.8.8.8"]),
        ("translated", &["::ffff:0:8.8.8.8"]),
        ("nat64", &["64:ff9b::808:808"]),
        ("6to4", &["2002:808:808::1"]),
        ("teredo", &["2001:0:808:808::f7f7:f7f7"]),
        (
            "isatap",
            &["2a00::5efe:808:808", "2a00:1:2:3:200:5efe:808:808"],
        ),
    ];

    fn expect(table: &[(&str, &[&str])], local: bool) {
        for (what, texts) in table {
            for text in *texts {
                assert_eq!(is_local(text.parse().unwrap()), local, "{what}: {text}");
            }
        }
    }

    #[test]
    fn local_addresses_are_known_in_every_disguise() {
        expect(LOCAL, true);
        expect(OPEN, false);
    }

    #[test]
    fn places_are_read_from_urls() {
        let place = |text: &str| Place::of(&text.parse().unwrap());
        let told = |text: &str| place(text).map(|p| (p.secure, p.host, p.port));
        assert_eq!(told("http://a/b"), Some((false, "a".to_owned(), 80)));
        assert_eq!(told("https://[::1]/"), Some((true, "::1".to_owned(), 443)));
        assert_eq!(told("http://a:8080"), Some((false, "a".to_owned(), 8080)));
        assert_eq!(told("http://a:/"), Some((false, "a".to_owned(), 80)));
        assert_eq!(told("https://[::1]:1/").map(|told| told.2), Some(1));
        // Not the usual port because there is no such other one.
        for port in ["65536", "99999999999999999999", "80x"] {
            let uri = format!("http://a:{port}/").parse();
            assert!(uri.ok().and_then(|uri| Place::of(&uri)).is_none(), "{port}");
        }
        assert!(place("ftp://a/").is_none());
        assert!(place("http://me:secret@a/").is_none());
        assert!(place("/path").is_none());
    }
}
