//! A model's chat template: messages to the text that the model was taught to answer.

use std::path::Path;

use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;

use crate::{digest::Digest, model::ModelError};

/// How much work a template may do: far more than any real one.
const FUEL: u64 = 5_000_000;
const NAME: &str = "chat";

/// A template in Jinja's language, as `transformers` reads it.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    digest: Digest,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// The template doesn't take these messages.
#[derive(Debug, thiserror::Error)]
#[error("the model's chat template doesn't take these messages: {0}")]
pub struct TemplateError(String);

impl ChatTemplate {
    /// Parses a template; `path` is where it came from.
    pub(super) fn new(path: &Path, text: String) -> Result<Self, ModelError> {
        let digest = Digest::of(text.as_bytes());
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |why: String| {
            Err::<Value, Error>(Error::new(ErrorKind::InvalidOperation, why))
        });
        environment.add_template_owned(NAME, text).map_err(|error| ModelError::Malformed {
            path: path.to_owned(),
            reason: format!("its chat template: {error}"),
        })?;
        Ok(Self { environment, digest })
    }

    /// The SHA-256 of its text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The prompt for the next turn of the assistant.
    ///
    /// # Errors
    /// If the template says no: to a role, or an order of roles. What was said stands in no message.
    pub fn render(&self, messages: &[Message], begin: &str, end: &str) -> Result<String, TemplateError> {
        let refused = |error: Error| match error.kind() {
            ErrorKind::InvalidOperation => TemplateError(error.detail().unwrap_or("no reason is given").to_owned()),
            kind => TemplateError(kind.to_string()),
        };
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let with = context! { messages, add_generation_prompt => true, bos_token => begin, eos_token => end };
        template.render(with).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2's, as its GGUF has it.
    const SMOL: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ \
        '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}\
        {% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn said(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn template(text: &str) -> Result<ChatTemplate, ModelError> {
        ChatTemplate::new(Path::new("model.gguf"), text.to_owned())
    }

    #[test]
    fn smollms_template_gives_what_transformers_gives() {
        let template = template(SMOL).unwrap();
        assert_eq!(
            template.render(&[said("system", "Be brief."), said("user", "Hi {{ x }}")], "", "").unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ x }}<|im_end|>\n<|im_start|>assistant\n"
        );
        let alone = template.render(&[said("user", "Hi")], "", "").unwrap();
        assert!(alone.starts_with("<|im_start|>system\nYou are a helpful"), "{alone}");
    }

    #[test]
    fn a_template_may_refuse_uses_pythons_methods_and_cannot_go_on_for_ever() {
        let strict = template(
            "{{ bos_token }}{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}\
             {{ raise_exception('only user and assistant') }}{% endif %}[{{ m.content.strip() }}]{% endfor %}",
        )
        .unwrap();
        assert_eq!(strict.render(&[said("user", "  hi ")], "<s>", "").unwrap(), "<s>[hi]");
        let error = strict.render(&[said("tool", "x")], "", "").unwrap_err().to_string();
        assert!(error.ends_with("only user and assistant"), "{error}");
        let endless =
            template("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}").unwrap();
        assert!(endless.render(&[], "", "").is_err());
    }

    #[test]
    fn a_text_that_is_no_template_is_named() {
        let error = template("{% for %}").unwrap_err().to_string();
        assert!(error.starts_with("model.gguf is damaged or no model: its chat template"), "{error}");
    }
}
