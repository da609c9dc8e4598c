//! The cache-writer where RabbitMQ refuses, where Redis is not the one it was, and where versions meet.

mod planted;
mod purges;
mod redis_link;
mod refusals;
mod versions;
