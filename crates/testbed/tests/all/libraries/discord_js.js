// A bot with discord.js, its URL set and nothing else. It says what it has done, one line of JSON for each step.
const { Client, Events, GatewayIntentBits } = require("discord.js");

const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));
const assert = (right, what) => {
  if (!right) throw new Error(what);
};
const intents = Object.values(GatewayIntentBits).filter((bit) => typeof bit === "number");
const client = new Client({ intents, rest: { api: process.env.DISCORD_API_URL + "/api" } });

client.once(Events.ClientReady, async () => {
  say("ready", { guilds: client.guilds.cache.size });
  const commands = await client.application.commands.set([{ name: "greet", description: "answers" }]);
  say("registered", { names: commands.map((command) => command.name) });
  const guild = client.guilds.cache.first();
  const channel = guild.channels.cache.find((c) => c.type === 0 && c.name !== "___hidden___");
  const files = [{ attachment: Buffer.from("four"), name: "a.txt" }];
  const message = await channel.send({ content: "with a file", files });
  assert(message.attachments.first().name === "a.txt", "file");
  await message.edit("edited");
  assert((await channel.messages.fetch({ message: message.id, force: true })).content === "edited", "edit");
  await message.react("👍");
  await message.delete();
  const known = guild.members.cache.find((member) => member.id !== client.user.id);
  const member = await guild.members.fetch({ user: known.id, force: true });
  assert(member.guild.id === guild.id, "member");
  const members = await guild.members.fetch();
  assert(members.size === guild.memberCount, `${members.size} of ${guild.memberCount} members`);
  say("worked", { members: members.size });
});

client.on(Events.InteractionCreate, async (interaction) => {
  if (!interaction.isChatInputCommand() || interaction.commandName !== "greet") return;
  await interaction.reply("pong");
  assert((await interaction.fetchReply()).content === "pong", "reply");
  await interaction.editReply("pong, edited");
  await interaction.followUp({ content: "and more", flags: 64 });
  say("answered");
});

client.on(Events.MessageCreate, async (message) => {
  if (message.content.startsWith("count ")) say("counted", { number: Number(message.content.split(" ")[1]) });
  if (message.content === "say") {
    await message.channel.send("said");
    say("said");
  }
});
client.on(Events.ShardResume, () => say("resumed"));
client.on(Events.Error, (error) => console.error("error", error));
process.on("unhandledRejection", (error) => {
  console.error(error);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0)).resume();
client.login(process.env.DISCORD_TOKEN);
