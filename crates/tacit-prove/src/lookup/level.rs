//! Levels of the tree, and the sum over one of them.
//!
//! Fractions lie in blocks of `2^BLOCK_VARS`. Blocks `2 j` and `2 j + 1` add up to block `j` of the level above, so a level's
//! first variable is the lowest bit of a block's number; what is behind the last block is `0 / 1` and never written down. The last
//! block is halved like a vector of its own. The sum over a level binds its variables in the same order.

use p3_field::{Field, PrimeCharacteristicRing};
use tacit_verify::{
    field::Ef,
    lookup::BLOCK_VARS,
    multilinear::{eq_below, eq_table},
};

use crate::{
    poly::{PackedEf, WIDTH, bind, eq_packed, sum_lanes, unpack},
    sumcheck::{halve, send_round},
    transcript::Transcript,
};

/// Registers of a block.
pub(super) const BLOCK: usize = (1 << BLOCK_VARS) / WIDTH;
/// Registers of two blocks: the fractions with one parent, or the four factors' two at one index of a sum.
pub(super) const PAIR: usize = 2 * BLOCK;
/// Registers of two pairs, which a round of the sum makes one.
pub(super) const GROUP: usize = 2 * PAIR;

/// One level of the tree: numerators and denominators.
#[derive(Debug)]
pub(super) enum Level {
    /// An even number of blocks of `2^vars` fractions, more than one block.
    Blocks { vars: usize, p: Vec<PackedEf>, q: Vec<PackedEf> },
    /// All fractions of at most one block.
    Scalars { p: Vec<Ef>, q: Vec<Ef> },
}

impl Level {
    /// The level of `2^vars` fractions that begins with these blocks.
    pub(super) fn new(vars: usize, mut p: Vec<PackedEf>, mut q: Vec<PackedEf>) -> Self {
        if vars <= BLOCK_VARS {
            let (mut p, mut q) = (unpack(&p), unpack(&q));
            p.resize(1 << vars, Ef::ZERO);
            q.resize(1 << vars, Ef::ONE);
            return Self::Scalars { p, q };
        }
        let len = p.len().next_multiple_of(PAIR);
        p.resize(len, PackedEf::ZERO);
        q.resize(len, PackedEf::ONE);
        Self::Blocks { vars, p, q }
    }

    pub(super) fn vars(&self) -> usize {
        match self {
            Self::Blocks { vars, .. } => *vars,
            Self::Scalars { p, .. } => p.len().trailing_zeros() as usize,
        }
    }

    /// Adds fractions in twos.
    pub(super) fn parent(&self) -> Self {
        match self {
            Self::Blocks { vars, p, q } => {
                let (p, q) = add_blocks(p, q);
                Self::new(vars - 1, p, q)
            }
            Self::Scalars { p, q } => {
                let (p0, p1) = p.split_at(p.len() / 2);
                let (q0, q1) = q.split_at(q.len() / 2);
                let pairs = p0.iter().zip(p1).zip(q0.iter().zip(q1));
                let (p, q) = pairs.map(|((p0, p1), (q0, q1))| (*p0 * *q1 + *p1 * *q0, *q0 * *q1)).unzip();
                Self::Scalars { p, q }
            }
        }
    }

    pub(super) fn into_scalars(self) -> (Vec<Ef>, Vec<Ef>) {
        match self {
            Self::Blocks { p, q, .. } => (unpack(&p), unpack(&q)),
            Self::Scalars { p, q } => (p, q),
        }
    }
}

/// Adds fractions of blocks `2 j` and `2 j + 1`.
pub(super) fn add_blocks(p: &[PackedEf], q: &[PackedEf]) -> (Vec<PackedEf>, Vec<PackedEf>) {
    let mut parents = (Vec::with_capacity(p.len() / 2), Vec::with_capacity(q.len() / 2));
    for (p, q) in p.chunks_exact(PAIR).zip(q.chunks_exact(PAIR)) {
        for lane in 0..BLOCK {
            let (q0, q1) = (q[lane], q[BLOCK + lane]);
            parents.0.push(p[lane] * q1 + p[BLOCK + lane] * q0);
            parents.1.push(q0 * q1);
        }
    }
    parents
}

