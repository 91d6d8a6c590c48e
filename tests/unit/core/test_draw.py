"""The committed pictures are those that the machine draws of itself."""

from tests.unit.core.draw import PAGE, drawn, sections


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, "run: python -m tests.unit.core.draw"


def test_the_pictures_show_each_way_to_an_end() -> None:
    saga = "\n".join(sections()["saga"])
    for arrow in (
        "RUNNING --> COMPLETED",
        "COMPENSATING --> COMPENSATED",
        "RUNNING --> STUCK",
        "COMPENSATING --> STUCK",
    ):
        assert arrow in saga
