//! The small part of XML 1.0 (with Namespaces in XML 1.0) that files of reference measurements are written in.
//!
//! Deviation: whatever they do not use is refused rather than read: declarations of types, comments, instructions, character data sections,
//! carriage returns, line breaks and tabs in attributes, attributes of the namespace `xml`. What is left has one canonical form that is easily made.

use crate::error::XmlError;
use std::rc::Rc;

/// How deep elements may nest.
const DEPTH_MAX: usize = 16;
/// How many elements a document may have, and how many attributes an element.
const COUNT_MAX: usize = 1024;

/// An element: names as they are written and what they mean.
#[derive(Debug, Clone)]
pub(crate) struct Element<'a> {
    /// As written, prefix included.
    pub(crate) tag: &'a str,
    pub(crate) namespace: Rc<str>,
    /// Without prefix.
    pub(crate) name: &'a str,
    /// Declarations made here: prefix (empty for the default) and what it means.
    pub(crate) declarations: Vec<(&'a str, Rc<str>)>,
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) children: Vec<Node<'a>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Attribute<'a> {
    /// As written.
    pub(crate) tag: &'a str,
    /// Empty where there is no prefix.
    pub(crate) namespace: Rc<str>,
    pub(crate) name: &'a str,
    pub(crate) value: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Node<'a> {
    Element(Element<'a>),
    Text(String),
}

impl<'a> Element<'a> {
    /// Whether it is this element of this namespace.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        &*self.namespace == namespace && self.name == name
    }

    /// An attribute, by namespace (empty for none) and name.
    pub(crate) fn attribute(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|it| &*it.namespace == namespace && it.name == name);
        found.map(|it| it.value.as_str())
    }

    /// Elements within it, whatever else there is.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Its text, if it holds text alone.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.children.as_slice() {
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The elements within it, if there is nothing else.
    pub(crate) fn only_elements(&self) -> Option<Vec<&Self>> {
        let all = |node: &'_ Node<'a>| matches!(node, Node::Element(_));
        self.children.iter().all(all).then(|| self.elements().collect())
    }
}

