//! The page to log in on, and the one shown instead of what a viewer cannot see.

use askama::Template;

use crate::page::RenderError;
use crate::page::frame::Frame;

/// The page for a viewer who is unknown, or asks for what does not exist.
#[derive(Clone, Debug)]
pub struct LoginPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What is wrong, in a sentence.
    pub message: Option<String>,
    /// Whether a token can be entered.
    pub has_form: bool,
}

impl LoginPage {
    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        LoginTemplate {
            frame: &self.frame,
            page: self,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/page/askama.toml")]
struct LoginTemplate<'a> {
    frame: &'a Frame,
    page: &'a LoginPage,
}
