//! A deployment of its own of `docker-compose.yml`: other names and ports, nothing of the caller's settings.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use testbed::binaries::{directory, workspace};
use testbed::port::free_port;
use testbed::wait;

use super::engine::Engine;
use super::{RATE, SHARDS};

/// The images' binaries.
const BINARIES: [&str; 4] = [
    "gateway-ingest",
    "cache-writer",
    "command-router",
    "discord-sim",
];
/// Longest time until all is healthy again after a kill.
const RECOVERY: Duration = Duration::from_secs(120);
/// Certificate authorities, where Debian and others have them.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

pub(super) struct Project<'e> {
    engine: &'e Engine,
    /// What the build context and the override file are in.
    dir: TempDir,
    rabbit_port: u16,
    redis_port: u16,
    pub(super) simulator_port: u16,
    management_port: u16,
    /// Replicas of the cache-writer.
    writers: usize,
}

impl<'e> Project<'e> {
    pub(super) fn new(engine: &'e Engine) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let simulator_port = free_port()?;
        build_stage(&dir.path().join("build"))?;
        fs::write(
            dir.path().join("override.yml"),
            overriding(&dir.path().join("build"), simulator_port),
        )?;
        fs::write(dir.path().join("env"), "")?;
        Ok(Self {
            engine,
            dir,
            rabbit_port: free_port()?,
            redis_port: free_port()?,
            simulator_port,
            management_port: free_port()?,
            writers: 1,
        })
    }

    pub(super) fn rabbit_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.rabbit_port)
    }

    pub(super) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.redis_port)
    }

    pub(super) async fn build(&self) -> Result<()> {
        self.timed("build", &["build", "--quiet"]).await
    }

    /// `up -d --wait`, which must return 0 when all is well.
    pub(super) async fn up(&self, what: &str, services: &[&str]) -> Result<()> {
        let writers = format!("cache-writer={}", self.writers);
        let up = ["up", "--detach", "--wait"];
        let scale = ["--scale", &writers];
        let scale = if services.is_empty() { &scale[..] } else { &[] };
        self.timed(what, &[&up, scale, services].concat()).await
    }

    /// `up` until all is well: what waits for something that was killed is unhealthy meanwhile, which ends a `--wait`.
    pub(super) async fn recover(&self) -> Result<()> {
        let again = async || self.up("Up again", &[]).await.is_ok();
        wait::until("all of it to be healthy again", RECOVERY, again).await?;
        Ok(())
    }

    pub(super) async fn scale(&mut self, writers: usize) -> Result<()> {
        self.writers = writers;
        self.up(&format!("--scale cache-writer={writers}"), &[])
            .await
    }

    pub(super) async fn kill(&self, service: &str) -> Result<()> {
        let args = ["kill", "--signal", "SIGKILL", service];
        self.timed(&format!("kill {service}"), &args).await
    }

    /// `stop`, after which every container of these services must have ended with code 0.
    pub(super) async fn stop(&self, services: &[&str]) -> Result<()> {
        let containers = self.all_containers(services).await?;
        self.timed("stop", &["stop"]).await?;
        for container in containers {
            let format = "{{.Name}} {{.State.ExitCode}}";
            let inspect = ["inspect", "--format", format, &container];
            let state = self.docker(&inspect).await?;
            ensure!(
                state.trim().ends_with(" 0"),
                "a service did not end with code 0: {}",
                state.trim()
            );
        }
        Ok(())
    }

    pub(super) async fn down(&self) -> Result<()> {
        let args = ["down", "--volumes", "--rmi", "local", "--remove-orphans"];
        self.timed("down", &args).await
    }

    /// The containers of a service that run.
    pub(super) async fn containers(&self, service: &str) -> Result<Vec<String>> {
        let ids = self.compose(&["ps", "--quiet", service]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    pub(super) async fn logs(&self) -> String {
        let logs = self.compose(&["logs", "--no-color", "--tail", "40"]).await;
        logs.unwrap_or_else(|error| format!("no logs: {error:#}"))
    }

    async fn all_containers(&self, services: &[&str]) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for service in services {
            all.extend(self.containers(service).await?);
        }
        ensure!(!all.is_empty(), "no container runs");
        Ok(all)
    }

    async fn timed(&self, what: &str, args: &[&str]) -> Result<()> {
        let start = Instant::now();
        self.compose(args).await?;
        println!("{what}: {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    async fn compose(&self, args: &[&str]) -> Result<String> {
        let path = |file: &Path| file.display().to_string();
        let files = [
            workspace().join("docker-compose.yml"),
            self.dir.path().join("override.yml"),
        ]
        .map(|file| path(&file));
        let env_file = path(&self.dir.path().join("env"));
        let of_project = [
            "compose",
            "--project-name",
            "dispatch-test",
            "--file",
            &files[0],
            "--file",
            &files[1],
            "--env-file",
            &env_file,
        ];
        self.docker(&[&of_project, args].concat()).await
    }

    /// Runs the client; returns what it prints.
    async fn docker(&self, args: &[&str]) -> Result<String> {
        let mut docker = self.engine.docker();
        docker
            .args(args)
            .env("RABBIT_PORT", self.rabbit_port.to_string())
            .env("RABBIT_MANAGEMENT_PORT", self.management_port.to_string())
            .env("REDIS_PORT", self.redis_port.to_string())
            .env("SIM_SHARDS", SHARDS.to_string())
            .env("SIM_RATE", RATE.to_string());
        let output = docker.output().await.context("can't run docker")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`docker {}`: {}\n{said}", args.join(" "), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What the Dockerfile's build stage would have made, of what is built already.
fn build_stage(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("out"))?;
    for binary in BINARIES {
        let built = directory().join(binary);
        let stripped = folder.join("out").join(binary);
        let mut strip = Program::new("strip");
        strip.arg("-o").arg(&stripped).arg(&built);
        let status = strip.status().context("can't run strip (of binutils)")?;
        ensure!(status.success(), "can't strip {}", built.display());
        // As in the build stage, whatever the umask is here: the images' user must be able to run it.
        fs::set_permissions(stripped, Permissions::from_mode(0o755))?;
    }
    let authorities = folder.join(AUTHORITIES);
    fs::create_dir_all(authorities.parent().unwrap_or(folder))?;
    // Nothing here speaks TLS: where the machine has none, an empty file will do.
    let here = fs::read(Path::new("/").join(AUTHORITIES)).unwrap_or_default();
    fs::write(authorities, here)?;
    Ok(())
}

/// The final stages over `build` (which stands for `manifests` too, or that stage's image would be asked for), and a simulator that remembers what it has sent and lets all shards identify at once.
fn overriding(build: &Path, simulator_port: u16) -> String {
    let over = format!(
        "    build: {{additional_contexts: {{build: '{0}', manifests: '{0}'}}}}\n",
        build.display()
    );
    let services: String = BINARIES
        .iter()
        .map(|binary| format!("  {binary}:\n{over}"))
        .collect();
    format!(
        "services:
{services}    environment: {{SIM_KEEP_EVENTS: 'true', SIM_MAX_CONCURRENCY: '{SHARDS}', SIM_HEARTBEAT_INTERVAL: '5000'}}
    ports: ['127.0.0.1:{simulator_port}:7080']
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_override_comes_last() {
        let text = overriding(Path::new("/b"), 7);
        let (_, simulator) = text.split_once("  discord-sim:\n").unwrap();
        assert!(simulator.contains("SIM_KEEP_EVENTS") && simulator.contains("127.0.0.1:7:7080"));
    }
}
