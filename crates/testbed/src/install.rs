//! Finds the servers' programs (and Python and Node, for clients that are not ours), and installs them from the distribution
//! where that is possible.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::program::{existing, on_path};

/// Where RabbitMQ's programs are.
#[derive(Clone, Debug)]
pub struct RabbitMqPrograms {
    /// The server script: the one in the package's own folder, since the wrapper on `PATH` changes user.
    pub server: PathBuf,
    /// `rabbitmqctl`, of the same folder.
    pub rabbitmqctl: PathBuf,
    /// Erlang's port mapper.
    pub epmd: PathBuf,
}

/// A program that is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// RabbitMQ.
    RabbitMq,
    /// Redis.
    Redis,
    /// Python that can install packages for itself: only tests need it.
    Python,
    /// What fetches another release of the distribution: only tests against other versions of the servers need it.
    Debootstrap,
    /// Node: only tests need it.
    Node,
    /// Node's package manager, in Debian a package of its own: only tests need it.
    Npm,
    /// What checks Prometheus's rules: only tests need it.
    Promtool,
}

impl Missing {
    fn package(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq-server",
            Self::Redis => "redis-server",
            Self::Python => "python3-venv",
            Self::Debootstrap => "debootstrap",
            Self::Node => "nodejs",
            Self::Npm => "npm",
            Self::Promtool => "prometheus",
        }
    }

    /// The setting that can name a running one instead.
    fn url(self) -> Option<&'static str> {
        match self {
            Self::RabbitMq => Some("RABBIT_URL"),
            Self::Redis => Some("REDIS_URL"),
            Self::Python | Self::Debootstrap | Self::Node | Self::Npm | Self::Promtool => None,
        }
    }
}

/// Folders in which packages put RabbitMQ's own scripts.
const RABBITMQ_FOLDERS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];

/// Names a folder with `rabbitmq-server`, `rabbitmqctl`, `epmd` and `redis-server`: other versions than those installed.
pub const SERVERS_DIR: &str = "DISPATCH_SERVERS_DIR";

/// Finds RabbitMQ's programs.
///
/// # Errors
///
/// If they are missing: the message says how to install them.
pub fn rabbitmq() -> Result<RabbitMqPrograms> {
    if let Some(chosen) = chosen_folder() {
        return Ok(RabbitMqPrograms {
            server: chosen_program(&chosen, "rabbitmq-server")?,
            rabbitmqctl: chosen_program(&chosen, "rabbitmqctl")?,
            epmd: chosen_program(&chosen, "epmd")?,
        });
    }
    let server = rabbitmq_server().with_context(|| absent(Missing::RabbitMq))?;
    let rabbitmqctl = server.with_file_name("rabbitmqctl");
    let epmd = on_path("epmd").or_else(|| existing("/usr/lib/erlang/bin/epmd".into()));
    let epmd = epmd.context("erlang's epmd was not found, although RabbitMQ is installed")?;
    Ok(RabbitMqPrograms {
        server,
        rabbitmqctl,
        epmd,
    })
}

/// Finds Redis's server.
///
/// # Errors
///
/// If it is missing: the message says how to install it.
pub fn redis() -> Result<PathBuf> {
    if let Some(chosen) = chosen_folder() {
        return chosen_program(&chosen, "redis-server");
    }
    on_path("redis-server").with_context(|| absent(Missing::Redis))
}

fn absent(missing: Missing) -> String {
    let missing = [missing];
    format!("{} installed. {}", list(&missing), advice(&missing))
}

fn chosen_folder() -> Option<PathBuf> {
    std::env::var_os(SERVERS_DIR).map(PathBuf::from)
}

fn chosen_program(folder: &Path, name: &str) -> Result<PathBuf> {
    existing(folder.join(name))
        .with_context(|| format!("{SERVERS_DIR}={} has no {name}", folder.display()))
}

/// Which servers are not installed.
#[must_use]
pub fn missing() -> Vec<Missing> {
    if chosen_folder().is_some() {
        return Vec::new();
    }
    let rabbit = rabbitmq_server().is_none().then_some(Missing::RabbitMq);
    let redis = on_path("redis-server").is_none().then_some(Missing::Redis);
    rabbit.into_iter().chain(redis).collect()
}

