//! The container engine: the one that answers, else one of its own out of Debian's packages, with stand-ins for the base images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use testbed::child::log_tail;
use testbed::program::on_path;
use testbed::wait;
use tokio::process::{Child, Command};

use crate::progress::Step;
use crate::servers;

/// The release whose packages are taken: its Compose knows build contexts by name, and its programs run on older releases too.
const RELEASE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "docker.io",
    "docker-cli",
    "docker-compose",
    "docker-buildx",
    "containerd",
];
/// What needs the libraries of the machine's own release.
const OWN_PACKAGES: &[&str] = &["runc"];
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// Stand-ins for the base images, out of one root: tag and what it runs.
const STAND_INS: [(&str, &str); 3] = [
    ("debian:bookworm-slim", ""),
    (
        "redis:7",
        r#"VOLUME /data
WORKDIR /data
ENTRYPOINT ["sh", "-c", "exec \"$@\" --protected-mode no", "redis"]
CMD ["redis-server"]
"#,
    ),
    (
        "rabbitmq:3.13-management",
        r#"VOLUME /var/lib/rabbitmq
ENV HOME=/var/lib/rabbitmq RABBITMQ_LOGS=-
ENTRYPOINT ["sh", "-c", "printf 'loopback_users.guest = false\nlisteners.tcp.default = 5672\ndefault_user = %s\ndefault_pass = %s\n' $RABBITMQ_DEFAULT_USER $RABBITMQ_DEFAULT_PASS > /etc/rabbitmq/rabbitmq.conf; echo '[rabbitmq_management].' > /etc/rabbitmq/enabled_plugins; exec /usr/lib/rabbitmq/bin/rabbitmq-server"]
"#,
    ),
];

pub(super) struct Engine {
    client: PathBuf,
    own: Option<Own>,
}

/// An engine that this process has started.
struct Own {
    daemon: Child,
    /// Holds its socket, whose path must be short.
    dir: TempDir,
    folder: PathBuf,
}

impl Engine {
    /// The engine that answers, with the images of its registry; else one of its own.
    ///
    /// # Errors
    ///
    /// If none answers and this is not root on Debian.
    pub(super) async fn find_or_start() -> Result<Self> {
        if let Some(client) = on_path("docker") {
            let engine = Self { client, own: None };
            if engine.answers().await {
                println!("Using the engine that answers");
                return Ok(engine);
            }
        }
        if !geteuid().is_root() {
            bail!("no container engine answers, and only root can start one");
        }
        let root = servers::root(RELEASE)?;
        let folder = root.with_file_name("engine");
        install_packages(&root, &folder).await?;
        let engine = Self::start(folder).await?;
        engine.make_stand_ins(&root).await?;
        Ok(engine)
    }

    /// The client, with nothing of the caller's environment that Compose could take for a setting.
    pub(super) fn docker(&self) -> Command {
        let mut docker = Command::new(&self.client);
        docker.env_clear().kill_on_drop(true).stdin(Stdio::null());
        let kept = |name: &str| matches!(name, "PATH" | "HOME") || name.starts_with("DOCKER_");
        docker.envs(std::env::vars().filter(|(name, _)| kept(name)));
        if let Some(own) = &self.own {
            docker
                .env("DOCKER_HOST", own.socket())
                .env("DOCKER_CONFIG", own.folder.join("config"));
        }
        docker
    }

