//! Strict reading of JSON objects: every accessor names the full parameter path when it refuses.

use serde_json::{Map, Value};

use super::wire::WireError;

/// A JSON object and where it sits in the client event, such as `session.audio.input`.
#[derive(Debug)]
pub(crate) struct Fields<'v> {
    map: &'v Map<String, Value>,
    path: String,
}

impl<'v> Fields<'v> {
    /// Refuses a value that is no object and any key outside `allowed`.
    pub(crate) fn read(
        value: &'v Value,
        path: impl Into<String>,
        allowed: &[&str],
    ) -> Result<Self, WireError> {
        let path = path.into();
        let map = value
            .as_object()
            .ok_or_else(|| WireError::invalid_type(&path, "an object", value))?;
        let fields = Self { map, path };
        match map.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => Err(WireError::unknown_parameter(&fields.path_of(key))),
            None => Ok(fields),
        }
    }

    /// The full path of one key; the event itself has the empty path.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'v Value> {
        self.map.get(key)
    }

    /// The value unless it is absent or an allowed explicit `null`.
    pub(crate) fn nullable(&self, key: &str) -> Option<&'v Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn required(&self, key: &str) -> Result<&'v Value, WireError> {
        self.value(key)
            .ok_or_else(|| WireError::missing(&self.path_of(key)))
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'v str>, WireError> {
        self.value(key)
            .map(|value| {
                value
                    .as_str()
                    .ok_or_else(|| WireError::invalid_type(&self.path_of(key), "a string", value))
            })
            .transpose()
    }

    pub(crate) fn required_string(&self, key: &str) -> Result<&'v str, WireError> {
        self.required(key)?;
        self.string(key).map(Option::unwrap_or_default)
    }

    /// A string out of a closed list.
    pub(crate) fn choice(
        &self,
        key: &str,
        accepted: &[&str],
    ) -> Result<Option<&'v str>, WireError> {
        let Some(text) = self.string(key)? else {
            return Ok(None);
        };
        if accepted.contains(&text) {
            return Ok(Some(text));
        }
        Err(unsupported_value(&self.path_of(key), text, accepted))
    }

    pub(crate) fn required_choice(
        &self,
        key: &str,
        accepted: &[&str],
    ) -> Result<&'v str, WireError> {
        self.required(key)?;
        self.choice(key, accepted).map(Option::unwrap_or_default)
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, WireError> {
        self.value(key)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| WireError::invalid_type(&self.path_of(key), "a boolean", value))
            })
            .transpose()
    }

    pub(crate) fn integer(
        &self,
        key: &str,
        minimum: i64,
        maximum: i64,
    ) -> Result<Option<i64>, WireError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let path = self.path_of(key);
        let number = value
            .as_i64()
            .ok_or_else(|| WireError::invalid_type(&path, "an integer", value))?;
        if number < minimum {
            return Err(WireError::new(
                "integer_below_min_value",
                format!(
                    "Invalid '{path}': integer below minimum value. Expected a value >= {minimum}, but got {number} instead."
                ),
            )
            .param(path));
        }
        if number > maximum {
            return Err(WireError::new(
                "integer_above_max_value",
                format!(
                    "Invalid '{path}': integer above maximum value. Expected a value <= {maximum}, but got {number} instead."
                ),
            )
            .param(path));
        }
        Ok(Some(number))
    }

    pub(crate) fn number(
        &self,
        key: &str,
        minimum: f64,
        maximum: f64,
    ) -> Result<Option<f64>, WireError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let path = self.path_of(key);
        let number = value
            .as_f64()
            .ok_or_else(|| WireError::invalid_type(&path, "a decimal number", value))?;
        let (code, bound) = if number < minimum {
            ("decimal_below_min_value", format!(">= {minimum}"))
        } else if number > maximum {
            ("decimal_above_max_value", format!("<= {maximum}"))
        } else {
            return Ok(Some(number));
        };
        Err(WireError::new(
            code,
            format!("Invalid '{path}': Expected a value {bound}, but got {number} instead."),
        )
        .param(path))
    }

    pub(crate) fn array(&self, key: &str) -> Result<Option<&'v Vec<Value>>, WireError> {
        self.value(key)
            .map(|value| {
                value
                    .as_array()
                    .ok_or_else(|| WireError::invalid_type(&self.path_of(key), "an array", value))
            })
            .transpose()
    }
}

/// "Invalid value: 'x'. Supported values are: 'a', 'b', and 'c'."
pub(crate) fn unsupported_value(path: &str, got: &str, accepted: &[&str]) -> WireError {
    let quoted: Vec<String> = accepted.iter().map(|value| format!("'{value}'")).collect();
    let list = match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, [only])) => format!("{only} and {last}"),
        Some((last, rest)) => format!("{}, and {last}", rest.join(", ")),
        None => String::new(),
    };
    WireError::invalid_value(
        path,
        format!("Invalid value: '{got}'. Supported values are: {list}."),
    )
}