/// `eq` over the variables after the one being bound.
///
/// A table over the lanes and the lowest few bits of the group's number, times one over the other bits.
pub(super) struct Weights {
    /// Over the group's number.
    point: Vec<Ef>,
    pub(super) inner: Vec<PackedEf>,
    pub(super) outer: Vec<Ef>,
}

impl Weights {
    fn new(point: &[Ef], lanes: &[Ef]) -> Self {
        let (outer, inner) = point.split_at(point.len() - point.len().min(INNER_VARS));
        let inner: Vec<Ef> = inner.iter().chain(lanes).copied().collect();
        Self { outer: eq_table(outer), inner: eq_packed(&inner, Ef::ONE), point: point.to_vec() }
    }

    /// What the first groups weigh together.
    pub(super) fn below(&self, groups: usize) -> Ef {
        eq_below(&self.point, groups)
    }

    /// Calls `sum` with the outer weight and the inner weights of every run of groups that shares the outer one; groups are
    /// counted from `first`.
    pub(super) fn runs(
        &self,
        first: usize,
        count: usize,
        mut sum: impl FnMut(core::ops::Range<usize>, Ef, &[PackedEf]),
    ) {
        let each = self.inner.len() / BLOCK;
        let mut done = 0;
        while done < count {
            let (outer, inner) = ((first + done) / each, (first + done) % each);
            let run = (each - inner).min(count - done);
            sum(done..done + run, self.outer[outer], &self.inner[inner * BLOCK..][..run * BLOCK]);
            done += run;
        }
    }
}

/// The sum `sum_x eq(point, x) (p0 q1 + p1 q0 + lambda q0 q1)` over a level while its variables are bound.
///
/// Indices come in three parts. In front `p0 = p1 = 1`, where the summand is `(Q0 Q1 - 1) / lambda` for
/// `Q = 1 + lambda q`; then nothing is known; behind all of it `p0 = p1 = 0` and `q0 = q1 = 1`, where it is `lambda`. All
/// arrays hold two factors block by block: those of even children, then those of odd ones.
pub(super) struct Sum {
    lambda: Ef,
    /// Its inverse; zero if there is none, which no verifier accepts but for one `lambda` in all.
    inverse: Ef,
    /// `Q0, Q1`.
    ones: Vec<PackedEf>,
    /// `p0 + lambda q0, p1`.
    numerators: Vec<PackedEf>,
    /// `q0, q1`.
    denominators: Vec<PackedEf>,
    /// The point over the bits of an index's block that are not bound, most significant first; the last one is next.
    blocks: Vec<Ef>,
    lanes: Vec<Ef>,
}

impl Sum {
    /// A sum over a level with these fractions behind those with numerator one, which the caller fills in.
    pub(super) fn new(p: Vec<PackedEf>, denominators: Vec<PackedEf>, point: &[Ef], lambda: Ef) -> Self {
        let (blocks, lanes) = point.split_at(point.len() - BLOCK_VARS);
        let inverse = lambda.try_inverse().unwrap_or_default();
        let mut numerators = p;
        let scale = PackedEf::from(lambda);
        for (p, q) in numerators.chunks_exact_mut(PAIR).zip(denominators.chunks_exact(PAIR)) {
            for lane in 0..BLOCK {
                p[lane] += scale * q[lane];
            }
        }
        let ones = Vec::new();
        let (blocks, lanes) = (blocks.iter().rev().copied().collect(), lanes.to_vec());
        let mut sum = Self { lambda, inverse, ones, numerators, denominators, blocks, lanes };
        sum.align();
        sum
    }

    /// The weights of the round to come.
    pub(super) fn weights(&self) -> Weights {
        Weights::new(self.blocks.split_last().map_or(&[], |(_, later)| later), &self.lanes)
    }

