"""The guide for authors shows code that runs."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_guide_holds_exactly_the_example_that_is_checked() -> None:
    guide = (ROOT / "docs" / "add-a-protocol.md").read_text("utf-8")
    example = (ROOT / "examples" / "primary_backup.py").read_text("utf-8")
    assert f"```python\n{example}```\n" in guide, (
        "docs/add-a-protocol.md and examples/primary_backup.py differ: copy one into the other"
    )
