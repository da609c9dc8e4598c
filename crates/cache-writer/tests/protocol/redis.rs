//! A model of Redis: what one partition has there, transactions that are refused if the epoch was touched.

use std::collections::BTreeMap;

use cache_writer::core::{
    applied::Stored,
    owner::{Commit, Loaded},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) epoch: Option<String>,
    pub(crate) applied: Stored,
    pub(crate) journal: Option<String>,
    pub(crate) entities: BTreeMap<u8, String>,
}

#[derive(Debug, Default)]
pub(crate) struct Redis {
    pub(crate) data: Data,
    /// Grows with each write of the epoch.
    touched: u64,
    /// Grows with each restart: connections and what they watch end with it.
    pub(crate) runs: u64,
    pub(crate) refuses_writes: bool,
    /// Sent, timed out, not arrived yet.
    pub(crate) late: Vec<Transaction>,
}

/// What EXEC carries out, if what was watched is untouched.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    run: u64,
    watched: u64,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Claim(String),
    Purge(Vec<u8>),
    Commit(BTreeMap<u8, Option<String>>, Commit),
    Retire,
}

/// What EXEC answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done(Loaded),
    /// What was watched has been touched.
    Nil,
    Error,
}

impl Redis {
    /// WATCH: what a transaction with this effect would need to be sent.
    pub(crate) fn watch(&self, effect: Effect) -> Transaction {
        Transaction {
            run: self.runs,
            watched: self.touched,
            effect,
        }
    }

    pub(crate) fn execute(&mut self, transaction: Transaction) -> Answer {
        if transaction.run != self.runs || self.refuses_writes {
            return Answer::Error;
        }
        if transaction.watched != self.touched {
            return Answer::Nil;
        }
        let data = &mut self.data;
        match transaction.effect {
            Effect::Claim(token) => {
                data.epoch = Some(token);
                self.touched += 1;
            }
            Effect::Purge(entities) => {
                for entity in entities {
                    data.entities.remove(&entity);
                }
            }
            Effect::Commit(writes, commit) => {
                for (entity, value) in writes {
                    match value {
                        Some(value) => drop(data.entities.insert(entity, value)),
                        None => drop(data.entities.remove(&entity)),
                    }
                }
                data.applied.extend(commit.applied);
                data.journal = Some(commit.journal);
            }
            Effect::Retire => data.journal = None,
        }
        Answer::Done(Loaded {
            applied: data.applied.clone(),
            journal: data.journal.clone(),
        })
    }

    /// A transaction arrives that its sender has given up.
    pub(crate) fn arrive(&mut self, at: usize) {
        if !self.late.is_empty() {
            let transaction = self.late.remove(at % self.late.len());
            self.execute(transaction);
        }
    }

    /// Comes back with what it held when `data` was copied.
    pub(crate) fn roll_back(&mut self, data: Data) {
        self.data = data;
        self.touched += 1;
        self.runs += 1;
        self.late.clear();
    }
}
