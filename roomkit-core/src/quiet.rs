//! Debug output that shows how much was said and not what (contract X1).

use std::fmt::{self, Debug};

/// So many of something, in its place.
pub(crate) struct Amount(usize, &'static str);

impl Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// In place of audio and images.
pub(crate) fn bytes(data: &[u8]) -> Amount {
    Amount(data.len(), "bytes")
}

/// In place of words.
pub(crate) fn characters(text: &str) -> Amount {
    Amount(text.chars().count(), "characters")
}

/// `Debug` for an enum as if it were derived, except for fields that are written
/// `field = expression`: of these the value of the expression is shown.
macro_rules! debug_quietly {
    ($type:ident {$(
        $variant:ident
        $( ( $value:ident $(= $shown_value:expr)? ) )?
        $( { $( $field:ident $(= $shown:expr)? ),* $(,)? } )?
    ),* $(,)?}) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                use $crate::quiet::{debug_quietly as quietly, show};
                match self {$(
                    Self::$variant $( ($value) )? $( { $( $field ),* } )? => show(
                        f,
                        stringify!($variant),
                        &[$( &quietly!(@ $value $(= $shown_value)?) )?],
                        &[$( $( (stringify!($field), &quietly!(@ $field $(= $shown)?)) ),* )?],
                    ),
                )*}
            }
        }
    };
    (@ $field:ident) => { $field };
    (@ $field:ident = $shown:expr) => { $shown };
}
pub(crate) use debug_quietly;

/// A variant with values or with fields, or without either.
pub(crate) fn show(
    f: &mut fmt::Formatter<'_>,
    variant: &str,
    values: &[&dyn Debug],
    fields: &[(&str, &dyn Debug)],
) -> fmt::Result {
    if values.is_empty() {
        let mut shown = f.debug_struct(variant);
        for (name, value) in fields {
            shown.field(name, value);
        }
        shown.finish()
    } else {
        let mut shown = f.debug_tuple(variant);
        for value in values {
            shown.field(value);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde_json::json;

    use crate::{
        client_protocol::ServerMessage,
        provider::{ProviderCommand, ProviderEvent, Role, SessionUpdate},
        transport::{ClientCommand, ClientEvent},
    };

    #[test]
    fn x1_debug_of_commands_and_events_shows_no_audio() {
        let audio = || vec![7_u8; 640].into();
        let words = || "grüß dich".to_owned();
        let settings = json!({"key": "s3cret"});
        let update = SessionUpdate {
            system_prompt: Some(words()),
            provider_config: settings.as_object().cloned(),
            ..SessionUpdate::default()
        };
        let card = settings.as_object().cloned().unwrap();
        let cases: [(&dyn Debug, &str); 14] = [
            (&ProviderCommand::Audio(audio()), "Audio(640 bytes)"),
            (
                &ProviderCommand::Text {
                    role: Role::User,
                    text: words(),
                    respond: true,
                },
                "Text { role: User, text: 9 characters, respond: true }",
            ),
            (
                &ProviderCommand::Image {
                    mime_type: "image/png".into(),
                    data: audio(),
                    prompt: Some(words()),
                    respond: false,
                },
                "Image { mime_type: \"image/png\", data: 640 bytes, prompt: Some(9 characters), respond: false }",
            ),
            (&ProviderCommand::Raw(settings), "Raw(16 bytes)"),
            (
                &ProviderCommand::Update(update),
                "Update(SessionUpdate { system_prompt: Some(9 characters), voice: None, tools: None, \
                 temperature: None, provider_config: Some([\"key\"]) })",
            ),
            (&ProviderCommand::CancelResponse, "CancelResponse"),
            (
                &ProviderEvent::Audio {
                    response_id: None,
                    item_id: None,
                    content_index: 1,
                    pcm: audio(),
                },
                "Audio { response_id: None, item_id: None, content_index: 1, pcm: 640 bytes }",
            ),
            (
                &ProviderEvent::Transcript {
                    role: Role::User,
                    item_id: None,
                    text: words(),
                    is_final: true,
                },
                "Transcript { role: User, item_id: None, text: 9 characters, is_final: true }",
            ),
            (&ClientCommand::Audio(audio()), "Audio(640 bytes)"),
            (
                &ClientCommand::Message(ServerMessage::Transcription {
                    text: words(),
                    role: Role::User,
                    is_final: true,
                    item_id: None,
                    interrupted: false,
                }),
                "Message(Transcription { text: 9 characters, role: User, is_final: true, item_id: None, \
                 interrupted: false })",
            ),
            (&ClientEvent::Audio(audio()), "Audio(640 bytes)"),
            (&ClientEvent::Text(words()), "Text(9 characters)"),
            (&ClientEvent::Message(card), "Message(16 bytes)"),
            (&ClientEvent::Mute(true), "Mute(true)"),
        ];
        for (shown, expected) in cases {
            assert_eq!(format!("{shown:?}"), expected);
        }
    }
}
