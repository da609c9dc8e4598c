//! The body of a request: JSON, or a form with JSON in it and, if it is no URL-encoded one, files.

use serde_json::Value;

use super::{query, refusal::Refusal};
use crate::world::Fields;

/// A file that came with a request. Its bytes are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// The number in `files[N]`.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) content_type: Option<String>,
    pub(super) size: usize,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// `Null` where there is none.
    pub(super) json: Value,
    pub(super) files: Vec<File>,
}

impl Body {
    /// Reads a body by its content type.
    ///
    /// # Errors
    ///
    /// 50109 for what is no JSON.
    pub(super) fn read(content_type: &str, bytes: &[u8]) -> Result<Self, Refusal> {
        if let Some(boundary) = boundary(content_type) {
            return read_form(bytes, &boundary);
        }
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let json = match encoded_fields(content_type, bytes) {
            Some(mut fields) => match fields.remove("payload_json") {
                Some(Value::String(text)) => json(text.as_bytes())?,
                _ => Value::Object(fields),
            },
            None => json(bytes)?,
        };
        Ok(Self {
            json,
            files: Vec::new(),
        })
    }
}

/// A body as it is shown: of a form, the JSON in it, with `files`, the names of its files if it can hold any.
pub(super) fn shown(content_type: &str, bytes: &[u8]) -> String {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let Some(boundary) = boundary(content_type) else {
        return match Body::read(content_type, bytes) {
            Ok(body) if body.json.is_object() => body.json.to_string(),
            _ => text(),
        };
    };
    match read_form(bytes, &boundary) {
        Ok(Body {
            json: Value::Object(mut json),
            files,
        }) => {
            let names = files.into_iter().map(|file| Value::String(file.name));
            json.insert("files".to_owned(), names.collect());
            Value::Object(json).to_string()
        }
        _ => text(),
    }
}

fn json(bytes: &[u8]) -> Result<Value, Refusal> {
    let invalid = |_| Refusal::bad(50_109, "The request body contains invalid JSON.");
    serde_json::from_slice(bytes).map_err(invalid)
}

/// The fields of a URL-encoded form.
fn encoded_fields(content_type: &str, bytes: &[u8]) -> Option<Fields> {
    let kind = content_type.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let pairs = query(&String::from_utf8_lossy(bytes));
    let field = |(name, value)| (name, Value::String(value));
    Some(pairs.into_iter().map(field).collect())
}

fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("boundary");
        is_it.then(|| value.trim().trim_matches('"').to_owned())
    };
    rest.split(';').find_map(named)
}

fn read_form(bytes: &[u8], boundary: &str) -> Result<Body, Refusal> {
    let mut body = Body::default();
    let mut fields = serde_json::Map::new();
    let delimiter = format!("--{boundary}");
    for part in split(bytes, delimiter.as_bytes()).skip(1) {
        let part = part.strip_prefix(b"\r\n").unwrap_or(part);
        let Some(end) = find(part, b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&part[..end]).into_owned();
        let content = &part[end + 4..];
        let content = content.strip_suffix(b"\r\n").unwrap_or(content);
        let (mut name, mut file_name, mut content_type) = (String::new(), None, None);
        for line in head.lines() {
            let Some((header, value)) = line.split_once(':') else {
                continue;
            };
            if header.trim().eq_ignore_ascii_case("content-type") {
                content_type = Some(value.trim().to_owned());
            } else if header.trim().eq_ignore_ascii_case("content-disposition") {
                name = parameter(value, "name").unwrap_or_default();
                file_name = parameter(value, "filename");
            }
        }
        if name == "payload_json" {
            body.json = json(content)?;
        } else if name == "target_users_file" {
            // The one file whose content matters.
            let text = String::from_utf8_lossy(content).into_owned();
            fields.insert(name, Value::String(text));
        } else if let Some(file_name) = file_name {
            let digits: String = name.chars().filter(char::is_ascii_digit).collect();
            body.files.push(File {
                number: digits.parse().unwrap_or(body.files.len() as u64),
                name: file_name,
                content_type,
                size: content.len(),
            });
        } else if !name.is_empty() {
            let text = String::from_utf8_lossy(content).into_owned();
            fields.insert(name, Value::String(text));
        }
    }
    if body.json.is_null() {
        body.json = Value::Object(fields);
    }
    Ok(body)
}

/// A parameter of a Content-Disposition header.
fn parameter(value: &str, name: &str) -> Option<String> {
    let parameter = |part: &str| {
        let (key, value) = part.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"').to_owned())
    };
    value.split(';').find_map(parameter)
}

fn split<'a>(mut bytes: &'a [u8], by: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let Some(place) = find(bytes, by) else {
            over = true;
            return Some(bytes);
        };
        let part = &bytes[..place];
        bytes = &bytes[place + by.len()..];
        Some(part)
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(step) = bytes[from..].iter().position(|byte| *byte == first) {
        let place = from + step;
        if bytes[place..].starts_with(what) {
            return Some(place);
        }
        from = place + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_json_and_files() {
        let text = "--xyz\r\nContent-Disposition: form-data; name=\"files[1]\"; filename=\"a b.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\none\r\n--not it\r\n--xyz\r\n\
                    Content-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"c\"}\r\n--xyz--\r\n";
        let body = Body::read("multipart/form-data; boundary=\"xyz\"", text.as_bytes()).unwrap();
        assert_eq!(body.json["content"], "c");
        let file = File {
            number: 1,
            name: "a b.txt".to_owned(),
            content_type: Some("text/plain".to_owned()),
            size: 13,
        };
        assert_eq!(body.files, [file]);
        let shown = shown("multipart/form-data; boundary=xyz", text.as_bytes());
        assert_eq!(shown, r#"{"content":"c","files":["a b.txt"]}"#);
        assert_eq!(super::shown("application/json", b"{"), "{");
    }

    #[test]
    fn a_url_encoded_form_holds_json_or_fields() {
        let read = |text: &str| {
            let kind = "application/x-www-form-urlencoded; charset=utf-8";
            Body::read(kind, text.as_bytes()).map(|body| body.json)
        };
        let json = serde_json::json!({"content": "a b&c"});
        let form = "payload_json=%7B%22content%22%3A%22a+b%26c%22%7D";
        assert_eq!(read(form).unwrap(), json);
        assert_eq!(read("content=a%20b%26c").unwrap(), json);
        assert!(read("payload_json=%7B").is_err());
    }

    #[test]
    fn a_body_is_json_or_nothing() {
        assert!(Body::read("application/json", b"").unwrap().json.is_null());
        assert!(Body::read("", b"{").is_err());
        assert_eq!(Body::read("", b"[1]").unwrap().json[0], 1);
    }
}
