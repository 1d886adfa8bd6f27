//! Who may come in, and by which door.

use super::builder::Options;
use super::refusal::Refusal;
use crate::fake::handle::UpgradeRequest;

/// The service behind a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The Gemini API.
    Gemini {
        /// `v1alpha`, which has fields `v1beta` has not.
        alpha: bool,
        /// `BidiGenerateContentConstrained`, for ephemeral tokens.
        constrained: bool,
    },
    /// Vertex AI.
    Vertex,
}

const GEMINI: &str = "/ws/google.ai.generativelanguage.";
const VERTEX: &str = "/ws/google.cloud.aiplatform.";

impl Service {
    pub(crate) fn of(path: &str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix(GEMINI) {
            let (version, method) = rest.split_once('.')?;
            let constrained = match method {
                "GenerativeService.BidiGenerateContent" => false,
                "GenerativeService.BidiGenerateContentConstrained" => true,
                _ => return None,
            };
            let alpha = match version {
                "v1alpha" => true,
                "v1beta" => false,
                _ => return None,
            };
            return Some(Self::Gemini { alpha, constrained });
        }
        let (version, method) = path.strip_prefix(VERTEX)?.split_once('.')?;
        let known = ["v1", "v1beta1"].contains(&version);
        (known && method == "LlmBidiService/BidiGenerateContent").then_some(Self::Vertex)
    }

    pub(crate) fn is_vertex(self) -> bool {
        self == Self::Vertex
    }

    /// Whether fields in their trial are known.
    pub(crate) fn has_alpha_fields(self) -> bool {
        !matches!(self, Self::Gemini { alpha: false, .. })
    }

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Gemini { alpha: true, .. } => "v1alpha",
            Self::Gemini { alpha: false, .. } => "v1beta",
            Self::Vertex => "v1beta1",
        }
    }
}

/// Checks what the client identifies itself with.
pub(crate) fn check_credentials(
    service: Service,
    request: &UpgradeRequest,
    options: &Options,
) -> Result<(), Refusal> {
    let authorization = request.header("authorization").unwrap_or_default();
    let scheme = |name: &str| authorization.strip_prefix(name).map(str::to_owned);
    if let Service::Gemini {
        constrained: true, ..
    } = service
    {
        let token = scheme("Token ").or_else(|| decoded(request, "access_token"));
        let known = token.is_some_and(|token| match &options.token {
            Some(expected) => token == *expected,
            None => token.starts_with("auth_tokens/"),
        });
        return if known {
            Ok(())
        } else {
            Err(Refusal::unregistered())
        };
    }
    let key = request
        .header("x-goog-api-key")
        .map(str::to_owned)
        .or_else(|| decoded(request, "key"))
        .filter(|key| !key.is_empty());
    if let Some(key) = key {
        let valid = match &options.api_key {
            Some(expected) => key == *expected,
            None => !key.starts_with("auth_tokens/"),
        };
        return if valid {
            Ok(())
        } else {
            Err(Refusal::bad_key())
        };
    }
    let bearer = scheme("Bearer ").filter(|token| !token.trim().is_empty());
    match (bearer, &options.token) {
        (None, _) => Err(Refusal::unregistered()),
        (Some(given), Some(expected)) if given != *expected => Err(Refusal::unregistered()),
        (Some(_), _) => Ok(()),
    }
}

/// A query parameter, percent-decoded.
fn decoded(request: &UpgradeRequest, name: &str) -> Option<String> {
    let raw = request.query_value(name)?;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            let hex = std::str::from_utf8(&hex).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_service() {
        let gemini = |alpha, constrained| Some(Service::Gemini { alpha, constrained });
        let path = |rest: &str| Service::of(&format!("/ws/google.ai.generativelanguage.{rest}"));
        assert_eq!(
            path("v1beta.GenerativeService.BidiGenerateContent"),
            gemini(false, false)
        );
        assert_eq!(
            path("v1alpha.GenerativeService.BidiGenerateContentConstrained"),
            gemini(true, true)
        );
        assert_eq!(path("v1.GenerativeService.BidiGenerateContent"), None);
        assert_eq!(
            Service::of("/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"),
            Some(Service::Vertex)
        );
        assert_eq!(
            Service::of("/ws/google.cloud.aiplatform.v1.LlmBidiService.BidiGenerateContent"),
            None
        );
    }
}
