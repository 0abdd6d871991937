//! Options that say how a team's repository arranges its patches.

use std::path::Path;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use git_mirrors::local::LocalRepository;
use patchset_api::LayoutKind;

use super::error::Error;
use super::local_files::LocalFolder;
use crate::layout::{LayoutError, LayoutOptions, RefTemplate, RepositoryLayout, Selection};

/// How a repository arranges its patches.
#[derive(Debug, Args)]
pub struct LayoutArguments {
    /// How the patches are arranged
    #[arg(
        long,
        value_name = "LAYOUT",
        default_value = "Auto",
        ignore_case = true,
        value_parser = layout_names()
    )]
    layout: LayoutKind,
    /// The ref of a component if the release has no source-refs.yaml, with {component} and
    /// {release} in it, for instance stable/{release}
    #[arg(long, value_name = "TEMPLATE")]
    ref_template: Option<RefTemplate>,
    /// The branch that says which release the patches are for, if no folder does [default: that of
    /// the checkout]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
}

fn layout_names() -> impl TypedValueParser<Value = LayoutKind> {
    let names = LayoutKind::ALL.map(LayoutKind::as_str);
    // The parser takes nothing but the names.
    PossibleValuesParser::new(names).try_map(|name| name.parse::<LayoutKind>())
}

impl LayoutArguments {
    /// `--layout`.
    pub(super) fn kind(&self) -> LayoutKind {
        self.layout
    }

    /// `--ref-template`.
    pub(super) fn ref_template(&self) -> Option<&RefTemplate> {
        self.ref_template.as_ref()
    }

    /// `--branch`.
    pub(super) fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// Reads what a folder holds of the selection. `component` says whose patches they are if no
    /// folder does.
    ///
    /// # Errors
    ///
    /// Where there is no such folder, or it cannot be read as a repository of patches.
    pub(super) fn read(
        &self,
        folder: &Path,
        component: Option<&str>,
        selection: &Selection,
    ) -> Result<(LocalFolder, RepositoryLayout), Error> {
        let found = LocalFolder::open(folder)?;
        let branch = self.branch_of(&found);
        let options = LayoutOptions {
            branch: branch.as_deref(),
            component,
            ..self.options(&found, selection)
        };
        let layout = RepositoryLayout::read(&found.files, &options).map_err(|error| match error {
            // Without the folder it would not be clear where.
            LayoutError::NoLayout(what) => Error::Usage(format!("{}: {what}", folder.display())),
            error => Error::Layout(error),
        })?;
        Ok((found, layout))
    }

    /// The branch that was named, or is checked out.
    pub(super) fn branch_of(&self, folder: &LocalFolder) -> Option<String> {
        let checked_out = || LocalRepository::open(folder.files.root()).ok()?.branch();
        self.branch.clone().or_else(checked_out)
    }

    /// What is read of a folder, as far as the options say it.
    pub(super) fn options<'a>(
        &'a self,
        folder: &'a LocalFolder,
        selection: &'a Selection,
    ) -> LayoutOptions<'a> {
        LayoutOptions {
            kind: self.layout,
            directory: &folder.path,
            ref_template: self.ref_template.as_ref(),
            ..LayoutOptions::new(selection)
        }
    }
}
