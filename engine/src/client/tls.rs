// SPDX-License-Identifier: MIT
//! TLS with the trust store of the system, read once.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();

fn roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (taken, _) = store.add_parsable_certificates(found.certs);
    if taken > 0 {
        return Ok(store);
    }
    let why = found.errors.first().map(|error| format!(": {error}"));
    Err(io::Error::other(format!(
        "the system trusts no certificates (package ca-certificates, or SSL_CERT_FILE){}",
        why.unwrap_or_default()
    )))
}

fn read_config() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A store that cannot be read is tried again the next time. Two may read it at once: the first to
/// be done counts.
async fn config() -> io::Result<Arc<ClientConfig>> {
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let read = tokio::task::spawn_blocking(read_config);
    let config = read.await.map_err(io::Error::other)??;
    Ok(CONFIG.get_or_init(|| config).clone())
}

pub async fn secure(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no name for a certificate"))?;
    TlsConnector::from(config().await?)
        .connect(name, stream)
        .await
}