/// Which programs are not installed, or don't work, that the tests run and that are not ours.
#[must_use]
pub fn missing_for_tests() -> Vec<Missing> {
    // Packages are installed by `venv` (Debian keeps what it needs in a package of its own), or by `pip`.
    let python = works("python3", &["-c", "import venv, ensurepip"])
        || works("python3", &["-c", "import pip"]);
    let programs = [
        (Missing::Python, python),
        (Missing::Node, works("node", &["--version"])),
        (Missing::Npm, works("npm", &["--version"])),
        (Missing::Promtool, works("promtool", &["--version"])),
    ];
    let missing = programs.into_iter().filter(|(_, works)| !works);
    missing.map(|(program, _)| program).collect()
}

fn works(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The commands that install `missing` here, each as program and arguments.
///
/// # Errors
///
/// Where we can't install: no apt-get, or neither root nor sudo. The message says exactly what to do instead.
pub fn commands(missing: &[Missing], interactive: bool) -> Result<Vec<Vec<String>>> {
    let root = nix::unistd::geteuid().is_root();
    if on_path("apt-get").is_none() || !(root || on_path("sudo").is_some()) {
        bail!(
            "{} installed, and can't be from here. {}",
            list(missing),
            advice(missing)
        );
    }
    Ok(apt_commands(missing, root, interactive))
}

fn apt_commands(missing: &[Missing], root: bool, interactive: bool) -> Vec<Vec<String>> {
    let sudo: &[&str] = match (root, interactive) {
        (true, _) => &[],
        (false, true) => &["sudo"],
        // Nobody is there to type a password.
        (false, false) => &["sudo", "-n"],
    };
    let prefix = || {
        sudo.iter()
            .chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
    };
    // A machine just set up may be running apt itself: wait for its lock.
    let lock = ["-o", "DPkg::Lock::Timeout=300"];
    let install = ["install", "-y", "--no-install-recommends"];
    let packages = missing.iter().map(|server| server.package());
    let strings = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    vec![
        strings(prefix().copied().chain(lock).chain(["update"]).collect()),
        strings(
            prefix()
                .copied()
                .chain(lock)
                .chain(install)
                .chain(packages)
                .collect(),
        ),
    ]
}

/// Runs an installing command, its output into `log`.
///
/// # Errors
///
/// If it fails: the message holds the tail of its output.
pub fn run(command: &[String], log: &Path) -> Result<()> {
    let (program, args) = command.split_first().context("an empty command")?;
    let output = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)?;
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::inherit())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("can't run {program}"))?;
    if !status.success() {
        let tail = crate::child::log_tail(log, 20);
        let missing = missing();
        let advice = if missing.is_empty() {
            String::new()
        } else {
            advice(&missing)
        };
        bail!(
            "`{}` failed ({status}).\n{tail}\n{advice}",
            command.join(" ")
        );
    }
    Ok(())
}

fn rabbitmq_server() -> Option<PathBuf> {
    RABBITMQ_FOLDERS
        .iter()
        .find_map(|folder| existing(Path::new(folder).join("rabbitmq-server")))
        .or_else(|| on_path("rabbitmq-server"))
}

fn list(missing: &[Missing]) -> String {
    let names: Vec<_> = missing.iter().map(|server| server.package()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb} not", names.join(" and "))
}

fn advice(missing: &[Missing]) -> String {
    let packages: Vec<_> = missing.iter().map(|server| server.package()).collect();
    let urls: Vec<_> = missing.iter().filter_map(|server| server.url()).collect();
    let install = format!(
        "Install {} (on Debian or Ubuntu: `apt-get update && apt-get install {}`)",
        packages.join(" and "),
        packages.join(" "),
    );
    if urls.is_empty() {
        return install + ".";
    }
    let urls = urls.join(" and ");
    format!(
        "{install}. `cargo xtask up` can do without: with {urls} set to running servers, or with --docker."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_run_with_sudo_where_needed() {
        let as_root = apt_commands(&[Missing::Redis], true, false);
        assert_eq!(
            as_root[0][..3],
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        );
        assert_eq!(as_root[1].last().unwrap(), "redis-server");
        let as_user = apt_commands(&[Missing::RabbitMq, Missing::Redis], false, false);
        assert_eq!(as_user[0][..2], ["sudo", "-n"]);
        assert!(as_user[1].ends_with(&["rabbitmq-server".into(), "redis-server".into()]));
    }

    #[test]
    fn advice_names_packages_and_settings() {
        let both = [Missing::RabbitMq, Missing::Redis];
        assert_eq!(list(&both), "rabbitmq-server and redis-server are not");
        assert!(advice(&both).contains("RABBIT_URL and REDIS_URL"));
        let clients = [Missing::Python, Missing::Node, Missing::Npm];
        assert!(advice(&clients).ends_with("apt-get install python3-venv nodejs npm`)."));
    }
}
