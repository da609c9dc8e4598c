//! A bot with twilight, its URLs set and nothing else. Like the others it says what it has done, one line of JSON for each
//! step; it hears `dump` on its input, and then says what is in its cache.

use std::sync::{Arc, Once};

use discord_sim::Sim;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, duplex, split,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use twilight_cache_inmemory::DefaultInMemoryCache;
use twilight_gateway::{
    Event, EventTypeFlags, Intents, Message, MessageSender, Shard, ShardId, parse,
};
use twilight_http::{Client, request::channel::reaction::RequestReactionType};
use twilight_model::application::interaction::{Interaction, InteractionData};
use twilight_model::channel::{ChannelType, message::MessageFlags};
use twilight_model::gateway::payload::outgoing::RequestGuildMembers;
use twilight_model::http::attachment::Attachment;
use twilight_model::http::interaction::{
    InteractionResponse, InteractionResponseData, InteractionResponseType,
};
use twilight_model::id::{Id, marker::ChannelMarker, marker::GuildMarker};

/// Bytes on their way between the bot and who watches it.
const PIPE: usize = 64 * 1024;
/// Lines that wait to be said.
const LINES: usize = 64;

/// Starts the bot; what it says comes out of one end, and the other takes its input.
pub(crate) fn start(
    sim: &Sim,
    tasks: &mut JoinSet<()>,
) -> (impl AsyncRead + use<>, impl AsyncWrite + use<>) {
    let (ours, its) = duplex(PIPE);
    tasks.spawn(run(sim.http_url(), sim.gateway_url(), sim.bot_token(), its));
    split(ours)
}

/// What the tasks of the bot share.
struct Bot {
    http: Client,
    cache: DefaultInMemoryCache,
    lines: mpsc::Sender<Value>,
}

async fn run(http_url: String, gateway_url: String, token: String, pipe: DuplexStream) {
    install_tls();
    let (input, mut output) = split(pipe);
    let mut input = BufReader::new(input).lines();
    let (lines, mut waiting) = mpsc::channel::<Value>(LINES);
    let writer = async move {
        while let Some(line) = waiting.recv().await {
            output
                .write_all(format!("{line}\n").as_bytes())
                .await
                .unwrap();
        }
    };
    let host = http_url.strip_prefix("http://").unwrap().to_owned();
    let bot = Arc::new(Bot {
        http: Client::builder()
            .proxy(host, true)
            .token(token.clone())
            .build(),
        cache: DefaultInMemoryCache::builder()
            .message_cache_size(100_000)
            .build(),
        lines,
    });
    let config = twilight_gateway::ConfigBuilder::new(token, Intents::all())
        .proxy_url(gateway_url)
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    let bot_runs = async {
        let mut work = JoinSet::new();
        let mut began = false;
        loop {
            let event = tokio::select! {
                event = shard.next() => event,
                line = input.next_line() => match line {
                    Ok(Some(line)) if line == "dump" => {
                        let dump = super::cache_twilight::dump(&bot.cache);
                        bot.say("dump", json!({"cache": dump})).await;
                        continue;
                    }
                    _ => return,
                },
            };
            let event = match event {
                Some(Ok(Message::Text(text))) => bot.event(text).await,
                Some(_) => continue,
                None => return,
            };
            let Some(event) = event else { continue };
            bot.cache.update(&event);
            if let Event::GuildCreate(guild) = &event
                && !began
            {
                began = true;
                let (bot, sender, guild) = (bot.clone(), shard.sender(), guild.id());
                work.spawn(async move { bot.work(guild, &sender).await });
            }
            bot.heard(&event).await;
            let bot = bot.clone();
            work.spawn(async move { bot.answer(event).await });
            while let Some(done) = work.try_join_next() {
                done.unwrap();
            }
        }
    };
    tokio::select! {
        () = writer => {}
        () = bot_runs => {}
    }
}

/// TLS is never used, but twilight wants a provider for it.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let provider = rustls::crypto::ring::default_provider();
        provider.install_default().unwrap();
    });
}

impl Bot {
    async fn say(&self, step: &str, mut more: Value) {
        more["step"] = json!(step);
        self.lines.send(more).await.unwrap();
    }