    /// Ends the engine, if it is its own.
    pub(super) async fn stop(self) -> Result<()> {
        let Some(mut own) = self.own else {
            return Ok(());
        };
        if let Some(id) = own.daemon.id() {
            kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM)?;
        }
        let ended = tokio::time::timeout(STOP, own.daemon.wait());
        ended.await.context("the engine does not end")??;
        Ok(())
    }

    async fn answers(&self) -> bool {
        let mut docker = self.docker();
        docker
            .arg("info")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        docker.status().await.is_ok_and(|status| status.success())
    }

    async fn start(folder: PathBuf) -> Result<Self> {
        let step = Step::begin("Starting a container engine", false);
        let dir = tempfile::tempdir()?;
        let log = folder.join("dockerd.log");
        let output = File::create(&log)?;
        let programs = [folder.join("usr/bin"), folder.join("usr/sbin")];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path)))?;
        let daemon = Command::new(folder.join("usr/sbin/dockerd"))
            .env("PATH", path)
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(dir.path().join("run"))
            .arg("--pidfile")
            .arg(dir.path().join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", dir.path().join("socket").display()))
            // The machine's firewall and routes stay as they are: containers reach each other by their bridge, and what is
            // published on loopback is forwarded by a process.
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
            ])
            .args(["--bridge", "none"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("can't start dockerd")?;
        let engine = Self {
            client: folder.join("usr/bin/docker"),
            own: Some(Own {
                daemon,
                dir,
                folder,
            }),
        };
        let answers = wait::until("the engine to answer", START, async || {
            engine.answers().await
        });
        answers.await.with_context(|| log_tail(&log, 20))?;
        step.done();
        Ok(engine)
    }

    async fn make_stand_ins(&self, root: &Path) -> Result<()> {
        const BASE: &str = "dispatch-stand-in";
        let step = Step::begin("Making stand-ins for the base images", false);
        let mut tar = std::process::Command::new("tar");
        tar.arg("--directory").arg(root).args(["--create", "."]);
        let mut tar = tar.stdout(Stdio::piped()).spawn()?;
        let archive = tar.stdout.take().context("no output of tar")?;
        let mut import = self.docker();
        import.args(["import", "-", BASE]).stdin(archive);
        succeed(import).await?;
        tar.wait()?;
        for (tag, runs) in STAND_INS {
            let dockerfile = tempfile::tempdir()?;
            fs::write(
                dockerfile.path().join("Dockerfile"),
                format!("FROM {BASE}\n{runs}"),
            )?;
            let mut build = self.docker();
            build.args(["build", "--tag", tag]).arg(dockerfile.path());
            succeed(build).await?;
        }
        step.done();
        Ok(())
    }
}

impl Own {
    fn socket(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }
}

/// Unpacks the engine's packages into `folder`, by the package managers of `root` and of the machine; once.
async fn install_packages(root: &Path, folder: &Path) -> Result<()> {
    let plugins = folder.join("config/cli-plugins");
    if plugins.is_dir() {
        return Ok(());
    }
    let step = Step::begin("Fetching a container engine", false);
    let mut inside = Command::new("chroot");
    inside.arg(root);
    unpack(inside, root, PACKAGES, folder).await?;
    let inside = Command::new("env");
    unpack(inside, Path::new("/"), OWN_PACKAGES, folder).await?;
    // The folder of plugins comes last: it says that all is there.
    let unfinished = folder.join("config/unfinished");
    fs::create_dir_all(&unfinished)?;
    for plugin in ["docker-compose", "docker-buildx"] {
        let program = folder.join("usr/libexec/docker/cli-plugins").join(plugin);
        std::os::unix::fs::symlink(program, unfinished.join(plugin))?;
    }
    fs::rename(unfinished, plugins)?;
    step.done();
    Ok(())
}

/// Downloads packages with apt as `inside` runs it, whose root is `root`, and unpacks them into `folder`.
async fn unpack(mut inside: Command, root: &Path, packages: &[&str], folder: &Path) -> Result<()> {
    let archives = tempfile::tempdir_in(root.join("tmp"))?;
    let from_inside = Path::new("/tmp").join(archives.path().file_name().unwrap_or_default());
    let fetch = "cd \"$1\" && shift && apt-get --quiet update \
        && exec apt-get --quiet -o APT::Sandbox::User=root download \"$@\"";
    inside.args(["sh", "-c", fetch, "sh"]).arg(from_inside);
    inside.args(packages);
    succeed(inside).await?;
    for archive in fs::read_dir(archives.path())? {
        let mut unpack = Command::new("dpkg");
        unpack.arg("--extract").arg(archive?.path()).arg(folder);
        succeed(unpack).await?;
    }
    Ok(())
}

async fn succeed(mut command: Command) -> Result<()> {
    let output = command.output().await;
    let output =
        output.with_context(|| format!("can't run {:?}", command.as_std().get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{:?}: {}\n{said}", command.as_std(), output.status);
    }
    Ok(())
}
