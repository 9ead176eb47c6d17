//! What `--roles` may name: roles of single categories, and mappings of an issuer's codes that are known by a name.
//!
//! A mapping names only codes whose meaning a public source states; `docs/formats.md` says which. All others stay
//! `watch`, as do those that an issuer uses and nobody has published.

use hashward::list::{Category, CategoryRole, Role};

/// A mapping with a name.
struct Mapping {
    name: &'static str,
    /// Whose codes they are, as lists name the issuer.
    scheme: &'static str,
    /// Lists without a scheme may have these codes too, and whoever names the mapping says that theirs do.
    also_without_scheme: bool,
    /// Codes of material that is illegal where the issuer works.
    illegal: &'static [&'static str],
}

const MAPPINGS: [Mapping; 4] = [
    Mapping { name: "vics-us", scheme: "US", also_without_scheme: true, illegal: &["1"] },
    Mapping {
        name: "icse-baseline",
        scheme: "Baseline",
        also_without_scheme: false,
        illegal: &["Y", "y", "Yes", "yes", "YES", "true", "True", "TRUE", "1"],
    },
    Mapping { name: "uk-grades", scheme: "UK", also_without_scheme: true, illegal: &["A", "B", "C"] },
    Mapping { name: "tech-coalition", scheme: "ncmec", also_without_scheme: true, illegal: &["A1", "A2", "B1", "B2"] },
];

impl Mapping {
    fn roles(&self) -> Vec<CategoryRole> {
        let schemes =
            [Some(self.scheme), None].into_iter().filter(|scheme| scheme.is_some() || self.also_without_scheme);
        let codes = schemes.flat_map(|scheme| self.illegal.iter().map(move |code| Category::new(scheme, code)));
        codes.map(|category| CategoryRole { category, role: Role::Illegal }).collect()
    }
}

/// One word of `--roles`: `SCHEME:CODE=ROLE`, or the name of a mapping.
#[derive(Clone, Debug)]
pub(super) struct NamedRoles(pub(super) Vec<CategoryRole>);

/// Reads such a word.
pub(super) fn parse(text: &str) -> Result<NamedRoles, String> {
    if text.contains('=') {
        return text
            .parse()
            .map(|role| NamedRoles(vec![role]))
            .map_err(|error: hashward::list::ParseCategoryRoleError| error.to_string());
    }
    let mapping = MAPPINGS.iter().find(|mapping| mapping.name == text);
    mapping.map(|mapping| NamedRoles(mapping.roles())).ok_or_else(|| {
        format!("expected SCHEME:CODE=ROLE (or CODE=ROLE), or one of {}, found `{text}`", names().join(", "))
    })
}

/// The names of all mappings.
pub(super) fn names() -> [&'static str; MAPPINGS.len()] {
    MAPPINGS.map(|mapping| mapping.name)
}

/// The mappings that name one of `categories` with its scheme, each with what it says. Codes without a scheme may be
/// anybody's, so nothing is proposed for them.
pub(super) fn fitting<'c>(categories: impl IntoIterator<Item = &'c Category> + Clone) -> Vec<String> {
    let fits = |mapping: &&Mapping| {
        let names = |category: &Category| {
            category.scheme.as_deref() == Some(mapping.scheme) && mapping.illegal.contains(&&*category.code)
        };
        categories.clone().into_iter().any(names)
    };
    let told = |mapping: &Mapping| {
        format!("--roles {} ({} {}: illegal)", mapping.name, mapping.scheme, mapping.illegal.join(", "))
    };
    MAPPINGS.iter().filter(fits).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_roles_or_mappings() {
        let shown = |text: &str| -> Vec<String> {
            parse(text).unwrap().0.iter().map(|role| format!("{}={}", role.category, role.role)).collect()
        };
        assert_eq!(shown("US:3=watch"), ["US:3=watch"]);
        assert_eq!(shown("vics-us"), ["US:1=illegal", "1=illegal"]);
        assert!(shown("icse-baseline").iter().all(|role| role.starts_with("Baseline:") && role.ends_with("=illegal")));
        let refused = parse("vics-uk").unwrap_err();
        assert!(names().iter().all(|name| refused.contains(name)), "{refused}");
        assert!(parse("US:1=harmful").is_err());
    }

    #[test]
    fn a_mapping_is_proposed_for_codes_of_its_own_issuer() {
        let proposed = |categories: &[&str]| {
            let categories: Vec<Category> = categories.iter().map(|text| Category::from((*text).to_owned())).collect();
            fitting(&categories)
        };
        assert_eq!(proposed(&["US:0", "US:1"]), ["--roles vics-us (US 1: illegal)"]);
        assert_eq!(proposed(&["US:0", "UK:1", "1", "A", "Baseline:N"]), [""; 0]);
        assert_eq!(proposed(&["Baseline:Y", "US:1"]).len(), 2);
    }
}
