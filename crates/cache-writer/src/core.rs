//! The pure core: what each event changes in the cache, and what stood there before.
//!
//! No I/O, no clock, no randomness, no client types: events and what was read go in, `old` values
//! and writes come out. The order of calls for a batch:
//!
//! 1. [`plan::cut`] says how many events from the front of the queue may form one batch;
//! 2. [`plan::purges`] gives the work of unbounded size (a guild's members, a channel's messages), done page by page
//!    before anything else, see [`purge::Purge`];
//! 3. [`plan::reads`] and [`plan::further_reads`] say what to read into a [`snapshot::Snapshot`];
//! 4. [`plan::plan`] computes the `old` of each event and the folded writes of the batch;
//! 5. [`layout::commands`] turns writes into Redis commands: the only place that knows keys.
//!
//! **Invariant:** nothing outside [`layout`] knows a key; nothing inside it knows an event.
//!
//! **Invariant:** a payload that a rule can't use changes nothing and is reported in its [`outcome::Outcome`]; it never panics.

pub mod applied;
mod apply;
pub mod balance;
pub mod entity;
pub mod event;
pub mod journal;
pub mod layout;
mod object;
pub mod outcome;
pub mod owner;
pub mod plan;
pub mod purge;
mod rules;
pub mod sending;
pub mod settings;
pub mod snapshot;
mod step;
mod tally;
mod totals;
pub mod twilight;
pub mod unusable;
pub mod write;
