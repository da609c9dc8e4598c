// Prints what deleted and edited messages said before, and asks shard 0 for its status.
//
//   npm install
//   RABBIT_URL=amqp://guest:guest@127.0.0.1/ node consumer.js

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const URL = process.env.RABBIT_URL ?? "amqp://guest:guest@127.0.0.1/";
const QUEUE = "example-node";
const EVENTS = ["MESSAGE_UPDATE", "MESSAGE_DELETE"];

// Ids of the last messages that were handled: after a crash a few come again, under the same id.
const handled = new Set();
function remember(id) {
  handled.add(id);
  if (handled.size > 10_000) handled.delete(handled.values().next().value);
}

// Sends a command and resolves to Dispatch's reply.
async function send(connection, command) {
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  const correlationId = randomUUID();
  const reply = new Promise((resolve) => {
    channel.consume(queue, (message) => {
      if (message?.properties.correlationId === correlationId) resolve(JSON.parse(message.content));
    }, { noAck: true });
  });
  const body = Buffer.from(JSON.stringify(command));
  channel.sendToQueue("gateway.send", body, { replyTo: queue, correlationId });
  try {
    return await Promise.race([reply, sleep(10_000, undefined, { ref: false }).then(() => Promise.reject(new Error("no reply")))]);
  } finally {
    await channel.close();
  }
}

function handle({ t, d, old }) {
  if (old) console.log(t, d.id, "was:", old.content);
}

async function consume() {
  const connection = await amqp.connect(URL);
  const closed = new Promise((_, reject) => {
    connection.on("error", reject);
    connection.on("close", () => reject(new Error("connection closed")));
  });
  closed.catch(() => {});
  const channel = await connection.createChannel();
  await channel.prefetch(100);
  await channel.assertQueue(QUEUE, { durable: true });
  for (const name of EVENTS) await channel.bindQueue(QUEUE, "gateway", name);

  console.log("status:", JSON.stringify(await send(connection, { op: 3, shard: 0 })));

  await channel.consume(QUEUE, (message) => {
    if (message === null) return; // the queue was deleted
    const { messageId } = message.properties;
    if (!handled.has(messageId)) {
      handle(JSON.parse(message.content));
      remember(messageId);
    }
    channel.ack(message); // after the work, so that a crash loses nothing
  });
  await closed;
}

for (;;) {
  await consume().catch((error) => console.error(`${error.message}; reconnecting`));
  await sleep(1_000);
}
