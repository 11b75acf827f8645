//! Binary Merkle trees over tiles, read four levels at a time.
//!
//! ```text
//! leaf i        BLAKE3 keyed(leaf key, i u64 ‖ tile bytes)
//! node (l, i)   BLAKE3 keyed(node key, l u8 ‖ i u64 ‖ node (l - 1, 2 i) ‖ node (l - 1, 2 i + 1))
//! root          BLAKE3 keyed(root key, number of leaves u64 ‖ node (depth, 0))
//! ```
//!
//! Integers are little endian; keys are texts of 32 bytes, one for each use and each [`Kind`] of tree, so that no hash of one use passes for
//! one of another. A node under which there is no leaf is [`EMPTY`]: with the number of leaves in the root, each tree has one shape, and no place
//! but its own takes a leaf. Binary nodes keep openings short; a bisection goes down [`STEP_LEVELS`] levels at once.

/// A hash.
pub type Hash = [u8; 32];

/// Which tree: no hash of one passes for a hash of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All tensors of a run.
    Trace,
    /// All weights of a model.
    Weights,
}

/// A place in a tree: `level` 0 are the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Steps above the leaves.
    pub level: u8,
    /// From the left.
    pub index: u64,
}

impl Kind {
    /// Hash of a tile.
    #[must_use]
    pub fn leaf(self, index: u64, tile: &[u8]) -> Hash {
        let key = match self {
            Self::Trace => b"tacit 2026 audited trace leaf v1",
            Self::Weights => b"tacit 2026 model weights leaf v1",
        };
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&index.to_le_bytes()).update(tile);
        hasher.finalize().into()
    }

    /// Hash of a node from the two below it.
    #[must_use]
    pub fn node(self, Node { level, index }: Node, left: &Hash, right: &Hash) -> Hash {
        let key = match self {
            Self::Trace => b"tacit 2026 audited trace node v1",
            Self::Weights => b"tacit 2026 model weights node v1",
        };
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&[level]).update(&index.to_le_bytes()).update(left).update(right);
        hasher.finalize().into()
    }

    /// What is committed to: the top of the tree and how many leaves it has.
    #[must_use]
    pub fn root(self, leaves: u64, top: &Hash) -> Hash {
        let key = match self {
            Self::Trace => b"tacit 2026 audited trace root v1",
            Self::Weights => b"tacit 2026 model weights root v1",
        };
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&leaves.to_le_bytes()).update(top);
        hasher.finalize().into()
    }
}

/// Level of the top of a tree of so many leaves.
#[must_use]
pub fn depth(leaves: u64) -> u8 {
    let mut level = 0;
    while width(leaves, level) > 1 {
        level += 1;
    }
    level
}

/// Nodes of a level that have leaves below them.
#[must_use]
pub fn width(leaves: u64, level: u8) -> u64 {
    leaves.div_ceil(1u64.checked_shl(u32::from(level)).unwrap_or(u64::MAX))
}

/// How many levels one step of a bisection goes down from a node of this level.
fn step_levels(level: u8) -> u8 {
    level.min(STEP_LEVELS)
}

/// The places that a step reveals under `node`: 2 to 16 in a tree whose node has more than one leaf below it, none for a leaf.
#[must_use]
pub fn step(leaves: u64, node: Node) -> Vec<Node> {
    let down = step_levels(node.level);
    if down == 0 {
        return Vec::new();
    }
    let level = node.level - down;
    let first = node.index.saturating_mul(1 << down);
    let end = first.saturating_add(1 << down).min(width(leaves, level));
    (first..end).map(|index| Node { level, index }).collect()
}

/// Hash of `node` from what a step reveals under it; `None` if that is not one hash for each place of [`step`].
#[must_use]
pub fn fold_step(kind: Kind, leaves: u64, node: Node, children: &[Hash]) -> Option<Hash> {
    let places = step(leaves, node);
    if places.is_empty() || places.len() != children.len() {
        return None;
    }
    let level = places.first()?.level;
    let below = places.into_iter().zip(children).map(|(place, hash)| (place.index, *hash)).collect();
    let nodes = climb(kind, leaves, below, level, node.level, &mut [].iter(), &mut |_, _| {})?;
    nodes.into_iter().next().map(|(_, hash)| hash)
}