    /// Groups of which nothing is known.
    pub(super) fn groups(&self) -> usize {
        self.numerators.len() / GROUP
    }

    /// Value at zero and leading coefficient of the round polynomial of everything behind the first groups.
    pub(super) fn behind(&self, first: usize, weights: &Weights) -> (Ef, Ef) {
        let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
        weights.runs(first, self.groups(), |groups, outer, inner| {
            let range = groups.start * GROUP..groups.end * GROUP;
            let arrays = (&self.numerators[range.clone()], &self.denominators[range]);
            let (zero, leading) = products(arrays.0, arrays.1, inner);
            let outer = PackedEf::from(outer);
            at_zero += outer * zero;
            square += outer * leading;
        });
        (sum_lanes(at_zero) + self.padding(first + self.groups(), weights), sum_lanes(square))
    }

    /// What is behind the last group adds to every value of a round polynomial.
    fn padding(&self, groups: usize, weights: &Weights) -> Ef {
        self.lambda * (Ef::ONE - weights.below(groups))
    }

    /// Value at zero and leading coefficient of the whole round polynomial.
    fn round(&self) -> (Ef, Ef) {
        let weights = self.weights();
        let front = self.ones.len() / GROUP;
        let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
        weights.runs(0, front, |groups, outer, inner| {
            let (zero, leading) = squares(&self.ones[groups.start * GROUP..groups.end * GROUP], inner);
            let outer = PackedEf::from(outer);
            at_zero += outer * zero;
            square += outer * leading;
        });
        let behind = self.behind(front, &weights);
        let at_zero = (sum_lanes(at_zero) - weights.below(front)) * self.inverse;
        (at_zero + behind.0, sum_lanes(square) * self.inverse + behind.1)
    }

    /// Binds the variable of the round; `ones` in front are bound already.
    pub(super) fn ones_bound(&mut self, ones: Vec<PackedEf>, r: Ef) {
        for values in [&mut self.numerators, &mut self.denominators] {
            let pairs = values.len() / GROUP;
            fold(values, 0..pairs, r);
            values.truncate(pairs * PAIR);
        }
        self.ones = ones;
        self.blocks.pop();
        self.align();
    }

    /// Binds the variable of the round and gives the next round, if there is one at whole groups. Each run of groups is summed
    /// right after it is folded, while it is at hand.
    fn next(&mut self, r: Ef) -> (Ef, Ef) {
        if self.blocks.len() < 2 || !self.ones.len().is_multiple_of(2 * GROUP) {
            let mut ones = core::mem::take(&mut self.ones);
            let pairs = ones.len() / GROUP;
            fold(&mut ones, 0..pairs, r);
            ones.truncate(pairs * PAIR);
            self.ones_bound(ones, r);
            return if self.blocks.is_empty() { Default::default() } else { self.round() };
        }
        self.blocks.pop();
        let weights = self.weights();
        let ones = &mut self.ones;
        let front = ones.len() / (2 * GROUP);
        let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
        weights.runs(0, front, |groups, outer, inner| {
            fold(ones, 2 * groups.start..2 * groups.end, r);
            let (zero, leading) = squares(&ones[groups.start * GROUP..groups.end * GROUP], inner);
            let outer = PackedEf::from(outer);
            at_zero += outer * zero;
            square += outer * leading;
        });
        ones.truncate(front * GROUP);
        let mut sums =
            ((sum_lanes(at_zero) - weights.below(front)) * self.inverse, sum_lanes(square) * self.inverse);

        let pairs = self.groups();
        let (p, q) = (&mut self.numerators, &mut self.denominators);
        let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
        let mut add = |outer: Ef, (zero, leading): (PackedEf, PackedEf)| {
            let outer = PackedEf::from(outer);
            at_zero += outer * zero;
            square += outer * leading;
        };
        weights.runs(front, pairs / 2, |groups, outer, inner| {
            for values in [&mut *p, &mut *q] {
                fold(values, 2 * groups.start..2 * groups.end, r);
            }
            let range = groups.start * GROUP..groups.end * GROUP;
            add(outer, products(&p[range.clone()], &q[range], inner));
        });
        for values in [&mut *p, &mut *q] {
            // The last one of an odd number; padding follows it.
            fold(values, pairs & !1..pairs, r);
            values.truncate(pairs * PAIR);
        }
        self.align();
        let whole = pairs / 2 * GROUP;
        weights.runs(front + pairs / 2, pairs % 2, |_, outer, inner| {
            add(outer, products(&self.numerators[whole..], &self.denominators[whole..], inner));
        });
        sums.0 += sum_lanes(at_zero) + self.padding(front + self.groups(), &weights);
        sums.1 += sum_lanes(square);
        sums
    }

