//! `{component}`, `{release}` and `{version}` in the texts of templates.

use serde_json::Value;

/// What the variables stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables<'a> {
    pub(super) component: &'a str,
    pub(super) release: &'a str,
    /// The upstream's ref, which may name a version.
    pub(super) reference: &'a str,
    pub(super) version: Option<&'a str>,
}

/// A variable without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VariableFault {
    /// The field with it.
    pub(super) field: String,
    pub(super) message: String,
}

/// Where texts have a `{version}` of their own, which is known once the upstream's ref is found.
const TAGS: &str = "spec.build.image";

impl Variables<'_> {
    /// Fills in all texts of a value, in place. `field` is the path of the value.
    ///
    /// # Errors
    ///
    /// If a version is asked for, and the ref names none.
    pub(super) fn fill(&self, value: &mut Value, field: &str) -> Result<(), VariableFault> {
        match value {
            Value::String(text) => {
                if let Some(filled) = self.filled(text, field)? {
                    *text = filled;
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.fill(item, &format!("{field}[{at}]"))?;
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.fill(value, &format!("{field}.{name}"))?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// A text with its variables replaced by values; `None` if it has none. Values are not expanded
    /// again, and `${component}` is left alone as another tool's variable.
    pub(super) fn filled(&self, text: &str, field: &str) -> Result<Option<String>, VariableFault> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let is_other = before.ends_with('$');
            let variable = ["{component}", "{release}", "{version}"]
                .into_iter()
                .find(|variable| !is_other && from.starts_with(variable));
            let value = match variable {
                Some("{component}") => Some(self.component),
                Some("{release}") => Some(self.release),
                Some(_) if !field.starts_with(TAGS) => Some(self.version_for(field)?),
                _ => None,
            };
            let taken = value.and(variable).unwrap_or("{");
            filled.push_str(value.unwrap_or("{"));
            rest = from.get(taken.len()..).unwrap_or_default();
        }
        filled.push_str(rest);
        Ok((filled != text).then_some(filled))
    }

    fn version_for(&self, field: &str) -> Result<&str, VariableFault> {
        self.version.ok_or_else(|| VariableFault {
            field: field.to_owned(),
            message: format!(
                "asks for {{version}}, but {} of {} {} names none: set another text for it in spec.overrides",
                self.reference, self.component, self.release
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GLANCE: Variables<'static> = Variables {
        component: "glance",
        release: "2025.2",
        reference: "31.0.0",
        version: Some("31.0.0"),
    };

    #[test]
    fn variables_are_filled_in_wherever_a_text_is() {
        let mut value =
            json!({ "a": ["{component}-{release}", 1, { "b": "v{version}" }], "{component}": null });
        GLANCE.fill(&mut value, "spec").unwrap();
        assert_eq!(
            value,
            json!({ "a": ["glance-2025.2", 1, { "b": "v31.0.0" }], "{component}": null })
        );
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone() {
        for text in [
            "${component}",
            "{ component }",
            "{",
            "{{component",
            "}{other}",
            "{images}",
        ] {
            assert_eq!(GLANCE.filled(text, "spec.a"), Ok(None), "{text}");
        }
        let twice = Variables {
            component: "{release}",
            ..GLANCE
        };
        assert_eq!(twice.filled("{component}", "a"), Ok(Some("{release}".to_owned())));
        assert_eq!(
            GLANCE.filled("{{component}}", "a"),
            Ok(Some("{glance}".to_owned()))
        );
    }

    #[test]
    fn tags_keep_their_version_and_others_need_one() {
        let filled = GLANCE
            .filled("{version}-{release}", "spec.build.image.tag")
            .unwrap();
        assert_eq!(filled.unwrap(), "{version}-2025.2");
        let branch = Variables {
            reference: "stable/2025.2",
            version: None,
            ..GLANCE
        };
        let mut value = json!({ "build": { "args": { "A": "{version}" } } });
        let fault = branch.fill(&mut value, "spec").unwrap_err();
        assert_eq!(fault.field, "spec.build.args.A");
        assert!(
            fault
                .message
                .contains("stable/2025.2 of glance 2025.2 names none"),
            "{}",
            fault.message
        );
    }
}
