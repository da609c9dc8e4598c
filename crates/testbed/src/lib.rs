//! Private servers, the services as processes, and a collector that checks what is promised: for tests and developer
//! commands.
//!
//! - [`servers`]: a RabbitMQ and a Redis of one's own, on free loopback ports in a temporary folder.
//! - [`install`]: finds their programs, and installs them from the distribution where that is possible.
//! - [`process`]: the release binaries as child processes, from start to kill.
//! - [`stack`]: servers, simulated Discord and services put together.
//! - [`collector`]: reads the exchange and compares what arrived with what was sent.
//! - [`queue`]: a queue that gets everything.
//! - [`faults`]: the fault suite.
//! - [`python`] and [`node`]: interpreters with packages of their own, for programs that are not ours.
//!
//! **Invariant:** nothing outlives its owner. Every child process is killed and reaped on drop, and where the system
//! allows it the kernel kills it when this process dies by any other way.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod binaries;
pub mod child;
pub mod collector;
pub mod faults;
pub mod http;
pub mod install;
pub mod metrics;
pub mod node;
pub mod port;
pub mod process;
pub mod program;
pub mod proxy;
pub mod python;
pub mod queue;
pub mod servers;
pub mod stack;
pub mod wait;