/// The one element that a document is.
pub(crate) fn parse(text: &str) -> Result<Element<'_>, XmlError> {
    let mut parser = Parser { text, at: 0, elements: 0, scope: Vec::new() };
    let rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    parser.at = text.len().saturating_sub(rest.map_or(text.len(), str::len));
    parser.space();
    parser.expect("<")?;
    let root = parser.element(1)?;
    parser.space();
    if parser.rest().is_empty() { Ok(root) } else { Err(parser.syntax()) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    elements: usize,
    /// Declarations in force, innermost last.
    scope: Vec<(&'a str, Rc<str>)>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn syntax(&self) -> XmlError {
        XmlError::Syntax { at: self.at }
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), XmlError> {
        if self.eat(token) { Ok(()) } else { Err(self.syntax()) }
    }

    /// Skips white space; whether there was any.
    fn space(&mut self) -> bool {
        let trimmed = self.rest().trim_start_matches([' ', '\n', '\t']);
        let skipped = self.rest().len().saturating_sub(trimmed.len());
        self.advance(skipped);
        skipped > 0
    }

    /// A name, with its prefix apart.
    fn name(&mut self) -> Result<(&'a str, &'a str, &'a str), XmlError> {
        let rest = self.rest();
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let tag = rest.split_once(|c: char| !inside(c)).map_or(rest, |(tag, _)| tag);
        let (prefix, name) = tag.split_once(':').unwrap_or(("", tag));
        let begins = |it: &str| it.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins(name) || name.contains(':') || (tag.contains(':') && !begins(prefix)) {
            return Err(self.syntax());
        }
        self.advance(tag.len());
        Ok((tag, prefix, name))
    }

    /// Text up to `end`, which is not taken, with what stands for characters replaced.
    fn characters(&mut self, end: char, attribute: bool) -> Result<String, XmlError> {
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return Err(self.syntax()) };
            if c == end {
                return Ok(out);
            }
            match c {
                '&' => out.push(self.reference()?),
                '<' => return Err(self.syntax()),
                '\n' | '\t' if attribute => return Err(self.syntax()),
                // In text, `]]>` may not be written out.
                '>' if !attribute && out.ends_with("]]") => return Err(self.syntax()),
                '\n' | '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                    out.push(c);
                    self.advance(c.len_utf8());
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    /// One of the five names for characters.
    fn reference(&mut self) -> Result<char, XmlError> {
        let names = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"'), ("&apos;", '\'')];
        let found = names.into_iter().find(|(name, _)| self.rest().starts_with(name));
        let (name, c) = found.ok_or_else(|| self.syntax())?;
        self.advance(name.len());
        Ok(c)
    }

    fn meaning(&self, prefix: &str) -> Option<Rc<str>> {
        self.scope.iter().rev().find(|(it, _)| *it == prefix).map(|(_, uri)| Rc::clone(uri))
    }

    /// An element whose `<` has been taken.
    fn element(&mut self, depth: usize) -> Result<Element<'a>, XmlError> {
        if depth > DEPTH_MAX {
            return Err(XmlError::Depth { max: DEPTH_MAX });
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > COUNT_MAX {
            return Err(XmlError::Count { max: COUNT_MAX });
        }
        let outer = self.scope.len();
        let begin = self.at;
        let (tag, prefix, name) = self.name()?;
        let mut raw: Vec<(usize, &str, &str, &str, String)> = Vec::new();
        let mut declarations: Vec<(&str, Rc<str>)> = Vec::new();
        let empty = loop {
            let spaced = self.space();
            if self.eat("/>") {
                break true;
            }
            if self.eat(">") {
                break false;
            }
            if !spaced {
                return Err(self.syntax());
            }
            let at = self.at;
            let (tag, prefix, name) = self.name()?;
            self.expect("=\"")?;
            let value = self.characters('"', true)?;
            self.expect("\"")?;
            if raw.len().saturating_add(declarations.len()) >= COUNT_MAX {
                return Err(XmlError::Count { max: COUNT_MAX });
            }
            let declared = match (prefix, name) {
                ("", "xmlns") => Some(""),
                ("xmlns", name) => Some(name),
                _ => None,
            };
            if let Some(declared) = declared {
                let reserved = value.is_empty() || declared.starts_with("xml");
                if reserved || declarations.iter().any(|(it, _)| *it == declared) {
                    return Err(XmlError::Name { at });
                }
                declarations.push((declared, Rc::from(value)));
            } else {
                raw.push((at, tag, prefix, name, value));
            }
        };
        self.scope.extend(declarations.iter().cloned());
        let namespace = match self.meaning(prefix) {
            Some(namespace) => namespace,
            None if prefix.is_empty() => Rc::from(""),
            None => return Err(XmlError::Name { at: begin }),
        };
        let mut attributes: Vec<Attribute<'a>> = Vec::with_capacity(raw.len());
        for (at, tag, prefix, name, value) in raw {
            let namespace = if prefix.is_empty() {
                Rc::from("")
            } else {
                self.meaning(prefix).ok_or(XmlError::Name { at })?
            };
            if attributes.iter().any(|it| it.name == name && it.namespace == namespace) {
                return Err(XmlError::Name { at });
            }
            attributes.push(Attribute { tag, namespace, name, value });
        }
        let children = if empty { Vec::new() } else { self.children(tag, depth)? };
        self.scope.truncate(outer);
        Ok(Element { tag, namespace, name, declarations, attributes, children })
    }

    /// What is within an element, and its end.
    fn children(&mut self, tag: &str, depth: usize) -> Result<Vec<Node<'a>>, XmlError> {
        let mut children = Vec::new();
        loop {
            let text = self.characters('<', false)?;
            if !text.is_empty() {
                children.push(Node::Text(text));
            }
            if self.rest().starts_with("<!") || self.rest().starts_with("<?") {
                return Err(XmlError::Markup { at: self.at });
            }
            if self.eat("</") {
                self.expect(tag)?;
                self.expect(">")?;
                return Ok(children);
            }
            self.expect("<")?;
            children.push(Node::Element(self.element(depth.saturating_add(1))?));
        }
    }
}
