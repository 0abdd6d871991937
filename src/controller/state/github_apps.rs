//! What is known of GitHub Apps.

use super::recent::ClientCache;
use crate::forge::GitAccess;

/// How Apps reach repositories. Whoever comes anew costs a request.
pub type GitHubApps = ClientCache<GitAccess, 1024>;
