//! Reads the text format of Prometheus.

use std::collections::BTreeMap;

/// One time series' value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the metric.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// What `/metrics` answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All samples, in the order of the answer.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Reads an answer; lines that are no samples are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            samples: samples.filter_map(sample).collect(),
        }
    }

    /// Sum of all samples of `name`; `None` if there are none.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.named(name).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Sums of the samples of `name` by the value of `label`.
    #[must_use]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.named(name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_insert(0.0) += sample.value;
            }
        }
        sums
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name)
    }
}

/// `name{label="value",…} 1.5`, a timestamp at the end perhaps.
fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.insert(label.to_owned(), value);
            rest = after.trim_start_matches([',', ' ']);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# TYPE a counter\na{type=\"X\",shard=\"0\"} 2\na{type=\"X\", shard=\"1\",} 3 1700\n\
                    a{type=\"q\\\"\\\\\\n}\"} 1\nb 0.5\nbroken{\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a"), Some(6.0));
        assert_eq!(metrics.sum("b"), Some(0.5));
        assert_eq!(metrics.sum("c"), None);
        let by = metrics.by("a", "type");
        assert_eq!(by["X"], 5.0);
        assert_eq!(by["q\"\\\n}"], 1.0);
    }
}
