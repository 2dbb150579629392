"""The section of the model card: what only whoever trains the model can say."""

from pydantic import Field

from qatflow.config.sections.base import Section


class ModelCardSection(Section):
    """What MODEL_CARD.md, beside the model, and the record of the run say of the model. null: not stated."""

    licence: str | None = Field(
        None, description="Licence of the trained model, best as an SPDX identifier, such as Apache-2.0."
    )
    licence_url: str | None = Field(None, description="Where the text of the licence is.")
    authors: list[str] = Field([], description="Who trained it. []: the record of the run names the machine's user.")
    contact: str | None = Field(None, description="Whom to ask: an address or a page.")
    intended_use: str | None = Field(None, description="What the model is for, and what it is not for.")
    limits: str | None = Field(None, description="What is known to go wrong, beside what the figures say.")
