//! TLS by the simulator's own authority: only who trusts it gets in.

use std::{path::PathBuf, sync::Arc};

use discord_sim::SimConfig;
use futures_util::StreamExt;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_websockets::ClientBuilder;

use crate::{DEADLINE, config, start};

/// A folder that goes with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Connects as to this host, trusting these authorities alone.
async fn connect(
    address: &str,
    host: &'static str,
    roots: RootCertStore,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(host.try_into().unwrap(), tcp).await
}

#[tokio::test]
async fn who_trusts_its_authority_gets_in_under_discords_names() {
    let folder = std::env::temp_dir().join(format!("discord-sim-tls-{}", std::process::id()));
    let folder = Folder(folder);
    let sim = start(SimConfig {
        tls: Some(folder.0.clone()),
        ..config()
    })
    .await;
    let address = sim.http_url().strip_prefix("https://").unwrap().to_owned();
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.0.join("ca.pem")).unwrap();
    roots.add(authority).unwrap();

    for host in [
        "discord.com",
        "cdn.discordapp.com",
        "localhost",
        "127.0.0.1",
    ] {
        let mut tls = connect(&address, host, roots.clone()).await.unwrap();
        let request =
            format!("GET /api/v10/gateway HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        assert!(answer.contains(&format!("wss://{address}")), "{answer}");
    }
    let tls = connect(&address, "gateway.discord.gg", roots.clone())
        .await
        .unwrap();
    let client = ClientBuilder::new()
        .uri("wss://gateway.discord.gg/?v=10")
        .unwrap();
    let (mut socket, _) = client.connect_on(tls).await.unwrap();
    let hello = timeout(DEADLINE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let hello: Value = serde_json::from_str(hello.as_text().unwrap()).unwrap();
    assert_eq!(hello["op"], 10);

    let other = connect(&address, "example.com", roots).await;
    assert!(other.is_err(), "it is nobody else");
    let distrustful = connect(&address, "discord.com", RootCertStore::empty()).await;
    assert!(distrustful.is_err(), "nobody else signs for it");
}
