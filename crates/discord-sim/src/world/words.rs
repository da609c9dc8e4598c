//! Names and sentences, derived from a number: the same number always gives the same words.

/// Scrambles a number (the finaliser of splitmix64), so that neighbours have nothing in common.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const FIRST: [&str; 16] = [
    "quiet", "amber", "north", "lucky", "grand", "paper", "silver", "early", "brave", "misty",
    "round", "velvet", "sharp", "polar", "honest", "tiny",
];

const SECOND: [&str; 16] = [
    "harbour", "lantern", "falcon", "orchard", "rocket", "meadow", "otter", "canyon", "piano",
    "comet", "badger", "willow", "copper", "glacier", "teapot", "thistle",
];

/// Words of messages: plain ones, other scripts, and characters that JSON must escape.
const SPOKEN: [&str; 32] = [
    "hello",
    "who",
    "is",
    "up",
    "for",
    "a",
    "round",
    "tonight",
    "the",
    "build",
    "passed",
    "again",
    "lol",
    "thanks",
    "see",
    "you",
    "tomorrow",
    "café",
    "naïve",
    "Grüße",
    "привет",
    "你好",
    "こんにちは",
    "مرحبا",
    "🎉",
    "👩‍💻",
    "\"quoted\"",
    "back\\slash",
    "line\nbreak",
    "<@!1>",
    "https://example.com/a?b=c&d",
    "tab\there",
];

/// Two words joined by `joint`: a name.
pub(crate) fn name(number: u64, joint: &str) -> String {
    let mixed = scramble(number);
    let (first, second) = (
        FIRST[(mixed & 15) as usize],
        SECOND[(mixed >> 4 & 15) as usize],
    );
    let mut text = String::with_capacity(first.len() + joint.len() + second.len());
    for part in [first, joint, second] {
        text.push_str(part);
    }
    text
}

/// Between 1 and 16 words: what somebody says.
pub(crate) fn sentence(number: u64) -> String {
    let mut mixed = scramble(number);
    let words = 1 + (mixed & 15);
    let mut text = String::with_capacity(96);
    for word in 0..words {
        mixed = scramble(mixed);
        if word > 0 {
            text.push(' ');
        }
        text.push_str(SPOKEN[(mixed & 31) as usize]);
    }
    text
}

/// A hash of 32 hexadecimal digits, as Discord names images.
pub(crate) fn image(number: u64) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let halves = [scramble(number), scramble(number ^ 0xA5A5)];
    let digits = halves
        .into_iter()
        .flat_map(|half| (0..16).rev().map(move |place| half >> (4 * place) & 15));
    let mut text = String::with_capacity(32);
    text.extend(digits.map(|digit| DIGITS[digit as usize]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_32_digits() {
        let expected = format!("{:016x}{:016x}", scramble(7), scramble(7 ^ 0xA5A5));
        assert_eq!(image(7), expected);
    }
}
