"""Rules within the policy: network file systems need both, exclusions of the policy hold for every rule."""

from whatchanged.rules import FileRule, FileScope, Policy
from whatchanged.tracker.bounds import BoundedScope

ASKS = FileRule(name="asks", destination_path=b"/far/data/**", network=True)
SILENT = FileRule(name="silent", destination_path=b"/**")


def test_a_network_file_system_is_entered_where_a_rule_asks_and_the_policy_allows() -> None:
    scope = FileScope([ASKS, SILENT])
    assert BoundedScope(scope, Policy(network_file_systems=True)).network(b"/far")
    assert BoundedScope(scope, Policy(network_file_systems=True)).network(b"/far/data/x")
    assert not BoundedScope(scope, Policy(network_file_systems=True)).network(b"/home")
    assert not BoundedScope(scope, Policy()).network(b"/far")
    part = BoundedScope(FileScope([SILENT]), Policy(network_file_systems=True), whole=scope)
    assert part.network(b"/far")
    assert ASKS.identity() != FileRule(name="asks", destination_path=b"/far/data/**").identity()


def test_what_the_policy_excludes_is_live_for_no_rule() -> None:
    scope = BoundedScope(FileScope([ASKS, SILENT]), Policy(excluded_paths=(b"/far",)))
    assert scope.live(b"/far/data") == ()
    assert scope.live(b"/home") == (SILENT,)
    assert scope.match(b"/far/data/x") == ()
