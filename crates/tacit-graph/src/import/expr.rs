//! Functions of one number. Each ends as the entries of a table, so they may be as rich as they like.

use std::sync::Arc;

/// A function of one number, as an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// The argument.
    X,
    Number(f64),
    Unary(Unary, Arc<Self>),
    Binary(Binary, Arc<Self>, Arc<Self>),
    /// The second where the first is not zero, else the third.
    Select(Arc<Self>, Arc<Self>, Arc<Self>),
    /// The entry of a whole number, the first for `first`; zero for any other.
    Entry {
        first: f64,
        entries: Arc<[f64]>,
        of: Arc<Self>,
    },
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Celu {
        alpha: f64,
    },
    Clip {
        low: f64,
        high: f64,
    },
    Cos,
    Cosh,
    Elu {
        alpha: f64,
    },
    Erf,
    Exp,
    Floor,
    /// `scale * (clamp(round_half_even(x / scale) + zero, low, high) - zero)`.
    Grid {
        scale: f64,
        zero: f64,
        low: f64,
        high: f64,
    },
    HardSigmoid {
        alpha: f64,
        beta: f64,
    },
    LeakyRelu {
        slope: f64,
    },
    Log,
    Not,
    Relu,
    Round,
    Selu {
        alpha: f64,
        gamma: f64,
    },
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Tan,
    Tanh,
    Truncate,
}

/// Two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Greater,
    GreaterOrEqual,
    Equal,
    And,
    Or,
    Xor,
    Modulo,
}

impl Expr {
    /// `number * x`.
    pub(super) fn times(number: f64) -> Self {
        Self::X.multiplied(number)
    }

    pub(super) fn is_identity(&self) -> bool {
        *self == Self::X
    }

    pub(super) fn then(self, function: Unary) -> Self {
        Self::Unary(function, Arc::new(self))
    }

    pub(super) fn with(self, function: Binary, other: Self) -> Self {
        match (function, self.linear(), &other) {
            // Chains of scalings and shifts stay two numbers.
            (Binary::Add, Some((a, b)), Self::Number(n)) => Self::line(a, b + n),
            (Binary::Sub, Some((a, b)), Self::Number(n)) => Self::line(a, b - n),
            (Binary::Mul, Some((a, b)), Self::Number(n)) => Self::line(a * n, b * n),
            (Binary::Div, Some((a, b)), Self::Number(n)) => Self::line(a / n, b / n),
            (Binary::Max, _, Self::Number(f64::NEG_INFINITY)) => self,
            (Binary::Min, _, Self::Number(f64::INFINITY)) => self,
            _ => Self::Binary(function, Arc::new(self), Arc::new(other)),
        }
    }

    fn multiplied(self, number: f64) -> Self {
        self.with(Binary::Mul, Self::Number(number))
    }

    fn line(a: f64, b: f64) -> Self {
        let scaled = if a == 1.0 {
            Self::X
        } else {
            Self::Binary(Binary::Mul, Arc::new(Self::X), Arc::new(Self::Number(a)))
        };
        if b == 0.0 {
            return scaled;
        }
        Self::Binary(Binary::Add, Arc::new(scaled), Arc::new(Self::Number(b)))
    }

    /// `(a, b)` where the function is `a * x + b`.
    pub(super) fn linear(&self) -> Option<(f64, f64)> {
        match self {
            Self::X => Some((1.0, 0.0)),
            Self::Binary(Binary::Mul, x, n) => match (x.as_ref(), n.as_ref()) {
                (Self::X, Self::Number(a)) => Some((*a, 0.0)),
                _ => None,
            },
            Self::Binary(Binary::Add, x, n) => match (x.linear(), n.as_ref()) {
                (Some((a, b)), Self::Number(n)) => Some((a, b + n)),
                _ => None,
            },
            _ => None,
        }
    }

