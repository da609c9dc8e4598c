//! Certificates for `amqps://`, `rediss://` and Discord.
//!
//! Trusted are the system's certificate authorities, which `SSL_CERT_FILE` may name; for RabbitMQ and Redis also those of
//! `TLS_CA_FILE`, for Discord those that are compiled in. `TLS_CERT_FILE` and `TLS_KEY_FILE` are what a RabbitMQ that asks for client
//! certificates is shown.

use std::{fmt, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use redis::TlsCertificates;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use thiserror::Error;

use crate::settings::{
    Reader, Setting,
    catalogue::{TLS_CA_FILE, TLS_CERT_FILE, TLS_KEY_FILE},
};

/// Certificates beyond the system's.
#[derive(Clone, Default)]
pub struct Tls {
    authorities: Option<String>,
    identity: Option<Identity>,
}

#[derive(Clone)]
struct Identity {
    certificates: String,
    key: String,
}

/// A private key is a secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl Tls {
    /// Reads `TLS_CA_FILE`, `TLS_CERT_FILE` and `TLS_KEY_FILE`.
    pub fn read(reader: &mut Reader) -> Self {
        let authorities = file(reader, &TLS_CA_FILE, are_authorities);
        let certificates = file(reader, &TLS_CERT_FILE, are_certificates);
        let key = file(reader, &TLS_KEY_FILE, is_key);
        let named = [&TLS_CERT_FILE, &TLS_KEY_FILE].map(|setting| reader.optional(setting));
        match named {
            [Some(_), None] => reader.problem(&TLS_KEY_FILE, TLS_KEY_FILE.expected.to_owned()),
            [None, Some(_)] => reader.problem(&TLS_CERT_FILE, TLS_CERT_FILE.expected.to_owned()),
            _ => {}
        }
        let identity = certificates
            .zip(key)
            .map(|(certificates, key)| Identity { certificates, key });
        Self {
            authorities,
            identity,
        }
    }

    /// For the AMQP client, which adds the system's authorities itself.
    pub(crate) fn amqp(&self) -> OwnedTLSConfig {
        OwnedTLSConfig {
            identity: self.identity.clone().map(|identity| OwnedIdentity::PKCS8 {
                pem: identity.certificates.into_bytes(),
                key: identity.key.into_bytes(),
            }),
            cert_chain: self.authorities.clone(),
        }
    }

    /// For the Redis client, which trusts either the system's authorities or those that it is given. `None`: the system's are enough.
    pub(crate) fn redis(&self) -> Option<TlsCertificates> {
        let authorities = self.authorities.as_ref()?;
        let mut store = RootCertStore::empty();
        let system: String = system_authorities()
            // Some systems keep one that can't be used; the client would refuse them all for it.
            .filter(|certificate| store.add(certificate.clone()).is_ok())
            .map(|certificate| pem(&certificate))
            .collect();
        Some(TlsCertificates {
            client_tls: None,
            root_cert: Some(format!("{system}{authorities}\n").into_bytes()),
        })
    }
}

/// Authorities that may answer for Discord: those that are compiled in, and the system's, for who has a proxy of their own before it.
#[cfg(feature = "discord")]
pub(crate) fn discord_authorities() -> RootCertStore {
    let mut store: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    store.add_parsable_certificates(system_authorities());
    store
}

/// Whether each of the system's authorities can be used. The gateway's client takes them, and panics over one that can't.
///
/// # Errors
///
/// If one can't.
#[cfg(feature = "discord")]
pub fn check_system_authorities() -> Result<(), UnusableAuthority> {
    let mut store = RootCertStore::empty();
    system_authorities().try_for_each(|certificate| Ok(store.add(certificate)?))
}

/// One of the system's certificate authorities can't be used.
#[derive(Debug, Error)]
#[error(
    "one of the system's certificate authorities can't be used ({0}): name a file without it in SSL_CERT_FILE"
)]
pub struct UnusableAuthority(#[from] rustls::Error);

fn system_authorities() -> impl Iterator<Item = CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs.into_iter()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// The text of the file that the setting names; `None` if it names none or it can't be used (then it is reported).
fn file(reader: &mut Reader, setting: &Setting, usable: fn(&str) -> bool) -> Option<String> {
    let path = reader.optional(setting)?;
    let problem = match fs::read_to_string(path) {
        Ok(text) if usable(&text) => return Some(text),
        Ok(_) => "there is none in it that can be used".to_owned(),
        Err(error) => error.to_string(),
    };
    reader.problem(setting, format!("{}, but: {problem}", setting.expected));
    None
}

fn are_authorities(text: &str) -> bool {
    let mut store = RootCertStore::empty();
    let added = CertificateDer::pem_slice_iter(text.as_bytes())
        .all(|certificate| certificate.is_ok_and(|certificate| store.add(certificate).is_ok()));
    added && !store.is_empty()
}

fn are_certificates(text: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

fn is_key(text: &str) -> bool {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok()
}