    /// Makes whole groups, as long as there are any; a single index in the end.
    fn align(&mut self) {
        let last = self.blocks.is_empty();
        let whole = if last { 0 } else { self.ones.len() - self.ones.len() % GROUP };
        let rest = self.ones.split_off(whole);
        if !rest.is_empty() {
            let one = PackedEf::ONE;
            let inverse = PackedEf::from(self.inverse);
            let (mut numerators, mut denominators) = (rest.clone(), rest);
            for pair in numerators.chunks_exact_mut(PAIR) {
                pair[BLOCK..].fill(one);
            }
            denominators.iter_mut().for_each(|q| *q = (*q - one) * inverse);
            numerators.append(&mut self.numerators);
            denominators.append(&mut self.denominators);
            (self.numerators, self.denominators) = (numerators, denominators);
        }
        let unit = if last { PAIR } else { GROUP };
        while !self.numerators.len().is_multiple_of(unit) {
            self.numerators.resize(self.numerators.len() + BLOCK, PackedEf::from(self.lambda));
            self.numerators.resize(self.numerators.len() + BLOCK, PackedEf::ZERO);
            self.denominators.resize(self.numerators.len(), PackedEf::ONE);
        }
    }

    /// All rounds that are left; gives `p0 + lambda q0, p1, q0, q1` at the point they end at.
    pub(super) fn prove(mut self, rounds: &mut Vec<Ef>, transcript: &mut Transcript) -> [Ef; 4] {
        if !self.blocks.is_empty() {
            let (mut at_zero, mut square) = self.round();
            while !self.blocks.is_empty() {
                let r = send_round(at_zero, square, rounds, transcript);
                (at_zero, square) = self.next(r);
            }
        }
        let block = |values: &[PackedEf], odd: bool| {
            let start = if odd { BLOCK } else { 0 };
            unpack(&values[start..start + BLOCK])
        };
        let scalars = Scalars {
            weighted: block(&self.numerators, false),
            p1: block(&self.numerators, true),
            q0: block(&self.denominators, false),
            q1: block(&self.denominators, true),
            weights: eq_table(&self.lanes[1..]),
        };
        scalars.prove(rounds, transcript)
    }
}

/// `sum w (a0 d0 + b0 c0)` and `sum w (da dd + db dc)` over groups with the factors `a, b` and `c, d`.
fn products(
    numerators: &[PackedEf],
    denominators: &[PackedEf],
    weights: &[PackedEf],
) -> (PackedEf, PackedEf) {
    let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
    let groups = numerators.chunks_exact(GROUP).zip(denominators.chunks_exact(GROUP));
    for ((p, q), weights) in groups.zip(weights.chunks_exact(BLOCK)) {
        for lane in 0..BLOCK {
            let (a, b, c, d) = (p[lane], p[BLOCK + lane], q[lane], q[BLOCK + lane]);
            at_zero += weights[lane] * (a * d + b * c);
            let (a, b) = (p[PAIR + lane] - a, p[PAIR + BLOCK + lane] - b);
            let (c, d) = (q[PAIR + lane] - c, q[PAIR + BLOCK + lane] - d);
            square += weights[lane] * (a * d + b * c);
        }
    }
    (at_zero, square)
}