    /// This function of `inner` of the argument.
    pub(super) fn of(&self, inner: &Self) -> Self {
        match self {
            Self::X => inner.clone(),
            Self::Number(n) => Self::Number(*n),
            Self::Unary(function, x) => x.of(inner).then(*function),
            Self::Binary(function, x, y) => x.of(inner).with(*function, y.of(inner)),
            Self::Select(c, x, y) => {
                Self::Select(Arc::new(c.of(inner)), Arc::new(x.of(inner)), Arc::new(y.of(inner)))
            }
            Self::Entry { first, entries, of } => {
                Self::Entry { first: *first, entries: Arc::clone(entries), of: Arc::new(of.of(inner)) }
            }
        }
    }

    /// Parts of the expression.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::X | Self::Number(_) => 1,
            Self::Unary(_, x) => x.size().saturating_add(1),
            Self::Binary(_, x, y) => x.size().saturating_add(y.size()).saturating_add(1),
            Self::Select(c, x, y) => {
                c.size().saturating_add(x.size()).saturating_add(y.size()).saturating_add(1)
            }
            Self::Entry { of, .. } => of.size().saturating_add(1),
        }
    }

    pub(super) fn apply(&self, x: f64) -> f64 {
        match self {
            Self::X => x,
            Self::Number(n) => *n,
            Self::Unary(function, inner) => function.apply(inner.apply(x)),
            Self::Binary(function, a, b) => function.apply(a.apply(x), b.apply(x)),
            Self::Select(c, a, b) => {
                if c.apply(x) == 0.0 {
                    b.apply(x)
                } else {
                    a.apply(x)
                }
            }
            Self::Entry { first, entries, of } => {
                let at = (of.apply(x) - first).round();
                let entry = if at >= 0.0 { entries.get(at as usize) } else { None };
                entry.copied().unwrap_or(0.0)
            }
        }
    }

    /// Whether `f(k x) = k f(x)` for every `k > 0`: two straight lines that meet at zero. Such functions share tables
    /// between layers of any scale.
    pub(super) fn is_homogeneous(&self) -> bool {
        let line = |sign: f64| {
            let slope = self.apply(sign);
            let near = |k: f64| {
                let (got, wanted) = (self.apply(sign * k), slope * k);
                (got - wanted).abs() <= 1e-12 * wanted.abs()
            };
            [1e-6, 0.013, 0.7, 6.3, 211.0, 1e7].into_iter().all(near)
        };
        self.apply(0.0) == 0.0 && line(1.0) && line(-1.0)
    }

    /// Whether the function has steps, at which any rounding of the argument can be one too many.
    pub(super) fn jumps(&self) -> bool {
        match self {
            Self::X | Self::Number(_) => false,
            Self::Unary(Unary::Ceil | Unary::Floor | Unary::Not | Unary::Round, _)
            | Self::Unary(Unary::Sign | Unary::Truncate, _)
            | Self::Select(..)
            | Self::Entry { .. } => true,
            Self::Unary(_, x) => x.jumps(),
            Self::Binary(
                Binary::Add
                | Binary::Sub
                | Binary::Mul
                | Binary::Div
                | Binary::Pow
                | Binary::Max
                | Binary::Min,
                a,
                b,
            ) => a.jumps() || b.jumps(),
            Self::Binary(..) => true,
        }
    }

    /// The outermost rounding to a grid, if that is what the function ends in.
    pub(super) fn grid(&self) -> Option<(f64, f64, f64, f64)> {
        match self {
            Self::Unary(Unary::Grid { scale, zero, low, high }, _) => Some((*scale, *zero, *low, *high)),
            _ => None,
        }
    }

    /// Whether the order of two arguments is never turned and only rounding can make them equal.
    pub(super) fn keeps_order(&self) -> bool {
        match self {
            Self::X => true,
            Self::Unary(Unary::Tanh | Unary::Sigmoid | Unary::Softplus | Unary::Softsign, x)
            | Self::Unary(Unary::Exp | Unary::Log | Unary::Grid { .. }, x) => x.keeps_order(),
            _ => self.linear().is_some_and(|(a, _)| a > 0.0),
        }
    }
}

