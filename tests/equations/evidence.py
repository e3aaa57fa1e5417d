"""With what the checks of the equations assert. Each assertion notes what it has shown, and the page says it.

`identity`   two expressions are equal whatever their symbols stand for: proved by SymPy
`agree`      two computations, of which one is independent of the equation, give the same numbers
`sampled`    the mean of independent draws is what the equation says, within so many standard errors
`exceeds`    one side of an inequality is larger than the other

Functions that integrate carry `@quadrature`: what is compared with them is compared with an integral.
A plain `assert` states a fact beside the equation, such as that a test case is not a trivial one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps

import numpy as np
import sympy as sp

ERRORS = 5  # standard errors between a mean of draws and its expectation: one false alarm in a million


@dataclass
class Evidence:
    """What the assertions of one check have shown."""

    proved: int = 0
    compared: int = 0
    largest: float = 0.0  # difference of two compared numbers
    quadrature: bool = False
    draws: int = 0
    errors: float = 0.0  # standard errors allowed
    gap: float = math.inf  # the smallest between the sides of an inequality

    def __bool__(self) -> bool:
        return bool(self.proved or self.tried)

    @property
    def tried(self) -> bool:
        """Whether some of it was shown on cases, and not for all there are."""
        return bool(self.compared or self.draws or self.gap < math.inf)

    def __str__(self) -> str:
        parts = []
        if self.gap < math.inf:
            parts.append(f"the inequality holds in each case tried, by at least {rounded_down(self.gap)}")
        if self.proved:
            parts.append("checked symbolically (SymPy proves it)")
        if self.compared:
            what = "its parts were checked" if self.gap < math.inf else "checked"
            other = "quadrature" if self.quadrature else "an independent computation"
            largest = f"largest difference {in_tens(self.largest)}" if self.largest else "no difference"
            parts.append(f"{what} against {other}: {largest}")
        if self.draws:
            within = f"within {self.errors:g} standard errors"
            parts.append(f"checked by simulation: {self.draws:,} draws, {within}")
        text = "; ".join(parts)
        return text[:1].upper() + text[1:] + "."


noted = Evidence()


def evidence_of(check: Callable[[], None]) -> Evidence:
    """Run a check and return what it has shown; one that asserts nothing of the equation fails, too."""
    global noted
    noted = Evidence()
    check()
    assert noted, "the check shows nothing: use identity, agree, sampled or exceeds"
    return noted


def quadrature(integrate: Callable) -> Callable:
    """Mark a function that integrates (numerically, or exactly by nodes and weights)."""

    @wraps(integrate)
    def marked(*args, **kwargs):
        noted.quadrature = True
        return integrate(*args, **kwargs)

    return marked


SHARES: set[sp.Symbol] = set()


def shares(names: str) -> tuple[sp.Symbol, ...]:
    """Symbols for numbers between 0 and 1, such as α_t and ᾱ_{t−1}; `identity` tries such numbers."""
    symbols = sp.symbols(names, positive=True, seq=True)
    SHARES.update(symbols)
    return symbols


def identity(left, right=0) -> None:
    """The two expressions are equal for all values of their symbols."""
    difference = sp.sympify(left) - sp.sympify(right)
    for point in points(difference):  # three values refute quickly, with a case in which it fails
        value = difference.subs(point).evalf(40)
        assert abs(value) < sp.Float("1e-30"), f"the two sides differ by {sp.N(value, 5)} at {point}"
    assert simplified(difference) == 0, f"SymPy cannot prove that this is 0: {difference}"
    noted.proved += 1


simplified = cache(sp.simplify)


def points(expression) -> list[dict]:
    """Three assignments of rational numbers to the symbols of an expression: shares lie between 0 and 1."""
    symbols = sorted(expression.free_symbols, key=str)
    found = []
    for turn in range(3):
        values = [sp.Rational(2 + 3 * turn + 5 * i, 7 + 4 * i) for i in range(len(symbols))]
        signs = [1 if symbol.is_positive else (-1) ** (i + turn) for i, symbol in enumerate(symbols)]
        of = zip(symbols, values, signs, strict=True)
        found.append({s: value / (1 + value) if s in SHARES else sign * value for s, value, sign in of})
    return found


def agree(found, exact, within: float, relative: bool = False) -> None:
    """Two numbers, or arrays of them, differ by no more than `within` (times `exact` if relative)."""
    found, exact = numbers(found), numbers(exact)
    difference = abs(found - exact) / (abs(exact) if relative else 1)
    largest = float(difference.max())
    assert largest <= within, f"differ by {largest:.3g}, which is more than {within:.3g}"
    noted.compared += difference.size
    noted.largest = max(noted.largest, largest)


def sampled(draws, exact: float, errors: float = ERRORS) -> None:
    """The mean of independent draws lies within so many standard errors of the exact value."""
    draws = numbers(draws).ravel()
    error = draws.std() / len(draws) ** 0.5
    away = abs(draws.mean() - exact) / error
    assert away <= errors, f"{len(draws)} draws have a mean {away:.1f} standard errors away"
    noted.draws = max(noted.draws, len(draws))
    noted.errors = max(noted.errors, errors)


def exceeds(larger, smaller, by: float = 0.0) -> None:
    """`larger` lies above `smaller`, by more than `by`, in each entry."""
    gap = float((numbers(larger) - numbers(smaller)).min())
    assert gap > by, f"larger by {gap:.3g}, not by more than {by:.3g}"
    noted.gap = min(noted.gap, gap)


def in_tens(value: float) -> str:
    """A positive number with one digit and a power of ten: 2·10⁻¹⁴."""
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rounded_down(value: float) -> str:
    """A positive number with one digit, which is not above it."""
    unit = 10.0 ** math.floor(math.log10(value))
    return f"{math.floor(value / unit) * unit:.0g}"


def numbers(values) -> np.ndarray:
    """A float64 array of numbers, a tensor, or SymPy numbers."""
    if hasattr(values, "detach"):
        values = values.detach()
    return np.asarray(values, dtype=np.float64)
