//! Which role a label has: the operator's word, by category.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Category, Role, UnknownName};

/// The role of a list's labels. VICS exports also carry uncategorised, comparison and non-pertinent pictures, so one
/// list may hold labels of several roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Roles {
    /// Of labels without a category.
    pub default: Role,
    /// Of labels whose category is not named in `by_category`. An import that names the illegal codes leaves the
    /// others `watch`: neither illegal, since nobody said so, nor harmless, since nobody said that either.
    pub unnamed: Role,
    /// Of labels with these categories.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_category: BTreeMap<Category, Role>,
}

impl Roles {
    /// Every label has `role`, whatever its category.
    pub fn uniform(role: Role) -> Roles {
        Roles { default: role, unnamed: role, by_category: BTreeMap::new() }
    }

    /// Labels without a category have `default`, those of the named categories what is said of them, others `watch`.
    pub fn by_category(default: Role, named: impl IntoIterator<Item = CategoryRole>) -> Roles {
        let by_category = named.into_iter().map(|named| (named.category, named.role)).collect();
        Roles { default, unnamed: Role::Watch, by_category }
    }

    /// All roles that a label can have.
    pub fn all(&self) -> impl Iterator<Item = Role> + '_ {
        [self.default, self.unnamed].into_iter().chain(self.by_category.values().copied())
    }

    /// The role of a label with this category.
    pub fn of(&self, category: Option<&Category>) -> Role {
        match category {
            None => self.default,
            Some(category) => self.by_category.get(category).copied().unwrap_or(self.unnamed),
        }
    }
}

/// One `SCHEME:CODE=ROLE`, as given to `--roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryRole {
    /// The category.
    pub category: Category,
    /// Its role.
    pub role: Role,
}

impl FromStr for CategoryRole {
    type Err = ParseCategoryRoleError;

    fn from_str(text: &str) -> Result<CategoryRole, ParseCategoryRoleError> {
        let (category, role) = text.rsplit_once('=').ok_or_else(|| ParseCategoryRoleError::NoRole(text.to_owned()))?;
        Ok(CategoryRole { category: Category::from(category.to_owned()), role: role.parse()? })
    }
}

/// What is wrong with one item of `--roles`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCategoryRoleError {
    /// No `=`.
    #[error("expected SCHEME:CODE=ROLE (or CODE=ROLE), found `{0}`")]
    NoRole(String),
    /// The word after `=` is no role.
    #[error(transparent)]
    Role(#[from] UnknownName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_categories_are_neither_illegal_nor_harmless() {
        let named = ["US:1=illegal", "US:2=illegal", "9=ignorable"].map(|item| item.parse().unwrap());
        let roles = Roles::by_category(Role::Illegal, named);
        assert_eq!(roles.of(Some(&Category::new(Some("US"), "1"))), Role::Illegal);
        assert_eq!(roles.of(Some(&Category::new(None, "9"))), Role::Ignorable);
        assert_eq!(roles.of(Some(&Category::new(Some("UK"), "1"))), Role::Watch);
        assert_eq!(roles.of(Some(&Category::new(Some("US"), "0"))), Role::Watch);
        assert_eq!(roles.of(None), Role::Illegal);
    }
}
