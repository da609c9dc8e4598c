//! Erlang's External Term Format, as Discord's gateway writes it.
//!
//! Source: the Erlang documentation, "External Term Format", and what Discord's own codec for clients reads and writes.
//! Written are: the version byte, maps with binary keys, binaries for strings, lists, the atoms `nil`, `true` and `false`,
//! integers in the shortest of four forms, floats of 64 bits. Strings stay strings, ids too. Atoms are written in their
//! oldest form, which every reader knows.

mod read;
mod write;

pub use read::EtfError;
pub(super) use read::decode;
pub(super) use write::encode;

/// First byte of every term.
const VERSION: u8 = 131;

/// The tags of terms.
mod tag {
    pub(super) const NEW_FLOAT: u8 = 70;
    pub(super) const COMPRESSED: u8 = 80;
    pub(super) const SMALL_INTEGER: u8 = 97;
    pub(super) const INTEGER: u8 = 98;
    pub(super) const FLOAT: u8 = 99;
    pub(super) const ATOM: u8 = 100;
    pub(super) const SMALL_TUPLE: u8 = 104;
    pub(super) const LARGE_TUPLE: u8 = 105;
    pub(super) const NIL: u8 = 106;
    pub(super) const STRING: u8 = 107;
    pub(super) const LIST: u8 = 108;
    pub(super) const BINARY: u8 = 109;
    pub(super) const SMALL_BIG: u8 = 110;
    pub(super) const LARGE_BIG: u8 = 111;
    pub(super) const SMALL_ATOM: u8 = 115;
    pub(super) const MAP: u8 = 116;
    pub(super) const ATOM_UTF8: u8 = 118;
    pub(super) const SMALL_ATOM_UTF8: u8 = 119;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON and the term's bytes as Erlang/OTP 25 writes them with `term_to_binary`. Both directions must agree with it.
    const TERMS: &[(&str, &[u8])] = &[
        // #{<<"d">> => #{<<"channel_id">> => nil, <<"guild_id">> => 41771983423143937, <<"self_mute">> => false},
        //   <<"op">> => 4}
        (
            r#"{"d":{"channel_id":null,"guild_id":41771983423143937,"self_mute":false},"op":4}"#,
            &[
                131, 116, 0, 0, 0, 2, 109, 0, 0, 0, 1, 100, 116, 0, 0, 0, 3, 109, 0, 0, 0, 10, 99,
                104, 97, 110, 110, 101, 108, 95, 105, 100, 100, 0, 3, 110, 105, 108, 109, 0, 0, 0,
                8, 103, 117, 105, 108, 100, 95, 105, 100, 110, 7, 0, 1, 0, 128, 201, 101, 103, 148,
                109, 0, 0, 0, 9, 115, 101, 108, 102, 95, 109, 117, 116, 101, 100, 0, 5, 102, 97,
                108, 115, 101, 109, 0, 0, 0, 2, 111, 112, 97, 4,
            ],
        ),
        // [<<"a">>, 300, -1, 1.5, true]
        (
            r#"["a",300,-1,1.5,true]"#,
            &[
                131, 108, 0, 0, 0, 5, 109, 0, 0, 0, 1, 97, 98, 0, 0, 1, 44, 98, 255, 255, 255, 255,
                70, 63, 248, 0, 0, 0, 0, 0, 0, 100, 0, 4, 116, 114, 117, 101, 106,
            ],
        ),
        // 18446744073709551615
        (
            "18446744073709551615",
            &[131, 110, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        // -9223372036854775808
        (
            "-9223372036854775808",
            &[131, 110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 128],
        ),
        // 4294967296
        ("4294967296", &[131, 110, 5, 0, 0, 0, 0, 0, 1]),
        // -2147483649
        ("-2147483649", &[131, 110, 4, 1, 1, 0, 0, 128]),
        // []
        ("[]", &[131, 106]),
        // <<"hé"/utf8>>
        ("\"h\u{e9}\"", &[131, 109, 0, 0, 0, 3, 104, 195, 169]),
    ];

    #[test]
    fn erlang_writes_what_we_write() {
        for (json, term) in TERMS {
            assert_eq!(encode(json).unwrap(), *term, "{json}");
            assert_eq!(decode(term).unwrap(), *json);
        }
    }
}
