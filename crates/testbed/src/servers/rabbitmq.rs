//! A RabbitMQ node of one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use nix::sys::signal::Signal;

use crate::child::{Child, Launch};
use crate::install::{self, RabbitMqPrograms};
use crate::port::free_port;
use crate::wait;

/// Longest time for a start, on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// Longest time for one connection to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for one `rabbitmqctl`, on a loaded machine.
const CONTROL_LIMIT: Duration = Duration::from_secs(90);
/// What `rabbitmqctl` says while the node starts.
const STARTING: &str = "requires the 'rabbit' app to be running";
/// Share of the memory above which publishers are blocked, as by default.
const WATERMARK: &str = "0.6";

/// Keeps the node's own ports on the loopback interface, and idle schedulers from spinning on a small machine.
const NODE_ARGS: &str =
    "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none";
const CONTROL_ARGS: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// A private RabbitMQ. Killed with all it started when dropped.
#[derive(Debug)]
pub struct RabbitMq {
    programs: RabbitMqPrograms,
    dir: PathBuf,
    port: u16,
    env: BTreeMap<String, String>,
    /// Virtual hosts made so far; the newest one is in use. 0: the default one.
    vhosts: u32,
    node: Option<Child>,
    // After the node: it is still told of the node's end.
    epmd: Child,
}

impl RabbitMq {
    /// Starts a node with its data below `dir`, and waits until AMQP works.
    ///
    /// # Errors
    ///
    /// If RabbitMQ is not installed, or not up within 90 s: the message holds the tail of its log.
    pub async fn start(dir: &Path) -> Result<Self> {
        let programs = install::rabbitmq()?;
        let dir = dir.join("rabbitmq");
        std::fs::create_dir_all(&dir)?;
        let (port, epmd_port) = (free_port()?, free_port()?);
        let env = environment(&dir, port, free_port()?, epmd_port);
        std::fs::write(dir.join("enabled_plugins"), "[].\n")?;
        std::fs::write(dir.join("rabbitmq.conf"), "log.console = false\n")?;
        // In the foreground and ours to end; a node that finds none would start a daemon that outlives it.
        let epmd = Child::spawn(&Launch {
            program: programs.epmd.clone(),
            args: ["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]
                .map(Into::into)
                .into(),
            env: env.clone(),
            dir: dir.clone(),
            log: dir.join("epmd.log"),
        })?;
        let mut server = Self {
            programs,
            dir,
            port,
            env,
            vhosts: 0,
            node: None,
            epmd,
        };
        server.restart().await?;
        Ok(server)
    }

    /// AMQP URL, of the virtual host in use.
    #[must_use]
    pub fn url(&self) -> String {
        let vhost = match self.vhosts {
            0 => "%2f".to_owned(),
            n => vhost_name(n),
        };
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port)
    }

