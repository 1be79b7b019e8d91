"""Cycles of exchange rates, and a triangle of order books traded at its best size.

The proofs stand in the Rust modules of the same names; here is what they do.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks

__all__ = ["best_cycle", "find_cycle", "route_outcome", "triangular_route"]


def _rough_prices(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prices that fit the rates roughly: those met first on a walk from the first node."""
    n = len(rates)
    prices = np.zeros(n)
    for root in range(n):
        if prices[root] > 0:
            continue
        prices[root] = 1.0
        queue = [root]
        for i in queue:
            for j in np.flatnonzero(prices == 0).tolist():
                there, back = rates[i, j], rates[j, i]
                price = prices[i] / there if there > 0 else back * prices[i]
                if price > 0:
                    prices[j] = price if 1e-50 <= price < 1e50 else 1.0
                    queue.append(j)
    return prices


def find_cycle(
    rates: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nodes of a cycle worth more than (1 + tolerance) a trade, or prices that rule one out."""
    tolerance = _checks.number("tolerance", tolerance)
    rates = _checks.square("rates", rates)
    if not 1e-14 <= tolerance < 1:
        raise ValueError(f"tolerance must be at least 1e-14 and below 1, got {tolerance}")
    rates = _checks.rates(rates)
    growth = 1.0 + tolerance
    price = _rough_prices(rates)
    following: dict[int, int] = {}
    changed = True
    while changed:
        changed = False
        for i in range(len(rates)):
            with np.errstate(over="ignore", under="ignore"):
                values = rates[i] * price
                j = int(np.argmax(values))
                if values[j] <= price[i] * growth:
                    continue
                raised = max(values[j] / growth, np.nextafter(price[i], math.inf))
            if not 1e-290 <= raised < 1e290:
                raise ValueError(
                    f"rates multiply along paths from node {i} beyond the range of float64"
                )
            following[i], price[i] = j, raised
            cycle = [i]
            while following.get(cycle[-1], i) != i:
                cycle.append(following[cycle[-1]])
            last = cycle[-1]
            # The last node points to i, or would if it were relaxed now.
            if last in following or rates[last, i] * price[i] > price[last] * growth:
                first = cycle.index(min(cycle))
                return np.array(cycle[first:] + cycle[:first], dtype=np.int64), np.empty(0)
            changed = True
    return np.empty(0, dtype=np.int64), price


def best_cycle(rates: NDArray[np.float64], max_length: int) -> tuple[NDArray[np.int64], float]:
    """The simple cycle of 2 to `max_length` nodes with the largest product, and the product."""
    max_length = _checks.count("max_length", max_length, 2)
    rates = _checks.rates(rates)
    n = len(rates)
    length = min(max_length, n)
    low, high = rates[rates > 0].min(initial=1.0), rates.max(initial=1.0)
    limit = 300.0 / max(length, 1)
    if not (math.log10(high) <= limit and math.log10(low) >= -limit):
        raise ValueError(
            f"rates go from {low:e} to {high:e}: products of {length} leave the range of float64"
        )
    best: tuple[float, int, list[int]] = (0.0, 0, [])  # product, minus the length, nodes

    def extend(path: list[int], product: float, reach: list[NDArray[np.float64]]) -> None:
        nonlocal best
        closed = product * rates.item(path[-1], path[0])
        if len(path) > 1 and closed > 0:
            trial = (closed, -len(path), [-node for node in path])
            best = max(best, trial)
        left = length - len(path)
        if left > 0:
            for node in range(path[0] + 1, n):
                longer = product * rates.item(path[-1], node)
                bound = longer * reach[left].item(node)
                if node not in path and bound > 0 and bound >= best[0] * (1 - 1e-12):
                    extend([*path, node], longer, reach)

    for start in range(n):
        later = rates.copy()
        later[:, : start + 1] = 0.0
        reach = [np.zeros(n), rates[:, start]]  # [m]: best walk to the start in m trades at most
        for _ in range(2, length):
            reach.append(np.maximum(reach[-1], (later * reach[-1]).max(axis=1, initial=0.0)))
        extend([start], 1.0, reach)
    return np.array([-node for node in best[2]], dtype=np.int64), best[0]


_WHOLE = 1e-12  # relative distance from a whole lot, or the end of a level, that counts as none
_MARGIN = 1e-14  # relative profit that is rounding
_MAX_LOTS = 1e15  # in a book, at most: beyond it float64 does not count them one by one
_SLACK = 1e-11  # rounding of a bound, relative to the amounts in it


class _Ladder:
    """A leg with the running sums of its levels."""

    def __init__(self, levels: Any, buy: bool, fee: float, lot: float, k: int) -> None:
        pairs = _checks.best_first(f"levels{k + 1}", levels, "asks" if buy else "bids")
        if not 0 <= fee < 1:
            raise ValueError(f"fees[{k}] must be at least 0 and below 1, got {fee}")
        if not 0 <= lot < math.inf:
            raise ValueError(f"lots[{k}] must be zero or positive and finite, got {lot}")
        self.price, sizes = pairs[:, 0].tolist(), pairs[:, 1].tolist()
        self.base = [0.0, *itertools.accumulate(sizes)]
        self.quote = [
            0.0,
            *itertools.accumulate(s * p for s, p in zip(sizes, self.price, strict=True)),
        ]
        if lot > 0 and self.base[-1] > _MAX_LOTS * lot:
            raise ValueError(
                f"lots[{k}] must not divide the depth into more than {_MAX_LOTS} lots, got {lot}"
            )
        self.buy, self.keep, self.lot = buy, 1.0 - fee, lot

    def net_rate(self, level: int) -> float:
        return self.keep / self.price[level] if self.buy else self.keep * self.price[level]

    def level_of(self, cumulative: list[float], amount: float) -> int:
        return bisect_left(cumulative[1:-1], amount, key=lambda end: end * (1.0 + _WHOLE))

    def notional(self, quantity: float) -> float:
        if not self.price:
            return 0.0
        level = self.level_of(self.base, quantity)
        return self.quote[level] + (quantity - self.base[level]) * self.price[level]

    def base_for(self, notional: float) -> float:
        if not self.price:
            return 0.0
        level = self.level_of(self.quote, notional)
        base = self.base[level] + (notional - self.quote[level]) / self.price[level]
        return min(base, self.base[-1])

    def spend(self, quantity: float) -> float:
        return self.notional(quantity) if self.buy else quantity

    def receive(self, quantity: float) -> float:
        return self.keep * (quantity if self.buy else self.notional(quantity))

    def affordable(self, amount: float) -> float:
        return self.base_for(amount) if self.buy else min(amount, self.base[-1])

    def supplying(self, amount: float) -> float:
        gross = amount / self.keep
        if gross > (self.base if self.buy else self.quote)[-1] * (1.0 + _WHOLE):
            return math.inf
        return gross if self.buy else self.base_for(gross)

    def lots_in(self, quantity: float) -> int:
        return math.floor(quantity / self.lot * (1.0 + _WHOLE))

    def rounded_down(self, quantity: float) -> float:
        return quantity if self.lot == 0 else self.lots_in(quantity) * self.lot

    def rounded_up(self, quantity: float) -> float:
        if self.lot == 0 or quantity == math.inf:
            return quantity
        lots = math.ceil(quantity / self.lot * (1.0 - _WHOLE))
        return lots * self.lot if lots <= self.lots_in(self.base[-1]) else math.inf


def _ladders(books: tuple, buys: Any, fees: Any, lots: Any) -> list[_Ladder]:
    for k, book in enumerate(books):
        _checks.array(f"levels{k + 1}", book, np.float64, ("n", 2))
    terms = zip(
        _checks.array("buys", buys, np.bool_, (3,)).tolist(),
        _checks.array("fees", fees, np.float64, (3,)).tolist(),
        _checks.array("lots", lots, np.float64, (3,)).tolist(),
        strict=True,
    )
    return [
        _Ladder(book, *term, k) for k, (book, term) in enumerate(zip(books, terms, strict=True))
    ]


def route_outcome(
    levels1: NDArray[np.float64],
    levels2: NDArray[np.float64],
    levels3: NDArray[np.float64],
    buys: NDArray[np.bool_],
    fees: NDArray[np.float64],
    lots: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pushes each of `sizes` through three legs: (spent, received), each of shape (k,)."""
    sizes = _checks.array("sizes", sizes, np.float64, ("k",))
    legs = _ladders((levels1, levels2, levels3), buys, fees, lots)
    spent, received = np.empty(len(sizes)), np.empty(len(sizes))
    for row, size in enumerate(sizes.tolist()):
        if not 0 <= size < math.inf:
            raise ValueError(f"sizes[{row}] must be zero or positive and finite, got {size}")
        amount = size
        for k, leg in enumerate(legs):
            quantity = leg.rounded_down(leg.affordable(amount))
            if k == 0:
                spent[row] = leg.spend(quantity)
            amount = leg.receive(quantity)
        received[row] = amount
    return spent, received


def triangular_route(
    levels1: NDArray[np.float64],
    levels2: NDArray[np.float64],
    levels3: NDArray[np.float64],
    buys: NDArray[np.bool_],
    fees: NDArray[np.float64],
    lots: NDArray[np.float64],
    max_size: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The profit-maximising size of a route of three legs.

    Returns legs of shape (3, 3) with base quantity, notional and worst price, and what each leg
    spends and receives, shape (3,). All zero where nothing is profitable.
    """
    max_size = _checks.number("max_size", max_size)
    if not max_size > 0:
        raise ValueError(f"max_size must be positive, got {max_size}")
    legs = _ladders((levels1, levels2, levels3), buys, fees, lots)
    quantities = _merged(legs, max_size)
    fixed = _coarsest(legs)
    if fixed is not None and quantities[0] > 0:
        quantities = _best_lots(legs, max_size, fixed, quantities[fixed])
    trades, spent, received = np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    for k, (leg, quantity) in enumerate(zip(legs, quantities, strict=True)):
        if quantity > 0:
            worst_price = leg.price[leg.level_of(leg.base, quantity)]
            trades[k] = quantity, leg.notional(quantity), worst_price
            spent[k], received[k] = leg.spend(quantity), leg.receive(quantity)
    return trades, spent, received


def _profit(legs: list[_Ladder], quantities: list[float]) -> float:
    return legs[2].receive(quantities[2]) - legs[0].spend(quantities[0])


def _merged(legs: list[_Ladder], max_size: float) -> list[float]:
    """The continuous optimum: levels are used up together while the net rates multiply above 1."""
    level, used, left = [0, 0, 0], [0.0, 0.0, 0.0], max_size
    while left > 0 and all(level[k] < len(legs[k].price) for k in range(3)):
        reach, capacity = 1.0, []
        for k, leg in enumerate(legs):
            rest = leg.base[level[k] + 1] - leg.base[level[k]] - used[k]
            capacity.append((rest * leg.price[level[k]] if leg.buy else rest) / reach)
            reach *= leg.net_rate(level[k])
        if reach <= 1.0 + _MARGIN:
            break
        step = min(left, *capacity)
        amount = step
        for k, leg in enumerate(legs):
            price, rate = leg.price[level[k]], leg.net_rate(level[k])
            if capacity[k] <= step * (1.0 + _WHOLE):
                level[k] += 1
                used[k] = 0.0
            else:
                used[k] += amount / price if leg.buy else amount
            amount *= rate
        left -= step
    return [leg.base[level[k]] + used[k] for k, leg in enumerate(legs)]


def _coarsest(legs: list[_Ladder]) -> int | None:
    """The leg whose lot is worth most in start currency at the best prices."""
    reach, found, most = 1.0, None, 0.0
    for k, leg in enumerate(legs):
        if not leg.price:
            return None
        value = leg.lot * (leg.price[0] if leg.buy else 1.0) / reach
        if value > most:
            found, most = k, value
        reach *= leg.net_rate(0)
    return found


def _around(
    legs: list[_Ladder], fixed: int, quantity: float, max_size: float, lots: bool
) -> list[float] | None:
    """Quantities with leg `fixed` at `quantity`: the smallest before, the largest after."""
    quantities = [quantity] * 3
    for k in reversed(range(fixed)):
        needed = legs[k].supplying(legs[k + 1].spend(quantities[k + 1]))
        quantities[k] = legs[k].rounded_up(needed) if lots else needed
        if quantities[k] == math.inf:
            return None
    if legs[0].spend(quantities[0]) > max_size * (1.0 + _WHOLE):
        return None
    for k in range(fixed + 1, 3):
        most = legs[k].affordable(legs[k - 1].receive(quantities[k - 1]))
        quantities[k] = legs[k].rounded_down(most) if lots else most
    return quantities


def _best_lots(legs: list[_Ladder], max_size: float, fixed: int, optimum: float) -> list[float]:
    """The optimum over whole lots, searched outward from the continuous one."""
    leg = legs[fixed]
    most, nearest = leg.lots_in(leg.base[-1]), leg.lots_in(optimum)
    best, best_profit = [0.0, 0.0, 0.0], 0.0
    for counts in (range(nearest, 0, -1), range(nearest + 1, most + 1)):
        for count in counts:
            relaxed = _around(legs, fixed, count * leg.lot, max_size, lots=False)
            if relaxed is None:
                break
            turnover = legs[0].spend(relaxed[0]) + legs[2].receive(relaxed[2])
            if _profit(legs, relaxed) + _SLACK * turnover <= best_profit:
                break
            trial = _around(legs, fixed, count * leg.lot, max_size, lots=True)
            gain = _profit(legs, trial) if trial else 0.0
            if trial and gain > best_profit and gain > _MARGIN * legs[0].spend(trial[0]):
                best, best_profit = trial, gain
    # The same outcome with the least quantities: what leg 3 does not need, legs 1 and 2 leave.
    least = _around(legs, 2, best[2], max_size, lots=True)
    return least if least and _profit(legs, least) >= best_profit else best
