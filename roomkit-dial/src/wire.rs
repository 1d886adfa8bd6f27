//! What vendors' JSON has in common: scalars that are written in more than one way, audio in base64,
//! and frames that cannot be read.

use std::{borrow::Cow, fmt, time::Duration};

use base64::{
    DecodeError, DecodeSliceError, Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use roomkit_core::provider::{ProviderError, ProviderErrorKind, ProviderEvent};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
/// Base64 as vendors write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
/// Base64 as proxies may write it.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Any JSON scalar as text that borrows from the frame unless it holds escapes (`Option<Cow<str>>`
/// would always copy). Anything else reads as empty, rather than failing the whole frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the word `true`.
    pub fn is_true(&self) -> bool {
        self.0 == "true"
    }

    /// A count; 0 where it is none.
    pub fn count(&self) -> u64 {
        let number = self.0.trim();
        // A float saturates: what is negative or no number counts as none.
        number
            .parse()
            .unwrap_or_else(|_| number.parse::<f64>().unwrap_or_default() as u64)
    }

    /// Seconds, as `50s`, `17.250s` or a bare number.
    pub fn duration(&self) -> Option<Duration> {
        let seconds = self.0.trim();
        let seconds = seconds.strip_suffix('s').unwrap_or(seconds);
        Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
    }
}

/// The text, or nothing where there is none.
pub fn text_of<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map(Text::as_str).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// What is in base64, with or without padding, in either alphabet.
///
/// # Errors
/// When it is no base64.
pub fn decode_base64(encoded: &str) -> Result<Vec<u8>, DecodeError> {
    let decoded = decode_exactly(&BASE64, encoded);
    decoded.or_else(|error| decode_exactly(&BASE64_URL, encoded).map_err(|_| error))
}

/// A vector without spare room, which becomes `Bytes` as it is.
fn decode_exactly(engine: &GeneralPurpose, encoded: &str) -> Result<Vec<u8>, DecodeError> {
    let digits = encoded.trim_end_matches('=').len();
    let mut bytes = vec![0; digits / 4 * 3 + digits % 4 * 3 / 4];
    match engine.decode_slice(encoded, &mut bytes) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        Err(DecodeSliceError::DecodeError(error)) => Err(error),
        // Not if the reckoning above is right.
        Err(DecodeSliceError::OutputSliceTooSmall) => engine.decode(encoded),
    }
}

/// The vendor sent something that is of no use: the event to tell, which is counted for this provider.
/// It must not repeat the content; see [`place_of`].
pub fn malformed(provider: &'static str, what: &str) -> ProviderEvent {
    metrics::counter!("roomkit_provider_malformed_events_total", "provider" => provider)
        .increment(1);
    ProviderEvent::Error(ProviderError::new(
        ProviderErrorKind::Protocol,
        format!("the vendor sent {what}"),
    ))
}

/// Where the JSON is wrong. What serde says of it would repeat the content.
pub fn place_of(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    format!(
        "{:?} error at line {line}, column {column}",
        error.classify()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Text<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_and_durations_come_as_numbers_or_strings() {
        for (json, count) in [
            ("42", 42),
            ("\"42\"", 42),
            ("42.0", 42),
            ("\"1e3\"", 1000),
            ("-1", 0),
            ("\"x\"", 0),
            ("null", 0),
            ("{\"a\":1}", 0),
            ("[1]", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text(json).count(), count, "{json}");
        }
        for (json, milliseconds) in [
            ("\"50s\"", Some(50_000)),
            ("\"17.250s\"", Some(17_250)),
            ("50", Some(50_000)),
            ("\"0s\"", Some(0)),
            ("\"-1s\"", None),
            ("\"soon\"", None),
            ("\"1e300s\"", None),
            ("\"NaNs\"", None),
            ("{}", None),
        ] {
            let expected = milliseconds.map(Duration::from_millis);
            assert_eq!(text(json).duration(), expected, "{json}");
        }
    }
}