    /// Process id, while it is started.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.node.as_ref().map(Child::id)
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        let node = self.node.as_mut();
        node.is_some_and(|node| node.exit_status().is_none())
    }

    /// SIGKILL: a crash. Clients see their connections die.
    pub fn kill(&mut self) {
        self.node = None;
    }

    /// Freezes the node: its sockets stay open, and nothing comes from them until [`Self::wake`].
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends [`Self::freeze`].
    pub fn wake(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(node) = &mut self.node {
            node.signal(signal);
        }
    }

    /// Starts the node again, with the same ports and data, after [`Self::kill`]; waits until AMQP works.
    ///
    /// # Errors
    ///
    /// If it isn't up within 90 s.
    pub async fn restart(&mut self) -> Result<()> {
        self.node = None;
        if let Some(status) = self.epmd.exit_status() {
            bail!("epmd has ended ({status})\n{}", self.epmd.log_tail(10));
        }
        let mut env = self.env.clone();
        env.insert(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS".into(),
            NODE_ARGS.into(),
        );
        let mut node = Child::spawn(&Launch {
            program: self.programs.server.clone(),
            args: Vec::new(),
            env,
            dir: self.dir.clone(),
            log: self.dir.join("node.log"),
        })?;
        let url = self.url();
        let mut exit = None;
        let up = wait::until("RabbitMQ to start", START_LIMIT, async || {
            exit = node.exit_status();
            exit.is_some() || connect(&url, "ready?").await.is_ok()
        })
        .await;
        if let Some(status) = exit {
            bail!(
                "RabbitMQ ended at its start ({status})\n{}",
                node.log_tail(40)
            );
        }
        up.with_context(|| node.log_tail(40))?;
        self.node = Some(node);
        Ok(())
    }

    /// Adds lines to its configuration, and starts it again with them.
    ///
    /// # Errors
    ///
    /// If they can't be written, or it isn't up within 90 s.
    pub async fn configure(&mut self, lines: &str) -> Result<()> {
        let path = self.dir.join("rabbitmq.conf");
        let configuration = std::fs::read_to_string(&path)? + lines;
        std::fs::write(path, configuration)?;
        self.restart().await
    }

    /// Raises or lifts the memory alarm, which blocks every publishing connection.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn set_memory_alarm(&self, on: bool) -> Result<()> {
        let watermark = if on { "0.00000001" } else { WATERMARK };
        self.control(&["set_vm_memory_high_watermark", watermark])
            .await?;
        Ok(())
    }

    /// Changes to a virtual host that nobody has used, and drops the one before.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn renew(&mut self) -> Result<()> {
        let new = vhost_name(self.vhosts + 1);
        let drop_last = match self.vhosts {
            0 => String::new(),
            n => format!(
                "rabbit_vhost:delete(<<\"{}\">>, <<\"guest\">>), ",
                vhost_name(n)
            ),
        };
        // One call instead of three: each starts a virtual machine.
        let expression = format!("{drop_last}{}.", adding(&new));
        self.eval(&expression).await?;
        self.vhosts += 1;
        Ok(())
    }

    /// Adds `count` virtual hosts, for processes that share the broker and nothing on it; returns their URLs.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn places(&self, count: usize) -> Result<Vec<String>> {
        let names: Vec<_> = (0..count).map(|n| format!("place-{n}")).collect();
        let expression: Vec<_> = names.iter().map(|name| adding(name)).collect();
        self.control(&["eval", &format!("{}.", expression.join(", "))])
            .await?;
        let url = |name| format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.port);
        Ok(names.into_iter().map(url).collect())
    }

    /// Messages ready in each of the queues that exist, by name.
    ///
    /// # Errors
    ///
    /// If there is no connection.
    pub async fn queue_depths(&self, names: &[String]) -> Result<BTreeMap<String, u32>> {
        queue_depths(&connect(&self.url(), "queue depths").await?, names).await
    }

    /// Every queue's messages, ready and handed out but not acknowledged, by name.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn queues(&self) -> Result<BTreeMap<String, u64>> {
        let vhost = self.vhost();
        let args = [
            "-q",
            "--no-table-headers",
            "-p",
            &vhost,
            "list_queues",
            "name",
            "messages",
        ];
        let listing = self.control(&args).await?;
        let line = |line: &str| {
            let (name, messages) = line.split_once('\t')?;
            Some((name.to_owned(), messages.trim().parse().ok()?))
        };
        Ok(listing.lines().filter_map(line).collect())
    }

    /// Closes the connections whose other end has one of these local ports, without waiting for the client: what the
    /// broker does by itself to a client that it has not heard of for two heartbeats.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn close_connections_from(&self, ports: &[u16]) -> Result<()> {
        let expression = format!(
            "[rabbit_networking:close_connection(C, \"silent\") || C <- rabbit_networking:connections(), \
             lists:member(proplists:get_value(peer_port, rabbit_networking:connection_info(C, [peer_port])), \
             {ports:?})]."
        );
        self.eval(&expression).await?;
        Ok(())
    }

    /// Evaluates an Erlang expression on the node.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn eval(&self, expression: &str) -> Result<String> {
        self.control(&["eval", expression]).await
    }

    /// Sets a policy on the queue of this name; `definition` is JSON.
    ///
    /// # Errors
    ///
    /// If `rabbitmqctl` fails.
    pub async fn set_policy(&self, queue: &str, definition: &str) -> Result<()> {
        let pattern = format!("^{}$", queue.replace('.', "\\."));
        let vhost = self.vhost();
        let args = ["set_policy", "-p", &vhost, queue, &pattern, definition];
        self.control(&args).await?;
        Ok(())
    }

    /// The virtual host in use.
    fn vhost(&self) -> String {
        match self.vhosts {
            0 => "/".to_owned(),
            n => vhost_name(n),
        }
    }

    async fn control(&self, args: &[&str]) -> Result<String> {
        let mut result = Ok(String::new());
        let started = wait::until("rabbitmqctl", CONTROL_LIMIT, async || {
            result = self.control_once(args).await;
            // A node that takes connections may still be starting.
            !matches!(&result, Err(error) if error.to_string().contains(STARTING))
        });
        started.await?;
        result
    }

    async fn control_once(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.programs.rabbitmqctl);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.env)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(CONTROL_LIMIT, command.output());
        let output = output.await.context("rabbitmqctl doesn't come back")??;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("rabbitmqctl {} failed: {error}", args.join(" "));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Messages ready in each of the queues that exist, by name, over a connection of the caller's.
