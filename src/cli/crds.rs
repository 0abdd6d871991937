//! `patchset crds`: the custom resource definitions, for `kubectl apply -f -` or a folder in a
//! repository.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kube::ResourceExt;
use patchset_api::{crd, docs};

use super::error::Error;
use super::output::print;

/// Options of `patchset crds`.
#[derive(Debug, Args)]
pub struct CrdsOptions {
    /// Write one file per definition into this folder instead
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Print the reference of all fields instead, as Markdown
    #[arg(long, conflicts_with = "output_dir")]
    markdown: bool,
}

pub(super) fn run(options: &CrdsOptions) -> Result<ExitCode, Error> {
    if options.markdown {
        print(docs::markdown(&crd::all()).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut all = String::new();
    for definition in crd::all() {
        let document = format!("---\n{}", crd::yaml(&definition)?);
        let Some(folder) = &options.output_dir else {
            all.push_str(&document);
            continue;
        };
        let path = folder.join(format!(
            "{}_{}.yaml",
            definition.spec.group, definition.spec.names.plural
        ));
        tracing::debug!(definition = definition.name_any(), path = %path.display(), "writing");
        std::fs::write(&path, document).map_err(|source| Error::Io {
            path: path.display().to_string(),
            source,
        })?;
    }
    print(all.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
