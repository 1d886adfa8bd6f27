//! The close frames the vendor answers what it does not accept with.

/// A close code, its reason, and what the fake knows beyond the vendor's terse words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// Why, for whoever reads the violations.
    pub(crate) detail: String,
    /// Where, such as `setup.generation_config.temperature`.
    pub(crate) path: Option<String>,
}

impl Refusal {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            detail: String::new(),
            path: None,
        }
    }

    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path = (!path.is_empty()).then(|| path.to_owned());
        self
    }

    /// What the vendor says to nearly everything.
    pub(crate) fn invalid_argument(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..Self::new(1007, "Request contains an invalid argument.")
        }
    }

    pub(crate) fn unknown_name(name: &str, path: &str) -> Self {
        let place = if path.is_empty() {
            String::new()
        } else {
            format!(" at '{path}'")
        };
        let reason = format!(
            "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
        );
        Self::new(1007, reason).at(path)
    }

    pub(crate) fn wrong_type(path: &str, expected: &str, got: &serde_json::Value) -> Self {
        let got = got.to_string();
        let got = if got.len() > 40 { "..." } else { &got };
        Self::new(
            1007,
            format!("Invalid value at '{path}' ({expected}), {got}"),
        )
        .at(path)
    }

    pub(crate) fn invalid_json(error: &serde_json::Error) -> Self {
        Self {
            detail: error.to_string(),
            ..Self::new(1007, "Invalid JSON payload received. Unable to parse.")
        }
    }

    pub(crate) fn media_chunks() -> Self {
        let reason =
            "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.";
        Self::new(1007, reason).at("realtime_input.media_chunks")
    }

    pub(crate) fn bad_key() -> Self {
        Self::new(1007, "API key not valid. Please pass a valid API key.")
    }

    pub(crate) fn unregistered() -> Self {
        Self::new(
            1008,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
        )
    }

    pub(crate) fn unknown_model(model: &str, version: &str) -> Self {
        let reason = format!(
            "{model} is not found for API version {version}, or is not supported for bidiGenerateContent. Call ModelService.ListModels to see the list of available models and their supported methods."
        );
        Self::new(1008, reason).at("setup.model")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(1008, "Requested entity was not found.").at("setup.session_resumption.handle")
    }

    pub(crate) fn internal(detail: &str) -> Self {
        Self {
            detail: detail.to_owned(),
            ..Self::new(1011, "Internal error encountered.")
        }
    }

    /// The text a violation is recorded with.
    pub(crate) fn message(&self) -> String {
        if self.detail.is_empty() {
            return self.reason.clone();
        }
        format!("{} [{}]", self.reason, self.detail)
    }
}