impl Unary {
    pub(super) fn apply(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Acos => x.acos(),
            Self::Acosh => x.acosh(),
            Self::Asin => x.asin(),
            Self::Asinh => x.asinh(),
            Self::Atan => x.atan(),
            Self::Atanh => x.atanh(),
            Self::Ceil => x.ceil(),
            Self::Celu { alpha } => x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0),
            Self::Clip { low, high } => x.max(low).min(high),
            Self::Cos => x.cos(),
            Self::Cosh => x.cosh(),
            Self::Elu { alpha } => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Erf => erf(x),
            Self::Exp => x.exp(),
            Self::Floor => x.floor(),
            Self::Grid { scale, zero, low, high } => {
                scale * ((x / scale).round_ties_even() + zero).max(low).min(high) - scale * zero
            }
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    x * slope
                } else {
                    x
                }
            }
            Self::Log => x.ln(),
            Self::Not => f64::from(u8::from(x == 0.0)),
            Self::Relu => x.max(0.0),
            Self::Round => x.round_ties_even(),
            Self::Selu { alpha, gamma } => gamma * if x < 0.0 { alpha * x.exp_m1() } else { x },
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Sign => {
                if x == 0.0 {
                    0.0
                } else {
                    x.signum()
                }
            }
            Self::Sin => x.sin(),
            Self::Sinh => x.sinh(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Sqrt => x.sqrt(),
            Self::Tan => x.tan(),
            Self::Tanh => x.tanh(),
            Self::Truncate => x.trunc(),
        }
    }
}

impl Binary {
    pub(super) fn apply(self, a: f64, b: f64) -> f64 {
        let truth = |truth: bool| f64::from(u8::from(truth));
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Pow => a.powf(b),
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            Self::Greater => truth(a > b),
            Self::GreaterOrEqual => truth(a >= b),
            Self::Equal => truth(a == b),
            Self::And => truth(a != 0.0 && b != 0.0),
            Self::Or => truth(a != 0.0 || b != 0.0),
            Self::Xor => truth((a != 0.0) != (b != 0.0)),
            Self::Modulo => a - b * (a / b).floor(),
        }
    }
}

/// The error function, to about double precision: its Taylor series near zero, else the continued fraction of
/// `erfc` (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erf(x: f64) -> f64 {
    let two_over_root_pi = core::f64::consts::FRAC_2_SQRT_PI;
    let magnitude = x.abs();
    if magnitude < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80u32 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return two_over_root_pi * sum;
    }
    if magnitude > 6.0 || x.is_nan() {
        return if x.is_nan() { x } else { x.signum() };
    }
    let fraction = (1..60u32).rev().fold(magnitude, |tail, k| magnitude + f64::from(k) / 2.0 / tail);
    let complement = (-x * x).exp() / fraction * two_over_root_pi / 2.0;
    x.signum() * (1.0 - complement)
}

/// Largest expression that grows further before it becomes a table.
pub(super) const MAX_EXPRESSION: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_function_at_known_points() {
        // Abramowitz and Stegun, table 7.1.
        for (x, wanted) in
            [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)]
        {
            assert!((erf(x) - wanted).abs() < 1e-9 && (erf(-x) + wanted).abs() < 1e-9);
        }
        assert!((erf(2.499_999) - erf(2.500_001)).abs() < 1e-6);
        assert!((erf(3.0) - 0.999_977_909_5).abs() < 1e-9);
    }

    #[test]
    fn lines_stay_lines() {
        let line = Expr::times(2.0).with(Binary::Add, Expr::Number(3.0)).with(Binary::Div, Expr::Number(4.0));
        assert_eq!(line.linear(), Some((0.5, 0.75)));
        assert_eq!(line.apply(1.0), 1.25);
        assert_eq!(Expr::X.then(Unary::Relu).linear(), None);
    }

    #[test]
    fn homogeneous_functions() {
        let homogeneous = [Unary::Relu, Unary::Abs, Unary::LeakyRelu { slope: 0.1 }];
        assert!(homogeneous.into_iter().all(|function| Expr::X.then(function).is_homogeneous()));
        let others = [Unary::Tanh, Unary::Clip { low: 0.0, high: 6.0 }, Unary::Exp, Unary::Sign];
        assert!(!others.into_iter().any(|function| Expr::X.then(function).is_homogeneous()));
    }
}
