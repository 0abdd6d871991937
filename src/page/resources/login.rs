//! Where a viewer says who they are, and where nothing can be shown.

use askama::Template;

use crate::page::RenderError;
use crate::page::frame::Frame;

/// The page of who is not known, or asks for what is not there.
#[derive(Clone, Debug)]
pub struct LoginPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What is wrong, in a sentence.
    pub message: Option<String>,
    /// Whether a token may be given.
    pub has_form: bool,
}

impl LoginPage {
    /// The page.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
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
