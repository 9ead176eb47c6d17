//! Settings that work and that an operator may not have meant: what `check-config` warns of.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Config;
use crate::access::{PrincipalConfig, Right};
use crate::feed::{FeedConfig, Location, SecretSource};
use crate::journal::WhenUnwritable;
use crate::protocol::Address;

/// Permission bits of others than owner and group: to read, and to change.
const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o005;
const NOT_OWNER_WRITE: u32 = 0o022;

impl Config {
    /// What is weak in this config, which stands in `files`: a sentence each, with the remedy.
    pub fn weaknesses<'f>(&self, files: impl Iterator<Item = &'f Path>) -> Vec<String> {
        let mut found = Vec::new();
        self.principals.iter().for_each(|principal| self.look_at_principal(principal, &mut found));
        self.look_at_listeners(&mut found);
        if !self.audit.questions {
            found.push("audit.questions = false: nobody can tell later who asked what".to_owned());
        }
        if self.audit.when_unwritable == WhenUnwritable::Answer {
            let what = "audit.when_unwritable = \"answer\": while the trail cannot be written, questions are answered \
                        that it never tells of";
            found.push(what.to_owned());
        }
        if !self.events.enabled {
            found.push("events.enabled = false: whoever reports or acts on matches hears of none".to_owned());
        } else if self.events.when_unwritable == WhenUnwritable::Answer {
            let what = "events.when_unwritable = \"answer\": while match events cannot be written, matches are answered \
                        that whoever reports or acts on them never hears of";
            found.push(what.to_owned());
        }
        self.feeds.iter().for_each(|feed| look_at_feed(feed, &mut found));
        if self.feeds.iter().any(|feed| feed.interval_s.is_some()) && self.feed_socket().is_none() {
            let what = "feeds are not read: expected a Unix socket for frames among [[listen]], found none";
            found.push(what.to_owned());
        }
        let has_tokens = self.principals.iter().any(|principal| principal.token.is_some());
        for file in files {
            let Some(mode) = mode(file) else { continue };
            if mode & NOT_OWNER_WRITE != 0 {
                found.push(format!("{}: others than its owner may change it; chmod go-w", file.display()));
            }
            if has_tokens && mode & OTHERS_READ != 0 {
                let what = "everybody on this machine may read who may ask what; chmod o-r";
                found.push(format!("{}: {what}", file.display()));
            }
        }
        if mode(&self.data).is_some_and(|mode| mode & OTHERS_ENTER != 0) {
            found.push(format!("{}: everybody on this machine may read the lists; chmod o-rx", self.data.display()));
        }
        found
    }

    fn look_at_principal(&self, principal: &PrincipalConfig, found: &mut Vec<String>) {
        let PrincipalConfig { name, rights, budget, .. } = principal;
        if principal.anyone {
            for right in rights.iter().filter(|right| **right != Right::Lookup) {
                found.push(format!("principal {name}: whoever can connect has the right `{}`", right.name()));
            }
        }
        if principal.token.is_none() && !principal.anyone {
            return;
        }
        // Of those who come from elsewhere, and of whom one may have been taken over.
        let tune = "with which a picture can be tuned until it passes";
        if rights.contains(&Right::Lookup) && budget.near_per_day.is_none() {
            found.push(format!("principal {name}: no budget.near_per_day bounds its questions by distance, {tune}"));
        }
        if rights.contains(&Right::Content) && budget.content_per_day.is_none() {
            found.push(format!("principal {name}: no budget.content_per_day bounds its questions about files, {tune}"));
        }
    }

    fn look_at_listeners(&self, found: &mut Vec<String>) {
        for entry in self.listen.iter().filter(|entry| matches!(entry.address, Address::Tcp(_))) {
            if !self.principals.iter().any(|principal| principal.token.is_some() || principal.anyone) {
                found.push(format!("{}: nobody may ask there; see [[principal]] with a token", entry.address));
            }
            if entry.is_readable_on_the_way() {
                found.push(format!(
                    "{}: tokens, questions and answers can be read and changed on the way",
                    entry.address
                ));
            }
            if entry.rights.contains(&Right::Admin) {
                let what = "it grants `admin`, with which lists' hashes can be read; administer through a Unix socket";
                found.push(format!("{}: {what}", entry.address));
            }
        }
    }
}

