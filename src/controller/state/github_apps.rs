//! What is known of GitHub Apps.

use forges::GitAccess;

use super::recent::ClientCache;

/// How Apps reach repositories. A new one costs a request.
pub type GitHubApps = ClientCache<GitAccess, 1024>;