/// The top of a tree from some of its leaves, ascending, and the siblings that they need: level by level from below, in each from the left. `None`
/// if there are too few or too many siblings, no leaves, or leaves out of order or out of the tree.
#[must_use]
pub fn fold(kind: Kind, leaves: u64, opened: Vec<(u64, Hash)>, siblings: &[Hash]) -> Option<Hash> {
    let ordered = opened.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    let last = opened.last().map(|(index, _)| *index)?;
    if !ordered || last >= leaves {
        return None;
    }
    let mut siblings = siblings.iter();
    let nodes = climb(kind, leaves, opened, 0, depth(leaves), &mut siblings, &mut |_, _| {})?;
    match (nodes.as_slice(), siblings.next()) {
        ([(0, top)], None) => Some(*top),
        _ => None,
    }
}

/// From nodes of one level, ascending, to those above them; `made` sees each.
pub(super) fn climb(
    kind: Kind,
    leaves: u64,
    mut nodes: Vec<(u64, Hash)>,
    from: u8,
    to: u8,
    siblings: &mut core::slice::Iter<'_, Hash>,
    made: &mut dyn FnMut(Node, &Hash),
) -> Option<Vec<(u64, Hash)>> {
    for level in from..to {
        let width = width(leaves, level);
        let mut above = Vec::with_capacity(nodes.len());
        let mut rest = nodes.into_iter().peekable();
        while let Some((index, hash)) = rest.next() {
            let (left, right) = if index % 2 == 1 {
                (*siblings.next()?, hash)
            } else if let Some((_, right)) = rest.next_if(|(next, _)| *next == index + 1) {
                (hash, right)
            } else if index + 1 < width {
                (hash, *siblings.next()?)
            } else {
                (hash, EMPTY)
            };
            let node = Node { level: level + 1, index: index / 2 };
            let hash = kind.node(node, &left, &right);
            made(node, &hash);
            above.push((node.index, hash));
        }
        nodes = above;
    }
    Some(nodes)
}

/// Every hash of a tree.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree {
    kind: Kind,
    /// From the leaves up; the last has one node, or none in a tree without leaves.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over these leaves.
    #[must_use]
    pub fn new(kind: Kind, leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        for level in 1.. {
            let below = levels.last().map_or([].as_slice(), Vec::as_slice);
            if below.len() <= 1 {
                break;
            }
            let pair = |(index, pair): (u64, &[Hash])| {
                let node = Node { level, index };
                kind.node(node, pair.first().unwrap_or(&EMPTY), pair.get(1).unwrap_or(&EMPTY))
            };
            levels.push((0..).zip(below.chunks(2)).map(pair).collect());
        }
        Self { kind, levels }
    }

    /// Which tree it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many leaves.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Hash of the top node.
    #[must_use]
    pub fn top(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or(EMPTY)
    }

    /// What is committed to.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.kind.root(self.leaves(), &self.top())
    }

    /// Where the top node is.
    #[must_use]
    pub fn top_node(&self) -> Node {
        Node { level: depth(self.leaves()), index: 0 }
    }

    /// A node's hash; [`EMPTY`] where there is none.
    #[must_use]
    pub fn hash(&self, Node { level, index }: Node) -> Hash {
        let level = self.levels.get(usize::from(level));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        level.and_then(|level| level.get(index)).copied().unwrap_or(EMPTY)
    }

    /// What a step of a bisection reveals under a node.
    #[must_use]
    pub fn step(&self, node: Node) -> Vec<Hash> {
        step(self.leaves(), node).into_iter().map(|node| self.hash(node)).collect()
    }

    /// What [`fold`] needs besides these leaves, ascending.
    #[must_use]
    pub fn open(&self, leaves: &[u64]) -> Vec<Hash> {
        siblings(self.leaves(), leaves).into_iter().map(|node| self.hash(node)).collect()
    }
}

/// Where the siblings are that [`fold`] needs besides these leaves, ascending.
pub(super) fn siblings(leaves: u64, opened: &[u64]) -> Vec<Node> {
    let mut needed = Vec::new();
    let mut nodes = opened.to_vec();
    for level in 0..depth(leaves) {
        let width = width(leaves, level);
        let mut above = Vec::with_capacity(nodes.len());
        let mut rest = nodes.into_iter().peekable();
        while let Some(index) = rest.next() {
            if index % 2 == 1 {
                needed.push(Node { level, index: index - 1 });
            } else if rest.next_if_eq(&(index + 1)).is_none() && index + 1 < width {
                needed.push(Node { level, index: index + 1 });
            }
            above.push(index / 2);
        }
        nodes = above;
    }
    needed
}

impl core::fmt::Debug for Tree {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tree")
            .field("kind", &self.kind)
            .field("leaves", &self.leaves())
            .finish_non_exhaustive()
    }
}

/// Levels that a step of a bisection goes down: 16 hashes at a time.
pub const STEP_LEVELS: u8 = 4;
/// A node without leaves below it.
pub const EMPTY: Hash = [0; 32];