///
/// # Errors
///
/// If the connection is gone.
pub async fn queue_depths(
    connection: &Connection,
    names: &[String],
) -> Result<BTreeMap<String, u32>> {
    let mut depths = BTreeMap::new();
    let mut channel = connection.create_channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    for name in names {
        match channel
            .queue_declare(name.as_str().into(), options, FieldTable::default())
            .await
        {
            Ok(queue) => {
                depths.insert(name.clone(), queue.message_count());
            }
            // Asking for a queue that isn't there closes the channel.
            Err(_) => channel = connection.create_channel().await?,
        }
    }
    Ok(depths)
}

/// A connection to the broker at `url`, named `name` in the broker's lists.
///
/// # Errors
///
/// If there is none within 5 s: a broker that is going down or coming up may accept a connection and never answer.
pub async fn connect(url: &str, name: &str) -> Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = Connection::connect(url, properties);
    let connection = tokio::time::timeout(CONNECT_LIMIT, connection).await;
    Ok(connection.context("RabbitMQ doesn't answer")??)
}

/// The expression that adds a virtual host for everybody's use.
fn adding(vhost: &str) -> String {
    format!(
        "ok = rabbit_vhost:add(<<\"{vhost}\">>, <<\"guest\">>), \
         ok = rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"{vhost}\">>, \
         <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"guest\">>)"
    )
}

fn vhost_name(n: u32) -> String {
    format!("fresh-{n}")
}

/// The environment that makes a node private. Each name here is one that would otherwise be shared with the default
/// node of the machine.
fn environment(dir: &Path, port: u16, dist_port: u16, epmd_port: u16) -> BTreeMap<String, String> {
    let path = |name: &str| dir.join(name).display().to_string();
    [
        // The cookie is kept there.
        ("HOME", dir.display().to_string()),
        ("RABBITMQ_NODENAME", format!("dispatch-{port}@localhost")),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", port.to_string()),
        ("RABBITMQ_DIST_PORT", dist_port.to_string()),
        ("RABBITMQ_MNESIA_BASE", path("data")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
        ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
        ("RABBITMQ_CTL_ERL_ARGS", CONTROL_ARGS.into()),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        // The script then becomes the node instead of waiting for it, so that our child is the node.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ("LANG", "C.UTF-8".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
