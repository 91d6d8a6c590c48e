"""What is measured, in which order."""

from itertools import islice

from benchmarks.counters import Effects
from benchmarks.orders import NOT_SERVED, orders
from benchmarks.scenarios import PEERS, Contender, Site, features, rounds, scenarios


def test_peers_stand_beside_the_orchestrator_with_trivial_participants_alone() -> None:
    chosen = scenarios(list(Site), [1, 64, 512], [0.0, 0.1], PEERS)
    trivial = [each for each in chosen if each.site is Site.TRIVIAL]
    assert len(trivial) == 2 * 3 * len(Contender)
    assert {each.contender for each in chosen if each.site is Site.REAL} == {Contender.BARE, Contender.ENGINE}
    assert len(set(chosen)) == len(chosen)


def test_every_second_round_goes_backwards() -> None:
    chosen = features()
    taken = list(rounds(chosen, 2))
    assert [scenario for _, scenario in taken] == [*chosen, *reversed(chosen)]


def test_the_wanted_share_of_the_orders_is_refused() -> None:
    drawn = list(islice(orders("ORD", 7, 0.1), 2000))
    refused = sum(order.ship_to.region_code == NOT_SERVED for order in drawn)
    assert 140 < refused < 260
    assert not any(order.ship_to.region_code == NOT_SERVED for order in islice(orders("ORD", 7), 2000))


def test_a_refused_saga_leaves_nothing_behind() -> None:
    assert Effects.of(5, 2) - Effects.of(5, 0) == Effects(0, 2, 0, 2, 0, 0)
