//! Tools made of a Rust function and the type of its arguments.

use std::marker::PhantomData;

use async_trait::async_trait;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput};

impl Tool {
    /// A tool whose schema is that of `A`, and whose calls are run by an async function of it.
    ///
    /// What the model is told of an argument is the doc comment of its field. The result is
    /// anything that can be written as JSON, or a [`ToolOutput`] where the caller is handed to another
    /// agent. A type whose schema is not that of an object is refused when the channel is built.
    ///
    /// ```
    /// use roomkit_core::tool::{Tool, ToolError, ToolInvocation};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Booking {
    ///     /// The day, as in 2026-11-25.
    ///     day: String,
    ///     guests: u8,
    /// }
    ///
    /// let book = Tool::typed(
    ///     "book_table",
    ///     "Books a table.",
    ///     |call: ToolInvocation, booking: Booking| async move {
    ///         call.report("asking the kitchen");
    ///         if booking.guests > 12 {
    ///             return Err(ToolError::new("at most 12 guests"));
    ///         }
    ///         Ok(format!("booked for {}", booking.day))
    ///     },
    /// );
    /// let arguments = &book.definition.parameters;
    /// assert_eq!(arguments["properties"]["day"]["description"], "The day, as in 2026-11-25.");
    /// ```
    pub fn typed<A, R, F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: IntoToolOutput + Send + 'static,
        F: Fn(ToolInvocation, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ToolError>> + Send + 'static,
    {
        let handler = Typed {
            function,
            types: PhantomData,
        };
        Self::new(
            ToolDefinition::new(name, description, schema_of::<A>()),
            handler,
        )
    }
}

/// A function that is given its arguments as a type.
struct Typed<F, A, R> {
    function: F,
    types: PhantomData<fn(A) -> R>,
}

#[async_trait]
impl<A, R, F, Fut> ToolHandler for Typed<F, A, R>
where
    A: DeserializeOwned + Send + 'static,
    R: IntoToolOutput + Send + 'static,
    F: Fn(ToolInvocation, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, ToolError>> + Send + 'static,
{
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        let name = invocation.name.clone();
        // The schema allowed them, but a type may be stricter than any schema says.
        let arguments = serde_json::from_value(Value::Object(invocation.arguments.clone()))
            .map_err(|error| ToolError(format!("the arguments of `{name}` are wrong: {error}")))?;
        let result = (self.function)(invocation, arguments).await?;
        result.into_tool_output().map_err(|error| {
            tracing::error!(tool = name, %error, "a tool's result cannot be written as JSON");
            ToolError(format!("the result of `{name}` cannot be written as JSON"))
        })
    }
}

/// What a [typed](Tool::typed) function may give: anything that can be written as JSON, and [`ToolOutput`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a tool",
    note = "derive `serde::Serialize` for it, or give a `ToolOutput`"
)]
pub trait IntoToolOutput {
    /// The output.
    ///
    /// # Errors
    /// When it cannot be written as JSON, such as a map whose keys are no texts.
    fn into_tool_output(self) -> Result<ToolOutput, serde_json::Error>;
}

impl<T: Serialize> IntoToolOutput for T {
    fn into_tool_output(self) -> Result<ToolOutput, serde_json::Error> {
        serde_json::to_value(self).map(ToolOutput::from)
    }
}

impl IntoToolOutput for ToolOutput {
    fn into_tool_output(self) -> Result<ToolOutput, serde_json::Error> {
        Ok(self)
    }
}

/// The schema of a type as models read it best: nothing to look up elsewhere, and no title, which
/// would say the name of a Rust type.
fn schema_of<A: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>();
    schema.remove("title");
    schema.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::{Map, json};

    use super::*;
    use crate::RealtimeSession;

    /// How warm it is.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Unit {
        Celsius,
        Fahrenheit,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Weather {
        /// The city.
        city: String,
        unit: Option<Unit>,
    }

    fn call(arguments: Value) -> ToolInvocation {
        let session = RealtimeSession::new("room", "ann", "voice", Map::new());
        let Value::Object(arguments) = arguments else {
            panic!("no object: {arguments}");
        };
        ToolInvocation::new(session, "c1", "weather", arguments)
    }

    async fn run(tool: &Tool, arguments: Value) -> Result<ToolOutput, ToolError> {
        tool.handler.as_ref().unwrap().call(call(arguments)).await
    }

    #[test]
    fn the_schema_is_the_types_and_stands_by_itself() {
        let schema = schema_of::<Weather>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["properties"]["city"]["description"], "The city.");
        assert_eq!(schema["required"], json!(["city"]));
        let written = schema.to_string();
        assert!(written.contains("fahrenheit"), "{written}");
        assert!(
            !written.contains('$') && !written.contains("title"),
            "{written}"
        );
    }

    #[tokio::test]
    async fn k8_a_typed_function_gets_its_arguments_and_gives_what_can_be_written() {
        let tool = Tool::typed(
            "weather",
            "",
            |call: ToolInvocation, weather: Weather| async move {
                assert_eq!(call.arguments["city"], "Oslo");
                let unit = weather.unit.map(|_| "a unit");
                Ok(json!({"city": weather.city, "unit": unit}))
            },
        );
        let output = run(&tool, json!({"city": "Oslo", "unit": "celsius"})).await;
        assert_eq!(output, Ok(json!({"city": "Oslo", "unit": "a unit"}).into()));
    }

    #[tokio::test]
    async fn s10_a_typed_function_can_hand_the_caller_over() {
        let tool = Tool::typed(
            "weather",
            "",
            |_: ToolInvocation, weather: Weather| async move {
                Ok(ToolOutput::from(weather.city).hand_off("forecaster"))
            },
        );
        let output = run(&tool, json!({"city": "Oslo"})).await.unwrap();
        assert_eq!(output.value, "Oslo");
        assert_eq!(output.hand_off.as_deref(), Some("forecaster"));
    }

    #[tokio::test]
    async fn k5_what_the_schema_let_through_and_the_type_does_not_is_told() {
        #[derive(JsonSchema)]
        struct Even {
            #[expect(dead_code, reason = "read by the schema alone")]
            number: u8,
        }
        impl<'de> Deserialize<'de> for Even {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                Err(serde::de::Error::custom("the number is odd"))
            }
        }
        let tool = Tool::typed("f", "", |_: ToolInvocation, _: Even| async { Ok(1) });
        let refusal = run(&tool, json!({"number": 3})).await.unwrap_err();
        assert!(
            refusal.0.contains("`weather`") && refusal.0.contains("odd"),
            "{refusal}"
        );
    }

    #[tokio::test]
    async fn k6_a_result_that_is_no_json_is_an_error_for_the_model() {
        let tool = Tool::typed(
            "f",
            "",
            |_: ToolInvocation, _: HashMap<String, Value>| async {
                Ok(HashMap::from([(vec![1], "a key that is a list")]))
            },
        );
        let refusal = run(&tool, json!({})).await.unwrap_err();
        assert!(refusal.0.contains("cannot be written as JSON"), "{refusal}");
    }
}