    /// The event, if the library knows its type. One that it can't read ends the bot.
    async fn event(&self, text: String) -> Option<Event> {
        match parse(text.clone(), EventTypeFlags::all()) {
            Ok(event) => event.map(Event::from),
            // Its `meta` is a struct in the model where Discord sends an object by the opcode.
            Err(_) if text.contains(r#""t":"RATE_LIMITED""#) => None,
            Err(error) => panic!("{error:?}: {text}"),
        }
    }

    async fn work(&self, guild: Id<GuildMarker>, sender: &MessageSender) {
        let application = self.http.current_user_application().await.unwrap();
        let application = application.model().await.unwrap().id;
        let commands = self.http.interaction(application);
        let command = commands
            .create_global_command()
            .chat_input("greet", "answers");
        let command = command.await.unwrap().model().await.unwrap();
        assert_eq!(command.name, "greet");

        let channel = self.text_channel(guild);
        let message = self
            .http
            .create_message(channel)
            .content("with a file")
            .attachments(&[Attachment::from_bytes("a.txt".into(), b"four".into(), 1)])
            .await
            .unwrap();
        let message = message.model().await.unwrap();
        assert_eq!(message.attachments[0].filename, "a.txt");
        assert_eq!(message.attachments[0].size, 4);
        let edit = self.http.update_message(channel, message.id);
        edit.content(Some("edited")).await.unwrap();
        let fetched = self.http.message(channel, message.id).await.unwrap();
        assert_eq!(fetched.model().await.unwrap().content, "edited");
        let thumb = RequestReactionType::Unicode { name: "👍" };
        let reaction = self.http.create_reaction(channel, message.id, &thumb);
        reaction.await.unwrap();
        let deletion = self.http.delete_message(channel, message.id);
        deletion.await.unwrap();

        let own = self.cache.current_user().unwrap().id;
        let members = self.cache.guild_members(guild).unwrap().clone();
        let other = members.into_iter().find(|user| *user != own).unwrap();
        let member = self.http.guild_member(guild, other).await.unwrap();
        assert_eq!(member.model().await.unwrap().user.id, other);
        let all = RequestGuildMembers::builder(guild).query("", None);
        sender.command(&all).unwrap();
    }

    fn text_channel(&self, guild: Id<GuildMarker>) -> Id<ChannelMarker> {
        let channels = self.cache.guild_channels(guild).unwrap().clone();
        let is_meant = |id: &Id<ChannelMarker>| {
            let channel = self.cache.channel(*id).unwrap();
            channel.kind == ChannelType::GuildText
                && channel.name.as_deref() != Some("___hidden___")
        };
        channels.into_iter().find(is_meant).unwrap()
    }

    /// Says what it has heard, in the order of the events.
    async fn heard(&self, event: &Event) {
        match event {
            Event::MemberChunk(chunk) if chunk.chunk_index + 1 == chunk.chunk_count => {
                let members = json!({"members": chunk.members.len()});
                self.say("worked", members).await;
            }
            Event::MessageCreate(message) => {
                if let Some(number) = message.content.strip_prefix("count ") {
                    let number = number.parse::<u64>().unwrap();
                    self.say("counted", json!({"number": number})).await;
                }
            }
            _ => {}
        }
    }

    /// Answers by a request, if it is one to answer.
    async fn answer(&self, event: Event) {
        match event {
            Event::InteractionCreate(interaction) => self.greet(&interaction).await,
            Event::MessageCreate(message) if message.content == "say" => {
                let said = self.http.create_message(message.channel_id);
                said.content("said").await.unwrap();
                self.say("said", json!({})).await;
            }
            _ => {}
        }
    }

    async fn greet(&self, interaction: &Interaction) {
        match &interaction.data {
            Some(InteractionData::ApplicationCommand(command)) if command.name == "greet" => {}
            _ => return,
        }
        let answers = self.http.interaction(interaction.application_id);
        let response = InteractionResponse {
            kind: InteractionResponseType::ChannelMessageWithSource,
            data: Some(InteractionResponseData {
                content: Some("pong".to_owned()),
                ..InteractionResponseData::default()
            }),
        };
        let token = interaction.token.as_str();
        let created = answers.create_response(interaction.id, token, &response);
        created.await.unwrap();
        let original = answers.response(token).await.unwrap();
        assert_eq!(original.model().await.unwrap().content, "pong");
        let edit = answers.update_response(token).content(Some("pong, edited"));
        edit.await.unwrap();
        let more = answers.create_followup(token).content("and more");
        more.flags(MessageFlags::EPHEMERAL).await.unwrap();
        self.say("answered", json!({})).await;
    }
}