fn look_at_feed(feed: &FeedConfig, found: &mut Vec<String>) {
    let name = &feed.name;
    if feed.stale_after_s.is_none() {
        found.push(format!("feed `{name}`: without stale_after_s nobody is told that its list grows old"));
    }
    if matches!(&feed.location, Location::Url(url) if url.starts_with("http://")) {
        found.push(format!("feed `{name}`: whoever is on the way can read and change what comes over http"));
    }
    for secret in [&feed.password, &feed.token].into_iter().flatten() {
        let SecretSource::File(file) = secret else { continue };
        match mode(file) {
            None => found.push(format!("feed `{name}`: {} is not there, or not to be seen from here", file.display())),
            Some(mode) if mode & OTHERS_READ != 0 => {
                let what = "everybody on this machine may read the secret; chmod o-r";
                found.push(format!("feed `{name}`: {}: {what}", file.display()));
            }
            Some(_) => {}
        }
    }
}

/// The permission bits of what stands there.
fn mode(path: &Path) -> Option<u32> {
    path.metadata().ok().as_ref().map(Metadata::permissions).map(|permissions| permissions.mode())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn weaknesses(text: &str, mode: u32) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        fs::write(folder.path().join("secret"), "x").unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let config = Config::resolve(Some(&path), None, &[]).unwrap();
        config.weaknesses([path.as_path()].into_iter())
    }

    #[test]
    fn what_is_weak_is_told_and_nothing_else() {
        let token = crate::access::Token::generate().unwrap().hash();
        let scanner = format!("[[principal]]\nname = 'scanner'\ntoken = '{token}'\n");
        let budget = "budget = { near_per_day = 1, content_per_day = 1 }\n";
        let feed = "[[feed]]\nname = 'f'\nsource = 'ncmec'\nurl = 'https://h/'\nstale_after_s = 1\n";
        let tcp = "[[listen]]\naddress = 'tcp:127.0.0.1:1'\n";
        for (text, mode, expected) in [
            (String::new(), 0o644, &[][..]),
            (String::new(), 0o664, &["others than its owner"]),
            (format!("{scanner}rights = ['lookup', 'content']\n{budget}"), 0o640, &[]),
            (format!("{scanner}rights = ['lookup', 'content']\n{budget}"), 0o644, &["who may ask what"]),
            (format!("{scanner}rights = ['lookup', 'content']\n"), 0o600, &["near_per_day", "content_per_day"]),
            (format!("{tcp}{scanner}rights = ['import']\n"), 0o600, &[]),
            (tcp.to_owned(), 0o600, &["nobody may ask there"]),
            (format!("{tcp}rights = ['admin']\n{scanner}rights = ['import']\n"), 0o600, &["it grants `admin`"]),
            (
                "[[principal]]\nname = 'all'\nanyone = true\nrights = ['audit']\n".to_owned(),
                0o600,
                &["whoever can connect has the right `audit`"],
            ),
            (
                "[audit]\nquestions = false\nwhen_unwritable = 'answer'\n".to_owned(),
                0o600,
                &["questions", "unwritable"],
            ),
            ("[events]\nwhen_unwritable = 'answer'\n".to_owned(), 0o600, &["events.when_unwritable"]),
            ("[events]\nenabled = false\n".to_owned(), 0o600, &["events.enabled"]),
            (feed.to_owned(), 0o600, &[]),
            (feed.replace("stale_after_s", "window_s"), 0o600, &["stale_after_s"]),
            (format!("{feed}token = {{ file = 'secret' }}\n"), 0o600, &["may read the secret"]),
            (format!("{feed}token = {{ file = 'nothing' }}\n"), 0o600, &["not there"]),
            (format!("{}plain_http = true\n", feed.replace("https", "http")), 0o600, &["over http"]),
            (format!("{tcp}{scanner}rights = []\n{feed}interval_s = 1\n"), 0o600, &["feeds are not read"]),
        ] {
            let found = weaknesses(&text, mode);
            let as_expected = found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
            assert!(as_expected && found.len() == expected.len(), "{text:?}: {found:?}, expected {expected:?}");
        }
    }
}
