//! Canonical XML 1.1 without comments, of what [`crate::xml`] reads.
//!
//! Since attributes of the namespace `xml` are not read, this is Canonical XML 1.0 as well.

use crate::xml::{Element, Node};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Prefixes and what they mean.
pub(crate) type Scope<'a> = BTreeMap<&'a str, Rc<str>>;

/// What is in force around an element within others, outermost first.
pub(crate) fn scope<'a>(around: &[&Element<'a>]) -> Scope<'a> {
    around.iter().flat_map(|element| element.declarations.iter().cloned()).collect()
}

/// Writes an element by itself: with all that is in force around it declared in it. Elements for which `skip` holds are left out.
pub(crate) fn write<'a>(
    element: &Element<'a>,
    around: &Scope<'a>,
    skip: &dyn Fn(&Element<'a>) -> bool,
) -> String {
    let mut out = String::new();
    let mut scope = around.clone();
    scope.extend(element.declarations.iter().cloned());
    element_into(element, &scope, &Scope::new(), skip, &mut out);
    out
}

/// `scope` is in force here, `written` is what has been declared around.
fn element_into<'a>(
    element: &Element<'a>,
    scope: &Scope<'a>,
    written: &Scope<'a>,
    skip: &dyn Fn(&Element<'a>) -> bool,
    out: &mut String,
) {
    out.push('<');
    out.push_str(element.tag);
    // A map is in the order of prefixes, the default first, as it should be.
    for (prefix, uri) in scope {
        if written.get(prefix) == Some(uri) {
            continue;
        }
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        value_into(uri, out);
    }
    let mut attributes: Vec<_> = element.attributes.iter().collect();
    attributes.sort_by(|a, b| (&a.namespace, a.name).cmp(&(&b.namespace, b.name)));
    for attribute in attributes {
        out.push(' ');
        out.push_str(attribute.tag);
        value_into(&attribute.value, out);
    }
    out.push('>');
    for child in &element.children {
        match child {
            Node::Text(text) => {
                for c in text.chars() {
                    match c {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        c => out.push(c),
                    }
                }
            }
            Node::Element(child) if skip(child) => {}
            Node::Element(child) if child.declarations.is_empty() => {
                element_into(child, scope, scope, skip, out);
            }
            Node::Element(child) => {
                let mut inner = scope.clone();
                inner.extend(child.declarations.iter().cloned());
                element_into(child, &inner, scope, skip, out);
            }
        }
    }
    out.push_str("</");
    out.push_str(element.tag);
    out.push('>');
}

fn value_into(value: &str, out: &mut String) {
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out.push('"');
}