/// `sum w a0 b0` and `sum w da db` over groups with the factors `a, b`.
fn squares(values: &[PackedEf], weights: &[PackedEf]) -> (PackedEf, PackedEf) {
    let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
    for (values, weights) in values.chunks_exact(GROUP).zip(weights.chunks_exact(BLOCK)) {
        for lane in 0..BLOCK {
            let (a, b) = (values[lane], values[BLOCK + lane]);
            at_zero += weights[lane] * a * b;
            square += weights[lane] * (values[PAIR + lane] - a) * (values[PAIR + BLOCK + lane] - b);
        }
    }
    (at_zero, square)
}

/// Makes every two pairs one, in place: each of these pairs out of the group of its number.
fn fold(values: &mut [PackedEf], pairs: core::ops::Range<usize>, r: Ef) {
    let r = PackedEf::from(r);
    for pair in pairs {
        for lane in 0..PAIR {
            let (low, high) = (values[pair * GROUP + lane], values[pair * GROUP + PAIR + lane]);
            values[pair * PAIR + lane] = low + r * (high - low);
        }
    }
}

/// [`Sum`] over a level of at most one block; gives the rounds too.
pub(super) fn prove_scalars(
    mut p: Vec<Ef>,
    mut q: Vec<Ef>,
    point: &[Ef],
    lambda: Ef,
    transcript: &mut Transcript,
) -> (Vec<Ef>, [Ef; 4]) {
    let half = p.len() / 2;
    let (p1, q1) = (p.split_off(half), q.split_off(half));
    let weighted = p.iter().zip(&q).map(|(p, q)| *p + lambda * *q).collect();
    let weights = eq_table(point.get(1..).unwrap_or_default());
    let mut rounds = Vec::new();
    let ends = Scalars { weighted, p1, q0: q, q1, weights }.prove(&mut rounds, transcript);
    (rounds, ends)
}

/// The four halves of a vector of fractions and the public weights, while a sum binds them, most significant variable first.
struct Scalars {
    /// `p0 + lambda q0`.
    weighted: Vec<Ef>,
    p1: Vec<Ef>,
    q0: Vec<Ef>,
    q1: Vec<Ef>,
    /// `eq` over the variables after the one being bound: half as long as the others.
    weights: Vec<Ef>,
}

impl Scalars {
    fn prove(mut self, rounds: &mut Vec<Ef>, transcript: &mut Transcript) -> [Ef; 4] {
        while self.q0.len() > 1 {
            let (at_zero, square) = self.round();
            let r = send_round(at_zero, square, rounds, transcript);
            for values in [&mut self.weighted, &mut self.p1, &mut self.q0, &mut self.q1] {
                bind(values, r);
            }
            halve(&mut self.weights);
        }
        [&self.weighted, &self.p1, &self.q0, &self.q1]
            .map(|values| values.first().copied().unwrap_or_default())
    }

    fn round(&self) -> (Ef, Ef) {
        let half = self.q0.len() / 2;
        let (a0, a1) = self.weighted.split_at(half);
        let (b0, b1) = self.p1.split_at(half);
        let (c0, c1) = self.q0.split_at(half);
        let (d0, d1) = self.q1.split_at(half);
        let (mut at_zero, mut square) = (Ef::ZERO, Ef::ZERO);
        for index in 0..half {
            let weight = self.weights[index];
            let (a, b, c, d) = (a0[index], b0[index], c0[index], d0[index]);
            at_zero += weight * (a * d + b * c);
            let (a, b, c, d) = (a1[index] - a, b1[index] - b, c1[index] - c, d1[index] - d);
            square += weight * (a * d + b * c);
        }
        (at_zero, square)
    }
}

/// Bits of a group's number that the inner table of weights covers.
const INNER_VARS: usize = 4;
