//! RabbitMQ, Redis and Discord behind TLS with a certificate authority of one's own, and a broker that allows few channels.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use discord_sim::{Sim, SimConfig};
use redis::cmd;
use testbed::{
    binaries::Service,
    port::free_port,
    process::Process,
    servers::{Persistence, Servers},
    stack::{Options, settings},
    wait,
};

const READY: Duration = Duration::from_secs(60);

fn openssl(dir: &Path, args: &str) {
    let status = Command::new("openssl")
        .current_dir(dir)
        .args(args.split(' '))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "openssl {args}");
}

/// `ca.pem`, and `NAME.pem` with `NAME.key` for a server and a client.
fn make_certificates(dir: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        dir,
        &format!("req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN=test-authority -days 2"),
    );
    for (name, extension) in [
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ("client", "extendedKeyUsage=clientAuth"),
    ] {
        std::fs::write(dir.join("extension"), extension).unwrap();
        openssl(
            dir,
            &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out {name}.pem"
            ),
        );
    }
}

/// Both servers behind TLS: RabbitMQ asks for a client certificate and allows 15 channels. Returns the URLs.
async fn encrypted(certificates: &Path) -> (Servers, String, String) {
    let mut servers = Servers::start(Persistence::None).await.unwrap();
    let (rabbitmq, redis) = (free_port().unwrap(), free_port().unwrap());
    let at = |name: &str| certificates.join(name).display().to_string();
    let (ca, certificate, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
    servers
        .rabbitmq
        .configure(&format!(
            "listeners.ssl.1 = 127.0.0.1:{rabbitmq}\nssl_options.cacertfile = {ca}\n\
             ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             channel_max = 15\n"
        ))
        .await
        .unwrap();
    let mut connection = servers.redis.connection().await.unwrap();
    cmd("CONFIG")
        .arg("SET")
        .arg(&["tls-cert-file", &certificate, "tls-key-file", &key])
        .arg(&["tls-ca-cert-file", &ca, "tls-auth-clients", "no"])
        .arg(&["tls-port", &redis.to_string()])
        .exec_async(&mut connection)
        .await
        .unwrap();
    (
        servers,
        format!("amqps://guest:guest@127.0.0.1:{rabbitmq}/"),
        format!("rediss://127.0.0.1:{redis}/"),
    )
}

#[tokio::test]
async fn private_authorities_client_certificates_and_channel_limits() {
    let certificates = tempfile::tempdir().unwrap();
    make_certificates(certificates.path());
    let (servers, rabbitmq, redis) = encrypted(certificates.path()).await;
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let right = BTreeMap::from([
        ("RABBIT_URL".to_owned(), rabbitmq),
        ("REDIS_URL".to_owned(), redis),
        ("TLS_CA_FILE".to_owned(), file("ca.pem")),
        ("TLS_CERT_FILE".to_owned(), file("client.pem")),
        ("TLS_KEY_FILE".to_owned(), file("client.key")),
        ("PARTITIONS".to_owned(), "4".to_owned()),
    ]);
    let start = |name: &str, env: &BTreeMap<String, String>| {
        Process::start(Service::CacheWriter, name, servers.dir(), env).unwrap()
    };
    let mut writer = start("right", &right);
    writer.ready(READY).await.unwrap();

    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let gateway = |name: &str, shards: u32| {
        let mut env = right.clone();
        env.extend(settings::discord(
            "sim-token",
            &sim.http_url(),
            &sim.gateway_url(),
        ));
        env.extend(settings::shards(shards));
        Process::start(Service::GatewayIngest, name, servers.dir(), &env).unwrap()
    };
    // Not some of the shards and silence about the rest.
    let reason = "rabbitmq allows 15 channels on a connection, and 16 are needed";
    let twelve = gateway("twelve", 12);
    wait::until(reason, READY, async || twelve.log_tail(40).contains(reason))
        .await
        .unwrap();
    assert!(!twelve.is_ready().await);
    drop(twelve);
    assert!(sim.connections_made().is_empty());
    gateway("two", 2).ready(READY).await.unwrap();

    let mut unknown = right.clone();
    unknown.remove("TLS_CA_FILE");
    let mut anonymous = right.clone();
    anonymous.remove("TLS_CERT_FILE");
    anonymous.remove("TLS_KEY_FILE");
    let mut many = right.clone();
    many.insert("PARTITIONS".to_owned(), "16".to_owned());
    for (name, env, reason) in [
        ("unknown", unknown, "UnknownIssuer"),
        ("anonymous", anonymous, "cannot connect to rabbitmq"),
        (
            "many",
            many,
            "rabbitmq allows 15 channels on a connection, and 18 are needed",
        ),
    ] {
        let process = start(name, &env);
        wait::until(reason, READY, async || {
            process.log_tail(40).contains(reason)
        })
        .await
        .unwrap();
        assert!(!process.is_ready().await, "{name}");
    }
}

/// As behind a proxy that ends TLS: REST and gateway.
#[tokio::test]
async fn discord_by_an_authority_of_the_systems() {
    let dir = tempfile::tempdir().unwrap();
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut options = Options::new(2, 2);
    options.sim.tls = Some(dir.path().to_owned());
    let sim = Sim::start(options.sim.clone()).await.unwrap();
    let broken = dir.path().join("broken.pem");
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&broken, text).unwrap();
    let start = |name: &str, authorities: Option<&Path>| {
        let mut env = options.connected_to(&servers, &sim);
        let authorities = authorities.map(|file| file.display().to_string());
        env.extend(authorities.map(|file| ("SSL_CERT_FILE".to_owned(), file)));
        Process::start(Service::GatewayIngest, name, servers.dir(), &env).unwrap()
    };
    let unknown = start("unknown", None);
    let mut unusable = start("unusable", Some(&broken));
    let status = unusable.wait_exit(READY).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let reason = "name a file without it in SSL_CERT_FILE";
    assert!(unusable.log_tail(20).contains(reason));
    wait::until("TLS to fail", READY, async || {
        unknown.log_tail(40).contains("TLS failed")
    })
    .await
    .unwrap();
    assert!(!unknown.is_ready().await);
    drop(unknown);
    let authority = sim.authority();
    let mut known = start("known", authority.as_deref());
    known.ready(READY).await.unwrap();
    assert_eq!(sim.connections(), 2);
}

#[tokio::test]
async fn files_that_hold_no_certificates_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    make_certificates(dir.path());
    let at = |name: &str| dir.path().join(name).display().to_string();
    for (name, file, problem) in [
        ("TLS_CA_FILE", at("ca.key"), "none in it that can be used"),
        ("TLS_CA_FILE", at("nothing"), "No such file"),
        ("TLS_CERT_FILE", at("client.pem"), "TLS_KEY_FILE is not set"),
        (
            "TLS_KEY_FILE",
            at("client.pem"),
            "none in it that can be used",
        ),
    ] {
        let env = BTreeMap::from([(name.to_owned(), file)]);
        let mut process =
            Process::start(Service::CommandRouter, "refused", dir.path(), &env).unwrap();
        let status = process.wait_exit(READY).await.unwrap();
        assert_eq!(status.code(), Some(2));
        let log = std::fs::read_to_string(process.log()).unwrap();
        assert!(log.contains(problem), "{name}: {log}");
        std::fs::remove_file(process.log()).unwrap();
    }
}
