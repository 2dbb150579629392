"""The section of the report."""

from pydantic import Field

from qatflow.config.sections.base import Section

MOST_PICTURES = 60


class ReportSection(Section):
    """The report of an experiment."""

    pictures: int = Field(
        12,
        ge=0,
        le=MOST_PICTURES,
        description="Number of test pictures that the report shows of each kind: those that only float gets right, "
        "those that only int8 gets right, and int8's most confident errors. 0: none, so that the report holds no "
        "pictures of the data.",
    )
