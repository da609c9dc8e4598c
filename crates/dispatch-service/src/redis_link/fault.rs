//! What a connection must not have met to be used again.

use redis::{ErrorKind, RedisError, Value};

/// Error codes of a server that can't do its work as a primary: a replica after a fail-over, one that still loads its data or can't
/// save it, one that has lost its replicas or its cluster. Another connection may lead to a server that can.
const CODES: [&str; 9] = [
    "READONLY",
    "LOADING",
    "MISCONF",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "EXECABORT",
    "NOAUTH",
    "WRONGPASS",
];

/// Whether a connection that failed like this must not be used again.
pub(super) fn is_fault(error: &RedisError) -> bool {
    match error.kind() {
        // Unless its code says otherwise, the command was refused on its own.
        ErrorKind::Server(_) | ErrorKind::Extension => error.code().is_some_and(is_fault_code),
        _ => true,
    }
}

/// Whether a reply holds an error after which the connection must not be used again.
pub(super) fn holds_fault(reply: &Value) -> bool {
    match reply {
        Value::ServerError(error) => is_fault_code(error.code()),
        Value::Array(replies) => replies.iter().any(holds_fault),
        _ => false,
    }
}

fn is_fault_code(code: &str) -> bool {
    CODES.contains(&code)
}

/// Whether the answer to `ROLE` is a replica's. A server that doesn't know the command, or doesn't let this user ask, counts as a primary.
pub(super) fn is_replica(role: &Value) -> bool {
    let Value::Array(fields) = role else {
        return false;
    };
    match fields.first() {
        Some(Value::BulkString(name)) => name == b"slave" || name == b"replica",
        Some(Value::SimpleString(name)) => name == "slave" || name == "replica",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::parse_redis_value;

    use super::*;

    fn reply(wire: &str) -> Value {
        parse_redis_value(wire.as_bytes()).unwrap()
    }

    #[test]
    fn errors_of_a_server_that_is_no_primary_are_faults() {
        for code in CODES {
            let alone = reply(&format!("-{code} some words\r\n"));
            assert!(holds_fault(&alone), "{code}");
            let within = reply(&format!("*2\r\n+OK\r\n*1\r\n-{code} some words\r\n"));
            assert!(holds_fault(&within), "{code} within an EXEC");
            let error = alone.extract_error().unwrap_err();
            assert!(is_fault(&error), "{code} as an error");
        }
    }

    #[test]
    fn what_concerns_one_command_is_no_fault() {
        for wire in [
            "-WRONGTYPE Operation against a key\r\n",
            "-ERR unknown command\r\n",
            "-NOPERM this user has no permissions\r\n",
            "-NOSCRIPT No matching script\r\n",
            "-OOM command not allowed\r\n",
        ] {
            let reply = reply(wire);
            assert!(!holds_fault(&reply), "{wire}");
            assert!(!is_fault(&reply.extract_error().unwrap_err()), "{wire}");
        }
        for wire in ["$8\r\nREADONLY\r\n", "$-1\r\n", "*1\r\n$7\r\nLOADING\r\n"] {
            assert!(!holds_fault(&reply(wire)), "a value is no error: {wire}");
        }
    }

    #[test]
    fn a_connection_that_breaks_is_a_fault() {
        for kind in [
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert!(is_fault(&RedisError::from(io::Error::from(kind))), "{kind}");
        }
    }

    #[test]
    fn only_a_replica_is_one() {
        assert!(is_replica(&reply(
            "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"
        )));
        assert!(!is_replica(&reply("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")));
        assert!(!is_replica(&reply("-NOPERM no\r\n")));
        assert!(!is_replica(&reply("-ERR unknown command\r\n")));
    }
}
