//! TLS by a certificate authority of one's own, which is made at each start and signs for Discord's names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

/// The file with the authority's certificate.
const CA: &str = "ca.pem";

/// Whom the certificate is for, beside the host that is advertised.
const NAMES: [&str; 10] = [
    "discord.com",
    "*.discord.com",
    "gateway.discord.gg",
    "*.discord.gg",
    "discordapp.com",
    "*.discordapp.com",
    "*.discordapp.net",
    "localhost",
    "127.0.0.1",
    "::1",
];

/// Seconds in a year, on average.
const YEAR: u64 = 31_556_952;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error("can't make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("can't use the certificate")]
    Server(#[from] rustls::Error),
    #[error("can't write {file}")]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The file with the authority's certificate in this folder.
pub(crate) fn authority_file(folder: &Path) -> PathBuf {
    folder.join(CA)
}

/// Makes the authority and its certificate, which is for `host`, too, and writes `ca.pem` into the folder.
///
/// # Errors
///
/// What could not be made or written.
pub(crate) fn acceptor(folder: &Path, host: Option<&str>) -> io::Result<TlsAcceptor> {
    make(folder, host).map_err(io::Error::other)
}

fn make(folder: &Path, host: Option<&str>) -> Result<TlsAcceptor, TlsError> {
    let (from, until) = {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let year = 1970 + now.unwrap_or_default().as_secs() / YEAR;
        let year = i32::try_from(year).unwrap_or(i32::MAX - 1);
        // Some clients take no certificate that is valid for more than 825 days.
        (date_time_ymd(year, 1, 1), date_time_ymd(year + 2, 1, 1))
    };
    let mut authority = CertificateParams::new(Vec::new())?;
    authority
        .distinguished_name
        .push(DnType::CommonName, "discord-sim authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (authority.not_before, authority.not_after) = (from, until);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let names = NAMES.into_iter().chain(host).map(str::to_owned);
    let mut server = CertificateParams::new(names.collect::<Vec<String>>())?;
    server
        .distinguished_name
        .push(DnType::CommonName, "discord-sim");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    (server.not_before, server.not_after) = (from, until);
    let server_key = KeyPair::generate()?;
    let issuer = Issuer::new(authority, authority_key);
    let certificate = server.signed_by(&server_key, &issuer)?;

    let file = authority_file(folder);
    let written =
        fs::create_dir_all(folder).and_then(|()| fs::write(&file, authority_certificate.pem()));
    written.map_err(|source| TlsError::Write { file, source })?;

    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
