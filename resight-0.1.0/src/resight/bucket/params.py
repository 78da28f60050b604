"""Settings of the copy in object storage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from resight.plugins.params import Affects, Params

LOCAL = ("file", "local")


class PublishParams(Params):
    """A copy of the results in object storage, after each night, accuracy and rebuild."""

    affects: ClassVar[Affects] = "execution"

    to: str = Field(
        "",
        description="where runs and what is current are copied, e.g. s3://bucket/zakynthos or gs://bucket/zakynthos; '' for nowhere",
    )

    @field_validator("to")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        protocol, mark, place = text.partition("://")
        if (text and not (mark and place.strip("/") and protocol)) or "::" in text:
            raise ValueError(
                f"{text!r} is no address of object storage; write it as s3://BUCKET/PLACE or gs://BUCKET/PLACE"
            )
        if protocol in LOCAL:
            raise ValueError(f"{text!r} is on this machine, where rsync or cp copy runs/ and generations/")
        return text.rstrip("/")
