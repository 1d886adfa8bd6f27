//! What a client may do, once it is known who it is.

use std::{collections::BTreeSet, fmt};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// One kind of thing a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// To take part in calls, over any transport.
    Call,
    /// To read rooms: what is in them, what was said, what happens.
    Watch,
    /// To write into rooms, and to close them.
    Write,
    /// To read the metrics.
    Metrics,
    /// To hand out tokens that may do no more than oneself.
    Mint,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 5] = [
        Self::Call,
        Self::Watch,
        Self::Write,
        Self::Metrics,
        Self::Mint,
    ];

    /// Its name, as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Watch => "watch",
            Self::Write => "write",
            Self::Metrics => "metrics",
            Self::Mint => "mint",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that a client may do. The default is everything: a host that knows no scopes restricts
/// nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether this is among them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }

    /// 403, with the name of the scope, where it is missing.
    pub fn require(&self, scope: Scope) -> Result<(), Rejection> {
        if self.contains(scope) {
            return Ok(());
        }
        let message = format!("this needs the scope `{scope}`, which the client does not have");
        Err(Rejection::new(StatusCode::FORBIDDEN, "forbidden", message))
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Scope::ALL.into_iter().collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x2_a_missing_scope_is_named() {
        let scopes: Scopes = serde_json::from_str(r#"["call", "mint"]"#).unwrap();
        for scope in Scope::ALL {
            assert_eq!(
                serde_json::to_value(scope).unwrap(),
                scope.as_str(),
                "one name for both"
            );
            assert!(Scopes::default().require(scope).is_ok());
            let allowed = matches!(scope, Scope::Call | Scope::Mint);
            match scopes.require(scope) {
                Ok(()) => assert!(allowed, "{scope}"),
                Err(refused) => {
                    assert!(!allowed, "{scope}");
                    assert_eq!(
                        (refused.status().as_u16(), refused.code()),
                        (403, "forbidden")
                    );
                    assert!(refused.message().contains(scope.as_str()), "{refused}");
                }
            }
        }
    }
}
