"""Plans: configurations that cannot be used are refused as such; jobs of different frequencies are different jobs."""

import msgspec
import pytest

from whatchanged.errors import RuleError
from whatchanged.tracker.plan import make_plan


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"extensionConfigurations": "x"},
        {"extensionConfigurations": [{"outputStreams": [1]}]},
        {"extensionConfigurations": [{"extensionSettings": [1]}]},
    ],
)
def test_a_configuration_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(RuleError):
        make_plan(msgspec.json.encode(document).decode())


def test_frequencies_that_look_alike_are_jobs_of_their_own() -> None:
    def settings(frequency: float) -> dict[str, object]:
        return {
            "enableFiles": True,
            "fileSettings": {
                "fileCollectionFrequency": frequency,
                "fileInfo": [{"name": str(frequency), "destinationPath": "/etc/*", "groupTag": "x"}],
            },
        }

    sources = [{"id": f"dcr:{f}", "extensionSettings": settings(f)} for f in (1234567, 1234568)]
    plan = make_plan(msgspec.json.encode({"extensionConfigurations": sources}).decode())
    assert [job.name for job in plan.file_jobs] == ["1234567", "1234568"]
