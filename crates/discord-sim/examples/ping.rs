//! A small bot with twilight: it answers /ping, says what it reads edited, and comes back after whatever happens to it. The
//! scenario `ping.toml` beside it runs it.

use std::env;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use serde_json::Value;
use twilight_gateway::{ConfigBuilder, Intents, Message, Shard, ShardId};
use twilight_http::Client;
use twilight_model::{
    http::interaction::{InteractionResponse, InteractionResponseData, InteractionResponseType},
    id::{
        Id,
        marker::{ApplicationMarker, ChannelMarker},
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // TLS is not used, but twilight wants a provider for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variable = |name| env::var(name).with_context(|| format!("{name} is not set"));
    let token = variable("DISCORD_TOKEN")?;
    let api = variable("DISCORD_API_URL")?;
    let host = api.trim_start_matches("http://").to_owned();
    let http = Client::builder()
        .proxy(host, true)
        .ratelimiter(None)
        .token(token.clone())
        .build();
    let application = http.current_user_application().await?.model().await?.id;
    let ping = http.interaction(application);
    let ping = ping.create_global_command().chat_input("ping", "answers");
    ping.await?;

    let intents = Intents::GUILDS | Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT;
    let config = ConfigBuilder::new(token, intents)
        .proxy_url(variable("DISCORD_GATEWAY_URL")?)
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    while let Some(message) = shard.next().await {
        let Ok(Message::Text(text)) = message else {
            continue;
        };
        let payload: Value = serde_json::from_str(&text)?;
        // A channel may be gone when it is answered in.
        if let Err(error) = answer(&http, application, &payload).await {
            eprintln!("not answered: {error}");
        }
    }
    Ok(())
}

async fn answer(
    http: &Client,
    application: Id<ApplicationMarker>,
    payload: &Value,
) -> anyhow::Result<()> {
    let d = &payload["d"];
    match payload["t"].as_str() {
        Some("INTERACTION_CREATE") if d["data"]["name"] == "ping" => {
            let id = d["id"].as_str().unwrap_or_default().parse()?;
            let token = d["token"].as_str().unwrap_or_default();
            let response = InteractionResponse {
                kind: InteractionResponseType::ChannelMessageWithSource,
                data: Some(InteractionResponseData {
                    content: Some("pong".to_owned()),
                    ..InteractionResponseData::default()
                }),
            };
            let interaction = http.interaction(application);
            interaction.create_response(id, token, &response).await?;
        }
        Some("MESSAGE_UPDATE") if d["author"]["bot"] != true => {
            let channel: Id<ChannelMarker> =
                d["channel_id"].as_str().unwrap_or_default().parse()?;
            let text = format!("now it says: {}", d["content"].as_str().unwrap_or_default());
            http.create_message(channel).content(&text).await?;
        }
        _ => {}
    }
    Ok(())
}
