//! The bot's process: started with the simulator's URLs, ended with all that it has started.

use std::{collections::BTreeMap, io, os::fd::AsFd, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{server::Sim, world::BOT_ID};

/// The values that a bot is given, by the names that they have in its arguments and in its environment.
#[derive(Debug, Clone)]
pub(super) struct Values(Vec<(&'static str, &'static str, String)>);

impl Values {
    pub(super) fn of(sim: &Sim) -> Self {
        let mut values = vec![
            ("api", "DISCORD_API_URL", sim.http_url()),
            ("gateway", "DISCORD_GATEWAY_URL", sim.gateway_url()),
            ("token", "DISCORD_TOKEN", sim.bot_token()),
            ("application", "DISCORD_APPLICATION_ID", BOT_ID.to_string()),
        ];
        if let Some(authority) = sim.authority() {
            values.push(("ca", "DISCORD_CA_FILE", authority.display().to_string()));
        }
        Self(values)
    }

    /// Puts `{api}` and the others in their place.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, _, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Bot {
    child: Child,
    /// Its process group: what it starts is in it, too.
    group: Pid,
    ended: bool,
}

impl Bot {
    /// Starts it. What it prints goes to standard error.
    pub(super) fn start(
        command: &[String],
        env: &BTreeMap<String, String>,
        values: &Values,
    ) -> io::Result<Self> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| io::Error::other("no command starts a bot: put it after `--`"))?;
        let output = || io::stderr().as_fd().try_clone_to_owned();
        let named = values.0.iter().map(|(_, name, value)| (*name, value));
        let child = Command::new(values.fill(program))
            .args(args.iter().map(|arg| values.fill(arg)))
            .envs(named)
            .envs(env.iter().map(|(name, value)| (name, values.fill(value))))
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.ok_or_else(|| io::Error::other("it has ended at once"))?;
        Ok(Self {
            child,
            group: Pid::from_raw(group),
            ended: false,
        })
    }

    /// How it has ended, if it has: with a code, or without one by a signal.
    pub(super) fn exit(&mut self) -> Option<Option<i32>> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(status.code())
    }

    /// Ends it; false if it had to be killed.
    pub(super) async fn end(mut self, within: Duration) -> bool {
        if self.exit().is_some() {
            return true;
        }
        // Whoever has gone needs no signal.
        let _ = killpg(self.group, Signal::SIGTERM);
        let gone = timeout(within, self.child.wait()).await.is_ok();
        if !gone {
            self.kill();
            let _ = self.child.wait().await;
        }
        self.ended = gone;
        gone
    }

    fn kill(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        self.ended = true;
    }
}

impl Drop for Bot {
    /// What it has started must not outlive it.
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let values = [
            ("api", "DISCORD_API_URL", "http://h:1"),
            ("gateway", "DISCORD_GATEWAY_URL", "ws://h:1"),
            ("token", "DISCORD_TOKEN", "t"),
            ("application", "DISCORD_APPLICATION_ID", "9"),
        ];
        Values(
            values
                .map(|(name, variable, value)| (name, variable, value.to_owned()))
                .to_vec(),
        )
    }

    #[test]
    fn arguments_name_the_values() {
        let filled = values().fill("--url={api} {gateway}/x {token} {application} {other} {}");
        assert_eq!(filled, "--url=http://h:1 ws://h:1/x t 9 {other} {}");
    }

    #[tokio::test]
    async fn it_is_ended_with_what_it_has_started() {
        let dir = std::env::temp_dir().join(format!("discord-sim-bot-{}", std::process::id()));
        let line = "sleep 60 & echo $! > \"$PLACE\"; trap '' TERM; wait; sleep 60";
        let command = ["sh", "-c", line].map(str::to_owned);
        let env = BTreeMap::from([("PLACE".to_owned(), dir.display().to_string())]);
        let mut bot = Bot::start(&command, &env, &values()).unwrap();
        let child = loop {
            let text = std::fs::read_to_string(&dir).unwrap_or_default();
            if let Ok(child) = text.trim().parse::<i32>() {
                break child;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(bot.exit(), None);
        assert!(!bot.end(Duration::from_millis(50)).await);
        let _ = std::fs::remove_file(&dir);
        let is_there = || std::fs::read_to_string(format!("/proc/{child}/stat"));
        let lives = || is_there().is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn its_end_is_seen() {
        let command = [
            "sh",
            "-c",
            "test \"$DISCORD_TOKEN$0\" = tt && exit 4",
            "{token}",
        ];
        let mut bot = Bot::start(&command.map(str::to_owned), &BTreeMap::new(), &values()).unwrap();
        while bot.exit().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(bot.exit(), Some(Some(4)));
        assert!(bot.end(Duration::ZERO).await);
        let missing = ["/no/such/program".to_owned()];
        assert!(Bot::start(&missing, &BTreeMap::new(), &values()).is_err());
        assert!(Bot::start(&[], &BTreeMap::new(), &values()).is_err());
    }
}
